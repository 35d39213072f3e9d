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

/// What RFC 3339 writes, which is less than [`parse_timestamp`] reads. At most 64 characters.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    let (Some(seconds), Some(rest)) = (text.get(..19), text.get(19..)) else { return false };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shaped = seconds.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let offset = match rest.strip_prefix('.') {
        Some(rest) => rest.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let is_fraction = rest.len() == offset.len() || rest.len() > offset.len() + 1;
    let is_offset = offset == "Z"
        || offset.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':')).is_some_and(
            |(hours, minutes)| {
                let is_part = |part: &str, end: &str| part.len() == 2 && is_digits(part) && part < end;
                is_part(hours, "24") && is_part(minutes, "60")
            },
        );
    text.len() <= 64 && is_shaped && is_fraction && is_offset && parse_timestamp(text).is_some()
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
    fn what_is_written_down_is_rfc_3339_and_nothing_near_it() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.120Z",
            "2026-01-31T13:00:00.123456789+01:00",
            "2026-01-31T13:00:00-23:59",
        ] {
            assert!(is_rfc3339(good), "{good}");
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
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
