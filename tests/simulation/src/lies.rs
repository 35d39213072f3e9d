//! Liars: senders outside who say what they like about any order, as far as a door lets them.
//!
//! There are two doors. A producer signs its requests to event-gateway, which is the deployed function. A partner's account
//! puts events on the bus itself, and is held by the bus policy of `template.yaml` alone. In half of the seeds that policy
//! forgets the types and names the sources alone, so that what lies behind it has to hold: the rules' patterns and `decode`.
//!
//! No liar answers for a payment that is open under its token: the provider that was asked speaks for it. A provider may mistake
//! the token of one order for that of another, and tokens that were used are anybody's.

use contracts::{
    CancellationRequested, Data, DeliveryStatusChanged, EventType, Money, OPEN_SCOPE, OrderCancelled,
    OrderConfirmed, ParcelPickedUp, PaymentCaptured, PaymentFailed, PaymentRequested, Reason,
    RefundRequested, ShipmentDeparted, ShipmentScheduled, Signature, SignatureCollected, StockLine,
    StockReserved, derived_event_id, order_id_of_key,
};
use domain::{EventId, OrderId, PaymentId, ShipmentId};
use fastrand::Rng;
use serde_json::Value;

use crate::workload::{PlannedOrder, customer};

/// A way in which an event from outside is not what an honest sender would have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// About an order that never is.
    NoOrder,
    /// About an order that is not placed yet.
    EarlyOrder,
    /// Under an id of one of Orderbus's events about the order, or of another sender's.
    ClaimedId,
    /// A pick-up of a shipment that is not the order's.
    StrangersShipment,
    /// A pick-up of the order's shipment, whether or not there is one.
    UnseenPickUp,
    /// Money for a payment of which nobody knows the token.
    MadeUpToken,
    /// Money, or none, under a token that was used.
    UsedToken,
    /// Money, or none, under the token of another order, whose payment is open.
    OtherToken,
    /// Money of an amount that nobody asked for.
    OtherAmount,
    /// Money for another order's payment.
    OtherPayment,
    /// A state of delivery, or a signature, of a parcel that nobody sent.
    UnsentParcel,
    /// The same again.
    Twice,
    /// The same id again, and something else under it.
    SecondVersion,
    /// With a mark of a replay, or of an attempt.
    Marked,
    /// Near the limit of an event's size.
    Huge,
    /// With what is no text, no number, or nested a thousand times.
    Unreadable,
    /// At a time that is out of the question.
    OddTime,
    /// As a producer, by an account that is none.
    ClaimedProducer,
    /// Of a type that only Orderbus publishes.
    TypeOfOurs,
    /// An order under the idempotency key of another caller; not an event.
    SharedKey,
    /// One of these that the bus policy or the gateway refused.
    Refused,
    /// One of these that got onto the bus.
    OnTheBus,
}

impl Lie {
    /// All there are.
    pub const ALL: [Self; 22] = [
        Self::NoOrder,
        Self::EarlyOrder,
        Self::ClaimedId,
        Self::StrangersShipment,
        Self::UnseenPickUp,
        Self::MadeUpToken,
        Self::UsedToken,
        Self::OtherToken,
        Self::OtherAmount,
        Self::OtherPayment,
        Self::UnsentParcel,
        Self::Twice,
        Self::SecondVersion,
        Self::Marked,
        Self::Huge,
        Self::Unreadable,
        Self::OddTime,
        Self::ClaimedProducer,
        Self::TypeOfOurs,
        Self::SharedKey,
        Self::Refused,
        Self::OnTheBus,
    ];

    /// In words, of many.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoOrder => "about no order",
            Self::EarlyOrder => "before the order",
            Self::ClaimedId => "under a claimed id",
            Self::StrangersShipment => "of another shipment",
            Self::UnseenPickUp => "of an unseen pick-up",
            Self::MadeUpToken => "under a made-up token",
            Self::UsedToken => "under a used token",
            Self::OtherToken => "under another's token",
            Self::OtherAmount => "of another amount",
            Self::OtherPayment => "of another payment",
            Self::UnsentParcel => "of an unsent parcel",
            Self::Twice => "twice",
            Self::SecondVersion => "in a second version",
            Self::Marked => "marked as replayed",
            Self::Huge => "near 256 KB",
            Self::Unreadable => "unreadable",
            Self::OddTime => "out of time",
            Self::ClaimedProducer => "as a producer",
            Self::TypeOfOurs => "of a type of ours",
            Self::SharedKey => "under a shared key",
            Self::Refused => "refused at the door",
            Self::OnTheBus => "on the bus",
        }
    }
}

/// Through which door a liar speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Signed by this role, at event-gateway.
    Gateway(Who),
    /// From an account of its own.
    Account(Who),
}

