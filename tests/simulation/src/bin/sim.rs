//! `cargo orderbus sim`: looks for a run in which an invariant falls.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::{
    Budget, Case, Covered, Crash, Explored, Failure, Fallen, Figures, Lie, Mishap, Moment, Plan, Schedule,
    SmallWorld, Topology, Wrong, every_cancellation, every_crash, interleavings, run, search, shrink,
};

/// How long a run that fell is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);

/// More states than any small world has but `one-order`, which is left there: it has no end within an hour and the memory of a
/// laptop.
const STATES_MAX: usize = 400_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the order process in memory under every fault that can be thought of.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus sim")]
struct Arguments {
    /// Try so many seeds.
    #[arg(long, default_value_t = 10_000, conflicts_with_all = ["seed", "minutes", "crash", "moment"])]
    seeds: u64,
    /// Run this seed alone and show all that happens.
    #[arg(long, conflicts_with_all = ["minutes", "crash", "moment"])]
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
    /// One order alone, in which one call goes wrong, and all that happens: its way, whether it is kept or called off (kept, api,
    /// event, astray), the number of the call, and the fault, such as shipped:api:17:reply-lost.
    #[arg(long, conflicts_with_all = ["minutes", "moment"])]
    crash: Option<Crash>,
    /// One order alone, called off at one step, and all that happens: its way, by whom it is called off (api, event), the seed, and
    /// the step, such as shipped:api:2:117.
    #[arg(long, conflicts_with = "minutes")]
    moment: Option<Moment>,
    /// Try no single faults and no call-offs first, only seeds.
    #[arg(long, conflicts_with_all = ["seed", "crash", "moment"])]
    only_seeds: bool,
    /// Go through every schedule of small worlds in place of seeds: every order in which the functions can make their calls, with
    /// every crash, lost answer, redelivery and time-out at every place.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "crash", "moment", "only_seeds", "seeds"])]
    exhaustive: bool,
    /// With --exhaustive: this world alone (crash, lost-answer, time-out, one-order).
    #[arg(long, requires = "exhaustive")]
    world: Option<SmallWorld>,
    /// With --exhaustive: stop after so many states of one world.
    #[arg(long, requires = "exhaustive", default_value_t = STATES_MAX)]
    states: usize,
    /// Replay one schedule of a small world and show all that happens, such as crash:3,0,1.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "crash", "moment", "only_seeds", "seeds", "exhaustive"])]
    schedule: Option<Schedule>,
    /// Use so many threads; as many as there are cores where nothing is said.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let topology = Arc::new(Topology::of_the_templates());
    let crash = arguments.crash.clone().map(Case::Crash);
    let case = crash.or_else(|| arguments.moment.map(Case::Moment));
    if let Some(schedule) = &arguments.schedule {
        return exit_code(replayed(&topology, schedule));
    }
    if arguments.exhaustive {
        return exit_code(every_interleaving(&topology, &arguments));
    }
    let holds = match (case, arguments.seed) {
        (Some(case), _) => one(|| case.run(&topology, true)),
        (None, Some(seed)) => {
            let (only, without) = (arguments.only, arguments.without.into_iter().collect());
            one(|| run(&topology, &Plan { seed, only, without }, true))
        }
        (None, None) => all(&topology, &arguments),
    };
    exit_code(holds)
}

fn exit_code(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Replays one schedule. True when every invariant held.
fn replayed(topology: &Arc<Topology>, schedule: &Schedule) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return false;
    };
    let _guard = runtime.enter();
    say(&format!("{}: {}", schedule.world.name(), schedule.world.about()));
    match schedule.replay(topology) {
        Ok(trace) => {
            trace.iter().for_each(|line| say(line));
            say("every invariant holds");
            true
        }
        Err(failure) => {
            tell(&failure);
            say("an invariant fell");
            false
        }
    }
}

