use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use domain::{
    Closing, Order, OrderId, Reservation, Shortage, Sku, StockDecision, StockEnd, StockError, StockLevel,
    StockLine,
};
use ports::{Commit, Decided, PortError, Reserve, StockCounts, StockStore};

use crate::{Faults, Keeps, lock};

/// Keeps stock and its reservations.
#[derive(Debug, Clone, Default)]
pub struct MemoryStockStore {
    stock: Arc<Mutex<Stock>>,
    faults: Faults,
}

/// All levels and all reservations. Every change to it is worked out in full first and made only when all of it can be.
#[derive(Debug, Clone, Default)]
pub struct Stock {
    levels: BTreeMap<Sku, StockLevel>,
    reservations: BTreeMap<OrderId, Reservation>,
}

impl MemoryStockStore {
    /// A store whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// The level of every SKU. Unlike [`StockCounts::levels`] no call.
    #[must_use]
    pub fn stock_levels(&self) -> BTreeMap<Sku, StockLevel> {
        lock(&self.stock).levels.clone()
    }

    /// The reservation of every order.
    #[must_use]
    pub fn reservations(&self) -> BTreeMap<OrderId, Reservation> {
        lock(&self.stock).reservations.clone()
    }
}

impl Keeps for MemoryStockStore {
    type Content = Stock;

    fn content(&self) -> &Mutex<Self::Content> {
        &self.stock
    }
}

impl StockStore for MemoryStockStore {
    async fn reserve(
        &self,
        order_id: &OrderId,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Reserve, PortError> {
        let operation = "memory:ReserveStock";
        let apply = || lock(&self.stock).reserve(operation, order_id, lines, by);
        self.faults.call(operation, apply).await
    }

    async fn reject(
        &self,
        order_id: &OrderId,
        shortages: &[Shortage],
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let decision = StockDecision::Rejected(shortages.to_vec());
        let apply = || Ok(lock(&self.stock).decide(order_id, decision.clone(), by));
        self.faults.call("memory:RejectStock", apply).await
    }

    async fn bar(&self, order_id: &OrderId, by: &Decided<'_>) -> Result<Commit<Reservation>, PortError> {
        let apply = || Ok(lock(&self.stock).decide(order_id, StockDecision::Barred, by));
        self.faults.call("memory:BarStock", apply).await
    }

    async fn close(
        &self,
        order_id: &OrderId,
        end: StockEnd,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let operation = "memory:CloseStock";
        let apply = || lock(&self.stock).close(operation, order_id, end, lines, by);
        self.faults.call(operation, apply).await
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<Reservation>, PortError> {
        let apply = || Ok(lock(&self.stock).reservations.get(order_id).cloned());
        self.faults.call("memory:FindReservation", apply).await
    }
}

impl StockCounts for MemoryStockStore {
    async fn set_available(&self, sku: &Sku, available: u64) -> Result<StockLevel, PortError> {
        let operation = "memory:CountStock";
        let apply = || {
            let mut stock = lock(&self.stock);
            let level = stock
                .level(sku)
                .recount(available)
                .map_err(|error| PortError::permanent(operation, error))?;
            stock.levels.insert(sku.clone(), level);
            Ok(level)
        };
        self.faults.call(operation, apply).await
    }

    async fn levels(&self) -> Result<Vec<(Sku, StockLevel)>, PortError> {
        let apply = || Ok(self.stock_levels().into_iter().collect());
        self.faults.call("memory:ReadStock", apply).await
    }
}

impl Stock {
    fn level(&self, sku: &Sku) -> StockLevel {
        self.levels.get(sku).copied().unwrap_or_default()
    }

    fn reserve(
        &mut self,
        operation: &'static str,
        order_id: &OrderId,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Reserve, PortError> {
        if lines.len() > Order::LINES_MAX {
            return Err(PortError::permanent(operation, "more lines than one transaction takes"));
        }
        if !names_each_sku_once(lines) {
            return Err(PortError::permanent(operation, "a SKU stands on two lines"));
        }
        if let Some(known) = self.reservations.get(order_id) {
            return Ok(Reserve::Existing(known.clone()));
        }
        let mut moved = Vec::with_capacity(lines.len());
        let mut shortages = Vec::new();
        for StockLine { sku, quantity } in lines {
            let level = self.level(sku);
            match level.reserve(*quantity) {
                Ok(level) => moved.push((sku.clone(), level)),
                Err(StockError::Short) => shortages.push(Shortage {
                    sku: sku.clone(),
                    requested: *quantity,
                    available: level.available,
                }),
                Err(error) => return Err(PortError::permanent(operation, error)),
            }
        }
        if !shortages.is_empty() {
            return Ok(Reserve::Short(shortages));
        }
        self.levels.extend(moved);
        self.decide(order_id, StockDecision::Reserved(lines.to_vec()), by);
        Ok(Reserve::Reserved)
    }

    fn decide(
        &mut self,
        order_id: &OrderId,
        decision: StockDecision,
        by: &Decided<'_>,
    ) -> Commit<Reservation> {
        if let Some(known) = self.reservations.get(order_id) {
            return Commit::Existing(known.clone());
        }
        let (decided_by, decided_at) = (by.by.clone(), by.at);
        let reservation = Reservation { decision, decided_by, decided_at, closing: None };
        self.reservations.insert(order_id.clone(), reservation);
        Commit::Written
    }

    fn close(
        &mut self,
        operation: &'static str,
        order_id: &OrderId,
        end: StockEnd,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let Some(known) = self.reservations.get(order_id) else {
            return Err(PortError::permanent(operation, "the order is unknown"));
        };
        let Some(held) = known.held() else {
            return Ok(Commit::Existing(known.clone()));
        };
        if held != lines {
            return Err(PortError::permanent(operation, "the lines are not those of the reservation"));
        }
        let moved = held.iter().map(|line| {
            let level = self.level(&line.sku);
            let level = match end {
                StockEnd::Released => level.release(line.quantity),
                StockEnd::Shipped => level.ship(line.quantity),
            };
            level.map(|level| (line.sku.clone(), level))
        });
        let moved: Vec<_> =
            moved.collect::<Result<_, _>>().map_err(|error| PortError::permanent(operation, error))?;
        let mut closed = known.clone();
        let is_closed = closed.close(Closing { end, decided_by: by.by.clone(), decided_at: by.at });
        debug_assert!(is_closed, "it holds these lines");
        self.levels.extend(moved);
        self.reservations.insert(order_id.clone(), closed);
        Ok(Commit::Written)
    }
}

/// One transaction of DynamoDB touches no item twice, and an order names each SKU once.
fn names_each_sku_once(lines: &[StockLine]) -> bool {
    let mut skus = HashSet::with_capacity(lines.len());
    lines.iter().all(|line| skus.insert(&line.sku))
}
