//! `cargo orderbus mutants`: breaks the code under test on purpose, one line at a time, and sees the simulation fail, or the
//! test that the mutation names.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use serde_json::Value;

/// How long a simulation may take. Without a mutation it is over in a minute.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Makes each mutation of tests/simulation/mutants.toml in a copy of the sources and runs the simulation, or a test, on it.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus mutants")]
struct Arguments {
    /// Only the mutants whose name, file or test has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Only the mutants that a test has to catch: the simulation is not run.
    #[arg(long)]
    only_tests: bool,
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
    /// Found by going through every schedule of this small world; by seeds where neither this nor a test is named.
    world: Option<String>,
    /// Found by this test, where the simulation does not reach the code.
    test: Option<Test>,
}

/// A test that has to fail. It is an integration test, so that Cargo compiles one program for it and no other test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Test {
    file: PathBuf,
    name: String,
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
        let has = |part: &String| {
            let test = mutant.test.as_ref();
            mutant.name.contains(part)
                || mutant.file.to_string_lossy().contains(part)
                || test.is_some_and(|test| test.to_string().contains(part))
        };
        arguments.only.as_ref().is_none_or(has) && (mutant.test.is_some() || !arguments.only_tests)
    };
    let mutants: Vec<&Mutant> = list.mutant.iter().filter(is_meant).collect();
    ensure!(!mutants.is_empty(), "no mutant has that in its name, file or test");
    // All of them before the first, which is minutes before the last.
    mutants.iter().try_for_each(|mutant| mutant.made_in(&root).map(drop))?;
    let copy = Copy::of(&root)?;
    // What fails anyway shows nothing, and neither does a test that does not run.
    if mutants.iter().any(|mutant| mutant.test.is_none()) {
        copy.simulate(arguments.seeds, None)?.expect_held("the simulation")?;
    }
    let tests: BTreeSet<&Test> = mutants.iter().filter_map(|mutant| mutant.test.as_ref()).collect();
    for test in tests {
        copy.test(test)?.expect_held(&test.to_string())?;
    }
    say(&format!("{:<75} {:<9} {:>7}  what fell", "mutation", "verdict", "seconds"));
    let (mut caught, begun) = (0, Instant::now());
    for mutant in &mutants {
        let begun = Instant::now();
        let (verdict, what) = match copy.with(mutant, || copy.judge(mutant, arguments.seeds))? {
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

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file.display(), self.name)
    }
}

/// What came of one run.
#[derive(Debug, PartialEq, Eq)]
enum Tried {
    /// Every invariant held, or the test passed.
    Held,
    /// An invariant fell, or the test failed.
    Fell(String),
    /// It did not compile.
    NotBuilt(String),
    /// It ended otherwise, or not in time.
    BrokeOff(String),
}

impl Tried {
    /// An error unless everything held.
    fn expect_held(self, what: &str) -> Result<()> {
        match self {
            Self::Held => Ok(()),
            Self::Fell(how) => bail!("{what} fails without any mutation: {how}"),
            Self::NotBuilt(why) => bail!("{what} does not compile without any mutation: {why}"),
            Self::BrokeOff(why) => bail!("{what} breaks off without any mutation: {why}"),
        }
    }
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

    /// Runs what has to catch the mutation.
    fn judge(&self, mutant: &Mutant, seeds: u64) -> Result<Tried> {
        match &mutant.test {
            Some(test) => self.test(test),
            None => self.simulate(seeds, mutant.world.as_deref()),
        }
    }

