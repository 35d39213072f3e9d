use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;
use ports::{PortError, Rows};
use serde_json::{Map, Value, json};

use crate::causal_order::causal_order;
use crate::events::{EVENT_COLUMNS, Place};
use crate::reports::Report;

const READ: &str = "read the rows of a query";
/// Members of an event's data, at any depth, that no answer has: what is personal, and what lets a payment go through.
const LEFT_OUT: [&str; 2] = ["personal", "taskToken"];

/// One event as the lake has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LakeEvent {
    at: Timestamp,
    id: String,
    source: String,
    event_type: String,
    subject: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    schema: Option<String>,
    data: Value,
}

/// The rows of a report as JSON objects.
///
/// # Errors
/// When they are not those of this report.
pub fn report_rows(report: &Report, rows: &Rows) -> Result<Vec<Value>, PortError> {
    let names: Vec<&str> = report.columns.iter().map(|column| column.name).collect();
    expect_columns(rows, &names)?;
    let row = |values: &Vec<Option<String>>| {
        let members = report.columns.iter().zip(values).map(|(column, value)| {
            let value = match value {
                None => Value::Null,
                Some(text) if column.kind.is_number() => number(text)?,
                Some(text) => text.as_str().into(),
            };
            Ok((column.name.to_owned(), value))
        });
        members.collect::<Result<Map<_, _>, PortError>>().map(Value::from)
    };
    rows.rows.iter().map(row).collect()
}

fn number(text: &str) -> Result<Value, PortError> {
    text.parse::<i64>().map(Value::from).map_err(|error| PortError::permanent(READ, error))
}

fn expect_columns(rows: &Rows, names: &[&str]) -> Result<(), PortError> {
    let has_them = rows.columns == names && rows.rows.iter().all(|row| row.len() == names.len());
    if has_them {
        Ok(())
    } else {
        Err(PortError::permanent(READ, "the columns are not those of the statement"))
    }
}

/// The rows of a question for events.
pub(crate) fn events(rows: Rows) -> Result<Vec<LakeEvent>, PortError> {
    expect_columns(&rows, &EVENT_COLUMNS)?;
    rows.rows.into_iter().map(event).collect()
}

fn event(row: Vec<Option<String>>) -> Result<LakeEvent, PortError> {
    let broken = || PortError::permanent(READ, "a row is no event");
    let row: [Option<String>; EVENT_COLUMNS.len()] = row.try_into().map_err(|_| broken())?;
    let [id, source, event_type, subject, time, correlation_id, causation_id, schema, data] = row;
    // Athena writes an instant as `2026-01-31 12:00:00.123`.
    let at =
        parse_timestamp(&format!("{}Z", time.ok_or_else(broken)?.replace(' ', "T"))).ok_or_else(broken)?;
    let mut data = serde_json::from_str(&data.ok_or_else(broken)?).map_err(|_| broken())?;
    leave_out(&mut data);
    Ok(LakeEvent {
        at,
        id: id.ok_or_else(broken)?,
        source: source.ok_or_else(broken)?,
        event_type: event_type.ok_or_else(broken)?,
        subject,
        correlation_id,
        causation_id,
        schema,
        data,
    })
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            members.values_mut().for_each(leave_out);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out),
        _ => {}
    }
}

impl LakeEvent {
    pub(crate) fn place(&self) -> Place {
        Place::of(self.at, &self.id)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "source": self.source,
            "type": self.event_type,
            "subject": self.subject,
            "time": format_timestamp(self.at),
            "correlationId": self.correlation_id,
            "causationId": self.causation_id,
            "schema": self.schema,
            "data": self.data,
        })
    }
}

/// Every cause before its effects, otherwise by time and id, which is the order in which they come.
pub(crate) fn in_causal_order(events: Vec<LakeEvent>) -> Vec<LakeEvent> {
    let causes: Vec<(&str, Option<&str>)> =
        events.iter().map(|event| (event.id.as_str(), event.causation_id.as_deref())).collect();
    let order = causal_order(&causes);
    let mut events: Vec<Option<LakeEvent>> = events.into_iter().map(Some).collect();
    order.into_iter().filter_map(|position| events.get_mut(position)?.take()).collect()
}

/// The names of the columns of [`events_csv`].
const CSV_COLUMNS: [&str; 9] =
    ["id", "source", "type", "subject", "time", "correlationId", "causationId", "schema", "data"];

/// Events as CSV; `data` is JSON text.
pub(crate) fn events_csv(events: &[LakeEvent]) -> String {
    let rows: Vec<Value> = events.iter().map(LakeEvent::json).collect();
    csv(&CSV_COLUMNS, &rows)
}

/// JSON objects as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets a `'` in front: what is in the
/// lake was sent by others.
#[must_use]
pub fn csv(columns: &[&str], rows: &[Value]) -> String {
    let mut text = columns.join(",");
    text.push_str("\r\n");
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| cell(&row[*column])).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        let rows = [json!({"a": "x,\"y\"\n", "b": -1}), json!({"a": "=HYPERLINK(\"u\")", "b": null})];
        assert_eq!(csv(&["a", "b"], &rows), "a,b\r\n\"x,\"\"y\"\"\n\",-1\r\n\"'=HYPERLINK(\"\"u\"\")\",\r\n");
    }

    #[test]
    fn what_is_personal_is_left_out_at_any_depth() {
        let mut data =
            json!({"personal": {"name": "x"}, "a": [{"personal": 1, "b": {"taskToken": "t", "c": 1}}]});
        leave_out(&mut data);
        assert_eq!(data, json!({"a": [{"b": {"c": 1}}]}));
    }
}
