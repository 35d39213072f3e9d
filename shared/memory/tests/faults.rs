//! Any call can be lost on its way there or on its way back, and callers take turns.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use contracts::{EventType, Outbound};
use domain::{EventId, OrderId, Shipment, ShipmentDecision, Timestamp};
use memory::{Fault, Faults, Keeps, MemoryEventBus, MemoryShipmentStore};
use ports::{Commit, Decided, EventBus, PortError, Retry, ShipmentStore};

#[test]
fn a_call_that_is_not_applied_changes_nothing() {
    let faults = Faults::default();
    let store = MemoryShipmentStore::with_faults(faults.clone());
    faults.fail_call(1, Fault::NotApplied);
    assert_transient(&bar(&store));
    assert!(store.shipments().is_empty());
    assert_eq!(bar(&store).unwrap(), Commit::Written);
}

#[test]
fn a_call_whose_reply_is_lost_is_applied() {
    let faults = Faults::default();
    let store = MemoryShipmentStore::with_faults(faults.clone());
    faults.fail_next(Fault::ReplyLost);
    assert_transient(&bar(&store));
    let stands = Shipment {
        decision: ShipmentDecision::Barred,
        decided_by: event_id(),
        decided_at: AT,
        closing: None,
    };
    assert_eq!(bar(&store).unwrap(), Commit::Existing(stands));
}

#[test]
fn adapters_that_share_a_plan_are_counted_in_one_sequence() {
    let faults = Faults::default();
    let store = MemoryShipmentStore::with_faults(faults.clone());
    let bus = MemoryEventBus::with_faults(faults.clone());
    faults.fail_call(2, Fault::NotApplied);
    faults.fail_call(9, Fault::NotApplied);
    assert!(bar(&store).is_ok());
    assert_eq!(publish(&bus, &["a", "b"]), [false, false], "a lost call loses every entry");
    assert_eq!(publish(&bus, &["a", "b"]), [true, true]);
    assert_eq!((faults.calls(), faults.unmet()), (3, 1));
}

#[test]
fn chosen_entries_of_a_call_are_lost() {
    let bus = MemoryEventBus::default();
    bus.fail_entries(|event| match event.event_id.as_str() {
        "a" => Some(Fault::NotApplied),
        "b" => Some(Fault::ReplyLost),
        _ => None,
    });
    assert_eq!(publish(&bus, &["a", "b", "c"]), [false, false, true]);
    bus.fail_entries(|_| None);
    assert_eq!(publish(&bus, &["a"]), [true]);
    let published = bus.take_published();
    assert_eq!(published.iter().map(|event| event.event_id.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
    assert!(bus.published().is_empty());
}

#[test]
fn answers_that_were_given_are_given_again_and_change_nothing() {
    let faults = Faults::default();
    let heard = Arc::new(Mutex::new(vec![]));
    let hears = Arc::clone(&heard);
    faults.answers_heard_by(move |answer| hears.lock().unwrap().push(answer));
    let store = MemoryShipmentStore::with_faults(faults.clone());
    let bus = MemoryEventBus::with_faults(faults.clone());
    let empty = store.copy();
    assert_eq!(bar(&store).unwrap(), Commit::Written);
    faults.fail_next(Fault::ReplyLost);
    assert_transient(&bar(&store));
    assert_eq!(publish(&bus, &["a"]), [true]);

    let answers = std::mem::take(&mut *heard.lock().unwrap());
    let operations: Vec<_> = answers.iter().map(|answer| answer.operation).collect();
    assert_eq!(operations, ["memory:BarShipment", "memory:BarShipment", "memory:Publish"]);
    assert!(format!("{:?}", answers[0].given()).contains("Written"));
    let kept = store.copy();
    store.put_back(&empty);
    faults.answer_next_with(answers);
    assert_eq!(bar(&store).unwrap(), Commit::Written);
    assert_transient(&bar(&store));
    assert_eq!(publish(&bus, &["a"]), [true]);
    assert!(store.shipments().is_empty(), "nothing was applied");
    assert_eq!(bus.published().len(), 1);
    store.put_back(&kept);
    assert!(
        matches!(bar(&store).unwrap(), Commit::Existing(_)),
        "what is kept was put back, and calls are made again"
    );
}

#[test]
fn a_caller_that_is_dropped_before_its_turn_has_not_called() {
    let faults = Faults::default();
    let store = MemoryShipmentStore::with_faults(faults.clone());
    let (event_id, order_id) = (event_id(), order_id());
    {
        let by = Decided { by: &event_id, at: AT };
        let mut call = pin!(store.bar(&order_id, &by));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(faults.calls(), 0);
    assert!(store.shipments().is_empty());
}

const AT: Timestamp = Timestamp::from_unix_ms(1);

fn event_id() -> EventId {
    EventId::parse("e-1").unwrap()
}

fn order_id() -> OrderId {
    OrderId::parse("o-1").unwrap()
}

fn bar(store: &MemoryShipmentStore) -> Result<Commit<Shipment>, PortError> {
    block_on(store.bar(&order_id(), &Decided { by: &event_id(), at: AT }))
}

fn publish(bus: &MemoryEventBus, ids: &[&str]) -> Vec<bool> {
    let event = |id: &&str| Outbound {
        event_type: EventType::OrderCancelled,
        event_id: EventId::parse(id).unwrap(),
        detail: "{}".to_owned(),
    };
    let events: Vec<Outbound> = ids.iter().map(event).collect();
    block_on(bus.publish(&events)).iter().map(Result::is_ok).collect()
}

fn assert_transient(result: &Result<Commit<Shipment>, PortError>) {
    assert_eq!(result.as_ref().map_err(|error| error.retry), Err(Retry::Transient));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
