use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ports::{PaymentTasks, PortError, TaskReply};
use serde_json::Value;

use crate::{Faults, Keeps, lock};

/// What a checkout was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskAnswer {
    /// Its payment was captured.
    Succeeded {
        /// A JSON object.
        output: String,
    },
    /// Its payment failed.
    Failed {
        /// A name to decide by.
        error: String,
        /// A JSON object.
        cause: String,
    },
}

/// What became of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// The checkout waits.
    Waiting,
    /// It was told this.
    Answered(TaskAnswer),
    /// It waits no longer.
    TimedOut,
}

/// The tokens that were given out and what became of them. Plays the state machine's part.
#[derive(Debug, Clone, Default)]
pub struct MemoryPaymentTasks {
    tasks: Arc<Mutex<BTreeMap<String, Task>>>,
    faults: Faults,
}

impl MemoryPaymentTasks {
    /// Tasks whose calls can be lost.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// A checkout begins to wait under this token. A token is given out once; the second time changes nothing.
    pub fn issue(&self, task_token: &str) {
        lock(&self.tasks).entry(task_token.to_owned()).or_insert(Task::Waiting);
    }

    /// The checkout stops waiting. True when it did wait: then it goes on without an answer.
    pub fn time_out(&self, task_token: &str) -> bool {
        match lock(&self.tasks).get_mut(task_token) {
            Some(task @ Task::Waiting) => {
                *task = Task::TimedOut;
                true
            }
            _ => false,
        }
    }

    /// The answer that the checkout goes on with, once there is one.
    #[must_use]
    pub fn answer(&self, task_token: &str) -> Option<TaskAnswer> {
        match lock(&self.tasks).get(task_token) {
            Some(Task::Answered(answer)) => Some(answer.clone()),
            _ => None,
        }
    }

    /// Every token that was given out, and what became of it, in words.
    #[must_use]
    pub fn states(&self) -> Vec<(String, String)> {
        lock(&self.tasks).iter().map(|(task_token, task)| (task_token.clone(), format!("{task:?}"))).collect()
    }

    /// The tokens of the checkouts that wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let tasks = lock(&self.tasks);
        let waiting = tasks.iter().filter(|(_, task)| matches!(task, Task::Waiting));
        waiting.map(|(task_token, _)| task_token.clone()).collect()
    }

    fn reply(
        &self,
        operation: &'static str,
        task_token: &str,
        json: &str,
        answer: &TaskAnswer,
    ) -> Result<TaskReply, PortError> {
        serde_json::from_str::<serde_json::Map<String, Value>>(json)
            .map_err(|error| PortError::permanent(operation, error))?;
        match lock(&self.tasks).get_mut(task_token) {
            Some(task @ Task::Waiting) => {
                *task = Task::Answered(answer.clone());
                Ok(TaskReply::Taken)
            }
            Some(Task::Answered(_) | Task::TimedOut) => Ok(TaskReply::Gone),
            None => Err(PortError::permanent(operation, "the task token was never one")),
        }
    }
}

impl Keeps for MemoryPaymentTasks {
    type Content = BTreeMap<String, Task>;

    fn content(&self) -> &Mutex<Self::Content> {
        &self.tasks
    }
}

impl PaymentTasks for MemoryPaymentTasks {
    async fn succeed(&self, task_token: &str, output: &str) -> Result<TaskReply, PortError> {
        let operation = "memory:TaskSuccess";
        let answer = TaskAnswer::Succeeded { output: output.to_owned() };
        self.faults.call(operation, || self.reply(operation, task_token, output, &answer)).await
    }

    async fn fail(&self, task_token: &str, error: &str, cause: &str) -> Result<TaskReply, PortError> {
        let operation = "memory:TaskFailure";
        let answer = TaskAnswer::Failed { error: error.to_owned(), cause: cause.to_owned() };
        self.faults.call(operation, || self.reply(operation, task_token, cause, &answer)).await
    }
}
