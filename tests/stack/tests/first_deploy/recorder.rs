//! An endpoint that stands in for AWS where `sam deploy`, `sam delete` and the caller of an API turn to it, and keeps what they sent.
//! It knows as much of stacks, change sets and objects as those ask for. What else is asked is refused and noted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalogue::template;
use iam::record::http::{Reply, Request, decoded, serve};
use serde_json::Value;

/// The region that the page chooses.
pub(crate) const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "111122223333";
/// The stack of the SAM CLI's own bucket.
const MANAGED_STACK: &str = "aws-sam-cli-managed-default";
const ARTIFACTS: &str = "artifacts";

/// The running endpoint. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Recorder {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

/// What was to be deployed.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    pub(crate) stack: String,
    /// Packaged, as CloudFormation gets it.
    pub(crate) template: Value,
    pub(crate) parameters: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    endpoint: String,
    stacks: BTreeMap<String, Stack>,
    /// By bucket and key.
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    change_sets: Vec<ChangeSet>,
    requests: Vec<Request>,
    refused: Vec<String>,
    are_buckets_empty: bool,
}

#[derive(Debug)]
struct Stack {
    template: String,
    status: &'static str,
    /// How often something happened to it.
    changes: u32,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let answering = Arc::clone(&state);
        let port = serve(move |request| locked(&answering).answer(request)).unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        locked(&state).endpoint.clone_from(&endpoint);
        Self { endpoint, state }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What was deployed to a stack of this name, in order.
    pub(crate) fn change_sets_of(&self, stack: &str) -> Vec<ChangeSet> {
        let state = locked(&self.state);
        state.change_sets.iter().filter(|change_set| change_set.stack == stack).cloned().collect()
    }

    /// An object by its address, `s3://bucket/key`.
    pub(crate) fn object(&self, address: &str) -> Option<Vec<u8>> {
        let place = address.strip_prefix("s3://")?;
        locked(&self.state).objects.get(place).cloned()
    }

    /// How many objects there are.
    pub(crate) fn objects(&self) -> usize {
        locked(&self.state).objects.len()
    }

    /// The stacks that are there, but for the SAM CLI's own.
    pub(crate) fn stacks(&self) -> Vec<String> {
        let state = locked(&self.state);
        state.stacks.keys().filter(|name| *name != MANAGED_STACK).cloned().collect()
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        locked(&self.state).requests.clone()
    }

    /// What this endpoint does not know.
    pub(crate) fn refused(&self) -> Vec<String> {
        locked(&self.state).refused.clone()
    }

    /// From now on the buckets of a stack hold nothing, and can be deleted.
    pub(crate) fn empty_buckets(&self) {
        locked(&self.state).are_buckets_empty = true;
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        self.requests.push(request.clone());
        let answer = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/") => self.call(request),
            ("POST", "/orders") => Some(
                Reply::new(202, r#"{"orderId":"o-1","status":"received"}"#).with("location", "/orders/o-1"),
            ),
            _ => self.object_call(request),
        };
        answer.unwrap_or_else(|| {
            self.refused.push(format!("{} {} {:?}", request.method, request.path, request.query));
            Reply::new(501, "")
        })
    }

