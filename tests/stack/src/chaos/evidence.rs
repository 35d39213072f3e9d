//! What the run left behind, read from every store once it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws::{DynamoDbOrderStore, DynamoDbShipmentStore};
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::RecordedFact;
use domain::{OrderId, Reservation, Settlement, Shipment, StockLevel};
use futures_util::{StreamExt, TryStreamExt, stream};
use orderbus::stack::Stack;
use ports::{OrderStore, OrderViewStore, ShipmentStore, StockCounts, StockStore};
use serde_json::{Value, json};

use super::consumers::OWN_QUEUES;
use super::given_up::GivenUp;

/// How many reads are under way at once.
const READS_MAX: usize = 16;
/// How many facts from outside are read at once.
const FACTS_A_PAGE: usize = 1_000;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) levels: BTreeMap<String, StockLevel>,
    pub(crate) orders: BTreeMap<OrderId, Records>,
    /// The keys of every item about an order, by table: there may be orders that nobody placed.
    pub(crate) keys: BTreeMap<&'static str, BTreeSet<String>>,
    pub(crate) lake: Lake,
    pub(crate) given_up: GivenUp,
    /// The ids of what the fulfilment centre was told, and by whom it is about.
    pub(crate) notices: BTreeMap<String, BTreeSet<String>>,
}

/// What is written about one order.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) settlement: Option<Settlement>,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) shipment: Option<Shipment>,
    pub(crate) facts: Vec<RecordedFact>,
}

/// The data lake.
#[derive(Debug, Default)]
pub(crate) struct Lake {
    pub(crate) objects: usize,
    /// Every line, by the id of its event.
    pub(crate) events: BTreeMap<String, Vec<String>>,
    /// What could not be read as an event.
    pub(crate) undecodable: Vec<String>,
}

/// Queues of the test's own that hear what the backbone tells people.
#[derive(Debug)]
pub(crate) struct Inboxes {
    /// What the fulfilment centre is told.
    notices: String,
    /// What whoever is on call is told.
    alerts: String,
}

impl Inboxes {
    /// Subscribes to both.
    pub(crate) async fn subscribe(stack: &Stack) -> Result<Self> {
        let notices =
            subscribe(stack, "fulfilment-centre", stack.output("FulfilmentTopicArn")?, true).await?;
        let alerts = subscribe(stack, "on-call", stack.output("AlarmTopicArn")?, false).await?;
        Ok(Self { notices, alerts })
    }
}

/// Reads everything about these orders.
pub(crate) async fn gather(stack: &Arc<Stack>, orders: &[OrderId], inboxes: &Inboxes) -> Result<Evidence> {
    let levels = stack.stock()?.levels().await.context("cannot read the stock")?;
    let mut evidence = Evidence {
        levels: levels.into_iter().map(|(sku, level)| (sku.to_string(), level)).collect(),
        orders: records(stack, orders).await?,
        lake: lake(stack).await?,
        given_up: GivenUp::read(stack, &inboxes.alerts).await?,
        notices: told(stack, &inboxes.notices).await?,
        ..Evidence::default()
    };
    for (name, table, key, prefix) in [
        ("orders", "OrdersTableName", "order_id", ""),
        ("reservations", "StockTableName", "pk", "reservation#"),
        ("shipments", "ShipmentsTableName", "order_id", ""),
        ("order views", "OrderViewsTableName", "order_id", ""),
    ] {
        evidence.keys.insert(name, keys(stack, stack.output(table)?, key, prefix).await?);
    }
    Ok(evidence)
}

async fn records(stack: &Arc<Stack>, orders: &[OrderId]) -> Result<BTreeMap<OrderId, Records>> {
    let database = stack.sdk().dynamodb();
    let order_store = DynamoDbOrderStore::new(database.clone(), stack.output("OrdersTableName")?.to_owned());
    let shipments = DynamoDbShipmentStore::new(database, stack.output("ShipmentsTableName")?.to_owned());
    let (stock, views) = (stack.stock()?, stack.order_views()?);
    let read = async |order_id: &OrderId| -> Result<(OrderId, Records)> {
        let records = Records {
            settlement: order_store.find(order_id).await?.and_then(|record| record.settlement),
            reservation: stock.find(order_id).await?,
            shipment: shipments.find(order_id).await?,
            facts: facts(&views, order_id).await?,
        };
        Ok((order_id.clone(), records))
    };
    stream::iter(orders).map(read).buffer_unordered(READS_MAX).try_collect().await
}

