use crate::PortError;

/// How long one received message stays hidden before it is delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponement {
    /// The handle of this delivery.
    pub receipt_handle: String,
    /// Seconds from now; at most 43,200 (SQS).
    pub delay_s: u32,
}

/// The queue that a consumer's messages come from.
pub trait MessageQueue: Send + Sync {
    /// Sets when messages that could not be handled are delivered again.
    ///
    /// MUST postpone every message that it can, also when it cannot postpone another. A message whose postponement fails comes
    /// back when its visibility time-out ends, so a caller may go on.
    ///
    /// # Errors
    /// [`PortError`] when any postponement failed.
    fn postpone(&self, messages: &[Postponement]) -> impl Future<Output = Result<(), PortError>> + Send;
}
