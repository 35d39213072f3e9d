//! What AWS says on the wire and no emulator says: partial failures, throttling, conflicts, lost answers. A script on the
//! loopback interface answers as AWS documents it.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod scripted;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::{
    AthenaLakeQueries, AwsRedriveTargets, DynamoDbEventLedger, DynamoDbOrderStore, DynamoDbOrderViewStore,
    DynamoDbRedriveLedger, DynamoDbShipmentStore, DynamoDbStockStore, EventBridgeEventBus, S3EventLake,
    S3LakeObjects, S3QuarantineStore, SfnPaymentTasks, SnsFulfilmentCentre, SqsMessageQueue, SqsQuarantine,
};
use contracts::{EventType, Outbound, RecordedFact, kind_of_type};
use domain::{
    Attempt, Concerning, EventId, Fact, FactClass, Failure, OrderId, Quantity, QuarantineId, RedriveKey,
    RedriveReason, RedriveRecord, Reservation, Shipment, ShipmentDecision, Shortage, Sku, StockDecision,
    StockEnd, StockLine, Timestamp,
};
use ports::{
    AdmittedEvent, Commit, Decided, EventBus, EventLake, EventLedger, Execution, FactPlace, FulfilmentCentre,
    LakeObject, LakeObjects, LakeQueries, LakeQuery, MessageQueue, NewOrder, Notice, OrderStore,
    OrderViewStore, Parameter, PaymentTasks, PortError, Postponement, Quarantine, QuarantineStore,
    Quarantined, QueryId, QueryState, Redrive, RedriveLedger, RedriveTargets, Reserve, Retry, ShipmentStore,
    StockStore, Target, TaskReply, conformance,
};
use scripted::{Answer, Fate, ScriptedAws};
use serde_json::{Value, json};

/// How often the SDK makes a call that may succeed the next time.
const ATTEMPTS: usize = 3;

/// An instant, as Rust has it and as it is stored.
const AT: Timestamp = Timestamp::from_unix_ms(1_769_860_800_123);
const AT_STORED: &str = "2026-01-31T12:00:00.123Z";

// EventBridge
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

#[test]
fn entries_that_eventbridge_refuses_are_reported() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    let aws = ScriptedAws::start(move |_, request| {
        let request = request.json();
        let answer = |entry: &Value| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
            let id = detail["id"].as_str().unwrap().to_owned();
            if conformance::is_to_be_refused(&outbound(&id)) {
                return json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"});
            }
            kept.lock().unwrap().push(id);
            json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"})
        };
        let entries: Vec<Value> = request["Entries"].as_array().unwrap().iter().map(answer).collect();
        let failed = entries.iter().filter(|entry| entry["ErrorCode"].is_string()).count();
        Fate::Answered(Answer::json(&json!({"FailedEntryCount": failed, "Entries": entries})))
    });
    let bus = EventBridgeEventBus::new(aws.sdk().eventbridge(), "bus".to_owned());
    let arrived = async |event: &Outbound| taken.lock().unwrap().contains(&event.event_id.to_string());
    wait(conformance::event_bus_that_refuses(&bus, arrived, "wire"));
}

#[test]
fn an_entry_that_eventbridge_does_not_answer_for_was_not_taken() {
    let answer = json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]});
    let aws = ScriptedAws::that_always_answers(Answer::json(&answer));
    let bus = EventBridgeEventBus::new(aws.sdk().eventbridge(), "bus".to_owned());
    let answers = wait(bus.publish(&[outbound("e-1"), outbound("e-2")]));
    assert!(answers[0].is_ok());
    assert_retry(&answers[1], Retry::Transient);
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_call_that_eventbridge_refuses_fails_each_of_its_entries() {
    for (status, code, retry, attempts) in [
        (400, "ThrottlingException", Retry::Transient, ATTEMPTS),
        (500, "InternalException", Retry::Transient, ATTEMPTS),
        (400, "AccessDeniedException", Retry::Transient, 1),
        (400, "ValidationException", Retry::Permanent, 1),
    ] {
        let aws = ScriptedAws::that_always_answers(Answer::error(status, code));
        let bus = EventBridgeEventBus::new(aws.sdk().eventbridge(), "bus".to_owned());
        let answers = wait(bus.publish(&[outbound("e-1"), outbound("e-2")]));
        assert_eq!(answers.len(), 2, "{code}");
        answers.iter().for_each(|answer| assert_retry(answer, retry));
        assert_eq!(aws.requests().len(), attempts, "{code}");
    }
}

