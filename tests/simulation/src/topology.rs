use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use memory::QueueSettings;
use serde_json::Value;

use crate::invariants::OrderEvents;
use crate::workload::Way;

/// Where the bus leads: read from the templates, so that what is simulated is what is deployed.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Every rule.
    pub rules: Vec<Rule>,
    /// Every queue, by the logical id that the template gives it.
    pub queues: BTreeMap<String, QueueSettings>,
    /// How the functions are handed the messages of a queue, by the queue's logical id.
    pub batches: BTreeMap<String, Batch>,
    /// What accounts other than the bus's own may put on it.
    policies: Vec<Policy>,
    /// What happens when nothing goes wrong follows from all this: the events of orders that were looked at, by id and way.
    pub(crate) undisturbed: Arc<Mutex<Undisturbed>>,
}

/// The events of orders by their ids and ways.
pub(crate) type Undisturbed = HashMap<(String, Way), Arc<OrderEvents>>;

/// What the accounts that a parameter of the template names may put on the bus.
#[derive(Debug, Clone)]
struct Policy {
    parameter: String,
    sources: Vec<String>,
    detail_types: Vec<String>,
}

/// How a function is handed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// At most so many at once.
    pub messages_max: usize,
    /// For so long fewer are waited with.
    pub window_ms: i64,
}

/// One rule of the bus.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its logical id.
    pub name: String,
    /// What it lets through.
    pattern: Value,
    /// Where it leads.
    pub target: Target,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The queue of this logical id.
    Queue(String),
    /// The state machine.
    Checkout,
}

impl Topology {
    /// The order process and the payment provider beside it.
    ///
    /// # Panics
    /// When a template says something that is not understood here: the simulation would not be of what is deployed.
    #[must_use]
    pub fn of_the_templates() -> Self {
        let (queues, batches) = (BTreeMap::new(), BTreeMap::new());
        let policies = vec![];
        let mut topology = Self { rules: vec![], queues, batches, policies, undisturbed: Arc::default() };
        topology.add(&template_tests::template("template.yaml"), "");
        topology.add(&template_tests::template("examples/payment-provider/template.yaml"), "PaymentProvider");
        topology
    }

    /// The targets of an event, by the rules' places in [`Topology::rules`].
    #[must_use]
    pub fn targets_of(&self, source: &str, detail_type: &str) -> Vec<usize> {
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(source, detail_type));
        matching.map(|(index, _)| index).collect()
    }

    /// Whether the bus policy lets an account that this parameter names put such an event on the bus.
    #[must_use]
    pub fn lets_in(&self, parameter: &str, source: &str, detail_type: &str) -> bool {
        let mut policies = self.policies.iter().filter(|policy| policy.parameter == parameter);
        policies.any(|policy| {
            policy.sources.iter().any(|allowed| allowed == source)
                && (policy.detail_types.is_empty()
                    || policy.detail_types.iter().any(|allowed| allowed == detail_type))
        })
    }

    fn add(&mut self, template: &Value, prefix: &str) {
        let resources = template["Resources"].as_object().into_iter().flatten();
        let beside: Vec<String> =
            template_tests::subscribers().iter().map(|name| template_tests::logical_id(name)).collect();
        // What subscribes beside the order process has no part in it.
        let is_part = |name: &str| {
            !beside.iter().any(|id| {
                name.strip_prefix(id.as_str())
                    .is_some_and(|part| ["Rule", "Queue", "DeadLetterQueue"].contains(&part))
            })
        };
        for (name, resource) in resources.filter(|(name, _)| is_part(name)) {
            let (name, properties) = (format!("{prefix}{name}"), &resource["Properties"]);
            match resource["Type"].as_str() {
                Some("AWS::Events::Rule") => self.rules.push(rule(name, properties, prefix)),
                Some("AWS::Events::EventBusPolicy") => self.policies.extend(policy(&name, properties)),
                Some("AWS::SQS::Queue") => {
                    self.queues.insert(name, queue(template, properties, prefix));
                }
                Some("AWS::Serverless::Function") => {
                    let sources = properties["Events"].as_object().into_iter().flatten();
                    let sources = sources.map(|(_, source)| &source["Properties"]);
                    self.batches.extend(sources.filter_map(|source| batch(template, source, prefix)));
                }
                _ => {}
            }
        }
    }
}

