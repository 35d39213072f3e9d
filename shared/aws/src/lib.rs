//! The ports on AWS: Athena, DynamoDB, EventBridge, S3, SQS, SNS and Step Functions.
//!
//! Besides a function's `main.rs`, only this crate names the SDK.

mod athena_lake_queries;
mod aws_redrive_targets;
mod calls;
mod dynamodb;
mod dynamodb_event_ledger;
mod dynamodb_order_store;
mod dynamodb_order_view_store;
mod dynamodb_redrive_ledger;
mod dynamodb_shipment_store;
mod dynamodb_stock_store;
mod error;
mod eventbridge_event_bus;
mod eventbridge_replays;
mod s3;
mod s3_event_lake;
mod s3_lake_objects;
mod s3_quarantine_store;
mod sdk;
mod sfn_payment_tasks;
mod sns_fulfilment_centre;
mod sns_on_call;
mod sqs;
mod sqs_dead_letter_queues;
mod sqs_direct_queue;
mod sqs_message_queue;
mod sqs_quarantine;

pub use athena_lake_queries::AthenaLakeQueries;
pub use aws_redrive_targets::AwsRedriveTargets;
pub use dynamodb_event_ledger::DynamoDbEventLedger;
pub use dynamodb_order_store::DynamoDbOrderStore;
pub use dynamodb_order_view_store::{DynamoDbOrderViewStore, ViewsCounted};
pub use dynamodb_redrive_ledger::DynamoDbRedriveLedger;
pub use dynamodb_shipment_store::DynamoDbShipmentStore;
pub use dynamodb_stock_store::DynamoDbStockStore;
pub use eventbridge_event_bus::EventBridgeEventBus;
pub use eventbridge_replays::{
    ArchiveReplay, BusArchive, BusRule, EventBridgeReplays, ReplayReport, ReplayedEvent, RuleTarget,
};
pub use s3_event_lake::S3EventLake;
pub use s3_lake_objects::S3LakeObjects;
pub use s3_quarantine_store::S3QuarantineStore;
pub use sdk::{EnvironmentError, Sdk};
pub use sfn_payment_tasks::SfnPaymentTasks;
pub use sns_fulfilment_centre::SnsFulfilmentCentre;
pub use sns_on_call::SnsOnCall;
pub use sqs_dead_letter_queues::SqsDeadLetterQueues;
pub use sqs_direct_queue::SqsDirectQueue;
pub use sqs_message_queue::SqsMessageQueue;
pub use sqs_quarantine::SqsQuarantine;
