//! Every interleaving of a small world: the same handlers, but nothing is left to chance.
//!
//! Two orders want the last piece of one SKU, one of them is cancelled, one message is delivered twice, and one function
//! crashes (or the answer of one call is lost, or one payment times out). The scheduler's choices are enumerated: which
//! function makes its next call, which call is the last before the crash, which call's answer is lost, which message comes
//! twice.
//!
//! States that were seen before are recognised by a hash of every store, every message, and every answer that a function
//! which is still at work has had: what it does next follows from nothing else. The search is breadth first, so that the first
//! schedule in which an invariant falls is a shortest one.
//!
//! A state is kept as a copy of the stores. Functions at work are futures, which cannot be copied: each is begun again and
//! given the answers that it had, see [`Faults::answer_next_with`](memory::Faults::answer_next_with). Whatever falls is
//! replayed from the beginning, call by call.
//!
//! Three reductions keep the number of states small, and leave out no outcome:
//! - A call that no other function can notice (a put on the bus, a notice to the fulfilment centre) is made at once. It
//!   only adds messages, and a message that waits is the same as one that is not there yet.
//! - The two orders meet in the stock alone. While no function that works on one of them is about to touch stock, the other
//!   order waits.
//! - The read model and the lake are fed last. Nothing reads them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use contracts::EventType;
use domain::{OrderId, Reservation, Settlement};
use memory::{
    Answer, Fault, Keeps, MemoryFulfilmentCentre, MemoryOrderStore, MemoryPaymentTasks, MemoryShipmentStore,
    MemoryStockStore, Received,
};
use runtime::{Deadline, SqsBatchResponse, SqsEvent};

use crate::checkout::Wait;
use crate::explore::{Failure, in_threads, unless_it_panics};
use crate::invariants::broken;
use crate::outside::{Delivery, Outside, Rates};
use crate::topology::{Target, Topology};
use crate::workload::{CallOff, PLENTY, PlannedOrder, SCARCE, Way, When};
use crate::world::{
    BEGINNING, Patience, Running, Work, World, lock, message, place_request, poll, started_by,
};

/// A world that is small enough to go through every schedule of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmallWorld {
    /// Two orders for the last piece, one cancellation, one redelivery, one crash.
    Crash,
    /// The same, with a lost answer in place of the crash: a write that took effect, and whose caller does not know it.
    LostAnswer,
    /// The same, with a payment that times out in place of the crash.
    TimeOut,
    /// One order, one cancellation, one redelivery, one crash, one lost answer and one time-out.
    OneOrder,
}

impl SmallWorld {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Crash, Self::LostAnswer, Self::TimeOut, Self::OneOrder];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::LostAnswer => "lost-answer",
            Self::TimeOut => "time-out",
            Self::OneOrder => "one-order",
        }
    }

    /// What is in it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Crash => "two orders for the last piece, one cancellation, one redelivery, one crash",
            Self::LostAnswer => {
                "two orders for the last piece, one cancellation, one redelivery, one lost answer"
            }
            Self::TimeOut => "two orders for the last piece, one cancellation, one redelivery, one time-out",
            Self::OneOrder => {
                "one order, one cancellation, one redelivery, one crash, one lost answer, one time-out"
            }
        }
    }

    fn orders(self) -> usize {
        if self == Self::OneOrder { 1 } else { 2 }
    }

    fn mishaps(self) -> Mishaps {
        let has = |world| u8::from(self == world || self == Self::OneOrder);
        Mishaps {
            crashes: has(Self::Crash),
            lost_answers: has(Self::LostAnswer),
            time_outs: has(Self::TimeOut),
            redeliveries: 1,
        }
    }
}

impl FromStr for SmallWorld {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|world| world.name() == text);
        found.ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

/// The scheduler's choices in a small world, from the beginning. Written as it is typed: `crash:3,0,1`.
///
/// Each number says which of the possible steps was taken, wherever more than one was possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Where.
    pub world: SmallWorld,
    /// Which step, each time.
    pub choices: Vec<u16>,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<String> = self.choices.iter().map(u16::to_string).collect();
        write!(f, "{}:{}", self.world.name(), choices.join(","))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (world, choices) = text.split_once(':').ok_or("a schedule looks like crash:3,0,1")?;
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        let choices = choices.split(',').filter(|text| !text.is_empty()).map(number);
        Ok(Self { world: world.parse()?, choices: choices.collect::<Result<_, _>>()? })
    }
}

impl Schedule {
    /// Replays it, and goes on with the first possible step where it ends. Returns what happened.
    ///
    /// # Errors
    /// What fell.
    pub fn replay(&self, topology: &Arc<Topology>) -> Result<Vec<String>, Failure> {
        let mut trace = vec![];
        let outcome = unless_it_panics(|| {
            let mut run = Run::new(topology, self.world, true);
            let outcome = run.follow_to_the_end(&self.choices);
            trace = std::mem::take(&mut run.trace);
            outcome.map_err(|problem| vec![problem])
        });
        match outcome {
            Ok(_) => Ok(trace),
            Err(what) => Err(Failure { what, trace }),
        }
    }
}

/// What going through a small world came to.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// Different states in which the scheduler has a choice, and different ends.
    pub states: u64,
    /// Steps from one such state to the next.
    pub transitions: u64,
    /// Ways through all of that, from the beginning to an end.
    pub schedules: f64,
    /// The most choices of one schedule.
    pub choices_max: usize,
    /// Different ends, by how the orders ended.
    pub ends: BTreeMap<String, u64>,
    /// Schedules that depart from the first step at two places at most, looked at before all others.
    pub probed: u64,
    /// Messages to the read model and the lake that were disturbed one by one.
    pub fed: u64,
    /// Set when the search stopped before it was through: every schedule of so many choices was seen.
    pub bound: Option<usize>,
}

