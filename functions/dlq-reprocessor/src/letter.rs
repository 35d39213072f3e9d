use contracts::{BusEvent, DecodeError, Refusal};
use domain::{Attempt, Concerning, RedriveKey, RedriveReason, Timestamp};
use ports::{
    CONSUMER_ATTRIBUTE, DeadLetter, REASON_ATTRIBUTE, REASON_CODE_ATTRIBUTE, Target, attempt_carried,
    attempt_in_resources,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::encrypted_event;

/// The longest text that is taken over from what a service says of a failure.
const TEXT_LENGTH_MAX: usize = 300;
/// The longest name of an event type that is shown.
const TYPE_LENGTH_MAX: usize = 64;

/// What a consumer can handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Events of the catalogue. Anything else can never succeed there.
    Catalogue,
    /// Whatever is on the bus.
    Anything,
}

/// A consumer and its queues, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The function.
    pub name: String,
    /// Where its messages come from.
    pub queue: String,
    /// Where they go that were delivered too often.
    pub dead_letter_queue: String,
    /// How many messages it works on at once: its concurrency times its batch size.
    pub capacity: u64,
    /// What it can handle.
    pub takes: Takes,
}

/// Every queue that dead letters lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Every consumer of the stack.
    pub consumers: Vec<Consumer>,
    /// What the bus itself could not handle.
    pub bus: String,
    /// What the bus could not deliver.
    pub undelivered: String,
    /// What consumers can never handle.
    pub quarantine: String,
    /// The state machine that the bus starts itself.
    pub checkout_arn: String,
}

impl Queues {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let consumers = self.consumers.iter().map(|consumer| consumer.dead_letter_queue.as_str());
        consumers.chain([self.bus.as_str(), self.undelivered.as_str(), self.quarantine.as_str()])
    }

    /// The account of the bus: that of the checkout beside it.
    fn own_account(&self) -> Option<&str> {
        self.checkout_arn.split(':').nth(4)
    }

    /// Where a message goes back to that is counted under this name. `None` when this stack has no such target.
    #[must_use]
    pub fn target_of(&self, name: &str) -> Option<Target> {
        if name == Target::Checkout.name() {
            return Some(Target::Checkout);
        }
        if name == Target::Bus.name() {
            return Some(Target::Bus);
        }
        let known = self.consumers.iter().any(|consumer| consumer.name == name);
        known.then(|| Target::Consumer(name.to_owned()))
    }

    /// How many messages a target works on at once. `None` where that is no limit: the bus and Step Functions take
    /// thousands a second, far more than a run may send.
    #[must_use]
    pub fn capacity_of(&self, target: &Target) -> Option<u64> {
        let is_it = |consumer: &&Consumer| matches!(target, Target::Consumer(name) if *name == consumer.name);
        self.consumers.iter().find(is_it).map(|consumer| consumer.capacity)
    }
}

/// A dead letter, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// As it came.
    pub dead_letter: DeadLetter,
    /// What it is counted under.
    pub key: RedriveKey,
    /// Which message it is.
    pub concerning: Concerning,
    /// Where it goes back to. `None` when this stack has no such target.
    pub target: Option<Target>,
    /// The attempt that travelled with it: the one before the one that failed.
    pub carried: Attempt,
    /// When it failed, where that is known.
    pub failed_at: Option<Timestamp>,
    /// Why it failed.
    pub reason: RedriveReason,
    /// True when it would fail again, whatever is mended around it.
    pub is_permanent: bool,
}

impl Letter {
    /// Reads a dead letter. Nothing in it can keep it from being read.
    #[must_use]
    pub fn read(dead_letter: DeadLetter, queues: &Queues) -> Self {
        let decoded = contracts::decode(&dead_letter.body, queues.own_account());
        let origin = Origin::of(&dead_letter, queues);
        // Not the event's id: another sender's event may have the same.
        let message = match &decoded {
            Ok(event) => event.identity().as_str().to_owned(),
            Err(_) => hash(&dead_letter.body),
        };
        let carried = match origin.target {
            // An event has no attributes beside it that the bus would hand on.
            Some(Target::Bus) => {
                envelope(&dead_letter.body).map(|it| attempt_in_resources(&it.resources)).unwrap_or_default()
            }
            _ => attempt_carried(|name| attribute(&dead_letter, name)),
        };
        let is_for_the_bus = origin.target == Some(Target::Bus);
        let unreadable = decoded.as_ref().err().filter(|error| {
            origin.takes == Takes::Catalogue
                || (is_for_the_bus && matches!(error, DecodeError::NotPermitted { .. }))
        });
        let is_foreign = is_for_the_bus
            && decoded.as_ref().is_ok_and(|event| matches!(event.origin, contracts::Origin::Account(_)));
        // Before all else: whatever queue it lies in, and whether or not its target is known, it can go nowhere as it is.
        let encrypted = encrypted_event::reason(&dead_letter.body);
        let (is_permanent, reason) = match (encrypted.or(origin.verdict), unreadable) {
            (Some(verdict), _) => (true, verdict),
            (None, Some(error)) => {
                (true, RedriveReason { code: error.code().into(), text: error.to_string() })
            }
            (None, None) if is_foreign => (true, foreign_account()),
            (None, None) => (false, origin.reason),
        };
        Self {
            key: RedriveKey::new(&origin.consumer, &message),
            concerning: concerning(origin.consumer, &decoded, &dead_letter.body),
            target: origin.target,
            carried,
            failed_at: origin.failed_at,
            reason,
            is_permanent,
            dead_letter,
        }
    }
}

