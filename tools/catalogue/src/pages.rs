//! The catalogue of events: a Markdown page for each, an index, and one HTML file that opens from disk.

use std::collections::BTreeMap;

use contracts::EventType;
use serde_json::{Map, Value};

use crate::compatibility::plain;
use crate::flow::Flow;
use crate::generated::schemas;
use crate::print::property_order;

/// The folder of the pages, by its path in the repository.
pub(crate) const FOLDER: &str = "docs/events";

const OUTSIDE: &str = "nobody in this repository: a carrier, or whoever speaks for one";
/// What lets the outside in, over HTTP. It makes up no event itself.
const DOOR: &str = "event-gateway";

macro_rules! add {
    ($text:expr, $($format:tt)*) => { $text.push_str(&format!($($format)*)) };
}

macro_rules! line {
    ($text:expr, $($format:tt)*) => {{ add!($text, $($format)*); $text.push('\n'); }};
}

struct Row {
    field: String,
    kind: String,
    rule: String,
    meaning: String,
}

/// Every page, by its path in the repository.
pub(crate) fn pages(flow: &Flow, samples: &BTreeMap<EventType, String>) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut index = "# The events\n\nMade by `cargo orderbus contracts write` of the contracts, the functions and the templates. \
        [index.html](index.html) has the same as one page with a picture, to be opened from disk.\n\n\
        | Event | What it means | Sent by | Heard by |\n|---|---|---|---|\n"
        .to_owned();
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        let heard_by: Vec<&str> =
            flow.listeners_of(*event_type).iter().map(|one| one.name.as_str()).collect();
        line!(
            index,
            "| [{name}]({name}.md) | {} | {} | {} |",
            event_type.meaning(),
            sent_by(flow, *event_type, "outside"),
            heard_by.join(", ")
        );
        pages.insert(format!("{FOLDER}/{name}.md"), page(*event_type, flow, samples));
    }
    pages.insert(format!("{FOLDER}/README.md"), index);
    pages.insert(format!("{FOLDER}/index.html"), html(flow, samples));
    pages
}

fn sent_by(flow: &Flow, event_type: EventType, outside: &str) -> String {
    match flow.senders_of(event_type) {
        senders if senders.is_empty() => outside.to_owned(),
        senders if senders == [DOOR] => format!("{outside}, through {DOOR}"),
        senders => senders.join(", "),
    }
}

fn page(event_type: EventType, flow: &Flow, samples: &BTreeMap<EventType, String>) -> String {
    let name = event_type.as_str();
    let mut page = format!(
        "# {name}\n\n{} {}\n\nSent by {}.\n\nHeard by:\n\n",
        event_type.meaning(),
        event_type.when(),
        sent_by(flow, event_type, OUTSIDE)
    );
    for listener in flow.listeners_of(event_type) {
        line!(page, "- {} (`{}` in `{}`)", listener.name, listener.rule, listener.template);
    }
    page.push_str("\n## Data\n\n| Field | Type | Rule | Meaning |\n|---|---|---|---|\n");
    for row in rows(event_type) {
        let rule = row.rule.replace('|', "\\|");
        line!(page, "| `{}` | {} | {rule} | {} |", row.field, row.kind, row.meaning);
    }
    add!(
        page,
        "\nThe whole event, envelope included, is in [the schema](../../events/schemas/{name}.json). Unknown fields are to be \
         ignored: an optional one may come at any time.\n\n## Sample\n\n```json\n{}```\n\n## Pattern to copy\n\n```yaml\n{}```\n",
        sample(event_type, samples),
        pattern(event_type)
    );
    page
}

fn sample(event_type: EventType, samples: &BTreeMap<EventType, String>) -> String {
    samples.get(&event_type).cloned().unwrap_or_default()
}

/// With the source, without which the bus lets no other account make a rule.
fn pattern(event_type: EventType) -> String {
    format!("EventPattern:\n  source: [{}]\n  detail-type: [{}]\n", event_type.source(), event_type.as_str())
}

fn rows(event_type: EventType) -> Vec<Row> {
    let schema = schemas().remove(event_type.as_str()).unwrap_or_default();
    let mut rows = Vec::new();
    add_rows("", &plain(&schema["properties"]["data"], &schema), &schema, &mut rows);
    rows
}

fn add_rows(path: &str, object: &Map<String, Value>, document: &Value, rows: &mut Vec<Row>) {
    let Some(Value::Object(properties)) = object.get("properties") else { return };
    let required = object.get("required").and_then(Value::as_array);
    for name in property_order(properties, object.get("required")) {
        let schema = plain(&properties[name], document);
        let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
        let field = format!("{path}{name}");
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            kind => kind.as_str().unwrap_or("any").to_owned(),
        };
        let mut rule = vec![if is_required { "required".to_owned() } else { "optional".to_owned() }];
        if schema.get("x-pii").is_some() {
            rule.push("**personal**".to_owned());
        }
        for (least, most, unit) in [
            ("minLength", "maxLength", " characters"),
            ("minimum", "maximum", ""),
            ("minItems", "maxItems", " entries"),
        ] {
            if let (Some(least), Some(most)) = (schema.get(least), schema.get(most)) {
                rule.push(if least == most {
                    format!("{most}{unit}")
                } else {
                    format!("{least} to {most}{unit}")
                });
            }
        }
        match (schema.get("pattern").and_then(Value::as_str), schema.get("format").and_then(Value::as_str)) {
            (_, Some(format)) => rule.push(format.to_owned()),
            (Some(pattern), None) if pattern.len() < 40 => rule.push(format!("`{pattern}`")),
            (Some(_), None) => rule.push("one line, not blank".to_owned()),
            (None, None) => {}
        }
        let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        rows.push(Row { field: field.clone(), kind, rule: rule.join(", "), meaning });
        add_rows(&format!("{field}."), &schema, document, rows);
        if let Some(items) = schema.get("items") {
            add_rows(&format!("{field}[]."), &plain(items, document), document, rows);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// HTML of a text, in which what stands between backticks is code.
fn as_code(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    });
    parts.collect()
}

