//! `sam build`, `sam deploy` and `sam validate`, as people would type them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::ministack::{MiniStack, REGION};
use crate::tools::Tools;
use crate::{Progress, processes, repository};

/// The section of samconfig.toml for this machine.
pub const CONFIGURATION: &str = "local";

/// A folder with a template.yaml and a samconfig.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// The backbone itself.
    Orderbus,
    /// The subscriber from outside, without which no order would be paid.
    PaymentProvider,
}

/// Both, in the order in which they are deployed.
pub const APPLICATIONS: [Application; 2] = [Application::Orderbus, Application::PaymentProvider];

impl Application {
    /// The name people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Orderbus => "orderbus",
            Self::PaymentProvider => "payment-provider",
        }
    }

    /// Where its template is.
    pub(crate) fn folder(self) -> PathBuf {
        match self {
            Self::Orderbus => repository::root(),
            Self::PaymentProvider => repository::root().join("examples/payment-provider"),
        }
    }

    /// The name of its stack on this machine.
    ///
    /// # Errors
    /// When its samconfig.toml cannot be read.
    pub fn local_stack_name(self) -> Result<String> {
        Ok(self.configuration()?.stack_name)
    }

    /// A parameter that a section of its samconfig.toml sets.
    ///
    /// # Errors
    /// When its samconfig.toml cannot be read or has no such section.
    pub(crate) fn parameter(self, section: &str, name: &str) -> Result<Option<String>> {
        let parameters = configuration_in(&self.folder(), section)?.parameter_overrides;
        let value = |parameter: &String| {
            parameter.split_once('=').filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
        };
        Ok(parameters.iter().find_map(value))
    }

    fn configuration(self) -> Result<Configuration> {
        configuration(&self.folder())
    }
}

fn configuration(folder: &Path) -> Result<Configuration> {
    configuration_in(folder, CONFIGURATION)
}

/// True when a folder's samconfig.toml has this section.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn has_section(folder: &Path, section: &str) -> Result<bool> {
    Ok(sections_in(folder)?.contains_key(section))
}

fn sections_in(folder: &Path) -> Result<BTreeMap<String, toml::Value>> {
    let file = folder.join("samconfig.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot read {}", file.display()))
}

fn configuration_in(folder: &Path, section: &str) -> Result<Configuration> {
    let file = folder.join("samconfig.toml");
    let all = sections_in(folder)?;
    let parameters = all.get(section).and_then(|section| section.get("global")?.get("parameters"));
    let parameters = parameters
        .with_context(|| format!("{} has no section {section}.global.parameters", file.display()))?;
    parameters.clone().try_into().with_context(|| format!("cannot read {}", file.display()))
}

/// The name of a folder's stack on this machine.
///
/// # Errors
/// When its samconfig.toml cannot be read.
pub fn stack_name_of(folder: &Path) -> Result<String> {
    Ok(configuration(folder)?.stack_name)
}

#[derive(Debug, Deserialize)]
struct Configuration {
    stack_name: String,
    #[serde(default)]
    parameter_overrides: Vec<String>,
}

/// Builds an application into its `.aws-sam/build`. The programs are compiled already, so this only collects them.
///
/// # Errors
/// When `sam build` fails.
pub fn build(tools: &Tools, application: Application, logs: &Path, progress: &Progress) -> Result<()> {
    collect(sam(tools, application, "build"), application.name(), logs, progress)
}

/// Builds Orderbus with another template, such as that of a release, and today's programs, into a folder.
///
/// # Errors
/// When `sam build` fails.
pub fn build_as(template: &Path, into: &Path, tools: &Tools, logs: &Path, progress: &Progress) -> Result<()> {
    let application = Application::Orderbus;
    let mut command = sam(tools, application, "build");
    command.arg("--template-file").arg(template).arg("--build-dir").arg(into);
    // Otherwise both are looked for beside the template.
    command.arg("--base-dir").arg(application.folder());
    command.arg("--config-file").arg(application.folder().join("samconfig.toml"));
    collect(command, application.name(), logs, progress)
}

