//! Reads the templates for the tests beside it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The functions that have tests of their own in their folders: subscribers, without which the order process is whole.
/// Neither the tests of all samples nor the simulation know them.
#[must_use]
pub fn subscribers() -> Vec<String> {
    let folders = fs::read_dir(root().join("functions")).into_iter().flatten().flatten();
    let with_tests = folders.filter(|folder| folder.path().join("tests").is_dir());
    with_tests.filter_map(|folder| folder.file_name().into_string().ok()).collect()
}

/// The beginning of the logical ids of a function's resources: `order-placed` → `OrderPlaced`.
#[must_use]
pub fn logical_id(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    name.split('-').map(word).collect()
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