/// Goes through every schedule of a small world, up to a number of states.
///
/// # Errors
/// A shortest schedule in which an invariant falls, and what fell.
pub fn interleavings(
    topology: &Arc<Topology>,
    world: SmallWorld,
    states_max: usize,
    threads: usize,
) -> Result<Explored, Box<(Schedule, Failure, Explored)>> {
    let mut search = Search { topology, world, threads, explored: Explored::default() };
    search.run(states_max).map_err(|choices| {
        let schedule = Schedule { world, choices };
        let replayed = in_threads(1, || schedule.replay(topology)).pop();
        let failure = match replayed.unwrap_or_else(|| Ok(vec![])) {
            Err(failure) => failure,
            Ok(trace) => Failure { what: vec!["it holds when it is replayed".to_owned()], trace },
        };
        Box::new((schedule, failure, search.explored.clone()))
    })?;
    Ok(search.explored)
}

// --------------------------------------------------------------------------------------------------------------------
// The search
// --------------------------------------------------------------------------------------------------------------------

struct Search<'a> {
    topology: &'a Arc<Topology>,
    world: SmallWorld,
    threads: usize,
    explored: Explored,
}

/// A state in which there is a choice, or an end.
struct Node {
    /// What leads there.
    choices: Box<[u16]>,
    /// How many steps are possible.
    alternatives: u16,
    /// The states that they lead to.
    next: Vec<u32>,
    /// The state itself, until its steps were taken.
    kept: Option<Box<Kept>>,
    /// The messages to the read model and the lake, at an end.
    fed: Vec<Feed>,
}

/// What a schedule leads to.
struct Reached {
    state: u128,
    alternatives: usize,
    /// The state itself, unless it is an end.
    kept: Option<Box<Kept>>,
    /// How the orders ended, at an end.
    end: Option<String>,
    fed: Vec<Feed>,
}

/// One disturbed message to the read model or the lake: which choice it is, and what it is.
#[derive(Debug, Clone, Copy)]
struct Feed {
    choice: u16,
    identity: u128,
}

impl Search<'_> {
    /// # Errors
    /// The choices after which an invariant fell.
    fn run(&mut self, states_max: usize) -> Result<(), Vec<u16>> {
        self.probe()?;
        let mut known: HashMap<u128, u32> = HashMap::new();
        let mut nodes: Vec<Node> = vec![];
        let mut level = vec![];
        let first = self.each(&[()], |(), _| Run::new(self.topology, self.world, false).begin());
        for reached in first.map_err(|_| vec![])? {
            let id = self.add(&mut nodes, &mut known, reached, Box::default());
            level.extend(id.1.then_some(id.0));
        }
        while !level.is_empty() {
            if nodes.len() > states_max {
                self.explored.bound = Some(self.explored.choices_max);
                break;
            }
            let steps: Vec<(u32, u16)> = level
                .iter()
                .flat_map(|id| (0..nodes[*id as usize].alternatives).map(|choice| (*id, choice)))
                .collect();
            level.clear();
            self.explored.transitions += steps.len() as u64;
            self.explored.states = nodes.len() as u64;
            let reached = self.each(&steps, |(from, choice), last| {
                let Some(kept) = &nodes[*from as usize].kept else { return Err("it was left".to_owned()) };
                let mut run = last.take().unwrap_or_else(|| Run::new(self.topology, self.world, false));
                let reached = run.take(kept, *choice, |state| known.contains_key(&state))?;
                // What has come to its end has fed the read model and the lake, which are not put back.
                *last = reached.end.is_none().then_some(run);
                Ok(reached)
            });
            let reached = reached.map_err(|index| nodes[steps[index].0 as usize].then(steps[index].1))?;
            for (from, _) in &steps {
                nodes[*from as usize].kept = None;
            }
            for ((from, choice), reached) in steps.into_iter().zip(reached) {
                let choices = nodes[from as usize].then(choice);
                self.explored.choices_max = self.explored.choices_max.max(choices.len());
                let (id, is_new) = self.add(&mut nodes, &mut known, reached, choices.into());
                nodes[from as usize].next.push(id);
                level.extend(is_new.then_some(id));
            }
        }
        self.explored.states = nodes.len() as u64;
        self.explored.schedules = schedules(&nodes);
        self.feed(&nodes)
    }

    /// Takes always the first step, then departs from that once, then twice, at every place. What falls at the end of a
    /// schedule falls here within seconds, and the search that follows would come to it last.
    fn probe(&mut self) -> Result<(), Vec<u16>> {
        let mut all = vec![vec![]];
        for departures in 0..=DEPARTURES_MAX {
            let widths = self.each(&all, |choices, _| {
                Run::new(self.topology, self.world, false).follow_to_the_end(choices)
            });
            let widths = widths.map_err(|index| all[index].clone())?;
            self.explored.probed += all.len() as u64;
            if departures == DEPARTURES_MAX {
                break;
            }
            let further = all.iter().zip(&widths).flat_map(|(choices, widths)| {
                let later = widths.iter().enumerate().skip(choices.len());
                later.flat_map(move |(place, width)| {
                    (1..*width).map(move |choice| {
                        let mut further = choices.clone();
                        further.resize(place, 0);
                        further.push(choice);
                        further
                    })
                })
            });
            all = further.collect();
            all.sort_by_key(Vec::len);
        }
        Ok(())
    }

    /// The number of a state, and whether there is more to do from it.
    fn add(
        &mut self,
        nodes: &mut Vec<Node>,
        known: &mut HashMap<u128, u32>,
        reached: Reached,
        choices: Box<[u16]>,
    ) -> (u32, bool) {
        let Reached { state, alternatives, kept, end, fed } = reached;
        let id = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        if let Some(id) = known.get(&state) {
            return (*id, false);
        }
        known.insert(state, id);
        if let Some(end) = end {
            *self.explored.ends.entry(end).or_default() += 1;
        }
        let alternatives = u16::try_from(alternatives).unwrap_or(u16::MAX);
        nodes.push(Node { choices, alternatives, next: vec![], kept, fed });
        (id, alternatives > 0)
    }

    /// Every message to the read model and the lake is disturbed once, in the first schedule that has it: what becomes of it
    /// depends on nothing else.
    fn feed(&mut self, nodes: &[Node]) -> Result<(), Vec<u16>> {
        let mut tried = HashSet::new();
        let mut all = vec![];
        for (node, id) in nodes.iter().zip(0..) {
            let new = node.fed.iter().filter(|feed| tried.insert(feed.identity));
            all.extend(new.map(|feed| (id, feed.choice)));
        }
        self.explored.fed = all.len() as u64;
        let after = |(id, choice): &(usize, u16)| nodes[*id].then(*choice);
        let fed = self.each(&all, |one, _| {
            Run::new(self.topology, self.world, false).follow_to_the_end(&after(one)).map(drop)
        });
        fed.map(drop).map_err(|index| after(&all[index]))
    }

    /// Does something with each of these, on all threads. Each thread has a run that it may leave to the next.
    ///
    /// # Errors
    /// Which is the first of them in which something fell.
    fn each<I: Sync, T: Send>(
        &self,
        all: &[I],
        work: impl Fn(&I, &mut Option<Run>) -> Result<T, String> + Sync,
    ) -> Result<Vec<T>, usize> {
        let next = AtomicUsize::new(0);
        let work = |one: &I, run: &mut Option<Run>| {
            unless_it_panics(|| work(one, run).map_err(|problem| vec![problem])).ok()
        };
        let results: Mutex<Vec<Option<T>>> = Mutex::new(all.iter().map(|_| None).collect());
        in_threads(self.threads.min(all.len().max(1)), || {
            let mut run = None;
            loop {
                let begin = next.fetch_add(64, Ordering::Relaxed);
                let Some(some) = all.get(begin..) else { break };
                if some.is_empty() {
                    break;
                }
                let some: Vec<_> = some.iter().take(64).map(|one| work(one, &mut run)).collect();
                for (result, index) in some.into_iter().zip(begin..) {
                    lock(&results)[index] = result;
                }
            }
        });
        let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.into_iter().enumerate().map(|(index, result)| result.ok_or(index)).collect()
    }
}

