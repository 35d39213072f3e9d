//! What must be so however the run went. Pure: from the plan and the evidence to what fell.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Data, Event, RecordedFact, fact_of};
use domain::{OrderId, StockLevel};
use serde_json::Value;

use super::consumers::{Depth, Queue};
use super::evidence::{Evidence, Records};
use super::given_up::{
    each_dead_letter_came_back_or_is_kept, each_group_is_alerted, each_object_is_announced_once,
};
use super::plan::Planned;
use super::poison::{ARCHIVER, SetAside, UNDECODABLE, mark_in};
use crate::ways::{CONTENDED, End, Way};

/// One thing that must be so, of how many it was asked, and of which it is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    /// What must be so.
    pub name: &'static str,
    /// How often it was asked.
    pub asked: usize,
    /// Each time it was not so: of what, what was expected, what was found.
    pub fallen: Vec<String>,
}

impl Invariant {
    pub(crate) fn of<T>(
        name: &'static str,
        subjects: impl IntoIterator<Item = T>,
        mut check: impl FnMut(T) -> Result<(), String>,
    ) -> Self {
        let mut invariant = Self { name, asked: 0, fallen: Vec::new() };
        for subject in subjects {
            invariant.asked += 1;
            if let Err(problem) = check(subject) {
                invariant.fallen.push(problem);
            }
        }
        invariant
    }

    /// Whether it is so.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.fallen.is_empty()
    }
}

/// What the checks are about.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) orders: &'a [Planned],
    pub(crate) evidence: &'a Evidence,
    /// What was heard on the bus by somebody else than the functions.
    pub(crate) published: &'a BTreeSet<String>,
    /// What each SKU was stocked with.
    pub(crate) stocked: &'a BTreeMap<String, u64>,
    /// Levels that were seen during the run and did not add up.
    pub(crate) samples: usize,
    pub(crate) unbalanced: &'a [String],
    pub(crate) poison: &'a [SetAside],
    /// What clients were answered that they should not have been.
    pub(crate) complaints: &'a [String],
    /// Every queue but the test's own, and how many messages are in it.
    pub(crate) queues: &'a [(Queue, Depth)],
}

/// Asks everything.
pub(crate) fn check(subject: &Subject<'_>) -> Vec<Invariant> {
    let archive = archive(subject.evidence);
    vec![
        stock_is_conserved(subject),
        stock_is_as_the_orders_ended(subject, &archive),
        events_of_the_way(subject, &archive),
        one_of_each(subject, &archive),
        nothing_made_up(subject),
        repeated_to_the_letter(subject),
        archive_is_what_was_published(subject),
        view_is_fold_of_archive(subject, &archive),
        poison_is_set_aside(subject),
        each_object_is_announced_once(&subject.evidence.given_up, &subject.evidence.lake),
        each_group_is_alerted(&subject.evidence.given_up),
        each_dead_letter_came_back_or_is_kept(&subject.evidence.given_up),
        nothing_is_left(subject),
        clients_are_answered(subject),
    ]
}

/// The events of each order as the lake has them, one for each id.
type Archive = BTreeMap<String, BTreeMap<String, Event>>;

fn archive(evidence: &Evidence) -> Archive {
    let mut archive = Archive::new();
    for (id, lines) in &evidence.lake.events {
        // What is no event of the catalogue is poison, and asked about elsewhere.
        let decoded = lines.first().and_then(|line| contracts::decode(line, None).ok());
        if let Some(event) = decoded.map(|decoded| decoded.event)
            && let Ok(order_id) = event.order_id()
        {
            archive.entry(order_id.to_string()).or_default().insert(id.clone(), event);
        }
    }
    archive
}

fn types(archive: &Archive, order_id: &OrderId) -> Vec<String> {
    let events = archive.get(order_id.as_str()).into_iter().flatten();
    let mut types: Vec<String> =
        events.map(|(_, event)| event.data.event_type().as_str().to_owned()).collect();
    types.sort();
    types
}

fn end_of(archive: &Archive, planned: &Planned) -> Option<End> {
    planned.way.end_of(&types(archive, &planned.order_id))
}

fn describe(planned: &Planned) -> String {
    format!("order {} ({})", planned.order_id, planned.way.name())
}

fn stock_is_conserved(subject: &Subject<'_>) -> Invariant {
    let levels = subject.stocked.iter();
    let mut invariant = Invariant::of(
        "stock is conserved: available + reserved + shipped = received",
        levels,
        |(sku, stocked)| match subject.evidence.levels.get(sku) {
            Some(level) if level.is_conserved() && level.received == *stocked => Ok(()),
            level => Err(format!("{sku}: {stocked} were received, and there is {level:?}")),
        },
    );
    invariant.asked += subject.samples;
    invariant.fallen.extend_from_slice(subject.unbalanced);
    invariant
}

