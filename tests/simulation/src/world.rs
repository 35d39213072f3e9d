use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::sqs::SqsMessageAttribute;
use contracts::{BusEvent, Data, EventType, OPEN_SCOPE, Outbound};
use dlq_reprocessor::{Policy, Queues, Reprocessor, Settings, Summary, Takes};
use domain::{Attempt, EventId, OrderId, PaymentId, RedriveKey, RedriveState, ShipmentId, Sku, Timestamp};
use event_archiver::EventArchiver;
use event_gateway::{EventGateway, Producers};
use fastrand::Rng;
use inventory_updater::InventoryUpdater;
use memory::{
    Faults, ManualClock, MemoryDeadLetterQueues, MemoryEventBus, MemoryEventLake, MemoryEventLedger,
    MemoryFulfilmentCentre, MemoryOnCall, MemoryOrderStore, MemoryOrderViewStore, MemoryPaymentTasks,
    MemoryQuarantineStore, MemoryQueue, MemoryQueues, MemoryRedriveLedger, MemoryRedriveTargets,
    MemoryShipmentStore, MemoryStockStore, QueueNumber, Received,
};
use order_api::OrderApi;
use order_placed::OrderPlacedHandler;
use order_tracker::OrderTracker;
use payment_callback::PaymentCallback;
use payment_provider::PaymentProvider;
use ports::{Clock, QuarantineObject, StockCounts, attempt_resources};
use runtime::{Consumer, Deadline, Handler, SqsBatchResponse, SqsEvent, SqsMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shipping_notifier::ShippingNotifier;

use crate::checkout::{Execution, Machine, Wait};
use crate::invariants::Archived;
use crate::lies::{self, Door, Lie, Statement, Token};
use crate::outside::{Accepted, Delivery, OWN_ACCOUNT, Outage, Outside, Rates, Wrong};
use crate::topology::{Batch, Target, Topology};
use crate::workload::{CallOff, Delay, PlannedOrder, STOCK, Way, When};

/// The instant at which every simulation begins.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_unix_ms(1_769_860_800_000);
/// Where consumers put what they can never handle.
const QUARANTINE_QUEUE: &str = "QuarantineQueue";
/// Where the bus puts what it could not deliver.
const UNDELIVERED_QUEUE: &str = "UndeliveredQueue";
/// Where the bus puts what it could not handle itself.
const BUS_DEAD_LETTER_QUEUE: &str = "BusDeadLetterQueue";
/// How often a message is redriven before it is given up on.
pub(crate) const REDRIVES_MAX: u32 = 2;
/// Why a message is in quarantine that might yet be handled.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// Who hands events in at the gateway.
const PRODUCERS: &str =
    "shipping=arn:aws:iam::111122223333:role/carrier,payments=arn:aws:iam::111122223333:role/provider";
const CHECKOUT_ARN: &str = "arn:aws:states:eu-central-1:111122223333:stateMachine:checkout";
const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:111122223333:";
/// The longest that what failed waits to be brought back.
const REDRIVE_WITHIN_MS: i64 = 1_800_000;
/// After how many steps a run counts as one that never settles.
const STEPS_MAX: u64 = 100_000;
/// The same, where something is down for hours and everything is tried again and again.
pub(crate) const STEPS_MAX_OF_AN_OUTAGE: u64 = 400_000;

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// What may be waited for in the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As the template says: a payment 15 minutes, a registration 15 minutes.
    Standard,
    /// A day: nothing times out before everything else is over, so that an order's way is certain.
    Long,
}

/// The time of the simulation, as one function's clock shows it.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedClock {
    clock: Arc<ManualClock>,
    /// How far it is ahead.
    skew_ms: i64,
}

impl SimulatedClock {
    fn skewed(&self, skew_ms: i64) -> Self {
        Self { clock: Arc::clone(&self.clock), skew_ms }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now().unix_ms() + self.skew_ms)
    }
}

/// What was said outside about one order that agrees with our records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims {
    /// Its shipment was picked up.
    pub(crate) picked_up: bool,
    /// Its payment was captured.
    pub(crate) captured: bool,
}

/// A function: what runs when its queue has messages.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) queue: &'static str,
    queue_number: QueueNumber,
    batch: Batch,
    pub(crate) run: Rc<dyn Fn(SqsEvent, Deadline) -> Work<SqsBatchResponse>>,
}

struct Invocation {
    number: u64,
    function: usize,
    received: Vec<Received>,
    is_unheard: bool,
    work: Work<SqsBatchResponse>,
}

struct Request {
    client: usize,
    work: Work<ApiGatewayV2httpResponse>,
}

pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) wait: Arc<Mutex<Wait>>,
    pub(crate) work: Work<()>,
}

/// Something that people outside do at a time.
struct Client {
    what: Action,
    at: When,
    is_busy: bool,
    attempts: u64,
}

enum Action {
    Place(usize),
    PublishBroken(usize),
    Lie,
    Repeat(Box<Statement>),
    CancelByApi(usize),
    CancelByEvent(usize),
    Publish(Box<Outbound>),
    Poison { queue: &'static str, body: &'static str },
    Done,
}

type DlqReprocessor = Reprocessor<
    MemoryDeadLetterQueues,
    MemoryRedriveTargets,
    MemoryRedriveLedger,
    MemoryQuarantineStore,
    MemoryEventBus,
    MemoryOnCall,
    SimulatedClock,
>;

type Gateway = EventGateway<MemoryEventLedger, MemoryEventBus, SimulatedClock>;

pub(crate) type Api = OrderApi<MemoryOrderStore, MemoryOrderViewStore, MemoryEventBus, SimulatedClock>;

