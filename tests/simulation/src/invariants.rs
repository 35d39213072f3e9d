use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use contracts::{EventType, Origin, RecordedFact, event_identity, fact_of};
use domain::{
    OrderId, Outcome, PaymentId, RedriveState, Reservation, ShipmentDecision, ShipmentEnd, Sku,
    StockDecision, StockEnd, StockLevel,
};
use memory::{StoredOrder, StoredShipment};
use ports::{Alert, Clock, LakeObject, QuarantineObject};
use serde::Deserialize;
use serde_json::Value;
use zstd::bulk::Decompressor;

use crate::outside::{Accepted, OWN_ACCOUNT, without_what_may_differ};
use crate::workload::{PlannedOrder, Way};
use crate::world::{Claims, REDRIVES_MAX, World};

const PAYMENT_REQUESTED: &str = "payments.payment-requested.v1";
pub(crate) const DEPARTED: &str = "shipping.shipment-departed.v1";
pub(crate) const REFUND_REQUESTED: &str = "payments.refund-requested.v1";

/// What an event is, whoever's order it is about: its type, and the type of what caused it.
type Kind = (String, String);

/// One event of an order, however often it was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Its id.
    pub event_id: String,
    /// Its type.
    pub detail_type: String,
    /// What caused it.
    pub causation_id: Option<String>,
}

/// All events of one order.
pub type OrderEvents = BTreeSet<Seen>;

/// All that is left when everything is over: what a replay must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    orders: BTreeMap<OrderId, StoredOrder>,
    reservations: BTreeMap<OrderId, Reservation>,
    levels: BTreeMap<Sku, StockLevel>,
    shipments: BTreeMap<OrderId, StoredShipment>,
    facts: BTreeMap<OrderId, Vec<RecordedFact>>,
    events: BTreeSet<String>,
    archived: BTreeSet<String>,
}

/// One event to the letter: its id, and a hash of the CloudEvent.
type Version = (String, u64);

/// Of a refund, either version counts as the other.
fn version(event_id: &str, detail: &str) -> Version {
    let mut hasher = DefaultHasher::new();
    if detail.contains(REFUND_REQUESTED) {
        without_what_may_differ(detail).hash(&mut hasher);
    } else {
        detail.hash(&mut hasher);
    }
    (event_id.to_owned(), hasher.finish())
}

fn ids(versions: &BTreeSet<Version>) -> BTreeSet<String> {
    versions.iter().map(|(id, _)| id.clone()).collect()
}

impl Remains {
    /// What is left now.
    ///
    /// # Errors
    /// When an object of the lake cannot be read.
    pub fn of(world: &World) -> Result<Self, String> {
        Ok(Self {
            orders: world.orders.orders(),
            reservations: world.stock.reservations(),
            levels: world.stock.stock_levels(),
            shipments: world.shipments.shipments(),
            facts: world.views.orders(),
            events: world.outside().accepted.iter().map(|accepted| accepted.event_id.to_string()).collect(),
            archived: ids(&archived(world)?.0),
        })
    }

    /// What differs, in one line a part.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let parts = [
            ("orders", self.orders == other.orders),
            ("reservations", self.reservations == other.reservations),
            ("stock levels", self.levels == other.levels),
            ("shipments", self.shipments == other.shipments),
            ("the read model", self.facts == other.facts),
            ("the events that were published", self.events == other.events),
            ("the events in the lake", self.archived == other.archived),
        ];
        parts.iter().filter(|(_, same)| !same).map(|(name, _)| format!("the replay changed {name}")).collect()
    }
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    detail_type: &'a str,
    subject: &'a str,
    causationid: Option<&'a str>,
}

/// The events of each order, by its id: each once, and none that a liar sent.
#[must_use]
pub fn events_of(world: &World) -> BTreeMap<String, OrderEvents> {
    let mut events: BTreeMap<String, OrderEvents> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let outside = world.outside();
    for accepted in outside.accepted.iter().filter(|accepted| !accepted.is_lie) {
        if !known.insert(&accepted.event_id) {
            continue;
        }
        if let Ok(event) = serde_json::from_str::<CloudEvent<'_>>(&accepted.detail) {
            let seen = Seen {
                event_id: event.id.to_owned(),
                detail_type: event.detail_type.to_owned(),
                causation_id: event.causationid.map(str::to_owned),
            };
            events.entry(event.subject.to_owned()).or_default().insert(seen);
        }
    }
    events
}

