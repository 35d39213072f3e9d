//! The schema and the parser say the same: of golden samples, of every event that is generated, of every way to break
//! one, and of any text in any place.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use contracts::{Event, EventType, decode, read_publishable, schema_of};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

fn validator(schema: &Value) -> Validator {
    // An e-mail address is what its pattern says; what the format says besides differs from one validator to another.
    let options = jsonschema::options().should_validate_formats(true).with_format("email", |_: &str| true);
    options.build(schema).unwrap()
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/samples")
}

/// Every golden sample, by type and file name.
fn golden() -> Vec<(EventType, String, Value)> {
    let mut golden = Vec::new();
    for entry in fs::read_dir(samples()).unwrap() {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        if !name.contains('.') {
            continue;
        }
        let event_type =
            EventType::parse(&name).unwrap_or_else(|| panic!("{name} was published, and is gone"));
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            golden.push((event_type, path.display().to_string(), serde_json::from_str(&text).unwrap()));
        }
    }
    golden
}

fn delivered(event: &Value) -> String {
    json!({"detail-type": event["type"], "source": event["source"], "detail": event}).to_string()
}

/// As another account put it on the bus.
fn from_another_account(event: &Value) -> String {
    let message = json!({
        "account": "444455556666", "detail-type": event["type"], "source": event["source"], "detail": event,
    });
    message.to_string()
}

#[test]
fn every_golden_sample_is_valid_and_can_be_read() {
    for (event_type, path, event) in golden() {
        let errors: Vec<String> =
            validator(&schema_of(event_type)).iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
        let read = read_publishable(&event.to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(read.data.event_type(), event_type, "{path}");
        assert_eq!(decode(&delivered(&event), None).unwrap().event, read, "{path}");
    }
}

/// The paths of all fields that a value has, or that a schema knows.
fn fields_of(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}/{name}");
                fields_of(member, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, path, found)),
        _ => {}
    }
}

fn known_fields(schema: &Value, document: &Value, path: &str, found: &mut BTreeSet<String>) {
    let schema = resolve(schema, document);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // What must be left out is in no sample.
        if property["type"] == "null" {
            continue;
        }
        let path = format!("{path}/{name}");
        known_fields(property, document, &path, found);
        found.insert(path);
    }
    if !schema["items"].is_null() {
        known_fields(&schema["items"], document, path, found);
    }
}

fn resolve(schema: &Value, document: &Value) -> Value {
    let schema = match &schema["anyOf"][0] {
        Value::Null => schema,
        one => one,
    };
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap().clone(),
        None => schema.clone(),
    }
}

#[test]
fn the_golden_samples_of_a_type_have_every_field_that_its_schema_knows() {
    let mut shown: BTreeMap<EventType, BTreeSet<String>> = BTreeMap::new();
    for (event_type, _, event) in golden() {
        fields_of(&event, "", shown.entry(event_type).or_default());
    }
    for event_type in EventType::ALL {
        let schema = schema_of(*event_type);
        let mut known = BTreeSet::new();
        known_fields(&schema, &schema, "", &mut known);
        let shown = shown.get(event_type).cloned().unwrap_or_default();
        let missing: Vec<_> = known.difference(&shown).collect();
        assert!(missing.is_empty(), "{}: a golden sample must show {missing:?}", event_type.as_str());
    }
}

#[test]
fn personal_data_is_marked_wherever_it_is() {
    for event_type in EventType::ALL {
        let text = schema_of(*event_type).to_string();
        let has_part = text.contains("\"personal\":");
        assert_eq!(has_part, text.contains("x-pii"), "{}", event_type.as_str());
    }
}

