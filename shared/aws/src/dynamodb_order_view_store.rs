use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, Select, WriteRequest};
use contracts::{EventType, RecordedFact, format_timestamp, kind_of_type};
use domain::{EventId, Fact, FactClass, OrderId, Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{FactPage, FactPlace, OrderViewStore, PortError};
use tokio::time::sleep;

use crate::dynamodb::{Item, Reader, instant, json, malformed, text};
use crate::error::failed;

const PUT: &str = "dynamodb:PutItem";
const QUERY: &str = "dynamodb:Query";
const SCAN: &str = "dynamodb:Scan";
const DELETE: &str = "dynamodb:BatchWriteItem";

/// The most items of one BatchWriteItem call
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>).
const DELETES_MAX: usize = 25;
/// How many of these calls are under way at once.
const DELETING_MAX: usize = 8;
/// How often what DynamoDB left over is asked for again.
const ATTEMPTS_MAX: u32 = 8;

/// The global secondary index that has the facts from outside by time.
const BY_TIME: &str = "by-time";

/// The read model in one DynamoDB table, one item a fact, key `order_id` and `fact`.
///
/// `fact` is the digit of the fact's class, `#`, and its identity, so that an order's own facts are read, and a signature is
/// found, without a look at any other fact. Facts from outside, and no others, have the attribute `by_time` (time, `#`,
/// identity), by which the index `by-time` sorts them. The index is global because a local one limits all facts of an order
/// to 10 GB.
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
    /// When the first of our own facts happened. When others say that theirs did is their choice.
    pub first_at: Option<Timestamp>,
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
        let mut orders = HashSet::new();
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let mut pages = scan.into_paginator().send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| failed(SCAN, error))?.items.unwrap_or_default() {
                let fact = recorded_fact(SCAN, &item)?.fact;
                counted.facts += 1;
                if fact.class == FactClass::Own {
                    counted.first_at = Some(counted.first_at.map_or(fact.at, |first| first.min(fact.at)));
                }
                orders.insert(Reader { operation: SCAN, item: &item }.text("order_id")?.to_owned());
            }
        }
        counted.orders = orders.len() as u64;
        Ok(counted)
    }

    /// Deletes every fact; says how many. For whoever makes the read model anew.
    ///
    /// # Errors
    /// When DynamoDB does not answer; some facts are gone by then.
    pub async fn delete_all(&self) -> Result<u64, PortError> {
        let mut deleted = 0;
        let scan = self.client.scan().table_name(&self.table).projection_expression("order_id, fact");
        let mut pages = scan.consistent_read(true).into_paginator().send();
        while let Some(page) = pages.next().await {
            let items = page.map_err(|error| failed(SCAN, error))?.items.unwrap_or_default();
            let deletions = items.chunks(DELETES_MAX).map(|keys| self.delete(keys));
            stream::iter(deletions).buffer_unordered(DELETING_MAX).try_collect::<()>().await?;
            deleted += items.len() as u64;
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

    /// A question for the facts of one class of an order, which sees every write that was answered before.
    fn of_class(&self, order_id: &OrderId, class: FactClass) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("order_id = :order AND begins_with(fact, :class)")
            .expression_attribute_values(":order", text(order_id.as_str()))
            .expression_attribute_values(":class", text(format!("{}#", digit(class))))
    }
}

impl OrderViewStore for DynamoDbOrderViewStore {
    async fn add(&self, order_id: &OrderId, recorded: &RecordedFact) -> Result<(), PortError> {
        let Fact { identity, event_id, class, at, caused_by, .. } = &recorded.fact;
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("order_id", text(order_id.as_str()))
            .item("fact", text(format!("{}#{identity}", digit(*class))))
            .item("event_type", text(recorded.event_type.as_str()))
            .item("at", instant(*at))
            .item("details", json(PUT, &recorded.details)?)
            .condition_expression("attribute_not_exists(order_id)");
        if event_id != identity {
            put = put.item("event_id", text(event_id.as_str()));
        }
        if let Some(cause) = caused_by {
            put = put.item("caused_by", text(cause.as_str()));
        }
        if *class != FactClass::Own {
            put = put.item("by_time", by_time(*at, identity));
        }
        match put.send().await {
            Ok(_) => Ok(()),
            // An earlier delivery added it, or the SDK's own first attempt.
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            Err(error) => Err(failed(PUT, error)),
        }
    }

    async fn own_facts(&self, order_id: &OrderId) -> Result<Vec<RecordedFact>, PortError> {
        let mut items = self.of_class(order_id, FactClass::Own).into_paginator().items().send();
        let mut facts = Vec::new();
        while let Some(item) = items.next().await {
            facts.push(recorded_fact(QUERY, &item.map_err(|error| failed(QUERY, error))?)?);
        }
        Ok(facts)
    }

    async fn has_signature(&self, order_id: &OrderId) -> Result<bool, PortError> {
        let request = self.of_class(order_id, FactClass::Signature).select(Select::Count).limit(1);
        let output = request.send().await.map_err(|error| failed(QUERY, error))?;
        Ok(output.count > 0)
    }

    async fn outside_facts(
        &self,
        order_id: &OrderId,
        after: Option<&FactPlace>,
        limit: usize,
    ) -> Result<FactPage, PortError> {
        // Whether one more is there, says whether there is another page.
        let wanted = limit.saturating_add(1);
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TIME)
            .scan_index_forward(false)
            .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
            .expression_attribute_values(":order", text(order_id.as_str()));
        let request = match after {
            None => request.key_condition_expression("order_id = :order"),
            Some(FactPlace { at, identity }) => request
                .key_condition_expression("order_id = :order AND by_time < :after")
                .expression_attribute_values(":after", by_time(*at, identity)),
        };
        let mut items = request.into_paginator().items().send();
        let mut facts = Vec::new();
        while facts.len() < wanted
            && let Some(item) = items.next().await
        {
            facts.push(recorded_fact(QUERY, &item.map_err(|error| failed(QUERY, error))?)?);
        }
        Ok(FactPage::of(facts, limit))
    }
}

/// What a class is called in a key.
fn digit(class: FactClass) -> &'static str {
    match class {
        FactClass::Own => "0",
        FactClass::Signature => "1",
        FactClass::Outside => "2",
    }
}

/// Sorts as [`FactPlace`] does.
fn by_time(at: Timestamp, identity: &EventId) -> AttributeValue {
    text(format!("{}#{identity}", format_timestamp(at)))
}

fn recorded_fact(operation: &'static str, item: &Item) -> Result<RecordedFact, PortError> {
    let reader = Reader { operation, item };
    let (class, identity) = reader
        .text("fact")?
        .split_once('#')
        .and_then(|(class, identity)| {
            let class = FactClass::ALL.into_iter().find(|known| digit(*known) == class)?;
            Some((class, EventId::parse(identity).ok()?))
        })
        .ok_or_else(|| malformed(operation, "fact"))?;
    let event_id = |name| match item.get(name) {
        Some(_) => reader.event_id(name).map(Some),
        None => Ok(None),
    };
    let event_type = EventType::parse(reader.text("event_type")?);
    let (event_type, kind) = event_type
        .and_then(|event_type| Some((event_type, kind_of_type(event_type)?)))
        .ok_or_else(|| malformed(operation, "event_type"))?;
    let fact = Fact {
        event_id: event_id("event_id")?.unwrap_or_else(|| identity.clone()),
        identity,
        kind,
        class,
        at: reader.instant("at")?,
        caused_by: event_id("caused_by")?,
    };
    Ok(RecordedFact { fact, event_type, details: reader.json("details")? })
}
