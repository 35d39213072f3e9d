//! Whether a request is allowed, within one account, as AWS documents it
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>):
//!
//! 1. A statement that denies, in any policy that counts, denies.
//! 2. Otherwise a role's request is allowed when its own policies allow it, or when the resource's policy allows it to the
//!    role itself. A policy that names the account leaves the decision to the role's own policies.
//! 3. A service of AWS has no policies of its own: only the resource's policy can allow it anything.
//! 4. A KMS key is closed: what a role's own policies say of it counts only when the key's policy names the account
//!    (<https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html>).
//! 5. So is a role that is to be assumed: its trust policy has to let in whoever assumes it
//!    (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-trust-policy.html>).
//!
//! There are no permissions boundaries, session policies or policies of an organization here.

use std::collections::BTreeMap;
use std::fmt;

use crate::condition::resolved;
use crate::pattern::{matches, matches_arn, tokens};
use crate::policy::{Effect, Elements, Policy, Principals, Statement};

/// The account that everything here lies in: that of AWS's own examples.
pub const ACCOUNT: &str = "111122223333";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// A role of this account, by its name.
    Role(String),
    /// A service of AWS, acting for nobody else.
    Service(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Role(name) | Self::Service(name)) = self;
        formatter.write_str(name)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// By whom.
    pub principal: Principal,
    /// What is to be done: `sqs:SendMessage`.
    pub action: String,
    /// To what, by ARN.
    pub resource: String,
    /// What else is known of the request: keys, in small letters, and their values.
    pub context: BTreeMap<String, Vec<String>>,
}

impl Request {
    /// A request of a role.
    #[must_use]
    pub fn of_role(role: &str, action: &str, resource: &str) -> Self {
        let context = BTreeMap::from([("aws:principalaccount".to_owned(), vec![ACCOUNT.to_owned()])]);
        Self { context, ..Self::new(Principal::Role(role.to_owned()), action, resource) }
    }

    /// A request of a service of AWS.
    #[must_use]
    pub fn of_service(service: &str, action: &str, resource: &str) -> Self {
        Self::new(Principal::Service(service.to_owned()), action, resource)
    }

    fn new(principal: Principal, action: &str, resource: &str) -> Self {
        Self { principal, action: action.to_owned(), resource: resource.to_owned(), context: BTreeMap::new() }
    }

    /// With a key and its values.
    #[must_use]
    pub fn with(mut self, key: &str, values: &[&str]) -> Self {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        self.context.insert(key.to_ascii_lowercase(), values);
        self
    }

    /// The values of a key, which is in small letters.
    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.context.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} on {}", self.principal, self.action, self.resource)?;
        let shown = self.context.iter().filter(|(key, _)| !key.starts_with("aws:principal"));
        for (key, values) in shown {
            write!(formatter, ", {key} {}", values.join(" "))?;
        }
        Ok(())
    }
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// Nothing allows it.
    NotAllowed,
}

/// Decides about a request: `identity` are the policies of the role that asks, `resource` is the policy of what it is about.
#[must_use]
pub fn evaluate<'p>(
    request: &Request,
    identity: impl IntoIterator<Item = &'p Policy>,
    resource: Option<&Policy>,
) -> Decision {
    let statements = |policy: &'p Policy| policy.statements.iter();
    let own: Vec<&Statement> =
        identity.into_iter().flat_map(statements).filter(|own| applies(own, request)).collect();
    let others = resource.into_iter().flat_map(|policy| &policy.statements);
    let others: Vec<(&Statement, Grant)> = others
        .filter(|statement| applies(statement, request))
        .filter_map(|statement| Some((statement, grant(statement.principals.as_ref()?, &request.principal)?)))
        .collect();
    let denies = |statement: &&Statement| statement.effect == Effect::Deny;
    if own.iter().any(denies) || others.iter().any(|(statement, _)| denies(statement)) {
        return Decision::Denied;
    }
    let by_own = !own.is_empty() && matches!(request.principal, Principal::Role(_));
    let by_resource = |wanted: Grant| others.iter().any(|(_, grant)| *grant == wanted);
    let is_allowed = match request.action.split(':').next() {
        Some("kms" | "sts") => by_resource(Grant::ToIt) || (by_own && by_resource(Grant::ToItsAccount)),
        _ => by_resource(Grant::ToIt) || by_own,
    };
    if is_allowed { Decision::Allowed } else { Decision::NotAllowed }
}

/// What a resource's policy gives, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    ToIt,
    ToItsAccount,
}

