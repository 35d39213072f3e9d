//! What AWS does on behalf of the template's resources, and what a call to an encrypted resource needs of its key. Each
//! part names the page of AWS's that says so.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{functions, role_of, state_machine};
use crate::evaluate::{ACCOUNT, Principal, Request};
use crate::template::{REGION, Template};

/// Requests, each once.
#[derive(Debug)]
pub struct Requests<'t> {
    template: &'t Template,
    requests: BTreeSet<Request>,
}

impl<'t> Requests<'t> {
    /// None yet.
    #[must_use]
    pub fn new(template: &'t Template) -> Self {
        Self { template, requests: BTreeSet::new() }
    }

    /// All of them.
    #[must_use]
    pub fn into_requests(self) -> Vec<Request> {
        self.requests.into_iter().collect()
    }

    fn add(&mut self, request: Request) {
        self.requests.insert(request);
    }

    /// Adds a request, and those that AWS makes of it in the name of whoever makes it: to the key of what it is about, and
    /// to what Athena reads and writes for a query.
    ///
    /// # Errors
    /// When what it is about is not understood here.
    pub fn add_with_consequences(&mut self, request: Request) -> Result<()> {
        let (service, operation) = request.action.split_once(':').context("an action without a service")?;
        let key_actions: &[&str] = match (service, operation) {
            // "The user is the principal in your AWS account who is accessing the table"; GenerateDataKey is DynamoDB's own,
            // and CreateGrant is whoever creates the table's.
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
            ("dynamodb", _) => &["Decrypt"],
            // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
            ("sqs", "SendMessage") => &["Decrypt", "GenerateDataKey"],
            ("sqs", "ReceiveMessage") => &["Decrypt"],
            // https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
            ("sns", "Publish") => &["Decrypt", "GenerateDataKey"],
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
            ("s3", "GetObject") => &["Decrypt"],
            ("s3", "PutObject") => &["GenerateDataKey"],
            // None for PutEvents: the bus encrypts as events.amazonaws.com. None for StartExecution, SendTaskSuccess and
            // SendTaskFailure: "Required permissions for API callers".
            // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-cmkey.html
            // https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
            _ => &[],
        };
        if !key_actions.is_empty()
            && let Some((key, context)) = self.encryption(&request.resource)?
        {
            for action in key_actions {
                let mut on_key = Request {
                    action: format!("kms:{action}"),
                    resource: key.clone(),
                    ..Request::of_role("", "", "")
                };
                on_key.principal.clone_from(&request.principal);
                on_key = on_key.with(&context.0, &[&context.1]).with("kms:CallerAccount", &[ACCOUNT]);
                self.add(match &request.principal {
                    Principal::Role(_) => {
                        on_key.with("kms:ViaService", &[&format!("{service}.{REGION}.amazonaws.com")])
                    }
                    Principal::Service(_) => {
                        on_key.context.remove("aws:principalaccount");
                        let kept = request.context.iter().filter(|(name, _)| name.starts_with("aws:source"));
                        on_key.context.extend(kept.map(|(name, values)| (name.clone(), values.clone())));
                        on_key
                    }
                });
            }
        }
        match request.action.as_str() {
            "athena:StartQueryExecution" => self.run_query(&request)?,
            "athena:GetQueryResults" => self.read_results(&request)?,
            _ => {}
        }
        self.add(request);
        Ok(())
    }

