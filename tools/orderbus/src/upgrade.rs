//! What a deployment of one template over another would replace or remove on AWS, by CloudFormation's own rules.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::repository;
use crate::tools::Tools;

/// The template of the last release.
pub const RELEASED: &str = "tests/stack/released/template.yaml";

const REPLACED_RESOURCES: &str = include_str!("replaced_resources.py");

/// The types whose replacement loses something that a deployment does not bring back, and what.
const LOSSES: [(&str, &str); 11] = [
    ("AWS::ApiGatewayV2::Api", "the address that clients call"),
    ("AWS::DynamoDB::Table", "its items"),
    ("AWS::Events::Archive", "its events"),
    ("AWS::Events::EventBus", "the rules of others on it"),
    ("AWS::KMS::Key", "everything that is encrypted under it"),
    ("AWS::Kinesis::Stream", "its records"),
    ("AWS::Logs::LogGroup", "its logs"),
    ("AWS::S3::Bucket", "its objects"),
    ("AWS::SNS::Topic", "its subscribers"),
    ("AWS::SQS::Queue", "its messages"),
    ("AWS::StepFunctions::StateMachine", "its running executions"),
];

/// A resource that does not survive a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// Its logical id.
    pub resource: String,
    /// Such as `AWS::SQS::Queue`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What becomes of it.
    pub change: Removal,
    /// The property that cannot be changed in place. A resource that the template no longer has was not removed by one.
    pub property: Option<String>,
}

/// How a deployment takes a resource away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// CloudFormation creates another one and deletes this one.
    Replaced,
    /// CloudFormation deletes it.
    Removed,
}

impl Change {
    /// What would be lost with it, if anything.
    #[must_use]
    pub fn loss(&self) -> Option<&'static str> {
        LOSSES.iter().find(|(kind, _)| *kind == self.kind).map(|(_, loss)| *loss)
    }
}

impl Display for Change {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { resource, kind, change, property } = self;
        let removal = match change {
            Removal::Replaced => "replaced",
            Removal::Removed => "removed",
        };
        write!(formatter, "{resource} ({kind}) would be {removal}")?;
        match property {
            Some(property) => write!(formatter, ": {property} differs")?,
            None => write!(formatter, ": the new template does not have it")?,
        }
        match self.loss() {
            Some(loss) => write!(formatter, "; {loss} would be lost"),
            None => Ok(()),
        }
    }
}

/// Lists what a deployment of `after` over `before` replaces or removes, by the schemas of cfn-lint. SAM's resources are compared
/// as what they become.
///
/// # Errors
/// When one of the two cannot be read or has a type without a schema.
pub fn changes(before: &Path, after: &Path, tools: &Tools) -> Result<Vec<Change>> {
    let mut python = tools.command("python");
    python.args(["-c", REPLACED_RESOURCES]).args([before, after]).stdin(Stdio::null());
    let output = python.output().context("cannot start Python")?;
    ensure!(
        output.status.success(),
        "cannot compare the templates: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).context("the comparison of the templates cannot be read")
}

/// Refuses changes with which something would be lost.
///
/// # Errors
/// With one line for each of them.
pub fn judge(changes: &[Change]) -> Result<()> {
    let losses: Vec<String> =
        changes.iter().filter(|change| change.loss().is_some()).map(ToString::to_string).collect();
    ensure!(losses.is_empty(), "this deployment would lose data:\n{}", losses.join("\n"));
    Ok(())
}

/// A file where we are, or else of this repository.
#[must_use]
pub fn file(name: &Path) -> PathBuf {
    if name.exists() { name.to_path_buf() } else { repository::root().join(name) }
}
