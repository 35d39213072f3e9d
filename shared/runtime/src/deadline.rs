use std::time::Duration;

use tokio::time::Instant;

/// When an invocation must have answered.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    work_until: Instant,
    answer_by: Instant,
}

impl Deadline {
    /// Of the time that remains, the part kept for publishing, for the records that failed, and for the answer.
    const RESERVE_DIVISOR: u32 = 5;
    /// Of the time that remains, the part kept for the answer alone.
    const ANSWER_DIVISOR: u32 = 20;

    /// From the time that remains until Lambda ends the invocation.
    #[must_use]
    pub fn after(remaining: Duration) -> Self {
        let now = Instant::now();
        Self {
            work_until: now + (remaining - remaining / Self::RESERVE_DIVISOR),
            answer_by: now + (remaining - remaining / Self::ANSWER_DIVISOR),
        }
    }

    /// The instant after which no work is begun or waited for.
    #[must_use]
    pub fn work_until(self) -> Instant {
        self.work_until
    }

    /// The instant after which nothing is waited for any more, not even what finishes the work.
    #[must_use]
    pub fn answer_by(self) -> Instant {
        self.answer_by
    }

    /// True when no more work should be begun.
    #[must_use]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.work_until
    }
}
