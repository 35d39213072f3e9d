//! Dead letters and quarantine, for people: the library of `dlq-reprocessor`, with the settings of the deployed function.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::{
    AwsRedriveTargets, DynamoDbRedriveLedger, EventBridgeEventBus, S3QuarantineStore, SnsOnCall,
    SqsDeadLetterQueues,
};
use contracts::{format_timestamp, parse_timestamp};
use dlq_reprocessor::{Config, Decision, Order, Place, ReleaseError, Reprocessor, Summary, Survey, Surveyed};
use domain::{Attempt, Concerning, QuarantineId, RedriveReason, Timestamp};
use ports::{QuarantineObject, QuarantineStore};
use runtime::{ConfigError, Deadline, SystemClock};
use serde_json::{Value, json};
use tokio::time::timeout_at;

use crate::raw::pretty;
use crate::stack::Stack;

/// How much of an id a table shows; as much as tells them apart by far.
const ID_LENGTH: usize = 8;
/// How long a command goes on at most.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The reprocessor of a deployed stack, run from here.
pub type DeployedReprocessor = Reprocessor<
    SqsDeadLetterQueues,
    AwsRedriveTargets,
    DynamoDbRedriveLedger,
    S3QuarantineStore,
    EventBridgeEventBus,
    SnsOnCall,
    SystemClock,
>;

/// The dead letters of a stack.
#[derive(Debug)]
pub struct Dlq {
    reprocessor: DeployedReprocessor,
}

/// What `show` found.
#[derive(Debug)]
pub enum Shown {
    /// It lies in a queue, or waits there.
    DeadLetter(Box<Surveyed>),
    /// It is in quarantine.
    Quarantined(Box<QuarantineObject>),
}

/// What became of one release.
#[derive(Debug)]
pub struct Release {
    /// Which message.
    pub id: QuarantineId,
    /// Where it was sent, or why it was not.
    pub result: Result<String, String>,
}

impl Dlq {
    /// Those of a stack, with what its function is told.
    ///
    /// # Errors
    /// When the function is told something that cannot be understood.
    pub fn of(stack: &Stack, variables: &BTreeMap<String, String>) -> Result<Self> {
        let read = |name: &'static str| variables.get(name).cloned().ok_or(ConfigError::Missing(name).into());
        let config = Config::from_variables(read).context("the environment of dlq-reprocessor")?;
        let sdk = stack.sdk();
        let reprocessor = Reprocessor {
            queues: SqsDeadLetterQueues::new(sdk.sqs(), config.dead_letter_queue_urls()),
            targets: AwsRedriveTargets {
                sqs: sdk.sqs(),
                sfn: sdk.sfn(),
                eventbridge: sdk.eventbridge(),
                queue_urls: config.consumer_queue_urls(),
                checkout_arn: config.settings.queues.checkout_arn.clone(),
                bus_name: config.bus_name.clone(),
            },
            ledger: DynamoDbRedriveLedger::new(sdk.dynamodb(), config.ledger_table),
            quarantine: S3QuarantineStore::new(sdk.s3(), config.quarantine_bucket),
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            on_call: SnsOnCall::new(sdk.sns(), config.alert_topic_arn),
            clock: SystemClock,
            settings: config.settings,
        };
        Ok(Self { reprocessor })
    }

    /// Everything that an order is about: in the queues and in quarantine.
    ///
    /// # Errors
    /// When something cannot be reached.
    pub async fn list(&self, order: &Order) -> Result<Survey> {
        self.reprocessor.survey(&self.named(order)).await.context("cannot look at the dead letters")
    }

    /// One message, wherever it is.
    ///
    /// # Errors
    /// When no message, or more than one, has an id that begins like this.
    pub async fn show(&self, id: &str) -> Result<Shown> {
        let one = self.one(id).await?;
        if one.place != Place::Quarantine {
            return Ok(Shown::DeadLetter(Box::new(one)));
        }
        let object = self.reprocessor.quarantine.find(&one.id).await.context("cannot read quarantine")?;
        match object {
            Some(object) => Ok(Shown::Quarantined(Box::new(object))),
            None => bail!("{} is on its way into quarantine", one.id),
        }
    }

