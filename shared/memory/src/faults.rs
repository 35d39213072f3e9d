use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use ports::PortError;

use crate::lock;

/// What goes wrong with a call. Of the first two the caller cannot tell one from the other: both are a transient
/// [`PortError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It never arrived. Nothing is changed.
    NotApplied,
    /// It was applied, and its answer never came back.
    ReplyLost,
    /// It was applied, its answer never came back, and the client asked again by itself, as the SDK does: the caller
    /// gets the answer to a call that met its own write.
    Repeated,
    /// The caller is gone before the call left. The call never comes back; whoever runs the caller drops it.
    GoneBefore,
    /// The caller is gone after the call was applied. The call never comes back.
    GoneAfter,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::NotApplied, Self::ReplyLost, Self::Repeated, Self::GoneBefore, Self::GoneAfter];

    fn is_gone(self) -> bool {
        matches!(self, Self::GoneBefore | Self::GoneAfter)
    }
}

/// How one call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How often every other task gets a turn before the call is applied.
    pub waits: u32,
    /// What goes wrong with it.
    pub fault: Option<Fault>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { waits: 1, fault: None }
    }
}

/// What one call was answered. A clone is the same answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which call, such as `memory:OpenOrder`.
    pub operation: &'static str,
    answer: Arc<dyn Given>,
}

impl Answer {
    fn new(operation: &'static str, answer: &(impl Again + Given)) -> Self {
        Self { operation, answer: Arc::new(answer.again()) }
    }

    /// What was answered.
    #[must_use]
    pub fn given(&self) -> &dyn fmt::Debug {
        &self.answer
    }
}

/// Whatever a call is answered, whichever call it is.
trait Given: Any + fmt::Debug + Send + Sync {}

impl<T: Any + fmt::Debug + Send + Sync> Given for T {}

/// An answer that can be given a second time.
pub(crate) trait Again {
    fn again(&self) -> Self;
}

impl<T: Clone> Again for Result<T, PortError> {
    fn again(&self) -> Self {
        match self {
            Ok(answer) => Ok(answer.clone()),
            Err(PortError { operation, retry, source }) => {
                Err(PortError { operation, retry: *retry, source: source.to_string().into() })
            }
        }
    }
}

impl Again for Vec<Result<(), PortError>> {
    fn again(&self) -> Self {
        self.iter().map(Again::again).collect()
    }
}

/// Which calls are lost, by their number.
///
/// A clone is another handle on the same plan. Adapters that hold the same plan are counted in one sequence, in
/// the order in which their calls are applied; an adapter with a plan of its own is counted alone. To try every
/// crash of a run: run it once, read [`Faults::calls`], and run it again for each number and each [`Fault`].
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    calls: u64,
    planned: BTreeMap<u64, Fault>,
    judge: Option<Judge>,
    listener: Option<Listener>,
    known: VecDeque<Answer>,
    gone: bool,
}

type Judge = Box<dyn FnMut(&'static str) -> Turn + Send>;
type Listener = Box<dyn FnMut(Answer) + Send>;

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, planned, judge, listener, known, gone } = self;
        let mut debug = f.debug_struct("Plan");
        debug
            .field("calls", calls)
            .field("planned", planned)
            .field("judge", &judge.is_some())
            .field("listener", &listener.is_some())
            .field("known", known)
            .field("gone", gone)
            .finish()
    }
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

    /// Asks `judge` about every call that is made from now on, by the name of its operation. A call that is planned to
    /// fail fails all the same.
    pub fn judged_by(&self, judge: impl FnMut(&'static str) -> Turn + Send + 'static) {
        lock(&self.0).judge = Some(Box::new(judge));
    }

    /// Gives `listener` the answer to every call that is made from now on: what the callers know of the world follows from
    /// these answers alone.
    pub fn answers_heard_by(&self, listener: impl FnMut(Answer) + Send + 'static) {
        lock(&self.0).listener = Some(Box::new(listener));
    }

    /// The next calls are not applied, but get these answers, one each, in this order: so that a caller that begins again comes
    /// to where it was, and nothing else changes.
    ///
    /// An answer to another call than the one that comes is an error of the caller of this method, and is dropped.
    pub fn answer_next_with(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.0).known = answers.into_iter().collect();
    }

    /// True when a caller went since this was last asked: it is to be dropped now.
    #[must_use]
    pub fn take_gone(&self) -> bool {
        std::mem::take(&mut lock(&self.0).gone)
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

    /// Makes one call: waits for its turn, counts it, and applies it unless it is lost or its answer is known.
    ///
    /// # Errors
    /// What `apply` answers; a transient one when the call is lost.
    pub async fn call<T: fmt::Debug + Clone + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        apply: impl Fn() -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let fault = self.arrive(operation).await;
        if let Some(answer) = self.known() {
            return answer;
        }
        let answer = answer(fault, operation, apply);
        self.hear(operation, &answer);
        self.leave(fault).await;
        answer
    }

    /// Waits for the turn of one call and counts it. For calls that answer more than once; see [`answer`] and
    /// [`Faults::leave`].
    pub(crate) async fn arrive(&self, operation: &'static str) -> Option<Fault> {
        let Turn { waits, fault } = match &mut lock(&self.0).judge {
            Some(judge) => judge(operation),
            None => Turn::default(),
        };
        for _ in 0..waits {
            yield_once().await;
        }
        let mut plan = lock(&self.0);
        plan.calls += 1;
        let number = plan.calls;
        plan.planned.remove(&number).or(fault)
    }

    /// The answer that the call gets without being applied.
    pub(crate) fn known<T: Again + 'static>(&self) -> Option<T> {
        let Answer { answer, .. } = lock(&self.0).known.pop_front()?;
        let answer: &dyn Any = &*answer;
        answer.downcast_ref().map(T::again)
    }

    /// Gives an answer to who listens.
    pub(crate) fn hear(
        &self,
        operation: &'static str,
        answer: &(impl Again + fmt::Debug + Send + Sync + 'static),
    ) {
        if let Some(listener) = &mut lock(&self.0).listener {
            listener(Answer::new(operation, answer));
        }
    }

    /// Comes back with the answer, unless nobody is there for it.
    pub(crate) async fn leave(&self, fault: Option<Fault>) {
        if fault.is_some_and(Fault::is_gone) {
            lock(&self.0).gone = true;
            pending().await
        }
    }
}

/// Applies what arrived, and answers unless the answer is lost.
pub(crate) fn answer<T>(
    fault: Option<Fault>,
    operation: &'static str,
    apply: impl Fn() -> Result<T, PortError>,
) -> Result<T, PortError> {
    match fault {
        None => apply(),
        Some(Fault::NotApplied | Fault::GoneBefore) => {
            Err(PortError::transient(operation, "injected: not applied"))
        }
        Some(Fault::ReplyLost | Fault::GoneAfter) => {
            drop(apply());
            Err(PortError::transient(operation, "injected: applied, reply lost"))
        }
        Some(Fault::Repeated) => {
            drop(apply());
            apply()
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
