use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use domain::{
    Closing, OrderId, Quantity, Reservation, Shortage, Sku, StockDecision, StockEnd, StockLevel, StockLine,
};
use ports::{Commit, Decided, PortError, Reserve, StockCounts, StockStore};

use crate::dynamodb::{Item, Reader, Updated, instant, json, malformed, number, text, update};
use crate::error::failed;

const TRANSACT: &str = "dynamodb:TransactWriteItems";
const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";
const SCAN: &str = "dynamodb:Scan";

/// How often a transaction is tried that other transactions are in the way of.
const CONFLICT_ATTEMPTS_MAX: u32 = 8;
/// The ceiling of the first pause between those tries; it doubles each time, with full jitter.
const CONFLICT_PAUSE_MS: u64 = 20;

/// Stock and reservations in one DynamoDB table, key `pk`: `stock#<sku>` holds the four counts of a SKU,
/// `reservation#<order id>` the decision about an order and how it ended.
#[derive(Debug, Clone)]
pub struct DynamoDbStockStore {
    client: Client,
    table: String,
}

/// What became of a transaction.
enum Transaction {
    Committed,
    /// Cancelled by conditions that did not hold: one reason an action, in their order.
    Refused(Vec<CancellationReason>),
}

impl DynamoDbStockStore {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Sends a transaction until none other is in its way. The SDK adds a token, so that its own retry of a call whose
    /// answer was lost is not a second transaction.
    async fn transact(&self, actions: Vec<TransactWriteItem>) -> Result<Transaction, PortError> {
        let mut pause_ms_max = CONFLICT_PAUSE_MS;
        for _ in 0..CONFLICT_ATTEMPTS_MAX {
            let call = self.client.transact_write_items().set_transact_items(Some(actions.clone()));
            match call.send().await {
                Ok(_) => return Ok(Transaction::Committed),
                Err(error) => match cancelled(error)?.cancellation_reasons {
                    Some(reasons) if reasons.iter().all(is_final) => {
                        return Ok(Transaction::Refused(reasons));
                    }
                    Some(reasons) if reasons.iter().any(is_impossible) => {
                        return Err(PortError::permanent(TRANSACT, "an action can never be carried out"));
                    }
                    _ => {}
                },
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=pause_ms_max))).await;
            pause_ms_max *= 2;
        }
        Err(PortError::transient(TRANSACT, "other transactions were in the way every time"))
    }

    fn move_stock(
        &self,
        line: &StockLine,
        update_expression: &str,
        condition: &str,
    ) -> Result<TransactWriteItem, PortError> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", stock_key(&line.sku))
            .update_expression(update_expression)
            .condition_expression(condition)
            .expression_attribute_values(":quantity", number(line.quantity.get().into()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| PortError::permanent(TRANSACT, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Writes a decision that moves no stock.
    async fn decide(
        &self,
        order_id: &OrderId,
        decision: &str,
        details: Option<(&str, AttributeValue)>,
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let mut assignments = "SET decision = :decision, decided_by = :by, decided_at = :at".to_owned();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", reservation_key(order_id))
            .condition_expression("attribute_not_exists(pk)")
            .expression_attribute_values(":decision", text(decision))
            .expression_attribute_values(":by", text(by.by.as_str()))
            .expression_attribute_values(":at", instant(by.at));
        if let Some((name, details)) = details {
            assignments.push_str(", #details = :details");
            request = request
                .expression_attribute_names("#details", name)
                .expression_attribute_values(":details", details);
        }
        match update(UPDATE, request.update_expression(assignments)).await? {
            Updated::Written(_) => Ok(Commit::Written),
            Updated::Refused(item) => {
                let item = item.ok_or_else(|| malformed(UPDATE, "pk"))?;
                Ok(Commit::Existing(reservation(Reader { operation: UPDATE, item: &item })?))
            }
        }
    }
}

impl StockStore for DynamoDbStockStore {
    async fn reserve(
        &self,
        order_id: &OrderId,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Reserve, PortError> {
        let reservation_put = Put::builder()
            .table_name(&self.table)
            .item("pk", reservation_key(order_id))
            .item("decision", text("reserved"))
            .item("decided_by", text(by.by.as_str()))
            .item("decided_at", instant(by.at))
            .item("lines", json(TRANSACT, &stored_lines(lines))?)
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| PortError::permanent(TRANSACT, error))?;
        let mut actions = vec![TransactWriteItem::builder().put(reservation_put).build()];
        for line in lines {
            actions.push(self.move_stock(
                line,
                "SET available = available - :quantity, reserved = reserved + :quantity",
                "available >= :quantity",
            )?);
        }
        match self.transact(actions).await? {
            Transaction::Committed => Ok(Reserve::Reserved),
            Transaction::Refused(reasons) => match reasons.split_first() {
                Some((first, _)) if was_refused(first) => {
                    Ok(Reserve::Existing(reservation_in(TRANSACT, first.item.as_ref())?))
                }
                Some((_, of_lines)) => shortages(lines, of_lines).map(Reserve::Short),
                None => Err(malformed(TRANSACT, "CancellationReasons")),
            },
        }
    }

    async fn reject(
        &self,
        order_id: &OrderId,
        shortages: &[Shortage],
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let stored: Vec<contracts::Shortage> = shortages.iter().map(contracts::Shortage::from).collect();
        self.decide(order_id, "rejected", Some(("shortages", json(UPDATE, &stored)?)), by).await
    }

    async fn bar(&self, order_id: &OrderId, by: &Decided<'_>) -> Result<Commit<Reservation>, PortError> {
        self.decide(order_id, "barred", None, by).await
    }

    async fn close(
        &self,
        order_id: &OrderId,
        end: StockEnd,
        lines: &[StockLine],
        by: &Decided<'_>,
    ) -> Result<Commit<Reservation>, PortError> {
        let (end, move_expression) = match end {
            StockEnd::Released => {
                ("released", "SET reserved = reserved - :quantity, available = available + :quantity")
            }
            StockEnd::Shipped => {
                ("shipped", "SET reserved = reserved - :quantity, shipped = shipped + :quantity")
            }
        };
        let closing = Update::builder()
            .table_name(&self.table)
            .key("pk", reservation_key(order_id))
            .update_expression("SET closing = :end, closed_by = :by, closed_at = :at")
            .condition_expression("decision = :reserved AND attribute_not_exists(closing)")
            .expression_attribute_values(":reserved", text("reserved"))
            .expression_attribute_values(":end", text(end))
            .expression_attribute_values(":by", text(by.by.as_str()))
            .expression_attribute_values(":at", instant(by.at))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| PortError::permanent(TRANSACT, error))?;
        let mut actions = vec![TransactWriteItem::builder().update(closing).build()];
        for line in lines {
            actions.push(self.move_stock(line, move_expression, "reserved >= :quantity")?);
        }
        match self.transact(actions).await? {
            Transaction::Committed => Ok(Commit::Written),
            Transaction::Refused(reasons) => match reasons.first() {
                Some(first) if was_refused(first) => {
                    Ok(Commit::Existing(reservation_in(TRANSACT, first.item.as_ref())?))
                }
                _ => Err(PortError::permanent(TRANSACT, "less is reserved than the reservation holds")),
            },
        }
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<Reservation>, PortError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", reservation_key(order_id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(GET, error))?;
        output.item.map(|item| reservation(Reader { operation: GET, item: &item })).transpose()
    }
}

impl StockCounts for DynamoDbStockStore {
    async fn set_available(&self, sku: &Sku, available: u64) -> Result<StockLevel, PortError> {
        // The first guess is a SKU that is new; each refusal says what really stands there.
        let mut known: Option<StockLevel> = None;
        for _ in 0..CONFLICT_ATTEMPTS_MAX {
            let level = known
                .unwrap_or_default()
                .recount(available)
                .map_err(|error| PortError::permanent(UPDATE, error))?;
            let request = self
                .client
                .update_item()
                .table_name(&self.table)
                .key("pk", stock_key(sku))
                .update_expression(
                    "SET available = :available, reserved = :reserved, shipped = :shipped, received = :received",
                )
                .expression_attribute_values(":available", number(level.available))
                .expression_attribute_values(":reserved", number(level.reserved))
                .expression_attribute_values(":shipped", number(level.shipped))
                .expression_attribute_values(":received", number(level.received))
                .condition_expression(match known {
                    None => "attribute_not_exists(pk)",
                    Some(_) => "reserved = :reserved AND shipped = :shipped",
                });
            match update(UPDATE, request).await? {
                Updated::Written(_) => return Ok(level),
                Updated::Refused(item) => {
                    let item = item.ok_or_else(|| malformed(UPDATE, "pk"))?;
                    known = Some(stock_level(Reader { operation: UPDATE, item: &item })?);
                }
            }
        }
        Err(PortError::transient(UPDATE, "the stock changed every time"))
    }

    async fn levels(&self) -> Result<Vec<(Sku, StockLevel)>, PortError> {
        let mut levels = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .filter_expression("begins_with(pk, :prefix)")
                .expression_attribute_values(":prefix", text(STOCK_PREFIX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| failed(SCAN, error))?;
            for item in page.items.unwrap_or_default() {
                let item = Reader { operation: SCAN, item: &item };
                let sku = item.text("pk")?.strip_prefix(STOCK_PREFIX).and_then(|sku| Sku::parse(sku).ok());
                levels.push((sku.ok_or_else(|| malformed(SCAN, "pk"))?, stock_level(item)?));
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                levels.sort_by(|(left, _), (right, _)| left.cmp(right));
                return Ok(levels);
            }
        }
    }
}

const STOCK_PREFIX: &str = "stock#";

fn stock_key(sku: &Sku) -> AttributeValue {
    text(format!("{STOCK_PREFIX}{sku}"))
}

fn reservation_key(order_id: &OrderId) -> AttributeValue {
    text(format!("reservation#{order_id}"))
}

fn cancelled(error: SdkError<TransactWriteItemsError>) -> Result<TransactionCanceledException, PortError> {
    match error {
        SdkError::ServiceError(service) if service.err().is_transaction_canceled_exception() => {
            match service.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => Ok(cancelled),
                other => Err(PortError::transient(TRANSACT, other)),
            }
        }
        error => Err(failed(TRANSACT, error)),
    }
}

