use domain::Attempt;

use super::{BATCH, ok};
use crate::{Quarantine, Quarantined};

/// Large enough that ten of them are more than the 1 MB that one call of SQS may carry.
const LARGE_BYTES: usize = 110_000;

/// The suite of [`Quarantine`]. `kept` says whether exactly this message is kept, and may wait for it.
pub async fn quarantine<Q: Quarantine>(
    quarantine: &Q,
    kept: impl AsyncFn(&Quarantined) -> bool,
    unique: &str,
) {
    assert!(quarantine.put(&[]).await.is_empty(), "nothing to keep, nothing to answer");

    let mut batches: Vec<Vec<Quarantined>> = [1, 10, 11, BATCH]
        .iter()
        .map(|&length| (0..length).map(|index| message(unique, &format!("{length}-{index}"), 0)).collect())
        .collect();
    batches.push((0..12).map(|index| message(unique, &format!("large-{index}"), LARGE_BYTES)).collect());
    for messages in &batches {
        let answers = quarantine.put(messages).await;
        assert_eq!(answers.len(), messages.len(), "as many answers as messages");
        for (message, answer) in messages.iter().zip(answers) {
            ok(answer);
            assert!(kept(message).await, "{} was answered with success and is not there", message.message_id);
        }
    }
}

fn message(unique: &str, name: &str, padding_bytes: usize) -> Quarantined {
    Quarantined {
        consumer: "conformance".to_owned(),
        reason_code: "not_json".to_owned(),
        reason: "the message is not JSON: line 1, column 2".to_owned(),
        message_id: format!("{name}-{unique}"),
        receive_count: 3,
        attempt: Attempt { generation: 0, number: 2 },
        body: format!("{{ not \"JSON\" \\ ü {name} {unique} {}", "x".repeat(padding_bytes)),
    }
}
