//! Orders through the deployed system while it is being mistreated: functions are killed, their calls to AWS are
//! refused, answered wrongly, answered in part or not answered, events come twice, and some messages are poison. Then
//! the mistreatment ends, what was given up on is brought back, and everything must be as if nothing had happened.
//!
//! What is done is decided by a seed. When it happens is up to the machine, so a seed repeats the plan, not the timing.

pub(crate) mod consumers;
mod evidence;
mod faults;
mod given_up;
mod invariants;
mod killer;
mod plan;
mod poison;
mod proxy;
mod report;
mod reprocessor;
mod story;
mod wire;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::OrderId;
use orderbus::Progress;
use orderbus::stack::Stack;
use ports::StockCounts;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use faults::Shares;
pub use invariants::Invariant;
pub use plan::Options;
pub use proxy::{FaultProxy, Traffic};
pub use report::Report;

use crate::TestStack;
use crate::ways::{CONTENDED, SKUS, SOLD_OUT, Way};
use consumers::{Depth, Queue, consumers, depth, hurry, queues};
use evidence::{Evidence, Inboxes, gather};
use given_up::announced;
use invariants::{Subject, check};
use killer::Killer;
use plan::{Planned, plan};
use poison::{ARCHIVER, SetAside};
use reprocessor::Reprocessor;
use story::{Clients, Patience};
use witness::{Board, Repeated, Witness};

/// Longer than any run: whoever does not pay is called off by then.
const PAYMENT_TIMEOUT_S: &str = "3600";
/// A message comes back this soon after its function was killed; a function has 5 s.
const VISIBILITY_S: u32 = 10;
/// After so many deliveries a message is a dead letter.
const DELIVERIES_MAX: u32 = 3;
/// Longer than all deliveries of a message can take, by half a delivery: whoever needs Step Functions makes dead letters.
const OUTAGE: Duration = Duration::from_secs((VISIBILITY_S * (DELIVERIES_MAX - 1) + VISIBILITY_S / 2) as u64);
/// An order that has not ended by then gives its place to the next one; it is followed all the same.
const PLACE_HELD: Duration = Duration::from_secs(20);
/// The pauses between two kills.
const KILL_PAUSE_MS: std::ops::Range<u64> = 200..2_000;
/// How long the system has for coming to rest, once nobody disturbs it.
const SETTLING: Duration = Duration::from_secs(300);

/// Deploys a stack of its own, runs, and says what came of it.
///
/// # Errors
/// When the stack cannot be deployed or reached. An invariant that fell is no error but part of the report.
pub fn run(options: Options, progress: &Arc<Progress>) -> Result<Report> {
    let overrides =
        [("PaymentTimeoutSeconds", PAYMENT_TIMEOUT_S), ("RegistrationTimeoutSeconds", PAYMENT_TIMEOUT_S)];
    let (mut stack, proxy) = TestStack::deploy_behind_faults(&overrides, options.seed)?;
    let outcome = stack.wait(Run { options, stack: &stack, proxy: &proxy, progress }.carry_out());
    if !outcome.as_ref().is_ok_and(Report::holds) {
        let logs = stack.keep_logs();
        progress.say(format_args!("the logs are kept in {}", logs.display()));
    }
    outcome
}

struct Run<'a> {
    options: Options,
    stack: &'a TestStack,
    proxy: &'a FaultProxy,
    progress: &'a Arc<Progress>,
}

/// What was done to the system.
#[derive(Debug, Default)]
struct Mistreatment {
    kills: BTreeMap<String, usize>,
    repeated: Repeated,
    patience: Patience,
    /// What clients were answered that they should not have been.
    complaints: Vec<String>,
    slow: usize,
    samples: usize,
    unbalanced: Vec<String>,
    /// By the payment provider's people, who have no reprocessor.
    moved_back: u64,
    load: Duration,
    settling: Duration,
}

