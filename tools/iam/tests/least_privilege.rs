//! The template's roles, the recorded calls and the exceptions of this repository, held against one another.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use iam::calls::{Recorded, functions, name_of};
use iam::check::{Report, check};
use iam::{Exceptions, Template};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn recorded() -> Recorded {
    Recorded::parse(&read("tools/iam/calls.json")).unwrap()
}

fn exceptions() -> Exceptions {
    Exceptions::parse(&read("tools/iam/exceptions.toml")).unwrap()
}

/// The report on the template with its text changed: every one of these texts has to be there.
fn report_with(changes: &[(&str, &str)]) -> Report {
    let mut text = read("template.yaml");
    for (before, after) in changes {
        assert!(text.contains(before), "{before}");
        text = text.replacen(before, after, 1);
    }
    // The state machine lies beside the template.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("statemachines")).unwrap();
    fs::copy(
        root().join("statemachines/checkout.asl.json"),
        folder.path().join("statemachines/checkout.asl.json"),
    )
    .unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, text).unwrap();
    check(&Template::read(&path, &[]).unwrap(), &recorded(), &exceptions()).unwrap()
}

#[test]
fn every_call_is_allowed_and_every_right_is_needed() {
    let report = report_with(&[]);
    assert!(report.is_clean(), "{report:#?}");
    let roles: Vec<&String> = report.calls_by_role.keys().collect();
    let template = Template::read(&root().join("template.yaml"), &[]).unwrap();
    let all: Vec<&str> = template.of_type("AWS::IAM::Role").map(|(id, _)| id).collect();
    assert_eq!(roles, all, "every role makes calls");
    // A role's statement without which nothing is missed is unused, so each of these removals was missed.
    assert!(all.iter().all(|role| report.removals[*role] > 0), "{:#?}", report.removals);
    assert!(report.calls > 400 && report.calls_by_services > 100, "{report:#?}");
}

#[test]
fn every_function_of_the_template_is_recorded_and_no_other() {
    let template = Template::read(&root().join("template.yaml"), &[]).unwrap();
    let mut names: Vec<&str> = functions(&template).map(|(_, function)| name_of(function).unwrap()).collect();
    names.sort_unstable();
    assert_eq!(recorded().functions().collect::<Vec<_>>(), names, "`cargo orderbus iam record` writes them");
}

#[test]
fn a_right_that_is_missing_shows_as_the_calls_that_are_denied() {
    let report = report_with(&[(
        "Action: [dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem]",
        "Action: [dynamodb:PutItem, dynamodb:UpdateItem]",
    )]);
    assert_eq!(report.denied.len(), 1, "{:#?}", report.denied);
    assert!(
        report.denied[0].starts_with("InventoryUpdaterRole dynamodb:GetItem on arn:"),
        "{:?}",
        report.denied
    );
}

#[test]
fn a_right_that_no_call_needs_is_named() {
    for (before, after, unused) in [
        (
            "Action: sns:Publish\n                Resource: !Ref FulfilmentTopic",
            "Action: [sns:Publish, sns:Subscribe]\n                Resource: !Ref FulfilmentTopic",
            "ShippingNotifierRole, TellFulfilment: action sns:Subscribe",
        ),
        (
            "events:source: inventory\n",
            "events:source: [inventory, orders]\n",
            "InventoryUpdaterRole, PublishAsInventory: events:source orders",
        ),
        (
            "Resource: !GetAtt RedriveLedgerTable.Arn",
            "Resource: [!GetAtt RedriveLedgerTable.Arn, !GetAtt StockTable.Arn]",
            "DlqReprocessorRole, CountAttempts: resource arn:aws:dynamodb:eu-central-1:111122223333:table/StockTable",
        ),
        (
            "Action: [kms:Decrypt, kms:GenerateDataKey, kms:ReEncryptFrom, kms:ReEncryptTo]",
            "Action: [kms:Decrypt, kms:Sign, kms:GenerateDataKey, kms:ReEncryptFrom, kms:ReEncryptTo]",
            "Key, EventBridgeKeepsEventsEncrypted: action kms:Sign",
        ),
    ] {
        let report = report_with(&[(before, after)]);
        assert_eq!(report.denied, [""; 0], "{unused}");
        assert_eq!(report.unused.iter().map(ToString::to_string).collect::<Vec<_>>(), [unused]);
    }
}

#[test]
fn who_sends_to_a_queue_or_uses_the_key_is_held_to_the_resources_policies_too() {
    let denied = |before, after| report_with(&[(before, after)]).denied;
    // The key no longer names the account, so what the roles' own policies say of it counts for nothing.
    let root = "Principal: { AWS: !Sub 'arn:${AWS::Partition}:iam::${AWS::AccountId}:root' }";
    let by_roles = denied(root, "Principal: { AWS: !Sub 'arn:${AWS::Partition}:iam::444455556666:root' }");
    assert!(by_roles.iter().any(|call| call.starts_with("OrderApiRole kms:Decrypt")), "{by_roles:#?}");
    // A rule that the dead-letter queue does not know.
    let by_rule = denied("                  - !GetAtt OrderTrackerRule.Arn\n", "");
    assert_eq!(by_rule.len(), 1, "{by_rule:#?}");
    assert!(by_rule[0].starts_with("events.amazonaws.com sqs:SendMessage"), "{by_rule:#?}");
    // A role that its service cannot assume.
    let by_scheduler = denied(
        "Principal: { Service: scheduler.amazonaws.com }",
        "Principal: { Service: lambda.amazonaws.com }",
    );
    assert!(by_scheduler[0].starts_with("scheduler.amazonaws.com sts:AssumeRole"), "{by_scheduler:#?}");
}

#[test]
fn an_exception_that_is_none_is_an_error() {
    let template = Template::read(&root().join("template.yaml"), &[]).unwrap();
    let text = "[[right]]\nholder = 'OrderApiRole'\nstatement = 'StoreOrders'\npart = 'statement'\nreason = 'it is needed after all'";
    let report = check(&template, &recorded(), &Exceptions::parse(text).unwrap()).unwrap();
    assert_eq!(report.stale, ["OrderApiRole, StoreOrders: statement"]);
    assert!(!report.is_clean());
}
