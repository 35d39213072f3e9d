use domain::EventId;
use futures_util::future::join_all;

use super::{assert_permanent, event_id, instant, ok, persist};
use crate::{AdmittedEvent, Commit, EventLedger, PortError};

/// Who hands events in, unless it is said otherwise.
const PRODUCER: &str = "carrier-1";
/// How many callers hand in events under one id at the same time.
const WRITERS: i64 = 50;

/// The suite of [`EventLedger`].
pub async fn event_ledger<L: EventLedger>(ledger: &L, unique: &str) {
    let suite = Suite { ledger, unique };
    suite.an_id_is_admitted_once_and_stands_for_one_event().await;
    suite.a_publication_is_noted_once_and_changes_nothing_else().await;
    suite.nothing_is_noted_of_an_unknown_event().await;
    suite.an_id_of_one_producer_is_no_id_of_another().await;
    suite.every_id_that_an_event_may_have_is_told_from_every_other().await;
    suite.of_racing_events_one_stands().await;
}

struct Suite<'a, L> {
    ledger: &'a L,
    unique: &'a str,
}

impl<L: EventLedger> Suite<'_, L> {
    async fn an_id_is_admitted_once_and_stands_for_one_event(&self) {
        let id = event_id(self.unique, "admit");
        assert_eq!(ok(self.admit(&id, "payments", 1).await), Commit::Written);
        let stands = admitted("payments", 1);
        for (source, number) in [("payments", 1), ("payments", 2), ("shipping", 1), ("shipping", 3)] {
            let answer = ok(self.admit(&id, source, number).await);
            assert_eq!(answer, Commit::Existing(stands.clone()), "{source} {number}");
        }
        let other = event_id(self.unique, "admit-other");
        assert_eq!(ok(self.admit(&other, "payments", 1).await), Commit::Written, "the same under another id");
    }

    async fn a_publication_is_noted_once_and_changes_nothing_else(&self) {
        let (id, other) = (event_id(self.unique, "note"), event_id(self.unique, "note-other"));
        for id in [&id, &other] {
            ok(self.admit(id, "shipping", 1).await);
        }
        for later in [7, 8] {
            ok(self.ledger.note_published(PRODUCER, &id, instant(later)).await);
            let stands = AdmittedEvent { published_at: Some(instant(7)), ..admitted("shipping", 1) };
            assert_eq!(ok(self.admit(&id, "shipping", 2).await), Commit::Existing(stands));
        }
        let answer = ok(self.admit(&other, "shipping", 2).await);
        assert_eq!(answer, Commit::Existing(admitted("shipping", 1)), "another event is as it was");
    }

    async fn nothing_is_noted_of_an_unknown_event(&self) {
        let id = event_id(self.unique, "unknown");
        assert_permanent(self.ledger.note_published(PRODUCER, &id, instant(1)).await);
        assert_eq!(ok(self.admit(&id, "payments", 1).await), Commit::Written, "nothing was written");
    }

    async fn an_id_of_one_producer_is_no_id_of_another(&self) {
        let id = &event_id(self.unique, "producer");
        for (number, producer) in (1..).zip(["carrier", PRODUCER, "provider"]) {
            let admit = async || self.ledger.admit(producer, id, "shipping", "same", instant(number)).await;
            assert_permanent(self.ledger.note_published(producer, id, instant(9)).await);
            assert_eq!(ok(admit().await), Commit::Written, "{producer}");
            let published_at = (number == 2).then_some(instant(number));
            if let Some(at) = published_at {
                ok(self.ledger.note_published(producer, id, at).await);
            }
            let (source, fingerprint) = ("shipping".to_owned(), "same".to_owned());
            let stands = AdmittedEvent { source, fingerprint, admitted_at: instant(number), published_at };
            assert_eq!(ok(admit().await), Commit::Existing(stands), "{producer}");
        }
    }

    async fn every_id_that_an_event_may_have_is_told_from_every_other(&self) {
        let visible: String = ('!'..='~').collect();
        let longest = "x".repeat(EventId::LENGTH_MAX - self.unique.len() - 2);
        for name in [visible.as_str(), "case", "CASE", &longest, &format!("{longest}y")] {
            let id = event_id(self.unique, name);
            assert_eq!(ok(self.admit(&id, "payments", 1).await), Commit::Written, "{id}");
            ok(self.ledger.note_published(PRODUCER, &id, instant(2)).await);
            let stands = AdmittedEvent { published_at: Some(instant(2)), ..admitted("payments", 1) };
            assert_eq!(ok(self.admit(&id, "payments", 1).await), Commit::Existing(stands), "{id}");
        }
    }

    async fn of_racing_events_one_stands(&self) {
        let id = &event_id(self.unique, "race");
        let admit = |number| persist(async move || self.admit(id, source_of(number), number).await);
        let answers = join_all((0..WRITERS).map(admit)).await;
        let Commit::Existing(stands) = ok(self.admit(id, "payments", WRITERS).await) else {
            panic!("an event was admitted")
        };
        let winner = (0..WRITERS).find(|number| admitted(source_of(*number), *number) == stands);
        let winner = winner.expect("one event, not parts of two");
        for (number, answer) in (0..WRITERS).zip(answers) {
            match answer {
                Commit::Written => assert_eq!(number, winner, "whoever was told so wrote it"),
                Commit::Existing(existing) => assert_eq!(existing, stands, "everyone is told the winner"),
            }
        }
    }

    async fn admit(
        &self,
        id: &EventId,
        source: &str,
        number: i64,
    ) -> Result<Commit<AdmittedEvent>, PortError> {
        self.ledger.admit(PRODUCER, id, source, &fingerprint(number), instant(number)).await
    }
}

fn source_of(number: i64) -> &'static str {
    if number % 2 == 0 { "payments" } else { "shipping" }
}

fn fingerprint(number: i64) -> String {
    format!("fingerprint-{number}")
}

fn admitted(source: &str, number: i64) -> AdmittedEvent {
    AdmittedEvent {
        source: source.to_owned(),
        fingerprint: fingerprint(number),
        admitted_at: instant(number),
        published_at: None,
    }
}
