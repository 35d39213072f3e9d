use super::ok;
use crate::{MessageQueue, Postponement};

/// The suite of [`MessageQueue`]. `receipt_handles` are those of messages that were received, are not yet deleted, and
/// would stay hidden for minutes: more than ten, which is what SQS takes at once. `delivered_again` says which of them
/// are delivered again by now, and may wait for one.
pub async fn message_queue<Q: MessageQueue>(
    queue: &Q,
    receipt_handles: &[String],
    delivered_again: impl AsyncFn() -> Vec<String>,
) {
    assert!(receipt_handles.len() > 10, "the suite needs more than ten messages");
    ok(queue.postpone(&[]).await);

    let postponement =
        |receipt_handle: &String| Postponement { receipt_handle: receipt_handle.clone(), delay_s: 60 };
    let mut messages: Vec<Postponement> = receipt_handles.iter().map(postponement).collect();
    ok(queue.postpone(&messages).await);
    let last = messages.len() - 1;
    for position in [0, 5, last] {
        let mut messages = messages.clone();
        messages[position].receipt_handle.clear();
        assert!(queue.postpone(&messages).await.is_err(), "number {position} failed and nobody was told");
    }
    // The longest and the shortest there is; the shortest beside one that cannot be postponed.
    messages[0].delay_s = 43_200;
    ok(queue.postpone(&messages).await);
    messages[0].receipt_handle.clear();
    messages[last].delay_s = 0;
    assert!(queue.postpone(&messages).await.is_err(), "the first failed and nobody was told");
    assert_eq!(delivered_again().await, [receipt_handles[last].clone()]);
}
