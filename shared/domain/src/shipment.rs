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
