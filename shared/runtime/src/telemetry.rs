use tracing_subscriber::EnvFilter;

/// Starts JSON logs on standard output, one object a line, fields at the top level.
///
/// `level` is a `tracing` filter such as `info` or `info,runtime=debug`; one that cannot be read means `info`.
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
}
