//! What may change in a contract without a new version of it.
//!
//! Two views, and a change is compatible only when both hold:
//! - a **reader** that was built on the old schema goes on reading new events: what is written now is what it knows;
//! - an **event** of the old schema stays valid: what lies in queues, archives and the lake, and what producers send that
//!   were not deployed anew.
//!
//! Whatever widens a contract breaks readers, whatever narrows it breaks events. What remains is a new type, a new
//! optional field, and what does not bind anyone: descriptions, examples, titles.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// What a change does to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Compatible,
    /// Readers of the old version meet what they do not know.
    BreaksReaders,
    /// Events of the old version are no longer valid.
    BreaksEvents,
    /// Both.
    BreaksBoth,
}

impl Effect {
    /// Whether the change needs a new version.
    #[must_use]
    pub fn is_breaking(self) -> bool {
        self != Self::Compatible
    }

    /// For people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::BreaksReaders => "BREAKING for readers of the old version",
            Self::BreaksEvents => "BREAKING for events of the old version",
            Self::BreaksBoth => "BREAKING for readers and events of the old version",
        }
    }
}

/// One difference between two versions of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The event type.
    pub event_type: String,
    /// Where in the event, such as `data.lines[].sku`; empty for the event as a whole.
    pub path: String,
    /// What changed.
    pub what: String,
    /// What it does.
    pub effect: Effect,
}

/// What says nothing about which events are valid.
const ANNOTATIONS: [&str; 9] =
    ["$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "deprecated"];
const HANDLED: [&str; 9] =
    ["$ref", "anyOf", "type", "const", "enum", "required", "properties", "items", "additionalProperties"];
/// Bounds from below and from above.
const LOWER: [&str; 4] = ["minimum", "exclusiveMinimum", "minLength", "minItems"];
const UPPER: [&str; 4] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"];

/// Every difference between two catalogues of schemas, each by type.
#[must_use]
pub fn compare(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let whole = |what: &str, effect| Change {
            event_type: name.clone(),
            path: String::new(),
            what: what.to_owned(),
            effect,
        };
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => {
                let mut comparison = Comparison { event_type: name, old, new, changes: Vec::new(), depth: 0 };
                comparison.schemas("", old, new);
                changes.append(&mut comparison.changes);
            }
            (Some(_), None) => changes.push(whole("the type was removed", Effect::BreaksBoth)),
            _ => changes.push(whole("a new type", Effect::Compatible)),
        }
    }
    changes
}

struct Comparison<'a> {
    event_type: &'a str,
    old: &'a Value,
    new: &'a Value,
    changes: Vec<Change>,
    depth: usize,
}

