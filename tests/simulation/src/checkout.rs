//! The state machine of `statemachines/checkout.asl.json`, state by state, in Rust.
//!
//! Step Functions runs each state at least once and forgets nothing, so an execution here is never dropped; what can go
//! wrong are its calls. `tests/stack/tests/simulated.rs` holds the two together: it runs the same orders here and on the
//! deployed state machine and compares the events to the letter of their ids.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use contracts::{
    BusEvent, Data, Event, Money, OrderAccepted, OrderCancelled, OrderConfirmed, PaymentRequested, Personal,
    Reason, RefundRequested, format_timestamp,
};
use domain::{EventId, OrderId, Outcome, PaymentId, Settlement, Timestamp};
use memory::{Faults, MemoryEventBus, MemoryOrderStore, MemoryPaymentTasks, StoredOrder, TaskAnswer};
use ports::{Clock, EventBus, OrderDecision, OrderStore, PortError};
use serde::Deserialize;

use crate::world::{SimulatedClock, lock};

/// What an execution waits for. Step Functions remembers it; the scheduler reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Wait {
    /// Nothing: it can go on.
    #[default]
    Nothing,
    /// An instant.
    Until(i64),
    /// An instant at which to look whether an order is registered.
    Registration { order_id: OrderId, until_ms: i64 },
    /// An answer under a token, or an instant.
    Answer { token: String, until_ms: i64 },
    /// Someone who redrives it: a state failed after all its retries.
    Redrive,
}

/// What the state machine works with.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) orders: MemoryOrderStore,
    pub(crate) tasks: MemoryPaymentTasks,
    pub(crate) bus: Arc<MemoryEventBus>,
    pub(crate) faults: Faults,
    pub(crate) clock: SimulatedClock,
    /// How often a payment was to be requested and the call went wrong.
    pub(crate) failed_requests: Arc<Mutex<BTreeMap<OrderId, usize>>>,
    pub(crate) payment_timeout_ms: i64,
    pub(crate) registration_timeout_ms: i64,
}

/// One execution: the state machine and what it waits for.
#[derive(Clone)]
pub(crate) struct Execution {
    pub(crate) name: String,
    pub(crate) machine: Machine,
    pub(crate) wait: Arc<Mutex<Wait>>,
}

/// As the ASL says: a state is retried so often after its first attempt.
const RETRIES_MAX: u32 = 8;
/// The longest between two attempts.
const RETRY_DELAY_MS_MAX: i64 = 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capture {
    event_id: String,
    decided_by: String,
    order_id: String,
    payment_id: String,
    amount_minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    event_id: String,
    decided_by: String,
    reason: String,
}

struct Verdict {
    code: &'static str,
    message: String,
    event_id: EventId,
    decided_by: EventId,
}

impl Execution {
    /// Takes one order from reserved stock to its one outcome.
    pub(crate) async fn run(self, started_by: BusEvent) {
        let started_at_ms = self.now().unix_ms();
        let reserved = started_by.event;
        let Ok(order_id) = reserved.order_id().cloned() else { return };
        let mut wait_s = 1;
        let (order, personal) = loop {
            let Some(claimed) = self.retried(async || self.claim(&order_id).await).await else {
                return; // NothingToDo
            };
            let decision = claimed.registration.map(|registration| registration.decision);
            if let Some(OrderDecision::Accepted { order, personal }) = decision {
                break (*order, *personal);
            }
            if self.now().unix_ms() - started_at_ms >= self.machine.registration_timeout_ms {
                let verdict = Verdict {
                    code: "never_registered",
                    message: "The order was not registered in time.".to_owned(),
                    event_id: reserved.id.clone(),
                    decided_by: reserved.id.clone(),
                };
                return self.cancel(&reserved, &order_id, verdict, None).await;
            }
            let until_ms = self.now().unix_ms() + wait_s * 1_000;
            self.wait_for(Wait::Registration { order_id: order_id.clone(), until_ms }).await;
            wait_s = (2 * wait_s).min(30);
        };
        match self.request_payment(&reserved, &order_id, &order).await {
            Ok(capture) => self.take(&reserved, &order_id, order, personal, capture).await,
            Err(verdict) => self.cancel(&reserved, &order_id, verdict, None).await,
        }
    }

    /// ClaimOrder. `None` when another execution has the order, or when it has its outcome.
    async fn claim(&self, order_id: &OrderId) -> Result<Option<StoredOrder>, PortError> {
        let apply = || Ok(self.machine.orders.claim(order_id, &self.name));
        self.machine.faults.call("checkout:ClaimOrder", apply).await
    }

