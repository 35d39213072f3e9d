use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex};

use domain::{Attempt, RedriveKey};
use ports::{PortError, Redrive, RedriveTargets, Target, attempt_attributes};

use crate::{Faults, MemoryQueues, lock};

const SEND: &str = "memory:Redrive";
const BACKLOG: &str = "memory:Backlog";

/// Consumers' queues among [`MemoryQueues`], and what was given to the checkout and to the bus.
#[derive(Debug, Clone)]
pub struct MemoryRedriveTargets {
    queues: MemoryQueues,
    /// The name of each consumer's queue.
    consumers: BTreeMap<String, String>,
    checkouts: Arc<Mutex<BTreeMap<(RedriveKey, u32), String>>>,
    on_bus: Arc<Mutex<Vec<(String, Attempt)>>>,
    faults: Faults,
}

impl MemoryRedriveTargets {
    /// Consumers, each with the name of its queue.
    #[must_use]
    pub fn new(queues: MemoryQueues, consumers: BTreeMap<String, String>) -> Self {
        Self::with_faults(queues, consumers, Faults::default())
    }

    /// The same; calls can be lost.
    #[must_use]
    pub fn with_faults(queues: MemoryQueues, consumers: BTreeMap<String, String>, faults: Faults) -> Self {
        let (checkouts, on_bus) = (Arc::default(), Arc::default());
        Self { queues, consumers, checkouts, on_bus, faults }
    }

    /// What each checkout was started with, by key and generation.
    #[must_use]
    pub fn checkouts(&self) -> BTreeMap<(RedriveKey, u32), String> {
        lock(&self.checkouts).clone()
    }

    /// What was put on the bus, repetitions included, leaving nothing behind.
    #[must_use]
    pub fn take_from_bus(&self) -> Vec<(String, Attempt)> {
        mem::take(&mut *lock(&self.on_bus))
    }

    fn queue_of(&self, operation: &'static str, consumer: &str) -> Result<&str, PortError> {
        let queue = self.consumers.get(consumer).filter(|queue| self.queues.exists(queue));
        // As on AWS: a deployment mends it.
        queue.map(String::as_str).ok_or_else(|| PortError::transient(operation, "there is no such queue"))
    }

    fn apply(&self, target: &Target, redrive: &Redrive<'_>) -> Result<(), PortError> {
        match target {
            Target::Consumer(name) => {
                let queue = self.queue_of(SEND, name)?;
                let attributes = attempt_attributes(redrive.attempt);
                let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
                self.queues.send(queue, redrive.body, attributes.collect());
            }
            Target::Checkout => {
                let name = (redrive.key.clone(), redrive.attempt.generation);
                lock(&self.checkouts).entry(name).or_insert_with(|| redrive.body.to_owned());
            }
            Target::Bus => lock(&self.on_bus).push((redrive.body.to_owned(), redrive.attempt)),
        }
        Ok(())
    }
}

impl RedriveTargets for MemoryRedriveTargets {
    async fn send(&self, target: &Target, redrive: &Redrive<'_>) -> Result<(), PortError> {
        self.faults.call(SEND, || self.apply(target, redrive)).await
    }

    async fn backlog(&self, target: &Target) -> Result<u64, PortError> {
        let apply = || match target {
            Target::Consumer(name) => Ok(self.queues.visible(self.queue_of(BACKLOG, name)?) as u64),
            Target::Checkout | Target::Bus => Ok(0),
        };
        self.faults.call(BACKLOG, apply).await
    }
}
