use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use contracts::EventType;
use serde_json::{Map, Value, json};

/// The name of the union of all events.
const ALL: &str = "OrderbusEvent";

/// One schema of every event, for generators of types: what the schemas define is in one place, each event under its title,
/// and the event itself is one of them by its `type`. Examples are left out.
///
/// # Errors
/// When a type of the catalogue has no schema, or two schemas mean different things by one name.
pub fn bundle(schemas: &BTreeMap<String, Value>) -> Result<Value> {
    let mut definitions = Map::new();
    let mut events = Vec::new();
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        let mut schema = schemas.get(name).with_context(|| format!("{name} has no schema"))?.clone();
        let title = schema["title"].as_str().with_context(|| format!("{name}: a schema without a title"))?;
        let title = title.to_owned();
        let Some(event) = schema.as_object_mut() else { continue };
        ["$schema", "$id", "title"].iter().for_each(|keyword| drop(event.remove(*keyword)));
        let parts = event.remove("$defs");
        for (part, definition) in parts.as_ref().and_then(Value::as_object).into_iter().flatten() {
            define(&mut definitions, part, definition.clone())?;
        }
        events.push(json!({"$ref": format!("#/$defs/{title}")}));
        define(&mut definitions, &title, schema)?;
    }
    ensure!(!definitions.contains_key(ALL), "{ALL} is the name of all events together");
    let mut bundle = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": ALL,
        "description": "Every event of the bus. Its `type` says which.",
        "oneOf": events,
        "$defs": definitions,
    });
    leave_out_examples(&mut bundle);
    Ok(bundle)
}

fn define(definitions: &mut Map<String, Value>, name: &str, definition: Value) -> Result<()> {
    let known = definitions.entry(name).or_insert_with(|| definition.clone());
    ensure!(*known == definition, "two schemas mean different things by {name}");
    Ok(())
}

fn leave_out_examples(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(leave_out_examples),
        Value::Object(keywords) => {
            // A property may have this name; its value is an object then.
            if keywords.get("examples").is_some_and(Value::is_array) {
                keywords.remove("examples");
            }
            keywords.values_mut().for_each(leave_out_examples);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas;

    #[test]
    fn every_event_is_in_it_and_every_name_is_defined_once() {
        let bundle = bundle(&schemas()).unwrap();
        assert_eq!(bundle["oneOf"].as_array().unwrap().len(), EventType::ALL.len());
        for event in bundle["oneOf"].as_array().unwrap() {
            let place = event["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            assert_eq!(bundle.pointer(place).unwrap()["type"], "object", "{place}");
        }
        assert!(!bundle.to_string().contains("\"examples\""));
    }

    #[test]
    fn a_name_that_means_two_things_is_refused() {
        let mut schemas = schemas();
        schemas.get_mut("orders.order-placed.v1").unwrap()["$defs"]["Money"]["description"] = "Other.".into();
        let error = bundle(&schemas).unwrap_err().to_string();
        assert_eq!(error, "two schemas mean different things by Money");
        schemas.remove("orders.order-placed.v1");
        assert!(bundle(&schemas).unwrap_err().to_string().contains("orders.order-placed.v1 has no schema"));
    }
}
