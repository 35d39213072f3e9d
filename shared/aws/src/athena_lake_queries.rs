use aws_sdk_athena::Client;
use aws_sdk_athena::operation::get_query_execution::GetQueryExecutionError;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultReuseByAgeConfiguration,
    ResultReuseConfiguration, ResultSet,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contracts::{format_timestamp, parse_timestamp};
use ports::{Execution, LakeQueries, LakeQuery, Parameter, PortError, QueryId, QueryState, Rows};

use crate::error::failed;

const START: &str = "athena:StartQueryExecution";
const LOOK_UP: &str = "athena:GetQueryExecution";
const READ: &str = "athena:GetQueryResults";
/// The most rows of one answer (<https://docs.aws.amazon.com/athena/latest/APIReference/API_GetQueryResults.html>).
const PAGE_ROWS_MAX: i32 = 1000;
/// The most characters of one execution parameter
/// (<https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html>).
const PARAMETER_CHARACTERS_MAX: usize = 1024;

const TOKEN_WORKGROUP_LENGTH_MAX: usize = 64;

/// The lake in one Athena workgroup. Queries of another workgroup are not known here, whoever may read them.
#[derive(Debug, Clone)]
pub struct AthenaLakeQueries {
    client: Client,
    workgroup: String,
    database: String,
}

impl AthenaLakeQueries {
    /// In this workgroup, with the tables of this database.
    #[must_use]
    pub fn new(client: Client, workgroup: String, database: String) -> Self {
        Self { client, workgroup, database }
    }
}

impl LakeQueries for AthenaLakeQueries {
    async fn start(&self, query: &LakeQuery) -> Result<QueryId, PortError> {
        let literals: Vec<String> = query.parameters.iter().map(literal).collect();
        if literals.iter().any(|literal| literal.chars().count() > PARAMETER_CHARACTERS_MAX) {
            return Err(PortError::permanent(START, "a parameter is longer than 1,024 characters"));
        }
        let context = QueryExecutionContext::builder().database(&self.database).build();
        let answer = self
            .client
            .start_query_execution()
            .query_string(query.statement)
            .set_execution_parameters((!literals.is_empty()).then_some(literals))
            .client_request_token(self.token(&query.token))
            .query_execution_context(context)
            .work_group(&self.workgroup)
            .set_result_reuse_configuration(reuse(query.reuse_minutes_max))
            .send()
            .await
            .map_err(|error| failed(START, error))?;
        let id = answer.query_execution_id().unwrap_or_default();
        QueryId::parse(id).ok_or_else(|| PortError::transient(START, "Athena answered without an id"))
    }

    async fn look_up(&self, id: &QueryId) -> Result<Option<Execution>, PortError> {
        let answer = self.client.get_query_execution().query_execution_id(id.as_str()).send().await;
        match answer {
            Ok(answer) => Ok(answer.query_execution().and_then(|found| self.read(found))),
            Err(error) if error.as_service_error().is_some_and(is_unknown) => Ok(None),
            Err(error) => Err(failed(LOOK_UP, error)),
        }
    }

    async fn rows(&self, id: &QueryId, rows_max: usize) -> Result<Rows, PortError> {
        let mut rows = Rows::default();
        let mut next = None;
        loop {
            let request = self.client.get_query_results().query_execution_id(id.as_str());
            let request = request.max_results(PAGE_ROWS_MAX).set_next_token(next.take());
            let answer = request.send().await.map_err(|error| failed(READ, error))?;
            let page = answer.result_set().ok_or_else(|| PortError::transient(READ, "there is no result"))?;
            let is_first = rows.columns.is_empty();
            if is_first {
                rows.columns = columns(page);
            }
            // The first row of all is the names of the columns.
            let values = page.rows().iter().skip(usize::from(is_first)).map(|row| {
                row.data().iter().map(|datum| datum.var_char_value().map(str::to_owned)).collect()
            });
            rows.rows.extend(values);
            next = answer.next_token().map(str::to_owned);
            if next.is_none() || rows.rows.len() >= rows_max {
                rows.rows.truncate(rows_max);
                return Ok(rows);
            }
        }
    }
}

impl AthenaLakeQueries {
    /// A token is the account's, and another workgroup may ask the same. It has at most 128 characters.
    fn token(&self, token: &str) -> String {
        let own = self.workgroup.get(..TOKEN_WORKGROUP_LENGTH_MAX).unwrap_or(&self.workgroup);
        format!("{token}{own}")
    }

    fn read(&self, found: &QueryExecution) -> Option<Execution> {
        if found.work_group() != Some(self.workgroup.as_str()) {
            return None;
        }
        let status = found.status()?;
        let reason = status.state_change_reason().unwrap_or_default();
        let state = match status.state()? {
            QueryExecutionState::Queued | QueryExecutionState::Running => QueryState::Running,
            QueryExecutionState::Succeeded => QueryState::Succeeded,
            _ if reason.contains("Bytes scanned limit") => QueryState::TooLarge,
            _ => QueryState::Failed(failure_code(reason).to_owned()),
        };
        // Whoever started it with something else than literals of ours is not known either.
        let parameters = found.execution_parameters().iter().map(|text| parameter(text));
        Some(Execution {
            statement: found.query().unwrap_or_default().to_owned(),
            parameters: parameters.collect::<Option<_>>()?,
            state,
        })
    }
}

