use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use domain::{OrderId, Shipment, ShipmentClosing, ShipmentDecision, ShipmentEnd};
use ports::{Commit, Decided, PortError, ShipmentStore, ShippedOrder};

use crate::dynamodb::{Reader, Updated, instant, json, malformed, text, update};
use crate::error::failed;

const UPDATE: &str = "dynamodb:UpdateItem";
const GET: &str = "dynamodb:GetItem";

/// Shipments in one DynamoDB table, one item an order, key `order_id`.
#[derive(Debug, Clone)]
pub struct DynamoDbShipmentStore {
    client: Client,
    table: String,
}

impl DynamoDbShipmentStore {
    /// On this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn update_of(&self, order_id: &OrderId, by: &Decided<'_>) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("order_id", text(order_id.as_str()))
            .expression_attribute_values(":by", text(by.by.as_str()))
            .expression_attribute_values(":at", instant(by.at))
    }
}

impl ShipmentStore for DynamoDbShipmentStore {
    async fn schedule(&self, order: &ShippedOrder, by: &Decided<'_>) -> Result<Commit<Shipment>, PortError> {
        let request = self
            .update_of(&order.order_id, by)
            .update_expression(
                "SET decision = :decision, decided_by = :by, decided_at = :at, \
                 shipment_id = :shipment_id, #lines = :lines",
            )
            .condition_expression("attribute_not_exists(order_id)")
            .expression_attribute_names("#lines", "lines")
            .expression_attribute_values(":decision", text("scheduled"))
            .expression_attribute_values(":shipment_id", text(order.shipment_id.as_str()))
            .expression_attribute_values(":lines", json(UPDATE, &order.lines)?);
        commit(request).await
    }

    async fn bar(&self, order_id: &OrderId, by: &Decided<'_>) -> Result<Commit<Shipment>, PortError> {
        let request = self
            .update_of(order_id, by)
            .update_expression("SET decision = :decision, decided_by = :by, decided_at = :at")
            .condition_expression("attribute_not_exists(order_id)")
            .expression_attribute_values(":decision", text("barred"));
        commit(request).await
    }

    async fn close(
        &self,
        order_id: &OrderId,
        end: ShipmentEnd,
        by: &Decided<'_>,
    ) -> Result<Commit<Shipment>, PortError> {
        let end = match end {
            ShipmentEnd::Cancelled => "cancelled",
            ShipmentEnd::Left => "left",
        };
        let request = self
            .update_of(order_id, by)
            .update_expression("SET closing = :end, closed_by = :by, closed_at = :at")
            .condition_expression("decision = :scheduled AND attribute_not_exists(closing)")
            .expression_attribute_values(":scheduled", text("scheduled"))
            .expression_attribute_values(":end", text(end));
        commit(request).await
    }

    async fn find(&self, order_id: &OrderId) -> Result<Option<Shipment>, PortError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("order_id", text(order_id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(GET, error))?;
        output.item.map(|item| shipment(Reader { operation: GET, item: &item })).transpose()
    }
}

async fn commit(request: UpdateItemFluentBuilder) -> Result<Commit<Shipment>, PortError> {
    match update(UPDATE, request).await? {
        Updated::Written(_) => Ok(Commit::Written),
        Updated::Refused(Some(item)) => {
            Ok(Commit::Existing(shipment(Reader { operation: UPDATE, item: &item })?))
        }
        Updated::Refused(None) => Err(malformed(UPDATE, "order_id")),
    }
}

fn shipment(item: Reader<'_>) -> Result<Shipment, PortError> {
    let end = match item.optional_text("closing") {
        None => None,
        Some("cancelled") => Some(ShipmentEnd::Cancelled),
        Some("left") => Some(ShipmentEnd::Left),
        Some(_) => return Err(malformed(item.operation, "closing")),
    };
    let closing = match end {
        None => None,
        Some(end) => Some(ShipmentClosing {
            end,
            decided_by: item.event_id("closed_by")?,
            decided_at: item.instant("closed_at")?,
        }),
    };
    Ok(Shipment {
        decision: match item.text("decision")? {
            "scheduled" => ShipmentDecision::Scheduled,
            "barred" => ShipmentDecision::Barred,
            _ => return Err(malformed(item.operation, "decision")),
        },
        decided_by: item.event_id("decided_by")?,
        decided_at: item.instant("decided_at")?,
        closing,
    })
}