/// Stock that nobody holds any more is available, and of what is contended nothing is left while somebody was refused.
fn stock_is_as_the_orders_ended(subject: &Subject<'_>, archive: &Archive) -> Invariant {
    let mut expected: BTreeMap<&str, StockLevel> = subject
        .stocked
        .iter()
        .map(|(sku, stocked)| {
            (sku.as_str(), StockLevel { available: *stocked, received: *stocked, ..StockLevel::default() })
        })
        .collect();
    for planned in subject.orders {
        let end = end_of(archive, planned);
        for line in &planned.request.lines {
            let (Some(level), Ok(quantity)) =
                (expected.get_mut(line.sku.as_str()), u64::try_from(line.quantity))
            else {
                continue;
            };
            match end {
                Some(End::Scheduled) => level.reserved += quantity,
                Some(End::Left) => level.shipped += quantity,
                _ => continue,
            }
            level.available = level.available.saturating_sub(quantity);
        }
    }
    let wanted = subject.orders.iter().filter(|planned| planned.way == Way::Contended).count();
    Invariant::of("stock is as the orders ended", expected, |(sku, expected)| {
        let found = subject.evidence.levels.get(sku);
        if found != Some(&expected) {
            return Err(format!("{sku}: the ends of the orders demand {expected:?}, and there is {found:?}"));
        }
        if sku == CONTENDED && expected.available > 0 && expected.received <= wanted as u64 {
            return Err(format!("{sku}: {} were left although orders were refused", expected.available));
        }
        Ok(())
    })
}

fn events_of_the_way(subject: &Subject<'_>, archive: &Archive) -> Invariant {
    Invariant::of("each order has exactly the events of its way", subject.orders, |planned| {
        let found = types(archive, &planned.order_id);
        if planned.way.end_of(&found).is_some() {
            return Ok(());
        }
        let expected = planned.way.ends().first().map(|end| end.events()).unwrap_or_default();
        let missing: Vec<_> = expected.iter().filter(|name| !found.contains(name)).collect();
        let mut extra = found.clone();
        for name in &expected {
            if let Some(place) = extra.iter().position(|one| one == name) {
                extra.remove(place);
            }
        }
        Err(format!("{}: missing {missing:?}, too many {extra:?}", describe(planned)))
    })
}

fn one_of_each(subject: &Subject<'_>, archive: &Archive) -> Invariant {
    let nothing = Records::default();
    Invariant::of(
        "each order has one reservation, one shipment, one payment id, one outcome",
        subject.orders,
        |planned| {
            let order_id = &planned.order_id;
            let records = subject.evidence.orders.get(order_id).unwrap_or(&nothing);
            let Some(end) = end_of(archive, planned) else {
                return Err(format!("{}: it has come to no end", describe(planned)));
            };
            let mut problems = Vec::new();
            if !records.reservation.as_ref().is_some_and(|reservation| end.leaves(reservation)) {
                problems.push(format!("the reservation is {:?}", records.reservation));
            }
            if !end.allows(records.shipment.as_ref().map(|shipment| shipment.decision)) {
                problems.push(format!("the shipment is {:?}", records.shipment));
            }
            let notices = subject.evidence.notices.get(order_id.as_str()).map_or(0, BTreeSet::len);
            if notices != usize::from(end.is_shipped()) {
                problems.push(format!("the fulfilment centre was told to send {notices} shipments"));
            }
            let payments = payment_ids(archive, order_id);
            if payments.len() != usize::from(end.is_charged()) {
                problems.push(format!("the payment ids are {payments:?}"));
            }
            let outcome = records.settlement.as_ref().map(|settlement| settlement.outcome);
            if outcome != Some(end.outcome()) {
                problems.push(format!("the outcome is {outcome:?} and should be {:?}", end.outcome()));
            }
            if problems.is_empty() {
                Ok(())
            } else {
                Err(format!("{}: {}", describe(planned), problems.join("; ")))
            }
        },
    )
}

fn payment_ids<'a>(archive: &'a Archive, order_id: &OrderId) -> BTreeSet<&'a str> {
    let events = archive.get(order_id.as_str()).into_iter().flatten();
    let ids = events.filter_map(|(_, event)| match &event.data {
        Data::PaymentRequested(data) => Some(data.payment_id.as_str()),
        Data::PaymentCaptured(data) => Some(data.payment_id.as_str()),
        Data::PaymentFailed(data) => Some(data.payment_id.as_str()),
        Data::RefundRequested(data) => Some(data.payment_id.as_str()),
        Data::OrderConfirmed(data) => Some(data.payment_id.as_str()),
        _ => None,
    });
    ids.collect()
}

