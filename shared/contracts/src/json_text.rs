//! JSON as the bus takes it, which is more than a reader holds: half of a surrogate pair in a string, nesting without
//! end, numbers beyond any type. Nothing here recurses, and nothing is read into a value: tokens stay as they were
//! written, to the letter.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// How deep JSON may be nested for common readers to hold it, with room for the answer around it: many, `serde_json`
/// among them, stop at 128.
const DEPTH_MAX: usize = 120;

/// JSON without some of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// JSON without whitespace between its tokens, and each token as it was written.
    pub text: String,
    /// Whether common readers can hold it: no half of a surrogate pair, no number beyond a double, at most 120 levels.
    pub is_readable: bool,
}

/// Leaves out the members of these names, at any depth and however their names are escaped. `None` when it is not JSON.
#[must_use]
pub fn without_members(json: &str, names: &[&str]) -> Option<Redacted> {
    let json = serde_json::from_str::<&RawValue>(json).ok()?.get();
    let mut scan = Scan { text: String::with_capacity(json.len()), is_readable: true };
    // Of each object and array around the place that is read: whether it is an object, and whether it has a member yet.
    let mut around: Vec<(bool, bool)> = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        match first {
            b'{' | b'[' => {
                scan.begin(&mut around);
                around.push((first == b'{', false));
                scan.is_readable &= around.len() <= DEPTH_MAX;
                scan.text.push(char::from(first));
                rest = &rest[1..];
            }
            b'}' | b']' => {
                around.pop();
                scan.text.push(char::from(first));
                rest = &rest[1..];
            }
            // Commas are written where a member follows.
            b' ' | b'\t' | b'\r' | b'\n' | b',' => rest = &rest[1..],
            b':' => {
                // The value belongs to the name before it.
                scan.text.push(':');
                rest = rest[1..].trim_start();
                let token = token(rest);
                if !token.is_empty() {
                    scan.token(token);
                    rest = &rest[token.len()..];
                } else if let Some(container) = rest.bytes().next() {
                    around.push((container == b'{', false));
                    scan.is_readable &= around.len() <= DEPTH_MAX;
                    scan.text.push(char::from(container));
                    rest = &rest[1..];
                }
            }
            _ => {
                let token = token(rest);
                // What is no token is not JSON, and JSON it is.
                let is_name = matches!(around.last(), Some((true, _)));
                if token.is_empty() {
                    return None;
                }
                rest = &rest[token.len()..];
                if is_name && is_one_of(token, names) {
                    rest = behind_value(rest.trim_start().strip_prefix(':')?);
                } else {
                    scan.begin(&mut around);
                    scan.token(token);
                }
            }
        }
    }
    Some(Redacted { text: scan.text, is_readable: scan.is_readable })
}

/// The text that a JSON string stands for. Half of a surrogate pair, which no text has, becomes U+FFFD. `None` when it is
/// not a string.
#[must_use]
pub fn text_of_string(json: &str) -> Option<Cow<'_, str>> {
    characters(json.trim()).map(|(text, _)| text)
}

struct Scan {
    text: String,
    is_readable: bool,
}

impl Scan {
    /// Begins a member of the innermost object or array.
    fn begin(&mut self, around: &mut [(bool, bool)]) {
        if let Some((_, has_members)) = around.last_mut() {
            if *has_members {
                self.text.push(',');
            }
            *has_members = true;
        }
    }

    /// Writes a string, a number, `true`, `false` or `null`.
    fn token(&mut self, token: &str) {
        self.is_readable &= match token.bytes().next() {
            Some(b'"') => !token.contains("\\u") || characters(token).is_some_and(|(_, is_text)| is_text),
            Some(b'-' | b'0'..=b'9') => token.parse::<f64>().is_ok_and(f64::is_finite),
            _ => true,
        };
        self.text.push_str(token);
    }
}

