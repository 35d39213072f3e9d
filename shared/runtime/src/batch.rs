use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use contracts::{BusEvent, Event, Outbound};
use domain::{Attempt, Timestamp};
use futures_util::{FutureExt, StreamExt, stream};
use ports::{EventBus, MessageQueue, Postponement, Quarantine, Quarantined, attempt_carried};
use tokio::time::timeout_at;

use crate::disposition::chain;
use crate::{Deadline, Disposition, Rejection};

/// Decides about one event and commits the decision.
pub trait Handler: Send + Sync {
    /// Handles one event, however often it comes: a second time MUST find the work done and publish the same.
    fn handle(&self, event: &BusEvent) -> impl Future<Output = Disposition> + Send;
}

/// A function behind a queue.
#[derive(Debug)]
pub struct Consumer<H, B, Q, M> {
    /// Its name: the folder, the package, the binary.
    pub name: &'static str,
    /// Decides and commits.
    pub handler: H,
    /// Where its events go.
    pub bus: B,
    /// Where messages go that can never be handled.
    pub quarantine: Q,
    /// Where its messages come from.
    pub queue: M,
}

/// How many records of a batch are under way at once.
const IN_FLIGHT_MAX: usize = 16;
/// The longest that a failed message waits for its next delivery.
const BACKOFF_S_MAX: u32 = 300;

impl<H, B, Q, M> Consumer<H, B, Q, M>
where
    H: Handler,
    B: EventBus,
    Q: Quarantine,
    M: MessageQueue,
{
    /// Handles a batch: the records at the same time, each on its own, then publishes once for all.
    ///
    /// A record that fails, panics, or is not reached before the deadline fails alone and is delivered again.
    pub async fn consume(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        let records = event.records;
        let mut dispositions: Vec<Disposition> = stream::iter(&records)
            .map(|record| self.dispose(record, deadline))
            .buffered(IN_FLIGHT_MAX)
            .collect()
            .await;
        self.publish(&records, &mut dispositions).await;
        self.set_aside(&records, &mut dispositions).await;
        let failed = self.report(&records, &dispositions);
        self.postpone(&failed).await;
        batch_response(failed)
    }

    async fn dispose(&self, record: &SqsMessage, deadline: Deadline) -> Disposition {
        let body = record.body.as_deref().unwrap_or_default();
        let decoded = contracts::decode(body, own_account(record));
        let event = match decoded {
            Ok(event) => event,
            Err(error) => return Rejection::from(error).into(),
        };
        if let Some(Err(error)) = sent_at(record).map(|at| event.check_time(at)) {
            return Rejection::from(error).into();
        }
        if deadline.has_passed() {
            return Disposition::Retry("not begun: the invocation's time was used up".into());
        }
        // Boxed: the handler's future is the largest by far, and its layout the deepest.
        let handling = AssertUnwindSafe(Box::pin(self.handler.handle(&event))).catch_unwind();
        match timeout_at(deadline.work_until(), handling).await {
            Ok(Ok(disposition)) => disposition,
            Ok(Err(_panic)) => Disposition::Retry("the handler panicked".into()),
            Err(_elapsed) => Disposition::Retry("not finished: the invocation's time was used up".into()),
        }
    }

    /// Publishes what all records have to say; a record whose event the bus did not take is to be retried.
    async fn publish(&self, records: &[SqsMessage], dispositions: &mut [Disposition]) {
        let mut owners = Vec::new();
        let mut outbound: Vec<Outbound> = Vec::new();
        for (index, disposition) in dispositions.iter_mut().enumerate() {
            let (Disposition::Done(events) | Disposition::Duplicate(events)) = &*disposition else {
                continue;
            };
            match events.iter().map(Event::to_outbound).collect::<Result<Vec<_>, _>>() {
                Ok(events) => {
                    owners.extend(events.iter().map(|_| index));
                    outbound.extend(events);
                }
                Err(error) => *disposition = Disposition::Retry(error.into()),
            }
        }
        if outbound.is_empty() {
            return;
        }
        let results = self.bus.publish(&outbound).await;
        debug_assert_eq!(results.len(), owners.len());
        let mut results = results.into_iter();
        for index in owners {
            // An answer that is missing counts as a failure: better twice than never.
            let failure = match results.next() {
                Some(Ok(())) => continue,
                Some(Err(error)) => error.into(),
                None => "the bus did not answer for this event".into(),
            };
            tracing::debug!(message_id = message_id(&records[index]), "an event was not published");
            dispositions[index] = Disposition::Retry(failure);
        }
    }

    /// Moves what can never be handled to quarantine; what cannot be moved there is to be retried.
    async fn set_aside(&self, records: &[SqsMessage], dispositions: &mut [Disposition]) {
        let (owners, messages): (Vec<usize>, Vec<Quarantined>) = dispositions
            .iter()
            .enumerate()
            .filter_map(|(index, disposition)| match disposition {
                Disposition::Quarantine(rejection) => {
                    Some((index, self.quarantined(&records[index], rejection)))
                }
                _ => None,
            })
            .unzip();
        if messages.is_empty() {
            return;
        }
        let mut results = self.quarantine.put(&messages).await.into_iter();
        for index in owners {
            match results.next() {
                Some(Ok(())) => {}
                Some(Err(error)) => dispositions[index] = Disposition::Retry(error.into()),
                None => dispositions[index] = Disposition::Retry("quarantine did not answer".into()),
            }
        }
    }

    fn quarantined(&self, record: &SqsMessage, rejection: &Rejection) -> Quarantined {
        Quarantined {
            consumer: self.name.to_owned(),
            reason_code: rejection.refusal.code().to_owned(),
            reason: rejection.message.clone(),
            message_id: message_id(record).to_owned(),
            receive_count: receive_count(record),
            attempt: attempt(record),
            body: record.body.clone().unwrap_or_default(),
        }
    }

    /// Logs what became of each record and returns those to be delivered again.
    fn report<'a>(&self, records: &'a [SqsMessage], dispositions: &[Disposition]) -> Vec<&'a SqsMessage> {
        let mut failed = Vec::new();
        for (record, disposition) in records.iter().zip(dispositions) {
            let (consumer, message_id) = (self.name, message_id(record));
            match disposition {
                Disposition::Done(events) => {
                    tracing::debug!(consumer, message_id, published = events.len(), "done");
                }
                Disposition::Duplicate(events) => {
                    tracing::info!(consumer, message_id, published = events.len(), "done before");
                }
                Disposition::Retry(error) => {
                    let receive_count = receive_count(record);
                    let error = chain(error.as_ref());
                    tracing::warn!(consumer, message_id, receive_count, error, "to be delivered again");
                    failed.push(record);
                }
                Disposition::Quarantine(Rejection { refusal, message }) => {
                    let code = refusal.code();
                    tracing::error!(consumer, message_id, code, reason = message, "quarantined");
                }
            }
        }
        tracing::info!(consumer = self.name, records = records.len(), failed = failed.len(), "batch ended");
        failed
    }

    async fn postpone(&self, failed: &[&SqsMessage]) {
        let postponements: Vec<Postponement> = failed
            .iter()
            .filter_map(|record| {
                let receipt_handle = record.receipt_handle.clone()?;
                Some(Postponement {
                    receipt_handle,
                    delay_s: backoff_s(message_id(record), receive_count(record)),
                })
            })
            .collect();
        if postponements.is_empty() {
            return;
        }
        if let Err(error) = self.queue.postpone(&postponements).await {
            let error = chain(&error);
            tracing::warn!(consumer = self.name, error, "delivered again only after the visibility time-out");
        }
    }
}