fn nothing_made_up(subject: &Subject<'_>) -> Invariant {
    let known: BTreeSet<&str> = subject.orders.iter().map(|planned| planned.order_id.as_str()).collect();
    let keys =
        subject.evidence.keys.iter().flat_map(|(table, keys)| keys.iter().map(move |key| (*table, key)));
    Invariant::of("nothing is stored of an order that nobody placed", keys, |(table, key)| {
        if known.contains(key.as_str()) { Ok(()) } else { Err(format!("{table}: {key}")) }
    })
}

fn repeated_to_the_letter(subject: &Subject<'_>) -> Invariant {
    let name = "an event is the same however often it is published";
    Invariant::of(name, &subject.evidence.lake.events, |(id, lines)| {
        let events = lines.iter().map(|line| serde_json::from_str(line).unwrap_or_default());
        let details: Vec<Value> = events.map(|mut event: Value| event["detail"].take()).collect();
        let Some((first, others)) = details.split_first() else { return Ok(()) };
        let different: BTreeSet<&String> =
            others.iter().flat_map(|other| different_attributes(first, other)).collect();
        if different.is_empty() {
            Ok(())
        } else {
            Err(format!("event {id} ({}) differs from itself in {different:?}", first["type"]))
        }
    })
}

/// The attributes of two CloudEvents that are not the same.
fn different_attributes<'a>(one: &'a Value, other: &'a Value) -> Vec<&'a String> {
    let names = |event: &'a Value| event.as_object().into_iter().flat_map(|event| event.keys());
    names(one).chain(names(other)).filter(|name| one.get(name) != other.get(name)).collect()
}

fn archive_is_what_was_published(subject: &Subject<'_>) -> Invariant {
    let archived: BTreeSet<&String> = subject.evidence.lake.events.keys().collect();
    let published: BTreeSet<&String> = subject.published.iter().collect();
    Invariant::of("archived events = published events", archived.union(&published), |id| {
        match (published.contains(id), archived.contains(id)) {
            (true, true) => Ok(()),
            (true, false) => Err(format!("event {id} was published and is not archived")),
            _ => Err(format!("event {id} is archived and was never published")),
        }
    })
}

fn view_is_fold_of_archive(subject: &Subject<'_>, archive: &Archive) -> Invariant {
    let nothing = Records::default();
    Invariant::of("the read model is the fold of the archive", subject.orders, |planned| {
        let order_id = &planned.order_id;
        let events = archive.get(order_id.as_str()).into_iter().flatten();
        let folded = by_id(events.filter_map(|(_, event)| fact_of(event, &contracts::Origin::Own)));
        let facts = &subject.evidence.orders.get(order_id).unwrap_or(&nothing).facts;
        let stored = by_id(facts.iter().cloned());
        if folded != stored {
            let ids: BTreeSet<&String> = folded.keys().chain(stored.keys()).collect();
            let different: Vec<_> = ids.into_iter().filter(|id| folded.get(*id) != stored.get(*id)).collect();
            return Err(format!("{}: they differ in {different:?}", describe(planned)));
        }
        let status = status_of(facts);
        match end_of(archive, planned) {
            Some(end) if status == end.status() => Ok(()),
            end => Err(format!("{}: its status is {status}, its end {end:?}", describe(planned))),
        }
    })
}

fn by_id(facts: impl Iterator<Item = RecordedFact>) -> BTreeMap<String, RecordedFact> {
    facts.map(|fact| (fact.fact.identity.to_string(), fact)).collect()
}

fn status_of(facts: &[RecordedFact]) -> &'static str {
    let mut view = domain::OrderView::default();
    facts.iter().for_each(|fact| view.add(fact.fact.clone()));
    view.status().as_str()
}

fn poison_is_set_aside(subject: &Subject<'_>) -> Invariant {
    let expected: BTreeSet<&SetAside> = subject.poison.iter().collect();
    let (found, unexpected) = set_aside(subject.evidence);
    let all: BTreeSet<&SetAside> = expected.iter().copied().chain(found.keys()).collect();
    let mut invariant =
        Invariant::of("poison is set aside once, with its reason, and nothing else is", all, |one| {
            let SetAside { mark, consumer, reason } = one;
            match (expected.contains(one), found.get(one)) {
                (true, Some(1)) => Ok(()),
                (true, Some(times)) => Err(format!("{mark} was set aside by {consumer} {times} times")),
                (true, None) => {
                    Err(format!("{mark} is lost: {consumer} should have set it aside ({reason})"))
                }
                _ => Err(format!("{mark} was set aside by {consumer} ({reason}), which is not what it is")),
            }
        });
    invariant.asked += unexpected.len();
    invariant.fallen.extend(unexpected);
    invariant
}