/// Everything that must hold once everything is over, and does not.
#[must_use]
pub fn broken(world: &World) -> Vec<String> {
    let mut broken = Broken(vec![]);
    let events = events_of(world);
    stock(world, &mut broken);
    let decided = Decided::of(world);
    for order in &world.planned {
        let none = BTreeSet::new();
        let events = events.get(order.order_id.as_str()).unwrap_or(&none);
        let claims = world.claims.get(&order.order_id).copied().unwrap_or_default();
        order_ended_well(&decided, order, events, claims, &mut broken);
        // Each attempt to ask for the money has a token of its own; there is a further one only when a call went wrong.
        let requests = events.iter().filter(|seen| seen.detail_type == PAYMENT_REQUESTED).count();
        let failed = world.failed_requests(&order.order_id);
        broken.unless(requests <= 1 + failed, || {
            format!("order {}: {requests} payments were requested, {failed} calls went wrong", order.order_id)
        });
    }
    let (failed, faults) = (world.all_failed_requests(), world.outside().faults_met);
    broken.unless(failed <= faults, || format!("{failed} payment requests failed of {faults} faults"));
    payment_ids(world, &mut broken);
    trust(world, &decided, &mut broken);
    answers(world, &decided, &mut broken);
    let strangers = events
        .keys()
        .filter(|subject| !world.planned.iter().any(|order| order.order_id.as_str() == *subject));
    let quarantined: BTreeSet<String> =
        world.reprocessor.quarantine.objects().into_iter().map(|object| object.id.to_string()).collect();
    broken.unless(strangers.cloned().collect::<BTreeSet<String>>() == quarantined, || {
        "the events about neither an order nor a quarantined message are not none".to_owned()
    });
    read_model(world, &mut broken);
    lake(world, &mut broken);
    queues(world, &mut broken);
    broken.0
}

