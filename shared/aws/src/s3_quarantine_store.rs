use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use contracts::{format_timestamp, parse_timestamp};
use domain::{Attempt, Concerning, EventId, OrderId, QuarantineId, RedriveKey, RedriveReason, Timestamp};
use ports::{Commit, PortError, QuarantineObject, QuarantineStore};
use serde::{Deserialize, Serialize};

use crate::error::failed;
use crate::s3::{NewObject, PUT_OBJECT, Put, put_once};

const GET_OBJECT: &str = "s3:GetObject";
const LIST_OBJECTS: &str = "s3:ListObjectsV2";

const FOLDER: &str = "messages/";
const SUFFIX: &str = ".json";

/// What was given up on, in one S3 bucket: `messages/<id>.json`.
#[derive(Debug, Clone)]
pub struct S3QuarantineStore {
    client: Client,
    bucket: String,
}

impl S3QuarantineStore {
    /// In this bucket.
    #[must_use]
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

/// An object as it is stored: for people to read as well.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: String,
    key: String,
    generation: u32,
    attempts: u32,
    consumer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    reason_code: String,
    reason: String,
    first_failed_at: String,
    last_failed_at: String,
    quarantined_at: String,
    body: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} of the stored object is malformed")]
struct Malformed(&'static str);

impl From<&QuarantineObject> for Stored {
    fn from(object: &QuarantineObject) -> Self {
        let concerning = &object.concerning;
        Self {
            id: object.id.as_str().to_owned(),
            key: object.key.as_str().to_owned(),
            generation: object.attempt.generation,
            attempts: object.attempt.number,
            consumer: concerning.consumer.clone(),
            event_id: concerning.event_id.as_ref().map(|id| id.as_str().to_owned()),
            event_type: concerning.event_type.clone(),
            order_id: concerning.order_id.as_ref().map(|id| id.as_str().to_owned()),
            reason_code: object.reason.code.clone(),
            reason: object.reason.text.clone(),
            first_failed_at: format_timestamp(object.first_failed_at),
            last_failed_at: format_timestamp(object.last_failed_at),
            quarantined_at: format_timestamp(object.quarantined_at),
            body: object.body.clone(),
        }
    }
}

impl TryFrom<Stored> for QuarantineObject {
    type Error = Malformed;

    fn try_from(stored: Stored) -> Result<Self, Malformed> {
        let instant = |name: &'static str, text: &str| -> Result<Timestamp, Malformed> {
            parse_timestamp(text).ok_or(Malformed(name))
        };
        let event_id = stored.event_id.as_deref().map(EventId::parse).transpose();
        let order_id = stored.order_id.as_deref().map(OrderId::parse).transpose();
        Ok(Self {
            id: QuarantineId::parse(&stored.id).map_err(|_| Malformed("id"))?,
            key: RedriveKey::stored(&stored.key),
            attempt: Attempt { generation: stored.generation, number: stored.attempts },
            concerning: Concerning {
                consumer: stored.consumer,
                event_id: event_id.map_err(|_| Malformed("eventId"))?,
                event_type: stored.event_type,
                order_id: order_id.map_err(|_| Malformed("orderId"))?,
            },
            reason: RedriveReason { code: stored.reason_code, text: stored.reason },
            first_failed_at: instant("firstFailedAt", &stored.first_failed_at)?,
            last_failed_at: instant("lastFailedAt", &stored.last_failed_at)?,
            quarantined_at: instant("quarantinedAt", &stored.quarantined_at)?,
            body: stored.body,
        })
    }
}

impl QuarantineStore for S3QuarantineStore {
    async fn keep(&self, object: &QuarantineObject) -> Result<Commit<()>, PortError> {
        let body = serde_json::to_vec_pretty(&Stored::from(object))
            .map_err(|error| PortError::permanent(PUT_OBJECT, error))?;
        let key = key_of(object.id.as_str());
        let object = NewObject {
            bucket: &self.bucket,
            key: &key,
            content_type: "application/json",
            content_encoding: None,
            body,
        };
        // A key says which message it stands for, and the same message can be written down in two ways.
        match put_once(&self.client, object).await? {
            Put::Written => Ok(Commit::Written),
            Put::Same | Put::Other => Ok(Commit::Existing(())),
        }
    }

    async fn find(&self, id: &QuarantineId) -> Result<Option<QuarantineObject>, PortError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key_of(id.as_str()));
        let output = match request.send().await {
            Ok(output) => output,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            Err(error) => return Err(failed(GET_OBJECT, error)),
        };
        let body = output.body.collect().await.map_err(|error| PortError::transient(GET_OBJECT, error))?;
        let stored: Stored = serde_json::from_slice(&body.into_bytes())
            .map_err(|error| PortError::permanent(GET_OBJECT, error))?;
        stored.try_into().map(Some).map_err(|error: Malformed| PortError::permanent(GET_OBJECT, error))
    }

    async fn ids(
        &self,
        prefix: &str,
        after: Option<&QuarantineId>,
        limit: usize,
    ) -> Result<Vec<QuarantineId>, PortError> {
        let output = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{FOLDER}{prefix}"))
            .set_start_after(after.map(|id| key_of(id.as_str())))
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| failed(LIST_OBJECTS, error))?;
        let id = |key: &str| QuarantineId::parse(key.strip_prefix(FOLDER)?.strip_suffix(SUFFIX)?).ok();
        let keys = output.contents.unwrap_or_default();
        Ok(keys.iter().filter_map(|object| id(object.key.as_deref()?)).collect())
    }
}

fn key_of(id: &str) -> String {
    format!("{FOLDER}{id}{SUFFIX}")
}
