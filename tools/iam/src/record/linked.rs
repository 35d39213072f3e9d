//! Which operations of AWS a program can call at all: those whose code is in it. The linker leaves out what nothing reaches,
//! and with it the name of the operation, which the SDK gives to the span around each call.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Services, as a signature names them and as the SDK names them in its spans.
const SERVICES: [(&str, &str); 7] = [
    ("athena", "Athena"),
    ("dynamodb", "DynamoDB"),
    ("events", "EventBridge"),
    ("s3", "S3"),
    ("sns", "SNS"),
    ("sqs", "SQS"),
    ("states", "SFN"),
];

/// Every operation that the adapters call, by name: each call begins with a method of the client's without arguments.
///
/// # Errors
/// When the adapters cannot be read.
pub(crate) fn operations_of_adapters(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root.join("shared/aws/src")).context("cannot read shared/aws/src")? {
        let text = fs::read_to_string(entry?.path())?;
        for (end, _) in text.match_indices("()") {
            let begin =
                text[..end].rfind(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            let Some(begin) = begin.filter(|begin| text.as_bytes()[*begin] == b'.') else { continue };
            names.insert(camel_case(&text[begin + 1..end]));
        }
    }
    Ok(names)
}

fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    name.split('_').map(word).collect()
}

/// The operations among these whose code is in a program.
///
/// # Errors
/// When there is no such program.
pub(crate) fn linked(program: &Path, names: &BTreeSet<String>) -> Result<BTreeSet<(String, String)>> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(linked_in(&bytes, names))
}

fn linked_in(bytes: &[u8], names: &BTreeSet<String>) -> BTreeSet<(String, String)> {
    let mut linked = BTreeSet::new();
    for (service, prefix) in SERVICES {
        let prefix = format!("{prefix}.");
        for at in find_all(bytes, prefix.as_bytes()) {
            let rest = &bytes[at + prefix.len()..];
            // Texts lie beside one another without an end: the longest name is the one that is meant.
            let found = names.iter().filter(|name| !name.is_empty() && rest.starts_with(name.as_bytes()));
            if let Some(name) = found.max_by_key(|name| name.len()) {
                linked.insert((service.to_owned(), name.clone()));
            }
        }
    }
    linked
}

fn find_all(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let first = wanted.first().copied().unwrap_or_default();
    let is_it = |at: &usize| bytes[*at..].starts_with(wanted);
    bytes.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at).filter(is_it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_by_its_longest_name() {
        let names = BTreeSet::from(["SendMessage", "SendMessageBatch", "GetItem", "New"].map(str::to_owned));
        let found = linked_in(b"xSQS.SendMessageBatchDynamoDB.GetItemrest SQS.DeleteMessage", &names);
        let expected = [("dynamodb", "GetItem"), ("sqs", "SendMessageBatch")];
        assert_eq!(found, expected.map(|(service, name)| (service.to_owned(), name.to_owned())).into());
    }

    #[test]
    fn methods_are_operations_in_another_spelling() {
        assert_eq!(camel_case("list_objects_v2"), "ListObjectsV2");
        let names = operations_of_adapters(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        for name in
            ["UpdateItem", "SendMessageBatch", "ListObjectsV2", "PutEvents", "StartQueryExecution", "Publish"]
        {
            assert!(names.contains(name), "{name}");
        }
    }
}
