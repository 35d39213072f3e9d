use runtime::{ConfigError, variable};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `BUS_NAME`.
    pub bus_name: String,
    /// `FULFILMENT_TOPIC_ARN`.
    pub fulfilment_topic_arn: String,
    /// `QUARANTINE_QUEUE_URL`.
    pub quarantine_queue_url: String,
    /// `QUEUE_URL`.
    pub queue_url: String,
    /// `SHIPMENTS_TABLE`.
    pub shipments_table: String,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            bus_name: variable("BUS_NAME")?,
            fulfilment_topic_arn: variable("FULFILMENT_TOPIC_ARN")?,
            quarantine_queue_url: variable("QUARANTINE_QUEUE_URL")?,
            queue_url: variable("QUEUE_URL")?,
            shipments_table: variable("SHIPMENTS_TABLE")?,
        })
    }
}
