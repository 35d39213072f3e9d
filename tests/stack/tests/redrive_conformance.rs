//! What redriving needs of AWS keeps every promise of its ports: against MiniStack, and the ledger against AWS's own
//! DynamoDB Local too.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws::{AwsRedriveTargets, DynamoDbRedriveLedger, S3QuarantineStore, SnsOnCall, SqsDeadLetterQueues};
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use domain::Attempt;
use orderbus::ministack::REGION;
use ports::{Alert, Target, attempt_carried, attempt_in_resources, conformance};
use serde_json::{Value, json};
use stack_tests::{Inbox, Judge};

/// A queue; its address.
fn queue(judge: &Judge, name: &str) -> String {
    judge.wait(judge.sdk().sqs().create_queue().queue_name(name).send()).unwrap().queue_url.unwrap()
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:000000000000:{name}")
}

/// What lies in a queue, once there is so much of it. It stays there.
async fn lying_in(judge: &Judge, url: &str, count: usize) -> Vec<Message> {
    let mut messages: BTreeMap<String, Message> = BTreeMap::new();
    for _ in 0..1_000 {
        let request = judge.sdk().sqs().receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.visibility_timeout(0).message_attribute_names("All");
        for message in request.send().await.unwrap().messages.unwrap_or_default() {
            messages.insert(message.message_id.clone().unwrap(), message);
        }
        if messages.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    messages.into_values().collect()
}

#[test]
fn the_redrive_ledger_conforms_on_ministack() {
    the_redrive_ledger_conforms(&Judge::ministack().unwrap());
}

#[test]
fn the_redrive_ledger_conforms_on_dynamodb_local() {
    the_redrive_ledger_conforms(&Judge::dynamodb_local().unwrap());
}

fn the_redrive_ledger_conforms(judge: &Judge) {
    let ledger = DynamoDbRedriveLedger::new(judge.sdk().dynamodb(), judge.table("ledger", "pk").unwrap());
    judge.wait(conformance::redrive_ledger(&ledger, judge.name()));
}

#[test]
fn what_redriving_needs_of_sqs_s3_and_sns_conforms() {
    let judge = Judge::ministack().unwrap();
    let sqs = judge.sdk().sqs();
    let url = queue(&judge, "dead");
    let send = async |body: &str, attributes: &BTreeMap<String, String>| {
        let attributes = attributes.iter().map(|(name, value)| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            (name.clone(), value.build().unwrap())
        });
        let request = sqs.send_message().queue_url(&url).message_body(body);
        request.set_message_attributes(Some(attributes.collect())).send().await.unwrap();
    };
    let queues = SqsDeadLetterQueues::new(sqs.clone(), HashMap::from([("dead".to_owned(), url.clone())]));
    judge.wait(conformance::dead_letter_queues(&queues, "dead", send, judge.name()));

    let s3 = judge.sdk().s3();
    judge.wait(s3.create_bucket().bucket("quarantine").send()).unwrap();
    let store = S3QuarantineStore::new(s3, "quarantine".to_owned());
    judge.wait(conformance::quarantine_store(&store, judge.name()));

    let sns = judge.sdk().sns();
    let topic = judge.wait(sns.create_topic().name("alerts").send()).unwrap().topic_arn.unwrap();
    let inbox = judge.wait(Inbox::create(sqs.clone(), "inbox")).unwrap();
    let subscribe = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(inbox.arn());
    judge.wait(subscribe.send()).unwrap();
    let heard = async |alert: &Alert| {
        let is_it = |message: &Message| {
            let notice: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let is_it =
                notice["Message"] == alert.line && !notice["Subject"].as_str().unwrap_or_default().is_empty();
            is_it.then_some(())
        };
        inbox.find(is_it).await.unwrap().is_some()
    };
    judge.wait(conformance::on_call(&SnsOnCall::new(sns.clone(), topic), heard, judge.name()));
}

#[test]
fn the_redrive_targets_on_sqs_step_functions_and_eventbridge_conform() {
    let judge = Judge::ministack().unwrap();
    let (sfn, eventbridge) = (judge.sdk().sfn(), judge.sdk().eventbridge());
    let (queue_url, heard_url) = (queue(&judge, "consumer"), queue(&judge, "heard"));
    let (checkout_arn, bus_name) = judge.wait(async {
        let definition = json!({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}).to_string();
        let machine = sfn.create_state_machine().name("checkout").definition(definition);
        let machine = machine.role_arn("arn:aws:iam::000000000000:role/test").send().await.unwrap();
        eventbridge.create_event_bus().name("bus").send().await.unwrap();
        let pattern = json!({"source": ["orders"]}).to_string();
        eventbridge
            .put_rule()
            .name("rule")
            .event_bus_name("bus")
            .event_pattern(pattern)
            .send()
            .await
            .unwrap();
        let target = aws_sdk_eventbridge::types::Target::builder().id("heard").arn(queue_arn("heard"));
        let target = target.build().unwrap();
        eventbridge.put_targets().rule("rule").event_bus_name("bus").targets(target).send().await.unwrap();
        (machine.state_machine_arn, "bus".to_owned())
    });
    let targets = AwsRedriveTargets {
        sqs: judge.sdk().sqs(),
        sfn: sfn.clone(),
        eventbridge,
        queue_urls: HashMap::from([("consumer".to_owned(), queue_url.clone())]),
        checkout_arn: checkout_arn.clone(),
        bus_name,
    };
    let envelope = |id: &str| {
        json!({"source": "orders", "detail-type": "orders.order-placed.v1", "detail": {"id": id}}).to_string()
    };
    let arrived = async |target: &Target, count: usize| -> Vec<(String, Option<Attempt>)> {
        match target {
            Target::Consumer(_) => {
                let carried = |message: Message| {
                    let attributes = message.message_attributes.clone().unwrap_or_default();
                    let attempt = attempt_carried(|name| attributes.get(name)?.string_value.as_deref());
                    (message.body.unwrap(), Some(attempt))
                };
                lying_in(&judge, &queue_url, count).await.into_iter().map(carried).collect()
            }
            Target::Checkout => {
                let listed = sfn.list_executions().state_machine_arn(&checkout_arn).send().await.unwrap();
                let mut started = Vec::new();
                for execution in listed.executions {
                    let request = sfn.describe_execution().execution_arn(execution.execution_arn);
                    started.push((request.send().await.unwrap().input.unwrap(), None));
                }
                started
            }
            Target::Bus => {
                let carried = |message: Message| {
                    let body = message.body.unwrap();
                    let envelope: Value = serde_json::from_str(&body).unwrap();
                    let resources: Vec<String> =
                        serde_json::from_value(envelope["resources"].clone()).unwrap();
                    (body, Some(attempt_in_resources(&resources)))
                };
                lying_in(&judge, &heard_url, count).await.into_iter().map(carried).collect()
            }
        }
    };
    let conforms = conformance::redrive_targets(&targets, "consumer", envelope, arrived, judge.name());
    judge.wait(conforms);
}