impl Run<'_> {
    async fn carry_out(&self) -> Result<Report> {
        let stack = Arc::new(self.stack.local().stack().clone());
        let orders = plan(self.options);
        let stocked = self.stock_up(&stack, &orders).await?;
        hurry(&stack, VISIBILITY_S, DELIVERIES_MAX).await?;
        let consumers = consumers(&stack).await?;
        let inboxes = Inboxes::subscribe(&stack).await?;
        let witness = Witness::listen(Arc::clone(&stack), consumers.clone(), self.options.seed).await?;
        let witness = Arc::new(witness);
        let poison: Vec<SetAside> = orders
            .iter()
            .filter_map(|planned| planned.poison.as_ref())
            .flat_map(|poison| poison.expected(&consumers))
            .collect();
        let clients = Arc::new(Clients {
            stack: Arc::clone(&stack),
            api: self.stack.api().clone(),
            consumers,
            board: witness.board(),
        });
        let mistreatment = self.mistreat(&clients, &witness, &orders).await?;

        self.progress.say("reading what every store has kept");
        let ids: Vec<OrderId> = orders.iter().map(|planned| planned.order_id.clone()).collect();
        let depths = depths(&stack).await?;
        let evidence = gather(&stack, &ids, &inboxes).await?;
        let board = witness.board();
        let invariants = check(&Subject {
            orders: &orders,
            evidence: &evidence,
            published: &board.ids(),
            stocked: &stocked,
            samples: mistreatment.samples,
            unbalanced: &mistreatment.unbalanced,
            poison: &poison,
            complaints: &mistreatment.complaints,
            queues: &depths,
        });
        let mut figures = self.figures(&orders, &mistreatment, &evidence, &board);
        figures.push(figures_of_given_up(&evidence, &poison, &mistreatment));
        figures.push(figures_of_queues(&depths));
        Ok(Report { seed: self.options.seed, figures, invariants })
    }

    /// Enough of everything, except of what is contended: of that, for every second one who wants it.
    async fn stock_up(&self, stack: &Stack, orders: &[Planned]) -> Result<BTreeMap<String, u64>> {
        let contended = orders.iter().filter(|planned| planned.way == Way::Contended).count();
        let plenty = 4 * orders.len() as u64;
        let mut stocked: BTreeMap<String, u64> = SKUS.iter().map(|sku| ((*sku).to_owned(), plenty)).collect();
        stocked.insert(CONTENDED.to_owned(), contended.div_ceil(2) as u64);
        stocked.insert(SOLD_OUT.to_owned(), 0);
        let stock = stack.stock()?;
        for (sku, count) in &stocked {
            stock.set_available(&domain::Sku::parse(sku)?, *count).await.context("cannot count the stock")?;
        }
        Ok(stocked)
    }

    async fn mistreat(
        &self,
        clients: &Arc<Clients>,
        witness: &Arc<Witness>,
        orders: &[Planned],
    ) -> Result<Mistreatment> {
        let begun = Instant::now();
        let (calm, disturbing) = watch::channel(false);
        let (deaf, listening) = watch::channel(false);
        let hearing = tokio::spawn(Arc::clone(witness).attend(listening));
        let sampling = tokio::spawn(sample(Arc::clone(&clients.stack), disturbing.clone()));
        self.proxy.set_shares(Shares { outage: OUTAGE, ..Shares::ROUGH });
        self.progress.say(format_args!(
            "{} orders, {} under way at once, seed {}: faults are on",
            orders.len(),
            self.options.in_flight,
            self.options.seed
        ));
        let killer = Killer::start(self.stack.state(), self.options.seed, KILL_PAUSE_MS);
        let (mut stories, slow) = self.send_in(clients, orders).await?;
        let load = begun.elapsed();

        let kills = killer.stop()?;
        self.proxy.set_shares(Shares::NONE);
        calm.send_replace(true);
        let (samples, unbalanced) = sampling.await??;
        self.progress.say("faults are off; waiting for what is under way");
        let calmed = Instant::now();
        let reprocessor = Reprocessor::of(&clients.stack, &self.stack.local().ministack().endpoint())?;
        let (mut patience, mut complaints) = (Patience::default(), Vec::new());
        let (mut moved_back, mut told) = (0, None);
        let mut at_rest = 0;
        // Between two queues a message is in none: only what stays at rest is.
        while at_rest < 3 && calmed.elapsed() < SETTLING {
            tokio::time::sleep(Duration::from_millis(500)).await;
            while let Some(ended) = stories.try_join_next() {
                match ended.context("a client panicked")? {
                    Ok(one) => patience.repeated += one.repeated,
                    Err(complaint) => complaints.push(format!("{complaint:#}")),
                }
            }
            moved_back += reprocessor.run(&clients.stack).await?;
            let waiting: u64 = depths(&clients.stack).await?.iter().map(|(_, depth)| depth.total()).sum();
            let unheard =
                depth(&clients.stack, witness.queue_url()).await?.total() + witness.repeats_pending();
            let is_at_rest = stories.is_empty() && waiting == 0 && unheard == 0;
            at_rest = if is_at_rest { at_rest + 1 } else { 0 };
            let now = Some((stories.len(), waiting));
            if told != now {
                told = now;
                self.progress
                    .say(format_args!("{} orders under way, {waiting} messages waiting", stories.len(),));
            }
        }
        stories.abort_all();
        deaf.send_replace(true);
        let repeated = hearing.await??;
        let settling = calmed.elapsed();
        Ok(Mistreatment {
            kills,
            repeated,
            patience,
            complaints,
            slow,
            samples,
            unbalanced,
            moved_back,
            load,
            settling,
        })
    }

    /// Sends every order in, never more at once than there are places. An order that is slow, because its message waits
    /// for another delivery, gives its place up. Returns when every place is free again: all orders have ended or are
    /// slow.
    async fn send_in(
        &self,
        clients: &Arc<Clients>,
        orders: &[Planned],
    ) -> Result<(JoinSet<Result<Patience>>, usize)> {
        let places = Arc::new(Semaphore::new(self.options.in_flight));
        let slow = Arc::new(AtomicUsize::new(0));
        let mut stories = JoinSet::new();
        for (index, planned) in orders.iter().enumerate() {
            let place = Arc::clone(&places).acquire_owned().await.context("no places")?;
            let (clients, slow, planned) = (Arc::clone(clients), Arc::clone(&slow), planned.clone());
            stories.spawn(async move {
                let mut story = Box::pin(clients.live(&planned));
                let in_time = tokio::time::timeout(PLACE_HELD, &mut story).await;
                drop(place);
                match in_time {
                    Ok(ended) => ended,
                    Err(_) => {
                        slow.fetch_add(1, Ordering::Relaxed);
                        story.await
                    }
                }
            });
            if (index + 1) % 100 == 0 {
                self.progress.say(format_args!("{} orders are on their way", index + 1));
            }
        }
        let all = u32::try_from(self.options.in_flight)?;
        drop(places.acquire_many(all).await.context("no places")?);
        Ok((stories, slow.load(Ordering::Relaxed)))
    }

    fn figures(
        &self,
        orders: &[Planned],
        done: &Mistreatment,
        evidence: &Evidence,
        board: &Board,
    ) -> Vec<Figures> {
        let mut by_way = vec![figure("orders", &orders.len()), figure("in flight", &self.options.in_flight)];
        for way in Way::ALL {
            let count = orders.iter().filter(|planned| planned.way == way).count();
            by_way.push(figure(&format!("  {}", way.name()), &count));
        }
        let counts = board.counts();
        let lines: usize = evidence.lake.events.values().map(Vec::len).sum();
        let posted = orders.iter().filter(|planned| planned.is_repeated).count();
        let events = vec![
            figure("events heard on the bus", &counts.messages),
            figure("events published, distinct", &counts.distinct),
            figure("events archived, distinct", &evidence.lake.events.len()),
            figure("events archived, lines", &lines),
            figure("lake objects", &evidence.lake.objects),
            figure("duplicates put on the bus", &done.repeated.on_the_bus),
            figure("duplicates put in a queue", &done.repeated.in_a_queue),
            figure("orders posted twice", &posted),
            figure("requests sent again", &done.patience.repeated),
        ];
        let poisoned = orders.iter().filter(|planned| planned.poison.is_some()).count();
        let traffic = self.proxy.traffic();
        let kills: usize = done.kills.values().sum();
        let mistreated = vec![
            figure("poison sent", &poisoned),
            figure("calls to AWS", &traffic.seen),
            figure("calls throttled", &traffic.throttled),
            figure("calls carried out, reply lost", &traffic.replies_lost),
            figure("calls carried out in part", &traffic.partial),
            figure("entries refused in them", &traffic.entries_refused),
            figure("calls delayed", &traffic.delayed),
            figure("processes killed", &kills),
            figure("functions killed", &done.kills.len()),
            figure("orders slower than 20 s", &done.slow),
        ];
        let sum = |part: fn(&domain::StockLevel) -> u64| -> u64 { evidence.levels.values().map(part).sum() };
        let stock = vec![
            figure("stock received", &sum(|level| level.received)),
            figure("  available", &sum(|level| level.available)),
            figure("  reserved", &sum(|level| level.reserved)),
            figure("  shipped", &sum(|level| level.shipped)),
            figure("stock looked at meanwhile", &done.samples),
        ];
        let load_s = done.load.as_secs_f64();
        let time = vec![
            figure("seconds under faults", &format!("{load_s:.1}")),
            figure("seconds until rest", &format!("{:.1}", done.settling.as_secs_f64())),
            figure("orders a second under faults", &format!("{:.1}", orders.len() as f64 / load_s)),
        ];
        vec![by_way, events, mistreated, stock, time]
    }
}

