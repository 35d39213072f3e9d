use runtime::{ConfigError, variable, variable_or_empty};

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `BUS_NAME`.
    pub bus_name: String,
    /// `ORDERS_TABLE`.
    pub orders_table: String,
    /// `ORDER_VIEWS_TABLE`.
    pub order_views_table: String,
    /// `OPEN_SCOPE`: whose the idempotency keys of callers are who did not sign. Empty when everyone has to.
    pub open_scope: Option<String>,
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
            open_scope: Some(variable_or_empty("OPEN_SCOPE")?).filter(|scope| !scope.is_empty()),
        })
    }
}
