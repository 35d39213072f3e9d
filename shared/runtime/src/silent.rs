use contracts::Outbound;
use ports::{EventBus, PortError};

/// The bus of a consumer that publishes nothing: it takes no event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventBus for Silent {
    async fn publish(&self, events: &[Outbound]) -> Vec<Result<(), PortError>> {
        let refused = || Err(PortError::permanent("publish", "this consumer publishes nothing"));
        events.iter().map(|_| refused()).collect()
    }
}
