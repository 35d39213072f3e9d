//! The ports as a faithful in-memory model, for tests and simulations.
//!
//! Each adapter keeps every promise of its port and refuses what the real one would refuse. Every call
//! - waits for its turn once before it is applied, as a call over a network does, so that an executor interleaves
//!   callers, and a dropped caller is one that crashed before the call;
//! - is then applied in one step, and never partly;
//! - asks [`Faults`] first, so that any call of a run can be lost on its way there or on its way back.
//!
//! A clone of a store is another handle on it, so that several functions can each hold one.
//!
//! Nothing here reads a clock, draws a random number or starts a thread: the same calls in the same order always
//! give the same answers. What a test looks at without being a caller, it reads with methods that are not part of
//! a port; those neither wait nor count as calls.

mod clock;
mod dead_letter_queues;
mod event_bus;
mod event_lake;
mod event_ledger;
mod faults;
mod fulfilment_centre;
mod lake_queries;
mod message_queue;
mod on_call;
mod order_store;
mod order_view_store;
mod payment_tasks;
mod quarantine;
mod quarantine_store;
mod queue;
mod queues;
mod redrive_ledger;
mod redrive_targets;
mod shipment_store;
mod stock_store;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ports::{PortError, RECORD_BYTES_MAX};
use serde::Serialize;

pub use clock::ManualClock;
pub use dead_letter_queues::MemoryDeadLetterQueues;
pub use event_bus::MemoryEventBus;
pub use event_lake::MemoryEventLake;
pub use event_ledger::MemoryEventLedger;
pub use faults::{Answer, Fault, Faults, Turn};
pub use fulfilment_centre::MemoryFulfilmentCentre;
pub use lake_queries::MemoryLakeQueries;
pub use message_queue::MemoryMessageQueue;
pub use on_call::MemoryOnCall;
pub use order_store::{CheckoutClaim, MemoryOrderStore, StoredOrder};
pub use order_view_store::MemoryOrderViewStore;
pub use payment_tasks::{MemoryPaymentTasks, Task, TaskAnswer};
pub use quarantine::MemoryQuarantine;
pub use quarantine_store::MemoryQuarantineStore;
pub use queue::MemoryQueue;
pub use queues::{MemoryQueues, QueueNumber, QueueSettings, QueuedMessage, Received};
pub use redrive_ledger::MemoryRedriveLedger;
pub use redrive_targets::MemoryRedriveTargets;
pub use shipment_store::{MemoryShipmentStore, StoredShipment};
pub use stock_store::{MemoryStockStore, Stock};

/// What is kept, to be put back later.
///
/// A copy is on its own: what happens to the store does not change it.
pub trait Keeps {
    /// All that is kept.
    type Content: Clone;

    /// Where it is kept.
    fn content(&self) -> &Mutex<Self::Content>;

    /// All that is kept now.
    fn copy(&self) -> Self::Content {
        lock(self.content()).clone()
    }

    /// Keeps this, and forgets what else was kept.
    fn put_back(&self, content: &Self::Content) {
        lock(self.content()).clone_from(content);
    }
}

/// Refuses a record that is larger than a store keeps. How large it is, is told by the JSON text of its parts, which is how
/// they are stored.
fn fits(operation: &'static str, bytes: usize) -> Result<(), PortError> {
    if bytes > RECORD_BYTES_MAX {
        return Err(PortError::permanent(operation, "the record would be larger than 400 KB"));
    }
    Ok(())
}

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> usize {
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

/// The guarded value, also after a panic: every change here is checked in full before any of it is made, so what a
/// panicking caller leaves behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
