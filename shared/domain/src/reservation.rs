use crate::{EventId, Shortage, StockLine, Timestamp};

/// What inventory decided about one order, and how that ended. Each part is written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// What was decided when the order, or its end, was first heard of.
    pub decision: StockDecision,
    /// The event that decided it. A repeated delivery of that event repeats its publications; any other event
    /// that finds the decision made publishes nothing.
    pub decided_by: EventId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// How a promise ended, once it has.
    pub closing: Option<Closing>,
}

/// The decision about the stock of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StockDecision {
    /// Every line is promised.
    Reserved(Vec<StockLine>),
    /// At least one line was short, so nothing was promised. Durable: a restock does not change it.
    Rejected(Vec<Shortage>),
    /// The order was closed before inventory heard of it; a reservation that comes later is refused.
    Barred,
}

/// The end of a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// How.
    pub end: StockEnd,
    /// The event that ended it.
    pub decided_by: EventId,
    /// When it ended.
    pub decided_at: Timestamp,
}

/// How a promise ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StockEnd {
    /// Taken back: from reserved to available.
    Released,
    /// Fulfilled: from reserved to shipped.
    Shipped,
}

impl Reservation {
    /// The lines that are promised now: those that a closing would move. `None` when nothing is held.
    #[must_use]
    pub fn held(&self) -> Option<&[StockLine]> {
        match (&self.decision, &self.closing) {
            (StockDecision::Reserved(lines), None) => Some(lines),
            _ => None,
        }
    }

    /// Ends the promise. Nothing changes, and the answer is `false`, when nothing is held: a promise ends once, and what
    /// was never promised cannot end.
    #[must_use]
    pub fn close(&mut self, closing: Closing) -> bool {
        let is_open = self.held().is_some();
        if is_open {
            self.closing = Some(closing);
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Quantity, Sku};

    fn closing(end: StockEnd, number: usize) -> Closing {
        let decided_by = EventId::parse(&format!("close-{number}")).unwrap();
        Closing { end, decided_by, decided_at: Timestamp::from_unix_ms(0) }
    }

    fn decision() -> impl Strategy<Value = StockDecision> {
        prop_oneof![
            Just(StockDecision::Reserved(vec![])),
            Just(StockDecision::Rejected(vec![])),
            Just(StockDecision::Barred)
        ]
    }

    proptest! {
        #[test]
        fn a_promise_ends_once_and_only_a_promise_ends(
            decision in decision(),
            ends in prop::collection::vec(prop_oneof![Just(StockEnd::Released), Just(StockEnd::Shipped)], 0..8),
        ) {
            let mut reservation = reservation(decision.clone(), None);
            let is_promise = matches!(decision, StockDecision::Reserved(_));
            for (number, end) in ends.iter().enumerate() {
                prop_assert_eq!(reservation.close(closing(*end, number)), is_promise && number == 0);
            }
            let expected = ends.first().filter(|_| is_promise).map(|end| closing(*end, 0));
            prop_assert_eq!(&reservation.closing, &expected);
            prop_assert_eq!(reservation.decision, decision);
        }
    }

    fn reservation(decision: StockDecision, end: Option<StockEnd>) -> Reservation {
        let decided_by = EventId::parse("e-1").unwrap();
        let decided_at = Timestamp::from_unix_ms(0);
        let closing = end.map(|end| Closing { end, decided_by: decided_by.clone(), decided_at });
        Reservation { decision, decided_by, decided_at, closing }
    }

    #[test]
    fn only_an_open_promise_holds_stock() {
        let lines = vec![StockLine { sku: Sku::parse("A").unwrap(), quantity: Quantity::new(1).unwrap() }];
        let reserved = StockDecision::Reserved(lines.clone());
        assert_eq!(reservation(reserved.clone(), None).held(), Some(lines.as_slice()));
        assert_eq!(reservation(reserved.clone(), Some(StockEnd::Released)).held(), None);
        assert_eq!(reservation(reserved, Some(StockEnd::Shipped)).held(), None);
        assert_eq!(reservation(StockDecision::Rejected(vec![]), None).held(), None);
        assert_eq!(reservation(StockDecision::Barred, None).held(), None);
    }
}