impl Node {
    /// The choices that lead here, and this one.
    fn then(&self, choice: u16) -> Vec<u16> {
        self.choices.iter().copied().chain([choice]).collect()
    }
}

/// How many ways lead from the first state to an end. A step back to a state that was on the way is no way further.
fn schedules(nodes: &[Node]) -> f64 {
    #[derive(Clone, Copy)]
    enum Count {
        Unknown,
        OnTheWay,
        Known(f64),
    }
    let mut counts = vec![Count::Unknown; nodes.len()];
    let mut stack: Vec<usize> = (0..nodes.len().min(1)).collect();
    while let Some(id) = stack.last().copied() {
        let next = || nodes[id].next.iter().map(|next| *next as usize);
        match counts[id] {
            Count::Known(_) => {
                stack.pop();
            }
            Count::Unknown => {
                counts[id] = Count::OnTheWay;
                stack.extend(next().filter(|next| matches!(counts[*next], Count::Unknown)));
            }
            Count::OnTheWay => {
                let count = |next: usize| if let Count::Known(count) = counts[next] { count } else { 0.0 };
                let all: f64 = next().map(count).sum();
                counts[id] = Count::Known(if nodes[id].next.is_empty() { 1.0 } else { all });
                stack.pop();
            }
        }
    }
    match counts.first() {
        Some(Count::Known(count)) => *count,
        _ => 0.0,
    }
}

// --------------------------------------------------------------------------------------------------------------------
// One run
// --------------------------------------------------------------------------------------------------------------------

/// How often what may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Mishaps {
    crashes: u8,
    lost_answers: u8,
    time_outs: u8,
    redeliveries: u8,
}

/// How the next step of a process goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variation {
    /// Its next call is made and answered.
    Plain,
    /// The message that it works on is delivered a second time.
    Twice,
    /// Its next call is its last.
    Crash,
    /// Its next call takes effect, and its answer is lost.
    ReplyLost,
    /// The same, and the client asks again by itself.
    Repeated,
    /// It waits no longer.
    TimeOut,
}

impl Variation {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Crash => Some(Fault::GoneAfter),
            Self::ReplyLost => Some(Fault::ReplyLost),
            Self::Repeated => Some(Fault::Repeated),
            Self::Plain | Self::Twice | Self::TimeOut => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Twice => ", whose message comes a second time",
            Self::Crash => ", and crashes after this call",
            Self::ReplyLost => ", and the answer to this call is lost",
            Self::Repeated => ", and the client repeats this call by itself",
            Self::TimeOut => ": the payment times out",
        }
    }
}

/// Whatever makes calls, one after the other. Between two steps it stands before its next call.
struct Process {
    job: Job,
    at: Standing,
}

/// Where a process stands. From it, its job can be begun again and brought as far.
#[derive(Clone)]
struct Standing {
    what: What,
    order: usize,
    /// The call before which it stands; empty while it waits.
    next: &'static str,
    /// True until its first call.
    is_new: bool,
    /// How often it was polled, and what it was answered.
    polls: usize,
    answers: Vec<Answer>,
    /// A hash of all that it was answered.
    seen: u128,
}

