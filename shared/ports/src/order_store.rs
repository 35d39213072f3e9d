use contracts::{Money, OrderAccepted, Personal, Reason};
use domain::{EventId, OrderId, Outcome, Settlement, Timestamp};

use crate::{Commit, PortError};

/// An order as the API took it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Derived from the idempotency key.
    pub order_id: OrderId,
    /// SHA-256 of the request, in hexadecimal.
    pub request_hash: String,
    /// When it was first taken in.
    pub placed_at: Timestamp,
    /// The trace of the first request.
    pub traceparent: Option<String>,
}

/// What the order's rules said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderDecision {
    /// It keeps every rule.
    Accepted {
        /// What was ordered.
        order: Box<OrderAccepted>,
        /// Whom to deliver to.
        personal: Box<Personal>,
    },
    /// It breaks these.
    Rejected(Vec<Reason>),
}

/// A decision to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Which order.
    pub order_id: OrderId,
    /// What was decided.
    pub decision: OrderDecision,
    /// The event that decided it.
    pub decided_by: EventId,
    /// When it was decided.
    pub decided_at: Timestamp,
}

impl Registration {
    /// What stands once this is written.
    #[must_use]
    pub fn registered(&self) -> Registered {
        Registered {
            decided_by: self.decided_by.clone(),
            decided_at: self.decided_at,
            rejection: match &self.decision {
                OrderDecision::Accepted { .. } => None,
                OrderDecision::Rejected(reasons) => Some(reasons.clone()),
            },
            total: match &self.decision {
                OrderDecision::Accepted { order, .. } => Some(order.total.clone()),
                OrderDecision::Rejected(_) => None,
            },
        }
    }
}

/// A decision as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The event that decided it.
    pub decided_by: EventId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Why the order was rejected; `None` when it was accepted.
    pub rejection: Option<Vec<Reason>>,
    /// What is asked for the order; `None` when it was rejected.
    pub total: Option<Money>,
}

/// What stands of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// Set once there is a decision about the order.
    pub registered: Option<Registered>,
    /// Set once the order has ended.
    pub settlement: Option<Settlement>,
    /// True once checkout has decided to ask for the payment. Checkout asks after that, so no honest answer comes before it.
    pub payment_asked: bool,
}

/// What noting that a customer calls an order off came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOff {
    /// It has not ended. The customer called it off at this instant: the first one, however often it is noted.
    Noted(Timestamp),
    /// It has ended like this.
    Ended(Outcome),
    /// There is no such order.
    Unknown,
}

/// The order context's own record of every order.
pub trait OrderStore: Send + Sync {
    /// Takes an order in.
    ///
    /// MUST write only when no request was taken in under this id, and otherwise answer the one that was. MUST leave
    /// what [`OrderStore::register`] and [`OrderStore::settle`] wrote: they may have come first.
    fn open(&self, order: &NewOrder) -> impl Future<Output = Result<Commit<NewOrder>, PortError>> + Send;

    /// Writes the decision about an order, whether or not it was taken in by [`OrderStore::open`].
    ///
    /// MUST write only when there is no decision yet. A rejection MUST also settle the order as rejected, in the same
    /// write, unless it is settled already. MUST answer what stands afterwards, whoever wrote it.
    fn register(
        &self,
        registration: &Registration,
    ) -> impl Future<Output = Result<OrderRecord, PortError>> + Send;

    /// Settles an order, whether or not it is known.
    ///
    /// MUST write only when the order is not settled. MUST answer the settlement that stands afterwards.
    fn settle(
        &self,
        order_id: &OrderId,
        settlement: &Settlement,
        reasons: &[Reason],
    ) -> impl Future<Output = Result<Settlement, PortError>> + Send;

    /// Notes that a customer calls an order off, which does not settle it.
    ///
    /// MUST write only when the order is known and not settled, and only the first instant: a request that is repeated
    /// because its answer got lost is the same request.
    fn call_off(
        &self,
        order_id: &OrderId,
        at: Timestamp,
    ) -> impl Future<Output = Result<CallOff, PortError>> + Send;

    /// Reads an order. MUST see every write that was answered before.
    fn find(&self, order_id: &OrderId)
    -> impl Future<Output = Result<Option<OrderRecord>, PortError>> + Send;
}
