use std::fmt;
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
    listener: Mutex<Option<Listener>>,
}

struct Listener(Box<dyn FnMut(&Outbound) + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
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

    /// Tells `listen` of every entry as the bus takes it: what delivers it to the rules' targets.
    pub fn on_published(&self, listen: impl FnMut(&Outbound) + Send + 'static) {
        *lock(&self.listener) = Some(Listener(Box::new(listen)));
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
        let fault_of_call = self.faults.arrive("memory:Publish").await;
        if let Some(answers) = self.faults.known() {
            return answers;
        }
        let publish = |event: &Outbound| {
            let fault = fault_of_call.or_else(|| self.entry_faults.fault_of(event));
            answer(fault, "memory:Publish", || {
                lock(&self.published).push(event.clone());
                if let Some(Listener(listen)) = lock(&self.listener).as_mut() {
                    listen(event);
                }
                Ok(())
            })
        };
        let answers: Vec<_> = events.iter().map(publish).collect();
        self.faults.hear("memory:Publish", &answers);
        self.faults.leave(fault_of_call).await;
        answers
    }
}