    /// RequestPayment. A further attempt has a token of its own, so it is an event of its own.
    async fn request_payment(
        &self,
        reserved: &Event,
        order_id: &OrderId,
        order: &OrderAccepted,
    ) -> Result<Capture, Verdict> {
        let first_id = format!("checkout:{order_id}:payment-requested");
        for attempt in 0..=RETRIES_MAX {
            let entered_at = self.now();
            let token = format!("token-{}-{attempt}", self.name);
            let until_ms = entered_at.unix_ms() + self.machine.payment_timeout_ms;
            let id = if attempt == 0 { first_id.clone() } else { format!("{first_id}:{attempt}") };
            let data = PaymentRequested {
                order_id: order_id.as_str().to_owned(),
                payment_id: PaymentId::of(order_id).as_str().to_owned(),
                amount: order.total.clone(),
                task_token: format!("{order_id}.{token}"),
                expires_at: format_timestamp(Timestamp::from_unix_ms(until_ms)),
            };
            self.machine.tasks.issue(&token);
            let event = event_of(reserved, event_id(&id), Some(reserved.id.clone()), entered_at, data.into());
            if self.publish(&event).await.is_err() {
                *lock(&self.machine.failed_requests).entry(order_id.clone()).or_default() += 1;
                // The attempt is over, and its token with it.
                self.machine.tasks.time_out(&token);
                self.sleep_ms(retry_delay_ms(attempt)).await;
                continue;
            }
            return match self.answer(&token, until_ms).await {
                Some(TaskAnswer::Succeeded { output }) => match serde_json::from_str(&output) {
                    Ok(capture) => Ok(capture),
                    Err(error) => Err(failed(&first_id, &first_id, error.to_string())),
                },
                Some(TaskAnswer::Failed { cause, .. }) => {
                    Err(match serde_json::from_str::<Failure>(&cause) {
                        Ok(failure) => failed(&failure.event_id, &failure.decided_by, failure.reason),
                        Err(error) => failed(&first_id, &first_id, error.to_string()),
                    })
                }
                None => Err(Verdict {
                    code: "payment_timed_out",
                    message: "No answer about the payment came in time.".to_owned(),
                    event_id: event_id(&first_id),
                    decided_by: event_id(&first_id),
                }),
            };
        }
        Err(failed(
            reserved.id.as_str(),
            reserved.id.as_str(),
            "The payment could not be requested.".to_owned(),
        ))
    }

    /// IsTheRightPayment, DecideConfirmed, DidWeConfirm.
    async fn take(
        &self,
        reserved: &Event,
        order_id: &OrderId,
        order: OrderAccepted,
        personal: Personal,
        capture: Capture,
    ) {
        let payment_id = PaymentId::of(order_id);
        let is_own = capture.order_id == order_id.as_str() && capture.payment_id == payment_id.as_str();
        let is_right = is_own
            && capture.amount_minor == order.total.amount_minor
            && capture.currency == order.total.currency;
        if !is_right {
            let verdict = Verdict {
                code: "payment_mismatch",
                message: "The captured payment is not the one that was asked for.".to_owned(),
                event_id: event_id(&capture.event_id),
                decided_by: event_id(&capture.decided_by),
            };
            return self.cancel(reserved, order_id, verdict, is_own.then_some(&capture)).await;
        }
        let by = event_id(&capture.decided_by);
        let reason = Reason::new("payment_captured", "The payment was captured.");
        let decided = self.settle(order_id, Outcome::Confirmed, &by, reason).await;
        if decided.outcome != Outcome::Confirmed || decided.decided_by != by {
            return self.refund(reserved, &capture, &decided).await;
        }
        let data = OrderConfirmed {
            order_id: order_id.as_str().to_owned(),
            customer_id: order.customer_id,
            lines: order.lines,
            total: order.total,
            payment_id: payment_id.as_str().to_owned(),
            personal,
        };
        let id = event_id(&format!("checkout:{order_id}:order-confirmed"));
        let cause = event_id(&capture.event_id);
        let event = event_of(reserved, id, Some(cause), decided.decided_at, data.into());
        self.retried(async || self.publish(&event).await).await;
    }

