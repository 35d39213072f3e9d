//! `event-archiver`: every message is in the lake before it is acknowledged, and a batch that comes again writes nothing
//! new.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::Event;
use domain::Timestamp;
use event_archiver::EventArchiver;
use function_tests::{NOW, batch, cancelled, envelope, message, placed};
use lake::{Partition, Row};
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

/// The messages that were kept as no events.
fn undecodable(lake: &MemoryEventLake) -> Vec<String> {
    let objects = lake.objects().into_iter().filter(|object| object.key.starts_with("undecodable/"));
    let content = objects.map(|object| {
        assert_eq!((object.content_type, object.content_encoding), ("application/zstd", None));
        String::from_utf8(zstd::bulk::decompress(&object.body, 1 << 20).unwrap()).unwrap()
    });
    let lines = |content: String| -> Vec<String> {
        content.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    content.flat_map(lines).collect()
}

/// The events of every object whose key begins so.
fn events(lake: &MemoryEventLake, prefix: &str) -> Vec<Row<'static>> {
    let objects = lake.objects().into_iter();
    let of_events =
        objects.filter(|object| object.key.starts_with("events/") && object.key.starts_with(prefix));
    of_events
        .flat_map(|object| {
            assert_eq!(
                (object.content_type, object.content_encoding),
                ("application/vnd.apache.parquet", None)
            );
            let partition = Partition::of_key(&object.key).unwrap();
            assert_eq!(partition.key(&object.body), object.key, "named by its content");
            lake::decode(&object.body.into()).unwrap()
        })
        .collect()
}

/// As the view shows them: one row a partition and id.
fn viewed(lake: &MemoryEventLake) -> Vec<String> {
    let of_partition = |row: Row<'_>| (lake::Hour::of(row.time).unwrap(), row.id.to_string());
    let rows: BTreeSet<_> = events(lake, "events/").into_iter().map(of_partition).collect();
    let mut ids: Vec<String> = rows.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    ids
}

