//! Wires `event-archiver` to AWS.

use aws::{S3EventLake, Sdk};
use event_archiver::{Config, EventArchiver};
use runtime::{Error, SqsEvent, serve, start};

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let archiver = EventArchiver { lake: S3EventLake::new(sdk.s3(), config.lake_bucket) };
        serve(async |event: SqsEvent, deadline| Ok(archiver.archive(event, deadline).await)).await
    })
}
