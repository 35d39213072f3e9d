use std::collections::BTreeMap;
use std::fmt;

use domain::Timestamp;

use crate::{PortError, Postponement};

/// A message that someone gave up on: a queue, the bus, or a consumer.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The name of the queue that it lies in.
    pub queue: String,
    /// The queue's name for it. Another after every sending, so nothing is decided by it.
    pub message_id: String,
    /// Names this delivery.
    pub receipt_handle: String,
    /// When it was first sent. A queue that hands a message on to its dead-letter queue keeps this.
    pub sent_at: Timestamp,
    /// As it came.
    pub body: String,
    /// What came beside it.
    pub attributes: BTreeMap<String, String>,
}

/// Shows no word of the body, which may be about a person.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("queue", &self.queue)
            .field("message_id", &self.message_id)
            .field("sent_at", &self.sent_at)
            .field("body_bytes", &self.body.len())
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

/// How many messages a queue holds, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// That could be delivered now.
    pub visible: u64,
    /// That are hidden.
    pub hidden: u64,
}

/// The queues of what was given up on, by name.
pub trait DeadLetterQueues: Send + Sync {
    /// Delivers up to `limit` visible messages (10 at most) and hides them from every other receiver for `hidden_s`.
    ///
    /// MUST hand over everything that came with a message. MUST NOT answer with none while some can be delivered
    /// (SQS: by long polling). May deliver a message twice.
    fn receive(
        &self,
        queue: &str,
        limit: usize,
        hidden_s: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, PortError>> + Send;

    /// Sets how long a delivered message stays hidden from now on; 0 gives it back. SQS hides a message for no longer
    /// than 12 hours after its delivery.
    ///
    /// # Errors
    /// [`PortError`] also when the message is visible again or was delivered anew.
    fn postpone(
        &self,
        queue: &str,
        message: &Postponement,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Deletes a delivered message. MUST succeed when it is gone already.
    fn delete(&self, queue: &str, receipt_handle: &str)
    -> impl Future<Output = Result<(), PortError>> + Send;

    /// How many messages there are.
    fn depth(&self, queue: &str) -> impl Future<Output = Result<Depth, PortError>> + Send;
}
