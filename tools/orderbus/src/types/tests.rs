use super::*;

use contracts::EventType;

const PLACED: &str = "orders.order-placed.v1";
/// Of the customer whom the samples name.
const SECRET: &str = "ada at example.com";

fn loud() -> Progress {
    Progress::new(|line| terminal::complain(line))
}

/// Every golden sample, by its type.
fn samples() -> Vec<(EventType, Value)> {
    let folder = repository::root().join("events/samples");
    let of = |event_type: &EventType| {
        let files = fs::read_dir(folder.join(event_type.as_str())).unwrap();
        let read =
            |file: PathBuf| (*event_type, serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap());
        files.map(|file| read(file.unwrap().path())).collect::<Vec<_>>()
    };
    EventType::ALL.iter().flat_map(of).collect()
}

/// `OrderPlacedEvent`, as the schema calls itself.
fn name_of(event_type: EventType) -> String {
    contracts::schema_of(event_type)["title"].as_str().unwrap().to_owned()
}

fn complete(type_name: &str) -> Value {
    let file = repository::root().join(format!("events/samples/{type_name}/complete.json"));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The complete sample of an order, broken in one way each.
fn broken_orders() -> Vec<Value> {
    let changes: [(&str, Value); 6] = [
        ("/type", json!("orders.order-lost.v1")),
        ("/source", json!("shipping")),
        ("/data/lines/0/quantity", json!("2")),
        ("/data/total/currency", Value::Null),
        ("/data/personal", json!({})),
        ("/data/lines", json!([])),
    ];
    let broken = |(place, value): (&str, Value)| {
        let mut event = complete(PLACED);
        *event.pointer_mut(place).unwrap() = value;
        event
    };
    changes.into_iter().map(broken).collect()
}

#[test]
fn the_typescript_compiler_takes_every_sample_and_refuses_what_breaks_a_contract() {
    let types = generate(TypesLanguage::TypeScript, &loud()).unwrap();
    assert_eq!(types, generate(TypesLanguage::TypeScript, &loud()).unwrap(), "the same each time");
    let schemas = bundle(&catalogue::schemas()).unwrap();
    let definitions = schemas["$defs"].as_object().unwrap();
    let defines = |name: &String| {
        types.contains(&format!("\nexport interface {name} "))
            || types.contains(&format!("\nexport type {name} "))
    };
    assert!(definitions.keys().all(defines), "every definition under its name");
    assert_eq!(types.matches("\nexport ").count(), definitions.len() + 1, "and under no other");

    let names: Vec<String> = EventType::ALL.iter().map(|one| name_of(*one)).collect();
    let parts: Vec<&str> = names.iter().map(|name| name.strip_suffix("Event").unwrap()).collect();
    let mut program = format!(
        "import type {{ OrderbusEvent, {}, {} }} from './orderbus-events.ts';\n",
        names.join(", "),
        parts.join(", ")
    );
    program += "export const taken: OrderbusEvent[] = [\n";
    samples().iter().for_each(|(_, event)| program += &format!("{event},\n"));
    program += "];\nexport function about(event: OrderbusEvent): unknown {\n  switch (event.type) {\n";
    for ((event_type, name), part) in EventType::ALL.iter().zip(&names).zip(&parts) {
        program += &format!(
            "    case '{}': {{ const it: {name} = event; const data: {part} = it.data; return data; }}\n",
            event_type.as_str()
        );
    }
    program += "  }\n  const nothingIsLeft: never = event;\n  return nothingIsLeft;\n}\n";
    let mut misspelt = complete(PLACED);
    misspelt["data"]["customerID"] = json!("c-1");
    let without_data = EventType::ALL.iter().map(|one| {
        let mut event = complete(one.as_str());
        event["data"] = json!({});
        event
    });
    for (index, event) in broken_orders().into_iter().chain([misspelt]).chain(without_data).enumerate() {
        program += &format!("// @ts-expect-error\nexport const refused{index}: OrderbusEvent = {event};\n");
    }

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TypesLanguage::TypeScript.file_name()), types).unwrap();
    fs::write(folder.path().join("program.ts"), program).unwrap();
    let mut compiler = typescript_tools(&loud()).unwrap().command("typescript/bin/tsc");
    compiler.args(["--strict", "--noEmit", "--allowImportingTsExtensions", "--module", "esnext"]);
    compiler.args(["--target", "es2022", "--moduleResolution", "bundler", "program.ts"]);
    let output = compiler.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What another reader might take for a time.
