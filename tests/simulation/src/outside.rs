use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use contracts::{EventType, Outbound};
use domain::EventId;
use fastrand::Rng;
use memory::{Fault, Turn};
use serde_json::Value;

use crate::lies::{Lie, Statement};
use crate::topology::Topology;

/// How often something goes wrong, each a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// A call goes wrong, in any of the ways of [`Fault`].
    pub call: f64,
    /// One entry of a call that the bus took is refused, or its answer lost.
    pub entry: f64,
    /// The bus delivers an event to a target twice.
    pub duplicate: f64,
    /// The bus gives up on a target.
    pub undelivered: f64,
    /// A message that was acknowledged is delivered again all the same.
    pub redelivered: f64,
    /// An invocation begins with its time used up, or ends without its answer being heard.
    pub invocation: f64,
    /// Time leaps ahead while work is under way.
    pub leap: f64,
    /// By how many milliseconds a function's clock may be wrong; no share.
    pub skew_ms: i64,
}

/// The account of the bus.
pub(crate) const OWN_ACCOUNT: &str = "111122223333";

/// A thing that went wrong, to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A call, in one of the ways of [`Fault`].
    Call(Fault),
    /// A call of what is down.
    Down,
    /// An entry that the bus refused.
    EntryRefused,
    /// An entry that the bus took without saying so.
    EntryReplyLost,
    /// A delivery that came twice.
    Duplicate,
    /// A delivery that the bus gave up on.
    Undelivered,
    /// A message that came again although it was acknowledged.
    Redelivered,
    /// An invocation without time.
    OutOfTime,
    /// An invocation whose answer nobody heard.
    Unheard,
    /// Time leapt ahead.
    Leap,
    /// A message that nobody can handle.
    Poison,
    /// Everything was replayed.
    Replay,
}

impl Wrong {
    /// All there are.
    pub const ALL: [Self; 16] = [
        Self::Call(Fault::NotApplied),
        Self::Call(Fault::ReplyLost),
        Self::Call(Fault::Repeated),
        Self::Call(Fault::GoneBefore),
        Self::Call(Fault::GoneAfter),
        Self::Down,
        Self::EntryRefused,
        Self::EntryReplyLost,
        Self::Duplicate,
        Self::Undelivered,
        Self::Redelivered,
        Self::OutOfTime,
        Self::Unheard,
        Self::Leap,
        Self::Poison,
        Self::Replay,
    ];

    /// In words, of many.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Call(Fault::NotApplied) => "calls not applied",
            Self::Call(Fault::ReplyLost) => "calls, reply lost",
            Self::Call(Fault::Repeated) => "calls repeated",
            Self::Call(Fault::GoneBefore) => "gone before a call",
            Self::Call(Fault::GoneAfter) => "gone after a call",
            Self::Down => "calls of what is down",
            Self::EntryRefused => "entries refused",
            Self::EntryReplyLost => "entries, reply lost",
            Self::Duplicate => "deliveries twice",
            Self::Undelivered => "deliveries given up on",
            Self::Redelivered => "messages once more",
            Self::OutOfTime => "invocations without time",
            Self::Unheard => "answers not heard",
            Self::Leap => "leaps of time",
            Self::Poison => "poison",
            Self::Replay => "replays of everything",
        }
    }
}

/// A service that is down for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Every call of this operation fails.
    pub(crate) operation: &'static str,
    /// In milliseconds after the beginning.
    pub(crate) until_ms: i64,
}

/// One call of a port by a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// By whom.
    pub function: &'static str,
    /// Such as `memory:ReserveStock`.
    pub operation: &'static str,
}

/// An event that the bus took.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// Its type.
    pub event_type: EventType,
    /// Its id.
    pub event_id: EventId,
    /// The CloudEvent.
    pub detail: Arc<str>,
    /// What its sender called its source.
    pub source: Arc<str>,
    /// Whose account put it there.
    pub account: &'static str,
    /// Whatever its sender named.
    pub resources: Arc<[String]>,
    /// True of what a liar said.
    pub is_lie: bool,
}

/// An event on its way from the bus to one target.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// By which rule.
    pub rule: usize,
    /// As the target gets it.
    pub body: Arc<str>,
    /// The CloudEvent alone.
    pub detail: Arc<str>,
    /// Of which type, for the trace.
    pub event_type: EventType,
}