fn collect(mut command: Command, name: &str, logs: &Path, progress: &Progress) -> Result<()> {
    let lock = build_lock()?;
    lock.lock().context("cannot take the lock of sam build")?;
    progress.say(format_args!("{name}: sam build"));
    // cargo-lambda compiles each function alone, which could pick other features of shared crates than the
    // one build of everything did. With these arguments it asks for the same build, and finds it done.
    command.env("CARGO_LAMBDA_COMPILER", "cargo");
    command.env("CARGO_LAMBDA_COMPILER_EXTRA_ARGS", "--workspace --bins --locked");
    let log = logs.join(format!("{name}-build.log"));
    processes::run(&mut command, &log, progress, |line| {
        let line = line.trim();
        line.starts_with("Compiling ").then(|| line.to_owned())
    })
}

/// Deploys what [`build`] built, or [`build_as`] into the folder `built`. Each override replaces a parameter of samconfig.toml or
/// comes on top.
///
/// # Errors
/// When `sam deploy` fails.
pub fn deploy(
    tools: &Tools,
    application: Application,
    built: Option<&Path>,
    ministack: &MiniStack,
    overrides: &[(String, String)],
    progress: &Progress,
) -> Result<()> {
    let name = application.name();
    // While somebody deploys a build, nobody may replace it.
    let lock = build_lock()?;
    lock.lock_shared().context("cannot take the lock of sam build")?;
    progress.say(format_args!("{name}: sam deploy"));
    let mut command = sam(tools, application, "deploy");
    address_to(&mut command, &ministack.endpoint());
    // The SAM CLI asks every five seconds how far it is, which suits AWS.
    command.env("SAM_CLI_POLL_DELAY", "0.2");
    if let Some(folder) = built {
        command.arg("--template-file").arg(folder.join("template.yaml"));
        command.arg("--config-file").arg(application.folder().join("samconfig.toml"));
    }
    if !overrides.is_empty() {
        let parameters = application.configuration()?.parameter_overrides;
        command.arg("--parameter-overrides").args(merged(parameters, overrides));
    }
    let log = ministack.state().join(format!("{name}-deploy.log"));
    let mut created = 0;
    processes::run(&mut command, &log, progress, |line| {
        let done = line.starts_with("CREATE_COMPLETE") || line.starts_with("UPDATE_COMPLETE");
        created += usize::from(done);
        (done && created % 40 == 0).then(|| format!("{created} resources"))
    })
}

/// Builds a subscriber's own stack, for which a compiler or a bundler is needed.
///
/// # Errors
/// When `sam build` fails.
pub fn build_folder(tools: &Tools, folder: &Path, logs: &Path, progress: &Progress) -> Result<()> {
    let name = stack_name_of(folder)?;
    progress.say(format_args!("{name}: sam build"));
    let mut command = sam_in(tools, folder, "build");
    command.env("CARGO_LAMBDA_COMPILER", "cargo");
    processes::run(&mut command, &logs.join(format!("{name}-build.log")), progress, |_| None)
}

/// Deploys a subscriber's own stack, as a section of its samconfig.toml says.
///
/// # Errors
/// When `sam deploy` fails.
pub fn deploy_folder(
    tools: &Tools,
    folder: &Path,
    section: &str,
    ministack: &MiniStack,
    progress: &Progress,
) -> Result<()> {
    let name = configuration_in(folder, section)?.stack_name;
    progress.say(format_args!("{name}: sam deploy"));
    let mut command = sam_by(tools, folder, "deploy", section);
    address_to(&mut command, &ministack.endpoint());
    command.env("SAM_CLI_POLL_DELAY", "0.2");
    let log = ministack.state().join(format!("{name}-deploy.log"));
    processes::run(&mut command, &log, progress, |_| None)
}

/// Checks every template in a folder with the SAM CLI's linter.
///
/// # Errors
/// With what it found.
pub fn validate_folder(tools: &Tools, folder: &Path, logs: &Path, progress: &Progress) -> Result<()> {
    let name = stack_name_of(folder)?;
    for template in templates_in(folder)? {
        let mut command = sam_in(tools, folder, "validate");
        command.args(["--lint", "--template", &template]);
        command.env("AWS_DEFAULT_REGION", REGION);
        processes::run(&mut command, &logs.join(format!("{name}-validate.log")), progress, |_| None)?;
        progress.say(format_args!("{name}: {template} is valid"));
    }
    Ok(())
}

