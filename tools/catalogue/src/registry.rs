//! The schemas for EventBridge's schema registry, as a template beside the main one, which it keeps readable.

use serde_json::{Map, Value, json};

use contracts::EventType;

use crate::generated::schemas;

/// The template, by its path in the repository.
pub(crate) const PATH: &str = "events/schemas.template.json";

/// The template of the registry and of everything in it.
pub(crate) fn template() -> Value {
    let mut resources = Map::new();
    resources.insert(
        "Registry".to_owned(),
        json!({
            "Type": "AWS::EventSchemas::Registry",
            "Properties": {
                "RegistryName": {"Fn::Sub": "orderbus-${Environment}"},
                "Description": {"Fn::Sub": "Every event of the order process (${Environment})"},
            },
        }),
    );
    for event_type in EventType::ALL {
        resources.insert(
            format!("{}{}", event_type.data_name(), version(*event_type)),
            json!({
                "Type": "AWS::EventSchemas::Schema",
                "Properties": {
                    "RegistryName": {"Fn::GetAtt": "Registry.RegistryName"},
                    "SchemaName": format!("{}@{}", event_type.source(), event_type.as_str()),
                    "Type": "JSONSchemaDraft4",
                    "Description": event_type.meaning(),
                    "Content": registry_schema(*event_type).to_string(),
                },
            }),
        );
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The events of Orderbus in the schema registry. Made by `cargo orderbus contracts write`.",
        "Parameters": {"Environment": {"Type": "String", "Description": "As in the main template."}},
        "Resources": resources,
    })
}

fn version(event_type: EventType) -> String {
    event_type.as_str().rsplit('.').next().unwrap_or_default().to_uppercase()
}

/// The schema of the event as a rule delivers it, in the one JSON Schema that the registry takes: draft 4.
#[must_use]
pub fn registry_schema(event_type: EventType) -> Value {
    let mut detail = schemas().remove(event_type.as_str()).unwrap_or_default();
    let definitions = detail["$defs"].take();
    if let Some(keywords) = detail.as_object_mut() {
        ["$schema", "$id", "$defs"].iter().for_each(|name| drop(keywords.remove(*name)));
    }
    let text = json!({"type": "string"});
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": format!("{} in EventBridge's envelope", event_type.data_name()),
        "type": "object",
        "required": ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"],
        "properties": {
            "version": text, "id": text, "account": text, "region": text,
            "detail-type": {"enum": [event_type.as_str()]},
            "source": {"enum": [event_type.source()]},
            "time": {"type": "string", "format": "date-time"},
            "resources": {"type": "array", "items": text},
            "replay-name": text,
            "detail": detail,
        },
        "definitions": definitions,
    });
    to_draft(&mut schema, "#/definitions/", true);
    schema
}

/// Rewrites what newer drafts of JSON Schema write otherwise.
pub(crate) fn to_draft(schema: &mut Value, definitions: &str, is_draft_4: bool) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| to_draft(item, definitions, is_draft_4)),
        Value::Object(keywords) => {
            if let Some(Value::String(reference)) = keywords.get("$ref") {
                // Before 2019, whatever stands beside a reference is not read.
                let reference = reference.replace("#/$defs/", definitions);
                *keywords = Map::from_iter([("$ref".to_owned(), reference.into())]);
                return;
            }
            if is_draft_4 {
                keywords.remove("examples");
                if let Some(value) = keywords.remove("const") {
                    keywords.insert("enum".to_owned(), json!([value]));
                }
            }
            keywords.values_mut().for_each(|value| to_draft(value, definitions, is_draft_4));
        }
        _ => {}
    }
}
