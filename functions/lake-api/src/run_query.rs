use std::time::Duration;

use ports::{Clock, LakeQueries, LakeQuery, Parameter, PortError, QueryId, QueryState, Rows};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::NAME;
use crate::days::Days;
use crate::reports::Report;

/// How often a question is asked anew within its share of time when its execution failed.
const ATTEMPTS_MAX: u32 = 2;
/// How long equal questions share one execution.
const SHARED_MS: i64 = 60_000;
/// The same, where the answer hardly changes any more.
const SHARED_CLOSED_MS: i64 = 3_600_000;
/// An answer about a closed period may be this old.
const REUSE_CLOSED_MINUTES: u16 = 60;
const LOOK_AFTER_MIN: Duration = Duration::from_millis(50);
const LOOK_AFTER_MAX: Duration = Duration::from_secs(1);
/// The most rows of a report. Where days are told by SKU, a long period can have more: it is refused, not cut off.
pub(crate) const REPORT_ROWS_MAX: usize = 20_000;

/// Asks the lake.
#[derive(Debug)]
pub struct Lake<Q, C> {
    /// Where it is asked.
    pub queries: Q,
    /// What time it is.
    pub clock: C,
    /// How long a caller is kept waiting.
    pub patience: Duration,
}

/// What asking came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was found.
    Rows(Rows),
    /// It takes longer than the caller is kept waiting.
    Running(QueryId),
    /// It would have read more than is allowed.
    TooLarge,
    /// It found more rows than an answer has room for.
    TooManyRows,
    /// It failed, also when asked again.
    Failed,
}

impl Answer {
    /// What a report found, unless it is too much: a part of it would be taken for all.
    pub(crate) fn of_report(rows: Rows) -> Self {
        if rows.rows.len() > REPORT_ROWS_MAX { Self::TooManyRows } else { Self::Rows(rows) }
    }
}

/// A question before it is asked.
pub(crate) struct Question {
    pub(crate) statement: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    /// Whether the answer hardly changes any more.
    pub(crate) is_closed: bool,
    pub(crate) rows_max: usize,
}

impl<Q: LakeQueries, C: Clock> Lake<Q, C> {
    /// Asks for a report.
    ///
    /// # Errors
    /// When the lake cannot be asked.
    pub async fn report(&self, report: &Report, days: &Days) -> Result<Answer, PortError> {
        let question = Question {
            statement: report.statement,
            parameters: report.values(days),
            is_closed: days.is_closed(self.clock.now()),
            rows_max: REPORT_ROWS_MAX + 1,
        };
        Ok(match self.ask(&question).await? {
            Answer::Rows(rows) => Answer::of_report(rows),
            other => other,
        })
    }

    /// Asks, and waits as long as its patience lasts.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, PortError> {
        let begun = Instant::now();
        for attempt in 0..ATTEMPTS_MAX {
            let id = self.queries.start(&self.query(question, attempt)).await?;
            match self.wait(&id, begun).await? {
                QueryState::Running => return Ok(Answer::Running(id)),
                QueryState::TooLarge => return Ok(Answer::TooLarge),
                QueryState::Succeeded => {
                    return self.queries.rows(&id, question.rows_max).await.map(Answer::Rows);
                }
                QueryState::Failed(code) => {
                    tracing::warn!(consumer = NAME, query.id = %id, code, "a query failed");
                }
            }
        }
        Ok(Answer::Failed)
    }

    async fn wait(&self, id: &QueryId, begun: Instant) -> Result<QueryState, PortError> {
        let mut pause = LOOK_AFTER_MIN;
        loop {
            let found = self.queries.look_up(id).await?;
            let execution = found
                .ok_or_else(|| PortError::transient("look up a query", "what was started is not known"))?;
            if execution.state != QueryState::Running || begun.elapsed() + pause > self.patience {
                return Ok(execution.state);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }

    fn query(&self, question: &Question, attempt: u32) -> LakeQuery {
        let shared_ms = if question.is_closed { SHARED_CLOSED_MS } else { SHARED_MS };
        let share = self.clock.now().unix_ms().div_euclid(shared_ms);
        let identity = format!("{:?}", (question.statement, &question.parameters, shared_ms, share, attempt));
        LakeQuery {
            statement: question.statement,
            parameters: question.parameters.clone(),
            token: hex(&Sha256::digest(identity)),
            reuse_minutes_max: if question.is_closed && attempt == 0 { REUSE_CLOSED_MINUTES } else { 0 },
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
