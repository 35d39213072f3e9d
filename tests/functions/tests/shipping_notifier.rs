//! `shipping-notifier`: one shipment an order, and a fulfilment centre that is never asked for one that was called off.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::collections::BTreeMap;

use contracts::{Data, Event, Origin, event_identity};
use domain::{ShipmentDecision, ShipmentEnd};
use function_tests::{
    Function, PERSONAL_VALUES, SteppingClock, cancelled, confirmed, data_of, every_crash_converges, order_id,
    picked_up, picked_up_of, placed, types_of,
};
use memory::{Fault, Faults, MemoryFulfilmentCentre, MemoryShipmentStore, StoredShipment};
use ports::Notice;
use serde_json::{Value, json};
use shipping_notifier::{NAME, ShippingNotifier};

type Notifier = ShippingNotifier<MemoryShipmentStore, MemoryFulfilmentCentre, SteppingClock>;

fn function(faults: &Faults, clock: SteppingClock) -> Function<Notifier> {
    let handler = ShippingNotifier {
        shipments: MemoryShipmentStore::with_faults(faults.clone()),
        fulfilment_centre: MemoryFulfilmentCentre::with_faults(faults.clone()),
        clock,
    };
    Function::with_faults(NAME, handler, faults)
}

fn sound() -> Function<Notifier> {
    function(&Faults::default(), SteppingClock::default())
}

fn confirmation(id: &str) -> Event {
    confirmed(id, "o-1", &[("MUG", 2), ("TEA", 1)])
}

fn notices(handler: &Notifier) -> Vec<(String, &'static str, Value)> {
    let part = |notice: Notice| (notice.notice_id, notice.kind, serde_json::from_str(&notice.body).unwrap());
    handler.fulfilment_centre.notices().into_iter().map(part).collect()
}

fn notice_ids(function: &Function<Notifier>) -> Vec<String> {
    notices(function.handler()).into_iter().map(|(id, ..)| id).collect()
}

fn stored(function: &Function<Notifier>) -> StoredShipment {
    function.handler().shipments.shipments()[&order_id("o-1")].clone()
}

fn end(function: &Function<Notifier>) -> Option<ShipmentEnd> {
    stored(function).shipment.closing.map(|closing| closing.end)
}

