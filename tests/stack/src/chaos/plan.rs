//! What is done, decided by the seed before anything is done.

use contracts::{OPEN_SCOPE, OrderRequest, order_id_of_key};
use domain::OrderId;
use fastrand::Rng;

use super::poison::Poison;
use crate::ways::Way;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many orders.
    pub orders: usize,
    /// How many of them are under way at once.
    pub in_flight: usize,
    /// Where everything random comes from.
    pub seed: u64,
}

/// Of a hundred orders, so many come with a poisoned message.
const POISON_PERCENT: usize = 3;
/// Of a hundred orders, so many are posted twice under their key.
const REPEATED_PERCENT: u8 = 10;

/// One order, and what comes with it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) way: Way,
    pub(crate) key: String,
    pub(crate) order_id: OrderId,
    pub(crate) request: OrderRequest,
    /// Whether the client sends it again although it was answered.
    pub(crate) is_repeated: bool,
    pub(crate) poison: Option<Poison>,
}

/// Every order of a run.
pub(crate) fn plan(options: Options) -> Vec<Planned> {
    let mut rng = Rng::with_seed(options.seed);
    let mut orders: Vec<Planned> = (0..options.orders)
        .map(|index| {
            // Each way once before chance decides, so that a small run has them all.
            let way = Way::ALL.get(index).copied().unwrap_or_else(|| any_way(&mut rng));
            let key = format!("chaos-{}-{index}", options.seed);
            Planned {
                way,
                order_id: order_id_of_key(OPEN_SCOPE, &key),
                key,
                request: way.request(index),
                is_repeated: rng.u8(0..100) < REPEATED_PERCENT,
                poison: None,
            }
        })
        .collect();
    rng.shuffle(&mut orders);
    let poisoned = (options.orders * POISON_PERCENT).div_ceil(100);
    let mut places: Vec<usize> = (0..orders.len()).collect();
    rng.shuffle(&mut places);
    for (number, place) in places.into_iter().take(poisoned).enumerate() {
        orders[place].poison = Some(Poison::any(number, &mut rng));
    }
    orders
}

fn any_way(rng: &mut Rng) -> Way {
    match rng.u8(0..20) {
        0..8 => Way::Shipped,
        8..10 => Way::PickedUp,
        10..12 => Way::OutOfStock,
        12..14 => Way::Contended,
        14..16 => Way::Declined,
        16 | 17 => Way::CalledOff,
        18 => Way::CalledOffBefore,
        _ => [Way::PaidLate, Way::BreaksRules][rng.usize(0..2)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_plans_the_same_run_again() {
        let options = Options { orders: 200, in_flight: 50, seed: 9 };
        let described =
            |options| -> Vec<String> { plan(options).iter().map(|planned| format!("{planned:?}")).collect() };
        assert_eq!(described(options), described(options));
        assert_ne!(described(options), described(Options { seed: 10, ..options }));
    }

    #[test]
    fn a_small_run_has_every_way_and_its_share_of_poison() {
        let orders = plan(Options { orders: 60, in_flight: 5, seed: 1 });
        for way in Way::ALL {
            assert!(orders.iter().any(|planned| planned.way == way), "{way:?}");
        }
        assert_eq!(orders.iter().filter(|planned| planned.poison.is_some()).count(), 2);
    }
}
