use domain::Timestamp;

/// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.123Z`.
#[must_use]
pub fn format_timestamp(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

/// Reads a time that Orderbus wrote, or that a person typed: RFC 3339 with any offset, of any year. Digits below a
/// millisecond are cut off. `None` when it is not a time.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_unix_ms(at.as_millisecond()))
}

/// Reads a time of an event: what the pattern of its schema says and nothing else, see `Time` there. Digits below a
/// millisecond are cut off.
#[must_use]
pub fn parse_event_time(text: &str) -> Option<Timestamp> {
    let (seconds, rest) = text.split_at_checked(19)?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shaped = seconds.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let offset = match rest.strip_prefix('.') {
        Some(rest) => {
            let offset = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let is_fraction = (1..=9).contains(&(rest.len() - offset.len()));
            is_fraction.then_some(offset)?
        }
        None => rest,
    };
    let is_part = |part: &str, end: &str| part.len() == 2 && is_digits(part) && part < end;
    let is_offset = offset == "Z"
        || offset
            .strip_prefix(['+', '-'])
            .and_then(|offset| offset.split_once(':'))
            .is_some_and(|(hours, minutes)| is_part(hours, "24") && is_part(minutes, "60"));
    // A leap second would be read as the second before it.
    let is_second = seconds.get(17..).is_some_and(|second| second < "60");
    let is_year = seconds.get(..4).is_some_and(|year| ("2020".."2100").contains(&year));
    if is_shaped && is_year && is_second && is_offset { parse_timestamp(text) } else { None }
}

/// How far an event of another sender may be dated ahead of its arrival: clocks differ, and a time zone may be wrong. A
/// later time would put the event before all others of its order until then.
pub const TIME_AHEAD_MS_MAX: i64 = 24 * 3_600_000;

/// What is wrong with the time of an event that arrived at this instant, if it is too far ahead of it.
#[must_use]
pub fn time_is_too_late(time: Timestamp, arrived_at: Timestamp) -> Option<&'static str> {
    let latest_ms = arrived_at.unix_ms().saturating_add(TIME_AHEAD_MS_MAX);
    (time.unix_ms() > latest_ms).then_some("must be at most one day after the event arrives")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_and_read_back() {
        let at = Timestamp::from_unix_ms(1_769_860_800_120);
        assert_eq!(format_timestamp(at), "2026-01-31T12:00:00.120Z");
        assert_eq!(parse_timestamp("2026-01-31T12:00:00.120Z"), Some(at));
        assert_eq!(parse_timestamp("2026-01-31T13:00:00.1209+01:00"), Some(at));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    #[test]
    fn a_time_may_be_one_day_ahead_and_no_millisecond_more() {
        let at = Timestamp::from_unix_ms;
        for arrived_ms in [0, 1_769_860_800_120] {
            assert_eq!(time_is_too_late(at(arrived_ms + TIME_AHEAD_MS_MAX), at(arrived_ms)), None);
            assert!(time_is_too_late(at(arrived_ms + TIME_AHEAD_MS_MAX + 1), at(arrived_ms)).is_some());
            assert_eq!(time_is_too_late(at(i64::MIN), at(arrived_ms)), None, "old events are replayed");
        }
        assert_eq!(time_is_too_late(at(i64::MAX), at(i64::MAX)), None);
    }

    #[test]
    fn the_time_of_an_event_is_rfc_3339_and_nothing_near_it() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.120Z",
            "2026-01-31T13:00:00.123456789+01:00",
            "2026-01-31T13:00:00-23:59",
            "2020-01-01T00:00:00Z",
            "2024-02-29T00:00:00-00:00",
            "2099-12-31T23:59:59.999999999Z",
        ] {
            assert!(parse_event_time(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2026-01-31",
            "2026-01-31 12:00:00Z",
            "20260131T120000Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00,5Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+01",
            "2026-01-31T12:00:00Z[UTC]",
            "+002026-01-31T12:00:00Z",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00 Z",
            " 2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00Z",
            "2026-01-31T12:00:00z",
            "2016-12-31T23:59:60Z",
            "2026-12-31T23:59:60Z",
            "2026-01-31T12:00:00.0123456789Z",
            "0000-01-01T00:00:00Z",
            "2019-12-31T23:59:59Z",
            "2100-01-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1769860800",
            "2026-01-31T12:00:0\u{661}Z",
        ] {
            assert!(parse_event_time(bad).is_none(), "{bad}");
        }
    }
}