type Figures = Vec<(String, String)>;

fn figure(name: &str, value: &dyn ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// What quarantine holds, who was told, and what came back.
fn figures_of_given_up(evidence: &Evidence, poison: &[SetAside], done: &Mistreatment) -> Figures {
    let given_up = &evidence.given_up;
    let of_archiver = poison.iter().filter(|one| one.consumer == ARCHIVER).count();
    let announced: usize = announced(&evidence.lake).values().map(Vec::len).sum();
    let open = given_up.ledger.iter().filter(|record| record.state.is_open()).count();
    vec![
        figure("poison expected in quarantine", &(poison.len() - of_archiver)),
        figure("objects in quarantine", &given_up.objects.len()),
        figure("ops.event-quarantined.v1, distinct", &announced),
        figure("consumers and reasons in quarantine", &given_up.groups().len()),
        figure("consumers and reasons told in alerts", &given_up.told().len()),
        figure("messages told in alerts", &given_up.told().values().sum::<usize>()),
        figure("poison expected apart in the lake", &of_archiver),
        figure("lines apart in the lake", &evidence.lake.undecodable.len()),
        figure("dead letters in the ledger", &given_up.ledger.len()),
        figure("  sent back in the end", &open),
        figure("  in quarantine in the end", &(given_up.ledger.len() - open)),
        figure("redrives by the ledger", &given_up.redriven()),
        figure("moved back by the payment provider", &done.moved_back),
    ]
}

fn figures_of_queues(depths: &[(Queue, Depth)]) -> Figures {
    let count = |is_it: fn(&Queue) -> bool| depths.iter().filter(|(queue, _)| is_it(queue)).count();
    let sum = |part: fn(&Depth) -> u64| -> u64 { depths.iter().map(|(_, depth)| part(depth)).sum() };
    vec![
        figure("queues looked at", &depths.len()),
        figure("  dead-letter queues", &count(Queue::is_dead_letter)),
        figure("  quarantine queues", &count(Queue::is_quarantine)),
        figure("messages left, visible", &sum(|depth| depth.visible)),
        figure("messages left, not visible", &sum(|depth| depth.not_visible)),
        figure("messages left, delayed", &sum(|depth| depth.delayed)),
    ]
}

/// Every queue but the test's own, and how many messages are in it.
async fn depths(stack: &Stack) -> Result<Vec<(Queue, Depth)>> {
    let mut depths = Vec::new();
    for queue in queues(stack).await? {
        let depth = depth(stack, &queue.url).await?;
        depths.push((queue, depth));
    }
    Ok(depths)
}

/// Looks at the stock until told to stop. Says how many levels were seen, and which did not add up.
async fn sample(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) -> Result<(usize, Vec<String>)> {
    let (mut samples, mut unbalanced) = (0, Vec::new());
    while !*stop.borrow_and_update() {
        for (sku, level) in stack.stock()?.levels().await.context("the stock cannot be read")? {
            samples += 1;
            if !level.is_conserved() {
                unbalanced.push(format!("{sku}, in the middle of the run: {level:?}"));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok((samples, unbalanced))
}
