//! What stands in the logs of a function, whatever their level.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use runtime::log_lines;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(level: &str) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing::subscriber::with_default(log_lines(level, move || writer.clone()), || {
        tracing::debug!(target: "runtime::batch", "ours");
        tracing::debug!(target: "aws_smithy_runtime::client", "a whole order");
        tracing::trace!(target: "lambda_runtime::requests", "a whole order");
        tracing::debug!(target: "runtime_of_somebody", "a whole order");
        tracing::info!(target: "lambda_runtime", "told");
    });
    let bytes = lines.0.lock().unwrap().clone();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["message"].as_str().unwrap().to_owned()
    };
    std::str::from_utf8(&bytes).unwrap().lines().map(line).collect()
}

#[test]
fn no_level_makes_a_library_write_what_it_was_sent() {
    assert_eq!(logged("debug"), ["ours", "told"]);
    assert_eq!(logged("trace"), ["ours", "told"]);
    assert_eq!(logged("info"), ["told"]);
    assert_eq!(logged("verbose"), ["told"]);
    assert_eq!(logged("error"), [""; 0]);
}
