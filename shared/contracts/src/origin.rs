use std::fmt;

use domain::EventId;
use uuid::Uuid;

use crate::data::EventType;
use crate::event::{NAMESPACE, id_of_uuid};

/// Who put an event on the bus, as far as no sender can choose it.
///
/// It comes from the envelope's `account`, which EventBridge sets
/// (<https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>), and, for events from the account of
/// the bus, from the CloudEvents extension `producer`, which event-gateway sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A function of the bus's own account.
    Own,
    /// A caller of event-gateway, by the name that the gateway gives it.
    Producer(String),
    /// Another AWS account, by its number.
    Account(String),
}

impl Origin {
    /// The longest name of a producer, in characters.
    pub const PRODUCER_LENGTH_MAX: usize = 64;
    /// The extension in which event-gateway names its caller.
    pub const PRODUCER_EXTENSION: &str = "producer";

    /// The origin of an event whose envelope says `account` and whose CloudEvent says `producer`.
    ///
    /// `own_account` is the account of the bus. Without it, or without an `account` in the envelope, the event counts as
    /// one of the bus's own account. What another account says of a producer is ignored.
    #[must_use]
    pub fn of(account: Option<&str>, own_account: Option<&str>, producer: Option<&str>) -> Self {
        match (account, own_account, producer) {
            (Some(account), Some(own), _) if account != own => Self::Account(account.to_owned()),
            (_, _, Some(producer)) if is_producer_name(producer) => Self::Producer(producer.to_owned()),
            (_, _, Some(_)) => Self::Producer("unreadable".to_owned()),
            (_, _, None) => Self::Own,
        }
    }

    /// Reads what [`Origin`] displays.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "own" => Some(Self::Own),
            Some(("producer", name)) if is_producer_name(name) => Some(Self::Producer(name.to_owned())),
            Some(("account", number)) if !number.is_empty() => Some(Self::Account(number.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Producer(name) => write!(f, "producer:{name}"),
            Self::Account(number) => write!(f, "account:{number}"),
        }
    }
}

/// Lower-case letters, digits and hyphens.
fn is_producer_name(text: &str) -> bool {
    (1..=Origin::PRODUCER_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What an event is known by: its origin, its type and its id, in one id.
///
/// No sender can give an event the identity of another sender's: the id of an event alone is any sender's choice, and
/// the ids of Orderbus's own events can be computed by anyone. Two copies of one event have the same identity, whatever
/// they were put on the bus with. An event that only Orderbus publishes, from the account of the bus, is known by its id
/// itself; every other by a UUID version 5 of all three.
#[must_use]
pub fn event_identity(origin: &Origin, event_type: &str, id: &str) -> EventId {
    let is_ours = *origin == Origin::Own
        && EventType::parse(event_type).is_some_and(|event_type| !event_type.may_come_from_outside());
    match EventId::parse(id) {
        Ok(id) if is_ours => id,
        _ => {
            let origin = origin.to_string();
            // With the lengths, no two triples make the same name.
            let name = format!("event\n{}\n{}\n{origin}{event_type}{id}", origin.len(), event_type.len());
            id_of_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Option<&str> = Some("111122223333");

    #[test]
    fn another_account_cannot_name_a_producer() {
        let origin = Origin::of(Some("444455556666"), OWN, Some("carrier"));
        assert_eq!(origin, Origin::Account("444455556666".into()));
        assert_eq!(Origin::of(OWN, OWN, Some("carrier")), Origin::Producer("carrier".into()));
        assert_eq!(Origin::of(OWN, OWN, None), Origin::Own);
        assert_eq!(Origin::of(None, OWN, None), Origin::Own);
        assert_eq!(Origin::of(OWN, OWN, Some("a:b")), Origin::Producer("unreadable".into()));
    }

    #[test]
    fn an_origin_is_read_back_as_written() {
        for origin in [Origin::Own, Origin::Producer("p-1".into()), Origin::Account("111122223333".into())] {
            assert_eq!(Origin::parse(&origin.to_string()), Some(origin));
        }
        assert_eq!(Origin::parse("producer:A"), None);
    }

    #[test]
    fn nobody_takes_the_identity_of_another_senders_event() {
        let own = event_identity(&Origin::Own, "orders.order-confirmed.v1", "checkout:o-1:order-confirmed");
        assert_eq!(own.as_str(), "checkout:o-1:order-confirmed");
        let carrier = Origin::Producer("carrier".into());
        let claims = [
            (Origin::Own, "shipping.delivery-status-changed.v1"),
            (Origin::Account("444455556666".into()), "orders.order-confirmed.v1"),
            (carrier.clone(), "shipping.delivery-status-changed.v1"),
            (carrier, "shipping.parcel-picked-up.v1"),
        ];
        let mut identities: Vec<EventId> =
            claims.iter().map(|(origin, name)| event_identity(origin, name, own.as_str())).collect();
        identities.push(own);
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), 5);
    }
}
