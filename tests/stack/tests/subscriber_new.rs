//! A subscriber that the tool writes into a copy of this repository compiles, passes its test and the template's, and needs
//! no formatting.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;
use std::process::Command;

use orderbus::subscriber::{self, Wish};
use orderbus::tools::Tools;
use orderbus::{Progress, sam};
use stack_tests::Copy;

#[test]
fn a_new_function_compiles_and_passes_at_once() {
    let copy = Copy::of_the_repository().unwrap();
    let root = &copy.root();
    let condition = r#"{"data": {"total": {"currency": ["EUR"]}}}"#;
    let wish = Wish::new("gift-wrapper", "orders.order-confirmed.v1", Some(condition)).unwrap();
    assert_eq!(wish.doubts().unwrap(), [""; 0]);
    subscriber::inside(root, &wish).unwrap();

    assert_eq!(catalogue::drift(root).unwrap(), [""; 0], "the catalogue knows of it");
    succeed(cargo(root).args(["fmt", "--package", "gift-wrapper", "--check"]));
    // All packages, so that every dependency has the features with which it is compiled already.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut tests = cargo(root);
    tests.args(["test", "--release", "--locked", "--offline", "--target", &target, "--workspace"]);
    succeed(tests.args(["--test", "gift_wrapper", "--test", "template"]));

    let progress = Progress::new(|line| eprintln!("{line}"));
    sam::validate_folder(&Tools::ready(&progress).unwrap(), root, root, &progress).unwrap();
    assert!(subscriber::inside(root, &wish).is_err(), "a second time");
}

/// What is compiled goes to the place of everything else, so the AWS SDK is compiled already.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let program = std::env::current_exe().unwrap();
    // This program is <target directory>/<target>/release/deps/<name>.
    command.current_dir(root).env("CARGO_TARGET_DIR", program.ancestors().nth(4).unwrap());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BUILD_RUSTFLAGS", "NEXTEST"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
}
