use std::sync::{Arc, Mutex};

use ports::{FulfilmentCentre, Notice, PortError};

use crate::{Faults, Keeps, lock};

/// Collects the notices to the fulfilment centre.
#[derive(Clone, Default)]
pub struct MemoryFulfilmentCentre {
    notices: Arc<Mutex<Vec<Notice>>>,
    faults: Faults,
}

impl MemoryFulfilmentCentre {
    /// A fulfilment centre whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every notice accepted, in order, repetitions included.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.notices).clone()
    }
}

impl Keeps for MemoryFulfilmentCentre {
    type Content = Vec<Notice>;

    fn content(&self) -> &Mutex<Self::Content> {
        &self.notices
    }
}

impl FulfilmentCentre for MemoryFulfilmentCentre {
    async fn tell(&self, notice: &Notice) -> Result<(), PortError> {
        let apply = || {
            lock(&self.notices).push(notice.clone());
            Ok(())
        };
        self.faults.call("memory:Tell", apply).await
    }
}
