use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::invariants::{DEPARTED, OrderEvents, REFUND_REQUESTED, Remains, Seen, broken, events_of};
use crate::lies::Lie;
use crate::outside::{Call, Outage, Rates, Wrong};
use crate::panics;
use crate::topology::Topology;
use crate::workload::{PlannedOrder, orders};
use crate::world::{Claims, Patience, STEPS_MAX_OF_AN_OUTAGE, World, lock};

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
    /// Senders outside who say what they like.
    Liars,
    /// Clocks that are wrong.
    Skew,
}

impl Mishap {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Calls,
        Self::Entries,
        Self::Duplicates,
        Self::Undelivered,
        Self::Redelivered,
        Self::Invocations,
        Self::Leaps,
        Self::Outage,
        Self::Poison,
        Self::Liars,
        Self::Skew,
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
            Self::Liars => "liars",
            Self::Skew => "skew",
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
    /// Whole-order histories, each disturbed; those that go undisturbed for comparison are not counted.
    pub histories: u64,
    /// Orders that were run undisturbed and alone, for comparison.
    pub undisturbed: u64,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Calls of ports.
    pub calls: u64,
    /// Which calls: each kind, by each function.
    pub kinds: BTreeSet<Call>,
    /// Faults that calls met.
    pub faults: u64,
    /// Dead letters brought back.
    pub redriven: u64,
    /// Messages brought back from quarantine.
    pub released: u64,
    /// How often what went wrong.
    pub wrong: BTreeMap<Wrong, u64>,
    /// How often was lied in which way.
    pub lies: BTreeMap<Lie, u64>,
    /// What happened, of a single run where it was asked for.
    pub trace: Vec<String>,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.histories += other.histories;
        self.steps += other.steps;
        self.calls += other.calls;
        self.kinds.extend(&other.kinds);
        self.faults += other.faults;
        self.redriven += other.redriven;
        self.released += other.released;
        for (wrong, count) in &other.wrong {
            *self.wrong.entry(*wrong).or_default() += count;
        }
        for (lie, count) in &other.lies {
            *self.lies.entry(*lie).or_default() += count;
        }
    }
}

/// The most that liars say in one seed, repetitions not counted.
const LIES_MAX: usize = 12;
/// How wrong a function's clock may be.
const SKEW_MS_MAX: i64 = 5_000;
/// The most orders of one seed. An archiver's batch holds those of all.
const ORDERS_MAX: usize = 40;

/// The queues that poison is put in, and what is put there.
pub(crate) const POISONED: [&str; 6] = [
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
pub const OUTAGES: [&str; 8] = [
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
    let count = rng.usize(1..=ORDERS_MAX);
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
        skew_ms: if plan.without.contains(&Mishap::Skew) { 0 } else { SKEW_MS_MAX },
    };
    let outage = rng.choice(OUTAGES).filter(|_| rng.f64() < 0.1 && !plan.without.contains(&Mishap::Outage));
    let mut world = World::new(topology, rng.u64(..), rates, patience);
    // Long enough for dead letters, or long enough for quarantine.
    let until_ms = if rng.u8(..6) > 0 { 1_800_000 } else { 10_800_000 };
    if let Some(operation) = outage {
        world.outside().outage = Some(Outage { operation, until_ms });
        world.steps_max = STEPS_MAX_OF_AN_OUTAGE;
    }
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
    let lies =
        if rng.u8(..4) == 0 || plan.without.contains(&Mishap::Liars) { 0 } else { rng.usize(1..=LIES_MAX) };
    for _ in 0..lies {
        // Most while the orders are on their way, some long after.
        let at_ms = if rng.u8(..8) == 0 { rng.i64(0..2_400_000) } else { rng.i64(0..8_000) };
        world.plan_lie(at_ms);
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
        Patience::Long => unless_it_panics(|| same_events(&world)),
    });
    finish(world, meant.len(), outcome)
}

pub(crate) fn finish(
    world: World,
    histories: usize,
    outcome: Result<(), Vec<String>>,
) -> Result<Figures, Failure> {
    let mut outside = lock(&world.outside);
    match outcome {
        Ok(()) => Ok(Figures {
            seeds: 1,
            histories: histories as u64,
            undisturbed: 0,
            steps: world.steps(),
            calls: outside.calls.len() as u64,
            kinds: outside.calls.iter().copied().collect(),
            faults: outside.faults_met as u64,
            redriven: world.redriven(),
            released: world.released(),
            wrong: std::mem::take(&mut outside.wrong),
            lies: std::mem::take(&mut outside.lies),
            trace: outside.trace.take().unwrap_or_default(),
        }),
        Err(what) => Err(Failure { what, trace: outside.trace.take().unwrap_or_default() }),
    }
}