    /// What would become of each: in the queues alone.
    ///
    /// # Errors
    /// When something cannot be reached.
    pub async fn preview(&self, order: &Order) -> Result<Survey> {
        // What is in quarantine counts toward no limit.
        let limit = order.limit.unwrap_or(usize::MAX);
        let mut survey = self.list(&Order { limit: None, ..urgent(order) }).await?;
        survey.messages.retain(|one| one.place != Place::Quarantine);
        survey.messages.truncate(limit);
        Ok(survey)
    }

    /// Sends back at once whatever an order is about, as far as the policy and the targets' capacity allow.
    ///
    /// # Errors
    /// None; what could not be done is in the summary.
    pub async fn redrive(&self, order: &Order) -> Result<Summary> {
        Ok(self.reprocessor.reprocess(&self.named(&urgent(order)), Deadline::after(PATIENCE)).await)
    }

    /// Gives up on one message.
    ///
    /// # Errors
    /// When there is no such dead letter, or more than one.
    pub async fn quarantine(&self, id: &str) -> Result<Summary> {
        let one = self.one(id).await?;
        if one.place == Place::Quarantine {
            bail!(
                "{} is in quarantine already: `dlq show {id}` shows it, `dlq release {id}` brings it back",
                one.id
            );
        }
        let verdict = RedriveReason { code: "by_hand".into(), text: "a person decided so".into() };
        let id = Some(one.id.as_str().to_owned());
        // One copy is enough: the others are then copies of what is in quarantine.
        let order = Order { id, limit: Some(1), verdict: Some(verdict), ..Order::default() };
        Ok(self.reprocessor.reprocess(&order, Deadline::after(PATIENCE)).await)
    }

    /// Brings messages back from quarantine: those named, or all that an order is about.
    ///
    /// # Errors
    /// When one that is named is not there. What could not be released is in the answer.
    pub async fn release(&self, ids: &[String], order: &Order) -> Result<Vec<Release>> {
        let deadline = Deadline::after(PATIENCE);
        let mut chosen = Vec::new();
        for id in ids {
            // A whole id needs no search; also one that is not in the ledger any more.
            match QuarantineId::parse(id) {
                Ok(whole) if id.len() == FULL_ID_LENGTH => chosen.push(whole),
                _ => chosen.push(self.one(id).await?.id),
            }
        }
        if ids.is_empty() {
            // What lies in the queues counts toward no limit.
            let survey = self.list(&Order { limit: None, ..order.clone() }).await?;
            let quarantined = survey.messages.into_iter().filter(|one| one.place == Place::Quarantine);
            chosen.extend(quarantined.map(|one| one.id).take(order.limit.unwrap_or(usize::MAX)));
        }
        let mut releases = Vec::new();
        for id in chosen {
            let released = timeout_at(deadline.work_until(), self.reprocessor.release(&id)).await;
            let result = match released {
                Ok(Ok(released)) => Ok(released.target.name().to_owned()),
                Ok(Err(error)) => Err(problem_of(error)),
                Err(_elapsed) => Err(format!("the time was up before {id}: run it again")),
            };
            releases.push(Release { id, result });
        }
        Ok(releases)
    }

    async fn one(&self, id: &str) -> Result<Surveyed> {
        let order = Order { id: Some(id.to_owned()), ..Order::default() };
        let Survey { messages: mut found, may_have_more } = self.list(&order).await?;
        let mut ids: Vec<_> = found.iter().map(|one| one.id.clone()).collect();
        ids.sort();
        ids.dedup();
        match ids[..] {
            [] if may_have_more => bail!(
                "of those looked at, none has an id that begins with {id}, but a queue holds more than that: \
                 run `dlq redrive` first, which empties it"
            ),
            [] => bail!(
                "no dead letter and nothing in quarantine has an id that begins with {id}: `dlq list` shows what there is"
            ),
            [_] => Ok(found.swap_remove(0)),
            _ => bail!("{} messages have an id that begins with {id}: give more of it", ids.len()),
        }
    }

    /// `undelivered` and `quarantine` stand for the queues of that name.
    fn named(&self, order: &Order) -> Order {
        let queues = &self.reprocessor.settings.queues;
        let queue = order.queue.clone().map(|queue| match queue.as_str() {
            "undelivered" => queues.undelivered.clone(),
            "quarantine" => queues.quarantine.clone(),
            _ => queue,
        });
        Order { queue, ..order.clone() }
    }
}

