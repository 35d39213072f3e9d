//! What is made of the contracts and committed: schemas, the schema registry's template, the AsyncAPI document, the
//! catalogue of events. And what may change in a contract without a new version of it.

mod compatibility;
mod generated;
mod print;
pub mod template;

pub use compatibility::{Change, Effect, compare};
pub use generated::{BASELINE, SCHEMAS, drift, files, read_schemas, schemas, write};
pub use print::print;
