//! What the tests of the functions share: events to send, a function with everything in memory around it, and a run of
//! a history through every crash that it can meet.
//!
//! A test delivers events and looks at what is left behind: what was published, told, kept and set aside. No test sees
//! the inside of a function. Time passes at every reading of the clock, so that an instant that is not committed with
//! its decision shows as soon as a decision is published twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail as a test does: by panicking"
)]

mod clock;
mod crashes;
mod events;
mod function;

pub use clock::SteppingClock;
pub use crashes::every_crash_converges;
pub use events::{
    NOW, PERSONAL_VALUES, cancellation_requested, cancelled, captured, confirmed, data_of, departed,
    detail_of, envelope, event, moved, order_id, payment_failed, payment_requested, personal, picked_up,
    picked_up_of, placed, rejected, signed, sku, stock_rejected, types_of,
};
pub use function::{Function, batch, message};
