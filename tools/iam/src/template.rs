//! A CloudFormation template with its intrinsic functions carried out, as far as names go: each resource is called what its
//! logical id is, in one account and one Region. So a name in a policy, in a variable of a function and in a call of that
//! function is the same text when CloudFormation would make it the same name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::evaluate::ACCOUNT;

/// The Region that everything here lies in.
pub const REGION: &str = "eu-central-1";
const PARTITION: &str = "aws";

/// A template, read.
#[derive(Debug)]
pub struct Template {
    folder: PathBuf,
    root: Value,
    parameters: BTreeMap<String, Value>,
    globals: Value,
    resources: BTreeMap<String, Resource>,
}

/// A resource that is deployed, with its properties resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// What it is: `AWS::SQS::Queue`.
    pub kind: String,
    /// What is said of it.
    pub properties: Value,
}

impl Template {
    /// Reads a template with the defaults of its parameters, but for those given.
    ///
    /// # Errors
    /// When it cannot be read, or uses an intrinsic function that is not understood here.
    pub fn read(path: &Path, overrides: &[(&str, &str)]) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        Self::of(catalogue::template::read_file(path)?, folder, overrides)
    }

    fn of(root: Value, folder: PathBuf, overrides: &[(&str, &str)]) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for (name, parameter) in root["Parameters"].as_object().into_iter().flatten() {
            let given = overrides.iter().find(|(own, _)| own == name).map(|(_, value)| json!(value));
            let default = given.or_else(|| parameter.get("Default").cloned()).unwrap_or_else(|| json!(""));
            let text = scalar(&default);
            let is_list = parameter["Type"].as_str().is_some_and(|kind| kind.contains("List"));
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let value = if is_list { items.map(|item| json!(item)).collect() } else { json!(text) };
            parameters.insert(name.clone(), value);
        }
        let mut template =
            Self { folder, root, parameters, globals: Value::Null, resources: BTreeMap::new() };
        let mut resources = BTreeMap::new();
        for (id, resource) in template.root["Resources"].as_object().into_iter().flatten() {
            if let Some(condition) = resource["Condition"].as_str()
                && !template.condition(condition)?
            {
                continue;
            }
            let kind = resource["Type"].as_str().with_context(|| format!("{id} has no Type"))?.to_owned();
            let properties = template.resolve(&resource["Properties"]).with_context(|| id.clone())?;
            resources.insert(id.clone(), Resource { kind, properties: properties.unwrap_or_default() });
        }
        template.resources = resources;
        template.globals = template.resolve(&template.root["Globals"])?.unwrap_or_default();
        Ok(template)
    }

    /// Every resource that is deployed, by logical id.
    #[must_use]
    pub fn resources(&self) -> &BTreeMap<String, Resource> {
        &self.resources
    }

    /// What SAM gives to every function.
    #[must_use]
    pub fn globals(&self) -> &Value {
        &self.globals
    }

    /// The resources of one type.
    pub fn of_type<'t>(&'t self, kind: &'t str) -> impl Iterator<Item = (&'t str, &'t Value)> {
        let is_it = move |(_, resource): &(&String, &Resource)| resource.kind == kind;
        self.resources.iter().filter(is_it).map(|(id, resource)| (id.as_str(), &resource.properties))
    }

    /// A text file beside the template.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The ARN of a resource of the template.
    ///
    /// # Errors
    /// When there is none, or of what its ARN looks like nothing is known here.
    pub fn arn(&self, id: &str) -> Result<String> {
        self.attribute(id, "Arn")
    }

    /// The resource that has this ARN, or this address, or of which this is a part.
    #[must_use]
    pub fn owner_of(&self, arn: &str) -> Option<(&str, &Resource)> {
        let is_it = |id: &str| {
            self.arn(id).is_ok_and(|own| {
                let own = own.strip_suffix(":*").unwrap_or(&own);
                arn.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
            })
        };
        let found = self.resources.iter().filter(|(id, _)| is_it(id));
        found
            .max_by_key(|(id, _)| self.arn(id).map(|arn| arn.len()).unwrap_or_default())
            .map(|(id, resource)| (id.as_str(), resource))
    }

    fn condition(&self, name: &str) -> Result<bool> {
        let value =
            self.root["Conditions"].get(name).with_context(|| format!("there is no condition {name}"))?;
        self.truth(value).with_context(|| format!("condition {name}"))
    }

    fn truth(&self, value: &Value) -> Result<bool> {
        if let Value::Bool(truth) = value {
            return Ok(*truth);
        }
        let (function, argument) = function(value).context("no function of conditions")?;
        let all = || argument.as_array().context("no list of conditions");
        Ok(match function {
            "Condition" => self.condition(argument.as_str().context("no name of a condition")?)?,
            "Equals" => {
                let both = all()?;
                ensure!(both.len() == 2, "Equals compares two values");
                self.resolve(&both[0])? == self.resolve(&both[1])?
            }
            "Not" => !self.truth(all()?.first().context("Not of nothing")?)?,
            "And" => all()?
                .iter()
                .map(|one| self.truth(one))
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .all(|one| one),
            "Or" => all()?
                .iter()
                .map(|one| self.truth(one))
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .any(|one| one),
            other => bail!("{other} is no function of conditions"),
        })
    }

    /// A value with its intrinsic functions carried out. `None` for what is not there: `AWS::NoValue`.
    ///
    /// # Errors
    /// When a function is not understood here.
    pub fn resolve(&self, value: &Value) -> Result<Option<Value>> {
        if let Some((name, argument)) = function(value) {
            return self.call(name, argument);
        }
        Ok(Some(match value {
            Value::Array(items) => {
                let items: Result<Vec<_>> = items.iter().map(|item| self.resolve(item)).collect();
                items?.into_iter().flatten().collect()
            }
            Value::Object(entries) => {
                let mut resolved = Map::new();
                for (key, value) in entries {
                    if let Some(value) = self.resolve(value)? {
                        resolved.insert(key.clone(), value);
                    }
                }
                Value::Object(resolved)
            }
            other => other.clone(),
        }))
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>> {
        let text =
            |value: &Value| -> Result<String> { Ok(scalar(&self.resolve(value)?.unwrap_or_default())) };
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let resolved = match (name, arguments) {
            ("Ref", _) => return self.reference(argument.as_str().context("Ref of no name")?),
            ("GetAtt", [id, attribute]) => json!(self.attribute(&scalar(id), &text(attribute)?)?),
            ("GetAtt", _) => {
                let (id, attribute) = argument
                    .as_str()
                    .and_then(|text| text.split_once('.'))
                    .context("GetAtt of no attribute")?;
                json!(self.attribute(id, attribute)?)
            }
            ("Sub", [template, Value::Object(names)]) => json!(self.substitute(&scalar(template), names)?),
            ("Sub", _) => json!(self.substitute(&scalar(argument), &Map::new())?),
            ("If", [condition, then, otherwise]) => {
                let holds = self.condition(condition.as_str().context("If of no condition")?)?;
                return self.resolve(if holds { then } else { otherwise });
            }
            ("FindInMap", [map, first, second]) => {
                let (map, first, second) = (text(map)?, text(first)?, text(second)?);
                let found = self.root["Mappings"][&map][&first].get(&second);
                found.cloned().with_context(|| format!("{map} has no {first}.{second}"))?
            }
            ("Join", [separator, items]) => {
                let items = self.resolve(items)?.unwrap_or_default();
                let items: Vec<String> = items.as_array().into_iter().flatten().map(scalar).collect();
                json!(items.join(&scalar(separator)))
            }
            ("Split", [separator, whole]) => {
                text(whole)?.split(&scalar(separator)).map(|part| json!(part)).collect()
            }
            ("Select", [index, items]) => {
                let index: usize = text(index)?.parse().context("Select of no number")?;
                let items = self.resolve(items)?.unwrap_or_default();
                items.get(index).cloned().context("Select of what is not there")?
            }
            ("Base64", _) => json!(text(argument)?),
            ("ImportValue", _) => json!(format!("import-{}", text(argument)?)),
            ("Equals" | "Not" | "And" | "Or" | "Condition", _) => {
                json!(self.truth(&Value::Object(Map::from_iter([(name.to_owned(), argument.clone())])))?)
            }
            _ => bail!("the function {name} is not understood here: add it to tools/iam/src/template.rs"),
        };
        Ok(Some(resolved))
    }

    fn reference(&self, name: &str) -> Result<Option<Value>> {
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::AccountId" => ACCOUNT,
            "AWS::Region" => REGION,
            "AWS::Partition" => PARTITION,
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::StackName" => "orderbus",
            "AWS::StackId" => "arn:aws:cloudformation:eu-central-1:111122223333:stack/orderbus/1",
            _ => "",
        };
        if !pseudo.is_empty() {
            return Ok(Some(json!(pseudo)));
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        let kind = self.kind(name)?;
        Ok(Some(json!(match kind {
            "AWS::SQS::Queue" => format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"),
            "AWS::SNS::Topic" | "AWS::StepFunctions::StateMachine" => self.attribute(name, "Arn")?,
            _ => self.name(name)?,
        })))
    }

    fn kind(&self, id: &str) -> Result<&str> {
        let kind = self.root["Resources"][id]["Type"].as_str();
        kind.with_context(|| format!("{id} is neither a parameter nor a resource"))
    }

    /// The physical name: the one that the template gives, otherwise the logical id.
    fn name(&self, id: &str) -> Result<String> {
        let properties = &self.root["Resources"][id]["Properties"];
        let given = match self.kind(id)? {
            "AWS::Events::EventBus" | "AWS::Athena::WorkGroup" => properties.get("Name"),
            "AWS::Glue::Database" => properties["DatabaseInput"].get("Name"),
            "AWS::Glue::Table" => properties["TableInput"].get("Name"),
            "AWS::Logs::LogGroup" => properties.get("LogGroupName"),
            "AWS::SQS::Queue" => properties.get("QueueName"),
            "AWS::S3::Bucket" => properties.get("BucketName"),
            "AWS::IAM::Role" => properties.get("RoleName"),
            _ => None,
        };
        let Some(given) = given else { return Ok(id.to_owned()) };
        Ok(self.resolve(given)?.map_or_else(|| id.to_owned(), |given| scalar(&given)))
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<String> {
        let (kind, name) = (self.kind(id)?, self.name(id)?);
        if !["Arn", "TopicArn", "LoadBalancerArn"].contains(&attribute) {
            return Ok(match attribute {
                "QueueName" | "Name" | "TopicName" => name,
                _ => format!("{id}.{attribute}"),
            });
        }
        let arn = |service: &str, resource: &str| {
            format!("arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{resource}")
        };
        Ok(match kind {
            "AWS::SQS::Queue" => arn("sqs", &name),
            "AWS::SNS::Topic" => arn("sns", &name),
            "AWS::DynamoDB::Table" => arn("dynamodb", &format!("table/{name}")),
            "AWS::Events::EventBus" => arn("events", &format!("event-bus/{name}")),
            "AWS::Events::Rule" => {
                let bus = self.resolve(&self.root["Resources"][id]["Properties"]["EventBusName"])?;
                let bus = bus.filter(|bus| !bus.is_null()).map(|bus| format!("{}/", scalar(&bus)));
                arn("events", &format!("rule/{}{name}", bus.unwrap_or_default()))
            }
            "AWS::Events::Archive" => arn("events", &format!("archive/{name}")),
            "AWS::StepFunctions::StateMachine" => arn("states", &format!("stateMachine:{name}")),
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => {
                arn("lambda", &format!("function:{name}"))
            }
            "AWS::Logs::LogGroup" => arn("logs", &format!("log-group:{name}:*")),
            "AWS::KMS::Key" => arn("kms", &format!("key/{name}")),
            "AWS::Athena::WorkGroup" => arn("athena", &format!("workgroup/{name}")),
            "AWS::Kinesis::Stream" => arn("kinesis", &format!("stream/{name}")),
            "AWS::S3::Bucket" => format!("arn:{PARTITION}:s3:::{name}"),
            "AWS::IAM::Role" => format!("arn:{PARTITION}:iam::{ACCOUNT}:role/{name}"),
            _ => format!("{id}.{attribute}"),
        })
    }

    /// `${Name}`, `${Name.Attribute}`, and `${!Name}` for the text itself.
    fn substitute(&self, template: &str, names: &Map<String, Value>) -> Result<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').context("a ${ without its end")?;
            text.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                text.push_str(&format!("${{{literal}}}"));
            } else if let Some(value) = names.get(name) {
                text.push_str(&scalar(&self.resolve(value)?.unwrap_or_default()));
            } else if let Some((id, attribute)) = name.split_once('.') {
                text.push_str(&self.attribute(id, attribute)?);
            } else {
                text.push_str(&scalar(&self.reference(name)?.unwrap_or_default()));
            }
            rest = after;
        }
        Ok(text + rest)
    }
}

