//! Reserves, releases and ships stock.
//!
//! | | |
//! |---|---|
//! | Trigger | `orders.order-placed.v1`, `orders.order-cancelled.v1`, `orders.order-rejected.v1`, `shipping.shipment-departed.v1` |
//! | Reads | a reservation, for a shipment that left |
//! | Writes | the stock of every line and the reservation, in one transaction |
//! | Emits | `inventory.stock-reserved.v1`, `inventory.stock-rejected.v1`, `inventory.stock-released.v1` |
//! | Dedupe key | the order id: one reservation an order |
//! | Failure policy | transient: back to the queue; out of stock is a decision, not a failure; a shipment of an order that holds no stock is quarantined |
//!
//! `available + reserved + shipped = received`, at every moment. Nothing is reserved for an order that breaks rules:
//! `order-placed` hears the same event, applies the same rules and rejects it.

mod close_reservation;
mod config;
mod handler;
mod reserve_stock;

pub use config::Config;
pub use handler::{InventoryUpdater, NAME};
