use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use contracts::Outbound;
use futures_util::future::join_all;
use ports::{EventBus, PortError};

use crate::calls::in_calls;
use crate::error::{EntryRefused, failed_all};

const PUT_EVENTS: &str = "events:PutEvents";
/// How many calls are under way at once.
const CALLS_MAX: usize = 4;

/// An EventBridge event bus.
#[derive(Debug, Clone)]
pub struct EventBridgeEventBus {
    client: Client,
    bus_name: String,
}

impl EventBridgeEventBus {
    /// The bus of this name.
    #[must_use]
    pub fn new(client: Client, bus_name: String) -> Self {
        Self { client, bus_name }
    }

    async fn put(&self, events: &[Outbound]) -> Vec<Result<(), PortError>> {
        let entries = events.iter().map(|event| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus_name)
                .source(event.event_type.source())
                .detail_type(event.event_type.as_str())
                .detail(&event.detail)
                .build()
        });
        match self.client.put_events().set_entries(Some(entries.collect())).send().await {
            Ok(output) => {
                let mut results = output.entries.unwrap_or_default().into_iter();
                events.iter().map(|_| taken(results.next())).collect()
            }
            Err(error) => failed_all(PUT_EVENTS, error, events.len()),
        }
    }
}

impl EventBus for EventBridgeEventBus {
    async fn publish(&self, events: &[Outbound]) -> Vec<Result<(), PortError>> {
        let calls = in_calls(events, |event| event.detail.len() + 2 * event.event_type.as_str().len());
        let mut results = Vec::with_capacity(events.len());
        for together in calls.chunks(CALLS_MAX) {
            let puts: Vec<_> = together.iter().map(|call| self.put(call)).collect();
            results.extend(join_all(puts).await.into_iter().flatten());
        }
        results
    }
}

/// An entry has an id exactly when the bus took it. One that is missing was not taken, as far as we know.
pub(crate) fn taken(entry: Option<PutEventsResultEntry>) -> Result<(), PortError> {
    match entry {
        Some(entry) if entry.error_code.is_none() && entry.event_id.is_some() => Ok(()),
        entry => {
            let (code, message) =
                entry.map(|entry| (entry.error_code, entry.error_message)).unwrap_or_default();
            let code = code.unwrap_or_else(|| "NoAnswer".to_owned());
            Err(PortError::transient(PUT_EVENTS, EntryRefused { code, message: message.unwrap_or_default() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_an_id_was_not_taken() {
        let refused = PutEventsResultEntry::builder().error_code("ThrottlingException").build();
        let taken_entry = PutEventsResultEntry::builder().event_id("b-1").build();
        assert!(taken(Some(taken_entry)).is_ok());
        assert!(taken(Some(refused)).is_err());
        assert!(taken(Some(PutEventsResultEntry::builder().build())).is_err());
        assert!(taken(None).is_err());
    }
}
