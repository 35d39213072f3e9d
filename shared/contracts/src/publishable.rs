use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::check::Checker;
use crate::data::{Data, EventType};
use crate::envelope::{DecodeError, Read, describe, read_cloud_event, shape_error};
use crate::event::Event;
use crate::origin::Origin;
use crate::parts::Reason;

/// Why an event may not go on the bus: each field that is wrong, by its path in the event. A reason without a field is about
/// the event as a whole. Repeats no value of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub struct NotPublishable(Vec<Reason>);

impl NotPublishable {
    /// The same as a list.
    #[must_use]
    pub fn into_reasons(self) -> Vec<Reason> {
        self.0
    }
}

fn list(reasons: &[Reason]) -> String {
    let line = |reason: &Reason| match &reason.field {
        Some(field) => format!("{field}: {}", reason.message),
        None => reason.message.clone(),
    };
    reasons.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Reads a CloudEvent as its publisher has to write it: what the schema of its type says, and what no schema can say.
///
/// Stricter than [`crate::decode`], with which a listener reads events of our own: an order that breaks rules is an event
/// all the same once it is on the bus, and is rejected with reasons. What this accepts, every listener can read. Who hands
/// the event in is no part of it: [`Event::to_outbound_of`] says so.
///
/// # Errors
/// [`NotPublishable`], with everything that is wrong.
pub fn read_publishable(detail: &str) -> Result<Event, NotPublishable> {
    let read = read_cloud_event(detail).map_err(|error| unreadable(detail, &error))?;
    // What the reader passes over may still be no JSON: nested too deep, or a number that is none.
    serde_json::from_str::<Value>(detail).map_err(|error| unreadable(detail, &shape_error(&error)))?;
    let reasons = breaches(&read);
    if reasons.is_empty() { Ok(read.event) } else { Err(NotPublishable(reasons)) }
}

/// Everything in which an event that can be read is not as the schema of its type says.
pub(crate) fn breaches(read: &Read<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut must_be = |field: &str, came: Option<&RawValue>, expected: &str| {
        let is_it =
            |came: &RawValue| serde_json::from_str(came.get()).is_ok_and(|text: String| text == expected);
        if came.is_some_and(|came| !is_it(came)) {
            reasons.push(reason(field, format!("must be {expected}, or be left out")));
        }
    };
    let data = &read.event.data;
    must_be("datacontenttype", read.datacontenttype, "application/json");
    must_be("dataschema", read.dataschema, &data.event_type().schema_id());

    let mut checker = Checker::at("data");
    data.check(&mut checker);
    reasons.extend(checker.into_reasons());
    // An array is read as a struct, its entries by their places. Nobody else does that.
    let written = serde_json::to_value(data).unwrap_or_default();
    find_arrays("data", read.data, &written, &mut reasons);
    reasons
}

/// The attributes of a CloudEvent that are texts, and whether one may be left out.
const TEXTS: [(&str, bool); 10] = [
    ("specversion", false),
    ("id", false),
    ("source", false),
    ("type", false),
    ("subject", false),
    ("time", false),
    ("correlationid", true),
    ("causationid", true),
    ("traceparent", true),
    (Origin::PRODUCER_EXTENSION, true),
];

/// Looks for the fields that keep an event from being read. The reader stops at the first of them and says where in the
/// text it stands, which is of no use to whoever wrote the event with a program.
fn unreadable(detail: &str, error: &DecodeError) -> NotPublishable {
    let about =
        |field: Option<String>| vec![Reason { field, ..Reason::new(error.code(), error.to_string()) }];
    NotPublishable(match error {
        DecodeError::NotJson { .. } => about(None),
        DecodeError::NotAnEvent(text) => {
            let reasons = wrong_attributes(detail);
            if reasons.is_empty() { about(field_named_in(text)) } else { reasons }
        }
        DecodeError::UnknownType | DecodeError::UnknownVersion | DecodeError::NotPermitted { .. } => {
            about(Some("type".to_owned()))
        }
        DecodeError::SchemaMismatch { event_type, detail: text } => {
            let named =
                || field_named_in(text).map_or_else(|| "data".to_owned(), |name| format!("data.{name}"));
            about(Some(wrong_in_data(*event_type, detail).unwrap_or_else(named)))
        }
        DecodeError::Invalid { attribute, detail } => vec![reason(attribute, detail.clone())],
    })
}

fn wrong_attributes(detail: &str) -> Vec<Reason> {
    let Ok(Value::Object(came)) = serde_json::from_str(detail) else { return vec![] };
    let mut reasons = Vec::new();
    for (name, is_optional) in TEXTS {
        match came.get(name) {
            Some(Value::String(_)) => {}
            None | Some(Value::Null) if is_optional => {}
            None => reasons.push(reason(name, "is missing".to_owned())),
            Some(_) => reasons.push(reason(name, "must be a text".to_owned())),
        }
    }
    if !came.contains_key("data") {
        reasons.push(reason("data", "is missing".to_owned()));
    }
    reasons
}

/// The path of the field of `data` that does not have its type's shape.
fn wrong_in_data(event_type: EventType, detail: &str) -> Option<String> {
    let came: Value = serde_json::from_str(detail).ok()?;
    let (path, problem) = Data::mismatch(event_type, &came["data"])?;
    let path = if path == "." { "data".to_owned() } else { format!("data.{path}") };
    match field_named_in(&describe(&problem)) {
        Some(missing) => Some(format!("{path}.{missing}")),
        None => Some(path),
    }
}

/// The field that `serde` names when one is missing or comes twice; the path that it says ends before it.
fn field_named_in(text: &str) -> Option<String> {
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("duplicate field `"))?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

/// Looks for arrays in the place of objects. Follows only what was read: whatever else came may be nested to any depth.
fn find_arrays(path: &str, came: &RawValue, written: &Value, reasons: &mut Vec<Reason>) {
    match written {
        Value::Object(_) if came.get().starts_with('[') => {
            reasons.push(reason(path, "must be an object".to_owned()));
        }
        Value::Object(written) => {
            let came: BTreeMap<String, &RawValue> = serde_json::from_str(came.get()).unwrap_or_default();
            for (name, written) in written {
                if let Some(came) = came.get(name.as_str()) {
                    find_arrays(&format!("{path}.{name}"), came, written, reasons);
                }
            }
        }
        Value::Array(written) => {
            let came: Vec<&RawValue> = serde_json::from_str(came.get()).unwrap_or_default();
            for (index, (came, written)) in came.into_iter().zip(written).enumerate() {
                find_arrays(&format!("{path}[{index}]"), came, written, reasons);
            }
        }
        _ => {}
    }
}

fn reason(field: &str, message: String) -> Reason {
    Reason { code: "invalid_attribute".to_owned(), field: Some(field.to_owned()), message }
}
