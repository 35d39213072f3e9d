//! What MiniStack refuses in a template, and what is done instead.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ministack::MiniStack;
use crate::stack::Stack;
use crate::{http, repository};

/// Where they stand.
pub(crate) const FILE: &str = "tools/orderbus/ministack-unsupported.toml";

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
/// When `ministack-unsupported.toml` cannot be read.
pub fn exemptions() -> Result<BTreeMap<String, Exemption>> {
    // Read while it runs: a new subscriber adds to it, and is not to have all of this compiled anew.
    let text =
        fs::read_to_string(repository::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    toml::from_str(&text).context(FILE)
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
fn archive_pattern(own_account: &str) -> Value {
    json!({
        "$or": [
            {"account": [{"anything-but": [own_account]}]},
            {"resources": [{"exists": false}, {"anything-but": {"prefix": lake::REPLAY_RESOURCE}}]},
        ],
    })
}

fn create_archive(stack: &Stack, ministack: &MiniStack) -> Result<()> {
    let bus_arn = stack.output("BusArn")?;
    let own_account = bus_arn.split(':').nth(4).context("the bus has no account")?;
    let archive = json!({
        "ArchiveName": stack.output("BusName")?,
        "EventSourceArn": bus_arn,
        "EventPattern": archive_pattern(own_account).to_string(),
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

    use super::*;

    fn template() -> Value {
        catalogue::template::read(&repository::root(), "template.yaml").unwrap()
    }

    #[test]
    fn the_archive_here_takes_what_the_template_s_takes() {
        let pattern = &template()["Resources"]["BusArchive"]["Properties"]["EventPattern"];
        let here = archive_pattern("AWS::AccountId").to_string();
        let here = here.replace(r#""AWS::AccountId""#, r#"{"Ref":"AWS::AccountId"}"#);
        assert_eq!(*pattern, serde_json::from_str::<Value>(&here).unwrap());
    }

    #[test]
    fn exactly_the_listed_resources_are_left_out_of_the_template() {
        let template = template();
        // Others are left out for another reason as well, such as that nobody asked for them.
        let on_aws_only = |condition: &str| {
            let meaning = template["Conditions"][condition].to_string();
            condition == "IsOnAws" || meaning.contains(r#"{"Condition":"IsOnAws"}"#)
        };
        let resources = template["Resources"].as_object().unwrap().iter();
        let left_out =
            resources.filter(|(_, resource)| resource["Condition"].as_str().is_some_and(on_aws_only));
        let in_template: BTreeSet<String> = left_out.map(|(name, _)| name.clone()).collect();
        let listed: BTreeSet<String> = exemptions().unwrap().into_keys().collect();
        assert_eq!(in_template, listed, "left: template.yaml, right: ministack-unsupported.toml");
        assert!(exemptions().unwrap().values().all(|exemption| !exemption.reason.is_empty()));
    }
}
