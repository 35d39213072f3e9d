use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use ports::PortError;

use crate::error::failed;

pub(crate) const PUT_OBJECT: &str = "s3:PutObject";
const HEAD_OBJECT: &str = "s3:HeadObject";
const GET_OBJECT: &str = "s3:GetObject";

/// The pauses before an object is written again whose key another write held: growing ones, of which a random part is
/// waited.
const PAUSES_MS_MAX: [u64; 3] = [50, 100, 200];

/// How fast an upload is at least, where nothing is wrong: one connection to S3 takes some tens of megabytes a second, and a
/// function with little memory has a small share of a processor to encrypt it with.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 4 << 20;

/// What a client waits for one attempt, and the time that it takes to send so many bytes: an attempt includes the upload.
///
/// So an object is written by one request, however large: one call is one conditional write, and a broken one leaves nothing
/// behind, where parts of a multipart upload would stay. S3 takes 5 GB in one request and the lake's objects stay below 2 GB.
pub(crate) fn timeouts_of_upload(client: &Client, bytes: u64) -> TimeoutConfig {
    let of_client = client.config().timeout_config();
    let mut timeouts = of_client.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    if let Some(attempt) = of_client.and_then(TimeoutConfig::operation_attempt_timeout) {
        let upload = Duration::from_millis(bytes.saturating_mul(1_000) / UPLOAD_BYTES_PER_SECOND_MIN);
        timeouts = timeouts.operation_attempt_timeout(attempt + upload);
    }
    timeouts.build()
}

/// A client whose attempts may take at least so long.
pub(crate) fn with_patience(client: &Client, attempt: Duration) -> Client {
    let of_client = client.config().timeout_config();
    let known = of_client.and_then(TimeoutConfig::operation_attempt_timeout);
    if known.is_none_or(|known| known >= attempt) {
        return client.clone();
    }
    let timeouts = of_client.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    let timeouts = timeouts.operation_attempt_timeout(attempt).build();
    Client::from_conf(client.config().to_builder().timeout_config(timeouts).build())
}

/// An object that is to be written unless its key is taken.
#[derive(Debug)]
pub(crate) struct NewObject<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) content_encoding: Option<&'a str>,
    pub(crate) body: Vec<u8>,
}

/// What stands under a key after an object was to be written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// The object, which was not there before.
    Written,
    /// The object, which was.
    Same,
    /// Another one.
    Other,
}

/// Writes an object unless its key is taken
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). 412: it is taken, for good, often by
/// this very write, whose answer was lost; the checksums tell, or, of an object that was brought back with another kind of
/// checksum, the bytes. 409: another write of the key is under way; after a pause it has come to an end.
pub(crate) async fn put_once(client: &Client, object: NewObject<'_>) -> Result<Put, PortError> {
    let NewObject { bucket, key, content_type, content_encoding, body } = object;
    let checksum = BASE64_STANDARD.encode(crc32fast::hash(&body).to_be_bytes());
    let bytes = Bytes::from(body);
    let timeouts = timeouts_of_upload(client, bytes.len() as u64);
    let body = SdkBody::from(bytes.clone());
    let mut pauses_ms_max = PAUSES_MS_MAX.into_iter();
    loop {
        // A body in memory can be sent as often as it must be; to clone it counts a reference.
        let body = body.try_clone().ok_or_else(|| PortError::permanent(PUT_OBJECT, "the body is no more"))?;
        let request = client.put_object().bucket(bucket).key(key).content_type(content_type);
        let result = request
            .set_content_encoding(content_encoding.map(str::to_owned))
            // Object Lock takes no object without a checksum
            // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html).
            .checksum_crc32(&checksum)
            .if_none_match("*")
            .body(ByteStream::new(body))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts.clone()))
            .send()
            .await;
        let Err(error) = result else { return Ok(Put::Written) };
        match (error.raw_response().map(|response| response.status().as_u16()), pauses_ms_max.next()) {
            (Some(412), _) => break,
            (Some(409), Some(pause_ms_max)) => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=pause_ms_max))).await;
            }
            _ => return Err(failed(PUT_OBJECT, error)),
        }
    }
    let request = client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
    let stands = request.send().await.map_err(|error| failed(HEAD_OBJECT, error))?;
    if stands.checksum_crc32() == Some(checksum.as_str()) {
        return Ok(Put::Same);
    }
    let stands = client.get_object().bucket(bucket).key(key).send().await;
    let stands = stands.map_err(|error| failed(GET_OBJECT, error))?;
    let stands = stands.body.collect().await.map_err(|error| PortError::transient(GET_OBJECT, error))?;
    if stands.into_bytes() == bytes {
        return Ok(Put::Same);
    }
    tracing::warn!(key, "another object stands under the key, and stays");
    Ok(Put::Other)
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;
    use crate::Sdk;

    fn client() -> Client {
        let credentials = Credentials::new("a", "b", None, None, "test");
        Sdk::of_a_function(credentials, "eu-central-1".to_owned(), None).s3()
    }

    fn attempt(timeouts: &TimeoutConfig) -> Duration {
        timeouts.operation_attempt_timeout().unwrap()
    }

    #[test]
    fn an_upload_gets_time_by_its_size_and_nothing_else_changes() {
        let client = client();
        let of_client = client.config().timeout_config().unwrap();
        let nothing = timeouts_of_upload(&client, 0);
        assert_eq!(attempt(&nothing), attempt(of_client));
        assert_eq!(nothing.connect_timeout(), of_client.connect_timeout());
        for (megabytes, seconds) in [(4, 1), (128, 32), (1024, 256)] {
            let timeouts = timeouts_of_upload(&client, megabytes << 20);
            assert_eq!(attempt(&timeouts), attempt(of_client) + Duration::from_secs(seconds));
        }
        // Three attempts of what event-archiver writes, at most the 6 MB that Lambda gives it, are over before it is.
        assert!(3 * attempt(&timeouts_of_upload(&client, 6 << 20)) < Duration::from_secs(30));
        // So are three of the largest object that lake-compactor is allowed to make.
        assert!(3 * attempt(&timeouts_of_upload(&client, 1_024 << 20)) < Duration::from_secs(900));
    }

    #[test]
    fn patience_is_only_ever_added() {
        let client = client();
        let of = |client: &Client| attempt(client.config().timeout_config().unwrap());
        assert_eq!(of(&with_patience(&client, Duration::from_secs(20))), Duration::from_secs(20));
        assert_eq!(of(&with_patience(&client, Duration::from_millis(1))), of(&client));
    }
}
