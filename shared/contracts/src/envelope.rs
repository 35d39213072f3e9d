use std::borrow::Cow;

use domain::{EventId, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::data::{Data, EventType};
use crate::event::Event;
use crate::origin::{Origin, event_identity};
use crate::publishable::breaches;
use crate::refusal::Refusal;
use crate::texts::{self, Text};
use crate::timestamp::{parse_event_time, time_is_too_late};

/// An event as the bus delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusEvent {
    /// The event itself.
    pub event: Event,
    /// Who put it on the bus.
    pub origin: Origin,
    /// Set while an archive is replayed.
    pub replay_name: Option<String>,
}

impl BusEvent {
    /// What the event is known by, see [`event_identity`].
    #[must_use]
    pub fn identity(&self) -> EventId {
        event_identity(&self.origin, self.event.data.event_type().as_str(), self.event.id.as_str())
    }

    /// Checks the event's time against the instant at which the message arrived at its reader.
    ///
    /// Another sender's clock decides where its facts stand in an order's history, so it MUST NOT be more than
    /// [`TIME_AHEAD_MS_MAX`](crate::TIME_AHEAD_MS_MAX) ahead. There is no lower bound: replays deliver old events. Events of
    /// our own are not checked.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`], about `time`.
    pub fn check_time(&self, arrived_at: Timestamp) -> Result<(), DecodeError> {
        match time_is_too_late(self.event.time, arrived_at) {
            Some(problem) if self.origin != Origin::Own => Err(invalid("time", problem)),
            _ => Ok(()),
        }
    }
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
    /// Only Orderbus publishes the type, and another sender did.
    #[error("only Orderbus publishes {event_type}, and the event comes from another sender", event_type = event_type.as_str())]
    NotPermitted {
        /// Which type.
        event_type: EventType,
    },
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
        self.refusal().code()
    }

    /// Why the message is refused.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NotJson { .. } => Refusal::NotJson,
            Self::NotAnEvent(_) => Refusal::NotAnEvent,
            Self::UnknownType => Refusal::UnknownType,
            Self::UnknownVersion => Refusal::UnknownVersion,
            Self::NotPermitted { .. } => Refusal::NotPermitted,
            Self::SchemaMismatch { .. } => Refusal::SchemaMismatch,
            Self::Invalid { .. } => Refusal::InvalidAttribute,
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
    #[serde(borrow)]
    account: Option<Cow<'a, str>>,
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
    producer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    datacontenttype: Option<&'a RawValue>,
    #[serde(borrow)]
    dataschema: Option<&'a RawValue>,
    #[serde(borrow)]
    data: &'a RawValue,
    data_base64: Option<IgnoredAny>,
}

/// A CloudEvent, and what of its text its [`Event`] does not hold.
pub(crate) struct Read<'a> {
    pub(crate) event: Event,
    /// Who it says handed it in.
    producer: Option<Cow<'a, str>>,
    pub(crate) datacontenttype: Option<&'a RawValue>,
    pub(crate) dataschema: Option<&'a RawValue>,
    /// `data` as it was written.
    pub(crate) data: &'a RawValue,
}

/// Reads what a rule delivered: the EventBridge envelope, the CloudEvent in it, the data in that.
///
/// `own_account` is the account of the bus, such as that of the queue which delivered the message. Without it, where nothing
/// depends on who sent the event, every account counts as the bus's own.
///
/// What another sender says MUST keep its type's published schema, so that no text or list of it is longer than the schema
/// allows: partner accounts put events on the bus without event-gateway's check. Events of our own are read more
/// tolerantly: an order that breaks rules is an event all the same, and is rejected with reasons.
///
/// # Errors
/// [`DecodeError`]; the message can never succeed and belongs in quarantine.
pub fn decode(body: &str, own_account: Option<&str>) -> Result<BusEvent, DecodeError> {
    let envelope: Envelope<'_> = serde_json::from_str(body).map_err(|error| shape_error(&error))?;
    let bus = Some((&*envelope.detail_type, &*envelope.source));
    let read = read(envelope.detail.get(), bus)?;
    let origin = Origin::of(envelope.account.as_deref(), own_account, read.producer.as_deref());
    if origin == Origin::Own {
        return Ok(BusEvent { event: read.event, origin, replay_name: envelope.replay_name });
    }
    check_foreign(&read)?;
    let mut event = read.event;
    // Which flow the events belong to that follow from it is not its sender's to say.
    if let Ok(order_id) = event.order_id() {
        event.correlation_id = order_id.as_str().to_owned();
    }
    Ok(BusEvent { event, origin, replay_name: envelope.replay_name })
}

