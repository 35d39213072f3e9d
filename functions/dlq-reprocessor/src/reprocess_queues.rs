use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::{Event, Refusal, quarantine_id};
use domain::{Attempt, Hidden, QuarantineId, RedriveReason, RedriveRecord, RedriveState, Timestamp, Verdict};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use ports::{
    Alert, Clock, DeadLetter, DeadLetterQueues, EventBus, OnCall, PortError, Postponement, QuarantineStore,
    Redrive, RedriveLedger, RedriveTargets, Retry, Target,
};
use runtime::Deadline;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::config::Settings;
use crate::decide_redrive::{Decision, decide, failure, is_about_to_expire};
use crate::handler::{NAME, Reprocessor};
use crate::letter::{Letter, Queues};
use crate::pacer::Pacer;
use crate::quarantine_message::{alerts, event, id_of, object};

/// For how long a letter is hidden while it is looked after: longer than an invocation lasts.
pub(crate) const HIDDEN_S: u32 = 120;
/// For how long one is hidden whose target has no room: until about the next run.
const NO_ROOM_S: u32 = 50;
/// The longest that one is hidden at once. SQS allows 12 hours from its delivery; an hour is kept for us.
const POSTPONED_S_MAX: u32 = 39_600;
/// What `ReceiveMessage` gives at most.
const RECEIVED_MAX: usize = 10;
/// How many letters are under way at once.
const IN_FLIGHT_MAX: usize = 16;
/// For how long those that were given up on are collected for one alert: half of the time for which they are hidden. An
/// invocation is shorter; a person's run may be longer.
const COLLECTED_FOR: Duration = Duration::from_secs(HIDDEN_S as u64 / 2);

/// Which dead letters, and how. The default is what the schedule wants: all of them, as the policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Only those of this consumer, or in this queue.
    pub queue: Option<String>,
    /// Only those with an event of this type; its version may be left out.
    pub event_type: Option<String>,
    /// Only those that failed for this reason.
    pub reason: Option<String>,
    /// Only those first sent at this instant or later.
    pub since: Option<Timestamp>,
    /// Only the one whose id, or whose event's id, begins like this.
    pub id: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// At once: a person has mended the cause and does not want to wait.
    pub is_urgent: bool,
    /// Not to be sent again, but given up on, for this reason.
    pub verdict: Option<RedriveReason>,
}

impl Order {
    /// True when a letter is one of those.
    pub(crate) fn includes(&self, letter: &Letter) -> bool {
        let generation = letter.carried.generation;
        let DeadLetter { queue, sent_at, .. } = &letter.dead_letter;
        let is_it = |wanted: &String| *wanted == letter.concerning.consumer || wanted == queue;
        self.queue.as_ref().is_none_or(is_it)
            && self
                .event_type
                .as_deref()
                .is_none_or(|wanted| is_type(letter.concerning.event_type.as_deref(), wanted))
            && self.reason.as_ref().is_none_or(|wanted| *wanted == letter.reason.code)
            && self.since.is_none_or(|since| *sent_at >= since)
            && self.id.as_ref().is_none_or(|id| {
                let event_id = letter.concerning.event_id.as_ref();
                quarantine_id(&letter.key, generation).as_str().starts_with(id.as_str())
                    || event_id.is_some_and(|event_id| event_id.as_str().starts_with(id.as_str()))
            })
    }

    /// True when it is about some of the messages in a queue and not about others.
    fn is_choosy(&self) -> bool {
        self.event_type.is_some() || self.reason.is_some() || self.since.is_some() || self.id.is_some()
    }

    /// False when none of those can lie in a queue. What a rule could not deliver, and what a consumer set aside, lies in
    /// a queue that is shared.
    pub(crate) fn may_be_in(&self, queue: &str, queues: &Queues) -> bool {
        let consumer = queues.consumers.iter().find(|consumer| consumer.dead_letter_queue == queue);
        let is_of = |wanted: &String| match consumer {
            Some(consumer) => *wanted == consumer.name || wanted == queue,
            None => wanted == queue || !queues.names().any(|name| name == wanted),
        };
        self.queue.as_ref().is_none_or(is_of)
    }

