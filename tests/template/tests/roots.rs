//! The certificate authorities that are compiled into every function end one day. This says so a year before.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use template_tests::read;

const ROOTS: &str = "shared/aws/src/amazon-trust-services.pem";
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Every certificate of a PEM file, in DER.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let parts = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let text = |part: &str| -> String {
        let base64 = part.split("-----END CERTIFICATE-----").next().unwrap();
        base64.chars().filter(|character| !character.is_whitespace()).collect()
    };
    parts.map(|part| BASE64_STANDARD.decode(text(part)).unwrap()).collect()
}

/// The contents of the first element, and what follows it (X.690, definite lengths).
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let [tag, first, rest @ ..] = der else { panic!("no element") };
    let of_length = usize::from(first & 0x7f);
    let (length, rest) = if first & 0x80 == 0 {
        (of_length, rest)
    } else {
        let (bytes, rest) = rest.split_at(of_length);
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (contents, following) = rest.split_at(length);
    (*tag, contents, following)
}

/// The last year, month and day of a certificate (RFC 5280, 4.1.2.5).
fn last_day(certificate: &[u8]) -> (i64, i64, i64) {
    let (_, certificate, _) = element(certificate);
    let (_, mut fields, _) = element(certificate);
    // Version, serial number, signature, issuer; the version stands in a tag of its own.
    for _ in 0..4 {
        fields = element(fields).2;
    }
    let (_, validity, _) = element(fields);
    let (_, _, not_after) = element(validity);
    let (tag, text, _) = element(not_after);
    let text = std::str::from_utf8(text).unwrap();
    let number = |range: std::ops::Range<usize>| -> i64 { text[range].parse().unwrap() };
    match tag {
        // UTCTime has two digits of the year, which count from 1950.
        0x17 => (if number(0..2) < 50 { 2000 } else { 1900 } + number(0..2), number(2..4), number(4..6)),
        0x18 => (number(0..4), number(4..6), number(6..8)),
        other => panic!("{other} is no time"),
    }
}

/// The days from 1970 to a day of the Gregorian calendar.
fn days((year, month, day): (i64, i64, i64)) -> i64 {
    // Years that begin in March end with the leap day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The certificates that end within a year of a time.
fn ending(since_1970: Duration) -> Vec<(i64, i64, i64)> {
    let deadline = i64::try_from((since_1970 + YEAR).as_secs() / 86_400).unwrap();
    let all = certificates(&read(ROOTS));
    assert_eq!(all.len(), 5);
    all.iter().map(|certificate| last_day(certificate)).filter(|day| days(*day) < deadline).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is asked is how long the certificates last from today")]
fn no_embedded_root_ends_within_a_year() {
    let ending = ending(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    assert!(
        ending.is_empty(),
        "certificates of {ROOTS} end on {ending:?}: take the current ones from https://www.amazontrust.com/repository/ and deploy"
    );
}

#[test]
fn a_root_that_ends_within_a_year_is_found() {
    let on = |day| ending(Duration::from_secs(u64::try_from(days(day)).unwrap() * 86_400));
    assert_eq!(on((2036, 12, 30)), []);
    assert_eq!(on((2037, 1, 1)), [(2037, 12, 31)]);
    assert_eq!(on((2037, 2, 1)), [(2038, 1, 17), (2037, 12, 31)]);
    assert_eq!(on((2040, 1, 1)).len(), 5);
}

#[test]
fn days_are_counted_as_the_calendar_does() {
    for (day, expected) in
        [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2000, 3, 1), 11_017), ((2026, 11, 29), 20_786)]
    {
        assert_eq!(days(day), expected, "{day:?}");
    }
}
