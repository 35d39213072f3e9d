use contracts::Reason;
use domain::Timestamp;
use jiff::civil::Date;
use jiff::{Span, tz::Offset};

/// The longest period.
const DAYS_MAX: i32 = 366;
/// The period when nothing is said.
const DAYS_DEFAULT: i64 = 30;
/// How long the events of an order count after the period in which it was placed.
const HORIZON_DAYS: i64 = 31;
/// Before this there was no lake.
const EARLIEST: Date = jiff::civil::date(2020, 1, 1);

/// A period: days in UTC, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    first: Date,
    last: Date,
}

/// Why something is not a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidDays {
    /// `from` or `to`.
    pub field: &'static str,
    /// What it must be. Never repeats what came in.
    pub problem: String,
}

impl InvalidDays {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    pub(crate) fn reason(self) -> Reason {
        Reason {
            code: "invalid_period".to_owned(),
            field: Some(self.field.to_owned()),
            message: self.problem,
        }
    }
}

impl Days {
    /// From what was asked for. Without an end it is today, without a beginning thirty days.
    ///
    /// # Errors
    /// [`InvalidDays`].
    pub fn parse(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<Self, InvalidDays> {
        let tomorrow = after(day_of(now), 1);
        let read = |field, text: Option<&str>| match text.map(read_day) {
            None => Ok(None),
            Some(Some(day)) if day >= EARLIEST && day <= tomorrow => Ok(Some(day)),
            Some(Some(_)) => {
                Err(InvalidDays::new(field, format!("must be a day from {EARLIEST} to {tomorrow}")))
            }
            Some(None) => Err(InvalidDays::new(field, "must be a day, such as 2026-01-31")),
        };
        let (from, to) = (read("from", from)?, read("to", to)?);
        let last = to.unwrap_or_else(|| day_of(now).max(from.unwrap_or(EARLIEST)));
        let first = from.unwrap_or_else(|| after(last, 1 - DAYS_DEFAULT).max(EARLIEST));
        if first > last {
            return Err(InvalidDays::new("from", "must not be after to"));
        }
        if last.duration_since(first).as_hours() / 24 + 1 > i64::from(DAYS_MAX) {
            return Err(InvalidDays::new("from", format!("must be within {DAYS_MAX} days of to")));
        }
        Ok(Self { first, last })
    }

    /// From values that this program has sent before.
    pub(crate) fn of(first: &str, last: &str) -> Option<Self> {
        Some(Self { first: read_day(first)?, last: read_day(last)? })
    }

    /// All days on which something happens from one instant to another, both included, with so many before and after.
    pub(crate) fn around(first: Timestamp, last: Timestamp, before: i64, behind: i64) -> Self {
        Self { first: after(day_of(first), -before), last: after(day_of(last), behind) }
    }

    /// The first day.
    #[must_use]
    pub fn first(&self) -> Date {
        self.first
    }

    /// The last day.
    #[must_use]
    pub fn last(&self) -> Date {
        self.last
    }

    /// The last day whose events count for what began in the period.
    #[must_use]
    pub fn horizon(&self) -> Date {
        after(self.last, HORIZON_DAYS)
    }

    /// True when everything that happened in it has surely arrived.
    pub(crate) fn is_closed(&self, now: Timestamp) -> bool {
        after(self.horizon(), 2) < day_of(now)
    }
}

/// The day of an instant, in UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    Offset::UTC.to_datetime(at).date()
}

fn after(day: Date, days: i64) -> Date {
    day.saturating_add(Span::new().days(days))
}

/// Exactly `2026-01-31`, of which jiff takes many more forms.
fn read_day(text: &str) -> Option<Date> {
    let is_in_place = |(index, byte): (usize, u8)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let has_form = text.len() == 10 && text.bytes().enumerate().all(is_in_place);
    has_form.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31.
    const NOW: Timestamp = Timestamp::from_unix_ms(1_769_860_800_123);

    fn parse(from: Option<&str>, to: Option<&str>) -> Option<String> {
        Days::parse(from, to, NOW).ok().map(|days| format!("{} {}", days.first, days.last))
    }

    #[test]
    fn a_period_is_what_was_asked_for_or_thirty_days() {
        for (from, to, expected) in [
            (None, None, "2026-01-02 2026-01-31"),
            (Some("2026-01-30"), None, "2026-01-30 2026-01-31"),
            (None, Some("2025-03-01"), "2025-01-31 2025-03-01"),
            (Some("2025-02-01"), Some("2025-02-01"), "2025-02-01 2025-02-01"),
            (Some("2025-02-02"), Some("2026-02-01"), "2025-02-02 2026-02-01"),
            (Some("2026-02-01"), None, "2026-02-01 2026-02-01"),
            (None, Some("2020-01-02"), "2020-01-01 2020-01-02"),
            (Some("2024-02-29"), Some("2024-03-01"), "2024-02-29 2024-03-01"),
        ] {
            assert_eq!(parse(from, to).as_deref(), Some(expected), "{from:?} {to:?}");
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for (from, to) in [
            ("2026-01-31", "2026-01-30"),
            ("2025-01-30", "2026-01-31"),
            ("2019-12-31", "2020-01-01"),
            ("2026-01-01", "2026-02-02"),
            ("2026-02-30", "2026-01-31"),
            ("2026-1-01", "2026-01-31"),
            ("20260101", "2026-01-31"),
            ("2026-01-01T00:00:00Z", "2026-01-31"),
            ("+02026-01-01", "2026-01-31"),
            ("-000001-01-01", "2026-01-31"),
            ("", "2026-01-31"),
            ("2026-01-0'", "2026-01-31"),
            ("٢٠٢٦-٠١-٠١", "2026-01-31"),
        ] {
            assert_eq!(parse(Some(from), Some(to)), None, "{from} {to}");
        }
    }
}
