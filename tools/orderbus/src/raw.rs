//! JSON as it came, for people: laid out and with parts hidden, and each number and text to the letter. A `Value` would make
//! `123456789012345678901234567890` a rounded `1.2345678901234568e29`.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// How deep a document is laid out. What lies deeper stays on one line, as it came.
const PRETTY_DEPTH_MAX: usize = 64;

/// The members of a JSON object as they stand there, also one that stands there twice.
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl Members {
    /// Those of an object. None where it is something else.
    pub(crate) fn of(value: &RawValue) -> Self {
        serde_json::from_str(value.get()).unwrap_or(Self(vec![]))
    }

    /// The member of this name: the last, as every reader takes it.
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOfThem;
        impl<'de> Visitor<'de> for AllOfThem {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AllOfThem)
    }
}

/// A document with a line for each of its values. As it came where it is not JSON.
pub(crate) fn pretty(text: &str) -> String {
    serde_json::from_str::<&RawValue>(text).map_or_else(|_| text.to_owned(), |value| indented(value, 0))
}

fn indented(value: &RawValue, depth: usize) -> String {
    let text = value.get();
    let (open, close, entries) = match text.as_bytes().first() {
        _ if depth >= PRETTY_DEPTH_MAX => return text.to_owned(),
        Some(b'{') => match serde_json::from_str(text) {
            Ok(Members(members)) => {
                let member = |(name, value): &(String, Box<RawValue>)| {
                    format!("{}: {}", Value::from(name.as_str()), indented(value, depth + 1))
                };
                ('{', '}', members.iter().map(member).collect::<Vec<_>>())
            }
            Err(_) => return text.to_owned(),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => ('[', ']', items.iter().map(|item| indented(item, depth + 1)).collect()),
            Err(_) => return text.to_owned(),
        },
        _ => return text.to_owned(),
    };
    if entries.is_empty() {
        return format!("{open}{close}");
    }
    let indent = "  ".repeat(depth);
    format!("{open}\n{indent}  {}\n{indent}{close}", entries.join(&format!(",\n{indent}  ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_laid_out_as_serde_does_it() {
        for value in
            [json!({"a": [1, {"b": "x\ny"}, []], "c": {}, "d": null}), json!([[[]]]), json!("a"), json!(1.5)]
        {
            assert_eq!(pretty(&value.to_string()), serde_json::to_string_pretty(&value).unwrap());
        }
    }

    #[test]
    fn every_token_stays_as_it_was_written() {
        let text = r#"{"z":123456789012345678901234567890,"a":1.50,"a":[1e400,"\ud83d","\u00e9"]}"#;
        let laid_out = pretty(text);
        let tokens = ["123456789012345678901234567890", "1.50", "1e400", r#""\ud83d""#, r#""\u00e9""#];
        assert!(tokens.iter().all(|token| laid_out.contains(token)), "{laid_out}");
        assert_eq!(laid_out.matches("\"a\"").count(), 2, "{laid_out}");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pretty(&deep).matches('[').count(), 100_000);
        assert_eq!(pretty("{\"a\": "), "{\"a\": ");
    }
}
