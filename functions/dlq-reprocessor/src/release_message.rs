use contracts::quarantine_id;
use domain::{QuarantineId, RedriveState};
use ports::{PortError, QuarantineStore, Redrive, RedriveLedger, RedriveTargets, Target};

use crate::encrypted_event;
use crate::letter::Queues;

/// A message that was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Where it was sent.
    pub target: Target,
}

/// Why a message was not brought back.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is no such message.
    #[error("{0} is not in quarantine")]
    Unknown(QuarantineId),
    /// Someone brought it back before.
    #[error("{0} was released before")]
    Before(QuarantineId),
    /// Someone brought it back before, and it failed again.
    #[error("{0} was released before, failed again, and is in quarantine as {1}")]
    AnotherSince(QuarantineId, QuarantineId),
    /// Its quarantine is still under way.
    #[error("{0} is still on its way into quarantine; try again in a minute")]
    TooEarly(QuarantineId),
    /// EventBridge encrypted it, and no consumer can read it.
    #[error("{0} is an event that EventBridge encrypted")]
    Encrypted(QuarantineId),
    /// Whoever was to handle it is not there.
    #[error("{0} was meant for {1}, which is no target of this stack")]
    NoTarget(QuarantineId, String),
    /// Something could not be reached.
    #[error("{0} could not be released")]
    Failed(QuarantineId, #[source] PortError),
}

/// Brings a message back from quarantine: sends it, then notes that it was. A crash in between leaves it in quarantine
/// with a copy on its way, which is harmless, as is a release at the same time by someone else.
pub(crate) async fn release_message(
    store: &impl QuarantineStore,
    ledger: &impl RedriveLedger,
    targets: &impl RedriveTargets,
    queues: &Queues,
    id: &QuarantineId,
) -> Result<Released, ReleaseError> {
    let failed = |error| ReleaseError::Failed(id.clone(), error);
    let Some(object) = store.find(id).await.map_err(failed)? else {
        return Err(ReleaseError::Unknown(id.clone()));
    };
    if encrypted_event::reason(&object.body).is_some() {
        return Err(ReleaseError::Encrypted(id.clone()));
    }
    // Without a record, which is forgotten in time, the object is all there is to go by.
    if let Some(record) = ledger.find(&object.key).await.map_err(failed)? {
        let is_newer = record.attempt.generation > object.attempt.generation;
        match record.state {
            _ if !is_newer && record.state == RedriveState::Quarantined => {}
            RedriveState::Quarantining if !is_newer => return Err(ReleaseError::TooEarly(id.clone())),
            RedriveState::Quarantined | RedriveState::Quarantining => {
                let since = quarantine_id(&record.key, record.attempt.generation);
                return Err(ReleaseError::AnotherSince(id.clone(), since));
            }
            RedriveState::Waiting | RedriveState::Released => return Err(ReleaseError::Before(id.clone())),
        }
    }
    let Some(target) = queues.target_of(&object.concerning.consumer) else {
        return Err(ReleaseError::NoTarget(id.clone(), object.concerning.consumer));
    };
    let attempt = object.attempt.first_of_next_generation();
    let redrive = Redrive { key: &object.key, attempt, body: &object.body };
    targets.send(&target, &redrive).await.map_err(failed)?;
    ledger.note_released(&object.key, object.attempt.generation).await.map_err(failed)?;
    Ok(Released { target })
}
