use crate::{Commit, PortError};

/// An object of the lake. Its key follows from its content.
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
    /// MUST NOT replace an object. MUST answer [`Commit::Existing`] when the key is taken, whatever is under it; as
    /// the key follows from the content, that is success.
    fn write_once(&self, object: LakeObject) -> impl Future<Output = Result<Commit<()>, PortError>> + Send;
}
