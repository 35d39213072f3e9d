use contracts::{
    CancellationRequested, Data, Event, EventType, Line, Money, OPEN_SCOPE, OrderRequest, Outbound,
    ParcelPickedUp, PaymentCaptured, PaymentRequested, Personal, Reason, derived_event_id, order_id_of_key,
};
use domain::{EventId, Order, OrderId, ShipmentId, Timestamp};
use fastrand::Rng;
use serde::Deserialize;

/// A SKU of which there is enough for everyone.
pub(crate) const PLENTY: &str = "PLENTY";
/// A second one.
pub(crate) const AMPLE: &str = "AMPLE";
/// A SKU of which there is too little for all who want it.
pub(crate) const SCARCE: &str = "SCARCE";
/// A SKU of which there is nothing.
pub(crate) const SOLD_OUT: &str = "SOLD-OUT";

/// What is in stock at the beginning.
pub const STOCK: [(&str, u64); 4] = [(PLENTY, 1_000), (AMPLE, 1_000), (SCARCE, 2), (SOLD_OUT, 0)];

/// The way that an order is to go while nobody calls it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Paid and sent.
    Shipped,
    /// Paid, sent, and picked up by a carrier.
    PickedUp,
    /// There is none.
    OutOfStock,
    /// There may be none.
    Contended,
    /// The card is declined.
    Declined,
    /// Nobody answers for the money.
    Unpaid,
    /// The money comes after the end.
    PaidTooLate,
    /// The wrong amount comes.
    PaidWrongly,
    /// It breaks rules, and whoever sent it went past the API.
    Broken,
}

impl Way {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Shipped,
        Self::PickedUp,
        Self::OutOfStock,
        Self::Contended,
        Self::Declined,
        Self::Unpaid,
        Self::PaidTooLate,
        Self::PaidWrongly,
        Self::Broken,
    ];
}

/// How an order is called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOff {
    /// By `POST /orders/{id}/cancel`, repeated until it is answered.
    Api,
    /// By an event that someone else publishes, perhaps before the order is known.
    Event,
}

impl CallOff {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Api, Self::Event];
}

/// When something outside is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds after the beginning.
    AtMs(i64),
    /// When the scheduler has taken so many steps.
    AtStep(u64),
}

/// How long someone outside takes to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// So many milliseconds.
    Ms(i64),
    /// Until the checkout waits no longer.
    UntilTheTimeOut,
}

/// One order and all that people do about it.
#[derive(Debug, Clone)]
pub struct PlannedOrder {
    /// Its idempotency key.
    pub key: String,
    /// The role that signs its request; nobody where the API is open.
    pub caller: Option<&'static str>,
    /// Follows from the key.
    pub order_id: OrderId,
    /// How it is to go.
    pub way: Way,
    /// When it is placed, in milliseconds after the beginning.
    pub placed_at_ms: i64,
    /// Whether, how and when it is called off.
    pub call_off: Option<(CallOff, When)>,
    /// Whether it has as many lines as an order may have.
    pub is_large: bool,
}

impl PlannedOrder {
    /// An order of this way, placed at the beginning.
    #[must_use]
    pub fn new(key: String, way: Way) -> Self {
        let order_id = order_id_of_key(OPEN_SCOPE, &key);
        Self { order_id, key, caller: None, way, placed_at_ms: 0, call_off: None, is_large: false }
    }

    /// The same, placed by somebody else under this key.
    #[must_use]
    pub fn placed_by(self, caller: &'static str, key: String) -> Self {
        let order_id = order_id_of_key(&format!("arn:aws:iam::111122223333:role/{caller}"), &key);
        Self { order_id, key, caller: Some(caller), ..self }
    }