fn problem_of(error: ReleaseError) -> String {
    let what_to_do = match &error {
        ReleaseError::Unknown(_) => ": `dlq list` shows what is",
        ReleaseError::Before(_) => ": there is nothing to do",
        ReleaseError::AnotherSince(..) => ": release that one",
        ReleaseError::NoTarget(..) => ": deploy whoever it is for, then run it again",
        ReleaseError::TooEarly(_) => "",
        ReleaseError::Encrypted(_) => ": decrypt it and publish it again, as docs/encrypted-events.md says",
        ReleaseError::Failed(..) => ": run it again",
    };
    format!("{:#}{what_to_do}", anyhow::Error::new(error))
}

/// How long a UUID is.
const FULL_ID_LENGTH: usize = 36;

fn urgent(order: &Order) -> Order {
    Order { is_urgent: true, ..order.clone() }
}

/// Reads an instant, or how long ago it was: `2026-01-31T12:00:00Z`, `90s`, `30m`, `2h`, `3d`.
///
/// # Errors
/// When it is neither.
pub fn read_since(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Some(at) = parse_timestamp(text) {
        return Ok(at);
    }
    let factor_ms = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => {
            bail!("{text:?} is neither a time such as 2026-01-31T12:00:00Z nor an age such as 30m, 2h or 3d")
        }
    };
    let number: i64 = text[..text.len() - 1].parse().with_context(|| format!("{text:?} is not an age"))?;
    Ok(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(number.saturating_mul(factor_ms))))
}

/// A queue holds more than one look takes in.
pub const NOT_ALL: &str = "a queue holds more than is looked at at once: this is not all";

/// A table, one message a line, of what an order is about. Says nothing of what is in the messages.
#[must_use]
pub fn table(survey: &Survey, order: &Order, now: Timestamp) -> String {
    let surveyed = &survey.messages;
    let count = |predicate: fn(&&Surveyed) -> bool| surveyed.iter().filter(predicate).count();
    let quarantined = count(|one| one.place == Place::Quarantine);
    let hidden = count(|one| matches!(one.place, Place::Hidden(_)));
    let in_queues = surveyed.len() - quarantined;
    let sum = match surveyed.len() {
        0 if *order == Order::default() => "no dead letters, and nothing in quarantine".to_owned(),
        0 => "none of the dead letters is meant, and nothing in quarantine".to_owned(),
        _ => format!(
            "{in_queues} in queues, {hidden} of them hidden until they are due; {quarantined} in quarantine"
        ),
    };
    lines(survey, &sum, now)
}

/// The same of what a redrive is about, and what it would do.
#[must_use]
pub fn preview(survey: &Survey, now: Timestamp) -> String {
    let count = |predicate: fn(&Decision) -> bool| {
        survey
            .messages
            .iter()
            .filter_map(|one| one.decision.as_ref())
            .filter(|decision| predicate(decision))
            .count()
    };
    let redriven = count(|decision| matches!(decision, Decision::Redrive(..)));
    let given_up = count(|decision| matches!(decision, Decision::Quarantine(_) | Decision::Announce));
    let copies = count(|decision| matches!(decision, Decision::Delete));
    let waiting = count(|decision| matches!(decision, Decision::Wait(_)));
    let sum = if survey.messages.is_empty() {
        "nothing would be done: no dead letter is meant".to_owned()
    } else {
        format!(
            "{redriven} would be sent back, {given_up} given up on, {copies} deleted as copies, {waiting} left to wait"
        )
    };
    lines(survey, &sum, now)
}

fn lines(Survey { messages, may_have_more }: &Survey, sum: &str, now: Timestamp) -> String {
    let mut text = String::new();
    if !messages.is_empty() {
        text.push_str(&rows(messages, now));
        text.push('\n');
    }
    // What is not there may be among what was not looked at.
    if !(messages.is_empty() && *may_have_more) {
        writeln!(text, "{sum}").ok();
    }
    if *may_have_more {
        writeln!(text, "{NOT_ALL}").ok();
    }
    text
}

