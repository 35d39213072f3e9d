use contracts::{BusEvent, Data, Event, Shortage, StockLine, StockRejected, StockReleased, StockReserved};
use domain::StockDecision;
use ports::{Clock, StockStore};
use runtime::{Disposition, Handler, Rejection};

use crate::close_reservation::{Closed, release_stock, ship_stock};
use crate::reserve_stock::{Reserved, reserve_stock};

/// This function's name.
pub const NAME: &str = "inventory-updater";

/// Turns events into movements of stock.
#[derive(Debug)]
pub struct InventoryUpdater<S, C> {
    /// Where stock is kept.
    pub stock: S,
    /// What time it is.
    pub clock: C,
}

impl<S: StockStore, C: Clock> Handler for InventoryUpdater<S, C> {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::OrderPlaced(placed) => match reserve_stock(&self.stock, &self.clock, event, placed).await {
                Ok(reserved) => reservation_disposition(event, reserved),
                Err(error) => error.into(),
            },
            Data::OrderCancelled(_) | Data::OrderRejected(_) => {
                match release_stock(&self.stock, &self.clock, event).await {
                    Ok(closed) => release_disposition(event, closed),
                    Err(error) => error.into(),
                }
            }
            Data::ShipmentDeparted(_) => match ship_stock(&self.stock, &self.clock, event).await {
                Ok(closed) => shipping_disposition(closed),
                Err(error) => error.into(),
            },
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}

fn reservation_disposition(event: &Event, reserved: Reserved) -> Disposition {
    let order_id = event.subject.as_str().to_owned();
    let (at, data): (_, Data) = match reserved {
        Reserved::ByThisEvent { decision: StockDecision::Reserved(lines), at } => {
            (at, StockReserved { order_id, lines: lines.iter().map(StockLine::from).collect() }.into())
        }
        Reserved::ByThisEvent { decision: StockDecision::Rejected(shortages), at } => {
            let shortages = shortages.iter().map(Shortage::from).collect();
            (at, StockRejected { order_id, shortages }.into())
        }
        Reserved::ByThisEvent { decision: StockDecision::Barred, .. } | Reserved::ByAnotherEvent => {
            return Disposition::Duplicate(vec![]);
        }
        Reserved::Invalid => return Disposition::Done(vec![]),
    };
    Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
}

fn release_disposition(event: &Event, closed: Closed) -> Disposition {
    match closed {
        Closed::ByThisEvent { lines, at } => {
            let order_id = event.subject.as_str().to_owned();
            let data = StockReleased { order_id, lines: lines.iter().map(StockLine::from).collect() };
            Disposition::Done(vec![Event::caused_by(&event.cause(), NAME, 0, &event.subject, at, data)])
        }
        // What has left cannot be given back; the parcel's return is another story.
        Closed::NothingHeld | Closed::Otherwise => Disposition::Done(vec![]),
        Closed::ByAnotherEvent | Closed::Unknown => Disposition::Duplicate(vec![]),
    }
}

fn shipping_disposition(closed: Closed) -> Disposition {
    match closed {
        Closed::ByThisEvent { .. } => Disposition::Done(vec![]),
        // It was told before, under another id.
        Closed::ByAnotherEvent => Disposition::Duplicate(vec![]),
        Closed::Unknown => Disposition::Retry("inventory has not heard of this order yet".into()),
        Closed::NothingHeld | Closed::Otherwise => {
            Rejection::impossible_data("a shipment left for an order that holds no stock").into()
        }
    }
}
