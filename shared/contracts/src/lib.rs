//! The events on the wire: the CloudEvents envelope, every event type with its version, and how they are read
//! and written.
//!
//! The Rust types are the source of the contracts. An optional field may be added to a type; anything else is a
//! new version beside the old one.

mod check;
mod data;
mod envelope;
mod event;
mod fact;
mod order_request;
mod parts;
mod publishable;
mod schema;
mod texts;
mod timestamp;

pub use data::{
    CancellationRequested, Data, DeliveryStatusChanged, EventQuarantined, EventType, OrderAccepted,
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected, ParcelPickedUp, PaymentCaptured,
    PaymentFailed, PaymentRequested, RefundRequested, ShipmentCancelled, ShipmentScheduled,
    SignatureCollected, StockRejected, StockReleased, StockReserved,
};
pub use envelope::{BusEvent, DecodeError, decode, describe};
pub use event::{Cause, Event, NotAboutAnOrder, Outbound, derived_event_id, quarantine_id};
pub use fact::{RecordedFact, fact_of, kind_of_type};
pub use order_request::{OrderRequest, order_id_of_key};
pub use parts::{Line, Money, Personal, Reason, Shortage, Signature, StockLine};
pub use publishable::{NotPublishable, read_publishable};
pub use schema::schema_of;
pub use timestamp::{format_timestamp, parse_timestamp};
