use super::ok;
use crate::{MessageQueue, Postponement};

/// The suite of [`MessageQueue`]. `receipt_handles` are those of messages that were received and not yet deleted:
/// more than ten, which is what SQS takes at once.
pub async fn message_queue<Q: MessageQueue>(queue: &Q, receipt_handles: &[String]) {
    assert!(receipt_handles.len() > 10, "the suite needs more than ten messages");
    ok(queue.postpone(&[]).await);

    let postponement =
        |receipt_handle: &String| Postponement { receipt_handle: receipt_handle.clone(), delay_s: 60 };
    let mut messages: Vec<Postponement> = receipt_handles.iter().map(postponement).collect();
    ok(queue.postpone(&messages).await);
    // The longest and the shortest there is.
    messages[0].delay_s = 43_200;
    messages[1].delay_s = 0;
    ok(queue.postpone(&messages).await);

    for position in [0, 5, messages.len() - 1] {
        let mut messages = messages.clone();
        messages[position].receipt_handle.clear();
        assert!(queue.postpone(&messages).await.is_err(), "number {position} failed and nobody was told");
    }
}
