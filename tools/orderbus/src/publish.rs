//! Puts events on the bus that a person wrote down, or that are made of a sample.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use contracts::{EventType, format_timestamp, read_publishable};
use domain::Timestamp;
use serde_json::{Map, Value, json};

use crate::repository;
use crate::stack::Stack;

/// What one PutEvents takes: so many events, so many bytes of all of them
/// (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>).
const EVENTS_MAX: usize = 10;
const BYTES_MAX: usize = 1_048_576;
/// What is this event's alone, and is made anew of a sample.
const OWN: [&str; 6] = ["id", "time", "subject", "correlationid", "causationid", "traceparent"];

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    source: String,
    detail_type: String,
    id: String,
    detail: String,
}

impl Entry {
    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.detail_type
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What EventBridge counts.
    fn bytes(&self) -> usize {
        self.source.len() + self.detail_type.len() + self.detail.len()
    }
}

/// The events of a file, `-` for standard input; or one made of the sample of a type. A file holds one event or a list.
///
/// # Errors
/// When there is no such file and no such type, or when it does not hold JSON.
pub fn read(file_or_type: &str) -> Result<Vec<Value>> {
    let text = match file_or_type {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        file if Path::new(file).exists() => {
            fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
        }
        name if name.contains('/') || Path::new(name).extension().is_some_and(|kind| kind == "json") => {
            bail!("there is no file {name}")
        }
        type_name => return Ok(vec![sample(known_type(type_name)?)?]),
    };
    let value: Value = serde_json::from_str(&text).context("the file must hold JSON")?;
    Ok(match value {
        Value::Array(events) => events,
        event => vec![event],
    })
}

