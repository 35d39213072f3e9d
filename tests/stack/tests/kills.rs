//! Functions die at any moment; orders do not notice.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use stack_tests::ways::{SKUS, SOLD_OUT, Way};
use stack_tests::{TestStack, event_types, eventually};

const PATIENCE: Duration = Duration::from_secs(480);
const ORDERS: usize = 200;
/// One kill of each function, and of the busiest another one.
const KILLS: [&str; 10] = [
    "orderbus-local-InventoryUpdaterFunction",
    "orderbus-local-OrderPlacedFunction",
    "orderbus-local-OrderApiFunction",
    "orderbus-local-ShippingNotifierFunction",
    "orderbus-local-PaymentCallbackFunction",
    "orderbus-local-InventoryUpdaterFunction",
    "orderbus-local-OrderTrackerFunction",
    "orderbus-local-EventArchiverFunction",
    "payment-provider-local-Function",
    "orderbus-local-OrderPlacedFunction",
];
const STOCK: u64 = 1_000;

fn way_of(index: usize) -> Way {
    match index % 10 {
        7 => Way::OutOfStock,
        8 => Way::Declined,
        9 => Way::CalledOff,
        _ => Way::Shipped,
    }
}

#[test]
fn ten_kills_in_two_hundred_orders_change_no_outcome_and_no_stock() {
    // Longer than a killed batch stays invisible, several times over.
    let stack = TestStack::deploy(&[("PaymentTimeoutSeconds", "3600")]).unwrap();
    for sku in SKUS {
        stack.count_stock(sku, STOCK).unwrap();
    }
    stack.count_stock(SOLD_OUT, 0).unwrap();

    let mut orders: Vec<(Way, String)> = Vec::new();
    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kills = KILLS.iter();
    for index in 0..ORDERS {
        let way = way_of(index);
        let key = format!("kills-{index}");
        orders.push((way, stack.place(&key, &way.request(index)).unwrap()));
        if index % 19 == 18
            && let Some(function) = kills.next()
        {
            // Its process is started by the first message, which may take a while to come to it.
            let count = eventually(PATIENCE, || {
                Some(stack.kill_function(function).unwrap()).filter(|count| *count > 0)
            });
            *killed.entry(function).or_default() += count.unwrap_or_default();
        }
    }
    assert_eq!(kills.next(), None, "every kill was carried out");
    println!("killed processes: {killed:?}");
    assert!(KILLS.iter().all(|function| killed[function] > 0), "{killed:?}");

    call_off_the_unpaid(&stack, &orders);
    let mut open = orders.clone();
    let ended = eventually(PATIENCE, || {
        open.retain(|(way, order_id)| {
            !stack.order(order_id).is_some_and(|order| is_at_its_end(*way, &order))
        });
        open.is_empty().then_some(())
    });
    let left: Vec<_> = open
        .iter()
        .map(|(way, order_id)| (way, stack.order(order_id).map(|order| event_types(&order))))
        .collect();
    assert!(ended.is_some(), "{} orders are not at their end: {left:#?}", left.len());
    assert_stock(&stack, &orders);
}

fn call_off_the_unpaid(stack: &TestStack, orders: &[(Way, String)]) {
    for (_, order_id) in orders.iter().filter(|(way, _)| *way == Way::CalledOff) {
        let awaited = eventually(PATIENCE, || {
            let order = stack.order(order_id)?;
            (order["status"] == "awaiting_payment").then_some(())
        });
        assert!(awaited.is_some(), "{order_id} does not await its payment: {:?}", stack.order(order_id));
        let called_off =
            eventually(PATIENCE, || stack.api().cancel(order_id).ok().filter(|answer| answer.status == 202));
        assert!(called_off.is_some());
    }
}

/// Its status, and exactly its events: a decision that was made twice would show as an event too many.
fn is_at_its_end(way: Way, order: &Value) -> bool {
    way.end_of(&event_types(order)).is_some_and(|end| order["status"] == end.status())
}

fn assert_stock(stack: &TestStack, orders: &[(Way, String)]) {
    let mut reserved: BTreeMap<String, u64> = BTreeMap::new();
    for (index, _) in orders.iter().enumerate().filter(|(_, (way, _))| *way == Way::Shipped) {
        *reserved.entry(SKUS[index % SKUS.len()].to_owned()).or_default() += 2;
    }
    let levels = stack.levels().unwrap();
    println!("stock: {levels:?}");
    assert!(levels.values().all(domain::StockLevel::is_conserved), "{levels:?}");
    for (sku, reserved) in reserved {
        let level = levels[&sku];
        assert_eq!(
            (level.reserved, level.available, level.received),
            (reserved, STOCK - reserved, STOCK),
            "{sku}"
        );
    }
}
