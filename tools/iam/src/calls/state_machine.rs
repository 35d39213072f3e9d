//! The calls that a state machine makes, read from its definition: what each task does is written there.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::recorded::Call;
use crate::template::{Template, scalar};

/// The tasks of a state machine as calls of its role, and whether one of them waits for a task token.
///
/// # Errors
/// When the definition cannot be read, or a task calls a service that is not understood here.
pub(crate) fn tasks(template: &Template, properties: &Value) -> Result<(Vec<Call>, bool)> {
    let definition = definition(template, properties)?;
    let mut tasks = Vec::new();
    collect(&definition["States"], &mut tasks);
    let (mut calls, mut waits) = (Vec::new(), false);
    for task in tasks {
        let resource = task["Resource"].as_str().unwrap_or_default();
        let integration =
            resource.split(":::").nth(1).with_context(|| format!("the task {resource} is not understood"))?;
        waits |= integration.ends_with(".waitForTaskToken");
        let integration = integration.split('.').next().unwrap_or_default();
        calls.extend(calls_of(template, integration, &task["Arguments"])?);
    }
    Ok((calls, waits))
}

fn definition(template: &Template, properties: &Value) -> Result<Value> {
    if let Some(inline) = properties.get("Definition") {
        return Ok(inline.clone());
    }
    let mut text = match &properties["DefinitionString"] {
        Value::String(text) => text.clone(),
        _ => {
            let file = properties["DefinitionS3Location"].as_str().context("it has no definition")?;
            template.file(file)?
        }
    };
    for (name, value) in properties["DefinitionSubstitutions"].as_object().into_iter().flatten() {
        text = text.replace(&format!("${{{name}}}"), &scalar(value));
    }
    serde_json::from_str(&text).context("its definition is no JSON after substitution")
}

/// Every task, also of the branches of a parallel state and of what a map goes through.
fn collect<'d>(states: &'d Value, tasks: &mut Vec<&'d Value>) {
    for state in states.as_object().into_iter().flat_map(|states| states.values()) {
        if state["Type"] == "Task" {
            tasks.push(state);
        }
        for branch in state["Branches"].as_array().into_iter().flatten() {
            collect(&branch["States"], tasks);
        }
        for inner in ["ItemProcessor", "Iterator"] {
            collect(&state[inner]["States"], tasks);
        }
    }
}

fn calls_of(template: &Template, integration: &str, arguments: &Value) -> Result<Vec<Call>> {
    let (service, operation) = integration.split_once(':').context("it names no operation")?;
    let named = |kind: &str, name: &str| {
        let mut all = template.of_type(kind);
        let found = all.find(|(id, properties)| {
            *id == name || properties["Name"] == name || template.arn(id).is_ok_and(|arn| arn == name)
        });
        found
            .map(|(id, _)| template.arn(id))
            .with_context(|| format!("{name} is no {kind} of the template"))?
    };
    match (service, operation) {
        ("dynamodb", operation) => {
            let table = named("AWS::DynamoDB::Table", &scalar(&arguments["TableName"]))?;
            Ok(vec![Call::new(format!("dynamodb:{}", capitalised(operation)), table)])
        }
        ("events", "putEvents") => {
            let entry = |entry: &Value| {
                let bus = named("AWS::Events::EventBus", &scalar(&entry["EventBusName"]))?;
                let call = Call::new("events:PutEvents", bus);
                Ok(call
                    .with("events:source", &scalar(&entry["Source"]))
                    .with("events:detail-type", &scalar(&entry["DetailType"])))
            };
            arguments["Entries"].as_array().into_iter().flatten().map(entry).collect()
        }
        _ => bail!(
            "the task {integration} is not understood here: add it to tools/iam/src/calls/state_machine.rs"
        ),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
