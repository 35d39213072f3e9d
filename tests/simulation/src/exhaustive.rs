use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::Attempt;
use memory::Fault;

use crate::explore::{
    Failure, Figures, POISONED, finish, in_threads, same_events, see_through, unless_it_panics,
};
use crate::outside::{Call, Rates};
use crate::topology::Topology;
use crate::workload::{CallOff, PlannedOrder, Way, When};
use crate::world::{Patience, World};

/// Calls that go wrong, in the history of one order. Written as it is typed: `shipped:api:17:reply-lost`, and of a call that is
/// made only because another went wrong, `shipped:api:17:reply-lost:19:gone-before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// The order's.
    pub history: History,
    /// The calls that go wrong, by their numbers in the history, the first being 1; and how.
    pub faults: BTreeMap<usize, Fault>,
}

/// The history of one order, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// An order of a way, perhaps called off.
    Of(Way, Option<CallOff>),
    /// One in which the reprocessor has something of every shape to do.
    Astray,
}

/// A call-off at one step of the life of one order. Written as it is typed: `shipped:api:2:117`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The order's.
    pub way: Way,
    /// How it is called off.
    pub how: CallOff,
    /// Decides who goes next.
    pub seed: u64,
    /// When it is called off.
    pub step: u64,
}

/// A single case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    /// A call that goes wrong.
    Crash(Crash),
    /// A call-off.
    Moment(Moment),
}

/// The case in which something fell, and what.
#[derive(Debug, Clone)]
pub struct Fallen {
    /// Which.
    pub case: Case,
    /// What fell, with all that happened until then.
    pub failure: Failure,
}

/// What trying every single mishap came to.
#[derive(Debug, Clone, Default)]
pub struct Covered {
    /// For each function, each kind of call that it makes, and the ways in which such calls went wrong.
    pub points: BTreeMap<&'static str, BTreeMap<&'static str, BTreeSet<Fault>>>,
    /// For each function, how many runs went wrong at one of its calls.
    pub runs: BTreeMap<&'static str, u64>,
    /// The moments at which an order was called off.
    pub moments: u64,
    /// Whole-order histories.
    pub histories: u64,
}

impl Covered {
    fn add(&mut self, other: Self) {
        self.moments += other.moments;
        self.histories += other.histories;
        for (function, runs) in other.runs {
            *self.runs.entry(function).or_default() += runs;
        }
        for (function, operations) in other.points {
            for (operation, faults) in operations {
                self.points.entry(function).or_default().entry(operation).or_default().extend(faults);
            }
        }
    }

    fn note(&mut self, call: Call, fault: Fault) {
        let Call { function, operation } = call;
        self.points.entry(function).or_default().entry(operation).or_default().insert(fault);
        *self.runs.entry(function).or_default() += 1;
    }

    /// Of these kinds of calls, those that never went wrong in all ways.
    #[must_use]
    pub fn missing(&self, kinds: &BTreeSet<Call>) -> Vec<Call> {
        let is_covered = |call: &&Call| {
            let faults = self.points.get(call.function).and_then(|points| points.get(call.operation));
            faults.is_some_and(|faults| Fault::ALL.iter().all(|fault| faults.contains(fault)))
        };
        kinds.iter().filter(|call| !is_covered(call)).copied().collect()
    }
}

impl Case {
    /// Runs it again.
    ///
    /// # Errors
    /// What fell.
    pub fn run(&self, topology: &Arc<Topology>, with_trace: bool) -> Result<Figures, Failure> {
        match self {
            Self::Crash(case) => crash(topology, case, with_trace).map(|(figures, _)| figures),
            Self::Moment(case) => moment(topology, case, with_trace).map(|(figures, _)| figures),
        }
    }

    /// Something fell in it: it is run again for all that happened.
    fn fallen(self, topology: &Arc<Topology>, failure: Failure) -> Fallen {
        let failure = self.run(topology, true).err().unwrap_or(failure);
        Fallen { case: self, failure }
    }
}

