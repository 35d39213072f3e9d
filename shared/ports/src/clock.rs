use std::sync::Arc;

use domain::Timestamp;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now. MUST NOT be asked more than once for one decision: what is committed and what is published carry the
    /// same instant.
    fn now(&self) -> Timestamp;
}

/// A clock that several hold.
impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}
