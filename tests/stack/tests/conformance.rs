//! The adapters on AWS services keep every promise of their ports: against MiniStack, and those on DynamoDB against AWS's
//! own DynamoDB Local too.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use aws::{
    DynamoDbOrderStore, DynamoDbOrderViewStore, DynamoDbShipmentStore, DynamoDbStockStore, S3EventLake,
};
use ports::conformance;
use stack_tests::Judge;

#[test]
fn the_stores_conform_on_ministack() {
    the_stores_conform(&Judge::ministack().unwrap());
}

#[test]
fn the_stores_conform_on_dynamodb_local() {
    the_stores_conform(&Judge::dynamodb_local().unwrap());
}

fn the_stores_conform(judge: &Judge) {
    let client = || judge.sdk().dynamodb();
    let orders = DynamoDbOrderStore::new(client(), judge.table("orders", "order_id").unwrap());
    judge.wait(conformance::order_store(&orders, judge.name()));
    let stock = DynamoDbStockStore::new(client(), judge.table("stock", "pk").unwrap());
    judge.wait(conformance::stock_store(&stock, judge.name()));
    judge.wait(conformance::contended_stock(&stock, judge.name()));
    let shipments = DynamoDbShipmentStore::new(client(), judge.table("shipments", "order_id").unwrap());
    judge.wait(conformance::shipment_store(&shipments, judge.name()));
    let views = DynamoDbOrderViewStore::new(client(), judge.table("views", "order_id").unwrap());
    judge.wait(conformance::order_view_store(&views, judge.name()));
}

#[test]
fn the_lake_on_s3_conforms() {
    let judge = Judge::ministack().unwrap();
    let s3 = judge.sdk().s3();
    judge.wait(s3.create_bucket().bucket("lake").send()).unwrap();
    let lake = S3EventLake::new(s3.clone(), "lake".to_owned());
    let body = async |key: &str| {
        let object = s3.get_object().bucket("lake").key(key).send().await.ok()?;
        Some(object.body.collect().await.ok()?.to_vec())
    };
    judge.wait(conformance::event_lake(&lake, body, judge.name()));
}
