use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use domain::Timestamp;
use ports::Clock;

use crate::lock;

/// What `ReceiveMessage` gives at most.
const RECEIVED_MAX: usize = 10;
/// The longest that a message stays hidden, counted from its delivery: 12 hours.
const HIDDEN_MS_MAX: i64 = 43_200_000;

/// How a queue is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// For how many seconds a delivered message stays hidden.
    pub visibility_s: u32,
    /// After how many seconds a message is forgotten, counted from when it was first sent to any queue.
    pub retention_s: u32,
    /// Where a message goes that was delivered too often: the name of a queue, and the deliveries that it may have.
    pub redrive: Option<(String, u32)>,
}

/// A queue that was looked up by its name, for whoever looks into it often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueNumber(usize);

/// A message as it lies in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Given by the queue that it was sent to first. Kept on the way to a dead-letter queue; new with every sending.
    pub message_id: String,
    /// What was sent.
    pub body: Arc<str>,
    /// What was sent beside it.
    pub attributes: BTreeMap<String, String>,
    /// How often it was delivered by the queue that it is in.
    pub receive_count: u32,
    /// When it was first sent to any queue. A dead-letter queue does not begin anew.
    pub sent_at: Timestamp,
    /// When it is, or was, to be delivered next.
    pub visible_at: Timestamp,
}

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// See [`QueuedMessage::message_id`].
    pub message_id: String,
    /// Names this delivery: new with each.
    pub receipt_handle: String,
    /// What was sent.
    pub body: Arc<str>,
    /// What was sent beside it.
    pub attributes: BTreeMap<String, String>,
    /// This delivery included.
    pub receive_count: u32,
    /// See [`QueuedMessage::sent_at`].
    pub sent_at: Timestamp,
}

/// The standard queues of SQS: at least once, hidden for a while after each delivery, dead-lettered after too many.
///
/// A clone is another handle on the same queues, so that all who send to them, receive from them or look into them can
/// each hold one. Nothing waits and nothing is lost here; the adapters on top of it do that. The oldest visible message
/// comes first, which SQS does not promise and nobody may count on.
#[derive(Clone)]
pub struct MemoryQueues {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    queues: Vec<Queue>,
    by_name: HashMap<String, QueueNumber>,
    messages_sent: u64,
}

struct Queue {
    settings: QueueSettings,
    messages: HashMap<u64, Message>,
    /// Every message by when it is delivered next.
    by_visibility: BTreeSet<(i64, u64)>,
    /// Every message by when it was sent: the order in which they are forgotten.
    by_age: BTreeSet<(i64, u64)>,
}

struct Message {
    body: Arc<str>,
    attributes: BTreeMap<String, String>,
    receive_count: u32,
    sent_at_ms: i64,
    visible_at_ms: i64,
    /// When it was delivered last, and as the how many-th delivery of its life: the second half of its handle.
    received_at_ms: i64,
    deliveries: u64,
}

impl MemoryQueues {
    /// No queues yet. The clock decides what is visible and what is forgotten.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Creates a queue, or changes the settings of one; its messages stay.
    pub fn create(&self, name: &str, settings: QueueSettings) {
        let mut state = lock(&self.state);
        if let Some(number) = state.by_name.get(name).copied() {
            state.queues[number.0].settings = settings;
        } else {
            let number = QueueNumber(state.queues.len());
            state.queues.push(Queue::new(settings));
            state.by_name.insert(name.to_owned(), number);
        }
    }

