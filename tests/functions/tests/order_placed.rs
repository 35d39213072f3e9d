//! `order-placed`: one decision and one outcome an order, however its events arrive.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use contracts::{Data, Event, Outbound, Reason};
use domain::Outcome;
use function_tests::{
    Function, PERSONAL_VALUES, SteppingClock, cancellation_requested, cancelled, data_of, detail_of,
    every_crash_converges, order_id, placed, stock_rejected, types_of,
};
use memory::{Fault, Faults, MemoryOrderStore, StoredOrder};
use order_placed::{NAME, OrderPlacedHandler};
use ports::OrderDecision;
use proptest::prelude::*;
use serde_json::{Value, json};

type OrderPlacedFunction = Function<OrderPlacedHandler<MemoryOrderStore, SteppingClock>>;

fn function(faults: &Faults, clock: SteppingClock) -> OrderPlacedFunction {
    let orders = MemoryOrderStore::with_faults(faults.clone());
    Function::with_faults(NAME, OrderPlacedHandler { orders, clock }, faults)
}

fn sound() -> OrderPlacedFunction {
    function(&Faults::default(), SteppingClock::default())
}

fn order(id: &str) -> Event {
    placed(id, "o-1", &[("MUG", 2), ("TEA", 1)])
}

/// Every rule that can be broken at once.
fn broken(id: &str) -> Event {
    let mut event = placed(id, "o-1", &[("MUG", 0), ("not a sku", 1)]);
    if let Data::OrderPlaced(data) = &mut event.data {
        data.customer_id = String::new();
        data.personal.country = "Britain".into();
        data.personal.email = "ada at example.com".into();
    }
    event
}

fn stored(function: &OrderPlacedFunction) -> StoredOrder {
    function.handler().orders.order(&order_id("o-1")).unwrap()
}

fn outcome(function: &OrderPlacedFunction) -> Option<Outcome> {
    stored(function).settlement.map(|settlement| settlement.outcome)
}

#[tokio::test]
async fn an_order_that_keeps_every_rule_is_registered_and_accepted() {
    let function = sound();
    let placed = order("e-1");
    let published = function.published_by(&placed).await;
    assert_eq!(types_of(&published), ["orders.order-accepted.v1"]);
    let detail = detail_of(&published[0]);
    assert_eq!(detail["subject"], "o-1");
    assert_eq!(detail["causationid"], "e-1");
    assert_eq!(detail["correlationid"], "flow-o-1");
    assert_eq!(detail["traceparent"], placed.traceparent.unwrap());
    assert_eq!(detail["data"]["customerId"], "c-1");
    assert_eq!(detail["data"]["total"], json!({"amountMinor": 300, "currency": "EUR"}));
    assert_eq!(detail["data"]["lines"].as_array().map(Vec::len), Some(2));
    let registration = stored(&function).registration.unwrap();
    assert!(matches!(registration.decision, OrderDecision::Accepted { .. }));
    assert_eq!(outcome(&function), None);
}

#[tokio::test]
async fn an_accepted_order_names_no_person_on_the_bus() {
    let published = sound().published_by(&order("e-1")).await;
    assert!(PERSONAL_VALUES.iter().all(|value| !published[0].detail.contains(value)));
}

#[tokio::test]
async fn a_redelivered_order_is_accepted_by_the_same_event_to_the_letter() {
    let function = sound();
    let first = function.published_by(&order("e-1")).await;
    let before = stored(&function);
    assert_eq!(function.published_by(&order("e-1")).await, first);
    assert_eq!(stored(&function), before);
}

#[tokio::test]
async fn an_order_that_breaks_rules_is_rejected_with_every_reason() {
    let function = sound();
    let published = function.published_by(&broken("e-1")).await;
    assert_eq!(types_of(&published), ["orders.order-rejected.v1"]);
    let data = data_of(&published[0]);
    let reasons: Vec<(&str, &str)> = data["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["field"].as_str().unwrap(), reason["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("customerId", "invalid_customer_id"),
        ("lines[0].quantity", "out_of_range"),
        ("lines[1].sku", "invalid_sku"),
        ("personal.email", "invalid_email"),
        ("personal.country", "invalid_country"),
    ];
    assert_eq!(reasons, expected);
    for value in PERSONAL_VALUES.iter().chain(&["ada at", "Britain"]) {
        assert!(!published[0].detail.contains(value), "{value}");
    }
    assert_eq!(outcome(&function), Some(Outcome::Rejected));
}

