//! What redriving needs of AWS keeps every promise of its ports: here against MiniStack.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws::{AwsRedriveTargets, DynamoDbRedriveLedger, S3QuarantineStore, Sdk, SnsOnCall, SqsDeadLetterQueues};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use domain::Attempt;
use orderbus::Progress;
use orderbus::ministack::{MiniStack, REGION, free_port};
use orderbus::tools::Tools;
use ports::{Alert, Target, attempt_carried, attempt_in_resources, conformance};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// MiniStack with nothing on it.
struct Bare {
    sdk: Sdk,
    runtime: Runtime,
    // Dropped in this order: the process before the folder that it writes to.
    _ministack: MiniStack,
    _state: TempDir,
}

impl Bare {
    fn start() -> Self {
        let progress = Progress::new(|line| eprintln!("{line}"));
        let state = tempfile::Builder::new().prefix("orderbus-conformance-").tempdir().unwrap();
        let tools = Tools::ready(&progress).unwrap();
        let port = Some(free_port().unwrap());
        let ministack = MiniStack::start(&tools, state.path(), port, &progress).unwrap();
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = Sdk::new(credentials, REGION.to_owned(), Some(ministack.endpoint()));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { sdk, runtime, _ministack: ministack, _state: state }
    }

    /// A table with the key that template.yaml gives it.
    fn table(&self, name: &str, key: &str) -> String {
        let attribute = AttributeDefinition::builder().attribute_name(key);
        let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
        let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap();
        let request = self.sdk.dynamodb().create_table().table_name(name);
        let request = request.attribute_definitions(attribute).key_schema(schema);
        let created = self.runtime.block_on(request.billing_mode(BillingMode::PayPerRequest).send());
        // On a busy machine the SDK asks again and meets its own table.
        let exists = |error: &SdkError<CreateTableError>| {
            error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception)
        };
        assert!(created.as_ref().err().is_none_or(exists), "{created:?}");
        name.to_owned()
    }

    /// A queue; its address.
    fn queue(&self, name: &str) -> String {
        let request = self.sdk.sqs().create_queue().queue_name(name);
        self.runtime.block_on(request.send()).unwrap().queue_url.unwrap()
    }

    #[expect(clippy::unused_self, reason = "the name of a queue on this MiniStack")]
    fn queue_arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{REGION}:000000000000:{name}")
    }

    /// What lies in a queue, once there is so much of it. It stays there.
    async fn lying_in(&self, url: &str, count: usize) -> Vec<Message> {
        let mut messages: BTreeMap<String, Message> = BTreeMap::new();
        for _ in 0..100 {
            let request = self.sdk.sqs().receive_message().queue_url(url).max_number_of_messages(10);
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
}

#[test]
fn the_redrive_ledger_on_dynamodb_conforms() {
    let bare = Bare::start();
    let ledger = DynamoDbRedriveLedger::new(bare.sdk.dynamodb(), bare.table("ledger", "pk"));
    bare.runtime.block_on(conformance::redrive_ledger(&ledger, "ministack"));
}

#[test]
fn what_redriving_needs_of_sqs_s3_and_sns_conforms() {
    let bare = Bare::start();
    let sqs = bare.sdk.sqs();
    let url = bare.queue("dead");
    let send = async |body: &str, attributes: &BTreeMap<String, String>| {
        let attributes = attributes.iter().map(|(name, value)| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            (name.clone(), value.build().unwrap())
        });
        let request = sqs.send_message().queue_url(&url).message_body(body);
        request.set_message_attributes(Some(attributes.collect())).send().await.unwrap();
    };
    let queues = SqsDeadLetterQueues::new(sqs.clone(), HashMap::from([("dead".to_owned(), url.clone())]));
    bare.runtime.block_on(conformance::dead_letter_queues(&queues, "dead", send, "ministack"));

    let s3 = bare.sdk.s3();
    bare.runtime.block_on(s3.create_bucket().bucket("quarantine").send()).unwrap();
    let store = S3QuarantineStore::new(s3, "quarantine".to_owned());
    bare.runtime.block_on(conformance::quarantine_store(&store, "ministack"));

    let sns = bare.sdk.sns();
    let topic = bare.runtime.block_on(sns.create_topic().name("alerts").send()).unwrap().topic_arn.unwrap();
    let inbox = bare.queue("inbox");
    let subscribe = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(bare.queue_arn("inbox"));
    bare.runtime.block_on(subscribe.send()).unwrap();
    let heard = async |alert: &Alert| {
        let is_it = |message: &Message| {
            let notice: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            notice["Message"] == alert.line && !notice["Subject"].as_str().unwrap_or_default().is_empty()
        };
        bare.lying_in(&inbox, 1).await.iter().any(is_it)
    };
    bare.runtime.block_on(conformance::on_call(&SnsOnCall::new(sns.clone(), topic), heard, "ministack"));
}

#[test]
fn the_redrive_targets_on_sqs_step_functions_and_eventbridge_conform() {
    let bare = Bare::start();
    let (sfn, eventbridge) = (bare.sdk.sfn(), bare.sdk.eventbridge());
    let (queue_url, heard_url) = (bare.queue("consumer"), bare.queue("heard"));
    let (checkout_arn, bus_name) = bare.runtime.block_on(async {
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
        let target = aws_sdk_eventbridge::types::Target::builder().id("heard").arn(bare.queue_arn("heard"));
        let target = target.build().unwrap();
        eventbridge.put_targets().rule("rule").event_bus_name("bus").targets(target).send().await.unwrap();
        (machine.state_machine_arn, "bus".to_owned())
    });
    let targets = AwsRedriveTargets {
        sqs: bare.sdk.sqs(),
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
                bare.lying_in(&queue_url, count).await.into_iter().map(carried).collect()
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
                bare.lying_in(&heard_url, count).await.into_iter().map(carried).collect()
            }
        }
    };
    let conforms = conformance::redrive_targets(&targets, "consumer", envelope, arrived, "ministack");
    bare.runtime.block_on(conforms);
}
