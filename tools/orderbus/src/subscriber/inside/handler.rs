use contracts::{BusEvent, Data};
use runtime::{Disposition, Handler, Rejection};

use crate::@use_case@::@use_case@;

/// This function's name.
pub const NAME: &str = "@name@";

/// Turns events into what this function does about them.
#[derive(Debug)]
pub struct @Handler@;

impl Handler for @Handler@ {
    async fn handle(&self, bus_event: &BusEvent) -> Disposition {
        let event = &bus_event.event;
        match &event.data {
            Data::@Type@(data) => {
                @use_case@(event, data);
                Disposition::Done(vec![])
            }
            _ => Rejection::not_subscribed(event).into(),
        }
    }
}
