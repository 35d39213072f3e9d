use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    Event, EventType, Origin, Outbound, Reason, Refusal, event_identity, read_publishable, time_is_too_late,
};
use domain::{EventId, Timestamp};
use futures_util::future::join_all;
use ports::{AdmittedEvent, Clock, Commit, EventBus, EventLedger, PortError};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::NAME;
use crate::producers::Producer;

/// What became of one event that was handed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on the bus, for the first time as far as anyone knows.
    Accepted,
    /// It was on the bus before, and was not published again.
    Duplicate,
    /// Its caller does not publish as its source.
    Forbidden,
    /// Only Orderbus publishes its type.
    ForeignType,
    /// It is not an event of the catalogue as its publisher has to write it.
    Invalid(Vec<Reason>),
    /// Its id stands for another event of its caller.
    Conflict,
    /// It may not be on the bus. The same event can be handed in again.
    Unavailable,
}

/// The fate of an event, with its id if it has one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: Option<EventId>,
    pub(crate) fate: Fate,
}

/// An event that may be published, and what it claims its id for.
struct Claim {
    id: EventId,
    event_type: EventType,
    fingerprint: String,
    /// Until it goes out.
    outbound: Option<Outbound>,
}

impl Claim {
    fn is(&self, admitted: &AdmittedEvent) -> bool {
        self.fingerprint == admitted.fingerprint && self.event_type.source() == admitted.source
    }
}

/// Takes events in and puts those that are new on the bus. Answers for each, in their order.
pub(crate) async fn publish_events(
    ledger: &impl EventLedger,
    bus: &impl EventBus,
    clock: &impl Clock,
    producer: &Producer,
    entries: &[Box<RawValue>],
) -> Vec<Answer> {
    let now = clock.now();
    let mut judged: Vec<_> = entries.iter().map(|entry| judge(entry, producer, now)).collect();
    let claims = judged.iter_mut().filter_map(|(_, verdict)| verdict.as_mut().ok()).collect();
    let ledger = &OwnIds { ledger, producer: producer.name() };
    let standing = settle(ledger, bus, now, claims).await;

    let mut accepted = BTreeSet::new();
    let mut fate_of = |claim: Claim| match standing.get(&claim.id) {
        Some(Standing::Known { admitted, .. }) if !claim.is(admitted) => Fate::Conflict,
        Some(Standing::Known { on_the_bus: OnTheBus::Before, .. }) => Fate::Duplicate,
        // The second of two that are the same was published with the first.
        Some(Standing::Known { on_the_bus: OnTheBus::Now, .. }) => {
            if accepted.insert(claim.id) {
                Fate::Accepted
            } else {
                Fate::Duplicate
            }
        }
        Some(Standing::Known { on_the_bus: OnTheBus::Unknown, .. } | Standing::Unknown) | None => {
            Fate::Unavailable
        }
    };
    let answers = judged.into_iter().map(|(id, verdict)| {
        let fate = verdict.map_or_else(|fate| fate, &mut fate_of);
        Answer { id, fate }
    });
    answers.collect()
}

/// Whether an event may be published, by itself: whoever else comes with it, and whatever happened before. Its id is told
/// when it is one.
fn judge(entry: &RawValue, producer: &Producer, now: Timestamp) -> (Option<EventId>, Result<Claim, Fate>) {
    let came: Value = serde_json::from_str(entry.get()).unwrap_or_default();
    let id = came["id"].as_str().and_then(|id| EventId::parse(id).ok());
    // Of an event that is somebody else's, nobody is told what is wrong with it.
    if came["source"].as_str().is_some_and(|source| !producer.sources().contains(source)) {
        return (id, Err(Fate::Forbidden));
    }
    let event_type = came["type"].as_str().and_then(EventType::parse);
    if event_type.is_some_and(|event_type| !event_type.may_come_from_outside()) {
        return (id, Err(Fate::ForeignType));
    }
    if !came[Origin::PRODUCER_EXTENSION].is_null() {
        return (id, Err(Fate::Invalid(vec![brought_along()])));
    }
    let claim = read_publishable(entry.get())
        .map_err(|error| Fate::Invalid(error.into_reasons()))
        .and_then(|event| match time_is_too_late(event.time, now) {
            Some(problem) => Err(Fate::Invalid(vec![too_late(problem)])),
            None => Ok(event),
        })
        .and_then(|event| claim_of(&event, producer).map_err(|_| Fate::Unavailable));
    (id, claim)
}

/// Why an event is refused that names a producer.
fn brought_along() -> Reason {
    Reason {
        field: Some(Origin::PRODUCER_EXTENSION.to_owned()),
        ..Reason::new("reserved_attribute", "must be left out: event-gateway names the producer")
    }
}

fn too_late(problem: &str) -> Reason {
    Reason { field: Some("time".to_owned()), ..Reason::new(Refusal::InvalidAttribute.code(), problem) }
}

