use domain::Timestamp;

use crate::Hour;

/// The times that the lake files an event by. An event that says another is filed by when it arrived, so that no sender
/// puts events where the table has no partition, or where no compactor looks.
///
/// Our own functions say when something happened, which may be long ago: what is published again after a replay is filed
/// with its first copy. Of others an event is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    earliest: Timestamp,
    latest: Timestamp,
    arrived_at: Timestamp,
}

/// 2020-01-01: the first partition of the table.
const EARLIEST_MS: i64 = 1_577_836_800_000;

impl TimeBounds {
    /// How long before its arrival an event of others may have happened. With the seven days that a message may wait in
    /// the archiver's queue this is as far as the compactor looks back.
    pub const BEFORE_MS_MAX: i64 = 14 * 86_400_000;
    /// How long behind its arrival any event may have happened, by the clock of its sender.
    pub const BEHIND_MS_MAX: i64 = 86_400_000;

    /// Those of an event that arrived at an instant. `None` when no partition can name it.
    #[must_use]
    pub fn of(arrived_at: Timestamp, is_own: bool) -> Option<Self> {
        Hour::of(arrived_at)?;
        let before = arrived_at.unix_ms().saturating_sub(Self::BEFORE_MS_MAX).max(0);
        let earliest = Timestamp::from_unix_ms(if is_own { before.min(EARLIEST_MS) } else { before });
        let latest = Timestamp::from_unix_ms(arrived_at.unix_ms().saturating_add(Self::BEHIND_MS_MAX));
        Some(Self { earliest, latest, arrived_at })
    }

    /// Whether an event of this time is filed by it.
    #[must_use]
    pub fn contain(self, at: Timestamp) -> bool {
        (self.earliest..=self.latest).contains(&at)
    }

    /// The time, where an event is filed by it, else that of the arrival.
    #[must_use]
    pub fn or_arrival(self, at: Option<Timestamp>) -> Timestamp {
        at.filter(|at| self.contain(*at)).unwrap_or(self.arrived_at)
    }
}

#[cfg(test)]
mod tests {
    use contracts::parse_timestamp;

    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn a_time_far_from_its_arrival_is_not_followed() {
        let arrived_at = at("2026-01-31T12:00:00Z");
        let (own, other) =
            (TimeBounds::of(arrived_at, true).unwrap(), TimeBounds::of(arrived_at, false).unwrap());
        for (time, by_own, by_other) in [
            ("0000-01-01T00:00:00Z", false, false),
            ("1970-01-01T00:00:00Z", false, false),
            ("2019-12-31T23:59:59.999Z", false, false),
            ("2020-01-01T00:00:00Z", true, false),
            ("2026-01-17T11:59:59.999Z", true, false),
            ("2026-01-17T12:00:00Z", true, true),
            ("2026-02-01T12:00:00Z", true, true),
            ("2026-02-01T12:00:00.001Z", false, false),
            ("9999-12-30T21:59:59Z", false, false),
        ] {
            assert_eq!((own.contain(at(time)), other.contain(at(time))), (by_own, by_other), "{time}");
        }
        assert_eq!(own.or_arrival(Some(at("2099-01-01T00:00:00Z"))), arrived_at);
        assert_eq!(own.or_arrival(None), arrived_at);
        assert_eq!(other.or_arrival(Some(at("2026-01-31T11:00:00Z"))), at("2026-01-31T11:00:00Z"));
        assert_eq!(TimeBounds::of(at("1969-12-31T23:59:59Z"), true), None);
        assert_eq!(TimeBounds::of(Timestamp::from_unix_ms(i64::MAX), true), None);
    }
}
