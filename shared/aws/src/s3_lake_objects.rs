use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, Object, ObjectIdentifier};
use bytes::Bytes;
use domain::Timestamp;
use ports::{LakeObjects, PortError, StoredObject};

use crate::error::failed;
use crate::s3::with_patience;

const LIST_OBJECTS: &str = "s3:ListObjectsV2";
const GET_OBJECT: &str = "s3:GetObject";
const DELETE_OBJECTS: &str = "s3:DeleteObjects";

/// The most that S3 removes in one call.
const KEYS_MAX: usize = 1_000;

/// How long one attempt may take at least. S3 is asked for a page of a thousand keys, before which it may skip as many delete
/// markers as there are folded objects, and to remove a thousand objects at once.
const ATTEMPT: Duration = Duration::from_secs(20);

/// What is in the lake, in one S3 bucket.
#[derive(Debug, Clone)]
pub struct S3LakeObjects {
    client: Client,
    bucket: String,
}

impl S3LakeObjects {
    /// In this bucket. S3 says of an object that it is missing only to those who may list the bucket under any prefix:
    /// `s3:ListBucket` without a condition on `s3:prefix`, which a read does not have. To anyone else a missing object is a
    /// refusal (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>), which is an error here.
    #[must_use]
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client: with_patience(&client, ATTEMPT), bucket }
    }
}

impl LakeObjects for S3LakeObjects {
    async fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PortError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(LIST_OBJECTS, error))?;
            objects.extend(page.contents.unwrap_or_default().into_iter().filter_map(stored));
        }
        Ok(objects)
    }

    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, PortError> {
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let request = self.client.get_object().bucket(&self.bucket).key(key).set_range(range);
        let output = match request.send().await {
            Ok(output) => output,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            Err(error) => return Err(failed(GET_OBJECT, error)),
        };
        let body = output.body.collect().await.map_err(|error| PortError::transient(GET_OBJECT, error))?;
        Ok(Some(body.into_bytes()))
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        for keys in keys.chunks(KEYS_MAX) {
            let identifier = |key: &String| ObjectIdentifier::builder().key(key).build();
            let identifiers: Result<Vec<_>, _> = keys.iter().map(identifier).collect();
            // No version is named, so all that happens is that a marker hides the object; its versions stay.
            let delete = Delete::builder()
                .set_objects(Some(identifiers.map_err(|error| PortError::permanent(DELETE_OBJECTS, error))?))
                .quiet(true)
                .build()
                .map_err(|error| PortError::permanent(DELETE_OBJECTS, error))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let output = request
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .send()
                .await
                .map_err(|error| failed(DELETE_OBJECTS, error))?;
            if let Some(error) = output.errors().first() {
                let code = error.code().unwrap_or("no code").to_owned();
                return Err(PortError::transient(DELETE_OBJECTS, code));
            }
        }
        Ok(())
    }
}

fn stored(object: Object) -> Option<StoredObject> {
    let modified_at = object.last_modified?.to_millis().ok()?;
    Some(StoredObject {
        key: object.key?,
        bytes: object.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        modified_at: Timestamp::from_unix_ms(modified_at),
    })
}