    /// DecideCancelled, DidWeCancel, PublishOrderCancelled, IsMoneyToReturn.
    async fn cancel(&self, reserved: &Event, order_id: &OrderId, verdict: Verdict, money: Option<&Capture>) {
        let Verdict { code, message, event_id: cause, decided_by: by } = verdict;
        let reason = Reason::new(code, message);
        let decided = self.settle(order_id, Outcome::Cancelled, &by, reason.clone()).await;
        if decided.outcome == Outcome::Cancelled && decided.decided_by == by {
            let data = OrderCancelled { order_id: order_id.as_str().to_owned(), reason };
            let id = event_id(&format!("checkout:{order_id}:order-cancelled"));
            let event = event_of(reserved, id, Some(cause), decided.decided_at, data.into());
            self.retried(async || self.publish(&event).await).await;
        }
        if let Some(capture) = money {
            self.refund(reserved, capture, &decided).await;
        }
    }

    /// RequestRefund. payment-callback publishes the same event for a capture that comes later.
    async fn refund(&self, reserved: &Event, capture: &Capture, decided: &Settlement) {
        let data = RefundRequested {
            order_id: reserved.subject.as_str().to_owned(),
            payment_id: capture.payment_id.clone(),
            amount: Money { amount_minor: capture.amount_minor, currency: capture.currency.clone() },
            reason: Reason::new(
                &format!("order_{}", decided.outcome.as_str()),
                "The captured payment did not confirm the order.",
            ),
        };
        let id = event_id(&format!("refund:{}", capture.payment_id));
        let cause = event_id(&capture.event_id);
        let mut event = event_of(reserved, id, Some(cause), decided.decided_at, data.into());
        event.correlation_id = reserved.subject.as_str().to_owned();
        self.retried(async || self.publish(&event).await).await;
    }

    async fn settle(
        &self,
        order_id: &OrderId,
        outcome: Outcome,
        decided_by: &EventId,
        reason: Reason,
    ) -> Settlement {
        // The state's EnteredTime: the same for every attempt.
        let settlement = Settlement { outcome, decided_by: decided_by.clone(), decided_at: self.now() };
        let reasons = [reason];
        self.retried(async || self.machine.orders.settle(order_id, &settlement, &reasons).await).await
    }

    async fn publish(&self, event: &Event) -> Result<(), PortError> {
        let outbound = event.to_outbound().map_err(|error| PortError::permanent("serialize", error))?;
        let mut answers = self.machine.bus.publish(&[outbound]).await;
        answers.pop().unwrap_or(Ok(()))
    }

    /// Tries until it works. After the last retry the execution has failed, and waits for someone to redrive it.
    async fn retried<T>(&self, call: impl AsyncFn() -> Result<T, PortError>) -> T {
        loop {
            for attempt in 0..=RETRIES_MAX {
                if let Ok(answer) = call().await {
                    return answer;
                }
                if attempt < RETRIES_MAX {
                    self.sleep_ms(retry_delay_ms(attempt)).await;
                }
            }
            self.wait_for(Wait::Redrive).await;
        }
    }

    async fn answer(&self, token: &str, until_ms: i64) -> Option<TaskAnswer> {
        self.wait_for(Wait::Answer { token: token.to_owned(), until_ms }).await;
        let answer = self.machine.tasks.answer(token);
        if answer.is_none() {
            self.machine.tasks.time_out(token);
        }
        answer
    }

    async fn sleep_ms(&self, duration_ms: i64) {
        self.wait_for(Wait::Until(self.now().unix_ms() + duration_ms)).await;
    }

    /// Returns when the scheduler has set the wait to nothing.
    async fn wait_for(&self, wait: Wait) {
        *lock(&self.wait) = wait;
        poll_fn(|_| if *lock(&self.wait) == Wait::Nothing { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn now(&self) -> Timestamp {
        self.machine.clock.now()
    }
}

fn failed(cause: &str, by: &str, message: String) -> Verdict {
    Verdict { code: "payment_failed", message, event_id: event_id(cause), decided_by: event_id(by) }
}

/// The ASL's jitter is full; the most of it is as good as any here, where the scheduler decides who goes first.
fn retry_delay_ms(attempt: u32) -> i64 {
    1_000_i64.saturating_mul(1 << attempt.min(16)).min(RETRY_DELAY_MS_MAX)
}

fn event_id(text: &str) -> EventId {
    EventId::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn event_of(
    reserved: &Event,
    id: EventId,
    causation_id: Option<EventId>,
    time: Timestamp,
    data: Data,
) -> Event {
    Event {
        id,
        subject: reserved.subject.clone(),
        time,
        correlation_id: reserved.correlation_id.clone(),
        causation_id,
        traceparent: reserved.traceparent.clone(),
        data,
    }
}
