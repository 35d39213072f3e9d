use serde_json::Value;

use crate::check::Checker;
use crate::data::EventType;
use crate::envelope::{DecodeError, read_cloud_event};
use crate::event::Event;
use crate::parts::Reason;
use crate::texts;

/// Why an event may not go on the bus. Repeats no value of it.
#[derive(Debug, thiserror::Error)]
pub enum NotPublishable {
    /// It is not an event of the catalogue.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// It can be read, and breaks rules of its type: all of them, each with the path of its field in the event.
    #[error("{}", list(.0))]
    Invalid(Vec<Reason>),
}

impl NotPublishable {
    /// The same as a list: what cannot be read is one reason.
    #[must_use]
    pub fn into_reasons(self) -> Vec<Reason> {
        match self {
            Self::Unreadable(error) => vec![Reason::new(error.code(), error.to_string())],
            Self::Invalid(reasons) => reasons,
        }
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
/// Stricter than [`crate::decode`], with which a listener reads: an order that breaks rules is an event all the same once
/// it is on the bus, and is rejected with reasons. What this accepts, every listener can read.
///
/// # Errors
/// [`NotPublishable`], with everything that is wrong.
pub fn read_publishable(detail: &str) -> Result<Event, NotPublishable> {
    let event = read_cloud_event(detail, None)?;
    let came: Value = serde_json::from_str(detail).unwrap_or_default();
    let mut checker = Checker::at("");
    let time = came["time"].as_str().unwrap_or_default();
    checker.text::<texts::Time>("time", time);
    let mut reasons = checker.into_reasons();
    let mut must_be = |field: &str, expected: &str| {
        if !came[field].is_null() && came[field] != expected {
            reasons.push(reason(field, format!("must be {expected}, or be left out")));
        }
    };
    let event_type: EventType = event.data.event_type();
    must_be("datacontenttype", "application/json");
    must_be("dataschema", &event_type.schema_id());

    let mut checker = Checker::at("data");
    event.data.check(&mut checker);
    reasons.extend(checker.into_reasons());
    // An array is read as a struct, its entries by their places. Nobody else does that.
    let written = serde_json::to_value(&event.data).unwrap_or_default();
    find_arrays("data", &came["data"], &written, &mut reasons);
    if reasons.is_empty() { Ok(event) } else { Err(NotPublishable::Invalid(reasons)) }
}

fn find_arrays(path: &str, came: &Value, written: &Value, reasons: &mut Vec<Reason>) {
    match (came, written) {
        (Value::Array(_), Value::Object(_)) => reasons.push(reason(path, "must be an object".to_owned())),
        (Value::Object(came), Value::Object(written)) => {
            for (name, written) in written {
                find_arrays(&format!("{path}.{name}"), &came[name], written, reasons);
            }
        }
        (Value::Array(came), Value::Array(written)) => {
            for (index, (came, written)) in came.iter().zip(written).enumerate() {
                find_arrays(&format!("{path}[{index}]"), came, written, reasons);
            }
        }
        _ => {}
    }
}

fn reason(field: &str, message: String) -> Reason {
    Reason { code: "invalid_attribute".to_owned(), field: Some(field.to_owned()), message }
}
