use contracts::{
    EventType, Origin, Redacted, event_identity, format_timestamp, parse_timestamp, without_members,
};
use domain::{EventId, Timestamp};
use ports::{PortError, Rows};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::causal_order::{Node, causal_order};
use crate::events::{EVENT_COLUMNS, Place};
use crate::reports::Report;

const READ: &str = "read the rows of a query";
/// Members of an event's data, at any depth, that no answer has: what is personal, and what lets a payment go through.
const LEFT_OUT: [&str; 2] = ["personal", "taskToken"];

/// One event as the lake has it, in the form in which it is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LakeEvent {
    #[serde(skip)]
    at: Timestamp,
    /// EventBridge's id.
    #[serde(skip)]
    bus_id: String,
    /// What it is known by, which no sender chooses.
    #[serde(skip)]
    identity: EventId,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    time: String,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    schema: Option<String>,
    data: EventData,
    /// Who put it on the bus; nothing of our own.
    origin: Option<String>,
    /// `true` where common readers cannot hold `data`, which is told as text then.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<bool>,
}

/// The data of an event, without what no answer has. Numbers are as they were sent, to the letter.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum EventData {
    Json(Box<RawValue>),
    /// JSON as well, which common readers cannot hold.
    Text(String),
    /// Not JSON. Nobody can say what in it is personal.
    Nothing,
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
    let [id, source, event_type, subject, time, correlation_id, causation_id, schema, data, origin, bus_id] =
        row;
    // Athena writes an instant as `2026-01-31 12:00:00.123`.
    let at =
        parse_timestamp(&format!("{}Z", time.ok_or_else(broken)?.replace(' ', "T"))).ok_or_else(broken)?;
    let data = EventData::read(&data.ok_or_else(broken)?);
    let unreadable = (!matches!(data, EventData::Json(_))).then_some(true);
    let (id, event_type) = (id.ok_or_else(broken)?, event_type.ok_or_else(broken)?);
    let known = origin
        .as_deref()
        .map_or(Origin::Own, |text| Origin::parse(text).unwrap_or_else(|| Origin::Account(text.to_owned())));
    Ok(LakeEvent {
        at,
        bus_id: bus_id.ok_or_else(broken)?,
        identity: event_identity(&known, &event_type, &id),
        time: format_timestamp(at),
        id,
        source: source.ok_or_else(broken)?,
        event_type,
        subject,
        correlation_id,
        causation_id,
        schema,
        data,
        origin,
        unreadable,
    })
}

impl EventData {
    fn read(text: &str) -> Self {
        match without_members(text, &LEFT_OUT) {
            Some(Redacted { text, is_readable: false }) => Self::Text(text),
            Some(Redacted { text, .. }) => RawValue::from_string(text).map_or(Self::Nothing, Self::Json),
            None => Self::Nothing,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.get(),
            Self::Text(text) => text,
            Self::Nothing => "",
        }
    }
}

impl LakeEvent {
    pub(crate) fn place(&self) -> Place {
        Place::of(self.at, &self.bus_id)
    }

    /// Whether it says of itself what is not so: a type that another context publishes, or one that we alone do.
    fn is_claim(&self) -> bool {
        EventType::parse(&self.event_type).is_some_and(|event_type| {
            self.source != event_type.source()
                || (self.origin.is_some() && !event_type.may_come_from_outside())
        })
    }

    fn cells(&self) -> [String; CSV_COLUMNS.len()] {
        let text = |text: &Option<String>| text.as_deref().map(text_cell).unwrap_or_default();
        let data = self.data.text();
        // A number is none that a spreadsheet computes.
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        [
            text_cell(&self.id),
            text_cell(&self.source),
            text_cell(&self.event_type),
            text(&self.subject),
            self.time.clone(),
            text(&self.correlation_id),
            text(&self.causation_id),
            text(&self.schema),
            if is_number(data) { data.to_owned() } else { text_cell(data) },
            text(&self.origin),
            if self.unreadable.is_some() { "true".to_owned() } else { String::new() },
        ]
    }
}

