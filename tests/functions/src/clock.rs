use domain::Timestamp;
use memory::ManualClock;
use ports::Clock;

use crate::NOW;

/// A clock that moves on by itself whenever it is read.
#[derive(Debug)]
pub struct SteppingClock {
    clock: ManualClock,
    step_ms: i64,
}

impl SteppingClock {
    /// Begins at [`NOW`]; a step of 0 stands still.
    #[must_use]
    pub fn new(step_ms: i64) -> Self {
        Self { clock: ManualClock::new(NOW), step_ms }
    }
}

impl Default for SteppingClock {
    fn default() -> Self {
        Self::new(1_000)
    }
}

impl Clock for SteppingClock {
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        self.clock.advance_ms(self.step_ms);
        now
    }
}
