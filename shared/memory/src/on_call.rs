use std::sync::{Arc, Mutex};

use ports::{Alert, OnCall, PortError};

use crate::{Faults, lock};

/// Collects what whoever is on call was told.
#[derive(Debug, Clone, Default)]
pub struct MemoryOnCall {
    alerts: Arc<Mutex<Vec<Alert>>>,
    faults: Faults,
}

impl MemoryOnCall {
    /// Calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every alert, repetitions included, in order.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        lock(&self.alerts).clone()
    }
}

impl OnCall for MemoryOnCall {
    async fn alert(&self, alert: &Alert) -> Result<(), PortError> {
        let apply = || {
            lock(&self.alerts).push(alert.clone());
            Ok(())
        };
        self.faults.call("memory:Alert", apply).await
    }
}
