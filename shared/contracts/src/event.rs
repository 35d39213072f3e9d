use domain::{EventId, OrderId, QuarantineId, RedriveKey, Subject, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::data::{Data, EventType};
use crate::timestamp::format_timestamp;

/// The namespace of every id that Orderbus derives (UUID version 5, RFC 9562).
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_5c8e_0b7a_5e0c_9a53_7d2f_4c1e_8b60);

/// One event: what happened, to what, and because of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same however often the event is published or delivered.
    pub id: EventId,
    /// What it is about.
    pub subject: Subject,
    /// When it happened.
    pub time: Timestamp,
    /// Shared by all events of one flow.
    pub correlation_id: String,
    /// The event that caused it.
    pub causation_id: Option<EventId>,
    /// W3C trace context, passed on as it came. `None` also where what came is not valid.
    pub traceparent: Option<String>,
    /// What happened.
    pub data: Data,
}

/// An event came to someone who deals with orders alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event is not about an order")]
pub struct NotAboutAnOrder;

/// What an event passes on to the events that it causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The causing event.
    pub event_id: EventId,
    /// Its flow.
    pub correlation_id: String,
    /// Its trace.
    pub traceparent: Option<String>,
}

/// An event ready to be put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Its type; the bus's `detail-type` and, by its first part, `source`.
    pub event_type: EventType,
    /// Its id.
    pub event_id: EventId,
    /// The CloudEvents JSON.
    pub detail: String,
}

/// The id of the `index`th event that `consumer` publishes because of `cause`: UUID version 5, so that handling the
/// cause again publishes the same events.
#[must_use]
pub fn derived_event_id(cause: &EventId, consumer: &str, index: u32) -> EventId {
    let name = format!("{cause}\n{consumer}\n{index}");
    id_of_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

/// The name under which a message is kept that was given up on: UUID version 5, so that giving up on it again finds it
/// there. Each release from quarantine begins a generation.
#[must_use]
pub fn quarantine_id(key: &RedriveKey, generation: u32) -> QuarantineId {
    let name = format!("quarantine\n{key}\n{generation}");
    let id = id_of_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
    QuarantineId::parse(id.as_str())
        .unwrap_or_else(|_| unreachable!("a UUID is hexadecimal digits and hyphens"))
}

pub(crate) fn id_of_uuid(uuid: Uuid) -> EventId {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = uuid.hyphenated().encode_lower(&mut buffer);
    EventId::parse(text).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
}

impl Event {
    /// The `index`th event that `consumer` publishes because of `cause`, decided at `at`.
    ///
    /// `at` must be the instant that was committed with the decision, not the instant of publishing: a repeated
    /// publication is the same to the letter.
    #[must_use]
    pub fn caused_by(
        cause: &Cause,
        consumer: &str,
        index: u32,
        subject: &Subject,
        at: Timestamp,
        data: impl Into<Data>,
    ) -> Self {
        Self {
            id: derived_event_id(&cause.event_id, consumer, index),
            subject: subject.clone(),
            time: at,
            correlation_id: cause.correlation_id.clone(),
            causation_id: Some(cause.event_id.clone()),
            traceparent: cause.traceparent.clone(),
            data: data.into(),
        }
    }

    /// The order it is about.
    ///
    /// # Errors
    /// [`NotAboutAnOrder`] when it is about something else.
    pub fn order_id(&self) -> Result<&OrderId, NotAboutAnOrder> {
        match &self.subject {
            Subject::Order(order_id) => Ok(order_id),
            Subject::Quarantined(_) => Err(NotAboutAnOrder),
        }
    }

    /// What this event passes on to the events that it causes.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            event_id: self.id.clone(),
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }

    /// The event as it goes on the bus.
    ///
    /// # Errors
    /// Never for the types of this crate; `serde_json`'s signature is passed on rather than hidden.
    pub fn to_outbound(&self) -> Result<Outbound, serde_json::Error> {
        self.outbound(None)
    }

    /// The event as event-gateway puts it on the bus for the caller of this name.
    ///
    /// # Errors
    /// As [`Event::to_outbound`].
    pub fn to_outbound_of(&self, producer: &str) -> Result<Outbound, serde_json::Error> {
        self.outbound(Some(producer))
    }

    fn outbound(&self, producer: Option<&str>) -> Result<Outbound, serde_json::Error> {
        let event_type = self.data.event_type();
        let detail = serde_json::to_string(&CloudEvent {
            specversion: "1.0",
            id: self.id.as_str(),
            source: event_type.source(),
            event_type: event_type.as_str(),
            subject: self.subject.as_str(),
            time: &format_timestamp(self.time),
            datacontenttype: "application/json",
            dataschema: &event_type.schema_id(),
            correlationid: &self.correlation_id,
            causationid: self.causation_id.as_ref().map(EventId::as_str),
            traceparent: self.traceparent.as_deref(),
            producer,
            data: &self.data,
        })?;
        Ok(Outbound { event_type, event_id: self.id.clone(), detail })
    }
}

/// CloudEvents 1.0 in structured JSON, as written.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'a str,
    dataschema: &'a str,
    correlationid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    /// [`crate::Origin::PRODUCER_EXTENSION`].
    #[serde(skip_serializing_if = "Option::is_none")]
    producer: Option<&'a str>,
    data: &'a Data,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_id_depends_on_what_failed_where_and_on_the_generation() {
        let key = RedriveKey::new("order-placed", "e-1");
        let id = quarantine_id(&key, 0);
        assert_eq!(id, quarantine_id(&key, 0));
        assert_ne!(id, quarantine_id(&key, 1));
        assert_ne!(id, quarantine_id(&RedriveKey::new("inventory-updater", "e-1"), 0));
        assert_ne!(id, quarantine_id(&RedriveKey::new("order-placed", "e-2"), 0));
    }

    #[test]
    fn a_derived_id_depends_on_cause_consumer_and_index_alone() {
        let cause = EventId::parse("e-1").unwrap();
        let id = derived_event_id(&cause, "order-placed", 0);
        assert_eq!(id, derived_event_id(&cause, "order-placed", 0));
        assert_ne!(id, derived_event_id(&cause, "order-placed", 1));
        assert_ne!(id, derived_event_id(&cause, "inventory-updater", 0));
        assert_ne!(id, derived_event_id(&EventId::parse("e-2").unwrap(), "order-placed", 0));
    }
}
