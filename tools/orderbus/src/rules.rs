//! The rules of a stack: what each lets through, and why it does not let through a given event.

mod pattern;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_sdk_eventbridge::Client;
use catalogue::template;
use serde_json::{Value, json};

pub use pattern::{Mismatch, Pattern};

/// One rule of the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name; in a template its logical id.
    pub name: String,
    /// What it says it is for.
    pub description: String,
    /// Whether it lets anything through at all.
    pub is_enabled: bool,
    /// What it lets through. A schedule has none.
    pub pattern: Option<Value>,
    /// Where it leads.
    pub targets: Vec<String>,
}

/// What a rule makes of an event.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// Which rule.
    pub rule: &'a Rule,
    /// What does not match, of a pattern that can be understood. Nothing when the event matches.
    pub mismatches: Result<Vec<Mismatch>>,
    /// What makes the bus's own answer uncertain, see [`Pattern::doubts`].
    pub doubts: Vec<String>,
}

impl Verdict<'_> {
    /// Whether the event goes to the rule's targets.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.matches() && self.rule.is_enabled
    }

    fn matches(&self) -> bool {
        self.mismatches.as_ref().is_ok_and(Vec::is_empty)
    }
}

/// The rules of a template, which need not be deployed.
///
/// # Errors
/// When it cannot be read.
pub fn of_template(path: &Path) -> Result<Vec<Rule>> {
    Ok(in_template(&template::read_file(path)?))
}

fn in_template(template: &Value) -> Vec<Rule> {
    let resources = template["Resources"].as_object().into_iter().flatten();
    let rules = resources.filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule");
    let read = |(name, resource): (&String, &Value)| {
        let properties = &resource["Properties"];
        let targets = properties["Targets"].as_array().into_iter().flatten();
        Rule {
            name: name.clone(),
            description: text(&properties["Description"]),
            is_enabled: properties["State"] != "DISABLED",
            pattern: properties.get("EventPattern").cloned(),
            targets: targets.map(|target| text(&target["Arn"])).collect(),
        }
    };
    rules.map(read).collect()
}

/// A text; of a reference the name.
fn text(value: &Value) -> String {
    let name = value.as_str().or_else(|| value["Ref"].as_str()).or_else(|| value["GetAtt"].as_str());
    name.map_or_else(String::new, |name| name.trim_end_matches(".Arn").to_owned())
}

/// The rules that a bus has now, whichever stack they belong to.
///
/// # Errors
/// When AWS does not answer.
pub async fn deployed(client: &Client, bus_name: &str) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut next = None;
    loop {
        let request = client.list_rules().event_bus_name(bus_name).set_next_token(next);
        let page = request.send().await.context("cannot list the rules")?;
        for rule in page.rules() {
            let name = rule.name().unwrap_or_default().to_owned();
            let pattern = rule.event_pattern().map(serde_json::from_str).transpose();
            rules.push(Rule {
                description: rule.description().unwrap_or_default().to_owned(),
                is_enabled: rule.state().is_none_or(|state| state.as_str() != "DISABLED"),
                pattern: pattern.with_context(|| format!("the pattern of {name} is not JSON"))?,
                targets: targets(client, bus_name, &name).await?,
                name,
            });
        }
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rules)
}

async fn targets(client: &Client, bus_name: &str, rule: &str) -> Result<Vec<String>> {
    let request = client.list_targets_by_rule().event_bus_name(bus_name).rule(rule);
    let answer = request.send().await.with_context(|| format!("cannot list the targets of {rule}"))?;
    // Of an ARN people look for the last part.
    let name = |arn: &str| arn.rsplit(':').next().unwrap_or(arn).to_owned();
    Ok(answer.targets().iter().map(|target| name(target.arn())).collect())
}

/// What each rule makes of an event, as the bus delivers it.
#[must_use]
pub fn judge<'a>(rules: &'a [Rule], event: &Value) -> Vec<Verdict<'a>> {
    let verdict = |rule: &'a Rule| {
        let pattern = match &rule.pattern {
            Some(pattern) => Pattern::parse(pattern),
            None => Err(anyhow!("it has no pattern")),
        };
        let doubts = pattern.as_ref().map(|pattern| pattern.doubts(event)).unwrap_or_default();
        Verdict { rule, mismatches: pattern.map(|pattern| pattern.mismatches(event)), doubts }
    };
    rules.iter().map(verdict).collect()
}

