//! One order's story, for people: what happened, because of what, and how long each step took.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use contracts::{Money, RecordedFact, parse_timestamp};
use domain::OrderView;
use serde::Deserialize;
use serde_json::Value;
use terminal::in_line;

/// The width that every line keeps to.
pub const COLUMNS: usize = 100;

/// What is known of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Which order.
    pub order_id: String,
    /// Where it stands.
    pub status: String,
    /// Every cause before its effects.
    pub events: Vec<Entry>,
}

/// One event of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The event's id.
    pub event_id: String,
    /// Its type, with the version.
    pub event_type: String,
    /// When it happened.
    pub at_unix_ms: i64,
    /// The id of the event that caused it.
    pub cause: Option<String>,
    /// What it says of the order.
    pub details: Value,
}

impl Account {
    /// From the answer of `GET /orders/{id}`.
    ///
    /// # Errors
    /// When it is not such an answer.
    pub fn from_answer(answer: &Value) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Order {
            order_id: String,
            status: String,
            history: Vec<Event>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Event {
            event_id: String,
            r#type: String,
            time: String,
            causation_id: Option<String>,
            #[serde(default)]
            data: Value,
        }

        let order =
            Order::deserialize(answer).context("GET /orders/{id} answered something else than an order")?;
        let entry = |event: Event| {
            let at = parse_timestamp(&event.time).with_context(|| format!("{} is not a time", event.time))?;
            Ok(Entry {
                event_id: event.event_id,
                event_type: event.r#type,
                at_unix_ms: at.unix_ms(),
                cause: event.causation_id,
                details: event.data,
            })
        };
        let events = order.history.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Self { order_id: order.order_id, status: order.status, events })
    }

    /// From the read model itself: the order's own facts, whether there is a signature, and as many of the facts from outside
    /// as are to be shown. `None` when there is none of our own.
    #[must_use]
    pub fn from_facts(
        order_id: &str,
        own: &[RecordedFact],
        has_signature: bool,
        outside: &[RecordedFact],
    ) -> Option<Self> {
        let facts = || own.iter().chain(outside);
        let mut view = OrderView::default();
        facts().for_each(|fact| view.add(fact.fact.clone()));
        if has_signature {
            view.note_signature();
        }
        let recorded: HashMap<_, _> = facts().map(|fact| (&fact.fact.identity, fact)).collect();
        let entries = view.history().into_iter().filter_map(|fact| {
            let recorded = recorded.get(&fact.identity)?;
            Some(Entry {
                event_id: fact.event_id.to_string(),
                event_type: recorded.event_type.as_str().to_owned(),
                at_unix_ms: fact.at.unix_ms(),
                cause: fact.caused_by.as_ref().map(ToString::to_string),
                details: recorded.details.clone(),
            })
        });
        let events: Vec<Entry> = entries.collect();
        let status = view.status().as_str().to_owned();
        (!own.is_empty()).then(|| Self { order_id: order_id.to_owned(), status, events })
    }

    /// Whether an event of this type happened.
    #[must_use]
    pub fn has(&self, event_type: &str) -> bool {
        self.events.iter().any(|event| event.event_type == event_type)
    }

    /// The events, one a line: milliseconds since the first, milliseconds since its cause, type, details.
    #[must_use]
    pub fn lines(&self) -> String {
        let first = self.events.first().map_or(0, |event| event.at_unix_ms);
        let times: HashMap<&str, i64> =
            self.events.iter().map(|event| (event.event_id.as_str(), event.at_unix_ms)).collect();
        let mut text = String::new();
        for event in &self.events {
            let at = event.at_unix_ms - first;
            let cause = event.cause.as_deref().and_then(|cause| times.get(cause));
            let after = cause.map_or_else(String::new, |cause| format!("{:+} ms", event.at_unix_ms - cause));
            let line =
                format!("{at:>10} ms {after:>10}  {:<34} {}", event.event_type, details(&event.details));
            text.push_str(fit(in_line(line.trim_end()).as_ref()).as_str());
            text.push('\n');
        }
        text
    }
}

/// At most [`COLUMNS`] characters of a line.
fn fit(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(COLUMNS - 1).collect();
    short.push('…');
    short
}