    /// The customer key of a resource, and the encryption context under which its service uses it. `None` when it has no key
    /// of ours.
    fn encryption(&self, resource: &str) -> Result<Option<(String, (String, String))>> {
        let (id, owner) = self
            .template
            .owner_of(resource)
            .with_context(|| format!("{resource} is nothing of the template"))?;
        let (properties, arn) = (&owner.properties, self.template.arn(id)?);
        let (key, context) = match owner.kind.as_str() {
            "AWS::DynamoDB::Table" => {
                (&properties["SSESpecification"]["KMSMasterKeyId"], ("aws:dynamodb:tableName", id.to_owned()))
            }
            "AWS::SQS::Queue" => (&properties["KmsMasterKeyId"], ("aws:sqs:arn", arn)),
            "AWS::SNS::Topic" => (&properties["KmsMasterKeyId"], ("aws:sns:topicArn", arn)),
            "AWS::S3::Bucket" => {
                let rules = &properties["BucketEncryption"]["ServerSideEncryptionConfiguration"];
                (&rules[0]["ServerSideEncryptionByDefault"]["KMSMasterKeyID"], ("aws:s3:arn", arn))
            }
            _ => (&Value::Null, ("", String::new())),
        };
        let context = (format!("kms:EncryptionContext:{}", context.0), context.1);
        Ok(self.key(key).map(|key| (key, context)))
    }

    /// The ARN of a key of the template, however it is named.
    fn key(&self, named: &Value) -> Option<String> {
        let named = named.as_str()?;
        let mut keys = self
            .template
            .of_type("AWS::KMS::Key")
            .filter_map(|(id, _)| Some((id, self.template.arn(id).ok()?)));
        keys.find(|(id, arn)| named == *id || named == arn).map(|(_, arn)| arn)
    }

    fn by_service(
        &mut self,
        service: &str,
        action: &str,
        resource: &str,
        keys: &[(&str, &str)],
    ) -> Result<()> {
        let request = Request::of_service(service, action, resource)
            .with("aws:SourceAccount", &[ACCOUNT])
            .with("aws:SecureTransport", &["true"]);
        let request = keys.iter().fold(request, |request, (key, value)| request.with(key, &[value]));
        self.add_with_consequences(request)
    }

    /// A service assumes a role.
    fn assumed(&mut self, service: &str, role: &str) -> Result<()> {
        let arn = self.template.arn(role)?;
        self.by_service(service, "sts:AssumeRole", &arn, &[])
    }

    fn by_role(&mut self, role: &str, actions: &[&str], resource: &str) {
        for action in actions {
            self.add(Request::of_role(role, action, resource).with("aws:SecureTransport", &["true"]));
        }
    }

    /// Athena reads the catalogue and the data, and writes what it found, as whoever asks
    /// (<https://docs.aws.amazon.com/athena/latest/ug/s3-permissions.html>,
    /// <https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html>,
    /// <https://docs.aws.amazon.com/athena/latest/ug/encrypting-query-results-stored-in-s3.html>).
    fn run_query(&mut self, request: &Request) -> Result<()> {
        let Principal::Role(role) = &request.principal else { return Ok(()) };
        let glue = |part: &str| format!("arn:aws:glue:{REGION}:{ACCOUNT}:{part}");
        self.by_role(role, &["glue:GetDatabase"], &glue("catalog"));
        self.by_role(role, &["glue:GetDatabase"], &glue("database/default"));
        let tables: Vec<Value> =
            self.template.of_type("AWS::Glue::Table").map(|(_, table)| table.clone()).collect();
        for table in tables {
            let database = table["DatabaseName"].as_str().context("a table without a database")?;
            let name = table["TableInput"]["Name"].as_str().context("a table without a name")?;
            self.by_role(
                role,
                &["glue:GetDatabase", "glue:GetTable"],
                &glue(&format!("database/{database}")),
            );
            self.by_role(role, &["glue:GetTable"], &glue("catalog"));
            self.by_role(role, &["glue:GetTable"], &glue(&format!("table/{database}/{name}")));
            if let Some(location) = table["TableInput"]["StorageDescriptor"]["Location"].as_str() {
                let (bucket, prefix) = location_of(location)?;
                let list = Request::of_role(role, "s3:ListBucket", &bucket).with("s3:prefix", &[&prefix]);
                self.add(list.with("aws:SecureTransport", &["true"]));
                self.on_objects(role, &["s3:GetObject"], &bucket, &prefix)?;
            }
        }
        let (bucket, prefix) = self.results(request)?;
        self.by_role(role, &["s3:GetBucketLocation", "s3:ListBucket"], &bucket);
        let writes =
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"];
        self.on_objects(role, &writes, &bucket, &prefix)
    }

