//! Brings a payment provider's answer to the checkout that waits for it.
//!
//! | | |
//! |---|---|
//! | Trigger | `payments.payment-captured.v1`, `payments.payment-failed.v1` |
//! | Reads | the order's outcome, when the checkout no longer waits |
//! | Writes | nothing; it answers a task of the checkout state machine |
//! | Emits | `payments.refund-requested.v1`, for money that came too late |
//! | Dedupe key | the task token: a task takes one answer; a refund's id follows from the payment |
//! | Failure policy | transient: back to the queue; an answer to a task that never was is quarantined |

mod answer_checkout;
mod config;
mod handler;

pub use config::Config;
pub use handler::{NAME, PaymentCallback};
