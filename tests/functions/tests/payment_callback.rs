//! `payment-callback`: a checkout gets one answer, and money that came too late goes back once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test are tests")]

use contracts::{Data, Event, EventType, Money, OrderAccepted, Origin, Reason, event_identity};
use domain::{EventId, Outcome, Settlement, Timestamp};
use function_tests::{
    Function, NOW, cancelled, captured, data_of, detail_of, every_crash_converges, order_id, payment_failed,
    personal, types_of,
};
use memory::{Fault, Faults, MemoryOrderStore, MemoryPaymentTasks, TaskAnswer};
use payment_callback::{NAME, PaymentCallback};
use ports::{OrderDecision, OrderStore, Registration};
use serde_json::{Value, json};

type Callback = PaymentCallback<MemoryPaymentTasks, MemoryOrderStore>;

/// A function beside checkouts that wait for `token-<order>` of each of these orders, of two euros each.
async fn function(faults: &Faults, orders: &[&str]) -> Function<Callback> {
    let tasks = MemoryPaymentTasks::with_faults(faults.clone());
    let store = MemoryOrderStore::with_faults(faults.clone());
    for order in orders {
        tasks.issue(&format!("token-{order}"));
        register(&store, order, accepted(order)).await;
        store.claim(&order_id(order), "checkout").unwrap();
    }
    Function::with_faults(NAME, PaymentCallback { tasks, orders: store }, faults)
}

async fn sound() -> Function<Callback> {
    function(&Faults::default(), &["o-1"]).await
}

fn accepted(order: &str) -> OrderDecision {
    let total = Money { amount_minor: 200, currency: "EUR".into() };
    let order = OrderAccepted { order_id: order.into(), customer_id: "c-1".into(), lines: vec![], total };
    OrderDecision::Accepted { order: Box::new(order), personal: Box::new(personal()) }
}

/// What order-placed wrote of an order, as often as it took.
async fn register(orders: &MemoryOrderStore, order: &str, decision: OrderDecision) {
    let decided_by = EventId::parse("placed").unwrap();
    let registration = Registration { order_id: order_id(order), decision, decided_by, decided_at: NOW };
    while orders.register(&registration).await.is_err() {}
}

/// What a record calls an event of this origin that decided something.
fn identity(event: &Event) -> String {
    event_identity(&Origin::Own, event.data.event_type().as_str(), event.id.as_str()).to_string()
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
            settle(handler, order, Outcome::Confirmed, output["decidedBy"].as_str().unwrap()).await;
        }
        Some(TaskAnswer::Failed { cause, .. }) => {
            let cause: Value = serde_json::from_str(&cause).unwrap();
            settle(handler, order, Outcome::Cancelled, cause["decidedBy"].as_str().unwrap()).await;
        }
        None => {}
    }
}