fn html(flow: &Flow, samples: &BTreeMap<EventType, String>) -> String {
    let mut body = String::new();
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        let heard_by: Vec<&str> =
            flow.listeners_of(*event_type).iter().map(|one| one.name.as_str()).collect();
        let mut table = String::new();
        for row in rows(*event_type) {
            line!(
                table,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&row.field),
                escaped(&row.kind),
                as_code(&row.rule.replace("**", "")),
                as_code(&row.meaning)
            );
        }
        add!(
            body,
            "<section class=\"event\" id=\"{name}\"><h2>{name}</h2>\n<p>{} {}</p>\n<p>Sent by {}. Heard by {}.</p>\n\
             <table><thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Type</th><th scope=\"col\">Rule</th>\
             <th scope=\"col\">Meaning</th></tr></thead><tbody>\n{table}</tbody></table>\n\
             <details><summary>Sample</summary><pre>{}</pre></details>\n\
             <details><summary>Pattern to copy</summary><pre>{}</pre></details></section>\n",
            escaped(&event_type.meaning()),
            escaped(&event_type.when()),
            sent_by(flow, *event_type, OUTSIDE),
            heard_by.join(", "),
            escaped(&sample(*event_type, samples)),
            escaped(&pattern(*event_type))
        );
    }
    include_str!("catalogue.html").replace("<!--picture-->", &picture(flow)).replace("<!--events-->", &body)
}

/// Senders on the left, events in the middle, listeners on the right.
fn picture(flow: &Flow) -> String {
    const ROW: usize = 34;
    let senders_of = |one: EventType| match flow.senders_of(one) {
        none if none.is_empty() => vec!["outside"],
        some => some,
    };
    let (mut senders, mut listeners): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for event_type in EventType::ALL {
        let new =
            senders_of(*event_type).into_iter().filter(|name| !senders.contains(name)).collect::<Vec<_>>();
        senders.extend(new);
        for listener in flow.listeners_of(*event_type) {
            if !listeners.contains(&listener.name.as_str()) {
                listeners.push(&listener.name);
            }
        }
    }
    let height = EventType::ALL.len() * ROW + 20;
    let place = |index: usize, count: usize| (2 * index + 1) * (height - 20) / (2 * count.max(1)) + 10;
    let mut lines = String::new();
    let mut nodes = String::new();
    let mut node = |x: usize, width: usize, y: usize, name: &str, link: bool| {
        let text = format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"24\" rx=\"4\"/><text x=\"{}\" y=\"{}\">{name}</text>",
            y - 12,
            x + width / 2,
            y + 5
        );
        match link {
            true => line!(nodes, "<a href=\"#{name}\">{text}</a>"),
            false => line!(nodes, "<g>{text}</g>"),
        };
    };
    for (index, name) in senders.iter().enumerate() {
        node(5, 160, place(index, senders.len()), name, false);
    }
    for (index, name) in listeners.iter().enumerate() {
        node(795, 160, place(index, listeners.len()), name, false);
    }
    for (index, event_type) in EventType::ALL.iter().enumerate() {
        let y = place(index, EventType::ALL.len());
        node(330, 300, y, event_type.as_str(), true);
        let mut line = |from: (usize, usize), to: (usize, usize)| {
            let middle = usize::midpoint(from.0, to.0);
            line!(
                lines,
                "<path class=\"{}\" d=\"M{} {} C{middle} {} {middle} {} {} {}\"/>",
                event_type.source(),
                from.0,
                from.1,
                from.1,
                to.1,
                to.0,
                to.1
            );
        };
        for sender in senders_of(*event_type) {
            let at = senders.iter().position(|name| *name == sender).unwrap_or_default();
            line((165, place(at, senders.len())), (330, y));
        }
        for listener in flow.listeners_of(*event_type) {
            let at = listeners.iter().position(|name| *name == listener.name).unwrap_or_default();
            line((630, y), (795, place(at, listeners.len())));
        }
    }
    format!(
        "<svg viewBox=\"0 0 960 {height}\" role=\"img\" aria-labelledby=\"flow-title flow-text\">\
         <title id=\"flow-title\">The flow of the events</title>\
         <desc id=\"flow-text\">Senders on the left, events in the middle, listeners on the right. The same is said in words \
         at each event below.</desc>\n{lines}{nodes}</svg>"
    )
}
