//! A little AWS: it keeps what it is given, answers as AWS does, and notes every call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::expression::{Item, Scope};
use super::http::{Reply, Request};
use super::wire::{Operation, bucket_and_key, deleted_keys};
use crate::calls::Call;

/// Older than any grace period.
const LONG_AGO: &str = "2026-02-01T00:00:00.000Z";

/// What happens to the next call that it is about, instead of what would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The next call, whichever, is not allowed. No client tries that again.
    Refused,
    /// The next object that is written meets another one under its key.
    KeyTaken,
    /// The next task that is answered is gone.
    TaskGone,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// The key attributes of each table.
    pub(crate) keys: BTreeMap<String, Vec<String>>,
    /// The state machines whose tasks wait for a token.
    pub(crate) waiting: Vec<String>,
    pub(crate) tables: BTreeMap<String, Vec<Item>>,
    pub(crate) queues: BTreeMap<String, VecDeque<Value>>,
    objects: BTreeMap<(String, String), Vec<u8>>,
    mishap: Option<Mishap>,
    /// Where another object stands than the one that was written.
    taken: Option<(String, String)>,
    query: Value,
    /// What was called, since it was last taken.
    pub(crate) calls: BTreeSet<Call>,
    /// The operations that these were, as the SDK names them.
    pub(crate) operations: BTreeSet<(String, String)>,
    /// What it could not answer.
    pub(crate) problems: Vec<String>,
}

/// An error as a service says it.
struct Refusal {
    code: &'static str,
    members: Value,
}

impl Refusal {
    fn new(code: &'static str) -> Self {
        Self { code, members: json!({}) }
    }
}

impl World {
    /// Answers a request, and notes it.
    pub(crate) fn answer(&mut self, request: &Request) -> Reply {
        self.try_answer(request).unwrap_or_else(|error| {
            self.problems.push(format!("{} {}: {error:#}", request.method, request.path));
            Reply::new(400, json!({"__type": "NotUnderstood", "message": format!("{error:#}")}).to_string())
        })
    }

    fn try_answer(&mut self, request: &Request) -> Result<Reply> {
        let operation = Operation::of(request)?;
        let workgroup = self.query["WorkGroup"].as_str();
        self.calls.extend(operation.calls(request, &self.waiting, workgroup)?);
        self.operations.insert((operation.service.clone(), operation.name.clone()));
        let is_xml = matches!(operation.service.as_str(), "s3" | "sns");
        if self.mishap.take_if(|mishap| *mishap == Mishap::Refused).is_some() {
            return Ok(refused(
                &Refusal::new(if is_xml { "AccessDenied" } else { "AccessDeniedException" }),
                is_xml,
            ));
        }
        if operation.service == "s3" {
            return Ok(self.s3(request, &operation.name));
        }
        if operation.service == "sns" {
            let result = "<PublishResult><MessageId>1</MessageId></PublishResult>";
            return Ok(Reply::new(200, format!("<PublishResponse>{result}</PublishResponse>")));
        }
        let input = &operation.input;
        Ok(match self.json(&operation.service, &operation.name, input)? {
            Ok(output) => {
                Reply::new(200, output.to_string()).with("content-type", "application/x-amz-json-1.0")
            }
            Err(refusal) => refused(&refusal, false),
        })
    }

