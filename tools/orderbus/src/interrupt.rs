//! What must still be done when a person presses Ctrl-C.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::SetOnce;

static REQUESTED: SetOnce<()> = SetOnce::const_new();
static UNFINISHED: Mutex<usize> = Mutex::new(0);
static FINISHED: Condvar = Condvar::new();

/// While it lives, the program is not ended by a signal: whoever has it waits for [`requested`], clears up and drops it.
#[derive(Debug)]
pub struct Unfinished(());

impl Unfinished {
    /// Begins something that must be finished.
    #[must_use]
    pub fn begin() -> Self {
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FINISHED.notify_all();
    }
}

/// Waits until the program is to end.
pub async fn requested() {
    REQUESTED.wait().await;
}

/// Asks for the end, and waits until everything is finished, but not longer than that. Called by who handles signals.
pub fn request(patience: Duration) {
    // Asked twice is asked.
    REQUESTED.set(()).ok();
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = FINISHED.wait_timeout_while(unfinished, patience, |count| *count > 0);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}