#[test]
fn an_event_that_eventbridge_refuses_to_take_back_is_not_taken_for_sent() {
    let refused = json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]});
    let aws = ScriptedAws::that_always_answers(Answer::json(&refused));
    let targets = redrive_targets(&aws);
    let key = RedriveKey::new("bus", "e-1");
    let body = r#"{"source":"orders","detail-type":"orders.order-cancelled.v1","detail":{"id":"e-1"}}"#;
    let redrive = Redrive { key: &key, attempt: Attempt { generation: 0, number: 3 }, body };
    assert_retry(&wait(targets.send(&Target::Bus, &redrive)), Retry::Transient);
    let entry = &aws.requests()[0].json()["Entries"][0];
    assert_eq!(
        (&entry["Detail"], &entry["Resources"]),
        (&json!(r#"{"id":"e-1"}"#), &json!(["orderbus-attempt=3"]))
    );
    // What is no event can never be put on a bus.
    let redrive = Redrive { key: &key, attempt: Attempt::default(), body: "text" };
    assert_retry(&wait(targets.send(&Target::Bus, &redrive)), Retry::Permanent);
}

// Athena
// https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html

const QUERY_ID: &str = "0b2c4f6e-1d3a-4b5c-8d7e-9f0a1b2c3d4e";

fn lake_queries(aws: &ScriptedAws) -> AthenaLakeQueries {
    AthenaLakeQueries::new(aws.sdk().athena(), "lake-api".to_owned(), "orderbus".to_owned())
}

#[test]
fn a_question_goes_to_athena_with_its_values_apart_from_it() {
    let aws = ScriptedAws::that_always_answers(Answer::json(&json!({"QueryExecutionId": QUERY_ID})));
    let query = LakeQuery {
        statement: "SELECT 1 WHERE ? = ? AND ? > ?",
        parameters: vec![
            Parameter::Text("it's'; DROP TABLE events --".to_owned()),
            Parameter::Number(-7),
            Parameter::Instant(AT),
            Parameter::Text(String::new()),
        ],
        token: "0123456789abcdef0123456789abcdef".to_owned(),
        reuse_minutes_max: 60,
    };
    let id = wait(lake_queries(&aws).start(&query)).unwrap();
    assert_eq!(id.as_str(), QUERY_ID);
    let expected = json!({
        "QueryString": "SELECT 1 WHERE ? = ? AND ? > ?",
        "ExecutionParameters": ["'it''s''; DROP TABLE events --'", "-7", "TIMESTAMP '2026-01-31 12:00:00.123'", "''"],
        "ClientRequestToken": "0123456789abcdef0123456789abcdeflake-api",
        "QueryExecutionContext": {"Database": "orderbus"},
        "WorkGroup": "lake-api",
        "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": true, "MaxAgeInMinutes": 60}},
    });
    assert_eq!(aws.requests()[0].json(), expected);

    let plain = LakeQuery { parameters: vec![], reuse_minutes_max: 0, ..query.clone() };
    wait(lake_queries(&aws).start(&plain)).unwrap();
    let sent = aws.requests()[1].json();
    assert!(sent.get("ExecutionParameters").is_none() && sent.get("ResultReuseConfiguration").is_none());

    // Athena takes no longer one.
    let long = LakeQuery { parameters: vec![Parameter::Text("x".repeat(1_023))], ..query };
    assert_retry(&wait(lake_queries(&aws).start(&long)).map(|_| ()), Retry::Permanent);
    assert_eq!(aws.requests().len(), 2);
}

#[test]
fn an_execution_is_known_only_where_it_was_started() {
    let execution = |workgroup: &str, state: &str, reason: &str, parameters: Value| {
        Answer::json(&json!({"QueryExecution": {
            "QueryExecutionId": QUERY_ID,
            "Query": "SELECT 1 WHERE ? = ?",
            "WorkGroup": workgroup,
            "Status": {"State": state, "StateChangeReason": reason},
            "ExecutionParameters": parameters,
        }}))
    };
    let values = || json!(["'it''s'", "5"]);
    let known = |state| {
        Some(Execution {
            statement: "SELECT 1 WHERE ? = ?".to_owned(),
            parameters: vec![Parameter::Text("it's".to_owned()), Parameter::Number(5)],
            state,
        })
    };
    for (answer, expected) in [
        (execution("lake-api", "QUEUED", "", values()), known(QueryState::Running)),
        (execution("lake-api", "RUNNING", "", values()), known(QueryState::Running)),
        (execution("lake-api", "SUCCEEDED", "", values()), known(QueryState::Succeeded)),
        (
            execution("lake-api", "FAILED", "HIVE_BAD_DATA: cannot read ada@example.com", values()),
            known(QueryState::Failed("HIVE_BAD_DATA".to_owned())),
        ),
        (
            execution("lake-api", "CANCELLED", "Bytes scanned limit was exceeded", values()),
            known(QueryState::TooLarge),
        ),
        (execution("primary", "SUCCEEDED", "", values()), None),
        (execution("lake-api", "SUCCEEDED", "", json!(["now()", "5"])), None),
        (Answer::error(400, "InvalidRequestException"), None),
        // Of another workgroup's executions lake-api may not hear.
        (Answer::error(400, "AccessDeniedException"), None),
    ] {
        let aws = ScriptedAws::that_always_answers(answer.clone());
        let id = QueryId::parse(QUERY_ID).unwrap();
        assert_eq!(wait(lake_queries(&aws).look_up(&id)).unwrap(), expected, "{answer:?}");
    }
    let aws = ScriptedAws::that_always_answers(Answer::error(400, "TooManyRequestsException"));
    let id = QueryId::parse(QUERY_ID).unwrap();
    assert_retry(&wait(lake_queries(&aws).look_up(&id)).map(|_| ()), Retry::Transient);
}

