//! How fast events go out.

use std::num::NonZeroU32;
use std::time::Duration;

/// The most events that go out together: four calls of ten.
const CHUNK_MAX: u32 = 40;
/// How many chunks make up a second, where the rate allows.
const CHUNKS_PER_SECOND: u32 = 10;

/// So many events a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) per_second: NonZeroU32,
    /// How many events go out together.
    pub(crate) chunk: usize,
}

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let chunk = (per_second.get() / CHUNKS_PER_SECOND).clamp(1, CHUNK_MAX) as usize;
        Self { per_second, chunk }
    }

    /// How long after the start of a run the next event may go out, when so many have gone out in it.
    pub(crate) fn due(self, sent: u64) -> Duration {
        let per_second = u64::from(self.per_second.get());
        let rest = (sent % per_second) * 1_000_000 / per_second;
        Duration::from_secs(sent / per_second) + Duration::from_micros(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u32) -> Pace {
        Pace::new(NonZeroU32::new(per_second).unwrap())
    }

    #[test]
    fn events_are_due_one_after_the_other() {
        assert_eq!(pace(100).due(0), Duration::ZERO);
        assert_eq!(pace(100).due(50), Duration::from_millis(500));
        assert_eq!(pace(3).due(7), Duration::from_micros(2_333_333));
        assert_eq!(pace(1).due(u64::MAX).as_secs(), u64::MAX);
    }

    #[test]
    fn a_slow_replay_sends_one_at_a_time_and_a_fast_one_four_calls() {
        assert_eq!(pace(1).chunk, 1);
        assert_eq!(pace(100).chunk, 10);
        assert_eq!(pace(u32::MAX).chunk, 40);
    }
}
