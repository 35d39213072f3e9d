//! Every call that is made: by the functions, and by AWS on behalf of what the template says.

mod on_behalf;
mod recorded;
mod state_machine;

pub use on_behalf::on_behalf;
pub use recorded::{Call, Recorded};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::evaluate::Request;
use crate::template::Template;

/// The functions of a template: their logical ids and properties.
pub fn functions(template: &Template) -> impl Iterator<Item = (&str, &Value)> {
    template.of_type("AWS::Serverless::Function").chain(template.of_type("AWS::Lambda::Function"))
}

/// What a function is called in the repository: the folder of its code.
///
/// # Errors
/// When it has no code of its own.
pub fn name_of(properties: &Value) -> Result<&str> {
    let folder = properties["CodeUri"].as_str().map(|folder| folder.trim_end_matches('/'));
    folder.and_then(|folder| folder.rsplit('/').next()).context("it has no CodeUri")
}

/// The logical id of the role that has this ARN.
///
/// # Errors
/// When it is none of the template's.
pub fn role_of<'t>(template: &'t Template, arn: &Value) -> Result<&'t str> {
    let arn = arn.as_str().context("it has no role")?;
    match template.owner_of(arn) {
        Some((id, role)) if role.kind == "AWS::IAM::Role" => Ok(id),
        _ => bail!("{arn} is no role of the template"),
    }
}

/// Every request that the template has to allow.
///
/// # Errors
/// When the template or the recorded calls say something that is not understood here.
pub fn all(template: &Template, recorded: &Recorded) -> Result<Vec<Request>> {
    let mut requests = on_behalf::Requests::new(template);
    for (id, properties) in functions(template) {
        let name = name_of(properties).with_context(|| id.to_owned())?;
        let role = role_of(template, &properties["Role"]).with_context(|| id.to_owned())?;
        let calls = recorded
            .of(name)
            .with_context(|| format!("no calls of {name} are recorded: `cargo orderbus iam record`"))?;
        for call in calls {
            requests.add_with_consequences(call.request_of(role))?;
        }
    }
    on_behalf::on_behalf(&mut requests)?;
    Ok(requests.into_requests())
}

/// The ARNs of the state machines that have a task which waits for its token.
///
/// # Errors
/// When a definition cannot be read.
pub fn waiting_state_machines(template: &Template) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    for (id, properties) in template.of_type("AWS::StepFunctions::StateMachine") {
        let (_, waits) = state_machine::tasks(template, properties).with_context(|| id.to_owned())?;
        if waits {
            waiting.push(template.arn(id)?);
        }
    }
    Ok(waiting)
}
