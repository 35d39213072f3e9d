//! The texts that occur in events: what each may be, once for the schema and once for the parser. The fields of the
//! wire types stay `String`: whoever listens reads them, and decides what to do with one that is not as it should be.

use std::borrow::Cow;

use domain::is_line;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::timestamp::is_rfc3339;

/// The largest whole number that every JSON reader keeps exact.
pub(crate) const EXACT_MAX: u64 = domain::Money::AMOUNT_MINOR_MAX;

/// The most reasons that a rejection gives: more than an order can break rules.
pub(crate) const REASONS_MAX: usize = 1_000;

/// A kind of text.
pub(crate) trait Text {
    /// Whether this is such a text.
    fn allows(text: &str) -> bool;

    /// What it has to be, for people.
    fn rule() -> String;
}

const NAME: &str = "^[A-Za-z0-9._-]+$";
/// As [`is_line`], without looking ahead, which not every engine can.
const LINE: &str =
    r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";
const TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";

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
    /// A code for programs, in snake case.
    Code: "1 to 64 lower-case letters, digits and '_'", 64, "^[a-z0-9_]+$", "out_of_stock", |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    /// A code of ISO 4217. The schema knows its form, and every reader the codes that are in use.
    Currency: "an ISO 4217 code such as EUR", 3, "^[A-Z]{3}$", "EUR",
        |text| domain::Currency::parse(text).is_ok();
    /// A code of ISO 3166-1 alpha-2.
    Country: "an ISO 3166-1 alpha-2 code such as DE", 2, "^[A-Z]{2}$", "DE",
        |text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    /// An instant in RFC 3339, in UTC as a rule. Digits below a millisecond are cut off.
    Time: "an instant in RFC 3339", 64, TIME, "2026-01-31T12:00:00.123Z", is_rfc3339, "format" = "date-time";
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
            "pattern": r"^[^\s@\u0000-\u001F\u007F-\u009F]+@[^\s@\u0000-\u001F\u007F-\u009F]+$",
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
