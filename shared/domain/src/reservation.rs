use crate::{EventId, Shortage, StockLine, Timestamp};

/// What inventory decided about one order. Written once, then changed only along [`Reservation::change`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub state: ReservationState,
    /// The event that brought it there. A repeated delivery of that event repeats its publications; any other
    /// event that finds the work done publishes nothing.
    pub decided_by: EventId,
    /// When it got there.
    pub decided_at: Timestamp,
}

/// Where the reservation of one order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationState {
    /// Every line is promised.
    Reserved(Vec<StockLine>),
    /// At least one line was short, so nothing was promised. Durable: a restock does not change it.
    Rejected(Vec<Shortage>),
    /// The promise was taken back.
    Released(Vec<StockLine>),
    /// The goods have left.
    Shipped(Vec<StockLine>),
    /// The order was closed before inventory heard of it; a reservation that comes later is refused.
    Barred,
}

/// What closing (cancellation or rejection) or shipping means for a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationChange {
    /// Move these lines from reserved to available.
    Release(Vec<StockLine>),
    /// Move these lines from reserved to shipped.
    Ship(Vec<StockLine>),
    /// It is already so.
    AlreadyThere,
    /// There is nothing promised, so there is nothing to do.
    NothingHeld,
    /// The goods have left; what was promised cannot be taken back.
    AlreadyShipped,
}

impl Reservation {
    /// What a closed order (cancelled or rejected) asks of its reservation.
    #[must_use]
    pub fn on_close(&self) -> ReservationChange {
        match &self.state {
            ReservationState::Reserved(lines) => ReservationChange::Release(lines.clone()),
            ReservationState::Released(_) => ReservationChange::AlreadyThere,
            ReservationState::Rejected(_) | ReservationState::Barred => ReservationChange::NothingHeld,
            ReservationState::Shipped(_) => ReservationChange::AlreadyShipped,
        }
    }

    /// What goods that have left ask of their reservation.
    #[must_use]
    pub fn on_pick_up(&self) -> ReservationChange {
        match &self.state {
            ReservationState::Reserved(lines) => ReservationChange::Ship(lines.clone()),
            ReservationState::Shipped(_) => ReservationChange::AlreadyThere,
            ReservationState::Released(_) | ReservationState::Rejected(_) | ReservationState::Barred => {
                ReservationChange::NothingHeld
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Quantity, Sku};

    fn reservation(state: ReservationState) -> Reservation {
        Reservation {
            state,
            decided_by: EventId::parse("e-1").unwrap(),
            decided_at: Timestamp::from_unix_ms(0),
        }
    }

    fn lines() -> Vec<StockLine> {
        vec![StockLine { sku: Sku::parse("A").unwrap(), quantity: Quantity::new(1).unwrap() }]
    }

    #[test]
    fn only_held_stock_is_released_or_shipped() {
        let held = reservation(ReservationState::Reserved(lines()));
        assert_eq!(held.on_close(), ReservationChange::Release(lines()));
        assert_eq!(held.on_pick_up(), ReservationChange::Ship(lines()));
        for state in [ReservationState::Rejected(vec![]), ReservationState::Barred] {
            assert_eq!(reservation(state.clone()).on_close(), ReservationChange::NothingHeld);
            assert_eq!(reservation(state).on_pick_up(), ReservationChange::NothingHeld);
        }
    }

    #[test]
    fn shipped_stock_is_never_released() {
        let shipped = reservation(ReservationState::Shipped(lines()));
        assert_eq!(shipped.on_close(), ReservationChange::AlreadyShipped);
        assert_eq!(shipped.on_pick_up(), ReservationChange::AlreadyThere);
    }

    #[test]
    fn released_stock_is_never_released_again() {
        assert_eq!(
            reservation(ReservationState::Released(lines())).on_close(),
            ReservationChange::AlreadyThere
        );
    }
}
