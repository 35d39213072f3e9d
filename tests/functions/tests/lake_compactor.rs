//! `lake-compactor`: whatever it is in the middle of, readers see each event once; and when it is done, each event is there
//! once.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use contracts::Event;
use domain::Timestamp;
use event_archiver::EventArchiver;
use function_tests::{NOW, batch, cancelled, envelope, message, placed};
use lake::{Hour, Partition};
use lake_compactor::{LakeCompactor, Manifest, Request, RunError, Settings, Summary};
use memory::{Fault, Faults, ManualClock, MemoryEventLake, Turn};
use ports::{Clock, EventLake, LakeObject};
use runtime::Deadline;

const HOUR_MS: i64 = 3_600_000;
const GRACE_MS: i64 = HOUR_MS;

/// A lake, and everything that was ever seen of it.
struct World {
    faults: Faults,
    clock: Arc<ManualClock>,
    lake: MemoryEventLake,
    settings: Settings,
    /// What should be visible.
    published: BTreeSet<String>,
}

type Compactor = LakeCompactor<MemoryEventLake, MemoryEventLake, Arc<ManualClock>>;

impl World {
    async fn new() -> Self {
        let (faults, clock) = (Faults::default(), Arc::new(ManualClock::new(NOW)));
        let lake = MemoryEventLake::with_clock(faults.clone(), clock.clone());
        let settings = Settings {
            lateness_s: 7_200,
            grace_s: 3_600,
            lookback_days: 3,
            object_bytes_max: 128 << 20,
            merge_bytes_max: 400 << 20,
        };
        let mut world = Self { faults, clock, lake, settings, published: BTreeSet::new() };
        // Events of noon in three batches that overlap, one of them put on the bus twice; and one an hour later.
        let noon = |id: &str, order: &str| placed(id, order, &[("MUG", 1)]);
        world
            .archive(&[(noon("e-1", "o-1"), 1), (noon("e-2", "o-2"), 2), (cancelled("e-3", "o-1"), 3)])
            .await;
        world.archive(&[(noon("e-2", "o-2"), 2), (noon("e-4", "o-4"), 4)]).await;
        world.archive(&[(noon("e-4", "o-4"), 5), (noon("e-1", "o-1"), 1)]).await;
        let one = Event { time: Timestamp::from_unix_ms(NOW.unix_ms() + HOUR_MS), ..cancelled("e-5", "o-2") };
        world.archive(&[(one, 6)]).await;
        world
    }

    async fn archive(&mut self, events: &[(Event, u64)]) {
        let body = |(event, delivery): &(Event, u64)| message("m", &envelope(event, *delivery), 1);
        let archiver = EventArchiver { lake: self.lake.clone() };
        let answer = archiver.archive(batch(events.iter().map(body)), deadline()).await;
        assert!(answer.batch_item_failures.is_empty());
        self.published.extend(events.iter().map(|(event, _)| event.id.to_string()));
    }

    fn compactor(&self) -> Compactor {
        LakeCompactor {
            lake: self.lake.clone(),
            objects: self.lake.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
        }
    }

    /// Runs the compactor until the end, or until it is killed.
    async fn run(&self) -> Option<Result<Summary, RunError>> {
        let compactor = self.compactor();
        let mut running = pin!(compactor.respond(Request::default(), deadline()));
        poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.faults.take_gone() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Runs it as often as the schedule would, an hour apart, and has a late event come in the middle.
    async fn history(&mut self) {
        for run in 0..6 {
            self.clock.advance_ms(4 * HOUR_MS / (1 + run.min(3)));
            if run == 2 {
                self.archive(&[(placed("e-9", "o-9", &[("MUG", 1)]), 9)]).await;
            }
            if run == 3 {
                // What was archived first, and removed by now, is delivered once more.
                let noon = |id: &str, order: &str| placed(id, order, &[("MUG", 1)]);
                self.archive(&[(noon("e-2", "o-2"), 2), (noon("e-4", "o-4"), 4)]).await;
            }
            drop(self.run().await);
            assert_eq!(visible(&self.lake), self.published);
        }
    }

    fn rows(&self) -> usize {
        contents(&self.lake).values().map(Vec::len).sum()
    }
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(600))
}

