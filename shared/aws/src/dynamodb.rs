//! What the DynamoDB adapters share: writing and reading attributes.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use contracts::{format_timestamp, parse_timestamp};
use domain::{EventId, Timestamp};
use ports::PortError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::failed;

/// An item as DynamoDB gives it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item that is not as this crate writes it.
#[derive(Debug, thiserror::Error)]
#[error("the stored attribute {0} is missing or malformed")]
struct Malformed(&'static str);

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn instant(value: Timestamp) -> AttributeValue {
    AttributeValue::S(format_timestamp(value))
}

/// Structured detail that no condition looks into, as JSON text: one attribute, and readable in the console.
pub(crate) fn json<T: Serialize + ?Sized>(
    operation: &'static str,
    value: &T,
) -> Result<AttributeValue, PortError> {
    serde_json::to_string(value)
        .map(AttributeValue::S)
        .map_err(|error| PortError::permanent(operation, error))
}

pub(crate) fn malformed(operation: &'static str, attribute: &'static str) -> PortError {
    PortError::permanent(operation, Malformed(attribute))
}

/// Reads the attributes of one item that one call returned.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) operation: &'static str,
    pub(crate) item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(crate) fn optional_text(self, name: &'static str) -> Option<&'a str> {
        self.item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    pub(crate) fn text(self, name: &'static str) -> Result<&'a str, PortError> {
        self.optional_text(name).ok_or_else(|| malformed(self.operation, name))
    }

    pub(crate) fn number<T: FromStr>(self, name: &'static str) -> Result<T, PortError> {
        let digits = self.item.get(name).and_then(|value| value.as_n().ok());
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| malformed(self.operation, name))
    }

    pub(crate) fn instant(self, name: &'static str) -> Result<Timestamp, PortError> {
        parse_timestamp(self.text(name)?).ok_or_else(|| malformed(self.operation, name))
    }

    pub(crate) fn event_id(self, name: &'static str) -> Result<EventId, PortError> {
        EventId::parse(self.text(name)?).map_err(|_| malformed(self.operation, name))
    }

    pub(crate) fn json<T: DeserializeOwned>(self, name: &'static str) -> Result<T, PortError> {
        serde_json::from_str(self.text(name)?).map_err(|_| malformed(self.operation, name))
    }
}

/// What one conditional update left behind.
pub(crate) enum Updated {
    /// The condition held; the item as it is now.
    Written(Item),
    /// The condition did not hold; the item as it stands. `None` when there is none.
    Refused(Option<Item>),
}

/// Sends an update that answers with the item in either case, so that no read is needed.
pub(crate) async fn update(
    operation: &'static str,
    request: UpdateItemFluentBuilder,
) -> Result<Updated, PortError> {
    let result = request
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    match result {
        Ok(output) => Ok(Updated::Written(output.attributes.unwrap_or_default())),
        Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
            match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => {
                    Ok(Updated::Refused(refused.item))
                }
                other => Err(PortError::transient(operation, other)),
            }
        }
        Err(error) => Err(failed(operation, error)),
    }
}
