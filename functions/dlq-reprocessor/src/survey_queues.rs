use std::collections::HashSet;

use contracts::quarantine_id;
use domain::{
    Attempt, Concerning, QuarantineId, RedriveKey, RedriveReason, RedriveRecord, RedriveState, Timestamp,
};
use futures_util::future::join_all;
use ports::{Clock, DeadLetter, DeadLetterQueues, PortError, RedriveLedger};

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

/// Looks at every letter that an order is about, decides, and gives all of them back. Then adds what cannot be received:
/// what waits hidden, and what is in quarantine.
pub(crate) async fn survey_queues<Q, T, L, S, B, O, C>(
    own: &Reprocessor<Q, T, L, S, B, O, C>,
    order: &Order,
) -> Result<Vec<Surveyed>, PortError>
where
    Q: DeadLetterQueues,
    L: RedriveLedger,
    C: Clock,
{
    let limit = order.limit.unwrap_or(usize::MAX).min(own.settings.messages_per_run_max);
    let queues: Vec<&str> = own.settings.queues.names().collect();
    let receipts = join_all(queues.iter().map(|queue| receive_all(&own.queues, queue, limit))).await;
    // All are given back before anything is said of a failure.
    let (mut letters, mut failure_of_a_queue) = (Vec::new(), None);
    for (received, error) in receipts {
        letters.extend(received);
        failure_of_a_queue = failure_of_a_queue.or(error);
    }
    give_back(&own.queues, &letters).await;
    if let Some(error) = failure_of_a_queue {
        return Err(error);
    }

    let now = own.clock.now();
    let records = own.ledger.all().await?;
    let mut surveyed = Vec::new();
    for dead_letter in letters {
        let letter = Letter::read(dead_letter, &own.settings.queues);
        if order.includes(&letter) {
            let record = records.iter().find(|record| record.key == letter.key);
            surveyed.push(of_letter(own, order, letter, record.cloned(), now));
        }
    }
    let seen: HashSet<RedriveKey> = surveyed.iter().map(|one| one.key.clone()).collect();
    for record in records.iter().filter(|record| order.includes_record(record)) {
        match record.state {
            RedriveState::Waiting if !seen.contains(&record.key) => {
                surveyed.extend(of_hidden(own, order, record, now));
            }
            RedriveState::Waiting | RedriveState::Released => {}
            RedriveState::Quarantining | RedriveState::Quarantined => {
                surveyed.push(of_record(record, record.last_failed_at, None, Place::Quarantine));
            }
        }
    }
    surveyed.sort_by(|left, right| (left.since, &left.key).cmp(&(right.since, &right.key)));
    surveyed.truncate(limit);
    Ok(surveyed)
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
