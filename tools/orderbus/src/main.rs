//! The `orderbus` command.

#![expect(clippy::print_stdout, reason = "this is a program for people")]

mod replay_command;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use dlq_reprocessor::Order;
use domain::{OrderId, Sku};
use lake_api::{Days, Report};
use orderbus::account::Account;
use orderbus::lake::Reported;
use orderbus::stack::Stack;
use orderbus::tools::Tools;
use orderbus::{
    LocalStack, Options, Progress, contract, dlq, lake, lake_page, ministack, play, processes, publish,
    report, repository, sam,
};
use ports::{OrderViewStore, StockCounts};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use self::replay_command::{RebuildCommand, ReplayArguments};

/// Runs the order backbone on this machine, and looks into a running one.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus", bin_name = "cargo orderbus")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// A stack on AWS, with the credentials and the region of your AWS profile; otherwise the local stack
    #[arg(long, global = true, value_name = "NAME")]
    stack: Option<String>,
    /// The folder of a local stack that is not this folder's own
    #[arg(long, global = true, hide = true, value_name = "FOLDER", conflicts_with = "stack")]
    state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine, place twenty orders, and tell what became of each
    Local {
        #[command(subcommand)]
        command: Option<LocalCommand>,
        /// Leave it running, even when an order ends otherwise than it should
        #[arg(long, conflicts_with = "no_keep")]
        keep: bool,
        /// Stop everything in the end
        #[arg(long)]
        no_keep: bool,
        /// Where to listen: 4566 unless that is taken
        #[arg(long)]
        port: Option<u16>,
    },
    /// Check everything that the continuous integration checks
    #[command(disable_help_flag = true)]
    Test,
    /// Send orders through a stack of its own while everything goes wrong, and check that nothing did
    #[command(disable_help_flag = true)]
    Chaos,
    /// Look at the stock, or count it anew
    Stock {
        #[command(subcommand)]
        command: StockCommand,
    },
    /// Tell the story of one order
    Order {
        /// Its id, as POST /orders answered it
        id: String,
    },
    /// Put an event on the bus
    Publish {
        /// A file with a CloudEvent; `type` and `data` are enough. - reads standard input
        file: PathBuf,
    },
    /// Look after the contracts of the events
    Contracts {
        #[command(subcommand)]
        command: contract::Command,
    },
    /// Look after dead letters and quarantine
    Dlq {
        #[command(subcommand)]
        command: DlqCommand,
        /// JSON, for scripts
        #[arg(long, global = true)]
        json: bool,
    },
    /// Ask the data lake
    Lake {
        #[command(subcommand)]
        command: LakeCommand,
    },
    /// Send again what was on the bus, from EventBridge's archive or from the lake
    Replay(ReplayArguments),
    /// Make something anew from what happened
    Rebuild {
        #[command(subcommand)]
        command: RebuildCommand,
    },
    /// Check both templates
    #[command(hide = true)]
    CheckTemplates,
}

#[derive(Debug, Subcommand)]
enum LocalCommand {
    /// Stop it
    Down,
}

#[derive(Debug, Subcommand)]
enum StockCommand {
    /// Set how many of a SKU are available
    Set {
        /// Which SKU
        sku: String,
        /// How many
        available: u64,
    },
    /// Show every SKU
    List,
}

