//! What the format promises: rows come back as they were, the same rows are the same object, statistics rule out what is
//! not asked for, and what was once written stays readable.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::borrow::Cow;
use std::path::PathBuf;

use bytes::Bytes;
use domain::Timestamp;
use lake::{Delivery, Encoder, Footer, Message, Row, decode, encode};
use parquet::basic::Type;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2026-01-31T12:00:00Z.
const NOON_MS: i64 = 1_769_860_800_000;

/// Every type of the catalogue, as the bus delivers it.
fn samples() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/samples/event-archiver/every-type.json");
    let sample: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let records = sample["Records"].as_array().unwrap();
    records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
}

fn row(body: &str) -> Row<'_> {
    row_of(body, Delivery::default())
}

fn row_of<'a>(body: &'a str, delivery: Delivery<'_>) -> Row<'a> {
    match Message::read(body, delivery) {
        Message::Event(row) => *row,
        other => panic!("{other:?}: {body}"),
    }
}

fn envelope(detail: &Value, more: &Value) -> String {
    let mut envelope = json!({
        "version": "0", "id": "bus-1", "detail-type": "a.b.v1", "source": "a", "account": "111122223333",
        "time": "2026-01-31T12:00:00Z", "region": "eu-central-1", "resources": [], "detail": detail,
    });
    envelope.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    envelope.to_string()
}

#[test]
fn an_event_of_the_catalogue_comes_back_to_the_letter() {
    let samples = samples();
    let rows: Vec<Row<'_>> = samples.iter().map(|body| row(body)).collect();
    let decoded = decode(&encode(rows.clone()).unwrap().into()).unwrap();
    assert_eq!(decoded.len(), samples.len());
    for (body, row) in samples.iter().zip(&rows) {
        let kept = decoded.iter().find(|kept| kept.id == row.id).unwrap();
        assert_eq!(kept, row);
        let entry = kept.to_bus_entry().unwrap();
        assert!(body.ends_with(&format!("\"detail\":{}}}", entry.detail)), "{body}\n{}", entry.detail);
        let envelope: Value = serde_json::from_str(body).unwrap();
        assert_eq!(envelope["source"], entry.source);
        assert_eq!(envelope["detail-type"], entry.detail_type);
        assert_eq!(envelope["resources"], json!(entry.resources));
        assert_eq!(envelope["detail"]["data"], serde_json::from_str::<Value>(&kept.data).unwrap());
    }
}

