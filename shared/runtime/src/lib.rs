//! What every function needs to be one: start-up, configuration, logs, and for those behind a queue the batch loop.
//!
//! The loop is decide → commit → publish → acknowledge. A handler decides and commits; the loop publishes what the
//! whole batch has to say, ten events a call, and acknowledges each record only when all that is its own went well.

mod batch;
mod clock;
mod deadline;
mod disposition;
mod environment;
mod http;
mod principal;
mod problem;
mod silent;
mod start;
mod telemetry;

pub use batch::{Consumer, Handler, batch_response, own_account};
pub use clock::SystemClock;
pub use deadline::Deadline;
pub use disposition::{Disposition, Rejection};
pub use environment::{ConfigError, variable, variable_or_empty};
pub use http::{REQUEST_TIME_MAX, answer_in_time, serve_http};
pub use principal::{Principal, signer};
pub use problem::{ANSWER_BYTES_MAX, Problem, bytes_in_answer, how_many_fit, http_body, http_response};
pub use silent::Silent;
pub use start::{Error, serve, serve_queue, start};
pub use telemetry::log_lines;

pub use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
