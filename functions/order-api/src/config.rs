use runtime::{ConfigError, variable};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `BUS_NAME`.
    pub bus_name: String,
    /// `ORDERS_TABLE`.
    pub orders_table: String,
    /// `ORDER_VIEWS_TABLE`.
    pub order_views_table: String,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            bus_name: variable("BUS_NAME")?,
            orders_table: variable("ORDERS_TABLE")?,
            order_views_table: variable("ORDER_VIEWS_TABLE")?,
        })
    }
}
