//! The adapters on AWS services keep every promise of their ports: against MiniStack, and those on DynamoDB against AWS's
//! own DynamoDB Local too.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aws::{
    AthenaLakeQueries, DynamoDbEventLedger, DynamoDbOrderStore, DynamoDbOrderViewStore,
    DynamoDbShipmentStore, DynamoDbStockStore, EventBridgeEventBus, S3EventLake, S3LakeObjects,
    SfnPaymentTasks, SnsFulfilmentCentre, SqsMessageQueue, SqsQuarantine,
};
use aws_sdk_athena::types::{QueryExecutionState, ResultConfiguration, WorkGroupConfiguration};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::Message;
use contracts::{Money, OrderAccepted, Outbound, Reason};
use domain::{EventId, OrderId, Outcome, Settlement, Timestamp};
use memory::MemoryOrderStore;
use ports::{
    LakeQueries, LakeQuery, Notice, OrderDecision, OrderStore, Parameter, PaymentTasks, PortError,
    Quarantined, Registration, TaskReply, attempt_carried, conformance,
};
use serde_json::{Value, json};
use stack_tests::{Inbox, Judge};

#[test]
fn the_stores_conform_on_ministack() {
    the_stores_conform(&Judge::ministack().unwrap());
}

#[test]
fn the_stores_conform_on_dynamodb_local() {
    the_stores_conform(&Judge::dynamodb_local().unwrap());
}

fn the_stores_conform(judge: &Judge) {
    let client = || judge.sdk().dynamodb();
    let orders = DynamoDbOrderStore::new(client(), judge.table("orders", "order_id").unwrap());
    judge.wait(conformance::order_store(&orders, judge.name()));
    let stock = DynamoDbStockStore::new(client(), judge.table("stock", "pk").unwrap());
    judge.wait(conformance::stock_store(&stock, judge.name()));
    judge.wait(conformance::contended_stock(&stock, judge.name()));
    let shipments = DynamoDbShipmentStore::new(client(), judge.table("shipments", "order_id").unwrap());
    judge.wait(conformance::shipment_store(&shipments, judge.name()));
    let views = DynamoDbOrderViewStore::new(client(), judge.table_of_facts("views").unwrap());
    judge.wait(conformance::order_view_store(&views, judge.name()));
    let events = DynamoDbEventLedger::new(client(), judge.table("events", "event_id").unwrap());
    judge.wait(conformance::event_ledger(&events, judge.name()));
}

#[test]
fn the_state_machine_claims_as_its_model_does_on_ministack() {
    the_state_machine_claims_as_its_model_does(&Judge::ministack().unwrap());
}

