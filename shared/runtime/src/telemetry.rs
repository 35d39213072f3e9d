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
