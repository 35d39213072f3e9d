//! Who hears the bus, and the ways to them.

use anyhow::{Context, Result, bail, ensure};
use aws::{BusRule, EventBridgeReplays, ReplayedEvent, Sdk, SqsDirectQueue};
use contracts::EventType;
use ports::PortError;
use serde::Serialize;
use serde_json::value::RawValue;

use super::lake::{Outgoing, Outlet, without_version};
use super::pattern::{Pattern, Verdict};

/// What asks somebody outside for money. A replay must not ask again.
const ASKS_FOR_MONEY: [EventType; 2] = [EventType::PaymentRequested, EventType::RefundRequested];

/// The same, without versions.
pub(crate) fn types_that_ask_for_money() -> Vec<&'static str> {
    ASKS_FOR_MONEY.iter().map(|event_type| without_version(event_type.as_str())).collect()
}

/// A rule of the bus and who is behind it.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// What a person calls it.
    pub name: String,
    /// Whether it belongs to the backbone's own stack.
    pub is_ours: bool,
    /// The rule.
    pub rule: BusRule,
    pattern: Pattern,
}

impl Consumer {
    /// Whether it may hear events of a source and type, from an account where that is known.
    pub(crate) fn verdict(&self, source: &str, event_type: &str, account: Option<&str>) -> Verdict {
        self.pattern.verdict(source, event_type, account)
    }

    /// Whether it is outside and may hear what asks for money.
    pub(crate) fn may_be_asked_for_money(&self) -> bool {
        let hears = |event_type: &EventType| {
            self.verdict(event_type.source(), event_type.as_str(), None) != Verdict::No
        };
        !self.is_ours && ASKS_FOR_MONEY.iter().any(hears)
    }
}

/// Gives rules the names that people use: a target's, where no other rule has one of that name, else the rule's.
pub(crate) fn consumers(rules: Vec<BusRule>, own_rules: &[String]) -> Vec<Consumer> {
    let ids: Vec<String> =
        rules.iter().flat_map(|rule| &rule.targets).map(|target| target.id.clone()).collect();
    let is_unique = |id: &str| ids.iter().filter(|other| *other == id).count() == 1;
    let consumer = |rule: BusRule| {
        let is_ours = own_rules.contains(&rule.name);
        let name = match &rule.targets[..] {
            [target] if is_unique(&target.id) => target.id.clone(),
            _ => rule.name.clone(),
        };
        Consumer { name, is_ours, pattern: Pattern::read(&rule.pattern), rule }
    };
    let mut all: Vec<Consumer> = rules.into_iter().map(consumer).collect();
    all.sort_by(|one, other| (!one.is_ours, &one.name).cmp(&(!other.is_ours, &other.name)));
    all
}

/// The consumers that a person named: by the consumer's name, the rule's, or its ARN.
pub(crate) fn named(consumers: &[Consumer], names: &[String]) -> Result<Vec<Consumer>> {
    let mut chosen: Vec<Consumer> = Vec::new();
    for name in names {
        let is_it =
            |consumer: &&Consumer| [&consumer.name, &consumer.rule.name, &consumer.rule.arn].contains(&name);
        let Some(found) = consumers.iter().find(is_it) else {
            let known: Vec<&str> = consumers.iter().map(|consumer| consumer.name.as_str()).collect();
            bail!("no rule of the bus is called {name}. There are: {}", known.join(", "));
        };
        if chosen.iter().all(|one| one.rule.arn != found.rule.arn) {
            chosen.push(found.clone());
        }
    }
    Ok(chosen)
}

/// What marks an event that is replayed from the lake: the only entry of its `resources`.
pub(crate) fn mark(replay: &str) -> String {
    format!("{}{replay}", lake::REPLAY_RESOURCE)
}

/// Sends events to the bus, and so to everyone.
pub(crate) struct BusOutlet<'a> {
    pub(crate) bus: &'a EventBridgeReplays,
    pub(crate) replay: &'a str,
}

