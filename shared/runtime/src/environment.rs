use std::env::VarError;

/// A setting that is missing or unusable. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not set, or empty.
    #[error("the environment variable {0} is not set; template.yaml sets it for every deployed function")]
    Missing(&'static str),
    /// Set to something that is not text.
    #[error("the environment variable {0} is not UTF-8")]
    NotText(&'static str),
}

/// Reads one setting. For a function's `config.rs` alone.
///
/// # Errors
/// [`ConfigError`] when it is missing, empty or not text.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
pub fn variable(name: &'static str) -> Result<String, ConfigError> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) | Err(VarError::NotPresent) => Err(ConfigError::Missing(name)),
        Err(VarError::NotUnicode(_)) => Err(ConfigError::NotText(name)),
    }
}
