//! Events that EventBridge set aside encrypted, because it could not use the bus's key.

use contracts::Refusal;
use domain::RedriveReason;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The source under which EventBridge sends them. `PutEvents` takes no source that begins with `aws.`, so no other sender can
/// use it.
const SOURCE: &str = "aws.events";
const DETAIL_TYPE: &str = "Encrypted Events";

#[derive(Deserialize)]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    // Present in every event, whatever is in it.
    #[serde(rename = "detail")]
    _detail: IgnoredAny,
}

/// Why such an event goes to quarantine. `None` for a message that is none.
///
/// EventBridge delivers one to the bus's dead-letter queue, or to that of the target that it was for, when the key is disabled or
/// its policy does not let EventBridge use it
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-dlq.html>). What was published stands in
/// `encrypted-payload`, wrapped by the AWS Encryption SDK. Sent back as it is, it would be another event to a consumer, and the bus
/// refuses its source.
pub(crate) fn reason(body: &str) -> Option<RedriveReason> {
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    let is_encrypted = envelope.source == SOURCE && envelope.detail_type == DETAIL_TYPE;
    is_encrypted.then(|| RedriveReason {
        code: Refusal::EncryptedEvent.code().to_owned(),
        text: "EventBridge could not use the key of the bus, so the event is encrypted; make the key usable, then decrypt the event \
               and publish it as docs/encrypted-events.md says"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// As AWS documents it
    /// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-event-bus-dlq-decrypt.html>).
    fn sample() -> Value {
        json!({
            "version": "0",
            "id": "053afa53-cdd7-285b-e754-b0dfd0ac0bfb",
            "account": "111122223333",
            "time": "2026-02-10T10:22:00Z",
            "region": "eu-central-1",
            "resources": [],
            "source": "aws.events",
            "detail-type": "Encrypted Events",
            "detail": {
                "event-bus-arn": "arn:aws:events:eu-central-1:111122223333:event-bus/orderbus-default",
                "rule-arn": "arn:aws:events:eu-central-1:111122223333:event-bus/orderbus-default/OrderPlacedRule",
                "kms-key-arn": "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555",
                "encrypted-payload": "AgR4qiru/XNwTUyCgRHqP7rbbHn/xpmVeVeRIAd12TDYYVwAawABABRhd3M6ZXZlbnRzOmV2ZW50LWJ1cwB",
            },
        })
    }

    fn code(body: &str) -> Option<String> {
        reason(body).map(|reason| reason.code)
    }

    fn changed(field: &str, value: Value) -> String {
        let mut event = sample();
        event[field] = value;
        event.to_string()
    }

    #[test]
    fn an_encrypted_event_is_known_by_its_source_and_type() {
        assert_eq!(code(&sample().to_string()).as_deref(), Some("encrypted_event"));
        // Whatever is in it: it was published by AWS, and there is nothing else to do with it.
        for detail in [json!(null), json!([]), json!({}), json!({"encrypted-payload": 1})] {
            assert!(code(&changed("detail", detail)).is_some());
        }
        let escaped = sample().to_string().replace("aws.events", "aws\\u002eevents");
        assert!(code(&escaped).is_some());
    }

    #[test]
    fn its_neighbours_are_none() {
        assert_eq!(code(&changed("source", json!("orders"))), None);
        assert_eq!(code(&changed("source", json!("aws.events2"))), None);
        assert_eq!(code(&changed("detail-type", json!("Scheduled Event"))), None);
        assert_eq!(code(&changed("detail-type", json!(["Encrypted Events"]))), None);
        // In an event that anyone may publish.
        let nested =
            json!({"source": "payments", "detail-type": "payments.payment-captured.v1", "detail": sample()});
        assert_eq!(code(&nested.to_string()), None);
        let quoted = Value::String(sample().to_string());
        assert_eq!(code(&quoted.to_string()), None);
        for body in ["", "null", "[]", "{", "Encrypted Events", &sample().to_string()[1..]] {
            assert_eq!(code(body), None, "{body}");
        }
    }
}
