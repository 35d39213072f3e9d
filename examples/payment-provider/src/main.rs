//! Wires `payment-provider` to AWS.

use aws::{EventBridgeEventBus, Sdk, SqsMessageQueue, SqsQuarantine};
use payment_provider::{Config, NAME, PaymentProvider};
use runtime::{Consumer, Error, serve_queue, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: PaymentProvider,
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
