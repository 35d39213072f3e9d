use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets so many through a second, and whoever comes too early wait.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second_max.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for its turn.
    pub(crate) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        if turn > Instant::now() {
            sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_a_second_pass_and_no_more() {
        let pacer = Pacer::new(100);
        let begun = Instant::now();
        for _ in 0..=20 {
            pacer.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(199), "{:?}", begun.elapsed());
    }
}
