//! Sends again what the lake holds.
//!
//! Hour by hour, in the order in which the events happened, each event once. What is read at once is bounded: an hour that
//! is too large is read in parts, by time, and its objects once for each part.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use domain::Timestamp;
use lake::{Footer, Hour, Partition, Row};
use ports::{LakeObjects, PortError, Retry, StoredObject};
use tokio::time::{Instant, sleep, sleep_until};

use super::checkpoint::{Checkpoint, Checkpoints, Position, Scope, State};
use super::pace::Pace;
use crate::clock;

/// How much of an hour is in memory at once.
const BYTES_MAX: usize = 128 << 20;
/// How often events that were not taken are sent again, at once, before the replay breaks off: about a minute.
const ATTEMPTS_MAX: u32 = 10;
pub(crate) const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// How many ids of refused events a checkpoint names.
const REFUSED_IDS_MAX: usize = 100;
const MS_PER_DAY: i64 = 86_400_000;
/// A span of more days than these is listed by years.
const DAYS_MAX: i64 = 62;

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The event's own id.
    pub(crate) id: String,
    /// EventBridge's, when it was first put on the bus.
    pub(crate) bus_id: String,
    pub(crate) source: String,
    pub(crate) event_type: String,
    /// The account that first put it on the bus, where the bus said so.
    pub(crate) account: Option<String>,
    /// The CloudEvent.
    pub(crate) detail: String,
    /// When the bus took it first.
    pub(crate) bus_time: Timestamp,
    /// To whom, as the outlet counts them.
    pub(crate) routes: Vec<usize>,
}

/// Where events go.
pub(crate) trait Outlet {
    /// Who gets an event; nobody when there are none.
    async fn routes(&self, event: &Outgoing) -> Result<Vec<usize>, PortError>;

    /// Sends events along their routes and answers for each, in the order given.
    async fn send(&self, events: &[Outgoing]) -> Vec<Result<(), PortError>>;
}

/// Which events of an hour.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) scope: Scope,
    /// Types that are left out, without their version.
    pub(crate) left_out: Vec<&'static str>,
    /// The only account whose events are sent. Whoever puts an event on the bus gives it an account of its own, so
    /// another account's event would become one of ours there.
    pub(crate) only_of_account: Option<String>,
}

impl Filter {
    fn wants(&self, row: &Row<'_>) -> bool {
        let Scope { types, sources, subjects, .. } = &self.scope;
        let is_one = |all: &[String], text: &str| all.is_empty() || all.iter().any(|one| one == text);
        let is_type =
            |wanted: &String| *wanted == row.event_type || wanted == without_version(&row.event_type);
        (types.is_empty() || types.iter().any(is_type))
            && is_one(sources, &row.source)
            && (subjects.is_empty() || row.subject.as_ref().is_some_and(|subject| is_one(subjects, subject)))
            && !self.leaves_out(row)
            && !self.is_of_others(row)
    }

    /// Whether it would be sent but for the account that it came from.
    fn is_of_others(&self, row: &Row<'_>) -> bool {
        let Some(own) = &self.only_of_account else { return false };
        row.account().is_some_and(|account| account != *own)
    }

    /// Whether it would be sent but for its type.
    fn leaves_out(&self, row: &Row<'_>) -> bool {
        self.left_out.contains(&without_version(&row.event_type))
    }
}

/// `orders.order-placed` of `orders.order-placed.v1`.
pub(crate) fn without_version(event_type: &str) -> &str {
    match event_type.rsplit_once(".v") {
        Some((name, version)) if version.parse::<u32>().is_ok() => name,
        _ => event_type,
    }
}

/// An hour and where its events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HourListed {
    pub(crate) hour: Hour,
    pub(crate) objects: Vec<StoredObject>,
    /// How many rows there are: copies, and events that nobody asked for, are among them.
    pub(crate) rows: u64,
}

/// A span of time within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Two halves; `None` when it cannot be divided.
    fn halves(self) -> Option<[Self; 2]> {
        let middle = Timestamp::from_unix_ms(i64::midpoint(self.from.unix_ms(), self.to.unix_ms()));
        let parts = [Self { from: self.from, to: middle }, Self { from: middle, to: self.to }];
        parts.iter().all(|part| part.from < part.to).then_some(parts)
    }
}

/// What the lake holds of a span of time.
#[derive(Debug)]
pub(crate) struct LakeReader<'a, O> {
    pub(crate) objects: &'a O,
    pub(crate) bytes_max: usize,
}

impl<'a, O: LakeObjects> LakeReader<'a, O> {
    pub(crate) fn new(objects: &'a O) -> Self {
        Self { objects, bytes_max: BYTES_MAX }
    }

