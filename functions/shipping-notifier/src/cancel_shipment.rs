use contracts::Event;
use domain::{OrderId, Shipment, ShipmentDecision, ShipmentEnd, ShipmentId, Timestamp};
use ports::{Clock, Commit, Decided, FulfilmentCentre, Notice, PortError, ShipmentStore};
use serde_json::json;

/// What calling a shipment off came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// This event called it off, now or at an earlier delivery.
    ByThisEvent { shipment_id: ShipmentId, at: Timestamp },
    /// Another event called it off.
    ByAnotherEvent,
    /// It has left; it cannot be called off.
    Left,
    /// It was never scheduled, and will not be.
    NeverScheduled,
}

/// Calls off the shipment of an order, if it has not left. One not scheduled yet is refused when it comes.
pub(crate) async fn cancel_shipment(
    shipments: &impl ShipmentStore,
    fulfilment_centre: &impl FulfilmentCentre,
    clock: &impl Clock,
    event: &Event,
) -> Result<Cancelled, PortError> {
    let order_id = event.order_id()?;
    let by = Decided { by: &event.id, at: clock.now() };
    let existing = match shipments.bar(order_id, &by).await? {
        Commit::Written => return Ok(Cancelled::NeverScheduled),
        Commit::Existing(shipment) => shipment,
    };
    let cancelled = match existing {
        Shipment { decision: ShipmentDecision::Barred, .. } => Cancelled::NeverScheduled,
        Shipment { closing: Some(_), .. } => closed_before(event, order_id, existing),
        Shipment { closing: None, .. } => {
            match shipments.close(order_id, ShipmentEnd::Cancelled, &by).await? {
                Commit::Written => {
                    Cancelled::ByThisEvent { shipment_id: ShipmentId::of(order_id), at: by.at }
                }
                Commit::Existing(shipment) => closed_before(event, order_id, shipment),
            }
        }
    };
    if let Cancelled::ByThisEvent { shipment_id, .. } = &cancelled {
        fulfilment_centre.tell(&notice(order_id, shipment_id)).await?;
    }
    Ok(cancelled)
}

fn closed_before(event: &Event, order_id: &OrderId, shipment: Shipment) -> Cancelled {
    match shipment.closing {
        None => Cancelled::NeverScheduled,
        Some(closing) if closing.end == ShipmentEnd::Left => Cancelled::Left,
        Some(closing) if closing.decided_by == event.id => {
            Cancelled::ByThisEvent { shipment_id: ShipmentId::of(order_id), at: closing.decided_at }
        }
        Some(_) => Cancelled::ByAnotherEvent,
    }
}

fn notice(order_id: &OrderId, shipment_id: &ShipmentId) -> Notice {
    let body = json!({
        "kind": "cancel",
        "shipmentId": shipment_id.as_str(),
        "orderId": order_id.as_str(),
    });
    Notice {
        kind: "cancel",
        notice_id: format!("{shipment_id}:cancel"),
        order_id: order_id.clone(),
        body: body.to_string(),
    }
}
