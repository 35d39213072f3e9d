//! Every file of `events/samples` goes to its function. A sample is what people try a function with by hand, so what
//! comes of it stands here, for each of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::{BusEvent, Data, EventType, OPEN_SCOPE, fact_of, kind_of_type};
use dlq_reprocessor::{Policy, Queues, Reprocessor, Settings, Summary};
use domain::EventId;
use event_archiver::EventArchiver;
use event_gateway::{EventGateway, Producers};
use function_tests::{Function, NOW, SteppingClock, order_id, sku, types_of};
use inventory_updater::InventoryUpdater;
use lake_api::{EVENT_COLUMNS, Lake, LakeApi, REPORTS};
use memory::{
    ManualClock, MemoryDeadLetterQueues, MemoryEventBus, MemoryEventLake, MemoryEventLedger,
    MemoryFulfilmentCentre, MemoryLakeQueries, MemoryOnCall, MemoryOrderStore, MemoryOrderViewStore,
    MemoryPaymentTasks, MemoryQuarantineStore, MemoryQueues, MemoryRedriveLedger, MemoryRedriveTargets,
    MemoryShipmentStore, MemoryStockStore, QueueSettings,
};
use order_api::OrderApi;
use order_placed::OrderPlacedHandler;
use order_tracker::OrderTracker;
use payment_callback::PaymentCallback;
use payment_provider::PaymentProvider;
use ports::{NewOrder, OrderDecision, OrderStore, OrderViewStore, Registration, Rows, StockCounts};
use runtime::{Deadline, Handler, SqsEvent};
use shipping_notifier::ShippingNotifier;

/// The order that nearly every sample is about.
const ORDER_ID: &str = "5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10";
const TASK_TOKEN: &str = "AQCsampletasktoken";

/// What comes of one sample.
#[derive(Debug, PartialEq, Eq, Default)]
struct Outcome {
    /// The types of the events published, in order.
    published: Vec<&'static str>,
    /// How many records are to be delivered again.
    failed: usize,
    /// The codes under which records are set aside, in order.
    quarantined: Vec<String>,
    /// The status, of a function behind HTTP.
    status: Option<i64>,
    /// How many objects are in the lake.
    objects: usize,
}