    /// The hours of a span that hold something, and how much.
    pub(crate) async fn hours(&self, from: Timestamp, to: Timestamp) -> Result<Vec<HourListed>> {
        let mut hours: BTreeMap<Hour, Vec<StoredObject>> = BTreeMap::new();
        for prefix in prefixes(from, to) {
            for object in self.objects.list(&prefix).await? {
                if let Some(hour) = hour_of(&object.key)
                    && hour.end() > from
                    && hour.start() < to
                {
                    hours.entry(hour).or_default().push(object);
                }
            }
        }
        let mut listed = Vec::with_capacity(hours.len());
        for (hour, objects) in hours {
            let mut rows = 0;
            for object in &objects {
                rows += self.rows(object).await?;
            }
            listed.push(HourListed { hour, objects, rows });
        }
        Ok(listed)
    }

    /// The first hour of a span that holds something.
    pub(crate) async fn first_hour(&self, from: Timestamp, to: Timestamp) -> Result<Option<Hour>> {
        for prefix in prefixes(from, to) {
            let objects = self.objects.list(&prefix).await?;
            let hours = objects.iter().filter_map(|object| hour_of(&object.key));
            if let Some(first) = hours.filter(|hour| hour.end() > from && hour.start() < to).min() {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// From the end of an object alone.
    async fn rows(&self, object: &StoredObject) -> Result<u64> {
        let mut tail_bytes = Footer::TAIL_BYTES.min(object.bytes);
        loop {
            let tail = object.bytes - tail_bytes..object.bytes;
            // Folded into another in the meantime: counted there.
            let Some(tail) = self.objects.read(&object.key, Some(tail)).await? else { return Ok(0) };
            match Footer::of_tail(&tail, object.bytes).with_context(|| object.key.clone())? {
                Ok(footer) => return Ok(footer.rows() as u64),
                Err(needed) => {
                    let more_bytes = needed.min(object.bytes);
                    ensure!(more_bytes > tail_bytes, "{} cannot be read as Parquet", object.key);
                    tail_bytes = more_bytes;
                }
            }
        }
    }

    /// The wanted events of an hour from a position on, each once, by time and id: handed over part by part.
    async fn read_hour(
        &self,
        hour: &HourListed,
        filter: &Filter,
        after: Option<&Position>,
        mut take: impl AsyncFnMut(Vec<Row<'static>>) -> Result<()>,
    ) -> Result<()> {
        let from = filter.scope.from.max(hour.hour.start());
        let from = after.map_or(from, |position| position.time.max(from));
        let whole = Span { from, to: filter.scope.to.min(hour.hour.end()) };
        let mut spans = vec![whole];
        while let Some(span) = spans.pop() {
            if span.from >= span.to {
                continue;
            }
            let halves = span.halves();
            let bytes_max = if halves.is_some() { self.bytes_max } else { usize::MAX };
            match self.read_span(hour, filter, span, bytes_max).await? {
                Some(mut rows) => {
                    if let Some(after) = after {
                        rows.retain(|row| position(row) > *after);
                    }
                    take(rows).await?;
                }
                // The earlier half comes first.
                None => spans.extend(halves.into_iter().flatten().rev()),
            }
        }
        Ok(())
    }

    /// `None` when that would be too much.
    async fn read_span(
        &self,
        hour: &HourListed,
        filter: &Filter,
        span: Span,
        bytes_max: usize,
    ) -> Result<Option<Vec<Row<'static>>>> {
        let mut objects = hour.objects.clone();
        // An object that is gone was folded into another: what is there now is read instead, once more.
        for is_last in [false, true] {
            let (mut rows, mut bytes, mut is_gone) = (Vec::new(), 0, false);
            for object in &objects {
                let Some(body) = self.objects.read(&object.key, None).await? else {
                    is_gone = true;
                    break;
                };
                let footer = Footer::of(&body).with_context(|| object.key.clone())?;
                for group in 0..footer.row_groups() {
                    let range = footer.range(group);
                    let part = body.slice(to_usize(range.start)..to_usize(range.end));
                    let decoded = footer.decode_row_group(group, part).with_context(|| object.key.clone())?;
                    let wanted =
                        decoded.into_iter().filter(|row| span.contains(row.time) && filter.wants(row));
                    rows.extend(wanted.inspect(|row| bytes += row.len_bytes()));
                    if bytes > bytes_max {
                        return Ok(None);
                    }
                }
            }
            if !is_gone {
                // Copies are neighbours then, the one to be taken first.
                rows.sort_by(|one, other| {
                    (one.time, &one.id, &one.source, one).cmp(&(other.time, &other.id, &other.source, other))
                });
                rows.dedup_by(|later, earlier| later.is_copy_of(earlier));
                return Ok(Some(rows));
            }
            if !is_last {
                objects = self.objects.list(&Partition::Events(hour.hour).prefix()).await?;
                objects.retain(|object| hour_of(&object.key).is_some());
            }
        }
        bail!("objects of {} vanish while they are read: run it again", hour.hour)
    }

    /// How many events of each type there are, and how many of them are left out for their type.
    pub(crate) async fn count(&self, hours: &[HourListed], filter: &Filter) -> Result<Counted> {
        let everything = Filter { left_out: Vec::new(), only_of_account: None, ..filter.clone() };
        let mut counted = Counted::default();
        for hour in hours {
            let take = async |rows: Vec<Row<'static>>| {
                for row in &rows {
                    if filter.is_of_others(row) {
                        counted.of_others += 1;
                        continue;
                    }
                    let counts =
                        if filter.leaves_out(row) { &mut counted.left_out } else { &mut counted.sent };
                    *counts.entry((row.source.to_string(), row.event_type.to_string())).or_default() += 1;
                }
                Ok(())
            };
            self.read_hour(hour, &everything, None, take).await?;
        }
        Ok(counted)
    }
}

/// How many events there are, by source and type.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) sent: BTreeMap<(String, String), u64>,
    pub(crate) left_out: BTreeMap<(String, String), u64>,
    /// How many are left out because another account put them on the bus.
    pub(crate) of_others: u64,
}

fn position(row: &Row<'_>) -> Position {
    Position {
        time: row.time,
        id: row.id.to_string(),
        source: row.source.to_string(),
        event_type: row.event_type.to_string(),
        origin: row.origin.as_deref().map(str::to_owned),
    }
}

/// The hour of an object of events.
fn hour_of(key: &str) -> Option<Hour> {
    match Partition::of_key(key)? {
        Partition::Events(hour) if key.ends_with(".parquet") => Some(hour),
        _ => None,
    }
}

/// What the keys of a span of time begin with: days, or years where there are many days.
fn prefixes(from: Timestamp, to: Timestamp) -> Vec<String> {
    let text_of = |at: Timestamp| contracts::format_timestamp(at);
    let mut prefixes = Vec::new();
    if to.unix_ms().saturating_sub(from.unix_ms()) <= DAYS_MAX * MS_PER_DAY {
        let (first, last) = (from.unix_ms().div_euclid(MS_PER_DAY), to.unix_ms().div_euclid(MS_PER_DAY));
        let day = |day: i64| text_of(Timestamp::from_unix_ms(day * MS_PER_DAY))[..10].to_owned();
        prefixes.extend((first..=last).map(|number| format!("events/dt={}/", day(number))));
    } else {
        let year = |at: Timestamp| text_of(at)[..4].parse::<u32>().unwrap_or_default();
        prefixes.extend((year(from)..=year(to)).map(|year| format!("events/dt={year:04}-")));
    }
    prefixes
}

fn to_usize(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// How a replay goes on, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// How many rows of the lake were gone through, of how many.
    pub(crate) rows: (u64, u64),
    pub(crate) sent: u64,
    pub(crate) elapsed: Duration,
}

/// A replay from the lake.
pub(crate) struct LakeReplay<'a, O, T> {
    pub(crate) reader: LakeReader<'a, O>,
    pub(crate) outlet: &'a T,
    pub(crate) checkpoints: &'a Checkpoints,
    pub(crate) filter: &'a Filter,
    pub(crate) pace: Pace,
    /// How long the first pause is when events are not taken.
    pub(crate) backoff_initial: Duration,
}