impl Rule {
    fn matches(&self, source: &str, detail_type: &str) -> bool {
        let field = |name: &str| match name {
            "source" => source,
            "detail-type" => detail_type,
            _ => not_understood(&self.name, &self.pattern),
        };
        // The archiver's rule leaves out what is replayed. It is delivered here all the same: the archiver knows it itself.
        let fields =
            self.pattern.as_object().into_iter().flatten().filter(|(name, _)| *name != "replay-name");
        fields.into_iter().all(|(name, allowed)| {
            let allowed = allowed.as_array().map(Vec::as_slice).unwrap_or_default();
            allowed.iter().any(|allowed| self.allows(allowed, field(name)))
        })
    }

    fn allows(&self, allowed: &Value, value: &str) -> bool {
        match (allowed, &allowed["prefix"]) {
            (Value::String(allowed), _) => allowed == value,
            (_, Value::String(prefix)) => value.starts_with(prefix.as_str()),
            _ => not_understood(&self.name, allowed),
        }
    }
}

fn rule(name: String, properties: &Value, prefix: &str) -> Rule {
    let targets = properties["Targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [target] = targets else { not_understood(&name, &properties["Targets"]) };
    let target = match (&target["Arn"]["GetAtt"], &target["Arn"]["Ref"]) {
        (Value::String(attribute), _) => match attribute.strip_suffix(".Arn") {
            Some(queue) => Target::Queue(format!("{prefix}{queue}")),
            None => not_understood(&name, target),
        },
        (_, Value::String(checkout)) if checkout == "Checkout" => Target::Checkout,
        _ => not_understood(&name, target),
    };
    Rule { name, pattern: properties["EventPattern"].clone(), target }
}

/// What a policy of the bus says of putting events, when it does.
fn policy(name: &str, properties: &Value) -> Option<Policy> {
    let statement = &properties["Statement"];
    if statement["Action"] != "events:PutEvents" {
        return None;
    }
    let Some(parameter) = statement["Principal"]["AWS"]["Ref"].as_str() else {
        not_understood(name, &statement["Principal"])
    };
    let conditions = statement["Condition"].as_object().into_iter().flatten();
    let (mut sources, mut detail_types) = (vec![], vec![]);
    for (operator, keys) in conditions {
        for (key, allowed) in keys.as_object().into_iter().flatten() {
            if operator == "Null" {
                // That the key is there.
                continue;
            }
            let texts: Vec<String> = match allowed {
                Value::String(text) => vec![text.clone()],
                Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => not_understood(name, allowed),
            };
            match (operator.as_str(), key.as_str()) {
                ("StringEquals" | "ForAllValues:StringEquals", "events:source") => sources = texts,
                ("StringEquals" | "ForAllValues:StringEquals", "events:detail-type") => detail_types = texts,
                _ => not_understood(name, keys),
            }
        }
    }
    Some(Policy { parameter: parameter.to_owned(), sources, detail_types })
}

/// The batches of an event source that is a queue.
fn batch(template: &Value, source: &Value, prefix: &str) -> Option<(String, Batch)> {
    let queue = source["Queue"]["GetAtt"].as_str()?.strip_suffix(".Arn")?;
    let number = |name: &str, default: u64| match &source[name] {
        Value::Null => default,
        value => {
            let parameter = value["Ref"].as_str().map(|name| &template["Parameters"][name]["Default"]);
            let number = parameter.unwrap_or(value).as_u64();
            number.unwrap_or_else(|| not_understood(name, value))
        }
    };
    let messages_max = usize::try_from(number("BatchSize", 10)).unwrap_or(usize::MAX);
    let window_s = i64::try_from(number("MaximumBatchingWindowInSeconds", 0)).unwrap_or(i64::MAX);
    Some((format!("{prefix}{queue}"), Batch { messages_max, window_ms: window_s.saturating_mul(1_000) }))
}

fn queue(template: &Value, properties: &Value, prefix: &str) -> QueueSettings {
    let seconds = |name: &str, default: u32| match &properties[name] {
        Value::Null => default,
        Value::Number(number) => u32::try_from(number.as_u64().unwrap_or_default()).unwrap_or_default(),
        // The pace of every deployment but those of tests.
        other => match template["Mappings"]["Pace"]["standard"][other["FindInMap"][2].as_str().unwrap_or("")]
            .as_u64()
        {
            Some(number) => u32::try_from(number).unwrap_or_default(),
            None => not_understood(name, other),
        },
    };
    let redrive = &properties["RedrivePolicy"];
    let redrive = redrive["deadLetterTargetArn"]["GetAtt"].as_str().and_then(|arn| {
        let receive_count_max = u32::try_from(redrive["maxReceiveCount"].as_u64()?).ok()?;
        Some((format!("{prefix}{}", arn.strip_suffix(".Arn")?), receive_count_max))
    });
    // SQS hides messages for 30 seconds and keeps them for 4 days where nothing is said.
    QueueSettings {
        visibility_s: seconds("VisibilityTimeout", 30),
        retention_s: seconds("MessageRetentionPeriod", 345_600),
        redrive,
    }
}

#[expect(clippy::panic, reason = "a simulation of something else than what is deployed is worse than none")]
fn not_understood(name: &str, value: &Value) -> ! {
    panic!("{name}: the simulation does not understand {value}; teach tests/simulation/src/topology.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_lead_where_the_template_says() {
        let topology = Topology::of_the_templates();
        let targets = |source, detail_type| {
            let mut names: Vec<_> = topology
                .targets_of(source, detail_type)
                .into_iter()
                .map(|index| topology.rules[index].name.as_str())
                .collect();
            names.sort_unstable();
            names
        };
        assert_eq!(
            targets("orders", "orders.order-placed.v1"),
            ["EventArchiverRule", "InventoryUpdaterRule", "OrderPlacedRule", "OrderTrackerRule"]
        );
        assert_eq!(
            targets("payments", "payments.payment-requested.v1"),
            ["EventArchiverRule", "OrderTrackerRule", "PaymentProviderRule"]
        );
        assert_eq!(targets("weather", "weather.rained.v1"), ["EventArchiverRule"]);
    }

    #[test]
    fn the_doors_are_as_the_template_says() {
        let topology = Topology::of_the_templates();
        let lets_in = |parameter, source, detail_type| topology.lets_in(parameter, source, detail_type);
        assert!(lets_in("CarrierAccounts", "shipping", "shipping.parcel-picked-up.v1"));
        assert!(!lets_in("CarrierAccounts", "shipping", "shipping.shipment-departed.v1"));
        assert!(!lets_in("CarrierAccounts", "payments", "payments.payment-captured.v1"));
        assert!(lets_in("PaymentProviderAccounts", "payments", "payments.payment-captured.v1"));
        assert!(!lets_in("PaymentProviderAccounts", "payments", "payments.refund-requested.v1"));
        assert!(!lets_in("PaymentProviderAccounts", "shipping", "payments.payment-captured.v1"));
    }

    #[test]
    fn the_queues_are_set_up_as_the_template_says() {
        let topology = Topology::of_the_templates();
        let queue = &topology.queues["OrderPlacedQueue"];
        assert_eq!((queue.visibility_s, queue.retention_s), (180, 604_800));
        assert_eq!(queue.redrive, Some(("OrderPlacedDeadLetterQueue".to_owned(), 12)));
        let batch = |queue: &str| {
            let Batch { messages_max, window_ms } = topology.batches[queue];
            (messages_max, window_ms)
        };
        assert_eq!((batch("OrderPlacedQueue"), batch("PaymentProviderQueue")), ((10, 0), (10, 0)));
        assert_eq!(batch("EventArchiverQueue"), (1_000, 30_000));
        assert!(
            topology
                .queues
                .values()
                .flat_map(|queue| &queue.redrive)
                .all(|(name, _)| topology.queues.contains_key(name))
        );
    }
}