/// As it is typed after `cargo orderbus sim`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(case) => write!(f, "--crash {case}"),
            Self::Moment(case) => write!(f, "--moment {case}"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history {
            History::Of(way, None) => write!(f, "{}:kept", name_of(way))?,
            History::Of(way, Some(how)) => write!(f, "{}:{}", name_of(way), name_of(how))?,
            History::Astray => write!(f, "shipped:astray")?,
        }
        self.faults.iter().try_for_each(|(number, fault)| write!(f, ":{number}:{}", name_of(fault)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", name_of(self.way), name_of(self.how), self.seed, self.step)
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let such_as = || "such as shipped:api:17:reply-lost".to_owned();
        let [way, how, faults @ ..] = &parts[..] else { return Err(such_as()) };
        let (way, how) = (*way, *how);
        let fault = |pair: &[&str]| match pair {
            [number, fault] => Ok((number_of(number)?, one_of(&Fault::ALL, fault)?)),
            _ => Err(such_as()),
        };
        let faults = faults.chunks(2).map(fault).collect::<Result<_, _>>()?;
        let history = match (one_of(&Way::ALL, way)?, how) {
            (Way::Shipped, "astray") => History::Astray,
            (way, "kept") => History::Of(way, None),
            (way, how) => History::Of(way, Some(one_of(&CallOff::ALL, how)?)),
        };
        Ok(Self { history, faults })
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [way, how, seed, step] = parts[..] else { return Err("such as shipped:api:2:117".to_owned()) };
        Ok(Self {
            way: one_of(&Way::ALL, way)?,
            how: one_of(&CallOff::ALL, how)?,
            seed: number_of(seed)?,
            step: number_of(step)?,
        })
    }
}

/// The name of a variant as it is typed: `ReplyLost` is `reply-lost`.
fn name_of(variant: impl fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn one_of<T: Copy + fmt::Debug>(all: &[T], name: &str) -> Result<T, String> {
    let names = || all.iter().map(name_of).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|variant| name_of(variant) == name);
    found.copied().ok_or_else(|| format!("{name:?} is none of {}", names()))
}

fn number_of<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Every call of every function, in the history of an order of every way, goes wrong in every way, once each. With the first
/// case in which something fell.
pub fn every_crash(topology: &Arc<Topology>, threads: usize) -> (Covered, Option<Fallen>) {
    let call_offs = [None, Some(CallOff::Api), Some(CallOff::Event)];
    let called_off = |way| call_offs.map(|call_off| History::Of(way, call_off));
    let histories: Vec<History> =
        Way::ALL.into_iter().flat_map(called_off).chain([History::Astray]).collect();
    try_all(&histories, threads, |history, covered| every_crash_of(topology, *history, covered))
}

/// An order of every way is called off at every moment of its life, by the API and by an event. With the first case in which
/// something fell.
pub fn every_cancellation(topology: &Arc<Topology>, threads: usize) -> (Covered, Option<Fallen>) {
    let called_off = |way| CallOff::ALL.map(|how| (way, how));
    let lives: Vec<_> = Way::ALL.into_iter().flat_map(called_off).collect();
    let lives: Vec<_> = lives
        .into_iter()
        .flat_map(|(way, how)| (0..CANCELLED_SEEDS).map(move |seed| (way, how, seed)))
        .collect();
    try_all(&lives, threads, |(way, how, seed), covered| {
        every_moment_of(topology, *way, *how, *seed, covered)
    })
}

/// How many lives of each way are called off at each of their steps.
const CANCELLED_SEEDS: u64 = 3;

fn try_all<T: Sync>(
    all: &[T],
    threads: usize,
    each: impl Fn(&T, &mut Covered) -> Result<(), Fallen> + Sync,
) -> (Covered, Option<Fallen>) {
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let results = in_threads(threads, || {
        let mut covered = Covered::default();
        while !is_over.load(Ordering::Relaxed) {
            let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(one) = all.get(index) else { break };
            if let Err(fallen) = each(one, &mut covered) {
                is_over.store(true, Ordering::Relaxed);
                return (covered, Some(fallen));
            }
        }
        (covered, None)
    });
    let mut all = (Covered::default(), None);
    for (covered, fallen) in results {
        all.0.add(covered);
        all.1 = all.1.or(fallen);
    }
    all
}

fn every_crash_of(topology: &Arc<Topology>, history: History, covered: &mut Covered) -> Result<(), Fallen> {
    let calls = crash_and_count(topology, Crash { history, faults: BTreeMap::new() }, covered)?;
    let mut known: BTreeSet<Call> = calls.iter().copied().collect();
    for (index, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = Crash { history, faults: BTreeMap::from([(index + 1, fault)]) };
            let made = crash_and_count(topology, case.clone(), covered)?;
            covered.note(*call, fault);
            // A call that is made only because another went wrong goes wrong, too.
            for (index, call) in made.iter().enumerate().skip(index + 1) {
                if known.insert(*call) {
                    for fault in Fault::ALL {
                        let mut case = case.clone();
                        case.faults.insert(index + 1, fault);
                        crash_and_count(topology, case, covered)?;
                        covered.note(*call, fault);
                    }
                }
            }
        }
    }
    Ok(())
}

fn crash_and_count(
    topology: &Arc<Topology>,
    case: Crash,
    covered: &mut Covered,
) -> Result<Vec<Call>, Fallen> {
    covered.histories += 1;
    match crash(topology, &case, false) {
        Ok((_, calls)) => Ok(calls),
        Err(failure) => Err(Case::Crash(case).fallen(topology, failure)),
    }
}

