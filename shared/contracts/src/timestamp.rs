use domain::Timestamp;

/// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.123Z`.
#[must_use]
pub fn format_timestamp(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

/// Reads RFC 3339 with any offset; digits below a millisecond are cut off. `None` when it is not a time.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_unix_ms(at.as_millisecond()))
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
}
