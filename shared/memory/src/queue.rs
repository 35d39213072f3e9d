use ports::{MessageQueue, PortError, Postponement, Quarantine, Quarantined};

use crate::{Faults, MemoryQueues};

/// One of [`MemoryQueues`], to a consumer: the queue that its messages come from, or the one that it sets aside what
/// it can never handle in.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    queues: MemoryQueues,
    name: String,
    faults: Faults,
}

impl MemoryQueue {
    /// The queue of this name.
    #[must_use]
    pub fn new(queues: MemoryQueues, name: &str) -> Self {
        Self::with_faults(queues, name, Faults::default())
    }

    /// The queue of this name; calls can be lost.
    #[must_use]
    pub fn with_faults(queues: MemoryQueues, name: &str, faults: Faults) -> Self {
        Self { queues, name: name.to_owned(), faults }
    }
}

impl MessageQueue for MemoryQueue {
    async fn postpone(&self, messages: &[Postponement]) -> Result<(), PortError> {
        let operation = "memory:Postpone";
        let postpone = |message: &Postponement| {
            self.queues.change_visibility(&self.name, &message.receipt_handle, message.delay_s)
        };
        let apply = || match messages.iter().filter(|message| !postpone(message)).count() {
            0 => Ok(()),
            _ => Err(PortError::transient(operation, "not in flight, or hidden for too long")),
        };
        self.faults.call(operation, apply).await
    }
}

impl Quarantine for MemoryQueue {
    async fn put(&self, messages: &[Quarantined]) -> Vec<Result<(), PortError>> {
        let operation = "memory:Quarantine";
        let put = || {
            for message in messages {
                let attributes = message.attributes().into_iter();
                let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
                self.queues.send(&self.name, message.body.as_str(), attributes);
            }
            Ok(())
        };
        let result = self.faults.call(operation, put).await;
        let failed = result.err().map(|error| error.to_string());
        let answer =
            |_| failed.as_ref().map_or(Ok(()), |text| Err(PortError::transient(operation, text.clone())));
        messages.iter().map(answer).collect()
    }
}
