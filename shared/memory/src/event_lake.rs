use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::Timestamp;
use ports::{Clock, Commit, EventLake, LakeObject, LakeObjects, PortError, StoredObject};

use crate::{Faults, ManualClock, lock};

/// Keeps the objects of the lake by key.
#[derive(Debug, Clone, Default)]
pub struct MemoryEventLake {
    objects: Arc<Mutex<BTreeMap<String, Written>>>,
    faults: Faults,
    clock: Option<Arc<ManualClock>>,
}

#[derive(Debug, Clone)]
struct Written {
    object: LakeObject,
    at: Timestamp,
}

impl MemoryEventLake {
    /// A lake whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// A lake that knows when an object was written; any other has written all of them in 1970.
    #[must_use]
    pub fn with_clock(faults: Faults, clock: Arc<ManualClock>) -> Self {
        Self { faults, clock: Some(clock), ..Self::default() }
    }

    /// The object under a key.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<LakeObject> {
        lock(&self.objects).get(key).map(|written| written.object.clone())
    }

    /// Every object, by key.
    #[must_use]
    pub fn objects(&self) -> Vec<LakeObject> {
        lock(&self.objects).values().map(|written| written.object.clone()).collect()
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(Timestamp::from_unix_ms(0), |clock| clock.now())
    }
}

impl EventLake for MemoryEventLake {
    async fn write_once(&self, object: LakeObject) -> Result<Commit<()>, PortError> {
        let apply = || match lock(&self.objects).entry(object.key.clone()) {
            Entry::Occupied(taken) if taken.get().object.body == object.body => Ok(Commit::Existing(())),
            Entry::Occupied(_) => {
                Err(PortError::permanent("memory:WriteOnce", "another object stands under the key"))
            }
            Entry::Vacant(free) => {
                free.insert(Written { object: object.clone(), at: self.now() });
                Ok(Commit::Written)
            }
        };
        self.faults.call("memory:WriteOnce", apply).await
    }
}

impl LakeObjects for MemoryEventLake {
    async fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PortError> {
        let apply = || {
            let objects = lock(&self.objects);
            let found = objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
            let stored = |(key, written): (&String, &Written)| StoredObject {
                key: key.clone(),
                bytes: written.object.body.len() as u64,
                modified_at: written.at,
            };
            Ok(found.map(stored).collect())
        };
        self.faults.call("memory:ListObjects", apply).await
    }

    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, PortError> {
        let apply = || {
            let objects = lock(&self.objects);
            let Some(written) = objects.get(key) else { return Ok(None) };
            let body = &written.object.body;
            let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(body.len());
            let range = range.clone().map_or(0..body.len(), |range| index(range.start)..index(range.end));
            Ok(Some(Bytes::copy_from_slice(body.get(range).unwrap_or_default())))
        };
        self.faults.call("memory:ReadObject", apply).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        let apply = || {
            let mut objects = lock(&self.objects);
            for key in keys {
                objects.remove(key);
            }
            Ok(())
        };
        self.faults.call("memory:RemoveObjects", apply).await
    }
}
