use contracts::{BusEvent, Data, Event, PaymentCaptured, Reason, RefundRequested};
use domain::{EventId, Settlement};
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
    /// What was asked for, and how orders ended.
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
                match report_capture(&self.tasks, &self.orders, bus_event, captured).await {
                    Ok(answered) => capture_disposition(event, captured, answered),
                    Err(error) => error.into(),
                }
            }
            Data::PaymentFailed(failed) => {
                match report_failure(&self.tasks, &self.orders, bus_event, failed).await {
                    Ok(Answered::Taken) => Disposition::Done(vec![]),
                    Ok(Answered::Refused(refusal)) => Rejection::from(refusal).into(),
                    Ok(_) => Disposition::Duplicate(vec![]),
                    Err(error) => error.into(),
                }
            }
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn capture_disposition(event: &Event, captured: &PaymentCaptured, answered: Answered) -> Disposition {
    match answered {
        Answered::Taken => Disposition::Done(vec![]),
        Answered::TakenBefore => Disposition::Duplicate(vec![]),
        Answered::Refused(refusal) => Rejection::from(refusal).into(),
        Answered::Undecided => Disposition::Retry("the checkout has not written how the order ended".into()),
        Answered::TooLate(settlement) => match refund(event, captured, &settlement) {
            Ok(refund) => Disposition::Done(vec![refund]),
            Err(rejection) => rejection.into(),
        },
    }
}

/// The checkout may ask for the same refund, and many captures may lead to it. So it follows from the record of the order, whatever
/// their senders say of time and flow; only its cause and its trace are those of the capture that was heard of.
fn refund(event: &Event, captured: &PaymentCaptured, settlement: &Settlement) -> Result<Event, Rejection> {
    let reason = format!("order_{}", settlement.outcome.as_str());
    Ok(Event {
        id: EventId::parse(&format!("refund:{}", captured.payment_id)).map_err(Rejection::impossible_data)?,
        subject: event.subject.clone(),
        time: settlement.decided_at,
        correlation_id: captured.order_id.clone(),
        causation_id: Some(event.id.clone()),
        traceparent: event.traceparent.clone(),
        data: Data::RefundRequested(RefundRequested {
            order_id: captured.order_id.clone(),
            payment_id: captured.payment_id.clone(),
            amount: captured.amount.clone(),
            reason: Reason::new(&reason, "The captured payment did not confirm the order."),
        }),
    })
}
