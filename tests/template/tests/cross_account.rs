//! What other accounts may do with the bus: nothing, unless a parameter names them, and then little; and how its events get to them.

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
    assert_eq!(all.len(), 2);
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
fn another_account_may_put_events_and_nothing_else() {
    let statements = statements(&template("template.yaml"));
    assert_eq!(granting(&statements, "events:PutEvents").len(), statements.len());
    for (id, statement) in &statements {
        assert_eq!(statement["Action"], "events:PutEvents", "{id}");
        assert!(statement["Principal"]["AWS"]["Ref"].as_str().unwrap().ends_with("Accounts"), "{id}");
    }
}

/// Whoever creates rules on a bus under a key needs `kms:Decrypt` on it
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-cmkey.html>); nobody elsewhere does.
#[test]
fn no_other_account_may_use_the_key() {
    let template = template("template.yaml");
    let key = &template["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"];
    let own = json!({"AWS": {"Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}});
    let of_accounts: Vec<&Value> = key
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| &statement["Principal"])
        .filter(|principal| principal["Service"].is_null())
        .collect();
    assert_eq!(of_accounts, [&own]);
}

const EXAMPLE: &str = "examples/loyalty-points";

/// What a rule of another account's could not lead to does not stand in the template for another account: it is that for the same
/// account, but for the bus.
#[test]
fn the_example_in_another_account_is_the_same_behind_a_bus_of_its_own() {
    let mut same = template(&format!("{EXAMPLE}/template.yaml"));
    let mut other = template(&format!("{EXAMPLE}/another-account.yaml"));
    let take = |template: &mut Value, section: &str, name: &str| {
        template[section].as_object_mut().unwrap().remove(name).unwrap()
    };
    let bus = take(&mut other, "Resources", "Bus");
    assert!(bus["Properties"]["KmsKeyIdentifier"].is_null());
    let policy = take(&mut other, "Resources", "BusPolicy");
    let statement = &policy["Properties"]["Statement"];
    assert_eq!(statement["Principal"], json!({"AWS": {"Ref": "OrderbusAccount"}}));
    assert_eq!(statement["Action"], "events:PutEvents");
    take(&mut other, "Parameters", "OrderbusAccount");
    take(&mut other, "Conditions", "IsElsewhere");
    take(&mut other, "Outputs", "BusArn");
    take(&mut same, "Parameters", "BusName");
    let bus_of_rule = |template: &mut Value| {
        let rule = &mut template["Resources"]["Rule"]["Properties"];
        rule.as_object_mut().unwrap().remove("EventBusName").unwrap()
    };
    assert_eq!(bus_of_rule(&mut same), json!({"Ref": "BusName"}));
    assert_eq!(bus_of_rule(&mut other), json!({"Ref": "Bus"}));
    assert_eq!(same, other);
}

#[test]
fn orderbus_sends_the_example_what_it_listens_to_and_has_a_queue_for_what_does_not_arrive() {
    let orderbus = template(&format!("{EXAMPLE}/orderbus.yaml"));
    let example = template(&format!("{EXAMPLE}/another-account.yaml"));
    let rule = &orderbus["Resources"]["Rule"]["Properties"];
    assert_eq!(rule["EventPattern"], example["Resources"]["Rule"]["Properties"]["EventPattern"]);
    let target = &rule["Targets"][0];
    assert_eq!(target["Arn"], json!({"Ref": "SubscriberBusArn"}));
    assert_eq!(target["RoleArn"], json!({"GetAtt": "Role.Arn"}));
    assert_eq!(target["DeadLetterConfig"]["Arn"], json!({"GetAtt": "DeadLetterQueue.Arn"}));
    let role = &orderbus["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    assert_eq!(role.as_array().unwrap().len(), 1);
    assert_eq!(role[0]["Action"], "events:PutEvents");
    assert_eq!(role[0]["Resource"], json!({"Ref": "SubscriberBusArn"}));
    // Events of payments carry the tokens with which a checkout is answered.
    assert_eq!(rule["EventPattern"]["source"], json!(["orders"]));
}

#[test]
fn a_producer_publishes_the_types_that_come_from_outside_and_no_other() {
    let statements = statements(&template("template.yaml"));
    let mut granted: Vec<(String, String)> = granting(&statements, "events:PutEvents")
        .into_iter()
        .map(|(id, statement)| {
            assert_eq!(statement["Resource"], json!({"GetAtt": "Bus.Arn"}), "{id}");
            let accounts = statement["Principal"]["AWS"]["Ref"].as_str().unwrap().to_owned();
            let condition = &statement["Condition"]["ForAllValues:StringEquals"];
            let source = condition["events:source"].as_str().unwrap().to_owned();
            let types = condition["events:detail-type"].as_array().unwrap();
            let types: BTreeSet<&str> = types.iter().map(|name| name.as_str().unwrap()).collect();
            let from_outside = EventType::ALL
                .iter()
                .filter(|event_type| event_type.source() == source && event_type.may_come_from_outside());
            let expected: BTreeSet<&str> = from_outside.map(|event_type| event_type.as_str()).collect();
            assert_eq!(types, expected, "{id}");
            (accounts, source)
        })
        .collect();
    granted.sort();
    let expected = [("CarrierAccounts", "shipping"), ("PaymentProviderAccounts", "payments")];
    assert_eq!(granted, expected.map(|(accounts, source)| (accounts.to_owned(), source.to_owned())));
}