    /// The name of every queue, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = lock(&self.state).by_name.keys().cloned().collect();
        names.sort();
        names
    }

    /// True when there is a queue of this name.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        lock(&self.state).by_name.contains_key(name)
    }

    /// Sends a message and returns its id.
    ///
    /// # Panics
    /// As everything here, when there is no such queue: whoever names it has a mistake in it.
    pub fn send(
        &self,
        queue: &str,
        body: impl Into<Arc<str>>,
        attributes: BTreeMap<String, String>,
    ) -> String {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        state.messages_sent += 1;
        let number = state.messages_sent;
        let message = Message {
            body: body.into(),
            attributes,
            receive_count: 0,
            sent_at_ms: now_ms,
            visible_at_ms: now_ms,
            received_at_ms: now_ms,
            deliveries: 0,
        };
        state.queue(queue).insert(number, message);
        message_id(number)
    }

    /// Delivers up to `limit` visible messages, ten at most, and hides them for `visibility_s`, or for as long as the
    /// queue's settings say. A message that was delivered as often as it may be goes to the dead-letter queue instead.
    #[must_use]
    pub fn receive(&self, queue: &str, limit: usize, visibility_s: Option<u32>) -> Vec<Received> {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let (received, dead) = state.queue(queue).receive(now_ms, limit.min(RECEIVED_MAX), visibility_s);
        if let Some((dead_letter_queue, letters)) = dead {
            let dead_letter_queue = state.queue(&dead_letter_queue);
            for (number, mut message) in letters {
                (message.visible_at_ms, message.receive_count) = (now_ms, 0);
                dead_letter_queue.insert(number, message);
            }
        }
        received
    }

    /// Deletes a message. False, and nothing is deleted, when the handle is not that of its latest delivery.
    pub fn delete(&self, queue: &str, receipt_handle: &str) -> bool {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = state.queue(queue);
        queue.forget(now_ms);
        match queue.delivered(receipt_handle) {
            Some(number) => queue.remove(number).is_some(),
            None => false,
        }
    }

    /// Sets how long a delivered message stays hidden from now on. False, and nothing is changed, when it is visible
    /// again, when the handle is not that of its latest delivery, or when it would have been hidden for more than 12
    /// hours since.
    pub fn change_visibility(&self, queue: &str, receipt_handle: &str, delay_s: u32) -> bool {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = state.queue(queue);
        queue.forget(now_ms);
        let Some(number) = queue.delivered(receipt_handle) else {
            return false;
        };
        let Some(message) = queue.messages.get(&number) else {
            return false;
        };
        let visible_at_ms = now_ms + ms(delay_s);
        if message.visible_at_ms <= now_ms || visible_at_ms - message.received_at_ms > HIDDEN_MS_MAX {
            return false;
        }
        queue.hide(number, visible_at_ms);
        true
    }

    /// How many messages can be delivered now: `ApproximateNumberOfMessages`.
    #[must_use]
    pub fn visible(&self, queue: &str) -> usize {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = state.queue(queue);
        queue.forget(now_ms);
        queue.by_visibility.range(..=(now_ms, u64::MAX)).count()
    }

    /// The queue of this name.
    #[must_use]
    pub fn number_of(&self, queue: &str) -> QueueNumber {
        lock(&self.state).number_of(queue)
    }

    /// True when so many messages can be delivered now.
    #[must_use]
    pub fn has_visible(&self, queue: QueueNumber, count: usize) -> bool {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = &mut state.queues[queue.0];
        queue.forget(now_ms);
        queue.messages.len() >= count
            && queue.by_visibility.range(..=(now_ms, u64::MAX)).take(count).count() == count
    }

    /// How many messages there are, hidden ones included.
    #[must_use]
    pub fn len(&self, queue: &str) -> usize {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = state.queue(queue);
        queue.forget(now_ms);
        queue.messages.len()
    }

    /// True when there is no message, not even a hidden one.
    #[must_use]
    pub fn is_empty(&self, queue: &str) -> bool {
        self.len(queue) == 0
    }

    /// Every message, hidden ones included, in the order in which they were first sent.
    #[must_use]
    pub fn messages(&self, queue: &str) -> Vec<QueuedMessage> {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = state.queue(queue);
        queue.forget(now_ms);
        let mut numbers: Vec<u64> = queue.messages.keys().copied().collect();
        numbers.sort_unstable();
        let snapshot = |number: u64| {
            queue.messages.get(&number).map(|message| QueuedMessage {
                message_id: message_id(number),
                body: message.body.clone(),
                attributes: message.attributes.clone(),
                receive_count: message.receive_count,
                sent_at: Timestamp::from_unix_ms(message.sent_at_ms),
                visible_at: Timestamp::from_unix_ms(message.visible_at_ms),
            })
        };
        numbers.into_iter().filter_map(snapshot).collect()
    }

    /// When the next message can be delivered; an instant in the past when one can be now, `None` when there is none.
    #[must_use]
    pub fn next_visible_at(&self, queue: QueueNumber) -> Option<Timestamp> {
        let now_ms = self.now_ms();
        let mut state = lock(&self.state);
        let queue = &mut state.queues[queue.0];
        queue.forget(now_ms);
        queue.by_visibility.first().map(|(visible_at_ms, _)| Timestamp::from_unix_ms(*visible_at_ms))
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().unix_ms()
    }
}

