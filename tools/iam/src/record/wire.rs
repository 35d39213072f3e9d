//! What IAM makes of a request on the wire: the action, the resource and the condition keys.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::http::{Request, decoded};
use crate::calls::Call;
use crate::evaluate::ACCOUNT;
use crate::template::REGION;

/// What a request says, less its protocol.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// As the signature names it: `dynamodb`.
    pub(crate) service: String,
    /// `UpdateItem`.
    pub(crate) name: String,
    /// Its input, where that is JSON or a form.
    pub(crate) input: Value,
}

impl Operation {
    /// Reads a request.
    ///
    /// # Errors
    /// When it is not signed, or is of a service that is not understood here.
    pub(crate) fn of(request: &Request) -> Result<Self> {
        // Credential=<key>/<day>/<region>/<service>/aws4_request
        let scope = request.header("authorization").and_then(|header| header.split("Credential=").nth(1));
        let service =
            scope.and_then(|scope| scope.split('/').nth(3)).context("a request that is not signed")?;
        let target = request.header("x-amz-target").and_then(|target| target.rsplit('.').next());
        let (name, input) = match (service, target) {
            ("s3", _) => (s3_operation(request)?.to_owned(), Value::Null),
            (_, Some(name)) => {
                (name.to_owned(), serde_json::from_slice(&request.body).context("the body is no JSON")?)
            }
            (_, None) => {
                let form = String::from_utf8_lossy(&request.body).into_owned();
                let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
                let input: BTreeMap<String, String> =
                    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
                let name = input.get("Action").context("a form without an action")?.clone();
                (name, serde_json::to_value(input)?)
            }
        };
        Ok(Self { service: service.to_owned(), name, input })
    }

    /// The calls that IAM is asked about: one, or one for each part of a request that is allowed or denied by itself.
    ///
    /// # Errors
    /// When the operation is not understood here.
    pub(crate) fn calls(
        &self,
        request: &Request,
        waiting: &[String],
        workgroup: Option<&str>,
    ) -> Result<Vec<Call>> {
        let Self { service, name, input } = self;
        let text = |name: &str| input[name].as_str().with_context(|| format!("a request without {name}"));
        let own = || format!("{service}:{name}");
        let arn = |resource: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}");
        Ok(match (service.as_str(), name.as_str()) {
            // "You must have permissions for the underlying operations": a transaction has none of its own.
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
            ("dynamodb", "TransactWriteItems") => {
                let items = input["TransactItems"].as_array().context("a transaction of nothing")?;
                let mut calls = Vec::new();
                for (kind, part) in items.iter().flat_map(|item| item.as_object().into_iter().flatten()) {
                    let action = match kind.as_str() {
                        "ConditionCheck" => "ConditionCheckItem",
                        "Delete" => "DeleteItem",
                        "Put" => "PutItem",
                        "Update" => "UpdateItem",
                        _ => bail!("a transaction with {kind}"),
                    };
                    let table =
                        part["TableName"].as_str().context("a part of a transaction without a table")?;
                    calls.push(Call::new(format!("dynamodb:{action}"), arn(&format!("table/{table}"))));
                }
                calls
            }
            ("dynamodb", "BatchWriteItem" | "BatchGetItem") => {
                let tables = input["RequestItems"].as_object().context("a batch of nothing")?;
                tables.keys().map(|table| Call::new(own(), arn(&format!("table/{table}")))).collect()
            }
            ("dynamodb", _) => {
                let index =
                    input["IndexName"].as_str().map(|index| format!("/index/{index}")).unwrap_or_default();
                vec![Call::new(own(), arn(&format!("table/{}{index}", text("TableName")?)))]
            }
            // A batch needs the right of its parts.
            // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
            ("sqs", _) => {
                let queue = text("QueueUrl")?.rsplit('/').next().unwrap_or_default();
                vec![Call::new(format!("sqs:{}", name.trim_end_matches("Batch")), arn(queue))]
            }
            // Each entry is authorised by itself: NotAuthorizedForSourceException and
            // NotAuthorizedForDetailTypeException are errors of an entry.
            // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
            ("events", "PutEvents") => {
                let entries = input["Entries"].as_array().context("no entries")?;
                let entry = |entry: &Value| -> Result<Call> {
                    let text =
                        |name: &str| entry[name].as_str().with_context(|| format!("an entry without {name}"));
                    let bus = text("EventBusName")?;
                    let bus = if bus.starts_with("arn:") {
                        bus.to_owned()
                    } else {
                        arn(&format!("event-bus/{bus}"))
                    };
                    let call = Call::new("events:PutEvents", bus).with("events:source", text("Source")?);
                    Ok(call.with("events:detail-type", text("DetailType")?))
                };
                entries.iter().map(entry).collect::<Result<_>>()?
            }
            ("states", "StartExecution") => vec![Call::new(own(), text("stateMachineArn")?)],
            // A token is that of a state machine whose tasks wait for one.
            ("states", "SendTaskSuccess" | "SendTaskFailure" | "SendTaskHeartbeat") => {
                waiting.iter().map(|state_machine| Call::new(own(), state_machine)).collect()
            }
            ("sns", "Publish") => vec![Call::new(own(), text("TopicArn")?)],
            ("athena", _) => {
                let workgroup =
                    input["WorkGroup"].as_str().or(workgroup).context("a query of no workgroup")?;
                vec![Call::new(own(), arn(&format!("workgroup/{workgroup}")))]
            }
            ("s3", _) => s3_calls(request, name)?,
            _ => bail!("{service}:{name} is not understood here: add it to tools/iam/src/record/wire.rs"),
        })
    }
}

