//! What is made of the contracts and committed: schemas, the schema registry's template, the AsyncAPI document, the
//! catalogue of events. And what may change in a contract without a new version of it.

mod generated;
mod print;

pub use generated::{SCHEMAS, drift, files, schemas, write};
pub use print::print;
