use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use contracts::{Event, Outbound};
use memory::{Fault, Faults};
use runtime::Handler;

use crate::{Function, SteppingClock};

/// How often a batch may be delivered before it counts as stuck.
const DELIVERIES_MAX: usize = 20;

/// What a run left behind.
struct Run<S> {
    state: S,
    /// By event id: the type and the letter.
    published: BTreeMap<String, (&'static str, String)>,
    /// How many calls the history took.
    calls: u64,
    /// How often the function was polled until each batch was answered.
    polls: usize,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Default)]
struct Mishaps {
    /// Calls that are lost, numbered from the first call of the history.
    lost: Vec<(u64, Fault)>,
    /// The function is dropped, as by a crash, when it was polled so often.
    dropped_after_polls: Option<usize>,
}

/// Runs a history without any mishap, and then with every mishap that it can meet: every call lost on its way there or
/// back, every two calls lost, the process gone at every point where it waits. Each batch is delivered until all of it
/// is acknowledged, and `meanwhile` plays the world after each delivery. However it went, the same state is left, and
/// the same events were published to the letter.
///
/// The events of one batch must not depend on one another. With a clock that moves on at every reading, the instants of
/// two runs differ; within one run every copy of an event is the same.
pub async fn every_crash_converges<H: Handler, S: PartialEq + Debug>(
    build: impl AsyncFn(Faults, SteppingClock) -> Function<H>,
    meanwhile: impl AsyncFn(&H),
    history: &[Vec<Event>],
    state: impl Fn(&H) -> S,
) {
    for step_ms in [0, 1_000] {
        let run = async |mishaps: &Mishaps| run(&build, &meanwhile, history, &state, step_ms, mishaps).await;
        let undisturbed = run(&Mishaps::default()).await;
        assert!(undisturbed.calls > 0, "nothing was called");
        for mishaps in all_mishaps(undisturbed.calls, undisturbed.polls) {
            let disturbed = run(&mishaps).await;
            if step_ms == 0 {
                assert_eq!(disturbed.state, undisturbed.state, "{mishaps:?}");
                assert_eq!(disturbed.published, undisturbed.published, "{mishaps:?}");
            } else {
                assert_eq!(types(&disturbed), types(&undisturbed), "{mishaps:?}");
            }
        }
    }
}

fn types<S>(run: &Run<S>) -> BTreeMap<&str, &str> {
    run.published.iter().map(|(id, (event_type, _))| (id.as_str(), *event_type)).collect()
}

fn all_mishaps(calls: u64, polls: usize) -> Vec<Mishaps> {
    const FAULTS: [Fault; 2] = [Fault::NotApplied, Fault::ReplyLost];
    let mut all = Vec::new();
    for first in 1..=calls {
        for fault in FAULTS {
            all.push(Mishaps { lost: vec![(first, fault)], dropped_after_polls: None });
            // What a fault makes necessary is called after it, so the second may come later than the last call was.
            for second in first + 1..=calls + 3 {
                for other in FAULTS {
                    all.push(Mishaps {
                        lost: vec![(first, fault), (second, other)],
                        dropped_after_polls: None,
                    });
                }
            }
        }
    }
    for polls in 1..=polls {
        all.push(Mishaps { lost: vec![], dropped_after_polls: Some(polls) });
    }
    all
}

async fn run<H: Handler, S>(
    build: &impl AsyncFn(Faults, SteppingClock) -> Function<H>,
    meanwhile: &impl AsyncFn(&H),
    history: &[Vec<Event>],
    state: &impl Fn(&H) -> S,
    step_ms: i64,
    mishaps: &Mishaps,
) -> Run<S> {
    let faults = Faults::default();
    let function = build(faults.clone(), SteppingClock::new(step_ms)).await;
    let calls_before = faults.calls();
    for (number, fault) in &mishaps.lost {
        faults.fail_call(calls_before + number, *fault);
    }
    let (mut polls, mut crash_at) = (0, mishaps.dropped_after_polls);
    for batch in history {
        let mut remaining = batch.clone();
        for delivery in 0.. {
            assert!(delivery < DELIVERIES_MAX, "a batch is stuck: {mishaps:?}");
            let left = crash_at.map(|crash_at| crash_at - polls);
            match poll(function.deliver_batch(&remaining), left, &mut polls) {
                Some(failed) => remaining = failed,
                // A batch whose function crashed is delivered again as a whole.
                None => crash_at = None,
            }
            meanwhile(function.handler()).await;
            if remaining.is_empty() {
                break;
            }
        }
    }
    let published = by_id(function.published());
    Run { state: state(function.handler()), published, calls: faults.calls() - calls_before, polls }
}

/// Polls a future to its end, or drops it when it was polled so often.
fn poll<T>(future: impl Future<Output = T>, polls_max: Option<usize>, polls: &mut usize) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for poll in 0.. {
        if polls_max == Some(poll) {
            return None;
        }
        *polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

/// The events by id, none of which may ever have been published in two versions.
fn by_id(published: Vec<Outbound>) -> BTreeMap<String, (&'static str, String)> {
    let mut events = BTreeMap::new();
    for Outbound { event_type, event_id, detail } in published {
        let event = (event_type.as_str(), detail);
        let first = events.entry(event_id.to_string()).or_insert_with(|| event.clone());
        assert_eq!(*first, event, "an event was published in two versions");
    }
    events
}
