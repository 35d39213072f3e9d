use std::num::ParseIntError;

use runtime::{ConfigError, variable};

/// How the lake is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long after its end an hour is left alone, for events that come late.
    pub lateness_s: u32,
    /// How long what was folded stays beside what it was folded into.
    pub grace_s: u32,
    /// How many days before now are looked back on.
    pub lookback_days: u32,
    /// About how large a folded object becomes before the next one is begun.
    pub object_bytes_max: u64,
    /// How much memory the objects that are folded at once may take, by estimate.
    pub merge_bytes_max: u64,
}

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `LAKE_BUCKET`.
    pub lake_bucket: String,
    /// Everything else.
    pub settings: Settings,
}

/// What is wrong with the environment. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum CompactorConfigError {
    /// Something is missing.
    #[error(transparent)]
    Variable(#[from] ConfigError),
    /// Something is no number.
    #[error("{0} is not a number")]
    NotANumber(&'static str, #[source] ParseIntError),
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`CompactorConfigError`] for the first that is missing or wrong.
    pub fn from_environment() -> Result<Self, CompactorConfigError> {
        let number = |name: &'static str| -> Result<u32, CompactorConfigError> {
            variable(name)?.parse().map_err(|error| CompactorConfigError::NotANumber(name, error))
        };
        Ok(Self {
            lake_bucket: variable("LAKE_BUCKET")?,
            settings: Settings {
                lateness_s: number("LATENESS_SECONDS")?,
                grace_s: number("GRACE_SECONDS")?,
                lookback_days: number("LOOKBACK_DAYS")?,
                object_bytes_max: u64::from(number("OBJECT_MEGABYTES_MAX")?) << 20,
                merge_bytes_max: u64::from(number("MERGE_MEGABYTES_MAX")?) << 20,
            },
        })
    }
}
