use contracts::{BusEvent, fact_of};
use ports::OrderViewStore;
use runtime::{Disposition, Handler, Rejection};

/// This function's name.
pub const NAME: &str = "order-tracker";

/// Turns every event about an order into a fact of its view.
#[derive(Debug)]
pub struct OrderTracker<V> {
    /// Where views are kept.
    pub views: V,
}

impl<V: OrderViewStore> Handler for OrderTracker<V> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        let (Ok(order_id), Some(fact)) = (event.order_id(), fact_of(event, &bus_event.origin)) else {
            return Rejection::not_subscribed(event).into();
        };
        match self.views.add(order_id, &fact).await {
            Ok(()) => Disposition::Done(vec![]),
            Err(error) => error.into(),
        }
    }
}
