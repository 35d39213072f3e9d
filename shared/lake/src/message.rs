use std::borrow::Cow;
use std::fmt;

use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Hour, Row};

/// What a message from the bus is to the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// An event to be kept.
    Event(Box<Row<'a>>),
    /// An event that was replayed, from EventBridge's archive or from the lake: it is kept already.
    Replayed,
    /// No envelope of EventBridge's.
    Unreadable,
}

/// An event as it is put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusEntry {
    /// `Source`.
    pub source: String,
    /// `DetailType`.
    pub detail_type: String,
    /// `Detail`: JSON.
    pub detail: String,
    /// `Resources`, as the event had them.
    pub resources: Vec<String>,
    /// `Time`, when the bus took it for the first time.
    pub time: Timestamp,
}

/// A row does not say what its event was.
#[derive(Debug, thiserror::Error)]
#[error("the row's extensions are not what was written")]
pub struct RestoreError(#[from] serde_json::Error);

/// What begins an entry of `resources` of an event that is replayed from the lake.
pub const REPLAY_RESOURCE: &str = "orderbus:replay/";

impl<'a> Message<'a> {
    /// Reads the body of a message.
    ///
    /// An event is an envelope of EventBridge's around anything. Is that a CloudEvent, then the event is known by the
    /// CloudEvent's id, else by EventBridge's.
    #[must_use]
    pub fn read(body: &'a str) -> Self {
        let Ok(mut envelope) = serde_json::from_str::<Members<'a>>(body) else { return Self::Unreadable };
        if envelope.get("replay-name").is_some() || is_replayed_from_the_lake(&envelope) {
            return Self::Replayed;
        }
        match row(&mut envelope) {
            Some(row) => Self::Event(Box::new(row)),
            None => Self::Unreadable,
        }
    }
}

impl Row<'_> {
    /// The event as it was on the bus, to be put there again. A CloudEvent's members come in the order in which this
    /// project writes them, so that its own events are the same to the letter.
    ///
    /// # Errors
    /// [`RestoreError`] when this row was not written by this crate.
    pub fn to_bus_entry(&self) -> Result<BusEntry, RestoreError> {
        let extensions: Extensions<'_> = match &self.extensions {
            Some(extensions) => serde_json::from_str(extensions)?,
            None => Extensions::default(),
        };
        let resources = match extensions.bus.get("resources") {
            Some(resources) => serde_json::from_str(resources)?,
            None => Vec::new(),
        };
        let detail = match &extensions.event {
            Some(members) => self.cloud_event(members, &extensions.without)?,
            None => self.data.clone().into_owned(),
        };
        Ok(BusEntry {
            source: self.source.clone().into_owned(),
            detail_type: self.event_type.clone().into_owned(),
            detail,
            resources,
            time: self.ingested_at,
        })
    }

    fn cloud_event(&self, rest: &Members<'_>, without: &[Text<'_>]) -> Result<String, serde_json::Error> {
        const FIRST: [&str; 11] = [
            "specversion",
            "id",
            "source",
            "type",
            "subject",
            "time",
            "datacontenttype",
            "dataschema",
            "correlationid",
            "causationid",
            "traceparent",
        ];
        let is_there = |name: &str| without.iter().all(|Text(absent)| absent != name);
        let mut json = JsonObject::new(self.data.len() + 512);
        for name in FIRST.into_iter().filter(|name| is_there(name)) {
            let column = match name {
                "id" => Some(Cow::Borrowed(&*self.id)),
                "source" => Some(Cow::Borrowed(&*self.source)),
                "type" => Some(Cow::Borrowed(&*self.event_type)),
                "subject" => self.subject.as_deref().map(Cow::Borrowed),
                "time" => Some(Cow::Owned(format_timestamp(self.time))),
                "dataschema" => self.schema.as_deref().map(Cow::Borrowed),
                "correlationid" => self.correlation_id.as_deref().map(Cow::Borrowed),
                "causationid" => self.causation_id.as_deref().map(Cow::Borrowed),
                "traceparent" => self.traceparent.as_deref().map(Cow::Borrowed),
                _ => None,
            };
            // What a column could not say to the letter stands among the rest.
            match (rest.get(name), column) {
                (Some(raw), _) => json.raw(name, raw)?,
                (None, Some(text)) => json.raw(name, &serde_json::to_string(&text)?)?,
                (None, None) => {}
            }
        }
        for (name, raw) in rest.0.iter().filter(|(name, _)| !FIRST.contains(&&**name)) {
            json.raw(name, raw)?;
        }
        if is_there("data") {
            json.raw("data", &self.data)?;
        }
        Ok(json.finish())
    }
}

