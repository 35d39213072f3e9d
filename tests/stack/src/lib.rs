//! What the stack tests share: a stack of their own, orders, and the means to mistreat it; and for the adapters alone,
//! [`Judge`]s.

pub mod chaos;
mod copy;
pub mod documented;
mod dynamodb_local;
pub mod gateway;
mod inbox;
mod judge;
pub mod ways;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use contracts::{Line, Money, OrderRequest, Personal};
use domain::{Sku, StockLevel};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orderbus::{Api, LocalStack, Options, Progress, http};
use ports::StockCounts;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::chaos::FaultProxy;

pub use copy::Copy;
pub use inbox::Inbox;
pub use judge::Judge;

/// A stack of one test's own. Dropping it stops it and removes what it wrote.
#[derive(Debug)]
pub struct TestStack {
    local: LocalStack,
    api: Api,
    runtime: Runtime,
    // Dropped last: the stack writes there.
    state: TempDir,
}

impl TestStack {
    /// Deploys everything on a free port; `overrides` are parameters of template.yaml.
    ///
    /// # Errors
    /// When a step of the deployment fails.
    pub fn deploy(overrides: &[(&str, &str)]) -> Result<Self> {
        Self::deploy_on(orderbus::ministack::free_port()?, overrides, None)
    }

    /// As [`deploy`](Self::deploy), with a proxy between the functions and AWS. Only the functions know of it: neither
    /// the deployment nor the event source mappings nor the test go through it.
    ///
    /// # Errors
    /// When a step of the deployment fails.
    pub fn deploy_behind_faults(overrides: &[(&str, &str)], seed: u64) -> Result<(Self, FaultProxy)> {
        let port = orderbus::ministack::free_port()?;
        let proxy = FaultProxy::start(port, seed)?;
        let stack = Self::deploy_on(port, overrides, Some(proxy.endpoint()))?;
        Ok((stack, proxy))
    }

    fn deploy_on(port: u16, overrides: &[(&str, &str)], functions_endpoint: Option<String>) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("orderbus-test-").tempdir()?;
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Options {
            state: state.path().to_path_buf(),
            port: Some(port),
            overrides: overrides.collect(),
            build: true,
            functions_endpoint,
        };
        let local = LocalStack::start(&options, &Progress::new(|line| terminal::complain(line)))?;
        let api = local.api()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { local, api, runtime, state })
    }

    /// The folder that everything of it is in.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Leaves the logs where they are when the stack is dropped. Says where.
    pub fn keep_logs(&mut self) -> PathBuf {
        self.state.disable_cleanup(true);
        self.state.path().to_path_buf()
    }

    /// The deployed stack.
    #[must_use]
    pub fn local(&self) -> &LocalStack {
        &self.local
    }

    /// Its HTTP API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Runs what is asynchronous.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Sets how many of a SKU are available.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn count_stock(&self, sku: &str, available: u64) -> Result<()> {
        let stock = self.local.stack().stock()?;
        self.wait(stock.set_available(&Sku::parse(sku)?, available))?;
        Ok(())
    }

    /// Every level, by SKU.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn levels(&self) -> Result<BTreeMap<String, StockLevel>> {
        let levels = self.wait(self.local.stack().stock()?.levels())?;
        Ok(levels.into_iter().map(|(sku, level)| (sku.to_string(), level)).collect())
    }

    /// Places an order as a patient client does: the same request again until it is answered.
    ///
    /// # Errors
    /// When it is refused, or not answered in a minute.
    pub fn place(&self, key: &str, order: &OrderRequest) -> Result<String> {
        let begun = Instant::now();
        loop {
            match self.api.place(key, order) {
                Ok(answer) if answer.status == 202 => {
                    let body: Value = serde_json::from_str(&answer.body)?;
                    return body["orderId"].as_str().map(str::to_owned).context("no orderId");
                }
                Ok(answer) if answer.status < 500 => bail!("refused: {} {}", answer.status, answer.body),
                Ok(_) | Err(_) => {}
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "order {key} was not answered in a minute");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The order as the API shows it; `None` while nothing is known of it or nobody answers.
    #[must_use]
    pub fn order(&self, order_id: &str) -> Option<Value> {
        self.api.order(order_id).ok().flatten()
    }

    /// The address of a queue, by its stack and logical id.
    ///
    /// # Errors
    /// When there is none.
    pub fn queue_url(&self, name: &str) -> Result<String> {
        let request = self.local.stack().sdk().sqs().list_queues().queue_name_prefix(format!("{name}-"));
        let queues = self.wait(request.send())?;
        queues.queue_urls().first().cloned().with_context(|| format!("no queue {name}"))
    }

    /// The reason codes of some messages that consumers set aside, each message once in ten minutes.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub fn take_reasons(&self) -> Result<Vec<String>> {
        Ok(self.take_set_aside()?.into_iter().map(|one| one.reason).collect())
    }

    /// Some messages that consumers set aside, each message once in ten minutes.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub fn take_set_aside(&self) -> Result<Vec<SetAside>> {
        let queue = self.local.stack().output("QuarantineQueueUrl")?;
        let request = self.local.stack().sdk().sqs().receive_message().queue_url(queue);
        let request =
            request.max_number_of_messages(10).visibility_timeout(600).message_attribute_names("All");
        let messages = self.wait(request.send())?.messages.unwrap_or_default();
        let set_aside = |message: &Message| {
            let text = |name: &str| message.message_attributes()?.get(name)?.string_value();
            let deliveries = text("receiveCount")?.parse().ok()?;
            Some(SetAside { reason: text("reasonCode")?.to_owned(), deliveries })
        };
        Ok(messages.iter().filter_map(set_aside).collect())
    }

    /// How many messages a queue holds, visible or not.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn depth(&self, name: &str) -> Result<u64> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.local.stack().sdk().sqs().get_queue_attributes().queue_url(self.queue_url(name)?);
        let request = request.set_attribute_names(Some(names.to_vec()));
        let attributes = self.wait(request.send())?.attributes.unwrap_or_default();
        Ok(attributes.values().filter_map(|value| value.parse::<u64>().ok()).sum())
    }

    /// Sets one variable of a function, named by its stack and logical id, as a deployment would. Returns what it was.
    ///
    /// # Errors
    /// When there is no such function or no such variable.
    pub fn set_variable(&self, function: &str, variable: &str, value: &str) -> Result<String> {
        let functions = format!("{}/2015-03-31/functions", self.local.ministack().endpoint());
        let listing: Value = serde_json::from_str(&http::get(&format!("{functions}/"), &[])?.body)?;
        let prefix = format!("{function}-");
        let is_it = |one: &&Value| one["FunctionName"].as_str().is_some_and(|name| name.starts_with(&prefix));
        let found = listing["Functions"].as_array().and_then(|all| all.iter().find(is_it));
        let found = found.with_context(|| format!("no function {function}"))?;
        let name = found["FunctionName"].as_str().unwrap_or_default();
        let mut variables = found["Environment"]["Variables"].clone();
        let before =
            variables[variable].as_str().with_context(|| format!("no variable {variable}"))?.to_owned();
        variables[variable] = value.into();
        let change = json!({"Environment": {"Variables": variables}}).to_string();
        let answer = http::put(&format!("{functions}/{name}/configuration"), &change)?;
        ensure!(
            answer.status == 200,
            "UpdateFunctionConfiguration answered {}: {}",
            answer.status,
            answer.body
        );
        Ok(before)
    }

    /// Kills every process of one function, named by its stack and logical id. Says how many there were.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn kill_function(&self, name: &str) -> Result<usize> {
        let of_function = |process: &FunctionProcess| process.function.starts_with(&format!("{name}-"));
        let processes = function_processes(self.state.path())?.into_iter().filter(of_function);
        Ok(processes.filter(FunctionProcess::kill).count())
    }
}

