//! Every kind of change, made to every contract: what breaks somebody is caught, what breaks nobody passes.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;

use catalogue::Effect::{self, BreaksBoth, BreaksEvents, BreaksReaders, Compatible};
use catalogue::{compare, read_schemas, schemas};
use serde_json::{Value, json};

/// The data of the event, which every contract has, with a required field of its own.
fn data(schema: &mut Value) -> &mut Value {
    let reference = schema["properties"]["data"]["$ref"].as_str().unwrap().to_owned();
    schema.pointer_mut(reference.strip_prefix('#').unwrap()).unwrap()
}

/// A required field of the data.
fn field(schema: &mut Value) -> String {
    data(schema)["required"][0].as_str().unwrap().to_owned()
}

/// A definition that every contract has: a text with bounds.
fn text(schema: &mut Value) -> &mut Value {
    &mut schema["$defs"]["EventId"]
}

type Case = (&'static str, fn(&mut Value), Effect);

const CASES: &[Case] = &[
    (
        "remove a field",
        |schema| {
            let field = field(schema);
            data(schema)["properties"].as_object_mut().unwrap().remove(&field);
            data(schema)["required"].as_array_mut().unwrap().remove(0);
        },
        BreaksReaders,
    ),
    (
        "rename a field",
        |schema| {
            let field = field(schema);
            let properties = data(schema)["properties"].as_object_mut().unwrap();
            let value = properties.remove(&field).unwrap();
            properties.insert("renamed".to_owned(), value);
            data(schema)["required"][0] = "renamed".into();
        },
        BreaksBoth,
    ),
    (
        "retype a field",
        |schema| {
            let field = field(schema);
            data(schema)["properties"][field] = json!({"type": "boolean"});
        },
        BreaksBoth,
    ),
    ("retype a shared part", |schema| text(schema)["type"] = "integer".into(), BreaksBoth),
    ("allow null", |schema| text(schema)["type"] = json!(["string", "null"]), BreaksReaders),
    (
        "make a field required",
        |schema| schema["required"].as_array_mut().unwrap().push("correlationid".into()),
        BreaksEvents,
    ),
    (
        "make a field optional",
        |schema| {
            data(schema)["required"].as_array_mut().unwrap().remove(0);
        },
        BreaksReaders,
    ),
    (
        "add a required field",
        |schema| {
            data(schema)["properties"]["added"] = json!({"type": "string"});
            data(schema)["required"].as_array_mut().unwrap().push("added".into());
        },
        BreaksEvents,
    ),
    ("shorten a text", |schema| text(schema)["maxLength"] = 8.into(), BreaksEvents),
    ("lengthen a text", |schema| text(schema)["maxLength"] = 999.into(), BreaksReaders),
    ("raise a lower bound", |schema| text(schema)["minLength"] = 2.into(), BreaksEvents),
    ("lower a lower bound", |schema| text(schema)["minLength"] = 0.into(), BreaksReaders),
    (
        "take a bound away",
        |schema| {
            text(schema).as_object_mut().unwrap().remove("maxLength");
        },
        BreaksReaders,
    ),
    ("add a bound", |schema| schema["properties"]["specversion"]["maxLength"] = 99.into(), BreaksEvents),
    ("change a pattern", |schema| text(schema)["pattern"] = "^[a-z]+$".into(), BreaksBoth),
    (
        "take a pattern away",
        |schema| {
            text(schema).as_object_mut().unwrap().remove("pattern");
        },
        BreaksReaders,
    ),
    ("add a format", |schema| text(schema)["format"] = "uuid".into(), BreaksEvents),
    ("change a constant", |schema| schema["properties"]["specversion"]["const"] = "2.0".into(), BreaksBoth),
    (
        "allow another value",
        |schema| schema["properties"]["datacontenttype"]["enum"].as_array_mut().unwrap().push("a/b".into()),
        BreaksReaders,
    ),
    (
        "allow a value less",
        |schema| {
            schema["properties"]["datacontenttype"]["enum"].as_array_mut().unwrap().pop();
        },
        BreaksEvents,
    ),
    ("list the values", |schema| text(schema)["enum"] = json!(["a"]), BreaksEvents),
    ("refuse unknown fields", |schema| data(schema)["additionalProperties"] = false.into(), BreaksEvents),
    ("mark as personal", |schema| text(schema)["x-pii"] = true.into(), BreaksReaders),
    ("a keyword that nobody knows", |schema| text(schema)["contains"] = json!({}), BreaksEvents),
    (
        "a reference that leads nowhere",
        |schema| schema["properties"]["id"]["$ref"] = "#/x".into(),
        BreaksBoth,
    ),
    (
        "add an optional field",
        |schema| data(schema)["properties"]["added"] = json!({"type": "string"}),
        Compatible,
    ),
    (
        "add an optional attribute",
        |schema| schema["properties"]["tenant"] = json!({"type": "string"}),
        Compatible,
    ),
    ("describe better", |schema| data(schema)["description"] = "Better.".into(), Compatible),
    ("another example", |schema| text(schema)["examples"] = json!(["e-2"]), Compatible),
    ("another title", |schema| schema["title"] = "Other".into(), Compatible),
    (
        "write a part out",
        |schema| {
            let written_out = text(schema).clone();
            schema["properties"]["id"] = written_out;
        },
        Compatible,
    ),
];

/// What all changes of one type do, taken together.
fn effect_of(old: &Value, new: &Value) -> Effect {
    let of = |schema: &Value| BTreeMap::from([("a.b.v1".to_owned(), schema.clone())]);
    let changes = compare(&of(old), &of(new));
    let any = |wanted: &[Effect]| changes.iter().any(|change| wanted.contains(&change.effect));
    match (any(&[BreaksReaders, BreaksBoth]), any(&[BreaksEvents, BreaksBoth])) {
        (true, true) => BreaksBoth,
        (true, false) => BreaksReaders,
        (false, true) => BreaksEvents,
        (false, false) => Compatible,
    }
}

#[test]
fn every_change_to_every_contract_is_classified() {
    for (name, old) in schemas() {
        assert_eq!(effect_of(&old, &old), Compatible, "{name}: unchanged");
        for (case, change, expected) in CASES {
            let mut new = old.clone();
            change(&mut new);
            assert_ne!(new, old, "{name}: {case} changes nothing");
            let found = effect_of(&old, &new);
            // A contract may break somebody in one more way, but never in one less, and what is compatible is so for all.
            let is_caught = match expected {
                Compatible => found == Compatible,
                BreaksBoth => {
                    found == BreaksBoth || (*case == "a reference that leads nowhere" && found.is_breaking())
                }
                one => found == *one || found == BreaksBoth,
            };
            assert!(is_caught, "{name}: {case}: {found:?} instead of {expected:?}");
        }
    }
}

#[test]
fn a_change_and_its_reverse_break_the_opposite_sides() {
    for (name, old) in schemas() {
        for (case, change, _) in CASES.iter().filter(|(case, ..)| !case.contains("personal")) {
            let mut new = old.clone();
            change(&mut new);
            if case.contains("bound") || case.contains("text") || case.contains("value") {
                let (there, back) = (effect_of(&old, &new), effect_of(&new, &old));
                assert!(there.is_breaking() && back.is_breaking() && there != back, "{name}: {case}");
            }
        }
    }
}

#[test]
fn a_type_that_is_gone_breaks_and_a_new_one_does_not() {
    let all = schemas();
    for name in all.keys() {
        let mut fewer = all.clone();
        fewer.remove(name);
        let gone = compare(&all, &fewer);
        assert!(gone.len() == 1 && gone[0].effect == BreaksBoth && gone[0].event_type == *name);
        let new = compare(&fewer, &all);
        assert!(new.len() == 1 && new[0].effect == Compatible);
    }
}

#[test]
fn a_renamed_field_is_told_as_one() {
    let mut all = schemas();
    let old = all.clone();
    let (_, change, _) = CASES.iter().find(|(case, ..)| *case == "rename a field").unwrap();
    change(all.get_mut("orders.order-placed.v1").unwrap());
    let changes = compare(&old, &all);
    assert!(changes.iter().any(|change| change.what.contains("renamed to renamed")), "{changes:#?}");
}

/// What the continuous integration holds every change to.
#[test]
fn what_was_published_is_kept_to() {
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(catalogue::BASELINE);
    let changes = compare(&read_schemas(&baseline).unwrap(), &schemas());
    let breaking: Vec<_> = changes.iter().filter(|change| change.effect.is_breaking()).collect();
    assert!(breaking.is_empty(), "each of these needs a new version of its type: {breaking:#?}");
}
