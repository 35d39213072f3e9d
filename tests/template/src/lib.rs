//! Reads the templates for the tests beside it.

use std::fs;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

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
    match Yaml::load_from_str(&text) {
        Ok(documents) => documents.first().map(json).unwrap_or_default(),
        Err(error) => panic!("{path}: {error}"),
    }
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Representation(text, _, tag) => match tag {
            Some(tag) => tagged(&tag.suffix, text.as_ref().into()),
            None => text.as_ref().into(),
        },
        Yaml::Tagged(tag, value) => tagged(&tag.suffix, json(value)),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => {
            let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| Some((key.as_str()?.to_owned(), json(value)));
            entries.iter().filter_map(entry).collect::<Map<_, _>>().into()
        }
        _ => Value::Null,
    }
}

fn tagged(tag: &str, value: Value) -> Value {
    Map::from_iter([(tag.to_owned(), value)]).into()
}
