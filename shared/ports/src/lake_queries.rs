use std::fmt;

use domain::Timestamp;

use crate::PortError;

/// A value in the place of a `?`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// Any text.
    Text(String),
    /// An instant.
    Instant(Timestamp),
    /// A whole number.
    Number(i64),
}

/// A question to the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeQuery {
    /// SQL. Of the program's own text, known when it is compiled: nothing that a caller sends can ever be part of it.
    pub statement: &'static str,
    /// One for each `?`, in order.
    pub parameters: Vec<Parameter>,
    /// 32 to 64 visible ASCII characters.
    pub token: String,
    /// How old an answer to the same question may be instead of a new one, in minutes.
    pub reuse_minutes_max: u16,
}

/// Names one execution of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(String);

impl QueryId {
    /// `None` when the text has not the form of one: a UUID in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_in_place = |(index, byte): (usize, u8)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        (text.len() == 36 && text.bytes().enumerate().all(is_in_place)).then(|| Self(text.to_owned()))
    }

    /// The text as it came in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an execution is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryState {
    /// It waits or runs.
    Running,
    /// Its rows can be read.
    Succeeded,
    /// It would have read more than is allowed, and was ended.
    TooLarge,
    /// It ended without rows, for a reason of this code of the query engine, such as `HIVE_BAD_DATA`. Code alone, and no text:
    /// the engine's own text may hold values of the lake and of the caller, and this goes into logs.
    Failed(String),
}

/// One execution of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// What was asked.
    pub statement: String,
    /// With which values.
    pub parameters: Vec<Parameter>,
    /// How far it is.
    pub state: QueryState,
}

/// What a query found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The name of each column.
    pub columns: Vec<String>,
    /// Each value as text; `None` for null.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Where the lake is asked.
pub trait LakeQueries: Send + Sync {
    /// Starts a query.
    ///
    /// MUST start no second execution for the same question under the same token, but answer with the first one. MUST
    /// refuse another question under a token that is taken. MUST hand each parameter over apart from the statement, and
    /// as nothing but a value, whatever is in it.
    fn start(&self, query: &LakeQuery) -> impl Future<Output = Result<QueryId, PortError>> + Send;

    /// How far an execution is. MUST answer `None` for one that was not started here.
    fn look_up(&self, id: &QueryId) -> impl Future<Output = Result<Option<Execution>, PortError>> + Send;

    /// What a query found, up to so many rows.
    ///
    /// # Errors
    /// Also when it has not succeeded.
    fn rows(&self, id: &QueryId, rows_max: usize) -> impl Future<Output = Result<Rows, PortError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_names_an_execution() {
        assert!(QueryId::parse("0b2c4f6e-1d3a-4b5c-8d7e-9f0a1b2c3d4e").is_some());
        for text in [
            "",
            "0b2c4f6e-1d3a-4b5c-8d7e-9f0a1b2c3d4",
            "0B2C4F6E-1D3A-4B5C-8D7E-9F0A1B2C3D4E",
            "0b2c4f6e-1d3a-4b5c-8d7e-9f0a1b2c3d4'",
            "../../../../../../../../../../../../",
            "0b2c4f6e11d3a-4b5c-8d7e-9f0a1b2c3d4e",
        ] {
            assert_eq!(QueryId::parse(text), None, "{text}");
        }
    }
}
