//! The ways an order can go, and the ends they lead to.

use contracts::{EventType, OrderRequest};
use domain::{Outcome, Reservation, ShipmentDecision, StockDecision, StockEnd};

use crate::order_of;

/// How many SKUs most orders share: few, so that their reservations are in each other's way.
pub const SKUS: [&str; 3] = ["SKU-0", "SKU-1", "SKU-2"];
/// A SKU that is never there.
pub const SOLD_OUT: &str = "SOLD-OUT";
/// A SKU of which there is less than is asked for.
pub const CONTENDED: &str = "CONTENDED";

/// What is to become of an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Way {
    /// Paid and sent.
    Shipped,
    /// Paid, sent, and fetched by a carrier.
    PickedUp,
    /// For something that is not there.
    OutOfStock,
    /// For something that is there for some of those who want it.
    Contended,
    /// Not paid: the card is declined.
    Declined,
    /// Called off while it awaits its payment.
    CalledOff,
    /// Called off before anybody heard of it.
    CalledOffBefore,
    /// Paid after it was called off.
    PaidLate,
    /// Put on the bus although it breaks the rules of orders.
    BreaksRules,
}

/// Where a way leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum End {
    /// Its shipment is scheduled.
    Scheduled,
    /// A carrier has it.
    Left,
    /// There was not enough of something.
    OutOfStock,
    /// It broke a rule.
    BrokenRules,
    /// The payment failed.
    Declined,
    /// The customer called it off in time.
    CalledOff,
    /// The customer called it off in advance.
    CalledOffBefore,
    /// The payment came after the customer had called it off, and went back.
    Refunded,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Shipped,
        Self::PickedUp,
        Self::OutOfStock,
        Self::Contended,
        Self::Declined,
        Self::CalledOff,
        Self::CalledOffBefore,
        Self::PaidLate,
        Self::BreaksRules,
    ];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::PickedUp => "picked up",
            Self::OutOfStock => "out of stock",
            Self::Contended => "contended",
            Self::Declined => "declined",
            Self::CalledOff => "called off",
            Self::CalledOffBefore => "called off before",
            Self::PaidLate => "paid late",
            Self::BreaksRules => "breaks rules",
        }
    }

    /// The order that goes this way. The example's payment provider is told by the price what to do.
    #[must_use]
    pub fn request(self, index: usize) -> OrderRequest {
        let sku = SKUS[index % SKUS.len()];
        match self {
            Self::Shipped | Self::PickedUp => order_of(sku, 2, 1_000),
            Self::OutOfStock => order_of(SOLD_OUT, 1, 1_000),
            Self::Contended => order_of(CONTENDED, 1, 1_000),
            Self::Declined => order_of(sku, 1, 1_013),
            Self::CalledOff | Self::CalledOffBefore | Self::PaidLate => order_of(sku, 1, 1_017),
            Self::BreaksRules => {
                let mut order = order_of(sku, 1, 1_000);
                order.total.amount_minor += 1;
                order
            }
        }
    }

    /// Where it may lead; one of them.
    #[must_use]
    pub fn ends(self) -> &'static [End] {
        match self {
            Self::Shipped => &[End::Scheduled],
            Self::PickedUp => &[End::Left],
            Self::OutOfStock => &[End::OutOfStock],
            Self::Contended => &[End::Scheduled, End::OutOfStock],
            Self::Declined => &[End::Declined],
            Self::CalledOff => &[End::CalledOff],
            Self::CalledOffBefore => &[End::CalledOffBefore],
            Self::PaidLate => &[End::Refunded],
            Self::BreaksRules => &[End::BrokenRules],
        }
    }

    /// The end that has exactly these events.
    #[must_use]
    pub fn end_of(self, types: &[String]) -> Option<End> {
        self.ends().iter().copied().find(|end| end.events() == types)
    }
}

