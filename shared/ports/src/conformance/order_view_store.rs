use contracts::{
    Cause, Data, DeliveryStatusChanged, Event, EventType, OrderRejected, Origin, ParcelPickedUp, Reason,
    RecordedFact, Shortage, Signature, SignatureCollected, StockRejected, class_of, fact_of, kind_of_type,
};
use domain::{EventId, Fact, FactClass, OrderId};
use futures_util::{StreamExt, future::join_all, stream};

use super::{assert_permanent, event_id, instant, ok, order_id, persist};
use crate::{FactPlace, OrderViewStore, RECORD_BYTES_MAX};

/// More facts than one page of any store holds, and more than one item ever held.
const CROWD: usize = 2_000;

/// The suite of [`OrderViewStore`].
pub async fn order_view_store<S: OrderViewStore>(store: &S, unique: &str) {
    let suite = Suite { store, unique };
    suite.nothing_is_known_of_a_new_order().await;
    suite.facts_of_every_type_are_kept_to_the_letter().await;
    suite.the_first_fact_under_an_identity_stays().await;
    suite.every_identity_is_one_of_its_own().await;
    suite.orders_are_kept_apart().await;
    suite.own_facts_and_those_from_outside_are_kept_apart().await;
    suite.a_fact_that_is_too_large_is_refused_alone().await;
    suite.racing_facts_are_all_kept().await;
    suite.facts_from_outside_come_newest_first_page_after_page().await;
    suite.what_is_added_between_two_pages_repeats_and_hides_nothing().await;
    suite.no_number_of_facts_from_outside_hinders_one_of_our_own().await;
}

struct Suite<'a, S> {
    store: &'a S,
    unique: &'a str,
}

