//! Keeps every event of the bus in S3.
//!
//! | | |
//! |---|---|
//! | Trigger | every event on the bus, of any type and from anyone |
//! | Reads | nothing |
//! | Writes | one object a batch and hour: `events/dt=YYYY-MM-DD/hour=HH/<hash>.parquet`, `undecodable/….jsonl.zst` |
//! | Emits | nothing |
//! | Dedupe key | the object's key, which is the hash of its content |
//! | Failure policy | the records of an object that could not be written go back to the queue |
//!
//! The format is the crate `lake`'s. A batch that is delivered again, in any order, writes the same object; one that SQS
//! puts together differently repeats an event in another object, so readers take one row an event id. An event that is
//! replayed is acknowledged and not kept again.
//!
//! Lambda is given at most 6 MB of messages at once, whatever the batch size says: that bounds memory.

mod config;
mod handler;
mod objects;

pub use config::Config;
pub use handler::{EventArchiver, NAME};