fn rows(surveyed: &[Surveyed], now: Timestamp) -> String {
    let mut text = row(["ID", "CONSUMER", "EVENT TYPE", "REASON", "TRY", "AGE", "STATE"]);
    for one in surveyed {
        text.push_str(&row([
            &one.id.as_str()[..ID_LENGTH.min(one.id.as_str().len())],
            &one.concerning.consumer,
            one.concerning.event_type.as_deref().unwrap_or("-"),
            &one.reason.code,
            &one.attempt.number.to_string(),
            &span(now.unix_ms() - one.since.unix_ms()),
            &state(one, now),
        ]));
    }
    text
}

fn row(cells: [&str; 7]) -> String {
    let [id, consumer, event_type, reason, attempts, age, state] = cells;
    let line = format!(
        "{:<8}  {:<17}  {:<26}  {:<20}  {:>3}  {:>4}  {}",
        cut(id, 8),
        cut(consumer, 17),
        cut(event_type, 26),
        cut(reason, 20),
        attempts,
        age,
        cut(state, 10)
    );
    line.trim_end().to_owned() + "\n"
}

fn cut(text: &str, width: usize) -> String {
    let text = &*terminal::in_line(text);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// Two digits and a unit, or nearly.
fn span(duration_ms: i64) -> String {
    let seconds = duration_ms.max(0) / 1_000;
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn state(one: &Surveyed, now: Timestamp) -> String {
    match &one.decision {
        None => "quarantine".to_owned(),
        Some(Decision::Redrive(..)) => "due".to_owned(),
        Some(Decision::Wait(due_at)) => format!("in {}", span(due_at.unix_ms() - now.unix_ms())),
        Some(Decision::Quarantine(_) | Decision::Announce) => "gives up".to_owned(),
        Some(Decision::Delete) => "copy".to_owned(),
    }
}

/// For programs: everything but the body.
#[must_use]
pub fn list_json(survey: &Survey) -> Value {
    survey.messages.iter().map(surveyed_json).collect()
}

fn surveyed_json(one: &Surveyed) -> Value {
    let (place, queue) = match &one.place {
        Place::Queue(letter) => ("queue", Some(letter.queue.as_str())),
        Place::Hidden(queue) => ("hidden", Some(queue.as_str())),
        Place::Quarantine => ("quarantine", None),
    };
    let (decision, due_at, because) = match &one.decision {
        None => (None, None, None),
        Some(Decision::Redrive(..)) => (Some("redrive"), None, None),
        Some(Decision::Wait(due_at)) => (Some("wait"), Some(format_timestamp(*due_at)), None),
        Some(Decision::Quarantine(reason)) => (Some("quarantine"), None, Some(reason.code.as_str())),
        Some(Decision::Announce) => (Some("quarantine"), None, None),
        Some(Decision::Delete) => (Some("delete"), None, None),
    };
    let mut value = message_json(&one.id, &one.concerning, &one.reason, one.attempt);
    value["since"] = format_timestamp(one.since).into();
    value["place"] = place.into();
    value["queue"] = queue.into();
    value["decision"] = decision.into();
    value["dueAt"] = due_at.into();
    value["because"] = because.into();
    value
}

/// Which message it is and why it failed, in the same words wherever it is.
fn message_json(
    id: &QuarantineId,
    concerning: &Concerning,
    reason: &RedriveReason,
    attempt: Attempt,
) -> Value {
    json!({
        "id": id.as_str(),
        "consumer": concerning.consumer,
        "eventId": concerning.event_id.as_ref().map(|id| id.as_str()),
        "eventType": concerning.event_type,
        "orderId": concerning.order_id.as_ref().map(|id| id.as_str()),
        "reasonCode": reason.code,
        "reason": reason.text,
        "generation": attempt.generation,
        "attempts": attempt.number,
    })
}

/// Everything about one message, its body included.
#[must_use]
pub fn shown_json(shown: &Shown) -> Value {
    match shown {
        Shown::DeadLetter(one) => {
            let mut value = surveyed_json(one);
            if let Place::Queue(letter) = &one.place {
                value["messageId"] = letter.message_id.as_str().into();
                value["attributes"] = json!(letter.attributes);
                value["body"] = letter.body.as_str().into();
            }
            value
        }
        Shown::Quarantined(object) => {
            let mut value = message_json(&object.id, &object.concerning, &object.reason, object.attempt);
            value["firstFailedAt"] = format_timestamp(object.first_failed_at).into();
            value["lastFailedAt"] = format_timestamp(object.last_failed_at).into();
            value["quarantinedAt"] = format_timestamp(object.quarantined_at).into();
            value["place"] = "quarantine".into();
            value["body"] = object.body.as_str().into();
            value
        }
    }
}

/// The same, to be read.
#[must_use]
pub fn shown(shown: &Shown) -> String {
    let value = shown_json(shown);
    let mut text = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            _ if name == "body" => {}
            Value::String(value) => drop(writeln!(text, "{name:<15} {}", terminal::in_line(value))),
            value => drop(writeln!(text, "{name:<15} {value}")),
        }
    }
    match value["body"].as_str() {
        None => text
            .push_str("\nIt waits, hidden; its body can be seen when it is due, or after `dlq redrive`.\n"),
        Some(body) => {
            let body = pretty(body);
            writeln!(text, "\nThe message as it came. It may name a person.\n\n{body}").ok();
        }
    }
    text
}

