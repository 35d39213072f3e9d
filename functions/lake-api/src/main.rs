//! Wires `lake-api` to AWS.

use aws::{AthenaLakeQueries, DynamoDbOrderViewStore, Sdk};
use lake_api::{Config, Lake, LakeApi};
use runtime::{Error, SystemClock, serve_http, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let api = LakeApi {
            lake: Lake {
                queries: AthenaLakeQueries::new(sdk.athena(), config.workgroup, config.database),
                clock: SystemClock,
                patience: config.patience,
            },
            views: DynamoDbOrderViewStore::new(sdk.dynamodb(), config.order_views_table),
        };
        serve_http(async |request| api.respond(&request).await).await
    })
}