#[derive(Clone)]
enum What {
    Request,
    Invocation { function: usize, delivery: Delivery },
    Execution { delivery: Delivery, name: String },
}

enum Job {
    Request(Work<aws_lambda_events::apigw::ApiGatewayV2httpResponse>),
    Invocation(Work<SqsBatchResponse>),
    Execution(Running),
}

/// How a process ended.
enum Ended {
    Done,
    /// It is to be tried again.
    Failed,
}

/// A state, kept to go on from it.
struct Kept {
    orders: <MemoryOrderStore as Keeps>::Content,
    stock: <MemoryStockStore as Keeps>::Content,
    shipments: <MemoryShipmentStore as Keeps>::Content,
    fulfilment_centre: <MemoryFulfilmentCentre as Keeps>::Content,
    tasks: <MemoryPaymentTasks as Keeps>::Content,
    failed_requests: BTreeMap<OrderId, usize>,
    started: BTreeMap<OrderId, u64>,
    outside: Outside,
    processes: Vec<Standing>,
    left: Mishaps,
    feeds: Vec<Delivery>,
}

struct Run {
    world: World,
    processes: Vec<Process>,
    left: Mishaps,
    /// What is on its way to the read model and the lake.
    feeds: Vec<Delivery>,
    /// What was answered to calls since this was last looked at.
    heard: Arc<Mutex<Vec<Answer>>>,
    /// Whether states are to be told from each other.
    hashes: bool,
    /// What was decided, where it is looked at: it must not change.
    decided: Option<Decisions>,
    is_traced: bool,
    trace: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Decisions {
    settlements: BTreeMap<String, Settlement>,
    reservations: BTreeMap<String, Reservation>,
}

/// The functions that nothing else in the process reads from.
const FED: [&str; 2] = [order_tracker::NAME, event_archiver::NAME];
/// Calls that no other process can notice, except by the messages that follow from them.
const UNNOTICED: [&str; 3] = ["memory:Publish", "memory:Tell", "memory:Postpone"];
/// How often a schedule departs from the first possible step before every schedule is gone through.
const DEPARTURES_MAX: usize = 2;
/// Calls that change nothing.
const READS: [&str; 3] = ["memory:FindOrder", "memory:FindReservation", "memory:FindShipment"];
/// Calls on what the orders share.
const SHARED: [&str; 2] = ["memory:ReserveStock", "memory:CloseStock"];
/// After how many steps without a choice a run counts as one that never ends.
const STEPS_MAX: usize = 1_000;
const ORDERS: [&str; 2] = ["the first order", "the second order"];
/// The last piece.
const SHELVES: [(&str, u64); 2] = [(SCARCE, 1), (PLENTY, 10)];

impl Run {
    fn new(topology: &Arc<Topology>, small: SmallWorld, is_traced: bool) -> Self {
        let mut world = World::with_shelves(topology, 7, Rates::default(), Patience::Standard, &SHELVES);
        let heard = Arc::new(Mutex::new(vec![]));
        let hears = Arc::clone(&heard);
        world.faults.answers_heard_by(move |answer| lock(&hears).push(answer));
        world.outside().script = Some(BTreeMap::new());
        for index in 0..small.orders() {
            let mut order = PlannedOrder::new(format!("order-{index}"), Way::Contended);
            order.call_off = (index == 0).then_some((CallOff::Event, When::AtMs(0)));
            world.planned.push(order);
        }
        let mut run = Self {
            world,
            processes: vec![],
            left: small.mishaps(),
            feeds: vec![],
            heard,
            hashes: true,
            decided: None,
            is_traced,
            trace: vec![],
        };
        for order in 0..small.orders() {
            run.spawn(What::Request, order);
        }
        let cancelled = run.world.planned[0].called_off(BEGINNING);
        run.world.outside().accept(&cancelled);
        run.take_deliveries();
        run
    }

    /// Goes on until there is a choice.
    fn begin(&mut self) -> Result<Reached, String> {
        self.decided = Some(self.decisions());
        let alternatives = self.next_choice()?.len();
        self.reached(alternatives, |_| false)
    }

    /// Takes one of the possible steps of a state that was kept, and goes on until there is a choice. A state that is known is
    /// not kept.
    fn take(&mut self, kept: &Kept, choice: u16, is_known: impl Fn(u128) -> bool) -> Result<Reached, String> {
        self.put_back(kept)?;
        self.advance(choice, is_known)
    }

    fn advance(&mut self, choice: u16, is_known: impl Fn(u128) -> bool) -> Result<Reached, String> {
        self.decided = Some(self.decisions());
        let step = self.alternatives().get(usize::from(choice)).copied();
        let (which, variation) = step.ok_or("there are fewer possible steps than before")?;
        self.step(which, variation)?;
        let alternatives = self.next_choice()?.len();
        self.reached(alternatives, is_known)
    }

    fn reached(&mut self, alternatives: usize, is_known: impl Fn(u128) -> bool) -> Result<Reached, String> {
        if alternatives == 0 {
            return self.end(None);
        }
        let state = self.state();
        let kept = (!is_known(state)).then(|| Box::new(self.keep()));
        Ok(Reached { state, alternatives, kept, end: None, fed: vec![] })
    }

    fn keep(&self) -> Kept {
        let World { orders, stock, shipments, fulfilment_centre, machine, started, .. } = &self.world;
        Kept {
            orders: orders.copy(),
            stock: stock.copy(),
            shipments: shipments.copy(),
            fulfilment_centre: fulfilment_centre.copy(),
            tasks: machine.tasks.copy(),
            failed_requests: lock(&machine.failed_requests).clone(),
            started: started.clone(),
            outside: self.world.outside().clone(),
            processes: self.processes.iter().map(|process| process.at.clone()).collect(),
            left: self.left,
            feeds: self.feeds.clone(),
        }
    }

