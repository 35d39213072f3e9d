use std::time::Duration;

use runtime::variable;

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `LAKE_WORKGROUP`.
    pub workgroup: String,
    /// `LAKE_DATABASE`.
    pub database: String,
    /// `ORDER_VIEWS_TABLE`.
    pub order_views_table: String,
    /// `PATIENCE_MILLISECONDS`: how long a caller is kept waiting before being told where to look.
    pub patience: Duration,
}

/// A setting that is missing or unusable. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not there.
    #[error(transparent)]
    Variable(#[from] runtime::ConfigError),
    /// A number is not one.
    #[error("PATIENCE_MILLISECONDS is not a number")]
    Patience,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing or unusable.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let patience = variable("PATIENCE_MILLISECONDS")?;
        Ok(Self {
            workgroup: variable("LAKE_WORKGROUP")?,
            database: variable("LAKE_DATABASE")?,
            order_views_table: variable("ORDER_VIEWS_TABLE")?,
            patience: patience.parse().map(Duration::from_millis).map_err(|_| ConfigError::Patience)?,
        })
    }
}
