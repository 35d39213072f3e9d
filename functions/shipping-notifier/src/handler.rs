use contracts::{
    BusEvent, Data, Event, Refusal, ShipmentCancelled, ShipmentDeparted, ShipmentScheduled, derived_event_id,
};
use ports::{Clock, FulfilmentCentre, ShipmentStore};
use runtime::{Disposition, Handler, Rejection};

use crate::cancel_shipment::{Cancelled, cancel_shipment};
use crate::record_departure::{Departed, record_departure};
use crate::schedule_shipment::{Scheduled, schedule_shipment};

/// This function's name.
pub const NAME: &str = "shipping-notifier";

/// Turns events into shipments.
#[derive(Debug)]
pub struct ShippingNotifier<S, F, C> {
    /// Where shipments are kept.
    pub shipments: S,
    /// Who sends them.
    pub fulfilment_centre: F,
    /// What time it is.
    pub clock: C,
}

impl<S: ShipmentStore, F: FulfilmentCentre, C: Clock> Handler for ShippingNotifier<S, F, C> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::OrderConfirmed(confirmed) => {
                let order_id = match event.order_id() {
                    Ok(order_id) => order_id.clone(),
                    Err(error) => return Rejection::impossible_data(error).into(),
                };
                let order = match confirmed.parse(order_id) {
                    Ok((order, _)) => order,
                    Err(reasons) => return Rejection::impossible_order(&reasons).into(),
                };
                let Self { shipments, fulfilment_centre, clock } = self;
                let scheduled =
                    schedule_shipment(shipments, fulfilment_centre, clock, event, confirmed, &order);
                match scheduled.await {
                    Ok(scheduled) => scheduling_disposition(event, scheduled),
                    Err(error) => error.into(),
                }
            }
            Data::OrderCancelled(_) => {
                match cancel_shipment(&self.shipments, &self.fulfilment_centre, &self.clock, event).await {
                    Ok(cancelled) => cancellation_disposition(event, cancelled),
                    Err(error) => error.into(),
                }
            }
            Data::ParcelPickedUp(picked_up) => {
                match record_departure(&self.shipments, &self.clock, bus_event, picked_up).await {
                    Ok(departed) => departure_disposition(bus_event, departed),
                    Err(error) => error.into(),
                }
            }
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn scheduling_disposition(event: &Event, scheduled: Scheduled) -> Disposition {
    match scheduled {
        Scheduled::ByThisEvent { shipment_id, lines, at } => {
            let data = ShipmentScheduled {
                order_id: event.subject.as_str().to_owned(),
                shipment_id: shipment_id.as_str().to_owned(),
                lines,
            };
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
        }
        Scheduled::ByAnotherEvent => Disposition::Duplicate(vec![]),
        Scheduled::Refused => Disposition::Done(vec![]),
    }
}

fn cancellation_disposition(event: &Event, cancelled: Cancelled) -> Disposition {
    match cancelled {
        Cancelled::ByThisEvent { shipment_id, at } => {
            let data = ShipmentCancelled {
                order_id: event.subject.as_str().to_owned(),
                shipment_id: shipment_id.as_str().to_owned(),
            };
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
        }
        Cancelled::ByAnotherEvent => Disposition::Duplicate(vec![]),
        Cancelled::Left | Cancelled::NeverScheduled => Disposition::Done(vec![]),
    }
}

fn departure_disposition(bus_event: &BusEvent, departed: Departed) -> Disposition {
    match departed {
        Departed::ByThisEvent { shipment_id, at } => {
            let event = &bus_event.event;
            let data = ShipmentDeparted {
                order_id: event.subject.as_str().to_owned(),
                shipment_id: shipment_id.as_str().to_owned(),
            };
            Disposition::Done(vec![Event {
                // Not derived from the carrier's id, which it could have chosen so that this is another event's.
                id: derived_event_id(&bus_event.identity(), NAME, 0),
                ..Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)
            }])
        }
        Departed::ByAnotherEvent => Disposition::Duplicate(vec![]),
        Departed::Cancelled => Rejection::from(Refusal::ShipmentCancelled).into(),
        Departed::Foreign => Rejection::from(Refusal::ForeignShipment).into(),
        Departed::Unknown => Rejection::from(Refusal::UnknownShipment).into(),
    }
}
