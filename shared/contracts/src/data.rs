//! Every event type of the bus and its `data`.

use domain::{InvalidId, OrderId, QuarantineId, Subject};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::parts::{Line, Money, Personal, Reason, Shortage, Signature, StockLine};

/// Defines [`EventType`] and [`Data`] from one table, so that neither can miss an event of the other.
macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $type:literal about $field:ident: $id:ident),+ $(,)?) => {
        /// The type of an event, with its version: the bus's `detail-type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $($(#[$doc])* $name,)+
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
            $($(#[$doc])* $name($name),)+
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

            pub(crate) fn read(event_type: EventType, data: &RawValue) -> Result<Self, serde_json::Error> {
                match event_type {
                    $(EventType::$name => serde_json::from_str(data.get()).map(Self::$name),)+
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

event_types! {
    /// A customer placed an order.
    OrderPlaced = "orders.order-placed.v1" about order_id: OrderId,
    /// The order keeps every rule and is registered.
    OrderAccepted = "orders.order-accepted.v1" about order_id: OrderId,
    /// The order is refused for good.
    OrderRejected = "orders.order-rejected.v1" about order_id: OrderId,
    /// Someone asked to call the order off.
    CancellationRequested = "orders.cancellation-requested.v1" about order_id: OrderId,
    /// The order is paid and goes ahead.
    OrderConfirmed = "orders.order-confirmed.v1" about order_id: OrderId,
    /// The order is called off for good.
    OrderCancelled = "orders.order-cancelled.v1" about order_id: OrderId,
    /// Every line of the order is promised.
    StockReserved = "inventory.stock-reserved.v1" about order_id: OrderId,
    /// At least one line of the order is short; nothing is promised.
    StockRejected = "inventory.stock-rejected.v1" about order_id: OrderId,
    /// What was promised is free again.
    StockReleased = "inventory.stock-released.v1" about order_id: OrderId,
    /// A payment provider is asked to collect.
    PaymentRequested = "payments.payment-requested.v1" about order_id: OrderId,
    /// A payment provider has collected.
    PaymentCaptured = "payments.payment-captured.v1" about order_id: OrderId,
    /// A payment provider could not collect.
    PaymentFailed = "payments.payment-failed.v1" about order_id: OrderId,
    /// A payment provider is asked to give back what it collected.
    RefundRequested = "payments.refund-requested.v1" about order_id: OrderId,
    /// The fulfilment centre is told to send the order.
    ShipmentScheduled = "shipping.shipment-scheduled.v1" about order_id: OrderId,
    /// The fulfilment centre is told not to send the order.
    ShipmentCancelled = "shipping.shipment-cancelled.v1" about order_id: OrderId,
    /// A carrier has a parcel of the order.
    ParcelPickedUp = "shipping.parcel-picked-up.v1" about order_id: OrderId,
    /// A parcel of the order moved.
    DeliveryStatusChanged = "shipping.delivery-status-changed.v1" about order_id: OrderId,
    /// A parcel of the order was handed over.
    SignatureCollected = "shipping.signature-collected.v1" about order_id: OrderId,
    /// A message was given up on and is kept for a person to look at.
    EventQuarantined = "ops.event-quarantined.v1" about quarantine_id: QuarantineId,
}

impl EventType {
    /// The context that sends it: the bus's `source`, the part before the first dot.
    #[must_use]
    pub fn source(self) -> &'static str {
        let text = self.as_str();
        text.split_once('.').map_or(text, |(source, _)| source)
    }
}

/// See [`EventType::OrderPlaced`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPlaced {
    /// Which order.
    pub order_id: String,
    /// Whose.
    pub customer_id: String,
    /// 1 to 99, each SKU once.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAccepted {
    /// Which order.
    pub order_id: String,
    /// Whose.
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total: Money,
}

/// See [`EventType::OrderRejected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRejected {
    /// Which order.
    pub order_id: String,
    /// All of them.
    pub reasons: Vec<Reason>,
}

/// See [`EventType::CancellationRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequested {
    /// Which order.
    pub order_id: String,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::OrderConfirmed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderConfirmed {
    /// Which order.
    pub order_id: String,
    /// Whose.
    pub customer_id: String,
    /// 1 to 99, each SKU once.
    pub lines: Vec<Line>,
    /// What was paid.
    pub total: Money,
    /// By which payment.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    /// Which order.
    pub order_id: String,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::StockReserved`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockReserved {
    /// Which order.
    pub order_id: String,
    /// Every line of it.
    pub lines: Vec<StockLine>,
}

/// See [`EventType::StockRejected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockRejected {
    /// Which order.
    pub order_id: String,
    /// The lines that were short.
    pub shortages: Vec<Shortage>,
}

/// See [`EventType::StockReleased`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockReleased {
    /// Which order.
    pub order_id: String,
    /// Every line of it.
    pub lines: Vec<StockLine>,
}

/// See [`EventType::PaymentRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequested {
    /// Which order.
    pub order_id: String,
    /// Which payment: one an order, so that a provider collects once however often it is asked.
    pub payment_id: String,
    /// How much.
    pub amount: Money,
    /// To be sent back unchanged in the answer.
    pub task_token: String,
    /// RFC 3339; an answer after this comes too late.
    pub expires_at: String,
}

/// See [`EventType::PaymentCaptured`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCaptured {
    /// Which order.
    pub order_id: String,
    /// Which payment.
    pub payment_id: String,
    /// How much was collected.
    pub amount: Money,
    /// As it came in the request.
    pub task_token: String,
    /// The provider's own name for the collection.
    pub provider_reference: String,
}