/// The few words of an event's details that a person wants.
pub(crate) fn details(details: &Value) -> String {
    let text = |name: &str| details.get(name).and_then(Value::as_str);
    if let Some(reasons) = details.get("reasons").and_then(Value::as_array) {
        let words = |reason: &Value| {
            let said = reason.get("message").or(reason.get("code")).unwrap_or(reason);
            said.as_str().unwrap_or_default().to_owned()
        };
        return reasons.iter().map(words).collect::<Vec<_>>().join("; ");
    }
    if let Some(shortages) = details.get("shortages").and_then(Value::as_array) {
        let words = |short: &Value| {
            let sku = short.get("sku").and_then(Value::as_str).unwrap_or_default();
            format!("{sku}: {} of {}", number(short, "available"), number(short, "requested"))
        };
        return shortages.iter().map(words).collect::<Vec<_>>().join("; ");
    }
    if let Some(lines) = details.get("lines").and_then(Value::as_array) {
        let total = details.get("total").map(money).unwrap_or_default();
        let plural = if lines.len() == 1 { "" } else { "s" };
        return format!("{} line{plural}, {total}", lines.len());
    }
    if let Some(amount) = details.get("amount") {
        return money(amount);
    }
    let known = ["reason", "carrier", "status", "location"];
    known.iter().filter_map(|name| text(name)).collect::<Vec<_>>().join(", ")
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// An amount with its currency's own number of decimals: `12.50 EUR`, `8800 JPY`, `1.250 KWD`.
fn money(value: &Value) -> String {
    let Some(money) = Money::deserialize(value).ok().and_then(|money| money.parse().ok()) else {
        return String::new();
    };
    let digits = usize::from(money.currency().minor_digits().unwrap_or(0));
    let padded = format!("{:0>width$}", money.amount_minor(), width = digits + 1);
    let (whole, part) = padded.split_at(padded.len() - digits);
    let mut text = whole.to_owned();
    if !part.is_empty() {
        text.push('.');
        text.push_str(part);
    }
    // Writing to a String cannot fail.
    write!(text, " {}", money.currency().code()).ok();
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "orderId": "o-1", "status": "rejected", "outcome": "rejected",
            "history": [
                {"eventId": "a", "type": "orders.order-placed.v1", "time": "2026-01-31T12:00:00.000Z",
                 "data": {"lines": [{}], "total": {"amountMinor": 1250, "currency": "EUR"}}},
                {"eventId": "b", "type": "inventory.stock-rejected.v1", "time": "2026-01-31T12:00:00.020Z",
                 "causationId": "a", "data": {"shortages": [{"sku": "MUG", "requested": 5, "available": 2}]}},
                {"eventId": "c", "type": "orders.order-rejected.v1", "time": "2026-01-31T12:00:00.031Z",
                 "causationId": "b", "data": {"reasons": [{"code": "out_of_stock", "message": "long ".repeat(30)}]}},
            ],
        })
    }

    #[test]
    fn every_event_shows_its_time_since_the_start_and_since_its_cause() {
        let lines = Account::from_answer(&answer()).unwrap().lines();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            "         0 ms             orders.order-placed.v1             1 line, 12.50 EUR"
        );
        assert_eq!(lines[1], "        20 ms     +20 ms  inventory.stock-rejected.v1        MUG: 2 of 5");
        assert!(lines[2].starts_with("        31 ms     +11 ms  orders.order-rejected.v1"), "{}", lines[2]);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let lines = Account::from_answer(&answer()).unwrap().lines();
        assert!(lines.lines().all(|line| line.chars().count() <= COLUMNS), "{lines}");
        assert!(lines.ends_with("…\n"));
    }

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        let shown = |minor: i64, currency: &str| money(&json!({"amountMinor": minor, "currency": currency}));
        assert_eq!(shown(5, "EUR"), "0.05 EUR");
        assert_eq!(shown(8800, "JPY"), "8800 JPY");
        assert_eq!(shown(12_500, "KWD"), "12.500 KWD");
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        assert!(Account::from_answer(&json!({"message": "Not Found"})).is_err());
    }
}
