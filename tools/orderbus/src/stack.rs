//! A deployed backbone, on this machine or on AWS: what it is made of, and how to reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use aws::{DynamoDbOrderViewStore, DynamoDbStockStore, EventBridgeEventBus, Sdk};
use aws_credential_types::Credentials;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::dlq::Dlq;
use crate::ministack::MiniStack;
use crate::sam::{self, Application};
use crate::tools::Tools;

const DESCRIBE_STACK: &str = include_str!("describe_stack.py");
const DESCRIBE_FUNCTION: &str = include_str!("describe_function.py");
const DESCRIBE_RULES: &str = include_str!("describe_rules.py");

/// A deployed stack and its AWS clients.
#[derive(Clone)]
pub struct Stack {
    name: String,
    outputs: BTreeMap<String, String>,
    sdk: Sdk,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    region: String,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// The backbone on a running MiniStack.
    ///
    /// # Errors
    /// When it is not deployed there.
    pub fn on_this_machine(tools: &Tools, ministack: &MiniStack) -> Result<Self> {
        let mut command = tools.command("python");
        sam::address_to(&mut command, &ministack.endpoint());
        Self::describe(command, &Application::Orderbus.local_stack_name()?, Some(ministack.endpoint()))
    }

    /// A stack on AWS, with the credentials and the region that the AWS CLI would take.
    ///
    /// # Errors
    /// When there are no credentials, when there is no such stack, or when AWS refuses the caller.
    pub fn on_aws(tools: &Tools, stack_name: &str) -> Result<Self> {
        Self::describe(tools.command("python"), stack_name, None)
    }

    fn describe(command: Command, stack_name: &str, endpoint: Option<String>) -> Result<Self> {
        let found: Description =
            run_python(command, DESCRIBE_STACK, stack_name).with_context(|| format!("stack {stack_name}"))?;
        let credentials =
            Credentials::new(found.access_key, found.secret_key, found.session_token, None, "orderbus");
        let name = stack_name.to_owned();
        Ok(Self { name, outputs: found.outputs, sdk: Sdk::new(credentials, found.region, endpoint) })
    }

    /// An output of the template, such as `BusName`.
    ///
    /// # Errors
    /// When the stack has no such output.
    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs.get(name).map(String::as_str).with_context(|| format!("the stack has no output {name}"))
    }

    /// The environment of a function, which an output of the template names.
    ///
    /// # Errors
    /// When there is no such function, or when AWS refuses the caller.
    pub fn function_variables(&self, tools: &Tools, output: &str) -> Result<BTreeMap<String, String>> {
        let name = self.output(output)?;
        run_python(self.python(tools), DESCRIBE_FUNCTION, name).with_context(|| format!("function {name}"))
    }

    /// The names of the stack's own rules, by their logical ids.
    ///
    /// # Errors
    /// When AWS refuses the caller.
    pub fn own_rules(&self, tools: &Tools) -> Result<BTreeMap<String, String>> {
        run_python(self.python(tools), DESCRIBE_RULES, &self.name)
            .with_context(|| format!("stack {}", self.name))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn python(&self, tools: &Tools) -> Command {
        let mut command = tools.command("python");
        if let Some(endpoint) = self.sdk.config().endpoint_url() {
            sam::address_to(&mut command, endpoint);
        }
        command
    }

    /// The dead letters and the quarantine.
    ///
    /// # Errors
    /// When the stack has no reprocessor, or when AWS refuses the caller.
    pub fn dlq(&self, tools: &Tools) -> Result<Dlq> {
        Dlq::of(self, &self.function_variables(tools, "DlqReprocessorFunctionName")?)
    }

    /// The clients of every AWS service.
    #[must_use]
    pub fn sdk(&self) -> &Sdk {
        &self.sdk
    }

    /// The stock.
    ///
    /// # Errors
    /// When the stack does not say where it is.
    pub fn stock(&self) -> Result<DynamoDbStockStore> {
        Ok(DynamoDbStockStore::new(self.sdk.dynamodb(), self.output("StockTableName")?.to_owned()))
    }

    /// What is known of every order.
    ///
    /// # Errors
    /// When the stack does not say where it is.
    pub fn order_views(&self) -> Result<DynamoDbOrderViewStore> {
        Ok(DynamoDbOrderViewStore::new(self.sdk.dynamodb(), self.output("OrderViewsTableName")?.to_owned()))
    }

    /// The bus.
    ///
    /// # Errors
    /// When the stack does not say where it is.
    pub fn bus(&self) -> Result<EventBridgeEventBus> {
        Ok(EventBridgeEventBus::new(self.sdk.eventbridge(), self.output("BusName")?.to_owned()))
    }
}

/// Runs a script that is given one name and prints JSON.
fn run_python<T: DeserializeOwned>(mut command: Command, script: &str, name: &str) -> Result<T> {
    command.args(["-c", script, name]).stdin(Stdio::null());
    let output = command.output().context("cannot start Python")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}", errors.lines().last().unwrap_or("not found"));
    }
    serde_json::from_slice(&output.stdout).context("unreadable description")
}

/// Without the credentials.
impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}
