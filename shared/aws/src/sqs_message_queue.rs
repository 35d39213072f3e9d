use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use ports::{MessageQueue, PortError, Postponement};

use crate::calls::ENTRIES_MAX;
use crate::error::{EntryRefused, failed};

const CHANGE_VISIBILITY: &str = "sqs:ChangeMessageVisibilityBatch";
/// An SQS queue.
#[derive(Debug, Clone)]
pub struct SqsMessageQueue {
    client: Client,
    queue_url: String,
}

impl SqsMessageQueue {
    /// At this address.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }
}

impl MessageQueue for SqsMessageQueue {
    async fn postpone(&self, messages: &[Postponement]) -> Result<(), PortError> {
        let mut first_refusal = Ok(());
        for call in messages.chunks(ENTRIES_MAX) {
            if let Err(error) = self.change_visibility(call).await {
                first_refusal = first_refusal.and(Err(error));
            }
        }
        first_refusal
    }
}

impl SqsMessageQueue {
    async fn change_visibility(&self, messages: &[Postponement]) -> Result<(), PortError> {
        let entries: Result<Vec<_>, _> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&message.receipt_handle)
                    .visibility_timeout(i32::try_from(message.delay_s).unwrap_or(i32::MAX))
                    .build()
            })
            .collect();
        let output = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.queue_url)
            .set_entries(Some(entries.map_err(|error| PortError::permanent(CHANGE_VISIBILITY, error))?))
            .send()
            .await
            .map_err(|error| failed(CHANGE_VISIBILITY, error))?;
        if let Some(refused) = output.failed.into_iter().next() {
            let message = refused.message.unwrap_or_default();
            return Err(PortError::transient(
                CHANGE_VISIBILITY,
                EntryRefused { code: refused.code, message },
            ));
        }
        Ok(())
    }
}
