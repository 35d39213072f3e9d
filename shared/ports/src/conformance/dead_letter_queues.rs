use std::collections::BTreeMap;

use super::ok;
use crate::{DeadLetter, DeadLetterQueues, Postponement};

/// For how long the suite hides a message: longer than it takes.
const HIDDEN_S: u32 = 600;
/// Slower than any queue takes to show what was sent to it.
const ASKS_MAX: usize = 50;

/// The suite of [`DeadLetterQueues`]. `queue` is empty and the suite's alone; `send` sends a body with attributes to it.
pub async fn dead_letter_queues<Q: DeadLetterQueues>(
    queues: &Q,
    queue: &str,
    send: impl AsyncFn(&str, &BTreeMap<String, String>),
    unique: &str,
) {
    let attributes = |number: usize| {
        let (name, text) = ("orderbus-attempt".to_owned(), number.to_string());
        BTreeMap::from([(name, text), ("reason".to_owned(), "why: \"ü\"".to_owned())])
    };
    let body = |number: usize| format!("{{ \"number\": {number}, \"of\": \"{unique} ü\" }}");
    for number in 0..13 {
        send(&body(number), &if number == 0 { BTreeMap::new() } else { attributes(number) }).await;
    }

    let letters = receive_all(queues, queue, 13).await;
    for number in 0..13 {
        let letter = letters.iter().find(|letter| letter.body == body(number)).expect("every message comes");
        let expected = if number == 0 { BTreeMap::new() } else { attributes(number) };
        assert_eq!((letter.queue.as_str(), &letter.attributes), (queue, &expected));
        assert!(letter.sent_at.unix_ms() > 0, "it says when it was sent");
    }
    assert!(ok(queues.receive(queue, 10, HIDDEN_S).await).is_empty(), "what is delivered is hidden");
    assert_eq!(ok(queues.depth(queue).await).hidden, 13);

    // One is given back and comes again, as another delivery.
    let given_back = &letters[4];
    let postponement = |delay_s| Postponement { receipt_handle: given_back.receipt_handle.clone(), delay_s };
    ok(queues.postpone(queue, &postponement(39_600)).await);
    ok(queues.postpone(queue, &postponement(0)).await);
    let again = receive_all(queues, queue, 1).await.remove(0);
    assert_eq!((&again.body, &again.message_id), (&given_back.body, &given_back.message_id));
    assert_eq!((again.sent_at, &again.attributes), (given_back.sent_at, &given_back.attributes));
    assert_ne!(again.receipt_handle, given_back.receipt_handle);

    for letter in letters.iter().filter(|letter| letter.message_id != again.message_id).chain([&again]) {
        ok(queues.delete(queue, &letter.receipt_handle).await);
        ok(queues.delete(queue, &letter.receipt_handle).await);
    }
    let depth = ok(queues.depth(queue).await);
    assert_eq!((depth.visible, depth.hidden), (0, 0));
    assert!(
        queues.receive("no-such-queue", 1, 1).await.is_err(),
        "a queue that does not exist is no empty queue"
    );
}

async fn receive_all<Q: DeadLetterQueues>(queues: &Q, queue: &str, count: usize) -> Vec<DeadLetter> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    for _ in 0..ASKS_MAX {
        let limit = (count - letters.len()).min(10);
        let received = ok(queues.receive(queue, limit, HIDDEN_S).await);
        assert!(received.len() <= limit, "no more than was asked for");
        letters.extend(received);
        if letters.len() == count {
            return letters;
        }
    }
    panic!("{} of {count} messages came", letters.len());
}