/// As whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Carrier,
    Provider,
}

impl Who {
    /// The account of a partner.
    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Carrier => "444455556666",
            Self::Provider => "777788889999",
        }
    }

    /// What the template calls the partners.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Self::Carrier => "CarrierAccounts",
            Self::Provider => "PaymentProviderAccounts",
        }
    }

    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Carrier => "shipping",
            Self::Provider => "payments",
        }
    }

    /// The role that signs at the gateway.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Carrier => "carrier",
            Self::Provider => "provider",
        }
    }
}

/// One thing that a liar says.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) door: Door,
    pub(crate) source: String,
    pub(crate) event_type: EventType,
    pub(crate) event_id: EventId,
    pub(crate) detail: String,
    pub(crate) resources: Vec<String>,
    /// Whom it is about, where that order is, was or will be.
    pub(crate) order: Option<usize>,
    /// What is true of it.
    pub(crate) lies: Vec<Lie>,
}

/// What a liar can see.
pub(crate) struct Seen<'a> {
    pub(crate) planned: &'a [PlannedOrder],
    /// When it is, in milliseconds after the beginning.
    pub(crate) elapsed_ms: i64,
    /// The ids of all events so far.
    pub(crate) event_ids: Vec<EventId>,
    /// The tokens of payments that were asked for.
    pub(crate) tokens: Vec<Token>,
    /// The time of an honest event.
    pub(crate) now: String,
}

/// What checkout gave a provider, to be sent back as `<order id>.<token>`.
pub(crate) struct Token {
    pub(crate) order_id: String,
    pub(crate) token: String,
    /// Its checkout waits for it.
    pub(crate) is_open: bool,
}

/// The types that partners are there to send.
const SENT: [EventType; 5] = [
    EventType::PaymentCaptured,
    EventType::PaymentFailed,
    EventType::ParcelPickedUp,
    EventType::DeliveryStatusChanged,
    EventType::SignatureCollected,
];
/// Types of ours that something would follow from.
const OURS: [EventType; 9] = [
    EventType::OrderConfirmed,
    EventType::OrderCancelled,
    EventType::CancellationRequested,
    EventType::StockReserved,
    EventType::ShipmentDeparted,
    EventType::ShipmentScheduled,
    EventType::PaymentRequested,
    EventType::RefundRequested,
    EventType::OrderPlaced,
];
const ODD_TIMES: [&str; 4] =
    ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z"];