#[tokio::test]
async fn a_confirmed_order_is_scheduled_and_the_fulfilment_centre_told() {
    let function = sound();
    let published = function.published_by(&confirmation("e-1")).await;
    assert_eq!(types_of(&published), ["shipping.shipment-scheduled.v1"]);
    let lines = json!([{"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 1}]);
    assert_eq!(data_of(&published[0]), json!({"orderId": "o-1", "shipmentId": "ship-o-1", "lines": lines}));
    let [(id, kind, body)] = &notices(function.handler())[..] else { panic!("one notice") };
    assert_eq!((id.as_str(), *kind), ("ship-o-1:ship", "ship"));
    assert_eq!(
        (&body["kind"], &body["shipmentId"], &body["lines"]),
        (&json!("ship"), &json!("ship-o-1"), &lines)
    );
    assert_eq!(body["personal"]["street"], "1 Analytical Row");
}

#[tokio::test]
async fn the_bus_is_not_told_whom_a_shipment_is_for() {
    let published = sound().published_by(&confirmation("e-1")).await;
    assert!(PERSONAL_VALUES.iter().all(|value| !published[0].detail.contains(value)));
}

#[tokio::test]
async fn a_redelivered_confirmation_repeats_its_event_and_its_notice_to_the_letter() {
    let function = sound();
    let first = function.published_by(&confirmation("e-1")).await;
    let before = stored(&function);
    assert_eq!(function.published_by(&confirmation("e-1")).await, first);
    assert_eq!(stored(&function), before);
    let told = notices(function.handler());
    assert_eq!(told.len(), 2, "the outside is told at least once, under one id");
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn a_second_confirmation_of_an_order_says_nothing() {
    let function = sound();
    function.published_by(&confirmation("e-1")).await;
    assert_eq!(function.published_by(&confirmation("e-2")).await, []);
    assert_eq!(notice_ids(&function), ["ship-o-1:ship"]);
}

#[tokio::test]
async fn a_shipment_is_announced_only_once_the_fulfilment_centre_knows() {
    let faults = Faults::default();
    let function = function(&faults, SteppingClock::default());
    faults.fail_call(2, Fault::NotApplied);
    assert!(!function.deliver(&confirmation("e-1")).await);
    assert_eq!(stored(&function).shipment.decision, ShipmentDecision::Scheduled);
    assert_eq!((function.published(), notice_ids(&function)), (vec![], vec![]));
    assert_eq!(
        types_of(&function.published_by(&confirmation("e-1")).await),
        ["shipping.shipment-scheduled.v1"]
    );
    assert_eq!(notice_ids(&function), ["ship-o-1:ship"]);
}

#[tokio::test]
async fn an_order_cancelled_before_it_is_confirmed_here_is_not_shipped() {
    let function = sound();
    assert_eq!(function.published_by(&cancelled("e-2", "o-1")).await, []);
    assert_eq!(function.published_by(&confirmation("e-1")).await, []);
    assert_eq!(function.published_by(&cancelled("e-2", "o-1")).await, []);
    assert_eq!(notice_ids(&function), [""; 0]);
    assert_eq!(stored(&function).shipment.decision, ShipmentDecision::Barred);
}

#[tokio::test]
async fn a_shipment_that_has_not_left_is_called_off() {
    let function = sound();
    function.published_by(&confirmation("e-1")).await;
    let published = function.published_by(&cancelled("e-2", "o-1")).await;
    assert_eq!(types_of(&published), ["shipping.shipment-cancelled.v1"]);
    assert_eq!(data_of(&published[0]), json!({"orderId": "o-1", "shipmentId": "ship-o-1"}));
    assert_eq!(function.published_by(&cancelled("e-2", "o-1")).await, published);
    assert_eq!(function.published_by(&cancelled("e-3", "o-1")).await, []);
    assert_eq!(notice_ids(&function), ["ship-o-1:ship", "ship-o-1:cancel", "ship-o-1:cancel"]);
    assert_eq!(end(&function), Some(ShipmentEnd::Cancelled));
}

#[tokio::test]
async fn a_shipment_that_has_left_is_not_called_off() {
    let function = sound();
    function.deliver_all(&[confirmation("e-1"), picked_up("e-2", "o-1")]).await;
    assert_eq!(function.published_by(&cancelled("e-3", "o-1")).await, []);
    assert_eq!(notice_ids(&function), ["ship-o-1:ship"]);
    assert_eq!(end(&function), Some(ShipmentEnd::Left));
}

#[tokio::test]
async fn a_confirmation_redelivered_after_the_shipment_was_called_off_does_not_ask_for_it_again() {
    let function = sound();
    let scheduled = function.published_by(&confirmation("e-1")).await;
    function.published_by(&cancelled("e-2", "o-1")).await;
    assert_eq!(function.published_by(&confirmation("e-1")).await, scheduled);
    assert_eq!(notice_ids(&function), ["ship-o-1:ship", "ship-o-1:cancel"]);
}

#[tokio::test]
async fn every_parcel_of_a_shipment_may_leave() {
    let function = sound();
    let parcels = ["e-2", "e-2", "e-3"].map(|id| picked_up(id, "o-1"));
    function.published_by(&confirmation("e-1")).await;
    function.deliver_all(&parcels).await;
    assert_eq!(function.quarantined(), [""; 0]);
    let identity = event_identity(&Origin::Own, "shipping.parcel-picked-up.v1", "e-2");
    assert_eq!(stored(&function).shipment.closing.unwrap().decided_by, identity);
}

#[tokio::test]
async fn a_pick_up_for_an_order_without_a_shipment_is_refused_at_once() {
    let function = sound();
    assert!(function.deliver(&picked_up("e-2", "o-1")).await);
    assert_eq!(function.quarantined(), ["unknown_shipment"]);
    assert!(function.handler().shipments.shipments().is_empty());
}

#[tokio::test]
async fn a_departure_is_told_once_with_the_same_event_at_every_delivery() {
    let function = sound();
    function.deliver(&confirmation("e-1")).await;
    // The carrier chose the id of an event of ours.
    let first = function.published_by(&picked_up("e-1", "o-1")).await;
    assert_eq!(types_of(&first), ["shipping.shipment-departed.v1"]);
    assert_ne!(
        first[0].event_id,
        contracts::derived_event_id(&domain::EventId::parse("e-1").unwrap(), "shipping-notifier", 0)
    );
    assert_eq!(function.published_by(&picked_up("e-1", "o-1")).await, first);
    assert_eq!(function.published_by(&picked_up("e-3", "o-1")).await, []);
}

#[tokio::test]
async fn a_pick_up_of_another_shipment_records_no_departure() {
    let function = sound();
    function.deliver(&confirmation("e-1")).await;
    assert!(function.deliver(&picked_up_of("e-2", "o-1", "ship-someone-elses")).await);
    assert_eq!(function.quarantined(), ["foreign_shipment"]);
    assert_eq!(function.handler().shipments.shipments()[&order_id("o-1")].shipment.closing, None);
}

#[tokio::test]
async fn a_parcel_of_a_shipment_that_was_called_off_is_set_aside() {
    for before in [vec![cancelled("e-2", "o-1")], vec![confirmation("e-1"), cancelled("e-2", "o-1")]] {
        let function = sound();
        function.deliver_all(&before).await;
        assert!(function.deliver(&picked_up("e-3", "o-1")).await);
        let [code] = &function.quarantined()[..] else { panic!("one refusal") };
        assert_eq!(code, "shipment_cancelled");
    }
}

#[tokio::test]
async fn a_confirmation_that_nobody_could_ship_is_set_aside_with_every_reason_and_no_name() {
    let function = sound();
    let mut event = confirmed("e-1", "o-1", &[("MUG", 0)]);
    if let Data::OrderConfirmed(data) = &mut event.data {
        data.personal.country = "Britain".into();
    }
    assert_eq!(function.published_by(&event).await, []);
    let [kept] = &function.consumer.quarantine.kept()[..] else { panic!("one message") };
    assert_eq!(kept.reason_code, "impossible_data");
    for field in ["lines[0].quantity", "personal.country"] {
        assert!(kept.reason.contains(field), "{}", kept.reason);
    }
    assert!(PERSONAL_VALUES.iter().chain(&["Britain"]).all(|value| !kept.reason.contains(value)));
    assert!(function.handler().shipments.shipments().is_empty());
}

#[tokio::test]
async fn an_event_of_another_subscription_is_set_aside() {
    let function = sound();
    assert_eq!(function.published_by(&placed("e-1", "o-1", &[("MUG", 1)])).await, []);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
}

#[tokio::test]
async fn every_crash_leaves_the_same_shipments_notices_and_events() {
    let lines = [("MUG", 1)];
    let history = [
        vec![confirmation("e-1"), confirmed("e-2", "o-2", &lines), cancelled("e-3", "o-3")],
        vec![cancelled("e-4", "o-1"), picked_up("e-5", "o-2"), confirmed("e-6", "o-3", &lines)],
        vec![confirmation("e-1"), cancelled("e-7", "o-2")],
    ];
    let state = |handler: &Notifier| {
        let mut told = BTreeMap::new();
        for (id, kind, body) in notices(handler) {
            let first = told.entry(id).or_insert_with(|| (kind, body.clone()));
            assert_eq!(*first, (kind, body), "a notice was sent in two versions");
        }
        (handler.shipments.shipments(), told)
    };
    let build = async |faults: Faults, clock| function(&faults, clock);
    every_crash_converges(build, async |_| (), &history, state).await;
}
