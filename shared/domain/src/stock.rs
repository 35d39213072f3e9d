use crate::{Quantity, Sku};

/// The stock of one SKU. `available + reserved + shipped = received`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StockLevel {
    /// Free to be reserved.
    pub available: u64,
    /// Promised to orders that have not left.
    pub reserved: u64,
    /// Left the warehouse.
    pub shipped: u64,
    /// All that ever came in.
    pub received: u64,
}

/// A change that would make a count negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// Less is available than asked for.
    #[error("not enough in stock")]
    Short,
    /// Less is reserved than is to be released or shipped: the record of reservations is broken.
    #[error("less is reserved than is to be released or shipped")]
    NotReserved,
    /// A count would exceed its type.
    #[error("the count is too large")]
    TooLarge,
}

/// One line that could not be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// What was asked for.
    pub sku: Sku,
    /// How many were asked for.
    pub requested: Quantity,
    /// How many there were. 0 for a SKU that inventory does not know.
    pub available: u64,
}

impl StockLevel {
    /// True when nothing was lost and nothing was made up.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        [self.reserved, self.shipped]
            .iter()
            .try_fold(self.available, |sum, part| sum.checked_add(*part))
            .is_some_and(|sum| sum == self.received)
    }

    /// Promises a quantity to an order.
    ///
    /// # Errors
    /// [`StockError::Short`].
    pub fn reserve(self, quantity: Quantity) -> Result<Self, StockError> {
        let count = u64::from(quantity.get());
        Ok(Self {
            available: self.available.checked_sub(count).ok_or(StockError::Short)?,
            reserved: self.reserved.checked_add(count).ok_or(StockError::TooLarge)?,
            ..self
        })
    }

    /// Takes a promise back.
    ///
    /// # Errors
    /// [`StockError::NotReserved`].
    pub fn release(self, quantity: Quantity) -> Result<Self, StockError> {
        let count = u64::from(quantity.get());
        Ok(Self {
            available: self.available.checked_add(count).ok_or(StockError::TooLarge)?,
            reserved: self.reserved.checked_sub(count).ok_or(StockError::NotReserved)?,
            ..self
        })
    }

    /// Fulfils a promise.
    ///
    /// # Errors
    /// [`StockError::NotReserved`].
    pub fn ship(self, quantity: Quantity) -> Result<Self, StockError> {
        let count = u64::from(quantity.get());
        Ok(Self {
            reserved: self.reserved.checked_sub(count).ok_or(StockError::NotReserved)?,
            shipped: self.shipped.checked_add(count).ok_or(StockError::TooLarge)?,
            ..self
        })
    }

    /// Counts the shelf anew: so many are available, and what was received follows from it.
    ///
    /// # Errors
    /// [`StockError::TooLarge`].
    pub fn recount(self, available: u64) -> Result<Self, StockError> {
        let received = [self.reserved, self.shipped]
            .iter()
            .try_fold(available, |sum, part| sum.checked_add(*part))
            .ok_or(StockError::TooLarge)?;
        Ok(Self { available, received, ..self })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Change {
        Reserve(i64),
        Release(i64),
        Ship(i64),
        Recount(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (1_i64..20).prop_map(Change::Reserve),
            (1_i64..20).prop_map(Change::Release),
            (1_i64..20).prop_map(Change::Ship),
            (0_u64..100).prop_map(Change::Recount),
        ]
    }

    fn apply(level: StockLevel, change: Change) -> Result<StockLevel, StockError> {
        let quantity = |count| Quantity::new(count).unwrap();
        match change {
            Change::Reserve(count) => level.reserve(quantity(count)),
            Change::Release(count) => level.release(quantity(count)),
            Change::Ship(count) => level.ship(quantity(count)),
            Change::Recount(available) => level.recount(available),
        }
    }

    proptest! {
        #[test]
        fn stock_is_conserved_by_any_sequence_of_changes(changes in prop::collection::vec(change(), 0..200)) {
            let mut level = StockLevel::default();
            for change in changes {
                if let Ok(next) = apply(level, change) {
                    level = next;
                }
                prop_assert!(level.is_conserved(), "{level:?} after {change:?}");
            }
        }

        #[test]
        fn a_reservation_never_takes_more_than_there_is(available in 0_u64..50, count in 1_i64..50) {
            let level = StockLevel::default().recount(available).unwrap();
            let reserved = level.reserve(Quantity::new(count).unwrap());
            prop_assert_eq!(reserved.is_ok(), u64::try_from(count).unwrap() <= available);
        }

        #[test]
        fn release_undoes_reserve(available in 50_u64..99, count in 1_i64..50) {
            let level = StockLevel::default().recount(available).unwrap();
            let quantity = Quantity::new(count).unwrap();
            prop_assert_eq!(level.reserve(quantity).unwrap().release(quantity), Ok(level));
        }
    }

    #[test]
    fn a_level_that_does_not_add_up_is_noticed() {
        assert!(!StockLevel { available: 1, reserved: 0, shipped: 0, received: 2 }.is_conserved());
        assert!(!StockLevel { available: u64::MAX, reserved: 1, shipped: 0, received: 0 }.is_conserved());
    }
}