    /// Brings everything to where it was when this was kept.
    fn put_back(&mut self, kept: &Kept) -> Result<(), String> {
        // What a checkout waits for, it reads without a call.
        self.world.machine.tasks.put_back(&kept.tasks);
        self.processes.clear();
        for process in &kept.processes {
            self.processes.push(self.begun_again(process)?);
        }
        let World { orders, stock, shipments, fulfilment_centre, machine, started, .. } = &mut self.world;
        orders.put_back(&kept.orders);
        stock.put_back(&kept.stock);
        shipments.put_back(&kept.shipments);
        fulfilment_centre.put_back(&kept.fulfilment_centre);
        machine.tasks.put_back(&kept.tasks);
        lock(&machine.failed_requests).clone_from(&kept.failed_requests);
        started.clone_from(&kept.started);
        self.world.outside().clone_from(&kept.outside);
        self.left = kept.left;
        self.feeds.clone_from(&kept.feeds);
        Ok(())
    }

    /// A process that begins again, and with the answers that it had comes to where it was.
    fn begun_again(&self, at: &Standing) -> Result<Process, String> {
        let job = match &at.what {
            What::Execution { delivery, name } => {
                let started_by = started_by(&delivery.body).ok_or("a checkout that nothing started")?;
                Job::Execution(self.world.execution(name.clone(), started_by))
            }
            What::Request | What::Invocation { .. } => self.job(&at.what, at.order),
        };
        let mut process = Process { job, at: at.clone() };
        self.world.faults.answer_next_with(at.answers.iter().cloned());
        for _ in 0..at.polls {
            if process.job.poll().is_some() {
                return Err("a process that begins again ends sooner than it did".to_owned());
            }
        }
        Ok(process)
    }

    /// Follows the choices, then always the first, until all is over. How many steps were possible each time.
    fn follow_to_the_end(&mut self, choices: &[u16]) -> Result<Vec<u16>, String> {
        self.decided = Some(self.decisions());
        // No state is looked at but the last one, where all processes are done.
        self.hashes = false;
        let mut widths = vec![];
        let mut choices = choices.iter();
        loop {
            let alternatives = self.next_choice()?;
            if alternatives.is_empty() {
                return self.end(choices.next().copied()).map(|_| widths);
            }
            widths.push(u16::try_from(alternatives.len()).unwrap_or(u16::MAX));
            let choice = choices.next().copied().unwrap_or_default();
            match alternatives.get(usize::from(choice)) {
                Some((which, variation)) => self.choose(*which, *variation, choice, alternatives.len())?,
                None => return Err(format!("there are only {} possible steps", alternatives.len())),
            }
        }
    }

    fn choose(&mut self, which: usize, variation: Variation, choice: u16, of: usize) -> Result<(), String> {
        if self.is_traced {
            self.trace.push(format!("choice {choice} of {of}:"));
        }
        self.step(which, variation)
    }

    /// Takes every step to which there is no alternative.
    fn next_choice(&mut self) -> Result<Vec<(usize, Variation)>, String> {
        for _ in 0..STEPS_MAX {
            let alternatives = self.alternatives();
            match alternatives[..] {
                [(which, variation)] => self.step(which, variation)?,
                _ => return Ok(alternatives),
            }
        }
        Err(format!("nothing else happened in {STEPS_MAX} steps"))
    }

    /// The steps from which all others follow, see the module's reductions.
    fn alternatives(&self) -> Vec<(usize, Variation)> {
        let ready = || (0..self.processes.len()).filter(|index| self.is_ready(*index));
        let is_unnoticed = |index: &usize| UNNOTICED.contains(&self.processes[*index].at.next);
        if let Some(first) = ready().find(is_unnoticed) {
            return self.variations(first);
        }
        let of = |order| ready().filter(move |index| self.processes[*index].at.order == order);
        let is_shared = |index: usize| SHARED.contains(&self.processes[index].at.next);
        let alone = (0..self.world.planned.len())
            .find(|order| of(*order).next().is_some() && !of(*order).any(is_shared));
        let of_whom: Vec<usize> = match alone {
            Some(order) => of(order).collect(),
            None => ready().collect(),
        };
        of_whom.into_iter().flat_map(|index| self.variations(index)).collect()
    }

    fn is_ready(&self, index: usize) -> bool {
        !self.processes[index].at.next.is_empty() || self.may_time_out(index)
    }

    fn may_time_out(&self, index: usize) -> bool {
        match &self.processes[index].job {
            Job::Execution(running) if self.processes[index].at.next.is_empty() => {
                self.left.time_outs > 0 && matches!(&*lock(&running.wait), Wait::Answer { .. })
            }
            _ => false,
        }
    }

    fn variations(&self, index: usize) -> Vec<(usize, Variation)> {
        let process = &self.processes[index];
        if process.at.next.is_empty() {
            return vec![(index, Variation::TimeOut)];
        }
        let mut variations = vec![Variation::Plain];
        // A message that could not be postponed comes again all the same.
        if process.at.next != "memory:Postpone" {
            let is_message = !matches!(process.at.what, What::Request);
            if self.left.redeliveries > 0 && is_message && process.at.is_new {
                variations.push(Variation::Twice);
            }
            // A crash before a call is one after the call before it; one before the first call is nothing at all.
            // Whoever has only read and begins again is where it was.
            let has_read = READS.contains(&process.at.next);
            if self.left.crashes > 0 && !has_read && !matches!(process.at.what, What::Execution { .. }) {
                variations.push(Variation::Crash);
            }
            if self.left.lost_answers > 0 && !has_read {
                variations.push(Variation::ReplyLost);
                // Twice on the bus is what a redelivery shows.
                variations.extend((!UNNOTICED.contains(&process.at.next)).then_some(Variation::Repeated));
            }
        }
        variations.into_iter().map(|variation| (index, variation)).collect()
    }

