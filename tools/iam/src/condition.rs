//! Condition operators
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>), and those for
//! several values (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>).
//!
//! Understood are the operators on text, ARNs and Booleans, and `Null`, with `IfExists`, `ForAllValues` and `ForAnyValue`.
//! Any other is an error, so that a policy with one cannot be taken for one that was checked.

use serde_json::Value;

use crate::evaluate::Request;
use crate::pattern::{Token, matches, matches_arn, tokens};
use crate::policy::{Effect, strings};

/// A condition that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// The operator is unknown here.
    #[error("the condition operator {0} is not understood here: add it to tools/iam/src/condition.rs")]
    Operator(String),
    /// The values are no texts.
    #[error("the condition on {0} has no values")]
    Values(String),
    /// A variable that never ends.
    #[error("{0:?} begins a policy variable and does not end it")]
    Variable(String),
}

/// One condition: an operator, a key, and values of which one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// How the key's values are compared.
    operator: Operator,
    /// The key, in small letters: keys are the same in any.
    pub key: String,
    /// What is compared with.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    set: Option<Set>,
    test: Test,
    is_negated: bool,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    ForAll,
    ForAny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Null,
}

impl Condition {
    /// Reads a `Condition` element: operator to key to values.
    ///
    /// # Errors
    /// [`ConditionError`] for the first that cannot be evaluated.
    pub fn parse_all(element: &Value) -> Result<Vec<Self>, ConditionError> {
        let mut conditions = Vec::new();
        for (name, keys) in element.as_object().into_iter().flatten() {
            let operator = Operator::parse(name).ok_or_else(|| ConditionError::Operator(name.clone()))?;
            for (key, values) in keys.as_object().into_iter().flatten() {
                let values = strings(values).ok_or_else(|| ConditionError::Values(key.clone()))?;
                values.iter().try_for_each(|value| variables_end(value))?;
                conditions.push(Self { operator, key: key.to_ascii_lowercase(), values });
            }
        }
        Ok(conditions)
    }

    /// Without one of its values. `None` when it would be left with none.
    #[must_use]
    pub fn without(&self, index: usize) -> Option<Self> {
        let mut values = self.values.clone();
        values.remove(index);
        (!values.is_empty()).then(|| Self { values, ..self.clone() })
    }

    /// True when each value lets more requests through, so that one that no request needs is a right too much.
    #[must_use]
    pub fn widens_with_values(&self) -> bool {
        !self.operator.is_negated && self.operator.test != Test::Null
    }

    /// Whether it holds for a request.
    ///
    /// Several values of a key without a set operator are nothing that AWS documents a result for. Then nothing is allowed,
    /// and everything is denied.
    #[must_use]
    pub(crate) fn holds(&self, request: &Request, effect: Effect) -> bool {
        let Operator { set, test, is_negated, if_exists } = self.operator;
        let given: &[String] = request.values(&self.key);
        if test == Test::Null {
            let is_absent = given.is_empty();
            return self.values.iter().any(|value| (value == "true") == is_absent);
        }
        if given.is_empty() {
            return match set {
                Some(Set::ForAll) => true,
                Some(Set::ForAny) => if_exists,
                None => if_exists || is_negated,
            };
        }
        let holds_for = |given: &String| {
            let is_one = self.values.iter().any(|value| is(test, value, given, request));
            is_one != is_negated
        };
        match set {
            Some(Set::ForAll) => given.iter().all(holds_for),
            Some(Set::ForAny) => given.iter().any(holds_for),
            None if given.len() > 1 => effect == Effect::Deny,
            None => given.iter().all(holds_for),
        }
    }
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::ForAll), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::ForAny), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
        let (test, is_negated) = match rest {
            "StringEquals" => (Test::Equals, false),
            "StringNotEquals" => (Test::Equals, true),
            "StringEqualsIgnoreCase" => (Test::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::EqualsIgnoreCase, true),
            "StringLike" => (Test::Like, false),
            "StringNotLike" => (Test::Like, true),
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Bool" => (Test::Bool, false),
            // It asks whether there is a key, so it has neither values to go through nor a form for when there is none.
            "Null" if set.is_none() && !if_exists => (Test::Null, false),
            _ => return None,
        };
        Some(Self { set, test, is_negated, if_exists })
    }
}

