use crate::PortError;

/// What became of an answer to a waiting checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskReply {
    /// The checkout goes on with it.
    Taken,
    /// The checkout no longer waits: it was answered before, or timed out.
    Gone,
}

/// The checkouts that wait for a payment.
pub trait PaymentTasks: Send + Sync {
    /// Tells a checkout that its payment was captured; `output` is a JSON object.
    ///
    /// # Errors
    /// A permanent [`PortError`] when the token was never one.
    fn succeed(
        &self,
        task_token: &str,
        output: &str,
    ) -> impl Future<Output = Result<TaskReply, PortError>> + Send;

    /// Tells a checkout that its payment failed; `cause` is a JSON object.
    ///
    /// # Errors
    /// A permanent [`PortError`] when the token was never one.
    fn fail(
        &self,
        task_token: &str,
        error: &str,
        cause: &str,
    ) -> impl Future<Output = Result<TaskReply, PortError>> + Send;
}
