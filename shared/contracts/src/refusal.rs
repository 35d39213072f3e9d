//! Why an event is refused, for programs: one list, from which the reference page is made, too.

/// Defines [`Refusal`] from one table: code, what it means, what to do.
macro_rules! refusals {
    ($($variant:ident = $code:literal, $by:ident, $meaning:literal, $remedy:literal;)+) => {
        /// Why an event is refused. The codes are part of the interface: programs and runbooks name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $(#[doc = $meaning] $variant,)+
        }

        impl Refusal {
            /// All of them, in the order of the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its code, such as `unknown_version`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// Who refuses.
            #[must_use]
            pub fn by(self) -> RefusedBy {
                match self { $(Self::$variant => RefusedBy::$by),+ }
            }

            /// What it means, as a sentence without its full stop.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }

            /// What to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }
    };
}

/// Who refuses an event, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedBy {
    /// event-gateway: the answer of `POST /events` says so, and the event is not on the bus.
    Gateway,
    /// A consumer: the message is in quarantine, and changed nothing.
    Consumer,
    /// dlq-reprocessor, of what could not be delivered or handled: the message is in quarantine.
    Reprocessor,
}

impl RefusedBy {
    /// All of them, in the order of the reference page.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Consumer, Self::Reprocessor];
}

refusals! {
    ForeignSource = "foreign_source", Gateway,
        "The caller does not publish as this source",
        "Ask the platform team for the source (`GatewayProducers`).";
    ForeignType = "foreign_type", Gateway,
        "Only Orderbus publishes this type",
        "Use the API instead: `POST /orders` places an order.";
    IdTaken = "id_taken", Gateway,
        "The producer used this id for another event",
        "Give each event an id of its own, such as a random UUID.";
    NotJson = "not_json", Consumer,
        "The message is no JSON that can be read",
        "Mend the producer and publish again.";
    NotAnEvent = "not_an_event", Consumer,
        "The message is JSON, but no CloudEvent from the bus",
        "Mend the producer and publish again.";
    UnknownType = "unknown_type", Consumer,
        "The catalogue does not have this type",
        "Mend the producer, or deploy the consumer that knows the type and release.";
    UnknownVersion = "unknown_version", Consumer,
        "The catalogue has the type, but not in this version",
        "Deploy the consumer that knows the version and release.";
    NotPermitted = "not_permitted", Consumer,
        "Only Orderbus publishes this type, and the event comes from another sender",
        "Find out who sent it: the lake has its `origin`. Do not release it.";
    SchemaMismatch = "schema_mismatch", Consumer,
        "`data` is not as the type's schema says: its shape or, where another sender says it, a length or a range",
        "Mend the producer and publish again, under an id of its own.";
    InvalidAttribute = "invalid_attribute", Consumer,
        "An attribute of the event, which the reason names, breaks its rule, such as a `time` of another sender that is more than one day ahead",
        "Mend the producer and publish again, under an id of its own.";
    NotSubscribed = "not_subscribed", Consumer,
        "The consumer does not handle this type",
        "Mend the pattern of its rule.";
    ImpossibleData = "impossible_data", Consumer,
        "The event has the right shape and says what cannot be",
        "Mend the producer and publish again, under an id of its own.";
    UnknownShipment = "unknown_shipment", Consumer,
        "A carrier picked up a parcel of an order for which no shipment is scheduled",
        "Ask the carrier what it took.";
    ForeignShipment = "foreign_shipment", Consumer,
        "The parcel's shipment is not the shipment of its order",
        "Ask the carrier to publish it for the right order.";
    ShipmentCancelled = "shipment_cancelled", Consumer,
        "A carrier picked up a parcel of a shipment that was cancelled",
        "Get the parcel back; its stock counts as available.";
    UnknownOrder = "unknown_order", Consumer,
        "The payment names an order that does not exist",
        "Ask the provider what it took money for.";
    PaymentMismatch = "payment_mismatch", Consumer,
        "No such payment was asked for: none at all, or another one, or another amount or currency",
        "Ask the provider what it took; money that it took must be given back there.";
    Refused = "refused", Consumer,
        "A service of AWS refused for good what the consumer asked of it",
        "The reason says which call; mend that and release.";
    ForeignAccount = "foreign_account", Reprocessor,
        "The bus could not take an event of another account, and putting it back would make it one of this account",
        "Ask that account to publish it again.";
    EncryptedEvent = "encrypted_event", Reprocessor,
        "EventBridge could not use the bus's key, so it set the event aside encrypted",
        "Make the key usable, then decrypt the event and publish it (docs/encrypted-events.md). It cannot be released.";
    DeliveriesExhausted = "deliveries_exhausted", Reprocessor,
        "Twelve deliveries failed, over some ten minutes",
        "Mend the cause, which the consumer's logs name; redrive.";
    AttemptsExhausted = "attempts_exhausted", Reprocessor,
        "All redrives failed, too",
        "Mend the cause, which the consumer's logs name; release.";
    UnknownTarget = "unknown_target", Reprocessor,
        "The message was for a target that this stack does not have",
        "Deploy the target; release.";
    CannotBeSent = "cannot_be_sent", Reprocessor,
        "The target refuses the message for good",
        "The reason says which call failed; mend that and release.";
    Undelivered = "undelivered", Reprocessor,
        "EventBridge could not deliver it, and does not say why. Where it says so, its own code stands here, such as NO_PERMISSIONS",
        "Mend the permission or the target; redrive the queue `undelivered`.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_means_one_thing() {
        let codes: BTreeSet<&str> = Refusal::ALL.iter().map(|one| one.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        for one in Refusal::ALL {
            assert!(one.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{one:?}");
            assert!(!one.meaning().ends_with('.') && one.remedy().ends_with('.'), "{one:?}");
        }
    }
}
