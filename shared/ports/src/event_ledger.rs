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

/// Every event that was ever admitted from outside, by its producer and its id.
///
/// An id of one producer stands for one event for ever. An id of another producer is another one: no producer can use
/// up the ids of another, or of Orderbus itself.
pub trait EventLedger: Send + Sync {
    /// Admits an event that its producer has not published yet. MUST write only when this producer's id is unknown
    /// here, and MUST otherwise answer with what stands there.
    fn admit(
        &self,
        producer: &str,
        id: &EventId,
        source: &str,
        fingerprint: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<Commit<AdmittedEvent>, PortError>> + Send;

    /// Notes that the bus has taken an event. MUST keep the first instant, and MUST NOT change anything else.
    ///
    /// # Errors
    /// A permanent [`PortError`] when this producer's id is unknown here; nothing is written then.
    fn note_published(
        &self,
        producer: &str,
        id: &EventId,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}
