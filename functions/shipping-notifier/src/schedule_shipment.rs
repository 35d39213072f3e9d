use contracts::{Event, OrderConfirmed, StockLine};
use domain::{Order, OrderId, ShipmentDecision, ShipmentEnd, ShipmentId, Timestamp};
use ports::{Clock, Commit, Decided, FulfilmentCentre, Notice, PortError, ShipmentStore, ShippedOrder};
use serde_json::json;

/// What scheduling a shipment came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scheduled {
    /// This event scheduled it, now or at an earlier delivery.
    ByThisEvent { shipment_id: ShipmentId, lines: Vec<StockLine>, at: Timestamp },
    /// Another event scheduled it.
    ByAnotherEvent,
    /// The order was cancelled before.
    Refused,
}

/// Records the one shipment of an order, then tells the fulfilment centre, again at every delivery.
pub(crate) async fn schedule_shipment(
    shipments: &impl ShipmentStore,
    fulfilment_centre: &impl FulfilmentCentre,
    clock: &impl Clock,
    event: &Event,
    confirmed: &OrderConfirmed,
    order: &Order,
) -> Result<Scheduled, PortError> {
    let lines = order.stock_lines().iter().map(StockLine::from).collect();
    let order_id = event.order_id()?;
    let shipped_order =
        ShippedOrder { order_id: order_id.clone(), shipment_id: ShipmentId::of(order_id), lines };
    let by = Decided { by: &event.id, at: clock.now() };
    let (at, is_called_off) = match shipments.schedule(&shipped_order, &by).await? {
        Commit::Written => (by.at, false),
        Commit::Existing(shipment) if shipment.decision == ShipmentDecision::Barred => {
            return Ok(Scheduled::Refused);
        }
        Commit::Existing(shipment) if shipment.decided_by != event.id => {
            return Ok(Scheduled::ByAnotherEvent);
        }
        Commit::Existing(shipment) => {
            let end = shipment.closing.map(|closing| closing.end);
            (shipment.decided_at, end == Some(ShipmentEnd::Cancelled))
        }
    };
    let ShippedOrder { shipment_id, lines, .. } = shipped_order;
    // Between two deliveries of this event the shipment may have been called off; to ask for it now would undo that.
    if !is_called_off {
        fulfilment_centre.tell(&notice(order_id, confirmed, &shipment_id, &lines)).await?;
    }
    Ok(Scheduled::ByThisEvent { shipment_id, lines, at })
}

fn notice(
    order_id: &OrderId,
    confirmed: &OrderConfirmed,
    shipment_id: &ShipmentId,
    lines: &[StockLine],
) -> Notice {
    let body = json!({
        "kind": "ship",
        "shipmentId": shipment_id.as_str(),
        "orderId": order_id.as_str(),
        "lines": lines,
        "personal": confirmed.personal,
    });
    Notice {
        kind: "ship",
        notice_id: format!("{shipment_id}:ship"),
        order_id: order_id.clone(),
        body: body.to_string(),
    }
}