fn claim_of(event: &Event, producer: &Producer) -> Result<Claim, serde_json::Error> {
    let outbound = event.to_outbound_of(producer.name())?;
    Ok(Claim {
        id: outbound.event_id.clone(),
        event_type: outbound.event_type,
        fingerprint: fingerprint(&event.to_outbound()?),
        outbound: Some(outbound),
    })
}

/// The ids of one producer.
struct OwnIds<'a, L> {
    ledger: &'a L,
    producer: &'a str,
}

impl<L> OwnIds<'_, L> {
    /// Logs a failed call about an event. Of the event only its identity, which is a hash: its id is text of the producer's
    /// choice, such as an e-mail address.
    fn warn(&self, error: &PortError, event_type: EventType, id: &EventId) {
        let origin = Origin::Producer(self.producer.to_owned());
        let identity = event_identity(&origin, event_type.as_str(), id.as_str());
        tracing::warn!(consumer = NAME, event.identity = %identity, operation = error.operation, problem = %error.source, "an event could not be handled");
    }
}

/// The hash of an event as its producer says it, its fields in alphabetical order: however a producer writes it, and in
/// whichever order a release of Orderbus does.
fn fingerprint(outbound: &Outbound) -> String {
    let sorted: Value = serde_json::from_str(&outbound.detail).unwrap_or_default();
    Sha256::digest(sorted.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of an id in the end.
enum Standing {
    /// It stands for this event.
    Known { admitted: AdmittedEvent, on_the_bus: OnTheBus },
    /// The ledger did not say.
    Unknown,
}

enum OnTheBus {
    Before,
    Now,
    Unknown,
}

/// Admits every id, publishes what is not known to be on the bus, all of it in one call, and notes it.
async fn settle(
    ledger: &OwnIds<'_, impl EventLedger>,
    bus: &impl EventBus,
    at: Timestamp,
    mut claims: Vec<&mut Claim>,
) -> BTreeMap<EventId, Standing> {
    // Of several with one id, the first asks for it.
    let is_first = |index: usize| claims[..index].iter().all(|before| before.id != claims[index].id);
    let first = (0..claims.len()).filter(|index| is_first(*index));
    let admissions: Vec<_> = first.map(|index| admit(ledger, at, claims[index])).collect();
    let mut standing: BTreeMap<EventId, Standing> = join_all(admissions).await.into_iter().collect();

    let mut publishing: Vec<Outbound> = Vec::new();
    for claim in &mut claims {
        if let Some(Standing::Known { admitted, on_the_bus: OnTheBus::Unknown }) = standing.get(&claim.id)
            && claim.is(admitted)
            && publishing.iter().all(|before| before.event_id != claim.id)
        {
            publishing.extend(claim.outbound.take());
        }
    }
    if publishing.is_empty() {
        return standing;
    }
    let results = bus.publish(&publishing).await;
    let published = publishing.iter().zip(results).filter_map(|(outbound, result)| {
        result.map_err(|error| ledger.warn(&error, outbound.event_type, &outbound.event_id)).ok()?;
        Some(outbound)
    });
    let published: Vec<&Outbound> = published.collect();
    for outbound in &published {
        if let Some(Standing::Known { on_the_bus, .. }) = standing.get_mut(&outbound.event_id) {
            *on_the_bus = OnTheBus::Now;
        }
    }
    // An event that could not be marked is on the bus all the same. Handed in again, it is published again.
    join_all(published.into_iter().map(async |Outbound { event_type, event_id, .. }| {
        let noted = ledger.ledger.note_published(ledger.producer, event_id, at).await;
        noted.unwrap_or_else(|error| ledger.warn(&error, *event_type, event_id));
    }))
    .await;
    standing
}

/// What an id stands for, once it was claimed.
async fn admit(own_ids: &OwnIds<'_, impl EventLedger>, at: Timestamp, claim: &Claim) -> (EventId, Standing) {
    let OwnIds { ledger, producer } = own_ids;
    let Claim { id, event_type, fingerprint, .. } = claim;
    let standing = match ledger.admit(producer, id, event_type.source(), fingerprint, at).await {
        Ok(Commit::Written) => {
            let (source, fingerprint) = (event_type.source().to_owned(), fingerprint.clone());
            let admitted = AdmittedEvent { source, fingerprint, admitted_at: at, published_at: None };
            Standing::Known { admitted, on_the_bus: OnTheBus::Unknown }
        }
        Ok(Commit::Existing(admitted)) => {
            let on_the_bus =
                if admitted.published_at.is_some() { OnTheBus::Before } else { OnTheBus::Unknown };
            Standing::Known { admitted, on_the_bus }
        }
        Err(error) => {
            own_ids.warn(&error, *event_type, id);
            Standing::Unknown
        }
    };
    (id.clone(), standing)
}
