//! Takes orders over HTTP and tells where they stand.
//!
//! | | |
//! |---|---|
//! | Trigger | HTTP API: `POST /orders`, `GET /orders/{id}`, `POST /orders/{id}/cancel` |
//! | Reads | the order's view |
//! | Writes | the order's item, 1 conditional update an order and 1 a cancellation |
//! | Emits | `orders.order-placed.v1`, `orders.cancellation-requested.v1` |
//! | Dedupe key | the `Idempotency-Key`, from which the order id derives; an order is called off once |
//! | Failure policy | 4xx for what a caller can mend; 503 with `Retry-After` for what passes: the caller repeats the request with the same key |
//!
//! The caller's request plays the outbox's part: an order counts as placed when its event is on the bus, and only then
//! is it answered with 202. A caller without an answer repeats the request, which publishes the same event.

mod cancel_order;
mod config;
mod handler;
mod place_order;
mod show_order;

pub use config::Config;
pub use handler::{BODY_BYTES_MAX, NAME, OrderApi};
