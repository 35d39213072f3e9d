use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

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
    /// Its shipment has left the fulfilment centre.
    ShipmentDeparted,
    /// A carrier says that it has a parcel of it.
    ParcelPickedUp,
    /// A parcel of it moved.
    DeliveryStatusChanged,
    /// A parcel of it was handed over.
    SignatureCollected,
}

/// What a fact counts for. It depends on who said it, which no sender can choose.
///
/// Of the first class an order has about twenty facts at most, because the process makes no more. Of the others it has as
/// many as carriers and providers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactClass {
    /// What one of Orderbus's own functions committed. Nothing else decides how an order ends.
    Own,
    /// That a parcel was handed over, as whoever brought it says.
    Signature,
    /// Anything else that is said from outside.
    Outside,
}

impl FactClass {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Own, Self::Signature, Self::Outside];
}

/// One thing known of an order: an event that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What the event is known by: no sender can take the identity of another's. Two deliveries of one event are one
    /// fact.
    pub identity: EventId,
    /// The id that its sender gave it.
    pub event_id: EventId,
    /// What happened.
    pub kind: FactKind,
    /// What it counts for.
    pub class: FactClass,
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
/// events, in any order, any number of times, gives the same view. Of the facts from outside it may hold some only: outcome
/// and status do not depend on them, but for [`OrderView::note_signature`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderView {
    facts: BTreeMap<EventId, Fact>,
    has_signature: bool,
}

impl OrderView {
    /// Adds a fact. The first one under an identity stays; a later one with the same identity is a redelivery.
    pub fn add(&mut self, fact: Fact) {
        self.has_signature |= fact.class == FactClass::Signature;
        self.facts.entry(fact.identity.clone()).or_insert(fact);
    }

    /// Says that there is a fact of the class [`FactClass::Signature`], which need not be one of those here.
    pub fn note_signature(&mut self) {
        self.has_signature = true;
    }

    /// How the order ended: of the final facts of our own the earliest, and of two in one millisecond the smaller id.
    /// Whatever is said from outside changes nothing about it.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.own_facts()
            .filter_map(|fact| Some((fact, final_outcome(fact.kind)?)))
            .min_by_key(|(fact, _)| (fact.at, &fact.identity))
            .map(|(_, outcome)| outcome)
    }

    /// Where the order stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let has = |kind| self.own_facts().any(|fact| fact.kind == kind);
        match self.outcome() {
            Some(Outcome::Rejected) => Status::Rejected,
            Some(Outcome::Cancelled) => Status::Cancelled,
            // What carriers say counts once our own record agrees that the shipment left.
            _ if has(FactKind::ShipmentDeparted) && self.has_signature => Status::Delivered,
            _ if has(FactKind::ShipmentDeparted) => Status::Shipped,
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
    ///
    /// A cause is named by its raw id, which several senders can use: the fact that is known by the id itself, which is
    /// one of Orderbus's own, comes first, then the earliest. Takes O(n log n) for n facts.
    #[must_use]
    pub fn history(&self) -> Vec<&Fact> {
        let mut facts: Vec<&Fact> = self.facts.values().collect();
        facts.sort_by_key(|fact| (fact.at, &fact.event_id, &fact.identity));
        let mut positions: BTreeMap<&EventId, usize> = BTreeMap::new();
        for (position, fact) in facts.iter().enumerate() {
            if fact.identity == fact.event_id {
                positions.insert(&fact.event_id, position);
            } else {
                positions.entry(&fact.event_id).or_insert(position);
            }
        }
        let mut effects: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut ready = BinaryHeap::new();
        let mut waiting = BTreeSet::new();
        for (position, fact) in facts.iter().enumerate() {
            match fact.caused_by.as_ref().and_then(|cause| positions.get(cause)) {
                None => ready.push(Reverse(position)),
                Some(cause) => {
                    effects.entry(*cause).or_default().push(position);
                    waiting.insert(position);
                }
            }
        }
        let mut history = Vec::with_capacity(facts.len());
        // Where nothing is ready, only circles are left.
        while let Some(next) = ready.pop().map(|Reverse(next)| next).or_else(|| waiting.pop_first()) {
            history.extend(facts.get(next));
            for effect in effects.remove(&next).unwrap_or_default() {
                if waiting.remove(&effect) {
                    ready.push(Reverse(effect));
                }
            }
        }
        history
    }

    fn own_facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values().filter(|fact| fact.class == FactClass::Own)
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

    const KINDS: [FactKind; 19] = [
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
        FactKind::ShipmentDeparted,
        FactKind::ParcelPickedUp,
        FactKind::DeliveryStatusChanged,
        FactKind::SignatureCollected,
    ];

    fn event_id(number: usize) -> EventId {
        EventId::parse(&format!("e-{number}")).unwrap()
    }

    fn fact(number: usize, kind: FactKind, at: i64, cause: Option<usize>) -> Fact {
        Fact {
            identity: event_id(number),
            event_id: event_id(number),
            kind,
            class: if kind == FactKind::SignatureCollected { FactClass::Signature } else { FactClass::Own },
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
        fn nothing_from_outside_changes_how_an_order_ends(facts in facts(), claims in facts(), is_signed in any::<bool>()) {
            let own = facts.into_iter().map(|fact| Fact { class: FactClass::Own, ..fact });
            let mut ours = OrderView::default();
            own.for_each(|fact| ours.add(fact));
            let mut both = ours.clone();
            for (number, claim) in claims.into_iter().enumerate() {
                // Under an id of ours; the identity is another, which no sender can choose.
                both.add(Fact { identity: event_id(100 + number), class: FactClass::Outside, ..claim });
            }
            if is_signed {
                ours.note_signature();
                both.add(Fact { class: FactClass::Signature, ..fact(200, FactKind::SignatureCollected, 0, None) });
            }
            prop_assert_eq!(both.outcome(), ours.outcome());
            prop_assert_eq!(both.status(), ours.status());
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
            (FactKind::ParcelPickedUp, Status::ShipmentScheduled),
            (FactKind::ShipmentDeparted, Status::Shipped),
            (FactKind::SignatureCollected, Status::Delivered),
        ];
        let mut view = OrderView::default();
        for (number, (kind, status)) in way.into_iter().enumerate() {
            view.add(fact(number, kind, i64::try_from(number).unwrap(), None));
            assert_eq!(view.status(), status);
        }
    }
}
