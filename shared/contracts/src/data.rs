//! Every event type of the bus and its `data`.

use domain::{InvalidId, Order, OrderId, QuarantineId, Subject};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::check::{Check, Checker};
use crate::parts::{Line, Money, Personal, Reason, Shortage, Signature, StockLine};
use crate::{integer, texts};

/// Defines [`EventType`] and [`Data`] from one table, so that neither can miss an event of the other.
macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $name:ident = $type:literal about $field:ident: $id:ident),+ $(,)?) => {
        /// The type of an event, with its version: the bus's `detail-type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $($(#[doc = $doc])* $name,)+
        }

        impl EventType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Such as `orders.order-placed.v1`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $type,)+
                }
            }

            /// The lines of its documentation: what it means, an empty line, when it is sent.
            fn documentation(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($doc),*],)+
                }
            }

            /// The name of its data's type, such as `OrderPlaced`.
            #[must_use]
            pub fn data_name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            pub(crate) fn data_schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self {
                    $(Self::$name => generator.subschema_for::<$name>(),)+
                }
            }

            pub(crate) fn subject_schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self {
                    $(Self::$name => generator.subschema_for::<texts::$id>(),)+
                }
            }

            /// `None` for a type or a version that is not in the catalogue.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($type => Some(Self::$name),)+
                    _ => None,
                }
            }
        }

        /// What happened, by type.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Data {
            $($(#[doc = $doc])* $name($name),)+
        }

        impl Data {
            /// The type that goes with it.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name(_) => EventType::$name,)+
                }
            }

            /// What it is about: the event's `subject`.
            ///
            /// # Errors
            /// [`InvalidId`] when the identifier in it is not one.
            pub fn subject(&self) -> Result<Subject, InvalidId> {
                match self {
                    $(Self::$name(data) => $id::parse(&data.$field).map(Subject::from),)+
                }
            }

            pub(crate) fn check(&self, checker: &mut Checker) {
                match self {
                    $(Self::$name(data) => data.check(checker),)+
                }
            }

            pub(crate) fn read(event_type: EventType, data: &RawValue) -> Result<Self, serde_json::Error> {
                match event_type {
                    $(EventType::$name => serde_json::from_str(data.get()).map(Self::$name),)+
                }
            }

            /// Where data does not have its type's shape, and what is wrong there.
            pub(crate) fn mismatch(event_type: EventType, data: &Value) -> Option<(String, serde_json::Error)> {
                match event_type {
                    $(EventType::$name => mismatch::<$name>(data),)+
                }
            }
        }

        $(impl From<$name> for Data {
            fn from(data: $name) -> Self {
                Self::$name(data)
            }
        })+
    };
}

fn mismatch<'de, T: Deserialize<'de>>(data: &'de Value) -> Option<(String, serde_json::Error)> {
    let error = serde_path_to_error::deserialize::<_, T>(data).err()?;
    Some((error.path().to_string(), error.into_inner()))
}

