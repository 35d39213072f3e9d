use contracts::StockLine;
use domain::{OrderId, Shipment, ShipmentEnd, ShipmentId};

use crate::stock_store::Decided;
use crate::{Commit, PortError};

/// What is to be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedOrder {
    /// Of which order.
    pub order_id: OrderId,
    /// The one shipment of it.
    pub shipment_id: ShipmentId,
    /// What it holds.
    pub lines: Vec<StockLine>,
}

/// The shipping context's own record of every shipment.
pub trait ShipmentStore: Send + Sync {
    /// Schedules a shipment. MUST write only when the order is unknown here.
    fn schedule(
        &self,
        order: &ShippedOrder,
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Shipment>, PortError>> + Send;

    /// Refuses a shipment in advance. MUST write only when the order is unknown here.
    fn bar(
        &self,
        order_id: &OrderId,
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Shipment>, PortError>> + Send;

    /// Ends a scheduled shipment. MUST write only when it is scheduled and has not ended.
    ///
    /// # Errors
    /// A permanent [`PortError`] when the order is unknown here.
    fn close(
        &self,
        order_id: &OrderId,
        end: ShipmentEnd,
        by: &Decided<'_>,
    ) -> impl Future<Output = Result<Commit<Shipment>, PortError>> + Send;

    /// Reads a shipment. MUST see every write that was answered before.
    fn find(&self, order_id: &OrderId) -> impl Future<Output = Result<Option<Shipment>, PortError>> + Send;
}
