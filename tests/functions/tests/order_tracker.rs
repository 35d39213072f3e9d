//! `order-tracker`: every event is a fact once, and no fact names a person.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use contracts::{BusEvent, Event, EventType, kind_of_type};
use function_tests::{Function, PERSONAL_VALUES, cancelled, order_id, placed};
use memory::{Fault, Faults, MemoryOrderViewStore};
use order_tracker::{NAME, OrderTracker};
use proptest::prelude::*;

type Tracker = Function<OrderTracker<MemoryOrderViewStore>>;

fn function(faults: &Faults) -> Tracker {
    let views = MemoryOrderViewStore::with_faults(faults.clone());
    Function::with_faults(NAME, OrderTracker { views }, faults)
}

/// The golden sample of every type, all about one order.
fn every_event() -> Vec<Event> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/samples/order-tracker/every-type.json");
    let sample = std::fs::read_to_string(path).unwrap();
    let sample: runtime::SqsEvent = serde_json::from_str(&sample).unwrap();
    let decode = |body: &String| contracts::decode(body).map(|BusEvent { event, .. }| event).unwrap();
    sample.records.iter().filter_map(|record| record.body.as_ref()).map(decode).collect()
}

#[tokio::test]
async fn an_event_of_every_type_is_one_fact_of_its_order() {
    let function = function(&Faults::default());
    let events = every_event();
    assert_eq!(function.deliver_batch(&events).await, []);
    let views = function.handler().views.orders();
    assert_eq!(views.len(), 1);
    let mut types: Vec<_> = views.values().flatten().map(|fact| fact.event_type).collect();
    types.sort();
    let about_orders = EventType::ALL.iter().copied().filter(|one| kind_of_type(*one).is_some());
    assert_eq!(types, about_orders.collect::<Vec<_>>());
    assert_eq!(function.published(), []);
}

#[tokio::test]
async fn the_read_model_names_no_person_and_keeps_no_token() {
    let function = function(&Faults::default());
    function.deliver_all(&every_event()).await;
    let view = format!("{:?}", function.handler().views.orders());
    assert!(view.contains("customerId"), "the details are looked at");
    for value in PERSONAL_VALUES.iter().chain(&["London", "AQCsampletasktoken", "signedBy", "personal"]) {
        assert!(!view.contains(value), "{value}");
    }
}

#[tokio::test]
async fn a_redelivered_event_is_one_fact() {
    let function = function(&Faults::default());
    let order = placed("e-1", "o-1", &[("MUG", 1)]);
    assert!(function.deliver(&order).await);
    let before = function.handler().views.orders();
    assert!(function.deliver(&order).await);
    assert_eq!(function.handler().views.orders(), before);
}

#[tokio::test]
async fn a_fact_is_not_replaced_by_another_under_its_id() {
    let function = function(&Faults::default());
    assert!(function.deliver(&placed("e-1", "o-1", &[("MUG", 1)])).await);
    assert!(function.deliver(&cancelled("e-1", "o-1")).await);
    let facts = &function.handler().views.orders()[&order_id("o-1")];
    assert_eq!(facts.iter().map(|fact| fact.event_type).collect::<Vec<_>>(), [EventType::OrderPlaced]);
}

#[tokio::test]
async fn a_fact_that_could_not_be_kept_is_delivered_again_alone() {
    let faults = Faults::default();
    let function = function(&faults);
    faults.fail_call(2, Fault::NotApplied);
    let orders = ["e-1", "e-2", "e-3"].map(|id| placed(id, "o-1", &[("MUG", 1)]));
    assert_eq!(
        function.deliver_batch(&orders).await.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(),
        ["e-2"]
    );
    assert!(function.deliver(&orders[1]).await);
    assert_eq!(function.handler().views.orders()[&order_id("o-1")].len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_of_arrival_and_any_loss_give_the_same_view(
        shuffled in Just(every_event().into_iter().chain(every_event()).collect::<Vec<_>>()).prop_shuffle(),
        lost in prop::collection::vec((1_u64..40, any::<bool>()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let in_order = function(&Faults::default());
            in_order.deliver_all(&every_event()).await;
            let faults = Faults::default();
            let function = function(&faults);
            for (call, is_applied) in lost {
                faults.fail_call(call, if is_applied { Fault::ReplyLost } else { Fault::NotApplied });
            }
            for event in &shuffled {
                function.deliver_until_acknowledged(event).await;
            }
            prop_assert_eq!(function.handler().views.orders(), in_order.handler().views.orders());
            Ok(())
        })?;
    }
}