/// An intrinsic function in either form: `!Ref` is read as `{"Ref": …}`, `!Sub` as `{"Sub": …}` and `Fn::Sub:` as itself.
fn function(value: &Value) -> Option<(&str, &Value)> {
    const SHORT: [&str; 14] = [
        "Ref",
        "GetAtt",
        "Sub",
        "If",
        "FindInMap",
        "Join",
        "Split",
        "Select",
        "Base64",
        "ImportValue",
        "Equals",
        "Not",
        "And",
        "Or",
    ];
    let entries = value.as_object().filter(|entries| entries.len() == 1)?;
    let (name, argument) = entries.iter().next()?;
    if let Some(name) = name.strip_prefix("Fn::") {
        return Some((name, argument));
    }
    // A statement of a policy has a Condition too, but that is no text.
    let is_function = SHORT.contains(&name.as_str()) || (name == "Condition" && argument.is_string());
    is_function.then_some((name.as_str(), argument))
}

/// A scalar as the text that it is in a template.
#[must_use]
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str, overrides: &[(&str, &str)]) -> Template {
        Template::of(catalogue::template::parse(text).unwrap(), PathBuf::new(), overrides).unwrap()
    }

    const TEXT: &str = "
Parameters:
  Environment: { Type: String, Default: default }
  Sources: { Type: CommaDelimitedList, Default: 'orders, shipping' }
  OnAws: { Type: String, Default: 'true' }
