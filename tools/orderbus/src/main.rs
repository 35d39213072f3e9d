//! The `orderbus` command.

mod replay_command;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use dlq_reprocessor::Order;
use domain::{OrderId, Sku};
use lake_api::{Days, Report};
use orderbus::account::Account;
use orderbus::lake::Reported;
use orderbus::stack::Stack;
use orderbus::subscriber::{self, Home, Language};
use orderbus::tools::Tools;
use orderbus::{
    LocalStack, Options, Progress, contract, dependencies, dlq, iam, interrupt, judges, lake, lake_page,
    ministack, play, processes, programs, publish, report, repository, rules, sam, tail, upgrade,
};
use ports::{OrderViewStore, PortError, StockCounts};
use terminal::{complain, complain_of, say, show};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use self::replay_command::{RebuildCommand, ReplayArguments};

/// Runs the order backbone on this machine, and looks into a running one.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus", bin_name = "cargo orderbus")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// A stack on AWS, with the credentials and the region of your AWS profile; otherwise the local stack. Of
    /// `subscriber new`: the folder for a stack of its own
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
    /// Put events on the bus, checked against their contracts first
    Publish {
        /// A file with a CloudEvent, of which `type` and `data` are enough, or with a list of them; a type of the catalogue,
        /// whose sample is sent; - reads standard input
        #[arg(value_name = "FILE|TYPE")]
        event: String,
        /// Set a field first: data.total.amountMinor=1250, id=mine
        #[arg(long = "set", value_name = "FIELD=VALUE")]
        assignments: Vec<String>,
        /// Send it even if it breaks its contract, to see what becomes of it
        #[arg(long)]
        unchecked: bool,
    },
    /// Watch the events of the bus as they come; Ctrl-C ends it
    Tail(Tail),
    /// Look at the rules of the bus
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
        /// The rules of a template instead of a running stack's; of this repository's own, unless a file is given
        #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "template.yaml")]
        template: Option<PathBuf>,
        /// JSON, for scripts
        #[arg(long, global = true)]
        json: bool,
    },
    /// Write a subscriber, and deploy one beside the stack on this machine
    Subscriber {
        #[command(subcommand)]
        command: SubscriberCommand,
    },
    /// Look after the contracts of the events
    Contracts {
        #[command(subcommand)]
        command: contract::Command,
    },
    /// Hold the template's permissions to the calls that are made
    Iam {
        #[command(subcommand)]
        command: iam::Command,
    },
    /// Look after the crates that everything is built on
    Dependencies {
        #[command(subcommand)]
        command: dependencies::Command,
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
    /// Check that the programs of `sam build` can start on Lambda
    CheckPrograms {
        /// Section of samconfig.toml that they were built for
        #[arg(long, value_name = "NAME", default_value = "default")]
        config_env: String,
    },
    /// List what a deployment would replace or remove on AWS, and fail if data would be lost with it
    CheckUpgrade {
        /// The template that is deployed
        #[arg(long, value_name = "FILE", default_value = upgrade::RELEASED)]
        from: PathBuf,
        /// The template that is to be deployed over it
        #[arg(default_value = "template.yaml")]
        template: PathBuf,
    },
    /// Check every template
    #[command(hide = true)]
    CheckTemplates {
        /// Lint for every region, which takes minutes; otherwise for four
        #[arg(long)]
        every_region: bool,
    },
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
enum RulesCommand {
    /// Show what each rule lets through, and where to
    List,
    /// Tell which rules let an event through, and for each of the others which condition fails
    Match {
        /// A file with a CloudEvent or with an event as the bus delivers it; or a type of the catalogue, for its sample
        #[arg(long, value_name = "FILE|TYPE")]
        event: String,
        /// Set a field first: data.total.amountMinor=1250
        #[arg(long = "set", value_name = "FIELD=VALUE")]
        assignments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum SubscriberCommand {
    /// Write a function of this repository; or, with --stack FOLDER, a stack of another team's own into that folder
    New {
        /// Its name, such as loyalty-points
        name: String,
        /// The type that it listens to, such as orders.order-confirmed.v1
        #[arg(long, value_name = "TYPE")]
        on: String,
        /// What else is wanted of the CloudEvent, as a rule says it: {"data": {"customerId": ["c-1"]}}
        #[arg(long = "where", value_name = "PATTERN")]
        condition: Option<String>,
        /// What it is written in. A function of this repository is written in Rust
        #[arg(long, value_enum, default_value = "rust")]
        lang: Language,
        /// With --stack FOLDER: for another account than that of Orderbus, whose twelve digits these are. Also writes orderbus.yaml,
        /// which is deployed in Orderbus's account
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
    /// Deploy a stack of its own beside the stack that runs on this machine
    Deploy {
        /// Its folder
        folder: PathBuf,
    },
    /// Show what a function has logged on this machine
    Logs {
        /// Its folder: that of a stack of its own, or functions/order-placed
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Tail {
    /// Only this type: orders.order-placed.v1, orders.order-placed for every version of it, or 'orders.*'
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only what this context sends, such as orders
    #[arg(long)]
    source: Option<String>,
    /// Only what is about this order, or whatever else the event is about
    #[arg(long)]
    subject: Option<String>,
    /// Every event as one line of JSON
    #[arg(long)]
    json: bool,
    /// Show whom events name, and the tokens that answer a checkout
    #[arg(long)]
    personal: bool,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
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
    /// Only those of this consumer, or in this queue: order-placed, …, checkout, bus, undelivered, quarantine
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

/// How long a signal waits for what must be removed.
const TO_CLEAR_UP: Duration = Duration::from_secs(15);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = stop_on_signals().and_then(|()| run(arguments));
    // The one who handles the signal also ends the program.
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
    match outcome {
        Ok(code) => terminal::exit_code(code),
        Err(error) => {
            complain_of(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let progress = Progress::new(|line| say(line));
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
        Command::Publish { event, assignments, unchecked } => {
            publish_events(&event, &assignments, unchecked, || Target::of(stack, state))
        }
        Command::Tail(options) => watch(&Target::of(stack, state)?, options),
        Command::Rules { command, template, json } => look_at_rules(stack, state, command, template, json),
        Command::Subscriber { command } => subscribe(command, stack, &progress),
        Command::Dlq { command, json } => look_after(&Target::of(stack, state)?, command, json),
        Command::Replay(arguments) => replay_command::replay(&Target::of(stack, state)?, arguments),
        Command::Rebuild { command } => replay_command::rebuild(&Target::of(stack, state)?, command),
        Command::Lake { command: LakeCommand::Reports } => {
            show(lake::list());
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
        Command::Iam { command } => iam::run(&command, &progress),
        Command::Contracts { command } => contract::run(command, &progress),
        Command::Dependencies { command } => dependencies::run(&command, &progress),
        Command::CheckPrograms { config_env } => {
            programs::check(&config_env)?.iter().for_each(|line| say(format_args!("{line}")));
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckUpgrade { from, template } => check_upgrade(&from, &template),
        Command::CheckTemplates { every_region } => {
            let tools = Tools::ready(&progress)?;
            sam::validate(&tools, &repository::local_state(), &progress)?;
            judges::judge(every_region, &tools, &repository::local_state(), &progress)?;
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
    say(format_args!("\n{}", report::render(&outcome)));
    if !outcome.is_as_declared() {
        bail!("not everything ended as declared: see ✗ above, and the logs in .local");
    }
    progress.say("all twenty orders ended as declared");
    // Until the very end a signal or a failure stops everything.
    local.keep()?;
    if !no_keep {
        say(farewell(&api.url()));
    }
    Ok(ExitCode::SUCCESS)
}

fn farewell(url: &str) -> String {
    let region = ministack::REGION;
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

Publish an event as a carrier or a payment provider would:

  curl -i {url}/events --aws-sigv4 aws:amz:{region}:execute-api --user test:test \
    -H 'Content-Type: application/cloudevents+json' \
    --data-binary @events/samples/shipping.delivery-status-changed.v1/complete.json

Look at it:  cargo orderbus order <the orderId of the answer>
Stop:        cargo orderbus local down"#
    )
}

fn stop_local() -> Result<ExitCode> {
    let was_running = ministack::stop(&repository::local_state())?;
    say(if was_running { "stopped" } else { "nothing was running" });
    Ok(ExitCode::SUCCESS)
}

fn check_upgrade(from: &Path, template: &Path) -> Result<ExitCode> {
    let tools = Tools::ready(&Progress::new(|_| ()))?;
    let changes = upgrade::changes(&upgrade::file(from), &upgrade::file(template), &tools)?;
    for change in changes.iter().filter(|change| change.loss().is_none()) {
        say(change);
    }
    upgrade::judge(&changes)?;
    say("no resource that holds data would be replaced or removed");
    Ok(ExitCode::SUCCESS)
}

fn list_stock(target: &Target) -> Result<ExitCode> {
    let levels = target.wait(target.stack().stock()?.levels()).context("cannot read the stock")?;
    let levels: BTreeMap<_, _> = levels.into_iter().map(|(sku, level)| (sku.to_string(), level)).collect();
    show(report::levels(&levels));
    Ok(ExitCode::SUCCESS)
}

fn set_stock(target: &Target, sku: &str, available: u64) -> Result<ExitCode> {
    let sku = Sku::parse(sku)?;
    let stock = target.stack().stock()?;
    let level = target.wait(stock.set_available(&sku, available)).context("cannot count the stock")?;
    show(report::levels(&BTreeMap::from([(sku.to_string(), level)])));
    Ok(ExitCode::SUCCESS)
}

/// How many facts from outside `orderbus order` shows.
const OUTSIDE_MAX: usize = 100;

fn tell_order(target: &Target, id: &str) -> Result<ExitCode> {
    let order_id = OrderId::parse(id)?;
    let views = target.stack().order_views()?;
    let facts = async {
        let own = views.own_facts(&order_id).await?;
        let has_signature = views.has_signature(&order_id).await?;
        Ok::<_, PortError>((own, has_signature, views.outside_facts(&order_id, None, OUTSIDE_MAX).await?))
    };
    let (own, has_signature, outside) = target.wait(facts).context("cannot read the order")?;
    let Some(account) = Account::from_facts(id, &own, has_signature, &outside.facts) else {
        bail!("nothing is known of order {id}")
    };
    say(format_args!("{}  {}\n{}", account.order_id, account.status, account.lines()));
    if outside.next.is_some() {
        say(format_args!(
            "Of the events from outside these are the newest {OUTSIDE_MAX}. `GET /orders/{id}` pages through all of them."
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn publish_events(
    event: &str,
    assignments: &[String],
    is_unchecked: bool,
    target: impl FnOnce() -> Result<Target>,
) -> Result<ExitCode> {
    let mut entries = Vec::new();
    for (number, mut event) in publish::read(event)?.into_iter().enumerate() {
        for assignment in assignments {
            publish::set(&mut event, assignment)?;
        }
        let entry = if is_unchecked { publish::unchecked } else { publish::checked };
        entries.push(entry(&event, number, orderbus::now()).context("nothing was sent")?);
    }
    let target = target()?;
    target.wait(publish::put(target.stack(), &entries))?;
    for entry in entries {
        say(format_args!("published {} {}", entry.event_type(), entry.id()));
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(target: &Target, options: Tail) -> Result<ExitCode> {
    let Tail { event_type, source, subject, json, personal, limit } = options;
    let filter = tail::Filter { event_type, source, subject };
    if let Some(doubt) = filter.doubt() {
        complain(format_args!("orderbus: {doubt}"));
    }
    let style =
        tail::Style { is_json: json, shows_personal_data: personal, is_coloured: terminal::is_coloured() };
    let started = || complain(format_args!("orderbus: watching; Ctrl-C ends it"));
    let show = |delivered: &tail::Delivered| {
        terminal::say_coloured(&tail::render(delivered, style));
        if terminal::is_open() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    target.wait(tail::watch(target.stack(), &filter, limit, orderbus::now, started, show))?;
    Ok(ExitCode::SUCCESS)
}

fn look_at_rules(
    stack: Option<&str>,
    state: Option<PathBuf>,
    command: RulesCommand,
    template: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode> {
    let rules = match template {
        // Wherever we are, template.yaml is that of this repository.
        Some(file) if !file.exists() => rules::of_template(&repository::root().join(file))?,
        Some(file) => rules::of_template(&file)?,
        None => {
            let target = Target::of(stack, state)?;
            let events = target.stack().sdk().eventbridge();
            target.wait(rules::deployed(&events, target.stack().output("BusName")?))?
        }
    };
    let (value, text) = match command {
        RulesCommand::List => (rules::list_json(&rules), rules::list(&rules)),
        RulesCommand::Match { event, assignments } => {
            let event = publish::read_delivered(&event, &assignments, orderbus::now())?;
            let verdicts = rules::judge(&rules, &event);
            (rules::verdicts_json(&verdicts), rules::verdicts(&verdicts))
        }
    };
    if json {
        say(format_args!("{value:#}"));
    } else {
        show(text);
    }
    Ok(ExitCode::SUCCESS)
}

fn subscribe(command: SubscriberCommand, stack: Option<&str>, progress: &Progress) -> Result<ExitCode> {
    match command {
        SubscriberCommand::New { name, on, condition, lang, account } => {
            let wish = subscriber::Wish::new(&name, &on, condition.as_deref())?;
            let next = match stack {
                Some(folder) => {
                    let account = account.as_deref().map_or(Home::OfOrderbus, Home::OtherThan);
                    subscriber::alone(Path::new(folder), &wish, lang, account)?
                }
                None if account.is_some() => {
                    bail!(
                        "a function of this repository runs in Orderbus's account; for another one, give --stack FOLDER"
                    )
                }
                None if lang != Language::Rust => {
                    bail!(
                        "a function of this repository is written in Rust; for another language, give --stack FOLDER"
                    )
                }
                None => subscriber::inside(&repository::root(), &wish)?,
            };
            say(format_args!("{name} is written. Look at:"));
            next.iter().for_each(|line| say(format_args!("  {line}")));
            for doubt in wish.doubts()? {
                say(format_args!("The sample of {on} would not come to it: {doubt}"));
            }
        }
        SubscriberCommand::Deploy { .. } | SubscriberCommand::Logs { .. } if stack.is_some() => {
            bail!(
                "this is for the stack on this machine; on AWS, use `sam deploy` and `sam logs` in its folder"
            )
        }
        SubscriberCommand::Deploy { folder } => {
            let local = LocalStack::find(&Options::default(), progress)?;
            subscriber::deploy(&Tools::ready(progress)?, &folder, local.ministack(), progress)?;
            progress.say("deployed");
        }
        SubscriberCommand::Logs { folder } => {
            let quiet = Progress::new(|_| ());
            let local = LocalStack::find(&Options::default(), &quiet)?;
            show(subscriber::logs(&Tools::ready(&quiet)?, &folder, local.ministack())?);
        }
    }
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
    show(texts.join("\n"));
    if let Some(file) = html {
        fs::write(file, lake_page::page(&found)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        complain(format_args!("written: {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn look_after(target: &Target, command: DlqCommand, json: bool) -> Result<ExitCode> {
    let dlq = target.stack().dlq(&Tools::ready(&Progress::new(|_| ()))?)?;
    // What is left of what was asked for, and whether all of it was looked at.
    let (mut left, mut is_all) = (None, true);
    let (value, text) = match command {
        DlqCommand::List { selection } => {
            let order = selection.order()?;
            let survey = target.wait(dlq.list(&order))?;
            is_all = !survey.may_have_more;
            (dlq::list_json(&survey), dlq::table(&survey, &order, orderbus::now()))
        }
        DlqCommand::Show { id } => {
            let shown = target.wait(dlq.show(&id))?;
            (dlq::shown_json(&shown), dlq::shown(&shown))
        }
        DlqCommand::Redrive { selection, id, dry_run } => {
            let order = Order { id, ..selection.order()? };
            if dry_run {
                let survey = target.wait(dlq.preview(&order))?;
                is_all = !survey.may_have_more;
                (dlq::list_json(&survey), dlq::preview(&survey, orderbus::now()))
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
        say(format_args!("{value:#}"));
        if !is_all {
            complain(format_args!("orderbus: {}", dlq::NOT_ALL));
        }
    } else {
        show(text);
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
        complain(format_args!("\norderbus: interrupted, stopping what was started"));
        interrupt::request(TO_CLEAR_UP);
        processes::stop_all();
        std::process::exit(code)
    });
    Ok(())
}