/// What a run did, in words.
#[must_use]
pub fn summary(summary: &Summary) -> String {
    let mut text = format!("{} looked after\n", summary.received);
    let mut line = |count: usize, what: &str| {
        if count > 0 {
            writeln!(text, "{count:>6} {what}").ok();
        }
    };
    line(summary.redriven, "sent back");
    line(summary.postponed, "left to wait until they are due");
    line(summary.quarantined, "given up on: see `dlq list`");
    line(summary.deleted, "deleted: copies of what is in quarantine");
    line(summary.skipped, "not sent, because their consumer has enough to do");
    line(summary.failed, "left where they are");
    text
}

/// What is left of what was asked for, and what to do about it. `None` when all of it is done.
#[must_use]
pub fn left_over(summary: &Summary) -> Option<String> {
    let Summary { received, failed, skipped, unreachable, may_have_more, ran_out_of_time, .. } = *summary;
    let is_nothing = received == 0;
    let problem = if unreachable > 0 {
        "something could not be read: see that your credentials have the rights that README.md lists, and run it again"
    } else if ran_out_of_time {
        "the time was up before the work was done: run it again in two minutes"
    } else if may_have_more && is_nothing {
        "none of those looked at was meant, and there may be more: narrow it with --queue, or run it without a choice"
    } else if may_have_more {
        "as many were looked at as one run may, and there may be more: run it again"
    } else if failed > 0 {
        "something could not be reached: run it again in two minutes"
    } else if skipped > 0 {
        "a consumer has enough to do: run it again in a minute"
    } else if is_nothing {
        "nothing was done, because no dead letter that can be had now is meant: `dlq list` shows what there is; what a run \
         of the schedule has in its hands can be had again in two minutes"
    } else {
        return None;
    };
    Some(problem.to_owned())
}

/// What became of releases, in words.
#[must_use]
pub fn releases(releases: &[Release]) -> String {
    let line = |release: &Release| match &release.result {
        Ok(target) => format!("✓ {} is on its way to {target}\n", release.id),
        Err(problem) => format!("✗ {problem}\n"),
    };
    releases.iter().map(line).collect()
}

/// What is left of what was to be released, and what to do about it. `None` when all of it is done.
#[must_use]
pub fn left_in_quarantine(releases: &[Release]) -> Option<String> {
    let failed = releases.iter().filter(|release| release.result.is_err()).count();
    match (releases.len(), failed) {
        (0, _) => Some("nothing in quarantine is meant: `dlq list` shows what is there".to_owned()),
        (_, 0) => None,
        (all, failed) => Some(format!("{failed} of {all} were not released, each for the reason above")),
    }
}

