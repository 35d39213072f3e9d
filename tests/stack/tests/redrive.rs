//! A bug fills the dead-letter queue; after the fix everything in it, and everything given up on, takes effect once.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use dlq_reprocessor::{Order, Place};
use orderbus::Progress;
use orderbus::dlq::{self, Dlq, Shown};
use orderbus::tools::Tools;
use serde_json::{Value, json};
use stack_tests::{TestStack, event_types, eventually, order_of};

const PATIENCE: Duration = Duration::from_secs(180);
const STOCK: u64 = 100;
/// Placed early, so that they are given up on before the fix.
const GIVEN_UP: usize = 3;
/// Placed late, so that they lie in the dead-letter queue or wait when the fix comes.
const PARKED: usize = 4;
const UPDATER: &str = "orderbus-local-InventoryUpdaterFunction";

#[test]
fn what_failed_because_of_a_bug_takes_effect_once_after_the_fix() {
    // One redrive, so that a message is given up on in minutes, not in hours. The checkout is patient meanwhile.
    let stack = TestStack::deploy(&[("RedrivesMax", "1"), ("PaymentTimeoutSeconds", "3600")]).unwrap();
    let dlq = stack.local().stack().dlq(&Tools::ready(&Progress::new(|_| ())).unwrap()).unwrap();
    stack.count_stock("MUG", STOCK).unwrap();
    give_up_after_deliveries(&stack, 2);
    let mut alerts = Alerts::listen(&stack);
    set_poison_aside(&stack);

    // The bug is a wrong setting that is deployed, a table that does not exist: to queues, ledger and quarantine it fails
    // like any other. The program of the function is the same before and after.
    let table = stack.set_variable(UPDATER, "STOCK_TABLE", "no-such-table").unwrap();
    let mut orders = place(&stack, "early", GIVEN_UP);
    let given_up = eventually(PATIENCE, || {
        // The schedule does it by itself; by hand it is quicker.
        stack.wait(dlq.redrive(&of_updater())).unwrap();
        let listed = stack.wait(dlq.list(&of_updater())).unwrap().messages;
        let in_quarantine: Vec<_> = listed.into_iter().filter(|one| one.place == Place::Quarantine).collect();
        (in_quarantine.len() == GIVEN_UP).then_some(in_quarantine)
    });
    let given_up = given_up.expect("the early orders are in quarantine");
    for one in &given_up {
        assert_eq!((one.reason.code.as_str(), one.attempt.number), ("attempts_exhausted", 2), "{one:?}");
        let Shown::Quarantined(object) = stack.wait(dlq.show(one.id.as_str())).unwrap() else {
            panic!("{} is in quarantine", one.id)
        };
        assert!(object.body.contains("orders.order-placed.v1") && object.body.contains("Ada Example"));
    }
    // Someone is told what to type.
    alerts.await_line(|line| given_up.iter().any(|one| line.contains(&format!("dlq show {}", one.id))));
    // The schedule may have come upon the poison by now.
    let is_expected = |line: &String| {
        let gave_up = ["inventory-updater gave up on", "order-placed gave up on"];
        gave_up.iter().any(|text| line.contains(text)) && !line.contains("Ada")
    };
    assert!(alerts.lines.iter().all(is_expected), "{:?}", alerts.lines);

    what_is_not_there_is_not_taken_for_done(&stack, &dlq);

    orders.extend(place(&stack, "late", PARKED));
    let parked = eventually(PATIENCE, || {
        let listed = stack.wait(dlq.list(&of_updater())).unwrap();
        let in_queues = listed.messages.iter().filter(|one| one.place != Place::Quarantine);
        if in_queues.count() != PARKED {
            return None;
        }
        // The schedule may send one back in between, and it comes again.
        let preview = stack.wait(dlq.preview(&of_updater())).unwrap();
        (preview.messages.len() == PARKED).then_some(listed)
    });
    let parked = parked.expect("the late orders are parked, and a redrive would be about them");
    println!("{}", dlq::table(&parked, &of_updater(), orderbus::now()));
    assert!(!dlq::list_json(&parked).to_string().contains("Ada Example"));
    for order_id in &orders {
        assert_eq!(stack.levels().unwrap()["MUG"].available, STOCK, "{order_id}: nothing took effect");
    }

    // The fix is deployed, and a person types two commands; the second one twice, as people do.
    stack.set_variable(UPDATER, "STOCK_TABLE", &table).unwrap();
    redrive_all(&stack, &dlq);
    let released = stack.wait(dlq.release(&[], &of_updater())).unwrap();
    assert!(released.iter().filter(|release| release.result.is_ok()).count() >= GIVEN_UP, "{released:?}");
    assert_eq!(
        stack.wait(dlq.release(&[], &of_updater())).unwrap().len(),
        0,
        "nothing is left in quarantine"
    );
    let id = given_up[0].id.as_str().to_owned();
    let again = stack.wait(dlq.release(&[id], &Order::default())).unwrap();
    assert!(again[0].result.as_ref().is_err_and(|problem| problem.contains("released before")), "{again:?}");

    for order_id in &orders {
        let ended = eventually(PATIENCE, || {
            stack
                .order(order_id)
                .filter(|order| order["status"] == "shipment_scheduled" && event_types(order) == SHIPPED)
        });
        assert!(ended.is_some(), "{order_id}: not each thing happened once: {:?}", stack.order(order_id));
    }
    let level = stack.levels().unwrap()["MUG"];
    let reserved = 2 * (GIVEN_UP + PARKED) as u64;
    assert_eq!((level.available, level.reserved, level.received), (STOCK - reserved, reserved, STOCK));
    // Meanwhile the schedule ran the deployed function, which nobody else has asked to look at this one.
    let poison = eventually(PATIENCE, || {
        let listed = stack.wait(dlq.list(&Order::default())).unwrap().messages;
        (listed.len() == 1 && listed[0].place == Place::Quarantine).then_some(listed)
    });
    let poison = poison.unwrap_or_else(|| panic!("{:?}", stack.wait(dlq.list(&Order::default()))));
    assert_eq!(
        (poison[0].concerning.consumer.as_str(), poison[0].reason.code.as_str()),
        ("order-placed", "not_json")
    );
    alerts.await_line(|line| line.starts_with("order-placed gave up on"));
}

