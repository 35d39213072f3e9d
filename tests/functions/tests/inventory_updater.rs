//! `inventory-updater`: stock is promised once, given back once, and never made up.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::collections::BTreeMap;

use contracts::Event;
use domain::{Sku, StockDecision, StockEnd, StockLevel};
use function_tests::{
    Function, SteppingClock, cancelled, confirmed, data_of, departed, detail_of, every_crash_converges,
    order_id, picked_up, placed, rejected, sku, types_of,
};
use inventory_updater::{InventoryUpdater, NAME};
use memory::{Fault, Faults, MemoryStockStore};
use ports::StockCounts;
use proptest::prelude::*;
use serde_json::json;

type Inventory = Function<InventoryUpdater<MemoryStockStore, SteppingClock>>;

async fn inventory(faults: &Faults, clock: SteppingClock, shelf: &[(&str, u64)]) -> Inventory {
    let stock = MemoryStockStore::with_faults(faults.clone());
    for (name, available) in shelf {
        stock.set_available(&sku(name), *available).await.unwrap();
    }
    Function::with_faults(NAME, InventoryUpdater { stock, clock }, faults)
}

async fn sound(shelf: &[(&str, u64)]) -> Inventory {
    inventory(&Faults::default(), SteppingClock::default(), shelf).await
}

/// Available, reserved and shipped, of a SKU that is conserved.
#[track_caller]
fn level(function: &Inventory, name: &str) -> (u64, u64, u64) {
    let level = levels(function)[&sku(name)];
    assert!(level.is_conserved(), "{level:?}");
    (level.available, level.reserved, level.shipped)
}

fn levels(function: &Inventory) -> BTreeMap<Sku, StockLevel> {
    function.handler().stock.stock_levels()
}

fn order(id: &str) -> Event {
    placed(id, "o-1", &[("MUG", 2), ("TEA", 1)])
}

#[tokio::test]
async fn an_order_in_stock_is_reserved_line_by_line() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    let published = function.published_by(&order("e-1")).await;
    assert_eq!(types_of(&published), ["inventory.stock-reserved.v1"]);
    let lines = json!([{"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 1}]);
    assert_eq!(data_of(&published[0]), json!({"orderId": "o-1", "lines": lines}));
    assert_eq!(detail_of(&published[0])["causationid"], "e-1");
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((3, 2, 0), (0, 1, 0)));
}

#[tokio::test]
async fn a_redelivered_order_reserves_stock_once() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    let first = function.published_by(&order("e-1")).await;
    assert_eq!(function.published_by(&order("e-1")).await, first);
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((3, 2, 0), (0, 1, 0)));
}

#[tokio::test]
async fn two_events_that_place_one_order_reserve_stock_once() {
    let function = sound(&[("MUG", 5), ("TEA", 5)]).await;
    function.published_by(&order("e-1")).await;
    assert_eq!(function.published_by(&order("e-2")).await, []);
    assert_eq!(level(&function, "MUG"), (3, 2, 0));
}

#[tokio::test]
async fn an_order_that_is_short_of_one_line_reserves_none() {
    let function = sound(&[("MUG", 1), ("TEA", 9)]).await;
    let published = function.published_by(&placed("e-1", "o-1", &[("TEA", 1), ("MUG", 2), ("POT", 3)])).await;
    assert_eq!(types_of(&published), ["inventory.stock-rejected.v1"]);
    let shortages = json!([
        {"sku": "MUG", "requested": 2, "available": 1},
        {"sku": "POT", "requested": 3, "available": 0},
    ]);
    assert_eq!(data_of(&published[0])["shortages"], shortages);
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((1, 0, 0), (9, 0, 0)));
}

#[tokio::test]
async fn a_shortage_is_durable_after_a_restock() {
    let function = sound(&[("MUG", 1), ("TEA", 9)]).await;
    let first = function.published_by(&order("e-1")).await;
    assert_eq!(types_of(&first), ["inventory.stock-rejected.v1"]);
    function.handler().stock.set_available(&sku("MUG"), 100).await.unwrap();
    assert_eq!(function.published_by(&order("e-1")).await, first);
    assert_eq!(function.published_by(&order("e-2")).await, []);
    assert_eq!(level(&function, "MUG"), (100, 0, 0));
}

#[tokio::test]
async fn an_order_closed_before_it_is_placed_is_not_reserved() {
    for close in [cancelled("e-2", "o-1"), rejected("e-2", "o-1")] {
        let function = sound(&[("MUG", 5), ("TEA", 5)]).await;
        assert_eq!(function.published_by(&close).await, []);
        assert_eq!(function.published_by(&order("e-1")).await, []);
        assert_eq!(function.published_by(&close).await, []);
        assert_eq!(level(&function, "MUG"), (5, 0, 0));
        let reservations = function.handler().stock.reservations();
        assert_eq!(reservations[&order_id("o-1")].decision, StockDecision::Barred);
    }
}

