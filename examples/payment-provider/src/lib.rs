//! An outside payment provider, and a model for any subscriber: a rule and a queue of its own, a handler, no change to
//! anyone else.
//!
//! | | |
//! |---|---|
//! | Trigger | `payments.payment-requested.v1`, `payments.refund-requested.v1` |
//! | Reads, writes | nothing; a real provider would charge a card here, once for each payment id |
//! | Emits | `payments.payment-captured.v1`, `payments.payment-failed.v1` |
//! | Dedupe key | the event id, from which its answer's id derives |
//!
//! The amount says what happens, so that every end of a checkout can be tried by choosing a price: an amount whose last
//! two digits (of the minor unit) are 13 is declined, 17 is never answered, anything else is captured.

mod config;
mod handler;

pub use config::Config;
pub use handler::{NAME, PaymentProvider};