/// A person who mistypes an id or asks for what there is none of is told so, and what to do.
fn what_is_not_there_is_not_taken_for_done(stack: &TestStack, dlq: &Dlq) {
    let unknown = "00000000-0000-4000-8000-000000000000";
    let order = Order { id: Some(unknown.to_owned()), ..Order::default() };
    let left = dlq::left_over(&stack.wait(dlq.redrive(&order)).unwrap());
    assert!(left.is_some_and(|problem| problem.contains("`dlq list`")));
    let quarantined = stack.wait(dlq.quarantine(unknown)).unwrap_err().to_string();
    assert!(quarantined.contains("`dlq list`"), "{quarantined}");
    let released = stack.wait(dlq.release(&[unknown.to_owned()], &Order::default())).unwrap();
    let problem = released[0].result.as_ref().unwrap_err();
    assert!(problem.contains("`dlq list`"), "{problem}");
    assert!(dlq::left_in_quarantine(&released).is_some());
    let nothing = Order { reason: Some("no_such_reason".to_owned()), ..Order::default() };
    let released = stack.wait(dlq.release(&[], &nothing)).unwrap();
    assert!(dlq::left_in_quarantine(&released).is_some_and(|problem| problem.contains("`dlq list`")));
}

const SHIPPED: [&str; 7] = [
    "inventory.stock-reserved.v1",
    "orders.order-accepted.v1",
    "orders.order-confirmed.v1",
    "orders.order-placed.v1",
    "payments.payment-captured.v1",
    "payments.payment-requested.v1",
    "shipping.shipment-scheduled.v1",
];

