//! What judges the state machines without deploying them: two validators of the Amazon States Language, and `TestState` on
//! this machine.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::node::NodePackages;
use crate::{Progress, repository};

/// What the validators and JSONata are pinned in.
const PINNED: &str = "tools/orderbus/src/state_machines";

const VALIDATE: &str = include_str!("state_machines/validate.js");
const TEST_STATE: &str = include_str!("state_machines/test_state.js");

/// Lets both validators judge every state machine of the template.
///
/// # Errors
/// With what they find, or when they cannot be installed.
pub fn judge(progress: &Progress) -> Result<()> {
    let machines = catalogue::state_machines(&repository::root())?;
    let definitions: Vec<Value> = machines.iter().map(|machine| machine.definition.clone()).collect();
    let findings = findings(&definitions, progress)?;
    let of_files = machines.iter().zip(&findings).flat_map(|(machine, findings)| {
        findings.iter().map(|finding| format!("\n  {}: {finding}", machine.file))
    });
    let all: String = of_files.collect();
    ensure!(all.is_empty(), "the validators of the Amazon States Language have findings:{all}");
    progress.say(format_args!("state machines: nothing found in {} of them", machines.len()));
    Ok(())
}

/// What the validators find in each definition.
///
/// # Errors
/// When they cannot be installed.
pub fn findings(definitions: &[Value], progress: &Progress) -> Result<Vec<Vec<String>>> {
    let answer = packages(progress)?.ask(VALIDATE, &json!(definitions))?;
    let findings: Vec<Vec<String>> = serde_json::from_value(answer).context("what the validators print")?;
    ensure!(findings.len() == definitions.len(), "the validators left a definition out");
    Ok(findings)
}

/// Runs single states of state machines, as `state_machines/test_state.js` says, and tells what came of each.
///
/// # Errors
/// When JSONata cannot be installed, or a test names no state.
pub fn test_states(machines: &[Value], tests: &[Value], progress: &Progress) -> Result<Vec<Value>> {
    let answer = packages(progress)?.ask(TEST_STATE, &json!({"machines": machines, "tests": tests}))?;
    serde_json::from_value(answer).context("what the tests of states print")
}

fn packages(progress: &Progress) -> Result<NodePackages> {
    const WHAT: &str = "Node, JSONata and validators of the Amazon States Language (100 MB)";
    NodePackages::ready("state-machines", PINNED, "requirements.txt", WHAT, progress)
}

#[cfg(test)]
mod tests;
