//! What judges the crates of Cargo.lock: cargo-deny, by deny.toml and by a copy of the RustSec advisory database.
//!
//! The copy is git's pack of one commit, which is pinned by its id: git refuses a pack that says anything else. Nothing is
//! fetched, so that a commit passes or fails for good, without a network too.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use serde::Deserialize;

use crate::tools::{Tools, install_once};
use crate::{Progress, now, repository};

const REQUIREMENTS: &str = "tools/requirements-cargo-deny.txt";
/// Which commit of the database is in the pack.
const PIN: &str = "tools/advisory-db.toml";
const PACK: &str = "tools/advisory-db.pack";
/// Where cargo-deny looks for the database: its name, and a hash of its address.
const DATABASE: &str = "advisory-db-3157b0e258782691";
/// The platforms of deny.toml.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
const CHECKS: [&str; 4] = ["advisories", "bans", "licenses", "sources"];
/// A copy that is older is worth a word.
const OLD_DAYS: i64 = 90;
const RENEW: &str = "cargo orderbus dependencies renew-advisories";

/// What to do about the crates that everything is built on.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every crate as deny.toml says: known vulnerabilities, licences, second versions, sources
    Check,
    /// Fetch the newest commit of the RustSec advisory database into tools/advisory-db.pack
    RenewAdvisories {
        /// Another git repository than the one that tools/advisory-db.toml names
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
}

