//! What was given up on: what quarantine keeps, who was told of it, and what the ledger says of every dead letter.
//!
//! Pure but for [`GivenUp::read`]. A message that is still on its way to quarantine is not here: it is in a queue, and
//! every queue has to be empty.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use aws::{DynamoDbRedriveLedger, S3QuarantineStore};
use contracts::{Data, EventQuarantined, quarantine_id};
use domain::{RedriveRecord, RedriveState};
use orderbus::stack::Stack;
use ports::{Alert, QuarantineObject, QuarantineStore, RedriveLedger};
use serde_json::Value;

use super::evidence::{Lake, read_all};
use super::invariants::Invariant;

/// The objects, the alerts and the ledger.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    /// What the bucket holds, and nothing else does.
    pub(crate) objects: Vec<QuarantineObject>,
    /// Everything that whoever is on call was told.
    pub(crate) alerts: Vec<Alert>,
    /// One record for each message that was ever a dead letter.
    pub(crate) ledger: Vec<RedriveRecord>,
}

/// A consumer, and why it gave up.
type Group<'a> = (&'a str, &'a str);

impl GivenUp {
    /// Reads all of it; `alerts` is a queue that heard what whoever is on call was told.
    pub(crate) async fn read(stack: &Stack, alerts: &str) -> Result<Self> {
        let table = stack.output("RedriveLedgerTableName")?.to_owned();
        let ledger = DynamoDbRedriveLedger::new(stack.sdk().dynamodb(), table);
        let alerts = read_all(stack, alerts).await?.into_iter().map(|body| {
            let notice: Value = serde_json::from_str(&body).context("a notice that is not JSON")?;
            let text = |name: &str| notice[name].as_str().unwrap_or_default().to_owned();
            Ok(Alert { subject: text("Subject"), line: text("Message") })
        });
        Ok(Self {
            objects: objects(stack).await?,
            alerts: alerts.collect::<Result<_>>()?,
            ledger: ledger.all().await.context("cannot read the ledger")?,
        })
    }

    /// How many objects there are of each consumer and reason.
    pub(crate) fn groups(&self) -> BTreeMap<Group<'_>, usize> {
        let mut groups = BTreeMap::new();
        for object in &self.objects {
            *groups.entry(group(object)).or_default() += 1;
        }
        groups
    }

    /// What the alerts tell of: how many messages of each consumer and reason. What another alarm says is left out.
    pub(crate) fn told(&self) -> BTreeMap<Group<'_>, usize> {
        let mut told = BTreeMap::new();
        for (group, messages) in self.alerts.iter().filter_map(messages_in) {
            *told.entry(group).or_default() += messages;
        }
        told
    }

    /// How often dead letters were sent back, at least. A message is only counted again once it was sent back and failed
    /// again, and all queues are empty: so each failure counted was followed by a redrive, but the one that was the last
    /// of what is in quarantine. Copies of one message that failed alike are counted once.
    pub(crate) fn redriven(&self) -> u64 {
        let redrives = |record: &RedriveRecord| {
            let failures = u64::from(record.attempt.number);
            if record.state.is_open() { failures } else { failures.saturating_sub(1) }
        };
        self.ledger.iter().map(redrives).sum()
    }
}

async fn objects(stack: &Stack) -> Result<Vec<QuarantineObject>> {
    const PAGE: usize = 1_000;
    let store = S3QuarantineStore::new(stack.sdk().s3(), stack.output("QuarantineBucketName")?.to_owned());
    let mut objects: Vec<QuarantineObject> = Vec::new();
    loop {
        let last = objects.last().map(|object| object.id.clone());
        let ids = store.ids("", last.as_ref(), PAGE).await.context("cannot list the quarantine")?;
        for id in &ids {
            let object = store.find(id).await.context("cannot read the quarantine")?;
            objects.push(object.with_context(|| format!("{id} is not in quarantine any more"))?);
        }
        if ids.len() < PAGE {
            return Ok(objects);
        }
    }
}

fn group(object: &QuarantineObject) -> Group<'_> {
    (&object.concerning.consumer, &object.reason.code)
}

