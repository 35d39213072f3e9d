use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use domain::QuarantineId;
use ports::{Commit, PortError, QuarantineObject, QuarantineStore};

use crate::{Faults, lock};

/// Keeps what was given up on, by id.
#[derive(Debug, Clone, Default)]
pub struct MemoryQuarantineStore {
    objects: Arc<Mutex<BTreeMap<QuarantineId, QuarantineObject>>>,
    faults: Faults,
}

impl MemoryQuarantineStore {
    /// A store whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every object, by id.
    #[must_use]
    pub fn objects(&self) -> Vec<QuarantineObject> {
        lock(&self.objects).values().cloned().collect()
    }
}

impl QuarantineStore for MemoryQuarantineStore {
    async fn keep(&self, object: &QuarantineObject) -> Result<Commit<()>, PortError> {
        let apply = || match lock(&self.objects).entry(object.id.clone()) {
            Entry::Occupied(_) => Ok(Commit::Existing(())),
            Entry::Vacant(free) => {
                free.insert(object.clone());
                Ok(Commit::Written)
            }
        };
        self.faults.call("memory:KeepQuarantined", apply).await
    }

    async fn find(&self, id: &QuarantineId) -> Result<Option<QuarantineObject>, PortError> {
        self.faults.call("memory:FindQuarantined", || Ok(lock(&self.objects).get(id).cloned())).await
    }

    async fn ids(
        &self,
        prefix: &str,
        after: Option<&QuarantineId>,
        limit: usize,
    ) -> Result<Vec<QuarantineId>, PortError> {
        let apply = || {
            let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
            let objects = lock(&self.objects);
            let ids = objects.range::<QuarantineId, _>((begin, Bound::Unbounded)).map(|(id, _)| id);
            Ok(ids.filter(|id| id.as_str().starts_with(prefix)).take(limit).cloned().collect())
        };
        self.faults.call("memory:QuarantinedIds", apply).await
    }
}
