use std::collections::BTreeMap;

use contracts::{
    Cause, Event, EventQuarantined, MESSAGE_LENGTH_MAX, NAME_LENGTH_MAX, Refusal, format_timestamp,
    quarantine_id, to_line,
};
use domain::{EventId, InvalidId, QuarantineId, RedriveRecord, Timestamp};
use ports::{Alert, QuarantineObject};

use crate::handler::NAME;

/// The name that a message has, or would have, in quarantine.
pub(crate) fn id_of(record: &RedriveRecord) -> QuarantineId {
    quarantine_id(&record.key, record.attempt.generation)
}

/// What is kept of a message that was given up on. All but the body is a function of what was committed.
pub(crate) fn object(record: &RedriveRecord, body: &str) -> QuarantineObject {
    QuarantineObject {
        id: id_of(record),
        key: record.key.clone(),
        attempt: record.attempt,
        concerning: record.concerning.clone(),
        reason: record.reason.clone(),
        first_failed_at: record.first_failed_at,
        last_failed_at: record.last_failed_at,
        quarantined_at: quarantined_at(record),
        body: body.to_owned(),
    }
}

/// What the bus hears: a function of what was committed and of nothing else.
pub(crate) fn event(record: &RedriveRecord) -> Result<Event, InvalidId> {
    let (id, concerning) = (id_of(record), &record.concerning);
    let order_id = concerning.order_id.as_ref().map(|order_id| order_id.as_str().to_owned());
    let cause = Cause {
        event_id: EventId::parse(id.as_str())?,
        correlation_id: order_id.clone().unwrap_or_else(|| id.as_str().to_owned()),
        traceparent: None,
    };
    let data = EventQuarantined {
        quarantine_id: id.as_str().to_owned(),
        // These can hold what a sender or EventBridge wrote.
        consumer: to_line(&concerning.consumer, NAME_LENGTH_MAX),
        reason_code: to_line(&record.reason.code, NAME_LENGTH_MAX),
        reason: to_line(&record.reason.text, MESSAGE_LENGTH_MAX),
        attempts: record.attempt.number,
        first_failed_at: format_timestamp(record.first_failed_at),
        last_failed_at: format_timestamp(record.last_failed_at),
        message_event_id: concerning.event_id.as_ref().map(|event_id| event_id.as_str().to_owned()),
        message_event_type: concerning.event_type.clone(),
        order_id,
    };
    let event = Event::caused_by(&cause, NAME, 0, &id.into(), quarantined_at(record), data);
    // What caused it is the event in the message, where it has one; the id derives from the quarantine all the same.
    Ok(Event { causation_id: concerning.event_id.clone(), ..event })
}

/// What whoever is on call is told: one alert for each consumer and reason, however many messages there are.
pub(crate) fn alerts<'a>(
    records: impl IntoIterator<Item = &'a RedriveRecord>,
    command: &str,
) -> Vec<(Alert, Vec<&'a RedriveRecord>)> {
    let mut groups: BTreeMap<(&str, &str), Vec<&RedriveRecord>> = BTreeMap::new();
    for record in records {
        let group = (record.concerning.consumer.as_str(), record.reason.code.as_str());
        groups.entry(group).or_default().push(record);
    }
    let alert = |((consumer, code), records): ((&str, &str), Vec<&'a RedriveRecord>)| {
        let subject = format!("Orderbus: {consumer} gave up on {} ({code})", messages(records.len()));
        let line = records.first().map(|first| line(first, records.len() - 1, command)).unwrap_or_default();
        (Alert { subject, line }, records)
    };
    groups.into_iter().map(alert).collect()
}

fn messages(count: usize) -> String {
    if count == 1 { "a message".to_owned() } else { format!("{count} messages") }
}

fn line(record: &RedriveRecord, others: usize, command: &str) -> String {
    let (id, concerning) = (id_of(record), &record.concerning);
    let event_type = concerning.event_type.as_deref().unwrap_or("a message that is no event");
    let order = concerning.order_id.as_ref().map(|id| format!(" of order {id}")).unwrap_or_default();
    let since = format_timestamp(record.first_failed_at);
    let attempts = match record.attempt.number {
        1 => "at the first attempt".to_owned(),
        number => format!("after {number} attempts since {since}"),
    };
    let others = if others == 0 { String::new() } else { format!(", and on {} alike", messages(others)) };
    let which = if others.is_empty() {
        id.to_string()
    } else {
        format!("--queue {} --reason {}", concerning.consumer, record.reason.code)
    };
    let release = if record.reason.code == Refusal::EncryptedEvent.code() {
        "It cannot be released as it is.".to_owned()
    } else {
        format!("When the cause is mended: {command} dlq release {which}")
    };
    format!(
        "{} gave up on {event_type}{order} {attempts}{others}. {}: {}. Look: {command} dlq show {id}. {release}",
        concerning.consumer,
        record.reason.code,
        record.reason.text.replace(['\n', '\r'], " ").trim_end_matches('.'),
    )
}

fn quarantined_at(record: &RedriveRecord) -> Timestamp {
    record.quarantined_at.unwrap_or(record.last_failed_at)
}
