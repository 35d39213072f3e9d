use crate::{Commit, PortError};

/// An object of the lake. Its key follows from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeObject {
    /// Where.
    pub key: String,
    /// What.
    pub body: Vec<u8>,
    /// The media type.
    pub content_type: &'static str,
    /// The encoding, such as `zstd`; none for plain content.
    pub content_encoding: Option<&'static str>,
}

/// Where every event is kept.
pub trait EventLake: Send + Sync {
    /// Writes an object that is not there yet.
    ///
    /// MUST NOT replace an object. MUST answer [`Commit::Existing`] when this very object is there already.
    ///
    /// # Errors
    /// MUST refuse for good when another object stands under the key: keys follow from bytes, so somebody else put it there,
    /// and what was to be kept is not kept.
    fn write_once(&self, object: LakeObject) -> impl Future<Output = Result<Commit<()>, PortError>> + Send;
}
