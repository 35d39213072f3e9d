//! Wires `@name@` to AWS.

use aws::{Sdk, SqsMessageQueue, SqsQuarantine};
use runtime::{Consumer, Error, serve_queue, start};
use @crate@::{Config, @Handler@, NAME};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: @Handler@,
            bus: runtime::Silent,
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