/// What was set aside, and how often: in the quarantine bucket, or by the archiver in the lake. And what was set aside
/// without being poison, in words.
fn set_aside(evidence: &Evidence) -> (BTreeMap<SetAside, usize>, Vec<String>) {
    let (mut found, mut unexpected) = (BTreeMap::new(), Vec::new());
    let in_quarantine = evidence.given_up.objects.iter().map(|object| {
        (object.body.as_str(), object.concerning.consumer.as_str(), object.reason.code.as_str())
    });
    // The lake is written at least once; a line that is written again is the same.
    let in_lake: BTreeSet<&String> = evidence.lake.undecodable.iter().collect();
    let in_lake = in_lake.into_iter().map(|line| (line.as_str(), ARCHIVER, UNDECODABLE));
    for (text, consumer, reason) in in_quarantine.chain(in_lake) {
        match mark_in(text) {
            Some(mark) => {
                let (consumer, reason) = (consumer.to_owned(), reason.to_owned());
                *found.entry(SetAside { mark, consumer, reason }).or_default() += 1;
            }
            None => unexpected.push(format!("{consumer} set aside ({reason}) what is no poison")),
        }
    }
    (found, unexpected)
}

fn nothing_is_left(subject: &Subject<'_>) -> Invariant {
    let name = "every queue is empty, dead-letter queues and quarantine queue included";
    Invariant::of(name, subject.queues, |(queue, depth)| {
        let Depth { visible, not_visible, delayed } = depth;
        if depth.total() == 0 {
            Ok(())
        } else {
            Err(format!("{}: {visible} visible, {not_visible} not visible, {delayed} delayed", queue.name))
        }
    })
}

fn clients_are_answered(subject: &Subject<'_>) -> Invariant {
    let mut invariant =
        Invariant::of("each client is answered as it should be", subject.complaints, |one| Err(one.clone()));
    invariant.asked = subject.orders.len();
    invariant
}

#[cfg(test)]
mod tests {
    use contracts::{
        EventQuarantined, Money, OPEN_SCOPE, OrderAccepted, OrderConfirmed, PaymentCaptured,
        PaymentRequested, ShipmentScheduled, StockReserved, order_id_of_key, quarantine_id,
    };
    use domain::{
        Attempt, Concerning, EventId, Failure, Outcome, Quantity, QuarantineId, RedriveKey, RedriveReason,
        RedriveRecord, RedriveState, Reservation, Settlement, Shipment, ShipmentDecision, Sku, StockDecision,
        StockLine, Timestamp,
    };
    use ports::{Alert, QuarantineObject};

    use super::*;
    use crate::chaos::given_up::GivenUp;
    use crate::ways::SKUS;

    /// A run of one order that was shipped, one poisoned message and one dead letter that was sent back, in which everything
    /// is as it must be.
    struct Run {
        orders: Vec<Planned>,
        evidence: Evidence,
        published: BTreeSet<String>,
        stocked: BTreeMap<String, u64>,
        unbalanced: Vec<String>,
        poison: Vec<SetAside>,
        queues: Vec<(Queue, Depth)>,
        complaints: Vec<String>,
    }

