//! What flows through the deployed system lies in the lake as Parquet, and the deployed compactor folds an hour of it.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aws::S3LakeObjects;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use contracts::format_timestamp;
use domain::Timestamp;
use lake::{Hour, Partition, Row};
use orderbus::http;
use ports::LakeObjects;
use serde_json::{Value, json};
use stack_tests::ways::Way;
use stack_tests::{TestStack, event_types, eventually, order_of};

const PATIENCE: Duration = Duration::from_secs(120);
const HOUR_MS: i64 = 3_600_000;

#[test]
fn what_flows_through_the_system_is_kept_as_parquet_and_folded() {
    let stack =
        TestStack::deploy(&[("PaymentTimeoutSeconds", "3600"), ("CompactionSchedule", "rate(1 day)")])
            .unwrap();
    stack.count_stock("MUG", 10).unwrap();
    let lake = Lake::of(&stack);

    // An order, all the way.
    let order_id = stack.place("lake-1", &order_of("MUG", 1, 1_000)).unwrap();
    let shipped = eventually(PATIENCE, || {
        // Its facts arrive in any order, so its status alone does not say that all of them are there.
        stack
            .order(&order_id)
            .map(|order| event_types(&order))
            .filter(|types| Way::Shipped.end_of(types).is_some())
    });
    let expected = shipped.unwrap_or_else(|| panic!("{:?}", stack.order(&order_id)));
    let archived = eventually(PATIENCE, || {
        let (rows, _) = lake.read("events/");
        let of_order = rows.into_values().filter(|rows| rows[0].subject.as_deref() == Some(&order_id));
        let mut types: Vec<String> = of_order.map(|rows| rows[0].event_type.to_string()).collect();
        types.sort();
        (types == expected).then_some(())
    });
    assert!(archived.is_some(), "{expected:?}: {:?}", lake.read("events/").0.keys());

    // Events of five hours ago, in several objects, some of them put on the bus twice; and one that a sender marked as a
    // replayed one, which the bus never had before.
    let then = Timestamp::from_unix_ms(orderbus::now().unix_ms() - 5 * HOUR_MS);
    let prefix = Partition::Events(Hour::of(then).unwrap()).prefix();
    for wave in 0..3_usize {
        lake.put(
            &(0..10).map(|number| event(&format!("e-{}", wave * 7 + number), then, &[])).collect::<Vec<_>>(),
        );
        let (distinct, copies) = (wave * 7 + 10, (wave + 1) * 10);
        // Those that were there before come again: the ids alone do not say that all of a wave is there.
        let all_there = eventually(PATIENCE, || {
            let rows = lake.read(&prefix).0;
            (rows.len() == distinct && rows.values().map(Vec::len).sum::<usize>() >= copies).then_some(())
        });
        assert!(all_there.is_some(), "{distinct} events: {:?}", lake.read(&prefix).0.keys());
    }
    lake.put(&[event("marked", then, &["orderbus:replay/test"])]);
    lake.put(&[event("after", then, &[])]);
    stack.await_empty("orderbus-local-EventArchiverQueue", PATIENCE).unwrap();
    let (before, objects) = eventually(PATIENCE, || {
        let (rows, objects) = lake.read(&prefix);
        (rows.contains_key("after") && rows.contains_key("marked")).then_some((rows, objects))
    })
    .expect("no mark of a sender's keeps its event out of the lake");
    assert!(before.values().any(|copies| copies.len() > 1), "some were put twice");
    assert!(objects >= 3, "{objects} objects");

    // Folded: nothing is missing before, while and after; in the end there is one object, with each event once.
    let folded = lake.compact();
    assert_eq!(
        (folded["written"].as_u64(), folded["folded"].as_u64()),
        (Some(1), Some(objects as u64)),
        "{folded}"
    );
    assert_eq!(lake.read(&prefix).0.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let done = eventually(PATIENCE, || {
        lake.compact();
        let (rows, objects) = lake.read(&prefix);
        assert_eq!(rows.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        (objects == 1 && rows.values().all(|copies| copies.len() == 1)).then_some(())
    });
    assert!(done.is_some(), "{:?}", lake.read(&prefix).1);

    // A late event is folded too.
    lake.put(&[event("late", then, &[])]);
    let arrived = eventually(PATIENCE, || lake.read(&prefix).0.contains_key("late").then_some(()));
    assert!(arrived.is_some());
    let done = eventually(PATIENCE, || {
        lake.compact();
        let (rows, objects) = lake.read(&prefix);
        (objects == 1 && rows.len() == before.len() + 1).then_some(())
    });
    assert!(done.is_some(), "{:?}", lake.read(&prefix).1);
}

fn event(id: &str, at: Timestamp, resources: &[&str]) -> PutEventsRequestEntry {
    let detail = json!({
        "specversion": "1.0", "id": id, "source": "lake-test", "type": "lake-test.thing-happened.v1",
        "time": format_timestamp(at), "data": {"number": id},
    });
    PutEventsRequestEntry::builder()
        .source("lake-test")
        .detail_type("lake-test.thing-happened.v1")
        .detail(detail.to_string())
        .set_resources(Some(resources.iter().map(|resource| (*resource).to_owned()).collect()))
        .build()
}

/// The lake of a deployed stack.
struct Lake<'a> {
    stack: &'a TestStack,
    objects: S3LakeObjects,
}

impl<'a> Lake<'a> {
    fn of(stack: &'a TestStack) -> Self {
        let bucket = stack.local().stack().output("LakeBucketName").unwrap().to_owned();
        Self { stack, objects: S3LakeObjects::new(stack.local().stack().sdk().s3(), bucket) }
    }

    /// Puts events on the bus, ten a call.
    fn put(&self, entries: &[PutEventsRequestEntry]) {
        let deployed = self.stack.local().stack();
        let bus = deployed.output("BusName").unwrap();
        for entries in entries.chunks(10) {
            let entries = entries.iter().cloned().map(|mut entry| {
                entry.event_bus_name = Some(bus.to_owned());
                entry
            });
            let put = deployed.sdk().eventbridge().put_events().set_entries(Some(entries.collect())).send();
            assert_eq!(self.stack.wait(put).unwrap().failed_entry_count(), 0);
        }
    }

    /// The rows of each id, and how many objects they are in.
    fn read(&self, prefix: &str) -> (BTreeMap<String, Vec<Row<'static>>>, usize) {
        self.stack.wait(async {
            let listed = self.objects.list(prefix).await.unwrap();
            let mut rows: BTreeMap<String, Vec<Row<'static>>> = BTreeMap::new();
            for object in &listed {
                // It may be folded, and gone, since it was listed.
                let Some(body) = self.objects.read(&object.key, None).await.unwrap() else { continue };
                assert_eq!(Partition::of_key(&object.key).unwrap().key(&body), object.key);
                for row in lake::decode(&body).unwrap() {
                    rows.entry(row.id.to_string()).or_default().push(row);
                }
            }
            (rows, listed.len())
        })
    }

    /// Invokes the deployed compactor as its schedule does.
    fn compact(&self) -> Value {
        let function = self.stack.local().stack().output("LakeCompactorFunctionName").unwrap();
        let endpoint = self.stack.local().ministack().endpoint();
        let url = format!("{endpoint}/2015-03-31/functions/{function}/invocations");
        let answer = http::post(&url, &[("content-type", "application/json")], "{}").unwrap();
        let summary: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(answer.status == 200 && summary["hours"].is_u64(), "{} {}", answer.status, answer.body);
        summary
    }
}
