use std::borrow::Cow;
use std::fmt;

use contracts::{Origin, format_timestamp, parse_timestamp, text_of_string};
use domain::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Row, TimeBounds};

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

/// How a message came to the lake: what no sender has an influence on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivery<'a> {
    /// The account of the bus, such as that of the queue which delivered the message. Without it every account counts as
    /// the bus's own.
    pub own_account: Option<&'a str>,
    /// When the queue took the message. Without it, the time that the envelope says counts for it.
    pub arrived_at: Option<Timestamp>,
}

impl Delivery<'_> {
    fn is_own(self, envelope: &Members<'_>) -> bool {
        Origin::of(envelope.text("account").as_deref(), self.own_account, None) == Origin::Own
    }
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
    /// The account that put it there, where the bus said so. Whoever puts it there again has another.
    pub account: Option<String>,
}

/// A row does not say what its event was.
#[derive(Debug, thiserror::Error)]
#[error("the row's extensions are not what was written")]
pub struct RestoreError(#[from] serde_json::Error);

/// What begins an entry of `resources` of an event that is replayed from the lake.
///
/// Any sender can write such an entry. So it counts only in an event of the bus's own account whose envelope says that
/// the bus took it at least a minute before it arrived here: a replay sends the event's first time along. In doubt the
/// archiver keeps the event: a second copy costs some bytes, a missing event is lost.
pub const REPLAY_RESOURCE: &str = "orderbus:replay/";

/// How long before it arrives an event was on the bus that the lake takes for a replayed one.
const REPLAYED_AFTER_MS_MIN: i64 = 60_000;

impl<'a> Message<'a> {
    /// Reads the body of a message.
    ///
    /// An event is an envelope of EventBridge's around anything. Is that a CloudEvent, then the event is known by the
    /// CloudEvent's id, else by EventBridge's.
    #[must_use]
    pub fn read(body: &'a str, delivery: Delivery<'_>) -> Self {
        let Ok(mut envelope) = serde_json::from_str::<Members<'a>>(body) else { return Self::Unreadable };
        // EventBridge alone writes `replay-name`: PutEvents has no such field.
        if envelope.get("replay-name").is_some() || is_replayed_from_the_lake(&envelope, delivery) {
            return Self::Replayed;
        }
        match row(&mut envelope, delivery) {
            Some(row) => Self::Event(Box::new(row)),
            None => Self::Unreadable,
        }
    }
}

/// The account that a row's `extensions` name.
pub(crate) fn account(extensions: &str) -> Option<String> {
    let extensions: Extensions<'_> = serde_json::from_str(extensions).ok()?;
    extensions.bus.text("account").map(Cow::into_owned)
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
        let resources = extensions.bus.get("resources").map(texts).unwrap_or_default();
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
            account: extensions.bus.text("account").map(Cow::into_owned),
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

fn is_replayed_from_the_lake(envelope: &Members<'_>, delivery: Delivery<'_>) -> bool {
    let resources = envelope.get("resources").map(texts).unwrap_or_default();
    let is_marked = resources.iter().any(|resource| resource.starts_with(REPLAY_RESOURCE));
    let was_there_before = || {
        let taken_at = parse_timestamp(&envelope.text("time")?)?;
        Some(taken_at.unix_ms().saturating_add(REPLAYED_AFTER_MS_MIN) <= delivery.arrived_at?.unix_ms())
    };
    is_marked && delivery.is_own(envelope) && was_there_before().unwrap_or(false)
}

/// The strings of a JSON array, whatever else is in it.
fn texts(array: &str) -> Vec<String> {
    let items: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    items.iter().filter_map(|item| text_of_string(item.get())).map(Cow::into_owned).collect()
}

fn row<'a>(envelope: &mut Members<'a>, delivery: Delivery<'_>) -> Option<Row<'a>> {
    let bus_id = envelope.take_text("id")?;
    let source = envelope.take_any_text("source")?;
    let event_type = envelope.take_any_text("detail-type")?;
    let detail = envelope.take("detail")?;
    let mut row = Row {
        event_type,
        time: Timestamp::from_unix_ms(0),
        id: bus_id.clone(),
        source,
        origin: None,
        ingested_at: Timestamp::from_unix_ms(0),
        bus_id,
        subject: None,
        correlation_id: None,
        causation_id: None,
        schema: None,
        traceparent: None,
        extensions: None,
        data: Cow::Borrowed(detail),
    };
    let mut event = cloud_event(&mut row, detail);
    let producer = event.as_ref().and_then(Rest::producer);
    let account = envelope.text("account");
    row.origin = match Origin::of(account.as_deref(), delivery.own_account, producer.as_deref()) {
        Origin::Own => None,
        origin => Some(Cow::Owned(origin.to_string())),
    };
    set_times(&mut row, envelope, event.as_mut().map(|event| &mut event.members), delivery.arrived_at)?;
    row.extensions = Some(Cow::Owned(extensions(envelope, event.as_ref())?));
    Some(row)
}

/// Fills the columns of times. What a column does not say to the letter stays among the members.
///
/// The envelope's time is a sender's choice as well: PutEvents takes one. So both have to be near the time at which the
/// queue took the message. `None` when there is no time at all.
fn set_times(
    row: &mut Row<'_>,
    envelope: &mut Members<'_>,
    event: Option<&mut Members<'_>>,
    arrived_at: Option<Timestamp>,
) -> Option<()> {
    let taken_at = parse_timestamp(&envelope.text("time")?);
    let bounds = TimeBounds::of(arrived_at.or(taken_at)?, row.origin.is_none())?;
    row.ingested_at = bounds.or_arrival(taken_at);
    if taken_at == Some(row.ingested_at) {
        envelope.take("time");
    }
    row.time = row.ingested_at;
    if let Some(event) = event
        && let Some(text) = event.text("time")
    {
        row.time = parse_timestamp(&text).filter(|at| bounds.contain(*at)).unwrap_or(row.ingested_at);
        if format_timestamp(row.time) == text {
            event.take("time");
        }
    }
    Some(())
}

/// What of a CloudEvent no column says: its other members, and which columns say what it did not.
struct Rest<'a> {
    members: Members<'a>,
    without: Vec<&'static str>,
}

impl Rest<'_> {
    /// Who handed it in, as event-gateway says. What is no name there is nobody's.
    fn producer(&self) -> Option<Cow<'_, str>> {
        let name = Origin::PRODUCER_EXTENSION;
        self.members.get(name).map(|_| self.members.text(name).unwrap_or_default())
    }
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
    if members.get("time").is_none() {
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

    /// Takes a string. What of it is no text becomes U+FFFD, and then the member stays as well, to the letter.
    fn take_any_text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        self.take_text(name).or_else(|| text_of_string(self.get(name)?))
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