/// The same, for programs.
#[must_use]
pub fn releases_json(releases: &[Release]) -> Value {
    let one = |release: &Release| {
        json!({
            "id": release.id.as_str(),
            "target": release.result.as_ref().ok(),
            "problem": release.result.as_ref().err(),
        })
    };
    releases.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use contracts::quarantine_id;
    use domain::{Attempt, Concerning, EventId, RedriveKey};
    use ports::{DeadLetter, Target};

    use super::*;
    use crate::account::COLUMNS;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_769_860_800_000);

    fn surveyed(event: &str, place: Place, decision: Option<Decision>) -> Surveyed {
        let key = RedriveKey::new("inventory-updater", event);
        Surveyed {
            id: quarantine_id(&key, 0),
            key,
            concerning: Concerning {
                consumer: "inventory-updater".to_owned(),
                event_id: Some(EventId::parse(event).unwrap()),
                event_type: Some("orders.cancellation-requested.v1".to_owned()),
                order_id: None,
            },
            reason: RedriveReason { code: "a_reason_code_that_is_long".to_owned(), text: "why".to_owned() },
            attempt: Attempt { generation: 0, number: 12 },
            since: Timestamp::from_unix_ms(NOW.unix_ms() - 3 * 86_400_000),
            decision,
            place,
        }
    }

    fn in_queue() -> Place {
        Place::Queue(DeadLetter {
            queue: "queue".to_owned(),
            message_id: "m-1".to_owned(),
            receipt_handle: "h".to_owned(),
            sent_at: NOW,
            body: r#"{"name":"Ada Example"}"#.to_owned(),
            attributes: BTreeMap::new(),
        })
    }

    fn all() -> Vec<Surveyed> {
        let target = Target::Consumer("inventory-updater".to_owned());
        let reason = RedriveReason { code: "attempts_exhausted".to_owned(), text: "often".to_owned() };
        let later = Timestamp::from_unix_ms(NOW.unix_ms() + 13 * 3_600_000);
        vec![
            surveyed("e-1", in_queue(), Some(Decision::Redrive(target, Attempt::default()))),
            surveyed("e-2", Place::Hidden("queue".to_owned()), Some(Decision::Wait(later))),
            surveyed("e-3", in_queue(), Some(Decision::Quarantine(reason))),
            surveyed("e-4", in_queue(), Some(Decision::Delete)),
            surveyed("e-5", Place::Quarantine, None),
        ]
    }

    #[test]
    fn a_table_fits_a_terminal_and_names_nobody() {
        let survey = |messages, may_have_more| Survey { messages, may_have_more };
        let everything = Order::default();
        let table = |survey: Survey| table(&survey, &everything, NOW);
        let text = table(survey(all(), false));
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains("Ada"));
        for state in ["due", "in 13h", "gives up", "copy", "quarantine"] {
            assert!(text.contains(state), "{state}: {text}");
        }
        assert!(text.contains("4 in queues, 1 of them hidden until they are due; 1 in quarantine"));
        assert!(!text.contains("this is not all"));
        assert!(table(survey(all(), true)).ends_with("this is not all\n"));
        assert_eq!(table(survey(vec![], true)), format!("{NOT_ALL}\n"));
        assert_eq!(table(survey(vec![], false)), "no dead letters, and nothing in quarantine\n");
    }

    #[test]
    fn what_is_not_meant_is_not_said_to_be_absent() {
        let nothing = Survey { messages: vec![], may_have_more: false };
        let order = Order { queue: Some("order-placed".to_owned()), ..Order::default() };
        assert!(table(&nothing, &order, NOW).starts_with("none of the dead letters is meant"));
        // What is in quarantine is no redrive's business.
        assert_eq!(preview(&nothing, NOW), "nothing would be done: no dead letter is meant\n");
    }

    #[test]
    fn a_preview_says_what_would_be_done() {
        let mut messages = all();
        messages.retain(|one| one.place != Place::Quarantine);
        let text = preview(&Survey { messages, may_have_more: false }, NOW);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        let sum = "1 would be sent back, 1 given up on, 1 deleted as copies, 1 left to wait\n";
        assert!(text.ends_with(sum), "{text}");
    }

    #[test]
    fn programs_get_all_but_the_body() {
        let value = list_json(&Survey { messages: all(), may_have_more: false });
        assert!(!value.to_string().contains("Ada"));
        assert_eq!(value[1]["dueAt"], "2026-02-01T01:00:00.000Z");
        assert_eq!(
            (&value[2]["decision"], &value[2]["because"]),
            (&json!("quarantine"), &json!("attempts_exhausted"))
        );
        assert_eq!((&value[4]["place"], &value[4]["decision"]), (&json!("quarantine"), &Value::Null));
    }

    #[test]
    fn one_message_is_shown_with_its_body_and_a_warning() {
        let text = shown(&Shown::DeadLetter(Box::new(all().remove(0))));
        assert!(text.contains("It may name a person") && text.contains("Ada Example"), "{text}");
        let mut precise = all().remove(0);
        let Place::Queue(letter) = &mut precise.place else { unreachable!("it lies in a queue") };
        letter.body = r#"{"amount":123456789012345678901234567890}"#.to_owned();
        let text = shown(&Shown::DeadLetter(Box::new(precise)));
        assert!(text.contains(": 123456789012345678901234567890\n"), "{text}");
        let text = shown(&Shown::DeadLetter(Box::new(all().remove(1))));
        assert!(text.contains("hidden"), "{text}");
    }

    #[test]
    fn since_is_an_instant_or_an_age() {
        let ago = |ms: i64| Timestamp::from_unix_ms(NOW.unix_ms() - ms);
        assert_eq!(read_since("2026-01-31T12:00:00Z", NOW).unwrap(), NOW);
        assert_eq!(read_since("90s", NOW).unwrap(), ago(90_000));
        assert_eq!(read_since("30m", NOW).unwrap(), ago(1_800_000));
        assert_eq!(read_since("2h", NOW).unwrap(), ago(7_200_000));
        assert_eq!(read_since("3d", NOW).unwrap(), ago(259_200_000));
        for text in ["", "m", "yesterday", "3 weeks", "ü"] {
            assert!(read_since(text, NOW).is_err(), "{text}");
        }
    }

    /// One of everything that may become of a message.
    const ALL: Summary = Summary {
        received: 6,
        redriven: 1,
        postponed: 1,
        quarantined: 1,
        deleted: 1,
        skipped: 1,
        failed: 1,
        passed_over: 0,
        unreachable: 0,
        may_have_more: false,
        ran_out_of_time: false,
    };

    #[test]
    fn a_summary_says_what_became_of_each() {
        assert_eq!(summary(&ALL).lines().count(), 7);
        assert!(summary(&ALL).lines().all(|line| line.chars().count() <= COLUMNS));
        assert_eq!(summary(&Summary::default()), "0 looked after\n");
    }

    #[test]
    fn only_a_run_that_did_all_that_it_was_asked_for_leaves_nothing_to_do() {
        let done = Summary { skipped: 0, failed: 0, ..ALL };
        assert_eq!(left_over(&done), None);
        assert_eq!(left_over(&Summary { passed_over: 9, ..done }), None, "others are none of its business");
        for (summary, what_to_do) in [
            (Summary::default(), "`dlq list` shows what there is"),
            (Summary { passed_over: 9, ..Summary::default() }, "`dlq list` shows what there is"),
            (Summary { skipped: 1, ..done }, "run it again in a minute"),
            (Summary { failed: 1, ..done }, "run it again in two minutes"),
            (
                Summary { ran_out_of_time: true, ..done },
                "the time was up before the work was done: run it again",
            ),
            (Summary { may_have_more: true, ..done }, "there may be more: run it again"),
            (Summary { may_have_more: true, ..Summary::default() }, "narrow it with --queue"),
            (Summary { unreachable: 1, ..Summary::default() }, "rights that README.md lists"),
        ] {
            let text = left_over(&summary).unwrap_or_default();
            assert!(text.contains(what_to_do), "{summary:?}: {text}");
        }
    }

    #[test]
    fn only_releases_that_all_went_well_leave_nothing_to_do() {
        let release = |result| Release { id: QuarantineId::parse("q-1").unwrap(), result };
        let (sent, failed) = (|| release(Ok("checkout".to_owned())), || release(Err("why".to_owned())));
        assert_eq!(left_in_quarantine(&[sent(), sent()]), None);
        assert!(left_in_quarantine(&[sent(), failed()]).unwrap().contains("1 of 2"));
        assert!(left_in_quarantine(&[]).unwrap().contains("`dlq list`"));
    }

    #[test]
    fn what_is_not_released_says_what_to_do() {
        let id = QuarantineId::parse("q-1").unwrap();
        let text = problem_of(ReleaseError::Unknown(id.clone()));
        assert_eq!(text, "q-1 is not in quarantine: `dlq list` shows what is");
        assert!(
            problem_of(ReleaseError::NoTarget(id, "carrier".to_owned())).contains("deploy whoever it is for")
        );
    }
}
