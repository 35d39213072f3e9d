use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use domain::{OrderId, Shipment, ShipmentClosing, ShipmentDecision, ShipmentEnd};
use ports::{Commit, Decided, PortError, ShipmentStore, ShippedOrder};

use crate::{Faults, Keeps, lock};

/// All that is kept of the shipment of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredShipment {
    /// What was decided, and how it ended.
    pub shipment: Shipment,
    /// What is to be shipped; none of an order that was barred.
    pub order: Option<ShippedOrder>,
}

/// Keeps the shipping context's record of every shipment.
#[derive(Debug, Clone, Default)]
pub struct MemoryShipmentStore {
    shipments: Arc<Mutex<BTreeMap<OrderId, StoredShipment>>>,
    faults: Faults,
}

impl MemoryShipmentStore {
    /// A store whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Every order's shipment.
    #[must_use]
    pub fn shipments(&self) -> BTreeMap<OrderId, StoredShipment> {
        lock(&self.shipments).clone()
    }

    fn decide(
        &self,
        order_id: &OrderId,
        decision: ShipmentDecision,
        order: Option<&ShippedOrder>,
        by: &Decided<'_>,
    ) -> Commit<Shipment> {
        match lock(&self.shipments).entry(order_id.clone()) {
            Entry::Occupied(known) => Commit::Existing(known.get().shipment.clone()),
            Entry::Vacant(unknown) => {
                let (decided_by, decided_at) = (by.by.clone(), by.at);
                let shipment = Shipment { decision, decided_by, decided_at, closing: None };
                unknown.insert(StoredShipment { shipment, order: order.cloned() });
                Commit::Written
            }
        }
    }
}

impl Keeps for MemoryShipmentStore {
    type Content = BTreeMap<OrderId, StoredShipment>;

    fn content(&self) -> &Mutex<Self::Content> {
        &self.shipments
    }
}

impl ShipmentStore for MemoryShipmentStore {
    async fn schedule(&self, order: &ShippedOrder, by: &Decided<'_>) -> Result<Commit<Shipment>, PortError> {
        let apply = || Ok(self.decide(&order.order_id, ShipmentDecision::Scheduled, Some(order), by));
        self.faults.call("memory:ScheduleShipment", apply).await
    }

    async fn bar(&self, order_id: &OrderId, by: &Decided<'_>) -> Result<Commit<Shipment>, PortError> {
        let apply = || Ok(self.decide(order_id, ShipmentDecision::Barred, None, by));
        self.faults.call("memory:BarShipment", apply).await
    }

    async fn close(
        &self,
        order_id: &OrderId,
        end: ShipmentEnd,
        by: &Decided<'_>,
    ) -> Result<Commit<Shipment>, PortError> {
        let operation = "memory:CloseShipment";
        let apply = || match lock(&self.shipments).get_mut(order_id) {
            None => Err(PortError::permanent(operation, "the order is unknown")),
            Some(StoredShipment { shipment, .. }) => Ok(close(shipment, end, by)),
        };
        self.faults.call(operation, apply).await
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<Shipment>, PortError> {
        let apply = || Ok(lock(&self.shipments).get(order_id).map(|stored| stored.shipment.clone()));
        self.faults.call("memory:FindShipment", apply).await
    }
}

fn close(shipment: &mut Shipment, end: ShipmentEnd, by: &Decided<'_>) -> Commit<Shipment> {
    let closing = ShipmentClosing { end, decided_by: by.by.clone(), decided_at: by.at };
    if !shipment.close(closing) {
        return Commit::Existing(shipment.clone());
    }
    Commit::Written
}
