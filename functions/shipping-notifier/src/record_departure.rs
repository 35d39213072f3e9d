use contracts::{BusEvent, ParcelPickedUp};
use domain::{EventId, Shipment, ShipmentDecision, ShipmentEnd, ShipmentId, Timestamp};
use ports::{Clock, Commit, Decided, PortError, ShipmentStore};

/// What a carrier's pick-up came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Departed {
    /// The shipment left with this parcel, now or at an earlier delivery.
    ByThisEvent { shipment_id: ShipmentId, at: Timestamp },
    /// It had left with another parcel.
    ByAnotherEvent,
    /// It was cancelled, and left all the same.
    Cancelled,
    /// The order's shipment is another one.
    Foreign,
    /// Nothing was scheduled for the order. A carrier hears of a shipment only after it was recorded, so it never will be.
    Unknown,
}

/// Records that a shipment has left, so that it can no longer be cancelled. A pick-up is what a carrier says: it takes effect
/// only for the shipment that is scheduled for the order.
pub(crate) async fn record_departure(
    shipments: &impl ShipmentStore,
    clock: &impl Clock,
    bus_event: &BusEvent,
    picked_up: &ParcelPickedUp,
) -> Result<Departed, PortError> {
    let order_id = bus_event.event.order_id()?;
    let shipment_id = ShipmentId::of(order_id);
    if picked_up.shipment_id != shipment_id.as_str() {
        return Ok(Departed::Foreign);
    }
    // A carrier chooses its events' ids, so the departure is known by the identity.
    let identity = bus_event.identity();
    let by = Decided { by: &identity, at: clock.now() };
    let existing = match shipments.find(order_id).await? {
        None => return Ok(Departed::Unknown),
        Some(shipment) if shipment.decision == ShipmentDecision::Scheduled && shipment.closing.is_none() => {
            match shipments.close(order_id, ShipmentEnd::Left, &by).await? {
                Commit::Written => return Ok(Departed::ByThisEvent { shipment_id, at: by.at }),
                Commit::Existing(shipment) => shipment,
            }
        }
        Some(shipment) => shipment,
    };
    Ok(closed_before(existing, shipment_id, &identity))
}

fn closed_before(shipment: Shipment, shipment_id: ShipmentId, identity: &EventId) -> Departed {
    match shipment.closing {
        Some(closing) if closing.end == ShipmentEnd::Left && closing.decided_by == *identity => {
            Departed::ByThisEvent { shipment_id, at: closing.decided_at }
        }
        Some(closing) if closing.end == ShipmentEnd::Left => Departed::ByAnotherEvent,
        // Cancelled after it was scheduled, or before it could be.
        Some(_) | None => Departed::Cancelled,
    }
}
