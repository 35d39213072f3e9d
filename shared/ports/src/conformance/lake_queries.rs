use domain::Timestamp;

use super::{ok, persist};
use crate::{Execution, LakeQueries, LakeQuery, Parameter, QueryId, QueryState, Rows};

/// Finds a row when both values are the same. What is to be asked is here; a model without SQL is told the answer.
pub const SAME: &str = "SELECT 'same' AS answer WHERE ? = ?";
/// Finds the numbers up to a value.
pub const NUMBERS: &str = "SELECT number FROM (VALUES 1, 2, 3, NULL) AS t (number) WHERE number <= ? OR number IS NULL ORDER BY number";
/// Finds a row when an instant is before another.
pub const BEFORE: &str = "SELECT 'before' AS answer WHERE ? < ?";

/// What was meant to be a value and would be something else where values become text.
const HOSTILE: [&str; 9] = [
    "it's",
    "' OR '1' = '1",
    "'; DROP TABLE events; --",
    "/* */ -- \n",
    "\\' OR 1 = 1 --",
    "?",
    "\u{2019} OR \u{ff07}1",
    "\"quoted\" `name` $1 ${x} {0} %s",
    "",
];

/// The suite of [`LakeQueries`].
pub async fn lake_queries<Q: LakeQueries>(queries: &Q, unique: &str) {
    a_question_is_answered(queries, unique).await;
    a_value_is_nothing_but_a_value(queries, unique).await;
    an_instant_keeps_its_milliseconds(queries, unique).await;
    a_token_starts_one_execution(queries, unique).await;
    what_was_not_started_here_is_not_known(queries).await;
}

async fn a_question_is_answered<Q: LakeQueries>(queries: &Q, unique: &str) {
    let query = query(NUMBERS, vec![Parameter::Number(2)], unique, "numbers");
    let id = start(queries, &query).await;
    assert_eq!(ended(queries, &id).await, succeeded(&query));
    let value = |text: &str| vec![Some(text.to_owned())];
    let rows = vec![value("1"), value("2"), vec![None]];
    assert_eq!(ok(queries.rows(&id, 10).await), Rows { columns: vec!["number".to_owned()], rows });
    assert_eq!(ok(queries.rows(&id, 2).await).rows, [value("1"), value("2")], "no more than were asked for");
}

async fn a_value_is_nothing_but_a_value<Q: LakeQueries>(queries: &Q, unique: &str) {
    for (index, text) in HOSTILE.iter().enumerate() {
        for (other, found) in [((*text).to_owned(), 1), (format!("{text}x"), 0)] {
            let parameters = vec![Parameter::Text((*text).to_owned()), Parameter::Text(other)];
            let query = query(SAME, parameters, unique, &format!("same-{index}-{found}"));
            let id = start(queries, &query).await;
            assert_eq!(ended(queries, &id).await, succeeded(&query));
            let rows = ok(queries.rows(&id, 10).await);
            assert_eq!(rows.columns, ["answer"], "also without rows");
            assert_eq!(rows.rows.len(), found, "{text:?}");
        }
    }
}

async fn an_instant_keeps_its_milliseconds<Q: LakeQueries>(queries: &Q, unique: &str) {
    let instant = |unix_ms| Parameter::Instant(Timestamp::from_unix_ms(unix_ms));
    for (first, second, found) in [(1_769_860_800_122, 1_769_860_800_123, 1), (1_000, 1_000, 0)] {
        let query = query(BEFORE, vec![instant(first), instant(second)], unique, &format!("before-{found}"));
        let id = start(queries, &query).await;
        assert_eq!(ended(queries, &id).await, succeeded(&query));
        assert_eq!(ok(queries.rows(&id, 10).await).rows.len(), found);
    }
}

async fn a_token_starts_one_execution<Q: LakeQueries>(queries: &Q, unique: &str) {
    let first = query(NUMBERS, vec![Parameter::Number(1)], unique, "token");
    let id = start(queries, &first).await;
    assert_eq!(start(queries, &first).await, id, "the same again");
    let other = LakeQuery { parameters: vec![Parameter::Number(2)], ..first.clone() };
    assert!(queries.start(&other).await.is_err(), "another question under the same token");
    let next = LakeQuery { token: token(unique, "another-token"), ..first };
    assert_ne!(start(queries, &next).await, id, "the same question under another token");
}

async fn what_was_not_started_here_is_not_known<Q: LakeQueries>(queries: &Q) {
    let id = QueryId::parse("00000000-0000-4000-8000-000000000000").expect("it has the form of one");
    assert_eq!(ok(queries.look_up(&id).await), None);
    assert!(queries.rows(&id, 10).await.is_err());
}

fn query(statement: &'static str, parameters: Vec<Parameter>, unique: &str, name: &str) -> LakeQuery {
    LakeQuery { statement, parameters, token: token(unique, name), reuse_minutes_max: 0 }
}

fn token(unique: &str, name: &str) -> String {
    format!("{name:-<24}-{unique:-<24}")
}

fn succeeded(query: &LakeQuery) -> Execution {
    Execution {
        statement: query.statement.to_owned(),
        parameters: query.parameters.clone(),
        state: QueryState::Succeeded,
    }
}

async fn start<Q: LakeQueries>(queries: &Q, query: &LakeQuery) -> QueryId {
    persist(async || queries.start(query).await).await
}

/// Asks until it has ended. Nothing here can sleep; whoever answers at once is asked often.
async fn ended<Q: LakeQueries>(queries: &Q, id: &QueryId) -> Execution {
    loop {
        let execution = persist(async || queries.look_up(id).await).await.expect("it was started here");
        if execution.state != QueryState::Running {
            return execution;
        }
    }
}