#[tokio::test]
async fn a_closed_order_gives_its_stock_back_exactly_once() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    function.published_by(&order("e-1")).await;
    let released = function.published_by(&cancelled("e-2", "o-1")).await;
    assert_eq!(types_of(&released), ["inventory.stock-released.v1"]);
    let lines = json!([{"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 1}]);
    assert_eq!(data_of(&released[0]), json!({"orderId": "o-1", "lines": lines}));
    assert_eq!(function.published_by(&cancelled("e-2", "o-1")).await, released);
    assert_eq!(function.published_by(&cancelled("e-3", "o-1")).await, []);
    assert_eq!(function.published_by(&rejected("e-4", "o-1")).await, []);
    assert_eq!(
        function.published_by(&order("e-1")).await.len(),
        1,
        "the reservation is told again, not made again"
    );
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((5, 0, 0), (1, 0, 0)));
}

#[tokio::test]
async fn a_rejected_order_that_held_nothing_gives_nothing_back() {
    let function = sound(&[("MUG", 1), ("TEA", 1)]).await;
    function.published_by(&order("e-1")).await;
    assert_eq!(function.published_by(&rejected("e-2", "o-1")).await, []);
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((1, 0, 0), (1, 0, 0)));
}

#[tokio::test]
async fn a_parcel_that_left_ships_the_stock_of_its_order_once() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    function.published_by(&order("e-1")).await;
    for parcel in ["e-2", "e-2", "e-3"] {
        assert_eq!(function.published_by(&departed(parcel, "o-1")).await, []);
    }
    assert_eq!((level(&function, "MUG"), level(&function, "TEA")), ((3, 0, 2), (0, 0, 1)));
    assert_eq!(function.quarantined(), [""; 0]);
}

#[tokio::test]
async fn a_parcel_that_left_before_its_reservation_is_heard_of_waits() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    assert!(!function.deliver(&departed("e-2", "o-1")).await);
    function.published_by(&order("e-1")).await;
    assert!(function.deliver(&departed("e-2", "o-1")).await);
    assert_eq!(level(&function, "MUG"), (3, 0, 2));
}

#[tokio::test]
async fn what_has_left_is_not_given_back() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    function.published_by(&order("e-1")).await;
    function.published_by(&departed("e-2", "o-1")).await;
    assert_eq!(function.published_by(&cancelled("e-3", "o-1")).await, []);
    assert_eq!(level(&function, "MUG"), (3, 0, 2));
    let reservations = function.handler().stock.reservations();
    assert_eq!(reservations[&order_id("o-1")].closing.as_ref().unwrap().end, StockEnd::Shipped);
}

#[tokio::test]
async fn a_carriers_word_moves_no_stock() {
    let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
    function.published_by(&order("e-1")).await;
    let before = level(&function, "MUG");
    assert!(function.deliver(&picked_up("e-2", "o-1")).await);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
    assert_eq!(level(&function, "MUG"), before);
}

#[tokio::test]
async fn a_parcel_of_an_order_that_holds_no_stock_is_set_aside() {
    for before in [vec![cancelled("e-2", "o-1")], vec![order("e-1"), cancelled("e-2", "o-1")]] {
        let function = sound(&[("MUG", 5), ("TEA", 1)]).await;
        function.deliver_all(&before).await;
        assert!(function.deliver(&departed("e-3", "o-1")).await);
        assert_eq!(function.quarantined(), ["impossible_data"]);
        assert_eq!(level(&function, "MUG"), (5, 0, 0));
    }
}

#[tokio::test]
async fn an_order_that_breaks_rules_reserves_nothing_and_says_nothing() {
    let function = sound(&[("MUG", 5)]).await;
    assert_eq!(function.published_by(&placed("e-1", "o-1", &[("MUG", 0)])).await, []);
    assert_eq!(function.published_by(&placed("e-2", "o-2", &[("MUG", 1), ("MUG", 1)])).await, []);
    assert_eq!(level(&function, "MUG"), (5, 0, 0));
    assert!(function.handler().stock.reservations().is_empty());
}

#[tokio::test]
async fn an_event_of_another_subscription_is_set_aside() {
    let function = sound(&[("MUG", 5)]).await;
    assert!(function.deliver(&confirmed("e-1", "o-1", &[("MUG", 1)])).await);
    assert_eq!(function.quarantined(), ["not_subscribed"]);
    assert_eq!(level(&function, "MUG"), (5, 0, 0));
}