#[test]
fn rows_are_read_page_by_page_without_the_names_of_the_columns() {
    let row = |text: &str| json!({"Data": [{"VarCharValue": text}, {}]});
    let page = |rows: Vec<Value>, next: Option<&str>| {
        let columns = json!([{"Name": "id", "Type": "varchar"}, {"Name": "subject", "Type": "varchar"}]);
        let mut answer = json!({"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}});
        if let Some(next) = next {
            answer["NextToken"] = json!(next);
        }
        Fate::Answered(Answer::json(&answer))
    };
    let names = json!({"Data": [{"VarCharValue": "id"}, {"VarCharValue": "subject"}]});
    let script = vec![page(vec![names, row("a")], Some("more")), page(vec![row("b"), row("id")], None)];
    let aws = ScriptedAws::that_answers(script.clone());
    let id = QueryId::parse(QUERY_ID).unwrap();
    let rows = wait(lake_queries(&aws).rows(&id, 10)).unwrap();
    let value = |text: &str| vec![Some(text.to_owned()), None];
    assert_eq!(rows.columns, ["id", "subject"]);
    assert_eq!(rows.rows, [value("a"), value("b"), value("id")]);
    assert_eq!(aws.requests()[1].json()["NextToken"], "more");

    let aws = ScriptedAws::that_answers(script);
    assert_eq!(wait(lake_queries(&aws).rows(&id, 1)).unwrap().rows, [value("a")]);
    assert_eq!(aws.requests().len(), 1, "nothing is read that nobody asked for");
}

// Step Functions
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html

#[test]
fn a_checkout_that_was_started_before_is_started() {
    for (answer, expected) in [
        (Answer::error(400, "ExecutionAlreadyExists"), None),
        (Answer::error(400, "StateMachineDoesNotExist"), Some(Retry::Transient)),
        (Answer::error(400, "InvalidExecutionInput"), Some(Retry::Permanent)),
    ] {
        let aws = ScriptedAws::that_always_answers(answer);
        let key = RedriveKey::new("checkout", "e-1");
        let redrive = Redrive { key: &key, attempt: Attempt::default(), body: "{}" };
        let result = wait(redrive_targets(&aws).send(&Target::Checkout, &redrive));
        assert_eq!(result.map_err(|error| error.retry), expected.map_or(Ok(()), Err));
    }
}

fn redrive_targets(aws: &ScriptedAws) -> AwsRedriveTargets {
    AwsRedriveTargets {
        sqs: aws.sdk().sqs(),
        sfn: aws.sdk().sfn(),
        eventbridge: aws.sdk().eventbridge(),
        queue_urls: HashMap::new(),
        checkout_arn: "arn:aws:states:us-east-1:000000000000:stateMachine:checkout".to_owned(),
        bus_name: "bus".to_owned(),
    }
}

// SQS
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html

#[test]
fn messages_that_the_quarantine_queue_refuses_are_reported() {
    // SQS lists what failed apart from what did not, in no promised order.
    let aws = ScriptedAws::start(|_, request| {
        let request = request.json();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in request["Entries"].as_array().unwrap().iter().rev() {
            let id = entry["Id"].clone();
            if entry["MessageBody"].as_str().unwrap().starts_with("refused") {
                failed.push(json!({"Id": id, "Code": "InternalError", "SenderFault": false}));
            } else {
                let digest = "d41d8cd98f00b204e9800998ecf8427e";
                successful.push(json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": digest}));
            }
        }
        Fate::Answered(Answer::json(&json!({"Successful": successful, "Failed": failed})))
    });
    let quarantine = SqsQuarantine::new(aws.sdk().sqs(), "http://sqs/quarantine".to_owned());
    let refused = [0, 9, 10, 15, 22];
    let message = |number| quarantined(if refused.contains(&number) { "refused" } else { "taken" });
    let messages: Vec<Quarantined> = (0..23).map(message).collect();
    let answers = wait(quarantine.put(&messages));
    assert_eq!(answers.len(), messages.len());
    for (number, answer) in answers.iter().enumerate() {
        if refused.contains(&number) {
            assert_retry(answer, Retry::Transient);
        } else {
            assert!(answer.is_ok(), "{number}: {answer:?}");
        }
    }
}

#[test]
fn a_message_that_the_quarantine_queue_does_not_answer_for_was_not_taken() {
    let aws = ScriptedAws::that_always_answers(Answer::json(&json!({"Successful": [], "Failed": []})));
    let quarantine = SqsQuarantine::new(aws.sdk().sqs(), "http://sqs/quarantine".to_owned());
    let answers = wait(quarantine.put(&[quarantined("one"), quarantined("two")]));
    assert_eq!(answers.len(), 2);
    answers.iter().for_each(|answer| assert_retry(answer, Retry::Transient));
}

#[test]
fn a_postponement_that_sqs_refuses_is_reported_and_keeps_no_other_from_its_call() {
    let aws = ScriptedAws::start(|number, request| {
        let failed = json!({"Id": "3", "Code": "ReceiptHandleIsInvalid", "SenderFault": true});
        let failed = if number == 0 { vec![failed] } else { Vec::new() };
        assert_eq!(request.operation(), "ChangeMessageVisibilityBatch");
        Fate::Answered(Answer::json(&json!({"Successful": [], "Failed": failed})))
    });
    let queue = SqsMessageQueue::new(aws.sdk().sqs(), "http://sqs/messages".to_owned());
    let messages: Vec<Postponement> =
        (0..23).map(|number| Postponement { receipt_handle: format!("h-{number}"), delay_s: 60 }).collect();
    assert!(wait(queue.postpone(&messages)).is_err());
    let sent = aws.requests();
    let handles = sent.iter().flat_map(|request| request.json()["Entries"].as_array().unwrap().clone());
    assert_eq!(handles.count(), 23);
}

// DynamoDB
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html

#[test]
fn what_dynamodb_cannot_do_now_may_succeed_later() {
    for (status, code, retry, attempts) in [
        (400, "ProvisionedThroughputExceededException", Retry::Transient, ATTEMPTS),
        (400, "RequestLimitExceeded", Retry::Transient, ATTEMPTS),
        (400, "ThrottlingException", Retry::Transient, ATTEMPTS),
        (500, "InternalServerError", Retry::Transient, ATTEMPTS),
        (503, "ServiceUnavailable", Retry::Transient, ATTEMPTS),
        // A deployment mends these, and no message is to blame for it.
        (400, "AccessDeniedException", Retry::Transient, 1),
        (400, "ResourceNotFoundException", Retry::Transient, 1),
        (400, "ValidationException", Retry::Permanent, 1),
    ] {
        let aws = ScriptedAws::that_always_answers(Answer::error(status, code));
        let views = DynamoDbOrderViewStore::new(aws.sdk().dynamodb(), "views".to_owned());
        assert_retry(&wait(views.own_facts(&order_id())), retry);
        assert_eq!(aws.requests().len(), attempts, "{code}");
        let shipments = DynamoDbShipmentStore::new(aws.sdk().dynamodb(), "shipments".to_owned());
        assert_retry(&wait(shipments.bar(&order_id(), &by(&event_id()))), retry);
        let stock = DynamoDbStockStore::new(aws.sdk().dynamodb(), "stock".to_owned());
        assert_retry(&wait(stock.reserve(&order_id(), &lines(), &by(&event_id()))), retry);
        let events = DynamoDbEventLedger::new(aws.sdk().dynamodb(), "events".to_owned());
        assert_retry(&wait(events.admit("carrier", &event_id(), "payments", "hash", AT)), retry);
        assert_retry(&wait(events.note_published("carrier", &event_id(), AT)), retry);
    }
}

#[test]
fn a_fact_that_is_there_is_not_written_again() {
    let aws = ScriptedAws::that_answers(vec![
        Fate::ReplyLost,
        Fate::Answered(Answer::error(400, "ConditionalCheckFailedException")),
    ]);
    let views = DynamoDbOrderViewStore::new(aws.sdk().dynamodb(), "views".to_owned());
    wait(views.add(&order_id(), &moved("e-1"))).unwrap();
    let requests = aws.requests();
    assert_eq!(
        requests.iter().map(|request| request.operation()).collect::<Vec<_>>(),
        ["PutItem", "PutItem"]
    );
    let put = requests[0].json();
    assert_eq!(put["ConditionExpression"], "attribute_not_exists(order_id)");
    assert_eq!(put["Item"], stored_move("e-1"));
}

#[test]
fn the_facts_of_an_order_are_read_until_there_are_enough() {
    // A page of DynamoDB ends at 1 MB, with fewer items than were asked for, or none.
    let page = |ids: &[&str], last: Option<&str>| {
        let mut page = json!({"Items": ids.iter().map(|id| stored_move(id)).collect::<Vec<_>>()});
        if let Some(last) = last {
            page["LastEvaluatedKey"] =
                json!({"order_id": {"S": "o-1"}, "fact": {"S": format!("2#{last}")}, "by_time": {"S": last}});
        }
        Fate::Answered(Answer::json(&page))
    };
    let aws = ScriptedAws::that_answers(vec![
        page(&["e-4"], Some("1")),
        page(&[], Some("2")),
        page(&["e-3", "e-2", "e-1"], Some("3")),
        page(&["e-0"], None),
    ]);
    let views = DynamoDbOrderViewStore::new(aws.sdk().dynamodb(), "views".to_owned());
    let after = FactPlace { at: AT, identity: EventId::parse("e-9").unwrap() };
    let found = wait(views.outside_facts(&order_id(), Some(&after), 2)).unwrap();
    assert_eq!(found.facts, ["e-4", "e-3"].map(moved));
    assert_eq!(found.next, Some(FactPlace::of(&moved("e-3"))));
    let requests = aws.requests();
    assert_eq!(requests.len(), 3, "the rest is not asked for");
    let query = requests[0].json();
    assert_eq!((&query["IndexName"], &query["Limit"]), (&json!("by-time"), &json!(3)));
    assert_eq!((&query["ScanIndexForward"], &query["ConsistentRead"]), (&json!(false), &Value::Null));
    assert_eq!(query["ExpressionAttributeValues"][":after"], json!({"S": format!("{AT_STORED}#e-9")}));

    let aws = ScriptedAws::that_answers(vec![page(&["e-1"], Some("1")), page(&["e-2"], None)]);
    let views = DynamoDbOrderViewStore::new(aws.sdk().dynamodb(), "views".to_owned());
    assert_eq!(wait(views.own_facts(&order_id())).unwrap(), ["e-1", "e-2"].map(moved));
    for query in aws.requests().iter().map(|request| request.json()) {
        assert_eq!((&query["ConsistentRead"], &query["IndexName"]), (&json!(true), &Value::Null));
        let values = json!({":order": {"S": "o-1"}, ":class": {"S": "0#"}});
        assert_eq!(query["ExpressionAttributeValues"], values);
    }
}

#[test]
fn a_fact_that_is_not_as_it_was_stored_is_reported() {
    let changes: [(&str, Value); 5] = [
        ("fact", json!({"S": "7#e-1"})),
        ("event_type", json!({"S": "shipping.unknown.v1"})),
        ("at", json!({"S": "yesterday"})),
        ("caused_by", json!({"S": ""})),
        ("details", json!({"S": "{"})),
    ];
    for (name, value) in changes {
        let mut item = stored_move("e-1");
        item[name] = value;
        let aws = ScriptedAws::that_always_answers(Answer::json(&json!({"Items": [item]})));
        let views = DynamoDbOrderViewStore::new(aws.sdk().dynamodb(), "views".to_owned());
        assert_retry(&wait(views.own_facts(&order_id())), Retry::Permanent);
    }
}

/// That a parcel moved.
fn moved(identity: &str) -> RecordedFact {
    let event_type = EventType::DeliveryStatusChanged;
    let fact = Fact {
        identity: EventId::parse(identity).unwrap(),
        event_id: EventId::parse("carriers-own").unwrap(),
        kind: kind_of_type(event_type).unwrap(),
        class: FactClass::Outside,
        at: AT,
        caused_by: Some(event_id()),
    };
    RecordedFact { fact, event_type, details: json!({"status": "in_transit"}) }
}

/// The item of [`moved`].
fn stored_move(identity: &str) -> Value {
    json!({
        "order_id": {"S": "o-1"},
        "fact": {"S": format!("2#{identity}")},
        "by_time": {"S": format!("{AT_STORED}#{identity}")},
        "event_type": {"S": "shipping.delivery-status-changed.v1"},
        "event_id": {"S": "carriers-own"},
        "at": {"S": AT_STORED},
        "caused_by": {"S": event_id().as_str()},
        "details": {"S": r#"{"status":"in_transit"}"#},
    })
}

#[test]
fn a_transaction_in_the_way_of_an_update_passes() {
    let aws = ScriptedAws::that_always_answers(Answer::error(400, "TransactionConflictException"));
    let stock = DynamoDbStockStore::new(aws.sdk().dynamodb(), "stock".to_owned());
    assert_retry(&wait(stock.bar(&order_id(), &by(&event_id()))), Retry::Transient);
}

#[test]
fn the_sdks_retry_of_an_update_meets_its_own_write() {
    let own = json!({"Item": {
        "order_id": {"S": "o-1"},
        "decision": {"S": "barred"},
        "decided_by": {"S": "e-1"},
        "decided_at": {"S": AT_STORED},
    }});
    let aws = ScriptedAws::that_answers(vec![
        Fate::ReplyLost,
        Fate::Answered(Answer::error_with(400, "ConditionalCheckFailedException", own)),
    ]);
    let shipments = DynamoDbShipmentStore::new(aws.sdk().dynamodb(), "shipments".to_owned());
    let stands = Shipment {
        decision: ShipmentDecision::Barred,
        decided_by: event_id(),
        decided_at: AT,
        closing: None,
    };
    let answer = wait(shipments.bar(&order_id(), &by(&event_id()))).unwrap();
    assert_eq!(answer, Commit::Existing(stands), "its own write: whoever decided it publishes again");
    let requests = aws.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].json(), requests[1].json());
}

#[test]
fn the_sdks_retry_of_an_admission_meets_its_own_write() {
    let own = json!({"Item": {
        "event_id": {"S": "carrier:e-1"},
        "event_source": {"S": "payments"},
        "fingerprint": {"S": "hash"},
        "admitted_at": {"S": AT_STORED},
    }});
    let aws = ScriptedAws::that_answers(vec![
        Fate::ReplyLost,
        Fate::Answered(Answer::error_with(400, "ConditionalCheckFailedException", own)),
    ]);
    let events = DynamoDbEventLedger::new(aws.sdk().dynamodb(), "events".to_owned());
    let stands = AdmittedEvent {
        source: "payments".to_owned(),
        fingerprint: "hash".to_owned(),
        admitted_at: AT,
        published_at: None,
    };
    let answer = wait(events.admit("carrier", &event_id(), "payments", "hash", AT)).unwrap();
    assert_eq!(answer, Commit::Existing(stands), "its own write, which nobody has published yet");
    assert_eq!(aws.requests()[0].json()["Key"], json!({"event_id": {"S": "carrier:e-1"}}));
}

#[test]
fn the_sdks_retry_of_a_count_meets_its_own_write_and_counts_once() {
    let key = RedriveKey::new("order-placed", "e-1");
    let failure = Failure {
        attempt: Attempt { generation: 1, number: 2 },
        at: AT,
        due_at: AT,
        reason: RedriveReason { code: "deliveries_exhausted".to_owned(), text: "it failed".to_owned() },
        concerning: Concerning { consumer: "order-placed".to_owned(), ..Concerning::default() },
    };
    let own = json!({"Item": {
        "pk": {"S": "order-placed#e-1"},
        "generation": {"N": "1"},
        "attempts": {"N": "2"},
        "state": {"S": "waiting"},
        "first_failed_at": {"S": AT_STORED},
        "last_failed_at": {"S": AT_STORED},
        "due_at": {"S": AT_STORED},
        "reason_code": {"S": "deliveries_exhausted"},
        "reason": {"S": "it failed"},
        "consumer": {"S": "order-placed"},
        "expires_at": {"N": "1804420800"},
    }});
    let aws = ScriptedAws::that_answers(vec![
        Fate::ReplyLost,
        Fate::Answered(Answer::error_with(400, "ConditionalCheckFailedException", own)),
    ]);
    let ledger = DynamoDbRedriveLedger::new(aws.sdk().dynamodb(), "ledger".to_owned());
    let record = wait(ledger.count(&key, &failure)).unwrap();
    assert_eq!(record, RedriveRecord::begin(key, &failure));
}

#[test]
fn the_sdks_retry_of_taking_an_order_in_meets_its_own_write() {
    let order = NewOrder {
        order_id: order_id(),
        request_hash: "0af7".to_owned(),
        placed_at: AT,
        traceparent: Some("00-0af7-b7ad-01".to_owned()),
    };
    let own = json!({"Item": {
        "order_id": {"S": "o-1"},
        "request_hash": {"S": "0af7"},
        "placed_at": {"S": AT_STORED},
        "traceparent": {"S": "00-0af7-b7ad-01"},
    }});
    let aws = ScriptedAws::that_answers(vec![
        Fate::ReplyLost,
        Fate::Answered(Answer::error_with(400, "ConditionalCheckFailedException", own)),
    ]);
    let orders = DynamoDbOrderStore::new(aws.sdk().dynamodb(), "orders".to_owned());
    assert_eq!(wait(orders.open(&order)).unwrap(), Commit::Existing(order));
}

#[test]
fn the_sdks_retry_of_a_transaction_is_the_same_transaction() {
    let aws = ScriptedAws::that_answers(vec![Fate::ReplyLost, Fate::Answered(Answer::json(&json!({})))]);
    assert_eq!(wait(reserve(&aws)).unwrap(), Reserve::Reserved);
    let tokens = tokens(&aws);
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1], "DynamoDB applies what has one token once");
}

