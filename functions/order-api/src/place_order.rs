use contracts::{Data, Event, OrderRequest, Reason, derived_event_id};
use domain::{EventId, OrderId};
use ports::{Clock, Commit, EventBus, NewOrder, OrderStore, PortError};
use sha2::{Digest, Sha256};

use crate::NAME;

/// What placing an order came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// It is on the bus, now or again.
    Accepted(OrderId),
    /// It breaks rules; nothing was written or published.
    Invalid(Vec<Reason>),
    /// The key stands for another order.
    KeyReused,
}

/// Takes an order in under the id that its idempotency key stands for and puts it on the bus.
pub(crate) async fn place_order(
    orders: &impl OrderStore,
    bus: &impl EventBus,
    clock: &impl Clock,
    order_id: OrderId,
    traceparent: Option<String>,
    request: OrderRequest,
) -> Result<Placing, PortError> {
    let request_hash = hash_of(&request)?;
    let placed = request.into_order_placed(&order_id);
    if let Err(reasons) = placed.parse(order_id.clone()) {
        return Ok(Placing::Invalid(reasons));
    }
    let requested =
        NewOrder { order_id: order_id.clone(), request_hash, placed_at: clock.now(), traceparent };
    let taken_in = match orders.open(&requested).await? {
        Commit::Written => requested,
        Commit::Existing(existing) if existing.request_hash == requested.request_hash => existing,
        Commit::Existing(_) => return Ok(Placing::KeyReused),
    };
    let id = EventId::parse(order_id.as_str()).map_err(|error| PortError::permanent("derive", error))?;
    publish(
        bus,
        &Event {
            id: derived_event_id(&id, NAME, 0),
            subject: order_id.clone().into(),
            // As taken in first: a repeated request publishes the same event to the letter.
            time: taken_in.placed_at,
            correlation_id: order_id.as_str().to_owned(),
            causation_id: None,
            traceparent: taken_in.traceparent,
            data: Data::OrderPlaced(placed),
        },
    )
    .await?;
    Ok(Placing::Accepted(order_id))
}

/// Puts one event on the bus.
pub(crate) async fn publish(bus: &impl EventBus, event: &Event) -> Result<(), PortError> {
    let outbound = event.to_outbound().map_err(|error| PortError::permanent("serialize", error))?;
    let mut results = bus.publish(&[outbound]).await;
    results.pop().unwrap_or_else(|| Err(PortError::transient("events:PutEvents", "the bus did not answer")))
}

/// The hash of what was asked for: two requests that differ in white space or in the order of fields ask for the same.
fn hash_of(request: &OrderRequest) -> Result<String, PortError> {
    let canonical = serde_json::to_vec(request).map_err(|error| PortError::permanent("serialize", error))?;
    Ok(Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect())
}
