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
pub fn variable(name: &'static str) -> Result<String, ConfigError> {
    match variable_or_empty(name)? {
        value if value.is_empty() => Err(ConfigError::Missing(name)),
        value => Ok(value),
    }
}

/// Reads one setting that may be empty, but must be set. For a function's `config.rs` alone.
///
/// # Errors
/// [`ConfigError`] when it is missing or not text.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
pub fn variable_or_empty(name: &'static str) -> Result<String, ConfigError> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => ConfigError::Missing(name),
        VarError::NotUnicode(_) => ConfigError::NotText(name),
    })
}