impl<O: LakeObjects, T: Outlet> LakeReplay<'_, O, T> {
    /// Goes on from a checkpoint to the end.
    pub(crate) async fn run(
        &self,
        hours: &[HourListed],
        checkpoint: &mut Checkpoint,
        mut watch: impl FnMut(Step),
    ) -> Result<()> {
        let started = Instant::now();
        let after = checkpoint.position.clone();
        let is_done = |hour: &HourListed| after.as_ref().is_some_and(|after| after.time >= hour.hour.end());
        let rows_total = hours.iter().map(|hour| hour.rows).sum();
        let mut rows_before = 0;
        let mut sent_in_this_run = 0;
        for hour in hours {
            if !is_done(hour) {
                let take = async |rows: Vec<Row<'static>>| {
                    for chunk in rows.chunks(self.pace.chunk) {
                        let Some(last) = chunk.last() else { continue };
                        let mut events = Vec::with_capacity(chunk.len());
                        for row in chunk {
                            let mut event = outgoing(row)?;
                            event.routes = self.outlet.routes(&event).await?;
                            events.push(event);
                        }
                        events.retain(|event| !event.routes.is_empty());
                        if !events.is_empty() {
                            sleep_until(started + self.pace.due(sent_in_this_run)).await;
                        }
                        let count = events.len() as u64;
                        let refused = self.send(events).await?;
                        sent_in_this_run += count;
                        checkpoint.sent += count - refused.len() as u64;
                        checkpoint.refused += refused.len() as u64;
                        let room = REFUSED_IDS_MAX.saturating_sub(checkpoint.refused_ids.len());
                        checkpoint.refused_ids.extend(refused.into_iter().take(room));
                        checkpoint.position = Some(position(last));
                        checkpoint.written_at = clock::now();
                        self.checkpoints.write(checkpoint)?;
                        let part = elapsed_share(hour, last.time);
                        watch(Step {
                            rows: (rows_before + part, rows_total),
                            sent: checkpoint.sent,
                            elapsed: started.elapsed(),
                        });
                    }
                    Ok(())
                };
                self.reader.read_hour(hour, self.filter, after.as_ref(), take).await?;
            }
            rows_before += hour.rows;
            watch(Step {
                rows: (rows_before, rows_total),
                sent: checkpoint.sent,
                elapsed: started.elapsed(),
            });
        }
        checkpoint.state = State::Completed;
        checkpoint.written_at = clock::now();
        self.checkpoints.write(checkpoint)
    }

    /// Sends until everything is taken or refused for good. Says what was refused.
    async fn send(&self, mut events: Vec<Outgoing>) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        let mut backoff = self.backoff_initial;
        let mut problem = None;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            let results = self.outlet.send(&events).await;
            let mut left = Vec::new();
            for (event, result) in events.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(error) if error.retry == Retry::Permanent => refused.push(event.id),
                    Err(error) => {
                        problem = Some(error);
                        left.push(event);
                    }
                }
            }
            if left.is_empty() {
                return Ok(refused);
            }
            events = left;
        }
        let problem = problem.map_or_else(|| anyhow::anyhow!("no answer"), anyhow::Error::new);
        Err(problem.context(format!("{} events were not taken, again and again", events.len())))
    }
}

