use contracts::StockLine;
use domain::{EventId, OrderId, Shipment, ShipmentClosing, ShipmentDecision, ShipmentEnd, ShipmentId};
use futures_util::future::join_all;

use super::{Racer, assert_permanent, event_id, instant, ok, order_id, persist};
use crate::{Commit, Decided, ShipmentStore, ShippedOrder};

/// The suite of [`ShipmentStore`].
pub async fn shipment_store<S: ShipmentStore>(store: &S, unique: &str) {
    let suite = Suite { store, unique };
    suite.a_decision_is_written_only_for_an_unknown_order().await;
    suite.a_scheduled_shipment_ends_once().await;
    suite.a_barred_shipment_does_not_end().await;
    suite.an_unknown_shipment_does_not_end().await;
    suite.of_racing_decisions_one_stands().await;
    suite.of_racing_ends_one_stands().await;
}

struct Suite<'a, S> {
    store: &'a S,
    unique: &'a str,
}

impl<S: ShipmentStore> Suite<'_, S> {
    async fn a_decision_is_written_only_for_an_unknown_order(&self) {
        for decision in [ShipmentDecision::Scheduled, ShipmentDecision::Barred] {
            let order_id = order_id(self.unique, &format!("{decision:?}"));
            assert_eq!(self.find(&order_id).await, None, "nothing is known of a new order");
            let first = Racer { number: 1, event_id: self.event("first") };
            let stands = shipment(decision, &first);
            assert_eq!(ok(self.decide(&order_id, decision, &first).await), Commit::Written);
            assert_eq!(self.find(&order_id).await, Some(stands.clone()));

            let second = Racer { number: 2, event_id: self.event("second") };
            for again in [&first, &second] {
                for other in [ShipmentDecision::Scheduled, ShipmentDecision::Barred] {
                    let answer = ok(self.decide(&order_id, other, again).await);
                    assert_eq!(answer, Commit::Existing(stands.clone()), "{other:?} after {decision:?}");
                }
            }
            assert_eq!(self.find(&order_id).await, Some(stands));
        }
    }

    async fn a_scheduled_shipment_ends_once(&self) {
        for end in [ShipmentEnd::Cancelled, ShipmentEnd::Left] {
            let order_id = order_id(self.unique, &format!("end-{end:?}"));
            let by = Racer { number: 1, event_id: self.event("schedule") };
            ok(self.decide(&order_id, ShipmentDecision::Scheduled, &by).await);

            let first = Racer { number: 2, event_id: self.event("end") };
            let closing = ShipmentClosing { end, decided_by: first.event_id.clone(), decided_at: instant(2) };
            let stands = Shipment { closing: Some(closing), ..shipment(ShipmentDecision::Scheduled, &by) };
            assert_eq!(ok(self.store.close(&order_id, end, &first.decided()).await), Commit::Written);
            assert_eq!(self.find(&order_id).await, Some(stands.clone()));

            let second = Racer { number: 3, event_id: self.event("end-again") };
            for again in [&first, &second] {
                for other in [ShipmentEnd::Cancelled, ShipmentEnd::Left] {
                    let answer = ok(self.store.close(&order_id, other, &again.decided()).await);
                    assert_eq!(answer, Commit::Existing(stands.clone()), "{other:?} after {end:?}");
                }
            }
            for decision in [ShipmentDecision::Scheduled, ShipmentDecision::Barred] {
                let answer = ok(self.decide(&order_id, decision, &second).await);
                assert_eq!(answer, Commit::Existing(stands.clone()), "{decision:?} after {end:?}");
            }
            assert_eq!(self.find(&order_id).await, Some(stands));
        }
    }

    async fn a_barred_shipment_does_not_end(&self) {
        let order_id = order_id(self.unique, "barred");
        let by = Racer { number: 1, event_id: self.event("bar") };
        ok(self.decide(&order_id, ShipmentDecision::Barred, &by).await);
        let stands = shipment(ShipmentDecision::Barred, &by);
        let late = Racer { number: 2, event_id: self.event("end") };
        for end in [ShipmentEnd::Cancelled, ShipmentEnd::Left] {
            let answer = ok(self.store.close(&order_id, end, &late.decided()).await);
            assert_eq!(answer, Commit::Existing(stands.clone()));
        }
        assert_eq!(self.find(&order_id).await, Some(stands));
    }

    async fn an_unknown_shipment_does_not_end(&self) {
        let order_id = order_id(self.unique, "unknown");
        let by = Racer { number: 1, event_id: self.event("end") };
        for end in [ShipmentEnd::Cancelled, ShipmentEnd::Left] {
            assert_permanent(self.store.close(&order_id, end, &by.decided()).await);
        }
        assert_eq!(self.find(&order_id).await, None, "nothing is written");
    }

    async fn of_racing_decisions_one_stands(&self) {
        let order_id = &order_id(self.unique, "race-decide");
        let racers = Racer::all(self.unique, "decide");
        let decide = |racer| persist(async move || self.decide(order_id, decision_of(racer), racer).await);
        let answers = join_all(racers.iter().map(decide)).await;
        let stands = self.find(order_id).await.expect("the order is known");
        let winner = racers.iter().find(|racer| racer.event_id == stands.decided_by).expect("a racer won");
        assert_eq!(stands, shipment(decision_of(winner), winner), "one decision, not parts of two");
        assert_one_writes(&racers, &answers, &winner.event_id, &stands);
    }

    async fn of_racing_ends_one_stands(&self) {
        let order_id = &order_id(self.unique, "race-end");
        let by = Racer { number: 1, event_id: self.event("schedule") };
        ok(self.decide(order_id, ShipmentDecision::Scheduled, &by).await);
        let racers = Racer::all(self.unique, "end");
        let close = |racer: &Racer| {
            let (end, decided_by) = (end_of(racer), racer.event_id.clone());
            let at = instant(racer.number);
            persist(async move || self.store.close(order_id, end, &Decided { by: &decided_by, at }).await)
        };
        let answers = join_all(racers.iter().map(close)).await;
        let stands = self.find(order_id).await.expect("the order is known");
        let closing = stands.closing.clone().expect("the shipment has ended");
        let winner = racers.iter().find(|racer| racer.event_id == closing.decided_by).expect("a racer won");
        let closing_of_winner = ShipmentClosing {
            end: end_of(winner),
            decided_by: winner.event_id.clone(),
            decided_at: instant(winner.number),
        };
        assert_eq!(closing, closing_of_winner, "one end, not parts of two");
        assert_one_writes(&racers, &answers, &winner.event_id, &stands);
    }

    async fn decide(
        &self,
        order_id: &OrderId,
        decision: ShipmentDecision,
        by: &Racer,
    ) -> Result<Commit<Shipment>, crate::PortError> {
        match decision {
            ShipmentDecision::Barred => self.store.bar(order_id, &by.decided()).await,
            ShipmentDecision::Scheduled => {
                let order = ShippedOrder {
                    order_id: order_id.clone(),
                    shipment_id: ShipmentId::of(order_id),
                    lines: vec![StockLine { sku: "MUG".into(), quantity: 1 }],
                };
                self.store.schedule(&order, &by.decided()).await
            }
        }
    }

    async fn find(&self, order_id: &OrderId) -> Option<Shipment> {
        ok(self.store.find(order_id).await)
    }

    fn event(&self, name: &str) -> EventId {
        event_id(self.unique, name)
    }
}

/// Only the winner may believe to have written; everyone else is told what stands.
fn assert_one_writes(racers: &[Racer], answers: &[Commit<Shipment>], winner: &EventId, stands: &Shipment) {
    for (racer, answer) in racers.iter().zip(answers) {
        match answer {
            Commit::Written => assert_eq!(racer.event_id, *winner, "whoever was told so wrote it"),
            Commit::Existing(existing) => assert_eq!(existing, stands, "everyone is told the winner"),
        }
    }
}

fn decision_of(racer: &Racer) -> ShipmentDecision {
    if racer.number % 2 == 0 { ShipmentDecision::Scheduled } else { ShipmentDecision::Barred }
}

fn end_of(racer: &Racer) -> ShipmentEnd {
    if racer.number % 2 == 0 { ShipmentEnd::Cancelled } else { ShipmentEnd::Left }
}

fn shipment(decision: ShipmentDecision, by: &Racer) -> Shipment {
    Shipment { decision, decided_by: by.event_id.clone(), decided_at: instant(by.number), closing: None }
}
