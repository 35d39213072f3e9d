//! What a publisher has to keep to. A listener is more tolerant: an order that breaks rules is an event all the same,
//! and is rejected with reasons.

use std::ops::RangeInclusive;

use crate::data::{
    CancellationRequested, DeliveryStatusChanged, EventQuarantined, OrderAccepted, OrderCancelled,
    OrderConfirmed, OrderPlaced, OrderRejected, ParcelPickedUp, PaymentCaptured, PaymentFailed,
    PaymentRequested, RefundRequested, ShipmentCancelled, ShipmentDeparted, ShipmentScheduled,
    SignatureCollected, StockRejected, StockReleased, StockReserved,
};
use crate::parts::{Line, Money, Reason, Shortage, Signature, StockLine};
use crate::texts::{self, Text};

/// What is in an event.
pub(crate) trait Check {
    /// Notes everything that is not as its schema says.
    fn check(&self, checker: &mut Checker);
}

/// Notes what is wrong, and where.
pub(crate) struct Checker {
    path: String,
    reasons: Vec<Reason>,
}

impl Checker {
    /// Paths begin with this.
    pub(crate) fn at(path: &str) -> Self {
        Self { path: path.to_owned(), reasons: Vec::new() }
    }

    /// Everything that was noted.
    pub(crate) fn into_reasons(self) -> Vec<Reason> {
        self.reasons
    }

    /// A text of this kind.
    pub(crate) fn text<T: Text>(&mut self, field: &str, text: &str) {
        if !T::allows(text) {
            self.note(field, "invalid_text", format!("must be {}", T::rule()));
        }
    }

    fn optional_text<T: Text>(&mut self, field: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text::<T>(field, text);
        }
    }

    fn number<N: PartialOrd + std::fmt::Display>(
        &mut self,
        field: &str,
        number: N,
        range: RangeInclusive<N>,
    ) {
        if !range.contains(&number) {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.note(field, "out_of_range", message);
        }
    }

    fn quantity(&mut self, field: &str, quantity: i64) {
        self.number(field, quantity, 1..=domain::Quantity::MAX.into());
    }

    fn part(&mut self, field: &str, part: &impl Check) {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(field);
        part.check(self);
        self.path.truncate(length);
    }

    fn each(&mut self, field: &str, parts: &[impl Check], count_max: usize) {
        if !(1..=count_max).contains(&parts.len()) {
            self.note(field, "count", format!("must have 1 to {count_max} entries"));
        }
        // Beyond the limit the count is what is wrong; the rest is not read.
        for (index, part) in parts.iter().take(count_max).enumerate() {
            self.part(&format!("{field}[{index}]"), part);
        }
    }

    fn lines(&mut self, field: &str, parts: &[impl Check]) {
        self.each(field, parts, domain::Order::LINES_MAX);
    }

    /// What the domain found, which names fields as they are in `data`.
    fn violations(&mut self, violations: domain::Violations) {
        for violation in violations.into_vec() {
            self.note(&violation.field, violation.code, violation.message);
        }
    }

    fn order(&mut self, customer_id: &str, lines: &[Line], total: &Money, order_id: &str) {
        self.text::<texts::OrderId>("orderId", order_id);
        // Which order it is does not matter to the rules, and was looked at.
        let order_id = domain::OrderId::parse(order_id).or_else(|_| domain::OrderId::parse("unknown"));
        let draft = domain::OrderDraft {
            customer_id,
            lines: lines.iter().map(Line::draft).collect(),
            total: total.draft(),
        };
        if let Some(violations) = order_id.ok().and_then(|id| domain::Order::parse(id, &draft).err()) {
            self.violations(violations);
        }
    }

    fn note(&mut self, field: &str, code: &str, message: String) {
        let field = Some(format!("{}.{field}", self.path).trim_start_matches('.').to_owned());
        self.reasons.push(Reason { code: code.to_owned(), field, message });
    }
}

impl Check for Money {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::Currency>("currency", &self.currency);
        checker.number("amountMinor", self.amount_minor, 0..=texts::EXACT_MAX.cast_signed());
    }
}

impl Check for StockLine {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::Sku>("sku", &self.sku);
        checker.quantity("quantity", self.quantity);
    }
}

impl Check for Shortage {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::Sku>("sku", &self.sku);
        checker.quantity("requested", self.requested);
        checker.number("available", self.available, 0..=texts::EXACT_MAX);
    }
}

impl Check for Reason {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::Code>("code", &self.code);
        checker.optional_text::<texts::Words<{ texts::FIELD_LENGTH_MAX }>>("field", self.field.as_deref());
        checker.text::<texts::Words<{ texts::MESSAGE_LENGTH_MAX }>>("message", &self.message);
    }
}

