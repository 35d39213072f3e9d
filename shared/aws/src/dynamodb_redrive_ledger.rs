use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::{
    Attempt, Concerning, Failure, Hidden, OrderId, RedriveKey, RedriveReason, RedriveRecord, RedriveState,
    Timestamp, Verdict,
};
use ports::{PortError, RedriveLedger};

use crate::dynamodb::{Item, Reader, Updated, instant, malformed, number, text, update};
use crate::error::failed;

const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";
const SCAN: &str = "dynamodb:Scan";

/// For how long a record is kept after the last failure: longer than an object in quarantine (365 days from then or, given
/// up on by hand, from two weeks later), so that while there is something to release it is known whether it was released.
const KEPT_MS: i64 = 400 * 24 * 3_600_000;

/// The ledger in one DynamoDB table, one item for what failed where, key `pk`.
#[derive(Debug, Clone)]
pub struct DynamoDbRedriveLedger {
    client: Client,
    table: String,
}

impl DynamoDbRedriveLedger {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// An update with the names and values that most of them need; `#state` is a reserved word.
    fn update_of(&self, key: &RedriveKey) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(key.as_str()))
            .expression_attribute_names("#state", "state")
    }

    /// Takes a step for a record that is there, or learns that its condition does not hold.
    async fn note(&self, request: UpdateItemFluentBuilder) -> Result<(), PortError> {
        match update(UPDATE, request).await? {
            Updated::Written(_) | Updated::Refused(_) => Ok(()),
        }
    }
}

fn state(state: RedriveState) -> aws_sdk_dynamodb::types::AttributeValue {
    text(state.as_str())
}

impl RedriveLedger for DynamoDbRedriveLedger {
    async fn count(&self, key: &RedriveKey, failure: &Failure) -> Result<RedriveRecord, PortError> {
        let Failure { attempt, at, due_at, reason, concerning } = failure;
        let mut set = "SET generation = :generation, attempts = :attempts, #state = :waiting, \
                       first_failed_at = if_not_exists(first_failed_at, :at), last_failed_at = :at, \
                       due_at = :due_at, reason_code = :reason_code, reason = :reason, \
                       consumer = :consumer, expires_at = :expires_at"
            .to_owned();
        let mut remove = " REMOVE hidden_queue, hidden_handle, hidden_until, quarantined_at".to_owned();
        let known = [
            ("event_id", concerning.event_id.as_ref().map(|id| id.as_str())),
            ("event_type", concerning.event_type.as_deref()),
            ("order_id", concerning.order_id.as_ref().map(OrderId::as_str)),
        ];
        let expires_at_s = (at.unix_ms() + KEPT_MS).max(0).unsigned_abs() / 1_000;
        let mut request = self
            .update_of(key)
            .condition_expression(
                "attribute_not_exists(pk) OR generation < :generation OR \
                 (generation = :generation AND attempts < :attempts AND #state IN (:waiting, :released))",
            )
            .expression_attribute_values(":generation", number(attempt.generation.into()))
            .expression_attribute_values(":attempts", number(attempt.number.into()))
            .expression_attribute_values(":waiting", state(RedriveState::Waiting))
            .expression_attribute_values(":released", state(RedriveState::Released))
            .expression_attribute_values(":at", instant(*at))
            .expression_attribute_values(":due_at", instant(*due_at))
            .expression_attribute_values(":reason_code", text(&reason.code))
            .expression_attribute_values(":reason", text(&reason.text))
            .expression_attribute_values(":consumer", text(&concerning.consumer))
            .expression_attribute_values(":expires_at", number(expires_at_s));
        for (name, value) in known {
            match value {
                Some(value) => {
                    set.push_str(&format!(", {name} = :{name}"));
                    request = request.expression_attribute_values(format!(":{name}"), text(value));
                }
                None => remove.push_str(&format!(", {name}")),
            }
        }
        match update(UPDATE, request.update_expression(set + &remove)).await? {
            Updated::Written(item) | Updated::Refused(Some(item)) => record(UPDATE, &item),
            Updated::Refused(None) => Err(malformed(UPDATE, "pk")),
        }
    }

    async fn note_hidden(
        &self,
        key: &RedriveKey,
        attempt: Attempt,
        hidden: &Hidden,
    ) -> Result<(), PortError> {
        let request = self
            .update_of(key)
            .update_expression("SET hidden_queue = :queue, hidden_handle = :handle, hidden_until = :until")
            .condition_expression("#state = :waiting AND generation = :generation AND attempts = :attempts")
            .expression_attribute_values(":waiting", state(RedriveState::Waiting))
            .expression_attribute_values(":generation", number(attempt.generation.into()))
            .expression_attribute_values(":attempts", number(attempt.number.into()))
            .expression_attribute_values(":queue", text(&hidden.queue))
            .expression_attribute_values(":handle", text(&hidden.receipt_handle))
            .expression_attribute_values(":until", instant(hidden.until));
        self.note(request).await
    }