#[test]
fn a_reservation_that_is_there_is_found_in_the_reasons() {
    let own = json!({"Code": "ConditionalCheckFailed", "Item": {
        "pk": {"S": "reservation#o-1"},
        "decision": {"S": "barred"},
        "decided_by": {"S": "e-1"},
        "decided_at": {"S": AT_STORED},
    }});
    let stands = Reservation {
        decision: StockDecision::Barred,
        decided_by: event_id(),
        decided_at: AT,
        closing: None,
    };
    // Whatever is short besides.
    for of_line in [json!({"Code": "None"}), json!({"Code": "ConditionalCheckFailed"})] {
        let aws =
            ScriptedAws::that_always_answers(cancelled(&[own.clone(), json!({"Code": "None"}), of_line]));
        assert_eq!(wait(reserve(&aws)).unwrap(), Reserve::Existing(stands.clone()));
        assert_eq!(aws.requests().len(), 1);
        assert_eq!(wait(close(&aws)).unwrap(), Commit::Existing(stands.clone()));
    }
}

#[test]
fn the_lines_that_are_short_are_found_in_the_reasons() {
    let none = json!({"Code": "None"});
    let stock = json!({"pk": {"S": "stock#mug"}, "available": {"N": "1"}, "reserved": {"N": "0"}});
    let one_left = json!({"Code": "ConditionalCheckFailed", "Item": stock});
    let unknown = json!({"Code": "ConditionalCheckFailed"});
    let short = |line: usize, available| {
        let StockLine { sku, quantity: requested } = lines()[line].clone();
        Shortage { sku, requested, available }
    };
    for (reasons, expected) in [
        ([none.clone(), one_left.clone(), none.clone()], vec![short(0, 1)]),
        ([none.clone(), none.clone(), unknown.clone()], vec![short(1, 0)]),
        ([none.clone(), one_left, unknown], vec![short(0, 1), short(1, 0)]),
    ] {
        let aws = ScriptedAws::that_always_answers(cancelled(&reasons));
        assert_eq!(wait(reserve(&aws)).unwrap(), Reserve::Short(expected));
        assert_eq!(aws.requests().len(), 1);
    }
}

