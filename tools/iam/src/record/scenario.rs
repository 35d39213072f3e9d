//! What each function is put through. Every function gets every sample of `events/samples`, in every order of two, twice, and
//! once more while AWS refuses a call, while another object stands under a key, and while a task is gone. Some need a world
//! that samples alone do not make; a function that is not named here needs none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::world::{Mishap, World};

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The function is invoked.
    Invoke(Value),
    /// A mishap waits for the next call.
    Let(Mishap),
    /// Tables are as they were before the first step.
    Reset,
    /// Whatever waits is due.
    LetTimePass,
    /// A message lies in a queue.
    Send(String, Value),
}

/// Settings without which a function does nothing: who may publish through event-gateway, and that order-api takes the
/// samples, which nobody signed.
pub(crate) const PARAMETERS: [(&str, &str); 2] = [
    ("ApiAuthorization", "NONE"),
    ("GatewayProducers", "payments=arn:aws:iam::000000000000:root,shipping=arn:aws:iam::000000000000:root"),
];

/// The steps for a function, by its name and its variables.
///
/// # Errors
/// When a sample cannot be read.
pub(crate) fn steps(
    root: &Path,
    function: &str,
    variable: impl Fn(&str) -> Option<String>,
    now_ms: u64,
) -> Result<Vec<Step>> {
    let mut payloads = samples(root, function)?;
    match function {
        // One of each type that others may publish.
        "event-gateway" => {
            let first = payloads.first().cloned().context("event-gateway has no sample")?;
            for event in handed_in(root)? {
                let mut payload = first.clone();
                payload["headers"]["content-type"] = json!("application/cloudevents+json");
                payload["requestContext"]["authorizer"]["iam"]["userArn"] =
                    json!("arn:aws:iam::000000000000:root");
                payload["body"] = json!(event);
                payload["isBase64Encoded"] = json!(false);
                payloads.push(payload);
            }
        }
        // The hours of the samples that event-archiver stored before.
        "lake-compactor" => {
            let hours = Step::Invoke(json!({"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}));
            return Ok(vec![Step::Let(Mishap::KeyTaken), hours.clone(), hours.clone(), hours]);
        }
        "dlq-reprocessor" => return dead_letters(root, variable, now_ms),
        _ => {}
    }
    // Whoever reads a queue may find there what is no event.
    if let Some(mut batch) = payloads.iter().find(|payload| payload["Records"].is_array()).cloned() {
        batch["Records"] = json!([batch["Records"][0]]);
        batch["Records"][0]["body"] = json!("no event");
        payloads.push(batch);
    }
    // Each payload comes first once, and of each two each one before the other.
    let mut steps = Vec::new();
    for turn in 0..2 * payloads.len() {
        if turn == payloads.len() {
            payloads.reverse();
        }
        payloads.rotate_left(1);
        steps.push(Step::Reset);
        for payload in &payloads {
            steps.extend([Step::Invoke(payload.clone()), Step::Invoke(payload.clone())]);
            for mishap in [Mishap::Refused, Mishap::KeyTaken, Mishap::TaskGone] {
                steps.extend([Step::Let(mishap), Step::Invoke(payload.clone())]);
            }
        }
    }
    Ok(steps)
}

/// Puts there what a function finds when it runs.
///
/// # Errors
/// When a sample cannot be read.
pub(crate) fn prepare(
    root: &Path,
    function: &str,
    variable: impl Fn(&str) -> Option<String>,
    world: &mut World,
) -> Result<()> {
    let mut put = |table: &str, item: &Value| {
        world.put(variable(table).unwrap_or_default(), item.as_object().cloned().unwrap_or_default());
    };
    match function {
        // Enough for some of the orders, and not for all.
        "inventory-updater" => {
            for sku in ["MUG-BLUE", "TEA-EARL-GREY"] {
                let level = json!({
                    "pk": {"S": format!("stock#{sku}")},
                    "available": {"N": "9"}, "reserved": {"N": "0"}, "shipped": {"N": "0"}, "received": {"N": "9"},
                });
                put("STOCK_TABLE", &level);
            }
        }
        // The order of the samples, which its customer can cancel.
        "order-api" => {
            let accepted = read(&root.join("events/samples/orders.order-accepted.v1/complete.json"))?;
            put("ORDERS_TABLE", &json!({"order_id": {"S": accepted["data"]["orderId"]}}));
        }
        // The order of the samples, accepted and then cancelled, after checkout asked for its payment: an answer is used
        // while checkout waits, and the money is returned when it does not.
        "payment-callback" => {
            let accepted = read(&root.join("events/samples/orders.order-accepted.v1/complete.json"))?;
            let at = "2026-01-31T12:00:00.000Z";
            let order = json!({
                "order_id": {"S": accepted["data"]["orderId"]},
                "decision": {"S": "accepted"}, "decided_by": {"S": "sample-01"}, "decided_at": {"S": at},
                "order": {"S": accepted["data"].to_string()},
                "checkout_execution": {"S": "execution-01"}, "claimed_decision": {"S": "accepted"},
                "outcome": {"S": "cancelled"}, "outcome_event_id": {"S": "sample-02"}, "outcome_at": {"S": at},
            });
            put("ORDERS_TABLE", &order);
        }
        _ => {}
    }
    Ok(())
}

/// A letter of every kind in every queue, twice: when it is seen first, and when it is due.
fn dead_letters(root: &Path, variable: impl Fn(&str) -> Option<String>, now_ms: u64) -> Result<Vec<Step>> {
    // What was sent just now waits before it is sent back.
    let message = |body: &str, attributes: &[(&str, &str)]| message(body, attributes, now_ms);
    let variable = |name: &str| variable(name).with_context(|| format!("dlq-reprocessor has no {name}"));
    let queue = |name: &str| -> Result<String> {
        Ok(variable(name)?.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let events = every_type(root)?;
    let (undelivered, quarantine, checkout) =
        (queue("UNDELIVERED_QUEUE_URL")?, queue("QUARANTINE_QUEUE_URL")?, variable("CHECKOUT_ARN")?);
    let mut letters = vec![(queue("BUS_DEAD_LETTER_QUEUE_URL")?, message(&events[0], &[]))];
    for consumer in variable("CONSUMERS")?.split(';') {
        let parts: Vec<&str> = consumer.split_whitespace().collect();
        let [name, queue, dead_letter_queue, ..] = parts[..] else { continue };
        letters.push((dead_letter_queue.to_owned(), message(&events[0], &[])));
        letters.push((dead_letter_queue.to_owned(), message("no event", &[])));
        let target = format!("arn:aws:sqs:eu-central-1:111122223333:{queue}");
        letters.push((undelivered.clone(), message(&events[1], &[("TARGET_ARN", &target)])));
        let reason = [("consumer", name), ("reasonCode", "not_json"), ("reason", "it is no JSON")];
        letters.push((quarantine.clone(), message("no event either", &reason)));
    }
    for event in &events {
        letters.push((undelivered.clone(), message(event, &[])));
        letters.push((undelivered.clone(), message(event, &[("TARGET_ARN", &checkout)])));
    }
    let mut steps = Vec::new();
    let mishaps = [None, None, Some(Mishap::KeyTaken), Some(Mishap::Refused)];
    for mishap in mishaps {
        if mishap == Some(Mishap::KeyTaken) {
            steps.push(Step::Reset);
        }
        steps.extend(letters.iter().map(|(queue, letter)| Step::Send(queue.clone(), letter.clone())));
        steps.extend(mishap.map(Step::Let));
        // A run takes ten of a queue at a time, and goes on until none is left.
        steps.extend([Step::Invoke(json!({})), Step::LetTimePass]);
    }
    Ok(steps)
}

fn message(body: &str, attributes: &[(&str, &str)], now_ms: u64) -> Value {
    let attribute = |(name, value): &(&str, &str)| {
        ((*name).to_owned(), json!({"DataType": "String", "StringValue": value}))
    };
    let attributes: serde_json::Map<String, Value> = attributes.iter().map(attribute).collect();
    json!({
        "MessageId": "1",
        "ReceiptHandle": "handle",
        "Body": body,
        "Attributes": {"SentTimestamp": now_ms.to_string()},
        "MessageAttributes": attributes,
    })
}

/// The samples of a function, in the order of their names.
fn samples(root: &Path, function: &str) -> Result<Vec<Value>> {
    let folder = root.join("events/samples").join(function);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<_> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// An event of every type of the catalogue, as the bus delivers it.
fn every_type(root: &Path) -> Result<Vec<String>> {
    let sample = read(&root.join("events/samples/event-archiver/every-type.json"))?;
    let bodies = sample["Records"].as_array().into_iter().flatten();
    Ok(bodies.filter_map(|record| record["body"].as_str().map(str::to_owned)).collect())
}

/// An event of each type that others hand in, as a CloudEvent of theirs.
fn handed_in(root: &Path) -> Result<Vec<String>> {
    let folders = fs::read_dir(root.join("events/samples")).context("cannot read events/samples")?;
    let mut folders: Vec<_> = folders.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    // Of these, and of no others, there is a sample as the gateway passes it on.
    let theirs = folders.iter().filter(|folder| folder.join("handed-in.json").is_file());
    theirs.map(|folder| Ok(read(&folder.join("complete.json"))?.to_string())).collect()
}
