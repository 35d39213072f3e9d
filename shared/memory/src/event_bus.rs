use std::mem;
use std::sync::Mutex;

use contracts::Outbound;
use ports::{EventBus, PortError};

use crate::faults::{EntryFaults, Fault, Faults, answer};
use crate::lock;

/// Collects what is published, in the order in which it was taken.
#[derive(Debug, Default)]
pub struct MemoryEventBus {
    published: Mutex<Vec<Outbound>>,
    faults: Faults,
    entry_faults: EntryFaults<Outbound>,
}

impl MemoryEventBus {
    /// A bus whose calls can be lost. A lost call loses every entry of it.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Loses chosen entries of calls that arrive, until another choice is made. `choice` sees each entry once, in
    /// order, and may count.
    pub fn fail_entries(&self, choice: impl FnMut(&Outbound) -> Option<Fault> + Send + 'static) {
        self.entry_faults.set(choice);
    }

    /// Everything the bus took, repetitions included.
    #[must_use]
    pub fn published(&self) -> Vec<Outbound> {
        lock(&self.published).clone()
    }

    /// The same, leaving nothing behind: what is to be delivered next.
    #[must_use]
    pub fn take_published(&self) -> Vec<Outbound> {
        mem::take(&mut *lock(&self.published))
    }
}

impl EventBus for MemoryEventBus {
    async fn publish(&self, events: &[Outbound]) -> Vec<Result<(), PortError>> {
        let fault_of_call = self.faults.arrive().await;
        let publish = |event: &Outbound| {
            let fault = fault_of_call.or_else(|| self.entry_faults.fault_of(event));
            answer(fault, "memory:Publish", || {
                lock(&self.published).push(event.clone());
                Ok(())
            })
        };
        events.iter().map(publish).collect()
    }
}
