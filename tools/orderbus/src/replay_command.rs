//! `orderbus replay` and `orderbus rebuild`.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use orderbus::replay::{self, Preview, Replays, Request};
use orderbus::tools::Tools;
use orderbus::{Progress, repository};
use serde_json::Value;

use crate::Target;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReplayArguments {
    #[command(subcommand)]
    command: Option<ReplayCommand>,
    /// The first instant: 2026-01-31T12:00:00Z, 2026-01-31, or how long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The first instant that is not replayed any more; now, when none is given
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only events of this type, with or without its version; may come more than once. Needs --from-lake
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this source; may come more than once. Needs --from-lake
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Only events about this order or other subject; may come more than once. Needs --from-lake
    #[arg(long = "subject", value_name = "ID")]
    subjects: Vec<String>,
    /// Only to this consumer, such as order-tracker, or the name or ARN of a rule; may come more than once
    #[arg(long = "rule", value_name = "NAME")]
    rules: Vec<String>,
    /// From the lake, which holds every event, and not from EventBridge's archive
    #[arg(long)]
    from_lake: bool,
    /// How many events a second; 100 unless it is given. Needs --from-lake
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroU32>,
    /// What to call it, so that it can be told from others and gone on with
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Go on with the replay of this name, where it broke off
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to", "types", "sources", "subjects", "rules", "from_lake", "name"])]
    resume: Option<String>,
    /// Only say what would be sent, and to whom
    #[arg(long)]
    dry_run: bool,
    /// JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Show the replays that EventBridge and this machine know of
    List,
    /// Show how far one is
    Status {
        /// Its name
        name: String,
    },
    /// End one; what it has sent is sent
    Cancel {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RebuildCommand {
    /// Empty the table of the orders' views and fill it from what happened. Meanwhile GET /orders/{id} knows less
    ReadModel {
        /// From the lake, which holds every event, and not from EventBridge's archive
        #[arg(long)]
        from_lake: bool,
        /// How many events a second; 100 unless it is given. Needs --from-lake
        #[arg(long, value_name = "NUMBER")]
        rate: Option<NonZeroU32>,
        /// Do it. Otherwise it is only said what would be done
        #[arg(long)]
        yes: bool,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn replay(target: &Target, arguments: ReplayArguments) -> Result<ExitCode> {
    let replays = replays(target)?;
    let json = arguments.json;
    if let Some(command) = arguments.command {
        let known = match command {
            ReplayCommand::List => target.wait(replays.list())?,
            ReplayCommand::Status { name } => vec![target.wait(replays.known(&name))?],
            ReplayCommand::Cancel { name } => vec![target.wait(replays.cancel(&name))?],
        };
        print(json, || replay::listed_json(&known), || replay::listed(&known));
        return Ok(ExitCode::SUCCESS);
    }
    let now = orderbus::now();
    let plan = match &arguments.resume {
        Some(name) => target.wait(replays.resume(name, arguments.rate, now))?,
        None => {
            let instant =
                |text: Option<String>| text.map(|text| replay::read_instant(&text, now)).transpose();
            let request = Request {
                from: instant(arguments.from).context("--from")?,
                to: instant(arguments.to).context("--to")?,
                types: arguments.types,
                sources: arguments.sources,
                subjects: arguments.subjects,
                rules: arguments.rules,
                from_lake: arguments.from_lake,
                rate: arguments.rate,
                name: arguments.name,
            };
            target.wait(replays.plan(&request, now))?
        }
    };
    if arguments.dry_run {
        let preview = target.wait(replays.preview(plan))?;
        print(json, || replay::plan_json(&preview), || replay::plan_text(&preview));
        return Ok(ExitCode::SUCCESS);
    }
    let progress = on_stderr();
    plan.notes.iter().for_each(|note| progress.say(format_args!("note: {note}")));
    if !plan.left_out.is_empty() {
        let names: Vec<&str> = plan.left_out.iter().map(|consumer| consumer.name.as_str()).collect();
        let names = names.join(", ");
        progress.say(format_args!(
            "left out, so that nobody is asked for money again: {names} (--dry-run says more)"
        ));
    }
    let summary = target.wait(replays.run(&plan, &progress))?;
    print(json, || replay::summary_json(&summary), || replay::summary_text(&summary));
    Ok(exit_code(summary.is_good()))
}

pub(crate) fn rebuild(target: &Target, command: RebuildCommand) -> Result<ExitCode> {
    let RebuildCommand::ReadModel { from_lake, rate, yes, json } = command;
    let replays = replays(target)?;
    let request = Request { from_lake, rate, ..Request::default() };
    let rebuild = target.wait(replays.plan_rebuild(request))?;
    if !yes {
        let before = rebuild.before;
        let preview: Preview = target.wait(replays.preview(rebuild.plan))?;
        print(
            json,
            || replay::plan_json(&preview),
            || {
                format!(
                    "{}\nThe read model holds {} orders and {} facts. To empty it and fill it like this: --yes\n",
                    replay::plan_text(&preview),
                    before.orders,
                    before.facts
                )
            },
        );
        return Ok(ExitCode::SUCCESS);
    }
    let rebuilt = target.wait(replays.rebuild(rebuild, &on_stderr()))?;
    print(json, || replay::rebuilt_json(&rebuilt), || replay::rebuilt_text(&rebuilt));
    Ok(exit_code(rebuilt.is_good()))
}

fn replays(target: &Target) -> Result<Replays> {
    let tools = Tools::ready(&Progress::new(|_| ()))?;
    let folder = target.state().unwrap_or_else(repository::local_state).join("replays");
    Replays::of(target.stack(), &tools, folder)
}

/// What a person watches; the result alone is on standard output.
fn on_stderr() -> Progress {
    Progress::new(|line| terminal::complain(line))
}

fn print(json: bool, value: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
    if json {
        terminal::say(format_args!("{:#}", value()));
    } else {
        terminal::show(text());
    }
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