/// The templates in a folder: that of its stack, and what goes with it in other accounts.
fn templates_in(folder: &Path) -> Result<Vec<String>> {
    let read = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
        if is_yaml && fs::read_to_string(&path).with_context(read)?.starts_with("AWSTemplateFormatVersion") {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Checks every template with the SAM CLI's linter.
///
/// # Errors
/// With what it found.
pub fn validate(tools: &Tools, logs: &Path, progress: &Progress) -> Result<()> {
    let subscriber = repository::root().join("examples/loyalty-points");
    for folder in APPLICATIONS.map(Application::folder).into_iter().chain([subscriber]) {
        validate_folder(tools, &folder, logs, progress)?;
    }
    Ok(())
}

fn build_lock() -> Result<File> {
    File::create(repository::tools().join("build-lock")).context("cannot create the lock of sam build")
}

fn sam(tools: &Tools, application: Application, subcommand: &str) -> Command {
    sam_in(tools, &application.folder(), subcommand)
}

fn sam_in(tools: &Tools, folder: &Path, subcommand: &str) -> Command {
    sam_by(tools, folder, subcommand, CONFIGURATION)
}

fn sam_by(tools: &Tools, folder: &Path, subcommand: &str, section: &str) -> Command {
    let mut command = tools.command("sam");
    command.args([subcommand, "--config-env", section]);
    command.current_dir(folder).env("SAM_CLI_TELEMETRY", "0");
    // What Cargo tells a running program or test would change how its crates are compiled: the flags would be there
    // twice, and some build scripts (that of ring) run again when the package in the environment changes.
    forget(&mut command, &["CARGO_BUILD_RUSTFLAGS", "CARGO_MANIFEST_", "CARGO_PKG_"]);
    command
}

/// Sends a command's calls to this machine, with nobody's credentials.
pub(crate) fn address_to(command: &mut Command, endpoint: &str) {
    forget(command, &["AWS_"]);
    command.envs([
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
}

fn forget(command: &mut Command, prefixes: &[&str]) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

fn merged(mut parameters: Vec<String>, overrides: &[(String, String)]) -> Vec<String> {
    for (name, value) in overrides {
        parameters.retain(|parameter| parameter.split('=').next() != Some(name));
        // The SAM CLI splits each of them at its spaces, unless they are in quotes.
        let quotes = if value.contains(' ') { "\"" } else { "" };
        parameters.push(format!("{name}={quotes}{value}{quotes}"));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_replaces_the_parameter_of_the_same_name() {
        let configured = vec!["Environment=local".to_owned(), "PaymentTimeoutSeconds=12".to_owned()];
        let overrides = [("PaymentTimeoutSeconds", "5"), ("ReprocessorSchedule", "rate(1 day)")];
        let merged = merged(configured, &overrides.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            merged,
            ["Environment=local", "PaymentTimeoutSeconds=5", "ReprocessorSchedule=\"rate(1 day)\""]
        );
    }

    #[test]
    fn every_template_of_a_folder_is_checked() {
        let of = |folder: &str| templates_in(&repository::root().join(folder)).unwrap();
        assert_eq!(of("."), ["template.yaml"]);
        assert_eq!(of("examples/loyalty-points"), ["another-account.yaml", "orderbus.yaml", "template.yaml"]);
    }

    #[test]
    fn a_parameter_is_that_of_its_section() {
        let architecture = |section: &str| Application::Orderbus.parameter(section, "Architecture").unwrap();
        assert_eq!(architecture("default").as_deref(), Some("arm64"));
        assert_eq!(architecture("local").as_deref(), Some("x86_64"));
        assert_eq!(Application::Orderbus.parameter("default", "Pace").unwrap(), None);
    }

    #[test]
    fn both_configurations_can_be_read() {
        for application in APPLICATIONS {
            assert!(application.configuration().unwrap().stack_name.ends_with("-local"));
        }
    }
}
