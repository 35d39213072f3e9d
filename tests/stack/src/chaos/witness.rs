//! A queue that hears everything on the bus, and what was heard there.
//!
//! It is the one account of what was published that owes nothing to the functions under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Target};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use contracts::EventType;
use domain::OrderId;
use orderbus::stack::Stack;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::consumers::Consumer;
use super::poison::is_poison;

/// Its queue, rule and target.
const NAME: &str = "chaos-witness";
const ACCOUNT: &str = "arn:aws:sqs:us-east-1:000000000000";
/// Of a hundred events, so many are told again.
const REPEATED_PERCENT: u64 = 10;
const REPEATED_AFTER_MS_MAX: u64 = 4_000;

/// What was heard so far; shared by all who wait for something.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    heard: Arc<Mutex<Heard>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Heard {
    /// How often each event was heard, by its id.
    times: BTreeMap<String, usize>,
    /// The types and ids of an order's events.
    of_orders: BTreeMap<String, BTreeSet<(String, String)>>,
    /// The data of the payment that was asked for, by order.
    payment_requests: BTreeMap<String, Value>,
}

/// Numbers of what was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) messages: usize,
    pub(crate) distinct: usize,
}

impl Board {
    fn new() -> Self {
        Self { heard: Arc::default(), changed: watch::Sender::new(()) }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every event id there was.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.heard().times.keys().cloned().collect()
    }

    /// How many events, and how many different ones.
    pub(crate) fn counts(&self) -> Counts {
        let heard = self.heard();
        Counts { messages: heard.times.values().sum(), distinct: heard.times.len() }
    }

    /// The types of an order's events, sorted, one for each different event.
    pub(crate) fn types(&self, order_id: &OrderId) -> Vec<String> {
        let heard = self.heard();
        let events = heard.of_orders.get(order_id.as_str()).into_iter().flatten();
        events.map(|(event_type, _)| event_type.clone()).collect()
    }

    /// The data of the order's payment request.
    pub(crate) fn payment_request(&self, order_id: &OrderId) -> Option<Value> {
        self.heard().payment_requests.get(order_id.as_str()).cloned()
    }

    /// Waits until something is so.
    pub(crate) async fn until<T>(&self, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            // The board itself keeps the channel open.
            changes.changed().await.ok();
        }
    }

    /// Waits until an event of this type was heard of the order.
    pub(crate) async fn until_heard(&self, order_id: &OrderId, event_type: EventType) {
        let has = |board: &Self| board.types(order_id).iter().any(|name| name == event_type.as_str());
        self.until(|board| has(board).then_some(())).await;
    }

    /// Writes an event down. Says whether it is new.
    fn hear(&self, event: &Value) -> bool {
        let (detail, event_type) = (&event["detail"], &event["detail-type"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&detail["id"]);
        let mut heard = self.heard();
        let times = heard.times.entry(id.clone()).or_default();
        *times += 1;
        let is_new = *times == 1;
        if is_new && let Some(order_id) = detail["data"]["orderId"].as_str() {
            let events = heard.of_orders.entry(order_id.to_owned()).or_default();
            events.insert((text(event_type), id));
            if event_type == EventType::PaymentRequested.as_str() {
                heard.payment_requests.insert(order_id.to_owned(), detail["data"].clone());
            }
        }
        is_new
    }
}

/// The queue, its reader, and those who tell events again.
#[derive(Debug)]
pub(crate) struct Witness {
    stack: Arc<Stack>,
    consumers: Vec<Consumer>,
    queue_url: String,
    seed: u64,
    board: Board,
    /// How many events are still to be told again.
    pending: AtomicU64,
}

/// How often events were told again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repeated {
    pub(crate) on_the_bus: usize,
    pub(crate) in_a_queue: usize,
}

