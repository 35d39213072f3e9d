use aws_sdk_dynamodb::Client;
use contracts::{EventType, RecordedFact, format_timestamp, kind_of_type, parse_timestamp};
use domain::{EventId, Fact, OrderId};
use ports::{OrderViewStore, PortError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dynamodb::{json, malformed, text};
use crate::error::failed;

const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";

/// What begins the name of an attribute that holds a fact; the event's id follows.
const FACT_PREFIX: &str = "fact#";

/// The read model in one DynamoDB table, one item an order, key `order_id`, one attribute a fact.
#[derive(Debug, Clone)]
pub struct DynamoDbOrderViewStore {
    client: Client,
    table: String,
}

/// A fact as it is stored; its event id is in the attribute's name.
#[derive(Serialize, Deserialize)]
struct StoredFact {
    #[serde(rename = "type")]
    event_type: String,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    details: Value,
}

impl DynamoDbOrderViewStore {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl OrderViewStore for DynamoDbOrderViewStore {
    async fn add(&self, order_id: &OrderId, fact: &RecordedFact) -> Result<(), PortError> {
        let stored = StoredFact {
            event_type: fact.event_type.as_str().to_owned(),
            at: format_timestamp(fact.fact.at),
            cause: fact.fact.caused_by.as_ref().map(|cause| cause.as_str().to_owned()),
            details: fact.details.clone(),
        };
        self.client
            .update_item()
            .table_name(&self.table)
            .key("order_id", text(order_id.as_str()))
            .update_expression("SET #fact = if_not_exists(#fact, :fact)")
            .expression_attribute_names("#fact", format!("{FACT_PREFIX}{}", fact.fact.event_id))
            .expression_attribute_values(":fact", json(UPDATE, &stored)?)
            .send()
            .await
            .map_err(|error| failed(UPDATE, error))?;
        Ok(())
    }

    async fn facts(&self, order_id: &OrderId) -> Result<Vec<RecordedFact>, PortError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("order_id", text(order_id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(GET, error))?;
        let attributes = output.item.unwrap_or_default().into_iter();
        attributes
            .filter_map(|(name, value)| {
                let event_id = name.strip_prefix(FACT_PREFIX)?;
                let fact = value.as_s().ok().and_then(|stored| recorded_fact(event_id, stored));
                Some(fact.ok_or_else(|| malformed(GET, "fact#")))
            })
            .collect()
    }
}

fn recorded_fact(event_id: &str, stored: &str) -> Option<RecordedFact> {
    let stored: StoredFact = serde_json::from_str(stored).ok()?;
    let event_type = EventType::parse(&stored.event_type)?;
    let caused_by = match stored.cause {
        Some(cause) => Some(EventId::parse(&cause).ok()?),
        None => None,
    };
    Some(RecordedFact {
        fact: Fact {
            event_id: EventId::parse(event_id).ok()?,
            kind: kind_of_type(event_type)?,
            at: parse_timestamp(&stored.at)?,
            caused_by,
        },
        event_type,
        details: stored.details,
    })
}
