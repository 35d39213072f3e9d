//! What must be so however the run went. Pure: from the plan and the evidence to what fell.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Data, Event, RecordedFact, fact_of};
use domain::{OrderId, StockLevel};
use serde_json::Value;

use super::evidence::{Evidence, Records};
use super::plan::Planned;
use super::poison::SetAside;
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
    fn of<T>(
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
    /// Queues that are not empty, with their depths.
    pub(crate) left_over: &'a [(String, u64)],
    pub(crate) queues: usize,
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
        nothing_is_left(subject),
    ]
}

/// The events of each order as the lake has them, one for each id.
type Archive = BTreeMap<String, BTreeMap<String, Event>>;

fn archive(evidence: &Evidence) -> Archive {
    let mut archive = Archive::new();
    for (id, lines) in &evidence.lake.events {
        // What is no event of the catalogue is poison, and asked about elsewhere.
        let decoded = lines.first().and_then(|line| contracts::decode(line).ok());
        if let Some(event) = decoded.map(|decoded| decoded.event) {
            archive.entry(event.order_id.to_string()).or_default().insert(id.clone(), event);
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
        let folded = by_id(events.map(|(_, event)| fact_of(event)));
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
    facts.map(|fact| (fact.fact.event_id.to_string(), fact)).collect()
}

fn status_of(facts: &[RecordedFact]) -> &'static str {
    let mut view = domain::OrderView::default();
    facts.iter().for_each(|fact| view.add(fact.fact.clone()));
    view.status().as_str()
}

fn poison_is_set_aside(subject: &Subject<'_>) -> Invariant {
    let expected: BTreeSet<&SetAside> = subject.poison.iter().collect();
    let found: BTreeSet<&SetAside> = subject.evidence.set_aside.iter().collect();
    let mut invariant = Invariant::of(
        "poison is set aside with its reason, and nothing else is",
        expected.union(&found),
        |one| {
            let SetAside { mark, consumer, reason } = one;
            match (expected.contains(one), found.contains(one)) {
                (true, true) => Ok(()),
                (true, false) => {
                    Err(format!("{mark} is lost: {consumer} should have set it aside ({reason})"))
                }
                _ => Err(format!("{mark} was set aside by {consumer} ({reason}), which is not what it is")),
            }
        },
    );
    invariant.asked += subject.evidence.set_aside_unexpectedly.len();
    invariant.fallen.extend_from_slice(&subject.evidence.set_aside_unexpectedly);
    invariant
}

fn nothing_is_left(subject: &Subject<'_>) -> Invariant {
    let mut invariant = Invariant::of(
        "no message waits to be delivered, or was given up on",
        subject.left_over,
        |(queue, depth)| Err(format!("{depth} messages are in {queue}")),
    );
    invariant.asked = subject.queues;
    invariant
}
