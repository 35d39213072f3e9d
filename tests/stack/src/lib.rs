//! What the stack tests share: a stack of their own, orders, and the means to kill functions; and for the adapters alone,
//! [`Judge`]s.

mod dynamodb_local;
mod inbox;
mod judge;

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use contracts::{Line, Money, OrderRequest, Personal};
use domain::{Sku, StockLevel};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orderbus::{Api, LocalStack, Options, Progress};
use ports::StockCounts;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

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
        let state = tempfile::Builder::new().prefix("orderbus-test-").tempdir()?;
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Options {
            state: state.path().to_path_buf(),
            port: Some(orderbus::ministack::free_port()?),
            overrides: overrides.collect(),
            build: true,
        };
        let local = LocalStack::start(&options, &Progress::new(|line| eprintln!("{line}")))?;
        let api = local.api()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { local, api, runtime, state })
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

    /// Kills every process of one function, named by its stack and logical id. Says how many there were.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn kill_function(&self, name: &str) -> Result<usize> {
        let marker = format!("AWS_LAMBDA_FUNCTION_NAME={name}-");
        let folder = self.state.path().to_string_lossy().into_owned();
        let mut killed = 0;
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
            let is_ours = program.to_string_lossy().starts_with(&folder)
                && environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(marker.as_bytes()));
            if is_ours && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
                killed += 1;
            }
        }
        Ok(killed)
    }
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