/// Everything there is, and one scheduler that decides what happens next.
pub struct World {
    pub(crate) clock: SimulatedClock,
    begun_at_ms: i64,
    /// What was in stock at the beginning.
    pub(crate) shelves: BTreeMap<String, u64>,
    /// Those of three functions that decide by them.
    clocks: [SimulatedClock; 3],
    gateway: Rc<Gateway>,
    /// Decides what liars say.
    liar: Rng,
    /// Whether the bus policy binds the types, as the template's does, or the sources alone.
    policy_names_types: bool,
    /// What was said outside that agrees with our records, or may come to: it may take effect.
    pub(crate) claims: BTreeMap<OrderId, Claims>,
    /// While something else could happen, time leaps no further than this.
    leap_ms_max: i64,
    /// How often messages are left to gather while something else can be done.
    laziness: f64,
    rng: Rng,
    pub(crate) outside: Arc<Mutex<Outside>>,
    pub(crate) faults: Faults,
    pub(crate) topology: Arc<Topology>,
    pub(crate) queues: MemoryQueues,
    pub(crate) orders: MemoryOrderStore,
    pub(crate) stock: MemoryStockStore,
    pub(crate) shipments: MemoryShipmentStore,
    pub(crate) views: MemoryOrderViewStore,
    pub(crate) lake: MemoryEventLake,
    pub(crate) fulfilment_centre: MemoryFulfilmentCentre,
    pub(crate) machine: Machine,
    pub(crate) api: Rc<Api>,
    pub(crate) functions: Vec<Function>,
    invocations: Vec<Invocation>,
    requests: Vec<Request>,
    executions: Vec<Running>,
    pub(crate) reprocessor: Rc<DlqReprocessor>,
    reprocessing: Vec<Work<Summary>>,
    /// Those that the reprocessor reads.
    dead_letter_queues: Vec<QueueNumber>,
    /// Which checkouts the reprocessor started.
    restarted: BTreeSet<(RedriveKey, u32)>,
    /// The first delivery by each of these rules goes astray: into a dead-letter queue at once.
    astray: Vec<&'static str>,
    clients: Vec<Client>,
    pub(crate) planned: Vec<PlannedOrder>,
    /// What was read of the lake's objects, which never change, by their keys.
    pub(crate) read: RefCell<BTreeMap<String, Rc<Archived>>>,
    /// Poison that was put in a queue: which, and what.
    pub(crate) poison: Vec<(&'static str, &'static str)>,
    invoked: u64,
    /// How many checkouts were started for each order.
    pub(crate) started: BTreeMap<OrderId, u64>,
    steps: u64,
    pub(crate) steps_max: u64,
    steps_before_the_replay: u64,
    redriven: u64,
    released: u64,
    redriven_at_ms: i64,
}

impl World {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(topology: &Arc<Topology>, seed: u64, rates: Rates, patience: Patience) -> Self {
        Self::with_shelves(topology, seed, rates, patience, &STOCK)
    }

    /// The same, with something else in stock.
    pub(crate) fn with_shelves(
        topology: &Arc<Topology>,
        seed: u64,
        rates: Rates,
        patience: Patience,
        shelves: &[(&str, u64)],
    ) -> Self {
        let clock = SimulatedClock { clock: Arc::new(ManualClock::new(BEGINNING)), skew_ms: 0 };
        let mut rng = Rng::with_seed(seed);
        let mut skewed = || {
            let skew_ms = rates.skew_ms;
            clock.skewed(if skew_ms > 0 { rng.i64(-skew_ms..=skew_ms) } else { 0 })
        };
        let queues = MemoryQueues::new(Arc::new(clock.clone()));
        for (name, settings) in &topology.queues {
            queues.create(name, settings.clone());
        }
        let outside = Arc::new(Mutex::new(Outside::new(Arc::clone(topology), seed ^ 0xFA17, rates)));
        let faults = Faults::default();
        let judge = Arc::clone(&outside);
        faults.judged_by(move |operation| lock(&judge).judge(operation));
        let orders = MemoryOrderStore::with_faults(faults.clone());
        let tasks = MemoryPaymentTasks::with_faults(faults.clone());
        let (payment_timeout_ms, leap_ms_max) = match patience {
            Patience::Standard => (900_000, i64::MAX),
            Patience::Long => (86_400_000, 3_600_000),
        };
        let machine = Machine {
            orders: orders.clone(),
            tasks,
            bus: Arc::new(bus(&outside, &faults)),
            faults: faults.clone(),
            clock: skewed(),
            failed_requests: Arc::default(),
            payment_timeout_ms,
            registration_timeout_ms: payment_timeout_ms,
        };
        let views = MemoryOrderViewStore::with_faults(faults.clone());
        let api = Rc::new(OrderApi {
            orders: orders.clone(),
            views: views.clone(),
            bus: bus(&outside, &faults),
            clock: skewed(),
            open_scope: Some(OPEN_SCOPE.to_owned()),
        });
        let reprocessor = Rc::new(reprocessor(&outside, &faults, &queues, &skewed()));
        let gateway = Rc::new(EventGateway {
            ledger: MemoryEventLedger::with_faults(faults.clone()),
            bus: bus(&outside, &faults),
            clock: skewed(),
            producers: Producers::parse(PRODUCERS).unwrap_or_default(),
        });
        let clocks = [(); 3].map(|()| skewed());
        let dead_letter_queues =
            reprocessor.settings.queues.names().map(|name| queues.number_of(name)).collect();
        let laziness = [0.0, 0.8, 0.95, 0.99][rng.usize(..4)];
        let mut world = Self {
            laziness,
            begun_at_ms: clock.now().unix_ms(),
            shelves: BTreeMap::new(),
            clocks,
            gateway,
            liar: Rng::with_seed(seed ^ 0x11E5),
            policy_names_types: seed.is_multiple_of(2),
            claims: BTreeMap::new(),
            leap_ms_max,
            rng,
            outside,
            topology: Arc::clone(topology),
            queues,
            orders,
            stock: MemoryStockStore::with_faults(faults.clone()),
            shipments: MemoryShipmentStore::with_faults(faults.clone()),
            views,
            lake: MemoryEventLake::with_faults(faults.clone()),
            fulfilment_centre: MemoryFulfilmentCentre::with_faults(faults.clone()),
            machine,
            api,
            functions: vec![],
            invocations: vec![],
            requests: vec![],
            executions: vec![],
            reprocessor,
            reprocessing: vec![],
            dead_letter_queues,
            restarted: BTreeSet::new(),
            astray: vec![],
            clients: vec![],
            planned: vec![],
            read: RefCell::default(),
            poison: vec![],
            invoked: 0,
            started: BTreeMap::new(),
            steps: 0,
            steps_max: STEPS_MAX,
            steps_before_the_replay: 0,
            redriven: 0,
            released: 0,
            redriven_at_ms: clock.now().unix_ms(),
            clock,
            faults,
        };
        world.deploy();
        for (sku, available) in shelves {
            world.stock_up(sku, *available);
        }
        world
    }

