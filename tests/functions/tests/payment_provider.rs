//! `payment-provider`: the amount says what a card's bank says, and an answer carries what the request carried.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use contracts::{Data, Event, Money, Reason, RefundRequested};
use function_tests::{Function, data_of, detail_of, event, payment_requested, placed, types_of};
use payment_provider::{NAME, PaymentProvider};
use serde_json::json;

fn function() -> Function<PaymentProvider> {
    Function::new(NAME, PaymentProvider)
}

fn request(amount_minor: i64) -> Event {
    payment_requested("e-1", "o-1", amount_minor)
}

#[tokio::test]
async fn an_amount_is_captured_in_full_under_the_token_it_came_with() {
    let published = function().published_by(&request(3299)).await;
    assert_eq!(types_of(&published), ["payments.payment-captured.v1"]);
    let data = data_of(&published[0]);
    assert_eq!((&data["taskToken"], &data["paymentId"]), (&json!("o-1.token-o-1"), &json!("pay-o-1")));
    assert_eq!(data["amount"], json!({"amountMinor": 3299, "currency": "EUR"}));
    assert_eq!(detail_of(&published[0])["causationid"], "e-1");
}

#[tokio::test]
async fn an_amount_that_ends_in_13_is_declined() {
    let published = function().published_by(&request(9913)).await;
    assert_eq!(types_of(&published), ["payments.payment-failed.v1"]);
    let data = data_of(&published[0]);
    assert_eq!((&data["taskToken"], &data["reason"]), (&json!("o-1.token-o-1"), &json!("card_declined")));
}

#[tokio::test]
async fn an_amount_that_ends_in_17_is_never_answered() {
    assert_eq!(function().published_by(&request(17)).await, []);
}

#[tokio::test]
async fn a_redelivered_request_is_answered_with_the_same_event_to_the_letter() {
    for amount_minor in [100, 113] {
        let (function, request) = (function(), request(amount_minor));
        let answers = [function.published_by(&request).await, function.published_by(&request).await];
        let [first, second] = answers.map(|answer| detail_of(&answer[0]));
        assert_eq!(first, second);
        assert_eq!(first["time"], contracts::format_timestamp(request.time));
    }
}

#[tokio::test]
async fn a_refund_is_taken_without_an_answer() {
    let data = RefundRequested {
        order_id: "o-1".into(),
        payment_id: "pay-o-1".into(),
        amount: Money { amount_minor: 100, currency: "EUR".into() },
        reason: Reason::new("order_cancelled", "the payment was captured after the order had ended"),
    };
    let function = function();
    assert_eq!(function.published_by(&event("refund:pay-o-1", "o-1", Data::from(data))).await, []);
    assert_eq!(function.quarantined(), [""; 0]);
}

#[tokio::test]
async fn an_event_of_another_subscription_is_set_aside() {
    let function = function();
    assert_eq!(function.published_by(&placed("e-1", "o-1", &[("MUG", 1)])).await, []);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
}