/// One rule after the other, for people.
#[must_use]
pub fn list(rules: &[Rule]) -> String {
    let mut lines = String::new();
    for rule in rules {
        let state = if rule.is_enabled { "" } else { " (disabled)" };
        let pattern = rule.pattern.as_ref().map_or_else(|| "no pattern".to_owned(), Value::to_string);
        lines += &format!("{}{state} → {}\n", rule.name, rule.targets.join(", "));
        for line in [&rule.description, &pattern].into_iter().filter(|line| !line.is_empty()) {
            lines += &format!("    {line}\n");
        }
    }
    lines
}

/// The same for programs.
#[must_use]
pub fn list_json(rules: &[Rule]) -> Value {
    rules.iter().map(rule_json).collect()
}

fn rule_json(rule: &Rule) -> Value {
    json!({
        "name": rule.name,
        "description": rule.description,
        "enabled": rule.is_enabled,
        "pattern": rule.pattern,
        "targets": rule.targets,
    })
}

/// Who receives an event, and of the others why not, for people.
#[must_use]
pub fn verdicts(verdicts: &[Verdict<'_>]) -> String {
    let (delivered, others): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.is_delivered());
    let mut lines = format!("{} of {} rules let it through\n", delivered.len(), verdicts.len());
    for verdict in delivered {
        lines += &format!("✓ {} → {}\n", verdict.rule.name, verdict.rule.targets.join(", "));
        lines += &doubt_lines(verdict);
    }
    for verdict in others {
        lines += &format!("✗ {}\n", verdict.rule.name);
        match &verdict.mismatches {
            Ok(mismatches) if mismatches.is_empty() => lines += "    it matches, but the rule is disabled\n",
            Ok(mismatches) => lines += &mismatch_lines(mismatches, 4),
            Err(error) => lines += &format!("    {error:#}\n"),
        }
        lines += &doubt_lines(verdict);
    }
    lines
}

fn doubt_lines(verdict: &Verdict<'_>) -> String {
    verdict.doubts.iter().map(|doubt| format!("    warning: {doubt}\n")).collect()
}

fn mismatch_lines(mismatches: &[Mismatch], indent: usize) -> String {
    let mut lines = String::new();
    for Mismatch { path, wanted, found, alternatives } in mismatches {
        lines += &format!("{:indent$}{path}: wanted {wanted}, found {found}\n", "");
        for (number, alternative) in alternatives.iter().enumerate() {
            lines += &format!("{:indent$}  alternative {}\n", "", number + 1);
            lines += &mismatch_lines(alternative, indent + 4);
        }
    }
    lines
}

/// The same for programs.
#[must_use]
pub fn verdicts_json(verdicts: &[Verdict<'_>]) -> Value {
    let verdict = |verdict: &Verdict<'_>| {
        let mut rule = rule_json(verdict.rule);
        rule["delivered"] = verdict.is_delivered().into();
        match &verdict.mismatches {
            Ok(mismatches) => rule["mismatches"] = mismatches.iter().map(mismatch_json).collect(),
            Err(error) => rule["error"] = format!("{error:#}").into(),
        }
        if !verdict.doubts.is_empty() {
            rule["warnings"] = verdict.doubts.as_slice().into();
        }
        rule
    };
    verdicts.iter().map(verdict).collect()
}

