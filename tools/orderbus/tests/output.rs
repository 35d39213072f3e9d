//! The command when nobody reads what it prints.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderbus"));
    command.args(arguments).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let rules = ["rules", "list", concat!("--template=", env!("CARGO_MANIFEST_DIR"), "/../../template.yaml")];
    for arguments in [&["lake", "reports"] as &[&str], &rules, &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(arguments, writer);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn what_could_not_be_printed_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = run(&["lake", "reports"], full);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn an_error_shows_control_characters_harmlessly() {
    let output = run(&["publish", "no\u{1b}[2Jsuch.json"], Stdio::null());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("\\u001b[2J") && !said.contains('\u{1b}'), "{said}");
}
