use contracts::{
    Cause, Data, DeliveryStatusChanged, Event, EventType, OrderRejected, Reason, RecordedFact, Shortage,
    StockRejected, fact_of, kind_of_type,
};
use domain::{EventId, Fact, OrderId};
use futures_util::future::join_all;

use super::{assert_permanent, event_id, instant, ok, order_id, persist};
use crate::{OrderViewStore, RECORD_BYTES_MAX};

/// The suite of [`OrderViewStore`].
pub async fn order_view_store<S: OrderViewStore>(store: &S, unique: &str) {
    let suite = Suite { store, unique };
    suite.nothing_is_known_of_a_new_order().await;
    suite.facts_of_every_type_are_kept_to_the_letter().await;
    suite.the_first_fact_under_an_event_id_stays().await;
    suite.every_event_id_is_one_of_its_own().await;
    suite.orders_are_kept_apart().await;
    suite.what_is_too_large_is_refused().await;
    suite.racing_facts_are_all_kept().await;
}

struct Suite<'a, S> {
    store: &'a S,
    unique: &'a str,
}

impl<S: OrderViewStore> Suite<'_, S> {
    async fn nothing_is_known_of_a_new_order(&self) {
        assert_eq!(self.facts(&order_id(self.unique, "new")).await, []);
    }

    async fn facts_of_every_type_are_kept_to_the_letter(&self) {
        let order_id = order_id(self.unique, "every-type");
        // Such as have every shape of JSON in their details: nested, null, beyond what a double keeps exact.
        let rejected = OrderRejected {
            order_id: order_id.as_str().to_owned(),
            reasons: vec![
                Reason::new("out_of_stock", "\"quoted\", ünïcode, \u{1F4E6}"),
                Reason { field: Some("lines[0].sku".into()), ..Reason::new("invalid_sku", "") },
            ],
        };
        let short = StockRejected {
            order_id: order_id.as_str().to_owned(),
            shortages: vec![Shortage { sku: "A".into(), requested: 1, available: u64::MAX }],
        };
        let moved = DeliveryStatusChanged {
            order_id: order_id.as_str().to_owned(),
            parcel_id: "p-1".into(),
            status: "out_for_delivery".into(),
            location: None,
        };
        let shapes: [Data; 3] = [rejected.into(), short.into(), moved.into()];

        let mut facts = Vec::new();
        for (index, &event_type) in EventType::ALL.iter().enumerate() {
            let Some(kind) = kind_of_type(event_type) else { continue };
            let name = format!("type-{index}");
            let fact = self.fact(&name, &order_id, shapes[index % shapes.len()].clone());
            // The first has no cause, as order-placed has none.
            let caused_by = fact.fact.caused_by.filter(|_| index > 0);
            let fact_of_type = Fact { kind, caused_by, ..fact.fact };
            facts.push(RecordedFact { fact: fact_of_type, event_type, ..fact });
        }
        for fact in &facts {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_eq!(self.facts(&order_id).await, sorted(facts));
    }

    async fn the_first_fact_under_an_event_id_stays(&self) {
        let order_id = order_id(self.unique, "redelivered");
        let first = self.fact("first", &order_id, moved(&order_id, "first"));
        let mut second = self.fact("first", &order_id, moved(&order_id, "second"));
        second.fact.at = instant(99);
        for fact in [&first, &first, &second, &second] {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_eq!(self.facts(&order_id).await, [first]);
    }

    async fn every_event_id_is_one_of_its_own(&self) {
        let order_id = order_id(self.unique, "odd-ids");
        let long = "x".repeat(255);
        let ids = [
            "a",
            "A",
            "a.b",
            "a#b",
            "#a",
            ":a",
            "a[0]",
            "a\"b",
            "a\\b",
            "a/b",
            "a'b",
            "size",
            "NULL",
            "$.a",
            "{}",
            &format!("{long}1"),
            &format!("{long}2"),
        ]
        .map(|text| EventId::parse(text).expect("visible ASCII"));
        let fact = |id: &EventId| {
            let mut fact = self.fact("odd", &order_id, moved(&order_id, id.as_str()));
            fact.fact.event_id = id.clone();
            fact
        };
        let facts: Vec<RecordedFact> = ids.iter().map(fact).collect();
        for fact in facts.iter().chain(&facts) {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_eq!(self.facts(&order_id).await, sorted(facts));
    }

    async fn orders_are_kept_apart(&self) {
        let orders = [order_id(self.unique, "apart-1"), order_id(self.unique, "apart-2")];
        let facts = orders.each_ref().map(|order_id| self.fact("apart", order_id, moved(order_id, "apart")));
        for (order_id, fact) in orders.iter().zip(&facts) {
            ok(self.store.add(order_id, fact).await);
        }
        for (order_id, fact) in orders.iter().zip(facts) {
            assert_eq!(self.facts(order_id).await, [fact]);
        }
    }

    async fn what_is_too_large_is_refused(&self) {
        let order_id = order_id(self.unique, "too-large");
        // Two of them fit.
        let text = "x".repeat(RECORD_BYTES_MAX / 3);
        let fact = |index| self.fact(&format!("large-{index}"), &order_id, moved(&order_id, &text));
        for index in 0..2 {
            ok(self.store.add(&order_id, &fact(index)).await);
        }
        assert_permanent(self.store.add(&order_id, &fact(2)).await);
        assert_eq!(self.facts(&order_id).await, [fact(0), fact(1)], "what was there stays");
        ok(self.store.add(&order_id, &fact(0)).await);
    }

    async fn racing_facts_are_all_kept(&self) {
        let order_id = &order_id(self.unique, "race");
        let fact = |index| self.fact(&format!("race-{index}"), order_id, moved(order_id, "racing"));
        let facts: Vec<RecordedFact> = (0..EventType::ALL.len()).map(fact).collect();
        let add = |fact| persist(async move || self.store.add(order_id, fact).await);
        join_all(facts.iter().chain(&facts).map(add)).await;
        assert_eq!(self.facts(order_id).await, sorted(facts));
    }

    async fn facts(&self, order_id: &OrderId) -> Vec<RecordedFact> {
        sorted(ok(self.store.facts(order_id).await))
    }

    fn fact(&self, name: &str, order_id: &OrderId, data: Data) -> RecordedFact {
        let cause = Cause {
            event_id: event_id(self.unique, "cause"),
            correlation_id: order_id.as_str().to_owned(),
            traceparent: None,
        };
        let event = Event::caused_by(&cause, "conformance", 0, &order_id.clone().into(), instant(7), data);
        fact_of(&Event { id: event_id(self.unique, name), ..event }).expect("a fact about an order")
    }
}

fn moved(order_id: &OrderId, status: &str) -> Data {
    let order_id = order_id.as_str().to_owned();
    let status = status.to_owned();
    DeliveryStatusChanged { order_id, parcel_id: "p-1".into(), status, location: Some("Leipzig".into()) }
        .into()
}

fn sorted(mut facts: Vec<RecordedFact>) -> Vec<RecordedFact> {
    facts.sort_by(|one, other| one.fact.event_id.cmp(&other.fact.event_id));
    facts
}
