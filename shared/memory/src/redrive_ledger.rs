use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use domain::{Attempt, Failure, Hidden, RedriveKey, RedriveRecord, Verdict};
use ports::{PortError, RedriveLedger};

use crate::{Faults, lock};

/// Keeps the record of every message that failed.
#[derive(Debug, Clone, Default)]
pub struct MemoryRedriveLedger {
    records: Arc<Mutex<BTreeMap<RedriveKey, RedriveRecord>>>,
    faults: Faults,
}

impl MemoryRedriveLedger {
    /// A ledger whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every record, by key.
    #[must_use]
    pub fn records(&self) -> BTreeMap<RedriveKey, RedriveRecord> {
        lock(&self.records).clone()
    }

    async fn note(
        &self,
        operation: &'static str,
        key: &RedriveKey,
        note: impl Fn(&mut RedriveRecord) -> bool,
    ) -> Result<(), PortError> {
        let apply = || {
            if let Some(record) = lock(&self.records).get_mut(key) {
                note(record);
            }
            Ok(())
        };
        self.faults.call(operation, apply).await
    }
}

impl RedriveLedger for MemoryRedriveLedger {
    async fn count(&self, key: &RedriveKey, failure: &Failure) -> Result<RedriveRecord, PortError> {
        let apply = || {
            let mut records = lock(&self.records);
            let record =
                records.entry(key.clone()).or_insert_with(|| RedriveRecord::begin(key.clone(), failure));
            record.count(failure);
            Ok(record.clone())
        };
        self.faults.call("memory:Count", apply).await
    }

    async fn note_hidden(
        &self,
        key: &RedriveKey,
        attempt: Attempt,
        hidden: &Hidden,
    ) -> Result<(), PortError> {
        self.note("memory:NoteHidden", key, |record| record.hide(attempt, hidden)).await
    }

    async fn quarantine(
        &self,
        key: &RedriveKey,
        generation: u32,
        verdict: &Verdict,
    ) -> Result<RedriveRecord, PortError> {
        let operation = "memory:QuarantineRecord";
        let apply = || match lock(&self.records).get_mut(key) {
            None => Err(PortError::permanent(operation, "nothing was ever counted for the message")),
            Some(record) => {
                record.quarantine(generation, verdict);
                Ok(record.clone())
            }
        };
        self.faults.call(operation, apply).await
    }

    async fn note_announced(&self, key: &RedriveKey, generation: u32) -> Result<(), PortError> {
        self.note("memory:NoteAnnounced", key, |record| record.announce(generation)).await
    }

    async fn note_released(&self, key: &RedriveKey, generation: u32) -> Result<(), PortError> {
        self.note("memory:NoteReleased", key, |record| record.release(generation)).await
    }

    async fn find(&self, key: &RedriveKey) -> Result<Option<RedriveRecord>, PortError> {
        self.faults.call("memory:FindRecord", || Ok(lock(&self.records).get(key).cloned())).await
    }

    async fn all(&self) -> Result<Vec<RedriveRecord>, PortError> {
        self.faults.call("memory:AllRecords", || Ok(lock(&self.records).values().cloned().collect())).await
    }
}
