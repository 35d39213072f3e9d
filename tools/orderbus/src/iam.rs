//! `orderbus iam`: whether the template's roles allow every call that is made, and nothing else.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use iam::calls::Recorded;
use iam::check::{Report, check};
use iam::{Exceptions, Template, record};

use crate::{Progress, repository};

/// The recorded calls.
const CALLS: &str = "tools/iam/calls.json";
/// What is found and is right.
const EXCEPTIONS: &str = "tools/iam/exceptions.toml";

/// What to do about permissions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that template.yaml allows every recorded call, and no right that no call needs
    Check,
    /// Run every function against a stand-in for AWS and record its calls in tools/iam/calls.json
    Record {
        /// Write nothing; fail when the recorded calls are not the ones that the functions make
        #[arg(long)]
        verify: bool,
    },
}

/// Does it.
///
/// # Errors
/// When a file cannot be read or written, or a function cannot be recorded.
pub fn run(command: &Command, progress: &Progress) -> Result<ExitCode> {
    let root = repository::root();
    let exceptions = Exceptions::parse(&read(&root, EXCEPTIONS)?)?;
    match command {
        Command::Check => {
            let template = Template::read(&root.join("template.yaml"), &[])?;
            let report = check(&template, &Recorded::parse(&read(&root, CALLS)?)?, &exceptions)?;
            progress.show(render(&report));
            Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Record { verify } => {
            // The functions lie beside this program: both are built together.
            let program = std::env::current_exe().context("where is this program?")?;
            let programs = program.parent().context("this program lies nowhere")?;
            let recorded = record::record(&root, programs, &exceptions, now_ms, |line| progress.say(line))?;
            if *verify {
                return compare(&Recorded::parse(&read(&root, CALLS)?)?, &recorded, progress);
            }
            fs::write(root.join(CALLS), recorded.print()?)
                .with_context(|| format!("cannot write {CALLS}"))?;
            progress.say(format_args!("written: {CALLS}"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(crate::now().unix_ms()).unwrap_or_default()
}

fn read(root: &Path, name: &str) -> Result<String> {
    fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))
}

fn compare(committed: &Recorded, recorded: &Recorded, progress: &Progress) -> Result<ExitCode> {
    let (new, gone) = (committed.missing_of(recorded), recorded.missing_of(committed));
    new.iter().for_each(|line| progress.say(format_args!("new: {line}")));
    gone.iter().for_each(|line| progress.say(format_args!("gone: {line}")));
    if !new.is_empty() || !gone.is_empty() {
        bail!("{CALLS} is out of date: `cargo orderbus iam record` writes it");
    }
    progress.say(format_args!("{CALLS} is up to date"));
    Ok(ExitCode::SUCCESS)
}

fn render(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut list = |heading: &str, items: Vec<String>| {
        if !items.is_empty() {
            lines.push(heading.to_owned());
            lines.extend(items.iter().map(|item| format!("  {item}")));
        }
    };
    list("Denied calls. Add the right to the role, or mend the call:", report.denied.clone());
    let unused = report.unused.iter().map(ToString::to_string).collect();
    list("Unused rights. Remove each, or list it with a reason in tools/iam/exceptions.toml:", unused);
    list(
        "Exceptions that are none any more. Remove them from tools/iam/exceptions.toml:",
        report.stale.clone(),
    );
    let by_roles: usize = report.calls_by_role.values().sum();
    let (of_roles, of_resources) = report.statements;
    let removals: usize = report.removals.values().sum();
    lines.push(format!(
        "{} calls: {by_roles} of {} roles, {} of services of AWS",
        report.calls,
        report.calls_by_role.len(),
        report.calls_by_services
    ));
    lines.push(format!(
        "{} Allow statements: {of_roles} of roles, {of_resources} of resources",
        of_roles + of_resources
    ));
    lines.push(format!(
        "{removals} rights removed one at a time, {} not missed by any call",
        report.unused.len() + report.excepted
    ));
    lines.push(format!(
        "denied calls {}, unused rights {}, exceptions {}",
        report.denied.len(),
        report.unused.len(),
        report.excepted
    ));
    lines.join("\n")
}
