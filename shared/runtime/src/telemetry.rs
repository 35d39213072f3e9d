use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts JSON logs on standard output, one object a line, fields at the top level.
///
/// `level` is `error`, `warn`, `info` or `debug`; anything else means `info`.
#[expect(clippy::disallowed_methods, reason = "Lambda takes a function's logs from there")]
pub(crate) fn start(level: &str) {
    log_lines(level, std::io::stdout).init();
}

/// The logs of a function, written somewhere else: for tests of what stands in them.
#[must_use]
pub fn log_lines<W>(level: &str, writer: W) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = level.parse().unwrap_or(Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter_fn(move |metadata| *metadata.level() <= level && is_safe(metadata))))
}

/// Whether a line can hold nobody's data. Below `info`, libraries write whole requests and messages: there only this crate
/// is heard.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::INFO || target == "runtime" || target.starts_with("runtime::")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

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
            tracing::debug!("ours");
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
}