    fn json(&mut self, service: &str, operation: &str, input: &Value) -> Result<Result<Value, Refusal>> {
        let entries = || input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = || -> Value {
            let sent = entries().iter().map(|entry| {
                json!({"Id": entry["Id"], "MessageId": "1", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e"})
            });
            json!({"Successful": sent.collect::<Value>(), "Failed": []})
        };
        let output = match (service, operation) {
            ("dynamodb", _) => return self.dynamodb(operation, input),
            ("events", "PutEvents") => {
                let taken: Value = entries().iter().map(|_| json!({"EventId": "1"})).collect();
                json!({"FailedEntryCount": 0, "Entries": taken})
            }
            ("sqs", "SendMessageBatch" | "ChangeMessageVisibilityBatch" | "DeleteMessageBatch") => ids(),
            ("sqs", "ReceiveMessage") => {
                let queue =
                    input["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
                let waiting = self.queues.entry(queue.to_owned()).or_default();
                let wanted = input["MaxNumberOfMessages"].as_u64().unwrap_or(1).min(waiting.len() as u64);
                let received: Value = (0..wanted).filter_map(|_| waiting.pop_front()).collect();
                json!({"Messages": received})
            }
            ("sqs", "GetQueueAttributes") => json!({"Attributes": {"ApproximateNumberOfMessages": "0"}}),
            ("sqs", "SendMessage") => json!({"MessageId": "1"}),
            ("states", "StartExecution") => {
                json!({"executionArn": "arn:aws:states:::execution:1", "startDate": 1.0})
            }
            ("states", _) if self.mishap.take_if(|mishap| *mishap == Mishap::TaskGone).is_some() => {
                return Ok(Err(Refusal::new("TaskTimedOut")));
            }
            ("athena", "StartQueryExecution") => {
                self.query = input.clone();
                json!({"QueryExecutionId": "0b2c4f6e-1d3a-4b5c-8d7e-9f0a1b2c3d4e"})
            }
            ("athena", "GetQueryExecution") => json!({"QueryExecution": {
                "QueryExecutionId": input["QueryExecutionId"],
                "Query": self.query["QueryString"],
                "WorkGroup": self.query["WorkGroup"],
                "ExecutionParameters": self.query["ExecutionParameters"],
                "Status": {"State": "SUCCEEDED"},
            }}),
            ("athena", "GetQueryResults") => {
                let columns = json!([{"Name": "id", "Type": "varchar"}]);
                json!({"ResultSet": {"Rows": [], "ResultSetMetadata": {"ColumnInfo": columns}}})
            }
            _ => json!({}),
        };
        Ok(Ok(output))
    }

    fn dynamodb(&mut self, operation: &str, input: &Value) -> Result<Result<Value, Refusal>> {
        let refused = |item: Option<Item>| {
            let members = item.map_or_else(|| json!({}), |item| json!({"Item": item}));
            Refusal { code: "ConditionalCheckFailedException", members }
        };
        let output = match operation {
            "GetItem" => {
                self.item(input, &input["Key"])?.map_or_else(|| json!({}), |item| json!({"Item": item}))
            }
            "UpdateItem" | "PutItem" | "DeleteItem" => match self.written(operation, input)? {
                Ok(item) => {
                    let attributes = item.clone();
                    self.store(input, item)?;
                    json!({"Attributes": attributes})
                }
                Err(item) => return Ok(Err(refused(item))),
            },
            "TransactWriteItems" => {
                let parts: Vec<(String, Value)> = input["TransactItems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|item| item.as_object().into_iter().flatten())
                    .map(|(kind, part)| (format!("{kind}Item"), part.clone()))
                    .collect();
                let mut outcomes = Vec::new();
                for (operation, part) in &parts {
                    outcomes.push(self.written(operation, part)?);
                }
                if outcomes.iter().any(Result::is_err) {
                    let reason = |outcome: Result<Item, Option<Item>>| match outcome {
                        Ok(_) => json!({"Code": "None"}),
                        Err(item) => {
                            json!({"Code": "ConditionalCheckFailed", "Item": item.unwrap_or_default()})
                        }
                    };
                    let reasons: Value = outcomes.into_iter().map(reason).collect();
                    let members = json!({"CancellationReasons": reasons});
                    return Ok(Err(Refusal { code: "TransactionCanceledException", members }));
                }
                for ((_, part), item) in parts.iter().zip(outcomes.into_iter().flatten()) {
                    self.store(part, item)?;
                }
                json!({})
            }
            "Query" | "Scan" => {
                let table = input["TableName"].as_str().unwrap_or_default();
                let mut found = Vec::new();
                for item in self.tables.get(table).into_iter().flatten() {
                    let condition = input["KeyConditionExpression"].as_str();
                    let is_it = condition.map(|condition| Scope { request: input }.holds(item, condition));
                    if is_it.transpose()?.unwrap_or(true) {
                        found.push(Value::Object(item.clone()));
                    }
                }
                json!({"Count": found.len(), "Items": found})
            }
            _ => json!({}),
        };
        Ok(Ok(output))
    }

    /// What an item would be after a write; or, where its condition does not hold, what it is.
    fn written(&self, operation: &str, part: &Value) -> Result<Result<Item, Option<Item>>> {
        let scope = Scope { request: part };
        let key = if operation == "PutItem" { &part["Item"] } else { &part["Key"] };
        let before = self.item(part, key)?;
        let mut item = before.clone().unwrap_or_default();
        if let Some(condition) = part["ConditionExpression"].as_str()
            && !scope.holds(&item, condition)?
        {
            return Ok(Err(before));
        }
        if operation == "PutItem" {
            item.clear();
        }
        item.extend(key.as_object().cloned().unwrap_or_default());
        if let Some(update) = part["UpdateExpression"].as_str() {
            scope.update(&mut item, update)?;
        }
        Ok(Ok(item))
    }

    fn item(&self, part: &Value, key: &Value) -> Result<Option<Item>> {
        let table = part["TableName"].as_str().context("no table")?;
        let names = self.keys.get(table).with_context(|| format!("{table} is no table of the template"))?;
        let is_it = |item: &&Item| names.iter().all(|name| item.get(name) == key.get(name));
        Ok(self.tables.get(table).into_iter().flatten().find(is_it).cloned())
    }

    fn store(&mut self, part: &Value, item: Item) -> Result<()> {
        let table = part["TableName"].as_str().context("no table")?.to_owned();
        self.put(table, item);
        Ok(())
    }

    /// Puts an item into a table, in the place of the one with its key.
    pub(crate) fn put(&mut self, table: String, item: Item) {
        let names = self.keys.get(&table).cloned().unwrap_or_default();
        let items = self.tables.entry(table).or_default();
        items.retain(|other| names.iter().any(|name| other.get(name) != item.get(name)));
        items.push(item);
    }

    fn s3(&mut self, request: &Request, operation: &str) -> Reply {
        let (bucket, key) = bucket_and_key(request);
        let place = (bucket.to_owned(), key.to_owned());
        let missing = || refused(&Refusal::new("NoSuchKey"), true);
        match operation {
            "PutObject" => {
                if self.mishap.take_if(|mishap| *mishap == Mishap::KeyTaken).is_some() {
                    self.taken = Some(place.clone());
                }
                let is_there = self.objects.contains_key(&place) || self.taken.as_ref() == Some(&place);
                if request.header("if-none-match").is_some() && is_there {
                    return refused(&Refusal::new("PreconditionFailed"), true);
                }
                self.objects.insert(place, request.body.clone());
                Reply::new(200, "")
            }
            // Without a checksum, so that what stands there has to be read.
            "HeadObject" | "GetObject" if self.taken.as_ref() == Some(&place) => Reply::new(200, "another"),
            "HeadObject" | "GetObject" => match self.objects.get(&place) {
                None => missing(),
                Some(body) => {
                    let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
                    let range = range.and_then(|range| range.split_once('-'));
                    let bounds = range
                        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse::<usize>().ok()? + 1)));
                    match bounds {
                        Some((from, to)) => {
                            Reply::new(206, body.get(from..to.min(body.len())).unwrap_or_default())
                        }
                        None => Reply::new(200, body.clone()),
                    }
                }
            },
            "DeleteObjects" => {
                for key in deleted_keys(&request.body) {
                    self.objects.remove(&(bucket.to_owned(), key));
                }
                Reply::new(200, "<DeleteResult></DeleteResult>")
            }
            "ListObjectsV2" => {
                let prefix = request.query.get("prefix").map(String::as_str).unwrap_or_default();
                let found =
                    self.objects.iter().filter(|((own, key), _)| own == bucket && key.starts_with(prefix));
                let entry = |((_, key), body): (&(String, String), &Vec<u8>)| {
                    let size = body.len();
                    format!(
                        "<Contents><Key>{key}</Key><LastModified>{LONG_AGO}</LastModified><Size>{size}</Size></Contents>"
                    )
                };
                let entries: String = found.map(entry).collect();
                Reply::new(
                    200,
                    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"),
                )
            }
            _ => Reply::new(200, ""),
        }
    }

    /// From now on this happens, or nothing any more.
    pub(crate) fn expect(&mut self, mishap: Option<Mishap>) {
        (self.mishap, self.taken) = (mishap, None);
    }

    /// Lets whatever waits be due.
    pub(crate) fn let_time_pass(&mut self) {
        for item in self.tables.values_mut().flatten() {
            if let Some(due_at) = item.get_mut("due_at") {
                *due_at = json!({"S": LONG_AGO});
            }
        }
    }
}

fn refused(refusal: &Refusal, is_xml: bool) -> Reply {
    let Refusal { code, members } = refusal;
    if is_xml {
        let status = match *code {
            "NoSuchKey" => 404,
            "PreconditionFailed" => 412,
            _ => 403,
        };
        return Reply::new(status, format!("<Error><Code>{code}</Code><Message>recorded</Message></Error>"));
    }
    let mut body = members.clone();
    body["__type"] = json!(format!("com.amazonaws.recorded#{code}"));
    body["message"] = json!("recorded");
    Reply::new(400, body.to_string()).with("content-type", "application/x-amz-json-1.0")
}
