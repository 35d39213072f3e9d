use std::sync::Mutex;

use ports::{MessageQueue, PortError, Postponement};

use crate::{Faults, lock};

const OPERATION: &str = "memory:Postpone";

/// The longest that SQS hides a message.
const DELAY_S_MAX: u32 = 43_200;

/// Collects postponements. It takes every receipt handle but the empty one for that of a received message.
#[derive(Debug, Default)]
pub struct MemoryMessageQueue {
    postponed: Mutex<Vec<Postponement>>,
    faults: Faults,
}

impl MemoryMessageQueue {
    /// A queue whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every postponement that took effect, in order.
    #[must_use]
    pub fn postponed(&self) -> Vec<Postponement> {
        lock(&self.postponed).clone()
    }
}

impl MessageQueue for MemoryMessageQueue {
    async fn postpone(&self, messages: &[Postponement]) -> Result<(), PortError> {
        let apply = || {
            let (possible, impossible): (Vec<_>, Vec<_>) = messages.iter().cloned().partition(is_possible);
            lock(&self.postponed).extend(possible);
            if impossible.is_empty() {
                Ok(())
            } else {
                Err(PortError::permanent(OPERATION, "an empty receipt handle, or a delay above 43,200 s"))
            }
        };
        self.faults.call(OPERATION, apply).await
    }
}

fn is_possible(message: &Postponement) -> bool {
    !message.receipt_handle.is_empty() && message.delay_s <= DELAY_S_MAX
}
