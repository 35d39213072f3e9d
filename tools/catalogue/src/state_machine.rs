use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::template;

const TEMPLATE: &str = "template.yaml";
const FOLDER: &str = "statemachines";

/// A state machine of the template.
#[derive(Debug, Clone)]
pub struct StateMachine {
    /// The path of its definition in the repository.
    pub file: String,
    /// The definition as it is deployed: parameters are substituted by their defaults, resources by their logical ids.
    pub definition: Value,
}

/// Every state machine of the template, and so every definition in the repository.
///
/// # Errors
/// When a definition belongs to no state machine, when template and definition disagree about what is substituted, or when a
/// definition is not JSON afterwards.
pub fn state_machines(root: &Path) -> Result<Vec<StateMachine>> {
    let template = template::read(root, TEMPLATE)?;
    let resources = template["Resources"].as_object().into_iter().flat_map(|resources| resources.values());
    let machines = resources.filter(|resource| resource["Type"] == "AWS::StepFunctions::StateMachine");
    let read = |machine: &Value| {
        let file = machine["Properties"]["DefinitionS3Location"].as_str();
        let file = file.with_context(|| format!("{TEMPLATE}: a state machine names no definition"))?;
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        let text = substitute(text, &machine["Properties"]["DefinitionSubstitutions"], &template)
            .with_context(|| file.to_owned())?;
        let definition = serde_json::from_str(&text).with_context(|| format!("{file} is not JSON"))?;
        Ok(StateMachine { file: file.to_owned(), definition })
    };
    let machines: Vec<StateMachine> = machines.map(read).collect::<Result<_>>()?;
    let known: BTreeSet<&str> = machines.iter().map(|machine| machine.file.as_str()).collect();
    for entry in fs::read_dir(root.join(FOLDER)).with_context(|| format!("cannot read {FOLDER}"))? {
        let file = format!("{FOLDER}/{}", entry?.file_name().to_string_lossy());
        ensure!(known.contains(file.as_str()), "{file} is the definition of no state machine in {TEMPLATE}");
    }
    Ok(machines)
}

fn substitute(mut text: String, substitutions: &Value, template: &Value) -> Result<String> {
    for (name, value) in substitutions.as_object().into_iter().flatten() {
        let placeholder = format!("${{{name}}}");
        ensure!(text.contains(&placeholder), "{TEMPLATE} substitutes {placeholder}, which does not occur");
        text = text.replace(&placeholder, &value_of(name, value, template));
    }
    match text.split_once("${").and_then(|(_, rest)| rest.split_once('}')) {
        Some((name, _)) => bail!("{TEMPLATE} does not substitute ${{{name}}}"),
        None => Ok(text),
    }
}

fn value_of(name: &str, value: &Value, template: &Value) -> String {
    match value["Ref"].as_str() {
        Some("AWS::Partition") => "aws".to_owned(),
        Some(reference) => match &template["Parameters"][reference]["Default"] {
            Value::Null => reference.to_owned(),
            Value::String(text) => text.clone(),
            default => default.to_string(),
        },
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn substituted(text: &str) -> Result<String> {
        let template = json!({"Parameters": {"WaitSeconds": {"Default": 900}}});
        let substitutions =
            json!({"Seconds": {"Ref": "WaitSeconds"}, "Partition": {"Ref": "AWS::Partition"}});
        substitute(text.to_owned(), &substitutions, &template)
    }

    #[test]
    fn a_parameter_is_substituted_by_its_default() {
        assert_eq!(substituted("arn:${Partition} ${Seconds}").unwrap(), "arn:aws 900");
    }

    #[test]
    fn template_and_definition_agree_about_what_is_substituted() {
        let surplus = substituted("${Partition} ${Seconds} ${Bus}").unwrap_err().to_string();
        assert!(surplus.contains("does not substitute ${Bus}"), "{surplus}");
        let missing = substituted("${Partition}").unwrap_err().to_string();
        assert!(missing.contains("${Seconds}, which does not occur"), "{missing}");
    }
}
