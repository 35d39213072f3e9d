use contracts::Outbound;

use crate::PortError;

/// The bus that events go out on.
pub trait EventBus: Send + Sync {
    /// Publishes any number of events and answers for each, in the order given.
    ///
    /// MUST report a failure for every event that the bus did not take, also when it took others of the same
    /// call; MUST answer with exactly as many results as there are events. Delivers at least once.
    fn publish(&self, events: &[Outbound]) -> impl Future<Output = Vec<Result<(), PortError>>> + Send;
}