event_types! {
    /// A customer placed an order.
    ///
    /// Sent when a storefront has posted an order that keeps every rule, before it is registered or any stock is promised.
    /// Sent again, to the letter, when the storefront repeats its request.
    OrderPlaced = "orders.order-placed.v1" about order_id: OrderId,
    /// The order keeps every rule and is registered.
    ///
    /// Sent when the order is registered. Stock and payment are still open.
    OrderAccepted = "orders.order-accepted.v1" about order_id: OrderId,
    /// The order is refused for good.
    ///
    /// Sent when the order breaks a rule, or when its stock is short. It is the order's one outcome: nothing follows.
    OrderRejected = "orders.order-rejected.v1" about order_id: OrderId,
    /// Someone asked to call the order off.
    ///
    /// Sent when a customer calls the order off. Whether that is in time is decided by whoever registers orders; the
    /// outcome is told by an event of its own.
    CancellationRequested = "orders.cancellation-requested.v1" about order_id: OrderId,
    /// The order is paid and goes ahead.
    ///
    /// Sent when the payment has come and the order was not called off before. It is the order's one outcome: what follows
    /// is its shipment.
    OrderConfirmed = "orders.order-confirmed.v1" about order_id: OrderId,
    /// The order is called off for good.
    ///
    /// Sent when the order ends without a shipment: the customer called it off in time, the payment failed or did not come,
    /// or the order was never registered. It is the order's one outcome.
    OrderCancelled = "orders.order-cancelled.v1" about order_id: OrderId,
    /// Every line of the order is promised.
    ///
    /// Sent when every line was in stock and is now set aside for the order. The checkout starts from it.
    StockReserved = "inventory.stock-reserved.v1" about order_id: OrderId,
    /// At least one line of the order is short; nothing is promised.
    ///
    /// Sent when at least one line was not in stock. The decision is durable: a later delivery of goods does not turn it.
    StockRejected = "inventory.stock-rejected.v1" about order_id: OrderId,
    /// What was promised is free again.
    ///
    /// Sent when an order ends without a shipment and its stock, which was set aside, can be sold again.
    StockReleased = "inventory.stock-released.v1" about order_id: OrderId,
    /// A payment provider is asked to collect.
    ///
    /// Sent when the order is registered and its stock set aside. The answer, captured or failed, brings the task token back
    /// before the time given. A further attempt has an event id of its own and the same payment id: collect once for each.
    PaymentRequested = "payments.payment-requested.v1" about order_id: OrderId,
    /// A payment provider has collected.
    ///
    /// Sent by a payment provider once the money is there. Money that comes too late, or is not the amount, goes back.
    PaymentCaptured = "payments.payment-captured.v1" about order_id: OrderId,
    /// A payment provider could not collect.
    ///
    /// Sent by a payment provider when the money will not come, such as for a card that was declined.
    PaymentFailed = "payments.payment-failed.v1" about order_id: OrderId,
    /// A payment provider is asked to give back what it collected.
    ///
    /// Sent when money came for an order that was not confirmed by it. There is one event id for each payment, whoever asks.
    RefundRequested = "payments.refund-requested.v1" about order_id: OrderId,
    /// The fulfilment centre is told to send the order.
    ///
    /// Sent when a paid order was handed to the fulfilment centre, which is told on its own topic, addresses included.
    ShipmentScheduled = "shipping.shipment-scheduled.v1" about order_id: OrderId,
    /// The fulfilment centre is told not to send the order.
    ///
    /// Sent when an order is taken back that the fulfilment centre was told of, and that no carrier has yet.
    ShipmentCancelled = "shipping.shipment-cancelled.v1" about order_id: OrderId,
    /// The order's shipment has left the fulfilment centre.
    ///
    /// Sent when a carrier picked up the first parcel of a shipment that is scheduled. The stock counts as shipped from then
    /// on, and the order can no longer be taken back.
    ShipmentDeparted = "shipping.shipment-departed.v1" about order_id: OrderId,
    /// A carrier says that it has a parcel of the order.
    ///
    /// Sent by a carrier when a parcel leaves the fulfilment centre. It takes effect as `shipping.shipment-departed.v1`, once
    /// the shipment was found to be the order's and to be scheduled.
    ParcelPickedUp = "shipping.parcel-picked-up.v1" about order_id: OrderId,
    /// A parcel of the order moved.
    ///
    /// Sent by a carrier, or by whoever speaks for it, at each scan of the parcel.
    DeliveryStatusChanged = "shipping.delivery-status-changed.v1" about order_id: OrderId,
    /// A parcel of the order was handed over.
    ///
    /// Sent by a carrier, or by whoever speaks for it, when somebody has signed for the parcel.
    SignatureCollected = "shipping.signature-collected.v1" about order_id: OrderId,
    /// A message was given up on and is kept for a person to look at.
    ///
    /// Sent when no retry can help a message, or all have failed. It says who was to handle it and why it failed, and nothing
    /// of the content.
    EventQuarantined = "ops.event-quarantined.v1" about quarantine_id: QuarantineId,
}

