use std::fmt;

use crate::{EventId, OrderId, Timestamp};

/// What failed where: one event at one consumer. However many copies of its message there are, and whatever ids the
/// queues give them, they are counted under this.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedriveKey(Box<str>);

impl RedriveKey {
    /// `message` is the id of the event, or a hash of what has none.
    #[must_use]
    pub fn new(consumer: &str, message: &str) -> Self {
        Self(format!("{consumer}#{message}").into())
    }

    /// From a stored key.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedriveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedriveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedriveKey({})", self.0)
    }
}

/// How far a message has come: the how many-th time it failed, since it was released for the how many-th time. It
/// travels with the message, so a copy that was left behind is recognised as the copy that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt {
    /// How often it was released from quarantine. Each release begins a count of its own.
    pub generation: u32,
    /// How often it failed since.
    pub number: u32,
}

impl Attempt {
    /// The attempt that has failed when a message that carries `self` turns up among the dead letters.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    /// Where a release begins.
    #[must_use]
    pub fn first_of_next_generation(self) -> Self {
        Self { generation: self.generation.saturating_add(1), number: 0 }
    }
}

/// Why a message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveReason {
    /// For programs.
    pub code: String,
    /// For people; repeats no value of the message.
    pub text: String,
}

/// Which message it is, as far as can be told without a word of its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Concerning {
    /// Who was to handle it.
    pub consumer: String,
    /// The event in it.
    pub event_id: Option<EventId>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The order that the event is about.
    pub order_id: Option<OrderId>,
}

/// One failure, to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which attempt failed.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
    /// Before this it is not tried again.
    pub due_at: Timestamp,
    /// Why.
    pub reason: RedriveReason,
    /// What.
    pub concerning: Concerning,
}

/// Where a message lies hidden until it is due, so that it can be fetched from there before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The queue.
    pub queue: String,
    /// The delivery that hid it.
    pub receipt_handle: String,
    /// Until when.
    pub until: Timestamp,
}

/// Why and when a message was given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: RedriveReason,
    /// When.
    pub at: Timestamp,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedriveState {
    /// Its latest failure is counted. It is sent again when it is due.
    Waiting,
    /// It is given up on. What follows from that (object, event, alert) may not be done yet.
    Quarantining,
    /// It is kept, and whoever has to know was told. Its copies can go.
    Quarantined,
    /// It was brought back, and has not failed since.
    Released,
}

impl RedriveState {
    /// The name under which it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Quarantining => "quarantining",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
        }
    }

    /// Reads a stored name. `None` when there is no such state.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Quarantining, Self::Quarantined, Self::Released]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// True while it may still be sent again.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Released)
    }
}

/// What is known of a message that failed.
///
/// ```text
///              count                  quarantine                announce
///   (nothing) ──────▶ waiting ───────────────────▶ quarantining ─────────▶ quarantined
///                     ▲  │ count: a later attempt        ▲                   │    ▲ │
///                     │◀─┘                               │ quarantine        │    │ │ (copies are deleted)
///                     │ count                            │                   │    └─┘
///                     └────────────────────────────── released ◀─────────────┘
///                                                            release: the next generation begins
/// ```
///
/// Every step happens at most once: a count only for an attempt later than the last one counted, all others only
/// from the state before. Whoever comes second reads what stands there and goes on from that. A generation begins
/// only when the one before is quarantined, so a copy of an earlier generation is kept there, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveRecord {
    /// What failed where.
    pub key: RedriveKey,
    /// Which message it is.
    pub concerning: Concerning,
    /// The last attempt counted.
    pub attempt: Attempt,
    /// Where it stands.
    pub state: RedriveState,
    /// Why it failed last, or why it was given up on.
    pub reason: RedriveReason,
    /// The first failure counted, of any generation.
    pub first_failed_at: Timestamp,
    /// The last failure counted.
    pub last_failed_at: Timestamp,
    /// While it waits: when it is due.
    pub due_at: Timestamp,
    /// While it waits: where it is.
    pub hidden: Option<Hidden>,
    /// When it was given up on, unless it was released since.
    pub quarantined_at: Option<Timestamp>,
}

impl RedriveRecord {
    /// The first failure of a message.
    #[must_use]
    pub fn begin(key: RedriveKey, failure: &Failure) -> Self {
        Self {
            key,
            concerning: failure.concerning.clone(),
            attempt: failure.attempt,
            state: RedriveState::Waiting,
            reason: failure.reason.clone(),
            first_failed_at: failure.at,
            last_failed_at: failure.at,
            due_at: failure.due_at,
            hidden: None,
            quarantined_at: None,
        }
    }

    /// Counts a failure. False, and nothing changes, when it or a later one is counted, or when the generation ended.
    pub fn count(&mut self, failure: &Failure) -> bool {
        let is_new = failure.attempt > self.attempt
            && (self.state.is_open() || failure.attempt.generation > self.attempt.generation);
        if is_new {
            let first_failed_at = self.first_failed_at;
            *self = Self { first_failed_at, ..Self::begin(self.key.clone(), failure) };
        }
        is_new
    }

    /// Remembers where the message waits. False, and nothing changes, unless it waits at this attempt.
    pub fn hide(&mut self, attempt: Attempt, hidden: &Hidden) -> bool {
        let waits = self.state == RedriveState::Waiting && self.attempt == attempt;
        if waits {
            self.hidden = Some(hidden.clone());
        }
        waits
    }

    /// Gives up on it. False, and nothing changes, unless this generation is still open.
    pub fn quarantine(&mut self, generation: u32, verdict: &Verdict) -> bool {
        let is_open = self.state.is_open() && self.attempt.generation == generation;
        if is_open {
            self.state = RedriveState::Quarantining;
            self.reason = verdict.reason.clone();
            self.quarantined_at = Some(verdict.at);
            self.hidden = None;
        }
        is_open
    }

