//! The order domain: what an order, a reservation, a shipment and an outcome are, and how they may change; and how
//! often a message may fail.
//!
//! Everything here is pure. No async, no serialization, no AWS, no clock, no environment: the same input
//! always gives the same answer, which is what lets two functions that hear the same event agree without
//! talking to one another.

mod ids;
mod money;
mod order;
mod outcome;
mod personal;
mod redrive;
mod reservation;
mod shipment;
mod stock;
mod timestamp;
mod view;
mod violation;

pub use ids::{
    CustomerId, EventId, InvalidId, OrderId, ParcelId, PaymentId, QuarantineId, ShipmentId, Sku, Subject,
};
pub use money::{Currency, Money, MoneyError};
pub use order::{Line, LineDraft, MoneyDraft, Order, OrderDraft, Quantity, StockLine};
pub use outcome::{Outcome, Settlement};
pub use personal::{Personal, PersonalDraft, is_email, is_line};
pub use redrive::{
    Attempt, Concerning, Failure, Hidden, RedriveKey, RedriveReason, RedriveRecord, RedriveState, Verdict,
};
pub use reservation::{Closing, Reservation, StockDecision, StockEnd};
pub use shipment::{Shipment, ShipmentClosing, ShipmentDecision, ShipmentEnd};
pub use stock::{Shortage, StockError, StockLevel};
pub use timestamp::Timestamp;
pub use view::{Fact, FactClass, FactKind, OrderView, Status};
pub use violation::{Violation, Violations};