    fn step(&mut self, which: usize, variation: Variation) -> Result<(), String> {
        if self.is_traced {
            let line = format!("  {}{}", self.name(which), variation.words());
            self.trace.push(line);
        }
        match variation {
            Variation::Plain => {}
            Variation::Twice => self.left.redeliveries -= 1,
            Variation::Crash => self.left.crashes -= 1,
            Variation::ReplyLost | Variation::Repeated => self.left.lost_answers -= 1,
            Variation::TimeOut => self.left.time_outs -= 1,
        }
        if variation == Variation::Twice {
            let (what, order) = (self.processes[which].at.what.clone(), self.processes[which].at.order);
            self.spawn(what, order);
        }
        if let Some(fault) = variation.fault() {
            self.world.faults.fail_next(fault);
            self.world.outside().faults_met += 1;
        }
        self.poll(which);
        self.wake();
        self.check()
    }

    fn name(&self, which: usize) -> String {
        let process = &self.processes[which];
        let order = ORDERS[process.at.order];
        match &process.at.what {
            What::Request => format!("{order}: POST /orders"),
            What::Invocation { function, delivery } => {
                let name = self.world.functions[*function].name;
                format!("{order}: {name} with {}", delivery.event_type.as_str())
            }
            What::Execution { .. } => format!("{order}: checkout"),
        }
    }

    /// A new process, up to its first call.
    fn spawn(&mut self, what: What, order: usize) {
        let (what, job) = match what {
            What::Execution { delivery, .. } => match self.world.new_execution(&delivery.body) {
                Some(running) => {
                    (What::Execution { delivery, name: running.name.clone() }, Job::Execution(running))
                }
                None => return,
            },
            What::Request | What::Invocation { .. } => {
                let job = self.job(&what, order);
                (what, job)
            }
        };
        let (is_new, polls, answers, seen) = (true, 0, vec![], 0);
        self.processes
            .push(Process { job, at: Standing { what, order, next: "", is_new, polls, answers, seen } });
        self.poll(self.processes.len() - 1);
    }

    fn job(&self, what: &What, order: usize) -> Job {
        match what {
            What::Invocation { function, delivery } => {
                let received = Received {
                    message_id: "message".to_owned(),
                    receipt_handle: "0-0".to_owned(),
                    body: Arc::clone(&delivery.body),
                    attributes: BTreeMap::new(),
                    receive_count: 1,
                    sent_at: BEGINNING,
                };
                let function = &self.world.functions[*function];
                let mut event = SqsEvent::default();
                event.records = vec![message(function.queue, &received)];
                Job::Invocation((function.run)(event, Deadline::after(Duration::from_secs(3_600))))
            }
            _ => {
                let (api, request) = (Rc::clone(&self.world.api), place_request(&self.world.planned[order]));
                Job::Request(Box::pin(async move { api.respond(request).await }))
            }
        }
    }

    /// Makes the call before which a process stands, if any, and brings it to the next.
    fn poll(&mut self, which: usize) {
        let process = &mut self.processes[which];
        {
            let mut outside = self.world.outside();
            (outside.actor, outside.actor_can_be_gone) = ("the small world", true);
            outside.announced = "";
        }
        process.at.polls += 1;
        let ended = process.job.poll();
        let ended = if self.world.faults.take_gone() { Some(Ended::Failed) } else { ended };
        process.at.next = self.world.outside().announced;
        for answer in std::mem::take(&mut *lock(&self.heard)) {
            process.at.is_new = false;
            if self.hashes {
                process.at.seen = mixed(process.at.seen, &(answer.operation, hash_of(answer.given())));
            }
            if self.is_traced {
                let text = shortened(&format!("{:?}", answer.given()));
                self.trace.push(format!("    {} is answered {text}", answer.operation));
            }
            process.at.answers.push(answer);
        }
        if let Some(ended) = ended {
            let Standing { what, order, .. } = self.processes.remove(which).at;
            self.take_deliveries();
            if matches!(ended, Ended::Failed) {
                self.spawn(what, order);
            }
        } else {
            self.take_deliveries();
        }
    }

    /// What was published reaches the functions that are to hear of it.
    fn take_deliveries(&mut self) {
        let deliveries = std::mem::take(&mut self.world.outside().deliveries);
        self.world.outside().unheard.clear();
        for delivery in deliveries {
            let of = |planned: &PlannedOrder| delivery.detail.contains(planned.order_id.as_str());
            let order = self.world.planned.iter().position(of).unwrap_or_default();
            let queue = match &self.world.topology.rules[delivery.rule].target {
                Target::Checkout => {
                    self.spawn(What::Execution { delivery, name: String::new() }, order);
                    continue;
                }
                Target::Queue(queue) => queue,
            };
            match self.world.functions.iter().position(|function| function.queue == queue) {
                Some(function) if FED.contains(&self.world.functions[function].name) => {
                    self.feeds.push(delivery);
                }
                Some(function) => self.spawn(What::Invocation { function, delivery }, order),
                None => {}
            }
        }
    }

