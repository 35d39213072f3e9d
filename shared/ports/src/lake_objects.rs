use std::ops::Range;

use bytes::Bytes;
use domain::Timestamp;

use crate::PortError;

/// An object of the lake, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Where.
    pub key: String,
    /// How large.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub modified_at: Timestamp,
}

/// What is in the lake, for whoever reads it or folds it up. New objects are written through
/// [`EventLake`](crate::EventLake).
pub trait LakeObjects: Send + Sync {
    /// Every object whose key begins so, in the order of their keys.
    ///
    /// MUST hold what was written before the call, and MUST NOT hold what was removed before it.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<StoredObject>, PortError>> + Send;

    /// The bytes of an object, or a range of them, which ends where the object ends; `None` when there is no such object.
    fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> impl Future<Output = Result<Option<Bytes>, PortError>> + Send;

    /// Takes objects out of sight.
    ///
    /// MUST be success for an object that is not there. MUST NOT destroy an earlier version of an object where the store
    /// keeps versions. A removed object can be written again. Of a call that fails, any of the objects may be gone.
    fn remove(&self, keys: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;
}
