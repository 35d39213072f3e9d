use contracts::Event;
use domain::{ShipmentDecision, ShipmentEnd};
use ports::{Clock, Commit, Decided, PortError, ShipmentStore};

/// What recording a departure came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Departed {
    /// It is recorded, now or before.
    Recorded,
    /// It was called off, and left all the same.
    CalledOff,
    /// It is not known here.
    Unknown,
}

/// Records that a shipment has left, so that it can no longer be called off.
pub(crate) async fn record_departure(
    shipments: &impl ShipmentStore,
    clock: &impl Clock,
    event: &Event,
) -> Result<Departed, PortError> {
    let by = Decided { by: &event.id, at: clock.now() };
    let existing = match shipments.find(event.order_id()?).await? {
        None => return Ok(Departed::Unknown),
        Some(shipment) if shipment.decision == ShipmentDecision::Scheduled && shipment.closing.is_none() => {
            match shipments.close(event.order_id()?, ShipmentEnd::Left, &by).await? {
                Commit::Written => return Ok(Departed::Recorded),
                Commit::Existing(shipment) => shipment,
            }
        }
        Some(shipment) => shipment,
    };
    Ok(match existing.closing {
        Some(closing) if closing.end == ShipmentEnd::Left => Departed::Recorded,
        _ => Departed::CalledOff,
    })
}
