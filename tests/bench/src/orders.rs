//! Events as a shop would have them: orders of customers, who differ, through all that happens to an order. Decided by a
//! seed.

use std::collections::VecDeque;

use contracts::{
    Cause, Data, DeliveryStatusChanged, Event, Line, Money, OPEN_SCOPE, OrderAccepted, OrderCancelled,
    OrderConfirmed, OrderPlaced, ParcelPickedUp, PaymentCaptured, PaymentFailed, PaymentRequested, Personal,
    Reason, ShipmentDeparted, ShipmentScheduled, Shortage, Signature, SignatureCollected, StockLine,
    StockRejected, StockReleased, StockReserved, format_timestamp, order_id_of_key,
};
use domain::{EventId, OrderId, PaymentId, ShipmentId, Subject, Timestamp};
use fastrand::Rng;

/// How many orders are under way at once: their events are mixed.
const ORDERS_AT_ONCE: usize = 200;
/// How many different products there are.
const SKUS: usize = 2_000;

/// Events without end, as the bus hands them to a queue, in about the order in which they happen.
pub(crate) struct Shop {
    random: Rng,
    under_way: Vec<VecDeque<Event>>,
    orders: u64,
    now_ms: i64,
    events_per_second: u32,
}

impl Shop {
    pub(crate) fn new(seed: u64, events_per_second: u32) -> Self {
        // 2026-01-31T12:00:00Z.
        let now_ms = 1_769_860_800_000;
        Self { random: Rng::with_seed(seed), under_way: vec![], orders: 0, now_ms, events_per_second }
    }

    /// The envelope of the next event.
    pub(crate) fn next_message(&mut self) -> anyhow::Result<String> {
        self.now_ms += i64::from(self.random.u32(0..=2_000 / self.events_per_second.max(1)));
        while self.under_way.len() < ORDERS_AT_ONCE {
            let order = self.order()?;
            self.under_way.push(order);
        }
        let index = self.random.usize(..self.under_way.len());
        let event = self.under_way[index].pop_front();
        if self.under_way[index].is_empty() {
            self.under_way.swap_remove(index);
        }
        let Some(mut event) = event else { return self.next_message() };
        event.time = Timestamp::from_unix_ms(self.now_ms);
        let outbound = event.to_outbound()?;
        let bus_id = self.uuid();
        let (detail_type, source) = (outbound.event_type.as_str(), outbound.event_type.source());
        let second = &format_timestamp(event.time)[..19];
        Ok(format!(
            r#"{{"version":"0","id":"{bus_id}","detail-type":"{detail_type}","source":"{source}","account":"111122223333","time":"{second}Z","region":"eu-central-1","resources":[],"detail":{}}}"#,
            outbound.detail
        ))
    }

    /// All that happens to one order.
    fn order(&mut self) -> anyhow::Result<VecDeque<Event>> {
        self.orders += 1;
        let key = format!("order-{}-{}", self.orders, self.random.u64(..));
        let order_id = order_id_of_key(OPEN_SCOPE, &key);
        let id = order_id.as_str().to_owned();
        let lines: Vec<Line> = (0..=self.random.usize(..4)).map(|_| self.line()).collect();
        let stock: Vec<StockLine> =
            lines.iter().map(|line| StockLine { sku: line.sku.clone(), quantity: line.quantity }).collect();
        let minor = lines.iter().map(|line| line.quantity * line.unit_price.amount_minor).sum();
        let total = Money { amount_minor: minor, currency: "EUR".to_owned() };
        let personal = self.personal();
        let customer_id = format!("c-{}", self.random.u32(1..400_000));
        let payment_id = PaymentId::of(&order_id).as_str().to_owned();
        let shipment_id = ShipmentId::of(&order_id).as_str().to_owned();
        let task_token = self.task_token();
        let placed = OrderPlaced {
            order_id: id.clone(),
            customer_id: customer_id.clone(),
            lines: lines.clone(),
            total: total.clone(),
            personal: personal.clone(),
        };
        let accepted = OrderAccepted {
            order_id: id.clone(),
            customer_id: customer_id.clone(),
            lines: lines.clone(),
            total: total.clone(),
        };
        let mut all: Vec<Data> = vec![placed.into(), accepted.into()];
        let cancelled =
            |code: &str, text: &str| OrderCancelled { order_id: id.clone(), reason: Reason::new(code, text) };
        let fate = self.random.u32(..100);
        if fate < 3 {
            let sku = lines.first().map(|line| line.sku.clone()).unwrap_or_default();
            let shortages = vec![Shortage { sku, requested: 3, available: self.random.u64(..3) }];
            all.push(StockRejected { order_id: id.clone(), shortages }.into());
            all.push(cancelled("out_of_stock", "not all of it is in stock").into());
            return self.caused(&order_id, all);
        }
        all.push(StockReserved { order_id: id.clone(), lines: stock.clone() }.into());
        let expires_at = format_timestamp(Timestamp::from_unix_ms(self.now_ms + 900_000));
        all.push(
            PaymentRequested {
                order_id: id.clone(),
                payment_id: payment_id.clone(),
                amount: total.clone(),
                task_token: task_token.clone(),
                expires_at,
            }
            .into(),
        );
        if fate < 10 {
            let reason = "card_declined".to_owned();
            all.push(PaymentFailed { order_id: id.clone(), payment_id, task_token, reason }.into());
            all.push(cancelled("payment_failed", "the payment failed: card_declined").into());
            all.push(StockReleased { order_id: id.clone(), lines: stock }.into());
            return self.caused(&order_id, all);
        }
        let provider_reference = format!("psp-{:016x}", self.random.u64(..));
        all.push(
            PaymentCaptured {
                order_id: id.clone(),
                payment_id: payment_id.clone(),
                amount: total.clone(),
                task_token,
                provider_reference,
            }
            .into(),
        );
        all.push(
            OrderConfirmed {
                order_id: id.clone(),
                customer_id,
                lines,
                total,
                payment_id,
                personal: personal.clone(),
            }
            .into(),
        );
        all.push(
            ShipmentScheduled { order_id: id.clone(), shipment_id: shipment_id.clone(), lines: stock }.into(),
        );
        let parcel_id = format!("JD{:018}", self.random.u64(..1_000_000_000_000_000_000));
        let carrier = ["dhl", "ups", "gls", "post"][self.random.usize(..4)].to_owned();
        all.push(
            ParcelPickedUp {
                order_id: id.clone(),
                shipment_id: shipment_id.clone(),
                parcel_id: parcel_id.clone(),
                carrier,
            }
            .into(),
        );
        all.push(ShipmentDeparted { order_id: id.clone(), shipment_id }.into());
        for status in ["in_transit", "out_for_delivery", "delivered"] {
            let location = Some(personal.city.clone());
            all.push(
                DeliveryStatusChanged {
                    order_id: id.clone(),
                    parcel_id: parcel_id.clone(),
                    status: status.to_owned(),
                    location,
                }
                .into(),
            );
        }
        let signature = Signature { signed_by: personal.name };
        all.push(SignatureCollected { order_id: id.clone(), parcel_id, personal: signature }.into());
        self.caused(&order_id, all)
    }

