use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use contracts::{OrderAccepted, Reason};
use domain::{OrderId, Outcome, Settlement, Timestamp};
use ports::{
    CallOff, Commit, NewOrder, OrderDecision, OrderRecord, OrderStore, PortError, Registered, Registration,
};

use crate::dynamodb::{Item, Reader, Updated, instant, json, malformed, text, update};
use crate::error::failed;

const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";

/// Orders in one DynamoDB table, one item an order, key `order_id`.
///
/// The parts of an item are written once each, by different functions and in any order: the request
/// (`request_hash`, `placed_at`, `traceparent`), the decision (`decision`, `decided_by`, `decided_at`, `order`,
/// `personal`, `reasons`), that the customer called it off (`called_off_at`), the outcome (`outcome`, `outcome_*`). The
/// checkout state machine writes `checkout_execution` and `claimed_decision` (the decision as it was when checkout claimed the
/// order), and outcomes under the same rule as [`OrderStore::settle`].
#[derive(Debug, Clone)]
pub struct DynamoDbOrderStore {
    client: Client,
    table: String,
}

impl DynamoDbOrderStore {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update_of(&self, order_id: &OrderId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("order_id", text(order_id.as_str()))
    }
}

impl OrderStore for DynamoDbOrderStore {
    async fn open(&self, order: &NewOrder) -> Result<Commit<NewOrder>, PortError> {
        let mut assignments = "SET request_hash = :hash, placed_at = :at".to_owned();
        let mut request = self.update_of(&order.order_id);
        if let Some(traceparent) = &order.traceparent {
            assignments.push_str(", traceparent = :trace");
            request = request.expression_attribute_values(":trace", text(traceparent));
        }
        let request = request
            .update_expression(assignments)
            .condition_expression("attribute_not_exists(request_hash)")
            .expression_attribute_values(":hash", text(&order.request_hash))
            .expression_attribute_values(":at", instant(order.placed_at));
        match update(UPDATE, request).await? {
            Updated::Written(_) => Ok(Commit::Written),
            Updated::Refused(item) => {
                let item = item.unwrap_or_default();
                let item = Reader { operation: UPDATE, item: &item };
                Ok(Commit::Existing(NewOrder {
                    order_id: order.order_id.clone(),
                    request_hash: item.text("request_hash")?.to_owned(),
                    placed_at: item.instant("placed_at")?,
                    traceparent: item.optional_text("traceparent").map(str::to_owned),
                }))
            }
        }
    }

    async fn register(&self, registration: &Registration) -> Result<OrderRecord, PortError> {
        let request = self
            .update_of(&registration.order_id)
            .condition_expression("attribute_not_exists(decision)")
            .expression_attribute_values(":by", text(registration.decided_by.as_str()))
            .expression_attribute_values(":at", instant(registration.decided_at));
        let request = match &registration.decision {
            OrderDecision::Accepted { order, personal } => request
                .update_expression(
                    "SET decision = :decision, decided_by = :by, decided_at = :at, \
                     #order = :order, personal = :personal",
                )
                .expression_attribute_names("#order", "order")
                .expression_attribute_values(":decision", text("accepted"))
                .expression_attribute_values(":order", json(UPDATE, order)?)
                .expression_attribute_values(":personal", json(UPDATE, personal)?),
            OrderDecision::Rejected(reasons) => request
                .update_expression(
                    "SET decision = :decision, decided_by = :by, decided_at = :at, reasons = :reasons, \
                     outcome = if_not_exists(outcome, :outcome), \
                     outcome_event_id = if_not_exists(outcome_event_id, :by), \
                     outcome_at = if_not_exists(outcome_at, :at), \
                     outcome_reasons = if_not_exists(outcome_reasons, :reasons)",
                )
                .expression_attribute_values(":decision", text("rejected"))
                .expression_attribute_values(":outcome", text(Outcome::Rejected.as_str()))
                .expression_attribute_values(":reasons", json(UPDATE, reasons)?),
        };
        let item = match update(UPDATE, request).await? {
            Updated::Written(item) => item,
            Updated::Refused(item) => item.unwrap_or_default(),
        };
        record(Reader { operation: UPDATE, item: &item })
    }

