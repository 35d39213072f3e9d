use std::collections::BTreeMap;

use domain::Attempt;

use crate::{PortError, attempt_attributes};

/// A message that can never be handled as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Which consumer gave up on it.
    pub consumer: String,
    /// Why, for programs: `not_json`, `unknown_version`, …
    pub reason_code: String,
    /// Why, for people; repeats no value of the message.
    pub reason: String,
    /// The queue's name for the message, for finding its log lines.
    pub message_id: String,
    /// How often it had been received.
    pub receive_count: u32,
    /// The attempt that travelled with it.
    pub attempt: Attempt,
    /// The message as it came.
    pub body: String,
}

/// The message attribute that carries [`Quarantined::consumer`].
pub const CONSUMER_ATTRIBUTE: &str = "consumer";
/// The message attribute that carries [`Quarantined::reason_code`].
pub const REASON_CODE_ATTRIBUTE: &str = "reasonCode";
/// The message attribute that carries [`Quarantined::reason`].
pub const REASON_ATTRIBUTE: &str = "reason";

impl Quarantined {
    /// All but the body, as message attributes.
    #[must_use]
    pub fn attributes(&self) -> BTreeMap<&'static str, String> {
        let mut attributes = BTreeMap::from([
            (CONSUMER_ATTRIBUTE, self.consumer.clone()),
            (REASON_CODE_ATTRIBUTE, self.reason_code.clone()),
            (REASON_ATTRIBUTE, self.reason.clone()),
            ("messageId", self.message_id.clone()),
            ("receiveCount", self.receive_count.to_string()),
        ]);
        attributes.extend(attempt_attributes(self.attempt));
        attributes
    }
}

/// Where messages go that can never be handled as they are.
pub trait Quarantine: Send + Sync {
    /// Keeps messages for a person to look at and answers for each, in the order given.
    ///
    /// MUST answer with exactly as many results as there are messages. May keep a message twice.
    fn put(&self, messages: &[Quarantined]) -> impl Future<Output = Vec<Result<(), PortError>>> + Send;
}
