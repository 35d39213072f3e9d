use std::collections::{HashMap, HashSet};

use contracts::quarantine_id;
use domain::{
    Attempt, Concerning, QuarantineId, RedriveKey, RedriveReason, RedriveRecord, RedriveState, Timestamp,
};
use futures_util::future::join_all;
use ports::{Clock, DeadLetter, DeadLetterQueues, PortError, RedriveLedger};

use crate::config::Settings;
use crate::decide_redrive::{Decision, decide, failure};
use crate::handler::Reprocessor;
use crate::letter::Letter;
use crate::reprocess_queues::{HIDDEN_S, Order, give_back};

/// What `ReceiveMessage` gives at most.
const RECEIVED_MAX: usize = 10;

/// Where a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It lies in a queue and can be received.
    Queue(DeadLetter),
    /// It waits, hidden, in this queue.
    Hidden(String),
    /// It is in quarantine, under its id.
    Quarantine,
}

/// A dead letter that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// The name that it has, or will have, in quarantine.
    pub id: QuarantineId,
    /// What it is counted under.
    pub key: RedriveKey,
    /// Which message it is.
    pub concerning: Concerning,
    /// Why it failed.
    pub reason: RedriveReason,
    /// The attempt that failed.
    pub attempt: Attempt,
    /// When it was first sent, or first failed where that is not known.
    pub since: Timestamp,
    /// What will become of it. `None` in quarantine, where only a person decides.
    pub decision: Option<Decision>,
    /// Where it is.
    pub place: Place,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The messages, those first that are there for the longest time.
    pub messages: Vec<Surveyed>,
    /// True when a queue holds more than one look takes in, so that something may be missing.
    pub may_have_more: bool,
}

/// Looks at every letter that an order is about, decides, and gives all of them back. Then adds what cannot be received:
/// what waits hidden, and what is in quarantine. As many messages as an order is limited to are left of those that it is
/// about.
pub(crate) async fn survey_queues<Q, T, L, S, B, O, C>(
    own: &Reprocessor<Q, T, L, S, B, O, C>,
    order: &Order,
) -> Result<Survey, PortError>
where
    Q: DeadLetterQueues,
    L: RedriveLedger,
    C: Clock,
{
    let Settings { queues, messages_per_run_max: seen_max, .. } = &own.settings;
    let wanted = queues.names().filter(|queue| order.may_be_in(queue, queues));
    let receipts = join_all(wanted.map(|queue| receive_all(&own.queues, queue, *seen_max))).await;
    let may_have_more = receipts.iter().any(|(received, _)| received.len() >= *seen_max);
    // All are given back before anything is said of a failure.
    let (mut letters, mut failure_of_a_queue) = (Vec::new(), None);
    for (received, error) in receipts {
        letters.extend(received);
        failure_of_a_queue = failure_of_a_queue.or(error);
    }
    let deliveries = letters.iter().map(|letter| (letter.queue.as_str(), letter.receipt_handle.as_str()));
    give_back(&own.queues, deliveries).await;
    if let Some(error) = failure_of_a_queue {
        return Err(error);
    }

    let now = own.clock.now();
    let records = own.ledger.all().await?;
    let by_key: HashMap<&RedriveKey, &RedriveRecord> =
        records.iter().map(|record| (&record.key, record)).collect();
    let letters: Vec<Letter> = letters.into_iter().map(|letter| Letter::read(letter, queues)).collect();
    let seen: HashSet<RedriveKey> = letters.iter().map(|letter| letter.key.clone()).collect();
    let mut messages = Vec::new();
    for letter in letters.into_iter().filter(|letter| order.includes(letter)) {
        let record = by_key.get(&letter.key).map(|record| (*record).clone());
        messages.push(of_letter(own, order, letter, record, now));
    }
    for record in records.iter().filter(|record| order.includes_record(record)) {
        match record.state {
            RedriveState::Waiting if !seen.contains(&record.key) => {
                messages.extend(of_hidden(own, order, record, now));
            }
            RedriveState::Waiting | RedriveState::Released => {}
            RedriveState::Quarantining | RedriveState::Quarantined => {
                messages.push(of_record(record, record.last_failed_at, None, Place::Quarantine));
            }
        }
    }
    messages.sort_by(|left, right| (left.since, &left.key).cmp(&(right.since, &right.key)));
    messages.truncate(order.limit.unwrap_or(usize::MAX));
    Ok(Survey { messages, may_have_more })
}

async fn receive_all(
    queues: &impl DeadLetterQueues,
    queue: &str,
    limit: usize,
) -> (Vec<DeadLetter>, Option<PortError>) {
    let mut letters = Vec::new();
    while letters.len() < limit {
        match queues.receive(queue, (limit - letters.len()).min(RECEIVED_MAX), HIDDEN_S).await {
            Ok(received) if received.is_empty() => break,
            Ok(received) => letters.extend(received),
            Err(error) => return (letters, Some(error)),
        }
    }
    (letters, None)
}

fn of_letter<Q, T, L, S, B, O, C>(
    own: &Reprocessor<Q, T, L, S, B, O, C>,
    order: &Order,
    letter: Letter,
    record: Option<RedriveRecord>,
    now: Timestamp,
) -> Surveyed {
    let policy = &own.settings.policy;
    let failure = failure(&letter, policy, now);
    // What the ledger would answer.
    let record = match record {
        Some(mut record) => {
            record.count(&failure);
            record
        }
        None => RedriveRecord::begin(letter.key.clone(), &failure),
    };
    let decision = match &order.verdict {
        Some(reason) if record.state.is_open() => Decision::Quarantine(reason.clone()),
        _ => decide(&letter, &record, policy, now, order.is_urgent),
    };
    Surveyed {
        id: quarantine_id(&letter.key, record.attempt.generation),
        key: letter.key,
        concerning: letter.concerning,
        reason: letter.reason,
        attempt: record.attempt,
        since: letter.dead_letter.sent_at,
        decision: Some(decision),
        place: Place::Queue(letter.dead_letter),
    }
}

fn of_hidden<Q, T, L, S, B, O, C>(
    own: &Reprocessor<Q, T, L, S, B, O, C>,
    order: &Order,
    record: &RedriveRecord,
    now: Timestamp,
) -> Option<Surveyed> {
    let hidden = record.hidden.as_ref().filter(|hidden| hidden.until > now)?;
    let target = own.settings.queues.target_of(&record.concerning.consumer);
    let may_go_on = order.is_urgent && record.attempt.number <= own.settings.policy.redrives_max;
    let decision = match (&order.verdict, target) {
        (Some(reason), _) => Decision::Quarantine(reason.clone()),
        (None, Some(target)) if may_go_on => Decision::Redrive(target, record.attempt),
        _ => Decision::Wait(record.due_at),
    };
    let place = Place::Hidden(hidden.queue.clone());
    Some(of_record(record, record.first_failed_at, Some(decision), place))
}

fn of_record(record: &RedriveRecord, since: Timestamp, decision: Option<Decision>, place: Place) -> Surveyed {
    Surveyed {
        id: quarantine_id(&record.key, record.attempt.generation),
        key: record.key.clone(),
        concerning: record.concerning.clone(),
        reason: record.reason.clone(),
        attempt: record.attempt,
        since,
        decision,
        place,
    }
}
