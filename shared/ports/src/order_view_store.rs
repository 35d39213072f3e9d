use contracts::RecordedFact;
use domain::OrderId;

use crate::PortError;

/// The read model: what is known of each order.
pub trait OrderViewStore: Send + Sync {
    /// Adds a fact to an order.
    ///
    /// MUST keep every fact under its event id and MUST NOT replace one: facts are a set, in which neither the order
    /// of arrival nor duplicates show.
    fn add(
        &self,
        order_id: &OrderId,
        fact: &RecordedFact,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Every fact of an order, in any order. Empty when nothing is known. MUST see every write that was answered
    /// before.
    fn facts(&self, order_id: &OrderId) -> impl Future<Output = Result<Vec<RecordedFact>, PortError>> + Send;
}