#[test]
fn a_transaction_that_others_were_in_the_way_of_is_tried_again_as_a_new_one() {
    let none = json!({"Code": "None"});
    let refused = json!({"Code": "ConditionalCheckFailed"});
    for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        // A condition that did not hold beside a conflict may hold once the other transaction is through.
        for reasons in [[&none, &none], [&none, &refused], [&refused, &none]] {
            let [first, second] = reasons.map(Clone::clone);
            let in_the_way = cancelled(&[first, json!({"Code": code}), second]);
            let committed = Fate::Answered(Answer::json(&json!({})));
            let aws = ScriptedAws::that_answers(vec![Fate::Answered(in_the_way), committed]);
            assert_eq!(wait(reserve(&aws)).unwrap(), Reserve::Reserved, "{code}");
            let tokens = tokens(&aws);
            assert_eq!(tokens.len(), 2);
            assert_ne!(tokens[0], tokens[1], "{code}");
        }
    }
}

#[test]
fn a_transaction_that_others_are_always_in_the_way_of_may_succeed_later() {
    let conflict = json!({"Code": "TransactionConflict"});
    let aws =
        ScriptedAws::that_always_answers(cancelled(&[json!({"Code": "None"}), conflict.clone(), conflict]));
    assert_retry(&wait(reserve(&aws)), Retry::Transient);
    assert!(aws.requests().len() > 1);
}

