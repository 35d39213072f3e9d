use std::fmt::Debug;
use std::time::Duration;

use lambda_runtime::{Context, LambdaEvent, service_fn};
use ports::{Clock, EventBus, MessageQueue, Quarantine};
use serde::{Deserialize, Serialize};

use crate::batch::{Consumer, Handler};
use crate::{Deadline, SqsEvent, SystemClock, environment, telemetry};

/// Any error that keeps a function from starting or running.
pub type Error = lambda_runtime::Error;

/// Runs a function's `main` on one thread: a function waits far more than it computes.
///
/// # Errors
/// What `main` returns, or that the runtime could not be built.
pub fn start<F>(main: F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    telemetry::start(&environment::variable("LOG_LEVEL").unwrap_or_else(|_| "info".to_owned()));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(main)
}

/// Serves invocations with a function from payload to answer.
///
/// # Errors
/// When the Lambda Runtime API fails.
pub async fn serve<In, Out, F>(handle: F) -> Result<(), Error>
where
    In: for<'de> Deserialize<'de>,
    Out: Serialize + Debug,
    F: AsyncFn(In, Deadline) -> Result<Out, Error>,
{
    let handle = &handle;
    // Boxed: what a handler awaits is nested too deep to be laid out in one piece.
    let handle = move |event: LambdaEvent<In>| {
        Box::pin(async move { handle(event.payload, deadline(&event.context, &SystemClock)).await })
    };
    Box::pin(lambda_runtime::run(service_fn(handle))).await
}

/// Serves the batches of a queue.
///
/// # Errors
/// When the Lambda Runtime API fails.
pub async fn serve_queue<H, B, Q, M>(consumer: Consumer<H, B, Q, M>) -> Result<(), Error>
where
    H: Handler,
    B: EventBus,
    Q: Quarantine,
    M: MessageQueue,
{
    serve(async |event: SqsEvent, deadline| Ok(consumer.consume(event, deadline).await)).await
}

/// What is assumed where a deadline says nothing: `cargo lambda watch` sends one from 1970.
const REMAINING_UNKNOWN_MS: u64 = 30_000;

fn deadline(context: &Context, clock: &impl Clock) -> Deadline {
    let now_ms = u64::try_from(clock.now().unix_ms()).unwrap_or_default();
    let remaining_ms = context.deadline.checked_sub(now_ms).unwrap_or(REMAINING_UNKNOWN_MS);
    Deadline::after(Duration::from_millis(remaining_ms))
}
