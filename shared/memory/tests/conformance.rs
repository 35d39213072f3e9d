//! The memory model keeps every promise of every port.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use contracts::Outbound;
use domain::{Attempt, Timestamp};
use memory::{
    Fault, ManualClock, MemoryDeadLetterQueues, MemoryEventBus, MemoryEventLake, MemoryEventLedger,
    MemoryFulfilmentCentre, MemoryLakeQueries, MemoryMessageQueue, MemoryOnCall, MemoryOrderStore,
    MemoryOrderViewStore, MemoryPaymentTasks, MemoryQuarantine, MemoryQuarantineStore, MemoryQueue,
    MemoryQueues, MemoryRedriveLedger, MemoryRedriveTargets, MemoryShipmentStore, MemoryStockStore,
    QueueSettings,
};
use ports::{Alert, Clock, Notice, Parameter, Quarantined, Rows, Target, attempt_carried, conformance};

#[test]
fn the_order_store_conforms() {
    block_on(conformance::order_store(&MemoryOrderStore::default(), "memory"));
}

#[test]
fn the_stock_store_conforms() {
    block_on(conformance::stock_store(&MemoryStockStore::default(), "memory"));
}

#[test]
fn contended_stock_is_promised_to_the_last_piece() {
    block_on(conformance::contended_stock(&MemoryStockStore::default(), "memory"));
}

#[test]
fn the_shipment_store_conforms() {
    block_on(conformance::shipment_store(&MemoryShipmentStore::default(), "memory"));
}

#[test]
fn the_order_view_store_conforms() {
    block_on(conformance::order_view_store(&MemoryOrderViewStore::default(), "memory"));
}

#[test]
fn the_event_ledger_conforms() {
    block_on(conformance::event_ledger(&MemoryEventLedger::default(), "memory"));
}

#[test]
fn a_suite_runs_again_beside_what_earlier_runs_left() {
    let (orders, stock) = (MemoryOrderStore::default(), MemoryStockStore::default());
    let (shipments, views) = (MemoryShipmentStore::default(), MemoryOrderViewStore::default());
    let events = MemoryEventLedger::default();
    for unique in ["run-1", "run-2"] {
        block_on(conformance::order_store(&orders, unique));
        block_on(conformance::stock_store(&stock, unique));
        block_on(conformance::shipment_store(&shipments, unique));
        block_on(conformance::order_view_store(&views, unique));
        block_on(conformance::event_ledger(&events, unique));
    }
}

#[test]
fn the_lake_s_queries_conform() {
    let queries = MemoryLakeQueries::new(|query| {
        let text = |text: &str| vec![Some(text.to_owned())];
        let (column, rows) = match (query.statement, query.parameters.as_slice()) {
            (conformance::NUMBERS, [Parameter::Number(last)]) => {
                let numbers =
                    (1..=3).filter(|number| number <= last).map(|number: i64| text(&number.to_string()));
                ("number", numbers.chain([vec![None]]).collect())
            }
            (conformance::SAME, [one, other]) if one == other => ("answer", vec![text("same")]),
            (conformance::BEFORE, [Parameter::Instant(one), Parameter::Instant(other)]) if one < other => {
                ("answer", vec![text("before")])
            }
            _ => ("answer", vec![]),
        };
        Ok(Rows { columns: vec![column.to_owned()], rows })
    });
    block_on(conformance::lake_queries(&queries, "memory"));
}

#[test]
fn the_event_bus_conforms() {
    let bus = MemoryEventBus::default();
    let arrived = async |event: &Outbound| bus.published().contains(event);
    block_on(conformance::event_bus(&bus, arrived, "memory"));
}

#[test]
fn the_event_bus_reports_what_it_does_not_take() {
    let bus = MemoryEventBus::default();
    bus.fail_entries(|event| conformance::is_to_be_refused(event).then_some(Fault::NotApplied));
    let arrived = async |event: &Outbound| bus.published().contains(event);
    block_on(conformance::event_bus_that_refuses(&bus, arrived, "memory"));
    assert!(!bus.published().iter().any(conformance::is_to_be_refused));
}

#[test]
fn the_quarantine_conforms() {
    let quarantine = MemoryQuarantine::default();
    let kept = async |message: &Quarantined| quarantine.kept().contains(message);
    block_on(conformance::quarantine(&quarantine, kept, "memory"));
}

#[test]
fn the_message_queue_conforms() {
    let receipt_handles: Vec<String> = (0..23).map(|number| format!("handle-{number}")).collect();
    let queue = MemoryMessageQueue::default();
    let delivered_again = async || {
        let last: BTreeMap<_, _> =
            queue.postponed().into_iter().map(|message| (message.receipt_handle, message.delay_s)).collect();
        last.into_iter().filter(|(_, delay_s)| *delay_s == 0).map(|(handle, _)| handle).collect()
    };
    block_on(conformance::message_queue(&queue, &receipt_handles, delivered_again));
}

#[test]
fn the_fulfilment_centre_conforms() {
    let centre = MemoryFulfilmentCentre::default();
    let accepted = async |notice: &Notice| centre.notices().contains(notice);
    block_on(conformance::fulfilment_centre(&centre, accepted, "memory"));
}

