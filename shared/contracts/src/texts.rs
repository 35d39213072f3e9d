//! The texts that occur in events: what each may be, once for the schema and once for the parser. The fields of the
//! wire types stay `String`: whoever listens reads them, and decides what to do with one that is not as it should be.

use std::borrow::Cow;

use domain::is_line;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::timestamp::parse_event_time;

/// The largest whole number that every JSON reader keeps exact.
pub(crate) const EXACT_MAX: u64 = domain::Money::AMOUNT_MINOR_MAX;

/// The most reasons that a rejection gives: more than an order can break rules.
pub(crate) const REASONS_MAX: usize = 1_000;

/// The longest message for people, in characters.
pub const MESSAGE_LENGTH_MAX: usize = 1_000;

/// The longest path of a field, in characters.
pub(crate) const FIELD_LENGTH_MAX: usize = 200;

/// The longest name of something that Orderbus does not name itself, such as the target of a rule, in characters.
pub const NAME_LENGTH_MAX: usize = 300;

/// One line of at most `length_max` characters, made of any text: control characters become spaces, and what is too
/// long is cut off. For what others said, before it goes into an event of ours. A blank text becomes `-`.
#[must_use]
pub fn to_line(text: &str, length_max: usize) -> String {
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    let line: String = text.chars().map(visible).take(length_max).collect();
    if is_line(&line, length_max) { line } else { "-".to_owned() }
}

/// Whether a text is a `traceparent` of W3C Trace Context (<https://www.w3.org/TR/trace-context/#traceparent-header>):
/// a version that is not `ff`, a trace, a span and flags in lower-case hexadecimal digits, neither of the ids all zeros.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_id = |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    match text.split('-').collect::<Vec<_>>()[..] {
        [version, trace, span, flags] => {
            is_hex(version, 2) && version != "ff" && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2)
        }
        _ => false,
    }
}

/// A kind of text.
pub(crate) trait Text {
    /// Whether this is such a text.
    fn allows(text: &str) -> bool;

    /// What it has to be, for people.
    fn rule() -> String;
}

const NAME: &str = "^[A-Za-z0-9._-]+$";
/// As [`is_line`], without looking ahead, which not every engine can. What is blank is listed, because `\s` is not the same
/// in every engine.
const LINE: &str = r"^[^\u0000-\u001F\u007F-\u009F]*[^ \u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";
const EMAIL: &str = r"^[^@ \u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\u0000-\u001F\u007F-\u009F]+@[^@ \u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\u0000-\u001F\u007F-\u009F]+$";
/// The form alone; that neither id may be all zeros, its reader knows.
const TRACEPARENT: &str = "^([0-9a-e][0-9a-f]|f[0-9a-e])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";
/// The rule for every time of an event, to the letter what [`parse_event_time`] reads. A leap second is none: most clocks
/// and languages have no such instant.
const TIME: &str = concat!(
    "^(20[2-9][0-9]-(",
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])",
    ")|20([2468][048]|[3579][26])-02-29)",
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);

/// Defines texts that have a definition of their own in a schema.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident: $rule:literal, $length_max:expr, $pattern:expr, $example:literal, $allows:expr
        $(, $keyword:literal = $value:literal)?;)+) => {
        $($(#[doc = $doc])+
        pub(crate) struct $name;

        impl Text for $name {
            fn allows(text: &str) -> bool {
                let allows: fn(&str) -> bool = $allows;
                allows(text)
            }

            fn rule() -> String {
                $rule.to_owned()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": concat!($($doc),+).trim(),
                    "minLength": if $length_max <= 3 { $length_max } else { 1 },
                    "maxLength": $length_max,
                    "pattern": $pattern,
                    "examples": [$example],
                    $($keyword: $value,)?
                })
            }
        })+
    };
}

