use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain::Attempt;
use fastrand::Rng;
use memory::Fault;

use crate::invariants::{Remains, Seen, broken, events_of};
use crate::outside::{Call, Outage, Rates};
use crate::topology::Topology;
use crate::workload::{CallOff, PlannedOrder, Way, When, orders};
use crate::world::{Patience, World, lock};

/// What a seed decides, and what is left out of it to find what matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Only these of its orders; all of them where nothing is said.
    pub only: Option<Vec<usize>>,
    /// Without these mishaps.
    pub without: BTreeSet<Mishap>,
}

/// A kind of thing that goes wrong, to be left out by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Mishap {
    /// Calls that are lost, repeated, or end the caller.
    Calls,
    /// Entries that the bus refuses.
    Entries,
    /// Events that come twice.
    Duplicates,
    /// Targets that the bus gives up on.
    Undelivered,
    /// Messages that come again although they were acknowledged.
    Redelivered,
    /// Invocations without time, or whose answer is not heard.
    Invocations,
    /// Time that leaps ahead.
    Leaps,
    /// A service that is down for the whole of the storm.
    Outage,
    /// Messages that nobody can handle.
    Poison,
}

impl Mishap {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Calls,
        Self::Entries,
        Self::Duplicates,
        Self::Undelivered,
        Self::Redelivered,
        Self::Invocations,
        Self::Leaps,
        Self::Outage,
        Self::Poison,
    ];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Entries => "entries",
            Self::Duplicates => "duplicates",
            Self::Undelivered => "undelivered",
            Self::Redelivered => "redelivered",
            Self::Invocations => "invocations",
            Self::Leaps => "leaps",
            Self::Outage => "outage",
            Self::Poison => "poison",
        }
    }
}

/// A run in which something fell.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What fell.
    pub what: Vec<String>,
    /// What happened until then, where it was asked for.
    pub trace: Vec<String>,
}

/// What was run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Seeds.
    pub seeds: u64,
    /// Whole-order histories, those that go undisturbed for comparison included.
    pub histories: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Calls of ports.
    pub calls: u64,
    /// Faults that calls met.
    pub faults: u64,
    /// Dead letters brought back.
    pub redriven: u64,
    /// Messages brought back from quarantine.
    pub released: u64,
    /// Poison put in queues.
    pub poison: u64,
    /// What happened, of a single run where it was asked for.
    pub trace: Vec<String>,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.histories += other.histories;
        self.steps += other.steps;
        self.calls += other.calls;
        self.faults += other.faults;
        self.redriven += other.redriven;
        self.released += other.released;
        self.poison += other.poison;
    }
}

/// The queues that poison is put in, and what is put there.
const POISONED: [&str; 6] = [
    "OrderPlacedQueue",
    "InventoryUpdaterQueue",
    "PaymentCallbackQueue",
    "ShippingNotifierQueue",
    "OrderTrackerQueue",
    "EventArchiverQueue",
];
const POISON: [&str; 4] = [
    "{\"detail",
    "[]",
    "\"text\"",
    r#"{"detail-type":"orders.order-placed.v9","source":"orders","detail":{}}"#,
];
/// What can be down for the whole of a storm.
const OUTAGES: [&str; 8] = [
    "memory:RegisterOrder",
    "memory:ReserveStock",
    "memory:CloseStock",
    "memory:ScheduleShipment",
    "memory:Tell",
    "memory:AddFact",
    "memory:WriteOnce",
    "memory:TaskSuccess",
];

