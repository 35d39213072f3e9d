use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use contracts::{RecordedFact, fact_of};
use domain::{
    OrderId, Outcome, PaymentId, RedriveState, Reservation, ShipmentDecision, ShipmentEnd, Sku,
    StockDecision, StockEnd, StockLevel,
};
use memory::{StoredOrder, StoredShipment};
use ports::{Alert, LakeObject, QuarantineObject};
use serde::Deserialize;
use serde_json::Value;
use zstd::bulk::Decompressor;

use crate::workload::{PlannedOrder, STOCK, Way};
use crate::world::{REDRIVES_MAX, World};

const PAYMENT_REQUESTED: &str = "payments.payment-requested.v1";

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

fn version(event_id: &str, detail: &str) -> Version {
    let mut hasher = DefaultHasher::new();
    detail.hash(&mut hasher);
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

/// The events of each order, by its id: each once.
#[must_use]
pub fn events_of(world: &World) -> BTreeMap<String, OrderEvents> {
    let mut events: BTreeMap<String, OrderEvents> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let outside = world.outside();
    for accepted in &outside.accepted {
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
        order_ended_well(&decided, order, events, &mut broken);
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
        let received = STOCK.iter().find(|(name, _)| *name == sku.as_str()).map(|(_, count)| *count);
        let holds = level.is_conserved()
            && level.reserved == count(&reserved)
            && level.shipped == count(&shipped)
            && Some(level.received) == received;
        broken
            .unless(holds, || format!("the stock of {sku} does not follow from the reservations: {level:?}"));
    }
}

/// The order has one outcome, everyone acted on it, and what was published follows from what was decided.
fn order_ended_well(decided: &Decided, order: &PlannedOrder, events: &OrderEvents, broken: &mut Broken) {
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
    let is_picked_up = order.way == Way::PickedUp;

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

    let by_id: BTreeMap<&str, &str> =
        events.iter().map(|seen| (seen.event_id.as_str(), seen.detail_type.as_str())).collect();
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
    if scheduled.is_some() && is_picked_up {
        expect("shipping.parcel-picked-up.v1", "shipping.shipment-scheduled.v1");
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
        if answer.ends_with("captured.v1") && settlement.outcome != Outcome::Confirmed {
            expect("payments.refund-requested.v1", answer);
        }
    }
    let kind = |seen: &Seen| {
        let cause = seen.causation_id.as_deref().map_or("", type_of);
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

fn has(events: &OrderEvents, detail_type: &str) -> bool {
    events.iter().any(|seen| seen.detail_type == detail_type)
}

/// However often it is asked for the money, it is one payment an order.
fn payment_ids(world: &World, broken: &mut Broken) {
    for accepted in
        world.outside().accepted.iter().filter(|accepted| accepted.event_type.source() == "payments")
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
        if !known.insert((&accepted.event_id, &accepted.detail)) {
            continue;
        }
        let (event_type, detail) = (accepted.event_type, &accepted.detail);
        let (source, detail_type) = (event_type.source(), event_type.as_str());
        let body = format!(r#"{{"source":"{source}","detail-type":"{detail_type}","detail":{detail}}}"#);
        if let Ok(event) = contracts::decode(&body)
            && let Ok(order_id) = event.event.order_id()
        {
            let facts = folded.entry(order_id.clone()).or_default();
            facts.entry(accepted.event_id.to_string()).or_default().extend(fact_of(&event.event));
        }
    }
    drop(known);
    drop(outside);
    let views = world.views.orders();
    let same = |(order_id, facts): (&OrderId, &BTreeMap<String, Vec<RecordedFact>>)| {
        let view = views.get(order_id).map(Vec::as_slice).unwrap_or_default();
        // Of an event that was published twice, either version is the event.
        let is_known = |fact: &RecordedFact| {
            facts.get(fact.fact.event_id.as_str()).is_some_and(|known| known.contains(fact))
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
    drop(outside);
    // Of an event that was published in two versions, the lake may hold either.
    let missing: Vec<_> = ids(&published).difference(&ids(&archived)).cloned().collect();
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
        .filter(is_there)
        .map(|object| (object.concerning.consumer.clone(), object.body.clone()))
        .collect();
    let poison = world.poison.iter().filter(|(queue, _)| *queue != "EventArchiverQueue");
    let poison: BTreeSet<(String, String)> =
        poison.map(|(queue, body)| (world.consumer_of(queue).to_owned(), (*body).to_owned())).collect();
    broken.unless(quarantined == poison, || {
        let missing: Vec<_> = poison.difference(&quarantined).collect();
        let surplus: Vec<_> = quarantined.difference(&poison).collect();
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
