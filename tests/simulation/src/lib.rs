//! Every function at once, against the memory model of AWS, with one seeded scheduler that decides everything.
//!
//! The handlers, the use cases and the batch loop are those that are deployed. Around them:
//! - `shared/memory` is DynamoDB, S3, SNS, SQS: conditions and transactions that hold or fail as a whole, the item that
//!   stands there when a condition fails, visibility, receive counts, dead-letter queues, new message ids;
//! - the rules and queues are read from `template.yaml`;
//! - the state machine is a twin of the deployed one, state by state;
//! - people place orders, call them off and send what nobody can read.
//!
//! The same seed leads to the same run, to the letter.

mod checkout;
mod exhaustive;
mod explore;
mod interleavings;
mod invariants;
mod lies;
mod outside;
mod panics;
mod topology;
mod workload;
mod world;

pub use exhaustive::{Case, Covered, Crash, Fallen, History, Moment, every_cancellation, every_crash};
pub use explore::{Budget, Failure, Figures, Mishap, OUTAGES, Plan, run, search, shrink, undisturbed_events};
pub use interleavings::{Explored, Schedule, SmallWorld, interleavings};
pub use invariants::{OrderEvents, Remains, Seen, broken, events_of};
pub use lies::Lie;
pub use outside::{Call, Rates, Wrong};
pub use topology::{Rule, Target, Topology};
pub use workload::{CallOff, Delay, PlannedOrder, STOCK, Way, When};
pub use world::{Patience, World};