fn mismatch_json(mismatch: &Mismatch) -> Value {
    let mut json = json!({"path": mismatch.path, "wanted": mismatch.wanted, "found": mismatch.found});
    if !mismatch.alternatives.is_empty() {
        let alternatives = mismatch.alternatives.iter();
        json["alternatives"] =
            alternatives.map(|one| one.iter().map(mismatch_json).collect::<Value>()).collect();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository;

    fn rules() -> Vec<Rule> {
        of_template(&repository::root().join("template.yaml")).unwrap()
    }

    fn rule(pattern: Value, is_enabled: bool) -> Rule {
        let (name, targets) = ("r".to_owned(), vec!["q".to_owned()]);
        Rule { name, description: String::new(), is_enabled, pattern: Some(pattern), targets }
    }

    #[test]
    fn every_pattern_of_the_template_is_understood() {
        let rules = rules();
        assert!(rules.len() >= 7, "{rules:?}");
        for rule in rules {
            assert!(Pattern::parse(&rule.pattern.unwrap()).is_ok(), "{}", rule.name);
            assert_eq!(rule.targets.len(), 1, "{}", rule.name);
        }
    }

    #[test]
    fn an_event_s_way_through_the_template_is_told() {
        let rules = rules();
        let event =
            json!({"source": "payments", "detail-type": "payments.payment-captured.v1", "detail": {}});
        let judged = judge(&rules, &event);
        let delivered: Vec<&str> = judged
            .iter()
            .filter(|verdict| verdict.is_delivered())
            .map(|verdict| verdict.rule.name.as_str())
            .collect();
        assert_eq!(delivered, ["EventArchiverRule", "OrderTrackerRule", "PaymentCallbackRule"]);
        let text = verdicts(&judged);
        let why_not = "✗ CheckoutRule\n    detail-type: wanted \"inventory.stock-reserved.v1\", found \"payments.payment-captured.v1\"\n";
        assert!(text.contains(why_not), "{text}");
        assert!(
            text.starts_with("3 of 7 rules let it through\n✓ EventArchiverRule → EventArchiverQueue\n"),
            "{text}"
        );
    }

    #[test]
    fn a_number_beyond_what_aws_documents_comes_with_a_warning() {
        let pattern = json!({
            "source": ["orders"],
            "detail": {"data": {"total": {"amountMinor": [{"numeric": [">", 100_000]}]}}},
        });
        let rules = [rule(pattern, true)];
        let event = |amount: Value| json!({"source": "orders", "detail": {"data": {"total": {"amountMinor": amount}}}});
        let warning = "detail.data.total.amountMinor: 7500000000 is outside of what AWS documents for numeric, \
                       -5.0e9 to 5.0e9 with at most 6 decimals: the bus may answer otherwise";

        let of_idr = event(json!(7_500_000_000_i64));
        let judged = judge(&rules, &of_idr);
        assert!(judged[0].is_delivered());
        assert_eq!(
            verdicts(&judged),
            format!("1 of 1 rules let it through\n✓ r → q\n    warning: {warning}\n")
        );
        assert_eq!(verdicts_json(&judged)[0]["warnings"], json!([warning]));

        let usual = event(json!(5_000_000_000_i64));
        let judged = judge(&rules, &usual);
        assert!(judged[0].is_delivered() && judged[0].doubts.is_empty(), "{judged:?}");
        assert_eq!(verdicts_json(&judged)[0].get("warnings"), None);
    }

    #[test]
    fn a_disabled_rule_delivers_nothing() {
        let rules = [rule(json!({"source": ["a"]}), false)];
        let judged = judge(&rules, &json!({"source": "a"}));
        assert!(!judged[0].is_delivered());
        assert!(verdicts(&judged).contains("it matches, but the rule is disabled"));
    }

    #[test]
    fn a_pattern_that_is_not_understood_is_no_match_and_told_of() {
        let rules = [rule(json!({"source": [{"starts-with": "a"}]}), true)];
        let judged = judge(&rules, &json!({"source": "a"}));
        assert!(!judged[0].is_delivered());
        assert!(verdicts(&judged).contains("EventBridge knows no such comparison"), "{}", verdicts(&judged));
    }

    #[test]
    fn programs_are_told_the_same() {
        let rules = [rule(json!({"$or": [{"a": [1]}, {"b": [2]}]}), true)];
        let told = verdicts_json(&judge(&rules, &json!({"a": 3})));
        assert_eq!(told[0]["delivered"], false);
        assert_eq!(
            told[0]["mismatches"][0]["alternatives"],
            json!([[{"path": "a", "wanted": "1", "found": "3"}], [{"path": "b", "wanted": "2", "found": "nothing"}]])
        );
    }
}
