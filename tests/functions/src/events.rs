use contracts::{
    CancellationRequested, Data, DeliveryStatusChanged, Event, Line, Money, OrderCancelled, OrderConfirmed,
    OrderPlaced, OrderRejected, Outbound, ParcelPickedUp, PaymentCaptured, PaymentFailed, PaymentRequested,
    Personal, Reason, ShipmentDeparted, Shortage, Signature, SignatureCollected, StockRejected,
};
use domain::{EventId, OrderId, PaymentId, ShipmentId, Sku, Timestamp};
use serde_json::{Value, json};

/// 2026-01-31T12:00:00Z, when everything here begins.
pub const NOW: Timestamp = Timestamp::from_unix_ms(1_769_860_800_000);

/// Every value of [`personal`] that could be told from other text. None of them may turn up where no person is meant to
/// be named.
pub const PERSONAL_VALUES: [&str; 5] =
    ["Ada Example", "ada@example.com", "+44 20 7946 0000", "1 Analytical Row", "N1 9GU"];

/// An order id.
#[must_use]
pub fn order_id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

/// A SKU.
#[must_use]
pub fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

/// Any event about an order.
#[must_use]
pub fn event(id: &str, order: &str, data: impl Into<Data>) -> Event {
    Event {
        id: EventId::parse(id).unwrap(),
        subject: order_id(order).into(),
        time: NOW,
        correlation_id: format!("flow-{order}"),
        causation_id: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        data: data.into(),
    }
}

/// Someone to deliver to.
#[must_use]
pub fn personal() -> Personal {
    let [name, email, phone, street, postal_code] = PERSONAL_VALUES.map(str::to_owned);
    Personal {
        name,
        email,
        phone: Some(phone),
        street,
        city: "London".into(),
        postal_code,
        country: "GB".into(),
    }
}

/// An order of so many of each SKU, at one euro each. The total adds up.
#[must_use]
pub fn placed(id: &str, order: &str, lines: &[(&str, i64)]) -> Event {
    let (lines, total) = priced(lines);
    let data =
        OrderPlaced { order_id: order.into(), customer_id: "c-1".into(), lines, total, personal: personal() };
    event(id, order, data)
}

/// The same order, paid.
#[must_use]
pub fn confirmed(id: &str, order: &str, lines: &[(&str, i64)]) -> Event {
    let (lines, total) = priced(lines);
    let data = OrderConfirmed {
        order_id: order.into(),
        customer_id: "c-1".into(),
        lines,
        total,
        payment_id: PaymentId::of(&order_id(order)).as_str().into(),
        personal: personal(),
    };
    event(id, order, data)
}

fn priced(lines: &[(&str, i64)]) -> (Vec<Line>, Money) {
    let euros = |amount: i64| Money { amount_minor: amount * 100, currency: "EUR".into() };
    let line = |(sku, quantity): &(&str, i64)| Line {
        sku: (*sku).to_owned(),
        quantity: *quantity,
        unit_price: euros(1),
    };
    (lines.iter().map(line).collect(), euros(lines.iter().map(|(_, quantity)| quantity).sum()))
}

/// The customer wants it called off.
#[must_use]
pub fn cancellation_requested(id: &str, order: &str) -> Event {
    let reason = Reason::new("customer_request", "the customer asked for it");
    event(id, order, CancellationRequested { order_id: order.into(), reason })
}

/// It is called off.
#[must_use]
pub fn cancelled(id: &str, order: &str) -> Event {
    let reason = Reason::new("customer_request", "the customer asked for it");
    event(id, order, OrderCancelled { order_id: order.into(), reason })
}

/// It is refused.
#[must_use]
pub fn rejected(id: &str, order: &str) -> Event {
    let reasons = vec![Reason::new("out_of_stock", "MUG: 2 ordered, 1 available")];
    event(id, order, OrderRejected { order_id: order.into(), reasons })
}

/// Two mugs were ordered, and there is one.
#[must_use]
pub fn stock_rejected(id: &str, order: &str) -> Event {
    let shortages = vec![Shortage { sku: "MUG".into(), requested: 2, available: 1 }];
    event(id, order, StockRejected { order_id: order.into(), shortages })
}

