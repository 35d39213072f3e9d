use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::{
    ArchiveState, PutEventsRequestEntry, ReplayDestination, ReplayState, RuleState,
};
use aws_smithy_runtime_api::client::result::SdkError;
use domain::Timestamp;
use futures_util::future::join_all;
use ports::PortError;

use crate::calls::in_calls;
use crate::error::{failed, failed_all};
use crate::eventbridge_event_bus::taken;

const LIST_ARCHIVES: &str = "events:ListArchives";
const START_REPLAY: &str = "events:StartReplay";
const DESCRIBE_REPLAY: &str = "events:DescribeReplay";
const LIST_REPLAYS: &str = "events:ListReplays";
const CANCEL_REPLAY: &str = "events:CancelReplay";
const LIST_RULES: &str = "events:ListRules";
const LIST_TARGETS: &str = "events:ListTargetsByRule";
const TEST_PATTERN: &str = "events:TestEventPattern";
const PUT_EVENTS: &str = "events:PutEvents";

/// What a bus had, and how it is sent there again.
#[derive(Debug, Clone)]
pub struct EventBridgeReplays {
    client: Client,
    bus_name: String,
    bus_arn: String,
}

/// An archive of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusArchive {
    /// How EventBridge addresses it.
    pub arn: String,
    /// Since when it takes events.
    pub created_at: Option<Timestamp>,
    /// How long it keeps them; without end when there is none.
    pub retention_days: Option<u32>,
    /// About how many it holds; EventBridge counts once a day.
    pub events: u64,
}

/// A replay that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveReplay {
    /// Unique in the account and region.
    pub name: String,
    /// Of which archive.
    pub archive_arn: String,
    /// The first instant; EventBridge knows seconds.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// The only rules that hear it; all of the bus when there are none.
    pub rule_arns: Vec<String>,
}

/// What EventBridge says of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// Its name.
    pub name: String,
    /// Of which archive.
    pub archive_arn: String,
    /// `STARTING`, `RUNNING`, `CANCELLING`, `COMPLETED`, `CANCELLED` or `FAILED`.
    pub state: String,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The last.
    pub to: Option<Timestamp>,
    /// When the event happened that was replayed last.
    pub last_replayed: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The only rules that hear it. A list of replays does not say.
    pub rule_arns: Vec<String>,
}

impl ReplayReport {
    /// Whether nothing more will come of it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        ["COMPLETED", "CANCELLED", "FAILED"].contains(&self.state.as_str())
    }
}

/// A rule of the bus, and who is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusRule {
    /// Its name.
    pub name: String,
    /// How EventBridge addresses it.
    pub arn: String,
    /// What it matches: JSON.
    pub pattern: String,
    /// Where it sends what it matches.
    pub targets: Vec<RuleTarget>,
}

/// Where a rule sends events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTarget {
    /// As the rule calls it.
    pub id: String,
    /// What it is.
    pub arn: String,
    /// Whether it gets the event as it is: no part of it, nothing else in its stead, in no order.
    pub takes_it_as_it_is: bool,
}

/// An event that is put on the bus again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedEvent {
    /// `Source`.
    pub source: String,
    /// `DetailType`.
    pub detail_type: String,
    /// `Detail`: JSON.
    pub detail: String,
    /// `Resources`.
    pub resources: Vec<String>,
    /// `Time`.
    pub time: Timestamp,
}

impl EventBridgeReplays {
    /// Of this bus.
    #[must_use]
    pub fn new(client: Client, bus_name: String, bus_arn: String) -> Self {
        Self { client, bus_name, bus_arn }
    }

    /// The ARN of the bus.
    #[must_use]
    pub fn bus_arn(&self) -> &str {
        &self.bus_arn
    }

