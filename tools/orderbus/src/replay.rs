//! Sends again what was on the bus, from EventBridge's archive or from the lake.
//!
//! | | archive | lake |
//! |---|---|---|
//! | reaches back | as long as the archive keeps events | for ever |
//! | to one consumer alone (`--rule`) | any rule of the bus | a rule with a queue behind it: straight into the queue |
//! | some events alone (`--type`, `--source`, `--subject`) | no: EventBridge has no such filter | yes |
//! | at a rate of one's own | no: EventBridge sends one minute of events after another | yes |
//! | after a crash | EventBridge goes on by itself | goes on at its checkpoint |
//!
//! A replayed event is the same CloudEvent with the same id and the same origin, so every consumer treats it as a redelivery. It says that it is
//! replayed: by `replay-name` where EventBridge or this tool writes the envelope, and by its one resource
//! `orderbus:replay/<name>` where it goes over the bus. Neither the lake nor the archive takes such an event again.

mod archive;
mod checkpoint;
mod consumers;
mod lake;
mod pace;
mod pattern;
mod rebuild;
mod report;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ::lake::content_hash;
use anyhow::{Context, Result, bail, ensure};
use aws::{BusArchive, EventBridgeReplays, ReplayReport, S3LakeObjects, Sdk};
use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;

pub use self::checkpoint::{Checkpoint, Checkpoints, Position, Scope, State, validate_name};
pub use self::consumers::Consumer;
pub use self::rebuild::{Rebuild, Rebuilt};
pub use self::report::{
    listed, listed_json, plan_json, plan_text, rebuilt_json, rebuilt_text, summary_json, summary_text,
};

use self::consumers::{BusOutlet, QueueOutlet, types_that_ask_for_money};
use self::lake::{BACKOFF_INITIAL, Counted, Filter, HourListed, LakeReader, LakeReplay, Outlet, Step};
use self::pace::Pace;
use crate::stack::Stack;
use crate::tools::Tools;
use crate::{Progress, clock, dlq};

/// How many events a second go out of the lake unless a person says otherwise.
const RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// How long EventBridge may take until an event is in the archive
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html>).
const ARCHIVING: Duration = Duration::from_secs(600);
const MS_PER_DAY: i64 = 86_400_000;

/// What a person asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant that is not; now, when none is given.
    pub to: Option<Timestamp>,
    /// Only these types, with or without version.
    pub types: Vec<String>,
    /// Only these sources.
    pub sources: Vec<String>,
    /// Only about these.
    pub subjects: Vec<String>,
    /// Only to these consumers.
    pub rules: Vec<String>,
    /// From the lake, not from the archive.
    pub from_lake: bool,
    /// Events a second.
    pub rate: Option<NonZeroU32>,
    /// What the replay is called.
    pub name: Option<String>,
}

/// What will be done, and to whom.
#[derive(Debug)]
pub struct Plan {
    /// What the replay is called.
    pub name: String,
    /// What it is about.
    pub scope: Scope,
    /// Where it comes from.
    pub origin: Origin,
    /// Who hears it.
    pub hearing: Vec<Consumer>,
    /// Whose rules are left out, because they may be asked for money.
    pub left_out: Vec<Consumer>,
    /// Which types are left out for the same reason.
    pub types_left_out: Vec<&'static str>,
    /// What a person should know before.
    pub notes: Vec<String>,
    rate: NonZeroU32,
}

/// Where a replay comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// EventBridge's archive of the bus.
    Archive(BusArchive),
    /// The lake.
    Lake,
}

/// What is known before anything is sent.
#[derive(Debug)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// How many events of which type there are, when the lake can be read. An archive's events are the lake's as well.
    pub(crate) counted: Option<Counted>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which replay.
    pub name: String,
    /// Whether it came from the lake.
    pub is_from_lake: bool,
    /// How it ended: `completed`, `cancelled` or `failed`.
    pub state: String,
    /// Why, when somebody says.
    pub reason: Option<String>,
    /// How many events were sent, in all runs together. EventBridge does not say.
    pub sent: Option<u64>,
    /// How many were refused for good.
    pub refused: u64,
    /// The first of those.
    pub refused_ids: Vec<String>,
    /// How long this run took.
    pub elapsed: Duration,
    /// How many events this run sent.
    pub sent_in_this_run: Option<u64>,
}

