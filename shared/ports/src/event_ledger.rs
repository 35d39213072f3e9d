use domain::{EventId, Timestamp};

use crate::{Commit, PortError};

/// What is known of an event that somebody outside handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedEvent {
    /// Who publishes it: the event's `source`.
    pub source: String,
    /// What it says: a hash of all of it. Two events that differ have two.
    pub fingerprint: String,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// When the bus had taken it; `None` while nobody knows that it has.
    pub published_at: Option<Timestamp>,
}

/// Every event that was ever admitted from outside, by its id. An id stands for one event for ever, whoever uses it.
pub trait EventLedger: Send + Sync {
    /// Admits an event that nobody has published yet. MUST write only when the id is unknown here, and MUST otherwise
    /// answer with what stands there.
    fn admit(
        &self,
        id: &EventId,
        source: &str,
        fingerprint: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<Commit<AdmittedEvent>, PortError>> + Send;

    /// Notes that the bus has taken an event. MUST keep the first instant, and MUST NOT change anything else.
    ///
    /// # Errors
    /// A permanent [`PortError`] when the id is unknown here; nothing is written then.
    fn note_published(
        &self,
        id: &EventId,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}
