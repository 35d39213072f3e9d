//! A batch is not a transaction: every record is decided, published, set aside or delivered again on its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test are tests")]

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::{BusEvent, Cause, Data, Event, OrderCancelled, Outbound, Reason};
use domain::{Attempt, EventId, OrderId, Timestamp};
use memory::{Fault, Faults, MemoryEventBus, MemoryMessageQueue, MemoryQuarantine};
use ports::{EventBus, PortError};
use runtime::{Consumer, Deadline, Disposition, Handler, Rejection, SqsEvent, SqsMessage};
use serde_json::{Value, json};

/// Does with an event what its order's name says.
#[derive(Default)]
struct Scripted {
    handled: AtomicUsize,
}

impl Handler for Scripted {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let event = &bus_event.event;
        let said = |count: u32| (0..count).map(|index| effect(event, index)).collect();
        match event.subject.as_str().split('.').next().unwrap_or_default() {
            "twice" => Disposition::Done(said(2)),
            "silent" => Disposition::Done(vec![]),
            "again" => Disposition::Duplicate(said(1)),
            "retry" => Disposition::Retry("not now".into()),
            "never" => Rejection::impossible_data("this cannot be").into(),
            "refused" => PortError::permanent("test:Call", "it is not allowed").into(),
            "throttled" => PortError::transient("test:Call", "too many requests").into(),
            "panic" => panic!("the handler panics, as the test wants"),
            "stuck" => pending().await,
            _ => Disposition::Done(said(1)),
        }
    }
}

fn effect(event: &Event, index: u32) -> Event {
    let cause = Cause { event_id: event.id.clone(), correlation_id: "flow".into(), traceparent: None };
    Event::caused_by(&cause, "test", index, &event.subject, event.time, event.data.clone())
}

type TestConsumer<B> = Consumer<Scripted, B, MemoryQuarantine, MemoryMessageQueue>;

fn consumer() -> TestConsumer<MemoryEventBus> {
    consumer_with(MemoryEventBus::default())
}

fn consumer_with<B>(bus: B) -> TestConsumer<B> {
    Consumer {
        name: "test",
        handler: Scripted::default(),
        bus,
        quarantine: MemoryQuarantine::default(),
        queue: MemoryMessageQueue::default(),
    }
}

/// The message that delivers an event about an order of this name.
fn body(order: &str) -> Value {
    let event = Event {
        id: EventId::parse(&format!("e-{order}")).unwrap(),
        subject: OrderId::parse(order).unwrap().into(),
        time: Timestamp::from_unix_ms(1_769_860_800_000),
        correlation_id: "flow".into(),
        causation_id: None,
        traceparent: None,
        data: Data::OrderCancelled(OrderCancelled {
            order_id: order.into(),
            reason: Reason::new("customer_request", "the customer asked for it"),
        }),
    };
    let outbound = event.to_outbound().unwrap();
    json!({
        "detail-type": outbound.event_type.as_str(),
        "source": outbound.event_type.source(),
        "detail": serde_json::from_str::<Value>(&outbound.detail).unwrap(),
    })
}

fn message(id: &str, body: &str) -> SqsMessage {
    received(id, body, 1)
}

fn received(id: &str, body: &str, receive_count: u32) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(id.to_owned());
    message.receipt_handle = Some(format!("handle-{id}"));
    message.body = Some(body.to_owned());
    message.attributes = HashMap::from([("ApproximateReceiveCount".to_owned(), receive_count.to_string())]);
    message
}

/// One message an order; the message is named after the order.
fn orders(names: &[&str]) -> Vec<SqsMessage> {
    names.iter().map(|name| message(name, &body(name).to_string())).collect()
}

async fn consume<B: EventBus>(consumer: &TestConsumer<B>, messages: Vec<SqsMessage>) -> Vec<String> {
    consume_within(consumer, messages, Duration::from_secs(60)).await
}

