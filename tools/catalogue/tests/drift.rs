//! What is committed is what the code says.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use contracts::EventType;
use serde_json::{Value, json};

#[test]
fn what_is_committed_is_what_the_code_and_the_templates_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let different = catalogue::drift(&root).unwrap();
    assert!(different.is_empty(), "`cargo orderbus contracts write` brings these up to date: {different:#?}");
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn the_registry_has_every_type_in_a_schema_of_draft_4_that_its_events_keep_to() {
    let template: Value = serde_json::from_str(&read("events/schemas.template.json")).unwrap();
    let schemas = template["Resources"].as_object().unwrap().values();
    let contents: Vec<Value> = schemas
        .filter_map(|resource| resource["Properties"]["Content"].as_str())
        .map(|content| serde_json::from_str(content).unwrap())
        .collect();
    assert_eq!(contents.len(), EventType::ALL.len());
    for (event_type, schema) in
        EventType::ALL.iter().zip(EventType::ALL.iter().map(|one| catalogue::registry_schema(*one)))
    {
        let name = event_type.as_str();
        assert!(contents.contains(&schema), "{name}");
        assert!(schema.to_string().len() <= 100_000, "{name}: more than the registry takes");
        assert!(jsonschema::draft4::meta::is_valid(&schema), "{name}");
        for newer in ["\"const\":", "\"$defs\":", "\"examples\":"] {
            assert!(!schema.to_string().contains(newer), "{name}: {newer}");
        }
        let detail: Value =
            serde_json::from_str(&read(&format!("events/samples/{name}/complete.json"))).unwrap();
        let mut event = json!({
            "version": "0", "id": "b-1", "detail-type": name, "source": event_type.source(), "account": "111122223333",
            "time": "2026-01-31T12:00:00Z", "region": "eu-central-1", "resources": [], "detail": detail,
        });
        let validator = jsonschema::draft4::new(&schema).unwrap();
        assert!(validator.is_valid(&event), "{name}: {:?}", validator.iter_errors(&event).next().unwrap());
        event["detail"]["data"] = json!({});
        assert!(!validator.is_valid(&event), "{name}");
    }
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&read("events/asyncapi.json")).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    assert_eq!(document["components"]["messages"].as_object().unwrap().len(), EventType::ALL.len());
    for (name, operation) in document["operations"].as_object().unwrap() {
        assert!(["send", "receive"].contains(&operation["action"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn the_page_loads_nothing_and_leads_to_every_event() {
    let page = read("docs/events/index.html");
    for loading in ["src=", "@import", "url(", "http:", "https:", "<link"] {
        assert!(!page.contains(loading), "{loading}");
    }
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        assert!(
            page.contains(&format!("href=\"#{name}\"")) && page.contains(&format!("id=\"{name}\"")),
            "{name}"
        );
    }
}