    /// True when a message that cannot be received is one of those, as far as its record tells.
    pub(crate) fn includes_record(&self, record: &RedriveRecord) -> bool {
        let hidden_in = record.hidden.as_ref().map(|hidden| &hidden.queue);
        let is_it = |wanted: &String| *wanted == record.concerning.consumer || Some(wanted) == hidden_in;
        self.queue.as_ref().is_none_or(is_it)
            && self
                .event_type
                .as_deref()
                .is_none_or(|wanted| is_type(record.concerning.event_type.as_deref(), wanted))
            && self.reason.as_ref().is_none_or(|wanted| *wanted == record.reason.code)
            && self.since.is_none_or(|since| record.last_failed_at >= since)
            && self.id.as_ref().is_none_or(|id| {
                let event_id = record.concerning.event_id.as_ref();
                quarantine_id(&record.key, record.attempt.generation).as_str().starts_with(id.as_str())
                    || event_id.is_some_and(|event_id| event_id.as_str().starts_with(id.as_str()))
            })
    }
}

fn is_type(event_type: Option<&str>, wanted: &str) -> bool {
    let is_it =
        |known: &str| known == wanted || known.rsplit_once(".v").is_some_and(|(name, _)| name == wanted);
    event_type.is_some_and(is_it)
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Letters that it looked after; the sum of what follows.
    pub received: usize,
    /// Sent back to where they came from.
    pub redriven: usize,
    /// Left to wait until they are due.
    pub postponed: usize,
    /// Given up on, kept and announced.
    pub quarantined: usize,
    /// Copies of what is in quarantine.
    pub deleted: usize,
    /// Due, but their target has enough to do.
    pub skipped: usize,
    /// Left where they are: something could not be reached, or the time was up. They come again by themselves.
    pub failed: usize,
    /// Letters that it saw besides, which the order was not about. They were given back.
    pub passed_over: usize,
    /// Queues that could not be read, and the ledger where it could not be asked for what waits hidden.
    pub unreachable: usize,
    /// True when it saw as many letters as a run may, so that there may be more.
    pub may_have_more: bool,
    /// True when the time was up before the work was done.
    pub ran_out_of_time: bool,
}

impl Summary {
    /// Letters of which something became.
    #[must_use]
    pub fn handled(&self) -> usize {
        self.redriven + self.postponed + self.quarantined + self.deleted
    }
}

/// What became of one letter.
enum Outcome {
    /// And, where the ledger still has it hidden, what is to be noted instead.
    Redriven(Option<(Attempt, Hidden)>),
    Postponed,
    /// Given up on and kept; nobody was told yet.
    Kept(Box<RedriveRecord>),
    Deleted,
    Skipped,
    Failed,
}

/// What it takes to delete a letter, or to give it back.
#[derive(Debug)]
struct Delivery {
    queue: String,
    receipt_handle: String,
}

impl Delivery {
    fn of(letter: &DeadLetter) -> Self {
        Self { queue: letter.queue.clone(), receipt_handle: letter.receipt_handle.clone() }
    }
}

/// Those that were given up on, are kept, and are on the bus; of which nobody was told yet.
#[derive(Debug)]
struct Kept {
    /// Since when they are collected.
    since: Instant,
    /// Each once, however many copies there are.
    records: BTreeMap<QuarantineId, RedriveRecord>,
    /// Each copy.
    letters: Vec<(QuarantineId, Delivery)>,
}

/// One pass through the queues.
pub(crate) struct Run<'a, Q, T, L, S, B, O, C> {
    own: &'a Reprocessor<Q, T, L, S, B, O, C>,
    order: &'a Order,
    deadline: Deadline,
    pacer: Pacer,
    /// How many messages each target may still be sent. Asked once a run.
    room: Mutex<HashMap<Target, u64>>,
    summary: Summary,
    kept: Option<Kept>,
    /// Letters that the order is not about, to be given back in the end: sooner, they would come again.
    not_asked_for: Vec<Delivery>,
    unreachable: AtomicUsize,
    ran_out_of_time: AtomicBool,
}