texts! {
    /// Names one order for ever.
    OrderId: "1 to 64 letters, digits, '-', '_' and '.'", domain::OrderId::LENGTH_MAX, NAME,
        "5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10", |text| domain::OrderId::parse(text).is_ok();
    /// Names a customer in the seller's own systems; not an e-mail address.
    CustomerId: "1 to 64 letters, digits, '-', '_' and '.'", domain::CustomerId::LENGTH_MAX, NAME,
        "c-1001", |text| domain::CustomerId::parse(text).is_ok();
    /// A stock keeping unit: what inventory counts.
    Sku: "1 to 64 letters, digits, '-', '_' and '.'", domain::Sku::LENGTH_MAX, NAME,
        "MUG-BLUE", |text| domain::Sku::parse(text).is_ok();
    /// Names a shipment: one an order.
    ShipmentId: "1 to 80 letters, digits, '-', '_' and '.'", domain::ShipmentId::LENGTH_MAX, NAME,
        "ship-5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10", |text| domain::ShipmentId::parse(text).is_ok();
    /// Names one parcel on its way, as its carrier does.
    ParcelId: "1 to 64 letters, digits, '-', '_' and '.'", domain::ParcelId::LENGTH_MAX, NAME,
        "JD014600003RU", |text| domain::ParcelId::parse(text).is_ok();
    /// Names one payment request: one an order.
    PaymentId: "1 to 80 letters, digits, '-', '_' and '.'", domain::PaymentId::LENGTH_MAX, NAME,
        "pay-5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10", |text| domain::PaymentId::parse(text).is_ok();
    /// Names one message that was set aside.
    QuarantineId: "1 to 64 letters, digits, '-', '_' and '.'", domain::QuarantineId::LENGTH_MAX, NAME,
        "0b7f6a52-8a3c-5f0e-8c1d-6f1e2d3c4b5a", |text| domain::QuarantineId::parse(text).is_ok();
    /// Names one event: the same however often the event is published or delivered. The key to dedupe on.
    EventId: "1 to 256 visible ASCII characters", domain::EventId::LENGTH_MAX, "^[!-~]+$",
        "2f4e7e0a-51a5-5b6e-9d0e-3f8f2f0c7a11", |text| domain::EventId::parse(text).is_ok();
    /// Shared by all events of one flow: the order id, as a rule.
    CorrelationId: "1 to 256 visible ASCII characters", domain::EventId::LENGTH_MAX, "^[!-~]+$",
        "5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10", |text| domain::EventId::parse(text).is_ok();
    /// W3C Trace Context, passed on as it came. Neither of its ids is all zeros.
    TraceParent: "a traceparent of W3C Trace Context", 55, TRACEPARENT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", is_traceparent;
    /// A code for programs, in snake case.
    Code: "1 to 64 lower-case letters, digits and '_'", 64, "^[a-z0-9_]+$", "out_of_stock", |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    /// The ISO 4217 code of a currency in use: none that was withdrawn, no fund, no metal, no code for testing. The schema
    /// knows the form, and whoever takes events in knows the codes.
    Currency: "the ISO 4217 code of a currency in use, such as EUR", 3, "^[A-Z]{3}$", "EUR",
        |text| domain::Currency::parse(text).is_ok();
    /// A code of ISO 3166-1 alpha-2.
    Country: "an ISO 3166-1 alpha-2 code such as DE", 2, "^[A-Z]{2}$", "DE",
        |text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    /// An instant in RFC 3339, in UTC as a rule, of the years 2020 to 2099: a capital T, seconds from 00 to 59, none or 1 to
    /// 9 digits of a fraction, and a capital Z or an offset such as +01:00. Digits below a millisecond are cut off. The time
    /// of an event from another sender is at most one day after the event arrives.
    Time: "an instant in RFC 3339 of the years 2020 to 2099, such as 2026-01-31T12:00:00Z", 35, TIME,
        "2026-01-31T12:00:00.123Z", |text| parse_event_time(text).is_some(), "format" = "date-time";
    /// Whom to answer: to be sent back unchanged. Whoever has it can end the checkout, so it is not for logs.
    TaskToken: "1 to 2,048 visible ASCII characters", 2048, "^[!-~]+$", "AQCsampletasktoken",
        |text| (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
}

/// An e-mail address.
pub(crate) struct Email;

impl Text for Email {
    fn allows(text: &str) -> bool {
        is_line(text, domain::Personal::EMAIL_LENGTH_MAX) && domain::is_email(text)
    }

    fn rule() -> String {
        "an e-mail address of at most 254 characters".to_owned()
    }
}

impl JsonSchema for Email {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Email".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "email",
            "minLength": 1,
            "maxLength": domain::Personal::EMAIL_LENGTH_MAX,
            "pattern": EMAIL,
            "examples": ["ada@example.com"],
        })
    }
}

/// One line that a person can read.
pub(crate) struct Words<const LENGTH_MAX: usize>;

impl<const LENGTH_MAX: usize> Text for Words<LENGTH_MAX> {
    fn allows(text: &str) -> bool {
        is_line(text, LENGTH_MAX)
    }

    fn rule() -> String {
        format!("1 to {LENGTH_MAX} characters, none of them a control character")
    }
}

impl<const LENGTH_MAX: usize> JsonSchema for Words<LENGTH_MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Words{LENGTH_MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": LENGTH_MAX, "pattern": LINE})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_has_the_form_that_w3c_gives_it() {
        assert!(is_traceparent(TRACE));
        assert!(is_traceparent(&TRACE.replacen("00", "fe", 1)));
        for bad in [
            String::new(),
            "-".repeat(55),
            "0".repeat(55),
            TRACE.to_uppercase(),
            TRACE.replacen("00", "ff", 1),
            TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("{TRACE}-00"),
            format!(" {TRACE}"),
            format!("{TRACE}\n"),
            "ada@example.com".to_owned(),
        ] {
            assert!(!is_traceparent(&bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_line_and_a_line_stays_as_it_is(text in any::<String>(), length_max in 1_usize..40) {
            let line = to_line(&text, length_max);
            prop_assert!(is_line(&line, length_max), "{:?}", line);
            prop_assert_eq!(to_line(&line, length_max), line.clone());
            if is_line(&text, length_max) {
                prop_assert_eq!(line, text);
            }
        }
    }
}