/// Does it.
///
/// # Errors
/// When a crate is not as deny.toml says, or when something cannot be installed, fetched, read or written.
pub fn run(command: &Command, progress: &Progress) -> Result<ExitCode> {
    let root = repository::root();
    match command {
        Command::Check => check(&root, progress)?,
        Command::RenewAdvisories { from } => {
            let work = repository::tools().join("advisory-db-new");
            let pin = renew(&root, from.as_deref(), &work)?;
            progress.say(format_args!("{PACK} and {PIN} are those of {}, commit {}", pin.date, pin.commit));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(root: &Path, progress: &Progress) -> Result<()> {
    let judge = Judge::ready(root, progress)?;
    let verdict = judge.judge(&metadata(root)?)?;
    for warning in summarized(&verdict.warnings) {
        progress.say(format_args!("warning: {warning}"));
    }
    let age_days = (now().unix_ms() / 1000 - judge.committed_at_s) / (24 * 60 * 60);
    if age_days > OLD_DAYS {
        progress.say(format_args!("warning: the advisories are {age_days} days old: `{RENEW}` renews them"));
    }
    if !verdict.errors.is_empty() {
        bail!("docs/dependencies.md says what to do about these:\n  {}", verdict.errors.join("\n  "));
    }
    progress.say(format_args!(
        "{} crates are as deny.toml says, by the advisories of {}",
        verdict.crates, judge.date
    ));
    Ok(())
}

/// What Cargo says of the crates that are built: those of Cargo.lock, less what is for other platforms and need not be here.
fn metadata(root: &Path) -> Result<Vec<u8>> {
    let mut cargo = Process::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--locked", "--format-version", "1"]).current_dir(root);
    TARGETS.iter().for_each(|target| {
        cargo.args(["--filter-platform", target]);
    });
    output(&mut cargo)
}

/// cargo-deny and the database, both installed.
#[derive(Debug)]
struct Judge {
    root: PathBuf,
    program: PathBuf,
    databases: PathBuf,
    date: String,
    committed_at_s: i64,
}

impl Judge {
    fn ready(root: &Path, progress: &Progress) -> Result<Self> {
        let packages = repository::tools().join("cargo-deny");
        let requirements = root.join(REQUIREMENTS);
        let wanted =
            fs::read_to_string(&requirements).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
        install_once(
            &packages.with_extension("lock"),
            &packages.with_extension("installed"),
            &wanted,
            || {
                progress.say("cargo-deny: installing it into .tools (10 MB)");
                remove(&packages)?;
                let tools = Tools::ready(progress)?;
                tools.install_into(&packages, &requirements, &packages.with_extension("log"), progress)
            },
        )?;

        let databases = repository::tools().join("advisory-db");
        let folder = databases.join(DATABASE);
        let pin = Pin::read(root)?;
        install_once(
            &databases.with_extension("lock"),
            &databases.with_extension("installed"),
            &pin.commit,
            || unpack(&root.join(PACK), &pin, &folder),
        )?;
        let committed_at_s = verify(&folder, &pin)?;
        let program = packages.join("bin/cargo-deny");
        Ok(Self { root: root.to_owned(), program, databases, date: pin.date, committed_at_s })
    }

    /// Judges what `cargo metadata` said.
    fn judge(&self, metadata: &[u8]) -> Result<Verdict> {
        let mut deny = Process::new(&self.program);
        deny.args(["--offline", "--format", "json", "--log-level", "warn"]);
        deny.arg("--config").arg(self.root.join("deny.toml"));
        deny.arg("--manifest-path").arg(self.root.join("Cargo.toml"));
        // By itself it would ask for the crates of all platforms.
        deny.args(["--metadata-path", "/dev/stdin", "check", "--deny", "unmatched-skip"]);
        deny.env("ORDERBUS_ADVISORIES", &self.databases).current_dir(&self.root);
        deny.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = deny.spawn().context("cannot start cargo-deny")?;
        let mut input = child.stdin.take().context("cargo-deny has no standard input")?;
        let output = thread::scope(|scope| {
            // Whether all of it was read shows in the verdict.
            scope.spawn(move || input.write_all(metadata).is_ok());
            child.wait_with_output()
        })
        .context("cargo-deny did not end")?;
        Verdict::read(&String::from_utf8_lossy(&output.stderr), output.status.success())
    }
}

/// What cargo-deny found.
#[derive(Debug, Default)]
struct Verdict {
    errors: Vec<String>,
    warnings: Vec<String>,
    crates: u64,
}

/// A line that cargo-deny prints.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "fields", rename_all = "lowercase")]
enum Line {
    Diagnostic(Diagnostic),
    Log(Log),
    Summary(BTreeMap<String, Counts>),
}

#[derive(Debug, Deserialize)]
struct Log {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Counts {
    errors: u64,
    /// A crate whose licence is allowed is one of these.
    helps: u64,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    severity: String,
    #[serde(default)]
    code: String,
    message: String,
    #[serde(default)]
    graphs: Vec<Graph>,
    #[serde(default)]
    labels: Vec<Label>,
    advisory: Option<Advisory>,
}

#[derive(Debug, Deserialize)]
struct Graph {
    #[serde(rename = "Krate")]
    package: Package,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Label {
    span: String,
}

#[derive(Debug, Deserialize)]
struct Advisory {
    id: String,
}

impl Diagnostic {
    fn describe(&self) -> String {
        let mut text = self.code.clone();
        for Graph { package } in &self.graphs {
            text += &format!(" {} {}", package.name, package.version);
        }
        text += &format!(": {}", self.message);
        match &self.advisory {
            Some(Advisory { id }) => text += &format!(": https://rustsec.org/advisories/{id}"),
            None => {
                if let Some(Label { span }) = self.labels.first() {
                    text += &format!(": {}", span.replace('\n', ", "));
                }
            }
        }
        text
    }
}

impl Verdict {
    /// A judge that did not look finds nothing, so what it says must hold together.
    fn read(lines: &str, ended_well: bool) -> Result<Self> {
        let (mut verdict, mut logs, mut summary) = (Self::default(), Vec::new(), BTreeMap::new());
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Line>(line).with_context(|| format!("cargo-deny says: {line}"))? {
                Line::Diagnostic(found) if found.severity == "error" => verdict.errors.push(found.describe()),
                Line::Diagnostic(found) if found.severity == "warning" => {
                    verdict.warnings.push(found.describe());
                }
                Line::Diagnostic(_) => {}
                Line::Log(log) => logs.push(log.message),
                Line::Summary(counts) => summary = counts,
            }
        }
        ensure!(summary.keys().eq(CHECKS), "cargo-deny did not get to its checks:\n{}", logs.join("\n"));
        verdict.crates = summary["licenses"].helps + summary["licenses"].errors;
        let counted: u64 = summary.values().map(|counts| counts.errors).sum();
        ensure!(verdict.crates > 0, "cargo-deny looked at no crate:\n{}", logs.join("\n"));
        ensure!(
            (counted == 0) == ended_well && verdict.errors.is_empty() == ended_well,
            "cargo-deny counts {counted} errors, names {}, and ended {}",
            verdict.errors.len(),
            if ended_well { "well" } else { "badly" }
        );
        Ok(verdict)
    }
}

/// Without a registry's index, the same warning comes for every crate.
fn summarized(warnings: &[String]) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut lines: Vec<String> = warnings.iter().take(SHOWN).cloned().collect();
    if warnings.len() > SHOWN {
        lines.push(format!("{} more", warnings.len() - SHOWN));
    }
    lines
}

/// A commit of the database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    repository: String,
    commit: String,
    date: String,
}

impl Pin {
    fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(PIN)).with_context(|| format!("cannot read {PIN}"))?;
        let pin: Self = toml::from_str(&text).context(PIN)?;
        let is_id = pin.commit.len() == 40 && pin.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure!(is_id, "{PIN}: {} is no commit", pin.commit);
        Ok(pin)
    }
}