#[derive(Debug, Subcommand)]
enum LakeCommand {
    /// List the reports
    Reports,
    /// Show a report
    Report {
        /// Which: `cargo orderbus lake reports` lists them; all for each of them
        name: String,
        /// First day, in UTC: 2026-01-31. Otherwise thirty days
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Last day, in UTC. Otherwise today
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// JSON, for scripts
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// CSV, for spreadsheets
        #[arg(long)]
        csv: bool,
        /// Also write a page with charts
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Show what lies in the dead-letter queues and in quarantine. To look at a message in a queue is to receive it: for
    /// that moment nobody else gets it
    List {
        #[command(flatten)]
        selection: Selection,
    },
    /// Show one message in full. It may name a person
    Show {
        /// Its id, or as much of it as tells it from the others; or its event's
        id: String,
    },
    /// Send dead letters back to where they came from, now: the cause is mended
    Redrive {
        #[command(flatten)]
        selection: Selection,
        /// Only the one with this id, or its event's
        id: Option<String>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Give up on a dead letter: it goes to quarantine
    Quarantine {
        /// Its id, or as much of it as tells it from the others; or its event's
        id: String,
    },
    /// Bring messages back from quarantine: the cause is mended
    Release {
        #[command(flatten)]
        selection: Selection,
        /// Their ids, or as much of each as tells it from the others
        #[arg(required_unless_present_any = ["queue", "event_type", "reason", "since"])]
        ids: Vec<String>,
    },
}

/// Which messages.
#[derive(Debug, Args)]
struct Selection {
    /// Only those of this consumer, or in this queue: order-placed, …, checkout, undelivered, quarantine
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Only those of this event type, such as orders.order-placed
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those that failed for this reason, such as deliveries_exhausted
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Only those since this time or for at most so long: 2026-01-31T12:00:00Z, 30m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

impl Selection {
    fn order(self) -> Result<Order> {
        let Self { queue, event_type, reason, since, limit } = self;
        let since = since.map(|since| dlq::read_since(&since, orderbus::now())).transpose()?;
        Ok(Order { queue, event_type, reason, since, limit, ..Order::default() })
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = stop_on_signals().and_then(|()| run(arguments));
    // The one who handles the signal also ends the program.
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("orderbus: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let progress = Progress::new(|line| println!("{line}"));
    let (stack, state) = (arguments.stack.as_deref(), arguments.state);
    match arguments.command {
        Command::Local { command: Some(LocalCommand::Down), .. } => stop_local(),
        Command::Local { command: None, keep, no_keep, port } => run_local(keep, no_keep, port, &progress),
        Command::Test => bail!("the tests are started by `cargo orderbus test`"),
        Command::Chaos => bail!("chaos is started by `cargo orderbus chaos`"),
        Command::Stock { command: StockCommand::List } => list_stock(&Target::of(stack, state)?),
        Command::Stock { command: StockCommand::Set { sku, available } } => {
            set_stock(&Target::of(stack, state)?, &sku, available)
        }
        Command::Order { id } => tell_order(&Target::of(stack, state)?, &id),
        Command::Publish { file } => publish_event(&Target::of(stack, state)?, &file),
        Command::Dlq { command, json } => look_after(&Target::of(stack, state)?, command, json),
        Command::Replay(arguments) => replay_command::replay(&Target::of(stack, state)?, arguments),
        Command::Rebuild { command } => replay_command::rebuild(&Target::of(stack, state)?, command),
        Command::Lake { command: LakeCommand::Reports } => {
            print!("{}", lake::list());
            Ok(ExitCode::SUCCESS)
        }
        Command::Lake { command: LakeCommand::Report { name, from, to, json, csv, html } } => {
            let reports = lake::named(&name)?;
            let days = Days::parse(from.as_deref(), to.as_deref(), orderbus::now())?;
            let form = if json {
                Form::Json
            } else if csv {
                Form::Csv
            } else {
                Form::Table
            };
            show_reports(&Target::of(stack, state)?, &reports, days, form, html.as_deref())
        }
        Command::Contracts { command } => contract::run(command, &progress),
        Command::CheckTemplates => {
            sam::validate(&Tools::ready(&progress)?, &repository::local_state(), &progress)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_local(keep: bool, no_keep: bool, port: Option<u16>, progress: &Progress) -> Result<ExitCode> {
    let outcome = play_locally(keep, no_keep, port, progress);
    // What this run started ends with it, unless it is to be kept. `--no-keep` also ends what ran before.
    if no_keep && ministack::stop(&repository::local_state())? {
        progress.say("everything is stopped");
    }
    outcome
}

fn play_locally(keep: bool, no_keep: bool, port: Option<u16>, progress: &Progress) -> Result<ExitCode> {
    let mut local = LocalStack::start(&Options { port, ..Options::default() }, progress)?;
    if keep {
        local.keep()?;
    }
    let api = local.api()?;
    let outcome = play::twenty_orders(local.stack(), &api, progress)?;
    println!("\n{}", report::render(&outcome));
    if !outcome.is_as_declared() {
        bail!("not everything ended as declared: see ✗ above, and the logs in .local");
    }
    progress.say("all twenty orders ended as declared");
    // Until the very end a signal or a failure stops everything.
    local.keep()?;
    if !no_keep {
        println!("{}", farewell(&api.url()));
    }
    Ok(ExitCode::SUCCESS)
}

fn farewell(url: &str) -> String {
    format!(
        r#"
It keeps running. The API is {url}
Place an order of your own:

  curl -i {url}/orders \
    -H 'Idempotency-Key: my-first-order' -H 'Content-Type: application/json' -d '{{
      "customerId": "customer-7",
      "lines": [{{"sku": "MUG-BLUE", "quantity": 2, "unitPrice": {{"amountMinor": 1250, "currency": "EUR"}}}}],
      "total": {{"amountMinor": 2500, "currency": "EUR"}},
      "personal": {{"name": "Ada Example", "email": "ada@example.com", "street": "Musterstraße 1",
                   "city": "Berlin", "postalCode": "10115", "country": "DE"}}}}'

Look at it:  cargo orderbus order <the orderId of the answer>
Stop:        cargo orderbus local down"#
    )
}

fn stop_local() -> Result<ExitCode> {
    let was_running = ministack::stop(&repository::local_state())?;
    println!("{}", if was_running { "stopped" } else { "nothing was running" });
    Ok(ExitCode::SUCCESS)
}

fn list_stock(target: &Target) -> Result<ExitCode> {
    let levels = target.wait(target.stack().stock()?.levels()).context("cannot read the stock")?;
    let levels: BTreeMap<_, _> = levels.into_iter().map(|(sku, level)| (sku.to_string(), level)).collect();
    print!("{}", report::levels(&levels));
    Ok(ExitCode::SUCCESS)
}

fn set_stock(target: &Target, sku: &str, available: u64) -> Result<ExitCode> {
    let sku = Sku::parse(sku)?;
    let stock = target.stack().stock()?;
    let level = target.wait(stock.set_available(&sku, available)).context("cannot count the stock")?;
    print!("{}", report::levels(&BTreeMap::from([(sku.to_string(), level)])));
    Ok(ExitCode::SUCCESS)
}

fn tell_order(target: &Target, id: &str) -> Result<ExitCode> {
    let order_id = OrderId::parse(id)?;
    let facts =
        target.wait(target.stack().order_views()?.facts(&order_id)).context("cannot read the order")?;
    let Some(account) = Account::from_facts(id, &facts) else { bail!("nothing is known of order {id}") };
    println!("{}  {}\n{}", account.order_id, account.status, account.lines());
    Ok(ExitCode::SUCCESS)
}

fn publish_event(target: &Target, file: &Path) -> Result<ExitCode> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let event = publish::read_event(&text, orderbus::now())?;
    target.wait(play::publish(target.stack(), &event))?;
    println!("published {} {}", event.data.event_type().as_str(), event.id);
    Ok(ExitCode::SUCCESS)
}

/// How reports are printed.
#[derive(Clone, Copy)]
enum Form {
    Table,
    Json,
    Csv,
}

fn show_reports(
    target: &Target,
    reports: &[&'static Report],
    days: Days,
    form: Form,
    html: Option<&Path>,
) -> Result<ExitCode> {
    let lake = lake::of(target.stack())?;
    let mut found = Vec::new();
    for report in reports {
        found.push(target.wait(lake::report(&lake, report, days))?);
    }
    let texts: Vec<String> = match form {
        Form::Table => found.iter().map(Reported::table).collect(),
        Form::Csv => found.iter().map(Reported::csv).collect(),
        Form::Json => found.iter().map(|one| format!("{:#}\n", one.json())).collect(),
    };
    print!("{}", texts.join("\n"));
    if let Some(file) = html {
        fs::write(file, lake_page::page(&found)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("written: {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn look_after(target: &Target, command: DlqCommand, json: bool) -> Result<ExitCode> {
    let dlq = target.stack().dlq(&Tools::ready(&Progress::new(|_| ()))?)?;
    // What is left of what was asked for.
    let mut left = None;
    let (value, text) = match command {
        DlqCommand::List { selection } => {
            let survey = target.wait(dlq.list(&selection.order()?))?;
            (dlq::list_json(&survey), dlq::table(&survey, orderbus::now()))
        }
        DlqCommand::Show { id } => {
            let shown = target.wait(dlq.show(&id))?;
            (dlq::shown_json(&shown), dlq::shown(&shown))
        }
        DlqCommand::Redrive { selection, id, dry_run } => {
            let order = Order { id, ..selection.order()? };
            if dry_run {
                let survey = target.wait(dlq.preview(&order))?;
                (dlq::list_json(&survey), dlq::table(&survey, orderbus::now()))
            } else {
                let summary = target.wait(dlq.redrive(&order))?;
                left = dlq::left_over(&summary);
                (serde_json::to_value(summary)?, dlq::summary(&summary))
            }
        }
        DlqCommand::Quarantine { id } => {
            let summary = target.wait(dlq.quarantine(&id))?;
            left = dlq::left_over(&summary);
            (serde_json::to_value(summary)?, dlq::summary(&summary))
        }
        DlqCommand::Release { selection, ids } => {
            let releases = target.wait(dlq.release(&ids, &selection.order()?))?;
            left = dlq::left_in_quarantine(&releases);
            (dlq::releases_json(&releases), dlq::releases(&releases))
        }
    };
    if json {
        println!("{value:#}");
    } else {
        print!("{text}");
    }
    match left {
        Some(problem) => bail!(problem),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What a command works on.
struct Target {
    stack: StackHere,
    state: Option<PathBuf>,
    runtime: Runtime,
}

enum StackHere {
    OnAws(Stack),
    Local(LocalStack),
}

impl Target {
    fn of(stack_name: Option<&str>, state: Option<PathBuf>) -> Result<Self> {
        let quiet = Progress::new(|_| ());
        let mut options = Options::default();
        options.state = state.clone().unwrap_or(options.state);
        let stack = match stack_name {
            Some(name) => StackHere::OnAws(Stack::on_aws(&Tools::ready(&quiet)?, name)?),
            None => StackHere::Local(LocalStack::find(&options, &quiet)?),
        };
        Ok(Self { stack, state, runtime: current_thread()? })
    }

    /// The folder of a local stack that is not this folder's own.
    fn state(&self) -> Option<PathBuf> {
        self.state.clone()
    }

    fn stack(&self) -> &Stack {
        match &self.stack {
            StackHere::OnAws(stack) => stack,
            StackHere::Local(local) => local.stack(),
        }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

fn current_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// Ctrl-C and `kill` end everything that this program started, and then this program.
fn stop_on_signals() -> Result<()> {
    let runtime = current_thread()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            }
        });
        INTERRUPTED.store(true, Ordering::SeqCst);
        eprintln!("\norderbus: interrupted, stopping what was started");
        processes::stop_all();
        std::process::exit(code)
    });
    Ok(())
}
