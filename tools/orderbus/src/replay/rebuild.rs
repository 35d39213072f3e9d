//! Makes the read model anew from what happened.

use std::time::Duration;

use ::lake::TimeBounds;
use anyhow::{Context, Result, bail, ensure};
use aws::{DynamoDbOrderViewStore, SqsDirectQueue, ViewsCounted};
use contracts::format_timestamp;
use domain::Timestamp;
use tokio::time::sleep;

use super::consumers::QueueOutlet;
use super::lake::LakeReader;
use super::{ARCHIVING, Origin, Plan, Replays, Request, Summary, reaches_back_to};
use crate::{Progress, clock};

/// Who keeps the read model.
const TRACKER: &str = "order-tracker";
/// Who writes the lake.
const ARCHIVER: &str = "event-archiver";
/// How often a queue has to be found empty, one after the other, until it is believed: on AWS the counts lag behind by
/// about a minute (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>).
const EMPTY_LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(3);
/// On one machine they do not.
const LOCAL_EMPTY_LOOKS: u32 = 4;
const LOCAL_PAUSE: Duration = Duration::from_millis(250);
/// How long a queue may take to become empty.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What is about to happen.
#[derive(Debug)]
pub struct Rebuild {
    /// What the read model holds now.
    pub before: ViewsCounted,
    /// The replay, but for its end, which is when the table is empty.
    pub plan: Plan,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// What the read model held.
    pub before: ViewsCounted,
    /// What it holds.
    pub after: ViewsCounted,
    /// The replay.
    pub replay: Summary,
}

impl Rebuilt {
    /// Whether everything was sent and nothing is missing that was there before.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.replay.is_good()
            && self.after.orders >= self.before.orders
            && self.after.facts >= self.before.facts
    }
}

impl Replays {
    /// What making the read model anew comes to. Nothing is changed yet.
    ///
    /// # Errors
    /// When the source does not reach back to the first fact: what is not there cannot come back.
    pub async fn plan_rebuild(&self, request: Request) -> Result<Rebuild> {
        let before = self.views()?.count().await.context("cannot read the read model")?;
        let now = clock::now();
        let from = match &request.from {
            Some(from) => *from,
            None if request.from_lake => Timestamp::from_unix_ms(0),
            None => {
                let archive = self.bus.archive().await?.context("the bus has no archive: use --from-lake")?;
                reaches_back_to(&archive, now).unwrap_or(Timestamp::from_unix_ms(0))
            }
        };
        let to = if request.from_lake { end_of(now, true) } else { now };
        let name = request.name.clone().unwrap_or_else(|| format!("rebuild-{}", now.unix_ms()));
        let request = Request {
            from: Some(from),
            to: Some(to),
            rules: vec![TRACKER.to_owned()],
            name: Some(name),
            ..request
        };
        let plan = self.plan(&request, now).await?;
        let starts_at = match &plan.origin {
            Origin::Archive(archive) => reaches_back_to(archive, now).unwrap_or(plan.scope.from),
            // Without an object it has nothing before now.
            Origin::Lake => LakeReader::new(&self.lake)
                .first_hour(plan.scope.from, now)
                .await?
                .map_or(now, |hour| hour.start()),
        };
        if let Some(first) = before.first_at {
            ensure!(
                first >= starts_at.max(plan.scope.from),
                "the read model knows of {}, and the replay would begin on {}: what was before would be lost. {}",
                format_timestamp(first),
                format_timestamp(starts_at.max(plan.scope.from)),
                if plan.is_from_lake() { "Look at what is missing in the lake" } else { "Use --from-lake" }
            );
        }
        Ok(Rebuild { before, plan })
    }

