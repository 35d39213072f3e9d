//! `@name@`: its sample is handled, however often it comes, and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use function_tests::{Function, batch, message};
use @crate@::{@Handler@, NAME};

const SAMPLE: &str = include_str!("../../../events/samples/@name@/@event@.json");

fn sample() -> String {
    let sample: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
    sample["Records"][0]["body"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn its_sample_is_handled_and_so_is_its_redelivery() {
    let function = Function::new(NAME, @Handler@);
    for delivery in ["m-1", "m-2"] {
        assert!(function.consume(batch([message(delivery, &sample(), 1)])).await.is_empty());
    }
    assert!(function.published().is_empty());
    assert!(function.quarantined().is_empty());
}

#[tokio::test]
async fn what_is_no_event_is_set_aside() {
    let function = Function::new(NAME, @Handler@);
    assert!(function.consume(batch([message("m-1", "{ not JSON", 1)])).await.is_empty());
    assert_eq!(function.quarantined(), ["not_json"]);
}
