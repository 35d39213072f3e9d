//! The queues keep what SQS promises, and no more.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Timestamp;
use memory::{ManualClock, MemoryQueues, QueueSettings, Received};

const DAYS_14_S: u32 = 1_209_600;

fn queues() -> (MemoryQueues, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_000)));
    let queues = MemoryQueues::new(clock.clone());
    let settings = QueueSettings { visibility_s: 30, retention_s: DAYS_14_S, redrive: None };
    queues.create("dead", settings.clone());
    queues.create("work", QueueSettings { redrive: Some(("dead".to_owned(), 3)), ..settings });
    (queues, clock)
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| &*message.body).collect()
}

fn receive_all(queues: &MemoryQueues) -> Vec<Received> {
    queues.receive("work", 10, None)
}

#[test]
fn a_message_is_delivered_with_all_that_was_sent() {
    let (queues, _) = queues();
    let attributes = BTreeMap::from([("consumer".to_owned(), "a".to_owned())]);
    let id = queues.send("work", "body", attributes.clone());
    let [received] = &receive_all(&queues)[..] else { unreachable!("one was sent") };
    assert_eq!((&received.message_id, &*received.body, &received.attributes), (&id, "body", &attributes));
    assert_eq!((received.receive_count, received.sent_at), (1, Timestamp::from_unix_ms(1_000)));
}

#[test]
fn the_same_calls_give_the_same_ids() {
    let ids = || {
        let (queues, _) = queues();
        let sent: Vec<_> = ["a", "b"].map(|body| queues.send("work", body, BTreeMap::new())).into();
        (sent, receive_all(&queues))
    };
    assert_eq!(ids(), ids());
}

#[test]
fn a_delivered_message_is_hidden_for_its_time_and_then_comes_again_under_a_new_handle() {
    let (queues, clock) = queues();
    queues.send("work", "a", BTreeMap::new());
    let first = receive_all(&queues);
    assert_eq!((receive_all(&queues), queues.visible("work"), queues.len("work")), (vec![], 0, 1));
    assert_eq!(queues.next_visible_at(queues.number_of("work")), Some(Timestamp::from_unix_ms(31_000)));
    clock.advance_ms(29_999);
    assert_eq!(receive_all(&queues), []);
    clock.advance_ms(1);
    let second = receive_all(&queues);
    assert_eq!((second[0].receive_count, &second[0].message_id), (2, &first[0].message_id));
    assert_ne!(second[0].receipt_handle, first[0].receipt_handle);
}

#[test]
fn a_receiver_can_choose_for_how_long() {
    let (queues, clock) = queues();
    queues.send("work", "a", BTreeMap::new());
    assert_eq!(queues.receive("work", 10, Some(2)).len(), 1);
    clock.advance_ms(2_000);
    assert_eq!(queues.receive("work", 10, Some(0)).len(), 1);
    assert_eq!(receive_all(&queues).len(), 1);
}

#[test]
fn ten_messages_come_at_once_at_most() {
    let (queues, _) = queues();
    (0..13).for_each(|number| drop(queues.send("work", number.to_string(), BTreeMap::new())));
    assert_eq!(queues.receive("work", 2, None).len(), 2);
    assert_eq!(queues.receive("work", 100, None).len(), 10);
    assert_eq!(queues.receive("work", 100, None).len(), 1);
}

#[test]
fn only_the_latest_handle_deletes() {
    let (queues, clock) = queues();
    queues.send("work", "a", BTreeMap::new());
    let first = receive_all(&queues);
    clock.advance_ms(30_000);
    let second = receive_all(&queues);
    assert!(!queues.delete("work", &first[0].receipt_handle));
    assert_eq!(queues.len("work"), 1);
    clock.advance_ms(40_000);
    assert!(queues.delete("work", &second[0].receipt_handle), "also when it is visible again");
    assert!(queues.is_empty("work"));
    assert!(!queues.delete("work", &second[0].receipt_handle));
    for handle in ["", "1", "1-0", "x-y"] {
        assert!(!queues.delete("work", handle));
    }
}

#[test]
fn the_visibility_of_a_delivered_message_can_be_changed_up_to_twelve_hours_after_its_delivery() {
    let (queues, clock) = queues();
    queues.send("work", "a", BTreeMap::new());
    let first = receive_all(&queues);
    let change = |delay_s| queues.change_visibility("work", &first[0].receipt_handle, delay_s);
    assert!(change(43_200));
    clock.advance_ms(1_000);
    assert!(!change(43_200), "one second of the twelve hours is over");
    assert!(change(43_199) && change(0));
    assert!(!change(5), "it is not in flight any more");
    let second = receive_all(&queues);
    assert_eq!(second.len(), 1);
    assert!(!change(5), "that was another delivery");
}

#[test]
fn a_message_that_was_delivered_too_often_goes_to_the_dead_letter_queue_as_it_is() {
    let (queues, clock) = queues();
    let attributes = BTreeMap::from([("attempt".to_owned(), "2".to_owned())]);
    let id = queues.send("work", "a", attributes.clone());
    for receive_count in 1..=3 {
        assert_eq!(receive_all(&queues)[0].receive_count, receive_count);
        clock.advance_ms(30_000);
    }
    assert_eq!(queues.len("work"), 1, "it goes when it would be delivered again, not before");
    queues.send("work", "b", BTreeMap::new());
    assert_eq!(bodies(&receive_all(&queues)), ["b"]);
    let [letter] = &queues.receive("dead", 10, None)[..] else { unreachable!("one is dead") };
    assert_eq!((&letter.message_id, &*letter.body, &letter.attributes), (&id, "a", &attributes));
    assert_eq!((letter.receive_count, letter.sent_at), (1, Timestamp::from_unix_ms(1_000)));
}

#[test]
fn a_message_is_forgotten_when_its_time_is_up_also_in_the_dead_letter_queue() {
    let (queues, clock) = queues();
    let retention_ms = i64::from(DAYS_14_S) * 1_000;
    queues.send("work", "a", BTreeMap::new());
    clock.advance_ms(retention_ms - 100_000);
    for _ in 0..=3 {
        drop(receive_all(&queues));
        clock.advance_ms(30_000);
    }
    assert_eq!((queues.len("work"), queues.len("dead")), (0, 0), "the dead-letter queue does not begin anew");
    queues.send("work", "b", BTreeMap::new());
    clock.advance_ms(retention_ms - 1);
    assert_eq!(queues.visible("work"), 1);
    clock.advance_ms(1);
    assert_eq!((queues.visible("work"), receive_all(&queues)), (0, vec![]));
    assert_eq!(queues.next_visible_at(queues.number_of("work")), None);
}

#[test]
fn handles_share_the_queues() {
    let (queues, _) = queues();
    queues.clone().send("work", "a", BTreeMap::new());
    assert_eq!(queues.messages("work")[0].body, "a".into());
    assert_eq!(queues.names(), ["dead", "work"]);
    assert!(queues.exists("dead") && !queues.exists("other"));
}

#[test]
fn a_queue_that_is_set_up_again_keeps_its_messages() {
    let (queues, clock) = queues();
    queues.send("work", "a", BTreeMap::new());
    queues.create("work", QueueSettings { visibility_s: 5, retention_s: DAYS_14_S, redrive: None });
    for _ in 0..9 {
        assert_eq!(receive_all(&queues).len(), 1);
        clock.advance_ms(5_000);
    }
}

#[test]
#[should_panic(expected = "there is no queue nowhere")]
fn a_queue_that_does_not_exist_is_a_mistake() {
    queues().0.send("nowhere", "a", BTreeMap::new());
}