Conditions:
  IsOnAws: !Equals [!Ref OnAws, 'true']
  IsLocal: !Not [!Condition IsOnAws]
Mappings:
  Pace: { quick: { Seconds: 5 } }
Resources:
  Bus:
    Type: AWS::Events::EventBus
    Properties: { Name: !Sub 'orderbus-${Environment}' }
  Rule:
    Type: AWS::Events::Rule
    Properties: { EventBusName: !Ref Bus }
  Queue:
    Type: AWS::SQS::Queue
  Local:
    Type: AWS::SQS::Queue
    Condition: IsLocal
  Everything:
    Type: Test
    Properties:
      Url: !Ref Queue
      Queue: !GetAtt Queue.Arn
      Name: !GetAtt Queue.QueueName
      Rule: !GetAtt Rule.Arn
      Sources: !Ref Sources
      Sub: !Sub 'arn:${AWS::Partition}:x:${Queue.Arn}:${!kept}'
      Seconds: !FindInMap [Pace, quick, Seconds]
      Either: !If [IsOnAws, here, there]
      Absent: !If [IsLocal, there, !Ref AWS::NoValue]
      Joined: !Join ['-', [a, !Ref Environment]]
      Second: !Select [1, !Split [',', 'a,b']]
      Statement: { Effect: Allow, Condition: { StringEquals: { a: !Ref Environment } } }
      Long: { 'Fn::Base64': { 'Fn::Sub': '${Environment}' } }
