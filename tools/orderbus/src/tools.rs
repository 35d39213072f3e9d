//! The pinned Python programs (MiniStack, the SAM CLI, cargo-lambda) in a virtual environment of the repository.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{Progress, processes, repository};

const UNREACHABLE: &str = "cannot be installed. Is a Python package index reachable?";

/// The programs, installed.
#[derive(Debug, Clone)]
pub struct Tools {
    programs: PathBuf,
}

impl Tools {
    /// Installs what `tools/requirements.txt` pins, unless exactly that is installed already.
    ///
    /// # Errors
    /// When Python or its venv module is missing, or when a package cannot be installed.
    pub fn ready(progress: &Progress) -> Result<Self> {
        let folder = repository::tools();
        let environment = folder.join("python");
        let requirements = repository::root().join("tools/requirements.txt");
        let wanted = fs::read_to_string(&requirements).context("cannot read tools/requirements.txt")?;
        // A virtual environment cannot be moved, so its place belongs to the stamp.
        let wanted = format!("{}\n{wanted}", environment.display());
        let is_new = install_once(&folder.join("lock"), &folder.join("installed"), &wanted, || {
            install(&environment, &requirements, &folder.join("install.log"), progress)
        })?;
        if !is_new {
            progress.say("tools: ready");
        }
        Ok(Self { programs: environment.join("bin") })
    }

    /// Installs what a requirements file pins into a folder, beside the environment's own packages.
    ///
    /// # Errors
    /// When a package cannot be installed.
    pub fn install_into(
        &self,
        folder: &Path,
        requirements: &Path,
        log: &Path,
        progress: &Progress,
    ) -> Result<()> {
        let mut pip = pip_install(self.command("python"), requirements);
        pip.arg("--target").arg(folder);
        processes::run(&mut pip, log, progress, |_| None)
            .with_context(|| format!("{}: {UNREACHABLE}", requirements.display()))
    }

    /// A command of the environment: `python`, `sam`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env("PATH", self.search_path());
        command
    }

    /// The environment's programs first: `sam build` looks for `cargo-lambda` there.
    fn search_path(&self) -> OsString {
        let mut path = self.programs.clone().into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }
}

/// Installs something unless the stamp says that exactly this was installed before. Two commands may start at the
/// same time; the second finds the work done. Says whether it did anything.
///
/// # Errors
/// When the installation fails, or the lock or the stamp cannot be written.
pub fn install_once(
    lock: &Path,
    stamp: &Path,
    wanted: &str,
    install: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let folder = lock.parent().unwrap_or(lock);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(lock).with_context(|| format!("cannot create {}", lock.display()))?;
    lock.lock().context("cannot take the lock of .tools")?;
    if fs::read_to_string(stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(false);
    }
    // What is half installed must not be taken for what the old stamp says.
    if stamp.exists() {
        fs::remove_file(stamp).with_context(|| format!("cannot remove {}", stamp.display()))?;
    }
    install()?;
    fs::write(stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(true)
}

fn install(environment: &Path, requirements: &Path, log: &Path, progress: &Progress) -> Result<()> {
    check_python()?;
    let packages = fs::read_to_string(requirements).unwrap_or_default();
    let count = packages.lines().filter(|line| line.contains("==")).count();
    progress
        .say(format_args!("tools: installing {count} pinned Python packages into .tools (half a minute)"));
    if environment.exists() {
        fs::remove_dir_all(environment).context("cannot remove the old .tools/python")?;
    }
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(environment);
    processes::run(&mut create, log, progress, |_| None).context("cannot create .tools/python")?;

    let mut done = 0;
    let mut pip = pip_install(Command::new(environment.join("bin/python")), requirements);
    processes::run(&mut pip, log, progress, |line| {
        if line.starts_with("Collecting ") {
            done += 1;
            return (done % 20 == 0).then(|| format!("{done} of {count} packages fetched"));
        }
        line.starts_with("Installing collected").then(|| "unpacking them".to_owned())
    })
    .with_context(|| format!("tools/requirements.txt: {UNREACHABLE}"))?;
    progress.say("tools: installed");
    Ok(())
}

fn pip_install(mut python: Command, requirements: &Path) -> Command {
    python.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--require-hashes",
        // What is built brings tools along that no hash covers, and runs code of its own.
        "--only-binary",
        ":all:",
        "--no-compile",
        "--progress-bar",
        "off",
    ]);
    python.arg("--requirement").arg(requirements);
    python
}

fn check_python() -> Result<()> {
    let succeeds = |script: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        python.status().is_ok_and(|status| status.success())
    };
    if !succeeds("") {
        bail!("python3 is missing. On Debian and Ubuntu: sudo apt install python3 python3-venv");
    }
    if !succeeds("import sys; sys.exit(sys.version_info < (3, 11))") {
        bail!("python3 is older than 3.11, which is the oldest that the pinned packages run on");
    }
    if !succeeds("import ensurepip, venv") {
        bail!("Python's venv module is missing. On Debian and Ubuntu: sudo apt install python3-venv");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every .in file of the folder and below, and the file beside it that has its pins.
    fn pinned(folder: &Path, found: &mut Vec<(PathBuf, PathBuf)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "node_modules" {
                pinned(&path, found);
            } else if name.starts_with("requirements") && !name.ends_with(".py") {
                found.push((path.with_extension("in"), path.with_extension("txt")));
            }
        }
    }

    /// As the package index compares names.
    fn normal(name: &str) -> String {
        name.to_lowercase().replace(['_', '.'], "-")
    }

    #[test]
    fn every_requirement_is_pinned_and_every_pin_has_hashes() {
        let root = repository::root();
        let mut files = Vec::new();
        pinned(&root.join("tools"), &mut files);
        pinned(&root.join("tests"), &mut files);
        assert!(files.len() >= 14, "{files:?}");
        for (wanted, pins) in files {
            let wanted =
                fs::read_to_string(&wanted).unwrap_or_else(|_| panic!("{} is missing", wanted.display()));
            let text = fs::read_to_string(&pins).unwrap_or_else(|_| panic!("{} is missing", pins.display()));
            let command = text.lines().nth(1).unwrap_or_default().trim_start_matches('#').trim();
            assert!(command.starts_with("uv pip compile ") && wanted.contains(command), "{}", pins.display());

            let blocks: Vec<&str> =
                text.split_inclusive('\n').filter(|line| !line.trim().starts_with('#')).collect();
            let blocks = blocks.concat().replace("\\\n", " ");
            let mut names = Vec::new();
            for line in blocks.lines().filter(|line| !line.trim().is_empty()) {
                let (name, rest) = line.split_once("==").unwrap_or_else(|| panic!("{line} is no pin"));
                let hashes = rest.split_whitespace().skip(1);
                assert!(hashes.clone().count() > 0, "{name} of {} has no hash", pins.display());
                assert!(hashes.clone().all(|hash| hash.starts_with("--hash=sha256:")), "{line}");
                names.push(normal(name));
            }
            for name in wanted.lines().filter(|line| !line.starts_with('#')) {
                assert!(names.contains(&normal(name)), "{} has no {name}", pins.display());
            }
        }
    }
}
