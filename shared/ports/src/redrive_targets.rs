use std::fmt;

use domain::{Attempt, RedriveKey};

use crate::PortError;

/// Where a message is sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The queue of a consumer, by the consumer's name.
    Consumer(String),
    /// The state machine of the checkout.
    Checkout,
    /// The bus itself: what could not even be matched with its rules.
    Bus,
}

impl Target {
    /// Its name: of the consumer, `checkout`, or `bus`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Consumer(name) => name,
            Self::Checkout => "checkout",
            Self::Bus => "bus",
        }
    }
}

/// A message on its way back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Redrive<'a> {
    /// What it is counted under.
    pub key: &'a RedriveKey,
    /// The attempt that failed last; it travels with the message.
    pub attempt: Attempt,
    /// As it came.
    pub body: &'a str,
}

/// Shows no word of the body, which may be about a person.
impl fmt::Debug for Redrive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redrive")
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The message attribute that carries [`Attempt::number`]; absent means 0.
pub const ATTEMPT_ATTRIBUTE: &str = "orderbus-attempt";
/// The message attribute that carries [`Attempt::generation`]; absent means 0.
pub const GENERATION_ATTRIBUTE: &str = "orderbus-generation";

/// The attempt as what travels beside a message: nothing for the very first, so that it is like any other message.
#[must_use]
pub fn attempt_attributes(attempt: Attempt) -> Vec<(&'static str, String)> {
    [(ATTEMPT_ATTRIBUTE, attempt.number), (GENERATION_ATTRIBUTE, attempt.generation)]
        .into_iter()
        .filter(|(_, value)| *value > 0)
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

/// The attempt that travelled beside a message. What cannot be read counts as absent.
#[must_use]
pub fn attempt_carried<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Attempt {
    let number = |name| attribute(name).and_then(|value| value.parse().ok()).unwrap_or_default();
    Attempt { generation: number(GENERATION_ATTRIBUTE), number: number(ATTEMPT_ATTRIBUTE) }
}

/// The same for an event that is put on the bus again. Nothing travels beside an event but its `resources`, which nobody
/// here uses for anything else.
#[must_use]
pub fn attempt_resources(attempt: Attempt) -> Vec<String> {
    attempt_attributes(attempt).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The attempt that travelled among the `resources` of an event.
#[must_use]
pub fn attempt_in_resources(resources: &[String]) -> Attempt {
    let pairs = || resources.iter().filter_map(|text| text.split_once('='));
    attempt_carried(|name| pairs().find(|(known, _)| *known == name).map(|(_, value)| value))
}

/// Where dead letters go back to.
pub trait RedriveTargets: Send + Sync {
    /// Sends a message to where it was on its way to.
    ///
    /// MUST NOT answer before the target has it for good. MUST see to it that the attempt comes back with the message
    /// when it fails again. Sends at least once; MUST start at most one checkout for a key and generation, and answer
    /// with success when it is started already.
    fn send(
        &self,
        target: &Target,
        redrive: &Redrive<'_>,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// How many messages wait at a target for someone to take them; 0 where nothing waits.
    fn backlog(&self, target: &Target) -> impl Future<Output = Result<u64, PortError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_travels_and_the_first_leaves_no_trace() {
        for (generation, number) in [(0, 0), (0, 3), (2, 0), (1, 12)] {
            let attempt = Attempt { generation, number };
            let attributes = attempt_attributes(attempt);
            assert_eq!(attributes.len(), usize::from(number > 0) + usize::from(generation > 0));
            let carried = |name: &str| {
                attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
            };
            assert_eq!(attempt_carried(carried), attempt);
            let resources = [vec!["arn:aws:other=1".to_owned()], attempt_resources(attempt)].concat();
            assert_eq!(attempt_in_resources(&resources), attempt);
        }
        assert_eq!(attempt_carried(|_| Some("many")), Attempt::default());
    }
}
