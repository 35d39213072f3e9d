//! What Linux says about this process.

use std::fs;
use std::time::Duration;

/// How long the main thread has had a processor. Unlike the time on the wall, this does not grow while others have it.
pub(crate) fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// The most memory that this process ever had, in megabytes (`VmHWM`).
pub(crate) fn memory_mb_max() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1_024.0
}