#[test]
fn a_transaction_that_can_never_be_carried_out_is_not_tried_again() {
    for code in ["ValidationError", "ItemCollectionSizeLimitExceeded"] {
        let reasons = [json!({"Code": "None"}), json!({"Code": code}), json!({"Code": "None"})];
        let aws = ScriptedAws::that_always_answers(cancelled(&reasons));
        assert_retry(&wait(reserve(&aws)), Retry::Permanent);
        assert_retry(&wait(close(&aws)), Retry::Permanent);
        assert_eq!(aws.requests().len(), 2, "{code}");
    }
}

#[test]
fn a_transaction_without_reasons_may_succeed_later() {
    for fate in [
        Answer::error(400, "TransactionInProgressException"),
        Answer::error(400, "IdempotentParameterMismatchException"),
    ] {
        let aws = ScriptedAws::that_always_answers(fate);
        assert_retry(&wait(reserve(&aws)), Retry::Transient);
    }
}

// S3
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

/// The checksum of the object that the tests write.
const OBJECT_CRC32: &str = "qK2r7A==";

#[test]
fn an_object_is_written_under_the_condition_that_there_is_none_and_with_a_checksum() {
    let aws = ScriptedAws::that_always_answers(Answer::xml(200, ""));
    assert_eq!(wait(write_object(&aws)).unwrap(), Commit::Written);
    let requests = aws.requests();
    assert_eq!(requests[0].header("if-none-match"), Some("*"));
    assert_eq!(requests[0].header("x-amz-checksum-crc32"), Some(OBJECT_CRC32));
}

#[test]
fn an_object_that_is_there_is_success() {
    let taken = Fate::Answered(s3_error(412, "PreconditionFailed"));
    let stands =
        Fate::Answered(Answer::xml(200, "").with_header("x-amz-checksum-crc32", OBJECT_CRC32.to_owned()));
    // At the first attempt, and when the SDK's retry meets its own object.
    for mut fates in [vec![taken.clone()], vec![Fate::ReplyLost, taken.clone()]] {
        fates.push(stands.clone());
        let calls = fates.len();
        let aws = ScriptedAws::that_answers(fates);
        assert_eq!(wait(write_object(&aws)).unwrap(), Commit::Existing(()));
        let requests = aws.requests();
        assert_eq!(requests.len(), calls);
        let compares = &requests[calls - 1];
        assert_eq!((compares.method(), compares.header("x-amz-checksum-mode")), ("HEAD", Some("ENABLED")));
    }
}