impl fmt::Debug for MemoryQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueues").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl State {
    #[allow(clippy::panic, reason = "a wrong name is a mistake in a test, and this is where it shows")]
    fn number_of(&self, name: &str) -> QueueNumber {
        self.by_name.get(name).copied().unwrap_or_else(|| panic!("there is no queue {name}"))
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        let number = self.number_of(name);
        &mut self.queues[number.0]
    }
}

/// The name of a dead-letter queue, and what is to go there.
type DeadLetters = Option<(String, Vec<(u64, Message)>)>;

impl Queue {
    fn new(settings: QueueSettings) -> Self {
        Self { settings, messages: HashMap::new(), by_visibility: BTreeSet::new(), by_age: BTreeSet::new() }
    }

    fn insert(&mut self, number: u64, message: Message) {
        self.by_visibility.insert((message.visible_at_ms, number));
        self.by_age.insert((message.sent_at_ms, number));
        self.messages.insert(number, message);
    }

    fn remove(&mut self, number: u64) -> Option<Message> {
        let message = self.messages.remove(&number)?;
        self.by_visibility.remove(&(message.visible_at_ms, number));
        self.by_age.remove(&(message.sent_at_ms, number));
        Some(message)
    }

    fn hide(&mut self, number: u64, visible_at_ms: i64) {
        if let Some(message) = self.messages.get_mut(&number) {
            self.by_visibility.remove(&(message.visible_at_ms, number));
            self.by_visibility.insert((visible_at_ms, number));
            message.visible_at_ms = visible_at_ms;
        }
    }

    /// Forgets what is older than the retention.
    fn forget(&mut self, now_ms: i64) {
        let oldest_ms = now_ms - ms(self.settings.retention_s);
        while let Some(&(sent_at_ms, number)) = self.by_age.first() {
            if sent_at_ms > oldest_ms {
                break;
            }
            self.remove(number);
        }
    }

    fn receive(
        &mut self,
        now_ms: i64,
        limit: usize,
        visibility_s: Option<u32>,
    ) -> (Vec<Received>, DeadLetters) {
        self.forget(now_ms);
        let visible_at_ms = now_ms + ms(visibility_s.unwrap_or(self.settings.visibility_s));
        let redrive = self.settings.redrive.clone();
        let receive_count_max =
            redrive.as_ref().map_or(u32::MAX, |(_, receive_count_max)| *receive_count_max);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        // Collected first: a message that is hidden for no time at all must not come twice in one answer.
        let visible: Vec<u64> =
            self.by_visibility.range(..=(now_ms, u64::MAX)).map(|(_, number)| *number).take(limit).collect();
        for number in visible {
            let Some(message) = self.messages.get_mut(&number) else { continue };
            if message.receive_count >= receive_count_max {
                dead.extend(self.remove(number).map(|message| (number, message)));
                continue;
            }
            message.receive_count += 1;
            message.deliveries += 1;
            message.received_at_ms = now_ms;
            received.push(Received {
                message_id: message_id(number),
                receipt_handle: format!("{number}-{}", message.deliveries),
                body: message.body.clone(),
                attributes: message.attributes.clone(),
                receive_count: message.receive_count,
                sent_at: Timestamp::from_unix_ms(message.sent_at_ms),
            });
            self.hide(number, visible_at_ms);
        }
        (received, redrive.map(|(queue, _)| (queue, dead)))
    }

    /// The message whose latest delivery has this handle.
    fn delivered(&self, receipt_handle: &str) -> Option<u64> {
        let (number, delivery) = receipt_handle.split_once('-')?;
        let (number, delivery): (u64, u64) = (number.parse().ok()?, delivery.parse().ok()?);
        let is_latest = |message: &Message| delivery > 0 && message.deliveries == delivery;
        self.messages.get(&number).is_some_and(is_latest).then_some(number)
    }
}

fn message_id(number: u64) -> String {
    format!("message-{number}")
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