fn is_replayed_from_the_lake(envelope: &Members<'_>) -> bool {
    let resources = envelope.get("resources").and_then(|raw| serde_json::from_str::<Vec<Text<'_>>>(raw).ok());
    resources
        .is_some_and(|resources| resources.iter().any(|resource| resource.0.starts_with(REPLAY_RESOURCE)))
}

fn row<'a>(envelope: &mut Members<'a>) -> Option<Row<'a>> {
    let bus_id = envelope.take_text("id")?;
    let source = envelope.take_text("source")?;
    let event_type = envelope.take_text("detail-type")?;
    let ingested_at = namable(&envelope.take_text("time")?)?;
    let detail = envelope.take("detail")?;
    let mut row = Row {
        event_type,
        time: ingested_at,
        id: bus_id.clone(),
        source,
        ingested_at,
        bus_id,
        subject: None,
        correlation_id: None,
        causation_id: None,
        schema: None,
        traceparent: None,
        extensions: None,
        data: Cow::Borrowed(detail),
    };
    let event = cloud_event(&mut row, detail);
    row.extensions = Some(Cow::Owned(extensions(envelope, event.as_ref())?));
    Some(row)
}

/// What of a CloudEvent no column says: its other members, and which columns say what it did not.
struct Rest<'a> {
    members: Members<'a>,
    without: Vec<&'static str>,
}

/// Fills the columns from a CloudEvent; `None` when it is none.
fn cloud_event<'a>(row: &mut Row<'a>, detail: &'a str) -> Option<Rest<'a>> {
    let mut members = serde_json::from_str::<Members<'a>>(detail).ok()?;
    let is_one = ["specversion", "id", "source", "type"]
        .iter()
        .all(|name| members.text(name).is_some_and(|text| !text.is_empty()));
    if !is_one {
        return None;
    }
    row.id = members.take_text("id")?;
    for (name, column) in [("source", &row.source), ("type", &row.event_type)] {
        if members.text(name).as_ref() == Some(column) {
            members.take(name);
        }
    }
    let mut without = Vec::new();
    if let Some(text) = members.text("time") {
        row.time = namable(&text).unwrap_or(row.ingested_at);
        if format_timestamp(row.time) == text {
            members.take("time");
        }
    } else if members.get("time").is_none() {
        without.push("time");
    }
    row.subject = members.take_text("subject");
    row.correlation_id = members.take_text("correlationid");
    row.causation_id = members.take_text("causationid");
    row.schema = members.take_text("dataschema");
    row.traceparent = members.take_text("traceparent");
    row.data = Cow::Borrowed(members.take("data").unwrap_or_else(|| {
        without.push("data");
        "null"
    }));
    Some(Rest { members, without })
}

/// An instant that a partition can name.
fn namable(text: &str) -> Option<Timestamp> {
    parse_timestamp(text).filter(|at| Hour::of(*at).is_some())
}

/// `{"bus":{…},"event":{…},"without":[…]}`: the other members of the envelope and of the CloudEvent, sorted by name, so
/// that events which differ in their columns alone share one value.
fn extensions(envelope: &mut Members<'_>, event: Option<&Rest<'_>>) -> Option<String> {
    let mut json = JsonObject::new(192);
    json.raw("bus", &envelope.to_json()?).ok()?;
    if let Some(Rest { members, without }) = event {
        json.raw("event", &members.to_json()?).ok()?;
        if !without.is_empty() {
            json.raw("without", &serde_json::to_string(without).ok()?).ok()?;
        }
    }
    Some(json.finish())
}

#[derive(Default, Deserialize)]
struct Extensions<'a> {
    #[serde(borrow, default)]
    bus: Members<'a>,
    #[serde(borrow)]
    event: Option<Members<'a>>,
    #[serde(borrow, default)]
    without: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a JSON object, their values as they were written. Of a name that comes twice, the last counts.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        serde_json::from_str::<Text<'a>>(self.get(name)?).ok().map(|text| text.0)
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let value = self.get(name);
        self.0.retain(|(member, _)| member != name);
        value
    }

    /// Takes a string; what is none stays.
    fn take_text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let text = self.text(name)?;
        self.take(name);
        Some(text)
    }

    fn to_json(&self) -> Option<String> {
        let mut members: Vec<&(Cow<'_, str>, &str)> = self.0.iter().collect();
        // Stable, so that of a name that comes twice the last stays the last.
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut json = JsonObject::new(128);
        for (name, value) in members {
            json.raw(name, value).ok()?;
        }
        Some(json.finish())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name.0, value.get()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Writes a JSON object of values that are JSON already.
struct JsonObject(String);

impl JsonObject {
    fn new(capacity: usize) -> Self {
        let mut json = String::with_capacity(capacity);
        json.push('{');
        Self(json)
    }

    fn raw(&mut self, name: &str, value: &str) -> Result<(), serde_json::Error> {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&serde_json::to_string(name)?);
        self.0.push(':');
        self.0.push_str(value);
        Ok(())
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