impl Outlet for BusOutlet<'_> {
    async fn routes(&self, _: &Outgoing) -> Result<Vec<usize>, PortError> {
        Ok(vec![0])
    }

    async fn send(&self, events: &[Outgoing]) -> Vec<Result<(), PortError>> {
        let replayed = |event: &Outgoing| ReplayedEvent {
            source: event.source.clone(),
            detail_type: event.event_type.clone(),
            detail: event.detail.clone(),
            // An event's own resources are left out: beside any other, a pattern could not rule the mark out.
            resources: vec![mark(self.replay)],
            time: event.bus_time,
        };
        self.bus.put(&events.iter().map(replayed).collect::<Vec<_>>()).await
    }
}

/// Sends events to the queues behind some rules, in the bus's own envelope, and to nobody else.
pub(crate) struct QueueOutlet<'a> {
    bus: &'a EventBridgeReplays,
    replay: &'a str,
    account: String,
    region: String,
    routes: Vec<Route>,
}

struct Route {
    consumer: Consumer,
    queues: Vec<SqsDirectQueue>,
}

/// An event as EventBridge hands it to a queue
/// (<https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope<'a> {
    version: &'a str,
    id: &'a str,
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: &'a str,
    region: &'a str,
    resources: [String; 1],
    replay_name: &'a str,
    detail: &'a RawValue,
}

impl<'a> QueueOutlet<'a> {
    /// To these consumers.
    ///
    /// # Errors
    /// When one of them is no queue, or gets something else than the event.
    pub(crate) async fn to(
        consumers: &[Consumer],
        sdk: &Sdk,
        bus: &'a EventBridgeReplays,
        replay: &'a str,
    ) -> Result<Self> {
        let mut routes = Vec::new();
        for consumer in consumers {
            let mut queues = Vec::new();
            ensure!(!consumer.rule.targets.is_empty(), "nobody is behind rule {}", consumer.rule.name);
            for target in &consumer.rule.targets {
                let is_plain_queue = service(&target.arn) == "sqs" && target.takes_it_as_it_is;
                ensure!(
                    is_plain_queue,
                    "{} cannot be replayed to from the lake: behind its rule is no queue that takes events as they \
                     are, and the bus itself cannot be told to send to one rule alone. Leave out --rule, or \
                     --from-lake",
                    consumer.name
                );
                let queue = SqsDirectQueue::of_arn(sdk.sqs(), &target.arn).await;
                queues.push(queue.with_context(|| format!("the queue of {}", consumer.name))?);
            }
            routes.push(Route { consumer: consumer.clone(), queues });
        }
        let mut parts = bus.bus_arn().split(':').skip(3);
        let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok(Self { bus, replay, account: account.to_owned(), region: region.to_owned(), routes })
    }

    /// How many messages wait in all the queues.
    pub(crate) async fn depth(&self) -> Result<u64, PortError> {
        let mut depth = 0;
        for queue in self.routes.iter().flat_map(|route| &route.queues) {
            depth += queue.depth().await?;
        }
        Ok(depth)
    }

    /// Another account's event stays one: a consumer is to believe it no more than the first time.
    fn account<'e>(&'e self, event: &'e Outgoing) -> &'e str {
        event.account.as_deref().unwrap_or(&self.account)
    }

    fn envelope(&self, event: &Outgoing) -> Result<String, serde_json::Error> {
        let time = contracts::format_timestamp(event.bus_time);
        serde_json::to_string(&Envelope {
            version: "0",
            id: &event.bus_id,
            detail_type: &event.event_type,
            source: &event.source,
            account: self.account(event),
            // EventBridge writes seconds.
            time: &format!("{}Z", time.split('.').next().unwrap_or_default()),
            region: &self.region,
            resources: [mark(self.replay)],
            replay_name: self.replay,
            detail: serde_json::from_str(&event.detail)?,
        })
    }
}