#[tokio::test]
async fn a_capture_reaches_the_checkout_that_waits_for_it() {
    let function = sound().await;
    assert_eq!(function.published_by(&captured("e-1", "o-1")).await, []);
    let expected = json!({
        "eventId": "e-1",
        "decidedBy": identity(&captured("e-1", "o-1")),
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
    let function = sound().await;
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
    let Some(TaskAnswer::Failed { error, cause }) = function.handler().tasks.answer("token-o-1") else {
        panic!("the checkout was told of a failure")
    };
    assert_eq!(error, "PaymentFailed");
    let cause: Value = serde_json::from_str(&cause).unwrap();
    let decided_by = identity(&payment_failed("e-1", "o-1"));
    assert_eq!(cause, json!({"eventId": "e-1", "decidedBy": decided_by, "reason": "card_declined"}));
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
}

#[tokio::test]
async fn a_capture_answered_twice_is_taken_once() {
    let function = sound().await;
    for id in ["e-1", "e-1", "e-2"] {
        assert_eq!(function.published_by(&captured(id, "o-1")).await, []);
        go_on(function.handler(), "o-1").await;
    }
    assert_eq!(output(function.handler(), "o-1").unwrap()["eventId"], "e-1");
}

#[tokio::test]
async fn money_that_was_not_asked_for_changes_nothing_and_is_not_returned() {
    type Change = fn(&mut Event);
    let claims: [(&str, Change); 5] = [
        ("a cent less", |event| capture(event).amount.amount_minor = 199),
        ("a cent more", |event| capture(event).amount.amount_minor = 201),
        ("another currency", |event| capture(event).amount.currency = "USD".into()),
        ("another payment", |event| capture(event).payment_id = "pay-other".into()),
        ("the payment of another order", |event| capture(event).payment_id = "pay-o-2".into()),
    ];
    for outcome in [None, Some(Outcome::Confirmed), Some(Outcome::Cancelled), Some(Outcome::Rejected)] {
        for (what, change) in claims {
            let function = sound().await;
            if let Some(outcome) = outcome {
                settle(function.handler(), "o-1", outcome, "someone").await;
            }
            let mut event = captured("e-1", "o-1");
            change(&mut event);
            assert_eq!(function.published_by(&event).await, [], "{what} {outcome:?}");
            assert_eq!(function.quarantined(), ["payment_mismatch"], "{what} {outcome:?}");
            assert_eq!(function.handler().tasks.waiting(), ["token-o-1"], "{what} {outcome:?}");
            let settlement = function.handler().orders.order(&order_id("o-1")).unwrap().settlement;
            assert_eq!(settlement.map(|settlement| settlement.outcome), outcome, "{what}");
        }
    }
}

fn capture(event: &mut Event) -> &mut contracts::PaymentCaptured {
    match &mut event.data {
        Data::PaymentCaptured(captured) => captured,
        _ => panic!("a capture"),
    }
}

#[tokio::test]
async fn a_failure_of_another_payment_changes_nothing() {
    let function = sound().await;
    let mut event = payment_failed("e-1", "o-1");
    if let Data::PaymentFailed(failed) = &mut event.data {
        failed.payment_id = "pay-o-2".into();
    }
    assert_eq!(function.published_by(&event).await, []);
    assert_eq!(function.quarantined(), ["payment_mismatch"]);
    assert_eq!(function.handler().tasks.waiting(), ["token-o-1"]);
}

/// An answer about an order that there is not costs one delivery, and not every one that there is.
#[tokio::test]
async fn an_answer_about_an_order_that_there_is_not_is_refused_at_once() {
    let function = sound().await;
    for event in [captured("e-1", "o-2"), payment_failed("e-2", "o-2")] {
        // The token is right: it is another order's.
        let mut event = event;
        match &mut event.data {
            Data::PaymentCaptured(data) => data.task_token = "o-2.token-o-1".into(),
            Data::PaymentFailed(data) => data.task_token = "o-2.token-o-1".into(),
            _ => {}
        }
        assert_eq!(function.published_by(&event).await, []);
    }
    assert_eq!(function.quarantined(), ["unknown_order", "unknown_order"]);
    assert_eq!(function.handler().tasks.waiting(), ["token-o-1"]);
    assert_eq!(function.handler().orders.orders().len(), 1, "nothing is kept of it");
}

#[tokio::test]
async fn an_answer_about_an_order_that_was_not_accepted_is_refused_at_once() {
    let function = sound().await;
    let orders = &function.handler().orders;
    // Called off before it was known, and refused by its rules.
    settle(function.handler(), "o-2", Outcome::Cancelled, "cancellation").await;
    register(orders, "o-3", OrderDecision::Rejected(vec![Reason::new("total_mismatch", "it is not")])).await;
    for order in ["o-2", "o-3"] {
        for event in [captured("e-1", order), payment_failed("e-2", order)] {
            assert_eq!(function.published_by(&event).await, [], "{order}");
        }
    }
    assert_eq!(function.quarantined(), ["payment_mismatch"; 4]);
}

/// Step Functions does not say which order a token is of, so a provider that has used one can name it in any answer.
#[tokio::test]
async fn money_for_an_order_that_was_cancelled_before_its_payment_was_asked_for_is_not_given_back() {
    let function = sound().await;
    let (handler, order) = (function.handler(), order_id("o-2"));
    // Checkout came before the registration, then the cancellation, then the registration.
    assert!(!handler.orders.claim(&order, "checkout-2").unwrap().claim.unwrap().was_accepted);
    settle(handler, "o-2", Outcome::Cancelled, "cancellation").await;
    register(&handler.orders, "o-2", accepted("o-2")).await;
    assert_eq!(handler.orders.claim(&order, "checkout-2"), None, "checkout does not ask for the payment");
    let mut late = captured("e-1", "o-2");
    if let Data::PaymentCaptured(data) = &mut late.data {
        data.task_token = "o-2.token-o-1".into();
    }
    assert!(handler.tasks.time_out("token-o-1"));
    assert_eq!(function.published_by(&late).await, []);
    assert_eq!(function.quarantined(), ["payment_mismatch"]);
}

/// A provider that mixes two orders up would end one of them, and no record would have the money of the other.
#[tokio::test]
async fn an_answer_under_the_token_of_another_order_is_refused() {
    let function = sound().await;
    let handler = function.handler();
    handler.tasks.issue("token-o-2");
    register(&handler.orders, "o-2", accepted("o-2")).await;
    assert!(handler.orders.claim(&order_id("o-2"), "checkout-2").unwrap().claim.unwrap().was_accepted);
    let mut captured = captured("e-1", "o-1");
    if let Data::PaymentCaptured(data) = &mut captured.data {
        data.task_token = "o-2.token-o-2".into();
    }
    let mut failed = payment_failed("e-2", "o-1");
    if let Data::PaymentFailed(data) = &mut failed.data {
        data.task_token = "o-2.token-o-2".into();
    }
    for event in [captured, failed] {
        assert_eq!(function.published_by(&event).await, []);
    }
    assert_eq!(function.quarantined(), ["payment_mismatch"; 2]);
    assert_eq!(handler.tasks.waiting(), ["token-o-1", "token-o-2"], "both go on waiting");
}

/// A checkout that waits while a new version is deployed has given its provider the token alone.
#[tokio::test]
async fn an_answer_under_a_token_that_names_no_order_is_taken() {
    let function = sound().await;
    let mut event = captured("e-1", "o-1");
    if let Data::PaymentCaptured(data) = &mut event.data {
        data.task_token = "token-o-1".into();
    }
    assert_eq!(function.published_by(&event).await, []);
    assert_eq!(output(function.handler(), "o-1").unwrap()["eventId"], "e-1");
}

/// Ids of Orderbus's own events can be computed by anyone. A provider that takes one for its answer takes no decision
/// over.
#[tokio::test]
async fn no_answer_takes_the_place_of_a_decision_of_our_own() {
    let ours = "checkout:o-1:payment-requested";
    let function = sound().await;
    assert!(function.handler().tasks.time_out("token-o-1"));
    settle(function.handler(), "o-1", Outcome::Cancelled, ours).await;
    let refund = function.published_by(&captured(ours, "o-1")).await;
    assert_eq!(types_of(&refund), ["payments.refund-requested.v1"], "the money goes back all the same");
    let function = sound().await;
    function.published_by(&payment_failed(ours, "o-1")).await;
    go_on(function.handler(), "o-1").await;
    let settlement = function.handler().orders.order(&order_id("o-1")).unwrap().settlement.unwrap();
    assert_ne!(settlement.decided_by.as_str(), ours);
    let failed = event_identity(&Origin::Own, EventType::PaymentFailed.as_str(), ours);
    assert_eq!(settlement.decided_by, failed);
}

#[tokio::test]
async fn a_capture_that_comes_too_late_is_refunded_under_one_id() {
    for (outcome, code) in [(Outcome::Cancelled, "order_cancelled"), (Outcome::Rejected, "order_rejected")] {
        let function = sound().await;
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
        // Whatever their senders say of time and flow, many captures lead to one event.
        let mut another = captured("e-2", "o-1");
        another.time = Timestamp::from_unix_ms(1_577_836_800_000);
        another.correlation_id = "o-2".to_owned();
        let again = function.published_by(&another).await;
        let mut expected = detail.clone();
        expected["causationid"] = "e-2".into();
        assert_eq!(detail_of(&again[0]), expected, "a provider that repeats itself pays back once");
    }
}

#[tokio::test]
async fn a_capture_that_lost_to_a_cancellation_after_the_checkout_took_it_is_refunded() {
    let function = sound().await;
    function.published_by(&captured("e-1", "o-1")).await;
    settle(function.handler(), "o-1", Outcome::Cancelled, "cancellation").await;
    let refund = function.published_by(&captured("e-1", "o-1")).await;
    assert_eq!(detail_of(&refund[0])["id"], "refund:pay-o-1");
}

#[tokio::test]
async fn a_capture_waits_until_the_checkout_has_written_how_the_order_ended() {
    let function = sound().await;
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
    let function = sound().await;
    assert!(function.handler().tasks.time_out("token-o-1"));
    assert_eq!(function.published_by(&payment_failed("e-1", "o-1")).await, []);
    assert_eq!(function.quarantined(), [""; 0]);
}

#[tokio::test]
async fn an_answer_to_a_task_that_never_was_is_set_aside() {
    let function = sound().await;
    let mut events = [captured("e-1", "o-1"), payment_failed("e-2", "o-1")];
    for event in &mut events {
        match &mut event.data {
            Data::PaymentCaptured(data) => data.task_token = "invented".into(),
            Data::PaymentFailed(data) => data.task_token = "invented".into(),
            _ => {}
        }
        assert!(function.deliver(event).await);
    }
    assert_eq!(function.quarantined(), ["refused", "refused"]);
    assert_eq!(function.handler().tasks.waiting(), ["token-o-1"]);
}

#[tokio::test]
async fn a_capture_of_what_is_no_money_is_set_aside_unanswered() {
    for (amount_minor, currency) in [(-1, "EUR"), (1 << 53, "EUR"), (1, "XXY")] {
        let function = sound().await;
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
    let function = sound().await;
    assert_eq!(function.published_by(&cancelled("e-1", "o-1")).await, []);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
}

#[tokio::test]
async fn an_answer_whose_reply_was_lost_is_acknowledged_once_the_checkout_went_on() {
    let faults = Faults::default();
    let function = function(&faults, &["o-1"]).await;
    // Of its two calls, the one that answers the checkout.
    faults.fail_call(faults.calls() + 2, Fault::ReplyLost);
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
        let function = function(&faults, &ORDERS).await;
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
