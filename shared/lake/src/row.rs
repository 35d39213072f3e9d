use std::borrow::Cow;

use domain::Timestamp;

use crate::message::account;

/// One event as it is kept.
///
/// The fields stand in the order in which rows are sorted, which is not that of the columns. Rows that are copies of one
/// event ([`Row::is_copy_of`]) are neighbours, and the first of them is the one that readers are to take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row<'a> {
    /// `detail-type`: what happened.
    pub event_type: Cow<'a, str>,
    /// When it happened.
    pub time: Timestamp,
    /// The CloudEvents id; of an event that is no CloudEvent, EventBridge's.
    pub id: Cow<'a, str>,
    /// `source`: whose event it is.
    pub source: Cow<'a, str>,
    /// Who put it on the bus: what [`contracts::Origin`] displays. `None` of our own events, and of all that were kept
    /// before there was this column.
    pub origin: Option<Cow<'a, str>>,
    /// When the bus took it.
    pub ingested_at: Timestamp,
    /// EventBridge's id, new with every put.
    pub bus_id: Cow<'a, str>,
    /// What it is about.
    pub subject: Option<Cow<'a, str>>,
    /// Shared by all events of a flow.
    pub correlation_id: Option<Cow<'a, str>>,
    /// The event that caused it.
    pub causation_id: Option<Cow<'a, str>>,
    /// `dataschema`.
    pub schema: Option<Cow<'a, str>>,
    /// W3C trace context.
    pub traceparent: Option<Cow<'a, str>>,
    /// JSON: what the message held beside all this.
    pub extensions: Option<Cow<'a, str>>,
    /// JSON, to the letter.
    pub data: Cow<'a, str>,
}

impl Row<'_> {
    /// True when both are the same event, put on the bus or delivered more than once: of one origin, with one source, type
    /// and id. An id alone is any sender's choice.
    #[must_use]
    pub fn is_copy_of(&self, other: &Row<'_>) -> bool {
        self.id == other.id
            && self.source == other.source
            && self.origin == other.origin
            && self.time == other.time
            && self.event_type == other.event_type
    }

    /// The account that put it on the bus, where the bus said so.
    #[must_use]
    pub fn account(&self) -> Option<String> {
        account(self.extensions.as_deref()?)
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let optional = [
            &self.origin,
            &self.subject,
            &self.correlation_id,
            &self.causation_id,
            &self.schema,
            &self.traceparent,
            &self.extensions,
        ];
        let required = [&self.event_type, &self.id, &self.source, &self.bus_id, &self.data];
        let texts = optional.into_iter().flatten().chain(required);
        size_of::<Self>() + texts.map(|text| text.len()).sum::<usize>()
    }
}
