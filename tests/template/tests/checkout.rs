//! `statemachines/checkout.asl.json`: it publishes events of the catalogue, with the data that their types demand.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;

use contracts::EventType;
use serde_json::Value;
use template_tests::{read, root};

fn checkout() -> Value {
    let machines = catalogue::state_machines(&root()).unwrap();
    machines.into_iter().find(|machine| machine.file.ends_with("checkout.asl.json")).unwrap().definition
}

fn states() -> serde_json::Map<String, Value> {
    checkout()["States"].as_object().unwrap().clone()
}

/// Every entry that a state puts on the bus.
fn entries() -> Vec<Value> {
    let of_state = |state: &Value| state["Arguments"]["Entries"].as_array().cloned().unwrap_or_default();
    states().values().flat_map(of_state).collect()
}

/// The data of one event of this type, as the read model's sample has it.
fn sample_data(event_type: &str) -> Value {
    let samples: Value = serde_json::from_str(&read("events/samples/order-tracker/every-type.json")).unwrap();
    let bodies = samples["Records"].as_array().unwrap().iter().map(|record| record["body"].as_str().unwrap());
    let mut events = bodies.map(|body| serde_json::from_str::<Value>(body).unwrap());
    let event = events.find(|event| event["detail-type"] == event_type).unwrap();
    event["detail"]["data"].clone()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_event_of_the_checkout_is_in_the_catalogue_and_complete() {
    let entries = entries();
    let published: BTreeSet<&str> =
        entries.iter().map(|entry| entry["DetailType"].as_str().unwrap()).collect();
    let expected = [
        "orders.order-cancelled.v1",
        "orders.order-confirmed.v1",
        "payments.payment-requested.v1",
        "payments.refund-requested.v1",
    ];
    assert_eq!(published, BTreeSet::from(expected));
    for entry in &entries {
        let name = entry["DetailType"].as_str().unwrap();
        let event_type = EventType::parse(name).unwrap();
        let detail = &entry["Detail"];
        assert_eq!(entry["Source"], event_type.source(), "{name}");
        assert_eq!(detail["source"], event_type.source(), "{name}");
        assert_eq!(detail["type"], name);
        assert_eq!(detail["dataschema"], format!("urn:orderbus:schema:{name}"));
        for attribute in ["id", "subject", "time", "correlationid", "causationid"] {
            assert!(detail[attribute].is_string(), "{name} has no {attribute}");
        }
        assert_eq!(keys(&detail["data"]), keys(&sample_data(name)), "{name}");
    }
}

#[test]
fn every_id_is_a_function_of_the_order() {
    for entry in entries() {
        let id = entry["Detail"]["id"].as_str().unwrap();
        assert!(!id.contains("uuid") && !id.contains("now") && !id.contains("Execution"), "{id}");
        assert!(id.contains("$orderId") || id.contains("paymentId"), "{id}");
    }
}

#[test]
fn an_outcome_is_only_written_where_there_is_none() {
    let writes: Vec<String> = states()
        .values()
        .filter_map(|state| state["Arguments"]["UpdateExpression"].as_str().map(str::to_owned))
        .filter(|expression| expression.contains("outcome"))
        .collect();
    assert_eq!(writes.len(), 2);
    for expression in writes {
        for attribute in ["outcome", "outcome_at", "outcome_reasons", "outcome_event_id"] {
            assert!(
                expression.contains(&format!("{attribute} = if_not_exists({attribute},")),
                "{expression}"
            );
        }
    }
}

#[test]
fn every_state_says_what_it_is_for_and_every_call_is_retried() {
    for (name, state) in states() {
        assert!(state["Comment"].is_string(), "{name} has no comment");
        if state["Type"] == "Task" {
            let retries = state["Retry"].as_array().unwrap_or_else(|| panic!("{name} is not retried"));
            assert!(retries.iter().any(|retry| retry["JitterStrategy"] == "FULL"), "{name}");
        }
    }
}

/// Neither validator of `orderbus check-templates` finds all of them in a catcher.
#[test]
fn no_field_of_jsonpath_is_left_in_a_state_machine_of_jsonata() {
    const FIELDS: [&str; 6] = [
        "\"InputPath\"",
        "\"OutputPath\"",
        "\"Parameters\"",
        "\"ResultPath\"",
        "\"ResultSelector\"",
        ".$\":",
    ];
    for machine in catalogue::state_machines(&root()).unwrap() {
        let text = machine.definition.to_string();
        assert_eq!(machine.definition["QueryLanguage"], "JSONata", "{}", machine.file);
        assert!(FIELDS.iter().all(|field| !text.contains(field)), "{}", machine.file);
    }
}
