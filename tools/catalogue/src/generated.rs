use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use contracts::{EventType, schema_of};
use serde_json::Value;

use crate::flow::Flow;
use crate::print::print;
use crate::{asyncapi, pages, refusals, registry};

/// Where the schemas are, one file a type.
pub const SCHEMAS: &str = "events/schemas";

/// The schemas that were published last: what a change is compared with. A folder of the repository, so that a shallow
/// clone without a network can tell; `orderbus contracts release` alone moves it on, and only to what is compatible.
pub const BASELINE: &str = "events/schemas/baseline";

/// The schemas in a folder, by type.
///
/// # Errors
/// When there are none, or one is not JSON.
pub fn read_schemas(folder: &Path) -> Result<BTreeMap<String, Value>> {
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let (Some(name), Some("json")) =
            (path.file_stem().and_then(OsStr::to_str), path.extension().and_then(OsStr::to_str))
        else {
            continue;
        };
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let schema =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        schemas.insert(name.to_owned(), schema);
    }
    ensure!(!schemas.is_empty(), "there are no schemas in {}", folder.display());
    Ok(schemas)
}

/// The schema of every type, by type.
#[must_use]
pub fn schemas() -> BTreeMap<String, Value> {
    EventType::ALL.iter().map(|one| (one.as_str().to_owned(), schema_of(*one))).collect()
}

/// Every file that is made of the code and the templates, by its path in the repository.
///
/// # Errors
/// When something that it is made of cannot be read.
pub fn files(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (name, schema) in schemas() {
        files.insert(format!("{SCHEMAS}/{name}.json"), print(&schema));
    }
    let (flow, samples) = (Flow::read(root)?, samples(root)?);
    files.insert(registry::PATH.to_owned(), print(&registry::template()));
    files.insert(asyncapi::PATH.to_owned(), print(&asyncapi::document(&flow, &samples)?));
    files.extend(pages::pages(&flow, &samples));
    files.insert(refusals::PATH.to_owned(), refusals::page());
    Ok(files)
}

/// The golden sample of each type that has every field.
fn samples(root: &Path) -> Result<BTreeMap<EventType, String>> {
    let mut samples = BTreeMap::new();
    for event_type in EventType::ALL {
        let name = format!("events/samples/{}/complete.json", event_type.as_str());
        let text = fs::read_to_string(root.join(&name)).with_context(|| format!("cannot read {name}"))?;
        samples.insert(*event_type, text);
    }
    Ok(samples)
}

/// Writes every file that is not as it should be, removes those that should not be, and names them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(root: &Path) -> Result<Vec<String>> {
    let files = files(root)?;
    let different = drift_of(root, &files)?;
    for name in &different {
        let path = root.join(name);
        match files.get(name) {
            Some(text) => {
                let folder = path.parent().unwrap_or(root);
                fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
                fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
            }
            None => fs::remove_file(&path).with_context(|| format!("cannot remove {name}"))?,
        }
    }
    Ok(different)
}

/// The files that are not as they should be.
///
/// # Errors
/// When a file cannot be read.
pub fn drift(root: &Path) -> Result<Vec<String>> {
    drift_of(root, &files(root)?)
}

fn drift_of(root: &Path, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let is_as_committed = |(name, text): &(&String, &String)| {
        fs::read_to_string(root.join(name)).is_ok_and(|committed| committed == **text)
    };
    let mut different: Vec<String> =
        files.iter().filter(|file| !is_as_committed(file)).map(|(name, _)| name.clone()).collect();
    // These folders hold nothing else.
    for folder in [SCHEMAS, pages::FOLDER] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {folder}"))?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_file() && !files.contains_key(&name) {
                different.push(name);
            }
        }
    }
    Ok(different)
}