impl<'a, Q, T, L, S, B, O, C> Run<'a, Q, T, L, S, B, O, C>
where
    Q: DeadLetterQueues,
    T: RedriveTargets,
    L: RedriveLedger,
    S: QuarantineStore,
    B: EventBus,
    O: OnCall,
    C: Clock,
{
    pub(crate) fn new(
        own: &'a Reprocessor<Q, T, L, S, B, O, C>,
        order: &'a Order,
        deadline: Deadline,
    ) -> Self {
        Self {
            own,
            order,
            deadline,
            pacer: Pacer::new(own.settings.messages_per_second_max),
            room: Mutex::default(),
            summary: Summary::default(),
            kept: None,
            not_asked_for: Vec::new(),
            unreachable: AtomicUsize::default(),
            ran_out_of_time: AtomicBool::default(),
        }
    }

    /// Round after round, up to ten letters of each queue at a time, until the queues are empty or a limit is reached.
    /// Whatever it waits for, it waits for no longer than it has time: for work until the deadline's `work_until`, for
    /// what finishes the work until its `answer_by`.
    pub(crate) async fn run(mut self) -> Summary {
        if self.order.is_urgent || self.order.verdict.is_some() {
            self.wake().await;
        }
        let Settings { queues, messages_per_run_max: seen_max, .. } = &self.own.settings;
        let limit = self.order.limit.unwrap_or(usize::MAX);
        let wanted = queues.names().filter(|queue| self.order.may_be_in(queue, queues));
        let mut active: Vec<String> = wanted.map(str::to_owned).collect();
        while !active.is_empty() && self.summary.received < limit {
            if self.deadline.has_passed() {
                self.ran_out_of_time.store(true, Ordering::Relaxed);
                break;
            }
            let seen = self.summary.received + self.summary.passed_over;
            if seen >= *seen_max {
                self.summary.may_have_more = true;
                break;
            }
            let letters = self.receive(&mut active, limit - self.summary.received, seen_max - seen).await;
            self.ask_for_room(&letters).await;
            let outcomes: Vec<Outcome> = stream::iter(&letters)
                .map(|letter| self.look_after(letter))
                .buffered(IN_FLIGHT_MAX)
                .collect()
                .await;
            self.conclude(&letters, outcomes, &mut active).await;
            if self.kept.as_ref().is_some_and(|kept| kept.since.elapsed() >= COLLECTED_FOR) {
                self.announce().await;
            }
        }
        self.announce().await;
        self.give_back().await;
        self.summary.unreachable = self.unreachable.into_inner();
        self.summary.ran_out_of_time = self.ran_out_of_time.into_inner();
        self.summary
    }

    /// The answer of a call, or `None` when there is no time left for it.
    async fn before<R>(&self, instant: Instant, call: impl Future<Output = R>) -> Option<R> {
        let answer = timeout_at(instant, call).await.ok();
        if answer.is_none() {
            self.ran_out_of_time.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Fetches what waits hidden and is wanted now.
    async fn wake(&self) {
        let work_until = self.deadline.work_until();
        let records = match self.before(work_until, self.own.ledger.all()).await {
            Some(Ok(records)) => records,
            Some(Err(error)) => {
                self.unreachable.fetch_add(1, Ordering::Relaxed);
                return report("nothing that is hidden could be fetched", &error);
            }
            None => return,
        };
        let now = self.own.clock.now();
        let is_wanted = |record: &&RedriveRecord| {
            record.state == RedriveState::Waiting && self.order.includes_record(record)
        };
        let hidden = records.iter().filter(is_wanted).filter_map(|record| record.hidden.as_ref());
        let fetch = async |hidden: &Hidden| {
            let postponement = Postponement { receipt_handle: hidden.receipt_handle.clone(), delay_s: 0 };
            // It fails when the message was delivered again since; then it is not hidden by this.
            if let Some(Err(error)) =
                self.before(work_until, self.own.queues.postpone(&hidden.queue, &postponement)).await
            {
                report("a message that waits could not be fetched", &error);
            }
        };
        stream::iter(hidden.filter(|hidden| hidden.until > now))
            .for_each_concurrent(IN_FLIGHT_MAX, fetch)
            .await;
    }

    /// Receives from every active queue at the same time, `seen_max` letters in all, and takes `wanted_max` of those that
    /// are asked for. A queue that is empty, or cannot be read, is not asked again in this run.
    async fn receive(&mut self, active: &mut Vec<String>, wanted_max: usize, seen_max: usize) -> Vec<Letter> {
        // Who looks for a few among many looks at many.
        let remaining = if self.order.is_choosy() { seen_max } else { wanted_max.min(seen_max) };
        let share = (remaining / active.len()).clamp(1, RECEIVED_MAX);
        let asked = active.len().min(remaining);
        let receive = async |queue: &String| {
            let received = self.own.queues.receive(queue, share, HIDDEN_S);
            match self.before(self.deadline.work_until(), received).await {
                Some(Ok(letters)) => letters,
                Some(Err(error)) => {
                    self.unreachable.fetch_add(1, Ordering::Relaxed);
                    report("a queue could not be read", &error);
                    vec![]
                }
                None => vec![],
            }
        };
        let received = join_all(active[..asked].iter().map(receive)).await;
        let emptied: HashSet<usize> = received
            .iter()
            .enumerate()
            .filter(|(_, letters)| letters.is_empty())
            .map(|(index, _)| index)
            .collect();
        let mut index = 0..;
        active.retain(|_| index.next().is_none_or(|index| !emptied.contains(&index)));
        let mut wanted = Vec::new();
        for dead_letter in received.into_iter().flatten() {
            let letter = Letter::read(dead_letter, &self.own.settings.queues);
            if wanted.len() < wanted_max && self.order.includes(&letter) {
                wanted.push(letter);
            } else {
                self.summary.passed_over += 1;
                self.not_asked_for.push(Delivery::of(&letter.dead_letter));
            }
        }
        wanted
    }

    /// Asks each new target how much it has to do. It is sent as much as is missing to its share of its capacity.
    async fn ask_for_room(&self, letters: &[Letter]) {
        let settings = &self.own.settings;
        // In an order of their own: a run that is repeated asks the same in the same order.
        let targets: BTreeSet<&Target> = {
            let room = self.room();
            let targets = letters.iter().filter_map(|letter| letter.target.as_ref());
            targets.filter(|target| !room.contains_key(target)).collect()
        };
        let ask = async |target: &Target| {
            let Some(capacity) = settings.queues.capacity_of(target) else { return u64::MAX };
            let share = (capacity * u64::from(settings.capacity_share_percent)).div_ceil(100);
            match self.before(self.deadline.work_until(), self.own.targets.backlog(target)).await {
                Some(Ok(backlog)) => share.saturating_sub(backlog),
                Some(Err(error)) => {
                    report("a target could not be asked how much it has to do, and gets nothing", &error);
                    0
                }
                None => 0,
            }
        };
        let room = join_all(targets.iter().map(|target| ask(target))).await;
        self.room().extend(targets.into_iter().cloned().zip(room));
    }

    fn room(&self) -> MutexGuard<'_, HashMap<Target, u64>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the target may be sent one more; it then counts as sent.
    fn take_room(&self, target: &Target) -> bool {
        let mut room = self.room();
        match room.get_mut(target) {
            Some(0) | None => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    async fn look_after(&self, letter: &Letter) -> Outcome {
        if self.deadline.has_passed() {
            self.ran_out_of_time.store(true, Ordering::Relaxed);
            return Outcome::Failed;
        }
        let work = async {
            self.pacer.turn().await;
            self.attempt(letter).await
        };
        match self.before(self.deadline.work_until(), work).await {
            Some(Ok(outcome)) => {
                if let Outcome::Redriven(Some((attempt, gone))) = &outcome {
                    self.note_gone(letter, *attempt, gone).await;
                }
                outcome
            }
            Some(Err(error)) => {
                let (key, operation) = (letter.key.as_str(), error.operation);
                tracing::warn!(consumer = NAME, key, operation, problem = %error.source, "left where it is");
                Outcome::Failed
            }
            None => Outcome::Failed,
        }
    }

    /// Without this note, a message that was fetched before its time is listed as waiting until then, and nothing worse.
    async fn note_gone(&self, letter: &Letter, attempt: Attempt, gone: &Hidden) {
        let note = self.own.ledger.note_hidden(&letter.key, attempt, gone);
        if let Some(Err(error)) = self.before(self.deadline.work_until(), note).await {
            report("a message that was sent back is listed as waiting until it would have been due", &error);
        }
    }

    /// Counts the failure and does what is decided then.
    async fn attempt(&self, letter: &Letter) -> Result<Outcome, PortError> {
        let (own, policy) = (self.own, &self.own.settings.policy);
        let now = own.clock.now();
        let record = own.ledger.count(&letter.key, &failure(letter, policy, now)).await?;
        let decision = match &self.order.verdict {
            Some(reason) if record.state.is_open() => Decision::Quarantine(reason.clone()),
            _ => decide(letter, &record, policy, now, self.order.is_urgent),
        };
        match decision {
            Decision::Redrive(target, attempt) => self.redrive(letter, &record, &target, attempt, now).await,
            Decision::Wait(due_at) => self.wait(letter, &record, due_at, now).await,
            Decision::Quarantine(reason) => self.quarantine(letter, &record, reason, now).await,
            Decision::Announce => self.keep(letter, record).await,
            Decision::Delete => {
                // A copy of what is kept. Should that be gone by now, as everything is in time, this takes its place.
                if record.state == RedriveState::Quarantined {
                    own.quarantine.keep(&object(&record, &letter.dead_letter.body)).await?;
                }
                self.delete(letter).await?;
                Ok(Outcome::Deleted)
            }
        }
    }

    async fn redrive(
        &self,
        letter: &Letter,
        record: &RedriveRecord,
        target: &Target,
        attempt: Attempt,
        now: Timestamp,
    ) -> Result<Outcome, PortError> {
        let is_about_to_expire = is_about_to_expire(letter, now);
        if !self.take_room(target) && !is_about_to_expire {
            self.postpone(letter, NO_ROOM_S).await?;
            return Ok(Outcome::Skipped);
        }
        let redrive = Redrive { key: &letter.key, attempt, body: &letter.dead_letter.body };
        if let Err(error) = self.own.targets.send(target, &redrive).await {
            // What the target refuses for good, or what would be forgotten before the next try, is kept.
            if error.retry == Retry::Permanent || is_about_to_expire {
                let text = format!("it could not be sent back: {} failed", error.operation);
                let reason = RedriveReason { code: Refusal::CannotBeSent.code().to_owned(), text };
                return self.quarantine(letter, record, reason, now).await;
            }
            return Err(error);
        }
        tracing::info!(
            consumer = NAME,
            key = letter.key.as_str(),
            target = target.name(),
            attempt = attempt.number,
            "sent back"
        );
        self.delete(letter).await?;
        // What was fetched before its time waits nowhere any more.
        let hidden = record.hidden.as_ref().filter(|hidden| hidden.until > now);
        let gone = hidden.map(|hidden| (record.attempt, Hidden { until: now, ..hidden.clone() }));
        Ok(Outcome::Redriven(gone))
    }

    async fn wait(
        &self,
        letter: &Letter,
        record: &RedriveRecord,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<Outcome, PortError> {
        let remaining_s = (due_at.unix_ms() - now.unix_ms()).max(0).unsigned_abs().div_ceil(1_000);
        let delay_s = u32::try_from(remaining_s).unwrap_or(u32::MAX).clamp(1, POSTPONED_S_MAX);
        let hidden = Hidden {
            queue: letter.dead_letter.queue.clone(),
            receipt_handle: letter.dead_letter.receipt_handle.clone(),
            until: Timestamp::from_unix_ms(now.unix_ms() + i64::from(delay_s) * 1_000),
        };
        self.own.ledger.note_hidden(&letter.key, record.attempt, &hidden).await?;
        self.postpone(letter, delay_s).await?;
        Ok(Outcome::Postponed)
    }

    async fn quarantine(
        &self,
        letter: &Letter,
        record: &RedriveRecord,
        reason: RedriveReason,
        now: Timestamp,
    ) -> Result<Outcome, PortError> {
        let verdict = Verdict { reason, at: now };
        let record = self.own.ledger.quarantine(&letter.key, record.attempt.generation, &verdict).await?;
        match record.state {
            RedriveState::Quarantining => self.keep(letter, record).await,
            RedriveState::Quarantined => {
                self.delete(letter).await?;
                Ok(Outcome::Deleted)
            }
            // Released meanwhile; when it comes again, it is decided anew.
            RedriveState::Waiting | RedriveState::Released => Ok(Outcome::Failed),
        }
    }

    async fn keep(&self, letter: &Letter, record: RedriveRecord) -> Result<Outcome, PortError> {
        self.own.quarantine.keep(&object(&record, &letter.dead_letter.body)).await?;
        Ok(Outcome::Kept(Box::new(record)))
    }

    async fn delete(&self, letter: &Letter) -> Result<(), PortError> {
        let DeadLetter { queue, receipt_handle, .. } = &letter.dead_letter;
        self.own.queues.delete(queue, receipt_handle).await
    }

    async fn postpone(&self, letter: &Letter, delay_s: u32) -> Result<(), PortError> {
        let DeadLetter { queue, receipt_handle, .. } = &letter.dead_letter;
        let postponement = Postponement { receipt_handle: receipt_handle.clone(), delay_s };
        self.own.queues.postpone(queue, &postponement).await
    }

    /// Counts what became of each, collects those that were given up on, and leaves queues alone whose target is full.
    async fn conclude(&mut self, letters: &[Letter], outcomes: Vec<Outcome>, active: &mut Vec<String>) {
        self.summary.received += letters.len();
        let mut kept = Vec::new();
        for (letter, outcome) in letters.iter().zip(outcomes) {
            match outcome {
                Outcome::Kept(record) => kept.push((Delivery::of(&letter.dead_letter), *record)),
                Outcome::Redriven(_) => self.summary.redriven += 1,
                Outcome::Postponed => self.summary.postponed += 1,
                Outcome::Deleted => self.summary.deleted += 1,
                Outcome::Failed => self.summary.failed += 1,
                Outcome::Skipped => {
                    self.summary.skipped += 1;
                    // More of a consumer's own dead letters would be put off alike.
                    let queues = &self.own.settings.queues;
                    if ![&queues.bus, &queues.undelivered].contains(&&letter.dead_letter.queue) {
                        active.retain(|queue| *queue != letter.dead_letter.queue);
                    }
                }
            }
        }
        if !kept.is_empty() {
            self.collect(kept).await;
        }
    }

    /// Publishes that these were given up on, and collects those of which the bus knows.
    async fn collect(&mut self, letters: Vec<(Delivery, RedriveRecord)>) {
        let since = Instant::now();
        let mut kept =
            self.kept.take().unwrap_or_else(|| Kept { since, records: BTreeMap::new(), letters: Vec::new() });
        let mut new: BTreeMap<QuarantineId, &RedriveRecord> = BTreeMap::new();
        for (_, record) in &letters {
            let id = id_of(record);
            if !kept.records.contains_key(&id) {
                new.insert(id, record);
            }
        }
        let published = self.publish(&new.into_values().collect::<Vec<_>>()).await;
        kept.records.extend(published.into_iter().map(|record| (id_of(record), record.clone())));
        for (delivery, record) in letters {
            let id = id_of(&record);
            if kept.records.contains_key(&id) {
                kept.letters.push((id, delivery));
            } else {
                self.summary.failed += 1;
            }
        }
        self.kept = Some(kept);
    }

    /// Tells of those that were collected, notes it, and deletes them: in this order, so that a crash repeats and never
    /// omits.
    async fn announce(&mut self) {
        let Some(Kept { records, letters, .. }) = self.kept.take() else { return };
        let answer_by = self.deadline.answer_by();
        let alerts = alerts(records.values(), &self.own.settings.operator_command);
        let tell = async |(alert, records): (Alert, Vec<&'_ RedriveRecord>)| match self
            .before(answer_by, self.own.on_call.alert(&alert))
            .await
        {
            Some(Ok(())) => records.into_iter().map(id_of).collect(),
            Some(Err(error)) => {
                report("whoever is on call could not be told", &error);
                Vec::new()
            }
            None => Vec::new(),
        };
        let told: Vec<Vec<QuarantineId>> =
            stream::iter(alerts).map(tell).buffer_unordered(IN_FLIGHT_MAX).collect().await;
        let told: HashSet<QuarantineId> = told.into_iter().flatten().collect();
        let finish = async |(id, delivery): &(QuarantineId, Delivery)| {
            let record = records.get(id).filter(|_| told.contains(id))?;
            match self.before(answer_by, self.finish(record, delivery)).await? {
                Ok(()) => Some(()),
                Err(error) => {
                    report("a message that is in quarantine could not be deleted", &error);
                    None
                }
            }
        };
        let finished: Vec<Option<()>> =
            stream::iter(&letters).map(finish).buffer_unordered(IN_FLIGHT_MAX).collect().await;
        let quarantined = finished.iter().flatten().count();
        self.summary.quarantined += quarantined;
        self.summary.failed += letters.len() - quarantined;
    }

    async fn finish(&self, record: &RedriveRecord, delivery: &Delivery) -> Result<(), PortError> {
        self.own.ledger.note_announced(&record.key, record.attempt.generation).await?;
        tracing::error!(
            consumer = NAME,
            key = record.key.as_str(),
            code = record.reason.code,
            reason = record.reason.text,
            "quarantined"
        );
        self.own.queues.delete(&delivery.queue, &delivery.receipt_handle).await
    }

    /// Publishes one event a record, all together, and returns those that the bus took.
    async fn publish<'r>(&self, records: &[&'r RedriveRecord]) -> Vec<&'r RedriveRecord> {
        let outbound = |record: &&RedriveRecord| {
            let event: Event = event(record).ok()?;
            event.to_outbound().ok()
        };
        let events: Vec<_> = records.iter().filter_map(outbound).collect();
        debug_assert_eq!(events.len(), records.len(), "an event can be made of every record");
        let results = self.before(self.deadline.answer_by(), self.own.bus.publish(&events)).await;
        let results = results.unwrap_or_default();
        let mut published = Vec::new();
        for (record, result) in records.iter().zip(results) {
            match result {
                Ok(()) => published.push(*record),
                Err(error) => report("an event was not published", &error),
            }
        }
        published
    }

    async fn give_back(&self) {
        let letters = self.not_asked_for.iter();
        let letters = letters.map(|letter| (letter.queue.as_str(), letter.receipt_handle.as_str()));
        self.before(self.deadline.answer_by(), give_back(&self.own.queues, letters)).await;
    }
}

/// Makes letters visible again, each by its queue and its delivery. One that cannot be becomes visible by itself.
pub(crate) async fn give_back<'l>(
    queues: &impl DeadLetterQueues,
    letters: impl Iterator<Item = (&'l str, &'l str)>,
) {
    let give_back = async |(queue, receipt_handle): (&str, &str)| {
        let postponement = Postponement { receipt_handle: receipt_handle.to_owned(), delay_s: 0 };
        if let Err(error) = queues.postpone(queue, &postponement).await {
            report("a message is given back only after its visibility time-out", &error);
        }
    };
    stream::iter(letters).for_each_concurrent(IN_FLIGHT_MAX, give_back).await;
}

pub(crate) fn report(what: &str, error: &PortError) {
    tracing::warn!(consumer = NAME, operation = error.operation, problem = %error.source, "{what}");
}
