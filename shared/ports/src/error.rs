use std::error::Error;

/// Whether doing the same again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can: throttled, timed out, unreachable. The call may have been applied all the same.
    Transient,
    /// It cannot: refused, malformed, broken.
    Permanent,
}

/// A call through a port that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct PortError {
    /// Which call, such as `dynamodb:UpdateItem`.
    pub operation: &'static str,
    /// Whether doing it again can help.
    pub retry: Retry,
    /// Why.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// A failure that may pass.
    pub fn transient(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, retry: Retry::Transient, source: source.into() }
    }

    /// A failure that will stay.
    pub fn permanent(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, retry: Retry::Permanent, source: source.into() }
    }
}

impl From<contracts::NotAboutAnOrder> for PortError {
    fn from(error: contracts::NotAboutAnOrder) -> Self {
        Self::permanent("read the order's id", error)
    }
}