/// About how many rows of an hour lie before an instant.
fn elapsed_share(hour: &HourListed, at: Timestamp) -> u64 {
    let (start, end) = (hour.hour.start().unix_ms(), hour.hour.end().unix_ms());
    let passed = u64::try_from(at.unix_ms().clamp(start, end) - start).unwrap_or_default();
    hour.rows.saturating_mul(passed) / u64::try_from(end - start).unwrap_or(1).max(1)
}

fn outgoing(row: &Row<'_>) -> Result<Outgoing> {
    let entry = row.to_bus_entry().with_context(|| format!("event {}", row.id))?;
    Ok(Outgoing {
        id: row.id.to_string(),
        bus_id: row.bus_id.to_string(),
        source: entry.source,
        event_type: entry.detail_type,
        account: entry.account,
        detail: entry.detail,
        bus_time: entry.time,
        routes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;
    use std::ops::Range;

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::super::checkpoint::tests::scope;
    use super::*;

    const MS_PER_HOUR: i64 = 3_600_000;
    const CHUNK: usize = 20;
    const OWN: &str = "000000000000";

    /// A lake in memory; it may break off at any call.
    #[derive(Default)]
    struct Memory {
        objects: BTreeMap<String, Vec<u8>>,
        /// What a reader saw last time and is gone by now.
        gone: Option<String>,
    }

    impl Memory {
        fn add(&mut self, hour: i64, rows: &[Row<'static>]) -> String {
            let hour = Hour::of(Timestamp::from_unix_ms(hour * MS_PER_HOUR)).unwrap();
            let body = lake::encode(rows.to_vec()).unwrap();
            let key = Partition::Events(hour).key(&body);
            self.objects.insert(key.clone(), body);
            key
        }

        fn listed(&self, prefix: &str) -> Vec<StoredObject> {
            let matching = self.objects.iter().filter(|(key, _)| key.starts_with(prefix));
            let stored = |(key, body): (&String, &Vec<u8>)| StoredObject {
                key: key.clone(),
                bytes: body.len() as u64,
                modified_at: Timestamp::from_unix_ms(0),
            };
            matching.map(stored).collect()
        }
    }

    impl LakeObjects for Memory {
        async fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PortError> {
            Ok(self.listed(prefix))
        }

        async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, PortError> {
            let body = self.objects.get(key).filter(|_| self.gone.as_deref() != Some(key));
            Ok(body.map(|body| {
                let range = range.unwrap_or(0..body.len() as u64);
                Bytes::copy_from_slice(&body[to_usize(range.start)..to_usize(range.end)])
            }))
        }

        async fn remove(&self, _: &[String]) -> Result<(), PortError> {
            Err(PortError::permanent("test", "a replay removes nothing"))
        }
    }

    /// Takes what it is told to take, and remembers the order.
    struct Outside {
        taken: RefCell<Vec<Outgoing>>,
        calls: Cell<usize>,
        /// The process ends in this call, after the events were taken or before.
        dies_in: Option<(usize, bool)>,
        refuses: &'static str,
        /// How many answers for the first event of a call are failures that pass.
        failures: Cell<u32>,
    }

    impl Outside {
        fn new() -> Self {
            Self {
                taken: RefCell::default(),
                calls: Cell::new(0),
                dies_in: None,
                refuses: "",
                failures: Cell::new(0),
            }
        }

        fn ids(&self) -> Vec<String> {
            self.taken.borrow().iter().map(|event| event.id.clone()).collect()
        }
    }

    impl Outlet for Outside {
        async fn routes(&self, _: &Outgoing) -> Result<Vec<usize>, PortError> {
            Ok(vec![0])
        }

        async fn send(&self, events: &[Outgoing]) -> Vec<Result<(), PortError>> {
            let call = self.calls.get();
            self.calls.set(call + 1);
            let death = self.dies_in.filter(|(dies_in, _)| *dies_in == call);
            if let Some((_, is_taken)) = death {
                if is_taken {
                    self.taken.borrow_mut().extend(events.iter().cloned());
                }
                panic!("killed");
            }
            let mut answers = Vec::new();
            for (index, event) in events.iter().enumerate() {
                answers.push(if event.id == self.refuses {
                    Err(PortError::permanent("test", "too large"))
                } else if index == 0 && self.failures.get() > 0 {
                    self.failures.set(self.failures.get() - 1);
                    Err(PortError::transient("test", "throttled"))
                } else {
                    self.taken.borrow_mut().push(event.clone());
                    Ok(())
                });
            }
            answers
        }
    }

    fn row(id: &str, event_type: &str, at_ms: i64) -> Row<'static> {
        row_of(OWN, id, event_type, at_ms)
    }

    fn row_of(account: &str, id: &str, event_type: &str, at_ms: i64) -> Row<'static> {
        let message = json!({
            "version": "0",
            "id": format!("bus-{id}"),
            "detail-type": event_type,
            "source": "orders",
            "account": account,
            "time": "1970-01-03T00:00:00Z",
            "region": "us-east-1",
            "resources": ["own"],
            "detail": {
                "specversion": "1.0",
                "id": id,
                "source": "orders",
                "type": event_type,
                "subject": format!("o-{id}"),
                "time": contracts::format_timestamp(Timestamp::from_unix_ms(at_ms)),
                "data": {"orderId": format!("o-{id}")},
            },
        });
        let body = message.to_string().leak();
        match lake::Message::read(body, lake::Delivery { own_account: Some(OWN), arrived_at: None }) {
            lake::Message::Event(row) => *row,
            other => panic!("{other:?}"),
        }
    }

    fn placed(id: &str, at_ms: i64) -> Row<'static> {
        row(id, "orders.order-placed.v1", at_ms)
    }

    /// 300 events in three hours, in two objects an hour, every third in both; `gone` changes nothing.
    fn lake_of_300() -> Memory {
        let mut lake = Memory::default();
        for hour in [1, 2, 50] {
            let at = |index: i64| hour * MS_PER_HOUR + (index * 7_919) % MS_PER_HOUR;
            let all: Vec<_> = (0..100).map(|index| placed(&format!("e-{hour}-{index}"), at(index))).collect();
            let half = |keep: fn(usize) -> bool| {
                all.iter()
                    .enumerate()
                    .filter(|(index, _)| keep(*index))
                    .map(|(_, row)| row.clone())
                    .collect::<Vec<_>>()
            };
            lake.add(hour, &half(|index| index % 2 == 0 || index % 3 == 0));
            lake.add(hour, &half(|index| index % 2 == 1 || index % 3 == 0));
        }
        lake
    }

    fn filter() -> Filter {
        Filter { scope: scope(), left_out: Vec::new(), only_of_account: None }
    }

    fn run(
        lake: &Memory,
        outlet: &Outside,
        filter: &Filter,
        folder: &tempfile::TempDir,
        bytes_max: usize,
    ) -> Result<Checkpoint> {
        run_by(CHUNK, lake, outlet, filter, folder, bytes_max)
    }

    /// So many at once.
    fn run_by(
        chunk: usize,
        lake: &Memory,
        outlet: &Outside,
        filter: &Filter,
        folder: &tempfile::TempDir,
        bytes_max: usize,
    ) -> Result<Checkpoint> {
        let checkpoints = Checkpoints::new(folder.path().to_path_buf());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let reader = LakeReader { objects: lake, bytes_max };
            let hours = reader.hours(filter.scope.from, filter.scope.to).await?;
            let mut checkpoint = checkpoints
                .find("r")?
                .unwrap_or_else(|| Checkpoint::begin("r", filter.scope.clone(), Timestamp::from_unix_ms(0)));
            let pace = Pace { per_second: NonZeroU32::MAX, chunk };
            let backoff_initial = Duration::ZERO;
            let replay =
                LakeReplay { reader, outlet, checkpoints: &checkpoints, filter, pace, backoff_initial };
            replay.run(&hours, &mut checkpoint, |_| ()).await?;
            Ok(checkpoint)
        })
    }

    fn all_ids(lake: &Memory) -> Vec<String> {
        let outlet = Outside::new();
        run(lake, &outlet, &filter(), &tempfile::tempdir().unwrap(), usize::MAX).unwrap();
        outlet.ids()
    }

    #[test]
    fn every_event_goes_out_once_in_the_order_in_which_it_happened() {
        let lake = lake_of_300();
        let outlet = Outside::new();
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = run(&lake, &outlet, &filter(), &folder, usize::MAX).unwrap();
        assert_eq!((checkpoint.sent, checkpoint.refused, checkpoint.state), (300, 0, State::Completed));
        let ids = outlet.ids();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 300);
        assert_eq!(ids.len(), 300);
        let times: Vec<Value> = outlet
            .taken
            .borrow()
            .iter()
            .map(|event| serde_json::from_str::<Value>(&event.detail).unwrap()["time"].clone())
            .collect();
        assert!(times.is_sorted_by_key(|time| time.as_str().unwrap().to_owned()));
    }

    #[test]
    fn an_hour_that_is_too_large_is_read_in_parts() {
        let lake = lake_of_300();
        let whole = all_ids(&lake);
        let outlet = Outside::new();
        let folder = tempfile::tempdir().unwrap();
        run(&lake, &outlet, &filter(), &folder, 3_000).unwrap();
        assert_eq!(outlet.ids(), whole);
    }

    #[test]
    fn a_replay_that_is_killed_at_any_call_goes_on_where_it_was() {
        let lake = lake_of_300();
        let whole = all_ids(&lake);
        for (dies_in, is_taken) in (0..300 / CHUNK).flat_map(|call| [(call, false), (call, true)]) {
            let folder = tempfile::tempdir().unwrap();
            let mut outlet = Outside::new();
            outlet.dies_in = Some((dies_in, is_taken));
            let run_and_die = || run(&lake, &outlet, &filter(), &folder, usize::MAX);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(run_and_die)).unwrap_err();
            let after = Outside::new();
            let checkpoint = run(&lake, &after, &filter(), &folder, usize::MAX).unwrap();
            assert_eq!(checkpoint.sent, 300);
            let (before, after) = (outlet.ids(), after.ids());
            let both: BTreeSet<&String> = before.iter().chain(&after).collect();
            assert_eq!(both.len(), 300, "call {dies_in}");
            let repeated = if is_taken { CHUNK } else { 0 };
            assert_eq!(before.len() + after.len(), 300 + repeated, "what was acknowledged is not sent again");
            assert_eq!(after, whole[dies_in * CHUNK..], "call {dies_in}");
        }
    }

    #[test]
    fn what_is_not_taken_now_is_sent_again_and_what_is_refused_is_told() {
        let lake = lake_of_300();
        let mut outlet = Outside::new();
        outlet.refuses = "e-2-7";
        outlet.failures.set(5);
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = run(&lake, &outlet, &filter(), &folder, usize::MAX).unwrap();
        assert_eq!((checkpoint.sent, checkpoint.refused), (299, 1));
        assert_eq!(checkpoint.refused_ids, ["e-2-7"]);
        assert_eq!(outlet.ids().len(), 299);
    }

    #[test]
    fn a_replay_that_nobody_takes_breaks_off_and_can_be_gone_on_with() {
        let lake = lake_of_300();
        let mut outlet = Outside::new();
        outlet.failures.set(u32::MAX);
        let folder = tempfile::tempdir().unwrap();
        let problem = run(&lake, &outlet, &filter(), &folder, usize::MAX).unwrap_err();
        assert!(format!("{problem:#}").contains("throttled"), "{problem:#}");
        outlet = Outside::new();
        assert_eq!(run(&lake, &outlet, &filter(), &folder, usize::MAX).unwrap().sent, 300);
    }

    #[test]
    fn only_what_was_asked_for_goes_out() {
        let mut lake = Memory::default();
        let from = MS_PER_HOUR + 1_000;
        lake.add(
            1,
            &[
                placed("early", from - 1),
                placed("first", from),
                row("paid", "payments.payment-requested.v1", from + 1),
                placed("last", from + 99),
                placed("late", from + 100),
            ],
        );
        let ids = |change: &dyn Fn(&mut Filter)| {
            let mut filter = filter();
            filter.scope.from = Timestamp::from_unix_ms(from);
            filter.scope.to = Timestamp::from_unix_ms(from + 100);
            change(&mut filter);
            let outlet = Outside::new();
            run(&lake, &outlet, &filter, &tempfile::tempdir().unwrap(), usize::MAX).unwrap();
            outlet.ids()
        };
        assert_eq!(ids(&|_| ()), ["first", "paid", "last"]);
        assert_eq!(ids(&|filter| filter.left_out = vec!["payments.payment-requested"]), ["first", "last"]);
        for wanted in ["payments.payment-requested", "payments.payment-requested.v1"] {
            assert_eq!(ids(&|filter| filter.scope.types = vec![wanted.to_owned()]), ["paid"]);
        }
        assert_eq!(ids(&|filter| filter.scope.types = vec!["payments".to_owned()]), [""; 0]);
        assert_eq!(without_version("shop.visited"), "shop.visited");
        assert_eq!(ids(&|filter| filter.scope.subjects = vec!["o-last".to_owned()]), ["last"]);
        assert_eq!(ids(&|filter| filter.scope.sources = vec!["payments".to_owned()]), [""; 0]);
    }

    #[test]
    fn one_id_of_several_senders_is_several_events() {
        let mut lake = Memory::default();
        let at = MS_PER_HOUR + 5;
        let claims = [
            placed("e-1", at),
            row_of("444455556666", "e-1", "orders.order-placed.v1", at),
            row_of("777788889999", "e-1", "orders.order-placed.v1", at),
            row("e-1", "orders.order-accepted.v1", at),
        ];
        lake.add(1, &claims);
        lake.add(1, &claims[1..]);
        let whole = all_ids(&lake);
        assert_eq!(whole, ["e-1"; 4]);
        // Broken off behind any of them, it goes on with the next.
        for dies_in in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let mut outlet = Outside::new();
            outlet.dies_in = Some((dies_in, false));
            let die = || run_by(1, &lake, &outlet, &filter(), &folder, usize::MAX);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(die)).unwrap_err();
            let after = Outside::new();
            run_by(1, &lake, &after, &filter(), &folder, usize::MAX).unwrap();
            let sent = [&outlet.taken.borrow()[..], &after.taken.borrow()[..]].concat();
            let accounts: BTreeSet<_> =
                sent.iter().map(|event| (event.event_type.clone(), event.account.clone())).collect();
            assert_eq!((sent.len(), accounts.len()), (4, 4), "{dies_in}: {sent:?}");
        }
        // Over the bus, which would make them ours, other accounts' events are not sent.
        let to_the_bus = Filter { only_of_account: Some(OWN.to_owned()), ..filter() };
        let outlet = Outside::new();
        run(&lake, &outlet, &to_the_bus, &tempfile::tempdir().unwrap(), usize::MAX).unwrap();
        assert!(outlet.taken.borrow().iter().all(|event| event.account.as_deref() == Some(OWN)));
        assert_eq!(outlet.taken.borrow().len(), 2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reader = LakeReader::new(&lake);
        let hours = runtime.block_on(reader.hours(scope().from, scope().to)).unwrap();
        let counted = runtime.block_on(reader.count(&hours, &to_the_bus)).unwrap();
        assert_eq!((counted.sent.values().sum::<u64>(), counted.of_others), (2, 2));
    }

    #[test]
    fn what_few_readers_hold_goes_out_to_the_letter() {
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        let mut lake = Memory::default();
        let datas = [r#"{"note":"\ud83d"}"#, r#"{"n":1e400,"i":123456789012345678901234567890}"#, &deep];
        let rows = datas.iter().enumerate().map(|(number, data)| {
            let body = format!(
                r#"{{"version":"0","id":"bus-{number}","detail-type":"a.b.v1","source":"a","account":"{OWN}","time":"1970-01-01T01:00:00Z","region":"r","resources":["\ud83d"],"detail":{{"specversion":"1.0","id":"e-{number}","source":"a","type":"a.b.v1","time":"1970-01-01T01:00:00.000Z","data":{data}}}}}"#
            );
            match lake::Message::read(body.leak(), lake::Delivery { own_account: Some(OWN), arrived_at: None }) {
                lake::Message::Event(row) => *row,
                other => panic!("{other:?}"),
            }
        });
        lake.add(1, &rows.collect::<Vec<_>>());
        let outlet = Outside::new();
        run(&lake, &outlet, &filter(), &tempfile::tempdir().unwrap(), usize::MAX).unwrap();
        for (event, data) in outlet.taken.borrow().iter().zip(datas) {
            assert!(event.detail.ends_with(&format!("\"data\":{data}}}")), "{:.200}", event.detail);
        }
        assert_eq!(outlet.taken.borrow().len(), 3);
    }

    #[test]
    fn an_event_goes_out_as_it_was() {
        let mut lake = Memory::default();
        lake.add(24, &[placed("e-1", 24 * MS_PER_HOUR + 5)]);
        let outlet = Outside::new();
        run(&lake, &outlet, &filter(), &tempfile::tempdir().unwrap(), usize::MAX).unwrap();
        let taken = outlet.taken.borrow();
        let event = &taken[0];
        let detail: Value = serde_json::from_str(&event.detail).unwrap();
        assert_eq!((&detail["id"], &detail["time"]), (&json!("e-1"), &json!("1970-01-02T00:00:00.005Z")));
        assert_eq!(detail["data"], json!({"orderId": "o-e-1"}));
        assert_eq!((event.bus_id.as_str(), event.account.as_deref()), ("bus-e-1", Some(OWN)));
        assert_eq!(event.bus_time, Timestamp::from_unix_ms(48 * MS_PER_HOUR));
    }

    #[test]
    fn an_object_that_was_folded_into_another_is_read_there() {
        let mut lake = Memory::default();
        let (one, two) = (placed("e-1", MS_PER_HOUR), placed("e-2", MS_PER_HOUR + 1));
        let gone = lake.add(1, std::slice::from_ref(&one));
        let reader_saw = lake.listed("events/");
        lake.objects.remove(&gone);
        lake.add(1, &[one, two]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hour = Hour::of(Timestamp::from_unix_ms(MS_PER_HOUR)).unwrap();
        let hour = HourListed { hour, objects: reader_saw, rows: 1 };
        let counted = runtime.block_on(LakeReader::new(&lake).count(&[hour], &filter())).unwrap();
        assert_eq!(counted.sent.values().sum::<u64>(), 2);
        // One that vanishes although it is listed is an error, not an hour without events.
        let hours = runtime.block_on(LakeReader::new(&lake).hours(scope().from, scope().to)).unwrap();
        lake.gone = lake.objects.keys().next().cloned();
        assert!(runtime.block_on(LakeReader::new(&lake).count(&hours, &filter())).is_err());
    }

    #[test]
    fn rows_are_counted_from_the_footers_and_events_once_each() {
        let lake = lake_of_300();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reader = LakeReader::new(&lake);
        let hours = runtime.block_on(reader.hours(scope().from, scope().to)).unwrap();
        assert_eq!(hours.len(), 3);
        assert_eq!(hours.iter().map(|hour| hour.rows).sum::<u64>(), 3 * 134);
        let mut filter = filter();
        let counted = runtime.block_on(reader.count(&hours, &filter)).unwrap();
        let key = ("orders".to_owned(), "orders.order-placed.v1".to_owned());
        assert_eq!(counted.sent, BTreeMap::from([(key.clone(), 300)]));
        filter.left_out = vec!["orders.order-placed"];
        let counted = runtime.block_on(reader.count(&hours, &filter)).unwrap();
        assert_eq!((counted.sent, counted.left_out), (BTreeMap::new(), BTreeMap::from([(key, 300)])));
    }

    #[test]
    fn the_lake_reaches_back_to_the_first_hour_that_holds_something() {
        let lake = lake_of_300();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hour_at = |hour: i64| Timestamp::from_unix_ms(hour * MS_PER_HOUR);
        let first = |from, to| {
            let found = runtime.block_on(LakeReader::new(&lake).first_hour(hour_at(from), hour_at(to)));
            found.unwrap().map(|hour| hour.start().unix_ms() / MS_PER_HOUR)
        };
        assert_eq!(first(0, 100), Some(1));
        assert_eq!(first(0, 1), None);
        assert_eq!(first(3, 100), Some(50));
        assert_eq!(first(51, 100_000), None);
    }

    #[test]
    fn a_span_is_listed_by_days_and_a_long_one_by_years() {
        let at = |text: &str| contracts::parse_timestamp(text).unwrap();
        let days = prefixes(at("2026-01-31T23:00:00Z"), at("2026-02-01T00:00:00Z"));
        assert_eq!(days, ["events/dt=2026-01-31/", "events/dt=2026-02-01/"]);
        let years = prefixes(at("2024-12-31T23:00:00Z"), at("2026-02-01T00:00:00Z"));
        assert_eq!(years, ["events/dt=2024-", "events/dt=2025-", "events/dt=2026-"]);
        assert_eq!(prefixes(Timestamp::from_unix_ms(0), at("2026-02-01T00:00:00Z")).len(), 57);
    }
}