/// Makes a work tree of the pack. git names every object by what is in it, so the pinned commit has the files that RustSec gave it.
fn unpack(pack: &Path, pin: &Pin, folder: &Path) -> Result<()> {
    create(folder)?;
    let pack = File::open(pack).with_context(|| format!("cannot read {}", pack.display()))?;
    output(git(folder).args(["index-pack", "--stdin"]).stdin(pack))
        .with_context(|| format!("{PACK} is damaged"))?;
    // The commits before it are not here. FETCH_HEAD is where cargo-deny looks first.
    for name in ["shallow", "FETCH_HEAD"] {
        fs::write(folder.join(".git").join(name), format!("{}\n", pin.commit))
            .with_context(|| format!("cannot write {name}"))?;
    }
    output(git(folder).args(["checkout", "--quiet", "--detach", &pin.commit]))
        .with_context(|| format!("{PACK} is not the whole of commit {}", pin.commit))?;
    Ok(())
}

/// That the work tree is the pinned commit, untouched. Says when that was committed.
fn verify(folder: &Path, pin: &Pin) -> Result<i64> {
    let changes = output(git(folder).args(["status", "--porcelain", "--ignored", "--untracked-files=all"]))?;
    ensure!(changes.is_empty(), "files in {} have changed: remove it", folder.display());
    let described = output(git(folder).args(["show", "--no-patch", "--format=%H %cs %ct", "HEAD"]))?;
    let described = String::from_utf8_lossy(&described).trim().to_owned();
    let committed_at_s = described.strip_prefix(&format!("{} {} ", pin.commit, pin.date));
    committed_at_s
        .and_then(|seconds| seconds.parse().ok())
        .with_context(|| format!("{PIN} names {} of {}, and git {described}", pin.commit, pin.date))
}

/// Takes the newest commit.
fn renew(root: &Path, from: Option<&str>, work: &Path) -> Result<Pin> {
    let old = Pin::read(root)?;
    create(work)?;
    let from = from.unwrap_or(&old.repository);
    output(git(work).args(["fetch", "--quiet", "--depth", "1", "--", from, "HEAD"]))
        .with_context(|| format!("cannot fetch {from}"))?;
    let described = output(git(work).args(["show", "--no-patch", "--format=%H %cs", "FETCH_HEAD"]))?;
    let described = String::from_utf8_lossy(&described).trim().to_owned();
    let (commit, date) = described.split_once(' ').context("git does not describe the commit")?;
    let new = Pin { commit: commit.to_owned(), date: date.to_owned(), ..old.clone() };

    let revisions = work.join("revisions");
    fs::write(&revisions, format!("{commit}\n")).context("cannot write the list of commits")?;
    let mut pack = git(work);
    // With one thread, the same commit is the same file.
    pack.args(["pack-objects", "--revs", "--stdout", "-q", "--no-reuse-delta", "--threads=1"]);
    pack.args(["--window=250", "--depth=50"]).stdin(File::open(&revisions)?);
    let pack = output(&mut pack)?;
    fs::write(root.join(PACK), pack).with_context(|| format!("cannot write {PACK}"))?;
    let text = fs::read_to_string(root.join(PIN)).with_context(|| format!("cannot read {PIN}"))?;
    let text = text.replace(&old.commit, commit).replace(&old.date, date);
    fs::write(root.join(PIN), text).with_context(|| format!("cannot write {PIN}"))?;
    remove(work)?;
    Ok(new)
}

/// Makes an empty git repository, in place of whatever is there.
fn create(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    output(git(folder).args(["init", "--quiet", "--template=", "--object-format=sha1"]))
        .context("cannot create a git repository")?;
    Ok(())
}

/// git in that folder, whatever repository the environment names.
fn git(folder: &Path) -> Process {
    let mut git = Process::new("git");
    git.arg("-C").arg(folder);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        git.env_remove(variable);
    }
    // Files are to be as they were committed.
    git.args(["-c", "core.autocrlf=false"]);
    git
}

/// What a command prints.
fn output(command: &mut Process) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, errors.trim());
    Ok(output.stdout)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