#[test]
fn another_object_under_the_key_is_no_success() {
    let taken = Fate::Answered(s3_error(412, "PreconditionFailed"));
    for checksum in [Some("another"), None] {
        let head = match checksum {
            Some(checksum) => Answer::xml(200, "").with_header("x-amz-checksum-crc32", checksum.to_owned()),
            None => Answer::xml(200, ""),
        };
        let write = |stands: &str| {
            let fates =
                vec![taken.clone(), Fate::Answered(head.clone()), Fate::Answered(Answer::xml(200, stands))];
            let aws = ScriptedAws::that_answers(fates);
            let answer = wait(write_object(&aws));
            assert_eq!(aws.requests().len(), 3);
            answer
        };
        assert_retry(&write("something else"), Retry::Permanent);
        // One that was brought back has another kind of checksum, and is the same.
        assert_eq!(write("object").unwrap(), Commit::Existing(()));
    }
}

#[test]
fn an_object_that_cannot_be_compared_is_not_taken_for_there() {
    let aws = ScriptedAws::that_answers(vec![
        Fate::Answered(s3_error(412, "PreconditionFailed")),
        Fate::Answered(Answer::xml(403, "")),
    ]);
    assert_retry(&wait(write_object(&aws)), Retry::Transient);
}

#[test]
fn an_object_whose_key_another_write_holds_is_written_again_after_a_pause() {
    let held = Fate::Answered(s3_error(409, "ConditionalRequestConflict"));
    let written = Fate::Answered(Answer::xml(200, ""));
    let aws = ScriptedAws::that_answers(vec![held.clone(), held.clone(), written]);
    assert_eq!(wait(write_object(&aws)).unwrap(), Commit::Written);
    let requests = aws.requests();
    assert!(requests.len() == 3 && requests.iter().all(|request| request.body() == b"object"));

    let aws = ScriptedAws::that_answers(vec![held]);
    assert_retry(&wait(write_object(&aws)), Retry::Transient);
    assert_eq!(aws.requests().len(), 4, "not for ever");
}

#[test]
fn an_object_that_s3_cannot_take_now_may_be_taken_later() {
    for (status, code, retry) in [
        (503, "SlowDown", Retry::Transient),
        (500, "InternalError", Retry::Transient),
        (403, "AccessDenied", Retry::Transient),
        (404, "NoSuchBucket", Retry::Transient),
        (400, "EntityTooLarge", Retry::Permanent),
    ] {
        let aws = ScriptedAws::that_always_answers(s3_error(status, code));
        assert_retry(&wait(write_object(&aws)), retry);
    }
}

/// 24 MB at 5 MB a second: longer than an attempt may take otherwise, and no longer than so many bytes may.
#[test]
fn an_upload_may_take_as_long_as_its_size_needs() {
    let aws = ScriptedAws::that_reads_slowly(5 << 20, Answer::xml(200, ""));
    let lake = S3EventLake::new(aws.sdk_of_a_function().s3(), "lake".to_owned());
    let object = LakeObject { body: vec![7; 24 << 20], ..object() };
    assert_eq!(wait(lake.write_once(object)).unwrap(), Commit::Written);
    assert_eq!(aws.requests().len(), 1, "at the first attempt");
}

/// A page of a thousand keys may stand behind many delete markers, and a thousand removals are one call.
#[test]
fn a_listing_and_a_removal_may_take_longer_than_other_calls() {
    let pause = Duration::from_secs(4);
    for body in ["<ListBucketResult></ListBucketResult>", "<DeleteResult></DeleteResult>"] {
        let aws = ScriptedAws::that_answers(vec![Fate::AnsweredLate(pause, Answer::xml(200, body))]);
        let objects = S3LakeObjects::new(aws.sdk_of_a_function().s3(), "lake".to_owned());
        if body.starts_with("<List") {
            assert_eq!(wait(objects.list("events/")).unwrap(), []);
        } else {
            wait(objects.remove(&["events/a".to_owned()])).unwrap();
        }
        assert_eq!(aws.requests().len(), 1, "at the first attempt");
    }
}

/// S3 says that an object is missing only to those who may list the bucket; to others it is forbidden
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>).
#[test]
fn an_object_that_may_not_be_read_is_not_taken_for_missing() {
    for (status, code, is_missing) in
        [(404, "NoSuchKey", true), (403, "AccessDenied", false), (404, "NoSuchBucket", false)]
    {
        let aws = ScriptedAws::that_always_answers(s3_error(status, code));
        let objects = S3LakeObjects::new(aws.sdk().s3(), "lake".to_owned());
        let quarantine = S3QuarantineStore::new(aws.sdk().s3(), "quarantine".to_owned());
        let id = QuarantineId::parse("0190b3a4-0000-5000-8000-000000000000").unwrap();
        let (read, found) = (wait(objects.read("events/a", None)), wait(quarantine.find(&id)));
        if is_missing {
            assert_eq!((read.unwrap(), found.unwrap()), (None, None));
        } else {
            assert_retry(&read, Retry::Transient);
            assert_retry(&found, Retry::Transient);
        }
    }
}

// Step Functions
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html

#[test]
fn a_token_that_was_never_one_is_refused_for_good() {
    let aws = ScriptedAws::that_always_answers(Answer::error(400, "InvalidToken"));
    let tasks = SfnPaymentTasks::new(aws.sdk().sfn());
    wait(conformance::payment_tasks_that_never_were(&tasks));
}

