//! Wires `order-tracker` to AWS.

use aws::{DynamoDbOrderViewStore, Sdk, SqsMessageQueue, SqsQuarantine};
use order_tracker::{Config, NAME, OrderTracker};
use runtime::{Consumer, Error, serve_queue, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: OrderTracker {
                views: DynamoDbOrderViewStore::new(sdk.dynamodb(), config.order_views_table),
            },
            bus: runtime::Silent,
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
