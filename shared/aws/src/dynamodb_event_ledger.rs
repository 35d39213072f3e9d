use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::{EventId, Timestamp};
use ports::{AdmittedEvent, Commit, EventLedger, PortError};

use crate::dynamodb::{Reader, Updated, instant, malformed, text, update};

const UPDATE: &str = "dynamodb:UpdateItem";

/// Events from outside in one DynamoDB table, one item an event, key `event_id`: the name of the producer, a colon, which
/// no such name has, and the id.
#[derive(Debug, Clone)]
pub struct DynamoDbEventLedger {
    client: Client,
    table: String,
}

impl DynamoDbEventLedger {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update_of(&self, producer: &str, id: &EventId, at: Timestamp) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("event_id", text(format!("{producer}:{id}")))
            .expression_attribute_values(":at", instant(at))
    }
}

impl EventLedger for DynamoDbEventLedger {
    async fn admit(
        &self,
        producer: &str,
        id: &EventId,
        source: &str,
        fingerprint: &str,
        at: Timestamp,
    ) -> Result<Commit<AdmittedEvent>, PortError> {
        let request = self
            .update_of(producer, id, at)
            .update_expression("SET event_source = :source, fingerprint = :fingerprint, admitted_at = :at")
            .condition_expression("attribute_not_exists(event_id)")
            .expression_attribute_values(":source", text(source))
            .expression_attribute_values(":fingerprint", text(fingerprint));
        match update(UPDATE, request).await? {
            Updated::Written(_) => Ok(Commit::Written),
            Updated::Refused(Some(item)) => {
                Ok(Commit::Existing(admitted(Reader { operation: UPDATE, item: &item })?))
            }
            Updated::Refused(None) => Err(malformed(UPDATE, "event_id")),
        }
    }

    async fn note_published(&self, producer: &str, id: &EventId, at: Timestamp) -> Result<(), PortError> {
        let request = self
            .update_of(producer, id, at)
            .update_expression("SET published_at = if_not_exists(published_at, :at)")
            .condition_expression("attribute_exists(event_id)");
        match update(UPDATE, request).await? {
            Updated::Written(_) => Ok(()),
            Updated::Refused(_) => Err(PortError::permanent(UPDATE, "the event is unknown")),
        }
    }
}

fn admitted(item: Reader<'_>) -> Result<AdmittedEvent, PortError> {
    let published_at = match item.optional_text("published_at") {
        None => None,
        Some(_) => Some(item.instant("published_at")?),
    };
    Ok(AdmittedEvent {
        source: item.text("event_source")?.to_owned(),
        fingerprint: item.text("fingerprint")?.to_owned(),
        admitted_at: item.instant("admitted_at")?,
        published_at,
    })
}