#[test]
fn the_columns_say_what_the_event_said() {
    let samples = samples();
    let row = row(&samples[0]);
    assert_eq!(row.id, "sample-01");
    assert_eq!((&*row.source, &*row.event_type), ("orders", "orders.order-placed.v1"));
    assert_eq!(row.subject.as_deref(), Some("5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10"));
    assert_eq!(row.time.unix_ms(), NOON_MS + 10);
    assert_eq!(row.ingested_at.unix_ms(), NOON_MS);
    assert_eq!(row.schema.as_deref(), Some("urn:orderbus:schema:orders.order-placed.v1"));
    assert_eq!(row.traceparent.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert!(row.data.starts_with("{\"orderId\":"));
    assert_eq!(
        row.extensions.as_deref(),
        Some(
            r#"{"bus":{"account":"111122223333","region":"eu-central-1","resources":[],"version":"0"},"event":{"datacontenttype":"application/json","specversion":"1.0"}}"#
        )
    );
}

#[test]
fn whatever_an_event_is_it_can_be_put_on_the_bus_again() {
    let event = |more: Value| {
        let mut event = json!({"specversion": "1.0", "id": "e-1", "source": "a", "type": "a.b.v1"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let details = [
        event(json!({"time": "2026-01-31T13:00:00.5+01:00", "data": {"a": 1.50, "b": [null]}})),
        event(json!({"time": "not a time", "data": "text"})),
        event(json!({"time": null, "subject": null, "data": null})),
        event(
            json!({"source": "/somebody/else", "type": "their.type", "subject": 7, "correlationid": ["x"]}),
        ),
        event(
            json!({"data_base64": "AAEC", "vendorext": {"deep": true}, "dataschema": "urn:x", "causationid": "e-0"}),
        ),
        event(json!({"time": "-000001-01-31T22:00:00Z"})),
        // None of these is a CloudEvent.
        event(json!({"specversion": 1})),
        event(json!({"id": ""})),
        json!({"id": "an order's, not an event's", "state": "RUNNING"}),
        json!([1, 2, 3]),
        json!("text\nwith \u{1F600} \"quotes\""),
        json!(null),
    ];
    for (number, detail) in details.iter().enumerate() {
        let body = envelope(
            detail,
            &json!({"resources": ["arn:a", "orderbus:attempt/2"], "later-member": {"x": 1}}),
        );
        let row = row(&body);
        assert_eq!(row.id, if number < 6 { "e-1" } else { "bus-1" }, "{detail}");
        let kept = decode(&encode(vec![row]).unwrap().into()).unwrap().remove(0);
        let entry = kept.to_bus_entry().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&entry.detail).unwrap(), *detail);
        assert_eq!(entry.resources, ["arn:a", "orderbus:attempt/2"]);
        assert_eq!((&*entry.source, &*entry.detail_type), ("a", "a.b.v1"));
        assert_eq!(entry.time.unix_ms(), NOON_MS);
        assert!(kept.extensions.unwrap().contains(r#""later-member":{"x":1}"#));
    }
}

/// What EventBridge takes and few readers hold, as the `data` of a CloudEvent.
const ODD: [&str; 8] = [
    r#"{"note":"cut emoji \ud83d"}"#,
    r#"{"\udd80":"\ud83e"}"#,
    r#"{"amount":1e400,"small":-1E-400}"#,
    r#"{"integer":123456789012345678901234567890,"fraction":0.1000000000000000055511151231257827}"#,
    r#"{"minor":1217.0,"exponent":1.217e3,"zero":-0}"#,
    r#"{"\u0070ersonal":"\u0000\/","a":1,"a":2}"#,
    "\"\\ud83d\"",
    "1e999999",
];

/// Nested as deep as EventBridge takes it, and deeper.
fn deep(levels: usize) -> String {
    format!("{{\"tree\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn whatever_the_bus_takes_is_one_row_and_comes_back_to_the_letter() {
    let deep = [deep(127), deep(128), deep(1_000), deep(100_000)];
    for data in ODD.into_iter().chain(deep.iter().map(String::as_str)) {
        let event = format!(
            r#"{{"specversion":"1.0","id":"e-1","source":"a","type":"a.b.v1","subject":"o-1","time":"2026-01-31T12:00:00.000Z","odd":{data},"data":{data}}}"#
        );
        for (detail, id, kept_data) in [(event.as_str(), "e-1", data), (data, "bus-1", data)] {
            let body = format!(
                r#"{{"version":"0","id":"bus-1","detail-type":"a.b.v1","source":"a","account":"111122223333","time":"2026-01-31T12:00:00Z","region":"r","resources":["arn:a","\ud83d",7,{data}],"detail":{detail}}}"#
            );
            let row = row(&body);
            let kept = decode(&encode(vec![row]).unwrap().into()).unwrap().remove(0);
            assert_eq!((&*kept.id, &*kept.data), (id, kept_data), "{data:.80}");
            let entry = kept.to_bus_entry().unwrap();
            assert_eq!(entry.resources[..2], ["arn:a", "\u{fffd}"]);
            if id == "e-1" {
                assert!(
                    entry.detail.ends_with(&format!(r#""odd":{data},"data":{data}}}"#)),
                    "{:.300}",
                    entry.detail
                );
            } else {
                assert_eq!(entry.detail, detail);
            }
        }
    }
}

#[test]
fn a_name_of_the_bus_that_is_no_text_is_a_row_all_the_same() {
    let body = r#"{"id":"bus-1","detail-type":"a.\ud83d.v1","source":"\udd80","time":"2026-01-31T12:00:00Z","detail":{}}"#;
    let row = row(body);
    assert_eq!((&*row.event_type, &*row.source), ("a.\u{fffd}.v1", "\u{fffd}"));
    let extensions = row.extensions.as_deref().unwrap();
    assert!(extensions.contains(r#""detail-type":"a.\ud83d.v1","source":"\udd80""#), "{extensions}");
    let member = r#"{"id":"bus-1","detail-type":"a.b.v1","source":"a","time":"2026-01-31T12:00:00Z","detail":{"specversion":"1.0","id":"e-1","source":"a","type":"a.b.v1","\ud83d":1}}"#;
    let row = self::row(member);
    assert_eq!((&*row.id, row.data.starts_with("{\"specversion\"")), ("bus-1", true), "no CloudEvent");
}

#[test]
fn an_event_without_a_time_that_can_be_used_has_that_of_the_bus() {
    for time in [json!({}), json!({"time": "yesterday"}), json!({"time": "-000001-01-31T22:00:00Z"})] {
        let mut event = json!({"specversion": "1.0", "id": "e-1", "source": "a", "type": "a.b.v1"});
        event.as_object_mut().unwrap().extend(time.as_object().unwrap().clone());
        assert_eq!(row(&envelope(&event, &json!({}))).time.unix_ms(), NOON_MS, "{event}");
    }
}

const OWN: &str = "111122223333";

/// When a message came that was sent so long after its envelope's time.
fn later(ms: i64) -> Delivery<'static> {
    Delivery { own_account: Some(OWN), arrived_at: Some(Timestamp::from_unix_ms(NOON_MS + ms)) }
}

#[test]
fn a_replayed_event_is_known_as_one_and_no_sender_can_say_so_of_its_own() {
    let detail = json!({"a": 1});
    let is_kept = |more: Value, delivery| {
        let body = envelope(&detail, &more);
        match Message::read(&body, delivery) {
            Message::Event(_) => true,
            Message::Replayed => false,
            Message::Unreadable => panic!("{more}"),
        }
    };
    let marked = || json!({"resources": ["arn:a", "orderbus:replay/2026-01-31T12:00:00Z"]});
    assert!(!is_kept(json!({"replay-name": "replay-1"}), later(0)));
    assert!(!is_kept(marked(), later(60_000)), "ours, and the bus took it a minute before");
    assert!(is_kept(marked(), later(59_999)), "an event that the bus never had before");
    assert!(is_kept(marked(), Delivery { arrived_at: None, ..later(0) }));
    for (account, resources) in [
        ("444455556666", json!(["orderbus:replay/x"])),
        ("444455556666", json!(["arn:a", "orderbus:replay/x"])),
        (OWN, json!(["arn:orderbus:replay/1", "orderbus:attempt/1"])),
        (OWN, json!("orderbus:replay/1")),
        (OWN, json!([["orderbus:replay/1"]])),
    ] {
        let more = json!({"account": account, "resources": resources});
        assert!(is_kept(more, later(86_400_000)), "{account} {resources}");
    }
}

#[test]
fn the_origin_is_what_no_sender_chooses() {
    let event = |producer: Value| {
        let mut event = json!({"specversion": "1.0", "id": "e-1", "source": "a", "type": "a.b.v1"});
        if !producer.is_null() {
            event["producer"] = producer;
        }
        event
    };
    for (account, producer, origin) in [
        (OWN, json!(null), None),
        (OWN, json!("carrier"), Some("producer:carrier")),
        (OWN, json!("own"), Some("producer:own")),
        (OWN, json!(""), Some("producer:unreadable")),
        (OWN, json!(["carrier"]), Some("producer:unreadable")),
        (OWN, json!("account:1"), Some("producer:unreadable")),
        ("444455556666", json!(null), Some("account:444455556666")),
        ("444455556666", json!("carrier"), Some("account:444455556666")),
    ] {
        let body = envelope(&event(producer.clone()), &json!({"account": account}));
        let row = row_of(&body, later(0));
        assert_eq!(row.origin.as_deref(), origin, "{account} {producer}");
        let kept = decode(&encode(vec![row.clone()]).unwrap().into()).unwrap().remove(0);
        assert_eq!(kept, row);
        let entry = kept.to_bus_entry().unwrap();
        assert_eq!(entry.account.as_deref(), Some(account));
        assert_eq!(kept.account().as_deref(), Some(account));
        assert_eq!(serde_json::from_str::<Value>(&entry.detail).unwrap(), event(producer));
    }
}

#[test]
fn an_event_is_filed_near_its_arrival_and_keeps_the_time_that_it_said() {
    let (own, other) = (json!({}), json!({"account": "444455556666"}));
    let noon = "2026-01-31T12:00:00.000Z";
    for (sent, more, filed) in [
        ("2020-01-01T00:00:00.000Z", &own, "2020-01-01T00:00:00.000Z"),
        ("2020-01-01T00:00:00.000Z", &other, noon),
        ("2026-01-18T00:00:00.000Z", &other, "2026-01-18T00:00:00.000Z"),
        ("0000-01-01T00:00:00Z", &own, noon),
        ("1999-12-31T00:00:00Z", &own, noon),
        ("2026-02-02T00:00:00Z", &own, noon),
        ("9999-12-31T23:59:59Z", &own, noon),
        ("9999-12-31T23:59:59Z", &other, noon),
    ] {
        let detail = json!({"specversion": "1.0", "id": "e-1", "source": "a", "type": "a.b.v1", "time": sent, "data": 1});
        let body = envelope(&detail, more);
        let row = row_of(&body, later(0));
        assert_eq!(contracts::format_timestamp(row.time), filed, "{sent}");
        let kept = decode(&encode(vec![row]).unwrap().into()).unwrap().remove(0);
        let restored: Value = serde_json::from_str(&kept.to_bus_entry().unwrap().detail).unwrap();
        assert_eq!(restored, detail, "{sent}");
    }
    // The envelope's own time is a sender's choice, too.
    for time in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-02T12:00:00Z", "soon"] {
        let detail =
            json!({"specversion": "1.0", "id": "e-1", "source": "a", "type": "a.b.v1", "time": time});
        let body = envelope(&detail, &json!({"account": "444455556666", "time": time}));
        let row = row_of(&body, later(0));
        assert_eq!((row.time.unix_ms(), row.ingested_at.unix_ms()), (NOON_MS, NOON_MS), "{time}");
    }
}

#[test]
fn what_is_no_envelope_is_no_event() {
    for body in [
        "",
        "{",
        "{}",
        "[]",
        "null",
        "\"text\"",
        &envelope(&json!({}), &json!({"time": "soon"})),
        &envelope(&json!({}), &json!({"id": 1})),
    ] {
        assert_eq!(Message::read(body, Delivery::default()), Message::Unreadable, "{body}");
    }
}

#[test]
fn the_same_rows_are_the_same_object_in_whatever_order_they_come() {
    let samples = samples();
    let rows: Vec<Row<'_>> = samples.iter().map(|body| row(body)).collect();
    let object = encode(rows.clone()).unwrap();
    assert_eq!(encode(rows.iter().rev().cloned().collect()).unwrap(), object);
    assert_eq!(encode(rows.iter().chain(&rows).cloned().collect()).unwrap(), object, "each twice");
    assert_ne!(encode(rows[1..].to_vec()).unwrap(), object);
    let decoded = decode(&object.into()).unwrap();
    assert!(decoded.is_sorted());
}

#[test]
fn no_rows_are_an_object_too() {
    assert_eq!(decode(&encode(vec![]).unwrap().into()).unwrap(), []);
}

fn numbered(number: usize, data_bytes: usize) -> Row<'static> {
    Row {
        event_type: Cow::Owned(format!("a.type-{}.v1", number % 7)),
        time: Timestamp::from_unix_ms(NOON_MS + number as i64),
        id: Cow::Owned(format!("e-{number}")),
        source: "a".into(),
        origin: None,
        ingested_at: Timestamp::from_unix_ms(NOON_MS),
        bus_id: Cow::Owned(format!("bus-{number}")),
        subject: number.is_multiple_of(2).then(|| Cow::Owned(format!("o-{}", number / 8))),
        correlation_id: Some("c".into()),
        causation_id: None,
        schema: None,
        traceparent: None,
        extensions: Some("{}".into()),
        data: Cow::Owned(format!("\"{}\"", "x".repeat(data_bytes))),
    }
}

#[test]
fn statistics_tell_what_a_row_group_can_hold_and_nothing_of_the_data() {
    let object = Bytes::from(encode((0..1000).map(|number| numbered(number, 30_000)).collect()).unwrap());
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&object).unwrap();
    assert!(metadata.num_row_groups() >= 3, "30 MB of rows in {} row groups", metadata.num_row_groups());
    let mut last_type = Vec::new();
    for group in metadata.row_groups() {
        assert!(group.total_byte_size() < 9 << 20);
        let sorting: Vec<i32> =
            group.sorting_columns().unwrap().iter().map(|column| column.column_idx).collect();
        assert_eq!(sorting, [2, 4, 0], "type, time, id");
        for column in group.columns() {
            let name = column.column_path().string();
            match (name.as_str(), column.statistics(), column.column_type()) {
                ("data", None, _) => {}
                ("data", Some(statistics), _) => panic!("data has statistics: {statistics:?}"),
                (_, Some(Statistics::ByteArray(statistics)), Type::BYTE_ARRAY) => {
                    let is_empty = ["causation_id", "schema", "traceparent", "origin"].contains(&&*name);
                    assert_eq!(statistics.min_opt().is_none(), is_empty, "{name}");
                    assert!(statistics.null_count_opt().is_some(), "{name}");
                }
                (_, Some(Statistics::Int64(statistics)), Type::INT64) => {
                    assert!(*statistics.min_opt().unwrap() >= NOON_MS, "{name}");
                }
                (name, statistics, of) => panic!("{name} of {of}: {statistics:?}"),
            }
        }
        let Some(Statistics::ByteArray(types)) = group.column(2).statistics() else { panic!("no types") };
        let min = types.min_opt().unwrap().data().to_vec();
        assert!(min >= last_type, "row groups follow the order of types");
        last_type = types.max_opt().unwrap().data().to_vec();
    }
}

#[test]
fn an_object_is_read_a_row_group_at_a_time_from_parts_of_it() {
    let rows: Vec<Row<'static>> = (0..1000).map(|number| numbered(number, 30_000)).collect();
    let mut sorted = rows.clone();
    sorted.sort();
    let object = Bytes::from(encode(rows).unwrap());
    let bytes = object.len() as u64;
    let needed = Footer::of_tail(&object.slice(object.len() - 8..), bytes).unwrap().unwrap_err();
    let footer = Footer::of_tail(&object.slice(object.len() - needed as usize..), bytes).unwrap().unwrap();
    assert_eq!(footer.rows(), 1000);
    assert!(footer.row_group_bytes_max() < 9 << 20);
    let mut read = Vec::new();
    for group in 0..footer.row_groups() {
        let range = footer.range(group);
        let part = object.slice(range.start as usize..range.end as usize);
        read.extend(footer.decode_row_group(group, part).unwrap());
    }
    assert_eq!(read, sorted);
}

#[test]
fn a_damaged_object_is_an_error() {
    let object = encode((0..100).map(|number| numbered(number, 100)).collect()).unwrap();
    assert!(decode(&Bytes::new()).is_err());
    assert!(decode(&Bytes::from_static(b"PAR1not really PAR1")).is_err());
    for cut in [1, 100, object.len() / 2, object.len() - 9] {
        assert!(decode(&Bytes::copy_from_slice(&object[cut..])).is_err(), "without its first {cut} bytes");
        assert!(
            decode(&Bytes::copy_from_slice(&object[..object.len() - cut])).is_err(),
            "without its last {cut}"
        );
    }
    let footer = Footer::of(&Bytes::from(object.clone())).unwrap();
    assert!(footer.decode_row_group(0, Bytes::from_static(b"short")).is_err());
}

#[test]
fn what_every_version_wrote_can_be_read() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    for (version, count) in [(1, 23), (2, 26)] {
        let golden = Bytes::from(std::fs::read(folder.join(format!("version-{version}.parquet"))).unwrap());
        let bodies = std::fs::read_to_string(folder.join(format!("version-{version}.jsonl"))).unwrap();
        let mut expected: Vec<Row<'_>> = bodies.lines().map(|body| row_of(body, later(0))).collect();
        expected.sort();
        assert_eq!(expected.len(), count);
        assert_eq!(decode(&golden).unwrap(), expected);
        for (row, expected) in decode(&golden).unwrap().iter().zip(&expected) {
            assert_eq!(row.to_bus_entry().unwrap(), expected.to_bus_entry().unwrap());
        }
        // The first version had no column for the origin.
        let others = expected.iter().filter(|row| row.origin.is_some()).count();
        assert_eq!(others, if version == 1 { 0 } else { 2 });
    }
}

prop_compose! {
    fn any_row()(
        event_type in "[a-c]{0,2}", time in 0_i64..4, id in "[a-c]{0,2}", source in "[a-b]?", ingested_at in 0_i64..3,
        bus_id in ".{0,3}", subject in proptest::option::of(".{0,9}"), correlation_id in proptest::option::of("[a-b]?"),
        causation_id in proptest::option::of("."), schema in proptest::option::of("."),
        (traceparent, extensions, data, origin) in
            (proptest::option::of("."), proptest::option::of("."), ".{0,40}", proptest::option::of("[a-b]")),
    ) -> Row<'static> {
        let text = |text: Option<String>| text.map(Cow::Owned);
        Row {
            event_type: event_type.into(), time: Timestamp::from_unix_ms(time), id: id.into(), source: source.into(),
            ingested_at: Timestamp::from_unix_ms(ingested_at), bus_id: bus_id.into(), subject: text(subject),
            correlation_id: text(correlation_id), causation_id: text(causation_id), schema: text(schema),
            traceparent: text(traceparent), extensions: text(extensions), data: data.into(), origin: text(origin),
        }
    }
}

proptest! {
    #[test]
    fn any_rows_come_back_sorted_and_each_once(mut rows in prop::collection::vec(any_row(), 0..40)) {
        let object = Bytes::from(encode(rows.clone()).unwrap());
        let read = decode(&object).unwrap();
        let mut encoder = Encoder::new().unwrap();
        read.iter().for_each(|row| encoder.push(row.clone()).unwrap());
        prop_assert_eq!(Bytes::from(encoder.finish().unwrap()), object);
        rows.sort();
        rows.dedup();
        prop_assert_eq!(read, rows);
    }
}