/// What was decided about every order.
struct Decided {
    orders: BTreeMap<OrderId, StoredOrder>,
    reservations: BTreeMap<OrderId, Reservation>,
    shipments: BTreeMap<OrderId, StoredShipment>,
    /// What the fulfilment centre was told, each notice once.
    notices: BTreeSet<(OrderId, &'static str, String)>,
}

impl Decided {
    fn of(world: &World) -> Self {
        let notices = world.fulfilment_centre.notices().into_iter();
        Self {
            orders: world.orders.orders(),
            reservations: world.stock.reservations(),
            shipments: world.shipments.shipments(),
            notices: notices.map(|notice| (notice.order_id, notice.kind, notice.notice_id)).collect(),
        }
    }
}

struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

/// Nothing is lost or made up, and what is reserved is what open reservations hold.
fn stock(world: &World, broken: &mut Broken) {
    let (mut reserved, mut shipped) = (BTreeMap::<Sku, u64>::new(), BTreeMap::<Sku, u64>::new());
    for reservation in world.stock.reservations().values() {
        let StockDecision::Reserved(lines) = &reservation.decision else { continue };
        let counts = match reservation.closing.as_ref().map(|closing| closing.end) {
            None => &mut reserved,
            Some(StockEnd::Shipped) => &mut shipped,
            Some(StockEnd::Released) => continue,
        };
        for line in lines {
            *counts.entry(line.sku.clone()).or_default() += u64::from(line.quantity.get());
        }
    }
    for (sku, level) in world.stock.stock_levels() {
        let count = |counts: &BTreeMap<Sku, u64>| counts.get(&sku).copied().unwrap_or_default();
        let received = world.shelves.get(sku.as_str()).copied();
        let holds = level.is_conserved()
            && level.reserved == count(&reserved)
            && level.shipped == count(&shipped)
            && Some(level.received) == received;
        broken
            .unless(holds, || format!("the stock of {sku} does not follow from the reservations: {level:?}"));
    }
}

/// The order has one outcome, everyone acted on it, and what was published follows from what was decided.
fn order_ended_well(
    decided: &Decided,
    order: &PlannedOrder,
    events: &OrderEvents,
    claims: Claims,
    broken: &mut Broken,
) {
    let id = &order.order_id;
    let what = |problem: &str| format!("order {id} ({:?}): {problem}", order.way);
    let stored = decided.orders.get(id);
    let registration = stored.and_then(|stored| stored.registration.as_ref());
    let settlement = stored.and_then(|stored| stored.settlement.as_ref());
    let (Some(registration), Some(settlement), Some(reservation)) =
        (registration, settlement, decided.reservations.get(id))
    else {
        return broken
            .0
            .push(what("it is not registered, or has no outcome, or inventory has not heard of it"));
    };
    let shipment = decided.shipments.get(id).map(|stored| &stored.shipment);
    let scheduled = shipment.filter(|shipment| shipment.decision == ShipmentDecision::Scheduled);
    let closing = reservation.closing.as_ref().map(|closing| closing.end);
    let is_held =
        matches!(reservation.decision, StockDecision::Reserved(_)) && closing != Some(StockEnd::Released);
    // A carrier that lies about the right shipment is believed once there is one.
    let is_claimed = claims.picked_up && order.way != Way::PickedUp;
    let is_picked_up = match is_claimed {
        true => closing == Some(StockEnd::Shipped),
        false => order.way == Way::PickedUp,
    };

    if settlement.outcome == Outcome::Confirmed {
        broken.unless(is_held, || what("it is confirmed, and its stock is not held"));
        broken.unless((closing == Some(StockEnd::Shipped)) == is_picked_up, || {
            what("its stock did not leave with it")
        });
        let end = scheduled.and_then(|shipment| shipment.closing.as_ref()).map(|closing| closing.end);
        broken.unless(scheduled.is_some(), || what("it is confirmed, and no shipment is scheduled"));
        let expected = is_picked_up.then_some(ShipmentEnd::Left);
        broken.unless(end == expected, || what("its shipment ended as it should not"));
    } else {
        broken.unless(!is_held, || what("it goes nowhere, and its stock is held"));
        broken.unless(scheduled.is_none(), || what("it goes nowhere, and a shipment is scheduled"));
    }
    let notices: Vec<_> = decided.notices.iter().filter(|(order_id, ..)| order_id == id).collect();
    let expected = usize::from(scheduled.is_some());
    broken.unless(notices.len() == expected && notices.iter().all(|(_, kind, _)| *kind == "ship"), || {
        what(&format!("the fulfilment centre was told {notices:?}"))
    });

    // Records name an event by its identity, and events name their cause by its id.
    let by_id: BTreeMap<String, &str> = events
        .iter()
        .flat_map(|seen| {
            let identity = event_identity(&Origin::Own, &seen.detail_type, &seen.event_id);
            [seen.event_id.clone(), identity.to_string()].map(|id| (id, seen.detail_type.as_str()))
        })
        .collect();
    let type_of = |id: &str| by_id.get(id).copied().unwrap_or("something unheard of");
    let mut expected = BTreeSet::<Kind>::new();
    let mut expect = |detail_type: &str, cause: &str| {
        expected.insert((detail_type.to_owned(), cause.to_owned()));
    };
    let placed = "orders.order-placed.v1";
    expect(placed, "");
    match registration.registered().rejection {
        None => expect("orders.order-accepted.v1", placed),
        Some(_) if settlement.decided_by == registration.decided_by => {
            expect("orders.order-rejected.v1", placed)
        }
        Some(_) => {}
    }
    match &reservation.decision {
        StockDecision::Reserved(_) => expect("inventory.stock-reserved.v1", placed),
        StockDecision::Rejected(_) => expect("inventory.stock-rejected.v1", placed),
        StockDecision::Barred => {}
    }
    if let Some(closing) = reservation.closing.as_ref().filter(|closing| closing.end == StockEnd::Released) {
        expect("inventory.stock-released.v1", type_of(closing.decided_by.as_str()));
    }
    if settlement.decided_by != registration.decided_by {
        let outcome = match settlement.outcome {
            Outcome::Confirmed => "orders.order-confirmed.v1",
            Outcome::Cancelled => "orders.order-cancelled.v1",
            Outcome::Rejected => "orders.order-rejected.v1",
        };
        expect(outcome, type_of(settlement.decided_by.as_str()));
    }
    if scheduled.is_some() {
        expect("shipping.shipment-scheduled.v1", "orders.order-confirmed.v1");
    }
    if scheduled.is_some() && order.way == Way::PickedUp {
        expect("shipping.parcel-picked-up.v1", "shipping.shipment-scheduled.v1");
    }
    if scheduled.is_some() && is_picked_up {
        expect(DEPARTED, "shipping.parcel-picked-up.v1");
    }
    if order.call_off.is_some() && has(events, "orders.cancellation-requested.v1") {
        expect("orders.cancellation-requested.v1", "");
    }
    let requested = PAYMENT_REQUESTED;
    let is_asked_for = has(events, requested);
    if is_asked_for {
        expect(requested, "inventory.stock-reserved.v1");
    }
    let answer = match order.way {
        Way::Declined => Some("payments.payment-failed.v1"),
        Way::Unpaid => None,
        _ => Some("payments.payment-captured.v1"),
    };
    if let Some(answer) = answer.filter(|_| is_asked_for) {
        expect(answer, requested);
        // What was never asked for is refused, and not returned from here.
        if answer.ends_with("captured.v1")
            && order.way != Way::PaidWrongly
            && settlement.outcome != Outcome::Confirmed
        {
            expect(REFUND_REQUESTED, answer);
        }
    }
    let is_refund_claimed = claims.captured && is_asked_for && settlement.outcome != Outcome::Confirmed;
    if is_refund_claimed && has(events, REFUND_REQUESTED) {
        expect(REFUND_REQUESTED, "payments.payment-captured.v1");
    }
    let kind = |seen: &Seen| {
        // What followed from a liar's claim has the cause that the liar named.
        let cause = match seen.detail_type.as_str() {
            DEPARTED if claims.picked_up => "shipping.parcel-picked-up.v1",
            REFUND_REQUESTED if claims.captured => "payments.payment-captured.v1",
            _ => seen.causation_id.as_deref().map_or("", type_of),
        };
        (seen.detail_type.clone(), cause.to_owned())
    };
    let published: BTreeSet<Kind> = events.iter().map(kind).collect();
    broken.unless(published == expected, || {
        let missing: Vec<_> = expected.difference(&published).collect();
        let surplus: Vec<_> = published.difference(&expected).collect();
        what(&format!("published is not what was decided: missing {missing:?}, surplus {surplus:?}"))
    });
    // A payment that could not be asked for at once is asked for again, under a new token and therefore a new id.
    let once = events.iter().filter(|seen| !seen.detail_type.starts_with("payments.payment-"));
    let once: Vec<Kind> = once.map(kind).collect();
    let distinct: BTreeSet<&Kind> = once.iter().collect();
    broken.unless(once.len() == distinct.len(), || what("one event was published under two ids"));
    let answers = events.iter().filter(|seen| Some(seen.detail_type.as_str()) == answer).count();
    let requests = events.iter().filter(|seen| seen.detail_type == requested).count();
    broken.unless(answer.is_none() || answers == requests, || {
        what("a payment was answered otherwise than once")
    });
}

/// What the senders outside say changes nothing but what they may change: a parcel leaves for a shipment that is there, and
/// money is asked for and given back for an order of ours alone.
fn trust(world: &World, decided: &Decided, broken: &mut Broken) {
    let planned: BTreeMap<&str, &PlannedOrder> =
        world.planned.iter().map(|order| (order.order_id.as_str(), order)).collect();
    let known = decided.orders.keys().chain(decided.reservations.keys()).chain(decided.shipments.keys());
    for order_id in known {
        broken.unless(planned.contains_key(order_id.as_str()), || {
            format!("something was decided about order {order_id}, which nobody placed")
        });
    }
    let outside = world.outside();
    // Records name an event by its id or by its identity.
    let both = |accepted: &Accepted| {
        let Accepted { event_type, event_id, .. } = accepted;
        let identity = event_identity(&Origin::Own, event_type.as_str(), event_id.as_str());
        [event_id.to_string(), identity.to_string()]
    };
    let own: BTreeSet<String> =
        outside.accepted.iter().filter(|accepted| !accepted.is_lie).flat_map(both).collect();
    for (order_id, stored) in &decided.orders {
        let settlement = stored.settlement.as_ref();
        // A payment that could not be requested under this id at once times out under it all the same.
        let request = format!("checkout:{order_id}:payment-requested");
        let is_ours = |by: &str| own.contains(by) || by == request;
        broken.unless(settlement.is_none_or(|it| is_ours(it.decided_by.as_str())), || {
            format!("order {order_id} ended because of what a liar said")
        });
    }
    for (order_id, reservation) in &decided.reservations {
        let left = reservation.closing.as_ref().filter(|closing| closing.end == StockEnd::Shipped);
        let Some(left) = left else { continue };
        let shipment = decided.shipments.get(order_id).map(|stored| &stored.shipment);
        let has_left = shipment.is_some_and(|shipment| {
            shipment.decision == ShipmentDecision::Scheduled
                && shipment.closing.as_ref().is_some_and(|closing| closing.end == ShipmentEnd::Left)
        });
        broken.unless(has_left && own.contains(left.decided_by.as_str()), || {
            format!("the stock of order {order_id} left without its shipment")
        });
    }
    let money = outside.accepted.iter().filter(|accepted| !accepted.is_lie);
    let mut asked_for = BTreeSet::new();
    for accepted in money {
        let is_request = accepted.event_type == EventType::PaymentRequested;
        if !is_request && accepted.event_type != EventType::RefundRequested {
            continue;
        }
        let event: Value = serde_json::from_str(&accepted.detail).unwrap_or_default();
        let subject = event["subject"].as_str().unwrap_or_default().to_owned();
        let total = planned.get(subject.as_str()).map(|order| order.request().total);
        let amount = &event["data"]["amount"];
        let minor = amount["amountMinor"].as_i64().unwrap_or(i64::MAX);
        let is_ours = total.is_some_and(|total| {
            amount["currency"] == total.currency.as_str()
                && if is_request { minor == total.amount_minor } else { minor <= total.amount_minor }
        });
        broken.unless(is_ours, || format!("{} of an amount that is nobody's: {amount}", accepted.event_id));
        if is_request {
            let order = OrderId::parse(&subject).ok();
            let is_reserved = order.is_some_and(|order| {
                let reservation = decided.reservations.get(&order);
                reservation.is_some_and(|it| matches!(it.decision, StockDecision::Reserved(_)))
            });
            broken.unless(is_reserved, || format!("{}: money for an order without stock", accepted.event_id));
            asked_for.insert(subject);
        } else {
            broken.unless(asked_for.contains(&subject), || {
                format!("{}: money goes back that was never asked for", accepted.event_id)
            });
        }
    }
}

/// Whoever asks for an order is told the outcome that it had.
fn answers(world: &World, decided: &Decided, broken: &mut Broken) {
    for order in &world.planned {
        let stored = decided.orders.get(&order.order_id).and_then(|stored| stored.settlement.as_ref());
        let outcome = stored.map_or(Value::Null, |settlement| settlement.outcome.as_str().into());
        let answer = world.show(order);
        broken.unless(answer["outcome"] == outcome, || {
            format!("order {}: GET /orders/{{id}} tells {}, not {outcome}", order.order_id, answer["outcome"])
        });
    }
}

fn has(events: &OrderEvents, detail_type: &str) -> bool {
    events.iter().any(|seen| seen.detail_type == detail_type)
}

/// However often it is asked for the money, it is one payment an order.
fn payment_ids(world: &World, broken: &mut Broken) {
    for accepted in
        world.outside().accepted.iter().filter(|it| !it.is_lie && it.event_type.source() == "payments")
    {
        let detail: Value = serde_json::from_str(&accepted.detail).unwrap_or_default();
        let order_id = OrderId::parse(detail["subject"].as_str().unwrap_or_default());
        let payment_id = order_id.as_ref().map(PaymentId::of);
        let is_the_one =
            payment_id.is_ok_and(|payment_id| detail["data"]["paymentId"] == payment_id.as_str());
        broken.unless(is_the_one, || format!("order {order_id:?}: a second payment id"));
    }
}

/// The read model is what the archive of the bus folds to.
fn read_model(world: &World, broken: &mut Broken) {
    let mut folded: BTreeMap<OrderId, BTreeMap<String, Vec<RecordedFact>>> = BTreeMap::new();
    let outside = world.outside();
    let mut known = BTreeSet::new();
    for accepted in &outside.accepted {
        // An event that was published again to the letter says nothing new.
        if !known.insert((accepted.account, &accepted.source, &accepted.detail)) {
            continue;
        }
        let Accepted { event_type, detail, source, account, .. } = accepted;
        let detail_type = event_type.as_str();
        let body = format!(
            r#"{{"source":"{source}","detail-type":"{detail_type}","account":"{account}","detail":{detail}}}"#
        );
        // A liar's times are now, or far out of the question: when exactly the event arrived makes no difference.
        if let Ok(event) = contracts::decode(&body, Some(OWN_ACCOUNT))
            && event.check_time(world.clock.now()).is_ok()
            && let Ok(order_id) = event.event.order_id()
        {
            let facts = folded.entry(order_id.clone()).or_default();
            facts
                .entry(event.identity().to_string())
                .or_default()
                .extend(fact_of(&event.event, &event.origin));
        }
    }
    drop(known);
    drop(outside);
    let views = world.views.orders();
    let same = |(order_id, facts): (&OrderId, &BTreeMap<String, Vec<RecordedFact>>)| {
        let view = views.get(order_id).map(Vec::as_slice).unwrap_or_default();
        // Of an event that was published twice, either version is the event.
        let is_known = |fact: &RecordedFact| {
            facts.get(fact.fact.identity.as_str()).is_some_and(|known| known.contains(fact))
        };
        view.len() == facts.len() && view.iter().all(is_known)
    };
    broken.unless(folded.len() == views.len() && folded.iter().all(same), || {
        "the read model is not what the events fold to".to_owned()
    });
}

/// Every event is in the lake, to the letter, and nothing else is.
fn lake(world: &World, broken: &mut Broken) {
    let (archived, undecodable) = match archived(world) {
        Ok(archived) => archived,
        Err(problem) => return broken.0.push(problem),
    };
    let outside = world.outside();
    let published: BTreeSet<Version> = outside
        .accepted
        .iter()
        .map(|accepted| version(accepted.event_id.as_str(), &accepted.detail))
        .collect();
    // A sender that uses its own id twice has said one thing, and of that either version may be kept.
    let mut sayings: BTreeMap<_, Vec<Version>> = BTreeMap::new();
    for Accepted { account, source, event_type, event_id, detail, .. } in
        outside.accepted.iter().filter(|accepted| accepted.is_lie)
    {
        let saying = sayings.entry((*account, source, *event_type, event_id)).or_default();
        saying.push(version(event_id.as_str(), detail));
    }
    let is_kept = |versions: &&Vec<Version>| versions.iter().any(|version| archived.contains(version));
    let kept: BTreeSet<&Version> = sayings.values().filter(is_kept).flatten().collect();
    let missing = published.difference(&archived).filter(|version| !kept.contains(version));
    let missing: Vec<_> = missing.map(|(id, _)| id).collect();
    let surplus: Vec<_> = archived.difference(&published).map(|(id, _)| id).collect();
    broken.unless(missing.is_empty() && surplus.is_empty(), || {
        format!("the lake is not what was published: missing {missing:?}, surplus or changed {surplus:?}")
    });
    let poison: BTreeSet<String> = world
        .poison
        .iter()
        .filter(|(queue, _)| *queue == "EventArchiverQueue")
        .map(|(_, body)| (*body).to_owned())
        .collect();
    broken.unless(undecodable == poison, || format!("the lake keeps as undecodable {undecodable:?}"));
}

/// What one object of the lake holds: its events, and the messages that were none.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    events: BTreeSet<Version>,
    undecodable: BTreeSet<String>,
}