impl Summary {
    /// Whether everything was sent.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.state == "completed" && self.refused == 0
    }
}

/// A replay that is or was.
#[derive(Debug)]
pub enum Known {
    /// EventBridge's.
    OfArchive(ReplayReport),
    /// This machine's.
    OfLake(Checkpoint),
}

/// The replays of a stack.
#[derive(Debug)]
pub struct Replays {
    stack: Stack,
    sdk: Sdk,
    bus: EventBridgeReplays,
    lake: S3LakeObjects,
    bucket: String,
    own_rules: Vec<String>,
    checkpoints: Checkpoints,
    is_local: bool,
}

impl Replays {
    /// Those of a stack. `folder` is where checkpoints are.
    ///
    /// # Errors
    /// When the stack does not say what it is made of.
    pub fn of(stack: &Stack, tools: &Tools, folder: PathBuf) -> Result<Self> {
        let (bus_name, bus_arn) = (stack.output("BusName")?.to_owned(), stack.output("BusArn")?.to_owned());
        let sdk = stack.sdk().clone();
        Ok(Self {
            bus: EventBridgeReplays::new(sdk.eventbridge(), bus_name, bus_arn),
            lake: S3LakeObjects::new(sdk.s3(), stack.output("LakeBucketName")?.to_owned()),
            bucket: stack.output("LakeBucketName")?.to_owned(),
            own_rules: stack.own_rules(tools)?.into_values().collect(),
            checkpoints: Checkpoints::new(folder),
            is_local: sdk.config().endpoint_url().is_some(),
            stack: stack.clone(),
            sdk,
        })
    }

    /// What a request comes to. Nothing is sent yet.
    ///
    /// # Errors
    /// When it cannot be done as it is asked for.
    pub async fn plan(&self, request: &Request, now: Timestamp) -> Result<Plan> {
        check(request)?;
        let from = request.from.context("say from when: --from 2026-01-31T12:00:00Z, or --from 2h")?;
        let to = request.to.unwrap_or(now);
        ensure!(from < to, "--from must be before --to");
        let consumers = consumers::consumers(self.bus.rules().await?, &self.own_rules);
        let named = consumers::named(&consumers, &request.rules)?;
        let is_to_all = named.is_empty();
        let asked_for = if is_to_all { consumers } else { named };
        // Whoever is named is meant, and so is a type.
        let leaves_out =
            |consumer: &Consumer| is_to_all && !request.from_lake && consumer.may_be_asked_for_money();
        let (left_out, hearing): (Vec<_>, Vec<_>) = asked_for.into_iter().partition(leaves_out);
        let types_left_out = if request.from_lake && is_to_all && request.types.is_empty() {
            types_that_ask_for_money()
        } else {
            Vec::new()
        };
        let is_to_some = !is_to_all || !left_out.is_empty();
        let mut rule_arns: Vec<String> = hearing.iter().map(|consumer| consumer.rule.arn.clone()).collect();
        rule_arns.sort();
        let (from, to) = if request.from_lake { (from, to) } else { in_seconds(from, to) };
        let scope = Scope {
            bus_arn: self.bus.bus_arn().to_owned(),
            bucket: self.bucket.clone(),
            from,
            to,
            types: sorted(&request.types),
            sources: sorted(&request.sources),
            subjects: sorted(&request.subjects),
            rule_arns: if is_to_some { rule_arns } else { Vec::new() },
        };
        let origin = if request.from_lake {
            Origin::Lake
        } else {
            let archive = self.bus.archive().await?;
            Origin::Archive(archive.context("the bus has no archive: use --from-lake")?)
        };
        let name = match &request.name {
            Some(name) => name.clone(),
            None => default_name(&scope, request.from_lake)?,
        };
        validate_name(&name)?;
        let notes = self.notes(&origin, &scope, now);
        let rate = request.rate.unwrap_or(RATE);
        Ok(Plan { name, scope, origin, hearing, left_out, types_left_out, notes, rate })
    }

