/// The most entries of one PutEvents, SendMessageBatch or ChangeMessageVisibilityBatch call
/// (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>,
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>).
pub(crate) const ENTRIES_MAX: usize = 10;
/// The most bytes of one such call, all entries together (1 MiB, same pages), less room for what is not counted here.
const CALL_BYTES_MAX: usize = 1_000_000;

/// Splits entries into calls that keep both limits. An entry that alone is too large gets a call of its own, and AWS's
/// own refusal.
pub(crate) fn in_calls<T>(entries: &[T], bytes_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let size = bytes_of(entry);
        if index > start && (index - start == ENTRIES_MAX || bytes + size > CALL_BYTES_MAX) {
            calls.push(&entries[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < entries.len() {
        calls.push(&entries[start..]);
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(sizes: &[usize]) -> Vec<usize> {
        in_calls(sizes, |size| *size).into_iter().map(<[usize]>::len).collect()
    }

    #[test]
    fn ten_entries_go_out_a_call() {
        assert_eq!(lengths(&[]), [0_usize; 0]);
        assert_eq!(lengths(&[1; 10]), [10]);
        assert_eq!(lengths(&[1; 25]), [10, 10, 5]);
    }

    #[test]
    fn large_entries_share_a_call_only_as_far_as_they_fit() {
        assert_eq!(lengths(&[600_000, 300_000, 300_000, 1]), [2, 2]);
        assert_eq!(lengths(&[2_000_000, 1]), [1, 1]);
    }
}