/// Runs what a seed decides; for every fourth seed, everything is replayed when it is over.
///
/// # Errors
/// What fell.
pub fn run(topology: &Arc<Topology>, plan: &Plan, with_trace: bool) -> Result<Figures, Failure> {
    let mut rng = Rng::with_seed(plan.seed);
    let count = rng.usize(1..=12);
    let patience = if rng.bool() { Patience::Long } else { Patience::Standard };
    let planned = orders(&mut rng, count);
    let intensity = [0.0, 0.005, 0.02, 0.06, 0.15];
    let mut some = |kind: Mishap, scale: f64| {
        let rate = intensity[rng.usize(..intensity.len())] * scale;
        if plan.without.contains(&kind) { 0.0 } else { rate }
    };
    let rates = Rates {
        call: some(Mishap::Calls, 1.0),
        entry: some(Mishap::Entries, 1.0),
        duplicate: some(Mishap::Duplicates, 3.0),
        undelivered: some(Mishap::Undelivered, 0.3),
        redelivered: some(Mishap::Redelivered, 1.0),
        invocation: some(Mishap::Invocations, 1.0),
        leap: some(Mishap::Leaps, 0.1),
    };
    let outage = rng.choice(OUTAGES).filter(|_| rng.f64() < 0.1 && !plan.without.contains(&Mishap::Outage));
    let mut world = World::new(topology, rng.u64(..), rates, patience);
    // Long enough for dead letters, or long enough for quarantine.
    let until_ms = if rng.u8(..6) > 0 { 1_800_000 } else { 10_800_000 };
    world.outside().outage = outage.map(|operation| Outage { operation, until_ms });
    if with_trace {
        world.outside().trace = Some(vec![]);
    }
    let poison = if plan.without.contains(&Mishap::Poison) { 0 } else { rng.usize(..3) };
    for _ in 0..poison {
        let (queue, body) = (rng.choice(POISONED), rng.choice(POISON));
        if let (Some(queue), Some(body)) = (queue, body) {
            world.plan_poison(queue, body, rng.i64(0..4_000));
        }
    }
    let is_meant = |index: &usize| plan.only.as_ref().is_none_or(|only| only.contains(index));
    let meant: Vec<PlannedOrder> = planned
        .into_iter()
        .enumerate()
        .filter(|(index, _)| is_meant(index))
        .map(|(_, order)| order)
        .collect();
    meant.iter().for_each(|order| world.plan(order.clone()));
    let replays = rng.u8(..4) == 0;
    let outcome = unless_it_panics(|| see_through(&mut world, replays)).and_then(|()| match patience {
        Patience::Standard => Ok(()),
        Patience::Long => same_events(&world, &undisturbed(topology, &meant)?),
    });
    let undisturbed = if patience == Patience::Long { meant.len() } else { 0 };
    finish(world, meant.len() + undisturbed, outcome)
}

fn finish(world: World, histories: usize, outcome: Result<(), Vec<String>>) -> Result<Figures, Failure> {
    let mut outside = lock(&world.outside);
    match outcome {
        Ok(()) => Ok(Figures {
            seeds: 1,
            histories: histories as u64,
            steps: world.steps(),
            calls: outside.calls.len() as u64,
            faults: outside.faults_met as u64,
            redriven: world.redriven(),
            released: world.released(),
            poison: world.poison.len() as u64,
            trace: outside.trace.take().unwrap_or_default(),
        }),
        Err(what) => Err(Failure { what, trace: outside.trace.take().unwrap_or_default() }),
    }
}

/// A panic is a thing that fell, like any other.
fn unless_it_panics<T>(run: impl FnOnce() -> Result<T, Vec<String>>) -> Result<T, Vec<String>> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
        Err(vec![format!("something panicked: {text}")])
    })
}

/// The storm, the calm after it, and, where it `replays`, everything again.
fn see_through(world: &mut World, replays: bool) -> Result<(), Vec<String>> {
    world.run().map_err(|problem| vec![problem])?;
    world.settle().map_err(|problem| vec![problem])?;
    none(broken(world))?;
    if !replays {
        return Ok(());
    }
    let before = Remains::of(world).map_err(|problem| vec![problem])?;
    world.replay_everything();
    world.settle().map_err(|problem| vec![problem])?;
    let after = Remains::of(world).map_err(|problem| vec![problem])?;
    none(before.differences(&after))
}

