use ports::{DeadLetter, DeadLetterQueues, Depth, PortError, Postponement};

use crate::Faults;
use crate::queues::{MemoryQueues, Received};

/// The dead letters among [`MemoryQueues`].
#[derive(Debug, Clone)]
pub struct MemoryDeadLetterQueues {
    queues: MemoryQueues,
    faults: Faults,
}

impl MemoryDeadLetterQueues {
    /// Of these queues.
    #[must_use]
    pub fn new(queues: MemoryQueues) -> Self {
        Self::with_faults(queues, Faults::default())
    }

    /// Of these queues; calls can be lost.
    #[must_use]
    pub fn with_faults(queues: MemoryQueues, faults: Faults) -> Self {
        Self { queues, faults }
    }

    fn check(&self, operation: &'static str, queue: &str) -> Result<(), PortError> {
        if self.queues.exists(queue) {
            Ok(())
        } else {
            // As on AWS: a deployment mends it.
            Err(PortError::transient(operation, format!("there is no queue {queue}")))
        }
    }
}

impl DeadLetterQueues for MemoryDeadLetterQueues {
    async fn receive(&self, queue: &str, limit: usize, hidden_s: u32) -> Result<Vec<DeadLetter>, PortError> {
        let operation = "memory:Receive";
        let apply = || {
            self.check(operation, queue)?;
            let received = self.queues.receive(queue, limit, Some(hidden_s));
            Ok(received.into_iter().map(|message| dead_letter(queue, message)).collect())
        };
        self.faults.call(operation, apply).await
    }

    async fn postpone(&self, queue: &str, message: &Postponement) -> Result<(), PortError> {
        let operation = "memory:Postpone";
        let apply = || {
            self.check(operation, queue)?;
            if self.queues.change_visibility(queue, &message.receipt_handle, message.delay_s) {
                Ok(())
            } else {
                Err(PortError::permanent(operation, "not in flight, or hidden for too long"))
            }
        };
        self.faults.call(operation, apply).await
    }

    async fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), PortError> {
        let operation = "memory:Delete";
        let apply = || {
            self.check(operation, queue)?;
            // SQS answers with success as well when the handle is an old one.
            self.queues.delete(queue, receipt_handle);
            Ok(())
        };
        self.faults.call(operation, apply).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, PortError> {
        let operation = "memory:Depth";
        let apply = || {
            self.check(operation, queue)?;
            let (visible, all) = (self.queues.visible(queue), self.queues.len(queue));
            Ok(Depth { visible: visible as u64, hidden: (all - visible) as u64 })
        };
        self.faults.call(operation, apply).await
    }
}

fn dead_letter(queue: &str, message: Received) -> DeadLetter {
    DeadLetter {
        queue: queue.to_owned(),
        message_id: message.message_id,
        receipt_handle: message.receipt_handle,
        sent_at: message.sent_at,
        body: message.body.as_ref().to_owned(),
        attributes: message.attributes,
    }
}