/// `Orderbus: order-placed gave up on 3 messages (not_json)`.
fn messages_in(alert: &Alert) -> Option<(Group<'_>, usize)> {
    let (consumer, rest) = alert.subject.strip_prefix("Orderbus: ")?.split_once(" gave up on ")?;
    let (messages, code) = rest.strip_suffix(')')?.split_once(" (")?;
    let messages = match messages {
        "a message" => 1,
        several => several.strip_suffix(" messages")?.parse().ok()?,
    };
    Some(((consumer, code), messages))
}

/// The events that say that something was given up on, one for each different event, by what they are about.
pub(crate) fn announced(lake: &Lake) -> BTreeMap<String, Vec<EventQuarantined>> {
    let mut announced: BTreeMap<String, Vec<EventQuarantined>> = BTreeMap::new();
    for lines in lake.events.values() {
        let decoded = lines.first().and_then(|line| contracts::decode(line, None).ok());
        if let Some(Data::EventQuarantined(data)) = decoded.map(|decoded| decoded.event.data) {
            announced.entry(data.quarantine_id.clone()).or_default().push(data);
        }
    }
    announced
}

pub(crate) fn each_object_is_announced_once(given_up: &GivenUp, lake: &Lake) -> Invariant {
    let objects: BTreeMap<&str, &QuarantineObject> =
        given_up.objects.iter().map(|object| (object.id.as_str(), object)).collect();
    let announced = announced(lake);
    let ids: BTreeSet<&str> = objects.keys().copied().chain(announced.keys().map(String::as_str)).collect();
    Invariant::of("one ops.event-quarantined.v1 for each object in quarantine", ids, |id| {
        let events = announced.get(id).map(Vec::as_slice).unwrap_or_default();
        match (objects.get(id), events) {
            (None, _) => Err(format!("{id} was announced and is not in quarantine")),
            (Some(object), [event]) => {
                let said = (event.consumer.as_str(), event.reason_code.as_str());
                if said == group(object) {
                    Ok(())
                } else {
                    Err(format!("{id} was announced as {said:?} and is {:?}", group(object)))
                }
            }
            (Some(_), events) => Err(format!("{id} was announced {} times", events.len())),
        }
    })
}

/// Alerts come at least once, and one may tell of many messages.
pub(crate) fn each_group_is_alerted(given_up: &GivenUp) -> Invariant {
    let (groups, told) = (given_up.groups(), given_up.told());
    let all: BTreeSet<Group<'_>> = groups.keys().chain(told.keys()).copied().collect();
    let name = "whoever is on call was told of each consumer and reason, and of as many messages";
    Invariant::of(name, all, |group| {
        let (kept, told) = (groups.get(&group).copied(), told.get(&group).copied());
        match (kept, told.unwrap_or_default()) {
            (None, told) => Err(format!("{group:?}: {told} were told of, and none is in quarantine")),
            (Some(kept), told) if told < kept => Err(format!("{group:?}: {told} of {kept} were told of")),
            _ => Ok(()),
        }
    })
}

/// By the ledger; and if there were none, the run says nothing about dead letters.
pub(crate) fn each_dead_letter_came_back_or_is_kept(given_up: &GivenUp) -> Invariant {
    let mut kept: BTreeSet<String> = given_up.objects.iter().map(|object| object.id.to_string()).collect();
    let name = "each dead letter was sent back or is in quarantine, by the ledger; some were sent back";
    let mut invariant = Invariant::of(name, &given_up.ledger, |record| {
        let RedriveRecord { key, state, attempt, .. } = record;
        let is_kept = kept.remove(quarantine_id(key, attempt.generation).as_str());
        match (state, is_kept) {
            (RedriveState::Waiting | RedriveState::Released, false) | (RedriveState::Quarantined, true) => {
                Ok(())
            }
            (_, true) => Err(format!("{key} is in quarantine, and in the ledger it is {}", state.as_str())),
            (_, false) => {
                Err(format!("{key} is not in quarantine, and in the ledger it is {}", state.as_str()))
            }
        }
    });
    invariant.asked += kept.len() + 1;
    invariant.fallen.extend(kept.iter().map(|id| format!("{id} is in quarantine and in no ledger")));
    if given_up.redriven() == 0 {
        invariant.fallen.push("nothing was sent back".to_owned());
    }
    invariant
}
