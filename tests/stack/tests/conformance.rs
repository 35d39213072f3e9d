//! The adapters on AWS services keep every promise of their ports: here against MiniStack.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use aws::{
    DynamoDbOrderStore, DynamoDbOrderViewStore, DynamoDbShipmentStore, DynamoDbStockStore, S3EventLake, Sdk,
};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use orderbus::Progress;
use orderbus::ministack::{MiniStack, REGION, free_port};
use orderbus::tools::Tools;
use ports::conformance;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// MiniStack with nothing on it.
struct Bare {
    sdk: Sdk,
    runtime: Runtime,
    // Dropped in this order: the process before the folder that it writes to.
    _ministack: MiniStack,
    _state: TempDir,
}

impl Bare {
    fn start() -> Self {
        let progress = Progress::new(|line| eprintln!("{line}"));
        let state = tempfile::Builder::new().prefix("orderbus-conformance-").tempdir().unwrap();
        let tools = Tools::ready(&progress).unwrap();
        let port = Some(free_port().unwrap());
        let ministack = MiniStack::start(&tools, state.path(), port, &progress).unwrap();
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = Sdk::new(credentials, REGION.to_owned(), Some(ministack.endpoint()));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { sdk, runtime, _ministack: ministack, _state: state }
    }

    /// A table with the key that template.yaml gives it.
    fn table(&self, name: &str, key: &str) -> String {
        let attribute = AttributeDefinition::builder().attribute_name(key);
        let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
        let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap();
        let request = self.sdk.dynamodb().create_table().table_name(name);
        let request = request.attribute_definitions(attribute).key_schema(schema);
        self.runtime.block_on(request.billing_mode(BillingMode::PayPerRequest).send()).unwrap();
        name.to_owned()
    }
}

#[test]
fn the_stores_on_dynamodb_conform() {
    let bare = Bare::start();
    let client = || bare.sdk.dynamodb();
    let orders = DynamoDbOrderStore::new(client(), bare.table("orders", "order_id"));
    bare.runtime.block_on(conformance::order_store(&orders, "ministack"));
    let stock = DynamoDbStockStore::new(client(), bare.table("stock", "pk"));
    bare.runtime.block_on(conformance::stock_store(&stock, "ministack"));
    let shipments = DynamoDbShipmentStore::new(client(), bare.table("shipments", "order_id"));
    bare.runtime.block_on(conformance::shipment_store(&shipments, "ministack"));
    let views = DynamoDbOrderViewStore::new(client(), bare.table("views", "order_id"));
    bare.runtime.block_on(conformance::order_view_store(&views, "ministack"));
}

#[test]
fn the_lake_on_s3_conforms() {
    let bare = Bare::start();
    let s3 = bare.sdk.s3();
    bare.runtime.block_on(s3.create_bucket().bucket("lake").send()).unwrap();
    let lake = S3EventLake::new(s3.clone(), "lake".to_owned());
    let body = async |key: &str| {
        let object = s3.get_object().bucket("lake").key(key).send().await.ok()?;
        Some(object.body.collect().await.ok()?.to_vec())
    };
    bare.runtime.block_on(conformance::event_lake(&lake, body, "ministack"));
}