/// The ids in each object of events.
fn contents(lake: &MemoryEventLake) -> BTreeMap<String, Vec<String>> {
    /// What was read, by key: under one key there is only ever one content.
    static READ: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
    let objects = lake.objects().into_iter().filter(|object| object.key.starts_with("events/"));
    let ids = |object: LakeObject| {
        if let Some(ids) = READ.lock().unwrap().get(&object.key) {
            return (object.key, ids.clone());
        }
        let partition = Partition::of_key(&object.key).unwrap();
        assert_eq!(partition.key(&object.body), object.key, "named by its content");
        let rows = lake::decode(&object.body.into()).unwrap();
        assert!(rows.iter().all(|row| Partition::Events(Hour::of(row.time).unwrap()) == partition));
        let ids: Vec<String> = rows.into_iter().map(|row| row.id.into_owned()).collect();
        READ.lock().unwrap().insert(object.key.clone(), ids.clone());
        (object.key, ids)
    };
    objects.map(ids).collect()
}

/// What readers see who take one row an id.
fn visible(lake: &MemoryEventLake) -> BTreeSet<String> {
    contents(lake).into_values().flatten().collect()
}

fn manifests(lake: &MemoryEventLake) -> Vec<Manifest> {
    let objects = lake.objects().into_iter().filter(|object| object.key.starts_with("compaction/"));
    objects.map(|object| serde_json::from_slice(&object.body).unwrap()).collect()
}

#[tokio::test]
async fn a_closed_hour_becomes_one_object_that_holds_each_event_once() {
    let world = World::new().await;
    world.clock.advance_ms(4 * HOUR_MS);
    let before = contents(&world.lake);
    assert_eq!((before.len(), world.rows()), (4, 8));

    let summary = world.run().await.unwrap().unwrap();
    let expected = Summary { hours: 2, folded: 4, written: 2, copies: 3, ..Summary::default() };
    assert_eq!(summary, expected);
    // The hour of one event folds into the object that it was.
    assert_eq!(contents(&world.lake).len(), 5, "what was folded stays for a while");
    assert_eq!(world.run().await.unwrap().unwrap(), Summary { hours: 1, ..Summary::default() });

    world.clock.advance_ms(GRACE_MS);
    assert_eq!(world.run().await.unwrap().unwrap(), Summary { hours: 1, removed: 3, ..Summary::default() });
    let after = contents(&world.lake);
    assert_eq!(after.values().cloned().collect::<Vec<_>>(), [vec!["e-3", "e-1", "e-2", "e-4"], vec!["e-5"]]);
    let of_noon = manifests(&world.lake).into_iter().find(|manifest| manifest.inputs.len() == 3).unwrap();
    assert_eq!((of_noon.rows, of_noon.copies, of_noon.outputs.len()), (4, 3, 1));
    assert_eq!(world.run().await.unwrap().unwrap(), Summary::default(), "nothing is left to be done");
}

#[tokio::test]
async fn of_copies_the_one_that_the_bus_took_first_stays() {
    let world = World::new().await;
    world.clock.advance_ms(4 * HOUR_MS);
    world.run().await.unwrap().unwrap();
    let [manifest] =
        &manifests(&world.lake).into_iter().filter(|manifest| manifest.rows == 4).collect::<Vec<_>>()[..]
    else {
        panic!("one manifest")
    };
    let folded = world.lake.object(&manifest.outputs[0]).unwrap();
    let rows = lake::decode(&folded.body.into()).unwrap();
    let bus_ids: Vec<&str> = rows.iter().map(|row| &*row.bus_id).collect();
    assert_eq!(bus_ids, ["bus-3", "bus-1", "bus-2", "bus-4"], "e-4 was bus-4 and bus-5");
}

