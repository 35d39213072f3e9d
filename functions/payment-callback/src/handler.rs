use contracts::{BusEvent, Data, Event, PaymentCaptured, Reason, RefundRequested};
use domain::{EventId, Outcome};
use ports::{OrderStore, PaymentTasks};
use runtime::{Disposition, Handler, Rejection};

use crate::answer_checkout::{Answered, report_capture, report_failure};

/// This function's name.
pub const NAME: &str = "payment-callback";

/// Turns a provider's events into answers to checkouts.
#[derive(Debug)]
pub struct PaymentCallback<T, S> {
    /// The checkouts that wait.
    pub tasks: T,
    /// How orders ended.
    pub orders: S,
}

impl<T: PaymentTasks, S: OrderStore> Handler for PaymentCallback<T, S> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::PaymentCaptured(captured) => {
                if let Err(error) = captured.amount.parse() {
                    return Rejection::impossible_data(format_args!("amount: {error}")).into();
                }
                match report_capture(&self.tasks, &self.orders, event, captured).await {
                    Ok(answered) => capture_disposition(event, captured, answered),
                    Err(error) => error.into(),
                }
            }
            Data::PaymentFailed(failed) => match report_failure(&self.tasks, event, failed).await {
                Ok(Answered::Taken) => Disposition::Done(vec![]),
                Ok(_) => Disposition::Duplicate(vec![]),
                Err(error) => error.into(),
            },
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn capture_disposition(event: &Event, captured: &PaymentCaptured, answered: Answered) -> Disposition {
    match answered {
        Answered::Taken => Disposition::Done(vec![]),
        Answered::TakenBefore => Disposition::Duplicate(vec![]),
        Answered::Undecided => Disposition::Retry("the checkout has not written how the order ended".into()),
        Answered::TooLate(outcome) => match refund(event, captured, outcome) {
            Ok(refund) => Disposition::Done(vec![refund]),
            Err(rejection) => rejection.into(),
        },
    }
}

/// The checkout may ask for the same refund. Both use this id, so that a provider pays back once.
fn refund(event: &Event, captured: &PaymentCaptured, outcome: Outcome) -> Result<Event, Rejection> {
    let cause = event.cause();
    Ok(Event {
        id: EventId::parse(&format!("refund:{}", captured.payment_id)).map_err(Rejection::impossible_data)?,
        subject: event.subject.clone(),
        // The instant of the capture: the same at every delivery.
        time: event.time,
        correlation_id: cause.correlation_id,
        causation_id: Some(cause.event_id),
        traceparent: cause.traceparent,
        data: Data::RefundRequested(RefundRequested {
            order_id: captured.order_id.clone(),
            payment_id: captured.payment_id.clone(),
            amount: captured.amount.clone(),
            reason: Reason::new(
                &format!("order_{}", outcome.as_str()),
                "the payment was captured after the order had ended",
            ),
        }),
    })
}
