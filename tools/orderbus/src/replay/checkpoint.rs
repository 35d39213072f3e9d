//! How far a replay from the lake has come: one small file, replaced as a whole.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use contracts::{format_timestamp, parse_timestamp};
use domain::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The format of the file.
const VERSION: u32 = 1;
/// EventBridge's rule for names (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html>).
const NAME_LENGTH_MAX: usize = 64;

/// What is replayed. Two replays of the same are the same replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// The bus it goes to.
    pub bus_arn: String,
    /// The bucket it comes from.
    pub bucket: String,
    /// The first instant.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub from: Timestamp,
    /// The first instant that is not.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub to: Timestamp,
    /// Only these types; all when there are none.
    pub types: Vec<String>,
    /// Only these sources.
    pub sources: Vec<String>,
    /// Only these subjects.
    pub subjects: Vec<String>,
    /// Only to the queues of these rules; to the bus when there are none.
    pub rule_arns: Vec<String>,
}

/// The last event that was sent. Events go out in the order of positions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// When it happened.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub time: Timestamp,
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Who put it on the bus, where that was not we.
    #[serde(default)]
    pub origin: Option<String>,
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody is at it, or was when it broke off.
    Begun,
    /// Everything is sent.
    Completed,
    /// It is not to be gone on with.
    Cancelled,
}

/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    version: u32,
    /// The name of the replay.
    pub name: String,
    /// What it is about.
    pub scope: Scope,
    /// How it stands.
    pub state: State,
    /// Up to where everything is sent.
    pub position: Option<Position>,
    /// How many events were sent.
    pub sent: u64,
    /// How many events the bus or a queue would not have, for good.
    pub refused: u64,
    /// Which: the first of them.
    pub refused_ids: Vec<String>,
    /// When it began.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub begun_at: Timestamp,
    /// When this was written.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub written_at: Timestamp,
}

impl Checkpoint {
    /// Of a replay that begins now.
    #[must_use]
    pub fn begin(name: &str, scope: Scope, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            scope,
            state: State::Begun,
            position: None,
            sent: 0,
            refused: 0,
            refused_ids: Vec::new(),
            begun_at: now,
            written_at: now,
        }
    }
}

/// Where checkpoints are kept.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// As long as it lives, nobody else goes on with the same replay.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Checkpoints {
    /// In this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The checkpoint of a replay.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Checkpoint>> {
        let file = self.file(name)?;
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let read: Checkpoint =
            serde_json::from_slice(&text).with_context(|| format!("{} is no checkpoint", file.display()))?;
        ensure!(read.version == VERSION, "{} is of another version of this program", file.display());
        Ok(Some(read))
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Checkpoint>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| self.folder.display().to_string()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(name) = name.filter(|name| validate_name(name).is_ok()) {
                all.extend(self.find(name)?);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Writes a checkpoint in the place of the last one. After a crash one of the two is there, whole.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        let file = self.file(&checkpoint.name)?;
        let write = || -> std::io::Result<()> {
            let new = file.with_extension("json.new");
            let mut writing = File::create(&new)?;
            writing.write_all(&serde_json::to_vec_pretty(checkpoint)?)?;
            writing.sync_all()?;
            fs::rename(&new, &file)?;
            File::open(&self.folder)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Makes sure that nobody else is at this replay.
    ///
    /// # Errors
    /// When somebody is.
    pub fn claim(&self, name: &str) -> Result<Claim> {
        fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        let file = self.file(name)?.with_extension("lock");
        let lock = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Claim { _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another process is at replay {name}"),
            Err(TryLockError::Error(error)) => Err(error).context("cannot take the replay's lock"),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        validate_name(name)?;
        Ok(self.folder.join(format!("{name}{SUFFIX}")))
    }
}

const SUFFIX: &str = ".json";

/// Checks a replay's name, which is EventBridge's and a file's as well.
///
/// # Errors
/// When EventBridge would refuse it, or when it does not begin with a letter or a digit.
pub fn validate_name(name: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    ensure!(
        begins_well && name.bytes().all(is_allowed) && name.len() <= NAME_LENGTH_MAX,
        "{name:?} is no name for a replay: letters, digits, '.', '-' and '_', a letter or digit first, at most \
         {NAME_LENGTH_MAX}"
    );
    Ok(())
}

fn write_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_timestamp(*at))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_timestamp(&text).ok_or_else(|| serde::de::Error::custom("no time"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn scope() -> Scope {
        Scope {
            bus_arn: "arn:aws:events:us-east-1:000000000000:event-bus/orderbus-local".to_owned(),
            bucket: "lake".to_owned(),
            from: Timestamp::from_unix_ms(0),
            to: Timestamp::from_unix_ms(100 * 3_600_000),
            types: Vec::new(),
            sources: Vec::new(),
            subjects: Vec::new(),
            rule_arns: Vec::new(),
        }
    }

    fn checkpoints(folder: &tempfile::TempDir) -> Checkpoints {
        Checkpoints::new(folder.path().join("replays"))
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = checkpoints(&folder);
        assert_eq!(checkpoints.list().unwrap(), []);
        assert_eq!(checkpoints.find("r-1").unwrap(), None);
        let _claim = checkpoints.claim("r-1").unwrap();
        let mut checkpoint = Checkpoint::begin("r-1", scope(), Timestamp::from_unix_ms(1));
        checkpoints.write(&checkpoint).unwrap();
        checkpoint.position = Some(Position {
            time: Timestamp::from_unix_ms(1_769_860_800_120),
            id: "e-1".to_owned(),
            source: "orders".to_owned(),
            event_type: "orders.order-placed.v1".to_owned(),
            origin: Some("producer:carrier".to_owned()),
        });
        checkpoint.sent = 7;
        checkpoints.write(&checkpoint).unwrap();
        assert_eq!(checkpoints.find("r-1").unwrap(), Some(checkpoint.clone()));
        assert_eq!(checkpoints.list().unwrap(), [checkpoint]);
    }

    #[test]
    fn one_process_at_a_time_is_at_a_replay() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = checkpoints(&folder);
        let claim = checkpoints.claim("r-1").unwrap();
        assert!(checkpoints.claim("r-1").is_err());
        assert!(checkpoints.claim("r-2").is_ok());
        drop(claim);
        assert!(checkpoints.claim("r-1").is_ok());
    }

    #[test]
    fn a_name_is_one_for_eventbridge_and_for_a_file() {
        for name in ["r", "2026-01-31.first_try", &"x".repeat(64)] {
            assert!(validate_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "-x", "a/b", "ä", "a b", &"x".repeat(65)] {
            assert!(validate_name(name).is_err(), "{name}");
        }
    }
}
