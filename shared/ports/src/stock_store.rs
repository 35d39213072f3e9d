use domain::{EventId, OrderId, Reservation, Shortage, Sku, StockEnd, StockLevel, StockLine, Timestamp};

use crate::{Commit, PortError};

/// Which event decides, and when: written with the decision.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// The event.
    pub by: &'a EventId,
    /// The instant.
    pub at: Timestamp,
}

/// What became of an attempt to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// Every line is promised, and the reservation is written.
    Reserved,
    /// These lines were short. Nothing is promised and nothing is written.
    Short(Vec<Shortage>),
    /// Inventory had decided before; nothing is changed.
    Existing(Reservation),
}

/// Stock and its reservations.
///
/// `available + reserved + shipped = received` MUST hold for every SKU at every moment: what moves between the
/// counts of several SKUs, and the reservation that accounts for it, moves in one atomic step.
pub trait StockStore: Send + Sync {
    /// Reserves every line or none. MUST promise only what is available, and only when the order is unknown here. When
    /// the order is known, MUST answer [`Reserve::Existing`], whatever is in stock. The caller gives each SKU once.
    ///
    /// # Errors
    /// A permanent [`PortError`] when there are more lines than [`domain::Order::LINES_MAX`], or a SKU twice of which there is
    /// enough.
    fn reserve(
        &self,
        order_id: &OrderId,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Reserve, PortError>> + Send;

    /// Records that an order was short. MUST write only when the order is unknown here.
    fn reject(
        &self,
        order_id: &OrderId,
        shortages: &[Shortage],
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Reservation>, PortError>> + Send;

    /// Refuses a reservation in advance. MUST write only when the order is unknown here.
    fn bar(
        &self,
        order_id: &OrderId,
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Reservation>, PortError>> + Send;

    /// Ends a promise and moves its lines. MUST write only when the promise stands and is not closed. `lines` MUST be
    /// those of the reservation.
    ///
    /// # Errors
    /// A permanent [`PortError`] when the order is unknown here.
    fn close(
        &self,
        order_id: &OrderId,
        end: StockEnd,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Reservation>, PortError>> + Send;

    /// Reads a reservation. MUST see every write that was answered before.
    fn find(&self, order_id: &OrderId)
    -> impl Future<Output = Result<Option<Reservation>, PortError>> + Send;
}

/// Counting stock by hand.
pub trait StockCounts: Send + Sync {
    /// Sets how many of a SKU are available; `received` follows. MUST NOT lose a reservation made meanwhile.
    fn set_available(
        &self,
        sku: &Sku,
        available: u64,
    ) -> impl Future<Output = Result<StockLevel, PortError>> + Send;

    /// Every SKU and its level, by SKU. MUST see every write that was answered before.
    fn levels(&self) -> impl Future<Output = Result<Vec<(Sku, StockLevel)>, PortError>> + Send;
}