fn none(broken: Vec<String>) -> Result<(), Vec<String>> {
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// The events of each order whose way is certain, by type and id.
type Certain = BTreeMap<String, BTreeSet<(String, String)>>;

/// What happens to these orders when nothing goes wrong.
fn undisturbed(topology: &Arc<Topology>, orders: &[PlannedOrder]) -> Result<Certain, Vec<String>> {
    Ok(certain(&calm(topology, orders).map_err(|problem| vec![problem])?))
}

fn calm(topology: &Arc<Topology>, orders: &[PlannedOrder]) -> Result<World, String> {
    let mut calm = World::new(topology, 1, Rates::default(), Patience::Long);
    orders.iter().for_each(|order| calm.plan(order.clone()));
    calm.run()?;
    Ok(calm)
}

/// The events of each order when nothing goes wrong, by the order's id.
///
/// # Errors
/// When something happened that must not.
pub fn undisturbed_events(
    topology: &Arc<Topology>,
    orders: &[PlannedOrder],
) -> Result<BTreeMap<String, BTreeSet<Seen>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let _guard = runtime.enter();
    Ok(events_of(&calm(topology, orders)?))
}

fn certain(world: &World) -> Certain {
    let events = events_of(world);
    let events_of = |order: &PlannedOrder| {
        let events = events.get(order.order_id.as_str()).into_iter().flatten();
        // Which of several requests for the one payment was answered first is a matter of chance.
        let events = events.filter(|seen| !seen.detail_type.starts_with("payments.payment-"));
        let events = events.map(|seen| (seen.detail_type.clone(), seen.event_id.clone())).collect();
        (order.order_id.to_string(), events)
    };
    world.planned.iter().filter(|order| order.is_certain()).map(events_of).collect()
}

/// An order whose way is certain leads to the same events, by their ids, as when nothing goes wrong.
fn same_events(world: &World, undisturbed: &Certain) -> Result<(), Vec<String>> {
    let disturbed = certain(world);
    let difference = |(order_id, there): (&String, &BTreeSet<(String, String)>)| {
        let here = disturbed.get(order_id).cloned().unwrap_or_default();
        (here != *there).then(|| {
            let missing: Vec<_> = there.difference(&here).collect();
            let surplus: Vec<_> = here.difference(there).collect();
            format!(
                "order {order_id}: other events than undisturbed: missing {missing:?}, surplus {surplus:?}"
            )
        })
    };
    none(undisturbed.iter().filter_map(difference).collect())
}

/// Makes a failing plan smaller while it fails: fewer orders, fewer kinds of mishaps.
#[must_use]
pub fn shrink(topology: &Arc<Topology>, plan: &Plan) -> Plan {
    let fails = |plan: &Plan| run(topology, plan, false).is_err();
    let mut smallest = plan.clone();
    for mishap in Mishap::ALL {
        let mut smaller = smallest.clone();
        smaller.without.insert(mishap);
        if fails(&smaller) {
            smallest = smaller;
        }
    }
    let mut only: Vec<usize> = smallest.only.clone().unwrap_or_else(|| (0..12).collect());
    for order in only.clone() {
        let fewer: Vec<usize> = only.iter().copied().filter(|other| *other != order).collect();
        let smaller = Plan { only: Some(fewer.clone()), ..smallest.clone() };
        if !fewer.is_empty() && fails(&smaller) {
            (only, smallest) = (fewer, smaller);
        }
    }
    smallest
}

/// How long to look.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// So many seeds.
    Seeds(u64),
    /// So long.
    Time(Duration),
}

