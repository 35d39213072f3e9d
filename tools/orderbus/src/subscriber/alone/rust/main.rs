//! @name@: listens to @type@.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::Deserialize;

/// What the rule delivers.
#[derive(Deserialize)]
struct Delivered {
    detail: CloudEvent,
}

/// An event of Orderbus. `data` is as the catalogue says of its type.
#[derive(Deserialize)]
struct CloudEvent {
    id: String,
    r#type: String,
    subject: String,
    #[serde(rename = "data")]
    _data: serde_json::Value,
}

/// What becomes of one event. It may come again: make its effect idempotent under `event.id`. An error brings it back later,
/// alone.
fn handle(event: &CloudEvent) -> Result<(), Error> {
    // Escaped: others wrote it, and whoever reads the log may do so in a terminal.
    println!("{} {} about {}", event.r#type, event.id.escape_debug(), event.subject.escape_debug());
    Ok(())
}

/// Handles each message on its own and reports those that failed.
async fn respond(batch: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for record in batch.payload.records {
        let body = record.body.unwrap_or_default();
        let handled = match serde_json::from_str::<Delivered>(&body) {
            Ok(delivered) => handle(&delivered.detail),
            Err(error) => Err(error.into()),
        };
        if handled.is_err() {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id.unwrap_or_default();
            // Not the error's text: that may repeat personal data of the event.
            println!("message {} failed", failure.item_identifier);
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(respond)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failures(bodies: [&str; 2]) -> Vec<String> {
        let records = bodies.iter().zip(1..).map(|(body, number)| {
            serde_json::json!({"messageId": format!("m-{number}"), "body": body})
        });
        let batch = serde_json::json!({"Records": records.collect::<Vec<_>>()});
        let batch = LambdaEvent::new(serde_json::from_value(batch).unwrap(), lambda_runtime::Context::default());
        let response = respond(batch).await.unwrap();
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    #[tokio::test]
    async fn a_message_that_is_no_event_fails_alone() {
        let event = include_str!("../tests/event.json");
        assert_eq!(failures(["{ not JSON", event]).await, ["m-1"]);
    }
}
