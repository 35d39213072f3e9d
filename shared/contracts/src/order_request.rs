use std::fmt;
use std::marker::PhantomData;

use domain::OrderId;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::data::OrderPlaced;
use crate::event::NAMESPACE;
use crate::integer;
use crate::parts::{Line, Money, Personal};

/// What a storefront posts to place an order: `orders.order-placed.v1` without the order id, which the API gives.
///
/// Read more strictly than an event: an unknown field is refused, because nobody else would ever tell a storefront
/// that it misspelled one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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

/// The scope of idempotency keys where an API is open, unless the installation names another.
pub const OPEN_SCOPE: &str = "open";

/// The order id that an idempotency key stands for: UUID version 5 of the key and of whose it is, the same for ever.
///
/// `scope` is the caller that API Gateway names, or what the installation calls everyone when its API is open. Callers
/// with the same key get orders of their own.
#[must_use]
pub fn order_id_of_key(scope: &str, key: &str) -> OrderId {
    // With the length, no two pairs make the same name.
    let name = format!("order\n{}\n{scope}{key}", scope.len());
    let uuid = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    let mut buffer = Uuid::encode_buffer();
    let text: &str = uuid.hyphenated().encode_lower(&mut buffer);
    OrderId::parse(text).unwrap_or_else(|_| unreachable!("a UUID is letters, digits and hyphens"))
}

impl<'de> Deserialize<'de> for OrderRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(strict) = Object::<StrictOrder>::deserialize(deserializer)?;
        Ok(Self {
            customer_id: strict.customer_id,
            lines: strict.lines.into_iter().map(|Object(line)| line.into()).collect(),
            total: strict.total.0.into(),
            personal: strict.personal.0.into(),
        })
    }
}

/// A JSON object. What is derived for a struct reads an array as well, its fields by their places.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The same fields as the part of an event that it becomes, and none besides.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictOrder {
    customer_id: String,
    lines: Vec<Object<StrictLine>>,
    total: Object<StrictMoney>,
    personal: Object<StrictPersonal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictLine {
    sku: String,
    #[serde(deserialize_with = "integer::deserialize")]
    quantity: i64,
    unit_price: Object<StrictMoney>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictMoney {
    #[serde(deserialize_with = "integer::deserialize")]
    amount_minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictPersonal {
    name: String,
    email: String,
    phone: Option<String>,
    street: String,
    city: String,
    postal_code: String,
    country: String,
}

impl From<StrictLine> for Line {
    fn from(strict: StrictLine) -> Self {
        Self { sku: strict.sku, quantity: strict.quantity, unit_price: strict.unit_price.0.into() }
    }
}

impl From<StrictMoney> for Money {
    fn from(strict: StrictMoney) -> Self {
        Self { amount_minor: strict.amount_minor, currency: strict.currency }
    }
}

impl From<StrictPersonal> for Personal {
    fn from(strict: StrictPersonal) -> Self {
        Self {
            name: strict.name,
            email: strict.email,
            phone: strict.phone,
            street: strict.street,
            city: strict.city,
            postal_code: strict.postal_code,
            country: strict.country,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request() -> Value {
        let money = json!({"amountMinor": 100, "currency": "EUR"});
        json!({
            "customerId": "c-1",
            "lines": [{"sku": "A", "quantity": 1, "unitPrice": money}],
            "total": money,
            "personal": {"name": "n", "email": "e@h", "street": "s", "city": "c", "postalCode": "p", "country": "DE"},
        })
    }

    fn read(request: Value) -> Result<OrderRequest, serde_json::Error> {
        serde_json::from_value(request)
    }

    #[test]
    fn a_request_is_read_back_as_written() {
        let read = read(request()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), request());
    }

    #[test]
    fn a_key_belongs_to_its_scope() {
        let (ada, bob) = ("arn:aws:iam::111122223333:user/ada", "arn:aws:iam::111122223333:user/bob");
        assert_eq!(order_id_of_key(ada, "k-1"), order_id_of_key(ada, "k-1"));
        assert_ne!(order_id_of_key(ada, "k-1"), order_id_of_key(ada, "k-2"));
        assert_ne!(order_id_of_key(ada, "k-1"), order_id_of_key(bob, "k-1"));
        assert_ne!(order_id_of_key("open", "k-1"), order_id_of_key("openk", "-1"));
        assert_ne!(order_id_of_key("1\n", "a"), order_id_of_key("1", "\na"));
        assert_eq!(
            order_id_of_key(OPEN_SCOPE, "k-1").as_str(),
            "826f7482-58f8-5729-b5af-8d6c275a750e",
            "for ever"
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let text =
            request().to_string().replace("100", "1.00e2").replace("\"quantity\":1", "\"quantity\":1.0");
        assert!(text.contains("1.00e2") && text.contains("1.0,"), "{text}");
        let read: OrderRequest = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), request());
    }

    #[test]
    fn an_unknown_field_is_refused_wherever_it_stands() {
        for pointer in ["", "/lines/0", "/lines/0/unitPrice", "/total", "/personal"] {
            let mut request = request();
            request.pointer_mut(pointer).unwrap()["phon"] = "1".into();
            assert!(read(request).unwrap_err().to_string().contains("phon"), "{pointer}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        let array = json!([100, "EUR"]);
        for pointer in ["/lines/0", "/lines/0/unitPrice", "/total", "/personal"] {
            let mut request = request();
            *request.pointer_mut(pointer).unwrap() = array.clone();
            assert!(read(request).unwrap_err().to_string().contains("expected an object"), "{pointer}");
        }
        assert!(read(json!(["c-1", [], array, {}])).is_err());
    }
}
