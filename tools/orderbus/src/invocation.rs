//! What a function needs that is started by hand, by `cargo lambda watch`, against the local stack.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::http;
use crate::ministack::{MiniStack, REGION};

/// The file beside the stack's other state.
pub const FILE: &str = "functions.env";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Function {
    environment: Option<Environment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    variables: BTreeMap<String, String>,
}

/// Writes the variables of all deployed functions into one file: `cargo lambda watch` takes one for all. Where two
/// functions differ, which is only in the queue that each consumes, the first stands: an event that is invoked by hand
/// comes from no queue.
///
/// # Errors
/// When the functions cannot be listed or the file cannot be written.
pub(crate) fn write_environment(ministack: &MiniStack) -> Result<()> {
    let answer = http::get(&format!("{}/2015-03-31/functions/", ministack.endpoint()), &[])?;
    ensure!(answer.status == 200, "ListFunctions answered {}: {}", answer.status, answer.body);
    let listing: Listing = serde_json::from_str(&answer.body).context("ListFunctions answered no list")?;
    let file = ministack.state().join(FILE);
    fs::write(&file, render(listing, &ministack.endpoint()))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn render(listing: Listing, endpoint: &str) -> String {
    let access = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint),
    ];
    let mut variables: BTreeMap<String, String> =
        access.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for environment in listing.functions.into_iter().filter_map(|function| function.environment) {
        for (name, value) in environment.variables {
            variables.entry(name).or_insert(value);
        }
    }
    variables.into_iter().map(|(name, value)| format!("{name}={}\n", quoted(&value))).collect()
}

/// What holds a space must be quoted, and what holds a quote must be in another kind of quotes.
fn quoted(value: &str) -> String {
    let quote = ['\'', '"', '`'].into_iter().find(|quote| !value.contains(*quote)).unwrap_or('\'');
    format!("{quote}{value}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_all_functions_stand_in_one_file() {
        let listing = r#"{"Functions": [
            {"Environment": {"Variables": {"BUS_NAME": "b", "QUEUE_URL": "first"}}},
            {"Environment": {"Variables": {"QUEUE_URL": "second", "CONSUMERS": "a 20; b 10;", "NAMES": "it's", "STOCK": ""}}},
            {}
        ]}"#;
        let file = render(serde_json::from_str(listing).unwrap(), "http://127.0.0.1:1");
        let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with("AWS_")).collect();
        assert_eq!(
            lines,
            ["BUS_NAME='b'", "CONSUMERS='a 20; b 10;'", "NAMES=\"it's\"", "QUEUE_URL='first'", "STOCK=''"]
        );
        assert!(file.contains("AWS_ENDPOINT_URL='http://127.0.0.1:1'\n"));
    }
}
