//! What becomes of messages that were given up on.
//!
//! Everything that depends on who does this is here: the rest of the run only asks for it, and counts.

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use orderbus::http;
use orderbus::stack::Stack;
use serde_json::Value;

use super::consumers::{Queue, depth, queues};

/// How the function is called in template.yaml.
const FUNCTION: &str = "orderbus-local-DlqReprocessorFunction";

/// Who brings dead letters back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reprocessor {
    /// The deployed function of this name, invoked by hand.
    Function { endpoint: String, name: String },
    /// Nobody was deployed: the run moves messages back to where they came from, as a person would in the console.
    ByHand,
}

impl Reprocessor {
    /// The one of this stack.
    pub(crate) fn find(endpoint: &str) -> Result<Self> {
        let answer = http::get(&format!("{endpoint}/2015-03-31/functions/"), &[])?;
        ensure!(answer.status == 200, "ListFunctions answered {}: {}", answer.status, answer.body);
        let listing: Value = serde_json::from_str(&answer.body).context("ListFunctions answered no list")?;
        let mut names = listing["Functions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["FunctionName"].as_str());
        Ok(match names.find(|name| name.starts_with(FUNCTION)) {
            Some(name) => Self::Function { endpoint: endpoint.to_owned(), name: name.to_owned() },
            None => Self::ByHand,
        })
    }

    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Function { .. } => "dlq-reprocessor",
            Self::ByHand => "by hand",
        }
    }

    /// Brings back what is in the dead-letter queues now. Says how many messages were there.
    pub(crate) async fn run(&self, stack: &Stack) -> Result<u64> {
        let mut waiting = 0;
        let mut dead_letters = queues(stack).await?;
        // The function also empties the quarantine queue, into where people look.
        let is_function = matches!(self, Self::Function { .. });
        dead_letters.retain(|queue| queue.is_dead_letter() || (is_function && queue.is_quarantine()));
        for queue in &dead_letters {
            waiting += depth(stack, &queue.url).await?;
        }
        if waiting == 0 {
            return Ok(0);
        }
        match self {
            Self::Function { endpoint, name } => {
                let url = format!("{endpoint}/2015-03-31/functions/{name}/invocations");
                let answer = http::post(&url, &[("content-type", "application/json")], "{}")?;
                ensure!(answer.status == 200, "{name} answered {}: {}", answer.status, answer.body);
                Ok(waiting)
            }
            Self::ByHand => {
                let mut moved = 0;
                for queue in &dead_letters {
                    moved += move_back(stack, queue).await?;
                }
                Ok(moved)
            }
        }
    }
}

/// Sends every message of a dead-letter queue to the queue it came from.
async fn move_back(stack: &Stack, dead_letters: &Queue) -> Result<u64> {
    let sqs = stack.sdk().sqs();
    let source = dead_letters.name.split("DeadLetterQueue").next().unwrap_or_default();
    let mut queues = queues(stack).await?.into_iter();
    let is_source =
        |queue: &Queue| queue.name.strip_prefix(source).is_some_and(|rest| rest.starts_with("Queue-"));
    let Some(source) = queues.find(is_source) else { return Ok(0) };
    let mut moved = 0;
    loop {
        let request = sqs.receive_message().queue_url(&dead_letters.url).max_number_of_messages(10);
        let received = request.send().await.context("cannot read a dead-letter queue")?;
        if received.messages().is_empty() {
            return Ok(moved);
        }
        let (mut sent, mut deleted) = (Vec::new(), Vec::new());
        for (index, message) in received.messages().iter().enumerate() {
            let (body, receipt) = (message.body().unwrap_or_default(), message.receipt_handle());
            let id = index.to_string();
            sent.push(SendMessageBatchRequestEntry::builder().id(&id).message_body(body).build()?);
            let receipt = receipt.unwrap_or_default();
            deleted.push(DeleteMessageBatchRequestEntry::builder().id(&id).receipt_handle(receipt).build()?);
        }
        moved += u64::try_from(sent.len())?;
        let answer = sqs.send_message_batch().queue_url(&source.url).set_entries(Some(sent)).send().await;
        let answer = answer.context("cannot send messages back")?;
        ensure!(answer.failed().is_empty(), "messages were not sent back: {:?}", answer.failed());
        let deleting = sqs.delete_message_batch().queue_url(&dead_letters.url).set_entries(Some(deleted));
        deleting.send().await.context("cannot delete dead letters")?;
    }
}
