//! Keeps the read model of every order.
//!
//! | | |
//! |---|---|
//! | Trigger | every event of `orders`, `inventory`, `payments` and `shipping` |
//! | Reads | nothing |
//! | Writes | one fact of the order, 1 conditional put an event |
//! | Emits | nothing |
//! | Dedupe key | the event's identity (sender, type and id): a fact is kept under it |
//! | Failure policy | transient: back to the queue |
//!
//! A view is a set of facts: the order in which events arrive, and how often, does not show in it.

mod config;
mod handler;

pub use config::Config;
pub use handler::{NAME, OrderTracker};
