//! JSON Schema of every event type, made from the Rust types.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::data::EventType;
use crate::origin::Origin;
use crate::texts;

/// The schema of a whole event as it goes on the bus: EventBridge's `detail`, a CloudEvent with its data.
///
/// Unknown fields are allowed everywhere, as they are when an event is read: that is how an optional field can be
/// added. Nulls are allowed where a field may be missing.
#[must_use]
pub fn schema_of(event_type: EventType) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let data = event_type.data_schema(&mut generator);
    let properties = cloud_event(event_type, &data, &mut generator);
    let mut definitions = generator.take_definitions(true);
    if let Some(data) = definitions.get_mut(event_type.data_name()) {
        data["description"] = event_type.meaning().into();
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": event_type.schema_id(),
        "title": format!("{}Event", event_type.data_name()),
        "description": format!("{} {}", event_type.meaning(), event_type.when()),
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": properties,
        "$defs": definitions,
    });
    tidy(&mut schema);
    schema
}

fn cloud_event(event_type: EventType, data: &Schema, generator: &mut SchemaGenerator) -> Value {
    let described = |schema: Schema, description: &str| {
        let mut schema = schema.to_value();
        schema["description"] = description.into();
        schema
    };
    let one =
        |text: &str, description: &str| json!({"type": "string", "const": text, "description": description});
    let optional_event_id = generator.subschema_for::<Option<texts::EventId>>();
    let optional_correlation_id = generator.subschema_for::<Option<texts::CorrelationId>>();
    let optional_traceparent = generator.subschema_for::<Option<texts::TraceParent>>();
    let mut properties = json!({
        "specversion": one("1.0", "The version of CloudEvents."),
        "id": described(
            generator.subschema_for::<texts::EventId>(),
            "The same however often the event is published or delivered: the key to dedupe on."
        ),
        "source": one(event_type.source(), "The context that sends it; the bus's `source` as well."),
        "type": one(event_type.as_str(), "What happened, and its version; the bus's `detail-type` as well."),
        "subject": described(
            event_type.subject_schema(generator),
            "What it is about: the identifier in `data`."
        ),
        "time": described(generator.subschema_for::<texts::Time>(), "When it happened, by the clock of its sender."),
        "datacontenttype": {
            "description": "What `data` is written in.",
            "type": ["string", "null"],
            "enum": ["application/json", null],
        },
        "dataschema": {
            "description": "The identifier of this schema.",
            "type": ["string", "null"],
            "enum": [event_type.schema_id(), null],
        },
        "correlationid": described(
            optional_correlation_id,
            "Shared by all events of one flow: the order id, as a rule."
        ),
        "causationid": described(optional_event_id, "The `id` of the event that caused it."),
        "traceparent": described(optional_traceparent, "W3C Trace Context, passed on as it came. One that is not valid is ignored."),
        "data": described(data.clone(), "What happened, in full."),
        "data_base64": {
            "description": "Must be left out: what happened is in `data`.",
            "type": "null",
        },
    });
    if event_type.may_come_from_outside() {
        properties[Origin::PRODUCER_EXTENSION] = json!({
            "description": concat!(
                "Who handed the event in at `POST /events`. event-gateway alone sets it and refuses events that bring it ",
                "along; from another AWS account it means nothing. Two producers may use the same `id`: dedupe on both.",
            ),
            "type": ["string", "null"],
            "examples": ["carrier-0f3c2b9a81d64e57a0b1"],
        });
    }
    properties
}

/// Takes out what says nothing: formats that are Rust's, and defaults of fields that may be missing.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(keywords) => {
            keywords.remove("default");
            if let Some(Value::String(format)) = keywords.get("format")
                && ["int64", "uint32", "uint64"].contains(&format.as_str())
            {
                keywords.remove("format");
            }
            keywords.values_mut().for_each(tidy);
        }
        _ => {}
    }
}