    /// S3, with the bucket in the path.
    fn object_call(&mut self, request: &Request) -> Option<Reply> {
        let place = request.path.trim_start_matches('/').to_owned();
        let asks = |name: &str| request.query.contains_key(name);
        match request.method.as_str() {
            "HEAD" => Some(Reply::new(if self.objects.contains_key(&place) { 200 } else { 404 }, "")),
            "PUT" if asks("partNumber") => {
                let number = request.query["partNumber"].parse().ok()?;
                self.parts.insert((place, number), request.body.clone());
                Some(Reply::new(200, "").with("etag", "\"part\""))
            }
            "POST" if asks("uploads") => Some(Reply::new(
                200,
                "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>",
            )),
            "POST" if asks("uploadId") => {
                let parts = self.parts.range((place.clone(), 0)..=(place.clone(), u32::MAX));
                let whole = parts.flat_map(|(_, part)| part.clone()).collect();
                self.objects.insert(place, whole);
                Some(Reply::new(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"))
            }
            "PUT" => {
                self.objects.insert(place, request.body.clone());
                Some(Reply::new(200, "").with("etag", "\"whole\""))
            }
            "DELETE" => {
                self.objects.remove(&place);
                Some(Reply::new(204, ""))
            }
            "GET" if asks("list-type") => {
                let prefix = format!("{place}/{}", request.query.get("prefix")?);
                let found = self.objects.keys().filter(|object| object.starts_with(&prefix));
                let keys = found.filter_map(|object| object.split_once('/')).map(|(_, key)| key);
                let contents: String =
                    keys.map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
                Some(Reply::new(200, format!("<ListBucketResult>{contents}</ListBucketResult>")))
            }
            _ => None,
        }
    }

    /// CloudFormation, by forms.
    fn call(&mut self, request: &Request) -> Option<Reply> {
        let form = form(&request.body);
        let action = form.get("Action")?.as_str();
        let name = name_of(form.get("StackName")?);
        let result = match action {
            "CreateChangeSet" => self.create_change_set(&name, &form)?,
            "DescribeStacks" | "DescribeChangeSet" | "DescribeStackEvents" | "GetTemplate"
                if !self.stacks.contains_key(&name) =>
            {
                let message = format!("<Message>Stack with id {name} does not exist</Message>");
                let error = format!(
                    "<ErrorResponse><Error><Code>ValidationError</Code>{message}</Error></ErrorResponse>"
                );
                return Some(Reply::new(400, error));
            }
            "DescribeStacks" => self.describe(&name),
            "DescribeChangeSet" => changes(&self.stacks[&name].template),
            "ExecuteChangeSet" => {
                let stack = self.stacks.get_mut(&name)?;
                stack.status = "CREATE_COMPLETE";
                stack.changes += 1;
                String::new()
            }
            "DescribeStackEvents" => events(&name, &self.stacks[&name]),
            // On AWS, templates and programs have addresses that begin with s3.
            "GetTemplate" => {
                let aws = format!("https://s3.{REGION}.amazonaws.com");
                let template = self.stacks[&name].template.replace(&self.endpoint, &aws);
                format!("<TemplateBody>{}</TemplateBody>", escaped(&template))
            }
            "DeleteStack" => {
                self.delete(&name)?;
                String::new()
            }
            _ => return None,
        };
        Some(Reply::new(
            200,
            format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"),
        ))
    }

    fn create_change_set(&mut self, name: &str, form: &BTreeMap<String, String>) -> Option<String> {
        let text = match form.get("TemplateURL") {
            Some(address) => {
                let place = address.strip_prefix(&self.endpoint)?.trim_start_matches('/');
                String::from_utf8(self.objects.get(place)?.clone()).ok()?
            }
            None => form.get("TemplateBody")?.clone(),
        };
        let parameters = (1..)
            .map_while(|index| {
                let part =
                    |part: &str| form.get(&format!("Parameters.member.{index}.Parameter{part}")).cloned();
                part("Key").zip(part("Value"))
            })
            .collect();
        let template = template::parse(&text).ok()?;
        self.change_sets.push(ChangeSet { stack: name.to_owned(), template, parameters });
        let stack = Stack { template: text, status: "REVIEW_IN_PROGRESS", changes: 0 };
        self.stacks.insert(name.to_owned(), stack);
        let arn =
            |kind: &str, name: &str| format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:{kind}/{name}/1");
        let id = arn("changeSet", form.get("ChangeSetName")?);
        Some(format!("<Id>{id}</Id><StackId>{}</StackId>", arn("stack", name)))
    }

    fn describe(&self, name: &str) -> String {
        let stack = &self.stacks[name];
        let parsed = template::parse(&stack.template).unwrap_or_default();
        let mut outputs = String::new();
        for output in names(&parsed["Outputs"]) {
            let value = match output {
                "ApiUrl" => self.endpoint.as_str(),
                "SourceBucket" => ARTIFACTS,
                _ => "of-the-stack",
            };
            let output = format!("<OutputKey>{output}</OutputKey><OutputValue>{value}</OutputValue>");
            write!(outputs, "<member>{output}<Description>-</Description></member>").unwrap();
        }
        format!(
            "<Stacks><member><StackName>{name}</StackName><StackStatus>{}</StackStatus>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime>\
             <EnableTerminationProtection>false</EnableTerminationProtection>\
             <Tags><member><Key>ManagedStackSource</Key><Value>AwsSamCli</Value></member></Tags>\
             <Outputs>{outputs}</Outputs></member></Stacks>",
            stack.status
        )
    }

    /// A stack with buckets stays until they are empty.
    fn delete(&mut self, name: &str) -> Option<()> {
        let stack = self.stacks.get_mut(name)?;
        if stack.template.contains("AWS::S3::Bucket\n") && !self.are_buckets_empty {
            stack.status = "DELETE_FAILED";
        } else {
            self.stacks.remove(name);
        }
        Some(())
    }
}

fn changes(template: &str) -> String {
    let parsed = template::parse(template).unwrap_or_default();
    let mut changes = String::new();
    for (id, resource) in parsed["Resources"].as_object().into_iter().flatten() {
        let resource_type = resource["Type"].as_str().unwrap_or_default();
        let what = format!(
            "<LogicalResourceId>{id}</LogicalResourceId><ResourceType>{resource_type}</ResourceType>"
        );
        let change = format!("<ResourceChange><Action>Add</Action>{what}</ResourceChange>");
        write!(changes, "<member><Type>Resource</Type>{change}</member>").unwrap();
    }
    format!("<Status>CREATE_COMPLETE</Status><Changes>{changes}</Changes>")
}

/// The latest; its time says how many there were.
fn events(name: &str, stack: &Stack) -> String {
    format!(
        "<StackEvents><member><EventId>{0}</EventId><StackName>{name}</StackName>\
         <LogicalResourceId>{name}</LogicalResourceId><ResourceType>AWS::CloudFormation::Stack</ResourceType>\
         <StackId>{name}</StackId><PhysicalResourceId>{name}</PhysicalResourceId>\
         <Timestamp>2026-01-01T00:{0:02}:00Z</Timestamp><ResourceStatus>{1}</ResourceStatus></member></StackEvents>",
        stack.changes, stack.status
    )
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// A stack's name, of its name or its id.
fn name_of(name_or_id: &str) -> String {
    name_or_id.split('/').nth(1).unwrap_or(name_or_id).to_owned()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
