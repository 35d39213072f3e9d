use contracts::Event;
use domain::{OrderId, Reservation, StockEnd, StockLine, Timestamp};
use ports::{Clock, Commit, Decided, PortError, StockStore};

/// What closing a reservation came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// This event moved these lines, now or at an earlier delivery.
    ByThisEvent { lines: Vec<StockLine>, at: Timestamp },
    /// Another event had closed it in the same way.
    ByAnotherEvent,
    /// Another event had closed it in the other way.
    Otherwise,
    /// Nothing was ever promised.
    NothingHeld,
    /// Inventory has not heard of the order.
    Unknown,
}

/// Gives back what a closed order held. An order not heard of yet is refused when it comes.
pub(crate) async fn release_stock(
    stock: &impl StockStore,
    clock: &impl Clock,
    event: &Event,
) -> Result<Closed, PortError> {
    let by = Decided { by: &event.id, at: clock.now() };
    match stock.bar(event.order_id()?, &by).await? {
        Commit::Written => Ok(Closed::NothingHeld),
        Commit::Existing(existing) => {
            close(stock, event.order_id()?, existing, StockEnd::Released, &by).await
        }
    }
}

/// Counts what an order held as shipped.
pub(crate) async fn ship_stock(
    stock: &impl StockStore,
    clock: &impl Clock,
    event: &Event,
) -> Result<Closed, PortError> {
    let by = Decided { by: &event.id, at: clock.now() };
    match stock.find(event.order_id()?).await? {
        None => Ok(Closed::Unknown),
        Some(existing) => close(stock, event.order_id()?, existing, StockEnd::Shipped, &by).await,
    }
}

async fn close(
    stock: &impl StockStore,
    order_id: &OrderId,
    existing: Reservation,
    end: StockEnd,
    by: &Decided<'_>,
) -> Result<Closed, PortError> {
    let Some(lines) = existing.held() else { return Ok(closed_before(existing, end, by)) };
    match stock.close(order_id, end, lines, by).await? {
        Commit::Written => Ok(Closed::ByThisEvent { lines: lines.to_vec(), at: by.at }),
        // Closed since it was read: by another event, or by this one with its answer lost.
        Commit::Existing(existing) => Ok(closed_before(existing, end, by)),
    }
}

fn closed_before(existing: Reservation, end: StockEnd, by: &Decided<'_>) -> Closed {
    let (domain::StockDecision::Reserved(lines), Some(closing)) = (existing.decision, existing.closing)
    else {
        return Closed::NothingHeld;
    };
    if closing.end != end {
        Closed::Otherwise
    } else if closing.decided_by == *by.by {
        Closed::ByThisEvent { lines, at: closing.decided_at }
    } else {
        Closed::ByAnotherEvent
    }
}
