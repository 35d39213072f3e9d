//! `order-tracker`: every event is a fact once, and no fact names a person.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use contracts::{BusEvent, Event, EventType, kind_of_type};
use domain::Timestamp;
use function_tests::{
    Function, PERSONAL_VALUES, batch, cancelled, envelope, message, moved, order_id, picked_up, placed,
    signed,
};
use memory::{Fault, Faults, MemoryOrderViewStore};
use order_tracker::{NAME, OrderTracker};
use ports::OrderViewStore;
use proptest::prelude::*;
use runtime::SqsMessage;
use serde_json::Value;

type Tracker = Function<OrderTracker<MemoryOrderViewStore>>;

fn function(faults: &Faults) -> Tracker {
    let views = MemoryOrderViewStore::with_faults(faults.clone());
    Function::with_faults(NAME, OrderTracker { views }, faults)
}

/// The golden sample of every type, all about one order.
fn every_event() -> Vec<Event> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/samples/order-tracker/every-type.json");
    let sample = std::fs::read_to_string(path).unwrap();
    let sample: runtime::SqsEvent = serde_json::from_str(&sample).unwrap();
    let decode = |body: &String| contracts::decode(body, None).map(|BusEvent { event, .. }| event).unwrap();
    sample.records.iter().filter_map(|record| record.body.as_ref()).map(decode).collect()
}

#[tokio::test]
async fn an_event_of_every_type_is_one_fact_of_its_order() {
    let function = function(&Faults::default());
    let events = every_event();
    assert_eq!(function.deliver_batch(&events).await, []);
    let views = function.handler().views.orders();
    assert_eq!(views.len(), 1);
    let mut types: Vec<_> = views.values().flatten().map(|fact| fact.event_type).collect();
    types.sort();
    let about_orders = EventType::ALL.iter().copied().filter(|one| kind_of_type(*one).is_some());
    assert_eq!(types, about_orders.collect::<Vec<_>>());
    assert_eq!(function.published(), []);
}

#[tokio::test]
async fn the_read_model_names_no_person_and_keeps_no_token() {
    let function = function(&Faults::default());
    function.deliver_all(&every_event()).await;
    let view = format!("{:?}", function.handler().views.orders());
    assert!(view.contains("customerId"), "the details are looked at");
    for value in PERSONAL_VALUES.iter().chain(&["London", "AQCsampletasktoken", "signedBy", "personal"]) {
        assert!(!view.contains(value), "{value}");
    }
}

#[tokio::test]
async fn a_redelivered_event_is_one_fact() {
    let function = function(&Faults::default());
    let order = placed("e-1", "o-1", &[("MUG", 1)]);
    assert!(function.deliver(&order).await);
    let before = function.handler().views.orders();
    assert!(function.deliver(&order).await);
    assert_eq!(function.handler().views.orders(), before);
}

#[tokio::test]
async fn a_fact_is_not_replaced_by_another_under_its_id() {
    let function = function(&Faults::default());
    assert!(function.deliver(&placed("e-1", "o-1", &[("MUG", 1)])).await);
    assert!(function.deliver(&cancelled("e-1", "o-1")).await);
    let facts = &function.handler().views.orders()[&order_id("o-1")];
    assert_eq!(facts.iter().map(|fact| fact.event_type).collect::<Vec<_>>(), [EventType::OrderPlaced]);
}

/// What a rule delivers of an event that another account put on the bus.
fn message_from_partner(number: u64, event: &Event, change: impl FnOnce(&mut Value)) -> SqsMessage {
    let mut body: Value = serde_json::from_str(&envelope(event, number)).unwrap();
    body["account"] = "444455556666".into();
    change(&mut body["detail"]);
    let mut message = message(&format!("message-{number}"), &body.to_string(), 1);
    message.event_source_arn = Some("arn:aws:sqs:eu-central-1:111122223333:order-tracker".into());
    message
}

#[tokio::test]
async fn a_partner_account_cannot_say_more_than_the_schema_has_room_for() {
    let function = function(&Faults::default());
    let long = "x".repeat(250_000);
    let scan = moved("e-1", "o-1", "in_transit");
    let pick_up = picked_up("e-2", "o-1");
    let messages = [
        message_from_partner(1, &scan, |detail| detail["data"]["location"] = long.clone().into()),
        message_from_partner(2, &scan, |detail| detail["data"]["status"] = long.clone().into()),
        message_from_partner(3, &scan, |detail| detail["data"]["parcelId"] = long.clone().into()),
        message_from_partner(4, &pick_up, |detail| detail["data"]["carrier"] = long.clone().into()),
        message_from_partner(5, &pick_up, |detail| detail["data"]["carrier"] = "Ada\u{7}Example".into()),
        message_from_partner(6, &scan, |detail| detail["dataschema"] = "urn:another".into()),
    ];
    assert_eq!(function.consume(batch(messages)).await, [""; 0]);
    assert_eq!(function.quarantined(), [["schema_mismatch"; 5].as_slice(), &["invalid_attribute"]].concat());
    assert!(function.handler().views.orders().is_empty());
    for kept in function.consumer.quarantine.kept() {
        assert!(kept.reason.len() < 300 && !kept.reason.contains("Ada"), "{}", kept.reason);
    }
    let good = message_from_partner(7, &scan, |detail| detail["data"]["location"] = "x".repeat(100).into());
    assert_eq!(function.consume(batch([good])).await, [""; 0]);
    assert_eq!(function.handler().views.orders().len(), 1);
}

