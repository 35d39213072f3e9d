//! Money that did not confirm its order goes back, and money that nobody asked for changes nothing.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::Message;
use contracts::{Event, EventType, Money, PaymentCaptured};
use domain::{EventId, OrderId};
use orderbus::play;
use serde_json::Value;
use stack_tests::{TestStack, event_types, eventually, order_of};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn money_for_an_order_that_was_called_off_goes_back_and_the_wrong_amount_changes_nothing() {
    let stack =
        TestStack::deploy(&[("PaymentTimeoutSeconds", "3600"), ("ReprocessorSchedule", "rate(1 day)")])
            .unwrap();
    stack.count_stock("MUG", 10).unwrap();
    let requests = listen_to_payment_requests(&stack);
    // The provider is silent about these; the test answers in its place.
    let called_off = stack.place("refund-called-off", &order_of("MUG", 1, 1_017)).unwrap();
    let underpaid = stack.place("refund-underpaid", &order_of("MUG", 1, 2_017)).unwrap();
    let tokens = await_tokens(&stack, &requests, [&called_off, &underpaid]);

    stack.api().cancel(&called_off).unwrap();
    await_events(&stack, &called_off, "cancelled", &[EventType::OrderCancelled, EventType::StockReleased]);
    capture(&stack, &called_off, &tokens[0], 1_017);
    await_events(&stack, &called_off, "cancelled", &[EventType::PaymentCaptured, EventType::RefundRequested]);

    // A claim that our records do not agree with is refused; the checkout goes on waiting, and takes the right one.
    capture(&stack, &underpaid, &tokens[1], 1);
    await_refusal(&stack);
    capture(&stack, &underpaid, &tokens[1], 2_017);
    let order = await_events(&stack, &underpaid, "shipment_scheduled", &[EventType::OrderConfirmed]);
    assert!(!event_types(&order).iter().any(|name| name == EventType::RefundRequested.as_str()));

    // A capture that comes when the checkout is long over.
    capture(&stack, &called_off, &tokens[0], 1_017);
    stack.await_empty("orderbus-local-PaymentCallbackQueue", PATIENCE).unwrap();
    let level = stack.levels().unwrap()["MUG"];
    assert_eq!((level.available, level.reserved), (9, 1));
    assert_eq!(quarantined(&stack), [""; 0]);
}

/// Waits until payment-callback has set one claim aside.
fn await_refusal(stack: &TestStack) {
    let found = eventually(PATIENCE, || {
        let codes = quarantined(stack);
        (!codes.is_empty()).then_some(codes)
    });
    assert_eq!(found.unwrap_or_default(), ["payment_mismatch"]);
}

/// The reason codes of what is in the quarantine queue, which is taken out.
fn quarantined(stack: &TestStack) -> Vec<String> {
    let sqs = stack.local().stack().sdk().sqs();
    let queue = stack.local().stack().output("QuarantineQueueUrl").unwrap();
    let request = sqs.receive_message().queue_url(queue).message_attribute_names("All");
    let messages = stack.wait(request.wait_time_seconds(1).send()).unwrap().messages.unwrap_or_default();
    let code = |message: &Message| {
        let delete = sqs.delete_message().queue_url(queue);
        let handle = message.receipt_handle().unwrap_or_default();
        stack.wait(delete.receipt_handle(handle).send()).unwrap();
        let attribute = message.message_attributes().and_then(|all| all.get("reasonCode"));
        attribute.and_then(|code| code.string_value()).unwrap_or_default().to_owned()
    };
    messages.iter().map(code).collect()
}

/// A queue that hears every payment request, as a subscriber would make one.
fn listen_to_payment_requests(stack: &TestStack) -> String {
    let sdk = stack.local().stack().sdk();
    let bus = stack.local().stack().output("BusName").unwrap();
    stack.wait(async {
        let queue = sdk.sqs().create_queue().queue_name("payment-requests").send().await.unwrap();
        let url = queue.queue_url.unwrap();
        let events = sdk.eventbridge();
        let rule = events.put_rule().name("payment-requests").event_bus_name(bus);
        rule.event_pattern(r#"{"detail-type":["payments.payment-requested.v1"]}"#).send().await.unwrap();
        let arn = "arn:aws:sqs:us-east-1:000000000000:payment-requests";
        let target = Target::builder().id("queue").arn(arn).build().unwrap();
        let targets = events.put_targets().rule("payment-requests").event_bus_name(bus).targets(target);
        targets.send().await.unwrap();
        url
    })
}

fn await_tokens(stack: &TestStack, queue: &str, orders: [&String; 2]) -> [String; 2] {
    let mut tokens: [Option<String>; 2] = [None, None];
    let found = eventually(PATIENCE, || {
        let request = stack.local().stack().sdk().sqs().receive_message().queue_url(queue);
        let received = stack.wait(request.max_number_of_messages(10).send()).unwrap();
        for message in received.messages() {
            let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let data = &event["detail"]["data"];
            if let Some(index) = orders.iter().position(|order_id| data["orderId"] == **order_id) {
                tokens[index] = data["taskToken"].as_str().map(str::to_owned);
            }
        }
        tokens.iter().all(Option::is_some).then_some(())
    });
    assert!(found.is_some(), "the payments were not requested: {tokens:?}");
    tokens.map(Option::unwrap)
}

/// What a provider publishes that collected so much.
fn capture(stack: &TestStack, order_id: &str, task_token: &str, amount_minor: i64) {
    let event = Event {
        id: EventId::parse(&format!("test-capture-{order_id}-{amount_minor}")).unwrap(),
        subject: OrderId::parse(order_id).unwrap().into(),
        time: orderbus::now(),
        correlation_id: order_id.to_owned(),
        causation_id: None,
        traceparent: None,
        data: PaymentCaptured {
            order_id: order_id.to_owned(),
            payment_id: format!("pay-{order_id}"),
            amount: Money { amount_minor, currency: "EUR".to_owned() },
            task_token: task_token.to_owned(),
            provider_reference: "test".to_owned(),
        }
        .into(),
    };
    stack.wait(play::publish(stack.local().stack(), &event)).unwrap();
}

fn await_events(stack: &TestStack, order_id: &str, status: &str, wanted: &[EventType]) -> Value {
    let found = eventually(PATIENCE, || {
        let order = stack.order(order_id)?;
        let types = event_types(&order);
        let has = |event_type: &EventType| types.iter().any(|name| name == event_type.as_str());
        (order["status"] == status && wanted.iter().all(has)).then_some(order)
    });
    found.unwrap_or_else(|| panic!("{wanted:?} are missing: {:?}", stack.order(order_id)))
}
