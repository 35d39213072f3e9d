//! Who hears what: the rules of the deployed bus, and the queues behind them.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use orderbus::stack::Stack;
use serde_json::{Value, json};

/// What the names of the backbone's own resources begin with.
const STACK: &str = "orderbus-local-";
/// What the names of the test's own queues begin with.
pub(crate) const OWN_QUEUES: &str = "chaos-";

/// A function behind a rule and a queue.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    /// Its folder, package and binary.
    pub(crate) name: String,
    pub(crate) queue_url: String,
    pattern: Value,
}

impl Consumer {
    /// Whether its rule matches such an event.
    pub(crate) fn hears(&self, source: &str, detail_type: &str) -> bool {
        let matches = |key: &str, value: &str| {
            let Some(Value::Array(alternatives)) = self.pattern.get(key) else { return true };
            alternatives.iter().any(|alternative| match alternative {
                Value::String(text) => text == value,
                other => other["prefix"].as_str().is_some_and(|prefix| value.starts_with(prefix)),
            })
        };
        matches("source", source) && matches("detail-type", detail_type)
    }
}

/// Every consumer of the backbone, by name.
pub(crate) async fn consumers(stack: &Stack) -> Result<Vec<Consumer>> {
    let (events, bus) = (stack.sdk().eventbridge(), stack.output("BusName")?);
    let queues: HashMap<String, String> =
        queues(stack).await?.into_iter().map(|queue| (queue.name, queue.url)).collect();
    let rules = events.list_rules().event_bus_name(bus).send().await.context("cannot list the rules")?;
    let mut consumers = Vec::new();
    for rule in rules.rules() {
        let name = rule.name().unwrap_or_default();
        let targets = events.list_targets_by_rule().event_bus_name(bus).rule(name).send().await;
        for target in targets.context("cannot list the targets of a rule")?.targets() {
            let queue = target.arn().rsplit(':').next().unwrap_or_default();
            let (Some(name), Some(queue_url)) = (consumer_of(queue), queues.get(queue)) else { continue };
            let pattern = serde_json::from_str(rule.event_pattern().unwrap_or("{}"))?;
            consumers.push(Consumer { name, queue_url: queue_url.clone(), pattern });
        }
    }
    consumers.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(consumers)
}

/// A queue that was deployed: the backbone's, or the payment provider's.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Queue {
    /// Whether it is the backbone's own.
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with(STACK)
    }

    /// Whether messages come here that were given up on.
    pub(crate) fn is_dead_letter(&self) -> bool {
        self.name.contains("DeadLetterQueue") || self.name.contains("UndeliveredQueue")
    }

    /// Whether messages come here that can never be handled.
    pub(crate) fn is_quarantine(&self) -> bool {
        self.name.contains("QuarantineQueue")
    }
}

/// Every queue there is but the test's own.
pub(crate) async fn queues(stack: &Stack) -> Result<Vec<Queue>> {
    let listed = stack.sdk().sqs().list_queues().max_results(1_000).send().await;
    let listed = listed.context("cannot list the queues")?;
    let queues = listed
        .queue_urls()
        .iter()
        .map(|url| Queue { name: url.rsplit('/').next().unwrap_or_default().to_owned(), url: url.clone() });
    Ok(queues.filter(|queue| !queue.name.starts_with(OWN_QUEUES)).collect())
}

/// How many messages are in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    /// Nobody has received them, or they have come back.
    pub(crate) visible: u64,
    /// Somebody is at work on them, or they wait for another delivery.
    pub(crate) not_visible: u64,
    /// They were sent with a delay.
    pub(crate) delayed: u64,
}

impl Depth {
    /// However they are in it.
    pub(crate) fn total(self) -> u64 {
        self.visible + self.not_visible + self.delayed
    }
}

/// Looks how many messages are in a queue.
pub(crate) async fn depth(stack: &Stack, queue_url: &str) -> Result<Depth> {
    use QueueAttributeName::{
        ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed,
        ApproximateNumberOfMessagesNotVisible,
    };
    let names = [
        ApproximateNumberOfMessages,
        ApproximateNumberOfMessagesNotVisible,
        ApproximateNumberOfMessagesDelayed,
    ];
    let request = stack.sdk().sqs().get_queue_attributes().queue_url(queue_url);
    let answer = request.set_attribute_names(Some(names.to_vec())).send().await;
    let attributes = answer.context("cannot read a queue's attributes")?.attributes.unwrap_or_default();
    let [visible, not_visible, delayed] = names.map(|name| {
        let count = attributes.get(&name).with_context(|| format!("{queue_url} has no {name}"))?;
        count.parse().with_context(|| format!("{name} of {queue_url} is no number"))
    });
    Ok(Depth { visible: visible?, not_visible: not_visible?, delayed: delayed? })
}

/// Makes every queue impatient: a message comes back soon after its function was killed, and is given up on after a few
/// deliveries. So a run of minutes sees what takes hours with the deployed figures, and dead letters are written at all.
pub(crate) async fn hurry(stack: &Stack, visibility_s: u32, deliveries_max: u32) -> Result<()> {
    let sqs = stack.sdk().sqs();
    for queue in queues(stack).await? {
        let names = vec![QueueAttributeName::RedrivePolicy];
        let request = sqs.get_queue_attributes().queue_url(&queue.url).set_attribute_names(Some(names));
        let attributes = request.send().await.context("cannot read a queue's attributes")?.attributes;
        let Some(policy) = attributes.and_then(|mut all| all.remove(&QueueAttributeName::RedrivePolicy))
        else {
            continue;
        };
        let policy: Value = serde_json::from_str(&policy).context("a redrive policy that is not JSON")?;
        let policy = json!({
            "deadLetterTargetArn": policy["deadLetterTargetArn"],
            "maxReceiveCount": deliveries_max,
        });
        sqs.set_queue_attributes()
            .queue_url(&queue.url)
            .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
            .attributes(QueueAttributeName::VisibilityTimeout, visibility_s.to_string())
            .send()
            .await
            .context("cannot set a queue's attributes")?;
    }
    Ok(())
}

/// `orderbus-local-OrderPlacedQueue-1a2b` belongs to `order-placed`.
fn consumer_of(queue: &str) -> Option<String> {
    let logical = queue.strip_prefix(STACK)?.split('-').next()?.strip_suffix("Queue")?;
    let mut name = String::new();
    for character in logical.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_after_its_consumer() {
        assert_eq!(consumer_of("orderbus-local-OrderPlacedQueue-1A2B").as_deref(), Some("order-placed"));
        assert_eq!(consumer_of("payment-provider-local-Queue-1A2B"), None);
        assert_eq!(consumer_of("chaos-witness"), None);
    }

    #[test]
    fn a_pattern_matches_by_value_by_prefix_and_by_all_of_its_keys() {
        let consumer = |pattern| Consumer { name: String::new(), queue_url: String::new(), pattern };
        let everything = consumer(json!({"source": [{"prefix": ""}]}));
        let orders = consumer(json!({"source": ["orders"], "detail-type": ["a.v1", "b.v1"]}));
        assert!(everything.hears("x", "y"));
        assert!(orders.hears("orders", "b.v1"));
        assert!(!orders.hears("orders", "c.v1") && !orders.hears("x", "a.v1"));
    }
}
