//! Listens to `@type@`, and so far says no more than that it did.
//!
//! | | |
//! |---|---|
//! | Trigger | `@type@` |
//! | Reads | nothing |
//! | Writes | nothing |
//! | Emits | nothing |
//! | Dedupe key | none needed: a line of log may stand there twice |
//! | Failure policy | another type than this is quarantined |

mod config;
mod handler;
mod @use_case@;

pub use config::Config;
pub use handler::{@Handler@, NAME};