    fn simulate(&self, seeds: u64, world: Option<&str>) -> Result<Tried> {
        let build = self.cargo("build", &["--bin", "sim"]).output()?;
        if !build.status.success() {
            return Ok(not_built(&build));
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

    /// Compiles the test first and runs it then, so that what does not compile is not taken for a test that fails.
    fn test(&self, test: &Test) -> Result<Tried> {
        let target = test.file.file_stem().and_then(OsStr::to_str).context("a test is in a Rust file")?;
        let build = self
            .cargo("test", &["--no-run", "--message-format", "json-render-diagnostics", "--test", target])
            .output()?;
        if !build.status.success() {
            return Ok(not_built(&build));
        }
        let source = self.sources.join(&test.file);
        let messages = String::from_utf8(build.stdout)?;
        let program = program_of(&messages, &source).with_context(|| format!("no program for {test}"))?;
        let package = source.ancestors().nth(2).context("a test is in a package")?;
        let mut command = Command::new(program);
        // As Cargo runs it.
        command.args(["--exact", &test.name]).current_dir(package).env("CARGO_MANIFEST_DIR", package);
        Ok(match output_of(&mut command)? {
            Some((_, said)) => outcome_of_test(&said),
            None => no_end(),
        })
    }

    /// A Cargo command on the whole workspace: what was compiled for that, with its features, is not compiled again.
    fn cargo(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args([subcommand, "--quiet", "--release", "--locked", "--workspace"])
            .args(["--target", &self.target])
            .args(arguments)
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.target_directory)
            // One line is changed, and everything generic over it is compiled in one large crate.
            .env("CARGO_INCREMENTAL", "1");
        // As the launcher does: some build scripts run again when the environment describes another package.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Tried> {
        let program = self.target_directory.join(&self.target).join("release/sim");
        Ok(match output_of(Command::new(program).args(arguments))? {
            Some((status, _)) if status.success() => Tried::Held,
            Some((status, said)) => {
                what_fell(&said).map_or_else(|| Tried::BrokeOff(status.to_string()), Tried::Fell)
            }
            None => no_end(),
        })
    }
}

/// How a program ended and what it said. `None` when it did not end in time.
fn output_of(command: &mut Command) -> Result<Option<(ExitStatus, String)>> {
    let said = tempfile::NamedTempFile::new()?;
    let stdout = said.reopen()?;
    let stderr = stdout.try_clone()?;
    let mut program = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()?;
    let begun = Instant::now();
    loop {
        match program.try_wait()? {
            Some(status) => {
                let said = String::from_utf8_lossy(&fs::read(said.path())?).into_owned();
                return Ok(Some((status, said)));
            }
            None if begun.elapsed() > PATIENCE => {
                program.kill()?;
                program.wait()?;
                return Ok(None);
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn no_end() -> Tried {
    Tried::BrokeOff(format!("no end in {} s", PATIENCE.as_secs()))
}

fn not_built(build: &Output) -> Tried {
    let text = text(build);
    let error = text.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    Tried::NotBuilt(shortened(error))
}

/// The program that Cargo compiled from this source, by the messages that it wrote.
fn program_of(messages: &str, source: &Path) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let is_it = message["target"]["src_path"].as_str().is_some_and(|path| Path::new(path) == source);
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    })
}

/// What became of one test, by what its program said. A program that ends without a result, such as for a stack overflow,
/// or that does not know the test, shows nothing.
fn outcome_of_test(said: &str) -> Tried {
    let result = said.lines().find(|line| line.starts_with("test result: ")).unwrap_or_default();
    if result.contains(" 1 passed; 0 failed;") {
        return Tried::Held;
    }
    if !result.contains(" 0 passed; 1 failed;") {
        return Tried::BrokeOff(if result.is_empty() { "no result".to_owned() } else { shortened(result) });
    }
    // `thread 'name' (7) panicked at file:1:2:`, and the message from the next line on.
    let mut lines = said.lines().skip_while(|line| !line.contains(" panicked at "));
    Tried::Fell(lines.nth(1).map(shortened).unwrap_or_default())
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
            let caught_by = mutant.test.as_ref().map(|test| format!(" `{}` |", test.name));
            let row =
                format!("| {} | `{}` |{}", mutant.name, mutant.file.display(), caught_by.unwrap_or_default());
            assert!(documentation.contains(&row), "{row}");
        }
        let told = documentation.lines().filter(|line| {
            line.starts_with("| ") && [".rs` |", ".yaml` |", ".sql` |"].iter().any(|file| line.contains(file))
        });
        assert_eq!(told.count(), list.mutant.len(), "one line a mutation");
    }

    #[test]
    fn every_kind_of_hole_has_a_mutation() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let list = List::of(&root).unwrap();
        let documentation = fs::read_to_string(root.join("docs/simulation.md")).unwrap();
        let (_, holes) = documentation.split_once("\n| Hole | Mutations |\n|---|---|\n").unwrap();
        let rows: Vec<&str> = holes.lines().take_while(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 15);
        for row in rows {
            let (_, names) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            for name in names.split("; ") {
                assert!(list.mutant.iter().any(|mutant| mutant.name == name), "{name}");
            }
        }
    }

    #[test]
    fn every_test_that_a_mutation_names_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for mutant in List::of(&root).unwrap().mutant {
            let Some(test) = mutant.test else { continue };
            assert_eq!(mutant.world, None, "{}: either a world or a test", mutant.name);
            let folder = test.file.parent().and_then(Path::file_name);
            assert_eq!(folder, Some(OsStr::new("tests")), "{test} is no integration test");
            let source = fs::read_to_string(root.join(&test.file)).unwrap();
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            let is_test = |pair: &[&str]| {
                let begins = [format!("fn {}(", test.name), format!("async fn {}(", test.name)];
                pair[0].starts_with("#[") && begins.iter().any(|begin| pair[1].starts_with(begin))
            };
            assert_eq!(lines.windows(2).filter(|pair| is_test(pair)).count(), 1, "{test}");
        }
    }

    #[test]
    fn only_a_test_that_ran_and_failed_fell() {
        let said = "running 1 test\nthread 'a' (7) panicked at a.rs:1:2:\nleft is not right\n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out";
        assert_eq!(outcome_of_test(said), Tried::Fell("left is not right".to_owned()));
        let passed =
            "running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        assert_eq!(outcome_of_test(passed), Tried::Held);
        let unknown =
            "running 0 tests\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out";
        assert!(matches!(outcome_of_test(unknown), Tried::BrokeOff(_)));
        assert!(matches!(outcome_of_test("fatal runtime error: stack overflow"), Tried::BrokeOff(_)));
    }

    #[test]
    fn the_program_of_a_test_is_that_of_its_source() {
        let message = |source: &str, program: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"src_path":"{source}"}},"executable":{program}}}"#
            )
        };
        let messages =
            [message("/a/tests/wire.rs", r#""/wire-1""#), message("/b/tests/wire.rs", r#""/wire-2""#)]
                .join("\n");
        assert_eq!(program_of(&messages, Path::new("/b/tests/wire.rs")), Some("/wire-2".into()));
        assert_eq!(program_of(&message("/a/src/lib.rs", "null"), Path::new("/a/src/lib.rs")), None);
    }

    #[test]
    fn what_fell_is_the_first_line_of_it() {
        let said = "a trace\nwhat fell:\n  stock is not conserved\n  and more\nfigures";
        assert_eq!(what_fell(said).as_deref(), Some("stock is not conserved"));
        assert_eq!(what_fell("killed"), None);
    }
}
