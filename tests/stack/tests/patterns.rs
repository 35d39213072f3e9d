//! Every case of patterns.json, put to a running bus: by TestEventPattern, and by a rule that leads to a queue. The same
//! cases are put to `orderbus rules match` in tools/orderbus/src/rules/pattern.rs.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Target};
use serde_json::{Value, json};
use stack_tests::{Inbox, Judge};

/// The cases, and what the bus has to say to each.
fn cases() -> Vec<(Value, bool)> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../patterns.json")).unwrap();
    let expected = |case: &Value| case.get("bus").unwrap_or(&case["matches"]).as_bool().unwrap();
    cases.into_iter().map(|case| (case.clone(), expected(&case))).collect()
}

/// What AWS demands of an event that is only tested.
fn whole(event: &Value) -> String {
    let mut whole = json!({
        "version": "0", "id": "1", "account": "000000000000", "time": "2026-01-31T12:00:00Z",
        "region": "us-east-1", "resources": [],
    });
    whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
    whole.to_string()
}

#[test]
fn a_bus_says_of_every_case_what_is_written_down() {
    let judge = Judge::ministack().unwrap();
    let events = judge.sdk().eventbridge();
    let mut wrong = Vec::new();
    for (case, expected) in cases() {
        let pattern = case["pattern"].to_string();
        let request = events.test_event_pattern().event_pattern(pattern).event(whole(&case["event"]));
        let answer = judge.wait(request.send()).map(|answer| answer.result());
        if !matches!(&answer, Ok(said) if *said == expected) {
            wrong.push(format!("{}: {answer:?}", case["what"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_rule_delivers_what_is_written_down() {
    let judge = Judge::ministack().unwrap();
    let events = judge.sdk().eventbridge();
    let inbox = judge.wait(Inbox::create(judge.sdk().sqs(), "matched")).unwrap();
    for (number, (case, _)) in cases().iter().enumerate() {
        let bus = format!("case-{number}");
        judge.wait(async {
            events.create_event_bus().name(&bus).send().await.unwrap();
            let rule = events.put_rule().name("case").event_bus_name(&bus);
            rule.event_pattern(case["pattern"].to_string()).send().await.unwrap();
            let target = Target::builder().id("queue").arn(inbox.arn()).input(number.to_string());
            let target = target.build().unwrap();
            events.put_targets().event_bus_name(&bus).rule("case").targets(target).send().await.unwrap();
            let text = |name: &str| case["event"][name].as_str().unwrap();
            let entry = PutEventsRequestEntry::builder().event_bus_name(&bus).source(text("source"));
            let entry = entry.detail_type(text("detail-type")).detail(case["event"]["detail"].to_string());
            let answer = events.put_events().entries(entry.build()).send().await.unwrap();
            assert_eq!(answer.failed_entry_count(), 0, "{}", case["what"]);
        });
    }
    // MiniStack has delivered when PutEvents answers, so a queue that is empty stays empty.
    let mut delivered: BTreeMap<usize, usize> = BTreeMap::new();
    loop {
        let messages = judge.wait(inbox.receive()).unwrap();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            *delivered.entry(message.body().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    let expected: BTreeMap<usize, usize> = cases()
        .iter()
        .enumerate()
        .filter(|(_, (_, expected))| *expected)
        .map(|(number, _)| (number, 1))
        .collect();
    let names = |numbers: &BTreeMap<usize, usize>| -> BTreeSet<String> {
        numbers.keys().map(|number| cases()[*number].0["what"].to_string()).collect()
    };
    assert_eq!(names(&delivered), names(&expected));
    assert_eq!(delivered, expected, "each once");
}

#[test]
fn every_disagreement_of_the_bus_is_in_the_table() {
    let document = include_str!("../../../docs/patterns.md");
    for (case, _) in cases() {
        let what = case["what"].as_str().unwrap();
        let is_in_table = document.contains(&format!("| {what} |"));
        let disagrees = case.get("bus").is_some();
        assert_eq!(is_in_table, disagrees, "{what}");
    }
}
