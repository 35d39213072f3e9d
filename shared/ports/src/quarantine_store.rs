use std::fmt;

use domain::{Attempt, Concerning, QuarantineId, RedriveKey, RedriveReason, Timestamp};

use crate::{Commit, PortError};

/// A message that was given up on, with all that a person needs to decide about it.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantineObject {
    /// Its name. A function of `key` and the attempt's generation.
    pub id: QuarantineId,
    /// What it is counted under.
    pub key: RedriveKey,
    /// The attempt that failed last.
    pub attempt: Attempt,
    /// Which message it is.
    pub concerning: Concerning,
    /// Why it was given up on.
    pub reason: RedriveReason,
    /// The first failure counted.
    pub first_failed_at: Timestamp,
    /// The last failure counted.
    pub last_failed_at: Timestamp,
    /// When it was given up on.
    pub quarantined_at: Timestamp,
    /// As it came.
    pub body: String,
}

/// Shows no word of the body, which may be about a person.
impl fmt::Debug for QuarantineObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuarantineObject")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .field("reason", &self.reason)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where messages are kept that were given up on, one object each, longer than any queue keeps them.
pub trait QuarantineStore: Send + Sync {
    /// Keeps a message. MUST NOT change what is there under its id; then the answer is [`Commit::Existing`].
    fn keep(&self, object: &QuarantineObject) -> impl Future<Output = Result<Commit<()>, PortError>> + Send;

    /// Reads a message. MUST see every write that was answered before.
    fn find(
        &self,
        id: &QuarantineId,
    ) -> impl Future<Output = Result<Option<QuarantineObject>, PortError>> + Send;

    /// Up to `limit` ids that begin with `prefix` (nothing: any), sorted, those after `after` first.
    fn ids(
        &self,
        prefix: &str,
        after: Option<&QuarantineId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<QuarantineId>, PortError>> + Send;
}
