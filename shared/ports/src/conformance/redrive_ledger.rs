use domain::{
    Attempt, Concerning, Failure, Hidden, RedriveKey, RedriveReason, RedriveRecord, RedriveState, Verdict,
};
use futures_util::future::join_all;

use super::{RACERS, assert_permanent, event_id, instant, ok, order_id, persist};
use crate::RedriveLedger;

/// The suite of [`RedriveLedger`]: every step, taken in the ledger and in [`RedriveRecord`], comes to the same.
pub async fn redrive_ledger<L: RedriveLedger>(ledger: &L, unique: &str) {
    let suite = Suite { ledger, unique };
    suite.nothing_is_known_of_a_new_message().await;
    suite.every_step_is_taken_once().await;
    suite.steps_in_any_order_come_to_what_the_record_says().await;
    suite.of_racing_copies_one_counts().await;
    suite.what_races_a_verdict_does_not_undo_it().await;
}

#[derive(Debug, Clone)]
enum Step {
    Count(Failure),
    Hide(Attempt, Hidden),
    Quarantine(u32, Verdict),
    Announce(u32),
    Release(u32),
}

struct Suite<'a, L> {
    ledger: &'a L,
    unique: &'a str,
}

impl<L: RedriveLedger> Suite<'_, L> {
    async fn nothing_is_known_of_a_new_message(&self) {
        let key = self.key("new");
        assert_eq!(ok(self.ledger.find(&key).await), None);
        for step in [hide(0, 1), Step::Announce(0), Step::Release(0)] {
            self.take(&key, &step).await;
        }
        assert_permanent(self.ledger.quarantine(&key, 0, &verdict(1)).await);
        assert_eq!(ok(self.ledger.find(&key).await), None, "nothing is written for it");
    }

    async fn every_step_is_taken_once(&self) {
        let key = self.key("once");
        let history = [
            self.count(0, 1, 10),
            hide(0, 1),
            self.count(0, 2, 20),
            hide(0, 2),
            Step::Quarantine(0, verdict(30)),
            Step::Announce(0),
            Step::Release(0),
            self.count(1, 1, 40),
            Step::Quarantine(1, verdict(50)),
        ];
        let mut expected = None;
        for (index, step) in history.iter().enumerate() {
            apply(&key, &mut expected, step);
            assert_eq!(self.take(&key, step).await, expected, "{step:?}");
            // Whatever was done before changes nothing when it is done again.
            for earlier in &history[..=index] {
                if !matches!(earlier, Step::Hide(..)) {
                    assert_eq!(self.take(&key, earlier).await, expected, "{earlier:?} again after {step:?}");
                }
            }
            assert_eq!(ok(self.ledger.find(&key).await), expected);
        }
        let stands = expected.expect("it was counted");
        assert_eq!(
            (stands.state, stands.attempt),
            (RedriveState::Quarantining, Attempt { generation: 1, number: 1 })
        );
        assert!(ok(self.ledger.all().await).contains(&stands));
    }

    async fn steps_in_any_order_come_to_what_the_record_says(&self) {
        let steps = [
            self.count(0, 1, 1),
            self.count(0, 3, 2),
            self.count(0, 2, 3),
            self.count(1, 1, 4),
            self.count(1, 2, 5),
            hide(0, 3),
            Step::Quarantine(0, verdict(6)),
            Step::Quarantine(1, verdict(7)),
            Step::Announce(0),
            Step::Announce(1),
            Step::Release(0),
            Step::Release(1),
        ];
        for begin in 0..steps.len() {
            for stride in [1, 5, 7, 11] {
                let key = self.key(&format!("order-{begin}-{stride}"));
                let mut expected = None;
                apply(&key, &mut expected, &steps[0]);
                self.take(&key, &steps[0]).await;
                for index in 0..steps.len() {
                    let step = &steps[(begin + index * stride) % steps.len()];
                    apply(&key, &mut expected, step);
                    assert_eq!(self.take(&key, step).await, expected, "{begin} {stride}: {step:?}");
                }
            }
        }
    }

    async fn of_racing_copies_one_counts(&self) {
        let key = &self.key("race-count");
        let failures: Vec<Failure> = (0..RACERS as i64).map(|number| self.failure(0, 1, number)).collect();
        let count = |failure| persist(async move || self.ledger.count(key, failure).await);
        let answers = join_all(failures.iter().map(count)).await;
        let stands = ok(self.ledger.find(key).await).expect("it was counted");
        assert!(answers.iter().all(|answer| *answer == stands), "everyone reads the one that counted");
        assert!(failures.iter().any(|failure| RedriveRecord::begin(key.clone(), failure) == stands));
    }

    async fn what_races_a_verdict_does_not_undo_it(&self) {
        let key = &self.key("race-verdict");
        ok(self.ledger.count(key, &self.failure(0, 1, 0)).await);
        let later: Vec<Failure> = (0..RACERS as i64).map(|number| self.failure(0, 2, 10 + number)).collect();
        let count = |failure| persist(async move || self.ledger.count(key, failure).await);
        let give_up = persist(async move || self.ledger.quarantine(key, 0, &verdict(99)).await);
        let (_, given_up) = futures_util::future::join(join_all(later.iter().map(count)), give_up).await;
        assert_eq!((given_up.state, &given_up.reason), (RedriveState::Quarantining, &verdict(99).reason));
        let stands = ok(self.ledger.find(key).await).expect("it was counted");
        assert_eq!(stands, given_up, "nothing counts after the verdict");
    }

    /// Takes a step and returns what stands then.
    async fn take(&self, key: &RedriveKey, step: &Step) -> Option<RedriveRecord> {
        match step {
            Step::Count(failure) => Some(ok(self.ledger.count(key, failure).await)),
            Step::Quarantine(generation, verdict) => {
                Some(ok(self.ledger.quarantine(key, *generation, verdict).await))
            }
            Step::Hide(attempt, hidden) => {
                ok(self.ledger.note_hidden(key, *attempt, hidden).await);
                ok(self.ledger.find(key).await)
            }
            Step::Announce(generation) => {
                ok(self.ledger.note_announced(key, *generation).await);
                ok(self.ledger.find(key).await)
            }
            Step::Release(generation) => {
                ok(self.ledger.note_released(key, *generation).await);
                ok(self.ledger.find(key).await)
            }
        }
    }

    fn key(&self, name: &str) -> RedriveKey {
        RedriveKey::new("conformance", &format!("{name}-{}", self.unique))
    }

    fn count(&self, generation: u32, number: u32, at: i64) -> Step {
        Step::Count(self.failure(generation, number, at))
    }

    fn failure(&self, generation: u32, number: u32, at: i64) -> Failure {
        // The first knows everything of its message, the others next to nothing.
        let concerning = Concerning {
            consumer: "conformance".to_owned(),
            event_id: (number == 1).then(|| event_id(self.unique, "event")),
            event_type: (number == 1).then(|| "orders.order-placed.v1".to_owned()),
            order_id: (number == 1).then(|| order_id(self.unique, "order")),
        };
        Failure {
            attempt: Attempt { generation, number },
            at: instant(at),
            due_at: instant(at + 60_000),
            reason: RedriveReason { code: format!("code_{at}"), text: format!("it failed: \"{at}\" ü") },
            concerning,
        }
    }
}