/// Runs seed after seed on so many threads until the budget is used up or something falls.
///
/// # Errors
/// The first plan that fell.
pub fn search(
    topology: &Arc<Topology>,
    first_seed: u64,
    budget: Budget,
    threads: usize,
) -> Result<Figures, Box<(Plan, Failure, Figures)>> {
    let begun = Instant::now();
    let (next, is_over) = (AtomicU64::new(first_seed), AtomicBool::new(false));
    let work = || -> (Figures, Option<(Plan, Failure)>) {
        let mut figures = Figures::default();
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_used_up = match budget {
                Budget::Seeds(count) => seed - first_seed >= count,
                Budget::Time(duration) => begun.elapsed() >= duration,
            };
            if is_used_up {
                break;
            }
            let plan = Plan { seed, ..Plan::default() };
            match run(topology, &plan, false) {
                Ok(more) => figures.add(&more),
                Err(failure) => {
                    is_over.store(true, Ordering::Relaxed);
                    return (figures, Some((plan, failure)));
                }
            }
        }
        (figures, None)
    };
    let results = in_threads(threads, work);
    let mut figures = Figures::default();
    results.iter().for_each(|(more, _)| figures.add(more));
    match results.into_iter().find_map(|(_, failed)| failed) {
        None => Ok(figures),
        Some((plan, failure)) => Err(Box::new((plan, failure, figures))),
    }
}

fn in_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let work = || {
        // The batch loop asks the runtime for a timer, which never goes off here: the deadline is an hour away.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.unwrap_or_else(|error| unreachable!("a runtime of one thread: {error}"));
        let _guard = runtime.enter();
        work()
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join())
            .collect::<Result<Vec<T>, _>>()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What trying every single mishap came to.
#[derive(Debug, Clone, Default)]
pub struct Covered {
    /// The places where each function waits for a call, and how many runs went wrong there in one of all ways.
    pub points: BTreeMap<&'static str, (BTreeSet<&'static str>, u64)>,
    /// The moments at which an order was called off.
    pub moments: u64,
    /// Whole-order histories.
    pub histories: u64,
}

/// Every call of every function, in the history of an order of every way, goes wrong in every way, once each.
///
/// # Errors
/// The first run in which something fell: which, and what.
pub fn every_crash(topology: &Arc<Topology>, threads: usize) -> Result<Covered, (String, Failure)> {
    let history = |way, call_off, is_astray| {
        let mut order = PlannedOrder::new(format!("crash-{way:?}"), way);
        order.call_off = call_off;
        (order, is_astray)
    };
    let mut histories: Vec<(PlannedOrder, bool)> = Way::ALL
        .into_iter()
        .flat_map(|way| {
            let called_off = |how| Some((how, When::AtMs(900)));
            let call_offs = [None, called_off(CallOff::Api), called_off(CallOff::Event)];
            call_offs.map(|call_off| history(way, call_off, false))
        })
        .collect();
    // One in which the reprocessor has something of every shape to do.
    histories.push(history(Way::Shipped, None, true));
    let next = AtomicU64::new(0);
    let results = in_threads(threads, || {
        let mut covered = Covered::default();
        while let Some((order, is_astray)) =
            histories.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
        {
            every_crash_of(topology, order, *is_astray, &mut covered)?;
        }
        Ok(covered)
    });
    merged(results)
}

fn merged(results: Vec<Result<Covered, (String, Failure)>>) -> Result<Covered, (String, Failure)> {
    let mut all = Covered::default();
    for covered in results {
        let covered = covered?;
        all.moments += covered.moments;
        all.histories += covered.histories;
        for (function, (operations, runs)) in covered.points {
            let point = all.points.entry(function).or_default();
            point.0.extend(operations);
            point.1 += runs;
        }
    }
    Ok(all)
}