    async fn settle(
        &self,
        order_id: &OrderId,
        settlement: &Settlement,
        reasons: &[Reason],
    ) -> Result<Settlement, PortError> {
        let request = self
            .update_of(order_id)
            .update_expression(
                "SET outcome = :outcome, outcome_event_id = :by, outcome_at = :at, outcome_reasons = :reasons",
            )
            .condition_expression("attribute_not_exists(outcome)")
            .expression_attribute_values(":outcome", text(settlement.outcome.as_str()))
            .expression_attribute_values(":by", text(settlement.decided_by.as_str()))
            .expression_attribute_values(":at", instant(settlement.decided_at))
            .expression_attribute_values(":reasons", json(UPDATE, reasons)?);
        match update(UPDATE, request).await? {
            Updated::Written(_) => Ok(settlement.clone()),
            Updated::Refused(item) => {
                let item = item.unwrap_or_default();
                settlement_of(Reader { operation: UPDATE, item: &item })?
                    .ok_or_else(|| malformed(UPDATE, "outcome"))
            }
        }
    }

    async fn call_off(&self, order_id: &OrderId, at: Timestamp) -> Result<CallOff, PortError> {
        let request = self
            .update_of(order_id)
            .update_expression("SET called_off_at = if_not_exists(called_off_at, :at)")
            .condition_expression("attribute_exists(order_id) AND attribute_not_exists(outcome)")
            .expression_attribute_values(":at", instant(at));
        match update(UPDATE, request).await? {
            Updated::Written(item) => {
                Ok(CallOff::Noted(Reader { operation: UPDATE, item: &item }.instant("called_off_at")?))
            }
            // An item without an outcome would have been written.
            Updated::Refused(item) => {
                let settlement = match item.filter(|item| !item.is_empty()) {
                    Some(item) => settlement_of(Reader { operation: UPDATE, item: &item })?,
                    None => None,
                };
                Ok(settlement.map_or(CallOff::Unknown, |settlement| CallOff::Ended(settlement.outcome)))
            }
        }
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<OrderRecord>, PortError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("order_id", text(order_id.as_str()))
            .consistent_read(true)
            .projection_expression(
                "order_id, decision, decided_by, decided_at, #order, reasons, outcome, outcome_event_id, outcome_at, \
                 checkout_execution, claimed_decision",
            )
            .expression_attribute_names("#order", "order")
            .send()
            .await
            .map_err(|error| failed(GET, error))?;
        output.item.map(|item: Item| record(Reader { operation: GET, item: &item })).transpose()
    }
}

fn record(item: Reader<'_>) -> Result<OrderRecord, PortError> {
    let registered = match item.optional_text("decision") {
        None => None,
        Some(decision) => Some(Registered {
            decided_by: item.event_id("decided_by")?,
            decided_at: item.instant("decided_at")?,
            rejection: match decision {
                "accepted" => None,
                "rejected" => Some(item.json("reasons")?),
                _ => return Err(malformed(item.operation, "decision")),
            },
            total: match decision {
                "accepted" => Some(item.json::<OrderAccepted>("order")?.total),
                _ => None,
            },
        }),
    };
    // The release before wrote no `claimed_decision`: then a claim is all that shows that the payment may have been asked for.
    let payment_asked = match item.optional_text("claimed_decision") {
        Some(decision) => decision == "accepted",
        None => item.optional_text("checkout_execution").is_some(),
    };
    Ok(OrderRecord { registered, settlement: settlement_of(item)?, payment_asked })
}

fn settlement_of(item: Reader<'_>) -> Result<Option<Settlement>, PortError> {
    let Some(outcome) = item.optional_text("outcome") else { return Ok(None) };
    Ok(Some(Settlement {
        outcome: Outcome::parse(outcome).ok_or_else(|| malformed(item.operation, "outcome"))?,
        decided_by: item.event_id("outcome_event_id")?,
        decided_at: item.instant("outcome_at")?,
    }))
}
