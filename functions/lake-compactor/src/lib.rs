//! Folds each closed hour of the lake into few objects, each event once.
//!
//! | | |
//! |---|---|
//! | Trigger | a schedule, every hour; or by hand, for hours of one's choice ([`Request`]) |
//! | Reads | `events/dt=…/hour=…/` of the days that it looks back on, and the manifests of those hours |
//! | Writes | folded objects under the same `events/dt=…/hour=…/`; `compaction/dt=…/hour=…/<hash>.json`, which says what was folded into what |
//! | Removes | what was folded, in a later run, when its manifest is older than the grace period and what it was folded into is there |
//! | Emits | nothing |
//! | Dedupe key | the keys of objects, which are hashes of their content: the same objects fold into the same objects |
//! | Failure policy | an hour that fails is left as it is, and readers see what they saw before; the run goes on and ends in an error |
//!
//! Whatever is killed, repeated or run twice at once, an event never leaves `events/` before another object there holds
//! it: see `plan_hour.rs`. While both hold it, readers take one row an id, as they do anyway.

mod compact_hour;
mod config;
mod handler;
mod manifest;
mod merge_objects;
mod plan_hour;

pub use compact_hour::CompactionError;
pub use config::{CompactorConfigError, Config, Settings};
pub use handler::{LakeCompactor, NAME, Request, RunError, Summary};
pub use manifest::Manifest;
