//! The reference page of the codes with which events are refused.

use contracts::{Refusal, RefusedBy};

/// The page, by its path in the repository.
pub(crate) const PATH: &str = "docs/refusals.md";

/// Every code, by who refuses.
pub(crate) fn page() -> String {
    let mut page = "# Why an event is refused\n\nMade by `cargo orderbus contracts write` of `shared/contracts/src/refusal.rs`. \
        What is refused changes nothing. A consumer names its reason when it sets a message aside, and `cargo orderbus dlq list` \
        shows it.\n"
        .to_owned();
    for by in RefusedBy::ALL {
        let title = match by {
            RefusedBy::Gateway => "By `POST /events`: the event is not on the bus",
            RefusedBy::Consumer => "By a consumer: the message is in quarantine",
            RefusedBy::Reprocessor => "By dlq-reprocessor, of what was not delivered or not handled",
        };
        page.push_str(&format!("\n## {title}\n\n| Code | What it means | What to do |\n|---|---|---|\n"));
        for refusal in Refusal::ALL.iter().filter(|refusal| refusal.by() == by) {
            let (code, meaning, remedy) = (refusal.code(), refusal.meaning(), refusal.remedy());
            page.push_str(&format!("| `{code}` | {meaning} | {remedy} |\n"));
        }
    }
    page.push_str(
        "\n`POST /events` also refuses what breaks its contract: status 422, and `errors` names each field with a code. A `time` more than a \
         day ahead is `invalid_attribute` there, too; a `producer` in the event is `reserved_attribute`. Nothing of that goes to \
         quarantine. Where EventBridge could not deliver an event, its own code stands in the place of ours \
         (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>).\n",
    );
    page
}
