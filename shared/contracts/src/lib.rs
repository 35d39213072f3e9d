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
mod integer;
mod json_text;
mod order_request;
mod origin;
mod parts;
mod publishable;
mod refusal;
mod schema;
mod texts;
mod timestamp;

pub use data::{
    CancellationRequested, Data, DeliveryStatusChanged, EventQuarantined, EventType, OrderAccepted,
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected, ParcelPickedUp, PaymentCaptured,
    PaymentFailed, PaymentRequested, RefundRequested, ShipmentCancelled, ShipmentDeparted, ShipmentScheduled,
    SignatureCollected, StockRejected, StockReleased, StockReserved,
};
pub use envelope::{BusEvent, DecodeError, decode, describe};
pub use event::{Cause, Event, NotAboutAnOrder, Outbound, derived_event_id, quarantine_id};
pub use fact::{RecordedFact, class_of, fact_of, kind_of_type};
pub use json_text::{Redacted, text_of_string, without_members};
pub use order_request::{OPEN_SCOPE, OrderRequest, order_id_of_key};
pub use origin::{Origin, event_identity};
pub use parts::{Line, Money, Personal, Reason, Shortage, Signature, StockLine};
pub use publishable::{NotPublishable, read_publishable};
pub use refusal::{Refusal, RefusedBy};
pub use schema::schema_of;
pub use texts::{MESSAGE_LENGTH_MAX, NAME_LENGTH_MAX, is_traceparent, to_line};
pub use timestamp::{
    TIME_AHEAD_MS_MAX, format_timestamp, parse_event_time, parse_timestamp, time_is_too_late,
};
