use contracts::{CancellationRequested, Data, Event, Reason, derived_event_id};
use domain::{EventId, OrderId, Outcome};
use ports::{CallOff, Clock, EventBus, OrderStore, PortError};

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
///
/// A customer calls an order off once. Who got no answer asks again, and that publishes the same event to the letter.
pub(crate) async fn ask_for_cancellation(
    orders: &impl OrderStore,
    bus: &impl EventBus,
    clock: &impl Clock,
    order_id: &OrderId,
) -> Result<CancellationAsked, PortError> {
    let called_off_at = match orders.call_off(order_id, clock.now()).await? {
        CallOff::Noted(at) => at,
        CallOff::Ended(Outcome::Cancelled) => return Ok(CancellationAsked::Accepted),
        CallOff::Ended(outcome) => return Ok(CancellationAsked::TooLate(outcome)),
        CallOff::Unknown => return Ok(CancellationAsked::Unknown),
    };
    let cause = EventId::parse(order_id.as_str()).map_err(|error| PortError::permanent("derive", error))?;
    let event = Event {
        // The order itself was placed under index 0.
        id: derived_event_id(&cause, NAME, 1),
        subject: order_id.clone().into(),
        time: called_off_at,
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