    /// Every function, behind the queue that the template gives it.
    fn deploy(&mut self) {
        let ([first, second, third], orders) = (self.clocks.clone(), self.orders.clone());
        let handler = OrderPlacedHandler { orders: orders.clone(), clock: first };
        self.deploy_consumer(order_placed::NAME, "OrderPlacedQueue", handler);
        let handler = InventoryUpdater { stock: self.stock.clone(), clock: second };
        self.deploy_consumer(inventory_updater::NAME, "InventoryUpdaterQueue", handler);
        let handler = PaymentCallback { tasks: self.machine.tasks.clone(), orders };
        self.deploy_consumer(payment_callback::NAME, "PaymentCallbackQueue", handler);
        let handler = ShippingNotifier {
            shipments: self.shipments.clone(),
            fulfilment_centre: self.fulfilment_centre.clone(),
            clock: third,
        };
        self.deploy_consumer(shipping_notifier::NAME, "ShippingNotifierQueue", handler);
        let handler = OrderTracker { views: self.views.clone() };
        self.deploy_consumer(order_tracker::NAME, "OrderTrackerQueue", handler);
        self.deploy_consumer(payment_provider::NAME, "PaymentProviderQueue", PaymentProvider);

        let archiver = Rc::new(EventArchiver { lake: self.lake.clone() });
        self.functions.push(Function {
            name: event_archiver::NAME,
            queue: "EventArchiverQueue",
            queue_number: self.queues.number_of("EventArchiverQueue"),
            batch: self.topology.batches["EventArchiverQueue"],
            run: Rc::new(move |event, deadline| {
                let archiver = Rc::clone(&archiver);
                Box::pin(async move { archiver.archive(event, deadline).await })
            }),
        });
        for rule in &self.topology.rules {
            if let Target::Queue(queue) = &rule.target {
                let is_served = self.functions.iter().any(|function| function.queue == queue);
                assert!(is_served, "{}: no function of the simulation serves {queue}", rule.name);
            }
        }
    }

    fn deploy_consumer(&mut self, name: &'static str, queue: &'static str, handler: impl Handler + 'static) {
        // The provider is someone else's stack, with a quarantine of its own.
        let quarantine =
            if name == payment_provider::NAME { "PaymentProviderQuarantineQueue" } else { QUARANTINE_QUEUE };
        let consumer = Rc::new(Consumer {
            name,
            handler,
            bus: bus(&self.outside, &self.faults),
            quarantine: MemoryQueue::with_faults(self.queues.clone(), quarantine, self.faults.clone()),
            queue: MemoryQueue::with_faults(self.queues.clone(), queue, self.faults.clone()),
        });
        let run = move |event, deadline| -> Work<SqsBatchResponse> {
            let consumer = Rc::clone(&consumer);
            Box::pin(async move { consumer.consume(event, deadline).await })
        };
        let queue_number = self.queues.number_of(queue);
        let batch = self.topology.batches[queue];
        self.functions.push(Function { name, queue, queue_number, batch, run: Rc::new(run) });
    }

    /// Counted before anything can go wrong.
    fn stock_up(&mut self, sku: &str, available: u64) {
        if self.shelves.insert(sku.to_owned(), available).is_some() {
            return;
        }
        let rates = std::mem::take(&mut self.outside().rates);
        if let Ok(sku) = Sku::parse(sku) {
            let counted = poll_to_the_end(self.stock.set_available(&sku, available));
            debug_assert!(counted.is_some_and(|level| level.is_ok()));
        }
        self.outside().rates = rates;
    }

    /// Plans an order and what people do about it.
    pub fn plan(&mut self, order: PlannedOrder) {
        for line in order.request().lines.into_iter().filter(|_| order.is_large) {
            self.stock_up(&line.sku, 1_000);
        }
        if order.caller.is_some() && self.planned.iter().any(|other| other.key == order.key) {
            *self.outside().lies.entry(Lie::SharedKey).or_default() += 1;
        }
        let index = self.planned.len();
        let place =
            if order.way == Way::Broken { Action::PublishBroken(index) } else { Action::Place(index) };
        self.expect(place, When::AtMs(order.placed_at_ms));
        if let Some((how, at)) = order.call_off {
            // Nobody can ask the API about an order that it refused.
            let cancel = match how {
                CallOff::Api if order.way != Way::Broken => Action::CancelByApi(index),
                _ => Action::CancelByEvent(index),
            };
            self.expect(cancel, at);
        }
        self.planned.push(order);
    }

    /// Plans a message that nobody can handle.
    pub fn plan_poison(&mut self, queue: &'static str, body: &'static str, at_ms: i64) {
        self.expect(Action::Poison { queue, body }, When::AtMs(at_ms));
    }

    /// Plans that a liar says something.
    pub fn plan_lie(&mut self, at_ms: i64) {
        self.expect(Action::Lie, When::AtMs(at_ms));
    }

    fn expect(&mut self, what: Action, at: When) {
        self.clients.push(Client { what, at, is_busy: false, attempts: 0 });
    }