/// The golden sample of a type, as the bus delivered it.
///
/// # Errors
/// When there is none.
pub fn golden(event_type: EventType) -> Result<Value> {
    let file = repository::root().join("events/samples/event-archiver/every-type.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let samples: Value = serde_json::from_str(&text).context("unreadable samples")?;
    let bodies = samples["Records"].as_array().into_iter().flatten();
    let mut envelopes =
        bodies.filter_map(|record| serde_json::from_str::<Value>(record["body"].as_str()?).ok());
    let found = envelopes.find(|envelope| envelope["detail-type"] == event_type.as_str());
    found.with_context(|| format!("there is no sample of {}", event_type.as_str()))
}

/// The same, without what is that one's alone.
fn sample(event_type: EventType) -> Result<Value> {
    let mut event = golden(event_type)?["detail"].take();
    if let Some(event) = event.as_object_mut() {
        OWN.iter().for_each(|name| drop(event.remove(*name)));
    }
    Ok(event)
}

/// A type of the catalogue.
///
/// # Errors
/// When it is not in there, with all that are.
pub fn known_type(type_name: &str) -> Result<EventType> {
    EventType::parse(type_name).with_context(|| {
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        format!("{type_name} is not in the catalogue:\n  {}", all.join("\n  "))
    })
}

/// Sets one field: `data.total.amountMinor=1250`, `data.lines.0.sku=MUG`. What is not JSON is a text, and so is every attribute
/// of the CloudEvent itself: `id=7` is the text 7.
///
/// # Errors
/// When it has no `=`, or leads through something that is neither object nor list.
pub fn set(event: &mut Value, assignment: &str) -> Result<()> {
    let (path, value) = assignment
        .split_once('=')
        .filter(|(path, _)| !path.is_empty())
        .with_context(|| format!("{assignment}: write it as data.field=value"))?;
    let text = || Value::String(value.to_owned());
    let value = match serde_json::from_str(value) {
        Ok(Value::Number(_) | Value::Bool(_)) if !path.contains('.') => text(),
        read => read.unwrap_or_else(|_| text()),
    };
    let mut place = event;
    for name in path.split('.') {
        if place.is_null() {
            *place = json!({});
        }
        place = match place {
            Value::Object(object) => object.entry(name).or_insert(Value::Null),
            Value::Array(elements) => {
                let count = elements.len();
                let index = name.parse::<usize>().ok();
                let element = index.and_then(|index| elements.get_mut(index));
                element.with_context(|| format!("{path}: {name} is none of the {count} elements"))?
            }
            _ => bail!("{path}: there is nothing below what stands before {name}"),
        };
    }
    *place = value;
    Ok(())
}

/// Makes a CloudEvent whole: with `type` and `data` it is complete. Then checks it against its contract.
///
/// # Errors
/// When it is not an event of the catalogue.
pub fn checked(event: &Value, number: usize, now: Timestamp) -> Result<Entry> {
    let type_name = type_of(event)?;
    let event_type = known_type(&type_name)?;
    let event = complete(event, number, now)?;
    let event = read_publishable(&event.to_string())?;
    let outbound = event.to_outbound().context("unwritable event")?;
    Ok(Entry {
        source: event_type.source().to_owned(),
        detail_type: type_name,
        id: event.id.to_string(),
        detail: outbound.detail,
    })
}

/// The same without the check: for those who want to see what becomes of an event that breaks its contract.
///
/// # Errors
/// When it has no type.
pub fn unchecked(event: &Value, number: usize, now: Timestamp) -> Result<Entry> {
    let detail_type = type_of(event)?;
    let event = complete(event, number, now)?;
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Ok(Entry { source: text("source"), detail_type, id: text("id"), detail: event.to_string() })
}

fn type_of(event: &Value) -> Result<String> {
    let type_name = event["type"].as_str().map(str::to_owned);
    type_name.with_context(|| {
        format!("an event must be an object with a `type`, such as {}", EventType::OrderPlaced.as_str())
    })
}

/// `number` tells events of one moment apart.
fn complete(event: &Value, number: usize, now: Timestamp) -> Result<Value> {
    let type_name = type_of(event)?;
    let mut event: Map<String, Value> = event.as_object().cloned().unwrap_or_default();
    let subject = event.get("data").and_then(subject_of).unwrap_or_else(|| json!(""));
    let source = type_name.split('.').next().unwrap_or_default();
    let nonce = format!("{}-{}-{number}", now.unix_ms(), std::process::id());
    let id = format!("orderbus-publish:{}:{nonce}", subject.as_str().unwrap_or_default());
    let defaults = [
        ("specversion", json!("1.0")),
        ("id", json!(id)),
        ("source", json!(source)),
        ("correlationid", subject.clone()),
        ("subject", subject),
        ("time", json!(format_timestamp(now))),
        ("datacontenttype", json!("application/json")),
    ];
    for (name, value) in defaults {
        event.entry(name).or_insert(value);
    }
    if let Some(event_type) = EventType::parse(&type_name) {
        event.entry("dataschema").or_insert_with(|| event_type.schema_id().into());
    }
    Ok(Value::Object(event))
}

/// Events are about an order, those of `ops` about a message in quarantine.
fn subject_of(data: &Value) -> Option<Value> {
    ["quarantineId", "orderId"].iter().find_map(|name| data.get(name)).cloned()
}

/// As the bus hands it to a rule.
#[must_use]
pub fn in_envelope(event: &Value) -> Value {
    json!({
        "version": "0", "id": event["id"], "source": event["source"], "detail-type": event["type"],
        "account": "", "region": "", "time": event["time"], "resources": [], "detail": event,
    })
}

/// What a rule gets to see of a file or of the sample of a type: a CloudEvent, made whole, or an event as the bus
/// delivered it, which a file may hold too.
///
/// # Errors
/// When there is no such file, no such type, or more than one event.
pub fn read_delivered(file_or_type: &str, assignments: &[String], now: Timestamp) -> Result<Value> {
    let [mut event] = <[Value; 1]>::try_from(read(file_or_type)?)
        .map_err(|events| anyhow::anyhow!("one event is expected, and there are {}", events.len()))?;
    for assignment in assignments {
        set(&mut event, assignment)?;
    }
    if event["detail-type"].is_string() && event.get("detail").is_some() {
        return Ok(event);
    }
    Ok(in_envelope(&complete(&event, 0, now)?))
}

/// Puts events on the bus, all in one call.
///
/// # Errors
/// When they are too many or too large; when the bus does not answer; or with everything that the bus did not take.
pub async fn put(stack: &Stack, entries: &[Entry]) -> Result<()> {
    keep_limits(entries)?;
    let bus_name = stack.output("BusName")?;
    let request = |entry: &Entry| {
        let request = PutEventsRequestEntry::builder().event_bus_name(bus_name).source(&entry.source);
        request.detail_type(&entry.detail_type).detail(&entry.detail).build()
    };
    let requests = entries.iter().map(request).collect();
    let answer = stack.sdk().eventbridge().put_events().set_entries(Some(requests)).send().await;
    let answer = answer.context("the bus did not answer")?;
    if answer.failed_entry_count() == 0 && answer.entries().len() == entries.len() {
        return Ok(());
    }
    let refused = |(entry, answer): (&Entry, &aws_sdk_eventbridge::types::PutEventsResultEntry)| {
        let code = answer.error_code()?;
        Some(format!(
            "{} {}: {code}, {}",
            entry.detail_type,
            entry.id,
            answer.error_message().unwrap_or_default()
        ))
    };
    let refused: Vec<String> = entries.iter().zip(answer.entries()).filter_map(refused).collect();
    bail!(
        "the bus did not take {} of {} events\n  {}",
        answer.failed_entry_count(),
        entries.len(),
        refused.join("\n  ")
    )
}

fn keep_limits(entries: &[Entry]) -> Result<()> {
    ensure!(!entries.is_empty(), "there is no event");
    let count = entries.len();
    ensure!(count <= EVENTS_MAX, "one call takes {EVENTS_MAX} events, and these are {count}");
    let bytes: usize = entries.iter().map(Entry::bytes).sum();
    ensure!(bytes <= BYTES_MAX, "one call takes {BYTES_MAX} bytes, and these are {bytes}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_860_800_120;

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(NOW)
    }

    fn detail(entry: &Entry) -> Value {
        serde_json::from_str(&entry.detail).unwrap()
    }

    #[test]
    fn type_and_data_are_enough() {
        let parcel =
            json!({"orderId": "o-1", "shipmentId": "ship-o-1", "parcelId": "p-1", "carrier": "Example"});
        let event = json!({"type": "shipping.parcel-picked-up.v1", "data": parcel});
        let entry = checked(&event, 0, now()).unwrap();
        let detail = detail(&entry);
        assert_eq!(
            (&detail["subject"], &detail["time"]),
            (&json!("o-1"), &json!("2026-01-31T12:00:00.120Z"))
        );
        assert_eq!((entry.source.as_str(), entry.event_type()), ("shipping", "shipping.parcel-picked-up.v1"));
    }

    #[test]
    fn every_type_has_a_sample_that_is_valid_and_a_new_event_each_time() {
        for event_type in EventType::ALL {
            let event = &read(event_type.as_str()).unwrap()[0];
            let [one, other] = [0, 1].map(|number| checked(event, number, now()).unwrap());
            assert_ne!(one.id(), other.id(), "{event_type:?}");
            assert_ne!(detail(&one)["time"], json!("2026-01-31T12:00:00.010Z"));
        }
    }

    #[test]
    fn an_id_that_was_given_is_kept() {
        let data = json!({"orderId": "o-1", "shipmentId": "ship-o-1"});
        let event = json!({"type": "shipping.shipment-cancelled.v1", "id": "mine", "data": data});
        assert_eq!(checked(&event, 0, now()).unwrap().id(), "mine");
    }

    #[test]
    fn fields_are_set_by_their_path() {
        let mut event = json!({"data": {"lines": [{"sku": "TEA", "quantity": 1}]}});
        for assignment in
            ["data.lines.0.quantity=5", "data.lines.0.sku=MUG=BLUE", "data.new.inner=true", "id=e-1"]
        {
            set(&mut event, assignment).unwrap();
        }
        let line = json!({"sku": "MUG=BLUE", "quantity": 5});
        assert_eq!(event, json!({"id": "e-1", "data": {"lines": [line], "new": {"inner": true}}}));
        set(&mut event, "id=7").unwrap();
        assert_eq!(event["id"], "7");
        let refused = |assignment: &str| set(&mut event.clone(), assignment).unwrap_err().to_string();
        assert_eq!(refused("data"), "data: write it as data.field=value");
        assert_eq!(refused("data.lines.1.sku=X"), "data.lines.1.sku: 1 is none of the 1 elements");
        assert_eq!(refused("id.x=1"), "id.x: there is nothing below what stands before x");
    }

    #[test]
    fn another_order_than_the_sample_s_is_another_subject() {
        let mut event = read("orders.order-placed.v1").unwrap().remove(0);
        set(&mut event, "data.orderId=o-77").unwrap();
        assert_eq!(detail(&checked(&event, 0, now()).unwrap())["subject"], "o-77");
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_catalogue() {
        let message = read("orders.order-lost.v1").unwrap_err().to_string();
        assert!(message.contains("orders.order-placed.v1"), "{message}");
        let event = json!({"type": "orders.order-lost.v1", "data": {}});
        assert!(checked(&event, 0, now()).is_err());
        assert_eq!(unchecked(&event, 0, now()).unwrap().source, "orders");
    }

    #[test]
    fn data_of_another_shape_is_refused_unless_unchecked() {
        let event = json!({"type": "shipping.parcel-picked-up.v1", "data": {"orderId": "o-1"}});
        assert!(checked(&event, 0, now()).is_err());
        assert_eq!(detail(&unchecked(&event, 0, now()).unwrap())["data"], json!({"orderId": "o-1"}));
    }

    #[test]
    fn what_one_call_cannot_take_does_not_leave() {
        let entry = |bytes: usize| Entry {
            source: String::new(),
            detail_type: String::new(),
            id: String::new(),
            detail: "x".repeat(bytes),
        };
        assert!(keep_limits(&[]).is_err());
        assert!(keep_limits(&vec![entry(1); EVENTS_MAX]).is_ok());
        assert!(keep_limits(&vec![entry(1); EVENTS_MAX + 1]).is_err());
        assert!(keep_limits(&[entry(BYTES_MAX)]).is_ok());
        assert!(keep_limits(&[entry(BYTES_MAX), entry(1)]).is_err());
    }

    #[test]
    fn an_event_as_it_was_delivered_is_taken_as_it_is() {
        let delivered = json!({"source": "s", "detail-type": "t", "detail": {"a": 1}, "replay-name": "r"});
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), delivered.to_string()).unwrap();
        assert_eq!(read_delivered(file.path().to_str().unwrap(), &[], now()).unwrap(), delivered);
        let made = read_delivered("orders.order-placed.v1", &[], now()).unwrap();
        assert_eq!((&made["source"], &made["detail"]["source"]), (&json!("orders"), &json!("orders")));
    }
}
