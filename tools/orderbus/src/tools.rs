//! The pinned Python programs (MiniStack, the SAM CLI, cargo-lambda) in a virtual environment of the repository.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{Progress, processes, repository};

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
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // Two commands may start at the same time; the second finds the work done.
        let lock = File::create(folder.join("lock")).context("cannot create the lock of .tools")?;
        lock.lock().context("cannot take the lock of .tools")?;

        let environment = folder.join("python");
        let requirements = repository::root().join("tools/requirements.txt");
        let wanted = fs::read_to_string(&requirements).context("cannot read tools/requirements.txt")?;
        // A virtual environment cannot be moved, so its place belongs to the stamp.
        let wanted = format!("{}\n{wanted}", environment.display());
        let stamp = folder.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            progress.say("tools: ready");
        } else {
            install(&environment, &requirements, &folder.join("install.log"), progress)?;
            fs::write(&stamp, wanted).context("cannot write the stamp of .tools")?;
        }
        Ok(Self { programs: environment.join("bin") })
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
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--no-compile",
    ]);
    pip.args(["--progress-bar", "off"]).arg("--requirement").arg(requirements);
    processes::run(&mut pip, log, progress, |line| {
        if line.starts_with("Collecting ") {
            done += 1;
            return (done % 20 == 0).then(|| format!("{done} of {count} packages fetched"));
        }
        line.starts_with("Installing collected").then(|| "unpacking them".to_owned())
    })
    .context("cannot install tools/requirements.txt: is a Python package index reachable?")?;
    progress.say("tools: installed");
    Ok(())
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
