//! How every whole number of an event is read.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads any JSON number that is an integer, as JSON Schema means it: `1217`, `1217.0` and `1.217e3` are the same one.
///
/// Exact: what is written is read digit by digit, so that no fraction is rounded away.
///
/// # Errors
/// When it is no number, has a fraction, or does not fit.
pub(crate) fn deserialize<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i128>,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    whole(raw.get())
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Other("something else"), &"a whole number"))
}

/// More digits than any of the types here holds.
const DIGITS_MAX: usize = 30;

/// The integer that a JSON value is. `None` for one of more than [`DIGITS_MAX`] digits, too.
fn whole(text: &str) -> Option<i128> {
    let (is_negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text),
    };
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (before, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The zeros at the end of the digits, less the digits behind the point, are the power of ten besides the exponent's.
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let decimals = i64::try_from(fraction.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(decimals)?;
    let power = usize::try_from(power).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.len().checked_add(power)? > DIGITS_MAX {
        return None;
    }
    let number = format!("{significant}{}", "0".repeat(power)).parse::<i128>().ok()?;
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Numbers {
        #[serde(deserialize_with = "deserialize")]
        signed: i64,
        #[serde(deserialize_with = "deserialize")]
        small: u32,
    }

    fn read(signed: &str, small: &str) -> Result<Numbers, serde_json::Error> {
        serde_json::from_str(&format!("{{\"signed\":{signed},\"small\":{small}}}"))
    }

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        for text in ["1217", "1217.0", "1217.000", "1.217e3", "1.217E+3", "121700e-2", "0.01217e5"] {
            let numbers = read(text, text).unwrap();
            assert_eq!((numbers.signed, numbers.small), (1217, 1217), "{text}");
        }
        for text in ["0", "-0", "0.0", "-0.0e0", "0e999999999999999999999", "0e-5"] {
            assert_eq!(read(text, text).unwrap().signed, 0, "{text}");
        }
        assert_eq!(read("-9223372036854775808", "4294967295.0").unwrap().signed, i64::MIN);
        assert_eq!(read("9007199254740993.0", "0").unwrap().signed, 9_007_199_254_740_993);
        let long = format!("0.{}12e102", "0".repeat(100));
        assert_eq!(read(&long, "0").unwrap().signed, 12);
    }

    #[test]
    fn what_is_no_whole_number_or_does_not_fit_is_refused() {
        for text in [
            "1.5",
            "1217.0000000000000001",
            "9007199254740991.4",
            "1e-1",
            "9223372036854775808",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "{}",
        ] {
            let error = read(text, "0").unwrap_err();
            assert!(error.is_data(), "{text}");
            assert!(error.to_string().contains("expected a whole number"), "{error}");
        }
        assert!(read("0", "-1").is_err());
        assert!(read("0", "4294967296.0").is_err());
    }

    #[test]
    fn a_value_in_memory_is_read_alike() {
        let value = serde_json::json!({"signed": 1217.0, "small": 3});
        assert_eq!(serde_json::from_value::<Numbers>(value.clone()).unwrap().signed, 1217);
        assert_eq!(Numbers::deserialize(&value).unwrap().small, 3);
    }

    proptest! {
        #[test]
        fn every_notation_of_an_integer_is_that_integer(number in any::<i64>(), zeros in 0_usize..9) {
            let with_zeros = format!("{number}.{}", "0".repeat(zeros + 1));
            let shifted = format!("{number}{}e-{zeros}", "0".repeat(zeros));
            let (sign, digits) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
            let scientific = match digits.split_at(1) {
                (first, "") => format!("{sign}{first}e0"),
                (first, rest) => format!("{sign}{first}.{rest}e{}", rest.len()),
            };
            for text in [number.to_string(), with_zeros, shifted, scientific] {
                prop_assert_eq!(whole(&text), Some(i128::from(number)), "{}", text);
            }
            let fraction = format!("{number}.{}1", "0".repeat(zeros));
            prop_assert_eq!(whole(&fraction), None);
        }
    }
}
