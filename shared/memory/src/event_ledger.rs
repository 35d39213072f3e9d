use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use domain::{EventId, Timestamp};
use ports::{AdmittedEvent, Commit, EventLedger, PortError};

use crate::{Faults, lock};

/// Keeps every event that was admitted from outside.
#[derive(Debug, Clone, Default)]
pub struct MemoryEventLedger {
    events: Arc<Mutex<BTreeMap<(String, EventId), AdmittedEvent>>>,
    faults: Faults,
}

impl MemoryEventLedger {
    /// A ledger whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every event, by its producer and its id.
    #[must_use]
    pub fn events(&self) -> BTreeMap<(String, EventId), AdmittedEvent> {
        lock(&self.events).clone()
    }
}

impl EventLedger for MemoryEventLedger {
    async fn admit(
        &self,
        producer: &str,
        id: &EventId,
        source: &str,
        fingerprint: &str,
        at: Timestamp,
    ) -> Result<Commit<AdmittedEvent>, PortError> {
        let apply = || match lock(&self.events).entry((producer.to_owned(), id.clone())) {
            Entry::Occupied(known) => Ok(Commit::Existing(known.get().clone())),
            Entry::Vacant(unknown) => {
                unknown.insert(AdmittedEvent {
                    source: source.to_owned(),
                    fingerprint: fingerprint.to_owned(),
                    admitted_at: at,
                    published_at: None,
                });
                Ok(Commit::Written)
            }
        };
        self.faults.call("memory:AdmitEvent", apply).await
    }

    async fn note_published(&self, producer: &str, id: &EventId, at: Timestamp) -> Result<(), PortError> {
        let operation = "memory:NotePublished";
        let apply = || match lock(&self.events).get_mut(&(producer.to_owned(), id.clone())) {
            None => Err(PortError::permanent(operation, "the event is unknown")),
            Some(event) => {
                event.published_at.get_or_insert(at);
                Ok(())
            }
        };
        self.faults.call(operation, apply).await
    }
}
