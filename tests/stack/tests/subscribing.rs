//! Another team's stack beside the backbone, and what the tool shows of a running bus.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use contracts::EventType;
use orderbus::tail::{self, Delivered, Filter, Style};
use orderbus::tools::Tools;
use orderbus::{Progress, interrupt, publish, repository, rules, subscriber};
use serde_json::{Value, json};
use stack_tests::{TestStack, eventually};
use tokio::runtime::Builder;

const PATIENCE: Duration = Duration::from_secs(180);
const QUEUE: &str = "loyalty-points-local-Queue";
const CONFIRMED: &str = "orders.order-confirmed.v1";

/// A confirmed order of 32.99 EUR, as `orderbus publish` makes one of the sample.
fn confirmed(id: &str) -> publish::Entry {
    let mut event = publish::read(CONFIRMED).unwrap().remove(0);
    for assignment in [format!("id={id}"), "data.customerId=customer-loyal".to_owned()] {
        publish::set(&mut event, &assignment).unwrap();
    }
    publish::checked(&event, 0, orderbus::now()).unwrap()
}

/// The same as a rule delivers it.
fn delivered(id: &str) -> String {
    let mut envelope = publish::golden(EventType::OrderConfirmed).unwrap();
    envelope["detail"]["id"] = id.into();
    envelope["detail"]["data"]["customerId"] = "customer-loyal".into();
    envelope.to_string()
}

#[test]
fn a_team_elsewhere_counts_every_event_once() {
    let stack = TestStack::deploy(&[]).unwrap();
    let progress = Progress::new(|line| eprintln!("{line}"));
    let tools = Tools::ready(&progress).unwrap();
    let folder = repository::root().join("examples/loyalty-points");
    let tests =
        tools.command("python").args(["-m", "unittest", "discover", "tests"]).current_dir(&folder).status();
    assert!(tests.unwrap().success(), "its own tests");
    subscriber::deploy(&tools, &folder, stack.local().ministack(), &progress).unwrap();

    // The same event twice on the bus, which delivers each, and its copies in the queue under other message ids.
    let entries = [confirmed("e-1"), confirmed("e-1"), confirmed("e-2")];
    stack.wait(publish::put(stack.local().stack(), &entries)).unwrap();
    send(&stack, &[&delivered("e-1"), &delivered("e-2"), &delivered("e-1")]);
    await_points(&stack, 64);
    stack.await_empty(QUEUE, PATIENCE).unwrap();
    assert_eq!(points(&stack), 64, "no copy counts");

    // Poison fails alone, and is delivered again; its neighbour is counted.
    send(&stack, &["{ not JSON", &delivered("e-3")]);
    await_points(&stack, 96);
    // The points are there before SQS deletes the message that they are for, and before the log is.
    let waiting = || stack.messages_in(QUEUE).unwrap();
    let poison_alone = eventually(PATIENCE, || (waiting() == 1).then_some(()));
    assert!(poison_alone.is_some(), "{} messages are left, not the poison alone", waiting());
    let logs = || subscriber::logs(&tools, &folder, stack.local().ministack()).unwrap();
    let logged = eventually(PATIENCE, || Some(logs()).filter(|logs| logs.contains("e-3 is counted")));
    let logged = logged.unwrap_or_else(|| panic!("{}", logs()));
    assert!(!logged.contains("Ada Example"), "{logged}");

    the_tool_knows_the_rules_that_run(&stack);
    tail_shows_what_happens_and_leaves_nothing(&stack);
}

fn send(stack: &TestStack, bodies: &[&str]) {
    let queue = stack.queue_url(QUEUE).unwrap();
    let entry = |(number, body): (usize, &&str)| {
        SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(*body).build().unwrap()
    };
    let entries = bodies.iter().enumerate().map(entry).collect();
    let sqs = stack.local().stack().sdk().sqs();
    let sent =
        stack.wait(sqs.send_message_batch().queue_url(queue).set_entries(Some(entries)).send()).unwrap();
    assert_eq!(sent.successful().len(), bodies.len());
}

fn await_points(stack: &TestStack, wanted: u64) {
    let reached = eventually(PATIENCE, || (points(stack) >= wanted).then_some(()));
    assert!(reached.is_some(), "{} points", points(stack));
    assert_eq!(points(stack), wanted);
}

fn points(stack: &TestStack) -> u64 {
    let dynamodb = stack.local().stack().sdk().dynamodb();
    stack.wait(async {
        let tables = dynamodb.list_tables().send().await.unwrap();
        let table = tables.table_names().iter().find(|name| name.starts_with("loyalty-points-local-Points-"));
        let key = AttributeValue::S("customer#customer-loyal".to_owned());
        let read = dynamodb.get_item().table_name(table.unwrap()).key("pk", key).consistent_read(true);
        let item = read.send().await.unwrap().item.unwrap_or_default();
        item.get("points").map_or(0, |points| points.as_n().unwrap().parse().unwrap())
    })
}

