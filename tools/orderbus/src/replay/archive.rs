//! Has EventBridge send again what its archive holds, and watches.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws::{ArchiveReplay, BusArchive, EventBridgeReplays, ReplayReport};
use contracts::format_timestamp;
use tokio::time::sleep;

use super::{Plan, Summary, report, sorted};
use crate::Progress;

const PAUSE: Duration = Duration::from_secs(1);

/// Starts a replay, or finds it started, and stays until it ends.
pub(crate) async fn run(
    bus: &EventBridgeReplays,
    archive: &BusArchive,
    plan: &Plan,
    progress: &Progress,
) -> Result<Summary> {
    let name = &plan.name;
    let replay = ArchiveReplay {
        name: name.clone(),
        archive_arn: archive.arn.clone(),
        from: plan.scope.from,
        to: plan.scope.to,
        rule_arns: plan.scope.rule_arns.clone(),
    };
    let started = progress.elapsed();
    if bus.start(&replay).await? {
        progress.say(format_args!("replay {name} is started; it goes on without this program"));
    } else {
        let found = bus.describe(name).await?.context("the replay is there and is not")?;
        ensure!(is_it(&found, &replay), "{name} is the name of another replay: choose another --name");
        ensure!(
            !found.has_ended(),
            "replay {name} is {}. To send it again, give it a --name of its own",
            found.state.to_lowercase()
        );
        progress.say(format_args!("replay {name} was started before; it goes on"));
    }
    let mut said = None;
    loop {
        let found = bus.describe(name).await?.context("EventBridge has forgotten the replay")?;
        if found.has_ended() {
            return Ok(Summary {
                name: name.clone(),
                is_from_lake: false,
                state: found.state.to_lowercase(),
                reason: found.reason,
                sent: None,
                refused: 0,
                refused_ids: Vec::new(),
                elapsed: progress.elapsed().saturating_sub(started),
                sent_in_this_run: None,
            });
        }
        if found.last_replayed != said {
            said = found.last_replayed;
            if let Some(at) = said {
                let elapsed = progress.elapsed().saturating_sub(started);
                let estimate = report::estimate(plan.scope.from, plan.scope.to, at, elapsed);
                progress.say(format_args!("up to {}{estimate}", format_timestamp(at)));
            }
        }
        sleep(PAUSE).await;
    }
}

fn is_it(found: &ReplayReport, replay: &ArchiveReplay) -> bool {
    found.archive_arn == replay.archive_arn
        && found.from == Some(replay.from)
        && found.to == Some(replay.to)
        && sorted(&found.rule_arns) == replay.rule_arns
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    #[test]
    fn a_replay_is_the_same_only_when_all_of_it_is() {
        let at = Timestamp::from_unix_ms;
        let replay = ArchiveReplay {
            name: "r".to_owned(),
            archive_arn: "a".to_owned(),
            from: at(0),
            to: at(1_000),
            rule_arns: vec!["one".to_owned(), "two".to_owned()],
        };
        let found = ReplayReport {
            name: "r".to_owned(),
            archive_arn: "a".to_owned(),
            state: "RUNNING".to_owned(),
            reason: None,
            from: Some(at(0)),
            to: Some(at(1_000)),
            last_replayed: None,
            started_at: None,
            ended_at: None,
            rule_arns: vec!["two".to_owned(), "one".to_owned()],
        };
        assert!(is_it(&found, &replay));
        for other in [
            ReplayReport { archive_arn: "b".to_owned(), ..found.clone() },
            ReplayReport { to: Some(at(2_000)), ..found.clone() },
            ReplayReport { rule_arns: Vec::new(), ..found },
        ] {
            assert!(!is_it(&other, &replay));
        }
    }
}