fn publishes(published: &[&'static str]) -> Outcome {
    Outcome { published: published.to_vec(), ..Outcome::default() }
}

fn answers(status: i64, published: &[&'static str]) -> Outcome {
    Outcome { status: Some(status), ..publishes(published) }
}

fn quarantines(published: &[&'static str], codes: &[&str]) -> Outcome {
    Outcome { quarantined: codes.iter().map(|code| (*code).to_owned()).collect(), ..publishes(published) }
}

fn retries(failed: usize) -> Outcome {
    Outcome { failed, ..Outcome::default() }
}

fn archives(objects: usize) -> Outcome {
    Outcome { objects, ..Outcome::default() }
}

const GIVEN_UP: &str = "ops.event-quarantined.v1";
const ACCEPTED: &str = "orders.order-accepted.v1";
const RESERVED: &str = "inventory.stock-reserved.v1";
const CAPTURED: &str = "payments.payment-captured.v1";
const PICKED_UP: &str = "shipping.parcel-picked-up.v1";
const STATUS_CHANGED: &str = "shipping.delivery-status-changed.v1";
const POISON: [&str; 4] = ["not_json", "unknown_type", "unknown_version", "invalid_attribute"];

/// A sample, the samples that its function was given before, and what comes of it.
type Expectation = (&'static str, &'static [&'static str], Outcome);

fn expectations() -> Vec<Expectation> {
    vec![
        ("dlq-reprocessor/schedule.json", &[], publishes(&[GIVEN_UP])),
        ("dlq-reprocessor/schedule.json", &["dlq-reprocessor/schedule.json"], publishes(&[])),
        ("dlq-reprocessor/by-hand.json", &[], publishes(&[GIVEN_UP])),
        ("event-archiver/every-type.json", &[], archives(1)),
        ("event-archiver/every-type.json", &["event-archiver/every-type.json"], archives(1)),
        ("event-archiver/undecodable.json", &[], archives(2)),
        ("event-gateway/one-event.json", &[], answers(202, &[STATUS_CHANGED])),
        ("event-gateway/one-event.json", &["event-gateway/one-event.json"], answers(202, &[])),
        ("event-gateway/mixed-batch.json", &[], answers(207, &[CAPTURED, PICKED_UP])),
        ("event-gateway/foreign-source.json", &[], answers(403, &[])),
        ("event-gateway/not-signed.json", &[], answers(403, &[])),
        ("event-gateway/not-json.json", &[], answers(400, &[])),
        ("event-gateway/other-media-type.json", &[], answers(415, &[])),
        ("inventory-updater/order-placed.json", &[], publishes(&[RESERVED])),
        ("inventory-updater/order-placed.json", &["inventory-updater/order-cancelled.json"], publishes(&[])),
        ("inventory-updater/order-cancelled.json", &[], publishes(&[])),
        (
            "inventory-updater/order-cancelled.json",
            &["inventory-updater/order-placed.json"],
            publishes(&["inventory.stock-released.v1"]),
        ),
        ("inventory-updater/order-rejected.json", &[], publishes(&[])),
        ("inventory-updater/shipment-departed.json", &[], retries(1)),
        (
            "inventory-updater/shipment-departed.json",
            &["inventory-updater/order-placed.json"],
            publishes(&[]),
        ),
        ("inventory-updater/poison-among-ten.json", &[], quarantines(&[RESERVED; 6], &POISON)),
        ("lake-api/report.json", &[], answers(200, &[])),
        ("lake-api/events.json", &[], answers(200, &[])),
        ("lake-api/order.json", &[], answers(404, &[])),
        ("lake-api/report-of-a-reversed-period.json", &[], answers(400, &[])),
        ("order-api/place-order.json", &[], answers(202, &["orders.order-placed.v1"])),
        (
            "order-api/place-order.json",
            &["order-api/place-order.json"],
            answers(202, &["orders.order-placed.v1"]),
        ),
        ("order-api/place-order-invalid.json", &[], answers(422, &[])),
        ("order-api/place-order-not-json.json", &[], answers(400, &[])),
        ("order-api/place-order-without-key.json", &[], answers(400, &[])),
        ("order-api/place-order-wrong-type.json", &[], answers(422, &[])),
        ("order-api/get-order.json", &[], answers(200, &[])),
        ("order-api/cancel-order.json", &[], answers(202, &["orders.cancellation-requested.v1"])),
        ("order-placed/order-placed.json", &[], publishes(&[ACCEPTED])),
        ("order-placed/order-placed-invalid.json", &[], publishes(&["orders.order-rejected.v1"])),
        ("order-placed/cancellation-requested.json", &[], publishes(&["orders.order-cancelled.v1"])),
        ("order-placed/stock-rejected.json", &[], publishes(&["orders.order-rejected.v1"])),
        ("order-placed/stock-rejected.json", &["order-placed/cancellation-requested.json"], publishes(&[])),
        ("order-placed/poison-among-ten.json", &[], quarantines(&[ACCEPTED; 6], &POISON)),
        ("order-tracker/every-type.json", &[], publishes(&[])),
        ("payment-callback/payment-captured.json", &[], publishes(&[])),
        ("payment-callback/payment-captured.json", &["payment-callback/payment-failed.json"], retries(1)),
        ("payment-callback/payment-failed.json", &[], publishes(&[])),
        ("payment-provider/payment-requested.json", &[], publishes(&["payments.payment-captured.v1"])),
        ("payment-provider/refund-requested.json", &[], publishes(&[])),
        ("shipping-notifier/order-confirmed.json", &[], publishes(&["shipping.shipment-scheduled.v1"])),
        ("shipping-notifier/order-confirmed-impossible.json", &[], quarantines(&[], &["impossible_data"])),
        ("shipping-notifier/order-cancelled.json", &[], publishes(&[])),
        (
            "shipping-notifier/order-cancelled.json",
            &["shipping-notifier/order-confirmed.json"],
            publishes(&["shipping.shipment-cancelled.v1"]),
        ),
        ("shipping-notifier/parcel-picked-up.json", &[], quarantines(&[], &["unknown_shipment"])),
        (
            "shipping-notifier/parcel-picked-up.json",
            &["shipping-notifier/order-confirmed.json"],
            publishes(&["shipping.shipment-departed.v1"]),
        ),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/samples"))
}

fn text(sample: &str) -> String {
    std::fs::read_to_string(folder().join(sample)).unwrap_or_else(|error| panic!("{sample}: {error}"))
}

fn sqs_event(sample: &str) -> SqsEvent {
    serde_json::from_str(&text(sample)).unwrap_or_else(|error| panic!("{sample}: {error}"))
}

/// Every file there is, as `<function>/<case>.json`; but a function with tests of its own tries its samples there.
fn files() -> BTreeSet<String> {
    let entries = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let of_function = |function: PathBuf| {
        let function_name = name(&function);
        entries(function).map(|file| format!("{function_name}/{}", name(&file))).collect::<Vec<_>>()
    };
    // A folder with a dot in its name holds the golden samples of an event type.
    let of_a_type = |folder: &PathBuf| name(folder).contains('.');
    let has_tests =
        |function: &PathBuf| folder().join("../../functions").join(name(function)).join("tests").is_dir();
    let functions = entries(folder()).filter(|folder| !of_a_type(folder) && !has_tests(folder));
    functions.flat_map(of_function).collect()
}

/// Gives one function its samples, the last of which is the one that counts.
async fn try_samples(function: &str, samples: &[&str]) -> Outcome {
    let clock = SteppingClock::default();
    match function {
        "dlq-reprocessor" => reprocess(samples).await,
        "event-archiver" => archive(samples).await,
        "event-gateway" => hand_in(samples).await,
        "inventory-updater" => {
            let stock = MemoryStockStore::default();
            for name in ["MUG-BLUE", "TEA-EARL-GREY"] {
                stock.set_available(&sku(name), 100).await.unwrap();
            }
            consume(inventory_updater::NAME, InventoryUpdater { stock, clock }, samples).await
        }
        "lake-api" => ask_the_lake(samples).await,
        "order-api" => respond(samples).await,
        "order-placed" => {
            let orders = MemoryOrderStore::default();
            consume(order_placed::NAME, OrderPlacedHandler { orders, clock }, samples).await
        }
        "order-tracker" => {
            let views = MemoryOrderViewStore::default();
            consume(order_tracker::NAME, OrderTracker { views }, samples).await
        }
        "payment-callback" => {
            let (tasks, orders) = (MemoryPaymentTasks::default(), MemoryOrderStore::default());
            tasks.issue(TASK_TOKEN);
            // The order of the samples was accepted, and its payment asked for.
            let accepted = golden_events().into_iter().find_map(|event| match event.event.data {
                Data::OrderAccepted(order) => Some(order),
                _ => None,
            });
            let decision = OrderDecision::Accepted {
                order: Box::new(accepted.unwrap()),
                personal: Box::new(function_tests::personal()),
            };
            let (order_id, decided_by) = (order_id(ORDER_ID), EventId::parse("placed").unwrap());
            let registration = Registration { order_id, decision, decided_by, decided_at: NOW };
            orders.register(&registration).await.unwrap();
            orders.claim(&registration.order_id, "checkout").unwrap();
            consume(payment_callback::NAME, PaymentCallback { tasks, orders }, samples).await
        }
        "payment-provider" => consume(payment_provider::NAME, PaymentProvider, samples).await,
        "shipping-notifier" => {
            let shipments = MemoryShipmentStore::default();
            let fulfilment_centre = MemoryFulfilmentCentre::default();
            let handler = ShippingNotifier { shipments, fulfilment_centre, clock };
            consume(shipping_notifier::NAME, handler, samples).await
        }
        _ => panic!("no function is known to take the samples of {function}"),
    }
}

async fn consume<H: Handler>(name: &'static str, handler: H, samples: &[&str]) -> Outcome {
    let function = Function::new(name, handler);
    let mut failed = 0;
    for sample in samples {
        drop(function.consumer.bus.take_published());
        failed = function.consume(sqs_event(sample)).await.len();
    }
    let (published, quarantined) = (types_of(&function.published()), function.quarantined());
    Outcome { published, failed, quarantined, ..Outcome::default() }
}

/// A lake that has nothing.
async fn ask_the_lake(samples: &[&str]) -> Outcome {
    let queries = MemoryLakeQueries::new(|query| {
        let report = REPORTS.iter().find(|report| report.statement == query.statement);
        let columns = match report {
            Some(report) => report.columns.iter().map(|column| column.name.to_owned()).collect(),
            None => EVENT_COLUMNS.map(str::to_owned).to_vec(),
        };
        Ok(Rows { columns, rows: vec![] })
    });
    let lake = Lake { queries, clock: SteppingClock::default(), patience: Duration::ZERO };
    let api = LakeApi { lake, views: MemoryOrderViewStore::default() };
    let mut status = None;
    for sample in samples {
        status = Some(api.respond(&serde_json::from_str(&text(sample)).unwrap()).await.status_code);
    }
    Outcome { status, ..Outcome::default() }
}

async fn respond(samples: &[&str]) -> Outcome {
    let api = OrderApi {
        orders: MemoryOrderStore::default(),
        views: MemoryOrderViewStore::default(),
        bus: MemoryEventBus::default(),
        clock: SteppingClock::default(),
        open_scope: Some(OPEN_SCOPE.to_owned()),
    };
    // The order of the samples was placed and tracked.
    let order_id = order_id(ORDER_ID);
    let order = NewOrder {
        order_id: order_id.clone(),
        request_hash: String::new(),
        placed_at: NOW,
        traceparent: None,
    };
    api.orders.open(&order).await.unwrap();
    for event in golden_events() {
        api.views.add(&order_id, &fact_of(&event.event, &event.origin).unwrap()).await.unwrap();
    }
    let mut status = None;
    for sample in samples {
        drop(api.bus.take_published());
        status = Some(api.respond(serde_json::from_str(&text(sample)).unwrap()).await.status_code);
    }
    Outcome { status, ..publishes(&types_of(&api.bus.published())) }
}

/// The producers of the local stack, and a carrier.
async fn hand_in(samples: &[&str]) -> Outcome {
    let gateway = EventGateway {
        ledger: MemoryEventLedger::default(),
        bus: MemoryEventBus::default(),
        clock: SteppingClock::default(),
        producers: Producers::parse(
            "payments=arn:aws:iam::000000000000:root,shipping=arn:aws:iam::000000000000:root,\
             shipping=arn:aws:iam::111122223333:role/Carrier",
        )
        .unwrap(),
    };
    let mut status = None;
    for sample in samples {
        drop(gateway.bus.take_published());
        status = Some(gateway.respond(serde_json::from_str(&text(sample)).unwrap()).await.status_code);
    }
    Outcome { status, ..publishes(&types_of(&gateway.bus.published())) }
}

/// One message that a consumer set aside is waiting.
async fn reprocess(samples: &[&str]) -> Outcome {
    let clock = Arc::new(ManualClock::new(NOW));
    let queues = MemoryQueues::new(clock.clone());
    for name in ["bus", "undelivered", "quarantine"] {
        queues.create(name, QueueSettings { visibility_s: 30, retention_s: 1_209_600, redrive: None });
    }
    let attributes =
        [("consumer", "order-placed"), ("reasonCode", "not_json"), ("reason", "line 1, column 2")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    queues.send("quarantine", "{ not JSON", BTreeMap::from(attributes));
    let reprocessor = Reprocessor {
        queues: MemoryDeadLetterQueues::new(queues.clone()),
        targets: MemoryRedriveTargets::new(queues, BTreeMap::new()),
        ledger: MemoryRedriveLedger::default(),
        quarantine: MemoryQuarantineStore::default(),
        bus: MemoryEventBus::default(),
        on_call: MemoryOnCall::default(),
        clock,
        settings: Settings {
            queues: Queues {
                consumers: vec![],
                bus: "bus".to_owned(),
                undelivered: "undelivered".to_owned(),
                quarantine: "quarantine".to_owned(),
                checkout_arn: String::new(),
            },
            policy: Policy { redrives_max: 5, backoff_base_s: 300, backoff_max_s: 21_600 },
            messages_per_run_max: 100,
            messages_per_second_max: 1_000,
            capacity_share_percent: 50,
            operator_command: "cargo orderbus".to_owned(),
        },
    };
    let mut summary = Summary::default();
    for sample in samples {
        drop(reprocessor.bus.take_published());
        let payload = serde_json::from_str(&text(sample)).unwrap();
        summary = reprocessor.respond(payload, Deadline::after(Duration::from_secs(60))).await;
    }
    Outcome { failed: summary.failed, ..publishes(&types_of(&reprocessor.bus.published())) }
}

async fn archive(samples: &[&str]) -> Outcome {
    let archiver = EventArchiver { lake: MemoryEventLake::default() };
    let mut failed = 0;
    for sample in samples {
        let deadline = Deadline::after(Duration::from_secs(60));
        failed = archiver.archive(sqs_event(sample), deadline).await.batch_item_failures.len();
    }
    Outcome { failed, objects: archiver.lake.objects().len(), ..Outcome::default() }
}

/// Of every type about an order.
fn golden_events() -> Vec<BusEvent> {
    events_of("order-tracker/every-type.json")
}

fn events_of(sample: &str) -> Vec<BusEvent> {
    let sample = sqs_event(sample);
    let bodies = sample.records.iter().map(|record| record.body.as_deref().unwrap());
    bodies
        .map(|body| contracts::decode(body, None).unwrap_or_else(|error| panic!("{error}: {body}")))
        .collect()
}

#[test]
fn every_sample_has_an_expectation_and_every_expectation_a_sample() {
    let expected: BTreeSet<String> = expectations().iter().map(|(sample, ..)| (*sample).to_owned()).collect();
    assert_eq!(files(), expected);
}

#[tokio::test]
async fn every_sample_comes_to_what_is_expected_of_it() {
    for (sample, before, expected) in expectations() {
        let (function, _) = sample.split_once('/').unwrap();
        let samples: Vec<&str> = before.iter().copied().chain([sample]).collect();
        assert_eq!(try_samples(function, &samples).await, expected, "{sample} after {before:?}");
    }
}

#[test]
fn the_golden_sample_of_every_type_decodes() {
    let types_of = |events: &[BusEvent]| -> Vec<EventType> {
        events.iter().map(|event| event.event.data.event_type()).collect()
    };
    assert_eq!(types_of(&events_of("event-archiver/every-type.json")), EventType::ALL);
    let events = golden_events();
    let about_orders = EventType::ALL.iter().copied().filter(|one| kind_of_type(*one).is_some());
    assert_eq!(types_of(&events), about_orders.collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.event.order_id() == Ok(&order_id(ORDER_ID))));
}

#[test]
fn what_is_written_of_a_golden_sample_today_is_what_stands_in_it() {
    let sample = "event-archiver/every-type.json";
    for (record, event) in sqs_event(sample).records.iter().zip(events_of(sample)) {
        let envelope: serde_json::Value = serde_json::from_str(record.body.as_deref().unwrap()).unwrap();
        let written = function_tests::detail_of(&event.event.to_outbound().unwrap());
        assert_eq!(written, envelope["detail"]);
    }
}

/// The catalogue tells people who sends what, and takes it from the functions' data sheets.
#[test]
fn what_a_function_publishes_stands_in_its_data_sheet() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let flow = catalogue::Flow::read(&root).unwrap();
    for (sample, _, outcome) in expectations() {
        let (function, _) = sample.split_once('/').unwrap();
        for published in outcome.published {
            let senders = flow.senders_of(EventType::parse(published).unwrap());
            assert!(
                senders.contains(&function),
                "{function} publishes {published}, which its data sheet does not say"
            );
        }
    }
}