#[tokio::test]
async fn one_id_of_several_senders_stays_several_events_and_old_objects_are_folded_with_new_ones() {
    let world = World::new().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/lake/tests/golden");
    // An hour whose objects were written before there was a column for the origin, and others with it.
    for version in [1, 2] {
        let body = std::fs::read(format!("{folder}/version-{version}.parquet")).unwrap();
        let key = Partition::Events(Hour::of(NOW).unwrap()).key(&body);
        let content_type = "application/vnd.apache.parquet";
        world.lake.write_once(LakeObject { key, body, content_type, content_encoding: None }).await.unwrap();
    }
    world.clock.advance_ms(4 * HOUR_MS);
    world.run().await.unwrap().unwrap();
    let folded = manifests(&world.lake).into_iter().find(|manifest| manifest.inputs.len() == 5).unwrap();
    // Four of before, 23 that both versions hold, and three that the second holds alone: two of them of one id.
    assert_eq!((folded.rows, folded.copies), (4 + 23 + 3, 3 + 23));
    let rows = lake::decode(&world.lake.object(&folded.outputs[0]).unwrap().body.into()).unwrap();
    let mut origins: Vec<_> =
        rows.iter().filter(|row| row.id == "scan-1").map(|row| row.origin.as_deref()).collect();
    origins.sort_unstable();
    assert_eq!(origins, [Some("account:444455556666"), Some("producer:carrier")]);
}

#[tokio::test]
async fn an_hour_that_is_not_closed_is_left_alone() {
    let world = World::new().await;
    world.clock.advance_ms(3 * HOUR_MS - 1);
    let before = contents(&world.lake);
    assert_eq!(world.run().await.unwrap().unwrap(), Summary::default());
    assert_eq!(contents(&world.lake), before);
    world.clock.advance_ms(1);
    assert_eq!(world.run().await.unwrap().unwrap().hours, 1, "noon ended two hours ago");
}

#[tokio::test]
async fn an_event_that_comes_late_is_folded_with_its_hour() {
    let mut world = World::new().await;
    world.history().await;
    assert_eq!(world.rows(), world.published.len(), "each event once: {:?}", contents(&world.lake));
    assert_eq!(contents(&world.lake).len(), 2);
}

#[tokio::test]
async fn wherever_it_is_killed_no_event_is_missing_at_any_moment_and_in_the_end_each_is_there_once() {
    let mut undisturbed = World::new().await;
    let calls_before = undisturbed.faults.calls();
    undisturbed.history().await;
    let calls = undisturbed.faults.calls() - calls_before;
    let remains = contents(&undisturbed.lake);
    assert!(calls > 40, "{calls} calls");
    for call in 1..=calls {
        for fault in Fault::ALL {
            let mut world = World::new().await;
            let calls_before = world.faults.calls();
            // The archiver's own calls are not to be lost here: they come from a history of their own.
            world.faults.fail_call(calls_before + call, fault);
            let watched = watch(&world);
            if let Err(lost) = history_of_the_compactor(&mut world).await {
                panic!("call {call}, {fault:?}: {lost}");
            }
            assert_eq!(watched.lock().unwrap().missing, BTreeSet::new(), "call {call}, {fault:?}");
            // Whatever is left is done by the runs that follow.
            for _ in 0..3 {
                world.clock.advance_ms(GRACE_MS);
                world.run().await.unwrap().unwrap();
            }
            assert_eq!(contents(&world.lake), remains, "call {call}, {fault:?}");
        }
    }
}