    impl Run {
        fn healthy() -> Self {
            let key = "invariants".to_owned();
            let order_id = order_id_of_key(OPEN_SCOPE, &key);
            let request = Way::Shipped.request(0);
            let planned = Planned {
                way: Way::Shipped,
                key,
                order_id: order_id.clone(),
                request,
                is_repeated: false,
                poison: None,
            };
            let poison = SetAside {
                mark: "poison-0".to_owned(),
                consumer: "order-placed".to_owned(),
                reason: "not_json".to_owned(),
            };
            let mut run = Self {
                evidence: Evidence::default(),
                published: BTreeSet::new(),
                stocked: BTreeMap::from([(SKUS[0].to_owned(), 10)]),
                unbalanced: Vec::new(),
                poison: vec![poison],
                queues: ["OrderPlacedQueue", "OrderPlacedDeadLetterQueue", "QuarantineQueue"]
                    .map(|name| (Queue { name: name.to_owned(), url: String::new() }, Depth::default()))
                    .into(),
                complaints: Vec::new(),
                orders: vec![planned],
            };
            run.give_up("poison-0");
            run.evidence.given_up.ledger.push(record("e-1", RedriveState::Waiting));
            let level = StockLevel { available: 8, reserved: 2, shipped: 0, received: 10 };
            run.evidence.levels.insert(SKUS[0].to_owned(), level);
            let at = Timestamp::from_unix_ms(0);
            let decided_by = EventId::parse("e-0").unwrap();
            let line = StockLine { sku: Sku::parse(SKUS[0]).unwrap(), quantity: Quantity::new(2).unwrap() };
            let records = Records {
                settlement: Some(Settlement {
                    outcome: Outcome::Confirmed,
                    decided_by: decided_by.clone(),
                    decided_at: at,
                }),
                reservation: Some(Reservation {
                    decision: StockDecision::Reserved(vec![line]),
                    decided_by: decided_by.clone(),
                    decided_at: at,
                    closing: None,
                }),
                shipment: Some(Shipment {
                    decision: ShipmentDecision::Scheduled,
                    decided_by,
                    decided_at: at,
                    closing: None,
                }),
                facts: Vec::new(),
            };
            run.evidence.orders.insert(order_id.clone(), records);
            run.evidence.keys.insert("orders", BTreeSet::from([order_id.to_string()]));
            let notices = BTreeSet::from([format!("ship-{order_id}")]);
            run.evidence.notices.insert(order_id.to_string(), notices);
            for (number, data) in data_of_a_shipped_order(&run.orders[0]).into_iter().enumerate() {
                run.happens(&format!("e-{number}"), data);
            }
            run
        }

        /// Everybody hears of an event.
        fn happens(&mut self, id: &str, data: Data) {
            let event = event(id, self.orders[0].order_id.clone().into(), data);
            self.records().facts.extend(fact_of(&event, &contracts::Origin::Own));
            self.hear(&event);
        }

        fn hear(&mut self, event: &Event) {
            let id = event.id.as_str().to_owned();
            self.evidence.lake.events.entry(id.clone()).or_default().push(line_of(event));
            self.published.insert(id);
        }

        /// A message of this content is given up on, and all that follows is done.
        fn give_up(&mut self, body: &str) {
            let record = record(body, RedriveState::Quarantined);
            let id = quarantine_id(&record.key, 0);
            self.announce(&id, &format!("announcing-{body}"));
            let object = QuarantineObject {
                id,
                key: record.key.clone(),
                attempt: record.attempt,
                concerning: record.concerning.clone(),
                reason: record.reason.clone(),
                first_failed_at: record.first_failed_at,
                last_failed_at: record.last_failed_at,
                quarantined_at: record.last_failed_at,
                body: body.to_owned(),
            };
            let GivenUp { objects, alerts, ledger } = &mut self.evidence.given_up;
            objects.push(object);
            ledger.push(record);
            alerts.push(alert("order-placed gave up on a message (not_json)"));
        }

        fn announce(&mut self, id: &QuarantineId, event_id: &str) {
            let at = "2026-01-31T12:00:00Z".to_owned();
            let data = EventQuarantined {
                quarantine_id: id.to_string(),
                consumer: "order-placed".to_owned(),
                reason_code: "not_json".to_owned(),
                reason: "line 1".to_owned(),
                attempts: 1,
                first_failed_at: at.clone(),
                last_failed_at: at,
                message_event_id: None,
                message_event_type: None,
                order_id: None,
            };
            self.hear(&event(event_id, id.clone().into(), data.into()));
        }

        fn records(&mut self) -> &mut Records {
            self.evidence.orders.values_mut().next().unwrap()
        }

