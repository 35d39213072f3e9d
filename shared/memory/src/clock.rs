use std::sync::atomic::{AtomicI64, Ordering};

use domain::Timestamp;
use ports::Clock;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    unix_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows this instant.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { unix_ms: AtomicI64::new(now.unix_ms()) }
    }

    /// Shows this instant from now on. It may be an earlier one: clocks do go back.
    pub fn set(&self, now: Timestamp) {
        self.unix_ms.store(now.unix_ms(), Ordering::SeqCst);
    }

    /// Moves on; a negative number moves back.
    pub fn advance_ms(&self, duration_ms: i64) {
        self.unix_ms.fetch_add(duration_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.unix_ms.load(Ordering::SeqCst))
    }
}