/// The same as [`World::history`], but an archiver that meets a fault delivers again.
async fn history_of_the_compactor(world: &mut World) -> Result<(), String> {
    let noon = |id: &str, order: &str| placed(id, order, &[("MUG", 1)]);
    for run in 0..6 {
        world.clock.advance_ms(4 * HOUR_MS / (1 + run.min(3)));
        let late = match run {
            2 => vec![(noon("e-9", "o-9"), 9)],
            3 => vec![(noon("e-2", "o-2"), 2), (noon("e-4", "o-4"), 4)],
            _ => vec![],
        };
        while !late.is_empty() {
            let body = |(event, delivery): &(Event, u64)| message("m", &envelope(event, *delivery), 1);
            let archiver = EventArchiver { lake: world.lake.clone() };
            let mut archiving = pin!(archiver.archive(batch(late.iter().map(body)), deadline()));
            let answer = poll_fn(|context| match archiving.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if world.faults.take_gone() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if answer.await.is_some_and(|answer| answer.batch_item_failures.is_empty()) {
                break;
            }
        }
        world.published.extend(late.iter().map(|(event, _)| event.id.to_string()));
        drop(world.run().await);
        let visible = visible(&world.lake);
        if visible != world.published {
            return Err(format!("after run {run}: {visible:?}"));
        }
    }
    Ok(())
}

/// What was seen of a lake before every single call.
#[derive(Default)]
struct Watched {
    seen: Vec<(Timestamp, BTreeMap<String, Vec<String>>)>,
    missing: BTreeSet<String>,
}

/// Looks at the lake before every call: as a reader who sees all of it at once, and as one whose listing takes nearly as
/// long as the grace period, so that it sees the first keys as they were then and the others as they are now.
fn watch(world: &World) -> Arc<Mutex<Watched>> {
    let watched = Arc::new(Mutex::new(Watched::default()));
    let (watch, lake, clock) = (watched.clone(), world.lake.clone(), world.clock.clone());
    let published = world.published.clone();
    world.faults.judged_by(move |_| {
        let (now, present) = (clock.now(), contents(&lake));
        let mut watched = watch.lock().unwrap();
        let Watched { seen, missing } = &mut *watched;
        seen.retain(|(at, _)| now.unix_ms() - at.unix_ms() < GRACE_MS);
        if seen.last().is_none_or(|(_, last)| *last != present) {
            seen.push((now, present.clone()));
        }
        for (_, earlier) in seen.iter() {
            let keys: BTreeSet<&String> = earlier.keys().chain(present.keys()).collect();
            for split in keys {
                let first = earlier.range(..split.clone()).flat_map(|(_, ids)| ids);
                let second = present.range(split.clone()..).flat_map(|(_, ids)| ids);
                let read: BTreeSet<&String> = first.chain(second).collect();
                missing.extend(published.iter().filter(|id| !read.contains(id)).cloned());
            }
        }
        Turn::default()
    });
    watched
}

#[tokio::test]
async fn without_a_grace_period_a_slow_reader_would_miss_events() {
    let mut missing = BTreeSet::new();
    // Whether one does depends on the order of keys, which are hashes: other events, other keys.
    for salt in 0..8_u64 {
        let mut world = World::new().await;
        world.archive(&[(placed(&format!("salt-{salt}"), "o-5", &[("MUG", 1)]), 50 + salt)]).await;
        world.settings.grace_s = 0;
        let watched = watch(&world);
        history_of_the_compactor(&mut world).await.unwrap();
        missing.extend(watched.lock().unwrap().missing.clone());
    }
    assert_ne!(missing, BTreeSet::new(), "that is what the period is for");
}

#[tokio::test]
async fn two_at_once_do_no_harm_however_their_calls_interleave() {
    let mut undisturbed = World::new().await;
    undisturbed.history().await;
    let remains = contents(&undisturbed.lake);
    for seed in 1..=300_u64 {
        let mut world = World::new().await;
        // A reader who lists slowly is watched elsewhere; here every call waits a while of its own.
        let mut random = seed;
        world.faults.judged_by(move |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Turn { waits: u32::try_from(random >> 61).unwrap(), fault: None }
        });
        for run in 0..6 {
            world.clock.advance_ms(4 * HOUR_MS / (1 + run.min(3)));
            if run == 2 {
                world.archive(&[(placed("e-9", "o-9", &[("MUG", 1)]), 9)]).await;
            }
            let (one, other) = tokio::join!(world.run(), world.run());
            one.unwrap().unwrap();
            other.unwrap().unwrap();
            assert_eq!(visible(&world.lake), world.published, "seed {seed}, run {run}");
        }
        assert_eq!(contents(&world.lake), remains, "seed {seed}");
    }
}

