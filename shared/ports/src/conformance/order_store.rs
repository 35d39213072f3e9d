use contracts::{Line, Money, OrderAccepted, Personal, Reason};
use domain::{EventId, OrderId, Outcome, Settlement, Timestamp};
use futures_util::future::{join, join_all};

use super::{Racer, assert_permanent, event_id, instant, ok, order_id, persist};
use crate::{
    CallOff, Commit, NewOrder, OrderDecision, OrderRecord, OrderStore, RECORD_BYTES_MAX, Registration,
};

/// The suite of [`OrderStore`].
pub async fn order_store<S: OrderStore>(store: &S, unique: &str) {
    let suite = Suite { store, unique };
    suite.an_order_is_taken_in_once().await;
    suite.a_decision_is_written_once().await;
    suite.a_rejection_settles_the_order().await;
    suite.a_settled_order_stays_settled().await;
    suite.a_settlement_is_written_once().await;
    suite.taking_an_order_in_late_loses_nothing().await;
    suite.what_is_too_large_is_refused().await;
    suite.of_racing_requests_one_is_taken_in().await;
    suite.of_racing_decisions_one_stands().await;
    suite.of_racing_settlements_one_stands().await;
    suite.a_wish_to_call_off_is_noted_once_and_only_while_it_can_be_granted().await;
}

struct Suite<'a, S> {
    store: &'a S,
    unique: &'a str,
}