fn the_tool_knows_the_rules_that_run(stack: &TestStack) {
    let events = stack.local().stack().sdk().eventbridge();
    let bus = stack.local().stack().output("BusName").unwrap();
    let running = stack.wait(rules::deployed(&events, bus)).unwrap();
    let written = rules::of_template(&repository::root().join("template.yaml")).unwrap();
    assert!(running.iter().any(|rule| rule.name.starts_with("loyalty-points-local-Rule")), "{running:?}");
    for event_type in EventType::ALL {
        let event = publish::golden(*event_type).unwrap();
        // orderbus-local-OrderTrackerRule-1A2B → OrderTrackerRule
        let of_backbone = |name: &str| {
            name.strip_prefix("orderbus-local-").and_then(|name| name.split('-').next()).map(str::to_owned)
        };
        let of = |all: &[rules::Rule], name: &dyn Fn(&str) -> Option<String>| -> BTreeSet<String> {
            let verdicts = rules::judge(all, &event);
            let delivered = verdicts.iter().filter(|verdict| verdict.is_delivered());
            delivered.filter_map(|verdict| name(&verdict.rule.name)).collect()
        };
        let expected = of(&written, &|name| Some(name.to_owned()));
        assert!(!expected.is_empty());
        assert_eq!(of(&running, &of_backbone), expected, "{event_type:?}");
    }
}

fn tail_shows_what_happens_and_leaves_nothing(stack: &TestStack) {
    let (sqs, events) = (stack.local().stack().sdk().sqs(), stack.local().stack().sdk().eventbridge());
    let bus = stack.local().stack().output("BusName").unwrap();
    // What a crash left: a rule that gives no sign of life, its queue, and a queue that never came to a rule.
    stack.wait(async {
        for name in ["orderbus-tail-1-1", "orderbus-tail-2-2"] {
            sqs.create_queue().queue_name(name).tags("orderbus-tail", bus).send().await.unwrap();
        }
        let rule = events.put_rule().name("orderbus-tail-1-1").event_bus_name(bus);
        rule.event_pattern(r#"{"source": ["orders"]}"#).send().await.unwrap();
    });

    let filter = Filter { event_type: Some("orders.order-confirmed".to_owned()), ..Filter::default() };
    let mut shown: Vec<Value> = Vec::new();
    let entries = [confirmed("e-4")];
    let publish = || block_on(publish::put(stack.local().stack(), &entries)).unwrap();
    watch(stack, &filter, Some(1), publish, |delivered| match delivered {
        Delivered::Event(event, _) => shown.push(event.clone()),
        Delivered::Unreadable(body) => panic!("{body}"),
    });
    assert_eq!(shown.len(), 1);
    assert_eq!((&shown[0]["detail"]["id"], &shown[0]["detail-type"]), (&json!("e-4"), &json!(CONFIRMED)));
    assert_eq!(left(stack), [""; 0]);

    // Half a character, which no JSON reader of ours holds. The queue that it waits in is under the stack's key.
    let filter = Filter { source: Some("case.note".to_owned()), ..Filter::default() };
    let publish = || {
        let entry = PutEventsRequestEntry::builder().event_bus_name(bus).source("case.note");
        let entry = entry.detail_type("case.note").detail(r#"{"note":"cut emoji \ud83d"}"#).build();
        let (sqs, events) = (stack.local().stack().sdk().sqs(), stack.local().stack().sdk().eventbridge());
        let key = block_on(async {
            events.put_events().entries(entry).send().await.unwrap();
            let found = sqs.list_queues().queue_name_prefix(tail::PREFIX).send().await.unwrap();
            let queue = found.queue_urls().iter().find(|url| !url.ends_with("-2-2")).unwrap();
            let asked = sqs.get_queue_attributes().queue_url(queue);
            let asked = asked.attribute_names(QueueAttributeName::KmsMasterKeyId).send().await;
            asked.unwrap().attributes.unwrap_or_default().remove(&QueueAttributeName::KmsMasterKeyId)
        });
        assert_eq!(key.as_deref(), Some(stack.local().stack().output("KeyArn").unwrap()));
    };
    let mut rows = Vec::new();
    watch(stack, &filter, Some(1), publish, |delivered| {
        rows.push(tail::render(delivered, Style::default()).to_string());
    });
    assert!(
        rows[0].contains("case.note") && rows[0].contains(r#"unreadable  {"note":"cut emoji \ud83d"}"#),
        "{rows:?}"
    );
    assert_eq!(left(stack), [""; 0]);

    // A signal ends it as well; its handler calls this.
    watch(stack, &Filter::default(), None, || interrupt::request(PATIENCE), |_| ());
    assert_eq!(left(stack), [""; 0]);
}

/// Watches, and does something as soon as it does.
fn watch(
    stack: &TestStack,
    filter: &Filter,
    limit: Option<usize>,
    meanwhile: impl FnOnce() + Send,
    mut show: impl FnMut(&Delivered),
) {
    let (started, has_started) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            if has_started.recv().is_ok() {
                meanwhile();
            }
        });
        let started = move || started.send(()).unwrap();
        let show = |delivered: &Delivered| {
            show(delivered);
            ControlFlow::Continue(())
        };
        stack.wait(tail::watch(stack.local().stack(), filter, limit, orderbus::now, started, show)).unwrap();
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn left(stack: &TestStack) -> Vec<String> {
    let (sqs, events) = (stack.local().stack().sdk().sqs(), stack.local().stack().sdk().eventbridge());
    let bus = stack.local().stack().output("BusName").unwrap();
    stack.wait(async {
        let queues = sqs.list_queues().queue_name_prefix(tail::PREFIX).send().await.unwrap();
        let rules = events.list_rules().event_bus_name(bus).name_prefix(tail::PREFIX).send().await.unwrap();
        let rules = rules.rules().iter().map(|rule| rule.name().unwrap_or_default().to_owned());
        queues.queue_urls().iter().cloned().chain(rules).collect()
    })
}