async fn consume_within<B: EventBus>(
    consumer: &TestConsumer<B>,
    messages: Vec<SqsMessage>,
    remaining: Duration,
) -> Vec<String> {
    let mut event = SqsEvent::default();
    event.records = messages;
    let response = consumer.consume(event, Deadline::after(remaining)).await;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

/// Message id and reason code of everything set aside.
fn kept<B>(consumer: &TestConsumer<B>) -> Vec<(String, String)> {
    consumer.quarantine.kept().into_iter().map(|kept| (kept.message_id, kept.reason_code)).collect()
}

/// The orders that published events are about.
fn published(consumer: &TestConsumer<MemoryEventBus>) -> Vec<String> {
    let subject = |outbound: Outbound| {
        let detail: Value = serde_json::from_str(&outbound.detail).unwrap();
        detail["subject"].as_str().unwrap().to_owned()
    };
    consumer.bus.published().into_iter().map(subject).collect()
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_batch_without_a_mishap_is_acknowledged_and_published_in_order_in_one_call() {
    let faults = Faults::default();
    let consumer = consumer_with(MemoryEventBus::with_faults(faults.clone()));
    assert_eq!(consume(&consumer, orders(&["a", "twice", "silent", "again", "b"])).await, NONE);
    assert_eq!(published(&consumer), ["a", "twice", "twice", "again", "b"]);
    assert_eq!(faults.calls(), 1);
    assert_eq!(kept(&consumer), []);
    assert_eq!(consumer.queue.postponed(), []);
}

#[tokio::test]
async fn an_empty_batch_calls_nobody() {
    let faults = Faults::default();
    let consumer = consumer_with(MemoryEventBus::with_faults(faults.clone()));
    assert_eq!(consume(&consumer, vec![]).await, NONE);
    assert_eq!(consume(&consumer, orders(&["silent"])).await, NONE);
    assert_eq!(faults.calls(), 0);
}

#[tokio::test]
async fn each_kind_of_poison_is_set_aside_alone_with_its_reason() {
    let changed = |change: fn(&mut Value)| {
        let mut body = body("good.poison");
        change(&mut body);
        body.to_string()
    };
    let poison = [
        ("not_json", "this is not JSON".to_owned()),
        ("not_an_event", json!({"hello": "Ada Example"}).to_string()),
        ("unknown_type", changed(|body| body["detail"]["type"] = "orders.order-eaten.v1".into())),
        ("unknown_version", changed(|body| body["detail"]["type"] = "orders.order-cancelled.v9".into())),
        ("schema_mismatch", changed(|body| body["detail"]["data"]["reason"] = "Ada Example".into())),
        ("invalid_attribute", changed(|body| body["detail"]["time"] = "Ada Example".into())),
        ("impossible_data", body("never").to_string()),
        ("refused", body("refused").to_string()),
    ];
    let consumer = consumer();
    let mut messages: Vec<_> = poison.iter().map(|(code, body)| received(code, body, 3)).collect();
    messages.insert(4, message("first", &body("first").to_string()));
    messages.push(message("last", &body("last").to_string()));
    assert_eq!(messages.len(), 10);
    assert_eq!(consume(&consumer, messages).await, NONE, "what can never be handled is not delivered again");
    assert_eq!(published(&consumer), ["first", "last"]);
    assert_eq!(kept(&consumer), poison.clone().map(|(code, _)| (code.to_owned(), code.to_owned())));
    for (kept, (_, body)) in consumer.quarantine.kept().iter().zip(&poison) {
        assert_eq!((kept.consumer.as_str(), kept.receive_count, &kept.body), ("test", 3, body));
        assert!(!kept.reason.is_empty() && !kept.reason.contains("Ada"), "{}", kept.reason);
    }
    assert_eq!(consumer.queue.postponed(), []);
}

#[tokio::test]
async fn each_kind_of_poison_fails_alone_when_quarantine_does_not_take_it() {
    let consumer = consumer();
    consumer.quarantine.fail_messages(|message| (message.message_id == "never").then_some(Fault::NotApplied));
    let mut messages = orders(&["a", "never", "refused", "b"]);
    messages.push(message("text", "text"));
    assert_eq!(consume(&consumer, messages).await, ["never"]);
    assert_eq!(published(&consumer), ["a", "b"]);
    assert_eq!(kept(&consumer).iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["refused", "text"]);
    assert_eq!(consumer.queue.postponed().len(), 1);
}

#[tokio::test]
async fn a_message_without_a_body_is_poison() {
    let consumer = consumer();
    let mut empty = message("empty", "");
    empty.body = None;
    assert_eq!(consume(&consumer, vec![empty]).await, NONE);
    assert_eq!(kept(&consumer), [("empty".to_owned(), "not_json".to_owned())]);
}

#[tokio::test]
async fn one_entry_that_the_bus_does_not_take_fails_its_own_record() {
    for place in 0..6 {
        let consumer = consumer();
        let mut number = 0;
        consumer.bus.fail_entries(move |_| {
            number += 1;
            (number == place + 1).then_some(Fault::NotApplied)
        });
        let owners = ["a", "twice", "twice", "again", "b"];
        let failed = consume(&consumer, orders(&["a", "twice", "silent", "again", "b", "retry"])).await;
        let expected: Vec<&str> = owners.get(place).copied().into_iter().chain(["retry"]).collect();
        assert_eq!(failed, expected);
        assert_eq!(published(&consumer).len(), 5 - usize::from(place < 5));
    }
}

#[tokio::test]
async fn a_bus_that_takes_nothing_fails_whoever_had_something_to_say() {
    let faults = Faults::default();
    faults.fail_call(1, Fault::NotApplied);
    let consumer = consumer_with(MemoryEventBus::with_faults(faults));
    let failed = consume(&consumer, orders(&["a", "silent", "again", "never"])).await;
    assert_eq!(failed, ["a", "again"]);
    assert_eq!(kept(&consumer), [("never".to_owned(), "impossible_data".to_owned())]);
}

// In a build with debug assertions, the loop says so by panicking instead.
#[cfg(not(debug_assertions))]
#[tokio::test]
async fn an_event_that_the_bus_does_not_answer_for_counts_as_lost() {
    /// A bus that answers for fewer events than it was given.
    struct Forgetful;

    impl EventBus for Forgetful {
        async fn publish(&self, events: &[Outbound]) -> Vec<Result<(), PortError>> {
            events.iter().skip(1).map(|_| Ok(())).collect()
        }
    }

    assert_eq!(consume(&consumer_with(Forgetful), orders(&["a", "b", "c"])).await, ["c"]);
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_record() {
    let consumer = consumer();
    assert_eq!(consume(&consumer, orders(&["a", "panic", "b"])).await, ["panic"]);
    assert_eq!(published(&consumer), ["a", "b"]);
    assert_eq!(consume(&consumer, orders(&["c"])).await, NONE, "and the function goes on");
}

#[tokio::test]
async fn a_handler_that_is_not_done_in_time_fails_its_own_record() {
    let consumer = consumer();
    let failed = consume_within(&consumer, orders(&["a", "stuck", "b"]), Duration::from_millis(50)).await;
    assert_eq!(failed, ["stuck"]);
    assert_eq!(published(&consumer), ["a", "b"]);
    assert_eq!(consumer.queue.postponed().len(), 1);
}

#[tokio::test]
async fn records_behind_others_that_are_stuck_are_not_begun_after_the_deadline() {
    let consumer = consumer();
    let names: Vec<String> = (0..40).map(|number| format!("stuck.{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut messages = orders(&names);
    messages.push(message("text", "text"));
    let failed = consume_within(&consumer, messages, Duration::from_millis(50)).await;
    assert_eq!(failed, names);
    assert!(consumer.handler.handled.load(Ordering::SeqCst) < names.len());
    assert_eq!(kept(&consumer).len(), 1, "poison needs no time");
}

#[tokio::test]
async fn nothing_is_begun_when_no_time_is_left() {
    let consumer = consumer();
    assert_eq!(consume_within(&consumer, orders(&["a", "b"]), Duration::ZERO).await, ["a", "b"]);
    assert_eq!(consumer.handler.handled.load(Ordering::SeqCst), 0);
    assert_eq!(published(&consumer), NONE);
}

#[tokio::test]
async fn what_may_pass_is_delivered_again_and_what_cannot_is_not() {
    let consumer = consumer();
    assert_eq!(consume(&consumer, orders(&["retry", "throttled", "refused"])).await, ["retry", "throttled"]);
    assert_eq!(kept(&consumer), [("refused".to_owned(), "refused".to_owned())]);
    assert_eq!(consumer.quarantine.kept()[0].reason, "test:Call failed: it is not allowed");
}

#[tokio::test]
async fn the_answer_names_exactly_the_messages_that_failed_in_their_order() {
    let consumer = consumer();
    let names = ["retry.1", "a", "panic.2", "never", "b", "throttled.3", "again", "retry.4"];
    assert_eq!(consume(&consumer, orders(&names)).await, ["retry.1", "panic.2", "throttled.3", "retry.4"]);
    assert_eq!(published(&consumer), ["a", "b", "again"]);
}

#[tokio::test]
async fn one_event_in_two_messages_is_handled_in_each() {
    let consumer = consumer();
    let text = body("a").to_string();
    assert_eq!(consume(&consumer, vec![message("m-1", &text), message("m-2", &text)]).await, NONE);
    let published = consumer.bus.published();
    assert_eq!(published.len(), 2);
    assert_eq!(published[0], published[1]);
}

#[tokio::test]
async fn two_events_under_one_message_id_are_both_handled() {
    let consumer = consumer();
    let messages = vec![message("m", &body("a").to_string()), message("m", &body("b").to_string())];
    assert_eq!(consume(&consumer, messages).await, NONE);
    assert_eq!(published(&consumer), ["a", "b"]);
}

#[tokio::test]
async fn failed_records_are_postponed_longer_the_more_often_they_failed() {
    let delay_s = async |receive_count: u32| {
        let consumer = consumer();
        let names: Vec<String> = (0..50).map(|number| format!("retry.{number}")).collect();
        let mut messages: Vec<_> =
            names.iter().map(|name| received(name, &body(name).to_string(), receive_count)).collect();
        messages.extend(orders(&["a", "never"]));
        assert_eq!(consume(&consumer, messages).await, names);
        let postponed = consumer.queue.postponed();
        let handles: Vec<_> = postponed.iter().map(|postponed| postponed.receipt_handle.clone()).collect();
        assert_eq!(handles, names.iter().map(|name| format!("handle-{name}")).collect::<Vec<_>>());
        let delays: Vec<u32> = postponed.iter().map(|postponed| postponed.delay_s).collect();
        assert!(delays.iter().all(|delay_s| *delay_s >= 1));
        delays
    };
    let most = async |receive_count| delay_s(receive_count).await.into_iter().max().unwrap();
    assert!(most(1).await <= 2);
    assert!((3..=16).contains(&most(4).await));
    assert!((17..=300).contains(&most(12).await));
    let late = delay_s(12).await;
    assert!(late.iter().any(|delay_s| *delay_s != late[0]), "neighbours come back apart");
}

#[tokio::test]
async fn a_record_that_cannot_be_postponed_is_reported_all_the_same() {
    let faults = Faults::default();
    faults.fail_call(1, Fault::NotApplied);
    let consumer = Consumer { queue: MemoryMessageQueue::with_faults(faults), ..consumer() };
    let mut without_handle = message("retry.2", &body("retry.2").to_string());
    without_handle.receipt_handle = None;
    let mut messages = orders(&["retry.1", "a"]);
    messages.push(without_handle);
    assert_eq!(consume(&consumer, messages).await, ["retry.1", "retry.2"]);
    assert_eq!(consumer.queue.postponed(), []);
}

#[tokio::test]
async fn the_attempt_that_travels_with_a_message_goes_into_quarantine_with_it() {
    let consumer = consumer();
    let mut redriven = message("text", "text");
    for (name, value) in [("orderbus-attempt", "3"), ("orderbus-generation", "1")] {
        let attribute = json!({"stringValue": value, "dataType": "String"});
        redriven.message_attributes.insert(name.to_owned(), serde_json::from_value(attribute).unwrap());
    }
    assert_eq!(consume(&consumer, vec![redriven, message("other", "text")]).await, NONE);
    let attempts: Vec<_> = consumer.quarantine.kept().iter().map(|kept| kept.attempt).collect();
    assert_eq!(attempts, [Attempt { generation: 1, number: 3 }, Attempt::default()]);
}
