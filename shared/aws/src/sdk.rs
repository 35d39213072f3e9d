use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::Builder as HttpClientBuilder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// The certificate authorities of every AWS endpoint (<https://www.amazontrust.com/repository/>): a function talks
/// to nothing else, and reading five roots takes no time where reading the system's takes milliseconds a start.
const AMAZON_TRUST_SERVICES: &[u8] = include_bytes!("amazon-trust-services.pem");

/// How long one attempt of a call may take, from the first byte of the request to the headers of the answer.
///
/// Calls whose request has no bound take longer and say so where they are made: an upload gets time by its size
/// (`s3::put_once`), and listing and removing objects have a longer attempt ([`crate::S3LakeObjects`]).
#[derive(Debug, Clone, Copy)]
struct Patience {
    connect: Duration,
    attempt: Duration,
}

/// Of a function: a message that waits is delivered again, so three attempts have to fit into its own time. Every service is
/// asked for little at once: at most 1 MB by PutEvents, SendMessageBatch and Query, 4 MB by TransactWriteItems; SQS is never
/// asked to wait for messages for longer than a second; Athena starts a query and is asked for its result later.
const FUNCTION: Patience = Patience { connect: Duration::from_secs(1), attempt: Duration::from_secs(3) };
/// Of a program a person runs: nobody runs it again for them, and an emulator on a busy laptop answers late.
const PROGRAM: Patience = Patience { connect: Duration::from_secs(10), attempt: Duration::from_secs(30) };

const ATTEMPTS_MAX: u32 = 3;
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);

/// A variable that Lambda sets for every function is missing.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is not set; Lambda sets it for every function")]
pub struct EnvironmentError(&'static str);

/// Every client of one process, on one HTTP client.
#[derive(Debug, Clone)]
pub struct Sdk {
    config: SdkConfig,
}

impl Sdk {
    /// From what Lambda puts into a function's environment. Nothing else is asked: no profile, no instance metadata, no
    /// chain of providers. `AWS_ENDPOINT_URL` points at an emulator.
    ///
    /// # Errors
    /// [`EnvironmentError`] outside Lambda.
    pub fn from_lambda_environment() -> Result<Self, EnvironmentError> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "lambda",
        );
        let region = required("AWS_REGION")?;
        Ok(Self::of_a_function(credentials, region, optional("AWS_ENDPOINT_URL")))
    }

    /// With the time-outs of a function, from given credentials; `endpoint_url` points at an emulator.
    #[must_use]
    pub fn of_a_function(credentials: Credentials, region: String, endpoint_url: Option<String>) -> Self {
        Self::patient(FUNCTION, credentials, region, endpoint_url)
    }

    /// For a program that a person runs, from given credentials; `endpoint_url` points at an emulator.
    #[must_use]
    pub fn new(credentials: Credentials, region: String, endpoint_url: Option<String>) -> Self {
        Self::patient(PROGRAM, credentials, region, endpoint_url)
    }

    fn patient(
        patience: Patience,
        credentials: Credentials,
        region: String,
        endpoint_url: Option<String>,
    ) -> Self {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client(endpoint_url.as_deref()))
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .retry_config(
                RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX).with_initial_backoff(BACKOFF_INITIAL),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(patience.connect)
                    .operation_attempt_timeout(patience.attempt)
                    .build(),
            );
        config.set_endpoint_url(endpoint_url);
        Self { config: config.build() }
    }

    /// What every client is made from.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// An Athena client.
    #[must_use]
    pub fn athena(&self) -> aws_sdk_athena::Client {
        aws_sdk_athena::Client::new(&self.config)
    }

    /// A DynamoDB client.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// An EventBridge client.
    #[must_use]
    pub fn eventbridge(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(&self.config)
    }

    /// An S3 client. An emulator is addressed by path: it has no name for every bucket.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .force_path_style(self.config.endpoint_url().is_some())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// A Step Functions client.
    #[must_use]
    pub fn sfn(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.config)
    }

    /// An SNS client.
    #[must_use]
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config)
    }

    /// An SQS client.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }
}

fn http_client(endpoint_url: Option<&str>) -> SharedHttpClient {
    if endpoint_url.is_some_and(|url| url.starts_with("http://")) {
        return HttpClientBuilder::new().build_http();
    }
    // The roots were checked when they were embedded; a context without options cannot fail to build.
    let trust_store = TrustStore::empty().with_pem_certificate(AMAZON_TRUST_SERVICES);
    let builder = HttpClientBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    match TlsContext::builder().with_trust_store(trust_store).build() {
        Ok(tls_context) => builder.tls_context(tls_context).build_https(),
        Err(_) => builder.build_https(),
    }
}

fn required(name: &'static str) -> Result<String, EnvironmentError> {
    optional(name).ok_or(EnvironmentError(name))
}

#[expect(clippy::disallowed_methods, reason = "what Lambda itself sets is read here and nowhere else")]
fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_roots_are_five_certificates() {
        let text = std::str::from_utf8(AMAZON_TRUST_SERVICES).unwrap();
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), 5);
    }

    #[test]
    fn a_client_for_the_real_endpoints_can_be_built() {
        let credentials = Credentials::new("a", "b", None, None, "test");
        let sdk = Sdk::new(credentials, "eu-central-1".to_owned(), None);
        let _client = sdk.dynamodb();
    }
}
