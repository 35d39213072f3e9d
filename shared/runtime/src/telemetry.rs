use tracing::Level;

/// Starts JSON logs on standard output, one object a line, fields at the top level.
///
/// `level` is `error`, `warn`, `info`, `debug` or `trace`; anything else means `info`.
pub(crate) fn start(level: &str) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(level.parse().unwrap_or(Level::INFO))
        .init();
}