/// Goes through every schedule of the small worlds. True when every invariant held in all of them.
fn every_interleaving(topology: &Arc<Topology>, arguments: &Arguments) -> bool {
    let threads = threads(arguments);
    let begun = Instant::now();
    let worlds =
        SmallWorld::ALL.into_iter().filter(|world| arguments.world.is_none_or(|meant| meant == *world));
    for world in worlds {
        say(&format!("{}: {}", world.name(), world.about()));
        let begun = Instant::now();
        match interleavings(topology, world, arguments.states, threads) {
            Ok(explored) => tell_explored(&explored, begun.elapsed()),
            Err(fallen) => {
                let (schedule, failure, explored) = *fallen;
                tell(&failure);
                tell_explored(&explored, begun.elapsed());
                say(&format!("an invariant fell; again: cargo orderbus sim --schedule {schedule}"));
                return false;
            }
        }
    }
    figure("threads", threads);
    figure("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));
    say("every invariant holds");
    true
}

fn tell_explored(explored: &Explored, took: Duration) {
    figure("  probed", explored.probed);
    figure("  states", explored.states);
    figure("  transitions", explored.transitions);
    figure("  schedules", format!("{:.3e}", explored.schedules));
    figure("  most choices", explored.choices_max);
    for (end, count) in &explored.ends {
        figure(&format!("  ends {end}"), count);
    }
    figure("  read model, lake", explored.fed);
    figure("  seconds", format!("{:.1}", took.as_secs_f64()));
    if let Some(choices) = explored.bound {
        say(&format!(
            "  stopped at the bound: every schedule of {choices} choices was seen, and no longer one"
        ));
    }
}

fn threads(arguments: &Arguments) -> usize {
    let cores = || std::thread::available_parallelism().ok().map(usize::from);
    arguments.threads.or_else(cores).unwrap_or(1)
}

/// Runs one and tells all that happened. True when every invariant held.
fn one(run: impl FnOnce() -> Result<Figures, Failure>) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return false;
    };
    let _guard = runtime.enter();
    match run() {
        Ok(figures) => {
            figures.trace.iter().for_each(|line| say(line));
            figure("histories", figures.histories);
            figure("faults", figures.faults);
            say("every invariant holds");
            true
        }
        Err(failure) => {
            tell(&failure);
            say("an invariant fell");
            false
        }
    }
}

/// All that was tried.
#[derive(Default)]
struct Tried {
    crashes: Covered,
    moments: Covered,
    exhaustive_s: f64,
    figures: Figures,
    seconds: f64,
    cpu_s: Option<f64>,
    threads: usize,
}

/// Tries everything until something falls. True when every invariant held.
fn all(topology: &Arc<Topology>, arguments: &Arguments) -> bool {
    let threads = threads(arguments);
    let mut tried = Tried { threads, ..Tried::default() };
    let begun = Instant::now();
    let mut fallen = None;
    if !arguments.only_seeds {
        (tried.crashes, fallen) = every_crash(topology, threads);
        if fallen.is_none() {
            (tried.moments, fallen) = every_cancellation(topology, threads);
        }
        tried.exhaustive_s = begun.elapsed().as_secs_f64();
    }
    let again = match fallen {
        Some(Fallen { case, failure }) => {
            tell(&failure);
            Some(case.to_string())
        }
        None => seeds(topology, arguments, &mut tried),
    };
    // A call that seeds make and no history of a single fault does would be one that never went wrong at every turn.
    let is_exhaustive = again.is_none() && !arguments.only_seeds;
    let missing = if is_exhaustive { tried.crashes.missing(&tried.figures.kinds) } else { vec![] };
    if !missing.is_empty() {
        say("what fell:");
        missing.iter().for_each(|call| say(&format!("  never made to go wrong one by one: {call:?}")));
    }
    report(&tried);
    match &again {
        Some(again) => say(&format!("an invariant fell; again: cargo orderbus sim {again}")),
        None if !missing.is_empty() => say("a call is not covered"),
        None => say("every invariant holds"),
    }
    again.is_none() && missing.is_empty()
}

/// Tries seeds. What to type to run the one that fell.
fn seeds(topology: &Arc<Topology>, arguments: &Arguments, tried: &mut Tried) -> Option<String> {
    let budget = match arguments.minutes {
        Some(minutes) => Budget::Time(Duration::from_secs_f64(minutes * 60.0)),
        None => Budget::Seeds(arguments.seeds),
    };
    let (begun, cpu_s) = (Instant::now(), cpu_seconds());
    let found = search(topology, arguments.first_seed, budget, tried.threads);
    tried.seconds = begun.elapsed().as_secs_f64();
    tried.cpu_s = cpu_s.zip(cpu_seconds()).map(|(before, after)| after - before);
    match found {
        Ok(figures) => {
            tried.figures = figures;
            None
        }
        Err(found) => {
            let (plan, failure, figures) = *found;
            say(&format!("seed {} fell, the {}th that was tried:", plan.seed, figures.seeds + 1));
            failure.what.iter().for_each(|line| say(&format!("  {line}")));
            say("looking for the smallest run that falls");
            tried.figures = figures;
            Some(minimise(topology, &plan))
        }
    }
}