impl Outlet for QueueOutlet<'_> {
    async fn routes(&self, event: &Outgoing) -> Result<Vec<usize>, PortError> {
        let mut routes = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let account = Some(self.account(event));
            let hears = match route.consumer.verdict(&event.source, &event.event_type, account) {
                Verdict::Yes => true,
                Verdict::No => false,
                Verdict::Perhaps => {
                    let envelope = self.envelope(event);
                    let envelope = envelope.map_err(|error| PortError::permanent("read the event", error))?;
                    self.bus.matches(route.consumer.pattern.text(), &envelope).await?
                }
            };
            if hears {
                routes.push(index);
            }
        }
        Ok(routes)
    }

    async fn send(&self, events: &[Outgoing]) -> Vec<Result<(), PortError>> {
        let mut results: Vec<Result<(), PortError>> = events.iter().map(|_| Ok(())).collect();
        for (number, route) in self.routes.iter().enumerate() {
            let (mut indexes, mut bodies) = (Vec::new(), Vec::new());
            for (index, event) in events.iter().enumerate() {
                if event.routes.contains(&number) {
                    match self.envelope(event) {
                        Ok(body) => {
                            indexes.push(index);
                            bodies.push(body);
                        }
                        Err(error) => results[index] = Err(PortError::permanent("read the event", error)),
                    }
                }
            }
            for queue in &route.queues {
                for (index, result) in indexes.iter().zip(queue.send(&bodies).await) {
                    if result.is_err() {
                        results[*index] = result;
                    }
                }
            }
        }
        results
    }
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use aws::RuleTarget;

    use super::*;

    pub(crate) fn rule(name: &str, target: &str, pattern: &str) -> BusRule {
        BusRule {
            name: name.to_owned(),
            arn: format!("arn:aws:events:us-east-1:000000000000:rule/orderbus-local/{name}"),
            pattern: pattern.to_owned(),
            targets: vec![RuleTarget {
                id: target.to_owned(),
                arn: format!("arn:aws:sqs:us-east-1:000000000000:{target}"),
                takes_it_as_it_is: true,
            }],
        }
    }

    pub(crate) fn all() -> Vec<Consumer> {
        let rules = vec![
            rule("provider-Rule-1", "queue", r#"{"detail-type":["payments.payment-requested.v1"]}"#),
            rule("loyalty-Rule-2", "queue", r#"{"detail-type":["orders.order-confirmed.v1"]}"#),
            rule("fraud-Rule-3", "fraud", r#"{"detail":{"subject":[{"exists":true}]}}"#),
            rule("orderbus-local-OrderTrackerRule-4", "order-tracker", r#"{"source":[{"prefix":""}]}"#),
        ];
        consumers(rules, &["orderbus-local-OrderTrackerRule-4".to_owned()])
    }

    #[test]
    fn a_consumer_is_called_as_its_target_unless_others_are_too() {
        let names: Vec<_> = all().iter().map(|consumer| (consumer.name.clone(), consumer.is_ours)).collect();
        let expected = [
            ("order-tracker", true),
            ("fraud", false),
            ("loyalty-Rule-2", false),
            ("provider-Rule-1", false),
        ];
        assert_eq!(names, expected.map(|(name, is_ours)| (name.to_owned(), is_ours)));
    }

    #[test]
    fn whoever_is_outside_and_may_hear_of_payments_may_be_asked_for_money() {
        let asked: Vec<String> = all()
            .into_iter()
            .filter(Consumer::may_be_asked_for_money)
            .map(|consumer| consumer.name)
            .collect();
        assert_eq!(asked, ["fraud", "provider-Rule-1"]);
    }

    #[test]
    fn a_rule_is_found_by_each_of_its_names() {
        let all = all();
        let name = |name: &str| named(&all, &[name.to_owned()]).map(|found| found[0].name.clone());
        assert_eq!(name("fraud").unwrap(), "fraud");
        assert_eq!(name("fraud-Rule-3").unwrap(), "fraud");
        assert_eq!(name(&all[0].rule.arn).unwrap(), "order-tracker");
        let twice = named(&all, &["fraud".to_owned(), "fraud-Rule-3".to_owned()]).unwrap();
        assert_eq!(twice.len(), 1);
        let problem = name("nobody").unwrap_err().to_string();
        assert!(problem.contains("order-tracker, fraud"), "{problem}");
    }
}
