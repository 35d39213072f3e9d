//! `dlq-reprocessor`: no message is lost, none is counted twice, and each one ends: it takes effect, or a person is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use contracts::{Event, Outbound};
use dlq_reprocessor::{
    Consumer, Decision, Order, Place, Policy, Queues, ReleaseError, Reprocessor, Settings, Summary, Takes,
};
use domain::{Attempt, QuarantineId, RedriveKey, RedriveReason, RedriveState};
use function_tests::{
    NOW, PERSONAL_VALUES, batch, cancelled, data_of, detail_of, envelope, order_id, picked_up, placed, sku,
    stock_rejected, types_of,
};
use inventory_updater::InventoryUpdater;
use memory::{
    Fault, Faults, ManualClock, MemoryDeadLetterQueues, MemoryEventBus, MemoryOnCall, MemoryQuarantineStore,
    MemoryQueue, MemoryQueues, MemoryRedriveLedger, MemoryRedriveTargets, MemoryStockStore, QueueSettings,
    Turn,
};
use ports::{Clock, StockCounts, Target};
use runtime::{Deadline, SqsMessage};

const DAY_MS: i64 = 24 * 3_600_000;
const RETENTION_S: u32 = 14 * 24 * 3_600;
const DELIVERIES_MAX: u32 = 3;
/// The redrives of the tests: the third failure ends it.
const REDRIVES_MAX: u32 = 2;
const CHECKOUT_ARN: &str = "arn:aws:states:eu-central-1:111122223333:stateMachine:checkout";
const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:111122223333:";

type Memory = Reprocessor<
    MemoryDeadLetterQueues,
    MemoryRedriveTargets,
    MemoryRedriveLedger,
    MemoryQuarantineStore,
    MemoryEventBus,
    MemoryOnCall,
    Arc<ManualClock>,
>;

/// A stack with two consumers, and everything around the reprocessor in memory.
struct World {
    clock: Arc<ManualClock>,
    queues: MemoryQueues,
    reprocessor: Memory,
}

fn settings() -> Settings {
    let consumer = |name: &str, takes| Consumer {
        name: name.to_owned(),
        queue: format!("{name}-queue"),
        dead_letter_queue: format!("{name}-dead"),
        capacity: 200,
        takes,
    };
    Settings {
        queues: Queues {
            consumers: vec![
                consumer("inventory-updater", Takes::Catalogue),
                consumer("event-archiver", Takes::Anything),
            ],
            bus: "bus-dead".to_owned(),
            undelivered: "undelivered".to_owned(),
            quarantine: "quarantine".to_owned(),
            checkout_arn: CHECKOUT_ARN.to_owned(),
        },
        policy: Policy { redrives_max: REDRIVES_MAX, backoff_base_s: 300, backoff_max_s: 21_600 },
        messages_per_run_max: 1_000,
        messages_per_second_max: u32::MAX,
        capacity_share_percent: 50,
        operator_command: "cargo orderbus --stack shop".to_owned(),
    }
}

fn world() -> World {
    world_with(&Faults::default(), settings())
}

fn world_with(faults: &Faults, settings: Settings) -> World {
    let clock = Arc::new(ManualClock::new(NOW));
    let queues = MemoryQueues::new(clock.clone());
    let plain = QueueSettings { visibility_s: 30, retention_s: RETENTION_S, redrive: None };
    let mut consumers = BTreeMap::new();
    for Consumer { name, queue, dead_letter_queue, .. } in &settings.queues.consumers {
        queues.create(dead_letter_queue, plain.clone());
        let redrive = Some((dead_letter_queue.clone(), DELIVERIES_MAX));
        queues.create(queue, QueueSettings { redrive, ..plain.clone() });
        consumers.insert(name.clone(), queue.clone());
    }
    queues.create("bus-dead", plain.clone());
    queues.create("undelivered", plain.clone());
    queues.create("quarantine", plain);
    let reprocessor = Reprocessor {
        queues: MemoryDeadLetterQueues::with_faults(queues.clone(), faults.clone()),
        targets: MemoryRedriveTargets::with_faults(queues.clone(), consumers, faults.clone()),
        ledger: MemoryRedriveLedger::with_faults(faults.clone()),
        quarantine: MemoryQuarantineStore::with_faults(faults.clone()),
        bus: MemoryEventBus::with_faults(faults.clone()),
        on_call: MemoryOnCall::with_faults(faults.clone()),
        clock: clock.clone(),
        settings,
    };
    World { clock, queues, reprocessor }
}

impl World {
    async fn run(&self) -> Summary {
        self.order(&Order::default()).await
    }

    async fn order(&self, order: &Order) -> Summary {
        let summary = self.reprocessor.reprocess(order, Deadline::after(Duration::from_secs(60))).await;
        let parts = summary.redriven + summary.postponed + summary.quarantined + summary.deleted;
        assert_eq!(summary.received, parts + summary.skipped + summary.failed, "{summary:?}");
        summary
    }

    fn send(&self, queue: &str, body: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.queues.send(queue, body, attributes.collect());
    }

    /// A dead letter of inventory-updater.
    fn bury(&self, event: &Event) {
        self.send("inventory-updater-dead", &envelope(event, 0), &[]);
    }

    fn advance_s(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1_000);
    }

    /// Until whatever waits is due.
    fn advance_past_backoff(&self) {
        self.advance_s(21_601);
    }

    /// A consumer that fails takes whatever is in its queue until it is dead, each message as often as it may.
    fn fail_deliveries(&self, consumer: &str) -> usize {
        let (queue, dead) = (format!("{consumer}-queue"), format!("{consumer}-dead"));
        let before = self.queues.len(&dead);
        for _ in 0..=DELIVERIES_MAX {
            while !self.queues.receive(&queue, 10, None).is_empty() {}
            self.advance_s(31);
        }
        assert!(self.queues.is_empty(&queue));
        self.queues.len(&dead) - before
    }

    /// What lies in a queue: the bodies, each with the attempt that it carries.
    fn lying_in(&self, queue: &str) -> Vec<(String, Attempt)> {
        let carried = |message: memory::QueuedMessage| {
            let attempt = ports::attempt_carried(|name| message.attributes.get(name).map(String::as_str));
            (message.body.as_ref().to_owned(), attempt)
        };
        self.queues.messages(queue).into_iter().map(carried).collect()
    }

    fn record(&self, consumer: &str, message: &str) -> domain::RedriveRecord {
        let records = self.reprocessor.ledger.records();
        records.get(&RedriveKey::new(consumer, message)).unwrap_or_else(|| panic!("{records:#?}")).clone()
    }

    fn alerts(&self) -> Vec<String> {
        self.reprocessor.on_call.alerts().into_iter().map(|alert| alert.line).collect()
    }

    fn quarantined(&self) -> Vec<(String, String)> {
        let objects = self.reprocessor.quarantine.objects().into_iter();
        objects.map(|object| (object.key.to_string(), object.reason.code)).collect()
    }

    /// Runs and lets time pass until no dead letter is left.
    async fn run_until_quiet(&self) {
        for _ in 0..40 {
            self.run().await;
            self.advance_past_backoff();
            let queues: Vec<&str> = self.reprocessor.settings.queues.names().collect();
            if queues.iter().all(|queue| self.queues.is_empty(queue)) {
                return;
            }
        }
        panic!("dead letters are stuck: {:#?}", self.reprocessor.ledger.records());
    }
}

fn order(id: &str) -> Event {
    placed(id, "o-1", &[("MUG", 2)])
}

