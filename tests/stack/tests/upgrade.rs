//! A new version is deployed over the last release: no order is lost or doubled, and nothing that holds data is replaced.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use orderbus::tools::Tools;
use orderbus::{Progress, repository, upgrade};
use serde_json::Value;
use stack_tests::ways::{SKUS, SOLD_OUT, Way};
use stack_tests::{TestStack, event_types, eventually};

const STOCK: u64 = 10_000;
/// How many orders are placed before the deployment begins, and how many after it.
const AROUND: usize = 20;
/// How many clients place orders at the same time.
const CLIENTS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn todays_template_replaces_nothing_of_the_release_that_holds_data() {
    let changes = changes_from_the_release_to("template.yaml", |text| text);
    changes.iter().for_each(|change| println!("{change}"));
    upgrade::judge(&changes).unwrap();
}

#[test]
fn a_change_that_loses_data_is_refused_by_resource_and_property() {
    let refusal = |change: fn(String) -> String| {
        let error = upgrade::judge(&changes_from_the_release_to(upgrade::RELEASED, change)).unwrap_err();
        error.to_string()
    };
    let another_key = refusal(|text| {
        let (before, table) = text.split_once("\n  OrdersTable:\n").unwrap();
        let table = table.replacen("AttributeName: order_id", "AttributeName: order", 2);
        format!("{before}\n  OrdersTable:\n{table}")
    });
    assert!(
        another_key.contains(
            "OrdersTable (AWS::DynamoDB::Table) would be replaced: KeySchema differs; its items would be lost"
        ),
        "{another_key}"
    );
    let another_name = refusal(|text| {
        let bucket = "\n  LakeBucket:\n    Type: AWS::S3::Bucket\n";
        let (before, rest) = text.split_once(bucket).unwrap();
        let rest = rest.replacen("    Properties:\n", "    Properties:\n      BucketName: the-lake\n", 1);
        format!("{before}{bucket}{rest}")
    });
    assert!(
        another_name.contains(
            "LakeBucket (AWS::S3::Bucket) would be replaced: BucketName differs; its objects would be lost"
        ),
        "{another_name}"
    );
    // To rename a logical id is to remove one resource and create another.
    let removed = refusal(|text| text.replace("ShipmentsTable", "ParcelsTable"));
    assert!(
        removed.contains(
            "ShipmentsTable (AWS::DynamoDB::Table) would be removed: the new template does not have it; its items would be lost"
        ),
        "{removed}"
    );
    // A function's settings change in place.
    let harmless = changes_from_the_release_to(upgrade::RELEASED, |text| text.replace("Tracing: Active", ""));
    assert_eq!(harmless, []);
}