#[tokio::test]
async fn orders_of_one_batch_that_race_for_stock_never_oversell() {
    let function = sound(&[("MUG", 7)]).await;
    let names: Vec<String> = (0..10).map(|number| format!("o-{number}")).collect();
    let orders: Vec<Event> =
        names.iter().map(|name| placed(&format!("e-{name}"), name, &[("MUG", 2)])).collect();
    assert_eq!(function.deliver_batch(&orders).await, []);
    assert_eq!(level(&function, "MUG"), (1, 6, 0));
    let types = types_of(&function.published());
    assert_eq!(types.iter().filter(|name| **name == "inventory.stock-reserved.v1").count(), 3);
    assert_eq!(types.iter().filter(|name| **name == "inventory.stock-rejected.v1").count(), 7);
}

#[tokio::test]
async fn a_reservation_whose_event_was_not_published_is_published_at_the_next_delivery() {
    let faults = Faults::default();
    let function = inventory(&faults, SteppingClock::default(), &[("MUG", 5), ("TEA", 1)]).await;
    faults.fail_call(faults.calls() + 2, Fault::NotApplied);
    assert!(!function.deliver(&order("e-1")).await);
    assert_eq!(level(&function, "MUG"), (3, 2, 0), "committed before the bus was called");
    assert_eq!(types_of(&function.published_by(&order("e-1")).await), ["inventory.stock-reserved.v1"]);
    assert_eq!(level(&function, "MUG"), (3, 2, 0));
}

#[tokio::test]
async fn a_reservation_whose_reply_was_lost_is_recognised_as_its_own() {
    for available in [5, 1] {
        let faults = Faults::default();
        let function = inventory(&faults, SteppingClock::default(), &[("MUG", available), ("TEA", 1)]).await;
        // The reservation of an order in stock; the rejection, which is the second call, of one that is short.
        faults.fail_call(faults.calls() + if available == 5 { 1 } else { 2 }, Fault::ReplyLost);
        assert!(!function.deliver(&order("e-1")).await);
        function.handler().stock.set_available(&sku("MUG"), 50).await.unwrap();
        let published = function.published_by(&order("e-1")).await;
        let expected =
            if available == 5 { "inventory.stock-reserved.v1" } else { "inventory.stock-rejected.v1" };
        assert_eq!(types_of(&published), [expected]);
    }
}

#[tokio::test]
async fn every_crash_leaves_the_same_stock_and_the_same_events() {
    let history = [
        vec![order("e-1"), placed("e-2", "o-2", &[("POT", 1)]), placed("e-3", "o-3", &[("JAR", 99)])],
        vec![
            cancelled("e-4", "o-1"),
            departed("e-5", "o-2"),
            rejected("e-6", "o-3"),
            cancelled("e-7", "o-4"),
        ],
        vec![placed("e-8", "o-4", &[("POT", 1)]), cancelled("e-9", "o-2")],
    ];
    let build =
        async |faults: Faults, clock| inventory(&faults, clock, &[("MUG", 5), ("TEA", 3), ("POT", 2)]).await;
    let state = |handler: &InventoryUpdater<MemoryStockStore, SteppingClock>| {
        (handler.stock.stock_levels(), handler.stock.reservations())
    };
    every_crash_converges(build, async |_| (), &history, state).await;
}

proptest! {
    #[test]
    fn stock_is_conserved_and_accounted_for_whatever_arrives_and_whatever_is_lost(
        arrivals in prop::collection::vec((0_usize..3, 0_usize..6), 1..25),
        lost in prop::collection::vec((1_u64..60, any::<bool>()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let faults = Faults::default();
            let function = inventory(&faults, SteppingClock::default(), &[("MUG", 4), ("TEA", 3)]).await;
            for (call, is_applied) in lost {
                let fault = if is_applied { Fault::ReplyLost } else { Fault::NotApplied };
                faults.fail_call(faults.calls() + call, fault);
            }
            for (number, what) in arrivals {
                let order = format!("o-{number}");
                let event = match what {
                    0 => placed(&format!("placed-{number}"), &order, &[("MUG", 2), ("TEA", 1)]),
                    1 => placed(&format!("placed-again-{number}"), &order, &[("MUG", 1)]),
                    2 => cancelled(&format!("cancelled-{number}"), &order),
                    3 => rejected(&format!("rejected-{number}"), &order),
                    4 => departed(&format!("parcel-{number}"), &order),
                    _ => departed(&format!("second-parcel-{number}"), &order),
                };
                function.deliver(&event).await;
                let mut held: BTreeMap<Sku, u64> = BTreeMap::new();
                for reservation in function.handler().stock.reservations().values() {
                    for line in reservation.held().unwrap_or_default() {
                        *held.entry(line.sku.clone()).or_default() += u64::from(line.quantity.get());
                    }
                }
                for (sku, level) in levels(&function) {
                    prop_assert!(level.is_conserved(), "{sku}: {level:?}");
                    prop_assert_eq!(level.reserved, held.get(&sku).copied().unwrap_or_default());
                }
            }
            Ok(())
        })?;
    }
}