fn attempt(generation: u32, number: u32) -> Attempt {
    Attempt { generation, number }
}

fn summary(received: usize) -> Summary {
    Summary { received, ..Summary::default() }
}

// -----------------------------------------------------------------------------------------------------------------------
// Redrive and wait
// -----------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_dead_letter_waits_until_it_is_due_and_goes_back_with_its_attempt() {
    let world = world();
    world.bury(&order("e-1"));
    assert_eq!(world.run().await, Summary { postponed: 1, ..summary(1) });
    let record = world.record("inventory-updater", "e-1");
    assert_eq!((record.attempt, record.state), (attempt(0, 1), RedriveState::Waiting));
    assert!(record.due_at > NOW && record.due_at.unix_ms() <= NOW.unix_ms() + 300_000, "{record:?}");
    assert_eq!(world.run().await, summary(0), "it is hidden");

    world.clock.set(record.due_at);
    world.advance_s(1);
    assert_eq!(world.run().await, Summary { redriven: 1, ..summary(1) });
    assert_eq!(world.lying_in("inventory-updater-queue"), [(envelope(&order("e-1"), 0), attempt(0, 1))]);
    assert!(world.queues.is_empty("inventory-updater-dead"));
    assert_eq!(world.record("inventory-updater", "e-1").attempt, attempt(0, 1), "counted once");
    assert_eq!((world.alerts(), world.reprocessor.bus.published()), (vec![], vec![]));
}

#[tokio::test]
async fn a_message_that_fails_again_and_again_is_given_up_on_after_as_many_redrives_as_were_asked_for() {
    let world = world();
    world.bury(&order("e-1"));
    for redrive in 1..=REDRIVES_MAX {
        world.run().await;
        world.advance_past_backoff();
        assert_eq!(world.run().await.redriven, 1);
        assert_eq!(world.lying_in("inventory-updater-queue")[0].1, attempt(0, redrive));
        assert_eq!(world.fail_deliveries("inventory-updater"), 1);
    }
    assert_eq!(world.run().await, Summary { quarantined: 1, ..summary(1) });
    assert_eq!(world.quarantined(), [("inventory-updater#e-1".to_owned(), "attempts_exhausted".to_owned())]);
    let object = &world.reprocessor.quarantine.objects()[0];
    assert_eq!((object.attempt, object.body.as_str()), (attempt(0, 3), envelope(&order("e-1"), 0).as_str()));
    assert_eq!(object.first_failed_at, NOW);
    assert!(object.last_failed_at > NOW && object.quarantined_at == world.clock.now());
    assert_eq!(world.run().await, summary(0));
}

#[tokio::test]
async fn every_wait_is_longer_the_more_often_it_failed_and_different_for_each() {
    let world = world();
    for number in 0..40 {
        world.bury(&placed(&format!("e-{number}"), &format!("o-{number}"), &[("MUG", 1)]));
    }
    assert_eq!(world.run().await.postponed, 40);
    let records = world.reprocessor.ledger.records();
    let due: BTreeSet<i64> = records.values().map(|record| record.due_at.unix_ms()).collect();
    assert!(due.len() > 35, "they come back apart");
    assert!(due.iter().all(|due| (0..=300_000).contains(&(due - NOW.unix_ms()))));
}

#[tokio::test]
async fn copies_of_one_message_are_counted_once_and_all_go_on_with_the_same_count() {
    let world = world();
    // The bus delivered it three times, each with an envelope and a message id of its own.
    for delivery in 0..3 {
        world.send("inventory-updater-dead", &envelope(&order("e-1"), delivery), &[]);
    }
    world.run().await;
    world.advance_past_backoff();
    assert_eq!(world.run().await.redriven, 3);
    assert_eq!(world.record("inventory-updater", "e-1").attempt, attempt(0, 1));
    let attempts: Vec<_> =
        world.lying_in("inventory-updater-queue").into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts, [attempt(0, 1); 3]);

    // One copy is far ahead of the other two, which were left behind by crashes.
    world.fail_deliveries("inventory-updater");
    world.send("inventory-updater-dead", &envelope(&order("e-1"), 7), &[("orderbus-attempt", "0")]);
    world.run().await;
    world.advance_past_backoff();
    assert_eq!(world.run().await.redriven, 4);
    let attempts: Vec<_> =
        world.lying_in("inventory-updater-queue").into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts, [attempt(0, 2); 4], "whoever was left behind catches up");
}

#[tokio::test]
async fn what_failed_at_one_consumer_is_counted_apart_from_what_failed_at_another() {
    let world = world();
    world.bury(&order("e-1"));
    world.send("event-archiver-dead", &envelope(&order("e-1"), 0), &[]);
    assert_eq!(world.run().await.postponed, 2);
    assert_eq!(world.reprocessor.ledger.records().len(), 2);
}

#[tokio::test]
async fn two_runs_at_once_do_what_one_does() {
    let world = world();
    for number in 0..25 {
        world.bury(&placed(&format!("e-{number}"), &format!("o-{number}"), &[("MUG", 1)]));
        world.send("quarantine", &envelope(&stock_rejected(&format!("q-{number}"), "o-1"), 0), &POISON);
    }
    let (one, other) = tokio::join!(world.run(), world.run());
    assert_eq!((one.postponed + other.postponed, one.quarantined + other.quarantined), (25, 25));
    world.advance_past_backoff();
    let (one, other) = tokio::join!(world.run(), world.run());
    assert_eq!(one.redriven + other.redriven, 25);
    let bodies: BTreeSet<String> =
        world.lying_in("inventory-updater-queue").into_iter().map(|(body, _)| body).collect();
    assert_eq!((bodies.len(), world.queues.len("inventory-updater-queue")), (25, 25));
    assert_eq!(world.reprocessor.quarantine.objects().len(), 25);
}

#[tokio::test]
async fn two_runs_that_hold_the_same_letters_count_them_once() {
    let world = world();
    world.bury(&order("e-1"));
    let before = world.queues.receive("inventory-updater-dead", 10, Some(0));
    assert_eq!(before.len(), 1);
    // The first run is so slow that its letters are visible again before it has begun with them.
    let slow = async {
        let deadline = Deadline::after(Duration::from_secs(60));
        let order = Order::default();
        let mut run = pin!(world.reprocessor.reprocess(&order, deadline));
        let mut context = Context::from_waker(Waker::noop());
        let mut ready = false;
        for poll in 0..200 {
            if poll == 3 {
                world.advance_s(121);
                let other = world.run().await;
                assert_eq!(other.received, 1, "the other run has the same letter");
            }
            ready = ready || run.as_mut().poll(&mut context).is_ready();
            if ready {
                break;
            }
        }
        assert!(ready);
    };
    slow.await;
    assert_eq!(world.record("inventory-updater", "e-1").attempt, attempt(0, 1));
    world.run_until_quiet().await;
    assert!(!world.queues.is_empty("inventory-updater-queue"));
    assert!(world.lying_in("inventory-updater-queue").iter().all(|(_, carried)| *carried == attempt(0, 1)));
}

