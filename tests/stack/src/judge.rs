use anyhow::Result;
use aws::Sdk;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use orderbus::Progress;
use orderbus::ministack::{MiniStack, REGION, free_port};
use orderbus::tools::Tools;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::dynamodb_local::DynamoDbLocal;

/// Whom the adapters are tried against: an emulator of a test's own, with nothing in it. Dropping it ends it.
#[derive(Debug)]
pub struct Judge {
    name: &'static str,
    sdk: Sdk,
    runtime: Runtime,
    _process: Process,
}

#[derive(Debug)]
enum Process {
    /// The process before the folder that it writes to: they are dropped in this order.
    MiniStack {
        _process: MiniStack,
        _state: TempDir,
    },
    DynamoDbLocal {
        _process: DynamoDbLocal,
    },
}

impl Judge {
    /// MiniStack: every service.
    ///
    /// # Errors
    /// When it does not start.
    pub fn ministack() -> Result<Self> {
        let progress = Progress::new(|line| terminal::complain(line));
        let state = tempfile::Builder::new().prefix("orderbus-conformance-").tempdir()?;
        let process =
            MiniStack::start(&Tools::ready(&progress)?, state.path(), Some(free_port()?), &progress)?;
        let endpoint = process.endpoint();
        Self::new("ministack", endpoint, Process::MiniStack { _process: process, _state: state })
    }

    /// AWS's own DynamoDB Local: DynamoDB and nothing else.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn dynamodb_local() -> Result<Self> {
        let progress = Progress::new(|line| terminal::complain(line));
        let process = DynamoDbLocal::start(&Tools::ready(&progress)?, &progress)?;
        let endpoint = process.endpoint();
        Self::new("dynamodb-local", endpoint, Process::DynamoDbLocal { _process: process })
    }

    fn new(name: &'static str, endpoint: String, process: Process) -> Result<Self> {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = Sdk::new(credentials, REGION.to_owned(), Some(endpoint));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { name, sdk, runtime, _process: process })
    }

    /// Its name, which may be part of an id.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its clients.
    #[must_use]
    pub fn sdk(&self) -> &Sdk {
        &self.sdk
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.sdk.config().endpoint_url().unwrap_or_default()
    }

    /// Runs what is asynchronous.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Creates a table with a key of text, as template.yaml does.
    ///
    /// # Errors
    /// When it is refused.
    pub fn table(&self, name: &str, key: &str) -> Result<String> {
        let request = self.sdk.dynamodb().create_table().table_name(name);
        let request = request.attribute_definitions(attribute(key)?).key_schema(hash_key(key)?);
        self.wait(request.billing_mode(BillingMode::PayPerRequest).send())?;
        Ok(name.to_owned())
    }

    /// Creates the table of the read model, as template.yaml does.
    ///
    /// # Errors
    /// When it is refused.
    pub fn table_of_facts(&self, name: &str) -> Result<String> {
        let by_time = GlobalSecondaryIndex::builder()
            .index_name("by-time")
            .key_schema(hash_key("order_id")?)
            .key_schema(range_key("by_time")?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()?;
        let request = self.sdk.dynamodb().create_table().table_name(name);
        let request = request
            .attribute_definitions(attribute("order_id")?)
            .attribute_definitions(attribute("fact")?)
            .attribute_definitions(attribute("by_time")?)
            .key_schema(hash_key("order_id")?)
            .key_schema(range_key("fact")?)
            .global_secondary_indexes(by_time);
        self.wait(request.billing_mode(BillingMode::PayPerRequest).send())?;
        Ok(name.to_owned())
    }
}

fn attribute(name: &str) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
}

fn hash_key(name: &str) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build()
}

fn range_key(name: &str) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Range).build()
}