/// The events in the lake, and the messages that were none.
fn archived(world: &World) -> Result<(BTreeSet<Version>, BTreeSet<String>), String> {
    let (mut events, mut undecodable) = (BTreeSet::new(), BTreeSet::new());
    for object in world.lake.objects() {
        let known = world.read.borrow().get(&object.key).cloned();
        let content = match known {
            Some(content) => content,
            None => {
                let content = Rc::new(read(&object).map_err(|problem| format!("{}: {problem}", object.key))?);
                world.read.borrow_mut().insert(object.key, Rc::clone(&content));
                content
            }
        };
        events.extend(content.events.iter().cloned());
        undecodable.extend(content.undecodable.iter().cloned());
    }
    Ok((events, undecodable))
}

thread_local! {
    /// Made once a thread: it takes longer to set up than a small object takes to read.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Some(decompressor) => decompressor.decompress(body, LAKE_OBJECT_BYTES_MAX),
        None => decompressor.insert(Decompressor::new()?).decompress(body, LAKE_OBJECT_BYTES_MAX),
    })
}

/// More than any object of the lake holds here. What zstd says about an object's size is less and goes first.
const LAKE_OBJECT_BYTES_MAX: usize = 1 << 24;

fn read(object: &LakeObject) -> Result<Archived, Box<dyn Error>> {
    let mut archived = Archived::default();
    if object.key.starts_with("events/") {
        let rows = lake::decode(&object.body.clone().into())?;
        for row in rows {
            archived.events.insert(version(&row.id, &row.to_bus_entry()?.detail));
        }
    } else {
        let content = String::from_utf8(decompress(&object.body)?)?;
        for line in content.lines() {
            archived.undecodable.insert(serde_json::from_str(line)?);
        }
    }
    Ok(archived)
}

