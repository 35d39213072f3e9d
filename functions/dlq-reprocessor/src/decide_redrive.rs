use contracts::Refusal;
use domain::{Attempt, Failure, RedriveKey, RedriveReason, RedriveRecord, RedriveState, Timestamp};
use ports::Target;
use sha2::{Digest, Sha256};

use crate::letter::Letter;

/// A queue forgets a message after 14 days, counted from when it was first sent. One that is older than this is not left
/// to wait any more: sent again, it is new.
const AGE_MS_MAX: i64 = 13 * 24 * 3_600_000;

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How often a message is sent again before it is given up on.
    pub redrives_max: u32,
    /// The longest wait before the first redrive; it doubles with every attempt.
    pub backoff_base_s: u32,
    /// The longest wait there is.
    pub backoff_max_s: u32,
}

/// What is to become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send it back, with this attempt.
    Redrive(Target, Attempt),
    /// Let it lie until this instant.
    Wait(Timestamp),
    /// Give up on it.
    Quarantine(RedriveReason),
    /// It is given up on; what follows from that is not done yet.
    Announce,
    /// It is a copy of what is kept in quarantine.
    Delete,
}

/// What is counted when this letter turns up now.
#[must_use]
pub(crate) fn failure(letter: &Letter, policy: &Policy, now: Timestamp) -> Failure {
    let attempt = letter.carried.next();
    Failure {
        attempt,
        at: letter.failed_at.unwrap_or(now),
        due_at: later(now, backoff_ms(policy, &letter.key, attempt)),
        reason: letter.reason.clone(),
        concerning: letter.concerning.clone(),
    }
}

/// Decides about a letter whose failure is counted. `is_urgent` when a person wants it back now.
#[must_use]
pub(crate) fn decide(
    letter: &Letter,
    record: &RedriveRecord,
    policy: &Policy,
    now: Timestamp,
    is_urgent: bool,
) -> Decision {
    match record.state {
        RedriveState::Quarantining => return Decision::Announce,
        RedriveState::Quarantined => return Decision::Delete,
        RedriveState::Waiting | RedriveState::Released => {}
    }
    let target = match &letter.target {
        // Its generation ended in quarantine, where it is kept; what it was refused for is no news.
        _ if letter.is_permanent && letter.carried.generation < record.attempt.generation => {
            return Decision::Delete;
        }
        Some(target) if !letter.is_permanent => target.clone(),
        _ => return Decision::Quarantine(letter.reason.clone()),
    };
    if record.attempt.number > policy.redrives_max {
        let RedriveReason { code, text } = &record.reason;
        let text = format!("failed {} times, the last time as {code}: {text}", record.attempt.number);
        return Decision::Quarantine(RedriveReason {
            code: Refusal::AttemptsExhausted.code().to_owned(),
            text,
        });
    }
    let is_due = now >= record.due_at || record.state == RedriveState::Released;
    if is_due || is_urgent || is_about_to_expire(letter, now) {
        // A copy that was left behind takes on the count of the one that went on.
        Decision::Redrive(target, record.attempt)
    } else {
        Decision::Wait(record.due_at)
    }
}

/// True when the letter may be forgotten before it is looked at again.
pub(crate) fn is_about_to_expire(letter: &Letter, now: Timestamp) -> bool {
    now.unix_ms() - letter.dead_letter.sent_at.unix_ms() > AGE_MS_MAX
}

/// Exponential backoff with full jitter. The jitter comes from what failed and how often, so that messages that failed
/// together come back apart, and a run that is repeated decides alike.
fn backoff_ms(policy: &Policy, key: &RedriveKey, attempt: Attempt) -> i64 {
    let doublings = attempt.number.saturating_sub(1).min(20);
    let ceiling_s = u64::from(policy.backoff_base_s) << doublings;
    let ceiling_ms = ceiling_s.min(u64::from(policy.backoff_max_s)) * 1_000;
    let hash = Sha256::digest(format!("{key}\n{}\n{}", attempt.generation, attempt.number));
    let random = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    i64::try_from(random % (ceiling_ms + 1)).unwrap_or(i64::MAX)
}

fn later(now: Timestamp, duration_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(duration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { redrives_max: 5, backoff_base_s: 300, backoff_max_s: 21_600 };

    fn backoff_s(event: usize, number: u32) -> i64 {
        let key = RedriveKey::new("order-placed", &format!("e-{event}"));
        backoff_ms(&POLICY, &key, Attempt { generation: 0, number }) / 1_000
    }

    #[test]
    fn the_wait_is_drawn_from_the_whole_of_a_range_that_doubles_up_to_a_limit() {
        for (number, ceiling_s) in [(1, 300), (2, 600), (3, 1_200), (7, 19_200), (8, 21_600), (400, 21_600)] {
            let waits: Vec<i64> = (0..2_000).map(|event| backoff_s(event, number)).collect();
            assert!(waits.iter().all(|wait_s| (0..=ceiling_s).contains(wait_s)), "{number}");
            assert!(waits.iter().any(|wait_s| *wait_s < ceiling_s / 50), "full jitter begins at nothing");
            assert!(waits.iter().any(|wait_s| *wait_s > ceiling_s - ceiling_s / 50), "and ends at the limit");
            let mean = waits.iter().sum::<i64>() / 2_000;
            assert!((mean - ceiling_s / 2).abs() < ceiling_s / 20, "{number}: {mean}");
        }
    }

    #[test]
    fn a_repeated_decision_waits_as_long() {
        assert_eq!(backoff_s(1, 3), backoff_s(1, 3));
    }
}