    fn notes(&self, origin: &Origin, scope: &Scope, now: Timestamp) -> Vec<String> {
        let mut notes = Vec::new();
        let Origin::Archive(archive) = origin else { return notes };
        if let Some(start) = reaches_back_to(archive, now).filter(|start| *start > scope.from) {
            notes.push(format!(
                "the archive reaches back to {}: what was before is in the lake alone (--from-lake)",
                format_timestamp(start)
            ));
        }
        if self.is_local {
            if !scope.rule_arns.is_empty() {
                notes.push(
                    "MiniStack sends a replay to every rule, whatever EventBridge is told: here everyone hears it"
                        .to_owned(),
                );
            }
        } else if now.unix_ms() - scope.to.unix_ms() < millis(ARCHIVING) {
            notes.push(
                "EventBridge may take ten minutes to archive an event: what was a moment ago may be missing"
                    .to_owned(),
            );
        }
        notes
    }

    /// Counts what a plan is about.
    ///
    /// # Errors
    /// When it is about the lake and that cannot be read.
    pub async fn preview(&self, plan: Plan) -> Result<Preview> {
        let counted = self.count(&plan).await;
        let counted = match plan.origin {
            Origin::Lake => Some(counted?),
            // The lake only helps out.
            Origin::Archive(_) => counted.ok(),
        };
        Ok(Preview { plan, counted })
    }

    async fn count(&self, plan: &Plan) -> Result<Counted> {
        let reader = LakeReader::new(&self.lake);
        let hours = reader.hours(plan.scope.from, plan.scope.to).await?;
        reader.count(&hours, &plan.filter()).await
    }

    /// Does what a plan says, or goes on with it where an earlier run broke off.
    ///
    /// # Errors
    /// When it breaks off; asked for again, it goes on.
    pub async fn run(&self, plan: &Plan, progress: &Progress) -> Result<Summary> {
        match &plan.origin {
            Origin::Archive(archive) => archive::run(&self.bus, archive, plan, progress).await,
            Origin::Lake => self.run_from_lake(plan, progress).await,
        }
    }

    async fn run_from_lake(&self, plan: &Plan, progress: &Progress) -> Result<Summary> {
        let _claim = self.checkpoints.claim(&plan.name)?;
        let mut checkpoint = match self.checkpoints.find(&plan.name)? {
            None => Checkpoint::begin(&plan.name, plan.scope.clone(), clock::now()),
            Some(checkpoint) => {
                ensure!(
                    checkpoint.scope == plan.scope,
                    "{} is the name of another replay: choose another --name",
                    plan.name
                );
                let ended = match checkpoint.state {
                    State::Begun => None,
                    State::Completed => Some("completed"),
                    State::Cancelled => Some("cancelled"),
                };
                if let Some(ended) = ended {
                    bail!(
                        "replay {} was {ended} on {}. To send it again, give it a --name of its own",
                        plan.name,
                        format_timestamp(checkpoint.written_at)
                    );
                }
                progress.say(format_args!(
                    "{} events were sent before; it goes on {}",
                    checkpoint.sent,
                    checkpoint.position.as_ref().map_or("at the beginning".to_owned(), |position| format!(
                        "after {}",
                        format_timestamp(position.time)
                    ))
                ));
                checkpoint
            }
        };
        self.checkpoints.write(&checkpoint)?;
        progress.say(format_args!("replay {}: if it breaks off, --resume {0}", plan.name));
        let hours = LakeReader::new(&self.lake).hours(plan.scope.from, plan.scope.to).await?;
        let rows: u64 = hours.iter().map(|hour| hour.rows).sum();
        progress.say(format_args!(
            "the lake has {rows} rows in {} hours; at most {} events a second",
            hours.len(),
            plan.rate
        ));
        let before = checkpoint.sent;
        let started = progress.elapsed();
        if plan.scope.rule_arns.is_empty() {
            let outlet = BusOutlet { bus: &self.bus, replay: &plan.name };
            self.send(plan, &hours, &outlet, &mut checkpoint, progress).await?;
        } else {
            let outlet = QueueOutlet::to(&plan.hearing, &self.sdk, &self.bus, &plan.name).await?;
            self.send(plan, &hours, &outlet, &mut checkpoint, progress).await?;
        }
        Ok(Summary {
            name: plan.name.clone(),
            is_from_lake: true,
            state: "completed".to_owned(),
            reason: None,
            sent: Some(checkpoint.sent),
            refused: checkpoint.refused,
            refused_ids: checkpoint.refused_ids,
            elapsed: progress.elapsed().saturating_sub(started),
            sent_in_this_run: Some(checkpoint.sent - before),
        })
    }

