//! What the lake answers about orders that went through the deployed system is what their read model says.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws::AthenaLakeQueries;
use contracts::{Event, EventType, ParcelPickedUp, parse_timestamp};
use domain::{EventId, OrderId, ShipmentId, Timestamp};
use lake_api::{Days, Lake, REPORTS, Report};
use orderbus::lake::{self, Reported};
use orderbus::tools::Tools;
use orderbus::{Progress, lake_page, play};
use ports::Clock;
use serde_json::{Map, Value, json};
use stack_tests::ways::{CONTENDED, SKUS, Way};
use stack_tests::{TestStack, eventually};

const PATIENCE: Duration = Duration::from_secs(240);
const LAKE_API: &str = "orderbus-local-LakeApiFunction";
const OWN_ACCOUNT: &str = "000000000000";
/// Of people that the orders name, and of what waits for a payment.
const SECRET: [&str; 4] = ["Ada Example", "ada@example.com", "1 Analytical Row", "taskToken"];
const WAYS: [Way; 12] = [
    Way::Shipped,
    Way::Shipped,
    Way::PickedUp,
    Way::PickedUp,
    Way::PickedUp,
    Way::OutOfStock,
    Way::Contended,
    Way::Contended,
    Way::Declined,
    Way::CalledOff,
    Way::BreaksRules,
    Way::PickedUp,
];

#[test]
fn the_lake_says_of_orders_what_their_read_model_says() {
    let stack = TestStack::deploy(&[("PaymentTimeoutSeconds", "3600")]).unwrap();
    let orders = live(&stack);
    let quarantined = quarantine_one(&stack);
    let days = days_of(&orders);
    let others = what_others_claim(&stack, &orders);
    let expected = figures(&orders, &quarantined, &others);

    await_archive(&stack, &days, &expected["events-by-type"]);
    repeat_in_the_lake(&stack);
    every_report_agrees(&stack, days, &expected);
    every_named_query_agrees(&stack, &days, &expected);
    every_history_agrees(&stack, &orders);
    every_event_is_found_once(&stack, &orders);
    hostile_questions_start_nothing(&stack);
}

/// What the API says of each order, once all have ended.
fn live(stack: &TestStack) -> Vec<Value> {
    SKUS.iter().for_each(|sku| stack.count_stock(sku, 100).unwrap());
    stack.count_stock(CONTENDED, 1).unwrap();
    let mut ids = Vec::new();
    for (index, way) in WAYS.iter().enumerate() {
        let key = format!("lake-{index}");
        let request = way.request(index);
        if *way == Way::BreaksRules {
            let id = OrderId::parse(&key).unwrap();
            publish(stack, &id, "placed", request.into_order_placed(&id).into());
            ids.push(key);
        } else {
            ids.push(stack.place(&key, &request).unwrap());
        }
    }
    let ended = eventually(PATIENCE, || {
        let orders: Vec<Value> = ids.iter().filter_map(|id| stack.order(id)).collect();
        for order in orders.iter().filter(|order| order["status"] == "shipment_scheduled") {
            if way_of(&ids, order) == Way::PickedUp {
                let id = OrderId::parse(order["orderId"].as_str().unwrap()).unwrap();
                pick_up(stack, &id);
            }
        }
        for order in orders.iter().filter(|order| order["status"] == "awaiting_payment") {
            if way_of(&ids, order) == Way::CalledOff {
                stack.api().cancel(order["orderId"].as_str().unwrap()).unwrap();
            }
        }
        let has_ended =
            |order: &Value| way_of(&ids, order).end_of(&stack_tests::event_types(order)).is_some();
        (orders.len() == ids.len() && orders.iter().all(has_ended)).then_some(orders)
    });
    ended.unwrap_or_else(|| panic!("{:#?}", ids.iter().map(|id| stack.order(id)).collect::<Vec<_>>()))
}

fn way_of(ids: &[String], order: &Value) -> Way {
    WAYS[ids.iter().position(|id| order["orderId"] == id.as_str()).unwrap()]
}

fn pick_up(stack: &TestStack, id: &OrderId) {
    let parcel = ParcelPickedUp {
        order_id: id.to_string(),
        shipment_id: ShipmentId::of(id).to_string(),
        parcel_id: format!("parcel-{id}"),
        carrier: "Example Parcels".to_owned(),
    };
    publish(stack, id, "picked-up", parcel.into());
}

