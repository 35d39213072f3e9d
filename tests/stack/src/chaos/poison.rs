//! Messages that can never be handled, each with a mark by which it is found again.

use contracts::EventType;
use fastrand::Rng;
use serde_json::{Value, json};

use super::consumers::Consumer;

const MARK: &str = "poison-";
/// The consumer that keeps what it cannot read instead of setting it aside.
pub(crate) const ARCHIVER: &str = "event-archiver";
/// Why the archiver keeps something apart.
pub(crate) const UNDECODABLE: &str = "undecodable";

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotJson,
    NotAnEvent,
    UnknownType,
    UnknownVersion,
    SchemaMismatch,
    WrongSubject,
}

const KINDS: [Kind; 6] = [
    Kind::NotJson,
    Kind::NotAnEvent,
    Kind::UnknownType,
    Kind::UnknownVersion,
    Kind::SchemaMismatch,
    Kind::WrongSubject,
];

/// One poisoned message.
#[derive(Debug, Clone)]
pub(crate) struct Poison {
    mark: String,
    kind: Kind,
    is_on_the_bus: bool,
    /// Which of the consumers gets it, when it is not put on the bus.
    choice: usize,
}

/// Where a message is found in the end, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetAside {
    pub(crate) mark: String,
    pub(crate) consumer: String,
    pub(crate) reason: String,
}

impl Poison {
    /// The `number`th of a run.
    pub(crate) fn any(number: usize, rng: &mut Rng) -> Self {
        // The bus takes only JSON objects, and without a type nobody could subscribe to it.
        let is_on_the_bus = rng.u8(0..3) == 0;
        let kind = if is_on_the_bus {
            [Kind::UnknownVersion, Kind::SchemaMismatch, Kind::WrongSubject][rng.usize(0..3)]
        } else {
            KINDS[rng.usize(0..KINDS.len())]
        };
        Self { mark: format!("{MARK}{number}"), kind, is_on_the_bus, choice: rng.usize(0..1_000) }
    }

    /// The consumer whose queue it is sent to; `None` when it is put on the bus.
    pub(crate) fn consumer<'a>(&self, consumers: &'a [Consumer]) -> Option<&'a Consumer> {
        // To the archiver, everything with a type and a time is an event to be kept.
        let is_readable = !matches!(self.kind, Kind::NotJson | Kind::NotAnEvent);
        let takes_it = |consumer: &&Consumer| !(is_readable && consumer.name == ARCHIVER);
        let candidates: Vec<&Consumer> = consumers.iter().filter(takes_it).collect();
        if self.is_on_the_bus { None } else { candidates.get(self.choice % candidates.len().max(1)).copied() }
    }

    /// Where it is to be found in the end.
    pub(crate) fn expected(&self, consumers: &[Consumer]) -> Vec<SetAside> {
        let set_aside = |consumer: &Consumer| {
            let reason = if consumer.name == ARCHIVER { UNDECODABLE } else { self.reason() };
            SetAside { mark: self.mark.clone(), consumer: consumer.name.clone(), reason: reason.to_owned() }
        };
        match self.consumer(consumers) {
            Some(consumer) => vec![set_aside(consumer)],
            None => {
                let (source, detail_type) = (self.source(), self.detail_type());
                let hear =
                    |consumer: &&Consumer| consumer.hears(source, detail_type) && consumer.name != ARCHIVER;
                consumers.iter().filter(hear).map(set_aside).collect()
            }
        }
    }

    /// The bus's `source`.
    pub(crate) fn source(&self) -> &'static str {
        EventType::OrderPlaced.source()
    }

    /// The bus's `detail-type`.
    pub(crate) fn detail_type(&self) -> &'static str {
        match self.kind {
            Kind::UnknownType => "orders.order-misplaced.v1",
            Kind::UnknownVersion => "orders.order-placed.v9",
            _ => EventType::OrderPlaced.as_str(),
        }
    }

    /// The event in it.
    pub(crate) fn detail(&self) -> Value {
        let other = "another-order";
        let subject = if self.kind == Kind::WrongSubject { other } else { &self.mark };
        let lines = if self.kind == Kind::SchemaMismatch { json!("none") } else { json!([]) };
        let total = json!({"amountMinor": 0, "currency": "EUR"});
        let personal = json!({
            "name": "Ada Example", "email": "ada@example.com", "street": "1 Analytical Row",
            "city": "London", "postalCode": "N1 9GU", "country": "GB",
        });
        json!({
            "specversion": "1.0",
            "id": self.mark,
            "source": self.source(),
            "type": self.detail_type(),
            "subject": subject,
            "time": "2026-01-31T12:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {
                "orderId": self.mark,
                "customerId": "customer-1",
                "lines": lines,
                "total": total,
                "personal": personal,
            },
        })
    }

    /// The message as a queue gets it.
    pub(crate) fn body(&self) -> String {
        match self.kind {
            Kind::NotJson => format!("{{\"{}\": cut off", self.mark),
            Kind::NotAnEvent => json!({"greeting": self.mark}).to_string(),
            _ => json!({
                "version": "0",
                "id": self.mark,
                "detail-type": self.detail_type(),
                "source": self.source(),
                "account": "000000000000",
                "time": "2026-01-31T12:00:00Z",
                "region": "us-east-1",
                "resources": [],
                "detail": self.detail(),
            })
            .to_string(),
        }
    }

    fn reason(&self) -> &'static str {
        match self.kind {
            Kind::NotJson => "not_json",
            Kind::NotAnEvent => "not_an_event",
            Kind::UnknownType => "unknown_type",
            Kind::UnknownVersion => "unknown_version",
            Kind::SchemaMismatch => "schema_mismatch",
            Kind::WrongSubject => "invalid_attribute",
        }
    }
}

/// The mark in a text.
pub(crate) fn mark_in(text: &str) -> Option<String> {
    let after = text.split_once(MARK)?.1;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then(|| format!("{MARK}{digits}"))
}

/// Whether an event is one of ours that nobody can handle.
pub(crate) fn is_poison(event_id: &str) -> bool {
    mark_in(event_id).as_deref() == Some(event_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_poison_is_refused_for_the_reason_it_is_expected_for() {
        let mut rng = Rng::with_seed(1);
        for number in 0..200 {
            let poison = Poison::any(number, &mut rng);
            let refusal = contracts::decode(&poison.body(), None).unwrap_err();
            assert_eq!(refusal.code(), poison.reason(), "{poison:?}");
            assert_eq!(mark_in(&poison.body()), Some(format!("poison-{number}")));
        }
    }

    #[test]
    fn a_mark_is_found_whole() {
        assert_eq!(mark_in(r#"{"id":"poison-12","x":1}"#).as_deref(), Some("poison-12"));
        assert_eq!(mark_in("poison-"), None);
        assert!(
            is_poison("poison-3") && !is_poison("a-poison-3") && !is_poison("checkout:o:order-confirmed")
        );
    }
}