/// Nothing is left to be handled. What nobody can handle is in quarantine with a reason, and whoever is on call was told;
/// everything else that was given up on was brought back.
fn queues(world: &World, broken: &mut Broken) {
    for name in world.queue_names() {
        let left = world.queues.len(&name);
        broken.unless(left == 0, || format!("{left} messages are left in {name}"));
    }
    let reprocessor = &world.reprocessor;
    let records = reprocessor.ledger.records();
    let kept = reprocessor.quarantine.objects();
    let is_there = |object: &&QuarantineObject| {
        records.get(&object.key).is_some_and(|record| {
            record.state == RedriveState::Quarantined
                && record.attempt.generation == object.attempt.generation
        })
    };
    let quarantined: BTreeSet<(String, String)> = kept
        .iter()
        .filter(|object| is_there(object) && !world.is_refused_claim(object))
        .map(|object| (object.concerning.consumer.clone(), object.body.clone()))
        .collect();
    let poison = world.poison.iter().filter(|(queue, _)| *queue != "EventArchiverQueue");
    let poison: BTreeSet<(String, String)> =
        poison.map(|(queue, body)| (world.consumer_of(queue).to_owned(), (*body).to_owned())).collect();
    // What a liar said may be refused.
    let missing: Vec<_> = poison.difference(&quarantined).collect();
    let surplus: Vec<_> = quarantined.difference(&poison).filter(|(_, body)| !world.is_lie(body)).collect();
    broken.unless(missing.is_empty() && surplus.is_empty(), || {
        format!("the quarantine is not the poison: missing {missing:?}, surplus {surplus:?}")
    });
    alerts(&kept, &reprocessor.on_call.alerts(), broken);
    let too_often = records.values().filter(|record| record.attempt.number > REDRIVES_MAX + 1);
    broken.unless(too_often.count() == 0, || "a message was redriven more often than it may be".to_owned());
}

