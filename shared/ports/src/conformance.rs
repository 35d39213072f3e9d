//! One suite a port, written against the trait: whatever implements the port passes it.
//!
//! A suite asserts every MUST of the port's documentation and panics at the first that is broken. It makes its ids
//! unique by `unique` (at most 24 letters, digits and hyphens), so that it can run against a store that others use
//! at the same time and that keeps what earlier runs left. Where a port only sends, the caller says by a closure
//! what arrived; the closure may wait for it.
//!
//! [`Clock`](crate::Clock) has no suite: what it demands, it demands of its callers.

#![allow(clippy::expect_used, clippy::panic, reason = "a suite reports by panicking, as a test does")]

mod contended_stock;
mod dead_letter_queues;
mod event_bus;
mod event_lake;
mod event_ledger;
mod fulfilment_centre;
mod lake_objects;
mod lake_queries;
mod message_queue;
mod on_call;
mod order_store;
mod order_view_store;
mod payment_tasks;
mod quarantine;
mod quarantine_store;
mod redrive_ledger;
mod redrive_targets;
mod shipment_store;
mod stock_store;

use std::error::Error;
use std::fmt::Debug;

use domain::{EventId, OrderId, Quantity, Sku, StockLine, Timestamp};

pub use contended_stock::contended_stock;
pub use dead_letter_queues::dead_letter_queues;
pub use event_bus::{event_bus, event_bus_that_refuses, is_to_be_refused};
pub use event_lake::event_lake;
pub use event_ledger::event_ledger;
pub use fulfilment_centre::fulfilment_centre;
pub use lake_objects::lake_objects;
pub use lake_queries::{BEFORE, NUMBERS, SAME, lake_queries};
pub use message_queue::message_queue;
pub use on_call::on_call;
pub use order_store::order_store;
pub use order_view_store::order_view_store;
pub use payment_tasks::{payment_tasks, payment_tasks_that_never_were};
pub use quarantine::quarantine;
pub use quarantine_store::quarantine_store;
pub use redrive_ledger::redrive_ledger;
pub use redrive_targets::redrive_targets;
pub use shipment_store::shipment_store;
pub use stock_store::stock_store;

use crate::{Decided, PortError, Retry};

/// How often a call is made that is told to try again. Racing writers are; nothing here can sleep in between.
const ATTEMPTS_MAX: usize = 200;

/// How many callers race for one thing.
const RACERS: usize = 8;

/// More than the ten that EventBridge and SQS take at once, and not a multiple of it.
const BATCH: usize = 23;

/// An order id of this run.
fn order_id(unique: &str, name: &str) -> OrderId {
    OrderId::parse(&format!("{name}-{unique}")).expect("`unique` is short and made of letters and digits")
}

/// An event id of this run.
fn event_id(unique: &str, name: &str) -> EventId {
    EventId::parse(&format!("{name}-{unique}")).expect("`unique` is short and made of letters and digits")
}

/// A SKU of this run.
fn sku(unique: &str, name: &str) -> Sku {
    Sku::parse(&format!("{name}-{unique}")).expect("`unique` is short and made of letters and digits")
}

fn line(sku: &Sku, quantity: i64) -> StockLine {
    StockLine { sku: sku.clone(), quantity: Quantity::new(quantity).expect("a quantity of a suite") }
}

/// An instant whose milliseconds show when they are lost.
fn instant(number: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_769_860_800_123 + number)
}

/// The event of a number among racers, and the instant at which it decides.
struct Racer {
    number: i64,
    event_id: EventId,
}

impl Racer {
    fn all(unique: &str, name: &str) -> Vec<Self> {
        let numbers = (0_i64..).take(RACERS);
        let racer = |number| Self { number, event_id: event_id(unique, &format!("{name}-{number}")) };
        numbers.map(racer).collect()
    }

    fn decided(&self) -> Decided<'_> {
        Decided { by: &self.event_id, at: instant(self.number) }
    }
}

/// The answer of a call that has no rival.
#[track_caller]
fn ok<T>(result: Result<T, PortError>) -> T {
    result.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// The answer of a call among rivals, which may be told to try again, and may have been applied when it is.
async fn persist<T>(call: impl AsyncFn() -> Result<T, PortError>) -> T {
    for _ in 0..ATTEMPTS_MAX {
        match call().await {
            Err(error) if error.retry == Retry::Transient => {}
            result => return ok(result),
        }
    }
    panic!("told to try again {ATTEMPTS_MAX} times");
}

/// Fails unless the call was refused for good.
#[track_caller]
fn assert_permanent<T: Debug>(result: Result<T, PortError>) {
    match result {
        Ok(answer) => panic!("must be refused, but was answered with {answer:?}"),
        Err(error) => assert_eq!(error.retry, Retry::Permanent, "{}", chain(&error)),
    }
}

fn chain(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
