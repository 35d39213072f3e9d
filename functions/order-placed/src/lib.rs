//! Registers orders, and settles those that are called off or short.
//!
//! | | |
//! |---|---|
//! | Trigger | `orders.order-placed.v1`, `orders.cancellation-requested.v1`, `inventory.stock-rejected.v1` |
//! | Reads | nothing |
//! | Writes | the order's item, 1 conditional update an event |
//! | Emits | `orders.order-accepted.v1`, `orders.order-rejected.v1`, `orders.order-cancelled.v1` |
//! | Dedupe key | the order id: one decision and one outcome an order |
//! | Failure policy | transient: back to the queue; an order that breaks rules is rejected, durably, not quarantined |
//!
//! An order has one outcome, and the first one written wins. Whoever asks for another finds the winner and says
//! nothing, so that exactly one of confirmed, cancelled and rejected is ever published for an order.

mod config;
mod handler;
mod register_order;
mod settle_order;

pub use config::Config;
pub use handler::{NAME, OrderPlacedHandler};
