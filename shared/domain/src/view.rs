use std::collections::{BTreeMap, BTreeSet};

use crate::{EventId, Outcome, Timestamp};

/// What kind of thing is known of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// The customer placed it.
    Placed,
    /// It keeps every rule.
    Accepted,
    /// It was refused; final.
    Rejected,
    /// Someone asked to call it off.
    CancellationRequested,
    /// It is paid and goes ahead; final.
    Confirmed,
    /// It was called off; final.
    Cancelled,
    /// Its stock is promised.
    StockReserved,
    /// Its stock is short.
    StockRejected,
    /// Its stock was given back.
    StockReleased,
    /// The provider was asked for the money.
    PaymentRequested,
    /// The money is there.
    PaymentCaptured,
    /// The money will not come.
    PaymentFailed,
    /// The money is to go back.
    RefundRequested,
    /// The fulfilment centre was told to send it.
    ShipmentScheduled,
    /// The fulfilment centre was told not to send it.
    ShipmentCancelled,
    /// A carrier has a parcel of it.
    ParcelPickedUp,
    /// A parcel of it moved.
    DeliveryStatusChanged,
    /// A parcel of it was handed over.
    SignatureCollected,
}

/// One thing known of an order: an event that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Which event. Two deliveries of one event are one fact.
    pub event_id: EventId,
    /// What happened.
    pub kind: FactKind,
    /// When it happened, by its producer's clock.
    pub at: Timestamp,
    /// The event that caused it, where there was one.
    pub caused_by: Option<EventId>,
}

/// Where an order stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing but its existence is known.
    Placed,
    /// It keeps every rule.
    Accepted,
    /// Its stock is promised.
    StockReserved,
    /// The provider was asked for the money.
    AwaitingPayment,
    /// It is paid and goes ahead.
    Confirmed,
    /// The fulfilment centre was told to send it.
    ShipmentScheduled,
    /// A carrier has it.
    Shipped,
    /// It was handed over.
    Delivered,
    /// It was refused.
    Rejected,
    /// It was called off.
    Cancelled,
}

impl Status {
    /// The name under which it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Accepted => "accepted",
            Self::StockReserved => "stock_reserved",
            Self::AwaitingPayment => "awaiting_payment",
            Self::Confirmed => "confirmed",
            Self::ShipmentScheduled => "shipment_scheduled",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The read model of one order: a set of facts, and what follows from the set.
///
/// A set has no order of arrival and no duplicates, so neither has anything here: any delivery of the same
/// events, in any order, any number of times, gives the same view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderView {
    facts: BTreeMap<EventId, Fact>,
}

impl OrderView {
    /// Adds a fact. The first one under an event id stays; a later one with the same id is a redelivery.
    pub fn add(&mut self, fact: Fact) {
        self.facts.entry(fact.event_id.clone()).or_insert(fact);
    }

    /// True when nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// How the order ended: of the final facts the earliest, and of two in one millisecond the smaller id. There
    /// is more than one only when someone other than the order's own functions published one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.facts
            .values()
            .filter_map(|fact| Some((fact, final_outcome(fact.kind)?)))
            .min_by_key(|(fact, _)| (fact.at, &fact.event_id))
            .map(|(_, outcome)| outcome)
    }

    /// Where the order stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let has = |kind| self.facts.values().any(|fact| fact.kind == kind);
        match self.outcome() {
            Some(Outcome::Rejected) => Status::Rejected,
            Some(Outcome::Cancelled) => Status::Cancelled,
            _ if has(FactKind::SignatureCollected) => Status::Delivered,
            _ if has(FactKind::ParcelPickedUp) => Status::Shipped,
            _ if has(FactKind::ShipmentScheduled) => Status::ShipmentScheduled,
            Some(Outcome::Confirmed) => Status::Confirmed,
            None if has(FactKind::PaymentRequested) => Status::AwaitingPayment,
            None if has(FactKind::StockReserved) => Status::StockReserved,
            None if has(FactKind::Accepted) => Status::Accepted,
            None => Status::Placed,
        }
    }

    /// The facts with every cause before its effects, otherwise by time and id. A circle of causes, which only a
    /// faulty producer makes, is broken at its earliest fact.
    #[must_use]
    pub fn history(&self) -> Vec<&Fact> {
        let mut waiting: Vec<&Fact> = self.facts.values().collect();
        waiting.sort_by_key(|fact| (fact.at, &fact.event_id));
        let mut unseen: BTreeSet<&EventId> = self.facts.keys().collect();
        let mut history = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let is_ready = |fact: &&Fact| fact.caused_by.as_ref().is_none_or(|cause| !unseen.contains(cause));
            let next = waiting.remove(waiting.iter().position(is_ready).unwrap_or(0));
            unseen.remove(&next.event_id);
            history.push(next);
        }
        history
    }
}

