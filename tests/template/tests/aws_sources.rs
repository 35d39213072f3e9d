//! docs/aws-sources.md says which AWS document each rule rests on, where it stands and which test holds it.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

use template_tests::{read, root};

/// The texts between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All Rust sources of the folders that hold tests.
fn sources() -> String {
    let mut folders: Vec<PathBuf> =
        ["functions", "shared", "tests", "tools"].map(|name| root().join(name)).into();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_rule_of_aws_has_its_document_its_place_and_its_test() {
    let page = read("docs/aws-sources.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Rule |"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty());
    let sources = sources();
    for row in rows {
        let [rule, documents, place, tests] = row.as_slice() else { panic!("four columns: {row:?}") };
        assert!(documents.contains("](https://docs.aws.amazon.com/"), "{rule}");
        let [file, text] = quoted(place)[..] else { panic!("a file and a text of it: {place}") };
        assert!(Path::new(file).is_relative() && read(file).contains(text), "{file} lacks {text}");
        let tests = quoted(tests);
        assert!(!tests.is_empty(), "{rule}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "{rule}: there is no test {test}");
        }
    }
}
