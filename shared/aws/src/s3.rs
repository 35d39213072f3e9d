use std::time::Duration;

use aws_sdk_s3::Client;
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