/// Every fact of an order, its own and those from outside.
async fn facts(views: &impl OrderViewStore, order_id: &OrderId) -> Result<Vec<RecordedFact>> {
    let mut facts = views.own_facts(order_id).await?;
    let mut after = None;
    loop {
        let page = views.outside_facts(order_id, after.as_ref(), FACTS_A_PAGE).await?;
        facts.extend(page.facts);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(facts),
        }
    }
}

async fn keys(stack: &Stack, table: &str, key: &str, prefix: &str) -> Result<BTreeSet<String>> {
    let scan =
        stack.sdk().dynamodb().scan().table_name(table).projection_expression(key).consistent_read(true);
    let mut pages = scan.into_paginator().send();
    let mut keys = BTreeSet::new();
    while let Some(page) = pages.next().await {
        for mut item in page.context("cannot read a table")?.items.unwrap_or_default() {
            if let Some(AttributeValue::S(text)) = item.remove(key)
                && let Some(key) = text.strip_prefix(prefix)
            {
                keys.insert(key.to_owned());
            }
        }
    }
    Ok(keys)
}

async fn lake(stack: &Stack) -> Result<Lake> {
    let (s3, bucket) = (stack.sdk().s3(), stack.output("LakeBucketName")?);
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let objects = page.context("cannot list the lake")?.contents.unwrap_or_default();
        found.extend(objects.into_iter().filter_map(|object| object.key));
    }
    let read = async |key: String| {
        let object = s3.get_object().bucket(bucket).key(&key).send().await.context("cannot read the lake")?;
        let content = object.body.collect().await.context("cannot read the lake")?.into_bytes();
        Ok::<_, anyhow::Error>((key, content))
    };
    let objects: Vec<_> = stream::iter(found).map(read).buffer_unordered(READS_MAX).try_collect().await?;
    let mut lake = Lake { objects: objects.len(), ..Lake::default() };
    for (key, content) in &objects {
        if key.starts_with("events/") {
            for row in lake::decode(content).with_context(|| format!("{key} cannot be read"))? {
                lake.events.entry(row.id.to_string()).or_default().push(envelope(&row)?);
            }
        } else if key.starts_with("undecodable/") {
            let text = zstd::decode_all(content.as_ref()).with_context(|| format!("{key} is not zstd"))?;
            for line in String::from_utf8(text).context("an object that is not UTF-8")?.lines() {
                lake.undecodable.push(serde_json::from_str(line).context("an undecodable line is not JSON")?);
            }
        }
    }
    Ok(lake)
}

/// The event as a rule delivered it, but for what differs with every delivery.
fn envelope(row: &lake::Row<'_>) -> Result<String> {
    let entry = row.to_bus_entry().context("an archived event cannot be put on the bus again")?;
    let detail: Value = serde_json::from_str(&entry.detail).context("an archived event is not JSON")?;
    let (id, detail_type, source) = (&row.bus_id, &entry.detail_type, &entry.source);
    let envelope = json!({"id": id, "detail-type": detail_type, "source": source, "detail": detail});
    Ok(envelope.to_string())
}

/// A queue of the test's own that hears everything a topic tells.
async fn subscribe(stack: &Stack, name: &str, topic: &str, is_raw: bool) -> Result<String> {
    let name = format!("{OWN_QUEUES}{name}");
    let queue = stack.sdk().sqs().create_queue().queue_name(&name).send().await;
    let url = queue.context("cannot create a queue")?.queue_url.context("a queue without an address")?;
    let subscription = stack.sdk().sns().subscribe().topic_arn(topic).protocol("sqs");
    let subscription = subscription.endpoint(format!("arn:aws:sqs:us-east-1:000000000000:{name}"));
    let subscription = subscription.attributes("RawMessageDelivery", is_raw.to_string());
    subscription.send().await.context("cannot subscribe")?;
    Ok(url)
}

/// The body of every message in a queue of the test's own.
pub(crate) async fn read_all(stack: &Stack, queue_url: &str) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    loop {
        let request = stack.sdk().sqs().receive_message().queue_url(queue_url).max_number_of_messages(10);
        let received = request.visibility_timeout(600).send().await.context("cannot read a queue")?;
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(bodies);
        }
        bodies.extend(messages.into_iter().filter_map(|message| message.body));
    }
}

/// The ids of the shipments that the fulfilment centre was told to send, by order.
async fn told(stack: &Stack, queue_url: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut notices: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for body in read_all(stack, queue_url).await? {
        let notice: Value = serde_json::from_str(&body)?;
        if notice["kind"] == "ship" {
            let text = |name: &str| notice[name].as_str().unwrap_or_default().to_owned();
            notices.entry(text("orderId")).or_default().insert(text("shipmentId"));
        }
    }
    Ok(notices)
}
