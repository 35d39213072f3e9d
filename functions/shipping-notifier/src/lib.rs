//! Tells the fulfilment centre what to send, and what not to send after all.
//!
//! | | |
//! |---|---|
//! | Trigger | `orders.order-confirmed.v1`, `orders.order-cancelled.v1`, `shipping.parcel-picked-up.v1` |
//! | Reads | a shipment, for a parcel that left |
//! | Writes | the shipment, 1 conditional update an event (2 for a shipment that is called off) |
//! | Emits | `shipping.shipment-scheduled.v1`, `shipping.shipment-cancelled.v1`, `shipping.shipment-departed.v1`; notices to the fulfilment centre |
//! | Dedupe key | the order id: one shipment an order |
//! | Failure policy | transient: back to the queue; a confirmation that cannot be shipped is quarantined, and so is a pick-up that does not agree with the shipment on record |
//!
//! The order's own functions cancel only what was never confirmed. A cancellation that comes after the confirmation is
//! published by someone else, such as a support team that takes a confirmed order back; it is heeded until a carrier
//! has the parcel.
//!
//! The fulfilment centre is told at least once, always with the same notice id: it is outside, and nothing can make a
//! message to the outside exactly once.

mod cancel_shipment;
mod config;
mod handler;
mod record_departure;
mod schedule_shipment;

pub use config::Config;
pub use handler::{NAME, ShippingNotifier};