#[tokio::test]
async fn another_senders_clock_may_be_a_day_ahead_and_no_more() {
    let function = function(&Faults::default());
    // The messages were sent at 12:00:00.500Z.
    let at = |number: u64, time: &str| {
        let scan = moved(&format!("e-{number}"), "o-1", "in_transit");
        message_from_partner(number, &scan, |detail| detail["time"] = time.into())
    };
    let messages = [
        at(1, "2099-12-31T00:00:00Z"),
        at(2, "2026-02-01T12:00:00.501Z"),
        at(3, "2026-02-01T12:00:00.500Z"),
        at(4, "2020-01-01T00:00:00Z"),
    ];
    assert_eq!(function.consume(batch(messages)).await, [""; 0]);
    assert_eq!(function.quarantined(), ["invalid_attribute"; 2]);
    let views = function.handler().views.orders();
    let mut kept: Vec<&str> = views.values().flatten().map(|fact| fact.fact.event_id.as_str()).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["e-3", "e-4"], "a replay brings old events");

    // Of ours, the clock is ours.
    let mut own = placed("e-5", "o-1", &[("MUG", 1)]);
    own.time = Timestamp::from_unix_ms(4_000_000_000_000);
    function.deliver_all(&[own]).await;
    assert_eq!(function.handler().views.orders().values().flatten().count(), 3);
}

#[tokio::test]
async fn a_fact_that_could_not_be_kept_is_delivered_again_alone() {
    let faults = Faults::default();
    let function = function(&faults);
    faults.fail_call(2, Fault::NotApplied);
    let orders = ["e-1", "e-2", "e-3"].map(|id| placed(id, "o-1", &[("MUG", 1)]));
    assert_eq!(
        function.deliver_batch(&orders).await.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(),
        ["e-2"]
    );
    assert!(function.deliver(&orders[1]).await);
    assert_eq!(function.handler().views.orders()[&order_id("o-1")].len(), 3);
}

#[tokio::test]
async fn a_claimed_id_hides_no_fact() {
    let function = function(&Faults::default());
    let ours = placed("e-1", "o-1", &[("MUG", 1)]);
    let mut claim = every_event()
        .into_iter()
        .find(|event| event.data.event_type() == EventType::DeliveryStatusChanged)
        .unwrap();
    claim.id = ours.id.clone();
    let contracts::Data::DeliveryStatusChanged(data) = &mut claim.data else { panic!("a status") };
    data.order_id = "o-1".to_owned();
    claim.subject = ours.subject.clone();
    assert!(function.deliver(&claim).await);
    assert!(function.deliver(&ours).await);
    let facts = &function.handler().views.orders()[&order_id("o-1")];
    assert_eq!(facts.len(), 2);
    assert!(facts.iter().any(|fact| fact.event_type == EventType::OrderPlaced));
}

#[tokio::test]
async fn no_number_of_scans_keeps_a_later_fact_out() {
    let function = function(&Faults::default());
    // One item that held them all would be full before the last of them.
    let scan = |number: usize| {
        let mut scan = moved(&format!("scan-{number}"), "o-1", "in_transit");
        let contracts::Data::DeliveryStatusChanged(data) = &mut scan.data else { panic!("a status") };
        data.location = Some("\u{e4}".repeat(100));
        scan
    };
    let scans: Vec<Event> = (0..2_000).map(scan).collect();
    for batch in scans.chunks(10) {
        assert_eq!(function.deliver_batch(batch).await, []);
    }
    let later = [placed("e-1", "o-1", &[("MUG", 1)]), cancelled("e-2", "o-1"), signed("e-3", "o-1")];
    assert_eq!(function.deliver_batch(&later).await, []);
    assert_eq!(function.quarantined(), Vec::<String>::new());
    let views = &function.handler().views;
    assert_eq!(views.orders()[&order_id("o-1")].len(), 2_003);
    let own = views.own_facts(&order_id("o-1")).await.unwrap();
    assert_eq!(
        own.iter().map(|fact| fact.event_type).collect::<Vec<_>>(),
        [EventType::OrderPlaced, EventType::OrderCancelled]
    );
    assert!(views.has_signature(&order_id("o-1")).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_of_arrival_and_any_loss_give_the_same_view(
        shuffled in Just(every_event().into_iter().chain(every_event()).collect::<Vec<_>>()).prop_shuffle(),
        lost in prop::collection::vec((1_u64..40, any::<bool>()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let in_order = function(&Faults::default());
            in_order.deliver_all(&every_event()).await;
            let faults = Faults::default();
            let function = function(&faults);
            for (call, is_applied) in lost {
                faults.fail_call(call, if is_applied { Fault::ReplyLost } else { Fault::NotApplied });
            }
            for event in &shuffled {
                function.deliver_until_acknowledged(event).await;
            }
            prop_assert_eq!(function.handler().views.orders(), in_order.handler().views.orders());
            Ok(())
        })?;
    }
}