";

    #[test]
    fn intrinsic_functions_are_carried_out() {
        let template = template(TEXT, &[]);
        let arn = "arn:aws:sqs:eu-central-1:111122223333:Queue";
        let expected = json!({
            "Url": "https://sqs.eu-central-1.amazonaws.com/111122223333/Queue",
            "Queue": arn,
            "Name": "Queue",
            "Rule": "arn:aws:events:eu-central-1:111122223333:rule/orderbus-default/Rule",
            "Sources": ["orders", "shipping"],
            "Sub": format!("arn:aws:x:{arn}:${{kept}}"),
            "Seconds": 5,
            "Either": "here",
            "Joined": "a-default",
            "Second": "b",
            "Statement": {"Effect": "Allow", "Condition": {"StringEquals": {"a": "default"}}},
            "Long": "default",
        });
        assert_eq!(template.resources()["Everything"].properties, expected);
    }

    #[test]
    fn what_a_condition_leaves_out_is_not_there() {
        assert!(!template(TEXT, &[]).resources().contains_key("Local"));
        let local = template(TEXT, &[("OnAws", "false")]);
        assert_eq!(local.resources()["Everything"].properties["Absent"], "there");
        assert!(local.resources().contains_key("Local"));
    }

    #[test]
    fn an_arn_leads_back_to_its_resource() {
        let template = template(TEXT, &[]);
        let owner = |arn: &str| template.owner_of(arn).map(|(id, _)| id.to_owned());
        assert_eq!(owner("arn:aws:sqs:eu-central-1:111122223333:Queue").as_deref(), Some("Queue"));
        assert_eq!(owner("arn:aws:sqs:eu-central-1:111122223333:Queue2"), None);
    }

    #[test]
    fn a_function_that_is_not_understood_is_an_error() {
        let text = "Resources: { A: { Type: T, Properties: { B: { 'Fn::Cidr': [] } } } }";
        let root = catalogue::template::parse(text).unwrap();
        let error = Template::of(root, PathBuf::new(), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("Cidr"), "{error:#}");
    }
}
