use std::collections::{BTreeMap, BTreeSet};

use contracts::{Outbound, Reason, read_publishable};
use domain::{EventId, Timestamp};
use futures_util::future::join_all;
use ports::{AdmittedEvent, Clock, Commit, EventBus, EventLedger, PortError};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::NAME;

/// What became of one event that was handed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on the bus, for the first time as far as anyone knows.
    Accepted,
    /// It was on the bus before, and was not published again.
    Duplicate,
    /// Its caller does not publish as its source.
    Forbidden,
    /// It is not an event of the catalogue as its publisher has to write it.
    Invalid(Vec<Reason>),
    /// Its id stands for another event.
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

/// An event that may be published.
struct Candidate {
    outbound: Outbound,
    source: &'static str,
    fingerprint: String,
}

impl Candidate {
    fn is(&self, admitted: &AdmittedEvent) -> bool {
        self.fingerprint == admitted.fingerprint && self.source == admitted.source
    }
}

/// Takes events in and puts those that are new on the bus. Answers for each, in their order.
pub(crate) async fn publish_events(
    ledger: &impl EventLedger,
    bus: &impl EventBus,
    clock: &impl Clock,
    sources: &BTreeSet<&'static str>,
    entries: &[Box<RawValue>],
) -> Vec<Answer> {
    let judged: Vec<_> = entries.iter().map(|entry| judge(entry, sources)).collect();
    let candidates = judged.iter().filter_map(|(_, verdict)| verdict.as_ref().ok());
    let standing = settle(ledger, bus, clock.now(), candidates).await;

    let mut told = BTreeSet::new();
    let answer = |(id, verdict): (Option<EventId>, Result<Candidate, Fate>)| {
        let fate = match verdict {
            Err(fate) => fate,
            Ok(candidate) => match standing.get(&candidate.outbound.event_id) {
                Some(Standing::Known { admitted, .. }) if !candidate.is(admitted) => Fate::Conflict,
                // The second of two that are the same was published with the first.
                Some(Standing::Known { on_the_bus: OnTheBus::Now, .. })
                    if told.insert(candidate.outbound.event_id.clone()) =>
                {
                    Fate::Accepted
                }
                Some(Standing::Known { on_the_bus: OnTheBus::Now | OnTheBus::Before, .. }) => Fate::Duplicate,
                Some(Standing::Known { on_the_bus: OnTheBus::Unknown, .. } | Standing::Unknown) | None => {
                    Fate::Unavailable
                }
            },
        };
        Answer { id, fate }
    };
    judged.into_iter().map(answer).collect()
}

/// Whether an event may be published, by itself: whoever else comes with it, and whatever happened before. Its id is told
/// when it is one.
fn judge(entry: &RawValue, sources: &BTreeSet<&str>) -> (Option<EventId>, Result<Candidate, Fate>) {
    let came: Value = serde_json::from_str(entry.get()).unwrap_or_default();
    let id = came["id"].as_str().and_then(|id| EventId::parse(id).ok());
    // Of an event that is somebody else's, nobody is told what is wrong with it.
    if came["source"].as_str().is_some_and(|source| !sources.contains(source)) {
        return (id, Err(Fate::Forbidden));
    }
    let candidate = read_publishable(entry.get())
        .map_err(|error| Fate::Invalid(error.into_reasons()))
        .and_then(|event| event.to_outbound().map_err(|_| Fate::Unavailable))
        .map(|outbound| Candidate {
            source: outbound.event_type.source(),
            fingerprint: fingerprint(&outbound),
            outbound,
        });
    (id, candidate)
}

/// The hash of an event as it goes on the bus, its fields in alphabetical order: however a producer writes it, and in
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
async fn settle<'a>(
    ledger: &impl EventLedger,
    bus: &impl EventBus,
    at: Timestamp,
    candidates: impl Iterator<Item = &'a Candidate>,
) -> BTreeMap<EventId, Standing> {
    // In the order in which they came; there are ten at most.
    let mut by_id: Vec<(&EventId, Vec<&Candidate>)> = Vec::new();
    for candidate in candidates {
        let id = &candidate.outbound.event_id;
        match by_id.iter_mut().find(|(known, _)| *known == id) {
            Some((_, candidates)) => candidates.push(candidate),
            None => by_id.push((id, vec![candidate])),
        }
    }
    let admissions = by_id.iter().map(|(id, candidates)| admit(ledger, at, id, candidates));
    let mut standing: BTreeMap<EventId, Standing> = join_all(admissions).await.into_iter().collect();

    let mut publishing: Vec<Outbound> = Vec::new();
    for (id, candidates) in &by_id {
        if let Some(Standing::Known { admitted, on_the_bus: OnTheBus::Unknown }) = standing.get(*id)
            && let Some(candidate) = candidates.iter().find(|candidate| candidate.is(admitted))
        {
            publishing.push(candidate.outbound.clone());
        }
    }
    if publishing.is_empty() {
        return standing;
    }
    let results = bus.publish(&publishing).await;
    let published = publishing.iter().zip(results).filter_map(|(outbound, result)| {
        result.map_err(|error| warn(&error, &outbound.event_id)).ok()?;
        Some(&outbound.event_id)
    });
    let published: Vec<&EventId> = published.collect();
    for id in &published {
        if let Some(Standing::Known { on_the_bus, .. }) = standing.get_mut(*id) {
            *on_the_bus = OnTheBus::Now;
        }
    }
    // An event that could not be marked is on the bus all the same. Handed in again, it is published again.
    join_all(published.into_iter().map(async |id| {
        ledger.note_published(id, at).await.unwrap_or_else(|error| warn(&error, id));
    }))
    .await;
    standing
}

/// What an id stands for, once the first of those that have it asked for it.
async fn admit(
    ledger: &impl EventLedger,
    at: Timestamp,
    id: &EventId,
    candidates: &[&Candidate],
) -> (EventId, Standing) {
    let Some(Candidate { source, fingerprint, .. }) = candidates.first() else {
        return (id.clone(), Standing::Unknown);
    };
    let standing = match ledger.admit(id, source, fingerprint, at).await {
        Ok(Commit::Written) => {
            let (source, fingerprint) = ((*source).to_owned(), fingerprint.clone());
            let admitted = AdmittedEvent { source, fingerprint, admitted_at: at, published_at: None };
            Standing::Known { admitted, on_the_bus: OnTheBus::Unknown }
        }
        Ok(Commit::Existing(admitted)) => {
            let on_the_bus =
                if admitted.published_at.is_some() { OnTheBus::Before } else { OnTheBus::Unknown };
            Standing::Known { admitted, on_the_bus }
        }
        Err(error) => {
            warn(&error, id);
            Standing::Unknown
        }
    };
    (id.clone(), standing)
}

fn warn(error: &PortError, id: &EventId) {
    tracing::warn!(consumer = NAME, event.id = %id, operation = error.operation, problem = %error.source, "an event could not be handled");
}