#[tokio::test]
async fn a_redelivered_rejection_is_the_same_to_the_letter() {
    let function = sound();
    let first = function.published_by(&broken("e-1")).await;
    assert_eq!(function.published_by(&broken("e-1")).await, first);
}

#[tokio::test]
async fn a_stored_rejection_outlives_a_change_of_the_rules() {
    let function = sound();
    let first = function.published_by(&broken("e-1")).await;
    // The same event, as rules that it does not break would read it.
    assert_eq!(function.published_by(&order("e-1")).await, first);
}

#[tokio::test]
async fn of_two_events_that_place_one_order_the_first_decides() {
    for (first, second) in
        [(order("e-1"), order("e-2")), (order("e-1"), broken("e-2")), (broken("e-1"), order("e-2"))]
    {
        let function = sound();
        function.published_by(&first).await;
        let before = stored(&function);
        assert_eq!(function.published_by(&second).await, []);
        assert_eq!(stored(&function), before);
    }
}

#[tokio::test]
async fn a_cancellation_settles_the_order_and_is_told_once_to_the_letter() {
    let function = sound();
    function.published_by(&order("e-1")).await;
    let request = cancellation_requested("e-2", "o-1");
    let published = function.published_by(&request).await;
    assert_eq!(types_of(&published), ["orders.order-cancelled.v1"]);
    assert_eq!(data_of(&published[0])["reason"]["code"], "customer_request");
    assert_eq!(function.published_by(&request).await, published);
    assert_eq!(function.published_by(&cancellation_requested("e-3", "o-1")).await, []);
    assert_eq!(outcome(&function), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn an_order_cancelled_before_it_is_placed_stays_cancelled() {
    let function = sound();
    let published = function.published_by(&cancellation_requested("e-2", "o-1")).await;
    assert_eq!(types_of(&published), ["orders.order-cancelled.v1"]);
    function.published_by(&order("e-1")).await;
    assert_eq!(outcome(&function), Some(Outcome::Cancelled));
    assert_eq!(function.published_by(&cancellation_requested("e-2", "o-1")).await, published);
}

#[tokio::test]
async fn a_broken_order_cancelled_before_it_is_placed_is_not_rejected_as_well() {
    let function = sound();
    function.published_by(&cancellation_requested("e-2", "o-1")).await;
    assert_eq!(function.published_by(&broken("e-1")).await, []);
    assert_eq!(function.published_by(&broken("e-1")).await, []);
    assert_eq!(outcome(&function), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_shortage_rejects_the_order_with_each_line() {
    let function = sound();
    function.published_by(&order("e-1")).await;
    let published = function.published_by(&stock_rejected("e-2", "o-1")).await;
    assert_eq!(types_of(&published), ["orders.order-rejected.v1"]);
    let reason = json!({"code": "out_of_stock", "message": "MUG: 2 ordered, 1 available"});
    assert_eq!(data_of(&published[0])["reasons"], json!([reason]));
    assert_eq!(stored(&function).reasons, [Reason::new("out_of_stock", "MUG: 2 ordered, 1 available")]);
    assert_eq!(function.published_by(&stock_rejected("e-2", "o-1")).await, published);
}

#[tokio::test]
async fn a_shortage_after_a_cancellation_says_nothing() {
    let function = sound();
    function.published_by(&order("e-1")).await;
    function.published_by(&cancellation_requested("e-2", "o-1")).await;
    assert_eq!(function.published_by(&stock_rejected("e-3", "o-1")).await, []);
    assert_eq!(outcome(&function), Some(Outcome::Cancelled));
    assert_eq!(stored(&function).reasons[0].code, "customer_request");
}

#[tokio::test]
async fn a_cancellation_after_a_shortage_says_nothing() {
    let function = sound();
    function.published_by(&stock_rejected("e-3", "o-1")).await;
    assert_eq!(function.published_by(&cancellation_requested("e-2", "o-1")).await, []);
    assert_eq!(outcome(&function), Some(Outcome::Rejected));
}

#[tokio::test]
async fn an_order_whose_event_was_not_published_is_delivered_again_and_published_as_decided() {
    let faults = Faults::default();
    let function = function(&faults, SteppingClock::default());
    faults.fail_call(2, Fault::NotApplied);
    assert!(!function.deliver(&order("e-1")).await);
    let decided = stored(&function);
    assert!(decided.registration.is_some(), "the decision was committed before the bus was called");
    assert_eq!(function.published(), []);
    let published = function.published_by(&order("e-1")).await;
    assert_eq!(types_of(&published), ["orders.order-accepted.v1"]);
    assert_eq!(stored(&function), decided);
    let decided_at = contracts::format_timestamp(decided.registration.unwrap().decided_at);
    assert_eq!(detail_of(&published[0])["time"], decided_at);
}

#[tokio::test]
async fn a_decision_whose_reply_was_lost_is_recognised_as_its_own() {
    for event in
        [order("e-1"), broken("e-1"), cancellation_requested("e-1", "o-1"), stock_rejected("e-1", "o-1")]
    {
        let faults = Faults::default();
        let function = function(&faults, SteppingClock::default());
        faults.fail_call(1, Fault::ReplyLost);
        assert!(!function.deliver(&event).await);
        assert_eq!(function.published_by(&event).await.len(), 1, "{event:?}");
    }
}

#[tokio::test]
async fn an_event_of_another_subscription_is_set_aside() {
    let function = sound();
    assert_eq!(function.published_by(&cancelled("e-1", "o-1")).await, []);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
    assert_eq!(function.handler().orders.orders().len(), 0);
}

#[tokio::test]
async fn every_crash_leaves_the_same_orders_and_the_same_events() {
    let other = placed("e-9", "o-2", &[("MUG", 1)]);
    let history = [
        vec![order("e-1"), other, broken_of("e-10", "o-3")],
        vec![stock_rejected("e-2", "o-1"), cancellation_requested("e-11", "o-2")],
        vec![cancellation_requested("e-3", "o-1"), stock_rejected("e-12", "o-3")],
        vec![order("e-1")],
    ];
    let build = async |faults: Faults, clock| function(&faults, clock);
    every_crash_converges(build, async |_| (), &history, |handler| handler.orders.orders()).await;
}

fn broken_of(id: &str, order: &str) -> Event {
    placed(id, order, &[("MUG", 0)])
}

fn outcomes_told(published: &[Outbound]) -> Vec<(Value, &'static str)> {
    let mut told: Vec<_> = published
        .iter()
        .filter(|outbound| outbound.event_type.as_str() != "orders.order-accepted.v1")
        .map(|outbound| (detail_of(outbound)["id"].clone(), outbound.event_type.as_str()))
        .collect();
    told.dedup();
    told
}

proptest! {
    #[test]
    fn however_events_arrive_exactly_one_outcome_is_told_and_it_is_the_stored_one(
        arrivals in prop::collection::vec(0_usize..5, 1..12),
        faults in prop::collection::vec((1_u64..30, any::<bool>()), 0..6),
    ) {
        let events = [
            order("e-1"),
            broken("e-2"),
            cancellation_requested("e-3", "o-1"),
            cancellation_requested("e-4", "o-1"),
            stock_rejected("e-5", "o-1"),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let plan = Faults::default();
            for (call, is_applied) in faults {
                plan.fail_call(call, if is_applied { Fault::ReplyLost } else { Fault::NotApplied });
            }
            let function = function(&plan, SteppingClock::default());
            for arrival in &arrivals {
                function.deliver_until_acknowledged(&events[*arrival]).await;
            }
            let told = outcomes_told(&function.published());
            let stored_outcome = outcome(&function).map(|outcome| format!("orders.order-{}.v1", outcome.as_str()));
            let ids: std::collections::HashSet<_> = told.iter().map(|(id, _)| id.to_string()).collect();
            prop_assert!(ids.len() <= 1, "{told:?}");
            prop_assert_eq!(told.first().map(|(_, told)| (*told).to_owned()), stored_outcome);
            Ok(())
        })?;
    }
}
