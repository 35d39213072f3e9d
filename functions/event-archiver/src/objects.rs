use std::collections::BTreeMap;
use std::error::Error;

use domain::Timestamp;
use lake::{Delivery, Hour, Partition, Row, encode};
use ports::LakeObject;
use serde_json::Value;

/// One message of a batch.
pub(crate) struct Message<'a> {
    /// Its place in the batch.
    pub(crate) index: usize,
    /// As it was delivered.
    pub(crate) body: &'a str,
    /// When it was sent to the queue: what is left to file it by when it says no time itself.
    pub(crate) sent_at: Option<Timestamp>,
    /// The account of the queue, which is that of the bus.
    pub(crate) own_account: Option<&'a str>,
}

/// A batch, sorted: one part for each object that it will be, and what needs none.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    /// How many were replayed, and are in the lake already.
    pub(crate) replayed: usize,
}

/// What will be one object, and the messages that are safe once it is written.
pub(crate) struct Part<'a> {
    partition: Partition,
    content: Content<'a>,
    pub(crate) indexes: Vec<usize>,
}

enum Content<'a> {
    Events(Vec<Row<'a>>),
    Undecodable(Vec<&'a str>),
}

/// The compression level of what is no event: 3, zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// Sorts a batch by the hour in which its events happened; what is no event, by the hour in which it was sent.
pub(crate) fn sort<'a>(messages: &[Message<'a>]) -> Sorted<'a> {
    let mut parts: BTreeMap<Partition, Part<'a>> = BTreeMap::new();
    let mut replayed = 0;
    for message in messages {
        let delivery = Delivery { own_account: message.own_account, arrived_at: message.sent_at };
        let (partition, row) = match lake::Message::read(message.body, delivery) {
            lake::Message::Replayed => {
                replayed += 1;
                continue;
            }
            lake::Message::Event(row) => {
                (Partition::Events(Hour::of(row.time).unwrap_or(Hour::FIRST)), Some(*row))
            }
            lake::Message::Unreadable => {
                let hour = message.sent_at.and_then(Hour::of);
                (Partition::Undecodable(hour.unwrap_or(Hour::FIRST)), None)
            }
        };
        let part = parts.entry(partition).or_insert_with(|| Part {
            partition,
            content: if row.is_some() { Content::Events(vec![]) } else { Content::Undecodable(vec![]) },
            indexes: vec![],
        });
        part.indexes.push(message.index);
        match (&mut part.content, row) {
            (Content::Events(rows), Some(row)) => rows.push(row),
            (Content::Undecodable(bodies), _) => bodies.push(message.body),
            (Content::Events(_), None) => {}
        }
    }
    Sorted { parts: parts.into_values().collect(), replayed }
}

impl Part<'_> {
    /// The object, which follows from its content alone: the same messages in any order are the same object.
    ///
    /// # Errors
    /// When rows cannot be encoded or zstd fails, which both do only for want of memory.
    pub(crate) fn into_object(self) -> Result<LakeObject, Box<dyn Error + Send + Sync>> {
        match self.content {
            Content::Events(rows) => {
                let body = encode(rows)?;
                Ok(LakeObject {
                    key: self.partition.key(&body),
                    body,
                    content_type: "application/vnd.apache.parquet",
                    content_encoding: None,
                })
            }
            Content::Undecodable(mut bodies) => {
                bodies.sort_unstable();
                bodies.dedup();
                // Kept as JSON strings, so that whatever they are, each is one line and can be read back to the letter.
                let lines = bodies.into_iter().map(|body| format!("{}\n", Value::from(body)));
                let content: String = lines.collect();
                let body = zstd::bulk::compress(content.as_bytes(), ZSTD_LEVEL)?;
                Ok(LakeObject {
                    key: self.partition.key(&body),
                    body,
                    content_type: "application/zstd",
                    content_encoding: None,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T13:00:00Z.
    const SENT_AT_MS: i64 = 1_769_864_400_000;

    fn envelope(id: &str, time: &str) -> String {
        format!(
            r#"{{"id":"bus-{id}","detail-type":"a.b.v1","source":"a","time":"2026-01-31T12:00:00Z","detail":{{"specversion":"1.0","id":"{id}","source":"a","type":"a.b.v1","time":"{time}"}}}}"#
        )
    }

    /// Of each object its key, the ids or lines in it, and the messages that it keeps.
    fn written(bodies: &[&str]) -> Vec<(String, Vec<String>, Vec<usize>)> {
        let sent_at = Some(Timestamp::from_unix_ms(SENT_AT_MS));
        let message = |(index, body)| Message { index, body, sent_at, own_account: None };
        let messages: Vec<_> = bodies.iter().copied().enumerate().map(message).collect();
        let read = |part: Part<'_>| {
            let indexes = part.indexes.clone();
            let LakeObject { key, body, .. } = part.into_object().unwrap();
            let content = if key.starts_with("events/") {
                let rows = lake::decode(&body.into()).unwrap();
                rows.into_iter().map(|row| row.id.into_owned()).collect()
            } else {
                let text = String::from_utf8(zstd::bulk::decompress(&body, 1 << 20).unwrap()).unwrap();
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
            };
            (key, content, indexes)
        };
        sort(&messages).parts.into_iter().map(read).collect()
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
        assert_eq!((&objects[0].1, &objects[1].1), (&vec!["a".to_owned()], &vec!["b".to_owned()]));
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
        assert!(objects[0].0.starts_with("undecodable/dt=2026-01-31/hour=13/"), "{}", objects[0].0);
        assert_eq!(objects[0].1, ["not\njson", "{}"]);
    }

    #[test]
    fn a_time_for_which_there_is_no_partition_is_not_followed() {
        for time in [
            "-000001-01-31T22:00:00Z",
            "0000-01-01T00:00:00Z",
            "2019-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
        ] {
            let odd = envelope("a", time);
            let object = &written(&[&odd])[0].0;
            assert!(object.starts_with("events/dt=2026-01-31/hour=12/"), "{time}: {object}");
        }
    }

    #[test]
    fn a_replayed_event_is_in_the_lake_already() {
        let replayed = envelope("a", "2026-01-31T22:00:00Z").replacen('{', r#"{"replay-name":"r","#, 1);
        let sent_at = None;
        let message = Message { index: 0, body: &replayed, sent_at, own_account: None };
        let sorted = sort(&[message]);
        assert_eq!((sorted.parts.len(), sorted.replayed), (0, 1));
    }
}
