use std::sync::Mutex;

use ports::{PortError, Quarantine, Quarantined};

use crate::faults::{EntryFaults, Fault, Faults, answer};
use crate::lock;

/// Collects what can never be handled.
#[derive(Default)]
pub struct MemoryQuarantine {
    kept: Mutex<Vec<Quarantined>>,
    faults: Faults,
    entry_faults: EntryFaults<Quarantined>,
}

impl MemoryQuarantine {
    /// A quarantine whose calls can be lost. A lost call loses every message of it.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Loses chosen messages of calls that arrive, until another choice is made. `choice` sees each message once,
    /// in order, and may count.
    pub fn fail_messages(&self, choice: impl FnMut(&Quarantined) -> Option<Fault> + Send + 'static) {
        self.entry_faults.set(choice);
    }

    /// Every message kept, repetitions included.
    #[must_use]
    pub fn kept(&self) -> Vec<Quarantined> {
        lock(&self.kept).clone()
    }
}

impl Quarantine for MemoryQuarantine {
    async fn put(&self, messages: &[Quarantined]) -> Vec<Result<(), PortError>> {
        let fault_of_call = self.faults.arrive("memory:Quarantine").await;
        let keep = |message: &Quarantined| {
            let fault = fault_of_call.or_else(|| self.entry_faults.fault_of(message));
            answer(fault, "memory:Quarantine", || {
                lock(&self.kept).push(message.clone());
                Ok(())
            })
        };
        let answers = messages.iter().map(keep).collect();
        self.faults.leave(fault_of_call).await;
        answers
    }
}