fn publish(stack: &TestStack, id: &OrderId, name: &str, data: contracts::Data) {
    let event = Event {
        id: EventId::parse(&format!("{id}-{name}")).unwrap(),
        subject: id.clone().into(),
        time: orderbus::now(),
        correlation_id: id.to_string(),
        causation_id: None,
        traceparent: None,
        data,
    };
    stack.wait(play::publish(stack.local().stack(), &event)).unwrap();
}

/// One message that can never be handled: its consumer and the reason as `orderbus dlq` shows them, and the day.
fn quarantine_one(stack: &TestStack) -> (String, String, String) {
    let queue = stack.queue_url("orderbus-local-OrderPlacedQueue").unwrap();
    let request =
        stack.local().stack().sdk().sqs().send_message().queue_url(queue).message_body("{ not JSON");
    stack.wait(request.send()).unwrap();
    let dlq = stack.local().stack().dlq(&Tools::ready(&Progress::new(|_| ())).unwrap()).unwrap();
    let found = eventually(PATIENCE, || {
        // The schedule does it by itself; by hand it is quicker.
        stack.wait(dlq.redrive(&dlq_reprocessor::Order::default())).unwrap();
        let listed = stack.wait(dlq.list(&dlq_reprocessor::Order::default())).unwrap();
        let at = listed.messages.iter().position(|one| one.place == dlq_reprocessor::Place::Quarantine)?;
        let shown = orderbus::dlq::list_json(&listed);
        let text = |name: &str| shown[at][name].as_str().map(str::to_owned);
        Some((text("consumer")?, text("reasonCode")?))
    });
    let (consumer, reason) = found.unwrap();
    (consumer, reason, contracts::format_timestamp(orderbus::now())[..10].to_owned())
}

/// What begins the ids of events that are not what they say.
const CLAIMED: &str = "claimed-";

