use std::error::Error;

use contracts::{DecodeError, Event, Reason, Refusal};
use ports::{PortError, Retry};

/// What is to become of one record.
#[derive(Debug)]
pub enum Disposition {
    /// It took effect. Acknowledged once these are published.
    Done(Vec<Event>),
    /// It had taken effect before. Acknowledged once these, the same as the first time, are published.
    Duplicate(Vec<Event>),
    /// It could not be handled now. Delivered again later.
    Retry(Box<dyn Error + Send + Sync>),
    /// It can never be handled as it is. Kept for a person to look at.
    Quarantine(Rejection),
}

/// Why a message can never be handled as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// For programs.
    pub refusal: Refusal,
    /// For people; repeats no value of the message.
    pub message: String,
}

impl Rejection {
    /// The message is of a type that this consumer's rule should not have sent.
    #[must_use]
    pub fn not_subscribed(event: &Event) -> Self {
        Self {
            refusal: Refusal::NotSubscribed,
            message: format!(
                "this consumer does not handle {}; check its rule",
                event.data.event_type().as_str()
            ),
        }
    }

    /// The message is about an order that breaks the rules of orders.
    #[must_use]
    pub fn impossible_order(reasons: &[Reason]) -> Self {
        let mut message = String::new();
        for Reason { field, message: text, .. } in reasons {
            let separator = if message.is_empty() { "" } else { "; " };
            message.push_str(separator);
            if let Some(field) = field {
                message.push_str(field);
                message.push_str(": ");
            }
            message.push_str(text);
        }
        Self { refusal: Refusal::ImpossibleData, message }
    }

    /// The message has the right shape, but says something that cannot be.
    #[must_use]
    pub fn impossible_data(problem: impl ToString) -> Self {
        Self { refusal: Refusal::ImpossibleData, message: problem.to_string() }
    }
}

impl From<Refusal> for Rejection {
    /// For a refusal that needs no more words than it has.
    fn from(refusal: Refusal) -> Self {
        Self { refusal, message: refusal.meaning().to_owned() }
    }
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        Self { refusal: error.refusal(), message: error.to_string() }
    }
}

impl From<Rejection> for Disposition {
    fn from(rejection: Rejection) -> Self {
        Self::Quarantine(rejection)
    }
}

impl From<PortError> for Disposition {
    /// What failed for good is quarantined, what may pass is retried.
    fn from(error: PortError) -> Self {
        match error.retry {
            Retry::Transient => Self::Retry(error.into()),
            Retry::Permanent => {
                Self::Quarantine(Rejection { refusal: Refusal::Refused, message: chain(&error) })
            }
        }
    }
}

/// An error with all that caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
