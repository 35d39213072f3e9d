//! What becomes of messages that were given up on.

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use orderbus::http;
use orderbus::stack::Stack;

use super::consumers::{Queue, depth, queues};

/// The deployed function that looks after the backbone's dead letters, invoked more often than its schedule does.
#[derive(Debug, Clone)]
pub(crate) struct Reprocessor {
    invocations: String,
}

impl Reprocessor {
    /// The one of this stack.
    pub(crate) fn of(stack: &Stack, endpoint: &str) -> Result<Self> {
        let name = stack.output("DlqReprocessorFunctionName")?;
        Ok(Self { invocations: format!("{endpoint}/2015-03-31/functions/{name}/invocations") })
    }

    /// Looks after what is in the dead-letter queues and in the quarantine queue now. Says how many dead letters of others
    /// were moved back; the ledger says what became of ours.
    pub(crate) async fn run(&self, stack: &Stack) -> Result<u64> {
        let (mut waiting, mut of_others) = (0, 0);
        for queue in queues(stack).await? {
            if queue.is_dead_letter() || queue.is_quarantine() {
                if queue.is_ours() {
                    waiting += depth(stack, &queue.url).await?.total();
                } else {
                    // The payment provider is another team's: it has no reprocessor, and a console.
                    of_others += move_back(stack, &queue).await?;
                }
            }
        }
        if waiting > 0 {
            let url = self.invocations.clone();
            let invoke = move || http::post(&url, &[("content-type", "application/json")], "{}");
            let answer = tokio::task::spawn_blocking(invoke).await??;
            ensure!(answer.status == 200, "the reprocessor answered {}: {}", answer.status, answer.body);
        }
        Ok(of_others)
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
