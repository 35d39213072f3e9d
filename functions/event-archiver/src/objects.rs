use std::cell::RefCell;
use std::collections::BTreeMap;

use contracts::parse_timestamp;
use domain::Timestamp;
use ports::LakeObject;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

/// One message of a batch.
pub(crate) struct Message<'a> {
    /// Its place in the batch.
    pub(crate) index: usize,
    /// As it was delivered.
    pub(crate) body: &'a str,
    /// When it was sent to the queue: what is left to file it by when it says no time itself.
    pub(crate) sent_at: Timestamp,
}

/// An object to be written, and the messages that are safe once it is.
pub(crate) struct Batch {
    pub(crate) object: LakeObject,
    pub(crate) indexes: Vec<usize>,
}

/// The compression level: 3, zstd's own default.
const ZSTD_LEVEL: i32 = 3;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Event,
    Undecodable,
}

/// Sorts a batch into objects: one for each hour in which its events happened, and the same for what is no event.
///
/// # Errors
/// When zstd fails, which it does only for want of memory.
pub(crate) fn objects(messages: &[Message<'_>]) -> std::io::Result<Vec<Batch>> {
    let mut partitions: BTreeMap<(Kind, i64), Vec<(String, usize)>> = BTreeMap::new();
    for message in messages {
        let (kind, at, line) = line_of(message);
        partitions.entry((kind, hour_of(at))).or_default().push((line, message.index));
    }
    partitions.into_iter().map(|((kind, hour), lines)| batch(&kind, hour, lines)).collect()
}

fn batch(kind: &Kind, hour: i64, mut lines: Vec<(String, usize)>) -> std::io::Result<Batch> {
    lines.sort();
    let indexes = lines.iter().map(|(_, index)| *index).collect();
    // A message that is in the batch twice is one line.
    lines.dedup_by(|(later, _), (earlier, _)| later == earlier);
    let mut content = String::with_capacity(lines.iter().map(|(line, _)| line.len() + 1).sum());
    for (line, _) in &lines {
        content.push_str(line);
        content.push('\n');
    }
    let folder = match kind {
        Kind::Event => "events",
        Kind::Undecodable => "undecodable",
    };
    let hash = Sha256::digest(content.as_bytes());
    let hash: String = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
    let start = contracts::format_timestamp(Timestamp::from_unix_ms(hour * MS_PER_HOUR));
    let (date, hour) = (&start[..10], &start[11..13]);
    Ok(Batch {
        object: LakeObject {
            key: format!("{folder}/dt={date}/hour={hour}/{hash}.jsonl.zst"),
            body: compress(content.as_bytes())?,
            content_type: "application/zstd",
            content_encoding: None,
        },
        indexes,
    })
}

fn hex_digit(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or_default()
}

thread_local! {
    /// Made once a thread: its tables take longer to set up than a small object takes to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(content: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Some(compressor) => compressor.compress(content),
        None => compressor.insert(Compressor::new(ZSTD_LEVEL)?).compress(content),
    })
}

const MS_PER_HOUR: i64 = 3_600_000;
/// The hours that a partition can name: the years 1970 to 9999. An event that claims another time is filed by when it
/// was sent.
const HOURS: std::ops::Range<i64> = 0..70_389_528;

fn hour_of(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(MS_PER_HOUR)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "detail-type", borrow)]
    _detail_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    time: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    detail: Detail<'a>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    time: Option<std::borrow::Cow<'a, str>>,
}

/// What a message is, when it happened, and the line that keeps it.
fn line_of(message: &Message<'_>) -> (Kind, Timestamp, String) {
    let happened_at = serde_json::from_str::<Envelope<'_>>(message.body).ok().and_then(|envelope| {
        let own = envelope.detail.time.as_deref().and_then(parse_timestamp);
        own.or_else(|| parse_timestamp(&envelope.time)).filter(|at| HOURS.contains(&hour_of(*at)))
    });
    match happened_at {
        Some(at) => (Kind::Event, at, on_one_line(message.body)),
        None => {
            let at = Some(message.sent_at).filter(|at| HOURS.contains(&hour_of(*at)));
            let at = at.unwrap_or(Timestamp::from_unix_ms(0));
            // Kept as a JSON string, so that whatever it is, it is one line and can be read back to the letter.
            (Kind::Undecodable, at, Value::from(message.body).to_string())
        }
    }
}

