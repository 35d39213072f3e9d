//! `cargo orderbus mutants`: breaks the code under test on purpose, one line at a time, and sees the simulation fail.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;

/// How long a simulation may take. Without a mutation it is over in a minute.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

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
    /// Found by going through every schedule of this small world; by seeds where none is named.
    world: Option<String>,
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
    let list = List::of(&root)?;
    let is_meant = |mutant: &&Mutant| {
        let has = |part: &String| mutant.name.contains(part) || mutant.file.to_string_lossy().contains(part);
        arguments.only.as_ref().is_none_or(has)
    };
    let mutants: Vec<&Mutant> = list.mutant.iter().filter(is_meant).collect();
    ensure!(!mutants.is_empty(), "no mutant has that in its name or file");
    // All of them before the first, which is minutes before the last.
    mutants.iter().try_for_each(|mutant| mutant.made_in(&root).map(drop))?;
    let copy = Copy::of(&root)?;
    match copy.simulate(arguments.seeds, None)? {
        Tried::Held => {}
        Tried::Fell(what) => bail!("the simulation fails without any mutation: {what}"),
        Tried::NotBuilt(why) => bail!("it does not compile without any mutation: {why}"),
        Tried::BrokeOff(why) => bail!("the simulation breaks off without any mutation: {why}"),
    }
    say(&format!("{:<75} {:<9} {:>7}  what fell", "mutation", "verdict", "seconds"));
    let (mut caught, begun) = (0, Instant::now());
    for mutant in &mutants {
        let begun = Instant::now();
        let (verdict, what) =
            match copy.with(mutant, || copy.simulate(arguments.seeds, mutant.world.as_deref()))? {
                Tried::Fell(what) => ("caught", what),
                Tried::Held => ("SURVIVED", String::new()),
                // What does not compile, or does not come to an end, shows nothing.
                Tried::NotBuilt(why) => ("NO BUILD", why),
                Tried::BrokeOff(why) => ("BROKE OFF", why),
            };
        caught += usize::from(verdict == "caught");
        let seconds = begun.elapsed().as_secs_f64();
        say(&format!("{:<75} {verdict:<9} {seconds:>7.1}  {what}", mutant.name));
    }
    say(&format!("{:<24}{:>12}", "mutants", mutants.len()));
    say(&format!("{:<24}{caught:>12}", "caught"));
    say(&format!("{:<24}{:>12.0}", "seconds", begun.elapsed().as_secs_f64()));
    Ok(caught == mutants.len())
}

impl List {
    fn of(root: &Path) -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(root.join("tests/simulation/mutants.toml"))?)?)
    }
}

impl Mutant {
    /// The file as it is there, and with the mutation.
    fn made_in(&self, sources: &Path) -> Result<(String, String)> {
        let Self { name, file, find, replace, .. } = self;
        let sound =
            fs::read_to_string(sources.join(file)).with_context(|| file.to_string_lossy().into_owned())?;
        let found = sound.matches(find.as_str()).count();
        ensure!(
            found == 1,
            "{name}: {find:?} stands {found} times in {}, not once; bring mutants.toml up to date",
            file.display()
        );
        let mutated = sound.replace(find, replace);
        ensure!(mutated != sound, "{name}: changes nothing");
        Ok((sound, mutated))
    }
}

/// What came of one run.
enum Tried {
    /// Every invariant held.
    Held,
    /// An invariant fell.
    Fell(String),
    /// It did not compile.
    NotBuilt(String),
    /// It ended otherwise, or not in time.
    BrokeOff(String),
}