/// The answer that has SQS deliver these records again and forget the rest of their batch.
#[must_use]
pub fn batch_response<'a>(failed: impl IntoIterator<Item = &'a SqsMessage>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|record| {
            let mut failure = BatchItemFailure::default();
            message_id(record).clone_into(&mut failure.item_identifier);
            failure
        })
        .collect();
    response
}

/// The account of the queue, which is that of the bus. A sender has no influence on it.
#[must_use]
pub fn own_account(record: &SqsMessage) -> Option<&str> {
    record.event_source_arn.as_deref()?.split(':').nth(4)
}

fn message_id(record: &SqsMessage) -> &str {
    record.message_id.as_deref().unwrap_or_default()
}

fn receive_count(record: &SqsMessage) -> u32 {
    record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// When the message was sent to its queue: SQS says so with every message
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>). Unlike the clock, it is
/// the same at each delivery, so that each decides alike. A replay or a redrive sends anew.
fn sent_at(record: &SqsMessage) -> Option<Timestamp> {
    let sent_at_ms = record.attributes.get("SentTimestamp")?.parse().ok()?;
    Some(Timestamp::from_unix_ms(sent_at_ms))
}

/// The attempt that travels with a message that was sent again.
fn attempt(record: &SqsMessage) -> Attempt {
    attempt_carried(|name| record.message_attributes.get(name)?.string_value.as_deref())
}

/// Exponential backoff with full jitter. The jitter comes from the message's own id, so that neighbours that failed
/// together come back apart, and a run can be repeated to the letter.
fn backoff_s(message_id: &str, receive_count: u32) -> u32 {
    let ceiling = 2_u32.saturating_pow(receive_count.min(16)).min(BACKOFF_S_MAX);
    let hash = message_id
        .bytes()
        .fold(receive_count, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    1 + hash % ceiling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_is_bounded_and_repeats() {
        for receive_count in 1..40 {
            let delay_s = backoff_s("m-1", receive_count);
            assert!((1..=BACKOFF_S_MAX).contains(&delay_s));
            assert!(delay_s <= 2_u32.saturating_pow(receive_count));
            assert_eq!(delay_s, backoff_s("m-1", receive_count));
        }
        assert!((1..100).any(|message| backoff_s(&format!("m-{message}"), 9) != backoff_s("m-0", 9)));
    }
}