fn minimise(topology: &Arc<Topology>, plan: &Plan) -> String {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return format!("--seed {}", plan.seed);
    };
    let _guard = runtime.enter();
    let smallest = shrink(topology, plan, SHRINKING);
    if let Err(failure) = run(topology, &smallest, true) {
        tell(&failure);
    }
    let mut again = format!("--seed {}", smallest.seed);
    if let Some(only) = &smallest.only {
        let only: Vec<String> = only.iter().map(usize::to_string).collect();
        again.push_str(&format!(" --only {}", only.join(",")));
    }
    if !smallest.without.is_empty() {
        let without: Vec<&str> = smallest.without.iter().map(|mishap| mishap.name()).collect();
        again.push_str(&format!(" --without {}", without.join(",")));
    }
    again
}

fn tell(failure: &Failure) {
    failure.trace.iter().for_each(|line| say(line));
    say("what fell:");
    failure.what.iter().for_each(|line| say(&format!("  {line}")));
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(tried: &Tried) {
    let Tried { crashes, moments, exhaustive_s, figures, seconds, cpu_s, threads } = tried;
    let mut made: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for call in &figures.kinds {
        made.entry(call.function).or_default().insert(call.operation);
    }
    if !crashes.points.is_empty() {
        say(
            "crash points: the kinds of calls that went wrong one by one, in each of five ways, of all that were ever made:",
        );
    }
    for (function, covered) in &crashes.points {
        let covered: BTreeSet<&str> = covered.keys().copied().collect();
        let all = made.get(function).map_or(covered.len(), |made| made.union(&covered).count());
        let runs = crashes.runs.get(function).copied().unwrap_or_default();
        say(&format!("  {function:<20} {:>3} of {all:>2} kinds of calls {runs:>7} runs", covered.len()));
    }
    figure("exhaustive histories", crashes.histories + moments.histories);
    figure("moments of a call-off", moments.moments);
    figure("exhaustive seconds", format!("{exhaustive_s:.1}"));
    figure("seeds", figures.seeds);
    figure("disturbed histories", figures.histories);
    figure("steps", figures.steps);
    figure("calls", figures.calls);
    figure("calls gone wrong", figures.faults);
    for wrong in Wrong::ALL {
        figure(&format!("  {}", wrong.name()), figures.wrong.get(&wrong).copied().unwrap_or_default());
    }
    for lie in Lie::ALL {
        figure(&format!("lies {}", lie.name()), figures.lies.get(&lie).copied().unwrap_or_default());
    }
    figure("dead letters redriven", figures.redriven);
    figure("released from quarantine", figures.released);
    figure("undisturbed, to compare", figures.undisturbed);
    figure("threads", threads);
    figure("seconds", format!("{seconds:.1}"));
    let rate = |seconds: f64| if seconds > 0.0 { figures.histories as f64 / seconds } else { 0.0 };
    figure("histories/s a thread", format!("{:.0}", rate(seconds * *threads as f64)));
    if let Some(cpu_s) = cpu_s {
        figure("seconds of a core", format!("{cpu_s:.1}"));
        figure("histories/s of a core", format!("{:.0}", rate(*cpu_s)));
    }
}

/// What this process took of all cores until now, where Linux says it.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in parentheses, the 12th and 13th are the hundredths of a second in user and in system mode.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<Option<f64>>().map(|ticks| ticks / 100.0)
}

fn figure(name: &str, value: impl std::fmt::Display) {
    say(&format!("{name:<26}{value:>12}"));
}

fn say(line: &str) {
    terminal::say(line);
    // Nobody reads on, and there is nothing to clear up.
    if !terminal::is_open() {
        std::process::exit(0);
    }
}
