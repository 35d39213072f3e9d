//! Reads a CloudFormation template.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// A template as JSON. `!Ref X` becomes `{"Ref": "X"}`, `!GetAtt X.Y` becomes `{"GetAtt": "X.Y"}`, and so on.
///
/// # Errors
/// When there is no such file, or when it is not YAML.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Value> {
    match &Yaml::load_from_str(text)?[..] {
        [document] => Ok(json(document)),
        documents => bail!("one document is expected, and there are {}", documents.len()),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_forms_become_objects() {
        let template = parse("a: !Ref B\nc: [1, !GetAtt D.Arn, 'text', true, null]").unwrap();
        assert_eq!(template, json!({"a": {"Ref": "B"}, "c": [1, {"GetAtt": "D.Arn"}, "text", true, null]}));
    }
}
