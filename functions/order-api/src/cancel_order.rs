use contracts::{CancellationRequested, Data, Event, Reason, derived_event_id};
use domain::{EventId, OrderId, Outcome};
use ports::{Clock, EventBus, OrderStore, PortError};

use crate::NAME;
use crate::place_order::publish;

/// What asking for a cancellation came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CancellationAsked {
    /// It is on the bus, unless the order is called off already.
    Accepted,
    /// The order has ended otherwise.
    TooLate(Outcome),
    /// There is no such order.
    Unknown,
}

/// Asks for an order to be called off. Whether it is in time is decided where outcomes are: by the first one written.
pub(crate) async fn ask_for_cancellation(
    orders: &impl OrderStore,
    bus: &impl EventBus,
    clock: &impl Clock,
    order_id: &OrderId,
    request_id: &EventId,
) -> Result<CancellationAsked, PortError> {
    let Some(record) = orders.find(order_id).await? else { return Ok(CancellationAsked::Unknown) };
    match record.settlement.map(|settlement| settlement.outcome) {
        Some(Outcome::Cancelled) => return Ok(CancellationAsked::Accepted),
        Some(outcome) => return Ok(CancellationAsked::TooLate(outcome)),
        None => {}
    }
    let event = Event {
        id: derived_event_id(request_id, NAME, 0),
        subject: order_id.clone().into(),
        time: clock.now(),
        correlation_id: order_id.as_str().to_owned(),
        causation_id: None,
        traceparent: None,
        data: Data::CancellationRequested(CancellationRequested {
            order_id: order_id.as_str().to_owned(),
            reason: Reason::new("customer_request", "the customer asked for it"),
        }),
    };
    publish(bus, &event).await?;
    Ok(CancellationAsked::Accepted)
}
