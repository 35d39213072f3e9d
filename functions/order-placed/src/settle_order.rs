use contracts::{CancellationRequested, Data, Event, OrderCancelled, OrderRejected, Reason, StockRejected};
use domain::{Outcome, Settlement, Timestamp};
use ports::{Clock, OrderStore, PortError};

/// What settling an order came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It ended because of this event: this is to be told.
    ByThisEvent { data: Box<Data>, at: Timestamp },
    /// It had ended because of another event, which was told then.
    ByAnotherEvent,
}

/// Calls an order off, unless it has ended. An order that is not known yet is called off in advance.
pub(crate) async fn cancel_order(
    orders: &impl OrderStore,
    clock: &impl Clock,
    event: &Event,
    request: &CancellationRequested,
) -> Result<Settled, PortError> {
    let cancelled = OrderCancelled { order_id: request.order_id.clone(), reason: request.reason.clone() };
    let reasons = std::slice::from_ref(&request.reason);
    settle(orders, clock, event, Outcome::Cancelled, reasons, cancelled.into()).await
}

/// Rejects an order that inventory could not reserve, unless it has ended.
pub(crate) async fn reject_order_out_of_stock(
    orders: &impl OrderStore,
    clock: &impl Clock,
    event: &Event,
    rejected: &StockRejected,
) -> Result<Settled, PortError> {
    let reasons: Vec<Reason> = rejected
        .shortages
        .iter()
        .map(|shortage| {
            let contracts::Shortage { sku, requested, available } = shortage;
            Reason::new("out_of_stock", format!("{sku}: {requested} ordered, {available} available"))
        })
        .collect();
    let data = OrderRejected { order_id: rejected.order_id.clone(), reasons: reasons.clone() };
    settle(orders, clock, event, Outcome::Rejected, &reasons, data.into()).await
}

async fn settle(
    orders: &impl OrderStore,
    clock: &impl Clock,
    event: &Event,
    outcome: Outcome,
    reasons: &[Reason],
    data: Data,
) -> Result<Settled, PortError> {
    let settlement = Settlement { outcome, decided_by: event.id.clone(), decided_at: clock.now() };
    let winner = orders.settle(event.order_id()?, &settlement, reasons).await?;
    Ok(if winner.decided_by == event.id {
        Settled::ByThisEvent { data: Box::new(data), at: winner.decided_at }
    } else {
        Settled::ByAnotherEvent
    })
}
