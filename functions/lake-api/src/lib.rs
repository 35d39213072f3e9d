//! Answers questions to the data lake over HTTP: reports, events, and the whole history of an order.
//!
//! | | |
//! |---|---|
//! | Trigger | HTTP API: `GET /lake/reports`, `GET /lake/reports/{name}`, `GET /lake/events`, `GET /lake/orders/{id}`, `GET /lake/queries/{id}` |
//! | Reads | the lake through Athena; of an order also its view, to know in which days to look |
//! | Writes | nothing; Athena keeps the results of a query for some days |
//! | Emits | nothing |
//! | Dedupe key | a hash of statement, parameters and the minute (for past windows the hour): equal questions share one execution |
//! | Failure policy | 4xx for what a caller can mend; 202 and a place to look for what takes longer; 503 with `Retry-After` for what passes |
//!
//! A statement is text of this program, known when it is compiled: [`ports::LakeQuery`] takes nothing else. What a caller
//! sends is parsed into a type first and then handed over apart from the statement, as a value.
//!
//! Personal data stays in the lake. Of every event the part `personal` is left out, as is the token of a waiting
//! payment.

mod causal_order;
mod config;
mod days;
mod events;
mod handler;
mod render;
mod reports;
mod run_query;

pub use config::{Config, ConfigError};
pub use days::{Days, InvalidDays};
pub use events::EVENT_COLUMNS;
pub use handler::{LakeApi, NAME};
pub use render::{csv, report_rows};
pub use reports::{Column, ColumnKind, REPORTS, Report, ReportParameter};
pub use run_query::{Answer, Lake};
