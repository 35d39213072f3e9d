//! What a rule's pattern says about an event's source, type and account, as far as that can be said here.

use serde_json::{Map, Value};

/// A rule's pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    source: Option<Vec<Test>>,
    detail_type: Option<Vec<Test>>,
    account: Option<Vec<Test>>,
    /// It asks for nothing else.
    is_complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    BeginsWith(String),
    EndsWith(String),
    IsNot(Vec<String>),
    /// Something that only EventBridge knows how to test.
    Unknown,
}

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It matches.
    Yes,
    /// It does not match.
    No,
    /// That depends on more than source, type and account: EventBridge has to be asked.
    Perhaps,
}

impl Pattern {
    /// Reads a pattern. One that cannot be read decides nothing.
    pub(crate) fn read(text: &str) -> Self {
        let members: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        // `$or` may overrule what stands beside it.
        let is_simple = !members.is_empty() && !members.contains_key("$or");
        let tests = |name: &str| {
            let tests = members.get(name)?.as_array()?;
            is_simple.then(|| tests.iter().map(Test::read).collect())
        };
        let is_known = |(name, tests): (&String, &Value)| {
            ["source", "detail-type", "account"].contains(&name.as_str()) && tests.is_array()
        };
        Self {
            text: text.to_owned(),
            source: tests("source"),
            detail_type: tests("detail-type"),
            account: tests("account"),
            is_complete: is_simple && members.iter().all(is_known),
        }
    }

    /// As EventBridge has it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches events of a source and type, from an account where that is known.
    pub(crate) fn verdict(&self, source: &str, detail_type: &str, account: Option<&str>) -> Verdict {
        let mut verdict = if self.is_complete { Verdict::Yes } else { Verdict::Perhaps };
        let all =
            [(&self.source, Some(source)), (&self.detail_type, Some(detail_type)), (&self.account, account)];
        for (tests, value) in all {
            let Some(tests) = tests else { continue };
            let verdict_of = |test: &Test| value.map_or(Verdict::Perhaps, |value| test.verdict(value));
            let verdicts: Vec<Verdict> = tests.iter().map(verdict_of).collect();
            if verdicts.contains(&Verdict::Yes) {
                continue;
            }
            if !verdicts.contains(&Verdict::Perhaps) {
                return Verdict::No;
            }
            verdict = Verdict::Perhaps;
        }
        verdict
    }
}

impl Test {
    fn read(value: &Value) -> Self {
        let texts = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        match value {
            Value::String(text) => Self::Is(text.clone()),
            Value::Object(test) if test.len() == 1 => {
                let known = text(test.get("prefix"))
                    .map(Self::BeginsWith)
                    .or_else(|| text(test.get("suffix")).map(Self::EndsWith))
                    .or_else(|| test.get("anything-but").and_then(texts).map(Self::IsNot));
                known.unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }

    fn verdict(&self, value: &str) -> Verdict {
        let matches = match self {
            Self::Is(text) => value == text,
            Self::BeginsWith(prefix) => value.starts_with(prefix.as_str()),
            Self::EndsWith(suffix) => value.ends_with(suffix.as_str()),
            Self::IsNot(texts) => texts.iter().all(|text| text != value),
            Self::Unknown => return Verdict::Perhaps,
        };
        if matches { Verdict::Yes } else { Verdict::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pattern: &str, detail_type: &str) -> Verdict {
        Pattern::read(pattern).verdict("orders", detail_type, Some("111122223333"))
    }

    #[test]
    fn an_account_is_decided_here_where_it_is_known() {
        use Verdict::{No, Perhaps, Yes};
        for (pattern, on_own, on_other, on_unknown) in [
            (r#"{"source":["orders"],"account":["111122223333"]}"#, Yes, No, Perhaps),
            (r#"{"account":[{"anything-but":["111122223333"]}]}"#, No, Yes, Perhaps),
            (r#"{"account":["111122223333"],"source":["payments"]}"#, No, No, No),
            (r#"{"account":["111122223333"],"detail":{"a":[1]}}"#, Perhaps, No, Perhaps),
            (r#"{"account":[]}"#, No, No, No),
        ] {
            let pattern = Pattern::read(pattern);
            let verdict = |account| pattern.verdict("orders", "orders.placed", account);
            let found = (verdict(Some("111122223333")), verdict(Some("444455556666")), verdict(None));
            assert_eq!(found, (on_own, on_other, on_unknown), "{}", pattern.text());
        }
    }

    #[test]
    fn a_pattern_of_source_and_type_is_decided_here() {
        use Verdict::{No, Yes};
        for (pattern, on_placed, on_lost) in [
            (r#"{"detail-type":["orders.placed","orders.paid"]}"#, Yes, No),
            (r#"{"source":[{"prefix":""}]}"#, Yes, Yes),
            (r#"{"source":["payments"]}"#, No, No),
            (r#"{"source":["orders"],"detail-type":[{"suffix":".placed"}]}"#, Yes, No),
            (r#"{"detail-type":[{"anything-but":["orders.lost"]}]}"#, Yes, No),
            (r#"{"detail-type":[{"anything-but":"orders.lost"}]}"#, Yes, No),
            (r#"{"detail-type":[]}"#, No, No),
        ] {
            assert_eq!(verdict(pattern, "orders.placed"), on_placed, "{pattern}");
            assert_eq!(verdict(pattern, "orders.lost"), on_lost, "{pattern}");
        }
    }

    #[test]
    fn what_asks_for_more_is_left_to_eventbridge_unless_source_or_type_rule_it_out() {
        use Verdict::{No, Perhaps, Yes};
        for (pattern, on_placed, on_lost) in [
            (r#"{"detail-type":["orders.placed"],"detail":{"subject":["o-1"]}}"#, Perhaps, No),
            (r#"{"detail-type":["orders.placed",{"wildcard":"*.l?st"}]}"#, Yes, Perhaps),
            (r#"{"detail-type":[{"anything-but":{"prefix":"x"}}]}"#, Perhaps, Perhaps),
            (
                r#"{"detail-type":["x"],"$or":[{"detail-type":["orders.placed"]},{"source":["y"]}]}"#,
                Perhaps,
                Perhaps,
            ),
            (r#"{"detail-type":"orders.placed"}"#, Perhaps, Perhaps),
            ("not JSON", Perhaps, Perhaps),
        ] {
            assert_eq!(verdict(pattern, "orders.placed"), on_placed, "{pattern}");
            assert_eq!(verdict(pattern, "orders.lost"), on_lost, "{pattern}");
        }
    }
}