impl<S: OrderStore> Suite<'_, S> {
    async fn an_order_is_taken_in_once(&self) {
        for (name, traceparent) in [("open", None), ("open-traced", Some("00-0af7-b7ad-01".to_owned()))] {
            let order_id = order_id(self.unique, name);
            assert_eq!(self.find(&order_id).await, None, "nothing is known of a new order");
            let first = NewOrder { traceparent, ..new_order(&order_id, "first") };
            assert_eq!(ok(self.store.open(&first).await), Commit::Written);
            assert_eq!(self.find(&order_id).await, Some(OPENED), "taken in, not decided");

            let second = NewOrder { placed_at: instant(9), ..new_order(&order_id, "second") };
            assert_eq!(ok(self.store.open(&first).await), Commit::Existing(first.clone()), "the same again");
            assert_eq!(
                ok(self.store.open(&second).await),
                Commit::Existing(first.clone()),
                "another request"
            );
            assert_eq!(ok(self.store.open(&first).await), Commit::Existing(first), "the first one stays");
        }
    }

    async fn a_decision_is_written_once(&self) {
        for (name, is_opened) in [("register", true), ("register-unopened", false)] {
            let order_id = order_id(self.unique, name);
            if is_opened {
                ok(self.store.open(&new_order(&order_id, "first")).await);
            }
            let (first, second) = (self.event("accept"), self.event("accept-again"));
            let accepted = registration(&order_id, accepted(&order_id), &first, instant(1));
            let stands = OrderRecord {
                registered: Some(accepted.registered()),
                settlement: None,
                payment_asked: false,
            };
            assert_eq!(ok(self.store.register(&accepted).await), stands);
            assert_eq!(ok(self.store.register(&accepted).await), stands, "the same again");

            let other = Registration { decided_by: second, decided_at: instant(2), ..accepted };
            assert_eq!(ok(self.store.register(&other).await), stands, "another event");
            let rejected = Registration { decision: rejected(), ..other };
            assert_eq!(ok(self.store.register(&rejected).await), stands, "a rejection that comes too late");
            assert_eq!(self.find(&order_id).await, Some(stands));
        }
    }

    async fn a_rejection_settles_the_order(&self) {
        let order_id = order_id(self.unique, "reject");
        let event = self.event("reject");
        let settlement = settlement(Outcome::Rejected, &event, instant(1));
        let rejection = registration(&order_id, rejected(), &event, instant(1));
        let stands = OrderRecord {
            registered: Some(rejection.registered()),
            settlement: Some(settlement.clone()),
            payment_asked: false,
        };
        assert_eq!(ok(self.store.register(&rejection).await), stands);
        assert_eq!(ok(self.store.register(&rejection).await), stands, "the same again");
        let late = registration(&order_id, accepted(&order_id), &self.event("accept"), instant(2));
        assert_eq!(ok(self.store.register(&late).await), stands, "an acceptance that comes too late");
        assert_eq!(self.find(&order_id).await, Some(stands));

        let cancelled = self::settlement(Outcome::Cancelled, &self.event("cancel"), instant(3));
        let answer = ok(self.store.settle(&order_id, &cancelled, &reasons()).await);
        assert_eq!(answer, settlement, "a rejected order is settled");
    }

    async fn a_settled_order_stays_settled(&self) {
        for (name, decision_of) in
            [("settled-accept", accepted as fn(&OrderId) -> _), ("settled-reject", |_: &OrderId| rejected())]
        {
            let order_id = order_id(self.unique, name);
            let cancelled = settlement(Outcome::Cancelled, &self.event("cancel"), instant(1));
            assert_eq!(ok(self.store.settle(&order_id, &cancelled, &reasons()).await), cancelled);
            let stands =
                OrderRecord { registered: None, settlement: Some(cancelled.clone()), payment_asked: false };
            assert_eq!(self.find(&order_id).await, Some(stands), "settled, though not known before");

            let event = self.event("decide");
            let decision = registration(&order_id, decision_of(&order_id), &event, instant(2));
            let stands = OrderRecord {
                registered: Some(decision.registered()),
                settlement: Some(cancelled),
                payment_asked: false,
            };
            assert_eq!(ok(self.store.register(&decision).await), stands);
            assert_eq!(self.find(&order_id).await, Some(stands));
        }
    }

    async fn a_settlement_is_written_once(&self) {
        let order_id = order_id(self.unique, "settle");
        ok(self.store.open(&new_order(&order_id, "first")).await);
        let accepted = registration(&order_id, accepted(&order_id), &self.event("accept"), instant(1));
        ok(self.store.register(&accepted).await);
        let first = settlement(Outcome::Confirmed, &self.event("confirm"), instant(2));
        let second = settlement(Outcome::Cancelled, &self.event("cancel"), instant(3));
        for settlement in [&first, &first, &second, &first] {
            assert_eq!(ok(self.store.settle(&order_id, settlement, &reasons()).await), first);
        }
        let registered = Some(accepted.registered());
        assert_eq!(
            self.find(&order_id).await,
            Some(OrderRecord { registered, settlement: Some(first), payment_asked: false })
        );
    }

    /// An order can be registered or settled by an event that did not come from the API. Whether it then counts as
    /// unknown to the API is the implementation's choice; what stands must stay.
    async fn taking_an_order_in_late_loses_nothing(&self) {
        let (registered, settled) = (order_id(self.unique, "late-1"), order_id(self.unique, "late-2"));
        let accepted = registration(&registered, accepted(&registered), &self.event("accept"), instant(1));
        ok(self.store.register(&accepted).await);
        let cancelled = settlement(Outcome::Cancelled, &self.event("cancel"), instant(1));
        ok(self.store.settle(&settled, &cancelled, &reasons()).await);
        for order_id in [registered, settled] {
            let stands = self.find(&order_id).await;
            drop(self.store.open(&new_order(&order_id, "late")).await);
            assert_eq!(self.find(&order_id).await, stands);
        }
    }

    async fn what_is_too_large_is_refused(&self) {
        let order_id = order_id(self.unique, "too-large");
        let reasons = vec![Reason::new("customer_request", "x".repeat(RECORD_BYTES_MAX))];
        ok(self.store.open(&new_order(&order_id, "first")).await);
        let rejected = OrderDecision::Rejected(reasons.clone());
        let rejection = registration(&order_id, rejected, &self.event("reject"), instant(1));
        assert_permanent(self.store.register(&rejection).await);
        let cancelled = settlement(Outcome::Cancelled, &self.event("cancel"), instant(2));
        assert_permanent(self.store.settle(&order_id, &cancelled, &reasons).await);
        assert_eq!(self.find(&order_id).await, Some(OPENED), "nothing is written");
    }

    async fn of_racing_requests_one_is_taken_in(&self) {
        let order_id = order_id(self.unique, "race-open");
        let requests: Vec<NewOrder> = Racer::all(self.unique, "open")
            .iter()
            .map(|racer| new_order(&order_id, racer.event_id.as_str()))
            .collect();
        let open = |request| persist(async move || self.store.open(request).await);
        let answers = join_all(requests.iter().map(open)).await;
        let Commit::Existing(winner) = ok(self.store.open(&requests[0]).await) else {
            panic!("the order is known");
        };
        assert!(answers.iter().filter(|answer| **answer == Commit::Written).count() <= 1, "one writes");
        for (request, answer) in requests.iter().zip(answers) {
            match answer {
                Commit::Written => assert_eq!(*request, winner, "whoever was told so wrote it"),
                Commit::Existing(existing) => assert_eq!(existing, winner, "everyone is told the winner"),
            }
        }
    }

    async fn of_racing_decisions_one_stands(&self) {
        let order_id = order_id(self.unique, "race-register");
        let registrations: Vec<Registration> = Racer::all(self.unique, "register")
            .iter()
            .map(|racer| {
                let decision = if racer.number % 2 == 0 { accepted(&order_id) } else { rejected() };
                registration(&order_id, decision, &racer.event_id, instant(racer.number))
            })
            .collect();
        let register = |registration| persist(async move || self.store.register(registration).await);
        let answers = join_all(registrations.iter().map(register)).await;
        let stands = self.find(&order_id).await.expect("the order is known");
        assert!(answers.iter().all(|answer| *answer == stands), "everyone is told the winner: {answers:?}");

        let registered = stands.registered.clone().expect("the order is registered");
        let winner = registrations.iter().find(|it| it.decided_by == registered.decided_by);
        let winner = winner.expect("a racer won");
        assert_eq!(registered, winner.registered(), "one decision, not parts of two");
        let settled = || settlement(Outcome::Rejected, &registered.decided_by, registered.decided_at);
        let settlement = registered.rejection.as_ref().map(|_| settled());
        assert_eq!(stands.settlement, settlement, "settled by the decision that stands");
    }

    async fn of_racing_settlements_one_stands(&self) {
        let order_id = &order_id(self.unique, "race-settle");
        let settlements: Vec<Settlement> = Racer::all(self.unique, "settle")
            .iter()
            .map(|racer| {
                let outcome = if racer.number % 2 == 0 { Outcome::Confirmed } else { Outcome::Cancelled };
                settlement(outcome, &racer.event_id, instant(racer.number))
            })
            .collect();
        let reasons = &reasons();
        let settle =
            |settlement| persist(async move || self.store.settle(order_id, settlement, reasons).await);
        let rejection = &registration(order_id, rejected(), &self.event("reject"), instant(50));
        let register = persist(async || self.store.register(rejection).await);
        let (answers, record) = join(join_all(settlements.iter().map(settle)), register).await;
        let stands = self.find(order_id).await.and_then(|record| record.settlement);
        assert_eq!(record.settlement, stands, "the rejection is told the winner");
        for answer in answers {
            assert_eq!(Some(answer), stands, "everyone is told the winner");
        }
    }

    async fn find(&self, order_id: &OrderId) -> Option<OrderRecord> {
        ok(self.store.find(order_id).await)
    }

    async fn a_wish_to_call_off_is_noted_once_and_only_while_it_can_be_granted(&self) {
        let order_id = order_id(self.unique, "call-off");
        assert_eq!(ok(self.store.call_off(&order_id, instant(1)).await), CallOff::Unknown);
        assert_eq!(self.find(&order_id).await, None, "nothing was written of an unknown order");

        ok(self.store.open(&new_order(&order_id, "call-off")).await);
        assert_eq!(ok(self.store.call_off(&order_id, instant(2)).await), CallOff::Noted(instant(2)));
        assert_eq!(ok(self.store.call_off(&order_id, instant(3)).await), CallOff::Noted(instant(2)), "again");
        assert_eq!(self.find(&order_id).await, Some(OPENED), "that settles nothing");

        let confirmed = settlement(Outcome::Confirmed, &self.event("call-off-too-late"), instant(4));
        ok(self.store.settle(&order_id, &confirmed, &[]).await);
        assert_eq!(ok(self.store.call_off(&order_id, instant(5)).await), CallOff::Ended(Outcome::Confirmed));
    }

    fn event(&self, name: &str) -> EventId {
        event_id(self.unique, name)
    }
}

