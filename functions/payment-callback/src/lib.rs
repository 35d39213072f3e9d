//! Brings a payment provider's answer to the checkout that waits for it.
//!
//! | | |
//! |---|---|
//! | Trigger | `payments.payment-captured.v1`, `payments.payment-failed.v1` |
//! | Reads | the order, 1 consistent read an answer; its outcome once more, when the checkout no longer waits |
//! | Writes | nothing; it answers a task of the checkout state machine |
//! | Emits | `payments.refund-requested.v1`, for money that came too late |
//! | Dedupe key | the task token: a task takes one answer; a refund's id follows from the payment |
//! | Failure policy | transient: back to the queue; an answer that our own record of the order does not agree with, or to a task that never was, is quarantined at once |
//!
//! What a provider says is a claim. It takes effect only for an order that was accepted, for the payment that was asked
//! for, and in its amount; whatever else is said changes nothing and refunds nothing. The record is always there in time:
//! checkout asks for the money of orders alone that it has read as accepted.

mod answer_checkout;
mod check_claim;
mod config;
mod handler;

pub use config::Config;
pub use handler::{NAME, PaymentCallback};