/// Put back by this account, an event of another account would count as one of this account.
fn foreign_account() -> RedriveReason {
    RedriveReason {
        code: Refusal::ForeignAccount.code().to_owned(),
        text: "the bus could not take an event of another account; ask that account to publish it again"
            .to_owned(),
    }
}

/// What the queue says of a letter that lies in it.
struct Origin {
    /// Who was to handle it.
    consumer: String,
    target: Option<Target>,
    takes: Takes,
    failed_at: Option<Timestamp>,
    reason: RedriveReason,
    /// Why it can never be handled, where that is decided.
    verdict: Option<RedriveReason>,
}

impl Origin {
    fn of(letter: &DeadLetter, queues: &Queues) -> Self {
        if letter.queue == queues.quarantine {
            return Self::quarantine(letter, queues);
        }
        if letter.queue == queues.bus || letter.queue == queues.undelivered {
            return Self::undelivered(letter, queues);
        }
        let consumer = queues.consumers.iter().find(|consumer| consumer.dead_letter_queue == letter.queue);
        let name = consumer.map_or("unknown", |consumer| consumer.name.as_str());
        Self {
            consumer: name.to_owned(),
            target: consumer.map(|consumer| Target::Consumer(consumer.name.clone())),
            takes: consumer.map_or(Takes::Anything, |consumer| consumer.takes),
            // SQS keeps the time of the first sending, not that of the last delivery.
            failed_at: None,
            reason: RedriveReason {
                code: Refusal::DeliveriesExhausted.code().to_owned(),
                text: format!("every delivery failed; the logs of {name} say why"),
            },
            verdict: None,
        }
    }

    /// What a rule or the bus could not deliver
    /// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>).
    fn undelivered(letter: &DeadLetter, queues: &Queues) -> Self {
        let (target, takes, consumer) = match attribute(letter, "TARGET_ARN") {
            None => (Some(Target::Bus), Takes::Anything, Target::Bus.name().to_owned()),
            Some(arn) if arn == queues.checkout_arn => {
                (Some(Target::Checkout), Takes::Catalogue, Target::Checkout.name().to_owned())
            }
            Some(arn) => {
                let name = arn.rsplit(':').next().unwrap_or_default();
                match queues.consumers.iter().find(|consumer| consumer.queue == name) {
                    Some(consumer) => {
                        let target = Target::Consumer(consumer.name.clone());
                        (Some(target), consumer.takes, consumer.name.clone())
                    }
                    None => (None, Takes::Anything, shortened(name).to_owned()),
                }
            }
        };
        let code = attribute(letter, "ERROR_CODE").unwrap_or(Refusal::Undelivered.code());
        let text = attribute(letter, "ERROR_MESSAGE").unwrap_or("EventBridge does not say why");
        let verdict = target.is_none().then(|| RedriveReason {
            code: Refusal::UnknownTarget.code().to_owned(),
            text: format!("{consumer} is no target of this stack"),
        });
        Self {
            consumer,
            target,
            takes,
            failed_at: Some(letter.sent_at),
            reason: RedriveReason {
                code: shortened(code).to_owned(),
                text: format!("the bus could not deliver it: {}", shortened(text)),
            },
            verdict,
        }
    }

    fn quarantine(letter: &DeadLetter, queues: &Queues) -> Self {
        let consumer = shortened(attribute(letter, CONSUMER_ATTRIBUTE).unwrap_or("unknown")).to_owned();
        let verdict = RedriveReason {
            code: shortened(attribute(letter, REASON_CODE_ATTRIBUTE).unwrap_or(Refusal::Refused.code()))
                .to_owned(),
            text: shortened(attribute(letter, REASON_ATTRIBUTE).unwrap_or("it does not say why")).to_owned(),
        };
        Self {
            target: queues.target_of(&consumer),
            consumer,
            takes: Takes::Anything,
            failed_at: Some(letter.sent_at),
            reason: verdict.clone(),
            verdict: Some(verdict),
        }
    }
}

fn attribute<'a>(letter: &'a DeadLetter, name: &str) -> Option<&'a str> {
    letter.attributes.get(name).map(String::as_str)
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(TEXT_LENGTH_MAX).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

fn concerning(consumer: String, decoded: &Result<BusEvent, DecodeError>, body: &str) -> Concerning {
    match decoded {
        Ok(BusEvent { event, .. }) => Concerning {
            consumer,
            event_id: Some(event.id.clone()),
            event_type: Some(event.data.event_type().as_str().to_owned()),
            order_id: event.order_id().ok().cloned(),
        },
        // In what is no event of the catalogue, any text may be about a person; a type is known by its form.
        Err(_) => Concerning { consumer, event_type: type_of(body), ..Concerning::default() },
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(default)]
    resources: Vec<String>,
}

fn envelope(body: &str) -> Option<Envelope<'_>> {
    serde_json::from_str(body).ok()
}

fn type_of(body: &str) -> Option<String> {
    let is_type = |text: &String| {
        text.len() <= TYPE_LENGTH_MAX
            && text.contains(".v")
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
    };
    envelope(body)?.detail_type.filter(is_type)
}

/// What has no id is known by its content: not by the envelope, which is another around each copy of an event.
fn hash(body: &str) -> String {
    let detail = envelope(body).and_then(|envelope| envelope.detail).map_or(body, RawValue::get);
    let digest = Sha256::digest(detail.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
