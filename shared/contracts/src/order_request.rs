use domain::OrderId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::data::OrderPlaced;
use crate::event::NAMESPACE;
use crate::parts::{Line, Money, Personal};

/// What a storefront posts to place an order: `orders.order-placed.v1` without the order id, which the API gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRequest {
    /// Whose.
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Money,
    /// Whom to deliver to.
    pub personal: Personal,
}

impl OrderRequest {
    /// The data of the event that places it.
    #[must_use]
    pub fn into_order_placed(self, order_id: &OrderId) -> OrderPlaced {
        OrderPlaced {
            order_id: order_id.as_str().to_owned(),
            customer_id: self.customer_id,
            lines: self.lines,
            total: self.total,
            personal: self.personal,
        }
    }
}

/// The order id that an idempotency key stands for: UUID version 5 of the key, the same for ever.
#[must_use]
pub fn order_id_of_key(key: &str) -> OrderId {
    let uuid = Uuid::new_v5(&NAMESPACE, format!("order\n{key}").as_bytes());
    let mut buffer = Uuid::encode_buffer();
    let text: &str = uuid.hyphenated().encode_lower(&mut buffer);
    OrderId::parse(text).unwrap_or_else(|_| unreachable!("a UUID is letters, digits and hyphens"))
}