/// True for a reason that trying again does not change: no error, or a condition that did not hold.
fn is_final(reason: &CancellationReason) -> bool {
    matches!(reason.code(), None | Some("None" | "ConditionalCheckFailed"))
}

/// True for a reason that lies in the transaction itself
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
fn is_impossible(reason: &CancellationReason) -> bool {
    matches!(reason.code(), Some("ValidationError" | "ItemCollectionSizeLimitExceeded"))
}

fn was_refused(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// The lines whose condition did not hold. A SKU without an item is one that inventory does not know.
fn shortages(lines: &[StockLine], reasons: &[CancellationReason]) -> Result<Vec<Shortage>, PortError> {
    let refused = lines.iter().zip(reasons).filter(|(_, reason)| was_refused(reason));
    let shortages: Result<Vec<_>, _> = refused
        .map(|(line, reason)| {
            let available = match &reason.item {
                Some(item) if !item.is_empty() => Reader { operation: TRANSACT, item }.number("available")?,
                _ => 0,
            };
            Ok(Shortage { sku: line.sku.clone(), requested: line.quantity, available })
        })
        .collect();
    match shortages {
        Ok(shortages) if shortages.is_empty() => Err(malformed(TRANSACT, "CancellationReasons")),
        shortages => shortages,
    }
}

fn stock_level(item: Reader<'_>) -> Result<StockLevel, PortError> {
    Ok(StockLevel {
        available: item.number("available")?,
        reserved: item.number("reserved")?,
        shipped: item.number("shipped")?,
        received: item.number("received")?,
    })
}

fn stored_lines(lines: &[StockLine]) -> Vec<contracts::StockLine> {
    lines.iter().map(contracts::StockLine::from).collect()
}

fn reservation_in(operation: &'static str, item: Option<&Item>) -> Result<Reservation, PortError> {
    let item = item.filter(|item| !item.is_empty());
    reservation(Reader { operation, item: item.ok_or_else(|| malformed(operation, "pk"))? })
}

fn reservation(item: Reader<'_>) -> Result<Reservation, PortError> {
    let decision = match item.text("decision")? {
        "reserved" => {
            let lines: Vec<contracts::StockLine> = item.json("lines")?;
            let lines = lines.iter().map(|line| {
                Some(StockLine { sku: sku(&line.sku)?, quantity: Quantity::new(line.quantity)? })
            });
            let lines: Option<Vec<_>> = lines.collect();
            StockDecision::Reserved(lines.ok_or_else(|| malformed(item.operation, "lines"))?)
        }
        "rejected" => {
            let shortages: Vec<contracts::Shortage> = item.json("shortages")?;
            let shortages = shortages.iter().map(|shortage| {
                Some(Shortage {
                    sku: sku(&shortage.sku)?,
                    requested: Quantity::new(shortage.requested)?,
                    available: shortage.available,
                })
            });
            let shortages: Option<Vec<_>> = shortages.collect();
            StockDecision::Rejected(shortages.ok_or_else(|| malformed(item.operation, "shortages"))?)
        }
        "barred" => StockDecision::Barred,
        _ => return Err(malformed(item.operation, "decision")),
    };
    let end = match item.optional_text("closing") {
        None => None,
        Some("released") => Some(StockEnd::Released),
        Some("shipped") => Some(StockEnd::Shipped),
        Some(_) => return Err(malformed(item.operation, "closing")),
    };
    let closing = match end {
        None => None,
        Some(end) => Some(Closing {
            end,
            decided_by: item.event_id("closed_by")?,
            decided_at: item.instant("closed_at")?,
        }),
    };
    Ok(Reservation {
        decision,
        decided_by: item.event_id("decided_by")?,
        decided_at: item.instant("decided_at")?,
        closing,
    })
}

fn sku(text: &str) -> Option<Sku> {
    Sku::parse(text).ok()
}
