use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::{Reason, format_timestamp, parse_timestamp};
use domain::Timestamp;
use ports::{Clock, Parameter};
use sha2::{Digest, Sha256};

use crate::days::day_of;
use crate::run_query::{Question, hex};

/// The statement of `GET /lake/events`.
pub(crate) const EVENTS: &str = include_str!("statements/events.sql");
/// The statement of `GET /lake/orders/{id}`.
pub(crate) const ORDER: &str = include_str!("statements/order.sql");
/// The columns of both.
pub const EVENT_COLUMNS: [&str; 11] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "correlation_id",
    "causation_id",
    "schema",
    "data",
    "origin",
    "bus_id",
];

const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 1_000;
const WINDOW_MS_DEFAULT: i64 = 24 * 3_600_000;
const WINDOW_MS_MAX: i64 = 31 * 24 * 3_600_000;
/// Without an end a window ends with the current minute, so that callers at the same time ask the same.
const END_MS: i64 = 60_000;
const NAME_LENGTH_MAX: usize = 128;
const CURSOR_LENGTH_MAX: usize = 2_800;
/// How much of an id a cursor carries, in characters: as a literal, each may be two, and Athena takes 1,024.
const ID_LENGTH_MAX: usize = 500;
/// 2020-01-01: before this there was no lake.
const EARLIEST_MS: i64 = 1_577_836_800_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// How much of the hash a cursor carries, in characters.
const CHECK_LENGTH: usize = 16;

/// Which events are asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventFilter {
    from: Timestamp,
    to: Timestamp,
    event_type: String,
    source: String,
    subject: String,
    limit: i64,
    after: Option<Place>,
}

/// A place in the sequence of events. The id is EventBridge's: that of the event is any sender's choice, so that two events
/// may have it, and the second would lie behind no cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
}

impl Place {
    /// The place of an event. An id that is too long is cut, and ends in the last of all characters: whatever begins alike in
    /// the same millisecond lies before it.
    pub(crate) fn of(at: Timestamp, id: &str) -> Self {
        let id = match id.char_indices().nth(ID_LENGTH_MAX) {
            None => id.to_owned(),
            Some(_) => id.chars().take(ID_LENGTH_MAX - 1).chain([char::MAX]).collect(),
        };
        Self { at, id }
    }
}

/// The parameters that `GET /lake/events` has.
pub(crate) const EVENT_PARAMETERS: [&str; 8] =
    ["type", "source", "subject", "from", "to", "limit", "cursor", "format"];

