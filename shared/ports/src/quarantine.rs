use crate::PortError;

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
    /// The message as it came.
    pub body: String,
}

/// Where messages go that can never be handled as they are.
pub trait Quarantine: Send + Sync {
    /// Keeps messages for a person to look at and answers for each, in the order given.
    ///
    /// MUST answer with exactly as many results as there are messages. May keep a message twice.
    fn put(&self, messages: &[Quarantined]) -> impl Future<Output = Vec<Result<(), PortError>>> + Send;
}
