use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use contracts::Reason;
use domain::{OrderId, Outcome, Settlement, Timestamp};
use ports::{CallOff, Commit, NewOrder, OrderDecision, OrderRecord, OrderStore, PortError, Registration};

use crate::{Faults, Keeps, bytes_of, fits, lock};

/// All that is kept of one order. Each part is written once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredOrder {
    /// As the API took it in.
    pub opened: Option<NewOrder>,
    /// What its rules said.
    pub registration: Option<Registration>,
    /// When its customer called it off.
    pub called_off_at: Option<Timestamp>,
    /// How it ended.
    pub settlement: Option<Settlement>,
    /// Why it ended so.
    pub reasons: Vec<Reason>,
    /// Which checkout claimed it.
    pub claim: Option<CheckoutClaim>,
}

/// What checkout's state machine writes when it claims an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutClaim {
    /// The execution's name.
    pub execution: String,
    /// True when the order was accepted by then: its payment is asked for.
    pub was_accepted: bool,
}

/// Keeps the order context's record of every order.
#[derive(Debug, Clone, Default)]
pub struct MemoryOrderStore {
    orders: Arc<Mutex<BTreeMap<OrderId, StoredOrder>>>,
    faults: Faults,
}

impl MemoryOrderStore {
    /// A store whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// All that is kept of one order.
    #[must_use]
    pub fn order(&self, order_id: &OrderId) -> Option<StoredOrder> {
        lock(&self.orders).get(order_id).cloned()
    }

    /// Every order.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<OrderId, StoredOrder> {
        lock(&self.orders).clone()
    }

    /// Claims an order for an execution of checkout, as the state `ClaimOrder` does. `None` when another execution has it, or
    /// when the order has ended and its payment was not to be asked for.
    pub fn claim(&self, order_id: &OrderId, execution: &str) -> Option<StoredOrder> {
        let mut orders = lock(&self.orders);
        let stored = orders.entry(order_id.clone()).or_default();
        let (is_open, is_accepted) = (stored.settlement.is_none(), stored.is_accepted());
        let may_claim = match &stored.claim {
            None => is_open,
            Some(claim) => claim.execution == execution && (is_open || claim.was_accepted),
        };
        if !may_claim {
            return None;
        }
        stored.claim = Some(CheckoutClaim { execution: execution.to_owned(), was_accepted: is_accepted });
        Some(stored.clone())
    }

    /// Changes one order, which begins empty when it is unknown.
    async fn update<T: Debug + Clone + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        order_id: &OrderId,
        update: impl Fn(&mut StoredOrder) -> T,
    ) -> Result<T, PortError> {
        let apply = || {
            let mut orders = lock(&self.orders);
            let mut changed = orders.get(order_id).cloned().unwrap_or_default();
            let answer = update(&mut changed);
            fits(operation, changed.bytes())?;
            orders.insert(order_id.clone(), changed);
            Ok(answer)
        };
        self.faults.call(operation, apply).await
    }
}

impl Keeps for MemoryOrderStore {
    type Content = BTreeMap<OrderId, StoredOrder>;

    fn content(&self) -> &Mutex<Self::Content> {
        &self.orders
    }
}

impl OrderStore for MemoryOrderStore {
    async fn open(&self, order: &NewOrder) -> Result<Commit<NewOrder>, PortError> {
        self.update("memory:OpenOrder", &order.order_id, |stored| stored.open(order)).await
    }

    async fn register(&self, registration: &Registration) -> Result<OrderRecord, PortError> {
        let register = |stored: &mut StoredOrder| {
            stored.register(registration);
            stored.record()
        };
        self.update("memory:RegisterOrder", &registration.order_id, register).await
    }

    async fn settle(
        &self,
        order_id: &OrderId,
        settlement: &Settlement,
        reasons: &[Reason],
    ) -> Result<Settlement, PortError> {
        self.update("memory:SettleOrder", order_id, |stored| stored.settle(settlement, reasons)).await
    }

    async fn call_off(&self, order_id: &OrderId, at: Timestamp) -> Result<CallOff, PortError> {
        let apply = || {
            let mut orders = lock(&self.orders);
            Ok(orders.get_mut(order_id).map_or(CallOff::Unknown, |stored| stored.call_off(at)))
        };
        self.faults.call("memory:CallOrderOff", apply).await
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<OrderRecord>, PortError> {
        let apply = || Ok(lock(&self.orders).get(order_id).map(StoredOrder::record));
        self.faults.call("memory:FindOrder", apply).await
    }
}

impl StoredOrder {
    /// An order that was registered or settled without having been taken in is taken in beside what is there.
    fn open(&mut self, order: &NewOrder) -> Commit<NewOrder> {
        match &self.opened {
            Some(opened) => Commit::Existing(opened.clone()),
            None => {
                self.opened = Some(order.clone());
                Commit::Written
            }
        }
    }

    fn register(&mut self, registration: &Registration) {
        if self.registration.is_some() {
            return;
        }
        self.registration = Some(registration.clone());
        if let OrderDecision::Rejected(reasons) = &registration.decision {
            let rejected = Settlement {
                outcome: Outcome::Rejected,
                decided_by: registration.decided_by.clone(),
                decided_at: registration.decided_at,
            };
            self.settle(&rejected, reasons);
        }
    }

    fn settle(&mut self, settlement: &Settlement, reasons: &[Reason]) -> Settlement {
        if self.settlement.is_none() {
            reasons.clone_into(&mut self.reasons);
        }
        self.settlement.get_or_insert_with(|| settlement.clone()).clone()
    }

    fn bytes(&self) -> usize {
        let of_decision = match self.registration.as_ref().map(|registration| &registration.decision) {
            None => 0,
            Some(OrderDecision::Accepted { order, personal }) => bytes_of(order) + bytes_of(personal),
            Some(OrderDecision::Rejected(reasons)) => bytes_of(reasons),
        };
        of_decision + bytes_of(&self.reasons)
    }

    fn call_off(&mut self, at: Timestamp) -> CallOff {
        match &self.settlement {
            Some(settlement) => CallOff::Ended(settlement.outcome),
            None => CallOff::Noted(*self.called_off_at.get_or_insert(at)),
        }
    }

    fn record(&self) -> OrderRecord {
        let registered = self.registration.as_ref().map(Registration::registered);
        let payment_asked = self.claim.as_ref().is_some_and(|claim| claim.was_accepted);
        OrderRecord { registered, settlement: self.settlement.clone(), payment_asked }
    }

    fn is_accepted(&self) -> bool {
        let decision = self.registration.as_ref().map(|registration| &registration.decision);
        matches!(decision, Some(OrderDecision::Accepted { .. }))
    }
}