fn of_updater() -> Order {
    Order { queue: Some("inventory-updater".to_owned()), ..Order::default() }
}

fn place(stack: &TestStack, name: &str, count: usize) -> Vec<String> {
    let order = order_of("MUG", 2, 1_000);
    (0..count).map(|number| stack.place(&format!("redrive-{name}-{number}"), &order).unwrap()).collect()
}

/// Until nothing lies in the queue any more: what a consumer gives back later than this comes later.
fn redrive_all(stack: &TestStack, dlq: &Dlq) {
    let done = eventually(PATIENCE, || {
        stack.wait(dlq.redrive(&of_updater())).unwrap();
        stack.wait(dlq.preview(&of_updater())).unwrap().messages.is_empty().then_some(())
    });
    assert!(done.is_some(), "dead letters are left");
}

/// Twelve deliveries take ten minutes.
fn give_up_after_deliveries(stack: &TestStack, deliveries: u32) {
    let sqs = stack.local().stack().sdk().sqs();
    let queue = stack.queue_url("orderbus-local-InventoryUpdaterQueue").unwrap();
    stack.wait(async {
        let name = QueueAttributeName::RedrivePolicy;
        let read = sqs.get_queue_attributes().queue_url(&queue).attribute_names(name.clone());
        let attributes = read.send().await.unwrap().attributes.unwrap();
        let mut policy: Value = serde_json::from_str(&attributes[&name]).unwrap();
        policy["maxReceiveCount"] = json!(deliveries);
        let write = sqs.set_queue_attributes().queue_url(&queue).attributes(name, policy.to_string());
        write.send().await.unwrap();
    });
}

/// A message as a consumer sets it aside.
fn set_poison_aside(stack: &TestStack) {
    let url = stack.local().stack().output("QuarantineQueueUrl").unwrap();
    let attribute = |value: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
    };
    let request = stack.local().stack().sdk().sqs().send_message().queue_url(url).message_body("{ not JSON");
    let request = request.message_attributes("consumer", attribute("order-placed"));
    let request = request.message_attributes("reasonCode", attribute("not_json"));
    stack.wait(request.message_attributes("reason", attribute("line 1, column 3")).send()).unwrap();
}

/// A queue that hears what whoever is on call is told, and every line that came there so far.
struct Alerts<'a> {
    stack: &'a TestStack,
    inbox: String,
    lines: BTreeSet<String>,
}

impl<'a> Alerts<'a> {
    fn listen(stack: &'a TestStack) -> Self {
        let deployed = stack.local().stack();
        let inbox = stack.wait(async {
            let created = deployed.sdk().sqs().create_queue().queue_name("on-call").send().await.unwrap();
            let arn = format!("arn:aws:sqs:{}:000000000000:on-call", orderbus::ministack::REGION);
            let topic = deployed.output("AlarmTopicArn").unwrap();
            let request = deployed.sdk().sns().subscribe().topic_arn(topic).protocol("sqs").endpoint(arn);
            request.send().await.unwrap();
            created.queue_url.unwrap()
        });
        Self { stack, inbox, lines: BTreeSet::new() }
    }

    /// The reprocessor writes to quarantine and then sends the alert, so what is in quarantine is awaited here once more.
    fn await_line(&mut self, is_it: impl Fn(&str) -> bool) {
        let found = eventually(PATIENCE, || {
            self.receive();
            self.lines.iter().any(|line| is_it(line)).then_some(())
        });
        assert!(found.is_some(), "{:?}", self.lines);
    }

    fn receive(&mut self) {
        let sqs = self.stack.local().stack().sdk().sqs();
        let request = sqs.receive_message().queue_url(&self.inbox).max_number_of_messages(10);
        let received = self.stack.wait(request.send()).unwrap().messages.unwrap_or_default();
        let notices =
            received.iter().map(|message| serde_json::from_str::<Value>(message.body().unwrap()).unwrap());
        self.lines.extend(notices.map(|notice| notice["Message"].as_str().unwrap().to_owned()));
    }
}