impl Comparison<'_> {
    fn note(&mut self, path: &str, what: impl Into<String>, effect: Effect) {
        let (event_type, path) = (self.event_type.to_owned(), path.trim_start_matches('.').to_owned());
        self.changes.push(Change { event_type, path, what: what.into(), effect });
    }

    fn schemas(&mut self, path: &str, old: &Value, new: &Value) {
        // Contracts are trees; what refers to itself would never end.
        if self.depth > 64 {
            self.note(path, "nested too deep to be compared", Effect::BreaksBoth);
            return;
        }
        self.depth += 1;
        let (old, new) = (plain(old, self.old), plain(new, self.new));
        self.types(path, &old, &new);
        self.values(path, &old, &new);
        self.bounds(path, &old, &new);
        self.properties(path, &old, &new);
        match (old.get("items"), new.get("items")) {
            (Some(old), Some(new)) => self.schemas(&format!("{path}[]"), old, new),
            (None, Some(_)) => self.note(path, "the entries are narrowed", Effect::BreaksEvents),
            (Some(_), None) => self.note(path, "the entries may be anything", Effect::BreaksReaders),
            (None, None) => {}
        }
        self.others(path, &old, &new);
        self.depth -= 1;
    }

    fn types(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let (was, is) = (types_of(old), types_of(new));
        if was == is {
            return;
        }
        let show = |types: &BTreeSet<String>| match types.len() {
            0 => "anything".to_owned(),
            _ => types.iter().map(String::as_str).collect::<Vec<_>>().join(" or "),
        };
        let allows = |types: &BTreeSet<String>, one: &str| {
            types.is_empty() || types.contains(one) || (one == "integer" && types.contains("number"))
        };
        let keeps = |from: &BTreeSet<String>, to: &BTreeSet<String>| match from.is_empty() {
            true => to.is_empty(),
            false => from.iter().all(|one| allows(to, one)),
        };
        let effect = effect(!keeps(&is, &was), !keeps(&was, &is));
        self.note(path, format!("the type changed from {} to {}", show(&was), show(&is)), effect);
    }

    fn values(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        match (values_of(old), values_of(new)) {
            (Some(old), Some(new)) => {
                for gone in old.iter().filter(|value| !new.contains(value)) {
                    self.note(path, format!("{gone} is no longer allowed"), Effect::BreaksEvents);
                }
                for added in new.iter().filter(|value| !old.contains(value)) {
                    self.note(path, format!("{added} is allowed as well"), Effect::BreaksReaders);
                }
            }
            (None, Some(_)) => self.note(path, "only certain values are allowed", Effect::BreaksEvents),
            (Some(_), None) => self.note(path, "any value is allowed", Effect::BreaksReaders),
            (None, None) => {}
        }
    }

    fn bounds(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        for (names, narrows_upwards) in [(LOWER, true), (UPPER, false)] {
            for name in names {
                let (was, is) = (old.get(name), new.get(name));
                if was == is {
                    continue;
                }
                let narrower = match (was.and_then(Value::as_f64), is.and_then(Value::as_f64)) {
                    (Some(was), Some(is)) => (is > was) == narrows_upwards,
                    (was, _) => was.is_none(),
                };
                let show = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
                let what = format!("{name} changed from {} to {}", show(was), show(is));
                self.note(path, what, effect(!narrower, narrower));
            }
        }
    }

    fn properties(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let empty = Map::new();
        let of = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
        let (was, is) = (of(old).unwrap_or(empty.clone()), of(new).unwrap_or(empty));
        let (had_to, has_to) = (required_of(old), required_of(new));
        let added: Vec<&String> = is.keys().filter(|name| !was.contains_key(*name)).collect();
        for (name, schema) in &was {
            let at = format!("{path}.{name}");
            let Some(now) = is.get(name) else {
                let twin = added
                    .iter()
                    .find(|added| bare(&plain(&is[**added], self.new)) == bare(&plain(schema, self.old)));
                let what = match twin {
                    Some(twin) => format!("the field was removed, or renamed to {twin}"),
                    None => "the field was removed".to_owned(),
                };
                self.note(&at, what, Effect::BreaksReaders);
                continue;
            };
            match (had_to.contains(name), has_to.contains(name)) {
                (false, true) => self.note(&at, "the field was made required", Effect::BreaksEvents),
                (true, false) => self.note(&at, "the field was made optional", Effect::BreaksReaders),
                _ => {}
            }
            self.schemas(&at, schema, now);
        }
        for name in &added {
            let (what, effect) = match has_to.contains(*name) {
                true => ("a required field was added", Effect::BreaksEvents),
                false => ("an optional field was added", Effect::Compatible),
            };
            self.note(&format!("{path}.{name}"), what, effect);
        }
        for name in has_to.iter().filter(|name| !is.contains_key(*name) && !had_to.contains(*name)) {
            self.note(
                &format!("{path}.{name}"),
                "a field without a schema is required",
                Effect::BreaksEvents,
            );
        }
        let open = json!(true);
        let of = |schema: &Map<String, Value>| schema.get("additionalProperties").unwrap_or(&open).clone();
        match (of(old), of(new)) {
            (was, is) if was == is => {}
            (Value::Bool(true), _) => self.note(path, "unknown fields are refused", Effect::BreaksEvents),
            (_, Value::Bool(true)) => self.note(path, "unknown fields are allowed", Effect::BreaksReaders),
            _ => self.note(path, "what unknown fields may be changed", Effect::BreaksBoth),
        }
    }

    /// Patterns, formats, what is personal, and what nobody thought of: nobody can say what a change of these does.
    fn others(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let known = [&ANNOTATIONS[..], &HANDLED, &LOWER, &UPPER].concat();
            if known.contains(&name.as_str()) || old.get(name) == new.get(name) {
                continue;
            }
            let (what, effect) = match (old.get(name), new.get(name)) {
                _ if name == "x-pii" => {
                    ("changed: whoever keeps the event must know what is personal", Effect::BreaksReaders)
                }
                _ if name.starts_with("x-") => ("changed", Effect::Compatible),
                (None, _) => ("was added", Effect::BreaksEvents),
                (_, None) => ("was taken away", Effect::BreaksReaders),
                _ => ("changed", Effect::BreaksBoth),
            };
            self.note(path, format!("{name} {what}"), effect);
        }
    }
}

fn effect(breaks_readers: bool, breaks_events: bool) -> Effect {
    match (breaks_readers, breaks_events) {
        (false, false) => Effect::Compatible,
        (true, false) => Effect::BreaksReaders,
        (false, true) => Effect::BreaksEvents,
        (true, true) => Effect::BreaksBoth,
    }
}

/// A schema without references and without the two ways to write that something may be null.
pub(crate) fn plain(schema: &Value, document: &Value) -> Map<String, Value> {
    let mut plain = schema.as_object().cloned().unwrap_or_default();
    // Definitions refer to definitions, but never in a circle; a bound all the same.
    for _ in 0..16 {
        let Some(Value::String(reference)) = plain.remove("$ref") else { break };
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        for (name, value) in target.and_then(Value::as_object).into_iter().flatten() {
            plain.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if target.is_none() {
            plain.insert("unresolved".to_owned(), reference.into());
        }
    }
    let one_or_null = match plain.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one, null]) if *null == json!({"type": "null"}) => Some(one.clone()),
        Some([null, one]) if *null == json!({"type": "null"}) => Some(one.clone()),
        _ => None,
    };
    if let Some(one) = one_or_null {
        plain.remove("anyOf");
        let one = self::plain(&one, document);
        let mut types: Vec<Value> = types_of(&one).into_iter().map(Value::from).collect();
        types.push("null".into());
        for (name, value) in one {
            plain.entry(name).or_insert(value);
        }
        plain.insert("type".to_owned(), types.into());
    } else if let Some(Value::Array(options)) = plain.remove("anyOf") {
        // Compared as a whole, with all that they refer to.
        let options: Vec<Value> = options.iter().map(|option| self::plain(option, document).into()).collect();
        plain.insert("any of".to_owned(), options.into());
    }
    plain
}

/// What binds somebody.
fn bare(schema: &Map<String, Value>) -> Map<String, Value> {
    schema.clone().into_iter().filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str())).collect()
}

fn types_of(schema: &Map<String, Value>) -> BTreeSet<String> {
    match schema.get("type") {
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => BTreeSet::new(),
    }
}

fn values_of(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        _ => None,
    }
}

fn required_of(schema: &Map<String, Value>) -> BTreeSet<String> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
