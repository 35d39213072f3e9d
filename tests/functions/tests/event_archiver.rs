//! `event-archiver`: every message is in the lake before it is acknowledged, and a batch that comes again writes nothing
//! new.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::Event;
use domain::Timestamp;
use event_archiver::EventArchiver;
use function_tests::{NOW, batch, cancelled, envelope, message, placed};
use memory::{Fault, Faults, MemoryEventLake};
use ports::{Commit, EventLake, LakeObject, PortError};
use runtime::{Deadline, SqsMessage};

const HOUR_MS: i64 = 3_600_000;

fn archiver(faults: &Faults) -> EventArchiver<MemoryEventLake> {
    EventArchiver { lake: MemoryEventLake::with_faults(faults.clone()) }
}

async fn archive<L: EventLake>(archiver: &EventArchiver<L>, messages: &[SqsMessage]) -> Vec<String> {
    let response = archiver.archive(batch(messages.to_vec()), Deadline::after(Duration::from_secs(60))).await;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

fn at(event: Event, time: Timestamp) -> Event {
    Event { time, ..event }
}

/// Two events of one hour, one of the next, and one message that is no event.
fn messages() -> Vec<SqsMessage> {
    let next_hour = Timestamp::from_unix_ms(NOW.unix_ms() + HOUR_MS);
    let events = [
        placed("e-1", "o-1", &[("MUG", 1)]),
        at(cancelled("e-2", "o-1"), next_hour),
        placed("e-3", "o-2", &[("MUG", 1)]),
    ];
    let body = |(number, event): (u64, &Event)| envelope(event, number);
    let mut bodies: Vec<String> = (1..).zip(&events).map(body).collect();
    bodies.push("not\nJSON".to_owned());
    bodies.iter().enumerate().map(|(number, body)| message(&format!("m-{number}"), body, 1)).collect()
}

/// The lines of every object whose key begins so.
fn lines(lake: &MemoryEventLake, prefix: &str) -> Vec<String> {
    let objects = lake.objects().into_iter().filter(|object| object.key.starts_with(prefix));
    let content = objects.map(|object| {
        assert_eq!((object.content_type, object.content_encoding), ("application/zstd", None));
        String::from_utf8(zstd::bulk::decompress(&object.body, 1 << 20).unwrap()).unwrap()
    });
    content.flat_map(|content| content.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn every_message_is_kept_to_the_letter_by_the_hour_in_which_it_happened() {
    let archiver = archiver(&Faults::default());
    let messages = messages();
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    let body = |number: usize| messages[number].body.clone().unwrap();
    assert_eq!(lines(&archiver.lake, "events/dt=2026-01-31/hour=12/"), [body(0), body(2)]);
    assert_eq!(lines(&archiver.lake, "events/dt=2026-01-31/hour=13/"), [body(1)]);
    let undecodable = lines(&archiver.lake, "undecodable/dt=2026-01-31/hour=12/");
    let kept: Vec<String> = undecodable.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept, [body(3)]);
    assert_eq!(archiver.lake.objects().len(), 3);
}

#[tokio::test]
async fn a_redelivered_batch_writes_no_new_object_in_whatever_order_it_comes() {
    let archiver = archiver(&Faults::default());
    archive(&archiver, &messages()).await;
    let before = archiver.lake.objects();
    let reversed: Vec<SqsMessage> = messages().into_iter().rev().collect();
    assert_eq!(archive(&archiver, &reversed).await, [""; 0]);
    assert_eq!(archiver.lake.objects(), before);
}

#[tokio::test]
async fn an_object_that_could_not_be_written_fails_its_own_messages_and_no_others() {
    let messages = messages();
    let mut failed = BTreeSet::new();
    for call in 1..=3 {
        let faults = Faults::default();
        faults.fail_call(call, Fault::NotApplied);
        let archiver = archiver(&faults);
        let ids = archive(&archiver, &messages).await;
        assert_eq!(archiver.lake.objects().len(), 2);
        let again: Vec<SqsMessage> = messages
            .iter()
            .filter(|message| ids.contains(message.message_id.as_ref().unwrap()))
            .cloned()
            .collect();
        failed.insert(ids);
        assert_eq!(archive(&archiver, &again).await, [""; 0]);
        let kept = lines(&archiver.lake, "").len();
        assert_eq!(kept, messages.len());
    }
    assert_eq!(failed.into_iter().collect::<Vec<_>>(), [vec!["m-0", "m-2"], vec!["m-1"], vec!["m-3"]]);
}

#[tokio::test]
async fn an_object_whose_reply_was_lost_is_recognised_as_written() {
    let faults = Faults::default();
    faults.fail_call(1, Fault::ReplyLost);
    let archiver = archiver(&faults);
    let messages = &messages()[..1];
    assert_eq!(archive(&archiver, messages).await, ["m-0"]);
    let before = archiver.lake.objects();
    assert_eq!(archive(&archiver, messages).await, [""; 0]);
    assert_eq!(archiver.lake.objects(), before);
}

#[tokio::test]
async fn a_message_that_is_in_a_batch_twice_is_kept_once_and_acknowledged_twice() {
    let archiver = archiver(&Faults::default());
    let body = envelope(&placed("e-1", "o-1", &[("MUG", 1)]), 1);
    let twice = [message("m-1", &body, 1), message("m-2", &body, 1)];
    assert_eq!(archive(&archiver, &twice).await, [""; 0]);
    assert_eq!(lines(&archiver.lake, "events/"), [body]);
}

#[tokio::test]
async fn a_message_without_a_body_is_kept_too() {
    let archiver = archiver(&Faults::default());
    let mut message = message("m-1", "", 1);
    message.body = None;
    assert_eq!(archive(&archiver, &[message]).await, [""; 0]);
    assert_eq!(lines(&archiver.lake, "undecodable/"), ["\"\""]);
}

#[tokio::test]
async fn an_empty_batch_is_answered_and_writes_nothing() {
    let archiver = archiver(&Faults::default());
    assert_eq!(archive(&archiver, &[]).await, [""; 0]);
    assert!(archiver.lake.objects().is_empty());
}

/// A lake that never answers.
struct Stuck;

impl EventLake for Stuck {
    async fn write_once(&self, _object: LakeObject) -> Result<Commit<()>, PortError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn messages_that_a_lake_does_not_answer_for_in_time_come_back() {
    let archiver = EventArchiver { lake: Stuck };
    let response = archiver.archive(batch(messages()), Deadline::after(Duration::from_millis(20))).await;
    assert_eq!(response.batch_item_failures.len(), 4);
}