    async fn send(
        &self,
        plan: &Plan,
        hours: &[HourListed],
        outlet: &impl Outlet,
        checkpoint: &mut Checkpoint,
        progress: &Progress,
    ) -> Result<()> {
        let replay = LakeReplay {
            reader: LakeReader::new(&self.lake),
            outlet,
            checkpoints: &self.checkpoints,
            filter: &plan.filter(),
            pace: Pace::new(plan.rate),
            backoff_initial: BACKOFF_INITIAL,
        };
        let (before, mut said) = (checkpoint.sent, Duration::ZERO);
        let watch = |step: Step| {
            if step.elapsed.saturating_sub(said) >= Duration::from_secs(2) {
                said = step.elapsed;
                progress.say(report::step(&step, before, plan.rate));
            }
        };
        let advice = format!("to go on: --resume {}", plan.name);
        replay.run(hours, checkpoint, watch).await.context(advice)
    }

    /// The plan of a replay that was begun before.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn resume(&self, name: &str, rate: Option<NonZeroU32>, now: Timestamp) -> Result<Plan> {
        match self.known(name).await? {
            Known::OfLake(Checkpoint { scope, .. }) => {
                ensure!(
                    scope.bus_arn == self.bus.bus_arn() && scope.bucket == self.bucket,
                    "{name} is a replay of another stack"
                );
                let request = Request {
                    from: Some(scope.from),
                    to: Some(scope.to),
                    types: scope.types,
                    sources: scope.sources,
                    subjects: scope.subjects,
                    rules: scope.rule_arns,
                    from_lake: true,
                    rate,
                    name: Some(name.to_owned()),
                };
                self.plan(&request, now).await
            }
            Known::OfArchive(replay) => {
                ensure!(rate.is_none(), RATE_OF_ARCHIVE);
                let archive = self.bus.archive().await?.context("the bus has no archive any more")?;
                let (Some(from), Some(to)) = (replay.from, replay.to) else {
                    bail!("EventBridge does not say what {name} is about")
                };
                let consumers = consumers::consumers(self.bus.rules().await?, &self.own_rules);
                let hears = |consumer: &Consumer| {
                    replay.rule_arns.is_empty() || replay.rule_arns.contains(&consumer.rule.arn)
                };
                Ok(Plan {
                    name: replay.name,
                    scope: Scope {
                        bus_arn: self.bus.bus_arn().to_owned(),
                        bucket: self.bucket.clone(),
                        from,
                        to,
                        types: Vec::new(),
                        sources: Vec::new(),
                        subjects: Vec::new(),
                        rule_arns: sorted(&replay.rule_arns),
                    },
                    origin: Origin::Archive(archive),
                    hearing: consumers.into_iter().filter(hears).collect(),
                    left_out: Vec::new(),
                    types_left_out: Vec::new(),
                    notes: Vec::new(),
                    rate: RATE,
                })
            }
        }
    }

    /// A replay, by its name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn known(&self, name: &str) -> Result<Known> {
        if let Some(checkpoint) = self.checkpoints.find(name)? {
            return Ok(Known::OfLake(checkpoint));
        }
        let replay = self.bus.describe(name).await?;
        replay.map(Known::OfArchive).with_context(|| {
            format!(
                "no replay is called {name}: neither here ({}) nor there",
                self.checkpoints.folder().display()
            )
        })
    }

    /// All that EventBridge and this machine know of.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn list(&self) -> Result<Vec<Known>> {
        let checkpoints = self.checkpoints.list()?.into_iter();
        let is_ours = |checkpoint: &Checkpoint| checkpoint.scope.bus_arn == self.bus.bus_arn();
        let mut known: Vec<Known> = checkpoints.filter(is_ours).map(Known::OfLake).collect();
        if let Some(archive) = self.bus.archive().await? {
            known.extend(self.bus.list(&archive.arn).await?.into_iter().map(Known::OfArchive));
        }
        Ok(known)
    }

    /// Ends a replay. What it has sent is sent.
    ///
    /// # Errors
    /// When it has ended, or when another process is at it.
    pub async fn cancel(&self, name: &str) -> Result<Known> {
        match self.known(name).await? {
            Known::OfArchive(replay) => {
                ensure!(!replay.has_ended(), "{name} has ended: it is {}", replay.state.to_lowercase());
                self.bus.cancel(name).await?;
                self.known(name).await
            }
            Known::OfLake(_) => {
                let claim = self.checkpoints.claim(name);
                let _claim = claim.context("stop that one, with Ctrl-C, and ask again")?;
                let mut checkpoint = self.checkpoints.find(name)?.context("it is gone")?;
                ensure!(checkpoint.state == State::Begun, "{name} has ended");
                checkpoint.state = State::Cancelled;
                checkpoint.written_at = clock::now();
                self.checkpoints.write(&checkpoint)?;
                Ok(Known::OfLake(checkpoint))
            }
        }
    }
}

