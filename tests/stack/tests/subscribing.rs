//! Another team's stack beside the backbone, and what the tool shows of a running bus.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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
    the_program_prints_nothing_that_a_terminal_obeys(&stack);
    a_reader_of_the_program_may_go_away(&stack);
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

/// `orderbus` as a child of this test, whose output goes into files. Dropping it ends it.
struct Program {
    child: Child,
    output: PathBuf,
    complaints: PathBuf,
}

impl Program {
    /// Runs with this stack. Its standard output goes to `stdout`, or else into its file.
    fn start(stack: &TestStack, name: &str, arguments: &[&str], stdout: Option<Stdio>) -> Self {
        let [output, complaints] =
            ["out", "err"].map(|stream| stack.state().join(format!("orderbus-{name}.{stream}")));
        let mut command = Command::new(program_of(stack));
        command.arg("--state").arg(stack.state()).args(arguments).stdin(Stdio::null());
        command.stdout(stdout.unwrap_or_else(|| File::create(&output).unwrap().into()));
        command.stderr(File::create(&complaints).unwrap());
        Self { child: command.spawn().unwrap(), output, complaints }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    fn complained(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap()
    }

    fn await_watching(&self) {
        let is_watching = eventually(PATIENCE, || self.complained().contains("watching").then_some(()));
        assert!(is_watching.is_some(), "{}", self.complained());
    }

    /// It ends by itself, as a program that did what it was asked, and says nothing but what is allowed.
    fn await_quiet_end(&mut self, allowed: &str) {
        let ended = eventually(PATIENCE, || self.child.try_wait().unwrap());
        let complained = self.complained();
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {complained}");
        assert_eq!(complained, allowed);
    }
}

/// A copy of the program that `sam build` built beside the functions, and moved: another stack's build may do so meanwhile.
fn program_of(stack: &TestStack) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(4).unwrap().join("lambda/orderbus/bootstrap");
    let program = stack.state().join("orderbus");
    if !program.exists() {
        let is_copied = eventually(PATIENCE, || fs::copy(&built, &program).ok());
        assert!(is_copied.is_some(), "no {}", built.display());
    }
    program
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Moves the cursor, deletes a line, renames the window, and rings: `data.location` of a parcel's scan.
const ESCAPES: &str = "\u{1b}[1A\u{1b}[2KHall 5 \u{1b}]0;owned\u{7}";
/// The same as it is shown.
const SHOWN: &str = r"\u001b[1A\u001b[2KHall 5 \u001b]0;owned\u0007";
const WATCHING: &str = "orderbus: watching; Ctrl-C ends it\n";

/// A scan of a parcel of the order whose confirmation [`confirmed`] is. The account of the bus says it, so no door refuses its
/// control characters.
fn scanned(id: &str) -> publish::Entry {
    let order_id = order_of_sample();
    let event = json!({
        "id": id, "source": "shipping", "type": EventType::DeliveryStatusChanged.as_str(), "subject": order_id,
        "data": {"orderId": order_id, "parcelId": "P1", "status": "in_transit", "location": ESCAPES},
    });
    publish::unchecked(&event, 0, orderbus::now()).unwrap()
}

fn order_of_sample() -> String {
    let sample = publish::golden(EventType::OrderConfirmed).unwrap();
    sample["detail"]["subject"].as_str().unwrap().to_owned()
}

fn the_program_prints_nothing_that_a_terminal_obeys(stack: &TestStack) {
    let put = |id: &str| stack.wait(publish::put(stack.local().stack(), &[scanned(id)])).unwrap();
    let is_harmless = |text: &str| text.chars().all(|one| one == '\n' || !one.is_control());
    let order_id = order_of_sample();

    // As lines for people and as JSON.
    let mut tails = [
        Program::start(stack, "tail", &["tail", "--source", "shipping", "--limit", "1"], None),
        Program::start(stack, "tail-json", &["tail", "--source", "shipping", "--limit", "1", "--json"], None),
    ];
    tails.iter().for_each(Program::await_watching);
    put("scan-1");
    for tail in &mut tails {
        tail.await_quiet_end(WATCHING);
        let printed = tail.printed();
        assert!(printed.contains(SHOWN) && is_harmless(&printed), "{printed:?}");
    }
    let told = eventually(PATIENCE, || {
        let mut order = Program::start(stack, "order", &["order", &order_id], None);
        order.await_quiet_end("");
        Some(order.printed()).filter(|printed| printed.contains("in_transit"))
    });
    let told = told.expect("the scan is in the read model");
    // Its lines end where a terminal's do.
    assert!(told.contains(r"\u001b[1A\u001b[2K") && is_harmless(&told), "{told:?}");
}

/// After the first line, as `head -1` does, and before it.
fn a_reader_of_the_program_may_go_away(stack: &TestStack) {
    let put = |id: &str| stack.wait(publish::put(stack.local().stack(), &[scanned(id)])).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let mut tail = Program::start(stack, "tail-head", &["tail", "--source", "shipping"], Some(writer.into()));
    tail.await_watching();
    let (sender, first) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(reader).read_line(&mut line).map(|_| line);
        sender.send(read).ok();
    });
    put("scan-2");
    let first = eventually(PATIENCE, || first.try_recv().ok()).expect("tail shows the scan").unwrap();
    assert!(first.contains("in_transit") && first.ends_with('\n'), "{first:?}");
    put("scan-3");
    tail.await_quiet_end(WATCHING);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let arguments = ["order", &order_of_sample()];
    let mut order = Program::start(stack, "order-head", &arguments, Some(writer.into()));
    order.await_quiet_end("");
    assert_eq!(left(stack), [""; 0]);
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

    // Half a character and a number out of range, which no JSON reader of ours holds, and one that all hold. The queue that
    // they wait in is under the stack's key. MiniStack would write the number anew, as no JSON, so it is delivered as
    // EventBridge delivers it.
    let filter = Filter { source: Some("case.note".to_owned()), ..Filter::default() };
    let publish = || {
        let entry = |detail: &str| {
            let entry = PutEventsRequestEntry::builder().event_bus_name(bus).source("case.note");
            entry.detail_type("case.note").detail(detail).build()
        };
        let notes = [r#"{"note":"cut emoji \ud83d"}"#, r#"{"subject":"whole"}"#].map(entry);
        let beyond = r#"{"time":"2026-01-31T12:00:00Z","source":"case.note","detail-type":"case.note","detail":{"n":1e400}}"#;
        let (sqs, events) = (stack.local().stack().sdk().sqs(), stack.local().stack().sdk().eventbridge());
        let key = block_on(async {
            events.put_events().set_entries(Some(notes.to_vec())).send().await.unwrap();
            let found = sqs.list_queues().queue_name_prefix(tail::PREFIX).send().await.unwrap();
            let queue = found.queue_urls().iter().find(|url| !url.ends_with("-2-2")).unwrap();
            sqs.send_message().queue_url(queue).message_body(beyond).send().await.unwrap();
            let asked = sqs.get_queue_attributes().queue_url(queue);
            let asked = asked.attribute_names(QueueAttributeName::KmsMasterKeyId).send().await;
            asked.unwrap().attributes.unwrap_or_default().remove(&QueueAttributeName::KmsMasterKeyId)
        });
        assert_eq!(key.as_deref(), Some(stack.local().stack().output("KeyArn").unwrap()));
    };
    let mut rows = Vec::new();
    watch(stack, &filter, Some(3), publish, |delivered| {
        rows.push(tail::render(delivered, Style::default()).to_string());
    });
    for expected in [r#"unreadable  {"note":"cut emoji \ud83d"}"#, r#"unreadable  {"n":1e400}"#, "whole"] {
        let found = rows.iter().find(|row| row.contains("case.note") && row.contains(expected));
        assert!(found.is_some(), "{expected}: {rows:?}");
    }
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