impl EventFilter {
    /// Checks everything, and tells all that is wrong.
    pub(crate) fn parse(parameters: &BTreeMap<&str, &str>, clock: &impl Clock) -> Result<Self, Vec<Reason>> {
        let mut wrong = Vec::new();
        let mut name = |field: &'static str| {
            let text = parameters.get(field).copied();
            text.map_or_else(String::new, |text| {
                if !is_name(text) {
                    wrong.push(reason(
                        field,
                        format!("must be 1 to {NAME_LENGTH_MAX} letters, digits, '-', '_', '.', ':' and '/', a letter or digit first"),
                    ));
                }
                text.to_owned()
            })
        };
        let (event_type, source, subject) = (name("type"), name("source"), name("subject"));
        let now = clock.now().unix_ms();
        let mut instant = |field: &'static str| {
            let text = parameters.get(field)?;
            let at = read_instant(text);
            if at.is_none_or(|at| !(EARLIEST_MS..=now + DAY_MS).contains(&at.unix_ms())) {
                wrong.push(reason(
                    field,
                    "must be an instant such as 2026-01-31T12:00:00Z, or a day, from 2020 to tomorrow"
                        .to_owned(),
                ));
            }
            at.map(Timestamp::unix_ms)
        };
        let (from, to) = (instant("from"), instant("to"));
        let to = to.unwrap_or_else(|| {
            from.map_or(now, |from| now.min(from.saturating_add(WINDOW_MS_MAX - END_MS))).div_euclid(END_MS)
                * END_MS
                + END_MS
        });
        let from = from.unwrap_or_else(|| to.saturating_sub(WINDOW_MS_DEFAULT));
        if from >= to {
            wrong.push(reason("from", "must be before to".to_owned()));
        } else if to.saturating_sub(from) > WINDOW_MS_MAX {
            wrong.push(reason("from", "must be within 31 days of to".to_owned()));
        }
        let limit = match parameters.get("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => read_limit(text).unwrap_or_else(|| {
                wrong.push(reason("limit", format!("must be 1 to {LIMIT_MAX}")));
                LIMIT_DEFAULT
            }),
        };
        let (from, to) = (Timestamp::from_unix_ms(from), Timestamp::from_unix_ms(to));
        let mut filter = Self { from, to, event_type, source, subject, limit, after: None };
        if let Some(cursor) = parameters.get("cursor") {
            filter.after = filter.read_cursor(cursor);
            if filter.after.is_none() {
                wrong.push(reason(
                    "cursor",
                    "must be the nextCursor of an answer to the same question, with the same from and to"
                        .to_owned(),
                ));
            }
        }
        if wrong.is_empty() { Ok(filter) } else { Err(wrong) }
    }

    /// From the values that were sent for it. `None` when they are not such.
    pub(crate) fn of(values: &[Parameter], clock: &impl Clock) -> Option<Self> {
        use Parameter::{Instant, Number, Text};
        let [
            Text(_),
            Text(_),
            Instant(to),
            Instant(after),
            _,
            Text(id),
            Text(event_type),
            Text(source),
            Text(subject),
            Number(rows),
        ] = values
        else {
            return None;
        };
        // The window may have begun earlier, which its next page need not know: what is before the cursor is seen.
        let place = Place { at: *after, id: id.clone() };
        let filter = Self {
            from: *after,
            to: *to,
            event_type: event_type.clone(),
            source: source.clone(),
            subject: subject.clone(),
            limit: rows.checked_sub(1)?,
            after: (!id.is_empty()).then_some(place),
        };
        let is_sent = filter.question(clock).parameters == values && (1..=LIMIT_MAX).contains(&filter.limit);
        is_sent.then_some(filter)
    }

    /// One row more than was asked for tells whether there is a next page.
    pub(crate) fn question(&self, clock: &impl Clock) -> Question {
        let start = Place { at: self.from, id: String::new() };
        let after = self.after.as_ref().unwrap_or(&start);
        let last = Timestamp::from_unix_ms(self.to.unix_ms() - 1);
        let text = |text: &str| Parameter::Text(text.to_owned());
        Question {
            statement: EVENTS,
            parameters: vec![
                text(&day_of(after.at).to_string()),
                text(&day_of(last).to_string()),
                Parameter::Instant(self.to),
                Parameter::Instant(after.at),
                Parameter::Instant(after.at),
                text(&after.id),
                text(&self.event_type),
                text(&self.source),
                text(&self.subject),
                Parameter::Number(self.limit + 1),
            ],
            is_closed: self.to.unix_ms() + 2 * DAY_MS < clock.now().unix_ms(),
            rows_max: usize::try_from(self.limit + 1).unwrap_or(usize::MAX),
        }
    }

    /// How many rows are on a page.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The query string of the page after this place.
    pub(crate) fn next(&self, place: &Place) -> Vec<(&'static str, String)> {
        let mut next = vec![("from", format_timestamp(self.from)), ("to", format_timestamp(self.to))];
        let filters = [("type", &self.event_type), ("source", &self.source), ("subject", &self.subject)];
        next.extend(
            filters.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.clone())),
        );
        next.push(("limit", self.limit.to_string()));
        next.push(("cursor", self.cursor(place)));
        next
    }

    fn cursor(&self, place: &Place) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{}.{}", self.check(place), place.at.unix_ms(), place.id))
    }

    /// `None` for what is not a cursor into this very sequence. That is no secret: a cursor is data of the caller, and
    /// checked and bound like all of it.
    fn read_cursor(&self, cursor: &str) -> Option<Place> {
        if cursor.len() > CURSOR_LENGTH_MAX {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (check, place) = text.split_at_checked(CHECK_LENGTH)?;
        let (at, id) = place.split_once('.')?;
        let at: i64 = at.parse().ok()?;
        let place = Place { at: Timestamp::from_unix_ms(at), id: id.to_owned() };
        let is_within = (self.from.unix_ms()..self.to.unix_ms()).contains(&at);
        (is_within && place.id.chars().count() <= ID_LENGTH_MAX && self.check(&place) == check)
            .then_some(place)
    }

    fn check(&self, place: &Place) -> String {
        let identity = (
            (self.from.unix_ms(), self.to.unix_ms()),
            (&self.event_type, &self.source, &self.subject),
            (place.at.unix_ms(), &place.id),
        );
        let mut check = hex(&Sha256::digest(format!("lake-events {identity:?}")));
        check.truncate(CHECK_LENGTH);
        check
    }
}

fn reason(field: &'static str, message: String) -> Reason {
    Reason { code: "invalid_parameter".to_owned(), field: Some(field.to_owned()), message }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins_well && text.len() <= NAME_LENGTH_MAX && text.bytes().all(allowed)
}

fn read_limit(text: &str) -> Option<i64> {
    let is_plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten().filter(|limit| (1..=LIMIT_MAX).contains(limit))
}

fn read_instant(text: &str) -> Option<Timestamp> {
    let is_plain =
        text.len() <= 35 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte));
    let at =
        if text.len() == 10 { parse_timestamp(&format!("{text}T00:00:00Z")) } else { parse_timestamp(text) };
    at.filter(|_| is_plain)
}
