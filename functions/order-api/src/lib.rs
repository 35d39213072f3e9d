//! Takes orders over HTTP and tells where they stand.
//!
//! | | |
//! |---|---|
//! | Trigger | HTTP API: `POST /orders`, `GET /orders/{id}[?cursor=]`, `POST /orders/{id}/cancel` |
//! | Reads | the order's facts: 3 queries for the first page, at the same time, and 1 for each further page |
//! | Writes | the order's item, 1 conditional update an order and 1 a cancellation |
//! | Emits | `orders.order-placed.v1`, `orders.cancellation-requested.v1` |
//! | Dedupe key | caller and `Idempotency-Key`, from which the order id derives; an order is called off once |
//! | Failure policy | 4xx for what a caller can mend; 503 with `Retry-After` for what passes: the caller repeats the request with the same key |
//!
//! The caller's request plays the outbox's part: an order counts as placed when its event is on the bus, and only then
//! is it answered with 202. A caller without an answer repeats the request, which publishes the same event.
//!
//! An idempotency key belongs to its caller: the user or role that signed the request, as API Gateway says. Where the
//! API is open nobody signs, and all callers share the keys of one scope that the installation names.

mod cancel_order;
mod config;
mod cursor;
mod handler;
mod place_order;
mod show_order;

pub use config::Config;
pub use handler::{BODY_BYTES_MAX, NAME, OrderApi};