/// A copy of the sources that stays where it is, so that only what changed since is compiled again. It is compiled into the
/// same place as the sources themselves, so that nothing from elsewhere is compiled twice.
struct Copy {
    sources: PathBuf,
    target_directory: PathBuf,
    target: String,
    /// Held as long as this lives: another run would mutate the same files.
    _lock: File,
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
        let own = target_directory.join("mutants");
        let sources = own.join("sources");
        fs::create_dir_all(&sources)?;
        let lock = File::create(own.join("lock"))?;
        ensure!(lock.try_lock().is_ok(), "mutants are being tried already: wait until that ends");
        let files = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("git is needed to list the sources")?;
        ensure!(files.status.success(), "git cannot list the sources: {}", text(&files));
        let files = String::from_utf8(files.stdout)?;
        // A file that is deleted and not yet committed as such is listed too. Cargo finds the settings of every folder above,
        // and would add up what stands there twice.
        let is_beside = !sources.starts_with(root);
        let is_meant = |file: &&Path| root.join(file).is_file() && (is_beside || !file.starts_with(".cargo"));
        let files: BTreeSet<&Path> = files.split_terminator('\0').map(Path::new).filter(is_meant).collect();
        for file in &files {
            copy_what_differs(&root.join(file), &sources.join(file)).with_context(|| format!("{file:?}"))?;
        }
        for left in files_in(&sources)? {
            if !files.contains(left.strip_prefix(&sources)?) {
                fs::remove_file(&left).with_context(|| format!("{left:?}"))?;
            }
        }
        Ok(Self { sources, target_directory, target, _lock: lock })
    }

    /// Makes the mutation, does something, and takes it back.
    fn with<T>(&self, mutant: &Mutant, then: impl FnOnce() -> Result<T>) -> Result<T> {
        let (sound, mutated) = mutant.made_in(&self.sources)?;
        let file = self.sources.join(&mutant.file);
        fs::write(&file, mutated)?;
        let outcome = then().with_context(|| mutant.name.clone());
        fs::write(&file, sound)?;
        outcome
    }

    fn simulate(&self, seeds: u64, world: Option<&str>) -> Result<Tried> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // Of the whole workspace: what was compiled for that, with its features, is not compiled again.
        build
            .args(["build", "--quiet", "--release", "--locked", "--workspace", "--bin", "sim"])
            .args(["--target", &self.target])
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.target_directory)
            // One line is changed, and everything generic over it is compiled in one large crate.
            .env("CARGO_INCREMENTAL", "1");
        // As the launcher does: some build scripts run again when the environment describes another package.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| text.starts_with(prefix)) {
                build.env_remove(name);
            }
        }
        let build = build.output()?;
        if !build.status.success() {
            let text = text(&build);
            let error = text.lines().find(|line| line.starts_with("error")).unwrap_or_default();
            return Ok(Tried::NotBuilt(shortened(error)));
        }
        if let Some(world) = world {
            return self.run(&["--exhaustive", "--world", world]);
        }
        // Most fall at once. What a few seeds do not find is looked for everywhere.
        match self.run(&["--only-seeds", "--seeds", "100"])? {
            Tried::Held => self.run(&["--seeds", &seeds.to_string()]),
            fallen => Ok(fallen),
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<Tried> {
        let program = self.target_directory.join(&self.target).join("release/sim");
        let said = tempfile::NamedTempFile::new()?;
        let stdout = said.reopen()?;
        let stderr = stdout.try_clone()?;
        let mut simulation = Command::new(program).args(arguments).stdout(stdout).stderr(stderr).spawn()?;
        let begun = Instant::now();
        let status = loop {
            match simulation.try_wait()? {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => {
                    simulation.kill()?;
                    simulation.wait()?;
                    return Ok(Tried::BrokeOff(format!("no end in {} s", PATIENCE.as_secs())));
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        if status.success() {
            return Ok(Tried::Held);
        }
        let said = fs::read_to_string(said.path())?;
        Ok(what_fell(&said).map_or_else(|| Tried::BrokeOff(status.to_string()), Tried::Fell))
    }
}

/// A file that is the same is left as it is, with its time: the compiler goes by that.
fn copy_what_differs(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|known| known == content) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    Ok(fs::write(to, content)?)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// The first line of what fell.
fn what_fell(said: &str) -> Option<String> {
    let line = said.lines().skip_while(|line| *line != "what fell:").nth(1)?;
    Some(shortened(line))
}

fn shortened(line: &str) -> String {
    line.trim().chars().take(100).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn say(line: &str) {
    terminal::say(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_can_be_made_and_is_in_the_documentation() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let list = List::of(&root).unwrap();
        let documentation = fs::read_to_string(root.join("docs/simulation.md")).unwrap();
        let mut made = BTreeSet::new();
        for mutant in &list.mutant {
            let (_, mutated) = mutant.made_in(&root).unwrap();
            assert!(made.insert((&mutant.file, mutated)), "{} is made twice", mutant.name);
            assert!(documentation.contains(&format!("| {} |", mutant.name)), "{}", mutant.name);
        }
        let told = documentation.lines().filter(|line| {
            line.starts_with("| ") && [".rs` |", ".yaml` |"].iter().any(|file| line.contains(file))
        });
        assert_eq!(told.count(), list.mutant.len(), "one line a mutation");
    }

    #[test]
    fn what_fell_is_the_first_line_of_it() {
        let said = "a trace\nwhat fell:\n  stock is not conserved\n  and more\nfigures";
        assert_eq!(what_fell(said).as_deref(), Some("stock is not conserved"));
        assert_eq!(what_fell("killed"), None);
    }
}