    async fn quarantine(
        &self,
        key: &RedriveKey,
        generation: u32,
        verdict: &Verdict,
    ) -> Result<RedriveRecord, PortError> {
        let request = self
            .update_of(key)
            .update_expression(
                "SET #state = :quarantining, quarantined_at = :at, reason_code = :reason_code, \
                 reason = :reason REMOVE hidden_queue, hidden_handle, hidden_until",
            )
            .condition_expression("generation = :generation AND #state IN (:waiting, :released)")
            .expression_attribute_values(":quarantining", state(RedriveState::Quarantining))
            .expression_attribute_values(":waiting", state(RedriveState::Waiting))
            .expression_attribute_values(":released", state(RedriveState::Released))
            .expression_attribute_values(":generation", number(generation.into()))
            .expression_attribute_values(":at", instant(verdict.at))
            .expression_attribute_values(":reason_code", text(&verdict.reason.code))
            .expression_attribute_values(":reason", text(&verdict.reason.text));
        match update(UPDATE, request).await? {
            Updated::Written(item) | Updated::Refused(Some(item)) => record(UPDATE, &item),
            Updated::Refused(None) => {
                Err(PortError::permanent(UPDATE, "nothing was ever counted for the message"))
            }
        }
    }

    async fn note_announced(&self, key: &RedriveKey, generation: u32) -> Result<(), PortError> {
        let request = self
            .update_of(key)
            .update_expression("SET #state = :quarantined")
            .condition_expression("#state = :quarantining AND generation = :generation")
            .expression_attribute_values(":quarantined", state(RedriveState::Quarantined))
            .expression_attribute_values(":quarantining", state(RedriveState::Quarantining))
            .expression_attribute_values(":generation", number(generation.into()));
        self.note(request).await
    }

    async fn note_released(&self, key: &RedriveKey, generation: u32) -> Result<(), PortError> {
        let released = Attempt { generation, number: 0 }.first_of_next_generation();
        let request = self
            .update_of(key)
            .update_expression(
                "SET #state = :released, generation = :next, attempts = :none REMOVE quarantined_at",
            )
            .condition_expression("#state = :quarantined AND generation = :generation")
            .expression_attribute_values(":released", state(RedriveState::Released))
            .expression_attribute_values(":quarantined", state(RedriveState::Quarantined))
            .expression_attribute_values(":generation", number(generation.into()))
            .expression_attribute_values(":next", number(released.generation.into()))
            .expression_attribute_values(":none", number(released.number.into()));
        self.note(request).await
    }

    async fn find(&self, key: &RedriveKey) -> Result<Option<RedriveRecord>, PortError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(key.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(GET, error))?;
        output.item.map(|item| record(GET, &item)).transpose()
    }

    async fn all(&self) -> Result<Vec<RedriveRecord>, PortError> {
        let mut records = Vec::new();
        let mut start = None;
        loop {
            let output = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| failed(SCAN, error))?;
            for item in output.items.unwrap_or_default() {
                records.push(record(SCAN, &item)?);
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(records);
            }
        }
    }
}

fn record(operation: &'static str, item: &Item) -> Result<RedriveRecord, PortError> {
    let item = Reader { operation, item };
    let optional_instant = |name: &'static str| -> Result<Option<Timestamp>, PortError> {
        item.optional_text(name).map(|_| item.instant(name)).transpose()
    };
    let hidden = match (item.optional_text("hidden_queue"), optional_instant("hidden_until")?) {
        (Some(queue), Some(until)) => Some(Hidden {
            queue: queue.to_owned(),
            receipt_handle: item.text("hidden_handle")?.to_owned(),
            until,
        }),
        _ => None,
    };
    let order_id = item.optional_text("order_id").map(OrderId::parse).transpose();
    Ok(RedriveRecord {
        key: RedriveKey::stored(item.text("pk")?),
        concerning: Concerning {
            consumer: item.text("consumer")?.to_owned(),
            event_id: item.optional_text("event_id").map(|_| item.event_id("event_id")).transpose()?,
            event_type: item.optional_text("event_type").map(str::to_owned),
            order_id: order_id.map_err(|_| malformed(operation, "order_id"))?,
        },
        attempt: Attempt { generation: item.number("generation")?, number: item.number("attempts")? },
        state: RedriveState::parse(item.text("state")?).ok_or_else(|| malformed(operation, "state"))?,
        reason: RedriveReason {
            code: item.text("reason_code")?.to_owned(),
            text: item.text("reason")?.to_owned(),
        },
        first_failed_at: item.instant("first_failed_at")?,
        last_failed_at: item.instant("last_failed_at")?,
        due_at: item.instant("due_at")?,
        hidden,
        quarantined_at: optional_instant("quarantined_at")?,
    })
}