// -----------------------------------------------------------------------------------------------------------------------
// Undelivered
// -----------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_the_bus_could_not_deliver_goes_to_the_target_it_was_for() {
    let world = world();
    let reserved = envelope(&cancelled("e-2", "o-2"), 0);
    let queue_arn = format!("{QUEUE_ARN}inventory-updater-queue");
    let because = ("ERROR_CODE", "NO_PERMISSIONS");
    world.send("undelivered", &envelope(&order("e-1"), 0), &[("TARGET_ARN", &queue_arn), because]);
    world.send("undelivered", &reserved, &[("TARGET_ARN", CHECKOUT_ARN), because]);
    world.send("undelivered", &envelope(&order("e-3"), 0), &[because]);
    let elsewhere = format!("{QUEUE_ARN}somebody-elses-queue");
    world.send("undelivered", &envelope(&order("e-4"), 0), &[("TARGET_ARN", &elsewhere), because]);

    assert_eq!(world.run().await, Summary { postponed: 3, quarantined: 1, ..summary(4) });
    assert_eq!(world.quarantined(), [("somebody-elses-queue#e-4".to_owned(), "unknown_target".to_owned())]);
    assert_eq!(world.record("inventory-updater", "e-1").reason.code, "NO_PERMISSIONS");
    world.advance_past_backoff();
    assert_eq!(world.run().await.redriven, 3);
    assert_eq!(world.lying_in("inventory-updater-queue"), [(envelope(&order("e-1"), 0), attempt(0, 1))]);
    let checkouts = world.reprocessor.targets.checkouts();
    assert_eq!(
        checkouts.into_iter().collect::<Vec<_>>(),
        [((RedriveKey::new("checkout", "e-2"), 0), reserved)]
    );
    assert_eq!(world.reprocessor.targets.take_from_bus(), [(envelope(&order("e-3"), 0), attempt(0, 1))]);
}

#[tokio::test]
async fn an_event_that_the_bus_fails_on_again_comes_back_with_its_attempt_and_is_given_up_on_in_the_end() {
    let world = world();
    let mut body = envelope(&order("e-1"), 0);
    for number in 1..=REDRIVES_MAX {
        world.send("undelivered", &body, &[]);
        world.run().await;
        world.advance_past_backoff();
        assert_eq!(world.run().await.redriven, 1);
        let put = world.reprocessor.targets.take_from_bus();
        assert_eq!(put[0].1, attempt(0, number));
        // The bus hands the resources on, and nothing else that travels beside an event.
        let resources = serde_json::to_string(&ports::attempt_resources(put[0].1)).unwrap();
        body = envelope(&order("e-1"), 0).replace("\"resources\":[]", &format!("\"resources\":{resources}"));
    }
    world.send("undelivered", &body, &[]);
    assert_eq!(world.run().await.quarantined, 1);
    assert_eq!(world.quarantined(), [("bus#e-1".to_owned(), "attempts_exhausted".to_owned())]);
}

/// It has a queue of its own, which needs no key.
#[tokio::test]
async fn what_lies_in_the_bus_s_own_queue_goes_back_to_the_bus() {
    let world = world();
    world.send("bus-dead", &envelope(&order("e-1"), 0), &[]);
    world.run().await;
    world.advance_past_backoff();
    assert_eq!(world.run().await.redriven, 1);
    assert_eq!(world.reprocessor.targets.take_from_bus(), [(envelope(&order("e-1"), 0), attempt(0, 1))]);
}

#[tokio::test]
async fn an_event_of_another_account_does_not_become_ours_by_a_redrive() {
    for (event, code) in [(picked_up("e-1", "o-1"), "foreign_account"), (order("e-1"), "not_permitted")] {
        let world = world();
        world.send("undelivered", &of_account("444455556666", &event), &[]);
        assert_eq!(world.run().await.quarantined, 1);
        assert_eq!(world.reprocessor.targets.take_from_bus(), []);
        let [(_, reason)] = &world.quarantined()[..] else { panic!("one object") };
        assert_eq!(reason, code);
    }
}

/// What EventBridge leaves in a dead-letter queue when it cannot use the key of the bus
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-dlq-decrypt.html>).
fn encrypted(payload: &str) -> String {
    let bus = "arn:aws:events:eu-central-1:111122223333:event-bus/orderbus-default";
    format!(
        r#"{{"version":"0","id":"053afa53-cdd7-285b-e754-b0dfd0ac0bfb","account":"111122223333","time":"2026-02-10T10:22:00Z","region":"eu-central-1","resources":[],"source":"aws.events","detail-type":"Encrypted Events","detail":{{"event-bus-arn":"{bus}","rule-arn":"{bus}/r","kms-key-arn":"arn:aws:kms:eu-central-1:111122223333:key/k","encrypted-payload":"{payload}"}}}}"#
    )
}

#[tokio::test]
async fn an_event_that_eventbridge_encrypted_goes_to_quarantine_at_once_whatever_it_was_for_and_stays_there()
{
    let queue_arn = |name: &str| format!("{QUEUE_ARN}{name}");
    let because = ("ERROR_CODE", "KMS_DISABLED");
    let (archiver, placed) = (queue_arn("event-archiver-queue"), queue_arn("somebody-elses-queue"));
    let to = |target| [("TARGET_ARN", target), because];
    for (queue, attributes, consumer) in [
        ("undelivered", &[][..], "bus"),
        ("undelivered", &[because], "bus"),
        ("undelivered", &to(archiver.as_str()), "event-archiver"),
        ("undelivered", &to(CHECKOUT_ARN), "checkout"),
        ("undelivered", &to(placed.as_str()), "somebody-elses-queue"),
        ("event-archiver-dead", &[], "event-archiver"),
        ("inventory-updater-dead", &[], "inventory-updater"),
    ] {
        let world = world();
        world.send(queue, &encrypted("AgR4"), attributes);
        world.send(queue, &encrypted("AgR5"), attributes);
        let urgent = Order { is_urgent: true, ..Order::default() };
        assert_eq!(world.order(&urgent).await, Summary { quarantined: 2, ..summary(2) }, "{consumer}");
        let objects = world.reprocessor.quarantine.objects();
        assert_eq!(objects.len(), 2, "each is one of its own");
        for object in objects {
            assert_eq!((object.reason.code.as_str(), object.attempt.number), ("encrypted_event", 1));
            assert_eq!(object.concerning.consumer, consumer);
            assert!([encrypted("AgR4"), encrypted("AgR5")].contains(&object.body), "kept as it came");
            let refused = world.reprocessor.release(&object.id).await;
            assert!(matches!(refused, Err(ReleaseError::Encrypted(_))), "{refused:?}");
        }
        assert_eq!(world.reprocessor.targets.take_from_bus(), []);
        assert!(world.reprocessor.targets.checkouts().is_empty());
        assert!(world.queues.is_empty("event-archiver-queue"));
        let [line] = &world.alerts()[..] else { panic!("one alert") };
        assert!(line.contains("docs/encrypted-events.md") && !line.contains("dlq release"), "{line}");
    }
}

#[tokio::test]
async fn an_event_that_speaks_of_encrypted_events_is_sent_back_like_any_other() {
    let world = world();
    let event = envelope(&order("e-1"), 0);
    let within = event.replace("\"resources\":[]", "\"resources\":[\"aws.events\",\"Encrypted Events\"]");
    world.send("inventory-updater-dead", &within, &[]);
    world.run().await;
    world.advance_past_backoff();
    assert_eq!(world.run().await.redriven, 1);
}

#[tokio::test]
async fn senders_who_use_one_id_share_no_count() {
    let world = world();
    for body in [
        envelope(&order("e-1"), 0),
        envelope(&picked_up("e-1", "o-1"), 0),
        of_account("444455556666", &picked_up("e-1", "o-1")),
    ] {
        world.send("inventory-updater-dead", &body, &[]);
    }
    world.run().await;
    assert_eq!(world.reprocessor.ledger.records().len(), 3);
    world.record("inventory-updater", "e-1");
}

