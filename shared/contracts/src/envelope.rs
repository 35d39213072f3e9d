use std::borrow::Cow;

use domain::EventId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::{Data, EventType};
use crate::event::Event;
use crate::timestamp::parse_timestamp;

/// An event as the bus delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusEvent {
    /// The event itself.
    pub event: Event,
    /// Set while an archive is replayed.
    pub replay_name: Option<String>,
}

/// Why a message is not an event of the catalogue. Never retriable; no variant repeats a value of the message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON at all.
    #[error("the message is not JSON: line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON, but not an EventBridge envelope around a CloudEvent.
    #[error("the message is not a CloudEvent in an EventBridge envelope: {0}")]
    NotAnEvent(String),
    /// The catalogue has no such type.
    #[error("the event type is not in the catalogue")]
    UnknownType,
    /// The catalogue has the type, but not in this version.
    #[error("the event type is in the catalogue, but not in this version")]
    UnknownVersion,
    /// `data` does not have the type's shape.
    #[error("data does not match the schema of {event_type}: {detail}", event_type = event_type.as_str())]
    SchemaMismatch {
        /// Which schema.
        event_type: EventType,
        /// What is wrong, and where in `data`.
        detail: String,
    },
    /// The shape is right, an attribute's value is impossible.
    #[error("{attribute} is invalid: {detail}")]
    Invalid {
        /// Which attribute.
        attribute: &'static str,
        /// What it should be.
        detail: String,
    },
}

impl DecodeError {
    /// A stable code, for queries and rules.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not_json",
            Self::NotAnEvent(_) => "not_an_event",
            Self::UnknownType => "unknown_type",
            Self::UnknownVersion => "unknown_version",
            Self::SchemaMismatch { .. } => "schema_mismatch",
            Self::Invalid { .. } => "invalid_attribute",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope<'a> {
    #[serde(borrow)]
    detail_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    replay_name: Option<String>,
    #[serde(borrow)]
    detail: &'a RawValue,
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    correlationid: Option<String>,
    #[serde(borrow)]
    causationid: Option<Cow<'a, str>>,
    traceparent: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Reads what a rule delivered: the EventBridge envelope, the CloudEvent in it, the data in that.
///
/// # Errors
/// [`DecodeError`]; the message can never succeed and belongs in quarantine.
pub fn decode(body: &str) -> Result<BusEvent, DecodeError> {
    let envelope: Envelope<'_> = serde_json::from_str(body).map_err(|error| shape_error(&error))?;
    let event = read_cloud_event(envelope.detail.get(), Some((&envelope.detail_type, &envelope.source)))?;
    Ok(BusEvent { event, replay_name: envelope.replay_name })
}

/// Reads a CloudEvent. `bus` is what the bus calls it: its `detail-type` and its `source`.
pub(crate) fn read_cloud_event(detail: &str, bus: Option<(&str, &str)>) -> Result<Event, DecodeError> {
    let cloud_event: CloudEvent<'_> = serde_json::from_str(detail).map_err(|error| shape_error(&error))?;
    if cloud_event.specversion != "1.0" {
        return Err(invalid("specversion", "must be 1.0"));
    }
    let event_type =
        EventType::parse(&cloud_event.event_type).ok_or_else(|| unknown_type(&cloud_event.event_type))?;
    let (bus_type, bus_source) = bus.unwrap_or((event_type.as_str(), event_type.source()));
    if bus_type != cloud_event.event_type {
        return Err(invalid("type", "must equal the bus's detail-type"));
    }
    if cloud_event.source != event_type.source() || bus_source != event_type.source() {
        return Err(invalid("source", "must be the context that the type begins with"));
    }
    let data = Data::read(event_type, cloud_event.data)
        .map_err(|error| DecodeError::SchemaMismatch { event_type, detail: describe(&error) })?;
    let subject = data.subject().map_err(|error| invalid("subject", error))?;
    if subject.as_str() != cloud_event.subject {
        return Err(invalid("subject", "must equal the identifier in data"));
    }
    let id = EventId::parse(&cloud_event.id).map_err(|error| invalid("id", error))?;
    let causation_id = cloud_event.causationid.as_deref().map(EventId::parse).transpose();
    Ok(Event {
        subject,
        time: parse_timestamp(&cloud_event.time).ok_or_else(|| invalid("time", "must be RFC 3339"))?,
        correlation_id: cloud_event.correlationid.unwrap_or_else(|| id.as_str().to_owned()),
        causation_id: causation_id.map_err(|error| invalid("causationid", error))?,
        traceparent: cloud_event.traceparent,
        id,
        data,
    })
}

fn invalid(attribute: &'static str, detail: impl ToString) -> DecodeError {
    DecodeError::Invalid { attribute, detail: detail.to_string() }
}

pub(crate) fn shape_error(error: &serde_json::Error) -> DecodeError {
    if error.is_data() {
        DecodeError::NotAnEvent(describe(error))
    } else {
        DecodeError::NotJson { line: error.line(), column: error.column() }
    }
}

fn unknown_type(text: &str) -> DecodeError {
    let name = |text: &str| text.rsplit_once(".v").map(|(name, _)| name.to_owned());
    match name(text) {
        Some(known)
            if EventType::ALL.iter().any(|known_type| name(known_type.as_str()).as_ref() == Some(&known)) =>
        {
            DecodeError::UnknownVersion
        }
        _ => DecodeError::UnknownType,
    }
}

/// What `serde_json` says, without the value that it found: that may be personal.
#[must_use]
pub fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These name fields of ours, or of whoever wrote them, and no value.
    if ["missing field", "unknown field", "duplicate field"].iter().any(|start| text.starts_with(start)) {
        return text;
    }
    let problem = text.split_once(": ").map_or("invalid value", |(problem, _)| problem);
    let expected = text.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    let location = format!("line {} column {}", error.line(), error.column());
    match expected.split_once(" at line") {
        Some((expected, _)) => format!("{problem}, expected {expected} at {location}"),
        None => format!("{problem} at {location}"),
    }
}
