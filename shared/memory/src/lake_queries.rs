use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ports::{Execution, LakeQueries, LakeQuery, PortError, QueryId, QueryState, Rows};

use crate::{Faults, lock};

type Engine = Arc<dyn Fn(&LakeQuery) -> Result<Rows, QueryState> + Send + Sync>;

/// Remembers what it was asked. It knows no SQL: what a query finds, or how it fails, it is told.
#[derive(Clone)]
pub struct MemoryLakeQueries {
    engine: Engine,
    started: Arc<Mutex<Started>>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Started {
    queries: Vec<LakeQuery>,
    /// How often each execution is still said to run.
    running: BTreeMap<QueryId, u32>,
    runs_for: u32,
}

impl fmt::Debug for MemoryLakeQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLakeQueries")
            .field("started", &lock(&self.started).queries)
            .finish_non_exhaustive()
    }
}

impl MemoryLakeQueries {
    /// Answers as `engine` does.
    #[must_use]
    pub fn new(engine: impl Fn(&LakeQuery) -> Result<Rows, QueryState> + Send + Sync + 'static) -> Self {
        Self { engine: Arc::new(engine), started: Arc::default(), faults: Faults::default() }
    }

    /// With calls that can be lost.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Lets every query that is started from now on be found running so many times.
    pub fn run_for(&self, looks: u32) {
        lock(&self.started).runs_for = looks;
    }

    /// Everything that was started, in order.
    #[must_use]
    pub fn started(&self) -> Vec<LakeQuery> {
        lock(&self.started).queries.clone()
    }

    fn find(&self, id: &QueryId) -> Option<LakeQuery> {
        let started = lock(&self.started);
        let mut numbered = started.queries.iter().enumerate();
        numbered.find(|(index, _)| query_id(*index) == *id).map(|(_, query)| query.clone())
    }
}

/// The id of the query with this number.
fn query_id(index: usize) -> QueryId {
    let text = format!("00000000-0000-4000-8000-{:012x}", index + 1);
    QueryId::parse(&text).unwrap_or_else(|| unreachable!("it is written as one"))
}

impl LakeQueries for MemoryLakeQueries {
    async fn start(&self, query: &LakeQuery) -> Result<QueryId, PortError> {
        let apply = || {
            let mut started = lock(&self.started);
            if let Some(index) = started.queries.iter().position(|one| one.token == query.token) {
                let before = &started.queries[index];
                if (before.statement, &before.parameters) != (query.statement, &query.parameters) {
                    return Err(PortError::permanent(
                        "memory:StartQuery",
                        "the token stands for another query",
                    ));
                }
                return Ok(query_id(index));
            }
            let id = query_id(started.queries.len());
            started.queries.push(query.clone());
            let looks = started.runs_for;
            started.running.insert(id.clone(), looks);
            Ok(id)
        };
        self.faults.call("memory:StartQuery", apply).await
    }

    async fn look_up(&self, id: &QueryId) -> Result<Option<Execution>, PortError> {
        let apply = || {
            let Some(query) = self.find(id) else { return Ok(None) };
            let runs = {
                let mut started = lock(&self.started);
                let looks = started.running.entry(id.clone()).or_default();
                let runs = *looks > 0;
                *looks = looks.saturating_sub(1);
                runs
            };
            let state = match (self.engine)(&query) {
                _ if runs => QueryState::Running,
                Ok(_) => QueryState::Succeeded,
                Err(state) => state,
            };
            Ok(Some(Execution { statement: query.statement.to_owned(), parameters: query.parameters, state }))
        };
        self.faults.call("memory:LookUpQuery", apply).await
    }

    async fn rows(&self, id: &QueryId, rows_max: usize) -> Result<Rows, PortError> {
        let apply = || {
            let found = self.find(id).map(|query| (self.engine)(&query));
            let Some(Ok(mut rows)) = found else {
                return Err(PortError::permanent("memory:ReadRows", "there are no rows"));
            };
            rows.rows.truncate(rows_max);
            Ok(rows)
        };
        self.faults.call("memory:ReadRows", apply).await
    }
}
