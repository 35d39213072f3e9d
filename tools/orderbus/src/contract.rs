//! `orderbus contracts`: what is made of the contracts, and what may change in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};
use std::{fs, str};

use anyhow::{Context, Result, bail, ensure};
use catalogue::{BASELINE, Change, SCHEMAS, compare, print, read_schemas, schemas, template};
use clap::Subcommand;
use contracts::EventType;
use serde_json::Value;

use crate::types::TypesLanguage;
use crate::{Progress, repository, types};

/// What to do with the contracts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write all that is made of the contracts
    Write,
    /// Tell what changed in the contracts, whom it breaks, and who listens. Fails when a change needs a new version
    Check {
        /// What to compare with: a folder of schemas, or a git revision. What was published last unless given
        #[arg(long, value_name = "REVISION OR FOLDER")]
        against: Option<String>,
    },
    /// Publish the contracts as they are: from now on changes are compared with these
    Release,
    /// Make types of all events for another language
    Types {
        /// Which language
        #[arg(long, value_enum)]
        lang: TypesLanguage,
        /// The folder to write them into, as orderbus-events.ts or orderbus_events.py. Printed unless given
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

/// Does it.
///
/// # Errors
/// When a file cannot be read or written, or a change may not be published.
pub fn run(command: Command, progress: &Progress) -> Result<ExitCode> {
    let root = repository::root();
    match command {
        Command::Write => {
            let written = catalogue::write(&root)?;
            written.iter().for_each(|name| progress.say(name));
            progress.say(format_args!("{} files were out of date", written.len()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { against } => {
            let against = against.as_deref().unwrap_or(BASELINE);
            let changes = compare(&schemas_of(&root, against)?, &schemas());
            progress.show(report(&root, against, &changes)?);
            let is_breaking = changes.iter().any(|change| change.effect.is_breaking());
            Ok(if is_breaking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Release => {
            let baseline = root.join(BASELINE);
            if baseline.is_dir() && fs::read_dir(&baseline)?.next().is_some() {
                let changes = compare(&read_schemas(&baseline)?, &schemas());
                let broken = changes.iter().find(|change| change.effect.is_breaking());
                if let Some(change) = broken {
                    bail!("{}: {} {}; it needs a new version", change.event_type, change.path, change.what);
                }
            }
            fs::create_dir_all(&baseline).with_context(|| format!("cannot create {BASELINE}"))?;
            for (name, schema) in schemas() {
                let path = baseline.join(format!("{name}.json"));
                fs::write(&path, print(&schema))
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            progress.say(format_args!("{} types are published in {BASELINE}", EventType::ALL.len()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Types { lang, out: None } => {
            // What is printed is the types alone.
            progress.show(types::generate(lang, &Progress::new(|line| terminal::complain(line)))?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Types { lang, out: Some(folder) } => {
            let text = types::generate(lang, progress)?;
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let file = folder.join(lang.file_name());
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            progress.say(format_args!("written: {}", file.display()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The schemas in a folder, or in a revision of git.
fn schemas_of(root: &Path, against: &str) -> Result<BTreeMap<String, Value>> {
    let folder = root.join(against);
    if folder.is_dir() {
        return read_schemas(&folder);
    }
    ensure!(!against.starts_with('-'), "{against} is neither a folder nor a revision");
    let folder = format!("{against}:{SCHEMAS}");
    let listing = git(root, &["ls-tree", "--name-only", &folder])
        .with_context(|| format!("{against} is neither a folder nor a revision with {SCHEMAS}"))?;
    let mut schemas = BTreeMap::new();
    for name in listing.lines() {
        let Some(event_type) = name.strip_suffix(".json") else { continue };
        let text = git(root, &["show", &format!("{folder}/{name}")])?;
        let schema = serde_json::from_str(&text).with_context(|| format!("{folder}/{name}"))?;
        schemas.insert(event_type.to_owned(), schema);
    }
    Ok(schemas)
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output =
        Process::new("git").args(arguments).current_dir(root).output().context("cannot start git")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", arguments.join(" "), error.trim());
    Ok(str::from_utf8(&output.stdout)?.to_owned())
}

fn report(root: &Path, against: &str, changes: &[Change]) -> Result<String> {
    if changes.is_empty() {
        return Ok(format!("the contracts are those of {against}: {} types", EventType::ALL.len()));
    }
    let listeners = template::listeners(root)?;
    let mut lines = Vec::new();
    let mut last = "";
    for change in changes {
        if change.event_type != last {
            last = &change.event_type;
            let source = last.split('.').next().unwrap_or_default();
            let mut heard_by = Vec::new();
            for listener in &listeners {
                if listener.hears(source, last)? {
                    heard_by.push(format!("{} ({})", listener.name, listener.rule));
                }
            }
            let heard_by = if heard_by.is_empty() { "nobody".to_owned() } else { heard_by.join(", ") };
            lines.push(format!("{last}\n  listening: {heard_by}"));
        }
        let path = if change.path.is_empty() { "the event" } else { &change.path };
        lines.push(format!("  {path}: {}: {}", change.what, change.effect.describe()));
    }
    let breaking = changes.iter().filter(|change| change.effect.is_breaking()).count();
    let noun = if changes.len() == 1 { "change" } else { "changes" };
    lines.push(format!("{} {noun} against {against}, {breaking} breaking", changes.len()));
    if breaking > 0 {
        lines.push("a breaking change is a new version of the type, beside the old one".to_owned());
    }
    Ok(lines.join("\n"))
}