impl End {
    /// What the API says of such an order.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Scheduled => "shipment_scheduled",
            Self::Left => "shipped",
            Self::OutOfStock | Self::BrokenRules => "rejected",
            Self::Declined | Self::CalledOff | Self::CalledOffBefore | Self::Refunded => "cancelled",
        }
    }

    /// What was decided about it, once.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Scheduled | Self::Left => Outcome::Confirmed,
            Self::OutOfStock | Self::BrokenRules => Outcome::Rejected,
            Self::Declined | Self::CalledOff | Self::CalledOffBefore | Self::Refunded => Outcome::Cancelled,
        }
    }

    /// The types of exactly its events, sorted: the same set as without any fault.
    #[must_use]
    pub fn events(self) -> Vec<String> {
        use EventType::{
            CancellationRequested, OrderAccepted, OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected,
            ParcelPickedUp, PaymentCaptured, PaymentFailed, PaymentRequested, RefundRequested,
            ShipmentDeparted, ShipmentScheduled, StockRejected, StockReleased, StockReserved,
        };
        let own: &[EventType] = match self {
            Self::Scheduled => &[
                OrderAccepted,
                StockReserved,
                PaymentRequested,
                PaymentCaptured,
                OrderConfirmed,
                ShipmentScheduled,
            ],
            Self::Left => &[
                OrderAccepted,
                StockReserved,
                PaymentRequested,
                PaymentCaptured,
                OrderConfirmed,
                ShipmentScheduled,
                ParcelPickedUp,
                ShipmentDeparted,
            ],
            Self::OutOfStock => &[OrderAccepted, StockRejected, OrderRejected],
            Self::BrokenRules => &[OrderRejected],
            Self::Declined => &[
                OrderAccepted,
                StockReserved,
                PaymentRequested,
                PaymentFailed,
                OrderCancelled,
                StockReleased,
            ],
            Self::CalledOff => &[
                OrderAccepted,
                StockReserved,
                PaymentRequested,
                CancellationRequested,
                OrderCancelled,
                StockReleased,
            ],
            Self::CalledOffBefore => &[CancellationRequested, OrderCancelled, OrderAccepted],
            Self::Refunded => &[
                OrderAccepted,
                StockReserved,
                PaymentRequested,
                CancellationRequested,
                PaymentCaptured,
                RefundRequested,
                OrderCancelled,
                StockReleased,
            ],
        };
        let all = std::iter::once(&OrderPlaced).chain(own);
        let mut all: Vec<String> = all.map(|event_type| event_type.as_str().to_owned()).collect();
        all.sort();
        all
    }

    /// Whether its one reservation is as this end leaves it.
    #[must_use]
    pub fn leaves(self, reservation: &Reservation) -> bool {
        let closing = reservation.closing.as_ref().map(|closing| closing.end);
        match self {
            Self::Scheduled => reservation.held().is_some(),
            Self::Left => closing == Some(StockEnd::Shipped),
            Self::OutOfStock => matches!(reservation.decision, StockDecision::Rejected(_)),
            Self::BrokenRules | Self::CalledOffBefore => reservation.decision == StockDecision::Barred,
            Self::Declined | Self::CalledOff | Self::Refunded => closing == Some(StockEnd::Released),
        }
    }

    /// Whether it has a shipment, and no more than one.
    #[must_use]
    pub fn is_shipped(self) -> bool {
        matches!(self, Self::Scheduled | Self::Left)
    }

    /// What may be written about its shipment: nothing, where nothing was ever confirmed or cancelled.
    #[must_use]
    pub fn allows(self, decision: Option<ShipmentDecision>) -> bool {
        if self.is_shipped() {
            decision == Some(ShipmentDecision::Scheduled)
        } else {
            decision != Some(ShipmentDecision::Scheduled)
        }
    }

    /// Whether a payment was asked for.
    #[must_use]
    pub fn is_charged(self) -> bool {
        !matches!(self, Self::OutOfStock | Self::BrokenRules | Self::CalledOffBefore)
    }
}