#[test]
fn an_answer_that_comes_too_late_finds_its_task_gone() {
    for code in ["TaskTimedOut", "TaskDoesNotExist"] {
        let gone = Fate::Answered(Answer::error(400, code));
        // When the SDK's retry meets its own answer, too.
        for fates in [vec![gone.clone()], vec![Fate::ReplyLost, gone]] {
            let tasks = |aws: &ScriptedAws| SfnPaymentTasks::new(aws.sdk().sfn());
            let aws = ScriptedAws::that_answers(fates.clone());
            assert_eq!(wait(tasks(&aws).succeed("token", "{}")).unwrap(), TaskReply::Gone, "{code}");
            let aws = ScriptedAws::that_answers(fates);
            assert_eq!(wait(tasks(&aws).fail("token", "E", "{}")).unwrap(), TaskReply::Gone, "{code}");
        }
    }
}

#[test]
fn an_answer_that_step_functions_cannot_take_now_may_be_taken_later() {
    for (status, code, retry) in [
        (400, "ThrottlingException", Retry::Transient),
        (500, "InternalFailure", Retry::Transient),
        (400, "AccessDeniedException", Retry::Transient),
        (400, "InvalidOutput", Retry::Permanent),
        (400, "ValidationException", Retry::Permanent),
    ] {
        let aws = ScriptedAws::that_always_answers(Answer::error(status, code));
        let tasks = SfnPaymentTasks::new(aws.sdk().sfn());
        assert_retry(&wait(tasks.succeed("token", "{}")), retry);
        assert_retry(&wait(tasks.fail("token", "E", "{}")), retry);
    }
}

// SNS
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html

#[test]
fn a_notice_that_sns_does_not_take_is_reported() {
    for (status, code, retry) in [
        (429, "Throttled", Retry::Transient),
        (500, "InternalError", Retry::Transient),
        (403, "AuthorizationError", Retry::Transient),
        (404, "NotFound", Retry::Transient),
        (400, "InvalidParameter", Retry::Permanent),
    ] {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error>");
        let body = format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>");
        let aws = ScriptedAws::that_always_answers(Answer::xml(status, &body));
        assert_retry(&wait(tell(&aws)), retry);
    }
}

#[test]
fn a_notice_whose_answer_is_lost_is_sent_again() {
    let result = "<PublishResult><MessageId>m</MessageId></PublishResult>";
    let body = format!("<PublishResponse>{result}</PublishResponse>");
    let aws = ScriptedAws::that_answers(vec![Fate::ReplyLost, Fate::Answered(Answer::xml(200, &body))]);
    wait(tell(&aws)).unwrap();
    assert_eq!(aws.requests().len(), 2);
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[track_caller]
fn assert_retry<T: std::fmt::Debug>(answer: &Result<T, PortError>, retry: Retry) {
    let error = answer.as_ref().unwrap_err();
    assert_eq!(error.retry, retry, "{error}: {:?}", error.source().map(ToString::to_string));
}

fn outbound(id: &str) -> Outbound {
    Outbound {
        event_type: EventType::OrderCancelled,
        event_id: EventId::parse(id).unwrap(),
        detail: json!({"id": id}).to_string(),
    }
}

fn quarantined(body: &str) -> Quarantined {
    Quarantined {
        consumer: "wire".to_owned(),
        reason_code: "not_json".to_owned(),
        reason: "the message is not JSON".to_owned(),
        message_id: "m-1".to_owned(),
        receive_count: 1,
        attempt: Attempt::default(),
        body: body.to_owned(),
    }
}

fn order_id() -> OrderId {
    OrderId::parse("o-1").unwrap()
}

fn event_id() -> EventId {
    EventId::parse("e-1").unwrap()
}

fn by(event_id: &EventId) -> Decided<'_> {
    Decided { by: event_id, at: AT }
}

fn lines() -> [StockLine; 2] {
    let quantity = Quantity::new(2).unwrap();
    ["mug", "pot"].map(|sku| StockLine { sku: Sku::parse(sku).unwrap(), quantity })
}

async fn reserve(aws: &ScriptedAws) -> Result<Reserve, PortError> {
    let store = DynamoDbStockStore::new(aws.sdk().dynamodb(), "stock".to_owned());
    store.reserve(&order_id(), &lines(), &by(&event_id())).await
}

async fn close(aws: &ScriptedAws) -> Result<Commit<Reservation>, PortError> {
    let store = DynamoDbStockStore::new(aws.sdk().dynamodb(), "stock".to_owned());
    store.close(&order_id(), StockEnd::Released, &lines(), &by(&event_id())).await
}

fn cancelled(reasons: &[Value]) -> Answer {
    Answer::error_with(400, "TransactionCanceledException", json!({"CancellationReasons": reasons}))
}

/// The tokens by which DynamoDB recognises a transaction.
fn tokens(aws: &ScriptedAws) -> Vec<String> {
    let token =
        |request: &scripted::Request| request.json()["ClientRequestToken"].as_str().unwrap().to_owned();
    aws.requests().iter().map(token).collect()
}

async fn write_object(aws: &ScriptedAws) -> Result<Commit<()>, PortError> {
    let lake = S3EventLake::new(aws.sdk().s3(), "lake".to_owned());
    lake.write_once(object()).await
}

fn object() -> LakeObject {
    LakeObject {
        key: "events/object.json.zst".to_owned(),
        body: b"object".to_vec(),
        content_type: "application/json",
        content_encoding: None,
    }
}

fn s3_error(status: u16, code: &str) -> Answer {
    Answer::xml(status, &format!("<Error><Code>{code}</Code><Message>as recorded</Message></Error>"))
}

async fn tell(aws: &ScriptedAws) -> Result<(), PortError> {
    let topic = "arn:aws:sns:us-east-1:000000000000:centre";
    let centre = SnsFulfilmentCentre::new(aws.sdk().sns(), topic.to_owned());
    let notice =
        Notice { kind: "ship", notice_id: "n-1".to_owned(), order_id: order_id(), body: "{}".to_owned() };
    centre.tell(&notice).await
}
