use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use domain::Timestamp;
use ports::{DeadLetter, DeadLetterQueues, Depth, PortError, Postponement};

use crate::error::failed;
use crate::sqs::{UnknownQueue, count};

const RECEIVE: &str = "sqs:ReceiveMessage";
const CHANGE_VISIBILITY: &str = "sqs:ChangeMessageVisibility";
const DELETE: &str = "sqs:DeleteMessage";
const GET_ATTRIBUTES: &str = "sqs:GetQueueAttributes";

/// With any wait at all SQS asks every server that a queue is spread over, and an empty answer means an empty queue
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>).
const WAIT_S: i32 = 1;

/// Dead letters in SQS queues, by the names of the queues.
#[derive(Debug, Clone)]
pub struct SqsDeadLetterQueues {
    client: Client,
    urls: HashMap<String, String>,
}

impl SqsDeadLetterQueues {
    /// Queues, each with its address.
    #[must_use]
    pub fn new(client: Client, urls: HashMap<String, String>) -> Self {
        Self { client, urls }
    }

    fn url(&self, operation: &'static str, queue: &str) -> Result<&str, PortError> {
        self.urls.get(queue).map(String::as_str).ok_or_else(|| UnknownQueue::error(operation, queue))
    }
}

impl DeadLetterQueues for SqsDeadLetterQueues {
    async fn receive(&self, queue: &str, limit: usize, hidden_s: u32) -> Result<Vec<DeadLetter>, PortError> {
        let output = self
            .client
            .receive_message()
            .queue_url(self.url(RECEIVE, queue)?)
            .max_number_of_messages(i32::try_from(limit).unwrap_or(i32::MAX))
            .visibility_timeout(i32::try_from(hidden_s).unwrap_or(i32::MAX))
            .wait_time_seconds(WAIT_S)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| failed(RECEIVE, error))?;
        Ok(output
            .messages
            .unwrap_or_default()
            .into_iter()
            .map(|message| dead_letter(queue, message))
            .collect())
    }

    async fn postpone(&self, queue: &str, message: &Postponement) -> Result<(), PortError> {
        self.client
            .change_message_visibility()
            .queue_url(self.url(CHANGE_VISIBILITY, queue)?)
            .receipt_handle(&message.receipt_handle)
            .visibility_timeout(i32::try_from(message.delay_s).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| failed(CHANGE_VISIBILITY, error))?;
        Ok(())
    }

    async fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), PortError> {
        let request = self.client.delete_message().queue_url(self.url(DELETE, queue)?);
        match request.receipt_handle(receipt_handle).send().await {
            Ok(_) => Ok(()),
            // SQS forgets deliveries of what is gone, and MiniStack says so at once; a handle is never made up here.
            Err(SdkError::ServiceError(error)) if error.err().is_receipt_handle_is_invalid() => Ok(()),
            Err(error) => Err(failed(DELETE, error)),
        }
    }

    async fn depth(&self, queue: &str) -> Result<Depth, PortError> {
        let output = self
            .client
            .get_queue_attributes()
            .queue_url(self.url(GET_ATTRIBUTES, queue)?)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|error| failed(GET_ATTRIBUTES, error))?;
        let attributes = output.attributes.unwrap_or_default();
        Ok(Depth {
            visible: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessages),
            hidden: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        })
    }
}

fn dead_letter(queue: &str, message: Message) -> DeadLetter {
    let sent_at =
        message.attributes.as_ref().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let sent_at = sent_at.and_then(|ms| ms.parse().ok()).unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default().into_iter();
    let attributes: BTreeMap<String, String> =
        attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    DeadLetter {
        queue: queue.to_owned(),
        message_id: message.message_id.unwrap_or_default(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
        sent_at: Timestamp::from_unix_ms(sent_at),
        body: message.body.unwrap_or_default(),
        attributes,
    }
}