impl EventType {
    /// The context that sends it: the bus's `source`, the part before the first dot.
    #[must_use]
    pub fn source(self) -> &'static str {
        let text = self.as_str();
        text.split_once('.').map_or(text, |(source, _)| source)
    }

    /// Whether others than Orderbus's own functions publish it: payment providers and carriers, who alone can say such a
    /// thing. All other types say what a function of ours committed, and nobody else may.
    #[must_use]
    pub fn may_come_from_outside(self) -> bool {
        matches!(
            self,
            Self::PaymentCaptured
                | Self::PaymentFailed
                | Self::ParcelPickedUp
                | Self::DeliveryStatusChanged
                | Self::SignatureCollected
        )
    }

    /// The identifier of its schema, which its events carry as `dataschema`.
    #[must_use]
    pub fn schema_id(self) -> String {
        format!("urn:orderbus:schema:{}", self.as_str())
    }

    /// What it means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> String {
        paragraph(self.documentation().split(|line| line.trim().is_empty()).next())
    }

    /// When it is sent, and what a listener should know of that.
    #[must_use]
    pub fn when(self) -> String {
        paragraph(self.documentation().split(|line| line.trim().is_empty()).nth(1))
    }
}

fn paragraph(lines: Option<&[&str]>) -> String {
    let lines: Vec<&str> = lines.unwrap_or_default().iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// See [`EventType::OrderPlaced`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderPlaced {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Whose.
    #[schemars(with = "texts::CustomerId")]
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Money,
    /// Whom to deliver to.
    pub personal: Personal,
}

impl OrderPlaced {
    /// Checks everything and reports every broken rule. Pure: whoever hears the event decides alike.
    ///
    /// # Errors
    /// Every reason why the order cannot be accepted.
    pub fn parse(&self, order_id: domain::OrderId) -> Result<(domain::Order, domain::Personal), Vec<Reason>> {
        parse_order(order_id, &self.customer_id, &self.lines, &self.total, &self.personal)
    }
}

fn parse_order(
    order_id: domain::OrderId,
    customer_id: &str,
    lines: &[Line],
    total: &Money,
    personal: &Personal,
) -> Result<(domain::Order, domain::Personal), Vec<Reason>> {
    let draft = domain::OrderDraft {
        customer_id,
        lines: lines.iter().map(Line::draft).collect(),
        total: total.draft(),
    };
    match (domain::Order::parse(order_id, &draft), personal.parse()) {
        (Ok(order), Ok(personal)) => Ok((order, personal)),
        (order, personal) => {
            let violations = [order.err(), personal.err()].into_iter().flatten();
            Err(violations.flat_map(domain::Violations::into_vec).map(Reason::from).collect())
        }
    }
}

/// See [`EventType::OrderAccepted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderAccepted {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Whose.
    #[schemars(with = "texts::CustomerId")]
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Money,
}

/// See [`EventType::OrderRejected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderRejected {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// All of them.
    #[schemars(length(min = 1, max = texts::REASONS_MAX))]
    pub reasons: Vec<Reason>,
}

/// See [`EventType::CancellationRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequested {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::OrderConfirmed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderConfirmed {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Whose.
    #[schemars(with = "texts::CustomerId")]
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<Line>,
    /// What was paid.
    pub total: Money,
    /// By which payment.
    #[schemars(with = "texts::PaymentId")]
    pub payment_id: String,
    /// Whom to deliver to.
    pub personal: Personal,
}

impl OrderConfirmed {
    /// Checks everything, as [`OrderPlaced::parse`] does.
    ///
    /// # Errors
    /// Every reason why nobody could ship the order.
    pub fn parse(&self, order_id: domain::OrderId) -> Result<(domain::Order, domain::Personal), Vec<Reason>> {
        parse_order(order_id, &self.customer_id, &self.lines, &self.total, &self.personal)
    }
}

/// See [`EventType::OrderCancelled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::StockReserved`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockReserved {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Every line of it.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<StockLine>,
}

/// See [`EventType::StockRejected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockRejected {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// The lines that were short.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub shortages: Vec<Shortage>,
}

/// See [`EventType::StockReleased`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockReleased {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Every line of it.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<StockLine>,
}

/// See [`EventType::PaymentRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequested {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which payment: one an order, so that a provider collects once however often it is asked.
    #[schemars(with = "texts::PaymentId")]
    pub payment_id: String,
    /// How much.
    pub amount: Money,
    /// To be sent back unchanged in the answer.
    #[schemars(with = "texts::TaskToken")]
    pub task_token: String,
    /// RFC 3339; an answer after this comes too late.
    #[schemars(with = "texts::Time")]
    pub expires_at: String,
}

