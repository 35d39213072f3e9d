use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::{Event, quarantine_id};
use domain::{Attempt, Hidden, RedriveReason, RedriveRecord, RedriveState, Timestamp, Verdict};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use ports::{
    Clock, DeadLetter, DeadLetterQueues, EventBus, OnCall, PortError, Postponement, QuarantineStore, Redrive,
    RedriveLedger, RedriveTargets, Retry, Target,
};
use runtime::Deadline;
use serde::Serialize;
use tokio::time::timeout_at;

use crate::decide_redrive::{Decision, decide, failure, is_about_to_expire};
use crate::handler::{NAME, Reprocessor};
use crate::letter::Letter;
use crate::pacer::Pacer;
use crate::quarantine_message::{alerts, event, object};

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
    /// True when the time was up before the work was done.
    pub ran_out_of_time: bool,
}

/// What became of one letter.
enum Outcome {
    Redriven,
    Postponed,
    /// Given up on and kept; nobody was told yet.
    Kept(Box<RedriveRecord>),
    Deleted,
    Skipped,
    Failed,
    OutOfTime,
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
    /// Letters that the order is not about, to be given back in the end: sooner, they would come again.
    not_asked_for: Vec<DeadLetter>,
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
        let pacer = Pacer::new(own.settings.messages_per_second_max);
        let (room, summary) = (Mutex::default(), Summary::default());
        Self { own, order, deadline, pacer, room, summary, not_asked_for: Vec::new() }
    }

    /// Round after round, up to ten letters of each queue at a time, until the queues are empty or a limit is reached.
    pub(crate) async fn run(mut self) -> Summary {
        if self.order.is_urgent || self.order.verdict.is_some() {
            self.wake().await;
        }
        let limit = self.order.limit.unwrap_or(usize::MAX).min(self.own.settings.messages_per_run_max);
        let mut active: Vec<String> = self.own.settings.queues.names().map(str::to_owned).collect();
        while !active.is_empty() && self.summary.received < limit {
            if self.deadline.has_passed() {
                break;
            }
            let letters = self.receive(&mut active, limit - self.summary.received).await;
            self.ask_for_room(&letters).await;
            let outcomes: Vec<Outcome> = stream::iter(&letters)
                .map(|letter| self.look_after(letter))
                .buffered(IN_FLIGHT_MAX)
                .collect()
                .await;
            self.conclude(&letters, outcomes, &mut active).await;
        }
        self.give_back().await;
        self.summary.ran_out_of_time |= self.deadline.has_passed();
        self.summary
    }

    /// Fetches what waits hidden and is wanted now.
    async fn wake(&self) {
        let records = match self.own.ledger.all().await {
            Ok(records) => records,
            Err(error) => return report("nothing that is hidden could be fetched", &error),
        };
        let now = self.own.clock.now();
        for record in records {
            let Some(hidden) = record.hidden.as_ref().filter(|hidden| hidden.until > now) else { continue };
            if record.state == RedriveState::Waiting && self.order.includes_record(&record) {
                let postponement = Postponement { receipt_handle: hidden.receipt_handle.clone(), delay_s: 0 };
                // It fails when the message was delivered again since; then it is not hidden by this.
                if let Err(error) = self.own.queues.postpone(&hidden.queue, &postponement).await {
                    report("a message that waits could not be fetched", &error);
                }
            }
        }
    }

    /// Receives from every active queue at the same time, `remaining` letters in all. A queue that is empty, or cannot
    /// be read, is not asked again in this run.
    async fn receive(&mut self, active: &mut Vec<String>, remaining: usize) -> Vec<Letter> {
        let share = (remaining / active.len()).clamp(1, RECEIVED_MAX);
        let asked = active.len().min(remaining);
        let receive = async |queue: &String| {
            let received = self.own.queues.receive(queue, share, HIDDEN_S);
            match timeout_at(self.deadline.work_until(), received).await {
                Ok(Ok(letters)) => letters,
                Ok(Err(error)) => {
                    report("a queue could not be read", &error);
                    vec![]
                }
                Err(_elapsed) => vec![],
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
            if self.order.includes(&letter) {
                wanted.push(letter);
            } else {
                self.not_asked_for.push(letter.dead_letter);
            }
        }
        wanted
    }

    /// Asks each new target how much it has to do. It is sent as much as is missing to its share of its capacity.
    async fn ask_for_room(&self, letters: &[Letter]) {
        let settings = &self.own.settings;
        let targets: HashSet<&Target> = {
            let room = self.room();
            let targets = letters.iter().filter_map(|letter| letter.target.as_ref());
            targets.filter(|target| !room.contains_key(target)).collect()
        };
        let ask = async |target: &Target| {
            let Some(capacity) = settings.queues.capacity_of(target) else { return u64::MAX };
            let share = (capacity * u64::from(settings.capacity_share_percent)).div_ceil(100);
            match self.own.targets.backlog(target).await {
                Ok(backlog) => share.saturating_sub(backlog),
                Err(error) => {
                    report("a target could not be asked how much it has to do, and gets nothing", &error);
                    0
                }
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
            return Outcome::OutOfTime;
        }
        let work = async {
            self.pacer.turn().await;
            self.attempt(letter).await
        };
        let result = timeout_at(self.deadline.work_until(), work).await;
        match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                let (key, operation) = (letter.key.as_str(), error.operation);
                tracing::warn!(consumer = NAME, key, operation, problem = %error.source, "left where it is");
                Outcome::Failed
            }
            Err(_elapsed) => Outcome::OutOfTime,
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
                let reason = RedriveReason { code: "cannot_be_sent".to_owned(), text };
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
        Ok(Outcome::Redriven)
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

    /// Tells of those that were given up on, counts what became of all, and leaves queues alone whose target is full.
    async fn conclude(&mut self, letters: &[Letter], outcomes: Vec<Outcome>, active: &mut Vec<String>) {
        let kept: Vec<(&Letter, &RedriveRecord)> = letters
            .iter()
            .zip(&outcomes)
            .filter_map(|(letter, outcome)| match outcome {
                Outcome::Kept(record) => Some((letter, record.as_ref())),
                _ => None,
            })
            .collect();
        let announced = self.announce(&kept).await;
        let summary = &mut self.summary;
        summary.received += letters.len();
        summary.quarantined += announced;
        summary.failed += kept.len() - announced;
        for (letter, outcome) in letters.iter().zip(&outcomes) {
            match outcome {
                Outcome::Kept(_) => {}
                Outcome::Redriven => summary.redriven += 1,
                Outcome::Postponed => summary.postponed += 1,
                Outcome::Deleted => summary.deleted += 1,
                Outcome::Failed => summary.failed += 1,
                Outcome::OutOfTime => {
                    summary.failed += 1;
                    summary.ran_out_of_time = true;
                }
                Outcome::Skipped => {
                    summary.skipped += 1;
                    // More of a consumer's own dead letters would be put off alike.
                    let queues = &self.own.settings.queues;
                    if letter.dead_letter.queue != queues.undelivered {
                        active.retain(|queue| *queue != letter.dead_letter.queue);
                    }
                }
            }
        }
    }

    /// Publishes, alerts, notes, deletes: in this order, so that a crash repeats and never omits. Says how many were
    /// told of and are gone.
    async fn announce(&self, kept: &[(&Letter, &RedriveRecord)]) -> usize {
        let mut records: HashMap<&str, &RedriveRecord> = HashMap::new();
        for (_, record) in kept {
            records.insert(record.key.as_str(), record);
        }
        let records: Vec<&RedriveRecord> = {
            let mut records: Vec<_> = records.into_values().collect();
            records.sort_by(|left, right| left.key.cmp(&right.key));
            records
        };
        if records.is_empty() {
            return 0;
        }
        let published = self.publish(&records).await;
        let mut told: HashSet<&str> = HashSet::new();
        for (alert, records) in alerts(published, &self.own.settings.operator_command) {
            match self.own.on_call.alert(&alert).await {
                Ok(()) => told.extend(records.iter().map(|record| record.key.as_str())),
                Err(error) => report("whoever is on call could not be told", &error),
            }
        }
        let finish = async |letter: &Letter, record: &RedriveRecord| -> Result<(), PortError> {
            let key = record.key.as_str();
            self.own.ledger.note_announced(&record.key, record.attempt.generation).await?;
            tracing::error!(
                consumer = NAME,
                key,
                code = record.reason.code,
                reason = record.reason.text,
                "quarantined"
            );
            self.delete(letter).await
        };
        let of_told = kept.iter().filter(|(_, record)| told.contains(record.key.as_str()));
        let finished = join_all(of_told.map(|(letter, record)| finish(letter, record))).await;
        finished.iter().filter_map(|result| result.as_ref().err()).for_each(|error| {
            report("a message that is in quarantine could not be deleted", error);
        });
        finished.iter().filter(|result| result.is_ok()).count()
    }

    /// Publishes one event a record, all together, and returns those that the bus took.
    async fn publish<'r>(&self, records: &[&'r RedriveRecord]) -> Vec<&'r RedriveRecord> {
        let outbound = |record: &&RedriveRecord| {
            let event: Event = event(record).ok()?;
            event.to_outbound().ok()
        };
        let events: Vec<_> = records.iter().filter_map(outbound).collect();
        debug_assert_eq!(events.len(), records.len(), "an event can be made of every record");
        let results = self.own.bus.publish(&events).await;
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
        give_back(&self.own.queues, &self.not_asked_for).await;
    }
}

/// Makes letters visible again. One that cannot be becomes visible by itself.
pub(crate) async fn give_back(queues: &impl DeadLetterQueues, letters: &[DeadLetter]) {
    let give_back = async |letter: &DeadLetter| {
        let postponement = Postponement { receipt_handle: letter.receipt_handle.clone(), delay_s: 0 };
        if let Err(error) = queues.postpone(&letter.queue, &postponement).await {
            report("a message is given back only after its visibility time-out", &error);
        }
    };
    stream::iter(letters).for_each_concurrent(IN_FLIGHT_MAX, give_back).await;
}

pub(crate) fn report(what: &str, error: &PortError) {
    tracing::warn!(consumer = NAME, operation = error.operation, problem = %error.source, "{what}");
}