const OPENED: OrderRecord = OrderRecord { registered: None, settlement: None, payment_asked: false };

fn new_order(order_id: &OrderId, request: &str) -> NewOrder {
    NewOrder {
        order_id: order_id.clone(),
        request_hash: format!("hash of {request}"),
        placed_at: instant(0),
        traceparent: None,
    }
}

fn registration(
    order_id: &OrderId,
    decision: OrderDecision,
    decided_by: &EventId,
    decided_at: Timestamp,
) -> Registration {
    Registration { order_id: order_id.clone(), decision, decided_by: decided_by.clone(), decided_at }
}

fn settlement(outcome: Outcome, decided_by: &EventId, decided_at: Timestamp) -> Settlement {
    Settlement { outcome, decided_by: decided_by.clone(), decided_at }
}

fn accepted(order_id: &OrderId) -> OrderDecision {
    let price = Money { amount_minor: 1250, currency: "EUR".into() };
    OrderDecision::Accepted {
        order: Box::new(OrderAccepted {
            order_id: order_id.as_str().to_owned(),
            customer_id: "c-1".into(),
            lines: vec![Line { sku: "MUG".into(), quantity: 1, unit_price: price.clone() }],
            total: price,
        }),
        personal: Box::new(Personal {
            name: "Ada Example".into(),
            email: "ada@example.com".into(),
            phone: None,
            street: "1 Analytical Row".into(),
            city: "London".into(),
            postal_code: "N1 9GU".into(),
            country: "GB".into(),
        }),
    }
}

fn rejected() -> OrderDecision {
    OrderDecision::Rejected(reasons())
}

fn reasons() -> Vec<Reason> {
    vec![Reason::new("customer_request", "no longer wanted")]
}