/// A message that a consumer set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Why: a code of docs/refusals.md.
    pub reason: String,
    /// How often the consumer had received it by then.
    pub deliveries: u32,
}

/// A process of a deployed function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionProcess {
    pid: i32,
    /// The function's physical name.
    pub function: String,
}

impl FunctionProcess {
    /// Ends it at once. Says whether it was still there.
    #[must_use]
    pub fn kill(&self) -> bool {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).is_ok()
    }
}

/// The processes of the functions of the stack that keeps its state there.
///
/// # Errors
/// When the process table cannot be read.
pub fn function_processes(state: &Path) -> Result<Vec<FunctionProcess>> {
    const NAME: &str = "AWS_LAMBDA_FUNCTION_NAME=";
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").context("no process table")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let (Ok(program), Ok(environment)) =
            (fs::read_link(format!("/proc/{pid}/exe")), fs::read(format!("/proc/{pid}/environ")))
        else {
            continue;
        };
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let function = variables.find_map(|variable| variable.strip_prefix(NAME).map(str::to_owned));
        if program.starts_with(state)
            && let Some(function) = function
        {
            processes.push(FunctionProcess { pid, function });
        }
    }
    Ok(processes)
}

/// An order of one line.
#[must_use]
pub fn order_of(sku: &str, quantity: i64, unit_price_minor: i64) -> OrderRequest {
    let money = |amount_minor| Money { amount_minor, currency: "EUR".to_owned() };
    OrderRequest {
        customer_id: "customer-1".to_owned(),
        lines: vec![Line { sku: sku.to_owned(), quantity, unit_price: money(unit_price_minor) }],
        total: money(quantity * unit_price_minor),
        personal: Personal {
            name: "Ada Example".to_owned(),
            email: "ada@example.com".to_owned(),
            phone: None,
            street: "1 Analytical Row".to_owned(),
            city: "London".to_owned(),
            postal_code: "N1 9GU".to_owned(),
            country: "GB".to_owned(),
        },
    }
}

/// The types of the events of an order, sorted.
#[must_use]
pub fn event_types(order: &Value) -> Vec<String> {
    let history = order["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut types: Vec<String> =
        history.iter().filter_map(|event| event["type"].as_str().map(str::to_owned)).collect();
    types.sort();
    types
}

/// Asks again and again until the answer is there, or a minute more than enough has passed.
#[must_use]
pub fn eventually<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begun.elapsed() > patience {
            return answer;
        }
        thread::sleep(Duration::from_millis(200));
    }
}