/// EventBridge writes an event on one line. Whoever else puts one in the queue may not.
fn on_one_line(body: &str) -> String {
    if body.contains(['\n', '\r']) {
        serde_json::from_str::<Value>(body).map_or_else(|_| body.to_owned(), |value| value.to_string())
    } else {
        body.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(id: &str, time: &str) -> String {
        format!(
            r#"{{"detail-type":"orders.order-placed.v1","time":"2026-01-31T12:00:00Z","detail":{{"id":"{id}","time":"{time}"}}}}"#
        )
    }

    fn written(bodies: &[&str]) -> Vec<(String, String, Vec<usize>)> {
        let message = |(index, body): (usize, &&'static str)| Message {
            index,
            body,
            sent_at: Timestamp::from_unix_ms(MS_PER_HOUR),
        };
        let bodies: Vec<&'static str> =
            bodies.iter().map(|body| &*String::leak((*body).to_owned())).collect();
        let messages: Vec<_> = bodies.iter().enumerate().map(message).collect();
        let read = |batch: Batch| {
            let content = zstd::bulk::decompress(&batch.object.body, 1 << 20).unwrap();
            (batch.object.key, String::from_utf8(content).unwrap(), batch.indexes)
        };
        objects(&messages).unwrap().into_iter().map(read).collect()
    }

    #[test]
    fn an_event_is_filed_by_the_hour_in_which_it_happened() {
        let (late, early) =
            (envelope("b", "2026-01-31T23:59:59.999Z"), envelope("a", "2026-01-31T22:59:00Z"));
        let objects = written(&[&late, &early]);
        assert_eq!(objects.len(), 2);
        assert!(objects[0].0.starts_with("events/dt=2026-01-31/hour=22/"), "{}", objects[0].0);
        assert!(objects[1].0.starts_with("events/dt=2026-01-31/hour=23/"), "{}", objects[1].0);
        assert_eq!((&objects[0].2, &objects[1].2), (&vec![1], &vec![0]));
        assert_eq!(objects[1].1, format!("{late}\n"));
    }

    #[test]
    fn the_same_messages_in_any_order_are_the_same_object() {
        let (a, b) = (envelope("a", "2026-01-31T22:00:00Z"), envelope("b", "2026-01-31T22:00:01Z"));
        assert_eq!(written(&[&a, &b])[0].0, written(&[&b, &a, &b])[0].0);
        assert_ne!(written(&[&a, &b])[0].0, written(&[&a])[0].0);
    }

    #[test]
    fn what_is_no_event_is_kept_as_it_is() {
        let objects = written(&["not\njson", "{}"]);
        assert_eq!(objects.len(), 1);
        assert!(objects[0].0.starts_with("undecodable/dt=1970-01-01/hour=01/"), "{}", objects[0].0);
        let lines: Vec<String> =
            objects[0].1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, ["not\njson", "{}"]);
    }

    #[test]
    fn an_event_spread_over_lines_is_kept_on_one() {
        let pretty = envelope("a", "2026-01-31T22:00:00Z").replace(',', ",\n");
        assert_eq!(written(&[&pretty])[0].1.lines().count(), 1);
    }

    #[test]
    fn a_time_that_no_partition_can_name_is_not_followed() {
        let odd = envelope("a", "-000001-01-31T22:00:00Z");
        let object = &written(&[&odd])[0].0;
        assert!(
            object.starts_with("events/dt=2026-01-31/") || object.starts_with("undecodable/"),
            "{object}"
        );
    }
}