/// Whether another sender may say this, and says it as the schema of its type does.
fn check_foreign(read: &Read<'_>) -> Result<(), DecodeError> {
    let event_type = read.event.data.event_type();
    if !event_type.may_come_from_outside() {
        return Err(DecodeError::NotPermitted { event_type });
    }
    // The first reason alone: a list of all could be as long as the event.
    match breaches(read).into_iter().next() {
        None => Ok(()),
        Some(breach) => Err(match breach.field.as_deref() {
            Some("datacontenttype") => invalid("datacontenttype", breach.message),
            Some("dataschema") => invalid("dataschema", breach.message),
            field => {
                let detail = format!("{} {}", field.unwrap_or("data"), breach.message);
                DecodeError::SchemaMismatch { event_type, detail }
            }
        }),
    }
}

/// Reads a CloudEvent that is on no bus.
pub(crate) fn read_cloud_event(detail: &str) -> Result<Read<'_>, DecodeError> {
    read(detail, None)
}

/// Reads a CloudEvent. `bus` is what the bus calls it: its `detail-type` and its `source`.
fn read<'a>(detail: &'a str, bus: Option<(&str, &str)>) -> Result<Read<'a>, DecodeError> {
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
    if cloud_event.data_base64.is_some() {
        return Err(invalid("data_base64", "must not stand beside data"));
    }
    let data = Data::read(event_type, cloud_event.data)
        .map_err(|error| DecodeError::SchemaMismatch { event_type, detail: describe(&error) })?;
    let subject = data.subject().map_err(|error| invalid("subject", error))?;
    if subject.as_str() != cloud_event.subject {
        return Err(invalid("subject", "must equal the identifier in data"));
    }
    let id = EventId::parse(&cloud_event.id).map_err(|error| invalid("id", error))?;
    let causation_id = cloud_event.causationid.as_deref().map(EventId::parse).transpose();
    let event = Event {
        subject,
        time: parse_event_time(&cloud_event.time)
            .ok_or_else(|| invalid("time", format_args!("must be {}", texts::Time::rule())))?,
        // These travel on into every event that this one causes.
        correlation_id: attribute::<texts::CorrelationId>("correlationid", cloud_event.correlationid)?
            .unwrap_or_else(|| id.as_str().to_owned()),
        causation_id: causation_id.map_err(|error| invalid("causationid", error))?,
        // No reason to refuse an event: a receiver ignores what it cannot parse, and passes nothing of it on
        // (https://www.w3.org/TR/trace-context/#traceparent-header).
        traceparent: cloud_event.traceparent.filter(|text| texts::is_traceparent(text)),
        id,
        data,
    };
    Ok(Read {
        event,
        producer: cloud_event.producer,
        datacontenttype: cloud_event.datacontenttype,
        dataschema: cloud_event.dataschema,
        data: cloud_event.data,
    })
}

/// An attribute that may be left out.
fn attribute<T: Text>(name: &'static str, text: Option<String>) -> Result<Option<String>, DecodeError> {
    match text {
        Some(text) if !T::allows(&text) => Err(invalid(name, format_args!("must be {}", T::rule()))),
        text => Ok(text),
    }
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