/// What a deployment over the release would replace or remove if a template read differently.
fn changes_from_the_release_to(template: &str, change: fn(String) -> String) -> Vec<upgrade::Change> {
    let tools = Tools::ready(&Progress::new(|line| println!("{line}"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let after = folder.path().join("template.yaml");
    fs::write(&after, change(fs::read_to_string(repository::root().join(template)).unwrap())).unwrap();
    upgrade::changes(&repository::root().join(upgrade::RELEASED), &after, &tools).unwrap()
}

fn way_of(index: usize) -> Way {
    match index % 10 {
        7 => Way::OutOfStock,
        8 => Way::Declined,
        _ => Way::Shipped,
    }
}

#[test]
fn an_upgrade_while_orders_flow_loses_and_doubles_none() {
    let released = repository::root().join(upgrade::RELEASED);
    // No order may end because this machine is slow.
    let timeout = ("PaymentTimeoutSeconds", "3600");
    let stack = TestStack::deploy_release(&released, &[timeout]).unwrap();
    for sku in SKUS {
        stack.count_stock(sku, STOCK).unwrap();
    }
    stack.count_stock(SOLD_OUT, 0).unwrap();
    let before = stack.resources().unwrap();

    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let (orders, placed_during) = thread::scope(|scope| {
        let client = || {
            let mut orders = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let index = next.fetch_add(1, Ordering::SeqCst);
                let key = format!("upgrade-{index}");
                orders.push((index, stack.place(&key, &way_of(index).request(index)).unwrap()));
            }
            orders
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let await_more = || {
            let wanted = next.load(Ordering::SeqCst) + AROUND;
            eventually(PATIENCE, || (next.load(Ordering::SeqCst) >= wanted).then_some(()))
        };
        let flowed_before = await_more();
        let begun = next.load(Ordering::SeqCst);
        // With another log level the deployment changes the settings of every function, even where both templates are the same.
        let upgraded = stack.upgrade(&[timeout, ("LogLevel", "debug")]);
        let ended = next.load(Ordering::SeqCst);
        let flowed_after = await_more();
        is_over.store(true, Ordering::SeqCst);
        let orders: BTreeMap<usize, String> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        upgraded.unwrap();
        assert!(flowed_before.is_some() && flowed_after.is_some(), "no order is placed any more");
        (orders, ended - begun)
    });
    assert!(placed_during > 0);

    let mut open: Vec<usize> = orders.keys().copied().collect();
    let all_ended = eventually(PATIENCE, || {
        open.retain(|index| !stack.order(&orders[index]).is_some_and(|order| is_at_its_end(*index, &order)));
        open.is_empty().then_some(())
    });
    let left: Vec<_> =
        open.iter().map(|index| stack.order(&orders[index]).map(|order| event_types(&order))).collect();
    let doubled = doubled(&stack, &orders);
    println!(
        "orders {}, placed during the deployment {placed_during}, lost {}, doubled {doubled}",
        orders.len(),
        open.len()
    );
    assert!(all_ended.is_some(), "{} orders are not at their end: {left:#?}", left.len());
    assert_eq!(doubled, 0);
    assert_eq!(stack.take_reasons().unwrap(), [""; 0], "nothing was quarantined");
    assert_nothing_was_replaced(&before, &stack.resources().unwrap());
}

/// Its status, and exactly its events: a decision that was made twice would show as an event too many.
fn is_at_its_end(index: usize, order: &Value) -> bool {
    way_of(index).end_of(&event_types(order)).is_some_and(|end| order["status"] == end.status())
}

/// How many pieces are reserved beyond one reservation an order, and how many events say something a second time.
fn doubled(stack: &TestStack, orders: &BTreeMap<usize, String>) -> u64 {
    let levels = stack.levels().unwrap();
    assert!(levels.values().all(domain::StockLevel::is_conserved), "{levels:?}");
    let shipped = |sku: &str| {
        let of_it = |index: &&usize| way_of(**index) == Way::Shipped && SKUS[**index % SKUS.len()] == sku;
        2 * u64::try_from(orders.keys().filter(of_it).count()).unwrap()
    };
    let pieces: u64 = SKUS.iter().map(|sku| levels[*sku].reserved.saturating_sub(shipped(sku))).sum();
    let again = orders.values().filter_map(|order_id| stack.order(order_id)).map(|order| {
        let mut types = event_types(&order);
        let all = types.len();
        types.dedup();
        u64::try_from(all - types.len()).unwrap()
    });
    pieces + again.sum::<u64>()
}

fn assert_nothing_was_replaced(
    before: &BTreeMap<String, (String, String)>,
    after: &BTreeMap<String, (String, String)>,
) {
    let mut kept = BTreeMap::new();
    for (logical_id, (kind, physical_id)) in before {
        let change = upgrade::Change {
            resource: logical_id.clone(),
            kind: kind.clone(),
            change: upgrade::Removal::Replaced,
            property: None,
        };
        if change.loss().is_some() {
            let now = after.get(logical_id).map(|(_, physical_id)| physical_id);
            assert_eq!(now, Some(physical_id), "{logical_id} is another one");
            *kept.entry(kind.as_str()).or_insert(0) += 1;
        }
    }
    println!("kept: {kept:?}");
    assert!(
        kept["AWS::DynamoDB::Table"] >= 6 && kept["AWS::S3::Bucket"] >= 4 && kept["AWS::SQS::Queue"] >= 10
    );
}
