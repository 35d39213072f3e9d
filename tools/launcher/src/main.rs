//! What `cargo orderbus` runs: builds the whole workspace once, then becomes the tool.
//!
//! It depends on `terminal` alone, which has no dependencies, so that it compiles in a second and the first line appears at once.
//!
//! Everything that runs is compiled by ONE `cargo build`: the functions, the example, the tool. It takes the
//! target that `cargo lambda build` would take, and `.cargo/config.toml` the flags, so that `sam build` finds every
//! crate fresh.
//! `cargo orderbus test` goes through the same steps as the continuous integration, the quick ones first; `bench`,
//! `chaos`, `mutants` and `sim` are programs of the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

use terminal::complain;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome =
        Build::of_this_machine().and_then(|build| match arguments.first().and_then(|first| first.to_str()) {
            Some("test") => build.test(&arguments[1..]),
            // Programs of the tests: what they do, their own help says.
            Some(program @ ("bench" | "chaos" | "mutants" | "sim")) => build.run(program, &arguments[1..]),
            _ => build.run("orderbus", &arguments),
        });
    match outcome {
        Ok(code) => code,
        Err(message) => {
            complain(format_args!("orderbus: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// How every crate is compiled here.
struct Build {
    cargo: OsString,
    root: PathBuf,
    target_directory: PathBuf,
    target: String,
}

impl Build {
    /// The same target that `cargo lambda build` chooses on this machine.
    fn of_this_machine() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err(
                "the functions run as native Linux programs: use Linux, or WSL 2 on Windows".to_owned()
            );
        }
        if !["x86_64", "aarch64"].contains(&std::env::consts::ARCH) {
            return Err(format!("AWS Lambda has no {} processors", std::env::consts::ARCH));
        }
        // `cargo run` says where this package lies now; where it was compiled may be another place.
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let root = package.as_deref().and_then(|package| package.ancestors().nth(2)).map(Path::to_path_buf);
        let root = root.ok_or("start it with `cargo orderbus`")?;
        // This program is <target directory>/release/launcher.
        let program = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
        let target_directory = program.ancestors().nth(2).unwrap_or(Path::new("target")).to_path_buf();
        Ok(Self {
            cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            root,
            target_directory,
            target: format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        })
    }

    /// Builds everything and becomes one of the programs.
    fn run(&self, program: &str, arguments: &[OsString]) -> Result<ExitCode, String> {
        if self.target_directory.join(&self.target).exists() {
            complain(format_args!("orderbus: building what has changed"));
        } else {
            complain(format_args!("orderbus: building everything for the first time, which takes minutes"));
        }
        succeed(&mut self.compile())?;
        become_this(self.program(program).args(arguments))
    }

    /// Everything that the continuous integration checks; the test runner takes the arguments.
    fn test(&self, arguments: &[OsString]) -> Result<ExitCode, String> {
        let mut documentation = self.compiling(&["doc"], &["--workspace", "--no-deps"]);
        documentation.env("RUSTDOCFLAGS", "-D warnings");

        step("formatting", &mut self.cargo(&["fmt"], &["--all", "--check"]))?;
        step(
            "lints",
            &mut self.compiling(&["clippy"], &["--workspace", "--all-targets", "--", "-D", "warnings"]),
        )?;
        step("documentation", &mut documentation)?;
        step("build", &mut self.compile())?;
        step("contracts", self.program("orderbus").args(["contracts", "check"]))?;
        step("dependencies", self.program("orderbus").args(["dependencies", "check"]))?;
        step("templates", self.program("orderbus").arg("check-templates"))?;
        step("permissions", self.program("orderbus").args(["iam", "check"]))?;
        step("recorded calls", self.program("orderbus").args(["iam", "record", "--verify"]))?;
        let has_nextest = self.has_nextest();
        if has_nextest {
            // nextest does not run the examples in the documentation.
            step(
                "documentation examples",
                &mut self.compiling(&["test"], &["--workspace", "--doc", "--quiet"]),
            )?;
        }
        announce("tests");
        let runner: &[&str] = if has_nextest { &["nextest", "run"] } else { &["test"] };
        // One run shows all that fails.
        become_this(self.compiling(runner, &["--workspace", "--no-fail-fast"]).args(arguments))
    }

    /// One build of all programs, with the features of all of them taken together.
    fn compile(&self) -> Command {
        self.compiling(&["build"], &["--workspace", "--bins"])
    }

    /// To be started right after a build: `sam build` does not copy the programs of the workspace, it moves them.
    fn program(&self, name: &str) -> Command {
        Command::new(self.target_directory.join(&self.target).join("release").join(name))
    }

    /// A Cargo command that compiles into the one place that all of them share.
    fn compiling(&self, subcommand: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.cargo(subcommand, &["--release", "--locked", "--target", &self.target]);
        command.args(arguments);
        command
    }

    fn cargo(&self, subcommand: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(subcommand).args(arguments);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target_directory);
        // `cargo run` describes this package in the environment, and some build scripts (that of ring) run again
        // when the description changes.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }

    fn has_nextest(&self) -> bool {
        let version = self.cargo(&["nextest"], &["--version"]).output();
        version.is_ok_and(|output| output.status.success())
    }
}

fn step(name: &str, command: &mut Command) -> Result<(), String> {
    announce(name);
    let started = Instant::now();
    succeed(command).map_err(|problem| format!("{name}: {problem}"))?;
    complain(format_args!("orderbus: {name} passed in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn announce(name: &str) {
    complain(format_args!("orderbus: ── {name} ──"));
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status: ExitStatus = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", name_of(command))) }
}

/// Replaces this process, so that signals and the exit code need no relay.
fn become_this(command: &mut Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(cannot_start(command, &error))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start {}: {error}", name_of(command))
}

fn name_of(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().take(1).map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
