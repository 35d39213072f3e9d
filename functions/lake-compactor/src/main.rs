//! Wires `lake-compactor` to AWS.

use aws::{S3EventLake, S3LakeObjects, Sdk};
use lake_compactor::{Config, LakeCompactor, Request};
use runtime::{Error, SystemClock, serve, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let compactor = LakeCompactor {
            lake: S3EventLake::new(sdk.s3(), config.lake_bucket.clone()),
            objects: S3LakeObjects::new(sdk.s3(), config.lake_bucket),
            clock: SystemClock,
            settings: config.settings,
        };
        serve(async |request: Request, deadline| Ok(compactor.respond(request, deadline).await?)).await
    })
}
