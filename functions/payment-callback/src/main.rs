//! Wires `payment-callback` to AWS.

use aws::{DynamoDbOrderStore, EventBridgeEventBus, Sdk, SfnPaymentTasks, SqsMessageQueue, SqsQuarantine};
use payment_callback::{Config, NAME, PaymentCallback};
use runtime::{Consumer, Error, serve_queue, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: PaymentCallback {
                tasks: SfnPaymentTasks::new(sdk.sfn()),
                orders: DynamoDbOrderStore::new(sdk.dynamodb(), config.orders_table),
            },
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