fn not_times() -> Vec<Value> {
    vec![
        json!(1_769_860_800),
        json!(1_769_860_800.5),
        json!("1769860800"),
        json!("2026-01-31 12:00:00Z"),
        json!(" 2026-01-31T12:00:00Z"),
        json!("2026-01-31T12:00:00Z\n"),
        json!("2026-01-31T12:00:00 Z"),
        json!("2026-01-31T12:00Z"),
        json!("2026-01-31T12:00:00+0100"),
        json!("2026-02-29T12:00:00Z"),
        json!("2016-12-31T23:59:60Z"),
        json!("2026-12-31T23:59:60Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("2026-01-31T12:00:00.0123456789Z"),
    ]
}

#[test]
fn the_python_models_read_every_sample_and_refuse_what_breaks_a_contract() {
    const PROGRAM: &str = r#"
import json, sys
from datetime import datetime
import orderbus_events as events
from pydantic import ValidationError

given = json.load(sys.stdin)
for name, event in given["taken"]:
    read = events.read_event({**event, "data": {**event["data"], "new": 1}, "tenant": "new"})
    assert type(read) is getattr(events, name), (name, read)
    assert read.type == event["type"] and read.id == event["id"]
for event in given["whole"]:
    amount = events.read_event(event).data.total.amountMinor
    assert amount == 3299 and type(amount) is int, amount
for event in given["refused"]:
    for read in (events.read_event, events.OrderPlacedEvent.model_validate):
        try:
            read(event)
        except ValidationError as error:
            assert given["secret"] not in str(error), "the error names a person"
        else:
            raise AssertionError(event)
match events.read_event(given["placed"]):
    case events.OrderPlacedEvent(data=events.OrderPlaced(total=events.Money(amountMinor=amount)), time=time):
        assert amount == 3299 and time == "2026-01-31T12:00:00.010Z", (amount, time)
        assert datetime.fromisoformat(time).microsecond == 10_000, time
    case other:
        raise AssertionError(other)
"#;
    let types = generate(TypesLanguage::Python, &loud()).unwrap();
    assert_eq!(types, generate(TypesLanguage::Python, &loud()).unwrap(), "the same each time");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TypesLanguage::Python.file_name()), types).unwrap();

    let mut refused = broken_orders();
    for (place, value) in [
        ("/time", json!("yesterday")),
        ("/data/personal/email", json!(SECRET)),
        ("/data/lines/0/quantity", json!(10_000)),
        ("/data/orderId", json!("an order")),
        ("/id", json!("")),
        ("/data/lines/0/quantity", json!(1.5)),
        ("/data/lines/0/quantity", json!(true)),
        ("/data/total/amountMinor", json!("3299")),
        ("/correlationid", json!("two words")),
        ("/traceparent", json!("ada at example.com")),
    ] {
        let mut event = complete(PLACED);
        *event.pointer_mut(place).unwrap() = value;
        refused.push(event);
    }
    for time in not_times() {
        let mut event = complete(PLACED);
        event["time"] = time;
        refused.push(event);
    }
    for event_type in EventType::ALL {
        let mut event = complete(event_type.as_str());
        event["data"] = json!({});
        refused.push(event);
    }
    let mut whole = complete(PLACED);
    whole["data"]["total"]["amountMinor"] = json!(3299.0);
    let taken: Vec<Value> =
        samples().into_iter().map(|(event_type, event)| json!([name_of(event_type), event])).collect();
    let given = json!({"taken": taken, "refused": refused, "secret": SECRET, "placed": complete(PLACED), "whole": [whole]});

    let mut python = Tools::ready(&loud()).unwrap().command("python");
    python.args(["-B", "-c", PROGRAM]).current_dir(folder.path());
    python.env("PYTHONPATH", python_packages(&loud()).unwrap()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