/// All that decides about calls and carries events: what lies between the functions.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    topology: Arc<Topology>,
    routes: HashMap<(EventType, Arc<str>), Arc<[usize]>>,
    rng: Rng,
    pub(crate) rates: Rates,
    /// What is down.
    pub(crate) outage: Option<Outage>,
    /// Faults for calls by their number, the first being 1. With a script, nothing else goes wrong.
    pub(crate) script: Option<BTreeMap<usize, Fault>>,
    /// Who is at work.
    pub(crate) actor: &'static str,
    /// Functions can be gone from one moment to the next; the state machine cannot.
    pub(crate) actor_can_be_gone: bool,
    /// The call that was announced last.
    pub(crate) announced: &'static str,
    /// Every call that a function made, in order.
    pub(crate) calls: Vec<Call>,
    pub(crate) faults_met: usize,
    /// How often what went wrong.
    pub(crate) wrong: BTreeMap<Wrong, u64>,
    /// Every event that the bus took for the first time or again, in order.
    pub(crate) accepted: Vec<Accepted>,
    /// The first version of each event, by its id.
    versions: HashMap<EventId, Arc<str>>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The events that someone outside waits for.
    pub(crate) unheard: Vec<Accepted>,
    pub(crate) undelivered: Vec<Delivery>,
    puts: u64,
    /// How often was lied in which way.
    pub(crate) lies: BTreeMap<Lie, u64>,
    /// The CloudEvents that liars sent.
    said: HashSet<Arc<str>>,
    /// A liar speaks at event-gateway.
    pub(crate) is_lied: bool,
    /// An event that was published in two versions, or another thing that must never happen.
    pub(crate) violations: Vec<String>,
    pub(crate) trace: Option<Vec<String>>,
}