/// The string, number or word that JSON begins with; empty when that is something else.
fn token(json: &str) -> &str {
    let bytes = json.as_bytes();
    let mut end = 0;
    if bytes.first() == Some(&b'"') {
        end = 1;
        while let Some(byte) = bytes.get(end) {
            end += match byte {
                b'"' => return &json[..=end],
                b'\\' => 2,
                _ => 1,
            };
        }
        return "";
    }
    while bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
        end += 1;
    }
    &json[..end]
}

/// What follows a value.
fn behind_value(json: &str) -> &str {
    let mut rest = json.trim_start();
    let mut depth = 0_usize;
    while let Some(first) = rest.bytes().next() {
        let token = token(rest);
        let length = match first {
            b'{' | b'[' => {
                depth += 1;
                1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => token.len().max(1),
        };
        rest = &rest[length..];
        // Behind a value is a comma or an end, which are no values.
        if depth == 0 {
            return rest;
        }
    }
    rest
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    let is_it = |text: &str| names.contains(&text);
    if name.contains('\\') {
        characters(name).is_some_and(|(text, _)| is_it(&text))
    } else {
        name.len() >= 2 && is_it(&name[1..name.len() - 1])
    }
}

#[derive(Deserialize)]
struct Characters<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a JSON string stands for, and whether that is text: half of a surrogate pair is none, and becomes U+FFFD.
fn characters(string: &str) -> Option<(Cow<'_, str>, bool)> {
    if let Ok(Characters(text)) = serde_json::from_str(string) {
        return Some((text, true));
    }
    let text = serde_json::from_str(&with_whole_pairs(string)).ok()?;
    Some((Cow::Owned(text), false))
}

/// Puts U+FFFD in the place of each half of a surrogate pair.
fn with_whole_pairs(string: &str) -> String {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut whole = String::with_capacity(string.len());
    let mut rest = string;
    while let Some(position) = rest.find('\\') {
        let (before, escape) = rest.split_at(position);
        whole.push_str(before);
        let is_low = |text: &str| unit(text).is_some_and(|unit| (0xdc00..0xe000).contains(&unit));
        let (length, is_half) = match unit(escape) {
            Some(0xd800..0xdc00) if escape.get(6..).is_some_and(is_low) => (12, false),
            Some(0xd800..0xe000) => (6, true),
            Some(_) => (6, false),
            // Another escape, of two characters.
            None => (2, false),
        };
        let (escape, behind) = escape.split_at_checked(length).unwrap_or((escape, ""));
        whole.push_str(if is_half { "\\ufffd" } else { escape });
        rest = behind;
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn redacted(json: &str) -> Option<(String, bool)> {
        without_members(json, &["personal", "taskToken"]).map(|found| (found.text, found.is_readable))
    }

    #[test]
    fn tokens_stay_as_they_were_written() {
        for text in [
            r#"{"a":1.50,"b":[1e5,-0,0.1000000000000000055511151231257827],"c":123456789012345678901234567890}"#,
            r#"{"\u0061":"\/\u00e9\ud83e\udd80","":[],"x":{},"y":[[],{"z":null}],"t":[true,false]}"#,
            r#""text""#,
            "-1.0",
            "null",
            "[]",
            r#"{"a":1,"a":2}"#,
        ] {
            assert_eq!(redacted(text), Some((text.to_owned(), true)), "{text}");
        }
        assert_eq!(redacted(" { \"a\" :\n[ 1 , 2 ]\t} "), Some((r#"{"a":[1,2]}"#.to_owned(), true)));
    }

    #[test]
    fn named_members_are_left_out_wherever_they_stand() {
        for (text, expected) in [
            (r#"{"personal":{"name":"x"},"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1,"personal":[{"personal":"}"},2]}"#, r#"{"a":1}"#),
            (r#"{"a":1,"personal":"\"x","b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{ "personal" : 1 }"#, "{}"),
            (r#"[{"taskToken":"t","b":{"c":[{"personal":-1e5}]}}]"#, r#"[{"b":{"c":[{}]}}]"#),
            (r#"{"p\u0065rsonal":"x","task\u0054oken":1,"a":"personal"}"#, r#"{"a":"personal"}"#),
            (r#"{"personal":1,"personal":2,"Personal":3}"#, r#"{"Personal":3}"#),
            (r#"["personal",1]"#, r#"["personal",1]"#),
        ] {
            assert_eq!(redacted(text), Some((expected.to_owned(), true)), "{text}");
        }
    }

    #[test]
    fn what_no_reader_holds_is_kept_to_the_letter_and_told() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let objects = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
        for text in [
            r#"{"note":"cut emoji \ud83d"}"#,
            r#"{"note":"\udd80\ud83e"}"#,
            r#"{"\ud83d":1}"#,
            r#"{"a":1e400}"#,
            r#"[-1E+999]"#,
            &deep(121),
            &deep(100_000),
            &objects,
        ] {
            assert_eq!(redacted(text), Some((text.to_owned(), false)), "{text:.80}");
        }
        assert_eq!(redacted(&deep(120)), Some((deep(120), true)));
        assert_eq!(redacted("1e-400"), Some(("1e-400".to_owned(), true)));
        // Nothing personal is left in it, and what is left out makes it no worse.
        let text = r#"{"note":"\ud83d","personal":{"name":"Ada"}}"#;
        assert_eq!(redacted(text), Some((r#"{"note":"\ud83d"}"#.to_owned(), false)));
        assert_eq!(
            redacted(r#"{"personal":{"name":"\ud83d"},"a":1}"#),
            Some((r#"{"a":1}"#.to_owned(), true))
        );
    }

    #[test]
    fn what_is_not_json_is_not_read() {
        for text in ["", "{", "{\"a\":1", "[1,]", "nul", "1 2", "{\"a\" 1}", "\"a\nb\"", "{'a':1}", "01"] {
            assert_eq!(redacted(text), None, "{text}");
        }
    }

    #[test]
    fn a_string_with_half_a_surrogate_pair_is_text_with_a_replacement() {
        for (string, text) in [
            (r#""a""#, Some("a")),
            (r#""\ud83d""#, Some("\u{fffd}")),
            (r#""\ud83d\ud83e\udd80\\ud83d\n""#, Some("\u{fffd}\u{1f980}\\ud83d\n")),
            (r#""\uDD80x\uD83E""#, Some("\u{fffd}x\u{fffd}")),
            (r#""\ud83d\u0041""#, Some("\u{fffd}A")),
            ("1", None),
            ("null", None),
            (r#"["a"]"#, None),
        ] {
            assert_eq!(text_of_string(string).as_deref(), text, "{string}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let name = prop_oneof![Just("personal".to_owned()), Just("taskToken".to_owned()), any::<String>()];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let member = (name.clone(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                prop::collection::vec(member, 0..6)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn leave_out(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| name != "personal" && name != "taskToken");
                members.values_mut().for_each(leave_out);
            }
            Value::Array(items) => items.iter_mut().for_each(leave_out),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn any_json_comes_out_as_it_went_in_but_for_what_is_left_out(value in any_json(), is_pretty in any::<bool>()) {
            let text = if is_pretty { format!("{value:#}") } else { value.to_string() };
            let mut expected = value;
            leave_out(&mut expected);
            prop_assert_eq!(redacted(&text), Some((expected.to_string(), true)));
        }

        #[test]
        fn any_text_at_all_is_json_or_is_not(text in any::<String>()) {
            prop_assert_eq!(redacted(&text).is_some(), serde_json::from_str::<&RawValue>(&text).is_ok());
            let string = json!(text).to_string();
            prop_assert_eq!(text_of_string(&string), Some(Cow::Borrowed(text.as_str())));
        }
    }
}
