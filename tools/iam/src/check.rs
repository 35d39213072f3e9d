//! The check itself: every call is allowed, and every right is needed by one.
//!
//! A right is needed when some call is no longer allowed without it. So each is taken away in turn, in a copy of its policy:
//! each statement that allows, each of its actions, each of its resources, and each value of a condition that lets more
//! through the more values it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::calls;
use crate::evaluate::{Decision, Principal, Request, evaluate};
use crate::exceptions::Exceptions;
use crate::policy::{Effect, Elements, Policy, Statement};
use crate::template::Template;

/// Whose policies are looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// A role: what it may do.
    Role(String),
    /// A resource: who may do something to it.
    Resource(String),
}

/// A right that no call needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The role or the resource whose policy gives it, by logical id.
    pub holder: String,
    /// The statement, by its name.
    pub statement: String,
    /// What of it: `statement`, `action sqs:SendMessage`, `resource arn:…`, `events:source orders`.
    pub part: String,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}: {}", self.holder, self.statement, self.part)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many calls there are, each once.
    pub calls: usize,
    /// How many of them each role makes.
    pub calls_by_role: BTreeMap<String, usize>,
    /// How many calls services of AWS make that have no role.
    pub calls_by_services: usize,
    /// How many statements allow something: those of roles, and those of resources.
    pub statements: (usize, usize),
    /// How many rights were taken away, one at a time, of each role and resource.
    pub removals: BTreeMap<String, usize>,
    /// The calls that are not allowed.
    pub denied: Vec<String>,
    /// The rights that no call needs.
    pub unused: Vec<Right>,
    /// How many unused rights have a reason to stay.
    pub excepted: usize,
    /// The rights with a reason that are needed after all, or are not there.
    pub stale: Vec<String>,
}

impl Report {
    /// True when every call is allowed and every right is needed or has a reason.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.denied.is_empty() && self.unused.is_empty() && self.stale.is_empty()
    }
}

/// Policies and calls, ready to be held against one another.
#[derive(Debug)]
struct Model {
    policies: BTreeMap<Holder, Policy>,
    calls: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    /// The resource that it is about, by logical id, if it is of the template.
    about: Option<String>,
}

/// Checks a template against every call.
///
/// # Errors
/// When the template says something that is not understood here.
pub fn check(template: &Template, recorded: &calls::Recorded, exceptions: &Exceptions) -> Result<Report> {
    let model = Model::of(template, calls::all(template, recorded)?)?;
    let mut report = model.report();
    let is_excepted = |right: &Right| exceptions.rights.iter().any(|one| one.is(right));
    let (excepted, unused): (Vec<Right>, Vec<Right>) = report.unused.drain(..).partition(is_excepted);
    let stale = exceptions.rights.iter().filter(|one| !excepted.iter().any(|right| one.is(right)));
    report.stale = stale.map(ToString::to_string).collect();
    (report.excepted, report.unused) = (excepted.len(), unused);
    Ok(report)
}

impl Model {
    fn of(template: &Template, requests: Vec<Request>) -> Result<Self> {
        let mut policies: BTreeMap<Holder, Policy> = BTreeMap::new();
        let mut add = |holder: Holder, document: &Value| -> Result<()> {
            let policy = Policy::parse(document)?;
            policies.entry(holder).or_default().statements.extend(policy.statements);
            Ok(())
        };
        for (id, resource) in template.resources() {
            policies_of(template, id, &resource.kind, &resource.properties, &mut add)
                .with_context(|| id.clone())?;
        }
        let about = |request: &Request| template.owner_of(&request.resource).map(|(id, _)| id.to_owned());
        let calls = requests.into_iter().map(|request| Asked { about: about(&request), request }).collect();
        Ok(Self { policies, calls })
    }

    fn report(&self) -> Report {
        let mut report = Report { calls: self.calls.len(), ..Report::default() };
        for Asked { request, .. } in &self.calls {
            match &request.principal {
                Principal::Role(role) => *report.calls_by_role.entry(role.clone()).or_default() += 1,
                Principal::Service(_) => report.calls_by_services += 1,
            }
        }
        let denied = self.calls.iter().filter(|asked| self.decide(asked, None) != Decision::Allowed);
        report.denied = denied.map(|asked| asked.request.to_string()).collect();
        for (holder, policy) in &self.policies {
            let (Holder::Role(name) | Holder::Resource(name)) = holder;
            let allows =
                policy.statements.iter().filter(|statement| statement.effect == Effect::Allow).count();
            match holder {
                Holder::Role(_) => report.statements.0 += allows,
                Holder::Resource(_) => report.statements.1 += allows,
            }
            let (unused, removals) = self.unused_of(holder, policy);
            *report.removals.entry(name.clone()).or_default() += removals;
            report.unused.extend(unused);
        }
        report
    }

    /// Takes each right of a policy away in turn. Says which of them nobody misses, and how many there were.
    fn unused_of(&self, holder: &Holder, policy: &Policy) -> (Vec<Right>, usize) {
        let (Holder::Role(name) | Holder::Resource(name)) = holder;
        // Whoever is not allowed something anyway misses nothing.
        let calls: Vec<&Asked> = self
            .calls
            .iter()
            .filter(|asked| asked.concerns(holder) && self.decide(asked, None) == Decision::Allowed)
            .collect();
        let (mut unused, mut removals) = (BTreeSet::new(), 0);
        for (index, statement) in policy.statements.iter().enumerate() {
            if statement.effect == Effect::Deny {
                continue;
            }
            for (part, without) in parts(statement) {
                removals += 1;
                let mut changed = policy.clone();
                match without {
                    Some(without) => changed.statements[index] = without,
                    None => drop(changed.statements.remove(index)),
                }
                let is_missed =
                    |asked: &&Asked| self.decide(asked, Some((holder, &changed))) != Decision::Allowed;
                if calls.iter().any(is_missed) {
                    continue;
                }
                let is_all = part == "statement";
                unused.insert(Right { holder: name.clone(), statement: statement.name(index), part });
                // Of a statement that nobody needs, no part is needed either.
                if is_all {
                    break;
                }
            }
        }
        (unused.into_iter().collect(), removals)
    }