impl<S: OrderViewStore> Suite<'_, S> {
    async fn nothing_is_known_of_a_new_order(&self) {
        let order_id = order_id(self.unique, "new");
        assert_eq!(self.facts(&order_id).await, []);
        assert!(!ok(self.store.has_signature(&order_id).await));
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
            let class = class_of(&Origin::Own, event_type);
            let fact_of_type = Fact { kind, class, caused_by, ..fact.fact };
            facts.push(RecordedFact { fact: fact_of_type, event_type, ..fact });
        }
        for fact in &facts {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_eq!(self.facts(&order_id).await, sorted(facts));
    }

    async fn the_first_fact_under_an_identity_stays(&self) {
        let order_id = order_id(self.unique, "redelivered");
        let first = self.fact("first", &order_id, moved(&order_id, "first"));
        let mut second = self.fact("first", &order_id, moved(&order_id, "second"));
        second.fact.at = instant(99);
        for fact in [&first, &first, &second, &second] {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_eq!(self.facts(&order_id).await, [first]);
    }

    async fn every_identity_is_one_of_its_own(&self) {
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
            fact.fact.identity = id.clone();
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

    async fn own_facts_and_those_from_outside_are_kept_apart(&self) {
        let order_id = order_id(self.unique, "classes");
        let id = || order_id.as_str().to_owned();
        let short = self.fact("own", &order_id, ours(&order_id));
        let picked_up = ParcelPickedUp {
            order_id: id(),
            shipment_id: "s-1".into(),
            parcel_id: "p-1".into(),
            carrier: "c".into(),
        };
        let picked_up = self.fact("pick-up", &order_id, picked_up.into());
        // What says that it comes from another counts as such, whatever its type.
        let mut claimed = self.fact("claimed", &order_id, ours(&order_id));
        claimed.fact.class = FactClass::Outside;
        let personal = Signature { signed_by: "Ada".into() };
        let signed = SignatureCollected { order_id: id(), parcel_id: "p-1".into(), personal };
        let signed = self.fact("signed", &order_id, signed.into());
        assert_eq!(short.fact.class, FactClass::Own);
        assert_eq!(picked_up.fact.class, FactClass::Outside);
        assert_eq!(signed.fact.class, FactClass::Signature);

        for fact in [&short, &picked_up, &claimed] {
            ok(self.store.add(&order_id, fact).await);
        }
        assert!(!ok(self.store.has_signature(&order_id).await));
        ok(self.store.add(&order_id, &signed).await);
        assert!(ok(self.store.has_signature(&order_id).await));
        assert_eq!(ok(self.store.own_facts(&order_id).await), [short]);
        let outside = ok(self.store.outside_facts(&order_id, None, 10).await);
        assert_eq!(sorted(outside.facts), sorted(vec![picked_up, claimed, signed]));
        assert_eq!(outside.next, None);
    }

    async fn a_fact_that_is_too_large_is_refused_alone(&self) {
        let order_id = order_id(self.unique, "too-large");
        // One of our own: what others say is as short as its schema.
        let fact = |name: &str, length| {
            let reasons = vec![Reason::new("out_of_stock", "x".repeat(length))];
            let rejected = OrderRejected { order_id: order_id.as_str().to_owned(), reasons };
            self.fact(&format!("large-{name}"), &order_id, rejected.into())
        };
        // Any two of them are more than one record may be.
        let large = ["1", "2", "3"].map(|name| fact(name, RECORD_BYTES_MAX * 2 / 3));
        for fact in &large {
            ok(self.store.add(&order_id, fact).await);
        }
        assert_permanent(self.store.add(&order_id, &fact("4", RECORD_BYTES_MAX)).await);
        assert_eq!(self.facts(&order_id).await, sorted(large.to_vec()), "what was there stays");
    }

    async fn racing_facts_are_all_kept(&self) {
        let order_id = &order_id(self.unique, "race");
        let fact = |index| self.fact(&format!("race-{index}"), order_id, moved(order_id, "racing"));
        let facts: Vec<RecordedFact> = (0..EventType::ALL.len()).map(fact).collect();
        let add = |fact| persist(async move || self.store.add(order_id, fact).await);
        join_all(facts.iter().chain(&facts).map(add)).await;
        assert_eq!(self.facts(order_id).await, sorted(facts));
    }

    async fn facts_from_outside_come_newest_first_page_after_page(&self) {
        let order_id = order_id(self.unique, "pages");
        // Three in each millisecond.
        let fact = |index: i64| {
            let mut fact =
                self.fact(&format!("page-{index}"), &order_id, moved(&order_id, &index.to_string()));
            fact.fact.at = instant(index / 3);
            fact
        };
        let mut facts: Vec<RecordedFact> = (0..7).map(fact).collect();
        // One of our own is on no page, and neither is another order's.
        let own = self.fact("page-own", &order_id, ours(&order_id));
        for fact in facts.iter().chain([&own]) {
            ok(self.store.add(&order_id, fact).await);
        }
        let other = super::order_id(self.unique, "pages-2");
        ok(self.store.add(&other, &fact(8)).await);

        facts.sort_by_key(|fact| std::cmp::Reverse(FactPlace::of(fact)));
        for limit in 1..=8 {
            let expected: Vec<Vec<RecordedFact>> = facts.chunks(limit).map(<[_]>::to_vec).collect();
            assert_eq!(self.pages(&order_id, limit).await, expected, "{limit} a page");
        }
    }

    async fn what_is_added_between_two_pages_repeats_and_hides_nothing(&self) {
        let order_id = order_id(self.unique, "meanwhile");
        let fact = |index: i64| {
            let mut fact = self.fact(&format!("meanwhile-{index}"), &order_id, moved(&order_id, "there"));
            fact.fact.at = instant(index);
            fact
        };
        for index in [10, 20, 30, 40] {
            ok(self.store.add(&order_id, &fact(index)).await);
        }
        let first = ok(self.store.outside_facts(&order_id, None, 2).await);
        assert_eq!(first.facts, [fact(40), fact(30)]);
        for index in [50, 35, 25] {
            ok(self.store.add(&order_id, &fact(index)).await);
        }
        let second = ok(self.store.outside_facts(&order_id, first.next.as_ref(), 3).await);
        assert_eq!(second.facts, [fact(25), fact(20), fact(10)]);
        assert_eq!(second.next, None);
    }

    async fn no_number_of_facts_from_outside_hinders_one_of_our_own(&self) {
        let order_id = &order_id(self.unique, "crowd");
        // Together more than one item and more than one answer of DynamoDB ever hold.
        let text = "x".repeat(1_000);
        let crowd: Vec<RecordedFact> = (0..CROWD)
            .map(|index| self.fact(&format!("crowd-{index}"), order_id, moved(order_id, &text)))
            .collect();
        let adding = crowd.iter().map(|fact| self.store.add(order_id, fact));
        stream::iter(adding).buffer_unordered(super::RACERS).for_each(async |added| ok(added)).await;

        let own = self.fact("crowd-own", order_id, ours(order_id));
        ok(self.store.add(order_id, &own).await);
        assert_eq!(ok(self.store.own_facts(order_id).await), [own]);
        assert!(!ok(self.store.has_signature(order_id).await));
        let pages = self.pages(order_id, 300).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [300, 300, 300, 300, 300, 300, 200]);
        assert_eq!(sorted(pages.concat()), sorted(crowd));
        let all_at_once = ok(self.store.outside_facts(order_id, None, CROWD).await);
        assert_eq!((all_at_once.facts.len(), all_at_once.next), (CROWD, None));
    }

    /// Everything that is known of an order.
    async fn facts(&self, order_id: &OrderId) -> Vec<RecordedFact> {
        let own = ok(self.store.own_facts(order_id).await);
        assert!(own.iter().all(|fact| fact.fact.class == FactClass::Own));
        sorted([own, self.pages(order_id, 5).await.concat()].concat())
    }

    /// The facts from outside, page after page.
    async fn pages(&self, order_id: &OrderId, limit: usize) -> Vec<Vec<RecordedFact>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = ok(self.store.outside_facts(order_id, after.as_ref(), limit).await);
            assert!(page.facts.iter().all(|fact| fact.fact.class != FactClass::Own));
            pages.push(page.facts);
            match page.next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }

    fn fact(&self, name: &str, order_id: &OrderId, data: Data) -> RecordedFact {
        let cause = Cause {
            event_id: event_id(self.unique, "cause"),
            correlation_id: order_id.as_str().to_owned(),
            traceparent: None,
        };
        let event = Event::caused_by(&cause, "conformance", 0, &order_id.clone().into(), instant(7), data);
        fact_of(&Event { id: event_id(self.unique, name), ..event }, &Origin::Own)
            .expect("a fact about an order")
    }
}

/// What only a function of our own says.
fn ours(order_id: &OrderId) -> Data {
    StockRejected { order_id: order_id.as_str().to_owned(), shortages: vec![] }.into()
}

/// What a carrier says.
fn moved(order_id: &OrderId, status: &str) -> Data {
    let order_id = order_id.as_str().to_owned();
    let status = status.to_owned();
    DeliveryStatusChanged { order_id, parcel_id: "p-1".into(), status, location: Some("Leipzig".into()) }
        .into()
}

fn sorted(mut facts: Vec<RecordedFact>) -> Vec<RecordedFact> {
    facts.sort_by(|one, other| one.fact.identity.cmp(&other.fact.identity));
    facts
}