/// Whoever is on call was told of at least as many messages as are kept, by consumer and reason. An alert that is repeated
/// tells of the same again.
fn alerts(kept: &[QuarantineObject], alerts: &[Alert], broken: &mut Broken) {
    let mut untold: BTreeMap<Group<'_>, usize> = BTreeMap::new();
    for QuarantineObject { concerning, reason, .. } in kept {
        *untold.entry((&concerning.consumer, &reason.code)).or_default() += 1;
    }
    for alert in alerts {
        match told(&alert.subject) {
            None => broken.0.push(format!("an alert that tells of nothing: {}", alert.subject)),
            Some((group, count)) => match untold.get_mut(&group) {
                None => broken.0.push(format!("{group:?} is told of, and nothing is in quarantine")),
                Some(untold) => *untold = untold.saturating_sub(count),
            },
        }
    }
    for (group, count) in untold.into_iter().filter(|(_, count)| *count > 0) {
        broken.0.push(format!("nobody was told of {count} messages in quarantine of {group:?}"));
    }
}

/// A consumer, and why it gave up.
type Group<'a> = (&'a str, &'a str);

/// `Orderbus: order-placed gave up on 3 messages (not_json)` tells of 3.
fn told(subject: &str) -> Option<(Group<'_>, usize)> {
    let (consumer, rest) = subject.strip_prefix("Orderbus: ")?.split_once(" gave up on ")?;
    let (messages, code) = rest.strip_suffix(')')?.split_once(" (")?;
    let count = match messages {
        "a message" => 1,
        several => several.strip_suffix(" messages")?.parse().ok()?,
    };
    Some(((consumer, code), count))
}