    /// True when nothing but the order's way decides its end.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.call_off.is_none() && self.way != Way::Contended
    }

    /// The event of an order that the API would have refused.
    #[must_use]
    pub fn placed_past_the_api(&self, at: Timestamp) -> Outbound {
        self.publish("past-the-api", at, self.request().into_order_placed(&self.order_id).into())
    }

    /// The event that calls it off.
    #[must_use]
    pub fn called_off(&self, at: Timestamp) -> Outbound {
        let data = CancellationRequested {
            order_id: self.order_id.as_str().to_owned(),
            reason: Reason::new("customer_request", "The customer asked for it."),
        };
        self.publish("call-off", at, data.into())
    }

    fn publish(&self, who: &str, at: Timestamp, data: Data) -> Outbound {
        self.event(&format!("{who}:{}", self.order_id), None, at, data)
    }

    /// What a carrier, or a provider where the example provider is silent, publishes when it hears this event.
    #[must_use]
    pub fn answer(&self, event_type: EventType, detail: &str) -> Option<(Outbound, Delay)> {
        let heard: Heard = serde_json::from_str(detail).ok()?;
        if heard.subject != self.order_id.as_str() {
            return None;
        }
        let cause = EventId::parse(&heard.id).ok()?;
        let (who, data, delay): (_, Data, _) = match (event_type, self.way) {
            (EventType::ShipmentScheduled, Way::PickedUp) => {
                ("carrier", self.picked_up().into(), Delay::Ms(500))
            }
            (EventType::PaymentRequested, Way::PaidTooLate) => {
                ("provider", captured(heard.data, 0)?.into(), Delay::UntilTheTimeOut)
            }
            (EventType::PaymentRequested, Way::PaidWrongly) => {
                ("provider", captured(heard.data, -1)?.into(), Delay::Ms(700))
            }
            _ => return None,
        };
        let id = derived_event_id(&cause, who, 0);
        Some((self.event(id.as_str(), Some(cause), Timestamp::from_unix_ms(1_769_860_800_000), data), delay))
    }

    fn picked_up(&self) -> ParcelPickedUp {
        ParcelPickedUp {
            order_id: self.order_id.as_str().to_owned(),
            shipment_id: ShipmentId::of(&self.order_id).as_str().to_owned(),
            parcel_id: format!("parcel-{}", self.order_id),
            carrier: "example-parcel".to_owned(),
        }
    }

    fn event(&self, id: &str, causation_id: Option<EventId>, time: Timestamp, data: Data) -> Outbound {
        let event = EventId::parse(id).map(|id| Event {
            id,
            subject: self.order_id.clone().into(),
            time,
            correlation_id: self.order_id.as_str().to_owned(),
            causation_id,
            traceparent: None,
            data,
        });
        match event.map(|event| event.to_outbound()) {
            Ok(Ok(event)) => event,
            problem => unreachable!("an event of the simulation: {problem:?}"),
        }
    }

    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> OrderRequest {
        if self.is_large {
            let skus: Vec<String> = (1..=Order::LINES_MAX).map(|number| format!("BULK-{number}")).collect();
            let lines: Vec<(&str, i64)> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
            return order_of(&lines, 0, false);
        }
        let (lines, odd_cents): (&[(&str, i64)], i64) = match self.way {
            Way::Shipped | Way::PickedUp | Way::Broken => (&[(PLENTY, 2), (AMPLE, 1)], 0),
            Way::OutOfStock => (&[(PLENTY, 1), (SOLD_OUT, 1)], 0),
            Way::Contended => (&[(SCARCE, 1), (PLENTY, 1)], 0),
            Way::Declined => (&[(PLENTY, 1)], 13),
            Way::Unpaid | Way::PaidTooLate | Way::PaidWrongly => (&[(AMPLE, 1)], 17),
        };
        order_of(lines, odd_cents, self.way == Way::Broken)
    }
}

#[derive(Deserialize)]
struct Heard {
    id: String,
    subject: String,
    data: serde_json::Value,
}

fn captured(request: serde_json::Value, surplus_minor: i64) -> Option<PaymentCaptured> {
    let request: PaymentRequested = serde_json::from_value(request).ok()?;
    Some(PaymentCaptured {
        order_id: request.order_id,
        payment_id: request.payment_id,
        amount: Money {
            amount_minor: request.amount.amount_minor + surplus_minor,
            currency: request.amount.currency,
        },
        task_token: request.task_token,
        provider_reference: "odd".to_owned(),
    })
}

fn order_of(lines: &[(&str, i64)], odd_cents: i64, is_broken: bool) -> OrderRequest {
    let money = |amount_minor| Money { amount_minor, currency: "EUR".to_owned() };
    let priced = |(sku, quantity): &(&str, i64)| Line {
        sku: (*sku).to_owned(),
        quantity: *quantity,
        unit_price: money(1_000 + odd_cents),
    };
    let lines: Vec<Line> = lines.iter().map(priced).collect();
    let total: i64 = lines.iter().map(|line| line.quantity * line.unit_price.amount_minor).sum();
    OrderRequest {
        customer_id: "customer-1".to_owned(),
        lines,
        total: money(total + i64::from(is_broken)),
        personal: customer(),
    }
}

/// The customer of every order.
pub(crate) fn customer() -> Personal {
    Personal {
        name: "Ada Example".to_owned(),
        email: "ada@example.com".to_owned(),
        phone: None,
        street: "1 Analytical Row".to_owned(),
        city: "London".to_owned(),
        postal_code: "N1 9GU".to_owned(),
        country: "GB".to_owned(),
    }
}

/// Orders by the seed: some of every way, some of them called off.
#[must_use]
pub(crate) fn orders(rng: &mut Rng, count: usize) -> Vec<PlannedOrder> {
    let mut order = |number: usize| {
        let way = *rng.choice(Way::ALL.iter()).unwrap_or(&Way::Shipped);
        let mut order = PlannedOrder::new(format!("simulated-{number}"), way);
        order.placed_at_ms = rng.i64(0..2_000);
        order.is_large = matches!(way, Way::Shipped | Way::PickedUp) && rng.u8(..100) == 0;
        if order.is_large {
            order.key.push_str("-large");
            order.order_id = order_id_of_key(OPEN_SCOPE, &order.key);
        }
        if rng.f64() < 0.3 {
            let how = if rng.bool() { CallOff::Api } else { CallOff::Event };
            order.call_off = Some((how, When::AtMs(rng.i64(0..6_000))));
        }
        order
    };
    let mut orders: Vec<PlannedOrder> = (0..count).map(&mut order).collect();
    // Some have the key of another, from another caller.
    for index in (1..count).step_by(2).filter(|_| rng.u8(..4) == 0).collect::<Vec<_>>() {
        let key = orders[index - 1].key.clone();
        orders[index] = orders[index].clone().placed_by("marketplace", key);
    }
    orders
}