    /// Decides about a call, with one policy changed.
    fn decide(&self, asked: &Asked, change: Option<(&Holder, &Policy)>) -> Decision {
        let policy = |holder: &Holder| match change {
            Some((changed, policy)) if changed == holder => Some(policy),
            _ => self.policies.get(holder),
        };
        let own = match &asked.request.principal {
            Principal::Role(role) => policy(&Holder::Role(role.clone())),
            Principal::Service(_) => None,
        };
        let resource = asked.about.as_ref().and_then(|id| policy(&Holder::Resource(id.clone())));
        evaluate(&asked.request, own, resource)
    }
}

impl Asked {
    fn concerns(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Role(role) => self.request.principal == Principal::Role(role.clone()),
            Holder::Resource(id) => self.about.as_ref() == Some(id),
        }
    }
}

/// Every right of a statement by its name, with the statement that is left without it. `None` when none is left.
fn parts(statement: &Statement) -> Vec<(String, Option<Statement>)> {
    let mut parts = vec![("statement".to_owned(), None)];
    let several = |elements: &Elements| match elements {
        Elements::Only(texts) if texts.len() > 1 => 0..texts.len(),
        // What is excepted is no right, and one text alone is the statement.
        Elements::Only(_) | Elements::Except(_) => 0..0,
    };
    for index in several(&statement.actions) {
        let without = statement.actions.without(index);
        let left = without.map(|actions| Statement { actions, ..statement.clone() });
        parts.push((format!("action {}", statement.actions.texts()[index]), left));
    }
    for index in several(&statement.resources) {
        let without = statement.resources.without(index);
        let left = without.map(|resources| Statement { resources, ..statement.clone() });
        parts.push((format!("resource {}", statement.resources.texts()[index]), left));
    }
    for (position, condition) in statement.conditions.iter().enumerate() {
        if !condition.widens_with_values() {
            continue;
        }
        for (index, value) in condition.values.iter().enumerate() {
            let Some(without) = condition.without(index) else { continue };
            let mut left = statement.clone();
            left.conditions[position] = without;
            parts.push((format!("{} {value}", condition.key), Some(left)));
        }
    }
    parts
}

/// Hands on the policies that a resource is, or has.
fn policies_of(
    template: &Template,
    id: &str,
    kind: &str,
    properties: &Value,
    add: &mut impl FnMut(Holder, &Value) -> Result<()>,
) -> Result<()> {
    let resource = |id: &str| Holder::Resource(id.to_owned());
    // A queue is named by its address, a bucket by its name, everything else by its ARN.
    let named = |text: &Value| -> Result<Holder> {
        let text = text.as_str().context("a policy of nothing")?;
        let by_name = text.rsplit('/').next().unwrap_or_default();
        let found = template.owner_of(text).map(|(id, _)| id);
        let found = found.or_else(|| template.resources().get_key_value(by_name).map(|(id, _)| id.as_str()));
        found.map(resource).with_context(|| format!("{text} is nothing of the template"))
    };
    match kind {
        "AWS::IAM::Role" => {
            add(resource(id), &properties["AssumeRolePolicyDocument"])?;
            ensure!(
                properties.get("ManagedPolicyArns").is_none(),
                "what a managed policy says is not known here"
            );
            for policy in properties["Policies"].as_array().into_iter().flatten() {
                add(Holder::Role(id.to_owned()), &policy["PolicyDocument"])?;
            }
        }
        "AWS::KMS::Key" => add(resource(id), &properties["KeyPolicy"])?,
        "AWS::SQS::QueuePolicy" | "AWS::SNS::TopicPolicy" => {
            let of = if kind == "AWS::SQS::QueuePolicy" { "Queues" } else { "Topics" };
            for one in properties[of].as_array().into_iter().flatten() {
                add(named(one)?, &properties["PolicyDocument"])?;
            }
        }
        "AWS::S3::BucketPolicy" => add(named(&properties["Bucket"])?, &properties["PolicyDocument"])?,
        "AWS::Lambda::Permission" => {
            let function = properties["FunctionName"].as_str().context("a permission on nothing")?;
            let arn =
                if function.starts_with("arn:") { function.to_owned() } else { template.arn(function)? };
            let mut statement = json!({
                "Sid": id,
                "Effect": "Allow",
                "Principal": {"Service": properties["Principal"]},
                "Action": properties["Action"],
                "Resource": arn,
            });
            if properties["SourceArn"].is_string() {
                statement["Condition"] = json!({"ArnLike": {"aws:SourceArn": properties["SourceArn"]}});
            }
            add(named(&json!(arn))?, &json!({"Statement": statement}))?;
        }
        // What other accounts may do is for a test of its own: no call of this account needs it.
        "AWS::Events::EventBusPolicy" => {}
        "AWS::IAM::Policy" | "AWS::IAM::ManagedPolicy" | "AWS::IAM::RolePolicy" => {
            ensure!(false, "policies of roles stand in the roles");
        }
        _ => {}
    }
    Ok(())
}