/// Also true for an execution of a workgroup of which the caller may not hear: it is not told from one that never was.
fn is_unknown(error: &GetQueryExecutionError) -> bool {
    error.is_invalid_request_exception() || error.code() == Some("AccessDeniedException")
}

fn columns(page: &ResultSet) -> Vec<String> {
    let columns = page.result_set_metadata().map(|metadata| metadata.column_info()).unwrap_or_default();
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn reuse(minutes_max: u16) -> Option<ResultReuseConfiguration> {
    let by_age =
        ResultReuseByAgeConfiguration::builder().enabled(true).max_age_in_minutes(minutes_max.into());
    (minutes_max > 0).then(|| {
        ResultReuseConfiguration::builder().result_reuse_by_age_configuration(by_age.build()).build()
    })
}

/// Athena takes each parameter as a literal of its SQL. In a literal of text nothing but a quote has a meaning
/// (<https://trino.io/docs/current/language/types.html#varchar>), and a doubled one is a quote.
fn literal(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Parameter::Instant(at) => {
            format!("TIMESTAMP '{}'", format_timestamp(*at).replace('T', " ").trim_end_matches('Z'))
        }
        Parameter::Number(number) => number.to_string(),
    }
}

/// The parameter of a literal. `None` for what [`literal`] does not write.
fn parameter(literal_text: &str) -> Option<Parameter> {
    let inside = |text: &str| Some(text.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
    let parameter = if let Some(instant) = literal_text.strip_prefix("TIMESTAMP ") {
        let (day, time) =
            inside(instant)?.split_once(' ').map(|(day, time)| (day.to_owned(), time.to_owned()))?;
        Parameter::Instant(parse_timestamp(&format!("{day}T{time}Z"))?)
    } else if let Ok(number) = literal_text.parse() {
        Parameter::Number(number)
    } else {
        Parameter::Text(inside(literal_text)?.replace("''", "'"))
    };
    (literal(&parameter) == literal_text).then_some(parameter)
}

/// The code that Athena's text begins with, such as `HIVE_BAD_DATA`. What follows it may hold values, and is left out.
fn failure_code(reason: &str) -> &str {
    let is_code = |code: &&str| {
        (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    reason.split_once(':').map(|(code, _)| code).filter(is_code).unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    /// Reads a literal of text as Trino's lexer does: from quote to quote, two of them being one. `None` when anything
    /// stands behind it.
    fn read_as_trino(literal: &str) -> Option<String> {
        let mut rest = literal.strip_prefix('\'')?.chars().peekable();
        let mut text = String::new();
        while let Some(character) = rest.next() {
            match character {
                '\'' if rest.peek() == Some(&'\'') => text.extend(rest.next()),
                '\'' => return rest.next().is_none().then_some(text),
                character => text.push(character),
            }
        }
        None
    }

    #[test]
    fn a_text_is_one_literal_whatever_is_in_it() {
        // Every four of what could end a literal, or be taken to.
        let parts = ["", "'", "''", "\\", "\n", "--", "/*", ";", "?", "\u{ff07}", "a", "\0"];
        for first in parts {
            for (second, third) in parts.iter().flat_map(|second| parts.map(|third| (second, third))) {
                for fourth in parts {
                    let text = format!("{first}{second}{third}{fourth}");
                    let value = Parameter::Text(text.clone());
                    let literal = literal(&value);
                    assert_eq!(read_as_trino(&literal), Some(text));
                    assert_eq!(parameter(&literal), Some(value));
                }
            }
        }
    }

    #[test]
    fn a_parameter_is_read_back_from_its_literal() {
        for (value, expected) in [
            (Parameter::Text("it's".to_owned()), "'it''s'"),
            (Parameter::Text(String::new()), "''"),
            (Parameter::Number(-7), "-7"),
            (
                Parameter::Instant(Timestamp::from_unix_ms(1_769_860_800_120)),
                "TIMESTAMP '2026-01-31 12:00:00.120'",
            ),
        ] {
            assert_eq!(literal(&value), expected);
            assert_eq!(parameter(expected), Some(value));
        }
        for text in ["'a' OR 1=1", "now()", "'it's'", "TIMESTAMP 'x'", "", "'", "1.5", "'a';--'", "+7"] {
            assert_eq!(parameter(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_failure_only_the_code_is_told() {
        for (reason, code) in [
            ("INVALID_CAST_ARGUMENT: Cannot cast 'ada@example.com' to BIGINT", "INVALID_CAST_ARGUMENT"),
            ("SYNTAX_ERROR: line 1:8: Column 'x' cannot be resolved", "SYNTAX_ERROR"),
            ("Ada Example: no such name", "UNKNOWN"),
            ("ada@example.com", "UNKNOWN"),
            ("Query exhausted resources at this scale factor", "UNKNOWN"),
            (": x", "UNKNOWN"),
            ("", "UNKNOWN"),
        ] {
            assert_eq!(failure_code(reason), code, "{reason}");
        }
    }
}