    /// One event after the other, each caused by the one before it.
    fn caused(&mut self, order_id: &OrderId, all: Vec<Data>) -> anyhow::Result<VecDeque<Event>> {
        let subject = Subject::from(order_id.clone());
        let traceparent = Some(format!("00-{:032x}-{:016x}-01", self.random.u128(..), self.random.u64(..)));
        let mut cause = Cause {
            event_id: EventId::parse(&self.uuid())?,
            correlation_id: order_id.as_str().to_owned(),
            traceparent,
        };
        let mut events = VecDeque::new();
        for data in all {
            let at = Timestamp::from_unix_ms(self.now_ms);
            let event = Event::caused_by(&cause, "bench", 0, &subject, at, data);
            cause = event.cause();
            events.push_back(event);
        }
        Ok(events)
    }

    fn line(&mut self) -> Line {
        // Few products are bought often, most of them rarely.
        let number = (self.random.f64().powi(3) * SKUS as f64) as usize;
        let unit_price =
            Money { amount_minor: 199 + (number as i64 * 7_919) % 20_000, currency: "EUR".to_owned() };
        Line { sku: format!("SKU-{:05}", number * 37), quantity: self.random.i64(1..=3), unit_price }
    }

    fn personal(&mut self) -> Personal {
        let (first, last) = (self.word(2), self.word(3));
        Personal {
            name: format!("{first} {last}"),
            email: format!(
                "{}.{}{}@example.com",
                first.to_lowercase(),
                last.to_lowercase(),
                self.random.u16(..999)
            ),
            phone: self.random.bool().then(|| {
                format!("+49 {} {}", self.random.u16(30..999), self.random.u32(1_000_000..9_999_999))
            }),
            street: format!("{} {}", self.word(4), self.random.u8(1..200)),
            city: self.word(3),
            postal_code: format!("{:05}", self.random.u32(1_000..99_999)),
            country: ["DE", "AT", "NL", "FR"][self.random.usize(..4)].to_owned(),
        }
    }

    /// A name of so many syllables.
    fn word(&mut self, syllables: usize) -> String {
        const SYLLABLES: [&str; 24] = [
            "an", "ber", "ca", "dor", "el", "fin", "gra", "hei", "im", "jo", "ka", "lin", "ma", "nor", "ol",
            "pe", "ri", "sta", "tom", "ul", "ver", "wil", "ya", "zen",
        ];
        let word: String = (0..syllables).map(|_| SYLLABLES[self.random.usize(..SYLLABLES.len())]).collect();
        word[..1].to_uppercase() + &word[1..]
    }

    /// As long as those of Step Functions, and as random.
    fn task_token(&mut self) -> String {
        let token: String = (0..620).map(|_| self.random.alphanumeric()).collect();
        format!("AQCkAAAAKgAAAAMAAAAAAAAAA{token}==")
    }

    fn uuid(&mut self) -> String {
        let text = format!("{:032x}", self.random.u128(..));
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}