    /// Whatever need not wait any longer goes on to its next call.
    fn wake(&mut self) {
        while let Some(which) = (0..self.processes.len()).find(|index| self.wakes(*index)) {
            let Job::Execution(running) = &self.processes[which].job else { return };
            let answer = match &*lock(&running.wait) {
                Wait::Answer { token, .. } => self.world.machine.tasks.answer(token),
                _ => None,
            };
            if self.hashes {
                self.processes[which].at.seen = mixed(self.processes[which].at.seen, &format!("{answer:?}"));
            }
            self.poll(which);
        }
    }

    fn wakes(&self, index: usize) -> bool {
        let Process { job: Job::Execution(running), at: Standing { next: "", .. } } = &self.processes[index]
        else {
            return false;
        };
        match &*lock(&running.wait) {
            Wait::Nothing | Wait::Until(_) | Wait::Redrive => true,
            // It looks again and again, and sees the same until then.
            Wait::Registration { order_id, .. } => {
                let order = self.world.orders.order(order_id).unwrap_or_default();
                order.registration.is_some() || order.settlement.is_some()
            }
            Wait::Answer { token, .. } => self.world.machine.tasks.answer(token).is_some(),
        }
    }

    /// What must hold after every step.
    fn check(&mut self) -> Result<(), String> {
        let Some(before) = &self.decided else { return Ok(()) };
        let violations = self.world.outside().violations.clone();
        if !violations.is_empty() {
            return Err(violations.join("\n"));
        }
        self.world.check_the_shelves()?;
        let after = self.decisions();
        for (order_id, settlement) in &before.settlements {
            if after.settlements.get(order_id) != Some(settlement) {
                return Err(format!("order {order_id} ended a second time"));
            }
        }
        for (order_id, reservation) in &before.reservations {
            let same = |other: &Reservation| {
                other.decision == reservation.decision
                    && (reservation.closing.is_none() || other.closing == reservation.closing)
            };
            if !after.reservations.get(order_id).is_some_and(same) {
                return Err(format!("stock was decided about a second time for order {order_id}"));
            }
        }
        self.decided = Some(after);
        Ok(())
    }

    fn decisions(&self) -> Decisions {
        let settlements = self.world.orders.orders().into_iter();
        let reservations = self.world.stock.reservations().into_iter();
        Decisions {
            settlements: settlements
                .filter_map(|(order_id, stored)| Some((order_id.to_string(), stored.settlement?)))
                .collect(),
            reservations: reservations
                .map(|(order_id, reservation)| (order_id.to_string(), reservation))
                .collect(),
        }
    }

    /// Feeds the read model and the lake, with this one disturbed, and looks at everything.
    fn end(&mut self, disturbed: Option<u16>) -> Result<Reached, String> {
        if let Some(waits) = self.processes.first() {
            let order = ORDERS[waits.at.order];
            return Err(format!("{order}: {:?} waits for ever", self.name(0)));
        }
        let state = self.state();
        // Beginning with 1; 0 disturbs none.
        let possible: Vec<(usize, Variation)> = self.disturbances();
        let disturbed = match disturbed {
            None | Some(0) => None,
            Some(choice) => Some(possible.get(usize::from(choice) - 1).copied().ok_or("no such message")?),
        };
        let identity = |(index, variation): &(usize, Variation)| {
            let Delivery { rule, detail, .. } = &self.feeds[*index];
            mixed(0, &(rule, detail, variation))
        };
        let fed: Vec<Feed> =
            possible.iter().zip(1..).map(|(one, choice)| Feed { choice, identity: identity(one) }).collect();
        let is_traced = self.is_traced;
        for (index, delivery) in std::mem::take(&mut self.feeds).into_iter().enumerate() {
            let variation = disturbed.filter(|(which, _)| *which == index).map(|(_, variation)| variation);
            self.is_traced = is_traced && variation.is_some();
            self.feed(delivery, variation.unwrap_or(Variation::Plain))?;
        }
        self.is_traced = is_traced;
        let problems = broken(&self.world);
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let orders = self.world.orders.orders();
        let outcome = |planned: &PlannedOrder| {
            let stored = orders.get(&planned.order_id).and_then(|stored| stored.settlement.as_ref());
            stored.map_or("open", |settlement| settlement.outcome.as_str())
        };
        let end: Vec<&str> = self.world.planned.iter().map(outcome).collect();
        Ok(Reached { state, alternatives: 0, kept: None, end: Some(end.join(", ")), fed })
    }

    /// What may go wrong with the messages to the read model and the lake.
    fn disturbances(&self) -> Vec<(usize, Variation)> {
        let Mishaps { crashes, lost_answers, redeliveries, .. } = self.left;
        let mut variations = vec![];
        variations.extend((redeliveries > 0).then_some(Variation::Twice));
        variations.extend((crashes > 0).then_some(Variation::Crash));
        if lost_answers > 0 {
            variations.extend([Variation::ReplyLost, Variation::Repeated]);
        }
        (0..self.feeds.len())
            .flat_map(|index| variations.iter().map(move |variation| (index, *variation)))
            .collect()
    }

    /// Brings one message to the read model or the lake; whatever fails is delivered again.
    fn feed(&mut self, delivery: Delivery, variation: Variation) -> Result<(), String> {
        let Target::Queue(queue) = &self.world.topology.rules[delivery.rule].target else { return Ok(()) };
        let function = self.world.functions.iter().position(|function| function.queue == queue);
        let Some(function) = function else { return Ok(()) };
        self.spawn(What::Invocation { function, delivery }, 0);
        let mut variation = variation;
        for _ in 0..100 {
            let Some(last) = self.processes.len().checked_sub(1) else { return Ok(()) };
            self.step(last, variation)?;
            variation = Variation::Plain;
        }
        Err("a message to the read model or the lake is never done with".to_owned())
    }

