use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::{Event, Outbound};
use memory::{Faults, MemoryEventBus, MemoryMessageQueue, MemoryQuarantine};
use runtime::{Consumer, Deadline, Handler, SqsEvent, SqsMessage};

use crate::envelope;

/// The most deliveries that anything here may need.
const DELIVERIES_MAX: usize = 20;

/// A function behind a queue: the real handler in the real batch loop, with everything around it in memory.
pub struct Function<H> {
    /// The function.
    pub consumer: Consumer<H, MemoryEventBus, MemoryQuarantine, MemoryMessageQueue>,
    deliveries: AtomicU64,
}

impl<H: Handler> Function<H> {
    /// A function that nothing goes wrong around.
    pub fn new(name: &'static str, handler: H) -> Self {
        Self::with_faults(name, handler, &Faults::default())
    }

    /// A function whose bus, queue and quarantine follow a plan of faults.
    pub fn with_faults(name: &'static str, handler: H, faults: &Faults) -> Self {
        let consumer = Consumer {
            name,
            handler,
            bus: MemoryEventBus::with_faults(faults.clone()),
            quarantine: MemoryQuarantine::with_faults(faults.clone()),
            queue: MemoryMessageQueue::with_faults(faults.clone()),
        };
        Self { consumer, deliveries: AtomicU64::new(0) }
    }

    /// The handler, and through it what it keeps.
    pub fn handler(&self) -> &H {
        &self.consumer.handler
    }

    /// Delivers one event in a batch of its own. True when it is acknowledged.
    pub async fn deliver(&self, event: &Event) -> bool {
        self.deliver_batch(std::slice::from_ref(event)).await.is_empty()
    }

    /// Delivers events in one batch, each as a message that was never seen before, and returns those that failed.
    pub async fn deliver_batch(&self, events: &[Event]) -> Vec<Event> {
        let delivery = |event: &Event| {
            let number = self.deliveries.fetch_add(1, Ordering::Relaxed);
            (format!("message-{number}"), envelope(event, number))
        };
        let (ids, bodies): (Vec<_>, Vec<_>) = events.iter().map(delivery).unzip();
        let messages = ids.iter().zip(&bodies).map(|(id, body)| message(id, body, 1));
        let failed = self.consume(batch(messages)).await;
        let by_id: HashMap<_, _> = ids.iter().map(String::as_str).zip(events).collect();
        failed.iter().map(|id| (*by_id[id.as_str()]).clone()).collect()
    }

    /// Delivers events one after the other and sees each acknowledged.
    pub async fn deliver_all(&self, events: &[Event]) {
        for event in events {
            self.published_by(event).await;
        }
    }

    /// Delivers one event as often as it takes.
    pub async fn deliver_until_acknowledged(&self, event: &Event) {
        for _ in 0..DELIVERIES_MAX {
            if self.deliver(event).await {
                return;
            }
        }
        panic!("{} was delivered {DELIVERIES_MAX} times and never acknowledged", event.id);
    }

    /// Delivers one event, sees it acknowledged, and returns what it made the function publish.
    pub async fn published_by(&self, event: &Event) -> Vec<Outbound> {
        let before = self.published().len();
        assert!(self.deliver(event).await, "{} is not acknowledged", event.id);
        self.published().split_off(before)
    }

    /// Gives the function a batch and returns the message ids that it reports as failed.
    pub async fn consume(&self, batch: SqsEvent) -> Vec<String> {
        let deadline = Deadline::after(Duration::from_secs(60));
        let response = self.consumer.consume(batch, deadline).await;
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    /// Everything published so far.
    pub fn published(&self) -> Vec<Outbound> {
        self.consumer.bus.published()
    }

    /// The codes under which messages were set aside so far.
    pub fn quarantined(&self) -> Vec<String> {
        self.consumer.quarantine.kept().into_iter().map(|message| message.reason_code).collect()
    }
}

/// A message as SQS hands it to Lambda.
#[must_use]
pub fn message(id: &str, body: &str, receive_count: u32) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(id.to_owned());
    message.receipt_handle = Some(format!("handle-{id}"));
    message.body = Some(body.to_owned());
    message.attributes = HashMap::from([
        ("ApproximateReceiveCount".to_owned(), receive_count.to_string()),
        ("SentTimestamp".to_owned(), "1769860800500".to_owned()),
    ]);
    message
}

/// Messages as one batch.
pub fn batch(messages: impl IntoIterator<Item = SqsMessage>) -> SqsEvent {
    let mut batch = SqsEvent::default();
    batch.records = messages.into_iter().collect();
    batch
}
