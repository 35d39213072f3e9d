//! Reads CloudFormation templates: who listens, and who may publish as whom.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// A template as JSON. `!Ref X` becomes `{"Ref": "X"}`, `!GetAtt X.Y` becomes `{"GetAtt": "X.Y"}`, and so on.
///
/// # Errors
/// When it is not YAML.
pub fn parse(text: &str) -> Result<Value> {
    Ok(Yaml::load_from_str(text)?.first().map(json).unwrap_or_default())
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

/// A rule of the bus, and who is behind it.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The target's id, which is the consumer's name.
    pub name: String,
    /// The rule's logical id.
    pub rule: String,
    /// The template, by its path in the repository.
    pub template: String,
    /// What the rule lets through.
    pub pattern: Value,
}

impl Listener {
    /// Whether the rule lets events of this type through.
    ///
    /// # Errors
    /// When the pattern says something that is not understood here.
    pub fn hears(&self, source: &str, detail_type: &str) -> Result<bool> {
        for (field, allowed) in self.pattern.as_object().into_iter().flatten() {
            let value = match field.as_str() {
                "source" => source,
                "detail-type" => detail_type,
                // They narrow down which events of the type are heard, not whether there are any.
                "detail" | "replay-name" => continue,
                _ => bail!("{}: the pattern asks for {field}, which is not understood here", self.rule),
            };
            let mut is_allowed = false;
            for allowed in allowed.as_array().into_iter().flatten() {
                is_allowed |= match (allowed, &allowed["prefix"]) {
                    (Value::String(allowed), _) => allowed == value,
                    (_, Value::String(prefix)) => value.starts_with(prefix.as_str()),
                    _ => bail!("{}: {allowed} is not understood here", self.rule),
                };
            }
            if !is_allowed {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The templates of the repository: the backbone's, and those of the examples.
///
/// # Errors
/// When a folder cannot be read.
pub fn templates(root: &Path) -> Result<Vec<String>> {
    let mut names = vec!["template.yaml".to_owned()];
    let mut examples = BTreeSet::new();
    for entry in fs::read_dir(root.join("examples")).context("cannot read examples")? {
        let name = format!("examples/{}/template.yaml", entry?.file_name().to_string_lossy());
        if root.join(&name).is_file() {
            examples.insert(name);
        }
    }
    names.extend(examples);
    Ok(names)
}

/// A template of the repository.
///
/// # Errors
/// When there is none, or it is not YAML.
pub fn read(root: &Path, name: &str) -> Result<Value> {
    read_file(&root.join(name))
}

/// A template, wherever it lies.
///
/// # Errors
/// When there is none, or it is not YAML.
pub fn read_file(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Every rule of every template.
///
/// # Errors
/// When a template cannot be read.
pub fn listeners(root: &Path) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for template in templates(root)? {
        let value = read(root, &template)?;
        for (rule, resource) in value["Resources"].as_object().into_iter().flatten() {
            if resource["Type"] != "AWS::Events::Rule" || resource["Properties"]["EventPattern"].is_null() {
                continue;
            }
            let properties = &resource["Properties"];
            for target in properties["Targets"].as_array().into_iter().flatten() {
                let name = target["Id"].as_str().unwrap_or(rule).to_owned();
                let (rule, template) = (rule.clone(), template.clone());
                listeners.push(Listener {
                    name,
                    rule,
                    template,
                    pattern: properties["EventPattern"].clone(),
                });
            }
        }
    }
    Ok(listeners)
}
