//! Reads an event that a person wrote down.

use anyhow::{Context, Result, bail};
use contracts::{Event, EventType, decode, format_timestamp};
use domain::Timestamp;
use serde_json::{Map, Value, json};

/// Reads a CloudEvent. What can be filled in may be left out: with `type` and `data` it is complete.
///
/// # Errors
/// When it is not an event of the catalogue.
pub fn read_event(text: &str, now: Timestamp) -> Result<Event> {
    let mut event: Map<String, Value> =
        serde_json::from_str(text).context("the file must hold one JSON object")?;
    let Some(Value::String(type_name)) = event.get("type").cloned() else {
        bail!("the event has no `type`, such as {}", EventType::OrderPlaced.as_str());
    };
    let Some(event_type) = EventType::parse(&type_name) else {
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        bail!("{type_name} is not in the catalogue:\n  {}", all.join("\n  "));
    };
    let subject =
        event.get("data").and_then(|data| data.get("orderId")).cloned().unwrap_or_else(|| json!(""));
    let id = format!("orderbus-publish:{}:{}", subject.as_str().unwrap_or_default(), now.unix_ms());
    let defaults = [
        ("specversion", json!("1.0")),
        ("id", json!(id)),
        ("source", json!(event_type.source())),
        ("correlationid", subject.clone()),
        ("subject", subject),
        ("time", json!(format_timestamp(now))),
        ("datacontenttype", json!("application/json")),
        ("dataschema", json!(event_type.schema_id())),
    ];
    for (name, value) in defaults {
        event.entry(name).or_insert(value);
    }
    // Consumers read it through the bus's envelope, so it is checked the same way.
    let envelope = json!({"detail-type": type_name, "source": event_type.source(), "detail": event});
    Ok(decode(&envelope.to_string())?.event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_860_800_120;

    fn read(event: &Value) -> Result<Event> {
        read_event(&event.to_string(), Timestamp::from_unix_ms(NOW))
    }

    #[test]
    fn type_and_data_are_enough() {
        let parcel =
            json!({"orderId": "o-1", "shipmentId": "ship-o-1", "parcelId": "p-1", "carrier": "Example"});
        let event = read(&json!({"type": "shipping.parcel-picked-up.v1", "data": parcel})).unwrap();
        assert_eq!(event.subject.as_str(), "o-1");
        assert_eq!(event.id.as_str(), format!("orderbus-publish:o-1:{NOW}"));
        assert_eq!(event.time.unix_ms(), NOW);
    }

    #[test]
    fn an_id_that_was_given_is_kept() {
        let data = json!({"orderId": "o-1", "shipmentId": "ship-o-1"});
        let event =
            read(&json!({"type": "shipping.shipment-cancelled.v1", "id": "mine", "data": data})).unwrap();
        assert_eq!(event.id.as_str(), "mine");
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_catalogue() {
        let message = read(&json!({"type": "orders.order-lost.v1", "data": {}})).unwrap_err().to_string();
        assert!(message.contains("orders.order-placed.v1"), "{message}");
    }

    #[test]
    fn data_of_another_shape_is_refused() {
        assert!(read(&json!({"type": "shipping.parcel-picked-up.v1", "data": {"orderId": "o-1"}})).is_err());
    }
}
