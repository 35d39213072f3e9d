//! What the use cases need of the world. One trait a file; each says what an implementation MUST do.
//!
//! Every write decides and records in one step, under a condition. A write that finds its work done reports what
//! stands there, so that the caller can publish what was committed instead of what it would have committed.

mod clock;
pub mod conformance;
mod dead_letter_queues;
mod error;
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

pub use clock::Clock;
pub use dead_letter_queues::{DeadLetter, DeadLetterQueues, Depth};
pub use error::{PortError, Retry};
pub use event_bus::EventBus;
pub use event_lake::{EventLake, LakeObject};
pub use event_ledger::{AdmittedEvent, EventLedger};
pub use fulfilment_centre::{FulfilmentCentre, Notice};
pub use lake_objects::{LakeObjects, StoredObject};
pub use lake_queries::{Execution, LakeQueries, LakeQuery, Parameter, QueryId, QueryState, Rows};
pub use message_queue::{MessageQueue, Postponement};
pub use on_call::{Alert, OnCall};
pub use order_store::{CallOff, NewOrder, OrderDecision, OrderRecord, OrderStore, Registered, Registration};
pub use order_view_store::{FactPage, FactPlace, OrderViewStore};
pub use payment_tasks::{PaymentTasks, TaskReply};
pub use quarantine::{CONSUMER_ATTRIBUTE, Quarantine, Quarantined, REASON_ATTRIBUTE, REASON_CODE_ATTRIBUTE};
pub use quarantine_store::{QuarantineObject, QuarantineStore};
pub use redrive_ledger::RedriveLedger;
pub use redrive_targets::{
    ATTEMPT_ATTRIBUTE, GENERATION_ATTRIBUTE, Redrive, RedriveTargets, Target, attempt_attributes,
    attempt_carried, attempt_in_resources, attempt_resources,
};
pub use shipment_store::{ShipmentStore, ShippedOrder};
pub use stock_store::{Decided, Reserve, StockCounts, StockStore};

/// The most that a store keeps under one key, which is what DynamoDB does. A write that would make it more MUST be refused
/// with a permanent [`PortError`], and change nothing.
pub const RECORD_BYTES_MAX: usize = 400 * 1024;

/// What a write under a condition found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit<T> {
    /// The condition held; it is written.
    Written,
    /// The condition did not hold, because this stands there. It may be the caller's own earlier write, whose
    /// answer was lost.
    Existing(T),
}
