use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use ports::{Commit, EventLake, LakeObject, PortError};

use crate::{Faults, lock};

/// Keeps the objects of the lake by key.
#[derive(Debug, Clone, Default)]
pub struct MemoryEventLake {
    objects: Arc<Mutex<BTreeMap<String, LakeObject>>>,
    faults: Faults,
}

impl MemoryEventLake {
    /// A lake whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// The object under a key.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<LakeObject> {
        lock(&self.objects).get(key).cloned()
    }

    /// Every object, by key.
    #[must_use]
    pub fn objects(&self) -> Vec<LakeObject> {
        lock(&self.objects).values().cloned().collect()
    }
}

impl EventLake for MemoryEventLake {
    async fn write_once(&self, object: LakeObject) -> Result<Commit<()>, PortError> {
        let apply = || match lock(&self.objects).entry(object.key.clone()) {
            Entry::Occupied(_) => Ok(Commit::Existing(())),
            Entry::Vacant(free) => {
                free.insert(object.clone());
                Ok(Commit::Written)
            }
        };
        self.faults.call("memory:WriteOnce", apply).await
    }
}
