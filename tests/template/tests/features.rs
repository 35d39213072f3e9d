//! `sam build` compiles one function at a time, everything else the whole workspace. What the two select differently is
//! compiled twice, and with it all that builds on it.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use template_tests::root;

/// Every crate with its version and its features, as Cargo would build it for this selection.
fn crates(selection: &[&str]) -> BTreeSet<String> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--prefix", "none", "--format", "{p} {f}", "--edges"]).args(selection);
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn no_function_is_built_with_other_features_than_the_workspace() {
    // What runs, and what it takes to build that, apart: a crate may be in both, with other features in each.
    for edges in ["normal", "normal,build"] {
        let workspace = crates(&[edges, "--workspace"]);
        for entry in fs::read_dir(root().join("functions")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let own = crates(&[edges, "--package", &name]);
            let different: Vec<_> = own.difference(&workspace).collect();
            assert!(different.is_empty(), "{name} would compile again: {different:#?}");
        }
    }
}

#[test]
fn no_crate_is_tested_with_other_features_than_it_runs_with() {
    for edges in ["normal", "normal,build"] {
        let run = crates(&[edges, "--workspace"]);
        let tested = crates(&[&format!("{edges},dev"), "--workspace"]);
        let different: Vec<_> = run.difference(&tested).collect();
        assert!(different.is_empty(), "these would compile again for the tests: {different:#?}");
    }
}
