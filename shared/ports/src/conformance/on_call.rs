use super::ok;
use crate::{Alert, OnCall};

/// The suite of [`OnCall`]. `heard` says whether exactly this alert arrived, and may wait for it.
pub async fn on_call<O: OnCall>(on_call: &O, heard: impl AsyncFn(&Alert) -> bool, unique: &str) {
    // The second is longer than the head of an e-mail may be, and not all of it can stand there.
    for subject in ["Orderbus gave up on a message".to_owned(), format!("ü\n{}", "x".repeat(200))] {
        let line = format!("order-placed gave up on {unique} ü; type: cargo orderbus dlq show {unique}");
        let alert = Alert { subject, line };
        ok(on_call.alert(&alert).await);
        assert!(heard(&alert).await, "nobody heard it");
    }
}
