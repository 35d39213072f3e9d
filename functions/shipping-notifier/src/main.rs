//! Wires `shipping-notifier` to AWS.

use aws::{
    DynamoDbShipmentStore, EventBridgeEventBus, Sdk, SnsFulfilmentCentre, SqsMessageQueue, SqsQuarantine,
};
use runtime::{Consumer, Error, SystemClock, serve_queue, start};
use shipping_notifier::{Config, NAME, ShippingNotifier};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        serve_queue(Consumer {
            name: NAME,
            handler: ShippingNotifier {
                shipments: DynamoDbShipmentStore::new(sdk.dynamodb(), config.shipments_table),
                fulfilment_centre: SnsFulfilmentCentre::new(sdk.sns(), config.fulfilment_topic_arn),
                clock: SystemClock,
            },
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            quarantine: SqsQuarantine::new(sdk.sqs(), config.quarantine_queue_url),
            queue: SqsMessageQueue::new(sdk.sqs(), config.queue_url),
        })
        .await
    })
}