impl Outside {
    pub(crate) fn new(topology: Arc<Topology>, seed: u64, rates: Rates) -> Self {
        Self {
            topology,
            routes: HashMap::new(),
            rng: Rng::with_seed(seed),
            rates,
            outage: None,
            script: None,
            actor: "",
            actor_can_be_gone: false,
            announced: "",
            calls: vec![],
            faults_met: 0,
            wrong: BTreeMap::new(),
            accepted: vec![],
            versions: HashMap::new(),
            deliveries: vec![],
            unheard: vec![],
            undelivered: vec![],
            puts: 0,
            lies: BTreeMap::new(),
            said: HashSet::new(),
            is_lied: false,
            violations: vec![],
            trace: None,
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm_down(&mut self) {
        (self.rates, self.outage, self.script) = (Rates::default(), None, None);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub(crate) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    pub(crate) fn count(&mut self, wrong: Wrong) {
        *self.wrong.entry(wrong).or_default() += 1;
    }

    /// Decides about one call.
    pub(crate) fn judge(&mut self, operation: &'static str) -> Turn {
        self.announced = operation;
        if self.actor_can_be_gone {
            self.calls.push(Call { function: self.actor, operation });
        }
        let fault = match &self.script {
            Some(script) => script.get(&self.calls.len()).copied().filter(|_| self.actor_can_be_gone),
            None => self.fault(operation),
        };
        if let Some(fault) = fault {
            self.faults_met += 1;
            self.count(if self.is_down(operation) { Wrong::Down } else { Wrong::Call(fault) });
            let actor = self.actor;
            self.note(|| format!("  {actor}: {operation} goes wrong: {fault:?}"));
        }
        // How long a call takes beside others decides the order in which they are applied.
        Turn { waits: if self.script.is_some() { 1 } else { self.rng.u32(0..3) }, fault }
    }

    fn fault(&mut self, operation: &'static str) -> Option<Fault> {
        if self.is_down(operation) {
            return Some(Fault::NotApplied);
        }
        let rate = self.rates.call;
        if !self.happens(rate) {
            return None;
        }
        let possible: &[Fault] = if self.actor_can_be_gone {
            &Fault::ALL
        } else {
            &[Fault::NotApplied, Fault::ReplyLost, Fault::Repeated]
        };
        possible.get(self.rng.usize(..possible.len())).copied()
    }

    fn is_down(&self, operation: &str) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.operation == operation)
    }

    /// Decides about one entry of a call to the bus.
    pub(crate) fn judge_entry(&mut self, event: &Outbound) -> Option<Fault> {
        let rate = self.rates.entry;
        if !self.happens(rate) {
            return None;
        }
        let event_type = event.event_type.as_str();
        self.note(|| format!("  the bus answers no for {event_type}"));
        self.faults_met += 1;
        let is_refused = self.rng.bool();
        self.count(if is_refused { Wrong::EntryRefused } else { Wrong::EntryReplyLost });
        Some(if is_refused { Fault::NotApplied } else { Fault::ReplyLost })
    }

    /// Takes an event and sends it to the targets of all rules that match.
    pub(crate) fn accept(&mut self, event: &Outbound) {
        let accepted = Accepted {
            event_type: event.event_type,
            event_id: event.event_id.clone(),
            detail: event.detail.as_str().into(),
            source: event.event_type.source().into(),
            account: OWN_ACCOUNT,
            resources: Arc::new([]),
            is_lie: self.is_lied,
        };
        let actor = self.actor;
        self.note(|| format!("  {actor} publishes {} {}", accepted.event_type.as_str(), accepted.event_id));
        if self.is_lied {
            return self.accept_as_it_is(accepted);
        }
        self.compare_versions(&accepted);
        if matches!(event.event_type, EventType::ShipmentScheduled | EventType::PaymentRequested) {
            self.unheard.push(accepted.clone());
        }
        self.accept_as_it_is(accepted);
    }

    /// Takes what a partner's account put on the bus.
    pub(crate) fn accept_from(&mut self, account: &'static str, statement: &Statement) {
        let Statement { source, event_type, event_id, detail, resources, .. } = statement;
        self.note(|| {
            format!("account {account} puts {} on the bus, as {source}: {event_id}", event_type.as_str())
        });
        self.accept_as_it_is(Accepted {
            event_type: *event_type,
            event_id: event_id.clone(),
            detail: detail.as_str().into(),
            source: source.as_str().into(),
            account,
            resources: resources.as_slice().into(),
            is_lie: true,
        });
    }

    fn accept_as_it_is(&mut self, accepted: Accepted) {
        if accepted.is_lie {
            self.said.insert(Arc::clone(&accepted.detail));
        }
        self.route(&accepted, None, &[]);
        self.accepted.push(accepted);
    }

    /// True of a message that a liar sent.
    pub(crate) fn is_lie(&self, body: &str) -> bool {
        self.said.contains(detail_of(body))
    }

    /// Sends an event to its targets again, as EventBridge's replay does.
    pub(crate) fn replay(&mut self, accepted: &Accepted) {
        self.route(accepted, Some("the-replay"), &[]);
    }

    /// Takes an event again that it could not handle before.
    pub(crate) fn take_again(&mut self, body: &str, resources: &[String]) {
        let detail = detail_of(body);
        let known = self.accepted.iter().find(|accepted| &*accepted.detail == detail).cloned();
        if let Some(accepted) = known {
            self.route(&accepted, None, resources);
        }
    }

    fn route(&mut self, accepted: &Accepted, replay_name: Option<&str>, resources: &[String]) {
        self.puts += 1;
        let Accepted { event_type, detail, source, account, .. } = accepted;
        let detail_type = event_type.as_str();
        let resources: Vec<&String> = accepted.resources.iter().chain(resources).collect();
        let replay = replay_name.map(|name| format!(r#""replay-name":"{name}","#)).unwrap_or_default();
        let body: Arc<str> = format!(
            r#"{{"version":"0","id":"bus-{}","detail-type":"{detail_type}","source":"{source}","account":"{account}","time":"2026-01-31T12:00:00Z","region":"eu-central-1","resources":{resources:?},{replay}"detail":{detail}}}"#,
            self.puts
        )
        .into();
        let topology = Arc::clone(&self.topology);
        let routes = self.routes.entry((*event_type, Arc::clone(source)));
        let routes = Arc::clone(routes.or_insert_with(|| topology.targets_of(source, detail_type).into()));
        for rule in routes.iter().copied() {
            // The provider is someone else's stack, and whom it believes its own business.
            if accepted.is_lie && topology.rules[rule].name.starts_with("PaymentProvider") {
                continue;
            }
            let (body, detail) = (Arc::clone(&body), Arc::clone(detail));
            let delivery = Delivery { rule, body, detail, event_type: *event_type };
            let (undelivered, duplicate) = (self.rates.undelivered, self.rates.duplicate);
            if self.happens(undelivered) {
                self.note(|| {
                    format!("  the bus gives up on {detail_type} for {}", topology.rules[rule].name)
                });
                self.count(Wrong::Undelivered);
                self.undelivered.push(delivery);
                continue;
            }
            if self.happens(duplicate) {
                self.count(Wrong::Duplicate);
                self.deliveries.push(delivery.clone());
            }
            self.deliveries.push(delivery);
        }
    }

    /// An event that is published again must be the same to the letter, but for what its producer does not promise.
    fn compare_versions(&mut self, accepted: &Accepted) {
        let Some(first) = self.versions.get(&accepted.event_id) else {
            self.versions.insert(accepted.event_id.clone(), Arc::clone(&accepted.detail));
            return;
        };
        if *first == accepted.detail
            || without_what_may_differ(first) == without_what_may_differ(&accepted.detail)
        {
            return;
        }
        let violation = format!(
            "an event was published in two versions: {} {}\n    {first}\n    {}",
            accepted.event_type.as_str(),
            accepted.event_id,
            accepted.detail
        );
        self.violations.push(violation);
    }
}

/// The CloudEvent in an envelope, which comes last in it.
fn detail_of(body: &str) -> &str {
    let detail = body.split_once(r#""detail":"#).map(|(_, rest)| rest);
    detail.and_then(|rest| rest.strip_suffix('}')).unwrap_or_default()
}

/// Checkout and payment-callback ask for the same refund, by the same event. Each names the capture that it heard of, and that one's
/// trace.
pub(crate) fn without_what_may_differ(detail: &str) -> Value {
    let mut event: Value = serde_json::from_str(detail).unwrap_or_default();
    if event["type"] == "payments.refund-requested.v1" {
        for name in ["causationid", "traceparent"] {
            event[name] = Value::Null;
        }
    }
    event
}