impl Plan {
    fn filter(&self) -> Filter {
        let is_to_the_bus = self.is_from_lake() && self.scope.rule_arns.is_empty();
        let own_account = self.scope.bus_arn.split(':').nth(4).map(str::to_owned);
        Filter {
            scope: self.scope.clone(),
            left_out: self.types_left_out.clone(),
            only_of_account: own_account.filter(|_| is_to_the_bus),
        }
    }

    /// Whether it comes from the lake.
    #[must_use]
    pub fn is_from_lake(&self) -> bool {
        self.origin == Origin::Lake
    }
}

const RATE_OF_ARCHIVE: &str = "EventBridge replays an archive at a pace of its own, one minute of events after \
                               another: --rate needs --from-lake";

/// What cannot be done is refused before anything is asked of anybody.
fn check(request: &Request) -> Result<()> {
    let filters =
        [("--type", &request.types), ("--source", &request.sources), ("--subject", &request.subjects)];
    if !request.from_lake {
        for (filter, values) in filters {
            ensure!(
                values.is_empty(),
                "EventBridge cannot replay a part of an archive: {filter} needs --from-lake. With --rule, only that \
                 consumer hears the replay"
            );
        }
        ensure!(request.rate.is_none(), RATE_OF_ARCHIVE);
    }
    for (filter, values) in filters.into_iter().chain([("--rule", &request.rules)]) {
        ensure!(values.iter().all(|value| !value.is_empty()), "{filter} needs a value");
    }
    Ok(())
}

/// From when on an archive has events.
pub(crate) fn reaches_back_to(archive: &BusArchive, now: Timestamp) -> Option<Timestamp> {
    let kept_since = archive
        .retention_days
        .map(|days| Timestamp::from_unix_ms(now.unix_ms() - i64::from(days) * MS_PER_DAY));
    archive.created_at.max(kept_since)
}

/// Reads an instant, a day, or how long ago it was: `2026-01-31T12:00:00Z`, `2026-01-31`, `30m`, `2h`, `3d`.
///
/// # Errors
/// When it is none of these.
pub fn read_instant(text: &str, now: Timestamp) -> Result<Timestamp> {
    match parse_timestamp(&format!("{text}T00:00:00Z")) {
        Some(at) => Ok(at),
        None => dlq::read_since(text, now),
    }
}