    fn read_results(&mut self, request: &Request) -> Result<()> {
        let Principal::Role(role) = &request.principal else { return Ok(()) };
        let (bucket, prefix) = self.results(request)?;
        self.on_objects(role, &["s3:GetObject"], &bucket, &prefix)
    }

    fn on_objects(&mut self, role: &str, actions: &[&str], bucket: &str, prefix: &str) -> Result<()> {
        for action in actions {
            let request = Request::of_role(role, action, &format!("{bucket}/{prefix}object"));
            self.add_with_consequences(request.with("aws:SecureTransport", &["true"]))?;
        }
        Ok(())
    }

    /// Where a workgroup keeps what it found.
    fn results(&self, request: &Request) -> Result<(String, String)> {
        let (_, workgroup) = self.template.owner_of(&request.resource).context("an unknown workgroup")?;
        let location =
            &workgroup.properties["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"];
        location_of(location.as_str().context("a workgroup without a place for results")?)
    }
}

/// The bucket's ARN and the prefix of `s3://bucket/prefix`.
fn location_of(location: &str) -> Result<(String, String)> {
    let path = location.strip_prefix("s3://").with_context(|| format!("{location} is not in S3"))?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    Ok((format!("arn:aws:s3:::{bucket}"), prefix.to_owned()))
}

/// Adds what AWS does because of what the template has.
///
/// # Errors
/// When a resource has something that is not understood here.
pub fn on_behalf(requests: &mut Requests<'_>) -> Result<()> {
    let template = requests.template;
    for (id, properties) in functions(template) {
        of_function(requests, properties).with_context(|| id.to_owned())?;
    }
    for (id, resource) in template.resources() {
        let properties = &resource.properties;
        let added = match resource.kind.as_str() {
            "AWS::StepFunctions::StateMachine" => of_state_machine(requests, id, properties),
            "AWS::Events::EventBus" => of_bus(requests, id, properties),
            "AWS::Events::Archive" => of_archive(requests, properties),
            "AWS::Events::Rule" => of_rule(requests, id, properties),
            "AWS::Scheduler::Schedule" => of_schedule(requests, properties),
            "AWS::Logs::LogGroup" => of_log_group(requests, id, properties),
            "AWS::CloudWatch::Alarm" => of_alarm(requests, id, properties),
            "AWS::ApiGatewayV2::Route" => of_route(requests, properties),
            "AWS::S3::Bucket" => of_bucket(requests, id, properties),
            "AWS::Pipes::Pipe" | "AWS::Lambda::EventSourceMapping" | "AWS::Serverless::StateMachine" => {
                bail!(
                    "{id}: what AWS does for {} is not written down in tools/iam/src/calls/on_behalf.rs",
                    resource.kind
                )
            }
            _ => Ok(()),
        };
        added.with_context(|| id.clone())?;
    }
    Ok(())
}

