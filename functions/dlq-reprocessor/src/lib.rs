//! Sends dead letters back to where they came from, lets them wait, or puts them in quarantine.
//!
//! | | |
//! |---|---|
//! | Trigger | a schedule, every minute; by hand `orderbus dlq …`, which is this library |
//! | Reads | every consumer's dead-letter queue, `BusDeadLetterQueue`, `UndeliveredQueue`, `QuarantineQueue` |
//! | Writes | the ledger, 1 conditional update a message (2 that it has to wait, 3 that it is given up on); an object for each message in quarantine |
//! | Emits | `ops.event-quarantined.v1`; an alert to whoever is on call |
//! | Dedupe key | consumer and event id, and the attempt that travels with the message |
//! | Failure policy | what fails is left where it is, and comes again when it is visible again |
//!
//! For each message the loop is count → decide → send (or wait, or keep) → delete. A message is deleted only when it is
//! elsewhere for good, so a crash leaves at worst a copy. A copy carries the same attempt, is counted once with it, and
//! takes effect once, as every consumer sees to.
//!
//! Nothing here depends on what else runs: two runs at once, or a run beside a person, are as safe as one.

mod config;
mod decide_redrive;
mod encrypted_event;
mod handler;
mod letter;
mod pacer;
mod quarantine_message;
mod release_message;
mod reprocess_queues;
mod survey_queues;

pub use config::{Config, ReprocessorConfigError, Settings};
pub use decide_redrive::{Decision, Policy};
pub use handler::{NAME, Reprocessor};
pub use letter::{Consumer, Letter, Queues, Takes};
pub use release_message::{ReleaseError, Released};
pub use reprocess_queues::{Order, Summary};
pub use survey_queues::{Place, Survey, Surveyed};
