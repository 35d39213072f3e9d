//! Wires `order-placed` to AWS.

use aws::{DynamoDbOrderStore, EventBridgeEventBus, Sdk, SqsMessageQueue, SqsQuarantine};
use order_placed::{Config, NAME, OrderPlacedHandler};
use runtime::{Consumer, Error, SystemClock, serve_queue, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: OrderPlacedHandler {
                orders: DynamoDbOrderStore::new(sdk.dynamodb(), config.orders_table),
                clock: SystemClock,
            },
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
