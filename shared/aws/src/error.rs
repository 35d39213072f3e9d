use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::PortError;

/// Codes that say the request itself can never be carried out, whoever sends it and whenever. Everything else may pass:
/// also a missing permission or table, which a deployment mends and no message is to blame for.
const PERMANENT_CODES: [&str; 7] = [
    "ValidationException",
    "InvalidExecutionInput",
    "InvalidToken",
    "InvalidOutput",
    "InvalidParameter",
    "InvalidMessageContents",
    "EntityTooLarge",
];

/// A failed call as a port reports it.
pub(crate) fn failed<E, R>(operation: &'static str, error: SdkError<E, R>) -> PortError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let permanent = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .is_some_and(|code| PERMANENT_CODES.contains(&code));
    if permanent { PortError::permanent(operation, error) } else { PortError::transient(operation, error) }
}

/// One entry of a batch call that was refused while the call itself succeeded.
#[derive(Debug, thiserror::Error)]
#[error("the entry was refused: {code}: {message}")]
pub(crate) struct EntryRefused {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// The same failure for each of `count` entries of one call.
pub(crate) fn failed_all<E, R>(
    operation: &'static str,
    error: SdkError<E, R>,
    count: usize,
) -> Vec<Result<(), PortError>>
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let error = failed(operation, error);
    let shared = std::sync::Arc::new(error);
    (0..count)
        .map(|_| Err(PortError { operation, retry: shared.retry, source: Box::new(Shared(shared.clone())) }))
        .collect()
}

/// One failure that several entries share.
#[derive(Debug)]
struct Shared(std::sync::Arc<PortError>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the whole call failed")
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.source.as_ref())
    }
}
