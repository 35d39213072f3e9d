//! What MiniStack refuses in a template, and what is done instead.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::http;
use crate::ministack::MiniStack;
use crate::stack::Stack;

/// One resource that the template leaves out on this machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// Why.
    pub reason: String,
    /// The call that stands in for it, where there is one.
    pub instead: Option<Call>,
}

/// A call that stands in for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Call {
    /// An archive of the bus.
    CreateArchive,
}

/// Every exemption, by the logical id of its resource.
///
/// # Errors
/// When `ministack-unsupported.toml` is malformed.
pub fn exemptions() -> Result<BTreeMap<String, Exemption>> {
    toml::from_str(include_str!("../ministack-unsupported.toml")).context("ministack-unsupported.toml")
}

/// Makes every call that stands in for a resource. Calls that were made before are not made again.
///
/// # Errors
/// When MiniStack refuses one.
pub fn make_up(stack: &Stack, ministack: &MiniStack) -> Result<()> {
    for exemption in exemptions()?.into_values() {
        match exemption.instead {
            Some(Call::CreateArchive) => create_archive(stack, ministack)?,
            None => {}
        }
    }
    Ok(())
}

/// As in template.yaml; a test holds them together.
const ARCHIVE_PATTERN: &str =
    r#"{"resources":[{"exists":false},{"anything-but":{"prefix":"orderbus:replay/"}}]}"#;

fn create_archive(stack: &Stack, ministack: &MiniStack) -> Result<()> {
    let archive = json!({
        "ArchiveName": stack.output("BusName")?,
        "EventSourceArn": stack.output("BusArn")?,
        "EventPattern": ARCHIVE_PATTERN,
    });
    let headers =
        [("x-amz-target", "AWSEvents.CreateArchive"), ("content-type", "application/x-amz-json-1.1")];
    let answer = http::post(&ministack.endpoint(), &headers, &archive.to_string())?;
    if answer.status == 200 || answer.body.contains("ResourceAlreadyExistsException") {
        return Ok(());
    }
    bail!("CreateArchive answered {}: {}", answer.status, answer.body)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use saphyr::{LoadableYamlNode, Yaml};
    use serde_json::Value;

    use super::*;
    use crate::repository;

    #[test]
    fn the_archive_here_takes_what_the_template_s_takes() {
        let text = fs::read_to_string(repository::root().join("template.yaml")).unwrap();
        let documents = Yaml::load_from_str(&text).unwrap();
        let pattern = &documents[0]["Resources"]["BusArchive"]["Properties"]["EventPattern"];
        assert_eq!(json_of(pattern), serde_json::from_str::<Value>(ARCHIVE_PATTERN).unwrap());
        assert!(ARCHIVE_PATTERN.contains(lake::REPLAY_RESOURCE));
    }

    fn json_of(yaml: &Yaml<'_>) -> Value {
        if let Some(members) = yaml.as_mapping() {
            members.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), json_of(value))).collect()
        } else if let Some(elements) = yaml.as_sequence() {
            elements.iter().map(json_of).collect()
        } else if let Some(flag) = yaml.as_bool() {
            json!(flag)
        } else {
            json!(yaml.as_str().unwrap())
        }
    }

    #[test]
    fn exactly_the_listed_resources_are_left_out_of_the_template() {
        let text = fs::read_to_string(repository::root().join("template.yaml")).unwrap();
        let documents = Yaml::load_from_str(&text).unwrap();
        let template = crate::template::read(&repository::root().join("template.yaml")).unwrap();
        let resources = documents[0]["Resources"].as_mapping().unwrap();
        // Others are left out for another reason as well, such as that nobody asked for them.
        let conditions = template["Conditions"].as_object().unwrap();
        let on_aws_only = |name: &str| {
            name == "IsOnAws" || conditions[name].to_string().contains(r#"{"Condition":"IsOnAws"}"#)
        };
        let is_left_out = |resource: &Yaml<'_>| {
            resource
                .as_mapping_get("Condition")
                .and_then(|condition| condition.as_str())
                .is_some_and(on_aws_only)
        };
        let in_template: BTreeSet<String> = resources
            .iter()
            .filter(|(_, resource)| is_left_out(resource))
            .map(|(name, _)| name.as_str().unwrap().to_owned())
            .collect();
        let listed: BTreeSet<String> = exemptions().unwrap().into_keys().collect();
        assert_eq!(in_template, listed, "left: template.yaml, right: ministack-unsupported.toml");
        assert!(exemptions().unwrap().values().all(|exemption| !exemption.reason.is_empty()));
    }
}