/// A value that keeps to a schema: as many entries and as much text as there is luck.
fn valid(schema: &Value, document: &Value) -> BoxedStrategy<Value> {
    let schema = resolve(schema, document);
    if let Some(value) = schema.get("const") {
        return Just(value.clone()).boxed();
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return prop::sample::select(values.clone()).boxed();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].clone(),
        kind => kind.clone(),
    };
    let bound = |name: &str, default: u64| schema[name].as_u64().unwrap_or(default);
    match kind.as_str().unwrap() {
        "object" => {
            let required: BTreeSet<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let members = schema["properties"].as_object().unwrap().iter();
            let members: Vec<_> = members
                .map(|(name, property)| {
                    let (name, is_required) = (name.clone(), required.contains(name.as_str()));
                    let value = valid(property, document).prop_map(Some);
                    let value =
                        if is_required { value.boxed() } else { prop_oneof![value, Just(None)].boxed() };
                    value.prop_map(move |value| value.map(|value| (name.clone(), value)))
                })
                .collect();
            members.prop_map(|members| Value::Object(members.into_iter().flatten().collect())).boxed()
        }
        "array" => {
            let count_max = bound("maxItems", 5).min(5) as usize;
            let items = valid(&schema["items"], document);
            prop::collection::vec(items, bound("minItems", 0) as usize..=count_max)
                .prop_map(Value::Array)
                .boxed()
        }
        "null" => Just(Value::Null).boxed(),
        "integer" => (bound("minimum", 0)..=bound("maximum", u64::MAX)).prop_map(Value::from).boxed(),
        _ => {
            let pattern = schema["pattern"].as_str().unwrap_or_default();
            if schema["format"] == "date-time" {
                return (1_577_836_800_000_i64..4_102_444_800_000)
                    .prop_map(|ms| contracts::format_timestamp(domain::Timestamp::from_unix_ms(ms)).into())
                    .boxed();
            }
            let example =
                prop::sample::select(schema["examples"].as_array().cloned().unwrap_or(vec!["a".into()]));
            let text = match pattern {
                "^[A-Za-z0-9._-]+$" => "[A-Za-z0-9._-]{1,64}",
                "^[!-~]+$" => "[!-~]{1,200}",
                _ if pattern.contains("[0-9a-f]{32}") => {
                    "0[0-9a-f]-[0-9a-f]{31}1-[1-9][0-9a-f]{15}-[0-9a-f]{2}"
                }
                "^[a-z0-9_]+$" => "[a-z0-9_]{1,64}",
                "^[A-Z]{2}$" => "[A-Z]{2}",
                "^[A-Z]{3}$" => "EUR|USD|JPY",
                _ if schema["format"] == "email" => "[a-z.+é]{1,60}@[a-z.]{1,60}",
                _ => "[A-Za-zäß0-9][A-Za-z ,.ñ漢0-9]{0,15}",
            };
            prop_oneof![example, text.prop_map(Value::from)].boxed()
        }
    }
}