impl Witness {
    /// Begins to listen.
    pub(crate) async fn listen(stack: Arc<Stack>, consumers: Vec<Consumer>, seed: u64) -> Result<Self> {
        let queue = stack.sdk().sqs().create_queue().queue_name(NAME).send().await;
        let queue_url =
            queue.context("cannot create a queue")?.queue_url.context("a queue without an address")?;
        let (events, bus) = (stack.sdk().eventbridge(), stack.output("BusName")?.to_owned());
        let rule = events.put_rule().name(NAME).event_bus_name(&bus);
        let rule = rule.event_pattern(r#"{"source":[{"prefix":""}]}"#);
        rule.send().await.context("cannot create a rule")?;
        let target = Target::builder().id(NAME).arn(format!("{ACCOUNT}:{NAME}")).build()?;
        let targets = events.put_targets().rule(NAME).event_bus_name(&bus).targets(target);
        targets.send().await.context("cannot create a target")?;
        Ok(Self { stack, consumers, queue_url, seed, board: Board::new(), pending: AtomicU64::new(0) })
    }

    /// What it has heard.
    pub(crate) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Hears everything until told to stop, and tells a part of it again: as the bus does that delivers at least once,
    /// and as SQS does that hands out a copy under another message id.
    pub(crate) async fn attend(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<Repeated> {
        let mut repeats: JoinSet<Result<bool>> = JoinSet::new();
        loop {
            let is_stopped = *stop.borrow_and_update();
            let events = self.receive().await?;
            let is_empty = events.is_empty();
            for body in events {
                let event: Value = serde_json::from_str(&body).context("the bus delivered no JSON")?;
                let id = event["detail"]["id"].as_str().unwrap_or_default().to_owned();
                if self.board.hear(&event) && !is_stopped && !is_poison(&id) {
                    let fate = hash(self.seed, &id);
                    if fate % 100 < REPEATED_PERCENT {
                        let witness = Arc::clone(&self);
                        self.pending.fetch_add(1, Ordering::Relaxed);
                        repeats.spawn(async move {
                            let told = witness.tell_again(fate / 100, &event, &body).await;
                            witness.pending.fetch_sub(1, Ordering::Relaxed);
                            told
                        });
                    }
                }
            }
            self.board.changed.send_replace(());
            if is_empty {
                if is_stopped {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let mut repeated = Repeated::default();
        while let Some(told) = repeats.join_next().await {
            if told.context("an event could not be told again")?? {
                repeated.on_the_bus += 1;
            } else {
                repeated.in_a_queue += 1;
            }
        }
        // What was told again just now is heard, too.
        while !self.hear_once().await? {}
        Ok(repeated)
    }

    /// How many events it is going to tell again.
    pub(crate) fn repeats_pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Where messages wait to be heard.
    pub(crate) fn queue_url(&self) -> &str {
        &self.queue_url
    }

    async fn hear_once(&self) -> Result<bool> {
        let events = self.receive().await?;
        for body in &events {
            self.board.hear(&serde_json::from_str(body).context("the bus delivered no JSON")?);
        }
        Ok(events.is_empty())
    }

    async fn receive(&self) -> Result<Vec<String>> {
        let sqs = self.stack.sdk().sqs();
        let request = sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(10);
        let messages = request.send().await.context("the witness cannot hear")?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let entries: Result<Vec<_>, _> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle().unwrap_or_default())
                    .build()
            })
            .collect();
        let deleted = sqs.delete_message_batch().queue_url(&self.queue_url).set_entries(Some(entries?));
        deleted.send().await.context("the witness cannot put away what it heard")?;
        Ok(messages.into_iter().filter_map(|message| message.body).collect())
    }

    /// Says whether it went over the bus.
    async fn tell_again(&self, fate: u64, event: &Value, body: &str) -> Result<bool> {
        tokio::time::sleep(Duration::from_millis(fate % REPEATED_AFTER_MS_MAX)).await;
        let (source, detail_type) =
            (event["source"].as_str().unwrap_or_default(), event["detail-type"].as_str().unwrap_or_default());
        let hearers: Vec<&Consumer> =
            self.consumers.iter().filter(|consumer| consumer.hears(source, detail_type)).collect();
        if !hearers.is_empty() && fate.is_multiple_of(3) {
            let hearer = hearers[usize::try_from(fate)? % hearers.len()];
            let request = self.stack.sdk().sqs().send_message().queue_url(&hearer.queue_url);
            request.message_body(body).send().await.context("cannot copy a message")?;
            return Ok(false);
        }
        put_on_the_bus(&self.stack, source, detail_type, &event["detail"]).await?;
        Ok(true)
    }
}

/// Puts any event on the bus, whether or not anybody could read it.
pub(crate) async fn put_on_the_bus(
    stack: &Stack,
    source: &str,
    detail_type: &str,
    detail: &Value,
) -> Result<()> {
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(stack.output("BusName")?)
        .source(source)
        .detail_type(detail_type)
        .detail(detail.to_string());
    let answer = stack.sdk().eventbridge().put_events().entries(entry.build()).send().await;
    let answer = answer.context("cannot put an event on the bus")?;
    anyhow::ensure!(answer.failed_entry_count() == 0, "the bus did not take an event: {answer:?}");
    Ok(())
}

/// FNV-1a: the fate of an event depends on the seed and on its id, not on when it comes by.
fn hash(seed: u64, id: &str) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    let mixed =
        id.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The low digits of FNV-1a differ too little between ids that differ at their end.
    (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_every_tenth_event_is_told_again_and_always_the_same_ones() {
        let chosen = |seed| -> Vec<usize> {
            (0..5_000).filter(|number| hash(seed, &format!("e-{number}")) % 100 < REPEATED_PERCENT).collect()
        };
        assert!((430..570).contains(&chosen(1).len()), "{}", chosen(1).len());
        assert_eq!(chosen(1), chosen(1));
        assert_ne!(chosen(1), chosen(2));
    }
}
