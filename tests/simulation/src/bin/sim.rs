//! `cargo orderbus sim`: looks for a run in which an invariant falls.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::{
    Budget, Covered, Failure, Figures, Mishap, Plan, Topology, every_cancellation, every_crash, run, search,
    shrink,
};

/// Runs the order process in memory under every fault that can be thought of.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus sim")]
struct Arguments {
    /// Try so many seeds.
    #[arg(long, default_value_t = 20_000, conflicts_with_all = ["seed", "minutes"])]
    seeds: u64,
    /// Run this seed alone and show all that happens.
    #[arg(long, conflicts_with = "minutes")]
    seed: Option<u64>,
    /// Try seeds for so many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// The first seed of many.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// With --seed: these of its orders alone, by their number.
    #[arg(long, value_delimiter = ',', requires = "seed")]
    only: Option<Vec<usize>>,
    /// With --seed: without these mishaps.
    #[arg(long, value_delimiter = ',', requires = "seed")]
    without: Vec<Mishap>,
    /// Use so many threads; as many as there are cores where nothing is said.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let topology = Arc::new(Topology::of_the_templates());
    // From here on a panic is a thing that falls like any other, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let verdict = match arguments.seed {
        Some(seed) => one(&topology, seed, &arguments),
        None => all(&topology, &arguments),
    };
    match verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn one(topology: &Arc<Topology>, seed: u64, arguments: &Arguments) -> Result<(), ()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(drop)?;
    let _guard = runtime.enter();
    let plan =
        Plan { seed, only: arguments.only.clone(), without: arguments.without.iter().copied().collect() };
    match run(topology, &plan, true) {
        Ok(figures) => {
            figures.trace.iter().for_each(|line| say(line));
            figure("histories", figures.histories);
            figure("faults", figures.faults);
            say("every invariant holds");
            Ok(())
        }
        Err(failure) => {
            tell(&failure);
            Err(())
        }
    }
}

fn all(topology: &Arc<Topology>, arguments: &Arguments) -> Result<(), ()> {
    let threads =
        arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let begun = Instant::now();
    let crashes = every_crash(topology, threads).map_err(|(what, failure)| fallen(&what, &failure))?;
    let moments = every_cancellation(topology, threads).map_err(|(what, failure)| fallen(&what, &failure))?;
    let exhaustive_s = begun.elapsed().as_secs_f64();
    let budget = match arguments.minutes {
        Some(minutes) => Budget::Time(Duration::from_secs_f64(minutes * 60.0)),
        None => Budget::Seeds(arguments.seeds),
    };
    let begun = Instant::now();
    match search(topology, arguments.first_seed, budget, threads) {
        Ok(figures) => {
            report(&crashes, &moments, exhaustive_s, &figures, begun.elapsed().as_secs_f64(), threads);
            Ok(())
        }
        Err(found) => {
            let (plan, failure, figures) = *found;
            say(&format!("seed {} fell, the {}th that was tried:", plan.seed, figures.seeds + 1));
            failure.what.iter().for_each(|line| say(&format!("  {line}")));
            say("looking for the smallest run that falls");
            minimise(topology, &plan);
            Err(())
        }
    }
}

fn minimise(topology: &Arc<Topology>, plan: &Plan) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let _guard = runtime.enter();
    let smallest = shrink(topology, plan);
    if let Err(failure) = run(topology, &smallest, true) {
        tell(&failure);
    }
    let mut command = format!("cargo orderbus sim --seed {}", smallest.seed);
    if let Some(only) = &smallest.only {
        let only: Vec<String> = only.iter().map(usize::to_string).collect();
        command.push_str(&format!(" --only {}", only.join(",")));
    }
    if !smallest.without.is_empty() {
        let without: Vec<&str> = smallest.without.iter().map(|mishap| mishap.name()).collect();
        command.push_str(&format!(" --without {}", without.join(",")));
    }
    say(&format!("again: {command}"));
}

fn fallen(what: &str, failure: &Failure) {
    say(&format!("{what}:"));
    tell(failure);
}

fn tell(failure: &Failure) {
    failure.trace.iter().for_each(|line| say(line));
    say("what fell:");
    failure.what.iter().for_each(|line| say(&format!("  {line}")));
}

fn report(
    crashes: &Covered,
    moments: &Covered,
    exhaustive_s: f64,
    figures: &Figures,
    seconds: f64,
    threads: usize,
) {
    say("calls that went wrong one by one, in each of five ways, in the history of an order of every way:");
    for (function, (operations, runs)) in &crashes.points {
        say(&format!("  {function:<20} {:>3} kinds of calls {runs:>7} runs", operations.len()));
    }
    figure("exhaustive histories", crashes.histories + moments.histories);
    figure("moments of a call-off", moments.moments);
    figure("exhaustive seconds", format!("{exhaustive_s:.1}"));
    figure("seeds", figures.seeds);
    figure("histories", figures.histories);
    figure("steps", figures.steps);
    figure("calls", figures.calls);
    figure("calls gone wrong", figures.faults);
    figure("dead letters redriven", figures.redriven);
    figure("released from quarantine", figures.released);
    figure("poison", figures.poison);
    figure("seconds", format!("{seconds:.1}"));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_core = figures.histories as f64 / seconds / threads as f64;
    figure("histories/s a core", format!("{per_core:.0}"));
    say("every invariant holds");
}

fn figure(name: &str, value: impl std::fmt::Display) {
    say(&format!("{name:<26}{value:>12}"));
}

#[expect(clippy::print_stdout, reason = "a command speaks to people")]
fn say(line: &str) {
    println!("{line}");
}
