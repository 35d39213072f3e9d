//! What was on the bus is sent again, from the archive and from the lake: the read model stands again, and nothing else moves.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aws::EventBridgeReplays;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sfn::types::ExecutionStatus;
use orderbus::replay::{Replays, Request, plan_json, plan_text};
use orderbus::tools::Tools;
use orderbus::{Progress, play, repository};
use serde_json::Value;
use stack_tests::{TestStack, eventually};

const PATIENCE: Duration = Duration::from_secs(180);
/// A consumer of the test's own: it hears everything.
const LISTENER: &str = "listener";
/// Another: nothing in its rule but what the command is told to send.
const PROBE: &str = "probe";

#[test]
fn what_happened_can_be_sent_again_and_happens_once() {
    let stack = TestStack::deploy(&[]).unwrap();
    let listener = Queue::behind_a_rule(&stack, LISTENER, r#"{"source":[{"prefix":""}]}"#);
    let outcome = play::twenty_orders(stack.local().stack(), stack.api(), &to_stderr()).unwrap();
    assert!(outcome.is_as_declared());
    let mut heard = Heard::default();
    heard.until_all_is_quiet(&stack, &listener);
    let ids = heard.ids();
    assert!(ids.len() > 100, "twenty orders are more than {} events", ids.len());
    let before = Tables::read(&stack);
    assert!(before.0["OrderViewsTableName"].len() > 100, "every event is a fact");
    let replays = replays(&stack);

    dry_runs_say_what_would_be_sent_and_to_whom(&stack, &replays, &heard);
    let new = heard.until_all_is_quiet(&stack, &listener);
    assert_eq!(heard.0[new..], [], "a dry run sends nothing");

    // From the archive: MiniStack sends a replay to everyone, so everyone shows how it takes it.
    let archived = archived(&stack);
    rebuild(&stack, &replays, false);
    let new = heard.until_all_is_quiet(&stack, &listener);
    let (replayed, published): (Vec<_>, Vec<_>) =
        heard.0[new..].iter().partition(|event| event.is_replayed());
    assert_eq!(ids_of(&replayed), ids, "the archive has every event");
    assert_eq!(heard.ids(), ids, "nothing new happened");
    println!("archive: {} events replayed, {} published again", replayed.len(), published.len());
    assert_eq!(Tables::read(&stack), before);
    await_archived(&stack, archived + published.len() as u64);

    // From the lake: into the tracker's queue alone.
    rebuild(&stack, &replays, true);
    let new = heard.until_all_is_quiet(&stack, &listener);
    assert_eq!(heard.0[new..], [], "nobody else heard of it");
    assert_eq!(Tables::read(&stack), before);

    // From the lake to everyone, but for what asks for money.
    let archived = self::archived(&stack);
    let from_lake = Request {
        from: orderbus::replay::read_instant("1h", orderbus::now()).ok(),
        from_lake: true,
        rate: NonZeroU32::new(1_000),
        ..Request::default()
    };
    let plan = stack.wait(replays.plan(&from_lake, orderbus::now())).unwrap();
    let summary = stack.wait(replays.run(&plan, &to_stderr())).unwrap();
    assert!(summary.is_good(), "{summary:?}");
    let new = heard.until_all_is_quiet(&stack, &listener);
    let (replayed, published): (Vec<_>, Vec<_>) =
        heard.0[new..].iter().partition(|event| event.is_replayed());
    let asks_for_money = |event: &Event| {
        event.detail_type == "payments.payment-requested.v1"
            || event.detail_type == "payments.refund-requested.v1"
    };
    assert!(!replayed.iter().any(|event| asks_for_money(event)));
    let money: BTreeSet<String> =
        heard.0.iter().filter(|event| asks_for_money(event)).map(|event| event.id.clone()).collect();
    assert_eq!(ids_of(&replayed), ids.difference(&money).cloned().collect());
    assert_eq!(summary.sent, Some(replayed.len() as u64));
    assert_eq!(heard.ids(), ids, "nothing new happened");
    println!("lake: {} events replayed, {} published again", replayed.len(), published.len());
    assert_eq!(Tables::read(&stack), before);
    await_archived(&stack, archived + published.len() as u64);
    // The same again is the same replay, and that is over.
    let again = stack.wait(replays.run(&plan, &to_stderr())).unwrap_err().to_string();
    assert!(again.contains("was completed"), "{again}");
    every_replayed_event_is_the_event_that_was(&heard);

    a_killed_command_goes_on_where_it_was(&stack, &ids);
}

/// The same CloudEvent, whoever sends it and however often.
fn every_replayed_event_is_the_event_that_was(heard: &Heard) {
    let mut details: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in &heard.0 {
        let first = details.entry(&event.id).or_insert(&event.detail);
        assert_eq!(*first, &event.detail);
    }
}

fn dry_runs_say_what_would_be_sent_and_to_whom(stack: &TestStack, replays: &Replays, heard: &Heard) {
    let from = orderbus::replay::read_instant("1h", orderbus::now()).ok();
    let preview = |request: &Request| {
        let plan = stack.wait(replays.plan(request, orderbus::now())).unwrap();
        let preview = stack.wait(replays.preview(plan)).unwrap();
        println!("{}", plan_text(&preview));
        plan_json(&preview)
    };
    let requested: BTreeSet<&str> = heard
        .0
        .iter()
        .filter(|event| event.detail_type == "payments.payment-requested.v1")
        .map(|event| event.id.as_str())
        .collect();

    // The provider is another stack's, and hears what asks for money.
    let archive = preview(&Request { from, ..Request::default() });
    let names = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&archive["consumersLeftOut"]), [LISTENER, "payment-provider"]);
    for ours in ["order-placed", "inventory-updater", "order-tracker", "checkout", "event-archiver"] {
        assert!(names(&archive["consumers"]).contains(&ours.to_owned()), "{ours}");
    }
    assert_eq!(archive["events"], heard.ids().len() as u64);

    let lake = preview(&Request { from, from_lake: true, ..Request::default() });
    let left_out = &lake["typesLeftOut"][0];
    assert_eq!(left_out["type"], "payments.payment-requested.v1");
    assert_eq!(left_out["events"], requested.len() as u64);
    assert!(names(&lake["consumers"]).contains(&"payment-provider".to_owned()));

    let asked_for = Request {
        from,
        from_lake: true,
        types: vec!["payments.payment-requested".to_owned()],
        rules: vec!["payment-provider".to_owned()],
        ..Request::default()
    };
    let asked_for = preview(&asked_for);
    assert_eq!(names(&asked_for["consumers"]), ["payment-provider"]);
    assert_eq!(asked_for["events"], requested.len() as u64);
}

