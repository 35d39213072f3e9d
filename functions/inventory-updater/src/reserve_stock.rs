use contracts::{Event, OrderPlaced};
use domain::{StockDecision, Timestamp};
use ports::{Clock, Commit, Decided, PortError, Reserve, StockStore};

/// What reserving an order's stock came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// This event decided it, now or at an earlier delivery.
    ByThisEvent { decision: StockDecision, at: Timestamp },
    /// Another event decided before, or called the order off in advance.
    ByAnotherEvent,
    /// The order breaks rules; there is nothing to reserve.
    Invalid,
}

/// Reserves every line of an order or none, and writes which.
pub(crate) async fn reserve_stock(
    stock: &impl StockStore,
    clock: &impl Clock,
    event: &Event,
    placed: &OrderPlaced,
) -> Result<Reserved, PortError> {
    let Ok((order, _)) = placed.parse(event.order_id()?.clone()) else { return Ok(Reserved::Invalid) };
    let lines = order.stock_lines();
    let at = clock.now();
    let by = Decided { by: &event.id, at };
    let existing = match stock.reserve(event.order_id()?, &lines, &by).await? {
        Reserve::Reserved => {
            return Ok(Reserved::ByThisEvent { decision: StockDecision::Reserved(lines), at });
        }
        // Written, so that a redelivery after a restock does not turn it round.
        Reserve::Short(shortages) => match stock.reject(event.order_id()?, &shortages, &by).await? {
            Commit::Written => {
                return Ok(Reserved::ByThisEvent { decision: StockDecision::Rejected(shortages), at });
            }
            Commit::Existing(existing) => existing,
        },
        Reserve::Existing(existing) => existing,
    };
    Ok(if existing.decided_by == event.id && existing.decision != StockDecision::Barred {
        Reserved::ByThisEvent { decision: existing.decision, at: existing.decided_at }
    } else {
        Reserved::ByAnotherEvent
    })
}