/// Lambda writes a function's logs and traces with the function's role, and reads the queue that it maps to it
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
fn of_function(requests: &mut Requests<'_>, properties: &Value) -> Result<()> {
    let role = role_of(requests.template, &properties["Role"])?;
    requests.assumed("lambda.amazonaws.com", role)?;
    if let Some(group) = properties["LoggingConfig"]["LogGroup"].as_str() {
        let stream = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:stream");
        requests.by_role(role, &["logs:CreateLogStream", "logs:PutLogEvents"], &stream);
    } else {
        bail!("it has no log group of its own");
    }
    // The template's Globals turn tracing on for all (https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html).
    requests.by_role(role, &["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "*");
    for (name, event) in properties["Events"].as_object().into_iter().flatten() {
        if event["Type"] != "SQS" {
            bail!(
                "what AWS does for the event {name} is not written down in tools/iam/src/calls/on_behalf.rs"
            );
        }
        let queue = event["Properties"]["Queue"].as_str().context("an event of no queue")?;
        for action in ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"] {
            let request = Request::of_role(role, action, queue).with("aws:SecureTransport", &["true"]);
            requests.add_with_consequences(request)?;
        }
    }
    Ok(())
}

/// A state machine does its tasks, delivers its logs and its traces, and keeps its executions encrypted, all with its role
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html>,
/// <https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html>,
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html>).
fn of_state_machine(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let (template, role) = (requests.template, role_of(requests.template, &properties["RoleArn"])?);
    let arn = template.arn(id)?;
    requests.assumed("states.amazonaws.com", role)?;
    let (calls, _) = state_machine::tasks(template, properties)?;
    for call in calls {
        requests.add_with_consequences(call.request_of(role))?;
    }
    let has_logs = properties["LoggingConfiguration"]["Level"].as_str().is_some_and(|level| level != "OFF");
    if has_logs {
        const DELIVER: [&str; 8] = [
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ];
        requests.by_role(role, &DELIVER, "*");
    }
    if properties["TracingConfiguration"]["Enabled"] == true {
        let trace = [
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        ];
        requests.by_role(role, &trace, "*");
    }
    let Some(key) = requests.key(&properties["EncryptionConfiguration"]["KmsKeyId"]) else { return Ok(()) };
    for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
        // Step Functions itself uses the key, so there is no kms:ViaService.
        let request = Request::of_role(role, action, &key);
        requests.add(request.with("kms:EncryptionContext:aws:states:stateMachineArn", &[&arn]));
    }
    if has_logs {
        let logs = format!("arn:aws:logs:{REGION}:{ACCOUNT}:*");
        let request = Request::of_role(role, "kms:GenerateDataKey", &key);
        requests.add(request.with("kms:EncryptionContext:SourceArn", &[&logs]));
        let context = [("kms:EncryptionContext:SourceArn", logs.as_str())];
        requests.by_service("delivery.logs.amazonaws.com", "kms:Decrypt", &key, &context)?;
    }
    Ok(())
}

/// EventBridge encrypts a bus, and sends what it cannot encrypt or decrypt to the bus's dead-letter queue
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-cmkey.html>,
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-dlq.html>).
fn of_bus(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let arn = requests.template.arn(id)?;
    encrypted_by_events(
        requests,
        &properties["KmsKeyIdentifier"],
        &arn,
        &["kms:Decrypt", "kms:GenerateDataKey"],
    )?;
    if let Some(queue) = properties["DeadLetterConfig"]["Arn"].as_str() {
        requests.by_service("events.amazonaws.com", "sqs:SendMessage", queue, &[("aws:SourceArn", &arn)])?;
    }
    Ok(())
}

/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/encryption-archives.html>
fn of_archive(requests: &mut Requests<'_>, properties: &Value) -> Result<()> {
    let bus = properties["SourceArn"].as_str().context("an archive of no bus")?;
    let actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"];
    encrypted_by_events(requests, &properties["KmsKeyIdentifier"], bus, &actions)
}

fn encrypted_by_events(requests: &mut Requests<'_>, key: &Value, bus: &str, actions: &[&str]) -> Result<()> {
    let Some(key) = requests.key(key) else { return Ok(()) };
    requests.by_service("events.amazonaws.com", "kms:DescribeKey", &key, &[])?;
    let context = [("kms:EncryptionContext:aws:events:event-bus:arn", bus), ("aws:SourceArn", bus)];
    actions.iter().try_for_each(|action| requests.by_service("events.amazonaws.com", action, &key, &context))
}

