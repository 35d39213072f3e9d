use aws_sdk_s3::Client;
use ports::{Commit, EventLake, LakeObject, PortError};

use crate::s3::{NewObject, PUT_OBJECT, Put, put_once};

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
        let LakeObject { key, body, content_type, content_encoding } = object;
        let object = NewObject { bucket: &self.bucket, key: &key, content_type, content_encoding, body };
        match put_once(&self.client, object).await? {
            Put::Written => Ok(Commit::Written),
            Put::Same => Ok(Commit::Existing(())),
            Put::Other => Err(PortError::permanent(PUT_OBJECT, "another object stands under the key")),
        }
    }
}
