use contracts::{BusEvent, Data, Event, PaymentCaptured, PaymentFailed, PaymentRequested};
use runtime::{Disposition, Handler, Rejection};

/// This function's name.
pub const NAME: &str = "payment-provider";

/// Answers payment requests by their amount.
#[derive(Debug)]
pub struct PaymentProvider;

/// What a card's bank says.
enum Verdict {
    Captured,
    Declined,
    Silence,
}

impl Handler for PaymentProvider {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::PaymentRequested(request) => {
                Disposition::Done(answer(event, request).into_iter().collect())
            }
            // The money would go back here, once for each event id.
            Data::RefundRequested(_) => Disposition::Done(vec![]),
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn answer(event: &Event, request: &PaymentRequested) -> Option<Event> {
    let data: Data = match verdict(request.amount.amount_minor) {
        Verdict::Captured => PaymentCaptured {
            order_id: request.order_id.clone(),
            payment_id: request.payment_id.clone(),
            amount: request.amount.clone(),
            task_token: request.task_token.clone(),
            provider_reference: format!("example-{}", request.payment_id),
        }
        .into(),
        Verdict::Declined => PaymentFailed {
            order_id: request.order_id.clone(),
            payment_id: request.payment_id.clone(),
            task_token: request.task_token.clone(),
            reason: "card_declined".to_owned(),
        }
        .into(),
        Verdict::Silence => return None,
    };
    // The instant of the request. The present would be another one at the next delivery, and one event id would stand for
    // two events: without a store there is nowhere to keep when it was decided.
    Some(Event::caused_by(&event.cause(), NAME, 0, &event.subject, event.time, data))
}

fn verdict(amount_minor: i64) -> Verdict {
    match amount_minor % 100 {
        13 => Verdict::Declined,
        17 => Verdict::Silence,
        _ => Verdict::Captured,
    }
}