fn every_crash_of(
    topology: &Arc<Topology>,
    order: &PlannedOrder,
    is_astray: bool,
    covered: &mut Covered,
) -> Result<(), (String, Failure)> {
    let calm = undisturbed(topology, std::slice::from_ref(order));
    let calm = calm.map_err(|what| (format!("{order:?} undisturbed"), Failure { what, trace: vec![] }))?;
    let calls = scripted(topology, order, is_astray, &calm, BTreeMap::new())?;
    covered.histories += 1;
    for (index, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            scripted(topology, order, is_astray, &calm, BTreeMap::from([(index + 1, fault)]))?;
            covered.histories += 1;
            let point = covered.points.entry(call.function).or_default();
            point.0.insert(call.operation);
            point.1 += 1;
        }
    }
    Ok(())
}

/// One order, alone, with these faults; the calls that were made until everything was over.
fn scripted(
    topology: &Arc<Topology>,
    order: &PlannedOrder,
    is_astray: bool,
    undisturbed: &Certain,
    script: BTreeMap<usize, Fault>,
) -> Result<Vec<Call>, (String, Failure)> {
    let planned = script.len();
    let what = format!("{:?} called off by {:?}, faults {script:?}", order.way, order.call_off);
    let mut world = World::new(topology, 7, Rates::default(), Patience::Long);
    {
        let mut outside = world.outside();
        (outside.script, outside.trace) = (Some(script), Some(vec![]));
    }
    world.plan(order.clone());
    if is_astray {
        world.lead_astray();
        world.plan_poison("OrderPlacedQueue", "[]", 0);
    }
    let run = unless_it_panics(|| world.run().map_err(|problem| vec![problem]));
    let calls = world.outside().calls.clone();
    let met = world.outside().faults_met;
    let outcome = run.and_then(|()| unless_it_panics(|| see_through(&mut world, true))).and_then(|()| {
        if met == planned { Ok(()) } else { Err(vec!["the planned fault was not met".to_owned()]) }
    });
    let outcome = outcome.and_then(|()| same_events(&world, undisturbed));
    let is_once = world.counted().iter().all(|attempt| *attempt == Attempt { generation: 0, number: 1 });
    let outcome = outcome.and_then(|()| {
        if is_once { Ok(()) } else { Err(vec!["what was given up on once was counted twice".to_owned()]) }
    });
    finish(world, 1, outcome).map_err(|failure| (what, failure))?;
    Ok(calls)
}

/// An order of every way is called off at every moment of its life, by the API and by an event.
///
/// # Errors
/// The first run in which something fell: which, and what.
pub fn every_cancellation(topology: &Arc<Topology>, threads: usize) -> Result<Covered, (String, Failure)> {
    let ways: Vec<(Way, CallOff)> =
        Way::ALL.into_iter().flat_map(|way| [(way, CallOff::Api), (way, CallOff::Event)]).collect();
    let next = AtomicU64::new(0);
    let results = in_threads(threads, || {
        let mut covered = Covered::default();
        while let Some((way, how)) =
            ways.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
        {
            for seed in 0..CANCELLED_SEEDS {
                every_moment_of(topology, *way, *how, seed, &mut covered)?;
            }
        }
        Ok(covered)
    });
    merged(results)
}

/// How many lives of each way are called off at each of their steps.
const CANCELLED_SEEDS: u64 = 3;

fn every_moment_of(
    topology: &Arc<Topology>,
    way: Way,
    how: CallOff,
    seed: u64,
    covered: &mut Covered,
) -> Result<(), (String, Failure)> {
    for step in 0.. {
        let mut order = PlannedOrder::new(format!("moment-{way:?}"), way);
        order.call_off = Some((how, When::AtStep(step)));
        let mut world = World::new(topology, seed, Rates::default(), Patience::Standard);
        world.outside().trace = Some(vec![]);
        world.plan(order);
        let outcome = unless_it_panics(|| see_through(&mut world, true));
        let is_over = step > world.steps_before_the_replay();
        finish(world, 1, outcome).map_err(|failure| {
            (format!("{way:?} called off by {how:?} at step {step} of seed {seed}"), failure)
        })?;
        covered.moments += 1;
        covered.histories += 1;
        if is_over {
            break;
        }
    }
    Ok(())
}
