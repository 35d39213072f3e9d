use contracts::{@Type@, Event};

/// What this function does about an event. It may come again: commit the effect under its business key or the event's id,
/// by one conditional write, before anything is published (ARCHITECTURE.md, "The one idea").
pub(crate) fn @use_case@(event: &Event, _data: &@Type@) {
    tracing::info!(event.id = event.id.as_str(), subject = event.subject.as_str(), "heard of it");
}