/// See [`EventType::PaymentFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed {
    /// Which order.
    pub order_id: String,
    /// Which payment.
    pub payment_id: String,
    /// As it came in the request.
    pub task_token: String,
    /// Such as `card_declined`.
    pub reason: String,
}

/// See [`EventType::RefundRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequested {
    /// Which order.
    pub order_id: String,
    /// Which payment.
    pub payment_id: String,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: Reason,
}

/// See [`EventType::ShipmentScheduled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentScheduled {
    /// Which order.
    pub order_id: String,
    /// Which shipment: one an order.
    pub shipment_id: String,
    /// What it holds.
    pub lines: Vec<StockLine>,
}

/// See [`EventType::ShipmentCancelled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentCancelled {
    /// Which order.
    pub order_id: String,
    /// Which shipment.
    pub shipment_id: String,
}

/// See [`EventType::ParcelPickedUp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParcelPickedUp {
    /// Which order.
    pub order_id: String,
    /// Which shipment.
    pub shipment_id: String,
    /// Which parcel, by the carrier's name for it.
    pub parcel_id: String,
    /// Who carries it.
    pub carrier: String,
}

/// See [`EventType::DeliveryStatusChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatusChanged {
    /// Which order.
    pub order_id: String,
    /// Which parcel.
    pub parcel_id: String,
    /// Where it stands, such as `out_for_delivery`.
    pub status: String,
    /// A depot or a town; never an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// See [`EventType::SignatureCollected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureCollected {
    /// Which order.
    pub order_id: String,
    /// Which parcel.
    pub parcel_id: String,
    /// Who signed.
    pub personal: Signature,
}

/// See [`EventType::EventQuarantined`]. Names the message and says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventQuarantined {
    /// What to look for: `orderbus dlq show <this>`.
    pub quarantine_id: String,
    /// Who was to handle it.
    pub consumer: String,
    /// Why, for programs.
    pub reason_code: String,
    /// Why, for people.
    pub reason: String,
    /// How often it failed.
    pub attempts: u32,
    /// RFC 3339.
    pub first_failed_at: String,
    /// RFC 3339.
    pub last_failed_at: String,
    /// The event in it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_event_id: Option<String>,
    /// The event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_event_type: Option<String>,
    /// The order that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
}
