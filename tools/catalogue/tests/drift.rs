//! What is committed is what the code says.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

#[test]
fn what_is_committed_is_what_the_code_and_the_templates_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let different = catalogue::drift(&root).unwrap();
    assert!(different.is_empty(), "`cargo orderbus contracts write` brings these up to date: {different:#?}");
}
