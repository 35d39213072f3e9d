//! The command for people: runs the whole backbone on this machine, and looks into a running one.
//!
//! The stack tests use the same [`LocalStack`], so what they test is what a person starts by hand.

pub mod account;
mod api;
mod clock;
pub mod contract;
pub mod dependencies;
pub mod dlq;
pub mod http;
pub mod iam;
pub mod interrupt;
pub mod invocation;
pub mod judges;
pub mod lake;
pub mod lake_page;
pub mod local;
pub mod ministack;
pub mod node;
pub mod play;
pub mod processes;
pub mod programs;
mod progress;
pub mod publish;
mod raw;
pub mod replay;
pub mod report;
pub mod repository;
pub mod rules;
pub mod sam;
pub mod stack;
pub mod state_machines;
pub mod subscriber;
pub mod tail;
pub mod tools;
pub mod twenty_orders;
pub mod types;
pub mod unsupported;
pub mod upgrade;

pub use api::Api;
pub use clock::now;
pub use local::{LocalStack, Options};
pub use progress::Progress;
