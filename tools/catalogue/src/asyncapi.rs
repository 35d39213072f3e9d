//! The bus as one AsyncAPI document.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use contracts::EventType;
use serde_json::{Map, Value, json};

use crate::flow::Flow;
use crate::generated::schemas;
use crate::registry::to_draft;

/// The document, by its path in the repository.
pub(crate) const PATH: &str = "events/asyncapi.json";

/// References to messages, by who sends or receives them.
type Messages<'a> = BTreeMap<&'a str, Vec<Value>>;

/// The document.
pub(crate) fn document(flow: &Flow, samples: &BTreeMap<EventType, String>) -> Result<Value> {
    let (mut messages, mut definitions, mut on_the_bus) = (Map::new(), Map::new(), Map::new());
    let (mut sends, mut receives): (Messages<'_>, Messages<'_>) = Default::default();
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        let mut schema = schemas().remove(name).unwrap_or_default();
        if let Value::Object(shared) = schema["$defs"].take() {
            definitions.extend(shared);
        }
        if let Some(keywords) = schema.as_object_mut() {
            ["$schema", "$id", "$defs"].iter().for_each(|name| drop(keywords.remove(*name)));
        }
        to_draft(&mut schema, "#/components/schemas/", false);
        let sample: Value = serde_json::from_str(samples.get(event_type).map_or("null", String::as_str))
            .with_context(|| format!("the golden sample of {name}"))?;
        messages.insert(
            name.to_owned(),
            json!({
                "name": name,
                "title": event_type.data_name(),
                "summary": event_type.meaning(),
                "description": event_type.when(),
                "contentType": "application/cloudevents+json",
                "correlationId": {"location": "$message.payload#/correlationid"},
                "payload": schema,
                "examples": [{"name": "complete", "payload": sample}],
            }),
        );
        on_the_bus.insert(name.to_owned(), json!({"$ref": format!("#/components/messages/{name}")}));
        let message = json!({"$ref": format!("#/channels/bus/messages/{name}")});
        for sender in flow.senders_of(*event_type) {
            sends.entry(sender).or_default().push(message.clone());
        }
        for listener in flow.listeners_of(*event_type) {
            receives.entry(&listener.name).or_default().push(message.clone());
        }
    }
    let mut definitions = Value::Object(definitions);
    to_draft(&mut definitions, "#/components/schemas/", false);
    let mut operations = Map::new();
    for (action, all) in [("send", sends), ("receive", receives)] {
        for (name, messages) in all {
            let operation = json!({
                "action": action,
                "title": format!("{name} {action}s"),
                "channel": {"$ref": "#/channels/bus"},
                "messages": messages,
            });
            operations.insert(format!("{name}.{action}"), operation);
        }
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orderbus",
            "version": "1.0.0",
            "description": "Every event of the order process, on one EventBridge bus. Each is a CloudEvent in structured JSON, the `detail` of EventBridge's envelope.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {"bus": {
            "address": "orderbus-{environment}",
            "title": "The bus",
            "description": "Its name is in the SSM parameter /orderbus/{environment}/bus-name.",
            "parameters": {"environment": {"description": "Name of the installation.", "default": "default"}},
            "messages": on_the_bus,
        }},
        "operations": operations,
        "components": {"messages": messages, "schemas": definitions},
    }))
}