/// As a member of `data`.
const ODD_MEMBERS: [&str; 4] = [r#""cut \ud83d""#, "1e400", "-0.1234567890123456789", r#""\u0000\u001b[2J""#];
const HUGE_BYTES: usize = 200_000;
const DEPTH: usize = 1_000;

/// Something that a liar says now.
pub(crate) fn lie(rng: &mut Rng, seen: &Seen<'_>) -> Statement {
    let mut lies = vec![];
    let order = rng.usize(..=seen.planned.len());
    let order = (order < seen.planned.len()).then_some(order);
    let order_id = match order {
        Some(order) => {
            if seen.planned[order].placed_at_ms > seen.elapsed_ms {
                lies.push(Lie::EarlyOrder);
            }
            seen.planned[order].order_id.clone()
        }
        None => {
            lies.push(Lie::NoOrder);
            order_id_of_key(OPEN_SCOPE, &format!("never-placed-{}", rng.u8(..3)))
        }
    };
    let who = if rng.bool() { Who::Carrier } else { Who::Provider };
    let door = if rng.u8(..3) == 0 { Door::Gateway(who) } else { Door::Account(who) };
    let is_of_ours = rng.u8(..5) == 0;
    let event_type = if is_of_ours {
        lies.push(Lie::TypeOfOurs);
        OURS[rng.usize(..OURS.len())]
    } else {
        let fitting: Vec<EventType> =
            SENT.into_iter().filter(|event_type| event_type.source() == who.source()).collect();
        // Now and then a carrier speaks of money.
        if rng.u8(..10) == 0 { SENT[rng.usize(..SENT.len())] } else { fitting[rng.usize(..fitting.len())] }
    };
    let data = data(rng, seen, event_type, &order_id, order, &mut lies);
    let event_id = event_id(rng, seen, &order_id, &mut lies);
    let time = if rng.u8(..10) == 0 {
        lies.push(Lie::OddTime);
        ODD_TIMES[rng.usize(..ODD_TIMES.len())]
    } else {
        &seen.now
    };
    let producer = if matches!(door, Door::Account(_)) && rng.u8(..8) == 0 {
        lies.push(Lie::ClaimedProducer);
        format!(r#""producer":"{}","#, who.role())
    } else {
        String::new()
    };
    // In the order in which the lake gives back what it keeps.
    let mut detail = format!(
        r#"{{"specversion":"1.0","id":"{event_id}","source":"{}","type":"{}","subject":"{order_id}","time":"{time}","datacontenttype":"application/json","dataschema":"{}",{producer}"data":{data}}}"#,
        event_type.source(),
        event_type.as_str(),
        event_type.schema_id(),
    );
    if rng.u8(..10) == 0 {
        lies.push(Lie::Unreadable);
        let odd = match rng.usize(..=ODD_MEMBERS.len()) {
            0 => format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
            number => ODD_MEMBERS[number - 1].to_owned(),
        };
        detail = detail.replacen(r#""data":{"#, &format!(r#""data":{{"odd":{odd},"#), 1);
    } else if rng.u8(..100) == 0 {
        lies.push(Lie::Huge);
        let odd = "x".repeat(HUGE_BYTES);
        detail = detail.replacen(r#""data":{"#, &format!(r#""data":{{"odd":"{odd}","#), 1);
    }
    // Whoever puts events on the bus itself may name any resources.
    let mut resources = vec![];
    if matches!(door, Door::Account(_)) && rng.u8(..5) == 0 {
        lies.push(Lie::Marked);
        resources = vec!["orderbus:replay/none".to_owned(), "orderbus:attempt/9/9".to_owned()];
    }
    // The source is what the policy and the rules go by. It need not be that of the type.
    let source = if is_of_ours && rng.bool() { who.source() } else { event_type.source() };
    Statement { door, source: source.to_owned(), event_type, event_id, detail, resources, order, lies }
}

/// The same id with something else under it.
pub(crate) fn second_version(statement: &Statement) -> Statement {
    let mut second = statement.clone();
    second.lies = vec![Lie::SecondVersion];
    second.detail = statement.detail.replacen(r#""data":{"#, r#""data":{"second":true,"#, 1);
    second
}

fn event_id(rng: &mut Rng, seen: &Seen<'_>, order_id: &OrderId, lies: &mut Vec<Lie>) -> EventId {
    let id = |text: String| EventId::parse(&text).unwrap_or_else(|_| any_id());
    if rng.u8(..3) == 0 {
        return id(format!("liar-{:x}", rng.u64(..)));
    }
    lies.push(Lie::ClaimedId);
    // The events of an order follow from its id.
    let placed = derived_event_id(&id(order_id.as_str().to_owned()), order_api::NAME, 0);
    let reserved = derived_event_id(&placed, inventory_updater::NAME, 0);
    let requested = id(format!("checkout:{order_id}:payment-requested"));
    let confirmed = id(format!("checkout:{order_id}:order-confirmed"));
    let scheduled = derived_event_id(&confirmed, shipping_notifier::NAME, 0);
    match rng.usize(..12) {
        0 => derived_event_id(&placed, order_placed::NAME, 0),
        1 => reserved,
        2 => derived_event_id(&requested, payment_provider::NAME, 0),
        3 => requested,
        4 => confirmed,
        5 => id(format!("checkout:{order_id}:order-cancelled")),
        6 => id(format!("refund:{}", PaymentId::of(order_id))),
        7 => scheduled,
        8 => derived_event_id(&scheduled, "carrier", 0),
        9 => id(format!("call-off:{order_id}")),
        10 => placed,
        _ if seen.event_ids.is_empty() => placed,
        _ => seen.event_ids[rng.usize(..seen.event_ids.len())].clone(),
    }
}

fn any_id() -> EventId {
    EventId::parse("liar").unwrap_or_else(|error| unreachable!("an id: {error}"))
}

fn data(
    rng: &mut Rng,
    seen: &Seen<'_>,
    event_type: EventType,
    order_id: &OrderId,
    order: Option<usize>,
    lies: &mut Vec<Lie>,
) -> Value {
    let text = order_id.as_str().to_owned();
    let request = order.map(|order| seen.planned[order].request());
    let euro = |amount_minor| Money { amount_minor, currency: "EUR".to_owned() };
    let total = request.as_ref().map_or_else(|| euro(999_999), |request| request.total.clone());
    let shipment_id = ShipmentId::of(order_id).as_str().to_owned();
    let reason = Reason::new("customer_request", "The customer asked for it.");
    let lines = || {
        let lines = request.as_ref().map(|request| request.lines.as_slice()).unwrap_or_default();
        lines.iter().map(|line| StockLine { sku: line.sku.clone(), quantity: line.quantity }).collect()
    };
    let data: Data = match event_type {
        EventType::PaymentCaptured => {
            let (task_token, amount, payment_id) = money(rng, seen, order_id, total, lies);
            let provider_reference = "liar".to_owned();
            PaymentCaptured { order_id: text, payment_id, amount, task_token, provider_reference }.into()
        }
        EventType::PaymentFailed => {
            let (task_token, _, payment_id) = money(rng, seen, order_id, total, lies);
            let reason = "card_declined".to_owned();
            PaymentFailed { order_id: text, payment_id, task_token, reason }.into()
        }
        EventType::ParcelPickedUp => {
            let is_strangers = rng.u8(..4) > 0;
            lies.push(if is_strangers { Lie::StrangersShipment } else { Lie::UnseenPickUp });
            let shipment_id = if is_strangers { "ship-someone-elses".to_owned() } else { shipment_id };
            let (parcel_id, carrier) = ("liars-parcel".to_owned(), "liar".to_owned());
            ParcelPickedUp { order_id: text, shipment_id, parcel_id, carrier }.into()
        }
        EventType::DeliveryStatusChanged => {
            lies.push(Lie::UnsentParcel);
            let status = "delivered".to_owned();
            DeliveryStatusChanged { order_id: text, parcel_id: "P".to_owned(), status, location: None }.into()
        }
        EventType::SignatureCollected => {
            lies.push(Lie::UnsentParcel);
            let personal = Signature { signed_by: "Nobody".to_owned() };
            SignatureCollected { order_id: text, parcel_id: "P".to_owned(), personal }.into()
        }
        EventType::OrderConfirmed => OrderConfirmed {
            order_id: text,
            customer_id: "customer-1".to_owned(),
            lines: request.as_ref().map(|request| request.lines.clone()).unwrap_or_default(),
            total,
            payment_id: PaymentId::of(order_id).as_str().to_owned(),
            personal: customer(),
        }
        .into(),
        EventType::OrderCancelled => OrderCancelled { order_id: text, reason }.into(),
        EventType::CancellationRequested => CancellationRequested { order_id: text, reason }.into(),
        EventType::StockReserved => StockReserved { order_id: text, lines: lines() }.into(),
        EventType::ShipmentDeparted => ShipmentDeparted { order_id: text, shipment_id }.into(),
        EventType::ShipmentScheduled => {
            ShipmentScheduled { order_id: text, shipment_id, lines: lines() }.into()
        }
        EventType::PaymentRequested => PaymentRequested {
            order_id: text,
            payment_id: PaymentId::of(order_id).as_str().to_owned(),
            amount: euro(999_999),
            task_token: "token-of-a-liar".to_owned(),
            expires_at: seen.now.clone(),
        }
        .into(),
        EventType::RefundRequested => RefundRequested {
            order_id: text,
            payment_id: PaymentId::of(order_id).as_str().to_owned(),
            amount: euro(999_999),
            reason,
        }
        .into(),
        _ => match request {
            Some(request) => request.into_order_placed(order_id).into(),
            None => OrderCancelled { order_id: text, reason }.into(),
        },
    };
    serde_json::to_value(&data).unwrap_or_default()
}

/// A token, an amount and a payment: what an answer about money holds.
fn money(
    rng: &mut Rng,
    seen: &Seen<'_>,
    order_id: &OrderId,
    total: Money,
    lies: &mut Vec<Lie>,
) -> (String, Money, String) {
    let is_own = |token: &&Token| token.order_id == order_id.as_str();
    let used = || seen.tokens.iter().filter(|token| !token.is_open);
    // Step Functions does not say which execution a token is of, so that of another order is as good.
    let used = used().find(is_own).or_else(|| used().next());
    let others = seen.tokens.iter().find(|token| token.is_open && !is_own(token));
    let token = match (rng.u8(..4), used, others) {
        (0, _, _) | (_, None, None) => {
            lies.push(Lie::MadeUpToken);
            "token-of-a-liar".to_owned()
        }
        (2.., Some(Token { token, .. }), _) | (1, Some(Token { token, .. }), None) => {
            lies.push(Lie::UsedToken);
            format!("{order_id}.{token}")
        }
        (_, _, Some(Token { order_id, token, .. })) => {
            lies.push(Lie::OtherToken);
            format!("{order_id}.{token}")
        }
    };
    let amount = if rng.bool() {
        total
    } else {
        lies.push(Lie::OtherAmount);
        let amounts = [999_999, total.amount_minor + 1, total.amount_minor - 1];
        Money { amount_minor: amounts[rng.usize(..amounts.len())], ..total }
    };
    let payment_id = if rng.u8(..4) > 0 {
        PaymentId::of(order_id)
    } else {
        lies.push(Lie::OtherPayment);
        match seen.planned {
            [] => PaymentId::of(&order_id_of_key(OPEN_SCOPE, "never-placed-0")),
            planned => PaymentId::of(&planned[rng.usize(..planned.len())].order_id),
        }
    };
    (token, amount, payment_id.as_str().to_owned())
}
