use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use contracts::RecordedFact;
use domain::{EventId, FactClass, OrderId};
use ports::{FactPage, FactPlace, OrderViewStore, PortError};

use crate::{Faults, bytes_of, fits, lock};

/// The facts of one order, by identity.
type View = BTreeMap<EventId, RecordedFact>;

/// Keeps the facts of every order under their identities.
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

    /// Every order and its facts, by identity.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<OrderId, Vec<RecordedFact>> {
        let orders = lock(&self.orders);
        orders.iter().map(|(order_id, view)| (order_id.clone(), view.values().cloned().collect())).collect()
    }

    /// The facts of an order that count so.
    fn of_class(&self, order_id: &OrderId, is_asked_for: impl Fn(FactClass) -> bool) -> Vec<RecordedFact> {
        let orders = lock(&self.orders);
        let facts = orders.get(order_id).into_iter().flat_map(BTreeMap::values);
        facts.filter(|fact| is_asked_for(fact.fact.class)).cloned().collect()
    }
}

impl OrderViewStore for MemoryOrderViewStore {
    async fn add(&self, order_id: &OrderId, fact: &RecordedFact) -> Result<(), PortError> {
        let operation = "memory:AddFact";
        let apply = || {
            fits(operation, bytes_of(&fact.details))?;
            let mut orders = lock(&self.orders);
            let view = orders.entry(order_id.clone()).or_default();
            view.entry(fact.fact.identity.clone()).or_insert_with(|| fact.clone());
            Ok(())
        };
        self.faults.call(operation, apply).await
    }

    async fn own_facts(&self, order_id: &OrderId) -> Result<Vec<RecordedFact>, PortError> {
        let apply = || Ok(self.of_class(order_id, |class| class == FactClass::Own));
        self.faults.call("memory:ReadOwnFacts", apply).await
    }

    async fn has_signature(&self, order_id: &OrderId) -> Result<bool, PortError> {
        let apply = || Ok(!self.of_class(order_id, |class| class == FactClass::Signature).is_empty());
        self.faults.call("memory:FindSignature", apply).await
    }

    async fn outside_facts(
        &self,
        order_id: &OrderId,
        after: Option<&FactPlace>,
        limit: usize,
    ) -> Result<FactPage, PortError> {
        let apply = || {
            let mut facts = self.of_class(order_id, |class| class != FactClass::Own);
            facts.retain(|fact| after.is_none_or(|after| FactPlace::of(fact) < *after));
            facts.sort_by_key(|fact| std::cmp::Reverse(FactPlace::of(fact)));
            Ok(FactPage::of(facts, limit))
        };
        self.faults.call("memory:ReadOutsideFacts", apply).await
    }
}
