use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use contracts::RecordedFact;
use domain::{EventId, OrderId};
use ports::{OrderViewStore, PortError};

use crate::{Faults, bytes_of, fits, lock};

/// The facts of one order.
#[derive(Debug, Clone, Default)]
struct View {
    facts: BTreeMap<EventId, RecordedFact>,
    /// How large they are.
    bytes: usize,
}

/// Keeps the facts of every order under their event ids.
#[derive(Debug, Clone, Default)]
pub struct MemoryOrderViewStore {
    orders: Arc<Mutex<BTreeMap<OrderId, View>>>,
    faults: Faults,
}

impl MemoryOrderViewStore {
    /// A read model whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every order and its facts, by event id.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<OrderId, Vec<RecordedFact>> {
        let orders = lock(&self.orders);
        orders
            .iter()
            .map(|(order_id, view)| (order_id.clone(), view.facts.values().cloned().collect()))
            .collect()
    }
}

impl OrderViewStore for MemoryOrderViewStore {
    async fn add(&self, order_id: &OrderId, fact: &RecordedFact) -> Result<(), PortError> {
        let operation = "memory:AddFact";
        let apply = || {
            let mut orders = lock(&self.orders);
            let View { facts, bytes } = orders.entry(order_id.clone()).or_default();
            if facts.contains_key(&fact.fact.event_id) {
                return Ok(());
            }
            let bytes_then = *bytes + bytes_of(&fact.details);
            fits(operation, bytes_then)?;
            *bytes = bytes_then;
            facts.insert(fact.fact.event_id.clone(), fact.clone());
            Ok(())
        };
        self.faults.call(operation, apply).await
    }

    async fn facts(&self, order_id: &OrderId) -> Result<Vec<RecordedFact>, PortError> {
        let apply = || {
            let orders = lock(&self.orders);
            Ok(orders.get(order_id).into_iter().flat_map(|view| view.facts.values()).cloned().collect())
        };
        self.faults.call("memory:ReadFacts", apply).await
    }
}
