//! Policies as data: what a statement says, without saying yet whom it lets through.

use serde_json::Value;

use crate::condition::{Condition, ConditionError};

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// An element is missing, or is not what AWS takes.
    #[error("a statement's {0} is missing or malformed")]
    Malformed(&'static str),
    /// Both forms of an element are there, or neither.
    #[error("a statement has to have exactly one of {0} and Not{0}")]
    OneOf(&'static str),
    /// A condition is not understood here.
    #[error(transparent)]
    Condition(#[from] ConditionError),
}

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What it says, one after the other.
    pub statements: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name, if it has one.
    pub sid: Option<String>,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Whom it is about. `None` in the policy of an identity, which is about that identity.
    pub principals: Option<Principals>,
    /// Which actions.
    pub actions: Elements,
    /// Which resources. Everything, in a role's trust policy, which is about the role.
    pub resources: Elements,
    /// Under which conditions, all of which have to hold.
    pub conditions: Vec<Condition>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// One of these.
    Only(Vec<String>),
    /// None of these.
    Except(Vec<String>),
}

/// Whom a statement of a resource's policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    /// Everyone.
    Everyone,
    /// These.
    Only {
        /// Accounts, roles, users.
        aws: Vec<String>,
        /// Services of AWS.
        services: Vec<String>,
    },
}

impl Policy {
    /// Reads a policy document that has no intrinsic functions left in it.
    ///
    /// # Errors
    /// [`PolicyError`] when AWS would not take it, or when it is not understood here.
    pub fn parse(document: &Value) -> Result<Self, PolicyError> {
        let statements = listed(&document["Statement"]);
        let statements: Result<Vec<_>, _> = statements.into_iter().map(Statement::parse).collect();
        Ok(Self { statements: statements? })
    }
}

impl Statement {
    /// Reads one statement.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn parse(statement: &Value) -> Result<Self, PolicyError> {
        let effect = match statement["Effect"].as_str() {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(PolicyError::Malformed("Effect")),
        };
        let resources = if statement.get("Resource").is_none() && statement.get("NotResource").is_none() {
            Elements::Only(vec!["*".to_owned()])
        } else {
            elements(statement, "Resource", "NotResource")?
        };
        Ok(Self {
            sid: statement["Sid"].as_str().map(str::to_owned),
            effect,
            principals: statement.get("Principal").map(principals).transpose()?,
            actions: elements(statement, "Action", "NotAction")?,
            resources,
            conditions: Condition::parse_all(&statement["Condition"])?,
        })
    }

    /// Its name, or where it stands.
    #[must_use]
    pub fn name(&self, position: usize) -> String {
        self.sid.clone().unwrap_or_else(|| format!("statement {}", position + 1))
    }
}

impl Elements {
    /// The texts, whichever form.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        let (Self::Only(texts) | Self::Except(texts)) = self;
        texts
    }

    /// Without one of its texts. `None` when nothing is left, so that there can be no such statement.
    #[must_use]
    pub fn without(&self, index: usize) -> Option<Self> {
        let mut texts = self.texts().to_vec();
        texts.remove(index);
        if texts.is_empty() {
            return None;
        }
        Some(match self {
            Self::Only(_) => Self::Only(texts),
            Self::Except(_) => Self::Except(texts),
        })
    }
}

fn elements(statement: &Value, only: &'static str, except: &'static str) -> Result<Elements, PolicyError> {
    match (statement.get(only), statement.get(except)) {
        (Some(texts), None) => Ok(Elements::Only(strings(texts).ok_or(PolicyError::Malformed(only))?)),
        (None, Some(texts)) => Ok(Elements::Except(strings(texts).ok_or(PolicyError::Malformed(except))?)),
        _ => Err(PolicyError::OneOf(only)),
    }
}

fn principals(value: &Value) -> Result<Principals, PolicyError> {
    if value == "*" {
        return Ok(Principals::Everyone);
    }
    let of = |name: &str| match value.get(name) {
        None => Ok(Vec::new()),
        Some(texts) => strings(texts).ok_or(PolicyError::Malformed("Principal")),
    };
    let known = value
        .as_object()
        .is_some_and(|kinds| kinds.keys().all(|kind| ["AWS", "Service"].contains(&kind.as_str())));
    if !known {
        return Err(PolicyError::Malformed("Principal"));
    }
    let (aws, services) = (of("AWS")?, of("Service")?);
    Ok(if aws.iter().any(|principal| principal == "*") {
        Principals::Everyone
    } else {
        Principals::Only { aws, services }
    })
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// One text or several; `None` when there is anything else, or nothing.
pub(crate) fn strings(value: &Value) -> Option<Vec<String>> {
    let texts: Option<Vec<String>> = listed(value)
        .into_iter()
        .map(|text| match text {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            _ => None,
        })
        .collect();
    texts.filter(|texts| !texts.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_without_actions_or_with_both_forms_is_refused() {
        let refused =
            |statement: Value| Policy::parse(&json!({"Statement": statement})).unwrap_err().to_string();
        assert!(refused(json!({"Effect": "Allow", "Resource": "*"})).contains("exactly one of Action"));
        let both = json!({"Effect": "Allow", "Action": "a:b", "NotAction": "a:c", "Resource": "*"});
        assert!(refused(both).contains("exactly one of Action"));
        assert!(refused(json!({"Effect": "Perhaps", "Action": "a:b", "Resource": "*"})).contains("Effect"));
        assert!(refused(json!({"Effect": "Allow", "Action": [], "Resource": "*"})).contains("Action"));
        let federated =
            json!({"Effect": "Allow", "Principal": {"Federated": "x"}, "Action": "a:b", "Resource": "*"});
        assert!(refused(federated).contains("Principal"));
    }

    #[test]
    fn one_statement_may_stand_without_its_list() {
        let statement = json!({"Effect": "Allow", "Action": "a:b", "Resource": "*"});
        let policy = Policy::parse(&json!({"Statement": statement})).unwrap();
        assert_eq!(policy.statements[0].actions, Elements::Only(vec!["a:b".to_owned()]));
        assert_eq!(policy.statements[0].name(0), "statement 1");
    }
}