/// `None` when a statement is about others.
fn grant(principals: &Principals, principal: &Principal) -> Option<Grant> {
    let Principals::Only { aws, services } = principals else { return Some(Grant::ToIt) };
    match principal {
        Principal::Service(name) => services.contains(name).then_some(Grant::ToIt),
        Principal::Role(name) => {
            let own = format!(":iam::{ACCOUNT}:role/{name}");
            let root = format!(":iam::{ACCOUNT}:root");
            let is_it = |text: &&String| text.ends_with(&own);
            let is_its_account = |text: &&String| *text == ACCOUNT || text.ends_with(&root);
            match (aws.iter().find(is_it), aws.iter().find(is_its_account)) {
                (Some(_), _) => Some(Grant::ToIt),
                (None, Some(_)) => Some(Grant::ToItsAccount),
                (None, None) => None,
            }
        }
    }
}

/// Whether a statement is about a request, whoever asks.
fn applies(statement: &Statement, request: &Request) -> bool {
    let is_action = |pattern: &String| {
        matches(&tokens(&pattern.to_ascii_lowercase()), &request.action.to_ascii_lowercase())
    };
    let is_resource = |pattern: &String| {
        resolved(pattern, request).is_some_and(|pattern| matches_arn(&pattern, &request.resource))
    };
    names(&statement.actions, is_action)
        && names(&statement.resources, is_resource)
        && statement.conditions.iter().all(|condition| condition.holds(request, statement.effect))
}