/// Events in the lake that no order came to. Source and type of each, and what the reports leave out because of it: report,
/// SKU, currency and how often.
struct Claims {
    events: Vec<(&'static str, &'static str)>,
    left_out: Vec<(&'static str, Option<&'static str>, Option<&'static str>, i64)>,
}

/// Puts such into the lake: of others than their type says, what a consumer sets aside, and what few readers hold.
fn what_others_claim(stack: &TestStack, orders: &[Value]) -> Claims {
    const OTHER_ACCOUNT: &str = "444455556666";
    let (confirmed, cancelled, rejected, departed) = (
        EventType::OrderConfirmed.as_str(),
        EventType::OrderCancelled.as_str(),
        EventType::StockRejected.as_str(),
        EventType::ShipmentDeparted.as_str(),
    );
    let (captured, signed) = (EventType::PaymentCaptured.as_str(), EventType::SignatureCollected.as_str());
    let sku = SKUS[0];
    let line = |quantity: &str, price: &str| {
        format!(
            r#"{{"sku":"{sku}","quantity":{quantity},"unitPrice":{{"amountMinor":{price},"currency":"EUR"}}}}"#
        )
    };
    let lines = |lines: &[String]| format!(r#"{{"lines":[{}]}}"#, lines.join(","));
    let short = |of: &str| format!(r#"{{"shortages":[{of}]}}"#);
    let deep = format!(r#"{{"lines":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    let fair = lines(&[line("1000", "100000")]);
    let fair_shortage = short(&format!(r#"{{"sku":"{sku}","requested":9,"available":0}}"#));
    let empty = || "{}".to_owned();
    let big = "9000000000000000000";
    let claims: Vec<(&str, &'static str, &'static str, String)> = vec![
        // Of a source that is not the type's, and of another account: they count nowhere.
        (OWN_ACCOUNT, "shipping", confirmed, fair.clone()),
        (OWN_ACCOUNT, "shipping", cancelled, r#"{"reason":{"code":"claimed"}}"#.to_owned()),
        (OWN_ACCOUNT, "shipping", rejected, fair_shortage.clone()),
        (OTHER_ACCOUNT, "orders", confirmed, fair),
        (OTHER_ACCOUNT, "orders", cancelled, r#"{"reason":{"code":"claimed"}}"#.to_owned()),
        (OTHER_ACCOUNT, "inventory", rejected, fair_shortage),
        (OTHER_ACCOUNT, "shipping", departed, empty()),
        // What others may say, but of an order of ours that asked for no money yet and has not left.
        (OTHER_ACCOUNT, "payments", captured, empty()),
        (OTHER_ACCOUNT, "shipping", signed, empty()),
        // Ours by account, and impossible: left out, and counted.
        (OWN_ACCOUNT, "orders", confirmed, r#"{"lines":"many"}"#.to_owned()),
        (
            OWN_ACCOUNT,
            "orders",
            confirmed,
            lines(&[line("\"many\"", "1"), line("null", "1"), line(big, big)]),
        ),
        (
            OWN_ACCOUNT,
            "orders",
            confirmed,
            lines(&[line("9999", "9007199254740991"), line("0", "1"), line("1e400", "1")]),
        ),
        (OWN_ACCOUNT, "orders", confirmed, r#"{"lines":[{"sku":"\ud83d"}]}"#.to_owned()),
        (OWN_ACCOUNT, "orders", confirmed, deep),
        (OWN_ACCOUNT, "inventory", rejected, format!(r#"{{"shortages":{{"sku":"{sku}"}}}}"#)),
        (
            OWN_ACCOUNT,
            "inventory",
            rejected,
            short(&format!(
                r#"{{"sku":"{sku}","requested":[],"available":1}},null,{{"sku":"{sku}","requested":9223372036854775807,"available":-1}}"#
            )),
        ),
    ];
    // An order that was refused for lack of stock: nobody was asked for money, and nothing left.
    let refused = orders.iter().find(|order| of_type(order, EventType::StockRejected).is_some()).unwrap();
    let placed = of_type(&orders[0], EventType::OrderPlaced).unwrap();
    let body = |(number, (account, source, event_type, data)): (usize, &(&str, &str, &str, String))| {
        let (id, time) = (format!("{CLAIMED}{number}"), placed["time"].as_str().unwrap());
        let order = if [captured, signed].contains(event_type) { refused } else { &orders[0] };
        let subject = order["orderId"].as_str().unwrap();
        format!(
            r#"{{"version":"0","id":"{id}","detail-type":"{event_type}","source":"{source}","account":"{account}","time":"{time}","region":"us-east-1","resources":[],"detail":{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{event_type}","time":"{time}","subject":"{subject}","data":{data}}}}}"#
        )
    };
    let bodies: Vec<String> = claims.iter().enumerate().map(body).collect();
    let delivery = ::lake::Delivery { own_account: Some(OWN_ACCOUNT), arrived_at: None };
    let rows = bodies.iter().map(|body| match ::lake::Message::read(body, delivery) {
        ::lake::Message::Event(row) => *row,
        other => panic!("{other:?}"),
    });
    let object = ::lake::encode(rows.collect()).unwrap();
    let key = ::lake::Partition::Events(::lake::Hour::of(at(placed)).unwrap()).key(&object);
    let bucket = stack.local().stack().output("LakeBucketName").unwrap();
    let request = stack.local().stack().sdk().s3().put_object().bucket(bucket).key(key).body(object.into());
    stack.wait(request.send()).unwrap();
    Claims {
        events: claims.iter().map(|(_, source, event_type, _)| (*source, *event_type)).collect(),
        left_out: vec![
            ("revenue", Some(sku), Some("EUR"), 6),
            ("revenue", None, None, 3),
            ("stock-outs", Some(sku), None, 2),
            ("stock-outs", None, None, 2),
        ],
    }
}

fn at(event: &Value) -> Timestamp {
    parse_timestamp(event["time"].as_str().unwrap()).unwrap()
}

fn day(event: &Value) -> &str {
    &event["time"].as_str().unwrap()[..10]
}

fn history(order: &Value) -> &[Value] {
    order["history"].as_array().unwrap()
}

fn of_type(order: &Value, event_type: EventType) -> Option<&Value> {
    history(order).iter().find(|event| event["type"] == event_type.as_str())
}

/// Every day on which something happened.
fn days_of(orders: &[Value]) -> Days {
    let times: Vec<Timestamp> = orders.iter().flat_map(history).map(at).collect();
    let text = |at: &Timestamp| contracts::format_timestamp(*at)[..10].to_owned();
    let (first, last) = (times.iter().min().unwrap(), orderbus::now());
    Days::parse(Some(&text(first)), Some(&text(&last)), orderbus::now()).unwrap()
}

type Figures = BTreeMap<&'static str, Vec<Value>>;

/// Every report, from the read model.
fn figures(
    orders: &[Value],
    (consumer, reason, quarantined_on): &(String, String, String),
    claims: &Claims,
) -> Figures {
    let placed_on = |order: &Value| day(of_type(order, EventType::OrderPlaced).unwrap()).to_owned();
    let lines = |order: &Value| order["lines"].as_array().unwrap().clone();
    let mut figures = Figures::new();
    let claimed_on = day(of_type(&orders[0], EventType::OrderPlaced).unwrap());
    let left_out = |report: &str| {
        let of_report: Vec<_> = claims.left_out.iter().filter(|(of, ..)| *of == report).copied().collect();
        of_report.into_iter().map(|(_, sku, currency, count)| (sku, currency, count))
    };

    let mut statuses = Count::default();
    orders.iter().for_each(|order| {
        statuses.add(json!({"day": placed_on(order), "status": order["status"]}), [("orders", 1)])
    });
    figures.insert("orders-by-status", statuses.rows());

    let steps = [
        ("placed", EventType::OrderPlaced),
        ("accepted", EventType::OrderAccepted),
        ("stock reserved", EventType::StockReserved),
        ("paid", EventType::PaymentCaptured),
        ("confirmed", EventType::OrderConfirmed),
        ("shipment scheduled", EventType::ShipmentScheduled),
        ("shipped", EventType::ShipmentDeparted),
        ("delivered", EventType::SignatureCollected),
    ];
    let furthest =
        |order: &Value| steps.iter().rposition(|(_, step)| of_type(order, *step).is_some()).unwrap();
    let has_dropped_out =
        |order: &Value| ["rejected", "cancelled"].iter().any(|end| order["outcome"] == *end);
    let funnel = steps.iter().enumerate().map(|(step, (stage, _))| {
        let there: Vec<&Value> = orders.iter().filter(|order| furthest(order) == step).collect();
        let dropped_out = there.iter().filter(|order| has_dropped_out(order)).count();
        let reached = orders.iter().filter(|order| furthest(order) >= step).count();
        json!({"step": step + 1, "stage": stage, "orders": reached, "dropped_out": dropped_out, "still_there": there.len() - dropped_out})
    });
    figures.insert("funnel", funnel.collect());

    let mut drop_outs = Count::default();
    for order in orders.iter().filter(|order| has_dropped_out(order)) {
        let key = json!({"day": placed_on(order), "ending": order["outcome"], "reason": order["reasons"][0]["code"]});
        drop_outs.add(key, [("orders", 1)]);
    }
    figures.insert("drop-outs", drop_outs.rows());

    let mut durations: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for order in orders {
        if let Some(departed) = of_type(order, EventType::ShipmentDeparted) {
            let placed = at(of_type(order, EventType::OrderPlaced).unwrap());
            durations.entry(placed_on(order)).or_default().push(at(departed).unix_ms() - placed.unix_ms());
        }
    }
    let times = durations.into_iter().map(|(day, mut durations)| {
        durations.sort_unstable();
        let percentile = |percent: usize| durations[(percent * durations.len()).div_ceil(100) - 1];
        json!({"day": day, "orders": durations.len(), "p50_ms": percentile(50), "p90_ms": percentile(90), "p99_ms": percentile(99), "left_out": 0})
    });
    figures.insert("time-to-ship", times.collect());

    let mut revenue = Count::default();
    for order in orders {
        for line in of_type(order, EventType::OrderConfirmed).into_iter().flat_map(|event| {
            let day = day(event).to_owned();
            lines(order).into_iter().map(move |line| (day.clone(), line))
        }) {
            let (day, line) = line;
            let (quantity, price) =
                (line["quantity"].as_i64().unwrap(), line["unitPrice"]["amountMinor"].as_i64().unwrap());
            let key = json!({"day": day, "sku": line["sku"], "currency": line["unitPrice"]["currency"]});
            let values =
                [("orders", 1), ("quantity", quantity), ("revenue_minor", quantity * price), ("left_out", 0)];
            revenue.add(key, values);
        }
    }
    for (sku, currency, count) in left_out("revenue") {
        let key = json!({"day": claimed_on, "sku": sku, "currency": currency});
        revenue.add(key, [("orders", 0), ("quantity", 0), ("revenue_minor", 0), ("left_out", count)]);
    }
    figures.insert("revenue", revenue.rows());

    let mut stock_outs = Count::default();
    for event in orders.iter().filter_map(|order| of_type(order, EventType::StockRejected)) {
        for shortage in event["data"]["shortages"].as_array().unwrap() {
            let number = |name: &str| shortage[name].as_i64().unwrap();
            let missing = number("requested") - number("available");
            let key = json!({"day": day(event), "sku": shortage["sku"]});
            let values =
                [("orders", 1), ("requested", number("requested")), ("missing", missing), ("left_out", 0)];
            stock_outs.add(key, values);
        }
    }
    for (sku, _, count) in left_out("stock-outs") {
        let values = [("orders", 0), ("requested", 0), ("missing", 0), ("left_out", count)];
        stock_outs.add(json!({"day": claimed_on, "sku": sku}), values);
    }
    figures.insert("stock-outs", stock_outs.rows());

    let mut dead_letters = Count::default();
    dead_letters
        .add(json!({"day": quarantined_on, "consumer": consumer, "reason": reason}), [("messages", 1)]);
    figures.insert("dead-letters", dead_letters.rows());

    let mut events = Count::default();
    for event in orders.iter().flat_map(history) {
        let source = event["type"].as_str().unwrap().split('.').next().unwrap();
        events.add(json!({"day": day(event), "source": source, "type": event["type"]}), [("events", 1)]);
    }
    for (source, event_type) in &claims.events {
        events.add(json!({"day": claimed_on, "source": source, "type": event_type}), [("events", 1)]);
    }
    let quarantined = EventType::EventQuarantined;
    events.add(
        json!({"day": quarantined_on, "source": quarantined.source(), "type": quarantined.as_str()}),
        [("events", 1)],
    );
    figures.insert("events-by-type", events.rows());
    figures
}

/// Sums by key, in the order of the key's values.
#[derive(Default)]
struct Count(BTreeMap<Vec<String>, Value>);

impl Count {
    fn add<const N: usize>(&mut self, key: Value, values: [(&str, i64); N]) {
        let members: &Map<String, Value> = key.as_object().unwrap();
        let order = ["day", "source", "sku", "currency", "ending", "consumer", "reason", "status", "type"];
        // What is null comes last.
        let text = |value: &Value| value.as_str().unwrap_or("\u{10ffff}").to_owned();
        let sorted = order.iter().filter_map(|name| members.get(*name)).map(text);
        let row = self.0.entry(sorted.collect()).or_insert_with(|| key.clone());
        for (name, value) in values {
            row[name] = json!(row[name].as_i64().unwrap_or(0) + value);
        }
    }

    fn rows(self) -> Vec<Value> {
        self.0.into_values().collect()
    }
}

/// The time of the machine, and a minute more each time it is read: a question that was asked before is asked anew.
#[derive(Debug, Default)]
struct ImpatientClock(AtomicI64);

impl Clock for ImpatientClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(orderbus::now().unix_ms() + 60_000 * self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn await_archive(stack: &TestStack, days: &Days, expected: &[Value]) {
    let deployed = lake::of(stack.local().stack()).unwrap();
    let lake = Lake { queries: deployed.queries, clock: ImpatientClock::default(), patience: PATIENCE };
    let report = Report::named("events-by-type").unwrap();
    let mut last = Vec::new();
    let complete = eventually(PATIENCE, || {
        last = rows(stack, &lake, report, days);
        (last == expected).then_some(())
    });
    assert!(complete.is_some(), "left: the lake, right: the read model\n{last:#?}\n{expected:#?}");
}

fn rows<C: Clock>(
    stack: &TestStack,
    lake: &Lake<AthenaLakeQueries, C>,
    report: &Report,
    days: &Days,
) -> Vec<Value> {
    match stack.wait(lake.report(report, days)).unwrap() {
        lake_api::Answer::Rows(rows) => lake_api::report_rows(report, &rows).unwrap(),
        other => panic!("{}: {other:?}", report.name),
    }
}

/// Stores every object of the lake a second time, as a redelivered batch does that was cut otherwise.
fn repeat_in_the_lake(stack: &TestStack) {
    let (s3, bucket) =
        (stack.local().stack().sdk().s3(), stack.local().stack().output("LakeBucketName").unwrap());
    stack.wait(async {
        let listed = s3.list_objects_v2().bucket(bucket).prefix("events/").send().await.unwrap();
        let keys: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
        assert!(!keys.is_empty());
        for key in keys {
            let body =
                s3.get_object().bucket(bucket).key(key).send().await.unwrap().body.collect().await.unwrap();
            let (folder, name) = key.rsplit_once('/').unwrap();
            let again = s3.put_object().bucket(bucket).key(format!("{folder}/again-{name}"));
            again.body(body.into_bytes().into()).send().await.unwrap();
        }
    });
}

fn every_report_agrees(stack: &TestStack, days: Days, expected: &Figures) {
    let deployed = lake::of(stack.local().stack()).unwrap();
    let mut pages = Vec::new();
    // Each question scans what it costs, so nobody asks without a signature, not even where orders are open.
    assert_eq!(stack.api().get("/lake/reports").unwrap().status, 403);
    for report in REPORTS {
        let query = format!("from={}&to={}", days.first(), days.last());
        let answer = answered(stack, &format!("/lake/reports/{}?{query}", report.name));
        assert_eq!(answer["rows"], json!(expected[report.name]), "{} over HTTP", report.name);

        let reported = stack.wait(lake::report(&deployed, report, days)).unwrap();
        assert_eq!(reported.rows, expected[report.name], "{} by the command", report.name);
        assert!(reported.table().lines().all(|line| line.chars().count() <= 100));
        pages.push(reported);

        // The API waits a few seconds for a query, and answers 202 when it takes longer.
        let csv =
            || stack.api().get_signed(&format!("/lake/reports/{}?{query}&format=csv", report.name)).unwrap();
        let answer = eventually(PATIENCE, || Some(csv()).filter(|answer| answer.status != 202));
        let csv = answer.unwrap_or_else(|| panic!("{} as CSV is not answered", report.name));
        assert_eq!(csv.content_type.as_deref(), Some("text/csv; charset=utf-8"));
        assert_eq!(csv.body.lines().count(), 1 + expected[report.name].len(), "{}", csv.body);
    }
    println!("{}", pages.iter().map(Reported::table).collect::<Vec<_>>().join("\n"));
    let page = lake_page::page(&pages).unwrap();
    assert_eq!(page.matches("<svg ").count(), REPORTS.len());
}

/// The answer of a `GET`, wherever it says to look for it.
fn answered(stack: &TestStack, path: &str) -> Value {
    let mut path = path.to_owned();
    let found = eventually(PATIENCE, || {
        let answer = stack.api().get_signed(&path).unwrap();
        assert!(!SECRET.iter().any(|secret| answer.body.contains(secret)), "{path}");
        match answer.status {
            200 => serde_json::from_str(&answer.body).ok(),
            202 => {
                path = answer.location.unwrap();
                None
            }
            status => panic!("{path}: {status} {}", answer.body),
        }
    });
    found.unwrap_or_else(|| panic!("{path} is not answered"))
}

/// The text that stands in the template, as someone would run it by hand.
fn every_named_query_agrees(stack: &TestStack, days: &Days, expected: &Figures) {
    let athena = stack.local().stack().sdk().athena();
    let workgroup = stack.local().stack().output("LakeWorkgroupName").unwrap();
    let database = stack.local().stack().output("LakeDatabaseName").unwrap();
    let names: BTreeSet<String> = stack.wait(async {
        let ids = athena.list_named_queries().work_group(workgroup).send().await.unwrap();
        let mut names = BTreeSet::new();
        for id in ids.named_query_ids() {
            let named =
                athena.get_named_query().named_query_id(id).send().await.unwrap().named_query.unwrap();
            assert_eq!(named.database(), database);
            let report = Report::named(named.name()).unwrap();
            let value = |value: ports::Parameter| match value {
                ports::Parameter::Text(text) => format!("'{text}'"),
                other => panic!("{other:?}"),
            };
            let values = report.values(days).into_iter().map(value).collect();
            let context = aws_sdk_athena::types::QueryExecutionContext::builder().database(database).build();
            let request =
                athena.start_query_execution().query_string(named.query_string()).work_group(workgroup);
            let request = request.query_execution_context(context).set_execution_parameters(Some(values));
            let id = request.send().await.unwrap().query_execution_id.unwrap();
            let id = ports::QueryId::parse(&id).unwrap();
            let queries = AthenaLakeQueries::new(athena.clone(), workgroup.to_owned(), database.to_owned());
            let found = loop {
                use ports::LakeQueries;
                match queries.look_up(&id).await.unwrap().unwrap().state {
                    ports::QueryState::Running => {}
                    ports::QueryState::Succeeded => break queries.rows(&id, 1_000).await.unwrap(),
                    state => panic!("{}: {state:?}", named.name()),
                }
            };
            assert_eq!(
                lake_api::report_rows(report, &found).unwrap(),
                expected[report.name],
                "{}",
                named.name()
            );
            names.insert(named.name().to_owned());
        }
        names
    });
    assert_eq!(names, REPORTS.iter().map(|report| report.name.to_owned()).collect());
}

fn every_history_agrees(stack: &TestStack, orders: &[Value]) {
    // Told at once where to look, a caller finds the same.
    stack.set_variable(LAKE_API, "PATIENCE_MILLISECONDS", "0").unwrap();
    for order in orders {
        let answer = answered(stack, &format!("/lake/orders/{}", order["orderId"].as_str().unwrap()));
        let told =
            |event: &Value, id: &str| (event[id].clone(), event["type"].clone(), event["time"].clone());
        let own = |event: &&Value| !event["id"].as_str().unwrap().starts_with(CLAIMED);
        let lake: Vec<_> = history(&answer).iter().filter(own).map(|event| told(event, "id")).collect();
        let model: Vec<_> = history(order).iter().map(|event| told(event, "eventId")).collect();
        assert_eq!(lake, model, "{}", order["orderId"]);
    }
    stack.set_variable(LAKE_API, "PATIENCE_MILLISECONDS", "3000").unwrap();
}

fn every_event_is_found_once(stack: &TestStack, orders: &[Value]) {
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for event in orders.iter().flat_map(history) {
        expected.insert(event["eventId"].as_str().unwrap().to_owned());
    }
    let mut seen = Vec::new();
    let mut path = "/lake/events?limit=9".to_owned();
    loop {
        let page = answered(stack, &path);
        for event in page["events"].as_array().unwrap() {
            let id = event["id"].as_str().unwrap();
            if event["type"] != EventType::EventQuarantined.as_str() && !id.starts_with(CLAIMED) {
                seen.push(id.to_owned());
            }
        }
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    let order = &orders[0];
    let only = answered(
        stack,
        &format!("/lake/events?subject={}&source=orders", order["orderId"].as_str().unwrap()),
    );
    let own = history(order).iter().filter(|event| event["type"].as_str().unwrap().starts_with("orders."));
    let told = only["events"].as_array().unwrap().iter();
    assert_eq!(told.filter(|event| !event["id"].as_str().unwrap().starts_with(CLAIMED)).count(), own.count());
}

fn hostile_questions_start_nothing(stack: &TestStack) {
    let athena = stack.local().stack().sdk().athena();
    let workgroup = format!("{}-lake-api", stack.local().stack().output("LakeWorkgroupName").unwrap());
    let started = || {
        let listed = stack.wait(athena.list_query_executions().work_group(&workgroup).send()).unwrap();
        listed.query_execution_ids().len()
    };
    let before = started();
    assert!(before > 0);
    for path in [
        "/lake/events?type=%27%20OR%201%3D1%20--",
        "/lake/events?type=orders.order-placed.v1%27",
        "/lake/events?subject=a%00b",
        "/lake/events?subject=%E2%80%99",
        "/lake/events?source=%2F%2A%20%2A%2F",
        "/lake/events?limit=-1",
        "/lake/events?limit=1%3BDROP%20TABLE%20events",
        "/lake/events?cursor=AAAA",
        "/lake/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "/lake/events?from=1970-01-01&to=9999-12-31",
        "/lake/events?type=a&type=b",
        "/lake/reports/revenue?from=2020-01-01&to=2026-01-01",
        "/lake/reports/revenue?from=%27",
        "/lake/reports/revenue%27",
        "/lake/reports/..%2Frevenue",
        "/lake/orders/%27%3B--",
        "/lake/orders/..%2F..%2Fetc",
        "/lake/queries/00000000-0000-4000-8000-000000000000",
        "/lake/queries/%27",
    ] {
        let answer = stack.api().get_signed(path).unwrap();
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(started(), before);
}
