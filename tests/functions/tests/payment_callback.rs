//! `payment-callback`: a checkout gets one answer, and money that came too late goes back once.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use contracts::{Data, Event};
use domain::{EventId, Outcome, Settlement};
use function_tests::{
    Function, NOW, cancelled, captured, data_of, detail_of, every_crash_converges, order_id, payment_failed,
    types_of,
};
use memory::{Fault, Faults, MemoryOrderStore, MemoryPaymentTasks, TaskAnswer};
use payment_callback::{NAME, PaymentCallback};
use ports::OrderStore;
use serde_json::{Value, json};

type Callback = PaymentCallback<MemoryPaymentTasks, MemoryOrderStore>;

/// A function beside checkouts that wait for `token-<order>` of each of these orders.
fn function(faults: &Faults, orders: &[&str]) -> Function<Callback> {
    let tasks = MemoryPaymentTasks::with_faults(faults.clone());
    orders.iter().for_each(|order| tasks.issue(&format!("token-{order}")));
    let orders = MemoryOrderStore::with_faults(faults.clone());
    Function::with_faults(NAME, PaymentCallback { tasks, orders }, faults)
}

fn sound() -> Function<Callback> {
    function(&Faults::default(), &["o-1"])
}

/// Someone writes how the order ended, as often as it takes.
async fn settle(handler: &Callback, order: &str, outcome: Outcome, by: &str) {
    let decided_by = EventId::parse(by).unwrap();
    let settlement = Settlement { outcome, decided_by, decided_at: NOW };
    while handler.orders.settle(&order_id(order), &settlement, &[]).await.is_err() {}
}

fn output(handler: &Callback, order: &str) -> Option<Value> {
    match handler.tasks.answer(&format!("token-{order}"))? {
        TaskAnswer::Succeeded { output } => Some(serde_json::from_str(&output).unwrap()),
        TaskAnswer::Failed { .. } => None,
    }
}

/// The checkout of an order goes on as soon as it has an answer, as the state machine does.
async fn go_on(handler: &Callback, order: &str) {
    match handler.tasks.answer(&format!("token-{order}")) {
        Some(TaskAnswer::Succeeded { output }) => {
            let output: Value = serde_json::from_str(&output).unwrap();
            settle(handler, order, Outcome::Confirmed, output["eventId"].as_str().unwrap()).await;
        }
        Some(TaskAnswer::Failed { cause, .. }) => {
            let cause: Value = serde_json::from_str(&cause).unwrap();
            settle(handler, order, Outcome::Cancelled, cause["eventId"].as_str().unwrap()).await;
        }
        None => {}
    }
}

#[tokio::test]
async fn a_capture_reaches_the_checkout_that_waits_for_it() {
    let function = sound();
    assert_eq!(function.published_by(&captured("e-1", "o-1")).await, []);
    let expected = json!({
        "eventId": "e-1",
        "orderId": "o-1",
        "paymentId": "pay-o-1",
        "amountMinor": 200,
        "currency": "EUR",
        "providerReference": "example-1",
    });
    assert_eq!(output(function.handler(), "o-1"), Some(expected));
}

#[tokio::test]
async fn a_failure_reaches_the_checkout_that_waits_for_it() {
    let function = sound();
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
    let Some(TaskAnswer::Failed { error, cause }) = function.handler().tasks.answer("token-o-1") else {
        panic!("the checkout was told of a failure")
    };
    assert_eq!(error, "PaymentFailed");
    let cause: Value = serde_json::from_str(&cause).unwrap();
    assert_eq!(cause, json!({"eventId": "e-1", "reason": "card_declined"}));
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
}

#[tokio::test]
async fn a_capture_answered_twice_is_taken_once() {
    let function = sound();
    for id in ["e-1", "e-1", "e-2"] {
        assert_eq!(function.published_by(&captured(id, "o-1")).await, []);
        go_on(function.handler(), "o-1").await;
    }
    assert_eq!(output(function.handler(), "o-1").unwrap()["eventId"], "e-1");
}

#[tokio::test]
async fn a_capture_that_the_checkout_itself_refused_is_left_to_the_checkout() {
    let function = sound();
    function.published_by(&captured("e-1", "o-1")).await;
    // Another amount than it asked for: the checkout cancels because of the capture, and asks for the refund.
    settle(function.handler(), "o-1", Outcome::Cancelled, "e-1").await;
    assert_eq!(function.published_by(&captured("e-1", "o-1")).await, []);
}

#[tokio::test]
async fn money_for_another_payment_than_the_confirmed_one_is_refunded() {
    let function = sound();
    function.published_by(&captured("e-1", "o-1")).await;
    settle(function.handler(), "o-1", Outcome::Confirmed, "e-1").await;
    assert_eq!(function.published_by(&captured("e-2", "o-1")).await, [], "the same payment, told again");
    let mut other = captured("e-3", "o-1");
    if let contracts::Data::PaymentCaptured(data) = &mut other.data {
        data.payment_id = "pay-other".to_owned();
    }
    let refund = function.published_by(&other).await;
    assert_eq!(types_of(&refund), ["payments.refund-requested.v1"]);
    assert_eq!(detail_of(&refund[0])["id"], "refund:pay-other");
}

