use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use ports::{Commit, EventLake, LakeObject, PortError};

use crate::error::failed;

const PUT_OBJECT: &str = "s3:PutObject";

/// The lake in one S3 bucket.
#[derive(Debug, Clone)]
pub struct S3EventLake {
    client: Client,
    bucket: String,
}

impl S3EventLake {
    /// In this bucket.
    #[must_use]
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

impl EventLake for S3EventLake {
    async fn write_once(&self, object: LakeObject) -> Result<Commit<()>, PortError> {
        let result = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(object.key)
            .content_type(object.content_type)
            .set_content_encoding(object.content_encoding.map(str::to_owned))
            // Object Lock takes no object without a checksum
            // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html).
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .if_none_match("*")
            .body(ByteStream::from(object.body))
            .send()
            .await;
        match result {
            Ok(_) => Ok(Commit::Written),
            // 412: the key is taken. 409, another write of the key is under way, stays a transient failure
            // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 412) => {
                Ok(Commit::Existing(()))
            }
            Err(error) => Err(failed(PUT_OBJECT, error)),
        }
    }
}
