use crate::{EventId, Timestamp};

/// The shipment of one order, and how it ended. Each part is written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// What was decided when the order's confirmation, or its cancellation, was first heard of.
    pub decision: ShipmentDecision,
    /// The event that decided it.
    pub decided_by: EventId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// How a scheduled shipment ended, once it has.
    pub closing: Option<ShipmentClosing>,
}

/// The decision about the shipment of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShipmentDecision {
    /// The fulfilment centre is to send it.
    Scheduled,
    /// The order was cancelled before it was confirmed here; a confirmation that comes later is refused.
    Barred,
}

/// The end of a scheduled shipment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipmentClosing {
    /// How.
    pub end: ShipmentEnd,
    /// The event that ended it.
    pub decided_by: EventId,
    /// When it ended.
    pub decided_at: Timestamp,
}

/// How a scheduled shipment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShipmentEnd {
    /// Called off before it left.
    Cancelled,
    /// A carrier has it; it can no longer be called off.
    Left,
}

impl Shipment {
    /// Ends a scheduled shipment. Nothing changes, and the answer is `false`, when it has ended or was never scheduled.
    #[must_use]
    pub fn close(&mut self, closing: ShipmentClosing) -> bool {
        let is_open = self.decision == ShipmentDecision::Scheduled && self.closing.is_none();
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

    fn closing(end: ShipmentEnd, number: usize) -> ShipmentClosing {
        let decided_by = EventId::parse(&format!("close-{number}")).unwrap();
        ShipmentClosing { end, decided_by, decided_at: Timestamp::from_unix_ms(0) }
    }

    proptest! {
        #[test]
        fn a_shipment_ends_once_and_only_if_it_was_scheduled(
            decision in prop_oneof![Just(ShipmentDecision::Scheduled), Just(ShipmentDecision::Barred)],
            ends in prop::collection::vec(prop_oneof![Just(ShipmentEnd::Cancelled), Just(ShipmentEnd::Left)], 0..8),
        ) {
            let decided_by = EventId::parse("e-1").unwrap();
            let decided_at = Timestamp::from_unix_ms(0);
            let mut shipment = Shipment { decision, decided_by, decided_at, closing: None };
            let is_scheduled = decision == ShipmentDecision::Scheduled;
            for (number, end) in ends.iter().enumerate() {
                prop_assert_eq!(shipment.close(closing(*end, number)), is_scheduled && number == 0);
            }
            prop_assert_eq!(shipment.closing, ends.first().filter(|_| is_scheduled).map(|end| closing(*end, 0)));
        }
    }
}