    /// It is kept, and everyone was told. False, and nothing changes, unless that was still to be done.
    pub fn announce(&mut self, generation: u32) -> bool {
        let is_open = self.state == RedriveState::Quarantining && self.attempt.generation == generation;
        if is_open {
            self.state = RedriveState::Quarantined;
        }
        is_open
    }

    /// It was brought back. False, and nothing changes, unless this generation is in quarantine.
    pub fn release(&mut self, generation: u32) -> bool {
        let is_kept = self.state == RedriveState::Quarantined && self.attempt.generation == generation;
        if is_kept {
            self.attempt = self.attempt.first_of_next_generation();
            self.state = RedriveState::Released;
            self.quarantined_at = None;
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(generation: u32, number: u32) -> Failure {
        let at = Timestamp::from_unix_ms(i64::from(generation * 100 + number));
        Failure {
            attempt: Attempt { generation, number },
            at,
            due_at: at,
            reason: RedriveReason { code: "deliveries_exhausted".into(), text: "it failed".into() },
            concerning: Concerning::default(),
        }
    }

    fn verdict() -> Verdict {
        let reason = RedriveReason { code: "attempts_exhausted".into(), text: "too often".into() };
        Verdict { reason, at: Timestamp::from_unix_ms(1) }
    }

    fn record(failures: &[Failure]) -> RedriveRecord {
        let mut record = RedriveRecord::begin(RedriveKey::new("order-placed", "e-1"), &failures[0]);
        failures[1..].iter().for_each(|failure| assert!(record.count(failure)));
        record
    }

    #[test]
    fn an_attempt_is_counted_once_however_many_copies_carry_it() {
        let mut record = record(&[failure(0, 1), failure(0, 2)]);
        let before = record.clone();
        for copy in [failure(0, 1), failure(0, 2)] {
            assert!(!record.count(&copy));
            assert_eq!(record, before);
        }
        assert!(record.count(&failure(0, 3)));
        assert_eq!(
            (record.attempt.number, record.first_failed_at, record.last_failed_at.unix_ms()),
            (3, before.first_failed_at, 3)
        );
    }

    #[test]
    fn what_is_given_up_on_is_counted_again_only_after_a_release() {
        let mut record = record(&[failure(0, 6)]);
        assert!(record.quarantine(0, &verdict()));
        assert!(!record.quarantine(0, &verdict()) && !record.count(&failure(0, 7)) && !record.release(0));
        assert!(record.announce(0));
        assert!(!record.announce(0) && !record.count(&failure(0, 7)));
        assert!(record.release(0));
        assert!(!record.release(0), "a second release finds it done");
        assert_eq!(
            (record.attempt, record.state),
            (Attempt { generation: 1, number: 0 }, RedriveState::Released)
        );
        assert!(!record.count(&failure(0, 7)), "a copy of the generation that ended");
        assert!(record.count(&failure(1, 1)));
        assert_eq!(record.state, RedriveState::Waiting);
        assert!(!record.quarantine(0, &verdict()) && record.quarantine(1, &verdict()));
        assert!(!record.announce(0) && record.announce(1));
        assert!(!record.release(0) && record.release(1), "each generation is released by its own name");
    }

    #[test]
    fn a_failure_of_a_release_counts_also_when_the_release_was_not_noted() {
        let mut record = record(&[failure(0, 6)]);
        assert!(record.quarantine(0, &verdict()) && record.announce(0));
        assert!(record.count(&failure(1, 1)));
        assert!(!record.release(0), "the note comes too late");
        assert_eq!((record.attempt.generation, record.state), (1, RedriveState::Waiting));
    }

    #[test]
    fn only_what_waits_at_this_attempt_is_noted_as_hidden() {
        let hidden =
            Hidden { queue: "q".into(), receipt_handle: "h".into(), until: Timestamp::from_unix_ms(9) };
        let mut record = record(&[failure(0, 1)]);
        assert!(!record.hide(Attempt { generation: 0, number: 2 }, &hidden));
        assert_eq!(record.hidden, None);
        assert!(record.hide(Attempt { generation: 0, number: 1 }, &hidden));
        assert_eq!(record.hidden, Some(hidden));
        assert!(record.count(&failure(0, 2)));
        assert_eq!(record.hidden, None, "a later attempt lies elsewhere");
    }

    #[test]
    fn states_are_read_back_as_written() {
        for state in [
            RedriveState::Waiting,
            RedriveState::Quarantining,
            RedriveState::Quarantined,
            RedriveState::Released,
        ] {
            assert_eq!(RedriveState::parse(state.as_str()), Some(state));
        }
        assert_eq!(RedriveState::parse("lost"), None);
    }

    proptest! {
        #[test]
        fn attempts_only_ever_grow(steps in prop::collection::vec((0_u32..4, 0_u32..3, 1_u32..5), 0..40)) {
            let mut record = record(&[failure(0, 1)]);
            for (step, generation, number) in steps {
                let before = record.clone();
                let done = match step {
                    0 => record.count(&failure(generation, number)),
                    1 => record.quarantine(generation, &verdict()),
                    2 => record.announce(generation),
                    _ => record.release(generation),
                };
                prop_assert_eq!(done, record != before);
                prop_assert!(record.attempt >= before.attempt);
                prop_assert_eq!(record.first_failed_at, before.first_failed_at);
                prop_assert_eq!(record.quarantined_at.is_none(), record.state.is_open());
            }
        }
    }
}
