use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{Hour, Partition};
use ports::{EventLake, LakeObject, LakeObjects, PortError, StoredObject};

use crate::Settings;
use crate::manifest::Manifest;
use crate::merge_objects::{MergeError, merge};
use crate::plan_hour::{Plan, plan};

/// How many manifests are read at once.
const IN_FLIGHT_MAX: usize = 16;
/// How often an hour is looked at in one run: each look folds as much as memory is for, or finds that somebody else did.
const LOOKS_MAX: usize = 64;

/// Why an hour was not folded.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// Objects could not be folded.
    #[error("objects cannot be folded")]
    Merge(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store did not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A manifest is not one.
    #[error("{0} is no manifest")]
    NotAManifest(String, #[source] serde_json::Error),
    /// A manifest could not be written as JSON.
    #[error("a manifest cannot be written")]
    Unwritable(#[source] serde_json::Error),
    /// Others keep changing the hour, or it is very large. The next run goes on.
    #[error("the hour is not folded after {LOOKS_MAX} looks at it")]
    NotDone,
}

/// What was done about an hour.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) folded: usize,
    pub(crate) written: usize,
    pub(crate) copies: u64,
    pub(crate) removed: usize,
}

/// Removes of an hour what nobody needs any more, and folds what is left, until nothing is left to be folded.
pub(crate) async fn compact_hour<L: EventLake, O: LakeObjects>(
    lake: &L,
    objects: &O,
    settings: &Settings,
    now: Timestamp,
    hour: Hour,
) -> Result<Done, CompactionError> {
    let mut done = Done::default();
    for _ in 0..LOOKS_MAX {
        // The manifests first: whoever writes one has written its outputs, so that these are in the later listing.
        let (manifests, aged) = manifests(objects, settings, now, hour).await?;
        let present = objects.list(&Partition::Events(hour).prefix()).await?;
        let aged = aged.iter().map(String::as_str).collect();
        let Plan { remove, fold } = plan(&present, &manifests, &aged, settings.merge_bytes_max);
        if !remove.is_empty() {
            objects.remove(&remove).await?;
            done.removed += remove.len();
        }
        if fold.is_empty() {
            return Ok(done);
        }
        match merge(lake, objects, hour, fold, settings.object_bytes_max).await {
            Ok(manifest) => {
                done.folded += manifest.inputs.len();
                done.written += manifest.outputs.len();
                done.copies += manifest.copies;
                write(lake, hour, &manifest).await?;
            }
            Err(MergeError::Gone(_)) => {}
            Err(error) => return Err(CompactionError::Merge(Box::new(error))),
        }
    }
    Err(CompactionError::NotDone)
}

/// The manifests of an hour by key, and the keys of those that are older than the grace period.
async fn manifests<O: LakeObjects>(
    objects: &O,
    settings: &Settings,
    now: Timestamp,
    hour: Hour,
) -> Result<(BTreeMap<String, Manifest>, BTreeSet<String>), CompactionError> {
    let listed = objects.list(&Partition::Compaction(hour).prefix()).await?;
    let old_ms = now.unix_ms().saturating_sub(i64::from(settings.grace_s) * 1_000);
    let is_aged = |object: &&StoredObject| object.modified_at.unix_ms() <= old_ms;
    let aged = listed.iter().filter(is_aged).map(|object| object.key.clone()).collect();
    let read = async |object: StoredObject| {
        let Some(text) = objects.read(&object.key, None).await? else { return Ok(None) };
        match serde_json::from_slice(&text) {
            Ok(manifest) => Ok(Some((object.key, manifest))),
            Err(error) => Err(CompactionError::NotAManifest(object.key, error)),
        }
    };
    let manifests: Vec<Option<(String, Manifest)>> =
        stream::iter(listed).map(read).buffered(IN_FLIGHT_MAX).try_collect().await?;
    Ok((manifests.into_iter().flatten().collect(), aged))
}

/// Says what was done, after it was done: a manifest's outputs were all written before it.
async fn write<L: EventLake>(lake: &L, hour: Hour, manifest: &Manifest) -> Result<(), CompactionError> {
    let body = serde_json::to_vec_pretty(manifest).map_err(CompactionError::Unwritable)?;
    let key = Partition::Compaction(hour).key(&body);
    let object = LakeObject { key, body, content_type: "application/json", content_encoding: None };
    lake.write_once(object).await?;
    Ok(())
}
