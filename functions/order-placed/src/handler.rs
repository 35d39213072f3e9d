use contracts::{BusEvent, Data, Event, OrderRejected};
use ports::{Clock, OrderStore};
use runtime::{Disposition, Handler, Rejection};

use crate::register_order::{Registered, register_order};
use crate::settle_order::{Settled, cancel_order, reject_order_out_of_stock};

/// This function's name.
pub const NAME: &str = "order-placed";

/// Turns events into decisions about orders.
#[derive(Debug)]
pub struct OrderPlacedHandler<S, C> {
    /// Where orders are kept.
    pub orders: S,
    /// What time it is.
    pub clock: C,
}

impl<S: OrderStore, C: Clock> Handler for OrderPlacedHandler<S, C> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::OrderPlaced(placed) => {
                match register_order(&self.orders, &self.clock, event, placed).await {
                    Ok(registered) => registration_disposition(event, registered),
                    Err(error) => error.into(),
                }
            }
            Data::CancellationRequested(request) => {
                match cancel_order(&self.orders, &self.clock, event, request).await {
                    Ok(settled) => settlement_disposition(event, settled),
                    Err(error) => error.into(),
                }
            }
            Data::StockRejected(rejected) => {
                match reject_order_out_of_stock(&self.orders, &self.clock, event, rejected).await {
                    Ok(settled) => settlement_disposition(event, settled),
                    Err(error) => error.into(),
                }
            }
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn registration_disposition(event: &Event, registered: Registered) -> Disposition {
    match registered {
        Registered::Accepted { data, at } => {
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
        }
        Registered::Rejected { reasons, at } => {
            let data = OrderRejected { order_id: event.subject.as_str().to_owned(), reasons };
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
        }
        Registered::SettledBefore => Disposition::Done(vec![]),
        Registered::ByAnotherEvent => Disposition::Duplicate(vec![]),
    }
}

fn settlement_disposition(event: &Event, settled: Settled) -> Disposition {
    match settled {
        Settled::ByThisEvent { data, at } => {
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, *data)])
        }
        Settled::ByAnotherEvent => Disposition::Done(vec![]),
    }
}