fn is(test: Test, value: &str, given: &str, request: &Request) -> bool {
    // A variable without a value makes the whole comparison fail.
    let Some(pattern) = resolved(value, request) else { return false };
    match test {
        Test::Equals => text_of(&pattern).is_some_and(|text| text == given),
        Test::EqualsIgnoreCase => text_of(&pattern).is_some_and(|text| text.eq_ignore_ascii_case(given)),
        Test::Like => matches(&pattern, given),
        Test::Arn => matches_arn(&pattern, given),
        Test::Bool => value.eq_ignore_ascii_case(given),
        Test::Null => false,
    }
}

/// The text that a pattern stands for where wildcards mean nothing.
fn text_of(pattern: &[Token]) -> Option<String> {
    let character = |token: &Token| match token {
        Token::Is(character) => Some(*character),
        Token::Any => Some('*'),
        Token::One => Some('?'),
    };
    pattern.iter().map(character).collect()
}

/// A value with its policy variables filled in: `${aws:PrincipalAccount}`, with a default in quotes after a comma, and `${*}`,
/// `${?}` and `${$}` for the characters themselves
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>). What a variable stands for is no
/// pattern. `None` when a variable has no value, or more than one.
pub(crate) fn resolved(value: &str, request: &Request) -> Option<Vec<Token>> {
    let mut pattern = Vec::new();
    let mut rest = value;
    while let Some((before, variable)) = rest.split_once("${") {
        let (variable, after) = variable.split_once('}')?;
        pattern.extend(tokens(before));
        let (name, default) = match variable.split_once(',') {
            Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\''))),
            None => (variable, None),
        };
        let text = match (name, request.values(&name.to_ascii_lowercase()), default) {
            ("*" | "?" | "$", _, _) => name,
            (_, [text], _) => text.as_str(),
            (_, [], Some(default)) => default,
            _ => return None,
        };
        pattern.extend(text.chars().map(Token::Is));
        rest = after;
    }
    pattern.extend(tokens(rest));
    Some(pattern)
}

