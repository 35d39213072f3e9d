use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use contracts::{EventType, RecordedFact, format_timestamp, kind_of_type, parse_timestamp};
use domain::{EventId, Fact, OrderId, Timestamp};
use ports::{OrderViewStore, PortError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use crate::dynamodb::{json, malformed, text};
use crate::error::failed;

const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";
const SCAN: &str = "dynamodb:Scan";
const DELETE: &str = "dynamodb:BatchWriteItem";

/// The most items of one BatchWriteItem call
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>).
const DELETES_MAX: usize = 25;
/// How often what DynamoDB left over is asked for again.
const ATTEMPTS_MAX: u32 = 8;

/// What begins the name of an attribute that holds a fact; the event's id follows.
const FACT_PREFIX: &str = "fact#";

/// The read model in one DynamoDB table, one item an order, key `order_id`, one attribute a fact.
#[derive(Debug, Clone)]
pub struct DynamoDbOrderViewStore {
    client: Client,
    table: String,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewsCounted {
    /// Orders that something is known of.
    pub orders: u64,
    /// What is known.
    pub facts: u64,
    /// When the first of it happened.
    pub first_at: Option<Timestamp>,
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

    /// Counts all there is. Reads the whole table.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or when a fact is unreadable.
    pub async fn count(&self) -> Result<ViewsCounted, PortError> {
        let mut counted = ViewsCounted::default();
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let mut pages = scan.into_paginator().send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| failed(SCAN, error))?.items.unwrap_or_default() {
                counted.orders += 1;
                for (name, value) in item {
                    let Some(event_id) = name.strip_prefix(FACT_PREFIX) else { continue };
                    let fact = value.as_s().ok().and_then(|stored| recorded_fact(event_id, stored));
                    let at = fact.ok_or_else(|| malformed(SCAN, "fact#"))?.fact.at;
                    counted.facts += 1;
                    counted.first_at = Some(counted.first_at.map_or(at, |first| first.min(at)));
                }
            }
        }
        Ok(counted)
    }

    /// Deletes every view; says how many. For whoever makes them anew.
    ///
    /// # Errors
    /// When DynamoDB does not answer; some views are gone by then.
    pub async fn delete_all(&self) -> Result<u64, PortError> {
        let mut deleted = 0;
        let scan = self.client.scan().table_name(&self.table).projection_expression("order_id");
        let mut pages = scan.consistent_read(true).into_paginator().send();
        while let Some(page) = pages.next().await {
            let items = page.map_err(|error| failed(SCAN, error))?.items.unwrap_or_default();
            for keys in items.chunks(DELETES_MAX) {
                self.delete(keys).await?;
                deleted += keys.len() as u64;
            }
        }
        Ok(deleted)
    }

    async fn delete(&self, keys: &[HashMap<String, AttributeValue>]) -> Result<(), PortError> {
        let delete = |key: &HashMap<String, AttributeValue>| {
            let request = DeleteRequest::builder().set_key(Some(key.clone())).build()?;
            Ok::<_, aws_sdk_dynamodb::error::BuildError>(
                WriteRequest::builder().delete_request(request).build(),
            )
        };
        let requests: Result<Vec<_>, _> = keys.iter().map(delete).collect();
        let mut left = requests.map_err(|error| PortError::permanent(DELETE, error))?;
        for attempt in 0..ATTEMPTS_MAX {
            let request = self.client.batch_write_item().request_items(&self.table, left);
            let output = request.send().await.map_err(|error| failed(DELETE, error))?;
            left = output.unprocessed_items.and_then(|mut left| left.remove(&self.table)).unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(50 << attempt)).await;
        }
        Err(PortError::transient(DELETE, "DynamoDB left items over again and again"))
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