/// One order, alone, with these faults; the calls that were made until everything was over.
fn crash(topology: &Arc<Topology>, case: &Crash, with_trace: bool) -> Result<(Figures, Vec<Call>), Failure> {
    let (way, call_off) = match case.history {
        History::Of(way, call_off) => (way, call_off),
        History::Astray => (Way::Shipped, None),
    };
    let mut world = World::new(topology, 7, Rates::default(), Patience::Long);
    {
        let mut outside = world.outside();
        outside.script = Some(case.faults.clone());
        outside.trace = with_trace.then(Vec::new);
    }
    let mut order = PlannedOrder::new(format!("crash-{way:?}"), way);
    order.call_off = call_off.map(|how| (how, When::AtMs(900)));
    world.plan(order);
    if case.history == History::Astray {
        world.lead_astray();
        for queue in POISONED {
            world.plan_poison(queue, "[]", 0);
        }
    }
    let run = unless_it_panics(|| world.run().map_err(|problem| vec![problem]));
    let calls = world.outside().calls.clone();
    let met = world.outside().faults_met;
    let is_once = |world: &World| {
        world.counted().iter().all(|attempt| *attempt == Attempt { generation: 0, number: 1 })
    };
    let that = |holds: bool, what: &str| if holds { Ok(()) } else { Err(vec![what.to_owned()]) };
    let outcome = run
        .and_then(|()| unless_it_panics(|| see_through(&mut world, true)))
        .and_then(|()| that(met == case.faults.len(), "a planned fault was not met"))
        .and_then(|()| unless_it_panics(|| same_events(&world)))
        .and_then(|()| that(is_once(&world), "what was given up on once was counted twice"));
    finish(world, 1, outcome).map(|figures| (figures, calls))
}

fn every_moment_of(
    topology: &Arc<Topology>,
    way: Way,
    how: CallOff,
    seed: u64,
    covered: &mut Covered,
) -> Result<(), Fallen> {
    for step in 0.. {
        let case = Moment { way, how, seed, step };
        covered.moments += 1;
        covered.histories += 1;
        let run = moment(topology, &case, false);
        let (_, lived) = run.map_err(|failure| Case::Moment(case).fallen(topology, failure))?;
        if step > lived {
            break;
        }
    }
    Ok(())
}

/// One order, alone, called off at a step; the steps that it took until everything was over.
fn moment(topology: &Arc<Topology>, case: &Moment, with_trace: bool) -> Result<(Figures, u64), Failure> {
    let mut order = PlannedOrder::new(format!("moment-{:?}", case.way), case.way);
    order.call_off = Some((case.how, When::AtStep(case.step)));
    let mut world = World::new(topology, case.seed, Rates::default(), Patience::Standard);
    world.outside().trace = with_trace.then(Vec::new);
    world.plan(order);
    let outcome = unless_it_panics(|| see_through(&mut world, true));
    let lived = world.steps_before_the_replay();
    finish(world, 1, outcome).map(|figures| (figures, lived))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        let histories = Way::ALL.into_iter().flat_map(|way| {
            [None, Some(CallOff::Api), Some(CallOff::Event)].map(|call_off| History::Of(way, call_off))
        });
        for history in histories.chain([History::Astray]) {
            for fault in Fault::ALL {
                let case = Crash { history, faults: BTreeMap::from([(17, fault), (19, Fault::GoneBefore)]) };
                assert_eq!(case.to_string().parse(), Ok(case));
            }
        }
        for way in Way::ALL {
            for how in CallOff::ALL {
                let case = Moment { way, how, seed: 2, step: 117 };
                assert_eq!(case.to_string().parse(), Ok(case));
            }
        }
        let case = Crash {
            history: History::Of(Way::OutOfStock, Some(CallOff::Api)),
            faults: BTreeMap::from([(17, Fault::ReplyLost)]),
        };
        assert_eq!(Case::Crash(case).to_string(), "--crash out-of-stock:api:17:reply-lost");
        let case = Moment { way: Way::PickedUp, how: CallOff::Event, seed: 2, step: 117 };
        assert_eq!(Case::Moment(case).to_string(), "--moment picked-up:event:2:117");
        assert!("shipped:api:many:reply-lost".parse::<Crash>().is_err());
        assert!("lost:api:2:117".parse::<Moment>().is_err());
    }

    #[test]
    fn the_case_that_fell_falls_again() {
        let topology = Arc::new(Topology::of_the_templates());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        // No history has so many calls, so this one's fault is never met.
        let history = History::Of(Way::Shipped, None);
        let broken = Crash { history, faults: BTreeMap::from([(100_000, Fault::GoneAfter)]) };
        let failure = Case::Crash(broken.clone()).run(&topology, false).unwrap_err();
        let fallen = Case::Crash(broken).fallen(&topology, failure.clone());
        assert!(failure.trace.is_empty() && !fallen.failure.trace.is_empty());
        let typed = fallen.case.to_string();
        let again: Crash = typed.strip_prefix("--crash ").unwrap().parse().unwrap();
        assert_eq!(Case::Crash(again).run(&topology, false).unwrap_err().what, failure.what);
    }
}
