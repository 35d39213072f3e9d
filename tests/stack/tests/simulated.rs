//! The deployed system does what the simulation says: the same orders lead to the same events, by their ids.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use contracts::{EventType, Outbound};
use ports::EventBus;
use serde_json::Value;
use simulation::{CallOff, Delay, PlannedOrder, STOCK, Seen, Topology, Way, When, undisturbed_events};
use stack_tests::{TestStack, eventually};

const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn an_order_of_every_way_has_the_events_that_the_simulation_foretells() {
    let orders = orders();
    let foretold = undisturbed_events(&Arc::new(Topology::of_the_templates()), &orders).unwrap();

    // Longer than any answer takes to come from this test, also on a slow machine; two ways wait for its end.
    let stack = TestStack::deploy(&[("PaymentTimeoutSeconds", "60")]).unwrap();
    for (sku, available) in STOCK {
        stack.count_stock(sku, available).unwrap();
    }
    let heard = listen(&stack);
    for order in &orders {
        match order.way {
            Way::Broken => publish(&stack, &order.placed_past_the_api(orderbus::now())),
            _ => assert_eq!(stack.place(&order.key, &order.request()).unwrap(), order.order_id.as_str()),
        }
    }
    let mut late: BTreeMap<&str, Outbound> = BTreeMap::new();
    let mut called_off = false;
    let all = eventually(PATIENCE, || {
        for (event_type, detail) in receive(&stack, &heard) {
            for order in &orders {
                match order.answer(event_type, &detail) {
                    Some((answer, Delay::Ms(_))) => publish(&stack, &answer),
                    Some((answer, Delay::UntilTheTimeOut)) => {
                        late.insert(order.order_id.as_str(), answer);
                    }
                    None => {}
                }
            }
        }
        let is_cancelled = |id: &&str| stack.order(id).is_some_and(|order| order["status"] == "cancelled");
        let over: Vec<&str> = late.keys().copied().filter(is_cancelled).collect();
        over.into_iter().filter_map(|id| late.remove(id)).for_each(|answer| publish(&stack, &answer));
        if !called_off
            && orders
                .iter()
                .filter(|order| order.call_off.is_some())
                .all(|order| awaits_payment(&stack, order))
        {
            called_off = true;
            for order in orders.iter().filter(|order| order.call_off.is_some()) {
                publish(&stack, &order.called_off(orderbus::now()));
            }
        }
        orders.iter().all(|order| seen(&stack, order) == foretold[order.order_id.as_str()]).then_some(())
    });
    for order in &orders {
        let here = seen(&stack, order);
        let there = &foretold[order.order_id.as_str()];
        let missing: Vec<_> = there.difference(&here).collect();
        let surplus: Vec<_> = here.difference(there).collect();
        assert_eq!(&here, there, "{:?}: missing {missing:?}, surplus {surplus:?}", order.way);
    }
    assert!(all.is_some());
}

/// One of every way, and one that is called off while it waits for its payment.
fn orders() -> Vec<PlannedOrder> {
    let mut orders: Vec<PlannedOrder> =
        Way::ALL.into_iter().map(|way| PlannedOrder::new(format!("foretold-{way:?}"), way)).collect();
    let mut called_off = PlannedOrder::new("foretold-called-off".to_owned(), Way::Unpaid);
    called_off.call_off = Some((CallOff::Event, When::AtMs(5_000)));
    orders.push(called_off);
    orders
}

fn awaits_payment(stack: &TestStack, order: &PlannedOrder) -> bool {
    stack.order(order.order_id.as_str()).is_some_and(|order| order["status"] == "awaiting_payment")
}

/// A queue that hears what the outside answers.
fn listen(stack: &TestStack) -> String {
    let sdk = stack.local().stack().sdk();
    let bus = stack.local().stack().output("BusName").unwrap();
    stack.wait(async {
        let queue = sdk.sqs().create_queue().queue_name("outside").send().await.unwrap();
        let events = sdk.eventbridge();
        let rule = events.put_rule().name("outside").event_bus_name(bus);
        let pattern = r#"{"detail-type":["payments.payment-requested.v1","shipping.shipment-scheduled.v1"]}"#;
        rule.event_pattern(pattern).send().await.unwrap();
        let target = Target::builder().id("queue").arn("arn:aws:sqs:us-east-1:000000000000:outside").build();
        let targets = events.put_targets().rule("outside").event_bus_name(bus).targets(target.unwrap());
        targets.send().await.unwrap();
        queue.queue_url.unwrap()
    })
}

fn receive(stack: &TestStack, queue: &str) -> Vec<(EventType, String)> {
    let request = stack.local().stack().sdk().sqs().receive_message().queue_url(queue);
    let received = stack.wait(request.max_number_of_messages(10).visibility_timeout(600).send()).unwrap();
    let heard = |message: &aws_sdk_sqs::types::Message| {
        let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
        (EventType::parse(event["detail-type"].as_str().unwrap()).unwrap(), event["detail"].to_string())
    };
    received.messages().iter().map(heard).collect()
}

fn publish(stack: &TestStack, event: &Outbound) {
    let bus = stack.local().stack().bus().unwrap();
    let answers = stack.wait(bus.publish(std::slice::from_ref(event)));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// The order's events as its view shows them.
fn seen(stack: &TestStack, order: &PlannedOrder) -> BTreeSet<Seen> {
    let view = stack.order(order.order_id.as_str()).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let events = view["history"].as_array().cloned().unwrap_or_default();
    events
        .iter()
        .map(|event| Seen {
            event_id: text(&event["eventId"]).unwrap(),
            detail_type: text(&event["type"]).unwrap(),
            causation_id: text(&event["causationId"]),
        })
        .collect()
}