/// What a schema cannot say is put right: the subject, the sum, each SKU once, one currency.
fn put_right(event: &mut Value) {
    let identifier = if event["source"] == "ops" { "quarantineId" } else { "orderId" };
    event["data"][identifier] = event["subject"].clone();
    if event["data"]["total"].is_object() {
        let mut sum = 0;
        for (index, line) in event["data"]["lines"].as_array_mut().unwrap().iter_mut().enumerate() {
            line["sku"] = format!("S{index}").into();
            let price = line["unitPrice"]["amountMinor"].as_u64().unwrap() % 1_000_000;
            line["unitPrice"] = json!({"amountMinor": price, "currency": "EUR"});
            sum += price * line["quantity"].as_u64().unwrap();
        }
        event["data"]["total"] = json!({"amountMinor": sum, "currency": "EUR"});
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Every way to break one rule of the schema, by what was done.
fn broken(schema: &Value, document: &Value, pointer: &str, event: &Value, found: &mut Vec<(String, Value)>) {
    let Some(value) = event.pointer(pointer) else { return };
    let is_optional_null = value.is_null();
    let schema = resolve(schema, document);
    let mut put = |what: &str, value: Value| {
        let mut broken = event.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        found.push((format!("{pointer}: {what}"), broken));
    };
    if schema["type"] == "null" {
        put("a text", "e30=".into());
    }
    if is_optional_null {
        return;
    }
    if schema.get("const").is_some() || schema.get("enum").is_some() {
        put("another value", "other".into());
    }
    match value {
        Value::String(text) => {
            put("a number", 7.into());
            put("an object", json!({}));
            if let Some(length) = schema["maxLength"].as_u64() {
                put(
                    "too long",
                    text.chars().next().unwrap_or('a').to_string().repeat(length as usize + 1).into(),
                );
            }
            if schema["minLength"].as_u64().is_some() {
                put("empty", "".into());
            }
            if schema.get("pattern").is_some() {
                put("a control character", "a\u{7}b".into());
                put("blank", "  ".into());
            }
            if schema["format"] == "date-time" {
                put("no such day", "2026-02-30T12:00:00Z".into());
                put("no such hour", "2026-01-30T25:00:00Z".into());
                put("no offset", "2026-01-30T12:00:00".into());
                put("no colon in the offset", "2026-01-31T12:00:00+0100".into());
                put("no seconds", "2026-01-31T12:00Z".into());
                put("a blank for the T", "2026-01-31 12:00:00Z".into());
                put("a leap second", "2016-12-31T23:59:60Z".into());
                put("a year before 2020", "0000-01-01T00:00:00Z".into());
                put("ten digits of a fraction", "2026-01-31T12:00:00.0123456789Z".into());
                put("seconds since 1970", 1_769_860_800.into());
                put("a fraction of seconds since 1970", 1_769_860_800.5.into());
                put("seconds since 1970 as a text", "1769860800".into());
            }
        }
        Value::Number(_) => {
            put("a text", "7".into());
            put("a fraction", 1.5.into());
            put("null", Value::Null);
            if let Some(least) = schema["minimum"].as_i64() {
                put("too small", (least - 1).into());
            }
            if let Some(most) = schema["maximum"].as_u64() {
                put("too large", (most + 1).into());
            }
        }
        Value::Array(items) => {
            put("an object", json!({}));
            if schema["minItems"].as_u64().is_some() {
                put("none", json!([]));
            }
            if let Some(count) = schema["maxItems"].as_u64() {
                put("too many", vec![items[0].clone(); count as usize + 1].into());
            }
        }
        Value::Object(members) => {
            put("an array", members.values().cloned().collect());
            put("a text", "text".into());
            for required in schema["required"].as_array().into_iter().flatten() {
                let mut fewer = members.clone();
                fewer.remove(required.as_str().unwrap());
                put(&format!("without {required}"), fewer.into());
            }
        }
        _ => {}
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        broken(property, document, &format!("{pointer}/{name}"), event, found);
    }
    if !schema["items"].is_null() {
        broken(&schema["items"], document, &format!("{pointer}/0"), event, found);
    }
}

#[test]
fn every_valid_event_is_valid_to_both_and_is_read_back_as_written() {
    for event_type in EventType::ALL {
        let schema = schema_of(*event_type);
        let validator = validator(&schema);
        let outcome = runner(64).run(&valid(&schema, &schema), |mut event| {
            put_right(&mut event);
            prop_assert!(validator.is_valid(&event), "{:?}", validator.iter_errors(&event).next());
            let read = match read_publishable(&event.to_string()) {
                Ok(read) => read,
                Err(error) => return Err(TestCaseError::fail(format!("{error}: {event}"))),
            };
            let written: Value = serde_json::from_str(&read.to_outbound().unwrap().detail).unwrap();
            prop_assert!(validator.is_valid(&written));
            prop_assert_eq!(&read_publishable(&written.to_string()).unwrap(), &read);
            prop_assert_eq!(&decode(&delivered(&written), None).unwrap().event, &read);
            if event_type.may_come_from_outside() {
                let heard = decode(&from_another_account(&event), Some("111122223333"));
                // Its flow is that of the order that it is about.
                let correlation_id = read.order_id().unwrap().as_str().to_owned();
                prop_assert_eq!(heard.unwrap().event, Event { correlation_id, ..read });
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", event_type.as_str()));
    }
}

#[test]
fn every_broken_event_is_refused_by_both() {
    let count = std::cell::Cell::new(0);
    for event_type in EventType::ALL {
        let schema = schema_of(*event_type);
        let validator = validator(&schema);
        let outcome = runner(12).run(&valid(&schema, &schema), |mut event| {
            put_right(&mut event);
            let mut all = Vec::new();
            broken(&schema, &schema, "", &event, &mut all);
            for (what, broken) in all {
                prop_assert!(!validator.is_valid(&broken), "the schema accepts {}: {}", what, broken);
                let read = read_publishable(&broken.to_string());
                let heard = decode(&from_another_account(&broken), Some("111122223333"));
                if what.starts_with("/traceparent: ") && broken["traceparent"].is_string() {
                    // A receiver ignores it, as W3C Trace Context says.
                    prop_assert_eq!(read.unwrap().traceparent, None, "{}", what);
                    prop_assert_eq!(heard.is_ok(), event_type.may_come_from_outside(), "{}", what);
                    continue;
                }
                prop_assert!(read.is_err(), "the parser accepts {}: {}", what, broken);
                prop_assert!(heard.is_err(), "a listener accepts {} from outside: {}", what, broken);
                count.set(count.get() + 1);
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", event_type.as_str()));
    }
    println!("{} broken events were refused", count.get());
    assert!(count.get() > 5_000);
}

/// The places of all texts in an event that has every field.
fn texts(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| texts(value, &format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| texts(value, &format!("{pointer}/{index}"), found));
        }
        Value::String(_) => found.push(pointer.to_owned()),
        _ => {}
    }
}

#[test]
fn of_any_text_in_any_place_both_say_the_same() {
    let text = prop_oneof![
        any::<String>(),
        "[!-~]{0,90}",
        "[A-Za-z0-9._-]{0,90}",
        "[A-Z]{2,3}",
        "[a-z0-9_]{0,70}",
        "[ \\t\\u{85}\\u{a0}a]{0,4}",
        "[a@ é.]{0,5}",
        "[\\u{0}\\u{7f}\\u{200b}\\u{200f}\\u{2028}\\u{202e}\\u{3000}\\u{feff}\\u{5d0}\u{1F4E6} a]{0,6}",
        (250_usize..=310, "[aé漢\u{1F4E6}]").prop_map(|(count, letter)| letter.repeat(count)),
        (995_usize..=1_005, "[aé漢\u{1F4E6}]").prop_map(|(count, letter)| letter.repeat(count)),
        "(00|fe|ff|g0)-[0-9a-f]{31,33}-[0-9a-f]{15}[1-9A]-0[0-9]",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,4})?(Z|z|[+-][0-2][0-9]:?[0-9]{2})?",
    ];
    for (event_type, path, event) in
        golden().into_iter().filter(|(_, path, _)| path.ends_with("complete.json"))
    {
        let validator = validator(&schema_of(event_type));
        let mut places = Vec::new();
        texts(&event, "", &mut places);
        // Both places of the subject change at once; the register of currencies is the parser's alone.
        let subject = event["subject"].clone();
        // A traceparent that is not valid is ignored.
        places.retain(|place| {
            event.pointer(place) != Some(&subject) && !place.ends_with("/currency") && place != "/traceparent"
        });
        let outcome = runner(1_500).run(&(prop::sample::select(places), &text), |(place, text)| {
            let mut event = event.clone();
            *event.pointer_mut(&place).unwrap() = text.clone().into();
            let (schema, parser) = (validator.is_valid(&event), read_publishable(&event.to_string()));
            prop_assert_eq!(schema, parser.is_ok(), "{} {:?}: {:?}", place, text, parser);
            let listener = decode(&from_another_account(&event), Some("111122223333"));
            let is_heard = schema && event_type.may_come_from_outside();
            prop_assert_eq!(is_heard, listener.is_ok(), "{} {:?}: {:?}", place, text, listener);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[test]
fn the_pattern_of_a_time_and_its_reader_say_the_same() {
    let schema = schema_of(EventType::OrderPlaced);
    let time = jsonschema::validator_for(&schema["$defs"]["Time"]).unwrap();
    // Each part is right as a rule, so that what is wrong is wrong in one or two places.
    let neighbours = (
        prop_oneof![8 => "20[2-9][0-9]", 1 => "[0-9]{4}", 1 => "(1999|2019|2020|2099|2100)"],
        prop_oneof![8 => "(0[1-9]|1[0-2])", 2 => "02", 1 => "[0-9]{1,2}"],
        prop_oneof![8 => "(0[1-9]|1[0-9]|2[0-8])", 4 => "(29|30|31)", 1 => "[0-9]{1,2}"],
        prop_oneof![9 => "T", 1 => "[t ]"],
        prop_oneof![9 => "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]", 1 => "[0-9]{2}:[0-9]{2}(:[0-9]{2})?", 1 => "23:59:60"],
        prop_oneof![3 => "", 3 => "[.][0-9]{1,9}", 1 => "[.,][0-9]{0,12}"],
        prop_oneof![4 => "Z", 3 => "[+-]([01][0-9]|2[0-3]):[0-5][0-9]", 1 => "z| Z|Z | ?|[+-][0-9]{2}:?[0-9]{0,2}|Z\n|\\[UTC\\]"],
    );
    let (accepted, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let outcome = runner(20_000).run(&neighbours, |(year, month, day, letter, clock, fraction, offset)| {
        let text = format!("{year}-{month}-{day}{letter}{clock}{fraction}{offset}");
        let pattern = time.is_valid(&text.clone().into());
        prop_assert_eq!(pattern, contracts::parse_event_time(&text).is_some(), "{:?}", text);
        let count = if pattern { &accepted } else { &refused };
        count.set(count.get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.get() > 1_000 && refused.get() > 1_000, "{accepted:?} {refused:?}");
}

#[test]
fn an_integer_is_whole_to_both_however_it_is_written() {
    for (event_type, path, event) in golden() {
        let validator = validator(&schema_of(event_type));
        let written = with_zero_fractions(&event);
        assert!(validator.is_valid(&written), "{path}");
        let read = read_publishable(&written.to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(read, read_publishable(&event.to_string()).unwrap(), "{path}");
        assert_eq!(decode(&delivered(&written), None).unwrap().event, read, "{path}");
    }
}

/// The same event with `.0` behind each number.
fn with_zero_fractions(event: &Value) -> Value {
    fn change(value: &mut Value) {
        match value {
            Value::Number(number) => *value = number.as_f64().unwrap().into(),
            Value::Array(items) => items.iter_mut().for_each(change),
            Value::Object(members) => members.values_mut().for_each(change),
            _ => {}
        }
    }
    let mut event = event.clone();
    change(&mut event);
    event
}

/// Breaks an event.
type Change = fn(&mut Value);

/// What no schema can say, or what ours leaves to the parser: all of it.
#[test]
fn what_the_parser_alone_refuses() {
    let event_type = EventType::OrderPlaced;
    let (_, _, event) = golden()
        .into_iter()
        .find(|(one, path, _)| *one == event_type && path.ends_with("complete.json"))
        .unwrap();
    let validator = validator(&schema_of(event_type));
    let cases: [(&str, Change); 6] = [
        ("a subject that is not the order", |event| event["subject"] = "o-2".into()),
        ("a total that is not the sum", |event| event["data"]["total"]["amountMinor"] = 1.into()),
        ("a SKU on two lines", |event| {
            event["data"]["lines"][1]["sku"] = event["data"]["lines"][0]["sku"].clone();
        }),
        ("two currencies", |event| event["data"]["lines"][0]["unitPrice"]["currency"] = "USD".into()),
        ("a currency that is not in ISO 4217", |event| event["data"]["total"]["currency"] = "XXY".into()),
        ("a currency that was withdrawn", |event| event["data"]["total"]["currency"] = "HRK".into()),
    ];
    for (case, change) in cases {
        let mut event = event.clone();
        change(&mut event);
        assert!(validator.is_valid(&event), "{case}");
        assert!(read_publishable(&event.to_string()).is_err(), "{case}");
    }
}