        fn fallen(&self) -> Vec<&'static str> {
            let invariants = check(&Subject {
                orders: &self.orders,
                evidence: &self.evidence,
                published: &self.published,
                stocked: &self.stocked,
                samples: 0,
                unbalanced: &self.unbalanced,
                poison: &self.poison,
                complaints: &self.complaints,
                queues: &self.queues,
            });
            assert!(invariants.iter().all(|invariant| invariant.asked > 0), "each was asked");
            invariants.iter().filter(|one| !one.holds()).map(|one| one.name).collect()
        }
    }

    /// 2026-01-31T12:00:00Z.
    const NOON: Timestamp = Timestamp::from_unix_ms(1_769_860_800_000);

    fn event(id: &str, subject: domain::Subject, data: Data) -> Event {
        Event {
            id: EventId::parse(id).unwrap(),
            subject,
            time: NOON,
            correlation_id: "c".to_owned(),
            causation_id: None,
            traceparent: None,
            data,
        }
    }

    fn record(message: &str, state: RedriveState) -> RedriveRecord {
        let at = Timestamp::from_unix_ms(0);
        let failure = Failure {
            attempt: Attempt::default().next(),
            at,
            due_at: at,
            reason: RedriveReason { code: "not_json".to_owned(), text: "line 1".to_owned() },
            concerning: Concerning { consumer: "order-placed".to_owned(), ..Concerning::default() },
        };
        RedriveRecord { state, ..RedriveRecord::begin(RedriveKey::new("order-placed", message), &failure) }
    }

    fn alert(text: &str) -> Alert {
        Alert { subject: format!("Orderbus: {text}"), line: String::new() }
    }

    fn line_of(event: &Event) -> String {
        let outbound = event.to_outbound().unwrap();
        let detail: Value = serde_json::from_str(&outbound.detail).unwrap();
        let event_type = outbound.event_type;
        serde_json::json!({
            "detail-type": event_type.as_str(), "source": event_type.source(),
            "time": "2026-01-31T12:00:00Z", "detail": detail,
        })
        .to_string()
    }

    fn data_of_a_shipped_order(planned: &Planned) -> Vec<Data> {
        let order_id = planned.order_id.as_str().to_owned();
        let request = planned.request.clone();
        let lines = vec![contracts::StockLine { sku: SKUS[0].to_owned(), quantity: 2 }];
        let (amount, payment_id) = (request.total.clone(), format!("pay-{order_id}"));
        vec![
            request.clone().into_order_placed(&planned.order_id).into(),
            OrderAccepted {
                order_id: order_id.clone(),
                customer_id: request.customer_id.clone(),
                lines: request.lines.clone(),
                total: request.total.clone(),
            }
            .into(),
            StockReserved { order_id: order_id.clone(), lines: lines.clone() }.into(),
            PaymentRequested {
                order_id: order_id.clone(),
                payment_id: payment_id.clone(),
                amount: amount.clone(),
                task_token: "t".to_owned(),
                expires_at: "2026-01-31T12:00:00Z".to_owned(),
            }
            .into(),
            captured(&order_id, &payment_id, amount),
            OrderConfirmed {
                order_id: order_id.clone(),
                customer_id: request.customer_id,
                lines: request.lines,
                total: request.total,
                payment_id,
                personal: request.personal,
            }
            .into(),
            ShipmentScheduled { shipment_id: format!("ship-{order_id}"), order_id, lines }.into(),
        ]
    }

    fn captured(order_id: &str, payment_id: &str, amount: Money) -> Data {
        PaymentCaptured {
            order_id: order_id.to_owned(),
            payment_id: payment_id.to_owned(),
            amount,
            task_token: "t".to_owned(),
            provider_reference: "r".to_owned(),
        }
        .into()
    }

    /// Breaks a healthy run in one way, and says what falls.
    fn fallen_after(break_it: impl FnOnce(&mut Run)) -> Vec<&'static str> {
        let mut run = Run::healthy();
        break_it(&mut run);
        run.fallen()
    }

    const CONSERVED: &str = "stock is conserved: available + reserved + shipped = received";
    const AS_ENDED: &str = "stock is as the orders ended";
    const EVENTS: &str = "each order has exactly the events of its way";
    const ONE_OF_EACH: &str = "each order has one reservation, one shipment, one payment id, one outcome";
    const LETTER: &str = "an event is the same however often it is published";
    const ARCHIVED: &str = "archived events = published events";
    const FOLD: &str = "the read model is the fold of the archive";
    const POISON: &str = "poison is set aside once, with its reason, and nothing else is";
    const ANNOUNCED: &str = "one ops.event-quarantined.v1 for each object in quarantine";
    const ALERTED: &str = "whoever is on call was told of each consumer and reason, and of as many messages";
    const LEDGER: &str =
        "each dead letter was sent back or is in quarantine, by the ledger; some were sent back";
    const EMPTY: &str = "every queue is empty, dead-letter queues and quarantine queue included";

    #[test]
    fn nothing_falls_in_a_healthy_run() {
        assert_eq!(Run::healthy().fallen(), [""; 0]);
    }

    #[test]
    fn stock_that_is_lost_or_made_up_is_noticed() {
        let level = |run: &mut Run, change: fn(&mut StockLevel)| {
            change(run.evidence.levels.get_mut(SKUS[0]).unwrap());
        };
        assert_eq!(fallen_after(|run| level(run, |level| level.available -= 1)), [CONSERVED, AS_ENDED]);
        // It adds up, but the order's two pieces were reserved once more.
        let twice = |level: &mut StockLevel| (level.available, level.reserved) = (6, 4);
        assert_eq!(fallen_after(|run| level(run, twice)), [AS_ENDED]);
        let more = |level: &mut StockLevel| (level.available, level.received) = (9, 11);
        assert_eq!(fallen_after(|run| level(run, more)), [CONSERVED, AS_ENDED]);
        assert_eq!(fallen_after(|run| run.evidence.levels.clear()), [CONSERVED, AS_ENDED]);
        assert_eq!(fallen_after(|run| run.unbalanced.push("in between".to_owned())), [CONSERVED]);
    }

    #[test]
    fn an_event_too_many_or_too_few_is_noticed() {
        let again = |run: &mut Run| {
            let data = data_of_a_shipped_order(&run.orders[0]).remove(1);
            run.happens("another-id", data);
        };
        assert!(fallen_after(again).contains(&EVENTS));
        let lost = |run: &mut Run| {
            run.evidence.lake.events.remove("e-6");
            run.published.remove("e-6");
        };
        assert!(fallen_after(lost).contains(&EVENTS));
    }

    #[test]
    fn a_second_or_missing_effect_is_noticed() {
        assert_eq!(fallen_after(|run| run.records().reservation = None), [ONE_OF_EACH]);
        assert_eq!(fallen_after(|run| run.records().shipment = None), [ONE_OF_EACH]);
        assert_eq!(fallen_after(|run| run.records().settlement = None), [ONE_OF_EACH]);
        let other_outcome = |run: &mut Run| {
            run.records().settlement.as_mut().unwrap().outcome = Outcome::Cancelled;
        };
        assert_eq!(fallen_after(other_outcome), [ONE_OF_EACH]);
        assert_eq!(fallen_after(|run| run.evidence.notices.clear()), [ONE_OF_EACH]);
        let second_shipment = |run: &mut Run| {
            run.evidence.notices.values_mut().next().unwrap().insert("another".to_owned());
        };
        assert_eq!(fallen_after(second_shipment), [ONE_OF_EACH]);
        let second_payment = |run: &mut Run| {
            let planned = run.orders[0].clone();
            let other = captured(planned.order_id.as_str(), "pay-twice", planned.request.total);
            let capture = "e-4";
            run.evidence.lake.events.remove(capture);
            run.records().facts.retain(|fact| fact.fact.event_id.as_str() != capture);
            run.happens(capture, other);
        };
        assert_eq!(fallen_after(second_payment), [ONE_OF_EACH]);
    }

    #[test]
    fn an_order_that_nobody_placed_is_noticed() {
        let made_up = |run: &mut Run| {
            run.evidence.keys.insert("shipments", BTreeSet::from(["another-order".to_owned()]));
        };
        assert_eq!(fallen_after(made_up), ["nothing is stored of an order that nobody placed"]);
    }

    #[test]
    fn two_events_under_one_id_are_noticed() {
        let differ = |run: &mut Run| {
            let lines = run.evidence.lake.events.get_mut("e-4").unwrap();
            lines.push(lines[0].replace("12:00:00.000Z", "12:00:00.001Z"));
            assert_ne!(lines[0], lines[1]);
        };
        assert_eq!(fallen_after(differ), [LETTER]);
        let repeated = |run: &mut Run| {
            let lines = run.evidence.lake.events.get_mut("e-4").unwrap();
            // The envelope's own time changes with each publication.
            lines.push(lines[0].replace("2026-01-31T12:00:00Z", "2026-01-31T12:00:09Z"));
        };
        assert_eq!(fallen_after(repeated), [""; 0]);
    }

    #[test]
    fn an_event_that_is_missing_in_the_lake_or_was_never_published_is_noticed() {
        assert_eq!(fallen_after(|run| assert!(run.published.insert("e-lost".to_owned()))), [ARCHIVED]);
        assert_eq!(fallen_after(|run| assert!(run.published.remove("e-2"))), [ARCHIVED]);
    }

    #[test]
    fn a_read_model_that_misses_or_differs_is_noticed() {
        assert_eq!(fallen_after(|run| drop(run.records().facts.pop())), [FOLD]);
        let differ = |run: &mut Run| run.records().facts[2].fact.at = Timestamp::from_unix_ms(1);
        assert_eq!(fallen_after(differ), [FOLD]);
    }

    #[test]
    fn poison_that_is_lost_misnamed_set_aside_twice_or_taken_for_poison_is_noticed() {
        let lost = |run: &mut Run| {
            run.poison.push(SetAside { mark: "poison-1".to_owned(), ..run.poison[0].clone() });
        };
        assert_eq!(fallen_after(lost), [POISON]);
        let object = |run: &mut Run, change: fn(&mut QuarantineObject)| {
            change(&mut run.evidence.given_up.objects[0]);
        };
        let other_reason = |object: &mut QuarantineObject| object.reason.code = "refused".to_owned();
        assert_eq!(fallen_after(|run| object(run, other_reason)), [POISON, ANNOUNCED, ALERTED]);
        let innocent = |object: &mut QuarantineObject| object.body = "an order".to_owned();
        assert_eq!(fallen_after(|run| object(run, innocent)), [POISON]);
        assert_eq!(fallen_after(|run| run.give_up("poison-0/again")), [POISON]);
        let in_lake = |run: &mut Run, line: &str| run.evidence.lake.undecodable.push(line.to_owned());
        assert_eq!(fallen_after(|run| in_lake(run, "poison-0")), [POISON]);
        assert_eq!(fallen_after(|run| in_lake(run, "an order")), [POISON]);
    }

    #[test]
    fn an_object_that_was_not_announced_or_not_once_is_noticed() {
        let unannounced = |run: &mut Run| {
            run.evidence.lake.events.remove("announcing-poison-0");
            run.published.remove("announcing-poison-0");
        };
        assert_eq!(fallen_after(unannounced), [ANNOUNCED]);
        let twice = |run: &mut Run| {
            let id = run.evidence.given_up.objects[0].id.clone();
            run.announce(&id, "announced-again");
        };
        assert_eq!(fallen_after(twice), [ANNOUNCED]);
        let made_up = |run: &mut Run| {
            run.announce(&quarantine_id(&RedriveKey::new("order-placed", "x"), 0), "announced-for-nothing");
        };
        assert_eq!(fallen_after(made_up), [ANNOUNCED]);
    }

    #[test]
    fn an_alert_that_did_not_come_or_tells_of_too_few_is_noticed() {
        let alerts = |run: &mut Run| std::mem::take(&mut run.evidence.given_up.alerts);
        assert_eq!(fallen_after(|run| drop(alerts(run))), [ALERTED]);
        // Somebody else's alarm is no alert of ours.
        let other_alarm = |run: &mut Run| run.evidence.given_up.alerts[0].subject = "ALARM: 1".to_owned();
        assert_eq!(fallen_after(other_alarm), [ALERTED]);
        let one_of_two = |run: &mut Run| {
            run.give_up("poison-1");
            run.poison.push(SetAside { mark: "poison-1".to_owned(), ..run.poison[0].clone() });
            run.evidence.given_up.alerts.pop();
        };
        assert_eq!(fallen_after(one_of_two), [ALERTED]);
        let both_at_once = |run: &mut Run| {
            one_of_two(run);
            run.evidence.given_up.alerts = vec![alert("order-placed gave up on 2 messages (not_json)")];
        };
        assert_eq!(fallen_after(both_at_once), [""; 0]);
        let for_nothing = |run: &mut Run| {
            run.evidence.given_up.alerts.push(alert("order-placed gave up on a message (refused)"));
        };
        assert_eq!(fallen_after(for_nothing), [ALERTED]);
    }

    #[test]
    fn a_dead_letter_that_is_neither_back_nor_kept_is_noticed() {
        let state = |run: &mut Run, state| run.evidence.given_up.ledger[0].state = state;
        assert_eq!(fallen_after(|run| state(run, RedriveState::Quarantining)), [LEDGER]);
        assert_eq!(fallen_after(|run| state(run, RedriveState::Waiting)), [LEDGER]);
        let not_kept = |run: &mut Run| {
            run.evidence.given_up.ledger.push(record("e-2", RedriveState::Quarantined));
        };
        assert_eq!(fallen_after(not_kept), [LEDGER]);
        let uncounted = |run: &mut Run| drop(run.evidence.given_up.ledger.remove(0));
        assert_eq!(fallen_after(uncounted), [LEDGER]);
        let nothing_sent_back = |run: &mut Run| run.evidence.given_up.ledger.truncate(1);
        assert_eq!(fallen_after(nothing_sent_back), [LEDGER]);
    }

    #[test]
    fn what_is_left_in_a_queue_and_what_a_client_complains_of_is_noticed() {
        for queue in 0..3 {
            for depth in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
                let (visible, not_visible, delayed) = depth;
                let left = |run: &mut Run| run.queues[queue].1 = Depth { visible, not_visible, delayed };
                assert_eq!(fallen_after(left), [EMPTY], "{queue} {depth:?}");
            }
        }
        let complaint = |run: &mut Run| run.complaints.push("POST /orders answered 404".to_owned());
        assert_eq!(fallen_after(complaint), ["each client is answered as it should be"]);
    }
}
