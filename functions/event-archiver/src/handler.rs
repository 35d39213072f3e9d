use domain::Timestamp;
use futures_util::future::join_all;
use ports::EventLake;
use runtime::{Deadline, SqsBatchResponse, SqsEvent, SqsMessage, batch_response};
use tokio::time::timeout_at;

use crate::objects::{Message, objects};

/// This function's name.
pub const NAME: &str = "event-archiver";

/// Files the events of a batch.
#[derive(Debug)]
pub struct EventArchiver<L> {
    /// Where they go.
    pub lake: L,
}

impl<L: EventLake> EventArchiver<L> {
    /// Writes the objects of a batch. Messages whose object is not surely written are delivered again.
    pub async fn archive(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        let records = event.records;
        let messages: Vec<_> = records.iter().enumerate().map(message).collect();
        let batches = match objects(&messages) {
            Ok(batches) => batches,
            Err(error) => {
                tracing::warn!(consumer = NAME, %error, "no object could be made");
                return batch_response(&records);
            }
        };
        let writes = batches.into_iter().map(async |batch| {
            let key = batch.object.key.clone();
            let (bytes, count) = (batch.object.body.len(), batch.indexes.len());
            let problem = match timeout_at(deadline.work_until(), self.lake.write_once(batch.object)).await {
                Ok(Ok(_)) => {
                    tracing::info!(consumer = NAME, key, bytes, messages = count, "archived");
                    return vec![];
                }
                Ok(Err(error)) => error.source.to_string(),
                Err(elapsed) => elapsed.to_string(),
            };
            tracing::warn!(consumer = NAME, key, problem, messages = count, "to be archived again");
            batch.indexes
        });
        let failed: Vec<usize> = join_all(writes).await.into_iter().flatten().collect();
        batch_response(failed.into_iter().filter_map(|index| records.get(index)))
    }
}

fn message((index, record): (usize, &SqsMessage)) -> Message<'_> {
    let sent_at = record.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok());
    Message {
        index,
        body: record.body.as_deref().unwrap_or_default(),
        sent_at: Timestamp::from_unix_ms(sent_at.unwrap_or_default()),
    }
}
