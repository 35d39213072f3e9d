use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use ports::{PortError, Quarantine, Quarantined};

use crate::calls::in_calls;
use crate::error::{EntryRefused, failed_all};
use crate::sqs::attribute;

const SEND: &str = "sqs:SendMessageBatch";
/// The quarantine queue: the message as it came, and why it is there in message attributes.
#[derive(Debug, Clone)]
pub struct SqsQuarantine {
    client: Client,
    queue_url: String,
}

impl SqsQuarantine {
    /// At this address.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }
}

impl SqsQuarantine {
    async fn send(&self, messages: &[Quarantined]) -> Vec<Result<(), PortError>> {
        let entries: Result<Vec<_>, _> =
            messages.iter().enumerate().map(|(index, message)| entry(index, message)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let problem = error.to_string();
                return messages.iter().map(|_| Err(PortError::permanent(SEND, problem.clone()))).collect();
            }
        };
        let call = self.client.send_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
        match call.send().await {
            Ok(output) => {
                let mut results: Vec<Result<(), PortError>> = messages
                    .iter()
                    .map(|_| Err(PortError::transient(SEND, "SQS did not answer for this message")))
                    .collect();
                for sent in output.successful {
                    set(&mut results, &sent.id, Ok(()));
                }
                for refused in output.failed {
                    let message = refused.message.unwrap_or_default();
                    let error = PortError::transient(SEND, EntryRefused { code: refused.code, message });
                    set(&mut results, &refused.id, Err(error));
                }
                results
            }
            Err(error) => failed_all(SEND, error, messages.len()),
        }
    }
}

impl Quarantine for SqsQuarantine {
    async fn put(&self, messages: &[Quarantined]) -> Vec<Result<(), PortError>> {
        let mut results = Vec::with_capacity(messages.len());
        for call in in_calls(messages, |message| message.body.len() + message.reason.len()) {
            results.extend(self.send(call).await);
        }
        results
    }
}

fn set(results: &mut [Result<(), PortError>], id: &str, result: Result<(), PortError>) {
    if let Some(slot) = id.parse::<usize>().ok().and_then(|index| results.get_mut(index)) {
        *slot = result;
    }
}

fn entry(index: usize, message: &Quarantined) -> Result<SendMessageBatchRequestEntry, BuildError> {
    // SQS takes no empty body.
    let body = if message.body.is_empty() { "(empty)" } else { &message.body };
    let mut entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
    for (name, value) in message.attributes() {
        entry = entry.message_attributes(name, attribute(&value)?);
    }
    entry.build()
}