fn ids(rows: &[Row<'_>]) -> Vec<String> {
    rows.iter().map(|row| row.id.to_string()).collect()
}

/// How much of anything was kept.
fn kept(lake: &MemoryEventLake) -> usize {
    events(lake, "").len() + undecodable(lake).len()
}

#[tokio::test]
async fn every_message_is_kept_to_the_letter_by_the_hour_in_which_it_happened() {
    let archiver = archiver(&Faults::default());
    let messages = messages();
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    let body = |number: usize| messages[number].body.clone().unwrap();
    let noon = events(&archiver.lake, "events/dt=2026-01-31/hour=12/");
    let one = events(&archiver.lake, "events/dt=2026-01-31/hour=13/");
    assert_eq!(ids(&noon), ["e-1", "e-3"]);
    assert_eq!(ids(&one), ["e-2"]);
    for (row, number) in noon.iter().chain(&one).zip([0, 2, 1]) {
        let body_sent = messages[number].body.as_deref().unwrap();
        let lake::Message::Event(sent) = lake::Message::read(body_sent, lake::Delivery::default()) else {
            panic!("no event")
        };
        assert_eq!(row, &*sent);
        assert_eq!(contracts::decode(&body(number), None).unwrap().event.id.as_str(), row.id);
    }
    assert_eq!(undecodable(&archiver.lake), [body(3)]);
    assert!(archiver.lake.objects()[2].key.starts_with("undecodable/dt=2026-01-31/hour=12/"));
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
        assert_eq!(kept(&archiver.lake), messages.len());
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
    assert_eq!(ids(&events(&archiver.lake, "events/")), ["e-1"]);
}

#[tokio::test]
async fn a_replayed_event_is_acknowledged_and_not_kept_again() {
    let archiver = archiver(&Faults::default());
    let events =
        [placed("e-1", "o-1", &[("MUG", 1)]), cancelled("e-2", "o-1"), placed("e-3", "o-2", &[("MUG", 1)])];
    let [first, second, third] = events.map(|event| envelope(&event, 1));
    let replayed = first.replacen('{', r#"{"replay-name":"replay-1","#, 1);
    let from_the_lake = second.replace(r#""resources":[]"#, r#""resources":["orderbus:replay/r-1"]"#);
    assert!(replayed != first && from_the_lake != second);
    // A replay says when the bus took the event first.
    let from_the_lake = from_the_lake.replace("2026-01-31T12:00:00Z", "2026-01-31T11:00:00Z");
    let messages =
        [message("m-1", &replayed, 1), message("m-2", &from_the_lake, 1), message("m-3", &third, 1)];
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    assert_eq!(viewed(&archiver.lake), ["e-3"]);
    assert_eq!(archive(&archiver, &messages[..2]).await, [""; 0], "nothing but replayed events");
    assert_eq!(archiver.lake.objects().len(), 1);
}

/// A message of the queue of an account.
fn of_account(own: &str, id: &str, body: &str) -> SqsMessage {
    let mut message = message(id, body, 1);
    message.event_source_arn = Some(format!("arn:aws:sqs:eu-central-1:{own}:orderbus-EventArchiverQueue"));
    message
}

#[tokio::test]
async fn a_mark_of_another_account_keeps_no_event_out_and_the_origin_is_kept() {
    let archiver = archiver(&Faults::default());
    let own = "111122223333";
    let [first, second] =
        [placed("e-1", "o-1", &[("MUG", 1)]), cancelled("e-2", "o-1")].map(|event| envelope(&event, 1));
    let claimed = first
        .replace(r#""account":"111122223333""#, r#""account":"444455556666""#)
        .replace(r#""resources":[]"#, r#""resources":["orderbus:replay/x"]"#)
        .replace("2026-01-31T12:00:00Z", "2026-01-31T11:00:00Z");
    let bodies = [claimed.as_str(), &first, &second];
    let messages: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| of_account(own, &format!("m-{number}"), body))
        .collect();
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    let kept = events(&archiver.lake, "events/");
    let mut kept: Vec<_> = kept.iter().map(|row| (&*row.id, row.origin.as_deref())).collect();
    kept.sort_unstable();
    assert_eq!(kept, [("e-1", None), ("e-1", Some("account:444455556666")), ("e-2", None)]);
}

#[tokio::test]
async fn what_few_readers_hold_is_one_row_among_its_neighbours() {
    let archiver = archiver(&Faults::default());
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let odd = [r#"{"note":"cut emoji \ud83d"}"#, r#"{"n":1e400,"i":123456789012345678901234567890}"#, &deep];
    let mut bodies = vec![envelope(&placed("e-1", "o-1", &[("MUG", 1)]), 1)];
    bodies.extend(odd.iter().enumerate().map(|(number, data)| {
        format!(
            r#"{{"id":"odd-{number}","detail-type":"case.note","source":"case.note","time":"2026-01-31T12:00:00Z","detail":{{"specversion":"1.0","id":"odd-{number}","source":"case.note","type":"case.note","data":{data}}}}}"#
        )
    }));
    let messages: Vec<_> =
        bodies.iter().enumerate().map(|(number, body)| message(&format!("m-{number}"), body, 1)).collect();
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    let rows = events(&archiver.lake, "events/");
    assert_eq!((rows.len(), undecodable(&archiver.lake).len()), (4, 0));
    for (number, data) in odd.iter().enumerate() {
        assert!(rows.iter().any(|row| row.id == format!("odd-{number}") && row.data == *data), "{data:.60}");
    }
}

/// A queue that delivers until all is acknowledged, and puts every batch together anew. Invocations are killed, or their
/// calls lost, as planned.
async fn deliver_until_acknowledged(
    archiver: &EventArchiver<MemoryEventLake>,
    faults: &Faults,
    batch_size: usize,
) {
    let mut waiting: BTreeMap<String, SqsMessage> = (0..3)
        .flat_map(|_| messages())
        .enumerate()
        .map(|(number, mut message)| {
            message.message_id = Some(format!("m-{number:02}"));
            (format!("m-{number:02}"), message)
        })
        .collect();
    for delivery in 0.. {
        assert!(delivery < 50, "a message is stuck");
        let all: Vec<SqsMessage> = waiting.values().cloned().collect();
        let turned = [&all[all.len().min(delivery)..], &all[..all.len().min(delivery)]].concat();
        let Some(batch) = turned.chunks(batch_size).next() else { return };
        let mut archiving = std::pin::pin!(archive(archiver, batch));
        let answer = std::future::poll_fn(|context| match archiving.as_mut().poll(context) {
            std::task::Poll::Ready(failed) => std::task::Poll::Ready(Some(failed)),
            std::task::Poll::Pending if faults.take_gone() => std::task::Poll::Ready(None),
            std::task::Poll::Pending => std::task::Poll::Pending,
        });
        // A killed invocation answers for nothing: its whole batch comes again.
        let Some(failed) = answer.await else { continue };
        for message in batch {
            let id = message.message_id.clone().unwrap();
            if !failed.contains(&id) {
                waiting.remove(&id);
            }
        }
    }
}

#[tokio::test]
async fn wherever_it_is_killed_each_published_event_is_viewed_exactly_once() {
    for batch_size in [1, 3, 5, 12] {
        let faults = Faults::default();
        let undisturbed = archiver(&faults);
        deliver_until_acknowledged(&undisturbed, &faults, batch_size).await;
        assert_eq!(viewed(&undisturbed.lake), ["e-1", "e-2", "e-3"]);
        for call in 1..=faults.calls() {
            for fault in Fault::ALL {
                let faults = Faults::default();
                faults.fail_call(call, fault);
                let archiver = archiver(&faults);
                deliver_until_acknowledged(&archiver, &faults, batch_size).await;
                assert_eq!(faults.unmet(), 0);
                let view = viewed(&archiver.lake);
                assert_eq!(view, ["e-1", "e-2", "e-3"], "call {call} of batches of {batch_size}: {fault:?}");
                let poison: BTreeSet<String> = undecodable(&archiver.lake).into_iter().collect();
                assert_eq!(poison.into_iter().collect::<Vec<_>>(), ["not\nJSON"]);
            }
        }
    }
}

#[tokio::test]
async fn events_of_many_hours_are_not_all_on_their_way_at_once() {
    let archiver = archiver(&Faults::default());
    let event = |hour: i64| {
        let time = Timestamp::from_unix_ms(NOW.unix_ms() - hour * HOUR_MS);
        let body = envelope(&at(placed(&format!("e-{hour}"), "o-1", &[("MUG", 1)]), time), 1);
        message(&format!("m-{hour}"), &body, 1)
    };
    let messages: Vec<SqsMessage> = (0..200).map(event).collect();
    assert_eq!(archive(&archiver, &messages).await, [""; 0]);
    assert_eq!(archiver.lake.objects().len(), 200);
}

#[tokio::test]
async fn a_message_without_a_body_is_kept_too() {
    let archiver = archiver(&Faults::default());
    let mut message = message("m-1", "", 1);
    message.body = None;
    assert_eq!(archive(&archiver, &[message]).await, [""; 0]);
    assert_eq!(undecodable(&archiver.lake), [""]);
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