#[test]
fn the_event_lake_conforms() {
    let lake = MemoryEventLake::default();
    let body = async |key: &str| lake.object(key).map(|object| object.body);
    block_on(conformance::event_lake(&lake, body, "memory"));
    block_on(conformance::lake_objects(&lake, &lake, "memory"));
}

#[test]
fn the_payment_tasks_conform() {
    let tasks = MemoryPaymentTasks::default();
    ["to-succeed", "to-fail", "timed-out"].iter().for_each(|token| tasks.issue(token));
    assert!(tasks.time_out("timed-out"));
    block_on(conformance::payment_tasks(&tasks, ["to-succeed", "to-fail"], "timed-out"));
    block_on(conformance::payment_tasks_that_never_were(&tasks));
}

#[test]
fn the_quarantine_in_a_queue_conforms() {
    let queues = queues();
    let kept = async |message: &Quarantined| {
        let expected: BTreeMap<String, String> =
            message.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let is_it = |kept: &memory::QueuedMessage| *kept.body == *message.body && kept.attributes == expected;
        queues.messages("queue").iter().any(is_it)
    };
    let quarantine = MemoryQueue::new(queues.clone(), "queue");
    block_on(conformance::quarantine(&quarantine, kept, "memory"));
}

#[test]
fn the_queue_of_a_consumer_conforms() {
    let queues = queues();
    (0..23).for_each(|number| drop(queues.send("queue", number.to_string(), BTreeMap::new())));
    let received: Vec<_> = (0..3).flat_map(|_| queues.receive("queue", 10, None)).collect();
    let receipt_handles: Vec<String> =
        received.iter().map(|message| message.receipt_handle.clone()).collect();
    let first_handle_of = |again: memory::Received| {
        let first = received.iter().find(|first| first.message_id == again.message_id).unwrap();
        first.receipt_handle.clone()
    };
    let delivered_again =
        async || queues.receive("queue", 10, None).into_iter().map(first_handle_of).collect();
    let queue = MemoryQueue::new(queues.clone(), "queue");
    block_on(conformance::message_queue(&queue, &receipt_handles, delivered_again));
}

fn queues() -> MemoryQueues {
    let queues = MemoryQueues::new(Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_000))));
    queues.create("queue", QueueSettings { visibility_s: 30, retention_s: 1_209_600, redrive: None });
    queues
}

#[test]
fn the_dead_letter_queues_conform() {
    let queues = queues();
    let send = async |body: &str, attributes: &BTreeMap<String, String>| {
        queues.send("queue", body, attributes.clone());
    };
    let letters = MemoryDeadLetterQueues::new(queues.clone());
    block_on(conformance::dead_letter_queues(&letters, "queue", send, "memory"));
}

#[test]
fn the_redrive_targets_conform() {
    let queues = queues();
    let consumers = BTreeMap::from([("consumer".to_owned(), "queue".to_owned())]);
    let targets = MemoryRedriveTargets::new(queues.clone(), consumers);
    let arrived = async |target: &Target, _| -> Vec<(String, Option<Attempt>)> {
        match target {
            Target::Consumer(_) => {
                let carried = |message: memory::QueuedMessage| {
                    let attempt = attempt_carried(|name| message.attributes.get(name).map(String::as_str));
                    (message.body.as_ref().to_owned(), Some(attempt))
                };
                queues.messages("queue").into_iter().map(carried).collect()
            }
            Target::Checkout => targets.checkouts().into_values().map(|body| (body, None)).collect(),
            Target::Bus => {
                let put = targets.take_from_bus().into_iter();
                put.map(|(body, attempt)| (body, Some(attempt))).collect()
            }
        }
    };
    let envelope = |id: &str| format!(r#"{{"detail":{{"id":"{id}"}}}}"#);
    block_on(conformance::redrive_targets(&targets, "consumer", envelope, arrived, "memory"));
}

#[test]
fn the_redrive_ledger_conforms() {
    let ledger = MemoryRedriveLedger::default();
    for unique in ["run-1", "run-2"] {
        block_on(conformance::redrive_ledger(&ledger, unique));
    }
}

#[test]
fn the_quarantine_store_conforms() {
    let store = MemoryQuarantineStore::default();
    for unique in ["run-1", "run-2"] {
        block_on(conformance::quarantine_store(&store, unique));
    }
}

#[test]
fn whoever_is_on_call_hears_every_alert() {
    let on_call = MemoryOnCall::default();
    let heard = async |alert: &Alert| on_call.alerts().contains(alert);
    block_on(conformance::on_call(&on_call, heard, "memory"));
}

#[test]
fn the_clock_stands_still_until_it_is_moved() {
    let clock = ManualClock::new(Timestamp::from_unix_ms(1_000));
    assert_eq!(clock.now(), clock.now());
    clock.advance_ms(234);
    assert_eq!(clock.now(), Timestamp::from_unix_ms(1_234));
    clock.set(Timestamp::from_unix_ms(5));
    assert_eq!(clock.now(), Timestamp::from_unix_ms(5));
}

/// Nothing in memory waits for anything but its turn, so asking again at once is enough.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
