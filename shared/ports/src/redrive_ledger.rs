use domain::{Attempt, Failure, Hidden, RedriveKey, RedriveRecord, Verdict};

use crate::PortError;

/// What is known of every message that failed. [`RedriveRecord`] says which steps there are.
///
/// Every step MUST be one atomic write under its condition, and MUST answer with what stands there afterwards, whoever
/// wrote it: a caller that comes second goes on from that.
pub trait RedriveLedger: Send + Sync {
    /// Counts a failure, as [`RedriveRecord::count`] does; the first of a message begins its record.
    fn count(
        &self,
        key: &RedriveKey,
        failure: &Failure,
    ) -> impl Future<Output = Result<RedriveRecord, PortError>> + Send;

    /// Remembers where a message waits, as [`RedriveRecord::hide`] does. Nothing is written for an unknown message.
    fn note_hidden(
        &self,
        key: &RedriveKey,
        attempt: Attempt,
        hidden: &Hidden,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Gives up on a message, as [`RedriveRecord::quarantine`] does.
    ///
    /// # Errors
    /// A permanent [`PortError`] when nothing was ever counted for it.
    fn quarantine(
        &self,
        key: &RedriveKey,
        generation: u32,
        verdict: &Verdict,
    ) -> impl Future<Output = Result<RedriveRecord, PortError>> + Send;

    /// Notes that a message is kept and everyone was told, as [`RedriveRecord::announce`] does. Nothing is written for
    /// an unknown message.
    fn note_announced(
        &self,
        key: &RedriveKey,
        generation: u32,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Notes that a message was brought back, as [`RedriveRecord::release`] does. Nothing is written for an unknown
    /// message.
    fn note_released(
        &self,
        key: &RedriveKey,
        generation: u32,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Reads a record. MUST see every write that was answered before.
    fn find(&self, key: &RedriveKey)
    -> impl Future<Output = Result<Option<RedriveRecord>, PortError>> + Send;

    /// Reads every record, in any order. For people: a function has no business with all of them.
    fn all(&self) -> impl Future<Output = Result<Vec<RedriveRecord>, PortError>> + Send;
}