impl Check for Signature {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::Words<200>>("signedBy", &self.signed_by);
    }
}

impl Check for OrderPlaced {
    fn check(&self, checker: &mut Checker) {
        checker.order(&self.customer_id, &self.lines, &self.total, &self.order_id);
        if let Err(violations) = self.personal.parse() {
            checker.violations(violations);
        }
    }
}

impl Check for OrderAccepted {
    fn check(&self, checker: &mut Checker) {
        checker.order(&self.customer_id, &self.lines, &self.total, &self.order_id);
    }
}

impl Check for OrderRejected {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.each("reasons", &self.reasons, texts::REASONS_MAX);
    }
}

impl Check for CancellationRequested {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.part("reason", &self.reason);
    }
}

impl Check for OrderConfirmed {
    fn check(&self, checker: &mut Checker) {
        checker.order(&self.customer_id, &self.lines, &self.total, &self.order_id);
        checker.text::<texts::PaymentId>("paymentId", &self.payment_id);
        if let Err(violations) = self.personal.parse() {
            checker.violations(violations);
        }
    }
}

impl Check for OrderCancelled {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.part("reason", &self.reason);
    }
}

impl Check for StockReserved {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.lines("lines", &self.lines);
    }
}

impl Check for StockRejected {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.lines("shortages", &self.shortages);
    }
}

impl Check for StockReleased {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.lines("lines", &self.lines);
    }
}

impl Check for PaymentRequested {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::PaymentId>("paymentId", &self.payment_id);
        checker.part("amount", &self.amount);
        checker.text::<texts::TaskToken>("taskToken", &self.task_token);
        checker.text::<texts::Time>("expiresAt", &self.expires_at);
    }
}

impl Check for PaymentCaptured {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::PaymentId>("paymentId", &self.payment_id);
        checker.part("amount", &self.amount);
        checker.text::<texts::TaskToken>("taskToken", &self.task_token);
        checker.text::<texts::Words<256>>("providerReference", &self.provider_reference);
    }
}

impl Check for PaymentFailed {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::PaymentId>("paymentId", &self.payment_id);
        checker.text::<texts::TaskToken>("taskToken", &self.task_token);
        checker.text::<texts::Words<200>>("reason", &self.reason);
    }
}

impl Check for RefundRequested {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::PaymentId>("paymentId", &self.payment_id);
        checker.part("amount", &self.amount);
        checker.part("reason", &self.reason);
    }
}

impl Check for ShipmentScheduled {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ShipmentId>("shipmentId", &self.shipment_id);
        checker.lines("lines", &self.lines);
    }
}

impl Check for ShipmentCancelled {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ShipmentId>("shipmentId", &self.shipment_id);
    }
}

impl Check for ShipmentDeparted {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ShipmentId>("shipmentId", &self.shipment_id);
    }
}

impl Check for ParcelPickedUp {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ShipmentId>("shipmentId", &self.shipment_id);
        checker.text::<texts::ParcelId>("parcelId", &self.parcel_id);
        checker.text::<texts::Words<100>>("carrier", &self.carrier);
    }
}

impl Check for DeliveryStatusChanged {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ParcelId>("parcelId", &self.parcel_id);
        checker.text::<texts::Code>("status", &self.status);
        checker.optional_text::<texts::Words<100>>("location", self.location.as_deref());
    }
}

impl Check for SignatureCollected {
    fn check(&self, checker: &mut Checker) {
        checker.text::<texts::OrderId>("orderId", &self.order_id);
        checker.text::<texts::ParcelId>("parcelId", &self.parcel_id);
        checker.part("personal", &self.personal);
    }
}

impl Check for EventQuarantined {
    fn check(&self, checker: &mut Checker) {
        type Name = texts::Words<{ texts::NAME_LENGTH_MAX }>;
        checker.text::<texts::QuarantineId>("quarantineId", &self.quarantine_id);
        checker.text::<Name>("consumer", &self.consumer);
        checker.text::<Name>("reasonCode", &self.reason_code);
        checker.text::<texts::Words<{ texts::MESSAGE_LENGTH_MAX }>>("reason", &self.reason);
        checker.text::<texts::Time>("firstFailedAt", &self.first_failed_at);
        checker.text::<texts::Time>("lastFailedAt", &self.last_failed_at);
        checker.optional_text::<texts::EventId>("messageEventId", self.message_event_id.as_deref());
        checker.optional_text::<Name>("messageEventType", self.message_event_type.as_deref());
        checker.optional_text::<texts::OrderId>("orderId", self.order_id.as_deref());
    }
}
