//! Takes the events of other systems over HTTP and puts each on the bus at least once.
//!
//! | | |
//! |---|---|
//! | Trigger | HTTP API: `POST /events`, signed by an IAM principal |
//! | Reads | nothing |
//! | Writes | an item an event in a ledger of its own: 1 conditional update when it is admitted, 1 when the bus has taken it |
//! | Emits | what its callers hand in, above all what others alone can tell: `payments.payment-captured.v1`, `payments.payment-failed.v1`, `shipping.parcel-picked-up.v1`, `shipping.delivery-status-changed.v1`, `shipping.signature-collected.v1` |
//! | Dedupe key | producer and id of the event, which stand for one event for ever |
//! | Failure policy | an event that its caller can mend is refused with the reasons; what passes is 503 for that event alone: the caller hands the same event in again |
//!
//! Ten new events cost three rounds: ten conditional updates at the same time, one PutEvents, ten marks at the same time.
//! One transaction for all ten would cost two writes an item and let one refused event take its neighbours along.
//!
//! The caller's request plays the outbox's part. An event is admitted under its id, then published, and only then
//! answered with 202. Who got no answer hands the same event in again: it is published again as long as nobody noted
//! that the bus has it, and is a duplicate from then on. The ledger never forgets, because nothing else knows which ids
//! were used: an event that was handed in once more after its record was gone would be on the bus twice, and another
//! event under its id would be taken for a copy of it by every consumer and by the lake.
//!
//! Each principal that may publish has a name of its own ([`Producer`]), which the gateway writes on every event as the
//! CloudEvents extension `producer`, and which no caller can write. Ids belong to their producer: no producer uses up
//! another's.
//!
//! An event goes on as the catalogue knows it. Fields that it does not know are left out, as `orderbus publish` leaves them
//! out; two events that differ in nothing else are one.
//!
//! The ledger holds ids, sources and hashes, and no event. Who calls is in no log: the name of a session may be a
//! person's.

mod config;
mod handler;
mod producers;
mod publish_events;

pub use config::{Config, ConfigError};
pub use handler::{BODY_BYTES_MAX, DEPTH_MAX, EVENTS_MAX, EventGateway, NAME};
pub use producers::{InvalidProducers, OWN_SOURCES, Producer, Producers};
