use runtime::{variable, variable_or_empty};

use crate::producers::{InvalidProducers, Producers};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `BUS_NAME`.
    pub bus_name: String,
    /// `EVENT_LEDGER_TABLE`.
    pub ledger_table: String,
    /// `PRODUCERS`: who publishes as what. Empty for nobody.
    pub producers: Producers,
}

/// A setting that is missing or unusable. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not there.
    #[error(transparent)]
    Variable(#[from] runtime::ConfigError),
    /// The producers are not written as they have to be.
    #[error("PRODUCERS cannot be read")]
    Producers(#[from] InvalidProducers),
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing or unusable.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            bus_name: variable("BUS_NAME")?,
            ledger_table: variable("EVENT_LEDGER_TABLE")?,
            producers: Producers::parse(&variable_or_empty("PRODUCERS")?)?,
        })
    }
}