/// See [`EventType::PaymentCaptured`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCaptured {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which payment.
    #[schemars(with = "texts::PaymentId")]
    pub payment_id: String,
    /// How much was collected.
    pub amount: Money,
    /// As it came in the request.
    #[schemars(with = "texts::TaskToken")]
    pub task_token: String,
    /// The provider's own name for the collection.
    #[schemars(with = "texts::Words<256>")]
    #[schemars(example = &"psp-7f3a")]
    pub provider_reference: String,
}

/// See [`EventType::PaymentFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which payment.
    #[schemars(with = "texts::PaymentId")]
    pub payment_id: String,
    /// As it came in the request.
    #[schemars(with = "texts::TaskToken")]
    pub task_token: String,
    /// Such as `card_declined`.
    #[schemars(with = "texts::Words<200>")]
    pub reason: String,
}

/// See [`EventType::RefundRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequested {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which payment.
    #[schemars(with = "texts::PaymentId")]
    pub payment_id: String,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::ShipmentScheduled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentScheduled {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which shipment: one an order.
    #[schemars(with = "texts::ShipmentId")]
    pub shipment_id: String,
    /// What it holds.
    #[schemars(length(min = 1, max = Order::LINES_MAX))]
    pub lines: Vec<StockLine>,
}

/// See [`EventType::ShipmentCancelled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentCancelled {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which shipment.
    #[schemars(with = "texts::ShipmentId")]
    pub shipment_id: String,
}

/// See [`EventType::ShipmentDeparted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentDeparted {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which shipment.
    #[schemars(with = "texts::ShipmentId")]
    pub shipment_id: String,
}

/// See [`EventType::ParcelPickedUp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParcelPickedUp {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which shipment.
    #[schemars(with = "texts::ShipmentId")]
    pub shipment_id: String,
    /// Which parcel, by the carrier's name for it.
    #[schemars(with = "texts::ParcelId")]
    pub parcel_id: String,
    /// Who carries it.
    #[schemars(with = "texts::Words<100>")]
    #[schemars(example = &"Example Carrier")]
    pub carrier: String,
}

/// See [`EventType::DeliveryStatusChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatusChanged {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which parcel.
    #[schemars(with = "texts::ParcelId")]
    pub parcel_id: String,
    /// Where it stands, such as `out_for_delivery`.
    #[schemars(with = "texts::Code")]
    #[schemars(example = &"out_for_delivery")]
    pub status: String,
    /// A depot or a town; never an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::Words<100>>")]
    #[schemars(example = &"Depot Berlin-Mitte")]
    pub location: Option<String>,
}

/// See [`EventType::SignatureCollected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureCollected {
    /// Which order.
    #[schemars(with = "texts::OrderId")]
    pub order_id: String,
    /// Which parcel.
    #[schemars(with = "texts::ParcelId")]
    pub parcel_id: String,
    /// Who signed.
    pub personal: Signature,
}

/// See [`EventType::EventQuarantined`]. Names the message and says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventQuarantined {
    /// What to look for: `orderbus dlq show <this>`.
    #[schemars(with = "texts::QuarantineId")]
    pub quarantine_id: String,
    /// Who was to handle it.
    #[schemars(with = "texts::Words<{ texts::NAME_LENGTH_MAX }>")]
    #[schemars(example = &"order-placed")]
    pub consumer: String,
    /// Why, for programs.
    #[schemars(with = "texts::Words<{ texts::NAME_LENGTH_MAX }>")]
    #[schemars(example = &"deliveries_exhausted")]
    pub reason_code: String,
    /// Why, for people.
    #[schemars(with = "texts::Words<{ texts::MESSAGE_LENGTH_MAX }>")]
    pub reason: String,
    /// How often it failed.
    #[schemars(range(max = u32::MAX))]
    #[schemars(example = 5)]
    #[serde(deserialize_with = "integer::deserialize")]
    pub attempts: u32,
    /// RFC 3339.
    #[schemars(with = "texts::Time")]
    pub first_failed_at: String,
    /// RFC 3339.
    #[schemars(with = "texts::Time")]
    pub last_failed_at: String,
    /// The event in it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::EventId>")]
    pub message_event_id: Option<String>,
    /// The event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::Words<{ texts::NAME_LENGTH_MAX }>>")]
    #[schemars(example = &"orders.order-placed.v1")]
    pub message_event_type: Option<String>,
    /// The order that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<texts::OrderId>")]
    pub order_id: Option<String>,
}
