//! The ports on AWS: DynamoDB, EventBridge, S3, SQS, SNS and Step Functions.
//!
//! Besides a function's `main.rs`, only this crate names the SDK.

mod calls;
mod dynamodb;
mod dynamodb_order_store;
mod dynamodb_order_view_store;
mod dynamodb_shipment_store;
mod dynamodb_stock_store;
mod error;
mod eventbridge_event_bus;
mod s3_event_lake;
mod sdk;
mod sfn_payment_tasks;
mod sns_fulfilment_centre;
mod sqs_message_queue;
mod sqs_quarantine;

pub use dynamodb_order_store::DynamoDbOrderStore;
pub use dynamodb_order_view_store::DynamoDbOrderViewStore;
pub use dynamodb_shipment_store::DynamoDbShipmentStore;
pub use dynamodb_stock_store::DynamoDbStockStore;
pub use eventbridge_event_bus::EventBridgeEventBus;
pub use s3_event_lake::S3EventLake;
pub use sdk::{EnvironmentError, Sdk};
pub use sfn_payment_tasks::SfnPaymentTasks;
pub use sns_fulfilment_centre::SnsFulfilmentCentre;
pub use sqs_message_queue::SqsMessageQueue;
pub use sqs_quarantine::SqsQuarantine;