#[test]
fn the_state_machine_claims_as_its_model_does_on_dynamodb_local() {
    the_state_machine_claims_as_its_model_does(&Judge::dynamodb_local().unwrap());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Accept,
    Reject,
    Cancel,
    /// By one of two executions.
    Claim(&'static str),
}

/// Every way in which four of the steps can follow one another.
fn the_state_machine_claims_as_its_model_does(judge: &Judge) {
    const ALL: [Step; 5] =
        [Step::Accept, Step::Reject, Step::Cancel, Step::Claim("first"), Step::Claim("second")];
    let table = judge.table("orders", "order_id").unwrap();
    let deployed = DynamoDbOrderStore::new(judge.sdk().dynamodb(), table.clone());
    let model = MemoryOrderStore::default();
    let decided_by = EventId::parse("placed").unwrap();
    let settlement = Settlement {
        outcome: Outcome::Cancelled,
        decided_by: decided_by.clone(),
        decided_at: Timestamp::from_unix_ms(1),
    };
    let mut asked = 0;
    for number in 0..ALL.len().pow(4) {
        let steps = [0, 1, 2, 3].map(|place| ALL[number / ALL.len().pow(place) % ALL.len()]);
        let order_id = OrderId::parse(&format!("o-{number}")).unwrap();
        for step in steps {
            let decision = match step {
                Step::Accept => accepted(&order_id),
                Step::Reject => OrderDecision::Rejected(vec![Reason::new("total_mismatch", "it is not")]),
                Step::Cancel => {
                    judge.wait(deployed.settle(&order_id, &settlement, &[])).unwrap();
                    judge.wait(model.settle(&order_id, &settlement, &[])).unwrap();
                    continue;
                }
                Step::Claim(execution) => {
                    let is_claimed = claim(judge, &table, &order_id, execution);
                    assert_eq!(is_claimed, model.claim(&order_id, execution).is_some(), "{steps:?}");
                    continue;
                }
            };
            let (order_id, decided_by) = (order_id.clone(), decided_by.clone());
            let decided_at = Timestamp::from_unix_ms(1);
            let registration = Registration { order_id, decision, decided_by, decided_at };
            judge.wait(deployed.register(&registration)).unwrap();
            judge.wait(model.register(&registration)).unwrap();
        }
        let found = judge.wait(deployed.find(&order_id)).unwrap();
        assert_eq!(found, judge.wait(model.find(&order_id)).unwrap(), "{steps:?}");
        asked += usize::from(found.is_some_and(|record| record.payment_asked));
    }
    assert!(asked > 50, "the payment of {asked} orders alone was asked for");
}

fn accepted(order_id: &OrderId) -> OrderDecision {
    let total = Money { amount_minor: 200, currency: "EUR".to_owned() };
    let (order_id, customer_id) = (order_id.as_str().to_owned(), "c-1".to_owned());
    let order = OrderAccepted { order_id, customer_id, lines: vec![], total };
    let personal = stack_tests::order_of("MUG", 1, 200).personal;
    OrderDecision::Accepted { order: Box::new(order), personal: Box::new(personal) }
}

/// Does what the state `ClaimOrder` does. False when its condition fails.
fn claim(judge: &Judge, table: &str, order_id: &OrderId, execution: &str) -> bool {
    // The deployment puts the settings in.
    let machine = include_str!("../../../statemachines/checkout.asl.json");
    let machine = machine.replace("${PaymentTimeoutSeconds}", "900");
    let machine: Value = serde_json::from_str(&machine).unwrap();
    let arguments = &machine["States"]["ClaimOrder"]["Arguments"];
    let text = |name: &str| arguments[name].as_str().unwrap();
    let mut request = judge
        .sdk()
        .dynamodb()
        .update_item()
        .table_name(table)
        .key("order_id", AttributeValue::S(order_id.as_str().to_owned()))
        .update_expression(text("UpdateExpression"))
        .condition_expression(text("ConditionExpression"));
    for (name, value) in arguments["ExpressionAttributeValues"].as_object().unwrap() {
        let value = if name == ":me" { execution } else { value["S"].as_str().unwrap() };
        request = request.expression_attribute_values(name, AttributeValue::S(value.to_owned()));
    }
    match judge.wait(request.send()) {
        Ok(_) => true,
        Err(error) if error.as_service_error().unwrap().is_conditional_check_failed_exception() => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_lake_on_s3_conforms() {
    let judge = Judge::ministack().unwrap();
    let s3 = judge.sdk().s3();
    judge.wait(s3.create_bucket().bucket("lake").send()).unwrap();
    let lake = S3EventLake::new(s3.clone(), "lake".to_owned());
    let body = async |key: &str| {
        let object = s3.get_object().bucket("lake").key(key).send().await.ok()?;
        Some(object.body.collect().await.ok()?.to_vec())
    };
    judge.wait(conformance::event_lake(&lake, body, judge.name()));
    let objects = S3LakeObjects::new(s3.clone(), "lake".to_owned());
    judge.wait(conformance::lake_objects(&lake, &objects, judge.name()));
}

#[test]
fn the_lake_s_queries_on_athena_conform() {
    let judge = Judge::ministack().unwrap();
    judge.wait(judge.sdk().s3().create_bucket().bucket("results").send()).unwrap();
    for workgroup in ["first", "second"] {
        let results = ResultConfiguration::builder().output_location("s3://results/").build();
        let settings = WorkGroupConfiguration::builder().result_configuration(results).build();
        let request = judge.sdk().athena().create_work_group().name(workgroup);
        judge.wait(request.configuration(settings).send()).unwrap();
    }
    let queries = |workgroup: &str| {
        AthenaLakeQueries::new(judge.sdk().athena(), workgroup.to_owned(), "default".to_owned())
    };
    let (first, second) = (queries("first"), queries("second"));
    judge.wait(conformance::lake_queries(&first, judge.name()));
    // The same tokens in another workgroup are others, and what is asked there is not known here.
    judge.wait(conformance::lake_queries(&second, judge.name()));
    let query = LakeQuery {
        statement: conformance::SAME,
        parameters: vec![Parameter::Number(1), Parameter::Number(1)],
        token: "another-workgroup-------------------".to_owned(),
        reuse_minutes_max: 0,
    };
    let id = judge.wait(first.start(&query)).unwrap();
    assert_eq!(judge.wait(second.look_up(&id)).unwrap(), None);
}

// What Athena refuses is refused here too, lest a query pass that could never run there.
#[test]
fn a_query_that_athena_would_not_take_fails() {
    let judge = Judge::ministack().unwrap();
    judge.wait(judge.sdk().s3().create_bucket().bucket("results").send()).unwrap();
    let ended = |statement: &str, parameters: &[&str]| {
        judge.wait(async {
            let athena = judge.sdk().athena();
            let results = ResultConfiguration::builder().output_location("s3://results/").build();
            let request =
                athena.start_query_execution().query_string(statement).result_configuration(results);
            let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
            let request = request.set_execution_parameters((!parameters.is_empty()).then_some(parameters));
            let id = request.send().await.unwrap().query_execution_id.unwrap();
            loop {
                let found = athena.get_query_execution().query_execution_id(&id).send().await.unwrap();
                let status = found.query_execution.unwrap().status.unwrap();
                match status.state.unwrap() {
                    QueryExecutionState::Queued | QueryExecutionState::Running => {}
                    QueryExecutionState::Succeeded => return Ok(()),
                    _ => return Err(status.state_change_reason.unwrap_or_default()),
                }
            }
        })
    };
    assert_eq!(ended("SELECT 1 WHERE ? = 'a'", &["'a'"]), Ok(()));
    for (statement, parameters, reason) in [
        ("SELECT 1 WHERE ? = 'a'", vec![], "expected 1 but found 0"),
        ("SELECT 1 WHERE ? = 'a'", vec!["'a'", "'b'"], "expected 1 but found 2"),
        ("SELECT ?", vec!["'a'"], "outside a WHERE clause"),
        ("SELECT 1 WHERE ? = 'a'", vec!["'a' OR 1 = 1"], "not a literal"),
        ("SELECT 1 WHERE ? = 'a'", vec!["'a'; SELECT 2"], "not a literal"),
        ("SELECT 1 WHERE ? = 'a'", vec!["(SELECT 'a')"], "not a literal"),
        ("SELECT 1 WHERE list_contains([1], 1", vec![], "Expecting )"),
        ("SELECT nothing FROM nowhere", vec![], "nowhere"),
    ] {
        let told = ended(statement, &parameters).unwrap_err();
        assert!(told.contains(reason), "{statement} {parameters:?}: {told}");
    }
}

#[test]
fn the_bus_on_eventbridge_conforms() {
    let judge = Judge::ministack().unwrap();
    judge.wait(async {
        let events = judge.sdk().eventbridge();
        events.create_event_bus().name("bus").send().await.unwrap();
        let inbox = Inbox::create(judge.sdk().sqs(), "everything").await.unwrap();
        let rule = events.put_rule().name("everything").event_bus_name("bus");
        rule.event_pattern(r#"{"source":[{"prefix":""}]}"#).send().await.unwrap();
        let target = Target::builder().id("queue").arn(inbox.arn()).build().unwrap();
        let targets = events.put_targets().rule("everything").event_bus_name("bus").targets(target);
        targets.send().await.unwrap();

        let bus = EventBridgeEventBus::new(events, "bus".to_owned());
        let arrived = async |event: &Outbound| {
            let detail: Value = serde_json::from_str(&event.detail).unwrap();
            let is_it = |message: &Message| {
                let body = body_of(message);
                let is_it = body["detail"] == detail
                    && body["detail-type"] == event.event_type.as_str()
                    && body["source"] == event.event_type.source();
                is_it.then_some(())
            };
            inbox.find(is_it).await.unwrap().is_some()
        };
        conformance::event_bus(&bus, arrived, judge.name()).await;
    });
}

// `conformance::event_bus_that_refuses` cannot be run here: MiniStack refuses no entry, however malformed, and reports
// success for a bus that does not exist. shared/aws/tests/wire.rs runs it.
#[test]
fn ministack_refuses_no_entry_of_an_event() {
    let judge = Judge::ministack().unwrap();
    let bus = EventBridgeEventBus::new(judge.sdk().eventbridge(), "never-created".to_owned());
    let arrived = async |_: &Outbound| true;
    judge.wait(conformance::event_bus(&bus, arrived, judge.name()));
}

#[test]
fn the_fulfilment_centre_on_sns_conforms() {
    let judge = Judge::ministack().unwrap();
    judge.wait(async {
        let topics = judge.sdk().sns();
        let topic = topics.create_topic().name("centre").send().await.unwrap().topic_arn.unwrap();
        let inbox = Inbox::create(judge.sdk().sqs(), "centre").await.unwrap();
        let subscription = topics.subscribe().topic_arn(&topic).protocol("sqs").endpoint(inbox.arn());
        subscription.send().await.unwrap();

        let centre = SnsFulfilmentCentre::new(topics, topic);
        let accepted = async |notice: &Notice| {
            let is_it = |message: &Message| {
                let body = body_of(message);
                let attribute = |name: &str| body["MessageAttributes"][name]["Value"].clone();
                let is_it = body["Message"] == notice.body
                    && attribute("kind") == notice.kind
                    && attribute("noticeId") == notice.notice_id
                    && attribute("orderId") == notice.order_id.as_str();
                is_it.then_some(())
            };
            inbox.find(is_it).await.unwrap().is_some()
        };
        conformance::fulfilment_centre(&centre, accepted, judge.name()).await;
    });
}

#[test]
fn the_quarantine_on_sqs_conforms() {
    let judge = Judge::ministack().unwrap();
    judge.wait(async {
        let inbox = Inbox::create(judge.sdk().sqs(), "quarantine").await.unwrap();
        let quarantine = SqsQuarantine::new(judge.sdk().sqs(), inbox.url().to_owned());
        let kept = async |quarantined: &Quarantined| {
            let is_it = |message: &Message| {
                let attributes = message.message_attributes.as_ref()?;
                let attribute = |name| attributes.get(name)?.string_value.clone();
                let found = Quarantined {
                    consumer: attribute("consumer")?,
                    reason_code: attribute("reasonCode")?,
                    reason: attribute("reason")?,
                    message_id: attribute("messageId")?,
                    receive_count: attribute("receiveCount")?.parse().ok()?,
                    attempt: attempt_carried(|name| attributes.get(name)?.string_value.as_deref()),
                    body: message.body.clone()?,
                };
                (found == *quarantined).then_some(())
            };
            inbox.find(is_it).await.unwrap().is_some()
        };
        conformance::quarantine(&quarantine, kept, judge.name()).await;
    });
}

#[test]
fn the_message_queue_on_sqs_conforms() {
    const MESSAGES: usize = 23;
    let judge = Judge::ministack().unwrap();
    judge.wait(async {
        let inbox = Inbox::create(judge.sdk().sqs(), "messages").await.unwrap();
        for number in 0..MESSAGES {
            let request = judge.sdk().sqs().send_message().queue_url(inbox.url());
            request.message_body(number.to_string()).send().await.unwrap();
        }
        let mut handles = BTreeMap::new();
        while handles.len() < MESSAGES {
            for message in inbox.receive().await.unwrap() {
                handles.insert(message.message_id.unwrap(), message.receipt_handle.unwrap());
            }
        }
        let queue = SqsMessageQueue::new(judge.sdk().sqs(), inbox.url().to_owned());
        let delivered_again = async || {
            let messages = inbox.receive().await.unwrap();
            messages.iter().map(|message| handles[message.message_id().unwrap()].clone()).collect()
        };
        let receipt_handles: Vec<String> = handles.values().cloned().collect();
        conformance::message_queue(&queue, &receipt_handles, delivered_again).await;
    });
}

#[test]
fn the_payment_tasks_on_step_functions_conform() {
    let judge = Judge::ministack().unwrap();
    judge.wait(async {
        let inbox = Inbox::create(judge.sdk().sqs(), "tokens").await.unwrap();
        let sfn = judge.sdk().sfn();
        let checkouts = Checkouts { client: sfn.clone(), inbox };
        let patient = checkouts.machine("patient", 600).await;
        let impatient = checkouts.machine("impatient", 1).await;
        let waiting = [checkouts.start(&patient).await, checkouts.start(&patient).await];
        let timed_out = checkouts.start(&impatient).await;
        assert_eq!(ended(&sfn, &timed_out).await.error(), Some("States.Timeout"));

        let tasks = PaymentTasksOfMiniStack {
            tasks: SfnPaymentTasks::new(sfn.clone()),
            client: sfn.clone(),
            waiting: &waiting,
        };
        let tokens = [waiting[0].token.as_str(), waiting[1].token.as_str()];
        conformance::payment_tasks(&tasks, tokens, &timed_out.token).await;

        let [succeeded, failed] = [ended(&sfn, &waiting[0]).await, ended(&sfn, &waiting[1]).await];
        let output: Value = serde_json::from_str(succeeded.output().unwrap()).unwrap();
        assert_eq!(output, json!({"eventId": "e-1", "paymentId": "pay-1"}));
        assert_eq!(failed.error(), Some("PaymentFailed"));
        let cause: Value = serde_json::from_str(failed.cause().unwrap()).unwrap();
        assert_eq!(cause, json!({"eventId": "e-1", "reason": "card_declined"}));
    });
}

// `conformance::payment_tasks_that_never_were` cannot be run here: MiniStack has one answer, TaskDoesNotExist, for a token
// that is used up and for one that was never given out. shared/aws/tests/wire.rs runs it.
#[test]
fn ministack_takes_any_text_for_a_task_token_that_is_used_up() {
    let judge = Judge::ministack().unwrap();
    let tasks = SfnPaymentTasks::new(judge.sdk().sfn());
    assert_eq!(judge.wait(tasks.succeed("never-a-token", "{}")).unwrap(), TaskReply::Gone);
    assert_eq!(judge.wait(tasks.fail("never-a-token", "error", "{}")).unwrap(), TaskReply::Gone);
}

/// State machines of one state, which waits for a task token.
struct Checkouts {
    client: aws_sdk_sfn::Client,
    inbox: Inbox,
}

#[derive(Debug)]
struct Checkout {
    execution: String,
    token: String,
}

impl Checkouts {
    async fn machine(&self, name: &str, timeout_s: u32) -> String {
        let wait = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {
                "QueueUrl": self.inbox.url(),
                "MessageBody": {"token.$": "$$.Task.Token", "execution.$": "$$.Execution.Id"},
            },
            "TimeoutSeconds": timeout_s,
            "End": true,
        });
        let definition = json!({"StartAt": "Wait", "States": {"Wait": wait}});
        let request = self.client.create_state_machine().name(name).definition(definition.to_string());
        let created = request.role_arn("arn:aws:iam::000000000000:role/checkout").send().await.unwrap();
        created.state_machine_arn
    }

    /// Starts one and waits for its token.
    async fn start(&self, machine: &str) -> Checkout {
        let started = self.client.start_execution().state_machine_arn(machine).send().await.unwrap();
        let execution = started.execution_arn;
        let token = |message: &Message| {
            let body = body_of(message);
            (body["execution"] == execution).then(|| body["token"].as_str().unwrap().to_owned())
        };
        let token = self.inbox.find(token).await.unwrap().unwrap();
        Checkout { execution, token }
    }
}

/// Waits for the end of a checkout.
async fn ended(client: &aws_sdk_sfn::Client, checkout: &Checkout) -> DescribeExecutionOutput {
    for _ in 0..3_000 {
        let request = client.describe_execution().execution_arn(&checkout.execution);
        let described = request.send().await.unwrap();
        if described.status != ExecutionStatus::Running {
            return described;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{checkout:?} goes on and on");
}

/// MiniStack takes a second answer to a token until its execution has taken up the first. So an answer that was taken
/// ends with the execution here.
struct PaymentTasksOfMiniStack<'a> {
    tasks: SfnPaymentTasks,
    client: aws_sdk_sfn::Client,
    waiting: &'a [Checkout],
}

impl PaymentTasksOfMiniStack<'_> {
    async fn once_taken_up(&self, token: &str, answer: TaskReply) -> TaskReply {
        if let Some(checkout) = self.waiting.iter().find(|checkout| checkout.token == token) {
            ended(&self.client, checkout).await;
        }
        answer
    }
}

impl PaymentTasks for PaymentTasksOfMiniStack<'_> {
    async fn succeed(&self, token: &str, output: &str) -> Result<TaskReply, PortError> {
        let answer = self.tasks.succeed(token, output).await?;
        Ok(self.once_taken_up(token, answer).await)
    }

    async fn fail(&self, token: &str, error: &str, cause: &str) -> Result<TaskReply, PortError> {
        let answer = self.tasks.fail(token, error, cause).await?;
        Ok(self.once_taken_up(token, answer).await)
    }
}

fn body_of(message: &Message) -> Value {
    serde_json::from_str(message.body().unwrap()).unwrap()
}