/// The events of an order that are what they say, every cause before its effects, otherwise by time and id.
pub(crate) fn history_of(mut events: Vec<LakeEvent>) -> Vec<LakeEvent> {
    events.retain(|event| !event.is_claim());
    events
        .sort_by(|one, other| (one.at, &one.id, &one.identity).cmp(&(other.at, &other.id, &other.identity)));
    let nodes: Vec<Node<'_>> = events
        .iter()
        .map(|event| Node {
            id: &event.id,
            is_known_by_its_id: event.identity.as_str() == event.id,
            cause: event.causation_id.as_deref(),
        })
        .collect();
    let order = causal_order(&nodes);
    let mut events: Vec<Option<LakeEvent>> = events.into_iter().map(Some).collect();
    order.into_iter().filter_map(|position| events.get_mut(position)?.take()).collect()
}

/// The names of the columns of [`events_csv`].
const CSV_COLUMNS: [&str; 11] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "correlationId",
    "causationId",
    "schema",
    "data",
    "origin",
    "unreadable",
];

/// Events as CSV; `data` is JSON text.
pub(crate) fn events_csv(events: &[LakeEvent]) -> String {
    table(&CSV_COLUMNS, events.iter().map(LakeEvent::cells))
}

/// JSON objects as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets a `'` in front: what is in the
/// lake was sent by others.
#[must_use]
pub fn csv(columns: &[&str], rows: &[Value]) -> String {
    let cells = |row: &Value| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>();
    table(columns, rows.iter().map(cells))
}

fn table(columns: &[&str], rows: impl Iterator<Item = impl AsRef<[String]>>) -> String {
    let mut text = columns.join(",");
    text.push_str("\r\n");
    for cells in rows {
        text.push_str(&cells.as_ref().join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text_cell(text),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => text_cell(&value.to_string()),
    }
}

fn text_cell(text: &str) -> String {
    let quote = if is_formula(text) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{quote}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{quote}{text}")
    }
}

/// Whether a spreadsheet may take a text for a formula. Programs skip what precedes the sign (blanks, quotes, control and
/// invisible characters), and some take the full-width forms of the signs for the signs themselves.
fn is_formula(text: &str) -> bool {
    let is_skipped = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '"' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.starts_with(['\t', '\r', '\n'])
        || text
            .trim_start_matches(is_skipped)
            .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{2212}'])
}