#[tokio::test]
async fn a_capture_that_comes_too_late_is_refunded_under_one_id() {
    for (outcome, code) in [(Outcome::Cancelled, "order_cancelled"), (Outcome::Rejected, "order_rejected")] {
        let function = sound();
        assert!(function.handler().tasks.time_out("token-o-1"));
        settle(function.handler(), "o-1", outcome, "checkout:o-1").await;
        let refund = function.published_by(&captured("e-1", "o-1")).await;
        assert_eq!(types_of(&refund), ["payments.refund-requested.v1"]);
        let detail = detail_of(&refund[0]);
        assert_eq!((&detail["id"], &detail["causationid"]), (&json!("refund:pay-o-1"), &json!("e-1")));
        let data = data_of(&refund[0]);
        assert_eq!(data["amount"], json!({"amountMinor": 200, "currency": "EUR"}));
        assert_eq!(data["reason"]["code"], code);
        assert_eq!(function.published_by(&captured("e-1", "o-1")).await, refund);
        let again = function.published_by(&captured("e-2", "o-1")).await;
        assert_eq!(
            detail_of(&again[0])["id"],
            "refund:pay-o-1",
            "a provider that repeats itself pays back once"
        );
    }
}

#[tokio::test]
async fn a_capture_that_lost_to_a_cancellation_after_the_checkout_took_it_is_refunded() {
    let function = sound();
    function.published_by(&captured("e-1", "o-1")).await;
    settle(function.handler(), "o-1", Outcome::Cancelled, "cancellation").await;
    let refund = function.published_by(&captured("e-1", "o-1")).await;
    assert_eq!(detail_of(&refund[0])["id"], "refund:pay-o-1");
}

#[tokio::test]
async fn a_capture_waits_until_the_checkout_has_written_how_the_order_ended() {
    let function = sound();
    assert!(function.handler().tasks.time_out("token-o-1"));
    assert!(!function.deliver(&captured("e-1", "o-1")).await);
    assert_eq!(function.published(), []);
    settle(function.handler(), "o-1", Outcome::Cancelled, "checkout:o-1").await;
    assert_eq!(
        types_of(&function.published_by(&captured("e-1", "o-1")).await),
        ["payments.refund-requested.v1"]
    );
}

#[tokio::test]
async fn a_failure_that_comes_too_late_changes_nothing() {
    let function = sound();
    assert!(function.handler().tasks.time_out("token-o-1"));
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
    assert_eq!(function.quarantined(), [""; 0]);
}

#[tokio::test]
async fn an_answer_to_a_task_that_never_was_is_set_aside() {
    let function = sound();
    assert!(function.deliver(&captured("e-1", "o-2")).await);
    assert!(function.deliver(&payment_failed("e-2", "o-2")).await);
    assert_eq!(function.quarantined(), ["refused", "refused"]);
    assert_eq!(function.handler().tasks.waiting(), ["token-o-1"]);
}

#[tokio::test]
async fn a_capture_of_what_is_no_money_is_set_aside_unanswered() {
    for (amount_minor, currency) in [(-1, "EUR"), (1 << 53, "EUR"), (1, "XXY")] {
        let function = sound();
        let mut event = captured("e-1", "o-1");
        if let Data::PaymentCaptured(data) = &mut event.data {
            (data.amount.amount_minor, data.amount.currency) = (amount_minor, currency.to_owned());
        }
        assert_eq!(function.published_by(&event).await, []);
        assert_eq!(function.quarantined(), ["impossible_data"]);
        assert_eq!(function.handler().tasks.waiting(), ["token-o-1"]);
    }
}

#[tokio::test]
async fn an_event_of_another_subscription_is_set_aside() {
    let function = sound();
    assert_eq!(function.published_by(&cancelled("e-1", "o-1")).await, []);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
}

#[tokio::test]
async fn an_answer_whose_reply_was_lost_is_acknowledged_once_the_checkout_went_on() {
    let faults = Faults::default();
    let function = function(&faults, &["o-1"]);
    faults.fail_next(Fault::ReplyLost);
    assert!(!function.deliver(&captured("e-1", "o-1")).await);
    assert!(!function.deliver(&captured("e-1", "o-1")).await, "nobody knows yet how the order ended");
    go_on(function.handler(), "o-1").await;
    assert_eq!(function.published_by(&captured("e-1", "o-1")).await, []);
}

#[tokio::test]
async fn every_crash_leaves_the_same_answers_and_the_same_refunds() {
    const ORDERS: [&str; 4] = ["o-1", "o-2", "o-3", "o-4"];
    let history: Vec<Vec<Event>> = vec![
        vec![captured("e-1", "o-1"), payment_failed("e-2", "o-2"), captured("e-3", "o-3")],
        vec![captured("e-4", "o-1"), captured("e-3", "o-3"), payment_failed("e-6", "o-4")],
    ];
    let build = async |faults: Faults, _clock| {
        let function = function(&faults, &ORDERS);
        // The third came too late and the fourth is called off while its payment runs.
        assert!(function.handler().tasks.time_out("token-o-3"));
        settle(function.handler(), "o-3", Outcome::Cancelled, "checkout:o-3").await;
        settle(function.handler(), "o-4", Outcome::Cancelled, "cancellation").await;
        function
    };
    let meanwhile = async |handler: &Callback| {
        for order in ORDERS {
            go_on(handler, order).await;
        }
    };
    let state = |handler: &Callback| {
        let answers = ORDERS.map(|order| handler.tasks.answer(&format!("token-{order}")));
        (answers, handler.orders.orders())
    };
    every_crash_converges(build, meanwhile, &history, state).await;
}
