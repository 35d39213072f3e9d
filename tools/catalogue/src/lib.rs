//! What is made of the contracts and committed: schemas, the schema registry's template, the AsyncAPI document, the
//! catalogue of events. And what may change in a contract without a new version of it.

mod asyncapi;
mod bundle;
mod compatibility;
mod flow;
mod generated;
mod pages;
mod print;
mod refusals;
mod registry;
mod state_machine;
pub mod template;

pub use bundle::bundle;
pub use compatibility::{Change, Effect, compare};
pub use flow::Flow;
pub use generated::{BASELINE, SCHEMAS, drift, files, read_schemas, schemas, write};
pub use print::print;
pub use registry::registry_schema;
pub use state_machine::{StateMachine, state_machines};