fn of_account(account: &str, event: &Event) -> String {
    let body = envelope(event, 0);
    assert!(body.contains("\"111122223333\""));
    body.replace("\"111122223333\"", &format!("\"{account}\""))
}

// -----------------------------------------------------------------------------------------------------------------------
// Quarantine
// -----------------------------------------------------------------------------------------------------------------------

const POISON: [(&str, &str); 3] = [
    ("consumer", "inventory-updater"),
    ("reasonCode", "impossible_data"),
    ("reason", "quantity: must be at least 1"),
];

#[tokio::test]
async fn what_a_consumer_can_never_handle_is_kept_announced_and_told_of_at_once() {
    let world = world();
    world.send("quarantine", &envelope(&order("e-1"), 0), &POISON);
    assert_eq!(world.run().await, Summary { quarantined: 1, ..summary(1) });

    let [object] = &world.reprocessor.quarantine.objects()[..] else { panic!("one object") };
    assert_eq!(object.body, envelope(&order("e-1"), 0));
    assert_eq!((object.reason.code.as_str(), object.reason.text.as_str()), ("impossible_data", POISON[2].1));

    let published = world.reprocessor.bus.published();
    assert_eq!(types_of(&published), ["ops.event-quarantined.v1"]);
    let data = data_of(&published[0]);
    assert_eq!(
        (
            &data["quarantineId"],
            &data["consumer"],
            &data["orderId"],
            &data["attempts"],
            &data["messageEventId"]
        ),
        (&object.id.as_str().into(), &"inventory-updater".into(), &"o-1".into(), &1.into(), &"e-1".into())
    );
    assert_eq!(
        contracts::decode(&delivered(&published[0]), None).unwrap().event.subject.as_str(),
        object.id.as_str()
    );

    let at = contracts::format_timestamp(object.quarantined_at);
    assert_eq!(detail_of(&published[0])["time"], at, "when it was decided, whenever it is said");

    let [line] = &world.alerts()[..] else { panic!("one alert") };
    assert!(!line.contains('\n'));
    for part in [
        "inventory-updater gave up on orders.order-placed.v1 of order o-1",
        "impossible_data: quantity: must be at least 1",
        &format!("cargo orderbus --stack shop dlq show {}", object.id),
        &format!("cargo orderbus --stack shop dlq release {}", object.id),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(world.record("inventory-updater", "e-1").state, RedriveState::Quarantined);
    assert!(world.queues.is_empty("quarantine"));
}

fn delivered(outbound: &Outbound) -> String {
    format!(
        r#"{{"detail-type":"{}","source":"{}","detail":{}}}"#,
        outbound.event_type.as_str(),
        outbound.event_type.source(),
        outbound.detail
    )
}

#[tokio::test]
async fn a_late_copy_of_what_is_in_quarantine_goes_and_nobody_is_told_again() {
    let world = world();
    world.send("quarantine", &envelope(&order("e-1"), 0), &POISON);
    world.run().await;
    world.send("quarantine", &envelope(&order("e-1"), 1), &POISON);
    world.bury(&order("e-1"));
    assert_eq!(world.run().await, Summary { deleted: 2, ..summary(2) });
    assert_eq!((world.alerts().len(), world.reprocessor.bus.published().len()), (1, 1));
}

#[tokio::test]
async fn a_late_copy_of_what_quarantine_no_longer_has_takes_its_place() {
    let mut world = world();
    world.send("quarantine", &envelope(&order("e-1"), 0), &POISON);
    world.run().await;
    world.reprocessor.quarantine = MemoryQuarantineStore::default();
    world.bury(&order("e-1"));
    assert_eq!(world.run().await, Summary { deleted: 1, ..summary(1) });
    assert_eq!(world.reprocessor.quarantine.objects()[0].body, envelope(&order("e-1"), 0));
}

#[tokio::test]
async fn a_body_that_no_consumer_could_read_is_given_up_on_unless_the_consumer_takes_anything() {
    let world = world();
    for (queue, expected) in [
        ("inventory-updater-dead", Summary { quarantined: 1, ..summary(1) }),
        ("event-archiver-dead", Summary { postponed: 1, ..summary(1) }),
    ] {
        world.send(queue, "{\"name\": \"Ada Example\", not JSON", &[]);
        assert_eq!(world.run().await, expected, "{queue}");
    }
    assert_eq!(world.quarantined()[0].1, "not_json");
    assert!(world.quarantined()[0].0.starts_with("inventory-updater#sha256:"), "{:?}", world.quarantined());
}

#[tokio::test]
async fn two_bodies_without_an_id_are_two_messages_and_one_in_two_envelopes_is_one() {
    let world = world();
    let body = |id: u32, text: &str| {
        format!(r#"{{"id":"{id}","detail-type":"a.b.v1","detail":{{"text":"{text}"}}}}"#)
    };
    for body in [body(1, "one"), body(2, "one"), body(3, "other"), "text".to_owned()] {
        world.send("inventory-updater-dead", &body, &[]);
    }
    world.run().await;
    assert_eq!(world.reprocessor.quarantine.objects().len(), 3);
}

#[tokio::test]
async fn one_alert_speaks_for_all_that_failed_alike() {
    let world = world();
    // Three rounds of one run.
    for number in 0..28 {
        world.send("quarantine", &envelope(&cancelled(&format!("e-{number}"), "o-1"), 0), &POISON);
    }
    world.send("quarantine", &envelope(&cancelled("e-0", "o-1"), 1), &POISON);
    world.send("inventory-updater-dead", "text", &[]);
    assert_eq!(world.run().await.quarantined, 30);
    let alerts = world.alerts();
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let of_many = alerts.iter().find(|line| line.contains("impossible_data")).unwrap();
    assert!(of_many.contains("and on 27 messages alike"), "{of_many}");
    assert!(of_many.contains("dlq release --queue inventory-updater --reason impossible_data"), "{of_many}");
    assert_eq!(world.reprocessor.bus.published().len(), 29, "each has an event of its own");
}

#[tokio::test]
async fn nobody_is_named_outside_the_object_itself() {
    let world = world();
    world.send("quarantine", &envelope(&order("e-1"), 0), &POISON);
    world.send(
        "inventory-updater-dead",
        "{\"detail-type\": \"Ada Example\", \"detail\": {\"id\": \"ada@example.com\"}}",
        &[],
    );
    world.bury(&order("e-2"));
    world.run().await;
    let told = format!(
        "{:?} {:?} {:?} {:?}",
        world.alerts(),
        world.reprocessor.bus.published(),
        world.reprocessor.ledger.records(),
        world.reprocessor.quarantine.objects(),
    );
    assert!(told.contains("o-1"));
    for value in PERSONAL_VALUES {
        assert!(!told.contains(value), "{value}: {told}");
    }
    assert!(world.reprocessor.quarantine.objects().iter().any(|object| object.body.contains("Ada Example")));
}

// -----------------------------------------------------------------------------------------------------------------------
// Release
// -----------------------------------------------------------------------------------------------------------------------

async fn quarantined(world: &World) -> QuarantineId {
    world.send("quarantine", &envelope(&order("e-1"), 0), &POISON);
    world.run().await;
    world.reprocessor.quarantine.objects()[0].id.clone()
}

#[tokio::test]
async fn a_released_message_goes_back_once_under_a_count_of_its_own() {
    let world = world();
    let id = quarantined(&world).await;
    let released = world.reprocessor.release(&id).await.unwrap();
    assert_eq!(released.target, Target::Consumer("inventory-updater".to_owned()));
    assert_eq!(world.lying_in("inventory-updater-queue"), [(envelope(&order("e-1"), 0), attempt(1, 0))]);
    assert_eq!(world.record("inventory-updater", "e-1").state, RedriveState::Released);
    assert!(matches!(world.reprocessor.release(&id).await, Err(ReleaseError::Before(_))));
    assert_eq!(world.queues.len("inventory-updater-queue"), 1);
    let unknown = QuarantineId::parse("nothing").unwrap();
    assert!(matches!(world.reprocessor.release(&unknown).await, Err(ReleaseError::Unknown(_))));
}

#[tokio::test]
async fn a_released_message_that_fails_again_is_counted_anew_and_kept_under_another_id() {
    let world = world();
    let id = quarantined(&world).await;
    world.reprocessor.release(&id).await.unwrap();
    for number in 1..=REDRIVES_MAX + 1 {
        assert_eq!(world.fail_deliveries("inventory-updater"), 1);
        world.run().await;
        assert_eq!(world.record("inventory-updater", "e-1").attempt, attempt(1, number));
        world.advance_past_backoff();
        world.run().await;
    }
    assert_eq!((world.reprocessor.quarantine.objects().len(), world.alerts().len()), (2, 2));
    let published = world.reprocessor.bus.published();
    assert_ne!(published[0].event_id, published[1].event_id, "it is another event");
    let since = match world.reprocessor.release(&id).await {
        Err(ReleaseError::AnotherSince(_, since)) => since,
        other => panic!("{other:?}"),
    };
    world.reprocessor.release(&since).await.unwrap();
    assert_eq!(world.lying_in("inventory-updater-queue")[0].1, attempt(2, 0));
}

#[tokio::test]
async fn a_released_message_that_its_consumer_refuses_again_is_not_taken_for_a_late_copy() {
    let world = world();
    let id = quarantined(&world).await;
    world.reprocessor.release(&id).await.unwrap();
    let carried = [POISON.as_slice(), &[("orderbus-generation", "1")]].concat();
    world.send("quarantine", &envelope(&order("e-1"), 0), &carried);
    assert_eq!(world.run().await.quarantined, 1);
    assert_eq!(world.reprocessor.quarantine.objects().len(), 2);
    // A copy from before the release is one.
    world
        .reprocessor
        .release(&world.reprocessor.quarantine.objects().iter().find(|one| one.id != id).unwrap().id)
        .await
        .unwrap();
    world.send("quarantine", &envelope(&order("e-1"), 5), &POISON);
    assert_eq!(world.run().await, Summary { deleted: 1, ..summary(1) });
}

#[tokio::test]
async fn a_release_survives_every_crash() {
    for call in 1..=4 {
        for fault in [Fault::NotApplied, Fault::ReplyLost] {
            let faults = Faults::default();
            let world = world_with(&faults, settings());
            let id = quarantined(&world).await;
            faults.fail_call(faults.calls() + call, fault);
            let first = world.reprocessor.release(&id).await;
            let second = world.reprocessor.release(&id).await;
            assert_eq!(faults.unmet(), 0, "{call}");
            assert!(first.is_ok() || second.is_ok() || matches!(second, Err(ReleaseError::Before(_))));
            let lying = world.lying_in("inventory-updater-queue");
            assert!((1..=2).contains(&lying.len()), "{call} {fault:?}: {lying:?}");
            assert!(lying.iter().all(|(_, carried)| *carried == attempt(1, 0)));
        }
    }
}

// -----------------------------------------------------------------------------------------------------------------------
// Crashes
// -----------------------------------------------------------------------------------------------------------------------

/// What is left when everything is quiet. Instants depend on how often the run was repeated; nothing else may.
#[derive(Debug, PartialEq)]
struct Left {
    ledger: BTreeMap<String, (Attempt, RedriveState, String)>,
    objects: BTreeMap<String, (Attempt, String)>,
    events: BTreeSet<String>,
    alerts: BTreeSet<String>,
    sent: BTreeSet<(String, Attempt)>,
}

fn left(world: &World) -> Left {
    let records = world.reprocessor.ledger.records().into_iter();
    let objects = world.reprocessor.quarantine.objects().into_iter();
    let published = world.reprocessor.bus.published();
    let mut details: BTreeMap<String, String> = BTreeMap::new();
    for event in &published {
        let first = details.entry(event.event_id.to_string()).or_insert_with(|| event.detail.clone());
        assert_eq!(*first, event.detail, "an event was published in two versions");
    }
    let queues = ["inventory-updater-queue", "event-archiver-queue"];
    let group = |line: &String| line.split(" gave up on ").next().unwrap().to_owned();
    Left {
        ledger: records
            .map(|(key, record)| (key.to_string(), (record.attempt, record.state, record.reason.code)))
            .collect(),
        objects: objects
            .map(|object| (object.key.to_string(), (object.attempt, content(&object.body))))
            .collect(),
        events: details.into_keys().collect(),
        alerts: world.alerts().iter().map(group).collect(),
        sent: queues.into_iter().flat_map(|queue| world.lying_in(queue)).collect(),
    }
}

/// The event in a body. Of two copies either may be kept; they differ in nothing but the envelope.
fn content(body: &str) -> String {
    let envelope: Option<serde_json::Value> = serde_json::from_str(body).ok();
    envelope.map_or_else(|| body.to_owned(), |envelope| envelope["detail"].to_string())
}

/// One of everything: to be sent back, to be given up on, undelivered, poison, and copies.
fn fill(world: &World) {
    world.bury(&order("e-1"));
    world.send("inventory-updater-dead", &envelope(&order("e-2"), 0), &[("orderbus-attempt", "2")]);
    world.send("event-archiver-dead", "anything", &[]);
    world.send("undelivered", &envelope(&order("e-3"), 0), &[("TARGET_ARN", CHECKOUT_ARN)]);
    world.send("quarantine", &envelope(&order("e-4"), 0), &POISON);
    world.send("quarantine", &envelope(&order("e-4"), 1), &POISON);
}

#[tokio::test]
async fn a_crash_anywhere_loses_nothing_and_counts_nothing_twice() {
    let undisturbed = world();
    fill(&undisturbed);
    undisturbed.run_until_quiet().await;
    let expected = left(&undisturbed);
    assert_eq!((expected.objects.len(), expected.sent.len(), expected.events.len()), (2, 2, 2));

    let calls = {
        let faults = Faults::default();
        let world = world_with(&faults, settings());
        fill(&world);
        world.run_until_quiet().await;
        faults.calls()
    };
    assert!(calls > 30, "{calls}");
    for call in 1..=calls {
        for fault in [Fault::NotApplied, Fault::ReplyLost, Fault::Repeated] {
            for second in [None, Some(call + 1), Some(call + 5)] {
                let faults = Faults::default();
                let world = world_with(&faults, settings());
                fill(&world);
                faults.fail_call(call, fault);
                second.iter().for_each(|second| faults.fail_call(*second, Fault::ReplyLost));
                world.run_until_quiet().await;
                assert_eq!(left(&world), expected, "call {call} {fault:?} {second:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_process_that_is_gone_at_any_moment_loses_nothing_and_counts_nothing_twice() {
    let undisturbed = world();
    fill(&undisturbed);
    undisturbed.run_until_quiet().await;
    let expected = left(&undisturbed);
    let mut polls_max = 0;
    loop {
        polls_max += 1;
        let world = world();
        fill(&world);
        let mut was_dropped = false;
        for _ in 0..2 {
            was_dropped |= !poll(&world, polls_max);
            world.advance_past_backoff();
        }
        world.run_until_quiet().await;
        assert_eq!(left(&world), expected, "gone after {polls_max} polls");
        if !was_dropped {
            break;
        }
    }
    assert!(polls_max > 8, "{polls_max}");
}

/// Runs once, and drops the run when it was polled so often. True when it came to its end.
fn poll(world: &World, polls_max: usize) -> bool {
    let order = Order::default();
    let deadline = Deadline::after(Duration::from_secs(60));
    let mut run = pin!(world.reprocessor.reprocess(&order, deadline));
    let mut context = Context::from_waker(Waker::noop());
    (0..polls_max).any(|_| matches!(run.as_mut().poll(&mut context), Poll::Ready(_)))
}

// -----------------------------------------------------------------------------------------------------------------------
// Bounds
// -----------------------------------------------------------------------------------------------------------------------

fn bury_many(world: &World, count: usize) {
    for number in 0..count {
        world.bury(&placed(&format!("e-{number}"), &format!("o-{number}"), &[("MUG", 1)]));
    }
}

#[tokio::test]
async fn a_run_looks_after_no_more_messages_than_it_may() {
    let world = world_with(&Faults::default(), Settings { messages_per_run_max: 13, ..settings() });
    bury_many(&world, 30);
    world.send("quarantine", "text", &POISON);
    assert_eq!(world.run().await.received, 13);
    assert_eq!(world.run().await.received, 13);
    assert_eq!(world.run().await.received, 5);
}

#[tokio::test]
async fn a_run_sees_no_more_messages_than_it_may_whatever_it_is_about() {
    let world = world_with(&Faults::default(), Settings { messages_per_run_max: 13, ..settings() });
    bury_many(&world, 30);
    let nobody_s = Order { reason: Some("other".to_owned()), is_urgent: true, ..Order::default() };
    let expected = Summary { passed_over: 13, may_have_more: true, ..Summary::default() };
    assert_eq!(world.order(&nobody_s).await, expected);
    assert_eq!(world.queues.visible("inventory-updater-dead"), 30, "they are given back");
    let elsewhere = Order { queue: Some("event-archiver".to_owned()), ..nobody_s };
    assert_eq!(world.order(&elsewhere).await, Summary::default(), "it does not look where none can be");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_empty() {
    let faults = Faults::default();
    let world = world_with(&faults, settings());
    bury_many(&world, 1);
    faults.judged_by(|operation| {
        let is_refused = matches!(operation, "memory:Receive" | "memory:AllRecords");
        Turn { fault: is_refused.then_some(Fault::NotApplied), ..Turn::default() }
    });
    let order = Order { is_urgent: true, ..Order::default() };
    assert_eq!(world.order(&order).await, Summary { unreachable: 6, ..Summary::default() });
}

/// Every call of a run, when it does not come back: the run answers all the same, in time.
#[tokio::test]
async fn a_call_that_does_not_come_back_holds_up_no_run() {
    for hangs in [
        "memory:AllRecords",
        "memory:Receive",
        "memory:Backlog",
        "memory:Count",
        "memory:Redrive",
        "memory:Postpone",
        "memory:QuarantineRecord",
        "memory:KeepQuarantined",
        "memory:Publish",
        "memory:Alert",
        "memory:NoteAnnounced",
        "memory:NoteHidden",
        "memory:Delete",
    ] {
        let faults = Faults::default();
        let world = world_with(&faults, settings());
        world.bury(&order("e-1"));
        world.run().await;
        world.bury(&order("e-2"));
        world.send("quarantine", &envelope(&order("e-3"), 0), &POISON);
        world.send("event-archiver-dead", "anything", &[]);
        faults.judged_by(move |operation| {
            let fault = (operation == hangs).then_some(Fault::GoneBefore);
            Turn { fault, ..Turn::default() }
        });
        let order =
            Order { is_urgent: true, queue: Some("inventory-updater".to_owned()), ..Order::default() };
        let run = world.reprocessor.reprocess(&order, Deadline::after(Duration::from_millis(400)));
        let ended = tokio::time::timeout(Duration::from_secs(30), run).await;
        let summary = ended.unwrap_or_else(|_| panic!("{hangs} holds up the run"));
        assert!(faults.take_gone(), "{hangs} is called");
        assert!(summary.ran_out_of_time, "{hangs}: {summary:?}");
        // It comes again, and comes to an end.
        faults.judged_by(|_| Turn::default());
        world.advance_s(121);
        world.run_until_quiet().await;
        assert_eq!(
            world.quarantined(),
            [("inventory-updater#e-3".to_owned(), "impossible_data".to_owned())],
            "{hangs}"
        );
        let sent: BTreeSet<String> =
            world.lying_in("inventory-updater-queue").into_iter().map(|(body, _)| body).collect();
        assert_eq!(sent.len(), 2, "{hangs}");
    }
}

#[tokio::test]
async fn alerts_of_a_run_go_out_at_the_same_time() {
    let faults = Faults::default();
    let world = world_with(&faults, settings());
    for code in ["one", "two", "three"] {
        let because = [("consumer", "inventory-updater"), ("reasonCode", code)];
        world.send("quarantine", &envelope(&order(&format!("e-{code}")), 0), &because);
    }
    // None of them comes back; a second one is asked for only by whoever does not wait for the first.
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    faults.judged_by(move |operation| {
        let is_alert = operation == "memory:Alert";
        counted.fetch_add(usize::from(is_alert), std::sync::atomic::Ordering::Relaxed);
        Turn { fault: is_alert.then_some(Fault::GoneBefore), ..Turn::default() }
    });
    let deadline = Deadline::after(Duration::from_millis(200));
    let summary = world.reprocessor.reprocess(&Order::default(), deadline).await;
    assert_eq!((asked.load(std::sync::atomic::Ordering::Relaxed), summary.failed), (3, 3));
}

#[tokio::test]
async fn a_run_takes_its_time() {
    let world = world_with(&Faults::default(), Settings { messages_per_second_max: 100, ..settings() });
    bury_many(&world, 21);
    let begun = std::time::Instant::now();
    assert_eq!(world.run().await.postponed, 21);
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_target_is_filled_up_to_its_share_and_no_further() {
    let mut settings = settings();
    settings.queues.consumers[0].capacity = 40;
    let world = world_with(&Faults::default(), settings);
    // Half of 40, and six wait there already.
    (0..6).for_each(|number| world.send("inventory-updater-queue", &number.to_string(), &[]));
    bury_many(&world, 30);
    world.run().await;
    world.advance_past_backoff();
    let summary = world.run().await;
    assert_eq!(summary.redriven, 14, "{summary:?}");
    assert!((1..=10).contains(&summary.skipped), "{summary:?}");
    assert_eq!(world.queues.visible("inventory-updater-queue"), 20);
    world.advance_s(121);
    assert_eq!(world.run().await.redriven, 0, "nobody took anything meanwhile");
    for message in (0..2).flat_map(|_| world.queues.receive("inventory-updater-queue", 10, Some(3_600))) {
        world.queues.delete("inventory-updater-queue", &message.receipt_handle);
    }
    world.advance_s(121);
    assert_eq!(world.run().await.redriven, 16);
    assert!(world.queues.is_empty("inventory-updater-dead"));
}

#[tokio::test]
async fn a_target_that_cannot_be_asked_gets_nothing_in_this_run() {
    let world = world();
    bury_many(&world, 1);
    world.run().await;
    world.queues.create("other", QueueSettings { visibility_s: 1, retention_s: 60, redrive: None });
    let settings = Settings { capacity_share_percent: 50, ..settings() };
    let targets = MemoryRedriveTargets::new(world.queues.clone(), BTreeMap::new());
    let world = World { reprocessor: Reprocessor { targets, settings, ..world.reprocessor }, ..world };
    world.advance_past_backoff();
    assert_eq!(world.run().await, Summary { skipped: 1, ..summary(1) });
    assert_eq!(world.queues.len("inventory-updater-dead"), 1);
}

#[tokio::test]
async fn a_run_stops_before_its_time_is_up() {
    let world = world_with(&Faults::default(), Settings { messages_per_second_max: 20, ..settings() });
    bury_many(&world, 40);
    let begun = std::time::Instant::now();
    let deadline = Deadline::after(Duration::from_millis(500));
    let summary = world.reprocessor.reprocess(&Order::default(), deadline).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(summary.ran_out_of_time && (1..40).contains(&summary.postponed), "{summary:?}");
    world.run_until_quiet().await;
    assert_eq!(world.queues.len("inventory-updater-queue"), 40, "what was not reached comes again");

    let late = world.reprocessor.reprocess(&Order::default(), Deadline::after(Duration::ZERO)).await;
    assert_eq!(late, Summary { ran_out_of_time: true, ..summary_of_nothing() });
}

fn summary_of_nothing() -> Summary {
    Summary::default()
}

#[tokio::test]
async fn a_message_that_will_soon_be_forgotten_is_not_left_to_wait() {
    let world = world();
    world.bury(&order("e-1"));
    world.clock.advance_ms(13 * DAY_MS + 1);
    assert_eq!(world.run().await, Summary { redriven: 1, ..summary(1) });
    world.clock.advance_ms(2 * DAY_MS);
    assert_eq!(world.queues.len("inventory-updater-queue"), 1, "sent again, it is new");
}

#[tokio::test]
async fn a_message_that_will_soon_be_forgotten_and_cannot_be_sent_is_kept() {
    let world = world();
    world.bury(&order("e-1"));
    world.clock.advance_ms(13 * DAY_MS + 1);
    let targets = MemoryRedriveTargets::new(world.queues.clone(), BTreeMap::new());
    let world = World { reprocessor: Reprocessor { targets, ..world.reprocessor }, ..world };
    assert_eq!(world.run().await.quarantined, 1);
    assert_eq!(world.quarantined()[0].1, "cannot_be_sent");
}

// -----------------------------------------------------------------------------------------------------------------------
// By hand
// -----------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_person_need_not_wait() {
    let world = world();
    bury_many(&world, 5);
    assert_eq!(world.run().await.postponed, 5);
    assert_eq!(world.run().await.received, 0, "they are hidden");
    let order = Order { is_urgent: true, ..Order::default() };
    assert_eq!(world.order(&order).await, Summary { redriven: 5, ..summary(5) });
    assert_eq!(
        world.lying_in("inventory-updater-queue")[0].1,
        attempt(0, 1),
        "and nothing is counted for it"
    );
    let surveyed = world.reprocessor.survey(&Order::default()).await.unwrap();
    assert_eq!(surveyed.messages, [], "what is gone waits nowhere");
}

#[tokio::test]
async fn a_limit_is_of_those_that_are_meant() {
    let world = world();
    bury_many(&world, 30);
    world.advance_s(1);
    for number in 0..4 {
        world.bury(&cancelled(&format!("c-{number}"), "o-9"));
    }
    let because = ("ERROR_CODE", "NO_PERMISSIONS");
    let queue_arn = format!("{QUEUE_ARN}inventory-updater-queue");
    world.send("undelivered", &envelope(&order("u-1"), 0), &[("TARGET_ARN", &queue_arn), because]);
    world.send("event-archiver-dead", &envelope(&cancelled("a-1", "o-9"), 0), &[]);
    let text = |text: &str| Some(text.to_owned());
    let later = domain::Timestamp::from_unix_ms(NOW.unix_ms() + 1);
    let meant = [
        (Order { event_type: text("orders.order-cancelled"), ..Order::default() }, 5),
        (Order { reason: text("NO_PERMISSIONS"), ..Order::default() }, 1),
        (Order { since: Some(later), ..Order::default() }, 6),
        (Order { queue: text("event-archiver"), ..Order::default() }, 1),
        (Order { id: text("c-3"), ..Order::default() }, 1),
    ];
    for (order, count) in &meant {
        for limit in [1, 2, 100] {
            let order = Order { limit: Some(limit), ..order.clone() };
            let survey = world.reprocessor.survey(&order).await.unwrap();
            assert_eq!(
                (survey.messages.len(), survey.may_have_more),
                ((*count).min(limit), false),
                "{order:?}"
            );
        }
    }
    assert_eq!(world.queues.visible("inventory-updater-dead"), 34, "all of them are given back");
    // A run finds the same, and leaves all others where they are.
    let mut redriven = 0;
    for (order, count) in meant {
        let order = Order { limit: Some(2), is_urgent: true, ..order };
        let summary = world.order(&order).await;
        redriven += summary.redriven;
        assert!(
            summary.redriven <= count.min(2) && summary.skipped + summary.failed == 0,
            "{order:?} {summary:?}"
        );
    }
    // Which of the queues the limited runs took theirs from is up to them; the thirty that nobody meant lie there still.
    let sent = world.queues.visible("inventory-updater-queue") + world.queues.visible("event-archiver-queue");
    let left = ["inventory-updater-dead", "undelivered", "event-archiver-dead"];
    let left: usize = left.iter().map(|queue| world.queues.visible(queue)).sum();
    assert_eq!((sent, left), (redriven, 36 - redriven));
    assert!(redriven >= 4 && world.queues.visible("inventory-updater-dead") >= 30, "{redriven}");
}

#[tokio::test]
async fn a_look_that_does_not_take_in_all_says_so() {
    let world = world_with(&Faults::default(), Settings { messages_per_run_max: 13, ..settings() });
    bury_many(&world, 30);
    let survey = world.reprocessor.survey(&Order::default()).await.unwrap();
    assert_eq!((survey.messages.len(), survey.may_have_more), (13, true));
    let elsewhere = Order { queue: Some("event-archiver".to_owned()), ..Order::default() };
    let survey = world.reprocessor.survey(&elsewhere).await.unwrap();
    assert_eq!((survey.messages.len(), survey.may_have_more), (0, false));
}

#[tokio::test]
async fn a_person_can_choose() {
    let world = world();
    bury_many(&world, 3);
    world.send("event-archiver-dead", &envelope(&cancelled("c-1", "o-9"), 0), &[]);
    let choose = async |order: Order| {
        let order = Order { is_urgent: true, ..order };
        let surveyed = world.reprocessor.survey(&order).await.unwrap().messages;
        surveyed.into_iter().map(|one| one.key.to_string()).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let archiver = ["event-archiver#c-1"];
    assert_eq!(choose(Order { queue: text("event-archiver"), ..Order::default() }).await, archiver);
    assert_eq!(choose(Order { queue: text("event-archiver-dead"), ..Order::default() }).await, archiver);
    assert_eq!(
        choose(Order { event_type: text("orders.order-cancelled"), ..Order::default() }).await,
        archiver
    );
    assert_eq!(
        choose(Order { event_type: text("orders.order-cancelled.v1"), ..Order::default() }).await,
        archiver
    );
    assert_eq!(choose(Order { id: text("c-1"), ..Order::default() }).await, archiver);
    assert_eq!(choose(Order { reason: text("deliveries_exhausted"), ..Order::default() }).await.len(), 4);
    assert_eq!(choose(Order { reason: text("other"), ..Order::default() }).await.len(), 0);
    let later = domain::Timestamp::from_unix_ms(NOW.unix_ms() + 1);
    assert_eq!(choose(Order { since: Some(later), ..Order::default() }).await.len(), 0);
    assert_eq!(choose(Order { since: Some(NOW), limit: Some(2), ..Order::default() }).await.len(), 2);

    let order = Order { queue: text("event-archiver"), is_urgent: true, ..Order::default() };
    assert_eq!(world.order(&order).await, Summary { redriven: 1, ..summary(1) });
    assert_eq!(world.queues.visible("inventory-updater-dead"), 3, "the others are where they were");
    let order = Order { limit: Some(2), is_urgent: true, ..Order::default() };
    assert_eq!(world.order(&order).await.redriven, 2);
}

#[tokio::test]
async fn to_look_changes_nothing() {
    let world = world();
    fill(&world);
    bury_many(&world, 25);
    world.run().await;
    bury_many(&world, 2);
    let (before, visible) =
        (world.reprocessor.ledger.records(), world.queues.visible("inventory-updater-dead"));
    let surveyed = world.reprocessor.survey(&Order::default()).await.unwrap().messages;
    let (quarantined, surveyed): (Vec<_>, Vec<_>) =
        surveyed.into_iter().partition(|one| one.place == Place::Quarantine);
    let mut ids: Vec<_> = quarantined.into_iter().map(|one| one.id).collect();
    ids.sort();
    let kept: Vec<_> = world.reprocessor.quarantine.objects().into_iter().map(|object| object.id).collect();
    assert_eq!(ids, kept);
    assert_eq!(world.reprocessor.ledger.records(), before);
    assert_eq!(world.queues.visible("inventory-updater-dead"), visible);
    let hidden = surveyed.iter().filter(|one| matches!(one.place, Place::Hidden(_))).count();
    let in_queue = surveyed.iter().filter(|one| matches!(one.place, Place::Queue(_))).count();
    assert!(hidden > 20 && in_queue == 2, "{hidden} {in_queue}");
    assert!(surveyed.iter().all(|one| matches!(one.decision, Some(Decision::Wait(_)))));

    let urgent = Order { is_urgent: true, ..Order::default() };
    let surveyed = world.reprocessor.survey(&urgent).await.unwrap().messages;
    let mut in_queues = surveyed.iter().filter(|one| one.place != Place::Quarantine);
    assert!(in_queues.all(|one| matches!(one.decision, Some(Decision::Redrive(..)))));
    assert_eq!(world.reprocessor.ledger.records(), before);
}

#[tokio::test]
async fn a_person_can_give_up_on_a_message() {
    let world = world();
    bury_many(&world, 2);
    world.run().await;
    let verdict = RedriveReason { code: "by_hand".to_owned(), text: "a person decided so".to_owned() };
    let order = Order { id: Some("e-1".to_owned()), verdict: Some(verdict), ..Order::default() };
    assert_eq!(world.order(&order).await, Summary { quarantined: 1, ..summary(1) });
    assert_eq!(world.quarantined(), [("inventory-updater#e-1".to_owned(), "by_hand".to_owned())]);
}

// -----------------------------------------------------------------------------------------------------------------------
// A bug, and its end
// -----------------------------------------------------------------------------------------------------------------------

type Updater = runtime::Consumer<
    InventoryUpdater<MemoryStockStore, Arc<ManualClock>>,
    MemoryEventBus,
    MemoryQueue,
    MemoryQueue,
>;

fn inventory_updater(world: &World, faults: Faults) -> Updater {
    runtime::Consumer {
        name: inventory_updater::NAME,
        handler: InventoryUpdater {
            stock: MemoryStockStore::with_faults(faults),
            clock: world.clock.clone(),
        },
        bus: MemoryEventBus::default(),
        quarantine: MemoryQueue::new(world.queues.clone(), "quarantine"),
        queue: MemoryQueue::new(world.queues.clone(), "inventory-updater-queue"),
    }
}

/// Plays Lambda's part: delivers what is visible, deletes what is acknowledged.
async fn deliver(world: &World, consumer: &Updater) {
    loop {
        let received = world.queues.receive("inventory-updater-queue", 10, None);
        if received.is_empty() {
            return;
        }
        let message = |received: &memory::Received| {
            let mut message = SqsMessage::default();
            message.message_id = Some(received.message_id.clone());
            message.receipt_handle = Some(received.receipt_handle.clone());
            message.body = Some(received.body.as_ref().to_owned());
            let count = ("ApproximateReceiveCount".to_owned(), received.receive_count.to_string());
            message.attributes = [count].into();
            for (name, value) in &received.attributes {
                let attribute = serde_json::json!({"stringValue": value, "dataType": "String"});
                message.message_attributes.insert(name.clone(), serde_json::from_value(attribute).unwrap());
            }
            message
        };
        let event = batch(received.iter().map(message));
        let failed = consumer.consume(event, Deadline::after(Duration::from_secs(60))).await;
        let failed: BTreeSet<&str> =
            failed.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        for message in received.iter().filter(|message| !failed.contains(message.message_id.as_str())) {
            world.queues.delete("inventory-updater-queue", &message.receipt_handle);
        }
    }
}

#[tokio::test]
async fn a_message_that_fails_because_of_a_bug_is_parked_and_takes_effect_once_after_the_fix() {
    let world = world();
    let faults = Faults::default();
    let broken = inventory_updater(&world, faults.clone());
    broken.handler.stock.set_available(&sku("MUG"), 10).await.unwrap();
    // The bug: no call to the table comes through.
    faults.judged_by(|_| Turn { fault: Some(Fault::NotApplied), ..Turn::default() });
    world.send("inventory-updater-queue", &envelope(&order("e-1"), 0), &[]);
    // The bus delivers at least once.
    world.send("inventory-updater-queue", &envelope(&order("e-1"), 1), &[]);

    // Everything runs on, for days, and the message with it: redriven, failed, given up on.
    for _ in 0..200 {
        deliver(&world, &broken).await;
        world.run().await;
        world.advance_s(600);
    }
    assert_eq!(world.quarantined(), [("inventory-updater#e-1".to_owned(), "attempts_exhausted".to_owned())]);
    assert_eq!(world.alerts().len(), 1);
    assert_eq!(broken.bus.published(), []);

    // The fix is deployed, and the message brought back by a person who types the command twice.
    faults.judged_by(|_| Turn::default());
    let handler = InventoryUpdater { stock: broken.handler.stock.clone(), clock: world.clock.clone() };
    let fixed = Updater { handler, ..inventory_updater(&world, Faults::default()) };
    let id = world.reprocessor.quarantine.objects()[0].id.clone();
    let (one, other) = tokio::join!(world.reprocessor.release(&id), world.reprocessor.release(&id));
    assert!(one.is_ok() && other.is_ok(), "at once, both see it in quarantine");
    deliver(&world, &fixed).await;
    world.run_until_quiet().await;
    deliver(&world, &fixed).await;

    let level = fixed.handler.stock.levels().await.unwrap()[0].1;
    assert_eq!((level.available, level.reserved, level.received), (8, 2, 10), "once");
    let ids: BTreeSet<_> = fixed.bus.published().into_iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 1, "and said once");
    assert!(fixed.handler.stock.reservations().contains_key(&order_id("o-1")));
    assert_eq!(world.record("inventory-updater", "e-1").state, RedriveState::Released);
    for queue in world.queues.names() {
        assert!(world.queues.is_empty(&queue), "{queue}");
    }
}
