use domain::{Fact, FactClass, FactKind};
use serde_json::{Value, json};

use crate::data::{Data, EventType};
use crate::event::Event;
use crate::origin::{Origin, event_identity};

/// A fact as the read model keeps it: with the few details that a reader of the order wants, none of them personal
/// and none a secret (such as a task token).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFact {
    /// What happened.
    pub fact: Fact,
    /// The event's type.
    pub event_type: EventType,
    /// The details, a JSON object.
    pub details: Value,
}

/// What an event of this origin says about its order. `None` when it is no fact about an order.
#[must_use]
pub fn fact_of(event: &Event, origin: &Origin) -> Option<RecordedFact> {
    let event_type = event.data.event_type();
    let fact = Fact {
        identity: event_identity(origin, event_type.as_str(), event.id.as_str()),
        event_id: event.id.clone(),
        kind: kind_of_type(event_type)?,
        class: class_of(origin, event_type),
        at: event.time,
        caused_by: event.causation_id.clone(),
    };
    Some(RecordedFact { fact, event_type, details: details(&event.data) })
}

/// What a fact of this origin and type counts for.
///
/// A type that carriers and providers publish is from outside even where the account of the bus passes it on: how often it
/// comes is theirs to choose.
#[must_use]
pub fn class_of(origin: &Origin, event_type: EventType) -> FactClass {
    if *origin == Origin::Own && !event_type.may_come_from_outside() {
        FactClass::Own
    } else if event_type == EventType::SignatureCollected {
        FactClass::Signature
    } else {
        FactClass::Outside
    }
}

/// The kind of fact that an event of this type is. `None` for what is no fact about an order.
#[must_use]
pub fn kind_of_type(event_type: EventType) -> Option<FactKind> {
    Some(match event_type {
        EventType::OrderPlaced => FactKind::Placed,
        EventType::OrderAccepted => FactKind::Accepted,
        EventType::OrderRejected => FactKind::Rejected,
        EventType::CancellationRequested => FactKind::CancellationRequested,
        EventType::OrderConfirmed => FactKind::Confirmed,
        EventType::OrderCancelled => FactKind::Cancelled,
        EventType::StockReserved => FactKind::StockReserved,
        EventType::StockRejected => FactKind::StockRejected,
        EventType::StockReleased => FactKind::StockReleased,
        EventType::PaymentRequested => FactKind::PaymentRequested,
        EventType::PaymentCaptured => FactKind::PaymentCaptured,
        EventType::PaymentFailed => FactKind::PaymentFailed,
        EventType::RefundRequested => FactKind::RefundRequested,
        EventType::ShipmentScheduled => FactKind::ShipmentScheduled,
        EventType::ShipmentCancelled => FactKind::ShipmentCancelled,
        EventType::ShipmentDeparted => FactKind::ShipmentDeparted,
        EventType::ParcelPickedUp => FactKind::ParcelPickedUp,
        EventType::DeliveryStatusChanged => FactKind::DeliveryStatusChanged,
        EventType::SignatureCollected => FactKind::SignatureCollected,
        EventType::EventQuarantined => return None,
    })
}

/// Only what no earlier fact of the same order already told: DynamoDB charges for every kilobyte of a fact.
fn details(data: &Data) -> Value {
    match data {
        Data::OrderPlaced(data) => {
            json!({"customerId": data.customer_id, "lines": data.lines, "total": data.total})
        }
        Data::OrderAccepted(_)
        | Data::StockReserved(_)
        | Data::StockReleased(_)
        | Data::EventQuarantined(_) => json!({}),
        Data::OrderRejected(data) => json!({"reasons": data.reasons}),
        Data::CancellationRequested(data) => json!({"reasons": [data.reason]}),
        Data::OrderCancelled(data) => json!({"reasons": [data.reason]}),
        Data::OrderConfirmed(data) => json!({"paymentId": data.payment_id}),
        Data::StockRejected(data) => json!({"shortages": data.shortages}),
        Data::PaymentRequested(data) => {
            json!({"paymentId": data.payment_id, "amount": data.amount, "expiresAt": data.expires_at})
        }
        Data::PaymentCaptured(data) => {
            json!({"amount": data.amount, "providerReference": data.provider_reference})
        }
        Data::PaymentFailed(data) => json!({"reason": data.reason}),
        Data::RefundRequested(data) => json!({"amount": data.amount, "reasons": [data.reason]}),
        Data::ShipmentScheduled(data) => json!({"shipmentId": data.shipment_id}),
        Data::ShipmentCancelled(data) => json!({"shipmentId": data.shipment_id}),
        Data::ShipmentDeparted(data) => json!({"shipmentId": data.shipment_id}),
        Data::ParcelPickedUp(data) => json!({"parcelId": data.parcel_id, "carrier": data.carrier}),
        Data::DeliveryStatusChanged(data) => {
            json!({"parcelId": data.parcel_id, "status": data.status, "location": data.location})
        }
        Data::SignatureCollected(data) => json!({"parcelId": data.parcel_id}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_functions_committed_counts_as_our_own() {
        for &event_type in EventType::ALL {
            let own = class_of(&Origin::Own, event_type);
            assert_eq!(own == FactClass::Own, !event_type.may_come_from_outside(), "{event_type:?}");
            for origin in [Origin::Producer("carrier".into()), Origin::Account("111122223333".into())] {
                let class = class_of(&origin, event_type);
                assert_ne!(class, FactClass::Own, "{event_type:?}");
                assert_eq!(class == FactClass::Signature, event_type == EventType::SignatureCollected);
            }
        }
    }
}