/// A panic is a thing that fell, like any other, also where somebody caught it.
pub(crate) fn unless_it_panics<T>(run: impl FnOnce() -> Result<T, Vec<String>>) -> Result<T, Vec<String>> {
    let (outcome, mut panics) = panics::listen(run);
    match outcome {
        Some(outcome) if panics.is_empty() => outcome,
        Some(outcome) => {
            panics.extend(outcome.err().into_iter().flatten());
            Err(panics)
        }
        None => Err(panics),
    }
}

/// The storm, the calm after it, and, where it `replays`, everything again.
pub(crate) fn see_through(world: &mut World, replays: bool) -> Result<(), Vec<String>> {
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
    // A pick-up that came before its shipment was refused, and agrees with our records when it comes again; so does money
    // that came before it was asked for.
    let is_early = |claims: &Claims| claims.picked_up || claims.captured;
    let mut problems = if world.claims.values().any(is_early) { vec![] } else { before.differences(&after) };
    problems.extend(broken(world).into_iter().map(|problem| format!("after the replay: {problem}")));
    none(problems)
}

fn none(broken: Vec<String>) -> Result<(), Vec<String>> {
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// What happens to one order when nothing goes wrong: its events, each with its type. An order whose way is certain goes it
/// whatever others do, so that each is looked at once, alone.
fn undisturbed(topology: &Arc<Topology>, order: &PlannedOrder) -> Result<Arc<OrderEvents>, Vec<String>> {
    let known = (order.order_id.as_str().to_owned(), order.way);
    if let Some(events) = lock(&topology.undisturbed).get(&known) {
        return Ok(Arc::clone(events));
    }
    let calm = calm(topology, std::slice::from_ref(order)).map_err(|problem| vec![problem])?;
    let events = Arc::new(events_of(&calm).remove(order.order_id.as_str()).unwrap_or_default());
    lock(&topology.undisturbed).insert(known, Arc::clone(&events));
    Ok(events)
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
) -> Result<BTreeMap<String, OrderEvents>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let _guard = runtime.enter();
    Ok(events_of(&calm(topology, orders)?))
}

/// An order whose way is certain leads to the same events, by their ids, as when nothing goes wrong.
pub(crate) fn same_events(world: &World) -> Result<(), Vec<String>> {
    let events = events_of(world);
    let mut differences = vec![];
    for order in world.planned.iter().filter(|order| order.is_certain()) {
        let there = undisturbed(&world.topology, order)?;
        // Which of several requests for the one payment was answered first is a matter of chance. There are several only where
        // a call that asks for the money went wrong.
        let is_asked_once = world.failed_requests(&order.order_id) == 0;
        let compared = |seen: &&Seen| is_asked_once || !seen.detail_type.starts_with("payments.payment-");
        let kind = |seen: &Seen| (seen.detail_type.clone(), seen.event_id.clone());
        // What a liar said about the right shipment, or about a payment that was asked for, may be believed.
        let claims = world.claims.get(&order.order_id).copied().unwrap_or_default();
        let follows = |seen: &&Seen| {
            (claims.picked_up && seen.detail_type == DEPARTED)
                || (claims.captured && seen.detail_type == REFUND_REQUESTED)
        };
        let compared = |seen: &&Seen| compared(seen) && !follows(seen);
        let set = |events: &OrderEvents| events.iter().filter(compared).map(kind).collect::<BTreeSet<_>>();
        let here = events.get(order.order_id.as_str()).map(set).unwrap_or_default();
        let there = set(&there);
        if here != there {
            let missing: Vec<_> = there.difference(&here).collect();
            let surplus: Vec<_> = here.difference(&there).collect();
            differences.push(format!(
                "order {}: other events than undisturbed: missing {missing:?}, surplus {surplus:?}",
                order.order_id
            ));
        }
    }
    none(differences)
}

/// Makes a failing plan smaller while it fails and there is time: fewer orders, fewer kinds of mishaps.
#[must_use]
pub fn shrink(topology: &Arc<Topology>, plan: &Plan, patience: Duration) -> Plan {
    let begun = Instant::now();
    // A run that never settles takes seconds.
    let fails = |plan: &Plan| begun.elapsed() < patience && run(topology, plan, false).is_err();
    let mut smallest = plan.clone();
    for mishap in Mishap::ALL {
        let mut smaller = smallest.clone();
        smaller.without.insert(mishap);
        if fails(&smaller) {
            smallest = smaller;
        }
    }
    let mut only: Vec<usize> = smallest.only.clone().unwrap_or_else(|| (0..ORDERS_MAX).collect());
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
    figures.undisturbed = lock(&topology.undisturbed).len() as u64;
    match results.into_iter().find_map(|(_, failed)| failed) {
        None => Ok(figures),
        Some((plan, failure)) => Err(Box::new((plan, failure, figures))),
    }
}

pub(crate) fn in_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
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