fn rebuild(stack: &TestStack, replays: &Replays, from_lake: bool) {
    let rate = if from_lake { NonZeroU32::new(1_000) } else { None };
    let request = Request { from_lake, rate, ..Request::default() };
    let planned = stack.wait(replays.plan_rebuild(request)).unwrap();
    let rebuilt = stack.wait(replays.rebuild(planned, &to_stderr())).unwrap();
    println!("{}", orderbus::replay::rebuilt_text(&rebuilt));
    assert!(rebuilt.is_good(), "{rebuilt:?}");
    assert_eq!(rebuilt.before, rebuilt.after);
}

/// The command itself, as a person types it; ended by SIGKILL in the middle.
fn a_killed_command_goes_on_where_it_was(stack: &TestStack, ids: &BTreeSet<String>) {
    let probe =
        Queue::behind_a_rule(stack, PROBE, r#"{"source":[{"prefix":""}],"detail":{"id":[{"exists":true}]}}"#);
    let orderbus = Orderbus::beside(stack);
    let first =
        ["replay", "--from", "1h", "--from-lake", "--rule", PROBE, "--rate", "20", "--name", "killed"];
    let mut running =
        orderbus.command(&first).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let file = stack.state().join("replays/killed.json");
    let is_on_its_way = eventually(PATIENCE, || {
        let sent = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        assert!(running.try_wait().unwrap().is_none(), "it ended before it could be killed");
        sent.filter(|checkpoint| checkpoint["sent"].as_u64().is_some_and(|sent| sent >= 10))
    });
    assert!(is_on_its_way.is_some());
    running.kill().unwrap();
    running.wait().unwrap();
    let checkpoint: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let (sent, position) = (checkpoint["sent"].as_u64().unwrap(), checkpoint["position"]["time"].clone());
    assert_eq!(checkpoint["state"], "begun");
    assert!(sent < ids.len() as u64, "{sent}");
    // The last request of a killed command may still be on its way when the command is gone.
    let before = probe.drain_behind_a_marker(stack);
    assert!((sent..=sent + CHUNK).contains(&(before.len() as u64)), "{} of {sent}", before.len());

    let resumed = output(orderbus.command(&["replay", "--resume", "killed", "--rate", "1000", "--json"]));
    let summary: Value = serde_json::from_slice(&resumed.stdout).unwrap();
    assert_eq!(summary["state"], "completed");
    assert_eq!(summary["sent"], ids.len() as u64);
    assert_eq!(summary["sentInThisRun"], ids.len() as u64 - sent);
    let after = probe.drain(stack);
    assert_eq!(after.len() as u64, ids.len() as u64 - sent, "the checkpoint is respected");
    assert!(after.iter().all(|event| event.detail["time"].as_str() >= position.as_str()));
    assert!(before.iter().chain(&after).all(Event::is_replayed));
    let both: BTreeSet<String> = before.iter().chain(&after).map(|event| event.id.clone()).collect();
    assert_eq!(&both, ids, "every event was sent");

    let listed = output(orderbus.command(&["replay", "list"]));
    let listed = String::from_utf8(listed.stdout).unwrap();
    println!("{listed}");
    assert!(listed.lines().any(|line| line.starts_with("killed ") && line.contains("completed")), "{listed}");
    assert!(listed.lines().any(|line| line.contains("archive")), "{listed}");
    // What an archive cannot do is refused in a sentence.
    let refused = orderbus.command(&["replay", "--from", "1h", "--type", "x"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--type needs --from-lake"));
}

/// How many events go out together at 20 a second.
const CHUNK: u64 = 2;

/// A person's command, and the stack that it is typed for.
struct Orderbus {
    program: PathBuf,
    state: String,
}

impl Orderbus {
    /// `sam build` has just built every program of the workspace and moved it. Another test's may do so again.
    fn beside(stack: &TestStack) -> Self {
        let tests = std::env::current_exe().unwrap();
        let target = tests.ancestors().nth(4).unwrap();
        let (built, program) = (target.join("lambda/orderbus/bootstrap"), stack.state().join("orderbus"));
        let is_copied = eventually(PATIENCE, || fs::copy(&built, &program).ok());
        assert!(is_copied.is_some(), "no {}", built.display());
        Self { program, state: stack.state().to_str().unwrap().to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--state", &self.state]).args(arguments).current_dir(repository::root());
        command
    }
}

fn output(mut command: Command) -> Output {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn replays(stack: &TestStack) -> Replays {
    let tools = Tools::ready(&Progress::new(|_| ())).unwrap();
    Replays::of(stack.local().stack(), &tools, stack.state().join("replays")).unwrap()
}

fn to_stderr() -> Progress {
    Progress::new(|line| terminal::complain(line))
}

/// How many events the archive holds.
fn archived(stack: &TestStack) -> u64 {
    let deployed = stack.local().stack();
    let (name, arn) = (deployed.output("BusName").unwrap(), deployed.output("BusArn").unwrap());
    let replays = EventBridgeReplays::new(deployed.sdk().eventbridge(), name.to_owned(), arn.to_owned());
    stack.wait(replays.archive()).unwrap().unwrap().events
}

/// Waits until the archive holds exactly so many events: what is replayed is not archived.
fn await_archived(stack: &TestStack, expected: u64) {
    let reached = eventually(PATIENCE, || (archived(stack) == expected).then_some(()));
    assert!(reached.is_some(), "the archive holds {} events, not {expected}", archived(stack));
}

/// How many checkouts wait for something or are at work. What they do next is in no queue yet.
fn running_checkouts(stack: &TestStack) -> usize {
    let sfn = stack.local().stack().sdk().sfn();
    stack.wait(async {
        let machines = sfn.list_state_machines().send().await.unwrap();
        let [checkout] = machines.state_machines() else { panic!("{machines:?}") };
        let request = sfn.list_executions().state_machine_arn(checkout.state_machine_arn());
        let running = request.status_filter(ExecutionStatus::Running).send().await.unwrap();
        running.executions().len()
    })
}

/// Every item of every table that orders are in, to the letter.
#[derive(Debug, PartialEq)]
struct Tables(BTreeMap<&'static str, Items>);

/// By key, the attributes sorted.
type Items = BTreeMap<String, Vec<(String, AttributeValue)>>;

impl Tables {
    fn read(stack: &TestStack) -> Self {
        let tables = ["OrdersTableName", "StockTableName", "ShipmentsTableName", "OrderViewsTableName"];
        let deployed = stack.local().stack();
        let read = |output: &'static str| {
            let table = deployed.output(output).unwrap();
            let scan = deployed.sdk().dynamodb().scan().table_name(table).consistent_read(true);
            let items = stack.wait(async {
                let (mut items, mut pages) = (Vec::new(), scan.into_paginator().items().send());
                while let Some(item) = pages.next().await {
                    items.push(item.unwrap());
                }
                items
            });
            let item = |item: std::collections::HashMap<String, AttributeValue>| {
                let text = |name: &str| item.get(name).map(|value| value.as_s().unwrap().as_str());
                let key = text("order_id").or(text("pk")).unwrap();
                let key = text("fact").map_or_else(|| key.to_owned(), |fact| format!("{key} {fact}"));
                let mut attributes: Vec<_> = item.into_iter().collect();
                attributes.sort_by(|one, other| one.0.cmp(&other.0));
                (key, attributes)
            };
            (output, items.into_iter().map(item).collect())
        };
        Self(tables.map(read).into())
    }
}

/// An event as a queue got it.
#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    detail_type: String,
    detail: Value,
    envelope: Value,
}

impl Event {
    fn read(body: &str) -> Self {
        let mut envelope: Value = serde_json::from_str(body).unwrap();
        let detail = envelope["detail"].take();
        Self {
            id: detail["id"].as_str().unwrap().to_owned(),
            detail_type: envelope["detail-type"].as_str().unwrap().to_owned(),
            detail,
            envelope,
        }
    }

    fn is_replayed(&self) -> bool {
        let resources = self.envelope["resources"].as_array().unwrap();
        let is_mark = |resource: &Value| resource.as_str().unwrap().starts_with("orderbus:replay/");
        self.envelope.get("replay-name").is_some() || resources.iter().any(is_mark)
    }
}

fn ids_of(events: &[&Event]) -> BTreeSet<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

/// All that was on the bus.
#[derive(Default)]
struct Heard(Vec<Event>);

impl Heard {
    fn ids(&self) -> BTreeSet<String> {
        self.0.iter().map(|event| event.id.clone()).collect()
    }

    /// Until every consumer's queue is empty for a while, and no checkout runs, which would fill them again. Says from
    /// where on it is new.
    fn until_all_is_quiet(&mut self, stack: &TestStack, listener: &Queue) -> usize {
        let already = self.0.len();
        let mut quiet = 0;
        let all_is_quiet = eventually(PATIENCE, || {
            let new = listener.drain(stack);
            let is_quiet = new.is_empty()
                && stack.messages_in_all_queues().unwrap() == 0
                && running_checkouts(stack) == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            self.0.extend(new);
            (quiet == 10).then_some(())
        });
        assert!(all_is_quiet.is_some(), "it is never quiet");
        already
    }
}

/// A queue of the test's own, behind a rule of the bus.
struct Queue {
    url: String,
}

impl Queue {
    fn behind_a_rule(stack: &TestStack, name: &str, pattern: &str) -> Self {
        let sdk = stack.local().stack().sdk();
        let bus = stack.local().stack().output("BusName").unwrap();
        let url = stack.wait(async {
            let queue = sdk.sqs().create_queue().queue_name(name).send().await.unwrap();
            let events = sdk.eventbridge();
            let rule = events.put_rule().name(name).event_bus_name(bus).event_pattern(pattern);
            rule.send().await.unwrap();
            let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
            let target = Target::builder().id(name).arn(arn).build().unwrap();
            let targets = events.put_targets().rule(name).event_bus_name(bus).targets(target);
            targets.send().await.unwrap();
            queue.queue_url.unwrap()
        });
        Self { url }
    }

    /// Takes out all that was sent to it before a message that this sends now.
    fn drain_behind_a_marker(&self, stack: &TestStack) -> Vec<Event> {
        const MARKER: &str = "marker";
        let marker = serde_json::json!({"detail-type": MARKER, "resources": [], "detail": {"id": MARKER}});
        let request = stack.local().stack().sdk().sqs().send_message().queue_url(&self.url);
        stack.wait(request.message_body(marker.to_string()).send()).unwrap();
        let mut events = Vec::new();
        let has_arrived = eventually(PATIENCE, || {
            events.extend(self.drain(stack));
            events.iter().position(|event: &Event| event.id == MARKER)
        });
        events.remove(has_arrived.unwrap());
        events
    }

    /// Takes out all that is in it now.
    fn drain(&self, stack: &TestStack) -> Vec<Event> {
        let sqs = stack.local().stack().sdk().sqs();
        let mut events = Vec::new();
        loop {
            let request = sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let received = stack.wait(request.send()).unwrap().messages.unwrap_or_default();
            if received.is_empty() {
                return events;
            }
            for message in received {
                events.push(Event::read(message.body().unwrap()));
                let request = sqs.delete_message().queue_url(&self.url);
                let receipt_handle = message.receipt_handle().unwrap();
                stack.wait(request.receipt_handle(receipt_handle).send()).unwrap();
            }
        }
    }
}
