//! Where MiniStack and AWS's own DynamoDB Local are asked the same, and what each of them says: the table of
//! docs/conformance.md, which fails here when one of them changes its mind.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use orderbus::{http, repository};
use serde_json::{Value, json};
use stack_tests::Judge;

const TABLE: &str = "probes";

/// A question, and how it is put.
type Probe = (&'static str, fn(&Dynamo) -> String);

const PROBES: &[Probe] = &[
    ("A transaction whose first and third condition fail, asked for the items", |dynamo| {
        dynamo.put(&item("a", 1));
        dynamo.put(&item("c", 3));
        dynamo.transact(&[refused_put("a"), put(&item("b", 2)), refused_put("c")])
    }),
    ("A transaction whose condition fails, not asked for the item", |dynamo| {
        dynamo.put(&item("a", 1));
        let mut action = refused_put("a");
        action["Put"].as_object_mut().unwrap().remove("ReturnValuesOnConditionCheckFailure");
        dynamo.transact(&[action])
    }),
    ("A transaction whose condition fails on an item that does not exist, asked for it", |dynamo| {
        dynamo.transact(&[update("unknown", "SET n = n - :v", "n >= :v", 1)])
    }),
    ("An update whose condition fails on an item that does not exist, asked for it", |dynamo| {
        dynamo.ask("UpdateItem", update("unknown", "SET n = :v", "n = :v", 1)["Update"].clone())
    }),
    ("One item in two actions of a transaction, whose conditions hold", |dynamo| {
        dynamo.put(&item("a", 5));
        let take = update("a", "SET n = n - :v", "n >= :v", 1);
        format!("{}; n = {}", dynamo.transact(&[take.clone(), take]), dynamo.number("a"))
    }),
    ("One item in two actions of a transaction, of which one's condition fails", |dynamo| {
        dynamo.put(&item("a", 5));
        let take = |count| update("a", "SET n = n - :v", "n >= :v", count);
        format!("{}; n = {}", dynamo.transact(&[take(3), take(9)]), dynamo.number("a"))
    }),
    ("One item in a put and a condition check of a transaction", |dynamo| {
        dynamo.put(&item("a", 5));
        let check = json!({"ConditionCheck": {
            "TableName": TABLE,
            "Key": {"pk": {"S": "a"}},
            "ConditionExpression": "attribute_exists(pk)",
        }});
        dynamo.transact(&[check, put(&item("a", 1))])
    }),
    ("A transaction of 100 actions", |dynamo| dynamo.transact(&puts(100))),
    ("A transaction of 101 actions", |dynamo| dynamo.transact(&puts(101))),
    ("A transaction of no action", |dynamo| dynamo.transact(&[])),
    ("A transaction of 4.6 MB", |dynamo| {
        let actions = (0..12).map(|number| put(&large_item(&format!("l-{number}"), 390 * 1024)));
        dynamo.transact(&actions.collect::<Vec<_>>())
    }),
    ("An item of 399 KB", |dynamo| dynamo.put(&large_item("large", 399 * 1024))),
    ("An item of 401 KB", |dynamo| dynamo.put(&large_item("large", 401 * 1024))),
    ("An item of 401 KB in a transaction", |dynamo| {
        dynamo.transact(&[put(&large_item("large", 401 * 1024))])
    }),
    ("An update that makes an item larger than 400 KB", |dynamo| {
        dynamo.put(&large_item("large", 300 * 1024));
        dynamo.set("large", &json!({"S": "x".repeat(200 * 1024)}))
    }),
    ("An empty text", |dynamo| dynamo.set("a", &json!({"S": ""}))),
    ("An empty text as a key", |dynamo| dynamo.put(&item("", 1))),
    ("An empty set", |dynamo| dynamo.set("a", &json!({"SS": []}))),
    ("The number 007.50", |dynamo| dynamo.stored(&json!({"N": "007.50"}))),
    ("The number 1e2", |dynamo| dynamo.stored(&json!({"N": "1e2"}))),
    ("The number 18446744073709551615", |dynamo| dynamo.stored(&json!({"N": u64::MAX.to_string()}))),
    ("A number of 38 digits", |dynamo| dynamo.set("a", &json!({"N": "9".repeat(38)}))),
    ("A number of 39 digits", |dynamo| dynamo.set("a", &json!({"N": "9".repeat(39)}))),
    ("The same transaction with the same token again", |dynamo| {
        dynamo.put(&item("a", 1));
        let count = || {
            let action = update("a", "SET n = n + :v", "n >= :v", 1);
            dynamo.ask("TransactWriteItems", json!({"ClientRequestToken": "t-1", "TransactItems": [action]}))
        };
        format!("{}, then {}; n = {}", count(), count(), dynamo.number("a"))
    }),
    ("Another transaction with the same token", |dynamo| {
        let put_with_token = |key| {
            let actions = [put(&item(key, 1))];
            dynamo.ask("TransactWriteItems", json!({"ClientRequestToken": "t-2", "TransactItems": actions}))
        };
        format!("{}, then {}", put_with_token("a"), put_with_token("b"))
    }),
    ("A cancelled transaction with the same token again, when its condition holds", |dynamo| {
        dynamo.put(&item("a", 1));
        let take = || {
            let action = update("a", "SET n = n - :v", "n >= :v", 5);
            dynamo.ask("TransactWriteItems", json!({"ClientRequestToken": "t-3", "TransactItems": [action]}))
        };
        let first = take();
        dynamo.put(&item("a", 5));
        format!("{first}, then {}; n = {}", take(), dynamo.number("a"))
    }),
    ("50 writers in one item's transactions, four each: what is said besides done", |dynamo| {
        dynamo.put(&item("a", 1));
        let write = || {
            let action = update("a", "SET n = n + :v", "n >= :v", 1);
            (0..4).map(|_| dynamo.transact(std::slice::from_ref(&action))).collect::<Vec<_>>()
        };
        let answers: BTreeSet<String> = thread::scope(|scope| {
            let writers: Vec<_> = (0..50).map(|_| scope.spawn(write)).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let besides: Vec<String> = answers.into_iter().filter(|answer| answer != "done").collect();
        let besides = if besides.is_empty() { "nothing".to_owned() } else { besides.join(", ") };
        format!("{besides}; n = {}", dynamo.number("a"))
    }),
    ("`if_not_exists` of an attribute that the same update sets", |dynamo| {
        dynamo.ask(
            "UpdateItem",
            json!({
                "TableName": TABLE,
                "Key": {"pk": {"S": "new"}},
                "UpdateExpression": "SET n = if_not_exists(n, :one), m = if_not_exists(n, :two)",
                "ExpressionAttributeValues": {":one": {"N": "1"}, ":two": {"N": "2"}},
                "ReturnValues": "UPDATED_NEW",
            }),
        )
    }),
    ("Arithmetic on an attribute that is not there", |dynamo| {
        dynamo.put(&json!({"pk": {"S": "a"}}));
        let mut update = update("a", "SET n = n - :v", "attribute_exists(pk)", 1);
        let alone = dynamo.ask("UpdateItem", update["Update"].take());
        let in_transaction =
            dynamo.transact(&[self::update("a", "SET n = n - :v", "attribute_exists(pk)", 1)]);
        format!("{alone}; in a transaction {in_transaction}")
    }),
    ("A condition that compares text with a number", |dynamo| {
        dynamo.put(&json!({"pk": {"S": "a"}, "n": {"S": "5"}}));
        dynamo.transact(&[update("a", "SET n = :v", "n >= :v", 1)])
    }),
    ("A reserved word in an expression", |dynamo| {
        dynamo.ask(
            "UpdateItem",
            json!({
                "TableName": TABLE,
                "Key": {"pk": {"S": "a"}},
                "UpdateExpression": "SET order = :v",
                "ExpressionAttributeValues": {":v": {"N": "1"}},
            }),
        )
    }),
    ("A value that no expression uses", |dynamo| {
        dynamo.ask(
            "UpdateItem",
            json!({
                "TableName": TABLE,
                "Key": {"pk": {"S": "a"}},
                "UpdateExpression": "SET n = :v",
                "ExpressionAttributeValues": {":v": {"N": "1"}, ":w": {"N": "1"}},
            }),
        )
    }),
    ("A consistent read of attributes that an item does not have", |dynamo| {
        dynamo.put(&item("a", 1));
        let read = json!({
            "TableName": TABLE,
            "Key": {"pk": {"S": "a"}},
            "ConsistentRead": true,
            "ProjectionExpression": "extra",
        });
        let answer = dynamo.answer("GetItem", &read).1;
        answer.get("Item").map_or_else(|| "no item".to_owned(), |item| format!("the item {item}"))
    }),
    ("A table that does not exist", |dynamo| {
        dynamo.ask("GetItem", json!({"TableName": "other", "Key": {"pk": {"S": "a"}}}))
    }),
];

#[test]
fn what_the_judges_of_dynamodb_say_is_written_down() {
    let file = repository::root().join("docs/conformance.md");
    let document = fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<&str>> =
        document.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let answers =
        [Judge::ministack().unwrap(), Judge::dynamodb_local().unwrap()].map(|judge| ask_all(&judge));
    let mut missing = String::new();
    for (number, (question, _)) in PROBES.iter().enumerate() {
        let [ministack, dynamodb_local] = [answers[0][number].as_str(), answers[1][number].as_str()];
        let row = rows.iter().find(|row| row.get(1) == Some(question));
        // An agreement has one cell for the two, a disagreement one for each, behind that of the memory model.
        let is_written = row.is_some_and(|row| {
            let agree = ministack == dynamodb_local && row[2] == ministack;
            agree || row[3..].starts_with(&[ministack, dynamodb_local])
        });
        if !is_written {
            missing += &format!("{question}\n  MiniStack: {ministack}\n  DynamoDB Local: {dynamodb_local}\n");
        }
    }
    assert!(missing.is_empty(), "docs/conformance.md does not say:\n{missing}");
}

/// The answers to all questions, each of them put to an empty table.
fn ask_all(judge: &Judge) -> Vec<String> {
    let dynamo = Dynamo { endpoint: judge.endpoint().to_owned() };
    let ask = |(_, probe): &Probe| {
        judge.table(TABLE, "pk").unwrap();
        let answer = probe(&dynamo);
        dynamo.ask("DeleteTable", json!({"TableName": TABLE}));
        answer
    };
    PROBES.iter().map(ask).collect()
}

/// DynamoDB without the SDK, which would refuse some questions itself and put others again.
struct Dynamo {
    endpoint: String,
}

impl Dynamo {
    fn answer(&self, operation: &str, request: &Value) -> (u16, Value) {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host, Signature=0",
            ),
        ];
        let answer = http::post(&self.endpoint, &headers, &request.to_string()).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    /// Asks, and puts the answer in few words.
    fn ask(&self, operation: &str, request: Value) -> String {
        let (status, answer) = self.answer(operation, &request);
        if status == 200 {
            return answer.get("Attributes").map_or_else(|| "done".to_owned(), in_words);
        }
        let reasons = ["CancellationReasons", "cancellationReasons"].iter().find_map(|name| answer.get(name));
        if let Some(reasons) = reasons.and_then(Value::as_array) {
            let reason = |reason: &Value| {
                let code = reason["Code"].as_str().unwrap_or("no code").to_owned();
                reason.get("Item").map_or_else(|| code.clone(), |item| format!("{code} ({})", in_words(item)))
            };
            return format!("cancelled: {}", reasons.iter().map(reason).collect::<Vec<_>>().join(", "));
        }
        let code = answer["__type"].as_str().unwrap_or("no type");
        let code = code.rsplit('#').next().unwrap_or_default();
        answer.get("Item").map_or_else(|| code.to_owned(), |item| format!("{code} ({})", in_words(item)))
    }

    fn transact(&self, actions: &[Value]) -> String {
        self.ask("TransactWriteItems", json!({"TransactItems": actions}))
    }

    fn put(&self, item: &Value) -> String {
        self.ask("PutItem", json!({"TableName": TABLE, "Item": item}))
    }

    fn set(&self, key: &str, value: &Value) -> String {
        self.ask(
            "UpdateItem",
            json!({
                "TableName": TABLE,
                "Key": {"pk": {"S": key}},
                "UpdateExpression": "SET extra = :v",
                "ExpressionAttributeValues": {":v": value},
            }),
        )
    }

    /// What is there once a value is written.
    fn stored(&self, value: &Value) -> String {
        self.set("a", value);
        in_words(&self.read("a")["extra"])
    }

    fn number(&self, key: &str) -> String {
        self.read(key)["n"]["N"].as_str().unwrap().to_owned()
    }

    fn read(&self, key: &str) -> Value {
        let request = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
        self.answer("GetItem", &request).1["Item"].take()
    }
}

fn item(key: &str, number: u64) -> Value {
    json!({"pk": {"S": key}, "n": {"N": number.to_string()}})
}

fn large_item(key: &str, bytes: usize) -> Value {
    json!({"pk": {"S": key}, "text": {"S": "x".repeat(bytes)}})
}

fn put(item: &Value) -> Value {
    json!({"Put": {"TableName": TABLE, "Item": item}})
}

fn puts(count: usize) -> Vec<Value> {
    (0..count).map(|number| put(&item(&format!("p-{number}"), 1))).collect()
}

/// A put of an item that must not be there.
fn refused_put(key: &str) -> Value {
    json!({"Put": {
        "TableName": TABLE,
        "Item": item(key, 9),
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }})
}

fn update(key: &str, expression: &str, condition: &str, value: u64) -> Value {
    let mut update = json!({
        "TableName": TABLE,
        "Key": {"pk": {"S": key}},
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {":v": {"N": value.to_string()}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    if !format!("{expression}{condition}").contains(":v") {
        update.as_object_mut().unwrap().remove("ExpressionAttributeValues");
    }
    json!({"Update": update})
}

/// `n = 1` for an item or for attributes, `1` for a value: the key says nothing here.
fn in_words(value: &Value) -> String {
    if let Some(scalar) = value.get("N").or(value.get("S")).and_then(Value::as_str) {
        return scalar.to_owned();
    }
    let attributes = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "pk");
    let attributes: Vec<String> =
        attributes.map(|(name, value)| format!("{name} = {}", in_words(value))).collect();
    if attributes.is_empty() { "an empty item".to_owned() } else { attributes.join(", ") }
}