#[tokio::test]
async fn what_memory_is_not_for_is_folded_in_steps() {
    let mut world = World::new().await;
    for number in 0..40_u64 {
        world.archive(&[(placed(&format!("many-{number}"), "o-7", &[("MUG", 1)]), 100 + number)]).await;
    }
    world.settings.merge_bytes_max = 300 << 10;
    for _ in 0..3 {
        world.clock.advance_ms(4 * HOUR_MS);
        world.run().await.unwrap().unwrap();
        assert_eq!(visible(&world.lake), world.published);
    }
    assert!(manifests(&world.lake).len() > 4, "{} manifests", manifests(&world.lake).len());
    assert_eq!(contents(&world.lake).len(), 2);
    assert_eq!(world.rows(), world.published.len());
}

#[tokio::test]
async fn a_large_hour_becomes_objects_that_follow_one_another_and_takes_what_comes_late() {
    let mut world = World::new().await;
    world.settings.object_bytes_max = 1;
    let large = |number: usize| {
        let mut event = placed(&format!("large-{number:02}"), "o-1", &[("MUG", 1)]);
        event.correlation_id = format!("{number}").repeat(500_000);
        event
    };
    for part in [0..12, 12..24] {
        let events: Vec<(Event, u64)> = part.map(|number| (large(number), number as u64)).collect();
        world.archive(&events).await;
    }
    world.clock.advance_ms(4 * HOUR_MS);
    world.run().await.unwrap().unwrap();
    world.clock.advance_ms(GRACE_MS);
    world.archive(&[(large(7), 99), (large(30), 100)]).await;
    world.run().await.unwrap().unwrap();
    world.clock.advance_ms(GRACE_MS);
    world.run().await.unwrap().unwrap();
    let of_noon: Vec<Vec<String>> = contents(&world.lake)
        .into_iter()
        .filter(|(key, _)| key.contains("hour=12"))
        .map(|(_, ids)| ids)
        .collect();
    assert!(of_noon.len() > 2, "{} objects", of_noon.len());
    assert_eq!(visible(&world.lake), world.published);
    assert_eq!(world.rows(), world.published.len(), "each event once");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_its_hour_and_no_other() {
    let world = World::new().await;
    let noon = Hour::of(NOW).unwrap();
    let damaged = LakeObject {
        key: Partition::Events(noon).key(b"damaged"),
        body: b"damaged".to_vec(),
        content_type: "application/vnd.apache.parquet",
        content_encoding: None,
    };
    world.lake.write_once(damaged).await.unwrap();
    world.clock.advance_ms(5 * HOUR_MS);
    let before = world.lake.objects().len();
    let error = world.run().await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::Hours { failed: 1, hours: 2 }), "{error}");
    assert_eq!(world.lake.objects().len(), before + 1, "the manifest of the other hour");
}

#[tokio::test]
async fn hours_of_long_ago_are_folded_when_they_are_asked_for() {
    let world = World::new().await;
    world.clock.advance_ms(400 * 24 * HOUR_MS);
    assert_eq!(world.run().await.unwrap().unwrap(), Summary::default(), "beyond what is looked back on");
    let ask = async |from: &str, to: &str| {
        let request = Request { from: Some(from.to_owned()), to: Some(to.to_owned()) };
        world.compactor().respond(request, deadline()).await
    };
    assert_eq!(ask("2026-01-31T13:00:00Z", "2026-01-31T14:00:00Z").await.unwrap().hours, 1);
    assert_eq!(ask("2026-01-30T23:00:00Z", "2026-02-01T00:00:00Z").await.unwrap().folded, 3);
    for (from, to) in
        [("yesterday", "2026-01-31T14:00:00Z"), ("2026-01-31T14:00:00Z", "-000001-01-31T22:00:00Z")]
    {
        assert!(matches!(ask(from, to).await, Err(RunError::NotAnInstant(_))), "{from} {to}");
    }
}

#[tokio::test]
async fn a_run_without_time_does_nothing() {
    let world = World::new().await;
    world.clock.advance_ms(4 * HOUR_MS);
    let before = contents(&world.lake);
    let summary =
        world.compactor().respond(Request::default(), Deadline::after(Duration::ZERO)).await.unwrap();
    assert!(summary.ran_out_of_time);
    assert_eq!(contents(&world.lake), before);
}
