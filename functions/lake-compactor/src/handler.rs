use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;
use lake::{Hour, Partition};
use ports::{Clock, EventLake, LakeObjects, PortError};
use runtime::Deadline;
use serde::{Deserialize, Serialize};
use tokio::time::timeout_at;

use crate::compact_hour::{CompactionError, Done, compact_hour};
use crate::config::Settings;

/// This function's name.
pub const NAME: &str = "lake-compactor";

/// Folds the hours of a lake.
#[derive(Debug)]
pub struct LakeCompactor<L, O, C> {
    /// Where objects are written.
    pub lake: L,
    /// Where they are read and removed: the same place.
    pub objects: O,
    /// What time it is.
    pub clock: C,
    /// How it goes about it.
    pub settings: Settings,
}

/// What is asked for: nothing in particular, by the schedule; by hand, the hours of a time that may be long ago.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The first instant, in RFC 3339; if none, as far back as the settings say.
    pub from: Option<String>,
    /// The instant after the last; if none, now.
    pub to: Option<String>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Closed hours that hold anything.
    pub hours: usize,
    /// Objects that were folded.
    pub folded: usize,
    /// Objects that they were folded into.
    pub written: usize,
    /// Copies of events that were left out.
    pub copies: u64,
    /// Objects that were removed, having been folded in an earlier run.
    pub removed: usize,
    /// True when time ran out before all hours were seen; the next run goes on.
    pub ran_out_of_time: bool,
}

/// Why a run was no success.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What was asked for cannot be read.
    #[error("{0} must be an instant in RFC 3339, from 1970 to 9999")]
    NotAnInstant(&'static str),
    /// What there is could not be seen.
    #[error("the lake cannot be listed")]
    Listing(#[from] PortError),
    /// Hours could not be folded; the others were.
    #[error("{failed} of {hours} hours could not be folded; the logs say why")]
    Hours {
        /// How many failed.
        failed: usize,
        /// Of how many.
        hours: usize,
    },
}

impl<L: EventLake, O: LakeObjects, C: Clock> LakeCompactor<L, O, C> {
    /// Answers one invocation: folds the closed hours that it is about, the oldest first.
    ///
    /// # Errors
    /// [`RunError`] when an hour could not be folded. All that could was.
    pub async fn respond(&self, request: Request, deadline: Deadline) -> Result<Summary, RunError> {
        let now = self.clock.now();
        let (from, to) = self.period(&request, now)?;
        let hours = self.hours(from, to, now).await?;
        let mut summary = Summary { hours: hours.len(), ..Summary::default() };
        let mut failed = 0;
        for hour in hours {
            if deadline.has_passed() {
                summary.ran_out_of_time = true;
                break;
            }
            let compacting = compact_hour(&self.lake, &self.objects, &self.settings, now, hour);
            match timeout_at(deadline.work_until(), Box::pin(compacting)).await {
                Ok(Ok(done)) => note(hour, &done, &mut summary),
                Ok(Err(error)) => {
                    failed += 1;
                    tracing::error!(function = NAME, hour = %hour, error = chain(&error), "an hour could not be folded");
                }
                Err(_elapsed) => {
                    summary.ran_out_of_time = true;
                    break;
                }
            }
        }
        let Summary { hours, folded, written, copies, removed, ran_out_of_time } = summary;
        tracing::info!(
            function = NAME,
            hours,
            folded,
            written,
            copies,
            removed,
            failed,
            ran_out_of_time,
            "run ended"
        );
        if failed > 0 { Err(RunError::Hours { failed, hours }) } else { Ok(summary) }
    }

    fn period(&self, request: &Request, now: Timestamp) -> Result<(Hour, Hour), RunError> {
        let instant = |name, text: &Option<String>, default| match text {
            Some(text) => parse_timestamp(text).ok_or(RunError::NotAnInstant(name)),
            None => Ok(default),
        };
        let days_ms = i64::from(self.settings.lookback_days) * 86_400_000;
        let from = instant("from", &request.from, Timestamp::from_unix_ms((now.unix_ms() - days_ms).max(0)))?;
        let to = instant("to", &request.to, now)?;
        // `to` is the instant after the last.
        let last = Timestamp::from_unix_ms(to.unix_ms().saturating_sub(1));
        let hour = |name, at| Hour::of(at).ok_or(RunError::NotAnInstant(name));
        Ok((hour("from", from)?, hour("to", last)?))
    }

    /// The closed hours from one to another that hold anything. A day is listed at once: most of its hours were folded
    /// long ago, and a listing costs the same for an hour and for a day.
    async fn hours(&self, from: Hour, to: Hour, now: Timestamp) -> Result<BTreeSet<Hour>, PortError> {
        let closed_ms = now.unix_ms() - i64::from(self.settings.lateness_s) * 1_000;
        let mut hours = BTreeSet::new();
        let mut day = Some(from);
        while let Some(hour) = day.filter(|hour| hour.date() <= to.date()) {
            let date = hour.date();
            let events = by_hour(&self.objects.list(&format!("events/dt={date}/")).await?);
            let manifests = by_hour(&self.objects.list(&format!("compaction/dt={date}/")).await?);
            let is_due = |hour: &Hour, objects: usize| {
                let is_closed = (from..=to).contains(hour) && hour.end().unix_ms() <= closed_ms;
                // One object beside a manifest is what that manifest folded, or will be folded when others come.
                is_closed && (objects > 1 || !manifests.contains_key(hour))
            };
            hours.extend(
                events.into_iter().filter(|(hour, objects)| is_due(hour, *objects)).map(|(hour, _)| hour),
            );
            day = Hour::of(Timestamp::from_unix_ms(hour.start().unix_ms() + 86_400_000));
        }
        Ok(hours)
    }
}

fn by_hour(objects: &[ports::StoredObject]) -> BTreeMap<Hour, usize> {
    let mut hours = BTreeMap::new();
    for object in objects {
        if let Some(Partition::Events(hour) | Partition::Compaction(hour)) = Partition::of_key(&object.key) {
            *hours.entry(hour).or_default() += 1;
        }
    }
    hours
}

fn note(hour: Hour, done: &Done, summary: &mut Summary) {
    summary.folded += done.folded;
    summary.written += done.written;
    summary.copies += done.copies;
    summary.removed += done.removed;
    if *done != Done::default() {
        let Done { folded, written, copies, removed } = done;
        let begins_at = format_timestamp(hour.start());
        tracing::info!(function = NAME, hour = begins_at, folded, written, copies, removed, "hour folded");
    }
}

fn chain(error: &CompactionError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