    /// Empties the read model and replays everything to it alone. While it lasts, orders are missing from it.
    ///
    /// Broken off, it is asked for anew, and begins anew: the facts are a set, so that nothing is there twice.
    ///
    /// # Errors
    /// When a step fails; the read model is incomplete then.
    pub async fn rebuild(&self, rebuild: Rebuild, progress: &Progress) -> Result<Rebuilt> {
        let Rebuild { before, mut plan } = rebuild;
        let [tracker] = &plan.hearing[..] else { bail!("{TRACKER} has more than one rule") };
        let tracker =
            QueueOutlet::to(std::slice::from_ref(tracker), &self.sdk, &self.bus, &plan.name).await?;
        let deleted = self.views()?.delete_all().await.context("cannot empty the read model")?;
        progress.say(format_args!("the read model is empty: {deleted} facts were in it"));
        // What happens from now on comes to the read model by itself.
        plan.scope.to = end_of(clock::now(), plan.is_from_lake());
        self.await_the_source(&plan, progress).await?;
        let replay = self.run(&plan, progress).await.context("the read model is incomplete: ask again")?;
        self.await_empty(TRACKER, || tracker.depth(), progress).await?;
        let after = self.views()?.count().await.context("cannot read the read model")?;
        Ok(Rebuilt { before, after, replay })
    }

    /// Until the source has what went over the bus a moment ago.
    async fn await_the_source(&self, plan: &Plan, progress: &Progress) -> Result<()> {
        if !self.is_local {
            progress.say(format_args!(
                "waiting {} minutes: what was on the bus a moment ago may not be in the {} yet",
                ARCHIVING.as_secs() / 60,
                if plan.is_from_lake() { "lake" } else { "archive" }
            ));
            sleep(ARCHIVING).await;
        }
        if plan.is_from_lake() {
            let consumers = super::consumers::consumers(self.bus.rules().await?, &self.own_rules);
            let archiver = super::consumers::named(&consumers, &[ARCHIVER.to_owned()])?;
            let targets = archiver.iter().flat_map(|consumer| &consumer.rule.targets);
            for target in targets {
                let queue = SqsDirectQueue::of_arn(self.sdk.sqs(), &target.arn).await?;
                // On a busy bus it is never empty; there, ten minutes are enough.
                if self.is_local {
                    self.await_empty(ARCHIVER, || queue.depth(), progress).await?;
                }
            }
        }
        Ok(())
    }

    async fn await_empty<E: std::error::Error + Send + Sync + 'static>(
        &self,
        name: &str,
        mut depth: impl AsyncFnMut() -> Result<u64, E>,
        progress: &Progress,
    ) -> Result<()> {
        let (looks, pause) =
            if self.is_local { (LOCAL_EMPTY_LOOKS, LOCAL_PAUSE) } else { (EMPTY_LOOKS, PAUSE) };
        let started = progress.elapsed();
        let (mut empty, mut said) = (0, started);
        while empty < looks {
            let waiting = depth().await?;
            empty = if waiting == 0 { empty + 1 } else { 0 };
            let elapsed = progress.elapsed();
            ensure!(
                elapsed.saturating_sub(started) < PATIENCE,
                "{waiting} messages wait for {name}, an hour on: look at its logs"
            );
            if waiting > 0 && elapsed.saturating_sub(said) > Duration::from_secs(5) {
                said = elapsed;
                progress.say(format_args!("{waiting} messages wait for {name}"));
            }
            sleep(pause).await;
        }
        Ok(())
    }

    fn views(&self) -> Result<DynamoDbOrderViewStore> {
        self.stack.order_views()
    }
}

/// The end of a replay of everything that was on the bus by now. The lake goes by when things happened, for which the clocks
/// of others may be ahead.
fn end_of(now: Timestamp, is_from_lake: bool) -> Timestamp {
    let ms = now.unix_ms() + 1;
    Timestamp::from_unix_ms(if is_from_lake {
        ms + TimeBounds::BEHIND_MS_MAX
    } else {
        (ms + 999) / 1_000 * 1_000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_from_the_lake_takes_what_happened_by_a_clock_that_is_ahead() {
        let now = Timestamp::from_unix_ms(1_769_860_800_123);
        let ahead = Timestamp::from_unix_ms(now.unix_ms() + TimeBounds::BEHIND_MS_MAX);
        assert!(TimeBounds::of(now, false).is_some_and(|bounds| bounds.contain(ahead)));
        assert!(end_of(now, true) > ahead);
        assert_eq!(end_of(now, false), Timestamp::from_unix_ms(1_769_860_801_000));
    }
}