    /// The archive of the bus that reaches back farthest.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn archive(&self) -> Result<Option<BusArchive>, PortError> {
        let mut archives = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_archives().event_source_arn(&self.bus_arn);
            let page = request.set_next_token(token).send().await;
            let page = page.map_err(|error| failed(LIST_ARCHIVES, error))?;
            archives.extend(page.archives.unwrap_or_default());
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        let usable = archives.into_iter().filter(|archive| archive.state == Some(ArchiveState::Enabled));
        let read = |archive: aws_sdk_eventbridge::types::Archive| {
            Some(BusArchive {
                // A list has names alone; the ARN follows from the bus's.
                arn: format!("{}:archive/{}", self.bus_arn.rsplit_once(':')?.0, archive.archive_name?),
                created_at: instant(archive.creation_time),
                retention_days: archive
                    .retention_days
                    .and_then(|days| u32::try_from(days).ok())
                    .filter(|days| *days > 0),
                events: u64::try_from(archive.event_count).unwrap_or_default(),
            })
        };
        Ok(usable.filter_map(read).min_by_key(|archive| archive.created_at))
    }

    /// Starts a replay. Says `false` when one of this name is there already.
    ///
    /// # Errors
    /// When EventBridge refuses it.
    pub async fn start(&self, replay: &ArchiveReplay) -> Result<bool, PortError> {
        let rule_arns = Some(replay.rule_arns.clone()).filter(|arns| !arns.is_empty());
        let destination = ReplayDestination::builder().arn(&self.bus_arn).set_filter_arns(rule_arns).build();
        let request = self
            .client
            .start_replay()
            .replay_name(&replay.name)
            .event_source_arn(&replay.archive_arn)
            .event_start_time(date_time(replay.from))
            .event_end_time(date_time(replay.to))
            .destination(destination.map_err(|error| PortError::permanent(START_REPLAY, error))?);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_already_exists_exception() => {
                Ok(false)
            }
            Err(error) => Err(failed(START_REPLAY, error)),
        }
    }

    /// How a replay stands; `None` when there is none of this name.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn describe(&self, name: &str) -> Result<Option<ReplayReport>, PortError> {
        let output = match self.client.describe_replay().replay_name(name).send().await {
            Ok(output) => output,
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
                return Ok(None);
            }
            Err(error) => return Err(failed(DESCRIBE_REPLAY, error)),
        };
        Ok(Some(ReplayReport {
            name: output.replay_name.unwrap_or_else(|| name.to_owned()),
            archive_arn: output.event_source_arn.unwrap_or_default(),
            state: state(output.state),
            reason: output.state_reason,
            from: instant(output.event_start_time),
            to: instant(output.event_end_time),
            last_replayed: instant(output.event_last_replayed_time),
            started_at: instant(output.replay_start_time),
            ended_at: instant(output.replay_end_time),
            rule_arns: output.destination.and_then(|to| to.filter_arns).unwrap_or_default(),
        }))
    }

    /// The replays of an archive that EventBridge knows; it forgets them after 90 days.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn list(&self, archive_arn: &str) -> Result<Vec<ReplayReport>, PortError> {
        let mut replays = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_replays().event_source_arn(archive_arn);
            let page = request.set_next_token(token).send().await;
            let page = page.map_err(|error| failed(LIST_REPLAYS, error))?;
            replays.extend(page.replays.unwrap_or_default().into_iter().map(|replay| ReplayReport {
                name: replay.replay_name.unwrap_or_default(),
                archive_arn: replay.event_source_arn.unwrap_or_default(),
                state: state(replay.state),
                reason: replay.state_reason,
                from: instant(replay.event_start_time),
                to: instant(replay.event_end_time),
                last_replayed: instant(replay.event_last_replayed_time),
                started_at: instant(replay.replay_start_time),
                ended_at: instant(replay.replay_end_time),
                rule_arns: Vec::new(),
            }));
            token = page.next_token;
            if token.is_none() {
                return Ok(replays);
            }
        }
    }

    /// Ends a replay. What it has sent is sent.
    ///
    /// # Errors
    /// When there is none of this name that runs.
    pub async fn cancel(&self, name: &str) -> Result<(), PortError> {
        let request = self.client.cancel_replay().replay_name(name);
        request.send().await.map_err(|error| failed(CANCEL_REPLAY, error))?;
        Ok(())
    }

    /// The rules of the bus that hear events, but for those that EventBridge manages itself, such as the archive's.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn rules(&self) -> Result<Vec<BusRule>, PortError> {
        let mut rules = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_rules().event_bus_name(&self.bus_name);
            let page = request.set_next_token(token).send().await;
            let page = page.map_err(|error| failed(LIST_RULES, error))?;
            for rule in page.rules.unwrap_or_default() {
                let is_heard = rule.state != Some(RuleState::Disabled) && rule.managed_by.is_none();
                if let (Some(name), Some(arn), Some(pattern), true) =
                    (rule.name, rule.arn, rule.event_pattern, is_heard)
                {
                    let targets = self.targets(&name).await?;
                    rules.push(BusRule { name, arn, pattern, targets });
                }
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(rules);
            }
        }
    }

    async fn targets(&self, rule: &str) -> Result<Vec<RuleTarget>, PortError> {
        let mut targets = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_targets_by_rule().rule(rule).event_bus_name(&self.bus_name);
            let page = request.set_next_token(token).send().await;
            let page = page.map_err(|error| failed(LIST_TARGETS, error))?;
            targets.extend(page.targets.unwrap_or_default().into_iter().map(|target| RuleTarget {
                takes_it_as_it_is: target.input.is_none()
                    && target.input_path.is_none()
                    && target.input_transformer.is_none()
                    && target.sqs_parameters.is_none(),
                id: target.id,
                arn: target.arn,
            }));
            token = page.next_token;
            if token.is_none() {
                return Ok(targets);
            }
        }
    }

    /// Whether a pattern matches an event, an envelope as rules see it: EventBridge's own answer.
    ///
    /// # Errors
    /// When EventBridge does not say.
    pub async fn matches(&self, pattern: &str, event: &str) -> Result<bool, PortError> {
        let request = self.client.test_event_pattern().event_pattern(pattern).event(event);
        Ok(request.send().await.map_err(|error| failed(TEST_PATTERN, error))?.result)
    }

    /// Puts events on the bus again, ten a call, all calls at once. Answers for each, in the order given.
    pub async fn put(&self, events: &[ReplayedEvent]) -> Vec<Result<(), PortError>> {
        let bytes_of = |event: &ReplayedEvent| {
            let resources: usize = event.resources.iter().map(String::len).sum();
            event.detail.len() + event.source.len() + event.detail_type.len() + resources + TIME_BYTES
        };
        let calls = in_calls(events, bytes_of).into_iter().map(|call| self.put_call(call));
        join_all(calls).await.into_iter().flatten().collect()
    }

    async fn put_call(&self, events: &[ReplayedEvent]) -> Vec<Result<(), PortError>> {
        let entries = events.iter().map(|event| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus_name)
                .source(&event.source)
                .detail_type(&event.detail_type)
                .detail(&event.detail)
                .set_resources(Some(event.resources.clone()))
                .time(date_time(event.time))
                .build()
        });
        match self.client.put_events().set_entries(Some(entries.collect())).send().await {
            Ok(output) => {
                let mut results = output.entries.unwrap_or_default().into_iter();
                events.iter().map(|_| taken(results.next())).collect()
            }
            Err(error) => failed_all(PUT_EVENTS, error, events.len()),
        }
    }
}

/// What a time counts towards the size of an entry
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>).
const TIME_BYTES: usize = 14;

fn state(state: Option<ReplayState>) -> String {
    state.map_or_else(|| "UNKNOWN".to_owned(), |state| state.as_str().to_owned())
}

fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.unix_ms())
}

fn instant(at: Option<DateTime>) -> Option<Timestamp> {
    at.and_then(|at| at.to_millis().ok()).map(Timestamp::from_unix_ms)
}
