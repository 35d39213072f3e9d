//! How events are kept in the lake: one row an event, Parquet objects of rows, their names, and the way back to the bus.
//!
//! | Column | Type | What |
//! |---|---|---|
//! | `id` | string | the CloudEvents id; of an event that is no CloudEvent, EventBridge's |
//! | `source`, `type` | string | as on the bus: `source`, `detail-type` |
//! | `subject` | string, null | what it is about |
//! | `time` | timestamp, ms, UTC | when it happened; when it arrived, where it says a time outside of [`TimeBounds`] |
//! | `correlation_id`, `causation_id` | string, null | its flow, its cause |
//! | `bus_id` | string | EventBridge's id, which is new with every put |
//! | `ingested_at` | timestamp, ms, UTC | when the bus took it: the envelope's `time` |
//! | `schema` | string, null | `dataschema` |
//! | `data` | string | JSON, to the letter as it was delivered |
//! | `traceparent` | string, null | its trace |
//! | `extensions` | string, null | JSON: all else that the message held |
//! | `origin` | string, null | who put it on the bus, as no sender can choose it: `producer:<name>`, `account:<number>`; null of our own |
//!
//! Rows are sorted by type, time and id, so the statistics of a row group rule out most queries. The same rows are the
//! same object, byte for byte and by name, in whatever order they came. No I/O happens here, and memory is bounded by a row
//! group on the way in and by what is asked for on the way out.

mod encoding;
mod key;
mod message;
mod reading;
mod row;
mod time_bounds;

pub use encoding::{EncodeError, Encoder, encode};
pub use key::{Hour, Partition, content_hash};
pub use message::{BusEntry, Delivery, Message, REPLAY_RESOURCE, RestoreError};
pub use reading::{DecodeError, Footer, decode};
pub use row::Row;
pub use time_bounds::TimeBounds;
