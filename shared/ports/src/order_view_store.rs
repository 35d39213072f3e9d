use contracts::RecordedFact;
use domain::{EventId, OrderId, Timestamp};

use crate::PortError;

/// The read model: what is known of each order.
///
/// What Orderbus's own functions committed ([`FactClass::Own`](domain::FactClass::Own)) is kept apart from what carriers,
/// providers and partners say. Of the former an order has about twenty facts; of the latter as many as they send, and no
/// number of them MUST keep a fact from being added, or make [`own_facts`](Self::own_facts) or
/// [`has_signature`](Self::has_signature) slower.
pub trait OrderViewStore: Send + Sync {
    /// Adds a fact to an order.
    ///
    /// MUST keep every fact under its identity and MUST NOT replace one: facts are a set, in which neither the order
    /// of arrival nor duplicates show. Each fact is a record of its own: one that is larger than
    /// [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX) is refused, whatever else is known of the order.
    fn add(
        &self,
        order_id: &OrderId,
        fact: &RecordedFact,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Every fact of our own about an order, in any order; none from outside. Empty when nothing is known. MUST see every
    /// write that was answered before.
    fn own_facts(
        &self,
        order_id: &OrderId,
    ) -> impl Future<Output = Result<Vec<RecordedFact>, PortError>> + Send;

    /// Whether the order has a fact of the class [`FactClass::Signature`](domain::FactClass::Signature). MUST see every write
    /// that was answered before.
    fn has_signature(&self, order_id: &OrderId) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Up to `limit` (at least 1) facts from outside about an order, signatures among them, the newest first; of two in one
    /// millisecond the one with the larger identity. `after` is the [`FactPage::next`] of the page before.
    ///
    /// Page after page, MUST give every fact once that was there from the beginning, whatever is added meanwhile. MAY miss
    /// what was added a moment ago. A page has no limit in bytes: a reader whose answer has one shortens it.
    fn outside_facts(
        &self,
        order_id: &OrderId,
        after: Option<&FactPlace>,
        limit: usize,
    ) -> impl Future<Output = Result<FactPage, PortError>> + Send;
}

/// Some of the facts from outside about an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactPage {
    /// The facts, the newest first.
    pub facts: Vec<RecordedFact>,
    /// Where to go on. `None` when there are no more.
    pub next: Option<FactPlace>,
}

impl FactPage {
    /// The page of the first `limit` of these facts.
    #[must_use]
    pub fn of(mut facts: Vec<RecordedFact>, limit: usize) -> Self {
        let has_more = facts.len() > limit;
        facts.truncate(limit);
        let next = facts.last().filter(|_| has_more).map(FactPlace::of);
        Self { facts, next }
    }

    /// The first `count` (at least 1) of its facts, for a reader who has no room for all.
    #[must_use]
    pub fn shortened_to(self, count: usize) -> Self {
        if count < self.facts.len() { Self::of(self.facts, count) } else { self }
    }
}

/// A place in the sequence of an order's facts from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactPlace {
    /// When the fact at this place happened.
    pub at: Timestamp,
    /// Its identity.
    pub identity: EventId,
}

impl FactPlace {
    /// The place of a fact.
    #[must_use]
    pub fn of(recorded: &RecordedFact) -> Self {
        Self { at: recorded.fact.at, identity: recorded.fact.identity.clone() }
    }
}
