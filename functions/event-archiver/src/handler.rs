use domain::Timestamp;
use futures_util::{StreamExt, stream};
use ports::{EventLake, LakeObject};
use runtime::{Deadline, SqsBatchResponse, SqsEvent, SqsMessage, batch_response, own_account};
use tokio::time::timeout_at;

use crate::objects::{Message, Part, sort};

/// This function's name.
pub const NAME: &str = "event-archiver";

/// How many objects are on their way to the lake at once. A batch is nearly always one or two; a batch of events from a
/// thousand different hours is a thousand.
const IN_FLIGHT_MAX: usize = 16;

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
        let sorted = sort(&messages);
        if sorted.replayed > 0 {
            tracing::info!(consumer = NAME, messages = sorted.replayed, "replayed, so archived before");
        }
        let failed: Vec<Vec<usize>> = stream::iter(sorted.parts)
            .map(async |part| self.write(part, deadline).await)
            .buffer_unordered(IN_FLIGHT_MAX)
            .collect()
            .await;
        let mut failed = failed.concat();
        failed.sort_unstable();
        batch_response(failed.into_iter().filter_map(|index| records.get(index)))
    }

    /// Writes one object, and returns the messages that it does not surely keep.
    async fn write(&self, mut part: Part<'_>, deadline: Deadline) -> Vec<usize> {
        let indexes = std::mem::take(&mut part.indexes);
        let messages = indexes.len();
        // Made only when its turn comes, so that memory holds the objects on their way and no others.
        let object = match part.into_object() {
            Ok(object) => object,
            Err(error) => {
                tracing::warn!(consumer = NAME, error, messages, "no object could be made");
                return indexes;
            }
        };
        let LakeObject { key, body, .. } = &object;
        let (key, bytes) = (key.clone(), body.len());
        let problem = match timeout_at(deadline.work_until(), self.lake.write_once(object)).await {
            Ok(Ok(_)) => {
                tracing::info!(consumer = NAME, key, bytes, messages, "archived");
                return vec![];
            }
            Ok(Err(error)) => error.source.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(consumer = NAME, key, problem, messages, "to be archived again");
        indexes
    }
}

fn message((index, record): (usize, &SqsMessage)) -> Message<'_> {
    let sent_at = record.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok());
    let sent_at = sent_at.map(Timestamp::from_unix_ms);
    Message {
        index,
        body: record.body.as_deref().unwrap_or_default(),
        sent_at,
        own_account: own_account(record),
    }
}