fn hide(generation: u32, number: u32) -> Step {
    let hidden = Hidden {
        queue: "conformance-queue".to_owned(),
        receipt_handle: format!("handle/{number}+=="),
        until: instant(i64::from(number)),
    };
    Step::Hide(Attempt { generation, number }, hidden)
}

fn verdict(at: i64) -> Verdict {
    Verdict {
        reason: RedriveReason { code: "too_often".to_owned(), text: format!("at {at}") },
        at: instant(at),
    }
}

/// The same step, taken in memory.
fn apply(key: &RedriveKey, record: &mut Option<RedriveRecord>, step: &Step) {
    match (record.as_mut(), step) {
        (None, Step::Count(failure)) => *record = Some(RedriveRecord::begin(key.clone(), failure)),
        (None, _) => {}
        (Some(record), Step::Count(failure)) => {
            record.count(failure);
        }
        (Some(record), Step::Hide(attempt, hidden)) => {
            record.hide(*attempt, hidden);
        }
        (Some(record), Step::Quarantine(generation, verdict)) => {
            record.quarantine(*generation, verdict);
        }
        (Some(record), Step::Announce(generation)) => {
            record.announce(*generation);
        }
        (Some(record), Step::Release(generation)) => {
            record.release(*generation);
        }
    }
}
