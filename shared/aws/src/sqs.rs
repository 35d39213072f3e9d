//! What the SQS adapters share.

use std::collections::HashMap;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use ports::PortError;

/// A queue that this process was not told of. A deployment mends it.
#[derive(Debug, thiserror::Error)]
#[error("there is no queue for {0}")]
pub(crate) struct UnknownQueue(String);

impl UnknownQueue {
    pub(crate) fn error(operation: &'static str, name: &str) -> PortError {
        PortError::transient(operation, Self(name.to_owned()))
    }
}

pub(crate) fn count(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> u64 {
    attributes.get(name).and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// A text beside a message. SQS takes no empty one.
pub(crate) fn attribute(value: &str) -> Result<MessageAttributeValue, BuildError> {
    let value = if value.is_empty() { "-" } else { value };
    MessageAttributeValue::builder().data_type("String").string_value(value).build()
}
