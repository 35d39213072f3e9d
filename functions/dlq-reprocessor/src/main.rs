//! Wires `dlq-reprocessor` to AWS.

use aws::{
    AwsRedriveTargets, DynamoDbRedriveLedger, EventBridgeEventBus, S3QuarantineStore, Sdk, SnsOnCall,
    SqsDeadLetterQueues,
};
use dlq_reprocessor::{Config, Reprocessor};
use runtime::{Error, SystemClock, serve, start};
use serde_json::Value;

fn main() -> Result<(), Error> {
    start(async {
        let config = Config::from_environment()?;
        let sdk = Sdk::from_lambda_environment()?;
        let reprocessor = Reprocessor {
            queues: SqsDeadLetterQueues::new(sdk.sqs(), config.dead_letter_queue_urls()),
            targets: AwsRedriveTargets {
                sqs: sdk.sqs(),
                sfn: sdk.sfn(),
                eventbridge: sdk.eventbridge(),
                queue_urls: config.consumer_queue_urls(),
                checkout_arn: config.settings.queues.checkout_arn.clone(),
                bus_name: config.bus_name.clone(),
            },
            ledger: DynamoDbRedriveLedger::new(sdk.dynamodb(), config.ledger_table),
            quarantine: S3QuarantineStore::new(sdk.s3(), config.quarantine_bucket),
            bus: EventBridgeEventBus::new(sdk.eventbridge(), config.bus_name),
            on_call: SnsOnCall::new(sdk.sns(), config.alert_topic_arn),
            clock: SystemClock,
            settings: config.settings,
        };
        serve(async |schedule: Value, deadline| Ok(reprocessor.respond(schedule, deadline).await)).await
    })
}
