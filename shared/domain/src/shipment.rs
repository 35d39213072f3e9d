use crate::{EventId, Timestamp};

/// The shipment of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// Where it stands.
    pub state: ShipmentState,
    /// The event that brought it there.
    pub decided_by: EventId,
    /// When it got there.
    pub decided_at: Timestamp,
}

/// Where a shipment stands. `Scheduled` may become `Cancelled` or `Left`; nothing else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShipmentState {
    /// The fulfilment centre was told to send it.
    Scheduled,
    /// Called off before it left, or before it was ever scheduled.
    Cancelled,
    /// A carrier has it.
    Left,
}

impl ShipmentState {
    /// True when a shipment may go from here to there.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        matches!((self, next), (Self::Scheduled, Self::Cancelled | Self::Left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipment_ends_once() {
        use ShipmentState::{Cancelled, Left, Scheduled};
        let allowed: Vec<_> = [Scheduled, Cancelled, Left]
            .into_iter()
            .flat_map(|from| [Scheduled, Cancelled, Left].map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        assert_eq!(allowed, [(Scheduled, Cancelled), (Scheduled, Left)]);
    }
}