/// The bucket and the key of a path-style address.
pub(crate) fn bucket_and_key(request: &Request) -> (&str, &str) {
    let path = request.path.trim_start_matches('/');
    path.split_once('/').unwrap_or((path, ""))
}

fn s3_operation(request: &Request) -> Result<&'static str> {
    let (_, key) = bucket_and_key(request);
    let has = |name: &str| request.query.contains_key(name);
    Ok(match (request.method.as_str(), key.is_empty()) {
        ("PUT", false) if !has("partNumber") => "PutObject",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("GET", true) if has("list-type") => "ListObjectsV2",
        ("POST", true) if has("delete") => "DeleteObjects",
        ("POST", false) if has("uploads") => "CreateMultipartUpload",
        ("PUT", false) => "UploadPart",
        ("POST", false) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false) => "DeleteObject",
        (method, _) => bail!("{method} {} is no operation of S3 that is understood here", request.path),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
fn s3_calls(request: &Request, operation: &str) -> Result<Vec<Call>> {
    let (bucket, key) = bucket_and_key(request);
    // An object's name is a hash, or another day another one; what a policy can tell apart is its folder.
    let object = |key: &str| {
        let folder = key.split_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        format!("arn:aws:s3:::{bucket}/{folder}object")
    };
    Ok(match operation {
        "GetObject" | "HeadObject" => vec![Call::new("s3:GetObject", object(key))],
        "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => {
            vec![Call::new("s3:PutObject", object(key))]
        }
        "AbortMultipartUpload" => vec![Call::new("s3:AbortMultipartUpload", object(key))],
        "DeleteObject" => vec![Call::new("s3:DeleteObject", object(key))],
        "DeleteObjects" => {
            let keys = deleted_keys(&request.body);
            keys.iter().map(|key| Call::new("s3:DeleteObject", object(key))).collect()
        }
        "ListObjectsV2" => {
            let call = Call::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}"));
            let prefix = request.query.get("prefix").filter(|prefix| !prefix.is_empty());
            vec![prefix.map_or(call.clone(), |prefix| call.with("s3:prefix", prefix))]
        }
        _ => bail!("s3:{operation} is not understood here: add it to tools/iam/src/record/wire.rs"),
    })
}

/// The keys of a `DeleteObjects` request.
pub(crate) fn deleted_keys(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
    keys.map(|(key, _)| key.to_owned()).collect()
}