/// The shipment left.
#[must_use]
pub fn departed(id: &str, order: &str) -> Event {
    let shipment_id = ShipmentId::of(&order_id(order)).as_str().into();
    event(id, order, ShipmentDeparted { order_id: order.into(), shipment_id })
}

/// A carrier took a parcel.
#[must_use]
pub fn picked_up(id: &str, order: &str) -> Event {
    picked_up_of(id, order, ShipmentId::of(&order_id(order)).as_str())
}

/// A carrier took a parcel of this shipment.
#[must_use]
pub fn picked_up_of(id: &str, order: &str, shipment_id: &str) -> Event {
    let data = ParcelPickedUp {
        order_id: order.into(),
        shipment_id: shipment_id.into(),
        parcel_id: format!("parcel-{id}"),
        carrier: "example-parcel".into(),
    };
    event(id, order, data)
}

/// A provider is to collect; the token is `token-<order>`.
#[must_use]
pub fn payment_requested(id: &str, order: &str, amount_minor: i64) -> Event {
    let data = PaymentRequested {
        order_id: order.into(),
        payment_id: PaymentId::of(&order_id(order)).as_str().into(),
        amount: Money { amount_minor, currency: "EUR".into() },
        task_token: format!("{order}.token-{order}"),
        expires_at: "2026-01-31T12:15:00Z".into(),
    };
    event(id, order, data)
}

/// A carrier says where a parcel is.
#[must_use]
pub fn moved(id: &str, order: &str, status: &str) -> Event {
    let (order_id, parcel_id) = (order.to_owned(), "parcel-1".to_owned());
    let data = DeliveryStatusChanged { order_id, parcel_id, status: status.to_owned(), location: None };
    event(id, order, data)
}

/// A carrier says that a parcel was handed over.
#[must_use]
pub fn signed(id: &str, order: &str) -> Event {
    let (order_id, parcel_id) = (order.to_owned(), "parcel-1".to_owned());
    let personal = Signature { signed_by: PERSONAL_VALUES[0].to_owned() };
    event(id, order, SignatureCollected { order_id, parcel_id, personal })
}

/// A provider collected; the token is `token-<order>`.
#[must_use]
pub fn captured(id: &str, order: &str) -> Event {
    let data = PaymentCaptured {
        order_id: order.into(),
        payment_id: PaymentId::of(&order_id(order)).as_str().into(),
        amount: Money { amount_minor: 200, currency: "EUR".into() },
        task_token: format!("{order}.token-{order}"),
        provider_reference: "example-1".into(),
    };
    event(id, order, data)
}

/// A provider could not collect; the token is `token-<order>`.
#[must_use]
pub fn payment_failed(id: &str, order: &str) -> Event {
    let data = PaymentFailed {
        order_id: order.into(),
        payment_id: PaymentId::of(&order_id(order)).as_str().into(),
        task_token: format!("{order}.token-{order}"),
        reason: "card_declined".into(),
    };
    event(id, order, data)
}

/// The event as a rule delivers it. EventBridge's own id is new at every delivery, as it is after a replay.
#[must_use]
pub fn envelope(event: &Event, delivery: u64) -> String {
    let outbound = event.to_outbound().unwrap();
    json!({
        "version": "0",
        "id": format!("bus-{delivery}"),
        "detail-type": outbound.event_type.as_str(),
        "source": outbound.event_type.source(),
        "account": "111122223333",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail_of(&outbound),
    })
    .to_string()
}

/// The CloudEvent that was published.
#[must_use]
pub fn detail_of(outbound: &Outbound) -> Value {
    serde_json::from_str(&outbound.detail).unwrap()
}

/// What the published event says.
#[must_use]
pub fn data_of(outbound: &Outbound) -> Value {
    detail_of(outbound)["data"].clone()
}

/// The types of what was published, in order.
#[must_use]
pub fn types_of(published: &[Outbound]) -> Vec<&'static str> {
    published.iter().map(|outbound| outbound.event_type.as_str()).collect()
}
