use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::evaluate::Request;

/// A call of a function, as far as IAM looks at it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What it does: `sqs:SendMessage`.
    pub action: String,
    /// To what, by ARN.
    pub resource: String,
    /// The condition keys that AWS makes of its content, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, Vec<String>>,
}

impl Call {
    /// A call without condition keys.
    #[must_use]
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: BTreeMap::new() }
    }

    /// With a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.context.insert(key.to_owned(), vec![value.to_owned()]);
        self
    }

    /// The request that a role makes by it. Every function speaks TLS to AWS; without it, it speaks to an emulator.
    #[must_use]
    pub fn request_of(&self, role: &str) -> Request {
        let request =
            Request::of_role(role, &self.action, &self.resource).with("aws:SecureTransport", &["true"]);
        self.context.iter().fold(request, |request, (key, values)| {
            request.with(key, &values.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }
}

/// The calls of every function, by the function's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recorded(BTreeMap<String, BTreeSet<Call>>);

impl Recorded {
    /// Reads what [`Recorded::print`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("the recorded calls cannot be read")
    }

    /// JSON with one line a call, so that a change shows as the calls that came and went.
    ///
    /// # Errors
    /// Never: texts can always be written as JSON.
    pub fn print(&self) -> Result<String> {
        let mut functions = Vec::new();
        for (function, calls) in &self.0 {
            let lines: Result<Vec<String>, _> = calls
                .iter()
                .map(|call| serde_json::to_string(call).map(|call| format!("    {call}")))
                .collect();
            functions.push(format!("  {}: [\n{}\n  ]", serde_json::to_string(function)?, lines?.join(",\n")));
        }
        Ok(format!("{{\n{}\n}}\n", functions.join(",\n")))
    }

    /// Adds the calls of a function.
    pub fn insert(&mut self, function: &str, calls: BTreeSet<Call>) {
        self.0.insert(function.to_owned(), calls);
    }

    /// The calls of a function. `None` when none were ever recorded.
    #[must_use]
    pub fn of(&self, function: &str) -> Option<&BTreeSet<Call>> {
        self.0.get(function)
    }

    /// The names of the functions.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What the other has and this has not, as lines for people.
    #[must_use]
    pub fn missing_of(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (function, calls) in &other.0 {
            let own = self.0.get(function);
            let missing = calls.iter().filter(|call| own.is_none_or(|own| !own.contains(*call)));
            lines.extend(
                missing.map(|call| {
                    format!("{function}: {} on {} {:?}", call.action, call.resource, call.context)
                }),
            );
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mut recorded = Recorded::default();
        let call = Call::new("events:PutEvents", "arn:bus").with("events:source", "orders");
        recorded.insert("a", BTreeSet::from([call.clone(), Call::new("sqs:SendMessage", "arn:queue")]));
        recorded.insert("b", BTreeSet::from([call]));
        let text = recorded.print().unwrap();
        assert_eq!(text.lines().count(), 9, "{text}");
        assert_eq!(Recorded::parse(&text).unwrap(), recorded);
        assert_eq!(Recorded::default().missing_of(&recorded).len(), 3);
        assert!(recorded.missing_of(&Recorded::default()).is_empty());
    }
}
