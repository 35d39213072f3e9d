//! Other systems publish over HTTP, on the deployed stack: with the command that the README shows, as principals of IAM.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::process::Command;

use aws_sdk_eventbridge::types::Target;
use contracts::EventType;
use orderbus::{http, publish};
use serde_json::{Value, json};
use stack_tests::{Inbox, TestStack};

const ACCOUNT: &str = "000000000000";
const BATCH: &str = "application/cloudevents-batch+json";

/// Whoever signs a request.
struct Signer {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

/// What IAM or STS answers to a request in its query protocol.
fn ask(stack: &TestStack, service: &str, query: &str) -> String {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", scope.as_str())];
    let answer = http::post(&stack.local().ministack().endpoint(), &headers, query).unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

fn element(answer: &str, name: &str) -> Option<String> {
    let rest = answer.split_once(&format!("<{name}>"))?.1;
    Some(rest.split_once('<')?.0.to_owned())
}

fn signer(answer: &str) -> Signer {
    Signer {
        access_key: element(answer, "AccessKeyId").unwrap(),
        secret_key: element(answer, "SecretAccessKey").unwrap(),
        session_token: element(answer, "SessionToken"),
    }
}

fn user(stack: &TestStack, name: &str) -> Signer {
    ask(stack, "iam", &format!("Action=CreateUser&Version=2010-05-08&UserName={name}"));
    signer(&ask(stack, "iam", &format!("Action=CreateAccessKey&Version=2010-05-08&UserName={name}")))
}

fn role(stack: &TestStack, name: &str) -> Signer {
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let created = format!(
        "Action=CreateRole&Version=2010-05-08&Path=%2Fcarriers%2F&RoleName={name}&AssumeRolePolicyDocument={trust}"
    );
    let arn = element(&ask(stack, "iam", &created), "Arn").unwrap();
    assert_eq!(arn, format!("arn:aws:iam::{ACCOUNT}:role/carriers/{name}"));
    let assumed = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={arn}&RoleSessionName=session-1");
    signer(&ask(stack, "sts", &assumed))
}

/// Status and body, as `curl` gets them.
fn hand_in(stack: &TestStack, signer: Option<&Signer>, content_type: &str, body: &Value) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"]);
    if let Some(Signer { access_key, secret_key, session_token }) = signer {
        curl.args(["--aws-sigv4", "aws:amz:us-east-1:execute-api"]);
        curl.args(["--user", &format!("{access_key}:{secret_key}")]);
        if let Some(token) = session_token {
            curl.args(["--header", &format!("x-amz-security-token: {token}")]);
        }
    }
    curl.args(["--header", &format!("content-type: {content_type}"), "--data-binary", &body.to_string()]);
    let output = curl.arg(format!("{}/events", stack.api().url())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

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
    let (provider, stranger) = (user(&stack, "provider"), user(&stack, "stranger"));
    let carrier = role(&stack, "Carrier");
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
    assert_eq!(hand_in(&stack, None, BATCH, &json!([failed])).0, 403);
    let invented =
        Signer { access_key: "AKIAINVENTED".to_owned(), secret_key: "x".to_owned(), session_token: None };
    for signer in [&invented, &stranger] {
        let (status, body) = hand_in(&stack, Some(signer), BATCH, &json!([failed]));
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
    let (status, body) = hand_in(&stack, Some(&provider), BATCH, &batch);
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
    let (status, body) = hand_in(&stack, Some(&provider), BATCH, &json!([failed, fifth]));
    assert_eq!((status, fates(&body)), (202, vec!["202 duplicate".to_owned(); 2]));
    let one = "application/cloudevents+json";
    let (status, body) = hand_in(&stack, Some(&carrier), one, &status_changed);
    assert_eq!((status, fates(&body)), (202, vec!["202 accepted".to_owned()]), "{body}");
    assert_eq!(hand_in(&stack, Some(&carrier), one, &event(EventType::PaymentFailed, "gw-6")).0, 403);
    assert_eq!(hand_in(&stack, Some(&carrier), one, &event(EventType::DeliveryStatusChanged, "gw-1")).0, 409);
    assert_eq!(hand_in(&stack, Some(&carrier), "text/plain", &status_changed).0, 415);

    let last = event(EventType::SignatureCollected, "gw-last");
    assert_eq!(hand_in(&stack, Some(&carrier), one, &last).0, 202);
    let heard = stack.wait(heard(&inbox, "gw-last"));
    assert_eq!(heard, ["gw-1", "gw-2", "gw-5", "gw-last"], "what was accepted, once each, and nothing else");
}
