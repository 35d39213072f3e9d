//! Wires `event-gateway` to AWS.

use aws::{DynamoDbEventLedger, EventBridgeEventBus, Sdk};
use event_gateway::{Config, EventGateway};
use runtime::{Error, SystemClock, serve_http, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let gateway = EventGateway {
            ledger: DynamoDbEventLedger::new(sdk.dynamodb(), config.ledger_table),
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            clock: SystemClock,
            producers: config.producers,
        };
        serve_http(async |request| gateway.respond(request).await).await
    })
}