#[cfg(test)]
mod tests {
    use csv_core::ReadRecordResult;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_formula_is_neutralised_whatever_precedes_its_sign() {
        for before in ["", " ", "\t", "\n", "\r\n", "\"", "\0", "\u{200b}", "\u{feff} ", "\n \u{202e}"] {
            for sign in ["=", "+", "-", "@", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}"] {
                let cell = cell(&json!(format!("{before}{sign}1+1")));
                assert!(cell.trim_start_matches('"').starts_with('\''), "{cell:?}");
            }
        }
        assert_eq!(cell(&json!("\nx")), "\"'\nx\"");
        assert_eq!(
            (cell(&json!(-5)), cell(&json!("a=b")), cell(&json!(""))),
            ("-5".into(), "a=b".into(), String::new())
        );
    }

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        let rows = [json!({"a": "x,\"y\"\n", "b": -1}), json!({"a": "=HYPERLINK(\"u\")", "b": null})];
        assert_eq!(csv(&["a", "b"], &rows), "a,b\r\n\"x,\"\"y\"\"\n\",-1\r\n\"'=HYPERLINK(\"\"u\"\")\",\r\n");
    }

    /// Text of what programs make something of: signs of formulas, what precedes them unseen, and what ends a cell or a row.
    fn hostile_text() -> impl Strategy<Value = String> {
        let parts = [
            "=", "+", "-", "@", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}", "'", "\"", "\"\"", ",", ";",
            "\t", "\r", "\n", "\r\n", " ", "\u{a0}", "\0", "\u{1b}", "\u{200b}", "\u{202e}", "\u{feff}", "1",
            "a", "SUM(A1)", "ö", "🦀",
        ];
        let of_parts = prop::collection::vec(prop::sample::select(parts.to_vec()), 0..8);
        prop_oneof![of_parts.prop_map(|parts| parts.concat()), any::<String>()]
    }

    /// What a spreadsheet makes of a cell: whether it computes it. It skips what cannot be seen.
    fn is_computed(cell: &str) -> bool {
        let seen = cell.trim_start_matches(|one: char| {
            one == '"' || one.is_whitespace() || one.is_control() || "\u{200b}\u{202e}\u{feff}".contains(one)
        });
        seen.starts_with(|one| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(one))
    }

    /// The records of CSV, the header among them.
    fn parsed(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv_core::Reader::new();
        let (mut rest, mut records) = (text.as_bytes(), Vec::new());
        loop {
            let (mut cells, mut ends) = (vec![0; text.len() + 1], vec![0; text.len() + 1]);
            let (result, read, written, count) = reader.read_record(rest, &mut cells, &mut ends);
            rest = &rest[read..];
            match result {
                ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(ends.iter().copied());
                    let cell = |(start, end): (usize, &usize)| {
                        String::from_utf8(cells[start..*end].to_vec()).unwrap()
                    };
                    records.push(starts.zip(&ends[..count]).map(cell).collect());
                }
                ReadRecordResult::InputEmpty => assert_eq!(written, 0, "a record without an end"),
                ReadRecordResult::End => return records,
                full => panic!("{full:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_as_many_rows_and_cells_and_none_is_a_formula(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(hostile_text()), 3), 0..6),
        ) {
            let columns = ["day", "sku", "note"];
            let values: Vec<Value> =
                rows.iter().map(|row| columns.iter().zip(row).map(|(name, text)| (*name, json!(text))).collect()).collect();
            let found = parsed(&csv(&columns, &values));
            prop_assert_eq!(found.len(), rows.len() + 1);
            prop_assert_eq!(&found[0], &columns);
            for (cells, row) in found[1..].iter().zip(&rows) {
                prop_assert_eq!(cells.len(), columns.len());
                for (cell, text) in cells.iter().zip(row) {
                    let text = text.as_deref().unwrap_or_default();
                    prop_assert!(!is_computed(cell), "{:?}", cell);
                    // Nothing but the quote in front is added to it.
                    prop_assert!(cell == text || cell.strip_prefix('\'') == Some(text), "{:?} {:?}", cell, text);
                }
            }
        }

        #[test]
        fn any_event_is_one_row_of_csv_and_none_of_its_cells_is_a_formula(
            texts in prop::collection::vec(hostile_text(), 8),
            data in prop_oneof![hostile_text(), hostile_text().prop_map(|text| json!({"text": text}).to_string())],
        ) {
            let text = |index: usize| Some(texts[index].clone());
            let at = Some("2026-01-31 12:00:00.000".to_owned());
            let row = vec![
                text(0), text(1), text(2), text(3), at, text(4), text(5), text(6), Some(data), text(7), text(0),
            ];
            let columns = EVENT_COLUMNS.map(str::to_owned).to_vec();
            let found = events(Rows { columns, rows: vec![row.clone(), row] }).unwrap();
            let found = parsed(&events_csv(&found));
            prop_assert_eq!(found.len(), 3);
            for cells in &found[1..] {
                prop_assert_eq!(cells.len(), CSV_COLUMNS.len());
                // A number computes nothing.
                let is_formula = |cell: &&String| is_computed(cell) && cell.parse::<f64>().is_err();
                prop_assert_eq!(cells.iter().find(is_formula), None);
            }
        }
    }

    #[test]
    fn what_is_personal_is_left_out_at_any_depth() {
        let data = r#"{"personal":{"name":"x"},"a":[{"p\u0065rsonal":1,"b":{"taskToken":"t","c":1}}]}"#;
        assert_eq!(EventData::read(data).text(), r#"{"a":[{"b":{"c":1}}]}"#);
        let odd = EventData::read(r#"{"personal":"Ada","note":"\ud83d"}"#);
        assert!(matches!(&odd, EventData::Text(text) if text == r#"{"note":"\ud83d"}"#), "{odd:?}");
        assert!(matches!(EventData::read(r#"{"personal":"Ada""#), EventData::Nothing));
    }
}
