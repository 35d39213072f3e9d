use std::fmt;

/// An identifier that is empty, too long, or has a character outside its alphabet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 1 to {length_max} characters of {alphabet}")]
pub struct InvalidId {
    kind: &'static str,
    length_max: usize,
    alphabet: &'static str,
}

/// Defines an identifier: a string that was checked once, where it came in.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length_max:literal, $alphabet:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The most characters that it has.
            pub const LENGTH_MAX: usize = $length_max;

            /// Checks the text once.
            ///
            /// # Errors
            /// [`InvalidId`] when the text is empty, too long, or has a character outside the alphabet.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > Self::LENGTH_MAX || !text.bytes().all(allowed) {
                    return Err(InvalidId { kind: $kind, length_max: Self::LENGTH_MAX, alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }

            /// The text as it came in.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

identifier!(
    /// Names one order for ever. Derived from the caller's idempotency key by `order-api`.
    OrderId, "orderId", 64, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// Names a customer in the seller's own systems; not an e-mail address.
    CustomerId, "customerId", 64, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// A stock keeping unit: what inventory counts.
    Sku, "sku", 64, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// Names a shipment: one an order.
    ShipmentId, "shipmentId", 80, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// Names one parcel on its way, as its carrier does.
    ParcelId, "parcelId", 64, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// Names one payment request: one an order.
    PaymentId, "paymentId", 80, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// Names one message that was set aside.
    QuarantineId, "quarantineId", 64, "letters, digits, '-', '_' and '.'", name_byte
);
identifier!(
    /// The `id` of an event: the same however often the event is delivered.
    EventId, "id", 256, "visible ASCII", |byte| byte.is_ascii_graphic()
);

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An order.
    Order(OrderId),
    /// A message that was set aside.
    Quarantined(QuarantineId),
}

impl Subject {
    /// The identifier, whatever it names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Order(order_id) => order_id.as_str(),
            Self::Quarantined(quarantine_id) => quarantine_id.as_str(),
        }
    }
}

impl From<OrderId> for Subject {
    fn from(order_id: OrderId) -> Self {
        Self::Order(order_id)
    }
}

impl From<QuarantineId> for Subject {
    fn from(quarantine_id: QuarantineId) -> Self {
        Self::Quarantined(quarantine_id)
    }
}

impl ShipmentId {
    /// The one shipment of an order. Stable, so that a repeated notice can be recognised.
    #[must_use]
    pub fn of(order_id: &OrderId) -> Self {
        Self(format!("ship-{order_id}").into())
    }
}

impl PaymentId {
    /// The one payment request of an order. Stable, so that a provider charges once.
    #[must_use]
    pub fn of(order_id: &OrderId) -> Self {
        Self(format!("pay-{order_id}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_keeps_its_text() {
        assert_eq!(Sku::parse("MUG-BLUE_0.5").unwrap().as_str(), "MUG-BLUE_0.5");
    }

    #[test]
    fn empty_long_and_foreign_text_is_refused() {
        for text in ["", " ", "a b", "naïve", "a/b", "x#y", &"a".repeat(65)] {
            assert!(Sku::parse(text).is_err(), "{text:?}");
        }
        assert!(Sku::parse(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn the_error_says_what_is_allowed() {
        assert_eq!(
            OrderId::parse("").unwrap_err().to_string(),
            "orderId must be 1 to 64 characters of letters, digits, '-', '_' and '.'"
        );
    }

    #[test]
    fn derived_ids_of_the_longest_order_id_parse() {
        let order_id = OrderId::parse(&"a".repeat(64)).unwrap();
        assert!(ShipmentId::parse(ShipmentId::of(&order_id).as_str()).is_ok());
        assert!(PaymentId::parse(PaymentId::of(&order_id).as_str()).is_ok());
    }
}
