//! Wires `order-api` to AWS.

use aws::{DynamoDbOrderStore, DynamoDbOrderViewStore, EventBridgeEventBus, Sdk};
use order_api::{Config, OrderApi};
use runtime::{Error, SystemClock, serve_http, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let api = OrderApi {
            orders: DynamoDbOrderStore::new(sdk.dynamodb(), config.orders_table),
            views: DynamoDbOrderViewStore::new(sdk.dynamodb(), config.order_views_table),
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            clock: SystemClock,
            open_scope: config.open_scope,
        };
        serve_http(async |request| api.respond(request).await).await
    })
}
