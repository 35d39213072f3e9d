//! A message that can never be handled fails alone, and lands where it can be seen.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::Value;
use stack_tests::{TestStack, event_types, eventually};

const PATIENCE: Duration = Duration::from_secs(180);
const QUEUE: &str = "orderbus-local-OrderPlacedQueue";

#[test]
fn poison_in_a_batch_of_ten_fails_alone_and_lands_in_quarantine() {
    // dlq-reprocessor would take them on within a minute.
    let stack = TestStack::deploy(&[("ReprocessorSchedule", "rate(1 day)")]).unwrap();
    let sqs = stack.local().stack().sdk().sqs();
    let sample = include_str!("../../../events/samples/order-placed/poison-among-ten.json");
    let batch: Value = serde_json::from_str(sample).unwrap();
    // Only the bus's own account places orders, and here that is MiniStack's.
    let here = |body: &str| body.replace("\"111122223333\"", "\"000000000000\"");
    let bodies: Vec<String> = batch["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| here(record["body"].as_str().unwrap()))
        .collect();
    assert_eq!(bodies.len(), 10);

    let queue = stack.queue_url(QUEUE).unwrap();
    stack.wait(send_together(&sqs, &queue, &bodies));

    // The six good ones are registered …
    for number in 1..=6 {
        let order_id = format!("sample-order-{number}");
        let accepted = eventually(PATIENCE, || {
            stack.order(&order_id).filter(|order| event_types(order) == ["orders.order-accepted.v1"])
        });
        assert!(accepted.is_some(), "{order_id}: {:?}", stack.order(&order_id));
    }
    // … and each of the four bad ones is set aside, once, with its reason.
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut take = || {
        for reason in stack.take_reasons().unwrap() {
            *reasons.entry(reason).or_default() += 1;
        }
        reasons.clone()
    };
    let complete = eventually(PATIENCE, || (take().values().sum::<usize>() >= 4).then_some(()));
    let expected = ["invalid_attribute", "not_json", "unknown_type", "unknown_version"];
    assert!(complete.is_some(), "{:?}", take());
    // Nothing is left to be delivered again, so nothing more is set aside, and nothing was given up on.
    stack.await_empty(QUEUE, PATIENCE).unwrap();
    assert_eq!(take(), expected.map(|reason| (reason.to_owned(), 1)).into());
    assert_eq!(stack.messages_in("orderbus-local-OrderPlacedDeadLetterQueue").unwrap(), 0);
}

async fn send_together(sqs: &Client, queue: &str, bodies: &[String]) {
    let entry = |(index, body): (usize, &String)| {
        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build().unwrap()
    };
    let entries: Vec<_> = bodies.iter().enumerate().map(entry).collect();
    let sent = sqs.send_message_batch().queue_url(queue).set_entries(Some(entries)).send().await.unwrap();
    assert_eq!(sent.successful().len(), bodies.len());
}
