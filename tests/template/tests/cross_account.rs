//! What other accounts may do with the bus: nothing, unless a parameter names them, and then little.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;

use contracts::EventType;
use serde_json::{Value, json};
use template_tests::template;

/// The statements of the bus's policy, by logical id.
fn statements(template: &Value) -> Vec<(String, Value)> {
    let resources = template["Resources"].as_object().unwrap().iter();
    let policies = resources.filter(|(_, resource)| resource["Type"] == "AWS::Events::EventBusPolicy");
    let all: Vec<_> =
        policies.map(|(id, policy)| (id.clone(), policy["Properties"]["Statement"].clone())).collect();
    assert_eq!(all.len(), 6);
    all
}

fn granting<'a>(statements: &'a [(String, Value)], action: &str) -> Vec<&'a (String, Value)> {
    let grants = |(_, statement): &&(String, Value)| {
        let actions = &statement["Action"];
        actions == action || actions.as_array().is_some_and(|actions| actions.contains(&json!(action)))
    };
    statements.iter().filter(grants).collect()
}

#[test]
fn nobody_is_let_in_whom_no_parameter_names() {
    let template = template("template.yaml");
    for (id, _) in statements(&template) {
        let condition = template["Resources"][&id]["Condition"].as_str().unwrap();
        let parameter = condition.strip_prefix("Has").unwrap();
        assert_eq!(template["Parameters"][parameter]["Default"], "", "{id}");
        let parts = template["Conditions"][condition]["And"].as_array().unwrap();
        assert_eq!(parts[0], json!({"Condition": "IsOnAws"}), "{id}");
        assert!(parts[1].to_string().contains(&format!(r#"{{"Ref":"{parameter}"}}"#)), "{id}: {}", parts[1]);
        assert!(parts[1]["Not"].is_array(), "{id}");
    }
}

#[test]
fn everyone_is_let_in_only_of_one_organization() {
    for (id, statement) in statements(&template("template.yaml")) {
        let accounts = &statement["Principal"]["AWS"];
        let organization = &statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"];
        if statement["Principal"] == "*" {
            assert_eq!(*organization, json!({"Ref": "SubscriberOrganization"}), "{id}");
        } else {
            assert!(accounts["Ref"].as_str().unwrap().ends_with("Accounts"), "{id}");
        }
    }
}

#[test]
fn rules_are_created_only_on_sources_that_are_open_to_others() {
    let template = template("template.yaml");
    let statements = statements(&template);
    for (id, statement) in granting(&statements, "events:PutRule") {
        let condition = &statement["Condition"];
        // ForAllValues holds of no value at all, too: of a pattern that names no source.
        assert_eq!(condition["Null"]["events:source"], "false", "{id}");
        let sources = &condition["ForAllValues:StringEquals"]["events:source"];
        assert_eq!(*sources, json!({"Ref": "SubscriberSources"}), "{id}");
        assert_eq!(statement["Action"], "events:PutRule", "{id}");
    }
    let sources = template["Parameters"]["SubscriberSources"]["Default"].as_str().unwrap();
    let sources: BTreeSet<&str> = sources.split(", ").collect();
    let known: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.source()).collect();
    assert!(sources.is_subset(&known), "{sources:?}");
    // Its events carry the tokens that answer a checkout.
    assert!(!sources.contains("payments"), "{sources:?}");
}

#[test]
fn an_account_looks_after_its_own_rules_and_no_others() {
    let statements = statements(&template("template.yaml"));
    let own = json!("${aws:PrincipalAccount}");
    for action in [
        "events:PutTargets",
        "events:RemoveTargets",
        "events:DeleteRule",
        "events:EnableRule",
        "events:DisableRule",
    ] {
        let granting = granting(&statements, action);
        assert_eq!(granting.len(), 2, "{action}");
        for (id, statement) in granting {
            assert_eq!(statement["Condition"]["StringEquals"]["events:creatorAccount"], own, "{id}");
            let rules = statement["Resource"]["Sub"].as_str().unwrap();
            assert!(rules.ends_with(":rule/${Bus}/*"), "{id}");
        }
    }
}

#[test]
fn a_producer_publishes_as_its_own_context_and_as_nobody_else() {
    let statements = statements(&template("template.yaml"));
    let mut granted: Vec<(String, String)> = granting(&statements, "events:PutEvents")
        .into_iter()
        .map(|(id, statement)| {
            assert_eq!(statement["Resource"], json!({"GetAtt": "Bus.Arn"}), "{id}");
            let accounts = statement["Principal"]["AWS"]["Ref"].as_str().unwrap().to_owned();
            let source = statement["Condition"]["StringEquals"]["events:source"].as_str().unwrap().to_owned();
            (accounts, source)
        })
        .collect();
    granted.sort();
    let expected = [("CarrierAccounts", "shipping"), ("PaymentProviderAccounts", "payments")];
    assert_eq!(granted, expected.map(|(accounts, source)| (accounts.to_owned(), source.to_owned())));
}