/// A rule sends to its targets, by a role where one is named, and what it cannot send to the target's dead-letter queue
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html>,
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>).
fn of_rule(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let rule = requests.template.arn(id)?;
    let source = [("aws:SourceArn", rule.as_str())];
    for target in properties["Targets"].as_array().into_iter().flatten() {
        let arn = target["Arn"].as_str().context("a target without an ARN")?;
        let action = match arn.split(':').nth(2) {
            Some("sqs") => "sqs:SendMessage",
            Some("states") => "states:StartExecution",
            Some("lambda") => "lambda:InvokeFunction",
            Some("events") => "events:PutEvents",
            _ => bail!("what EventBridge does for the target {arn} is not written down here"),
        };
        if target["RoleArn"].is_string() {
            let role = role_of(requests.template, &target["RoleArn"])?;
            requests.assumed("events.amazonaws.com", role)?;
            requests.by_role(role, &[action], arn);
        } else {
            requests.by_service("events.amazonaws.com", action, arn, &source)?;
        }
        if let Some(queue) = target["DeadLetterConfig"]["Arn"].as_str() {
            requests.by_service("events.amazonaws.com", "sqs:SendMessage", queue, &source)?;
        }
    }
    Ok(())
}

/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html>
fn of_schedule(requests: &mut Requests<'_>, properties: &Value) -> Result<()> {
    let target = &properties["Target"];
    let role = role_of(requests.template, &target["RoleArn"])?;
    requests.assumed("scheduler.amazonaws.com", role)?;
    let arn = target["Arn"].as_str().context("a schedule without a target")?;
    match arn.split(':').nth(2) {
        Some("lambda") => requests.by_role(role, &["lambda:InvokeFunction"], arn),
        _ => bail!("what Scheduler does for the target {arn} is not written down here"),
    }
    if target["DeadLetterConfig"]["Arn"].is_string() {
        bail!("what Scheduler does for a dead-letter queue is not written down here");
    }
    Ok(())
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>
fn of_log_group(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let Some(key) = requests.key(&properties["KmsKeyId"]) else { return Ok(()) };
    let arn = requests.template.arn(id)?;
    let context = [("kms:EncryptionContext:aws:logs:arn", arn.trim_end_matches(":*"))];
    const ACTIONS: [&str; 7] = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    let service = format!("logs.{REGION}.amazonaws.com");
    ACTIONS.iter().try_for_each(|action| requests.by_service(&service, action, &key, &context))
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html>
fn of_alarm(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let alarm = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{id}");
    for kind in ["AlarmActions", "OKActions", "InsufficientDataActions"] {
        for action in properties[kind].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if action.split(':').nth(2) == Some("sns") {
                requests.by_service(
                    "cloudwatch.amazonaws.com",
                    "sns:Publish",
                    action,
                    &[("aws:SourceArn", &alarm)],
                )?;
            }
        }
    }
    Ok(())
}

/// An HTTP API invokes the function behind a route
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
fn of_route(requests: &mut Requests<'_>, properties: &Value) -> Result<()> {
    let integration = properties["Target"].as_str().and_then(|target| target.strip_prefix("integrations/"));
    let integration =
        integration.and_then(|id| requests.template.resources().get(id)).context("a route to nothing")?;
    let function =
        integration.properties["IntegrationUri"].as_str().context("an integration without a function")?;
    let api = properties["ApiId"].as_str().context("a route of no API")?;
    let route = properties["RouteKey"].as_str().unwrap_or_default().replace(' ', "");
    let source = format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/$default/{route}");
    let function = function.to_owned();
    requests.by_service(
        "apigateway.amazonaws.com",
        "lambda:InvokeFunction",
        &function,
        &[("aws:SourceArn", &source)],
    )
}

/// S3 writes the access logs of a bucket to another
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html>).
fn of_bucket(requests: &mut Requests<'_>, id: &str, properties: &Value) -> Result<()> {
    let logging = &properties["LoggingConfiguration"];
    let Some(bucket) = logging["DestinationBucketName"].as_str() else { return Ok(()) };
    let object =
        format!("arn:aws:s3:::{bucket}/{}object", logging["LogFilePrefix"].as_str().unwrap_or_default());
    let source = requests.template.arn(id)?;
    requests.by_service("logging.s3.amazonaws.com", "s3:PutObject", &object, &[("aws:SourceArn", &source)])
}