fn names(elements: &Elements, is_it: impl Fn(&String) -> bool) -> bool {
    match elements {
        Elements::Only(texts) => texts.iter().any(is_it),
        Elements::Except(texts) => !texts.iter().any(is_it),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-central-1:111122223333:queue";
    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1";

    fn policy(statements: &Value) -> Policy {
        Policy::parse(&json!({"Version": "2012-10-17", "Statement": statements})).unwrap()
    }

    fn send() -> Request {
        Request::of_role("sender", "sqs:SendMessage", QUEUE)
    }

    /// What comes of a request under one statement of the role's own.
    fn by(statement: &Value) -> Decision {
        evaluate(&send(), [&policy(statement)], None)
    }

    fn allow(action: &str, resource: &str) -> Value {
        json!({"Effect": "Allow", "Action": action, "Resource": resource})
    }

    #[test]
    fn nothing_is_allowed_that_no_statement_allows() {
        assert_eq!(evaluate(&send(), [], None), Decision::NotAllowed);
        assert_eq!(by(&allow("sqs:ReceiveMessage", QUEUE)), Decision::NotAllowed);
        assert_eq!(
            by(&allow("sqs:SendMessage", "arn:aws:sqs:eu-central-1:111122223333:other")),
            Decision::NotAllowed
        );
        assert_eq!(by(&allow("sqs:SendMessage", QUEUE)), Decision::Allowed);
    }

    #[test]
    fn actions_have_wildcards_and_no_case_and_resources_have_both() {
        for action in ["SQS:sendmessage", "sqs:Send*", "sqs:*", "*", "s?s:SendMessag?"] {
            assert_eq!(by(&allow(action, QUEUE)), Decision::Allowed, "{action}");
        }
        assert_eq!(by(&allow("sqs:SendMessage", "arn:aws:sqs:*:111122223333:qu*")), Decision::Allowed);
        assert_eq!(by(&allow("sqs:SendMessage", "arn:aws:sqs:*:111122223333:QUEUE")), Decision::NotAllowed);
        assert_eq!(by(&allow("sqs:SendMessage", "arn:aws:sqs:*:queue")), Decision::NotAllowed);
    }

    #[test]
    fn not_action_and_not_resource_are_about_everything_else() {
        let not_action = |action: &str| json!({"Effect": "Allow", "NotAction": action, "Resource": "*"});
        assert_eq!(by(&not_action("sqs:ReceiveMessage")), Decision::Allowed);
        assert_eq!(by(&not_action("sqs:Send*")), Decision::NotAllowed);
        let not_resource =
            |resource: &str| json!({"Effect": "Allow", "Action": "sqs:*", "NotResource": resource});
        assert_eq!(by(&not_resource("arn:aws:sqs:*:*:other")), Decision::Allowed);
        assert_eq!(by(&not_resource(QUEUE)), Decision::NotAllowed);
    }

    #[test]
    fn a_statement_that_denies_wins_over_every_other_wherever_it_stands() {
        let deny = json!({"Effect": "Deny", "Action": "sqs:*", "Resource": "*"});
        assert_eq!(by(&json!([allow("*", "*"), deny])), Decision::Denied);
        let resource = policy(&json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": QUEUE}));
        assert_eq!(evaluate(&send(), [&policy(&allow("*", "*"))], Some(&resource)), Decision::Denied);
        let of_account = json!({"AWS": "arn:aws:iam::111122223333:root"});
        let resource =
            policy(&json!({"Effect": "Deny", "Principal": of_account, "Action": "*", "Resource": QUEUE}));
        assert_eq!(evaluate(&send(), [&policy(&allow("*", "*"))], Some(&resource)), Decision::Denied);
    }

    #[test]
    fn every_condition_of_a_statement_has_to_hold() {
        let statement = json!({
            "Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"StringEquals": {"A": "1", "b": "2"}, "Null": {"c": "true"}},
        });
        let request = |keys: &[&str]| {
            keys.iter().fold(send(), |request, key| request.with(key, &[if *key == "a" { "1" } else { "2" }]))
        };
        let decide = |keys: &[&str]| evaluate(&request(keys), [&policy(&statement)], None);
        assert_eq!(decide(&["a", "B"]), Decision::Allowed);
        assert_eq!(decide(&["a"]), Decision::NotAllowed);
        assert_eq!(decide(&["a", "b", "c"]), Decision::NotAllowed);
    }

    #[test]
    fn a_resources_policy_allows_a_role_that_it_names_and_leaves_the_account_to_its_own_policies() {
        let grants = |principal: Value| {
            let resource =
                policy(&json!({"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"}));
            evaluate(&send(), [], Some(&resource))
        };
        assert_eq!(grants(json!({"AWS": "arn:aws:iam::111122223333:role/sender"})), Decision::Allowed);
        assert_eq!(grants(json!("*")), Decision::Allowed);
        assert_eq!(grants(json!({"AWS": "*"})), Decision::Allowed);
        assert_eq!(grants(json!({"AWS": "111122223333"})), Decision::NotAllowed);
        assert_eq!(grants(json!({"AWS": "arn:aws:iam::111122223333:role/other"})), Decision::NotAllowed);
        assert_eq!(grants(json!({"Service": "events.amazonaws.com"})), Decision::NotAllowed);
    }

    #[test]
    fn only_a_resources_policy_allows_a_service_anything() {
        let request = Request::of_service("events.amazonaws.com", "sqs:SendMessage", QUEUE)
            .with("aws:SourceArn", &["arn:aws:events:r:1:rule/b/r"]);
        let grants = |service: &str| {
            let statement = json!({
                "Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": QUEUE,
                "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:events:r:1:rule/b/r"}},
            });
            evaluate(&request, [], Some(&policy(&statement)))
        };
        assert_eq!(grants("events.amazonaws.com"), Decision::Allowed);
        assert_eq!(grants("sns.amazonaws.com"), Decision::NotAllowed);
        assert_eq!(evaluate(&request, [&policy(&allow("*", "*"))], None), Decision::NotAllowed);
    }

    #[test]
    fn a_key_counts_a_roles_own_policies_only_when_its_policy_names_the_account() {
        let request = Request::of_role("reader", "kms:Decrypt", KEY);
        let own = policy(&allow("kms:Decrypt", KEY));
        let key = |principal: Value| {
            policy(&json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}))
        };
        let account = key(json!({"AWS": "arn:aws:iam::111122223333:root"}));
        let role = key(json!({"AWS": "arn:aws:iam::111122223333:role/reader"}));
        let other = key(json!({"AWS": "arn:aws:iam::444455556666:root"}));
        assert_eq!(evaluate(&request, [&own], Some(&account)), Decision::Allowed);
        assert_eq!(evaluate(&request, [], Some(&account)), Decision::NotAllowed);
        assert_eq!(evaluate(&request, [&own], Some(&other)), Decision::NotAllowed);
        assert_eq!(evaluate(&request, [&own], None), Decision::NotAllowed);
        assert_eq!(evaluate(&request, [], Some(&role)), Decision::Allowed);
    }

    #[test]
    fn only_its_trust_policy_says_who_may_assume_a_role() {
        let role = "arn:aws:iam::111122223333:role/r";
        let trust = json!({"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"});
        let service = |name| Request::of_service(name, "sts:AssumeRole", role);
        assert_eq!(evaluate(&service("states.amazonaws.com"), [], Some(&policy(&trust))), Decision::Allowed);
        assert_eq!(
            evaluate(&service("lambda.amazonaws.com"), [], Some(&policy(&trust))),
            Decision::NotAllowed
        );
        let by_role = Request::of_role("someone", "sts:AssumeRole", role);
        assert_eq!(
            evaluate(&by_role, [&policy(&allow("*", "*"))], Some(&policy(&trust))),
            Decision::NotAllowed
        );
    }
}