/// The whole seconds around a span: EventBridge's events have no finer times.
fn in_seconds(from: Timestamp, to: Timestamp) -> (Timestamp, Timestamp) {
    let seconds = |ms: i64| Timestamp::from_unix_ms(ms * 1_000);
    (seconds(from.unix_ms().div_euclid(1_000)), seconds((to.unix_ms() + 999).div_euclid(1_000)))
}

/// The same request has the same name, so that asking again is going on.
fn default_name(scope: &Scope, is_from_lake: bool) -> Result<String> {
    let short = |at: Timestamp| -> String {
        let text = format_timestamp(at);
        text.chars().take(19).filter(|character| !"-:".contains(*character)).collect()
    };
    let hash = content_hash(&serde_json::to_vec(scope)?);
    let origin = if is_from_lake { "lake" } else { "archive" };
    Ok(format!("{origin}-{}-{}-{}", short(scope.from), short(scope.to), &hash[..8]))
}

fn sorted(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::checkpoint::tests::scope;
    use super::*;

    #[test]
    fn what_an_archive_cannot_do_is_refused_with_the_way_out() {
        let some = || vec!["x".to_owned()];
        let filtered = [
            Request { types: some(), ..Request::default() },
            Request { sources: some(), ..Request::default() },
            Request { subjects: some(), ..Request::default() },
            Request { rate: NonZeroU32::new(5), ..Request::default() },
        ];
        for request in filtered {
            let problem = check(&request).unwrap_err().to_string();
            assert!(problem.contains("--from-lake"), "{problem}");
            assert!(check(&Request { from_lake: true, ..request }).is_ok());
        }
        assert!(check(&Request { rules: some(), ..Request::default() }).is_ok());
        assert!(check(&Request { rules: vec![String::new()], ..Request::default() }).is_err());
    }

    #[test]
    fn the_same_request_has_the_same_name_and_any_other_another() {
        let name = default_name(&scope(), true).unwrap();
        assert_eq!(name, default_name(&scope(), true).unwrap());
        assert!(name.starts_with("lake-19700101T000000-19700105T040000-"), "{name}");
        validate_name(&name).unwrap();
        for other in [
            Scope { types: vec!["x".to_owned()], ..scope() },
            Scope { rule_arns: vec!["x".to_owned()], ..scope() },
            Scope { bucket: "other".to_owned(), ..scope() },
        ] {
            assert_ne!(default_name(&other, true).unwrap(), name);
        }
    }

    #[test]
    fn an_archive_has_what_it_was_there_for_and_has_not_forgotten() {
        let day = |day: i64| Timestamp::from_unix_ms(day * MS_PER_DAY);
        let archive = |created: Option<i64>, retention_days| BusArchive {
            arn: String::new(),
            created_at: created.map(day),
            retention_days,
            events: 0,
        };
        assert_eq!(reaches_back_to(&archive(Some(10), None), day(100)), Some(day(10)));
        assert_eq!(reaches_back_to(&archive(Some(10), Some(90)), day(200)), Some(day(110)));
        assert_eq!(reaches_back_to(&archive(Some(150), Some(90)), day(200)), Some(day(150)));
        assert_eq!(reaches_back_to(&archive(None, None), day(200)), None);
    }

    #[test]
    fn an_instant_is_a_time_a_day_or_an_age() {
        let now = Timestamp::from_unix_ms(1_769_860_800_000);
        let read = |text| read_instant(text, now).unwrap().unix_ms();
        assert_eq!(read("2026-01-31T12:00:00Z"), now.unix_ms());
        assert_eq!(read("2026-01-31"), now.unix_ms() - 12 * 3_600_000);
        assert_eq!(read("2h"), now.unix_ms() - 2 * 3_600_000);
        assert!(read_instant("2026-02-30", now).is_err());
    }

    #[test]
    fn a_span_is_widened_to_whole_seconds() {
        let at = Timestamp::from_unix_ms;
        assert_eq!(in_seconds(at(1_999), at(2_001)), (at(1_000), at(3_000)));
        assert_eq!(in_seconds(at(2_000), at(3_000)), (at(2_000), at(3_000)));
    }
}
