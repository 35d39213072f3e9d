use runtime::{ConfigError, variable};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `LAKE_BUCKET`.
    pub lake_bucket: String,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self { lake_bucket: variable("LAKE_BUCKET")? })
    }
}
