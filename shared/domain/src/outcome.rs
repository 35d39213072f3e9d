use crate::{EventId, Timestamp};

/// How an order ended. The first one written wins; everyone reads the winner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Paid: it will be shipped.
    Confirmed,
    /// Called off by the customer, or not paid.
    Cancelled,
    /// Never valid, or not in stock.
    Rejected,
}

impl Outcome {
    /// The name under which it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    /// Reads a stored name. `None` when there is no such outcome.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Confirmed, Self::Cancelled, Self::Rejected]
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

/// An outcome with what brought it about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// How the order ended.
    pub outcome: Outcome,
    /// The event that decided it. Only a delivery of this very event publishes the outcome.
    pub decided_by: EventId,
    /// When it was decided.
    pub decided_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_back_as_written() {
        for outcome in [Outcome::Confirmed, Outcome::Cancelled, Outcome::Rejected] {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::parse("shipped"), None);
    }
}
