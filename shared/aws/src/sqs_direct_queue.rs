use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures_util::future::join_all;
use ports::PortError;

use crate::calls::in_calls;
use crate::error::{EntryRefused, failed, failed_all};
use crate::sqs::count;

const GET_URL: &str = "sqs:GetQueueUrl";
const SEND: &str = "sqs:SendMessageBatch";
const GET_ATTRIBUTES: &str = "sqs:GetQueueAttributes";

/// The queue behind a rule, written to past the rule.
#[derive(Debug, Clone)]
pub struct SqsDirectQueue {
    client: Client,
    queue_url: String,
}

impl SqsDirectQueue {
    /// The queue with this ARN.
    ///
    /// # Errors
    /// When there is none, or when it is none of ours.
    pub async fn of_arn(client: Client, arn: &str) -> Result<Self, PortError> {
        let mut parts = arn.rsplit(':');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let request = client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let output = request.send().await.map_err(|error| failed(GET_URL, error))?;
        let queue_url = output.queue_url.unwrap_or_default();
        Ok(Self { client, queue_url })
    }

    /// Sends messages, ten a call, all calls at once. Answers for each, in the order given.
    pub async fn send(&self, bodies: &[String]) -> Vec<Result<(), PortError>> {
        let calls = in_calls(bodies, String::len).into_iter().map(|call| self.send_call(call));
        join_all(calls).await.into_iter().flatten().collect()
    }

    async fn send_call(&self, bodies: &[String]) -> Vec<Result<(), PortError>> {
        let entry = |(index, body): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build()
        };
        let entries = match bodies.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => {
                let text = error.to_string();
                return bodies.iter().map(|_| Err(PortError::permanent(SEND, text.clone()))).collect();
            }
        };
        let request = self.client.send_message_batch().queue_url(&self.queue_url);
        let output = match request.set_entries(Some(entries)).send().await {
            Ok(output) => output,
            Err(error) => return failed_all(SEND, error, bodies.len()),
        };
        // What is in neither list was not taken, as far as we know.
        let answer = |index: usize| {
            let id = index.to_string();
            if output.successful.iter().any(|entry| entry.id == id) {
                return Ok(());
            }
            let refused = output.failed.iter().find(|entry| entry.id == id);
            let code = refused.map_or("NoAnswer", |entry| entry.code.as_str()).to_owned();
            let message = refused.and_then(|entry| entry.message.clone()).unwrap_or_default();
            let is_permanent = refused.is_some_and(|entry| entry.sender_fault);
            let refusal = EntryRefused { code, message };
            Err(if is_permanent {
                PortError::permanent(SEND, refusal)
            } else {
                PortError::transient(SEND, refusal)
            })
        };
        (0..bodies.len()).map(answer).collect()
    }

    /// About how many messages are in it: visible, delayed or with a consumer.
    ///
    /// # Errors
    /// When SQS does not say.
    pub async fn depth(&self) -> Result<u64, PortError> {
        const PARTS: [QueueAttributeName; 3] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let output = request.set_attribute_names(Some(PARTS.to_vec())).send().await;
        let attributes =
            output.map_err(|error| failed(GET_ATTRIBUTES, error))?.attributes.unwrap_or_default();
        Ok(PARTS.iter().map(|part| count(&attributes, part)).sum())
    }
}
