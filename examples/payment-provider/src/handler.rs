use contracts::{BusEvent, Data, Event, PaymentCaptured, PaymentFailed, PaymentRequested};
use domain::Timestamp;
use ports::Clock;
use runtime::{Disposition, Handler, Rejection};

/// This function's name.
pub const NAME: &str = "payment-provider";

/// Answers payment requests by their amount.
#[derive(Debug)]
pub struct PaymentProvider<C> {
    /// What time it is.
    pub clock: C,
}

/// What a card's bank says.
enum Verdict {
    Captured,
    Declined,
    Silence,
}

impl<C: Clock> Handler for PaymentProvider<C> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::PaymentRequested(request) => {
                Disposition::Done(answer(event, request, self.clock.now()).into_iter().collect())
            }
            // The money would go back here, once for each event id.
            Data::RefundRequested(_) => Disposition::Done(vec![]),
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn answer(event: &Event, request: &PaymentRequested, at: Timestamp) -> Option<Event> {
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
    Some(Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data))
}

fn verdict(amount_minor: i64) -> Verdict {
    match amount_minor % 100 {
        13 => Verdict::Declined,
        17 => Verdict::Silence,
        _ => Verdict::Captured,
    }
}