fn final_outcome(kind: FactKind) -> Option<Outcome> {
    match kind {
        FactKind::Confirmed => Some(Outcome::Confirmed),
        FactKind::Cancelled => Some(Outcome::Cancelled),
        FactKind::Rejected => Some(Outcome::Rejected),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [FactKind; 18] = [
        FactKind::Placed,
        FactKind::Accepted,
        FactKind::Rejected,
        FactKind::CancellationRequested,
        FactKind::Confirmed,
        FactKind::Cancelled,
        FactKind::StockReserved,
        FactKind::StockRejected,
        FactKind::StockReleased,
        FactKind::PaymentRequested,
        FactKind::PaymentCaptured,
        FactKind::PaymentFailed,
        FactKind::RefundRequested,
        FactKind::ShipmentScheduled,
        FactKind::ShipmentCancelled,
        FactKind::ParcelPickedUp,
        FactKind::DeliveryStatusChanged,
        FactKind::SignatureCollected,
    ];

    fn event_id(number: usize) -> EventId {
        EventId::parse(&format!("e-{number}")).unwrap()
    }

    fn fact(number: usize, kind: FactKind, at: i64, cause: Option<usize>) -> Fact {
        Fact {
            event_id: event_id(number),
            kind,
            at: Timestamp::from_unix_ms(at),
            caused_by: cause.map(event_id),
        }
    }

    fn view(facts: &[Fact]) -> OrderView {
        let mut view = OrderView::default();
        facts.iter().cloned().for_each(|fact| view.add(fact));
        view
    }

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let one = (0..KINDS.len(), 0_i64..10, prop::option::of(0_usize..30));
        prop::collection::vec(one, 0..30).prop_map(|parts| {
            let number = |(number, (kind, at, cause))| fact(number, KINDS[kind], at, cause);
            parts.into_iter().enumerate().map(number).collect()
        })
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_and_any_duplicates_give_the_same_view(
            (facts, shuffled) in facts().prop_flat_map(|facts| {
                let twice: Vec<Fact> = facts.iter().chain(&facts).cloned().collect();
                (Just(facts), Just(twice).prop_shuffle())
            }),
        ) {
            let (once, again) = (view(&facts), view(&shuffled));
            prop_assert_eq!(&once, &again);
            prop_assert_eq!(once.status(), again.status());
            prop_assert_eq!(once.history(), again.history());
        }

        #[test]
        fn history_holds_every_fact_and_no_effect_precedes_its_cause(facts in facts()) {
            // Causes with smaller numbers only: no circles.
            let facts: Vec<Fact> = facts.into_iter().enumerate().map(|(number, mut fact)| {
                fact.caused_by = fact.caused_by.filter(|cause| (0..number).any(|earlier| *cause == event_id(earlier)));
                fact
            }).collect();
            let view = view(&facts);
            let history = view.history();
            prop_assert_eq!(history.len(), facts.len());
            let position = |id: &EventId| history.iter().position(|fact| fact.event_id == *id);
            for (index, fact) in history.iter().enumerate() {
                if let Some(cause) = fact.caused_by.as_ref().and_then(position) {
                    prop_assert!(cause < index);
                }
            }
        }

        #[test]
        fn history_ends_even_when_causes_form_a_circle(facts in facts()) {
            let facts = facts.into_iter().map(|fact| Fact { caused_by: Some(event_id(0)), ..fact });
            let facts: Vec<Fact> = facts.collect();
            prop_assert_eq!(view(&facts).history().len(), facts.len());
        }
    }

    #[test]
    fn the_first_final_fact_wins() {
        let both = [
            fact(1, FactKind::Placed, 0, None),
            fact(2, FactKind::Cancelled, 2, Some(1)),
            fact(3, FactKind::Confirmed, 1, Some(1)),
        ];
        assert_eq!(view(&both).outcome(), Some(Outcome::Confirmed));
    }

    #[test]
    fn the_status_follows_the_order_along_its_way() {
        let way = [
            (FactKind::Placed, Status::Placed),
            (FactKind::Accepted, Status::Accepted),
            (FactKind::StockReserved, Status::StockReserved),
            (FactKind::PaymentRequested, Status::AwaitingPayment),
            (FactKind::PaymentCaptured, Status::AwaitingPayment),
            (FactKind::Confirmed, Status::Confirmed),
            (FactKind::ShipmentScheduled, Status::ShipmentScheduled),
            (FactKind::ParcelPickedUp, Status::Shipped),
            (FactKind::SignatureCollected, Status::Delivered),
        ];
        let mut view = OrderView::default();
        for (number, (kind, status)) in way.into_iter().enumerate() {
            view.add(fact(number, kind, i64::try_from(number).unwrap(), None));
            assert_eq!(view.status(), status);
        }
    }
}
