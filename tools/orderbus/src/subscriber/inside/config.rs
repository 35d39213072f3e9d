use runtime::{ConfigError, variable};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `QUARANTINE_QUEUE_URL`.
    pub quarantine_queue_url: String,
    /// `QUEUE_URL`.
    pub queue_url: String,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            quarantine_queue_url: variable("QUARANTINE_QUEUE_URL")?,
            queue_url: variable("QUEUE_URL")?,
        })
    }
}
