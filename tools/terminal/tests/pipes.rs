//! A program of ours whose reader goes away.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// This test itself, told to print without end.
const PRINTS: &str = "ORDERBUS_TERMINAL_PRINTS";

fn printing(to: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "prints_when_it_is_told_to", "--nocapture"]).env(PRINTS, to);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn prints_when_it_is_told_to() {
    let Some(to) = std::env::var_os(PRINTS) else { return };
    for number in 0..10_000 {
        if to == "stdout" {
            terminal::say(format_args!("line {number} {}", "x".repeat(100)));
        } else {
            terminal::complain(format_args!("line {number} {}", "x".repeat(100)));
        }
    }
    let seen = if to == "stdout" { !terminal::is_open() } else { terminal::is_open() };
    std::process::exit(if seen { 0 } else { 9 });
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for to in ["stdout", "stderr"] {
        let mut child = printing(to);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut line = String::new();
        if to == "stdout" {
            let mut out = BufReader::new(stdout);
            while !line.contains("line 0") {
                assert_ne!(out.read_line(&mut line).unwrap(), 0, "{line}");
            }
            drop(out);
            let said: Vec<String> = BufReader::new(stderr).lines().map(Result::unwrap).collect();
            assert!(said.is_empty(), "{said:?}");
        } else {
            BufReader::new(stderr).read_line(&mut line).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{to}");
    }
}
