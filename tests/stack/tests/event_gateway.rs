//! Other systems publish over HTTP, on the deployed stack: with the command that the README shows, as principals of IAM.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use aws_sdk_eventbridge::types::Target;
use contracts::EventType;
use orderbus::publish;
use serde_json::{Value, json};
use stack_tests::gateway::{ACCOUNT, BATCH, Signer, hand_in, post};
use stack_tests::{Inbox, TestStack, order_of};

fn event(event_type: EventType, id: &str) -> Value {
    let mut event = publish::golden(event_type).unwrap()["detail"].take();
    event["id"] = id.into();
    event
}

fn fates(body: &Value) -> Vec<String> {
    let events = body["events"].as_array().unwrap_or_else(|| panic!("{body}"));
    events.iter().map(|event| format!("{} {}", event["status"], event["outcome"].as_str().unwrap())).collect()
}

/// The ids of everything that came to a rule, up to the event of this id and a second of silence after it.
async fn heard(inbox: &Inbox, last: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..30 {
        let messages = inbox.receive().await.unwrap();
        if messages.is_empty() && ids.iter().any(|id| id == last) {
            break;
        }
        let id_of = |body: Option<&str>| {
            let body: Value = serde_json::from_str(body.unwrap()).unwrap();
            body["detail"]["id"].as_str().unwrap().to_owned()
        };
        ids.extend(messages.iter().map(|message| id_of(message.body())));
    }
    ids.sort();
    ids
}

#[test]
fn other_systems_publish_what_is_theirs_each_event_once() {
    let producers = format!(
        "payments=arn:aws:iam::{ACCOUNT}:user/provider,shipping=arn:aws:iam::{ACCOUNT}:role/carriers/Carrier"
    );
    let stack = TestStack::deploy(&[("GatewayProducers", &producers)]).unwrap();
    let (provider, stranger) =
        (Signer::user(&stack, "provider").unwrap(), Signer::user(&stack, "stranger").unwrap());
    let carrier = Signer::role(&stack, "/carriers/", "Carrier").unwrap();
    let inbox = stack.wait(async {
        let inbox = Inbox::create(stack.local().stack().sdk().sqs(), "handed-in").await.unwrap();
        let (events, bus) =
            (stack.local().stack().sdk().eventbridge(), stack.local().stack().output("BusName").unwrap());
        let rule = events.put_rule().name("handed-in").event_bus_name(bus);
        rule.event_pattern(r#"{"source":[{"prefix":""}],"detail":{"id":[{"prefix":"gw-"}]}}"#)
            .send()
            .await
            .unwrap();
        let target = Target::builder().id("queue").arn(inbox.arn()).build().unwrap();
        events.put_targets().rule("handed-in").event_bus_name(bus).targets(target).send().await.unwrap();
        inbox
    });

    // Nobody without a signature, with a key that nobody has, or whom no parameter names.
    let failed = event(EventType::PaymentFailed, "gw-1");
    assert_eq!(hand_in(&stack, None, BATCH, &json!([failed])).unwrap().0, 403);
    let invented = Signer::of_key("AKIAINVENTED", "x");
    for signer in [&invented, &stranger] {
        let (status, body) = hand_in(&stack, Some(signer), BATCH, &json!([failed])).unwrap();
        assert_eq!((status, &body["status"]), (403, &json!(403)), "{body}");
    }

    // A mixed batch: theirs, somebody else's, broken, twice, and another under the same id.
    let status_changed = event(EventType::DeliveryStatusChanged, "gw-2");
    let mut broken = event(EventType::PaymentFailed, "gw-3");
    broken["data"]["reason"] = "".into();
    let mut another = failed.clone();
    another["data"]["reason"] = "another".into();
    let order = event(EventType::OrderPlaced, "gw-4");
    let fifth = event(EventType::PaymentFailed, "gw-5");
    let batch = json!([failed, status_changed, broken, failed, another, order, fifth]);
    let (status, body) = hand_in(&stack, Some(&provider), BATCH, &batch).unwrap();
    assert_eq!(status, 207);
    let expected = [
        "202 accepted",
        "403 refused",
        "422 refused",
        "202 duplicate",
        "409 refused",
        "403 refused",
        "202 accepted",
    ];
    assert_eq!(fates(&body), expected, "{body}");
    assert_eq!(body["events"][2]["errors"][0]["field"], "data.reason", "{body}");

    // Again: duplicates. As one event, as the carrier: its own, and no more.
    let (status, body) = hand_in(&stack, Some(&provider), BATCH, &json!([failed, fifth])).unwrap();
    assert_eq!((status, fates(&body)), (202, vec!["202 duplicate".to_owned(); 2]));
    let one = "application/cloudevents+json";
    let (status, body) = hand_in(&stack, Some(&carrier), one, &status_changed).unwrap();
    assert_eq!((status, fates(&body)), (202, vec!["202 accepted".to_owned()]), "{body}");
    assert_eq!(
        hand_in(&stack, Some(&carrier), one, &event(EventType::PaymentFailed, "gw-6")).unwrap().0,
        403
    );
    // An id belongs to its producer: the carrier's gw-1 is another one. What names a producer is refused.
    let claimed = event(EventType::DeliveryStatusChanged, "gw-1");
    assert_eq!(hand_in(&stack, Some(&carrier), one, &claimed).unwrap().0, 202);
    let mut forged = event(EventType::DeliveryStatusChanged, "gw-7");
    forged["producer"] = "provider".into();
    assert_eq!(hand_in(&stack, Some(&carrier), one, &forged).unwrap().0, 422);
    assert_eq!(hand_in(&stack, Some(&carrier), "text/plain", &status_changed).unwrap().0, 415);

    let last = event(EventType::SignatureCollected, "gw-last");
    assert_eq!(hand_in(&stack, Some(&carrier), one, &last).unwrap().0, 202);
    let heard = stack.wait(heard(&inbox, "gw-last"));
    let expected = ["gw-1", "gw-1", "gw-2", "gw-5", "gw-last"];
    assert_eq!(heard, expected, "what was accepted, once each, and nothing else");
}

#[test]
fn two_callers_with_one_key_place_two_orders() {
    let stack = TestStack::deploy(&[("ApiAuthorization", "AWS_IAM")]).unwrap();
    let place = |signer: Option<&Signer>| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
        let order = serde_json::to_string(&order_of("MUG", 1, 1_000)).unwrap();
        post(&stack, signer, "/orders", &headers, &order).unwrap()
    };
    assert_eq!(place(None).0, 403);
    let callers = ["storefront", "marketplace"].map(|name| Signer::user(&stack, name).unwrap());
    let [first, second] = callers.each_ref().map(|caller| {
        let (status, body) = place(Some(caller));
        assert_eq!(status, 202, "{body}");
        body["orderId"].as_str().unwrap().to_owned()
    });
    assert_ne!(first, second);
    assert_eq!(place(Some(&callers[0])).1["orderId"], first.as_str(), "again, it is the same order");
}
