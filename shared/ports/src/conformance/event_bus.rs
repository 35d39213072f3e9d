use contracts::{Cause, Event, OrderCancelled, Outbound, Reason};

use super::{BATCH, event_id, instant, ok, order_id};
use crate::EventBus;

/// Large enough that ten of them are more than the 1 MB that one call of EventBridge may carry.
const LARGE_BYTES: usize = 110_000;

const REFUSED: &str = "refused";

/// The suite of [`EventBus`]. `arrived` says whether the bus delivers an event, and may wait for it.
pub async fn event_bus<B: EventBus>(bus: &B, arrived: impl AsyncFn(&Outbound) -> bool, unique: &str) {
    assert!(bus.publish(&[]).await.is_empty(), "nothing to publish, nothing to answer");

    let mut batches: Vec<Vec<Outbound>> = [1, 10, 11, BATCH]
        .iter()
        .map(|&length| batch(unique, &format!("batch-of-{length}"), length))
        .collect();
    batches.push((0..12).map(|index| event(unique, &format!("large-{index}"), LARGE_BYTES)).collect());
    for events in &batches {
        let answers = bus.publish(events).await;
        assert_eq!(answers.len(), events.len(), "as many answers as events");
        for (event, answer) in events.iter().zip(answers) {
            ok(answer);
            assert!(arrived(event).await, "{} was answered with success and is not there", event.event_id);
        }
    }

    let again = bus.publish(&batches[0]).await;
    again.into_iter().for_each(ok);
}

/// The suite of [`EventBus`] on a bus that the caller has made refuse every event of which [`is_to_be_refused`] is
/// true, and no other.
pub async fn event_bus_that_refuses<B: EventBus>(
    bus: &B,
    arrived: impl AsyncFn(&Outbound) -> bool,
    unique: &str,
) {
    let refused = [0, 9, 10, 15, BATCH - 1];
    let mut events = batch(unique, "taken", BATCH);
    for index in refused {
        events[index] = event(unique, &format!("{REFUSED}-{index}"), 0);
    }
    let answers = bus.publish(&events).await;
    assert_eq!(answers.len(), events.len(), "as many answers as events");
    for (index, (event, answer)) in events.iter().zip(answers).enumerate() {
        if refused.contains(&index) {
            assert!(answer.is_err(), "entry {index} was refused and answered with success");
        } else {
            ok(answer);
            assert!(arrived(event).await, "entry {index} was answered with success and is not there");
        }
    }
}

/// Whether [`event_bus_that_refuses`] wants this event refused.
#[must_use]
pub fn is_to_be_refused(event: &Outbound) -> bool {
    event.event_id.as_str().starts_with(REFUSED)
}

fn batch(unique: &str, name: &str, length: usize) -> Vec<Outbound> {
    (0..length).map(|index| event(unique, &format!("{name}-{index}"), 0)).collect()
}

fn event(unique: &str, name: &str, padding_bytes: usize) -> Outbound {
    let order_id = order_id(unique, name);
    let cause = Cause {
        event_id: event_id(unique, "cause"),
        correlation_id: order_id.as_str().to_owned(),
        traceparent: None,
    };
    let cancelled = OrderCancelled {
        order_id: order_id.as_str().to_owned(),
        reason: Reason::new("customer_request", "é".repeat(padding_bytes / 2)),
    };
    let event = Event::caused_by(&cause, "conformance", 0, &order_id.into(), instant(0), cancelled);
    let event = Event { id: event_id(unique, name), ..event };
    event.to_outbound().expect("every event can be written")
}
