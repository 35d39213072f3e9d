//! `cargo orderbus mutants`: breaks the code under test on purpose, one line at a time, and sees the simulation fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;

/// Makes each mutation of tests/simulation/mutants.toml in a copy of the sources and runs the simulation on it.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus mutants")]
struct Arguments {
    /// Only the mutants whose name or file has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Try so many seeds on each.
    #[arg(long, default_value_t = 3_000)]
    seeds: u64,
}

#[derive(Debug, Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// One line, changed.
#[derive(Debug, Deserialize)]
struct Mutant {
    name: String,
    file: PathBuf,
    find: String,
    replace: String,
}

fn main() -> ExitCode {
    match try_all(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("orderbus: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// True when every mutant was caught.
fn try_all(arguments: &Arguments) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let list: List = toml::from_str(&fs::read_to_string(root.join("tests/simulation/mutants.toml"))?)?;
    let is_meant = |mutant: &&Mutant| {
        let has = |part: &String| mutant.name.contains(part) || mutant.file.to_string_lossy().contains(part);
        arguments.only.as_ref().is_none_or(has)
    };
    let mutants: Vec<&Mutant> = list.mutant.iter().filter(is_meant).collect();
    ensure!(!mutants.is_empty(), "no mutant has that in its name or file");
    let copy = Copy::of(&root)?;
    let sound = copy.simulate(arguments.seeds)?;
    ensure!(sound.status.success(), "the simulation fails without any mutation:\n{}", text(&sound));
    say(&format!("{:<75} {:<9} {:>7}  what fell", "mutation", "verdict", "seconds"));
    let mut caught = 0;
    for mutant in &mutants {
        let begun = Instant::now();
        let fallen = copy.with(mutant, || copy.simulate(arguments.seeds))?;
        let what = what_fell(&fallen);
        let verdict = match (fallen.status.success(), what.is_empty()) {
            (true, _) => "SURVIVED",
            (false, true) => "BROKE OFF",
            (false, false) => "caught",
        };
        caught += usize::from(verdict == "caught");
        let seconds = begun.elapsed().as_secs_f64();
        say(&format!("{:<75} {verdict:<9} {seconds:>7.1}  {}", mutant.name, what));
    }
    say(&format!("{:<24}{:>12}", "mutants", mutants.len()));
    say(&format!("{:<24}{caught:>12}", "caught"));
    Ok(caught == mutants.len())
}

/// A copy of the sources, compiled into the same place, so that nothing from elsewhere is compiled twice.
struct Copy {
    sources: tempfile::TempDir,
    target_directory: PathBuf,
    target: String,
}

impl Copy {
    fn of(root: &Path) -> Result<Self> {
        // This program is <target directory>/<target>/release/mutants.
        let program = std::env::current_exe()?;
        let mut above = program.ancestors().skip(2);
        let target =
            above.next().and_then(Path::file_name).context("start it with `cargo orderbus mutants`")?;
        let target = target.to_string_lossy().into_owned();
        let target_directory = above.next().context("start it with `cargo orderbus mutants`")?.to_path_buf();
        let sources = tempfile::Builder::new().prefix("orderbus-mutants-").tempdir()?;
        let files = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("git is needed to list the sources")?;
        ensure!(files.status.success(), "git cannot list the sources: {}", text(&files));
        for file in String::from_utf8(files.stdout)?.split_terminator('\0') {
            let (from, to) = (root.join(file), sources.path().join(file));
            // A file that is deleted and not yet committed as such is listed too.
            if from.is_file() {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::copy(&from, &to).with_context(|| file.to_owned())?;
            }
        }
        Ok(Self { sources, target_directory, target })
    }

    /// Makes the mutation, does something, and takes it back.
    fn with<T>(&self, mutant: &Mutant, then: impl FnOnce() -> Result<T>) -> Result<T> {
        let file = self.sources.path().join(&mutant.file);
        let sound = fs::read_to_string(&file).with_context(|| mutant.file.display().to_string())?;
        let found = sound.matches(&mutant.find).count();
        ensure!(
            found == 1,
            "{}: {:?} stands {found} times in {}, not once; bring mutants.toml up to date",
            mutant.name,
            mutant.find,
            mutant.file.display()
        );
        fs::write(&file, sound.replace(&mutant.find, &mutant.replace))?;
        let outcome = then().with_context(|| mutant.name.clone());
        fs::write(&file, sound)?;
        outcome
    }

    fn simulate(&self, seeds: u64) -> Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--locked", "--package", "simulation", "--bin", "sim"])
            .args(["--target", &self.target])
            .current_dir(self.sources.path())
            .env("CARGO_TARGET_DIR", &self.target_directory)
            .output()?;
        if !build.status.success() {
            bail!("a mutation must compile:\n{}", text(&build));
        }
        let program = self.target_directory.join(&self.target).join("release/sim");
        Ok(Command::new(program).args(["--seeds", &seeds.to_string()]).output()?)
    }
}

/// The first line of what fell.
fn what_fell(output: &Output) -> String {
    let text = text(output);
    let line = text.lines().skip_while(|line| *line != "what fell:").nth(1).unwrap_or_default().trim();
    line.chars().take(100).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[expect(clippy::print_stdout, reason = "a command speaks to people")]
fn say(line: &str) {
    println!("{line}");
}
