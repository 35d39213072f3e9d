//! Reads the templates for the tests beside it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads a file of the repository.
///
/// # Panics
/// When there is no such file: the test that asks has failed.
#[must_use]
#[expect(clippy::panic, reason = "only tests call this")]
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A template as JSON. `!Ref X` becomes `{"Ref": "X"}`, `!GetAtt X.Y` becomes `{"GetAtt": "X.Y"}`, and so on.
///
/// # Panics
/// When it is not YAML: the test that asks has failed.
#[must_use]
#[expect(clippy::panic, reason = "only tests call this")]
pub fn template(path: &str) -> Value {
    let text = read(path);
    catalogue::template::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