    /// Everything that what comes next depends on.
    fn state(&self) -> u128 {
        let World { orders, stock, shipments, fulfilment_centre, machine, .. } = &self.world;
        let mut state = mixed(0, &self.left);
        let mut write = |part: &dyn Debug| {
            state = mixed(state, &hash_of(part));
        };
        write(&orders.orders());
        write(&stock.reservations());
        write(&stock.stock_levels());
        write(&shipments.shipments());
        write(&machine.tasks.states());
        write(&lock(&machine.failed_requests));
        let notices = fulfilment_centre.notices().into_iter();
        let notices: BTreeSet<_> =
            notices.map(|notice| (notice.order_id, notice.kind, notice.notice_id)).collect();
        write(&notices);
        let outside = self.world.outside();
        // Two versions of one event would have fallen by now.
        let published: BTreeSet<&str> =
            outside.accepted.iter().map(|accepted| accepted.event_id.as_str()).collect();
        write(&published);
        let mut processes: Vec<u128> = self.processes.iter().map(|process| self.identity(process)).collect();
        processes.sort_unstable();
        write(&processes);
        state
    }

    fn identity(&self, process: &Process) -> u128 {
        let Process { job, at: Standing { what, order, next, is_new, seen, .. } } = process;
        let what: (usize, Option<EventType>, &str, String) = match what {
            What::Request => (usize::MAX, None, "", String::new()),
            What::Invocation { function, delivery } => {
                (*function, Some(delivery.event_type), &delivery.detail, String::new())
            }
            What::Execution { delivery, .. } => {
                (usize::MAX - 1, Some(delivery.event_type), &delivery.detail, job.waits_for())
            }
        };
        mixed(0, &(what, order, next, is_new, seen))
    }
}

impl Job {
    /// Makes its next call. `None` while there is more to do.
    fn poll(&mut self) -> Option<Ended> {
        let is_done = match self {
            Self::Request(work) => poll(work.as_mut()).map(|response| response.status_code == 202),
            Self::Invocation(work) => {
                poll(work.as_mut()).map(|response| response.batch_item_failures.is_empty())
            }
            Self::Execution(Running { wait, work, .. }) => {
                *lock(wait) = Wait::Nothing;
                poll(work.as_mut()).map(|()| true)
            }
        };
        match is_done {
            Poll::Ready(true) => Some(Ended::Done),
            Poll::Ready(false) => Some(Ended::Failed),
            Poll::Pending => None,
        }
    }

    /// What an execution waits for, in words.
    fn waits_for(&self) -> String {
        match self {
            Self::Execution(running) => format!("{:?}", *lock(&running.wait)),
            Self::Request(_) | Self::Invocation(_) => String::new(),
        }
    }
}

/// Two hashes in one: that two states of a search share it by chance is out of the question.
fn mixed(seed: u128, part: &impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, seed).hash(&mut hasher);
        part.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(1) << 64) | half(2)
}

/// A hash of what is seen of something.
fn hash_of(part: &dyn Debug) -> u128 {
    // Hashed as one text: a hasher that gets it in pieces takes several times as long.
    let mut text = String::with_capacity(4_096);
    // Writing into a text cannot fail.
    write!(text, "{part:?}").unwrap_or_default();
    mixed(0, &text)
}

fn shortened(answer: &str) -> String {
    const LENGTH_MAX: usize = 100;
    if answer.chars().count() <= LENGTH_MAX {
        return answer.to_owned();
    }
    answer.chars().take(LENGTH_MAX).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_it_is_written() {
        for world in SmallWorld::ALL {
            for choices in [vec![], vec![3, 0, 11]] {
                let schedule = Schedule { world, choices };
                assert_eq!(schedule.to_string().parse(), Ok(schedule));
            }
        }
        assert!("crash".parse::<Schedule>().is_err());
        assert!("storm:1".parse::<Schedule>().is_err());
        assert!("crash:x".parse::<Schedule>().is_err());
    }

    /// One run goes on and on; the other is elsewhere before each step.
    #[test]
    fn a_state_that_is_put_back_is_the_same_state() {
        let topology = Arc::new(Topology::of_the_templates());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        for world in SmallWorld::ALL {
            let mut rng = fastrand::Rng::with_seed(7);
            let mut passed: Vec<Box<Kept>> = vec![];
            for _ in 0..50 {
                let mut whole = Run::new(&topology, world, false);
                let mut parts = Run::new(&topology, world, false);
                let mut reached = whole.begin().unwrap();
                while let Some(kept) = reached.kept {
                    if let Some(elsewhere) = rng.choice(&passed)
                        && parts.take(elsewhere, 0, |_| false).unwrap().end.is_some()
                    {
                        parts = Run::new(&topology, world, false);
                    }
                    let choice = rng.u16(..u16::try_from(reached.alternatives).unwrap());
                    let again = parts.take(&kept, choice, |_| false).unwrap();
                    reached = whole.advance(choice, |_| false).unwrap();
                    assert_eq!(
                        (again.state, again.alternatives, &again.end),
                        (reached.state, reached.alternatives, &reached.end),
                        "{}",
                        world.name()
                    );
                    passed.push(kept);
                }
                assert!(reached.end.is_some());
            }
        }
    }

    #[test]
    fn ways_are_counted_through_the_graph_of_states() {
        let node = |next: &[u32]| Node {
            choices: Box::default(),
            alternatives: 0,
            next: next.to_vec(),
            kept: None,
            fed: vec![],
        };
        // Two ways to 3, one of them over 1, from where a step leads back; from 3 two ways to an end.
        let nodes = [node(&[1, 2]), node(&[0, 3]), node(&[3]), node(&[4, 5]), node(&[]), node(&[])];
        assert!((schedules(&nodes) - 4.0).abs() < 1e-9);
    }
}
