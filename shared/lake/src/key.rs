use std::fmt::{self, Write as _};

use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;
use sha2::{Digest, Sha256};

/// An hour of UTC that a partition can name: of the years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

const MS_PER_HOUR: i64 = 3_600_000;
const HOURS: std::ops::Range<i64> = 0..70_389_528;

impl Hour {
    /// The first that there is.
    pub const FIRST: Self = Self(0);

    /// The hour of an instant; `None` when no partition can name it.
    #[must_use]
    pub fn of(at: Timestamp) -> Option<Self> {
        let hour = at.unix_ms().div_euclid(MS_PER_HOUR);
        HOURS.contains(&hour).then_some(Self(hour))
    }

    /// When it begins.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0 * MS_PER_HOUR)
    }

    /// When it is over, which is when the next one begins.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0 + 1) * MS_PER_HOUR)
    }

    /// The day, as in `2026-01-31`.
    #[must_use]
    pub fn date(self) -> String {
        let mut text = format_timestamp(self.start());
        text.truncate(10);
        text
    }

    /// Reads `dt=2026-01-31/hour=12` from the start of a text.
    fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.strip_prefix("dt=")?.split_at_checked(10)?;
        let hour = rest.strip_prefix("/hour=")?.get(..2)?;
        let hour = Self::of(parse_timestamp(&format!("{date}T{hour}:00:00Z"))?)?;
        text.starts_with(&hour.to_string()).then_some(hour)
    }
}

/// As in a key: `dt=2026-01-31/hour=12`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = format_timestamp(self.start());
        write!(f, "dt={}/hour={}", &start[..10], &start[11..13])
    }
}

/// A folder of the lake, and what its objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// Parquet: the events that happened in this hour.
    Events(Hour),
    /// JSON Lines, packed with zstd: messages that could not be read as events, sent in this hour.
    Undecodable(Hour),
    /// JSON: what was folded into what.
    Compaction(Hour),
}

impl Partition {
    /// What every key begins with, to the last slash.
    #[must_use]
    pub fn prefix(self) -> String {
        let (folder, hour) = match self {
            Self::Events(hour) => ("events", hour),
            Self::Undecodable(hour) => ("undecodable", hour),
            Self::Compaction(hour) => ("compaction", hour),
        };
        format!("{folder}/{hour}/")
    }

    /// The key of an object, which its bytes decide.
    #[must_use]
    pub fn key(self, object: &[u8]) -> String {
        let extension = match self {
            Self::Events(_) => "parquet",
            Self::Undecodable(_) => "jsonl.zst",
            Self::Compaction(_) => "json",
        };
        format!("{}{}.{extension}", self.prefix(), content_hash(object))
    }

    /// Where an object lies; `None` when it is none of the lake's.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let (folder, rest) = key.split_once('/')?;
        let hour = Hour::parse(rest)?;
        let partition = match folder {
            "events" => Self::Events(hour),
            "undecodable" => Self::Undecodable(hour),
            "compaction" => Self::Compaction(hour),
            _ => return None,
        };
        key.starts_with(&partition.prefix()).then_some(partition)
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn content_hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Hour {
        Hour::of(parse_timestamp(text).unwrap()).unwrap()
    }

    #[test]
    fn an_instant_belongs_to_the_hour_that_it_is_in() {
        assert_eq!(hour("2026-01-31T22:59:59.999Z").to_string(), "dt=2026-01-31/hour=22");
        assert_eq!(hour("2026-02-01T01:00:00+02:00").to_string(), "dt=2026-01-31/hour=23");
        assert_eq!(hour("2026-01-31T22:00:00Z").end(), hour("2026-01-31T23:59:00Z").start());
        assert_eq!(hour("2026-01-31T22:00:00Z").date(), "2026-01-31");
    }

    #[test]
    fn an_hour_before_1970_or_after_9999_has_no_partition() {
        assert_eq!(Hour::of(Timestamp::from_unix_ms(-1)), None);
        assert_eq!(Hour::of(Timestamp::from_unix_ms(0)), Some(Hour::FIRST));
        assert_eq!(hour("9999-12-30T21:59:59Z").to_string(), "dt=9999-12-30/hour=21");
        assert_eq!(Hour::of(Timestamp::from_unix_ms(i64::MAX)), None);
    }

    #[test]
    fn a_key_says_where_it_belongs_and_what_it_holds() {
        let partition = Partition::Events(hour("2026-01-31T12:00:00Z"));
        let key = partition.key(b"abc");
        assert_eq!(
            key,
            "events/dt=2026-01-31/hour=12/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.parquet"
        );
        assert_eq!(Partition::of_key(&key), Some(partition));
        for key in [
            "events/dt=2026-01-31/hour=12",
            "events/dt=2026-1-31/hour=12/x",
            "else/dt=2026-01-31/hour=12/x",
            "",
        ] {
            assert_eq!(Partition::of_key(key), None, "{key}");
        }
    }
}