fn variables_end(value: &str) -> Result<(), ConditionError> {
    let ends = value.split("${").skip(1).all(|variable| variable.contains('}'));
    if ends { Ok(()) } else { Err(ConditionError::Variable(value.to_owned())) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether a condition holds for an Allow when the key `k` has these values.
    fn holds(operator: &str, values: &Value, given: &[&str]) -> bool {
        let conditions = Condition::parse_all(&json!({operator: {"K": values}})).unwrap();
        let request = Request::of_role("r", "a:b", "*").with("k", given).with("aws:PrincipalAccount", &["1"]);
        conditions[0].holds(&request, Effect::Allow)
    }

    #[test]
    fn one_of_the_values_is_enough_and_case_counts() {
        assert!(holds("StringEquals", &json!(["a", "b"]), &["b"]));
        assert!(!holds("StringEquals", &json!("a"), &["A"]));
        assert!(holds("StringEqualsIgnoreCase", &json!("a"), &["A"]));
        assert!(!holds("StringEquals", &json!("a*"), &["ab"]), "no wildcard here");
        assert!(holds("StringEquals", &json!("a:*"), &["a:*"]), "but the character itself");
        assert!(holds("StringLike", &json!("a?*"), &["abc"]));
        assert!(holds("Bool", &json!("false"), &["false"]) && holds("Bool", &json!(true), &["True"]));
    }

    #[test]
    fn a_negated_operator_holds_when_none_of_the_values_is_it() {
        assert!(holds("StringNotEquals", &json!(["a", "b"]), &["c"]));
        assert!(!holds("StringNotEquals", &json!(["a", "b"]), &["b"]));
        assert!(!holds("StringNotLike", &json!("a*"), &["ab"]));
        assert!(!holds("ArnNotLike", &json!("arn:aws:sqs:*:1:q"), &["arn:aws:sqs:r:1:q"]));
    }

    #[test]
    fn a_key_that_is_not_there_fails_what_is_not_negated_unless_it_says_if_exists() {
        assert!(!holds("StringEquals", &json!("a"), &[]));
        assert!(holds("StringNotEquals", &json!("a"), &[]));
        assert!(holds("StringEqualsIfExists", &json!("a"), &[]));
        assert!(!holds("StringEqualsIfExists", &json!("a"), &["b"]));
        assert!(!holds("Bool", &json!("false"), &[]), "a request that does not say that it is unencrypted");
    }

    #[test]
    fn null_asks_whether_there_is_a_key() {
        assert!(holds("Null", &json!("true"), &[]) && !holds("Null", &json!("true"), &["a"]));
        assert!(holds("Null", &json!("false"), &["a"]) && !holds("Null", &json!("false"), &[]));
    }

    #[test]
    fn for_all_values_also_holds_for_none_and_for_any_value_does_not() {
        assert!(holds("ForAllValues:StringEquals", &json!(["a", "b"]), &["a", "b", "a"]));
        assert!(!holds("ForAllValues:StringEquals", &json!(["a", "b"]), &["a", "c"]));
        assert!(holds("ForAllValues:StringEquals", &json!("a"), &[]));
        assert!(holds("ForAnyValue:StringEquals", &json!("a"), &["b", "a"]));
        assert!(!holds("ForAnyValue:StringEquals", &json!("a"), &["b", "c"]));
        assert!(!holds("ForAnyValue:StringEquals", &json!("a"), &[]));
    }

    #[test]
    fn several_values_without_a_set_operator_allow_nothing_and_deny_everything() {
        assert!(!holds("StringEquals", &json!(["a", "b"]), &["a", "b"]));
        let conditions = Condition::parse_all(&json!({"StringEquals": {"k": "a"}})).unwrap();
        let request = Request::of_role("r", "a:b", "*").with("k", &["b", "c"]);
        assert!(conditions[0].holds(&request, Effect::Deny));
    }

    #[test]
    fn arns_are_compared_part_by_part() {
        assert!(holds("ArnEquals", &json!("arn:aws:events:*:1:rule/*"), &["arn:aws:events:r:1:rule/bus/a"]));
        assert!(!holds("ArnLike", &json!("arn:aws:events:*:rule/*"), &["arn:aws:events:r:1:rule/bus/a"]));
    }

    #[test]
    fn a_variable_stands_for_its_value_and_for_no_pattern() {
        assert!(holds("StringEquals", &json!("${aws:PrincipalAccount}"), &["1"]));
        assert!(!holds("StringEquals", &json!("${aws:PrincipalAccount}"), &["2"]));
        assert!(!holds("StringLike", &json!("${aws:Nothing}*"), &["x"]), "no value, no match");
        assert!(holds("StringLike", &json!("${aws:Nothing, 'x'}*"), &["xy"]));
        assert!(
            holds("StringLike", &json!("a${*}"), &["a*"]) && !holds("StringLike", &json!("a${*}"), &["ab"])
        );
        assert!(Condition::parse_all(&json!({"StringEquals": {"k": "${aws:"}})).is_err());
    }

    #[test]
    fn an_operator_that_is_not_understood_is_an_error() {
        for operator in [
            "IpAddress",
            "DateLessThan",
            "NumericEquals",
            "ForSomeValues:StringEquals",
            "NullIfExists",
            "BoolNot",
        ] {
            assert!(Condition::parse_all(&json!({operator: {"k": "a"}})).is_err(), "{operator}");
        }
        assert!(Condition::parse_all(&json!({"StringEquals": {"k": []}})).is_err());
    }
}