    pub(crate) fn outside(&self) -> MutexGuard<'_, Outside> {
        lock(&self.outside)
    }

    /// Every queue of the order process; the provider's are someone else's.
    pub(crate) fn queue_names(&self) -> Vec<String> {
        self.topology.queues.keys().cloned().collect()
    }

    /// The first deliveries by some rules go astray, so that the reprocessor has something of every shape to do.
    pub fn lead_astray(&mut self) {
        self.astray = vec!["InventoryUpdaterRule", "OrderPlacedRule", "OrderTrackerRule", "CheckoutRule"];
    }

    /// The function that reads a queue.
    pub(crate) fn consumer_of(&self, queue: &str) -> &'static str {
        self.functions.iter().find(|function| function.queue == queue).map_or("", |function| function.name)
    }

    /// How many steps the scheduler took.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many of them were taken before everything was replayed.
    #[must_use]
    pub fn steps_before_the_replay(&self) -> u64 {
        self.steps_before_the_replay
    }

    /// How many dead letters were brought back.
    #[must_use]
    pub fn redriven(&self) -> u64 {
        self.redriven
    }

    /// How many messages were brought back from quarantine.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.released
    }

    fn elapsed_ms(&self) -> i64 {
        self.clock.now().unix_ms() - self.begun_at_ms
    }

    // ------------------------------------------------------------------------------------------------------------
    // The scheduler
    // ------------------------------------------------------------------------------------------------------------

    /// Lets things happen until nothing is left to do, now or later.
    ///
    /// # Errors
    /// When that never comes, or when something happened that must not.
    pub fn run(&mut self) -> Result<(), String> {
        while self.step()? {
            self.steps += 1;
            if self.steps > self.steps_max {
                return Err(format!("nothing settled in {} steps", self.steps_max));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool, String> {
        if self.outside().violations.is_empty() {
            self.answer_outside();
        } else {
            return Err(self.outside().violations.join("\n"));
        }
        let leap = self.outside().rates.leap;
        if leap > 0.0 && self.outside().happens(leap) {
            let before_ms = self.elapsed_ms();
            self.advance(self.leap_ms_max);
            if self.elapsed_ms() > before_ms {
                self.outside().count(Wrong::Leap);
            }
        }
        let elapsed_ms = self.elapsed_ms();
        let is_over = |outage: &mut Outage| outage.until_ms < elapsed_ms;
        self.outside().outage.take_if(is_over);
        let undelivered = std::mem::take(&mut self.outside().undelivered);
        for Delivery { rule, body, .. } in undelivered {
            match &self.topology.rules[rule].target {
                // The provider's rule has a dead-letter queue of its own.
                Target::Queue(queue) if queue.starts_with("PaymentProvider") => {
                    self.queues.send("PaymentProviderDeadLetterQueue", body, BTreeMap::new());
                }
                target => self.give_up_on(target, body),
            }
        }
        let deliveries = self.outside().deliveries.len();
        let executions: Vec<usize> =
            (0..self.executions.len()).filter(|index| self.execution_is_ready(*index)).collect();
        let clients: Vec<usize> =
            (0..self.clients.len()).filter(|index| self.client_is_ready(&self.clients[*index])).collect();
        // A poller may come at once or let messages gather.
        let others =
            self.invocations.len() + deliveries + executions.len() + clients.len() + self.requests.len();
        let queues: Vec<usize> = if others > 0 && self.rng.f64() < self.laziness {
            vec![]
        } else {
            // Fewer than a full batch are waited with, as the batching window says; and now and then not, so that they meet
            // everything else half way.
            let (now_ms, is_early) = (self.clock.now().unix_ms(), self.rng.f64() < 0.01);
            let is_over = |Function { queue_number, batch, .. }: &Function| {
                let visible_at = self.queues.next_visible_at(*queue_number);
                visible_at.is_some_and(|at| at.unix_ms() + batch.window_ms <= now_ms)
            };
            let is_ready = |function: &Function| {
                let has = |count| self.queues.has_visible(function.queue_number, count);
                let Batch { messages_max, window_ms } = function.batch;
                has(1) && (window_ms == 0 || is_early || is_over(function) || has(messages_max))
            };
            (0..self.functions.len()).filter(|index| is_ready(&self.functions[*index])).collect()
        };
        // A choice among kinds, each as likely as the next, and then among those of a kind.
        let kinds = [
            self.invocations.len(),
            deliveries,
            executions.len(),
            clients.len(),
            queues.len(),
            self.requests.len(),
            self.reprocessing.len(),
            usize::from((others == 0 || self.rng.f64() < 0.05) && self.has_dead_letters()),
        ];
        let possible: Vec<usize> = (0..kinds.len()).filter(|kind| kinds[*kind] > 0).collect();
        if possible.is_empty() {
            return Ok(self.advance(i64::MAX));
        }
        let kind = possible[self.rng.usize(..possible.len())];
        let which = self.rng.usize(..kinds[kind]);
        match kind {
            0 => self.poll_invocation(which)?,
            1 => self.deliver(which),
            2 => self.poll_execution(executions[which]),
            3 => self.act(clients[which]),
            4 => self.invoke(queues[which]),
            5 => self.poll_request(which),
            6 => self.poll_reprocessing(which),
            _ => self.reprocess(),
        }
        Ok(true)
    }

    /// Moves the clock to when something can happen next, unless that is too far. False when nothing ever will.
    fn advance(&mut self, leap_ms_max: i64) -> bool {
        let now_ms = self.clock.now().unix_ms();
        let consumed = self.functions.iter().filter_map(|function| {
            Some(self.queues.next_visible_at(function.queue_number)?.unix_ms() + function.batch.window_ms)
        });
        let dead_letters = self.dead_letter_queues.iter();
        let dead_letters = dead_letters.filter_map(|queue| self.queues.next_visible_at(*queue));
        let clients = self.clients.iter().filter_map(|client| match client.at {
            _ if client.is_busy || matches!(client.what, Action::Done) => None,
            When::AtMs(at_ms) => Some(self.begun_at_ms + at_ms),
            When::AtStep(_) => None,
        });
        let executions = self.executions.iter().filter_map(|execution| match &*lock(&execution.wait) {
            Wait::Until(at_ms)
            | Wait::Registration { until_ms: at_ms, .. }
            | Wait::Answer { until_ms: at_ms, .. } => Some(*at_ms),
            Wait::Nothing | Wait::Redrive => None,
        });
        let all = consumed.chain(dead_letters.map(Timestamp::unix_ms)).chain(clients).chain(executions);
        let next = all.filter(|at_ms| *at_ms > now_ms).min();
        // What failed is brought back before anything waits for long.
        if next.is_none_or(|at_ms| at_ms - self.redriven_at_ms > REDRIVE_WITHIN_MS) {
            self.redriven_at_ms = now_ms;
            if self.redrive() {
                return true;
            }
        }
        match next {
            Some(at_ms) if at_ms - now_ms > leap_ms_max => true,
            Some(at_ms) => {
                self.clock.clock.set(Timestamp::from_unix_ms(at_ms));
                true
            }
            None => self.act_although_early(),
        }
    }

    /// Whoever waits for a step that never came acts now.
    fn act_although_early(&mut self) -> bool {
        let early = |client: &&mut Client| {
            matches!(client.at, When::AtStep(_)) && !matches!(client.what, Action::Done) && !client.is_busy
        };
        match self.clients.iter_mut().find(early) {
            Some(client) => {
                client.at = When::AtMs(0);
                true
            }
            None => false,
        }
    }

    fn deliver(&mut self, which: usize) {
        let Delivery { rule, body, event_type, .. } = self.outside().deliveries.swap_remove(which);
        let rule = &self.topology.rules[rule];
        if let Some(index) = self.astray.iter().position(|name| *name == rule.name) {
            self.astray.swap_remove(index);
            return self.mislay(&rule.name.clone(), &rule.target.clone(), body);
        }
        self.outside().note(|| format!("{} brings {}", rule.name, event_type.as_str()));
        match &rule.target {
            Target::Queue(queue) => {
                self.queues.send(queue, body, BTreeMap::new());
            }
            Target::Checkout => self.start_execution(&body),
        }
    }

    /// One goes to the consumer's dead-letter queue, as after its last delivery, one to the bus's, as what the bus itself could
    /// not handle, and the others there, too, as what it could not deliver.
    fn mislay(&self, rule: &str, target: &Target, body: Arc<str>) {
        match target {
            Target::Queue(queue) if rule == "InventoryUpdaterRule" => {
                if let Some((name, _)) = &self.topology.queues[queue].redrive {
                    self.queues.send(name, body, BTreeMap::new());
                }
            }
            Target::Queue(_) if rule == "OrderTrackerRule" => {
                let attributes = [("ERROR_CODE".to_owned(), "KMS_KEY_DISABLED".to_owned())];
                self.queues.send(UNDELIVERED_QUEUE, body, attributes.into());
            }
            target => self.give_up_on(target, body),
        }
    }

    /// What EventBridge does with what it could not deliver.
    fn give_up_on(&self, target: &Target, body: Arc<str>) {
        let arn = match target {
            Target::Queue(queue) => format!("{QUEUE_ARN}{queue}"),
            Target::Checkout => CHECKOUT_ARN.to_owned(),
        };
        let attributes = [("TARGET_ARN", arn.as_str()), ("ERROR_CODE", "NO_PERMISSIONS")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.queues.send(UNDELIVERED_QUEUE, body, attributes.into());
    }

    fn start_execution(&mut self, body: &str) {
        if let Some(running) = self.new_execution(body) {
            self.executions.push(running);
        }
    }

    pub(crate) fn new_execution(&mut self, body: &str) -> Option<Running> {
        // The state machine reads the detail, whatever the envelope says of its source.
        let started_by = started_by(body);
        if started_by.is_none() {
            let violation = format!("a checkout was started by what is no event about an order: {body}");
            self.outside().violations.push(violation);
        }
        let started_by = started_by?;
        let order_id = started_by.event.order_id().ok()?;
        let started = self.started.entry(order_id.clone()).or_default();
        *started += 1;
        let name = format!("execution-{order_id}-{started}");
        Some(self.execution(name, started_by))
    }

    /// The execution of this name, from its beginning.
    pub(crate) fn execution(&self, name: String, started_by: BusEvent) -> Running {
        let wait = Arc::new(Mutex::new(Wait::Nothing));
        let execution =
            Execution { name: name.clone(), machine: self.machine.clone(), wait: Arc::clone(&wait) };
        Running { name, wait, work: Box::pin(execution.run(started_by)) }
    }

    fn execution_is_ready(&self, index: usize) -> bool {
        match &*lock(&self.executions[index].wait) {
            Wait::Nothing => true,
            Wait::Until(at_ms) | Wait::Registration { until_ms: at_ms, .. } => {
                *at_ms <= self.clock.now().unix_ms()
            }
            Wait::Answer { token, until_ms } => {
                *until_ms <= self.clock.now().unix_ms() || self.machine.tasks.answer(token).is_some()
            }
            Wait::Redrive => false,
        }
    }

    fn poll_execution(&mut self, which: usize) {
        {
            let mut outside = self.outside();
            (outside.actor, outside.actor_can_be_gone) = ("checkout", false);
        }
        let execution = &mut self.executions[which];
        *lock(&execution.wait) = Wait::Nothing;
        if poll(execution.work.as_mut()).is_ready() {
            drop(self.executions.swap_remove(which));
        }
    }

    fn has_dead_letters(&self) -> bool {
        let mut queues = self.dead_letter_queues.iter();
        self.reprocessing.len() < 2 && queues.any(|queue| self.queues.has_visible(*queue, 1))
    }

    /// The schedule starts the reprocessor, perhaps while it still runs.
    fn reprocess(&mut self) {
        self.outside().note(|| "dlq-reprocessor begins".to_owned());
        let reprocessor = Rc::clone(&self.reprocessor);
        let rate = self.outside().rates.invocation;
        let is_out_of_time = self.outside().happens(rate);
        let remaining = self.time_left(is_out_of_time);
        let deadline = Deadline::after(remaining);
        self.reprocessing.push(Box::pin(async move { reprocessor.respond(Value::Null, deadline).await }));
    }

    fn time_left(&self, is_out_of_time: bool) -> Duration {
        if is_out_of_time {
            self.outside().count(Wrong::OutOfTime);
            return Duration::ZERO;
        }
        Duration::from_secs(3_600)
    }

    fn poll_reprocessing(&mut self, which: usize) {
        {
            let mut outside = self.outside();
            (outside.actor, outside.actor_can_be_gone) = (dlq_reprocessor::NAME, true);
        }
        let polled = poll(self.reprocessing[which].as_mut());
        if self.faults.take_gone() {
            self.outside().note(|| "dlq-reprocessor is gone".to_owned());
            drop(self.reprocessing.swap_remove(which));
        } else if let Poll::Ready(summary) = polled {
            self.outside().note(|| format!("dlq-reprocessor ends: {summary:?}"));
            self.redriven += summary.redriven as u64;
            drop(self.reprocessing.swap_remove(which));
        }
        for (body, attempt) in self.reprocessor.targets.take_from_bus() {
            self.outside().take_again(&body, &attempt_resources(attempt));
        }
        for (name, body) in self.reprocessor.targets.checkouts() {
            if self.restarted.insert(name) {
                self.start_execution(&body);
            }
        }
    }

    /// Every execution that failed goes on from the state that failed.
    fn redrive_executions(&self) -> bool {
        let mut any = false;
        for execution in &self.executions {
            let mut wait = lock(&execution.wait);
            if *wait == Wait::Redrive {
                *wait = Wait::Nothing;
                any = true;
            }
        }
        any
    }

    // ------------------------------------------------------------------------------------------------------------
    // Lambda and its queues
    // ------------------------------------------------------------------------------------------------------------

    fn invoke(&mut self, which: usize) {
        let Function { name, queue, batch: Batch { messages_max: batch_max, .. }, run, .. } =
            &self.functions[which];
        let batch_max = *batch_max;
        let wanted = if self.rng.bool() { batch_max } else { self.rng.usize(1..=batch_max) };
        let mut received: Vec<Received> = vec![];
        while received.len() < wanted {
            let more = self.queues.receive(queue, wanted - received.len(), None);
            if more.is_empty() {
                break;
            }
            received.extend(more);
        }
        if received.is_empty() {
            return;
        }
        self.invoked += 1;
        let rate = self.outside().rates.invocation;
        let is_out_of_time = self.outside().happens(rate);
        let is_unheard = self.outside().happens(rate);
        let remaining = self.time_left(is_out_of_time);
        let number = self.invoked;
        self.outside().note(|| {
            let late = if is_out_of_time { ", out of time" } else { "" };
            format!("{name} #{number} gets {} messages{late}", received.len())
        });
        let mut event = SqsEvent::default();
        event.records = received.iter().map(|received| message(queue, received)).collect();
        let work = run(event, Deadline::after(remaining));
        self.invocations.push(Invocation { number, function: which, received, is_unheard, work });
    }

    fn poll_invocation(&mut self, which: usize) -> Result<(), String> {
        let invocation = &mut self.invocations[which];
        let function = &self.functions[invocation.function];
        {
            let mut outside = lock(&self.outside);
            (outside.actor, outside.actor_can_be_gone) = (function.name, true);
        }
        let polled = poll(invocation.work.as_mut());
        let (name, number) = (function.name, invocation.number);
        let is_unheard = invocation.is_unheard && polled.is_ready();
        if is_unheard {
            lock(&self.outside).count(Wrong::Unheard);
        }
        if self.faults.take_gone() || is_unheard {
            self.outside().note(|| format!("{name} #{number} is gone"));
            drop(self.invocations.swap_remove(which));
        } else if let Poll::Ready(response) = polled {
            let invocation = self.invocations.swap_remove(which);
            self.acknowledge(&invocation, &response);
        }
        if name == inventory_updater::NAME { self.check_the_shelves() } else { Ok(()) }
    }

    /// What Lambda's poller does: it deletes all but what is reported, or nothing when the report makes no sense.
    fn acknowledge(&mut self, invocation: &Invocation, response: &SqsBatchResponse) {
        let Invocation { number, function, received, .. } = invocation;
        let Function { name, queue, .. } = &self.functions[*function];
        let failed: Vec<&str> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        self.outside()
            .note(|| format!("{name} #{number} ends, {} of {} failed", failed.len(), received.len()));
        if !failed.iter().all(|id| received.iter().any(|message| message.message_id == *id)) {
            return;
        }
        for message in received.iter().filter(|message| !failed.contains(&message.message_id.as_str())) {
            let rate = self.outside().rates.redelivered;
            if self.outside().happens(rate) {
                self.outside().count(Wrong::Redelivered);
            } else {
                self.queues.delete(queue, &message.receipt_handle);
            }
        }
    }

    pub(crate) fn check_the_shelves(&self) -> Result<(), String> {
        for (sku, level) in self.stock.stock_levels() {
            if !level.is_conserved() {
                return Err(format!("stock is not conserved: {sku} {level:?}"));
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------------------------------------------------------
    // People and others outside
    // ------------------------------------------------------------------------------------------------------------

    fn client_is_ready(&self, client: &Client) -> bool {
        let is_time = match client.at {
            When::AtMs(at_ms) => at_ms <= self.elapsed_ms(),
            When::AtStep(step) => step <= self.steps,
        };
        is_time && !client.is_busy && !matches!(client.what, Action::Done)
    }

    fn act(&mut self, which: usize) {
        let client = &mut self.clients[which];
        client.attempts += 1;
        let request = match &client.what {
            Action::Place(order) => place_request(&self.planned[*order]),
            Action::CancelByApi(order) => cancel_request(&self.planned[*order], client.attempts),
            Action::PublishBroken(order) => {
                let event = self.planned[*order].placed_past_the_api(self.clock.now());
                return self.publish(which, &event);
            }
            Action::CancelByEvent(order) => {
                let event = self.planned[*order].called_off(self.clock.now());
                return self.publish(which, &event);
            }
            Action::Publish(event) => {
                let event = (**event).clone();
                return self.publish(which, &event);
            }
            Action::Lie => return self.lie(which),
            Action::Repeat(statement) => {
                let statement = (**statement).clone();
                client.what = Action::Done;
                return self.say(&statement);
            }
            Action::Poison { queue, body } => {
                let (queue, body) = (*queue, *body);
                client.what = Action::Done;
                self.queues.send(queue, body, BTreeMap::new());
                self.poison.push((queue, body));
                self.outside().count(Wrong::Poison);
                return self.outside().note(|| format!("someone puts {body:?} in {queue}"));
            }
            Action::Done => return,
        };
        client.is_busy = true;
        let api = Rc::clone(&self.api);
        let work = Box::pin(async move { api.respond(request).await });
        self.requests.push(Request { client: which, work });
    }

    fn lie(&mut self, which: usize) {
        self.clients[which].what = Action::Done;
        let latest: Vec<EventId> = {
            let outside = self.outside();
            outside.accepted.iter().rev().take(20).map(|accepted| accepted.event_id.clone()).collect()
        };
        let seen = lies::Seen {
            planned: &self.planned,
            elapsed_ms: self.elapsed_ms(),
            event_ids: latest,
            tokens: self.tokens(),
            now: contracts::format_timestamp(self.clock.now()),
        };
        let statement = lies::lie(&mut self.liar, &seen);
        self.say(&statement);
        let later = When::AtMs(self.elapsed_ms() + self.liar.i64(0..3_000));
        match self.liar.u8(..6) {
            0 => {
                let mut again = statement;
                again.lies = vec![Lie::Twice];
                self.expect(Action::Repeat(Box::new(again)), later);
            }
            1 => self.expect(Action::Repeat(Box::new(lies::second_version(&statement))), later),
            _ => {}
        }
    }

    /// The tokens of all payments that were asked for.
    fn tokens(&self) -> Vec<Token> {
        let waiting = self.machine.tasks.waiting();
        let outside = self.outside();
        let requested = outside
            .accepted
            .iter()
            .filter(|accepted| accepted.event_type == EventType::PaymentRequested && !accepted.is_lie);
        let token = |accepted: &Accepted| {
            let event: Value = serde_json::from_str(&accepted.detail).ok()?;
            let (order_id, token) = event["data"]["taskToken"].as_str()?.rsplit_once('.')?;
            let is_open = waiting.iter().any(|waiting| waiting == token);
            Some(Token { order_id: order_id.to_owned(), token: token.to_owned(), is_open })
        };
        requested.filter_map(token).collect()
    }

    /// A liar says something, as far as its door lets it.
    fn say(&mut self, statement: &Statement) {
        let Statement { door, source, event_type, detail, lies, .. } = statement;
        let (before, detail_type) = (self.outside().accepted.len(), event_type.as_str());
        match door {
            Door::Account(who) => {
                let lets_in = self.topology.lets_in(who.parameter(), source, detail_type)
                    || (!self.policy_names_types && source == who.source());
                if lets_in {
                    self.outside().accept_from(who.account(), statement);
                }
            }
            Door::Gateway(who) => self.hand_in(hand_in_request(who.role(), detail)),
        }
        let mut outside = self.outside();
        let is_on_the_bus = outside.accepted.len() > before;
        let fate = if is_on_the_bus { Lie::OnTheBus } else { Lie::Refused };
        for lie in lies.iter().chain([&fate]) {
            *outside.lies.entry(*lie).or_default() += 1;
        }
        outside.note(|| format!("a liar says {detail_type}, {lies:?}: {fate:?}"));
        let is_bound = self.policy_names_types || matches!(door, Door::Gateway(_));
        if is_on_the_bus && is_bound && !event_type.may_come_from_outside() {
            let violation = format!("{detail_type} came in by a door that is closed to it: {door:?}");
            outside.violations.push(violation);
        }
        drop(outside);
        if is_on_the_bus {
            self.note_claim(statement);
        }
    }

    /// At the gateway, which works without a mishap: what it does when its calls go wrong is no part of this.
    fn hand_in(&mut self, request: ApiGatewayV2httpRequest) {
        let (gateway, mut outside) = (Rc::clone(&self.gateway), self.outside());
        (outside.actor, outside.actor_can_be_gone, outside.is_lied) = (event_gateway::NAME, false, true);
        let rates = std::mem::take(&mut outside.rates);
        let (outage, script) = (outside.outage.take(), outside.script.take());
        drop(outside);
        drop(poll_to_the_end(gateway.respond(request)));
        let mut outside = self.outside();
        (outside.rates, outside.outage, outside.script, outside.is_lied) = (rates, outage, script, false);
    }

    /// What agrees with our records takes effect, whoever said it.
    fn note_claim(&mut self, statement: &Statement) {
        let Statement { door, detail, event_type, source, .. } = statement;
        let account = match door {
            Door::Account(who) => who.account(),
            Door::Gateway(_) => OWN_ACCOUNT,
        };
        let detail_type = event_type.as_str();
        let body = format!(
            r#"{{"source":"{source}","detail-type":"{detail_type}","account":"{account}","detail":{detail}}}"#
        );
        let Ok(event) = contracts::decode(&body, Some(OWN_ACCOUNT)) else { return };
        let Some(order) = statement.order.map(|order| &self.planned[order]) else { return };
        let (order_id, total) = (order.order_id.clone(), order.request().total);
        let claims = self.claims.entry(order_id.clone()).or_default();
        match &event.event.data {
            Data::ParcelPickedUp(picked_up) => {
                claims.picked_up |= picked_up.shipment_id == ShipmentId::of(&order_id).as_str();
            }
            Data::PaymentCaptured(captured) => {
                claims.captured |=
                    captured.payment_id == PaymentId::of(&order_id).as_str() && captured.amount == total;
            }
            _ => {}
        }
    }

    fn publish(&mut self, which: usize, event: &Outbound) {
        self.clients[which].what = Action::Done;
        let mut outside = self.outside();
        outside.actor = "someone outside";
        outside.accept(event);
    }

    fn poll_request(&mut self, which: usize) {
        {
            let mut outside = self.outside();
            (outside.actor, outside.actor_can_be_gone) = (order_api::NAME, true);
        }
        let Request { client, work } = &mut self.requests[which];
        let (client, polled) = (*client, poll(work.as_mut()));
        let status = match polled {
            _ if self.faults.take_gone() => None,
            Poll::Ready(response) => Some(response.status_code),
            Poll::Pending => return,
        };
        drop(self.requests.swap_remove(which));
        self.outside().note(|| format!("the API answers {status:?}"));
        let now_ms = self.elapsed_ms();
        let client = &mut self.clients[client];
        client.is_busy = false;
        // Whoever has no answer asks again, and so does whoever asked too early.
        match status {
            Some(202 | 409) => client.what = Action::Done,
            Some(422) => self.outside().violations.push("the API refuses a good order".to_owned()),
            _ => client.at = When::AtMs(now_ms + 1_000),
        }
    }

    /// Carriers and odd providers act on what they hear.
    fn answer_outside(&mut self) {
        let unheard = std::mem::take(&mut self.outside().unheard);
        for heard in unheard {
            // Whoever is not named at all need not read it.
            let named = self.planned.iter().filter(|order| heard.detail.contains(order.order_id.as_str()));
            let answers = named.filter_map(|order| order.answer(heard.event_type, &heard.detail));
            let answers: Vec<(Outbound, Delay)> = answers.collect();
            for (answer, delay) in answers {
                let after_ms = match delay {
                    Delay::Ms(after_ms) => after_ms,
                    Delay::UntilTheTimeOut => self.machine.payment_timeout_ms + 5_000,
                };
                let at = When::AtMs(self.elapsed_ms() + after_ms);
                self.expect(Action::Publish(Box::new(answer)), at);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------
    // After the storm
    // ------------------------------------------------------------------------------------------------------------

    /// Nothing goes wrong any more; what failed is brought back until nothing is left to be done.
    ///
    /// # Errors
    /// As [`World::run`].
    pub fn settle(&mut self) -> Result<(), String> {
        self.outside().note(|| "everything works again".to_owned());
        self.outside().calm_down();
        self.run()
    }

    /// Brings back what failed. False when nothing did.
    fn redrive(&mut self) -> bool {
        let (mut outside, mut restored) = (self.outside(), Rates::default());
        // Whoever does this does it by hand, and looks whether it worked.
        std::mem::swap(&mut outside.rates, &mut restored);
        let outage = outside.outage.take();
        (outside.actor, outside.actor_can_be_gone) = ("someone", false);
        drop(outside);
        let executions = self.redrive_executions();
        let letters = self.redrive_for_the_provider();
        let released = self.release();
        let mut outside = self.outside();
        (outside.rates, outside.outage) = (restored, outage);
        executions || letters || released
    }

    /// The provider's own people send back what its function gave up on.
    fn redrive_for_the_provider(&mut self) -> bool {
        let (queue, dead_letter_queue) = ("PaymentProviderQueue", "PaymentProviderDeadLetterQueue");
        let letters = self.queues.receive(dead_letter_queue, 10, None);
        for letter in &letters {
            self.queues.send(queue, Arc::clone(&letter.body), BTreeMap::new());
            self.queues.delete(dead_letter_queue, &letter.receipt_handle);
        }
        !letters.is_empty()
    }

    /// What the API says of an order, now that everything works.
    pub(crate) fn show(&self, order: &PlannedOrder) -> Value {
        let mut request = request("GET /orders/{id}");
        request.path_parameters.insert("id".to_owned(), order.order_id.as_str().to_owned());
        let response = poll_to_the_end(self.api.respond(request));
        let body = match response.and_then(|response| response.body) {
            Some(Body::Text(text)) => text,
            _ => String::new(),
        };
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// True when a liar said this.
    pub(crate) fn is_lie(&self, body: &str) -> bool {
        self.outside().is_lie(body)
    }

    /// A person brings back what was given up on, but for what nobody can handle, and what was refused to a liar.
    fn release(&mut self) -> bool {
        let is_poison = |object: &QuarantineObject| {
            // The archiver keeps whatever it gets.
            object.concerning.consumer != event_archiver::NAME
                && self.poison.iter().any(|(_, poison)| *poison == object.body)
        };
        let records = self.reprocessor.ledger.records();
        let mut any = false;
        for object in self.reprocessor.quarantine.objects() {
            let is_there = records.get(&object.key).is_some_and(|record| {
                record.state == RedriveState::Quarantined
                    && record.attempt.generation == object.attempt.generation
            });
            let is_refused = object.reason.code != ATTEMPTS_EXHAUSTED && self.is_lie(&object.body);
            if is_there && !is_poison(&object) && !is_refused && !self.is_refused_claim(&object) {
                // A person who gets no answer tries again at the next look.
                let released = poll_to_the_end(self.reprocessor.release(&object.id));
                self.outside().note(|| format!("someone releases {}: {released:?}", object.id));
                self.released += 1;
                any = true;
            }
        }
        any
    }

    /// Whether a message is a claim from outside that our own records refuse: releasing it would change nothing.
    pub(crate) fn is_refused_claim(&self, object: &QuarantineObject) -> bool {
        let order_id = object.concerning.order_id.as_ref();
        object.concerning.consumer == payment_callback::NAME
            && object.reason.code == "payment_mismatch"
            && self
                .planned
                .iter()
                .any(|order| order.way == Way::PaidWrongly && Some(&order.order_id) == order_id)
    }

    /// How often the payment of an order was to be requested and the call went wrong.
    pub(crate) fn failed_requests(&self, order_id: &OrderId) -> usize {
        lock(&self.machine.failed_requests).get(order_id).copied().unwrap_or_default()
    }

    /// The same, of all orders.
    pub(crate) fn all_failed_requests(&self) -> usize {
        lock(&self.machine.failed_requests).values().sum()
    }

    /// How often the messages were counted that were given up on: the attempt and the generation of each.
    pub(crate) fn counted(&self) -> Vec<Attempt> {
        self.reprocessor.ledger.records().values().map(|record| record.attempt).collect()
    }

    /// Sends every event through the bus again.
    pub fn replay_everything(&mut self) {
        self.steps_before_the_replay = self.steps;
        let mut outside = self.outside();
        outside.note(|| "everything is replayed".to_owned());
        outside.count(Wrong::Replay);
        for accepted in outside.accepted.clone() {
            outside.replay(&accepted);
        }
    }
}

fn reprocessor(
    outside: &Arc<Mutex<Outside>>,
    faults: &Faults,
    queues: &MemoryQueues,
    clock: &SimulatedClock,
) -> DlqReprocessor {
    let consumers = [
        (order_placed::NAME, "OrderPlaced", Takes::Catalogue),
        (inventory_updater::NAME, "InventoryUpdater", Takes::Catalogue),
        (payment_callback::NAME, "PaymentCallback", Takes::Catalogue),
        (shipping_notifier::NAME, "ShippingNotifier", Takes::Catalogue),
        (order_tracker::NAME, "OrderTracker", Takes::Catalogue),
        (event_archiver::NAME, "EventArchiver", Takes::Anything),
    ];
    let consumer = |(name, logical_id, takes): (&str, &str, Takes)| dlq_reprocessor::Consumer {
        name: name.to_owned(),
        queue: format!("{logical_id}Queue"),
        dead_letter_queue: format!("{logical_id}DeadLetterQueue"),
        capacity: 200,
        takes,
    };
    let consumers: Vec<_> = consumers.into_iter().map(consumer).collect();
    let queue_of = consumers.iter().map(|consumer| (consumer.name.clone(), consumer.queue.clone())).collect();
    Reprocessor {
        queues: MemoryDeadLetterQueues::with_faults(queues.clone(), faults.clone()),
        targets: MemoryRedriveTargets::with_faults(queues.clone(), queue_of, faults.clone()),
        ledger: MemoryRedriveLedger::with_faults(faults.clone()),
        quarantine: MemoryQuarantineStore::with_faults(faults.clone()),
        bus: bus(outside, faults),
        on_call: MemoryOnCall::with_faults(faults.clone()),
        clock: clock.clone(),
        settings: Settings {
            queues: Queues {
                consumers,
                bus: BUS_DEAD_LETTER_QUEUE.to_owned(),
                undelivered: UNDELIVERED_QUEUE.to_owned(),
                quarantine: QUARANTINE_QUEUE.to_owned(),
                checkout_arn: CHECKOUT_ARN.to_owned(),
            },
            policy: Policy { redrives_max: REDRIVES_MAX, backoff_base_s: 300, backoff_max_s: 1_800 },
            messages_per_run_max: 100,
            messages_per_second_max: u32::MAX,
            capacity_share_percent: 50,
            operator_command: "cargo orderbus".to_owned(),
        },
    }
}

fn bus(outside: &Arc<Mutex<Outside>>, faults: &Faults) -> MemoryEventBus {
    let bus = MemoryEventBus::with_faults(faults.clone());
    let (takes, refuses) = (Arc::clone(outside), Arc::clone(outside));
    bus.on_published(move |event| lock(&takes).accept(event));
    bus.fail_entries(move |event| lock(&refuses).judge_entry(event));
    bus
}

/// A message as Lambda hands it over.
pub(crate) fn message(queue: &str, received: &Received) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(received.message_id.clone());
    message.receipt_handle = Some(received.receipt_handle.clone());
    message.body = Some(received.body.to_string());
    message.event_source_arn = Some(format!("{QUEUE_ARN}{queue}"));
    message.attributes = [
        ("ApproximateReceiveCount".to_owned(), received.receive_count.to_string()),
        ("SentTimestamp".to_owned(), received.sent_at.unix_ms().to_string()),
    ]
    .into();
    for (name, value) in &received.attributes {
        let mut attribute = SqsMessageAttribute::default();
        attribute.string_value = Some(value.clone());
        message.message_attributes.insert(name.clone(), attribute);
    }
    message
}

/// What a checkout begins with.
pub(crate) fn started_by(body: &str) -> Option<BusEvent> {
    let envelope: Envelope<'_> = serde_json::from_str(body).ok()?;
    let source = EventType::parse(&envelope.detail_type)?.source();
    let Envelope { detail_type, detail } = envelope;
    let body = format!(r#"{{"source":"{source}","detail-type":"{detail_type}","detail":{detail}}}"#);
    contracts::decode(&body, None).ok()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(borrow)]
    detail: &'a RawValue,
}

fn hand_in_request(role: &str, event: &str) -> ApiGatewayV2httpRequest {
    let user_arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/liar");
    let request = json!({
        "routeKey": "POST /events",
        "headers": {"content-type": "application/cloudevents+json"},
        "requestContext": {"authorizer": {"iam": {"userArn": user_arn}}, "http": {"method": "POST"}},
        "isBase64Encoded": false,
        "body": event,
    });
    serde_json::from_value(request).unwrap_or_default()
}

fn request(route: &str) -> ApiGatewayV2httpRequest {
    let mut request = ApiGatewayV2httpRequest::default();
    request.route_key = Some(route.to_owned());
    request
}

pub(crate) fn place_request(order: &PlannedOrder) -> ApiGatewayV2httpRequest {
    let mut request = request("POST /orders");
    if let Ok(key) = order.key.parse() {
        request.headers.insert("idempotency-key", key);
    }
    if let Some(caller) = order.caller {
        let user_arn = format!("arn:aws:sts::111122223333:assumed-role/{caller}/session");
        request.request_context.authorizer =
            serde_json::from_value(json!({"iam": {"userArn": user_arn}})).ok();
    }
    request.body = serde_json::to_string(&order.request()).ok();
    request
}

fn cancel_request(order: &PlannedOrder, attempt: u64) -> ApiGatewayV2httpRequest {
    let mut request = request("POST /orders/{id}/cancel");
    request.path_parameters.insert("id".to_owned(), order.order_id.as_str().to_owned());
    request.request_context.request_id = Some(format!("cancel-{}-{attempt}", order.key));
    request
}

pub(crate) fn poll<T>(work: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls what waits for nothing but its turn.
fn poll_to_the_end<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    (0..100).find_map(|_| match poll(work.as_mut()) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
