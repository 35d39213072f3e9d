use crate::PortError;

/// What whoever is on call has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// A few words, for the head of an e-mail.
    pub subject: String,
    /// One line that says what happened and what to type. Repeats no value of a message.
    pub line: String,
}

/// Whoever is on call.
pub trait OnCall: Send + Sync {
    /// Tells them. Reaches them at least once: nothing can make a message to the outside exactly once.
    fn alert(&self, alert: &Alert) -> impl Future<Output = Result<(), PortError>> + Send;
}
