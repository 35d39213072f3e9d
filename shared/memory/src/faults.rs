use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use ports::PortError;

use crate::lock;

/// How a call is lost. The caller cannot tell one from the other: both are a transient [`PortError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It never arrived. Nothing is changed.
    NotApplied,
    /// It was applied, and its answer never came back.
    ReplyLost,
}

/// Which calls are lost, by their number.
///
/// A clone is another handle on the same plan. Adapters that hold the same plan are counted in one sequence, in
/// the order in which their calls are applied; an adapter with a plan of its own is counted alone. To try every
/// crash of a run: run it once, read [`Faults::calls`], and run it again for each number and each [`Fault`].
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    calls: u64,
    planned: BTreeMap<u64, Fault>,
}

impl Faults {
    /// Loses the call with this number. The first call ever made is number 1.
    pub fn fail_call(&self, number: u64, fault: Fault) {
        lock(&self.0).planned.insert(number, fault);
    }

    /// Loses the next call.
    pub fn fail_next(&self, fault: Fault) {
        let mut plan = lock(&self.0);
        let number = plan.calls + 1;
        plan.planned.insert(number, fault);
    }

    /// How many calls were made, lost ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// How many faults are planned that no call has met. A test that plans faults wants this to end at 0.
    #[must_use]
    pub fn unmet(&self) -> usize {
        lock(&self.0).planned.len()
    }

    /// Makes one call: waits for its turn, counts it, and applies it unless it is lost.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        apply: impl FnOnce() -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        answer(self.arrive().await, operation, apply)
    }

    /// Waits for the turn of one call and counts it. For calls that answer more than once; see [`answer`].
    pub(crate) async fn arrive(&self) -> Option<Fault> {
        yield_once().await;
        let mut plan = lock(&self.0);
        plan.calls += 1;
        let number = plan.calls;
        plan.planned.remove(&number)
    }
}

/// Applies what arrived, and answers unless the answer is lost.
pub(crate) fn answer<T>(
    fault: Option<Fault>,
    operation: &'static str,
    apply: impl FnOnce() -> Result<T, PortError>,
) -> Result<T, PortError> {
    match fault {
        None => apply(),
        Some(Fault::NotApplied) => Err(PortError::transient(operation, "injected: not applied")),
        Some(Fault::ReplyLost) => {
            drop(apply());
            Err(PortError::transient(operation, "injected: applied, reply lost"))
        }
    }
}

type Choice<T> = Box<dyn FnMut(&T) -> Option<Fault> + Send>;

/// Loses chosen entries of calls that carry many and answer for each.
pub(crate) struct EntryFaults<T>(Mutex<Option<Choice<T>>>);

impl<T> EntryFaults<T> {
    pub(crate) fn set(&self, choice: impl FnMut(&T) -> Option<Fault> + Send + 'static) {
        *lock(&self.0) = Some(Box::new(choice));
    }

    pub(crate) fn fault_of(&self, entry: &T) -> Option<Fault> {
        lock(&self.0).as_mut().and_then(|choice| choice(entry))
    }
}

impl<T> Default for EntryFaults<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> fmt::Debug for EntryFaults<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntryFaults").field(&lock(&self.0).is_some()).finish()
    }
}

/// Gives every other task a turn.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
