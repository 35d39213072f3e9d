//! Live events of a bus, through a queue and a rule that exist for as long as somebody watches.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use contracts::{EventType, parse_timestamp};
use domain::Timestamp;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::account;
use crate::interrupt::{self, Unfinished};
use crate::stack::Stack;

/// What the names of the queues and rules begin with.
pub const PREFIX: &str = "orderbus-tail-";
/// How often one that is watched says so, and after how long a silent one is taken for left over.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
const SILENT_S: i64 = 300;
/// A queue that is created under a name that was deleted a minute ago is refused; names are therefore never used twice.
const TARGET: &str = "tail";
const TAG: &str = "orderbus-tail";

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `orders.order-placed.v1`, `orders.order-placed` for every version of it, or `orders.*` with wildcards.
    pub event_type: Option<String>,
    /// The context, such as `orders`.
    pub source: Option<String>,
    /// The order or whatever else it is about.
    pub subject: Option<String>,
}

impl Filter {
    /// As a rule says it.
    #[must_use]
    pub fn pattern(&self) -> Value {
        // A pattern has at least one field; every event has a source.
        let source = self.source.as_ref().map_or_else(|| json!({"prefix": ""}), |source| json!(source));
        let mut pattern = json!({"source": [source]});
        if let Some(event_type) = &self.event_type {
            pattern["detail-type"] = match event_type {
                wildcard if wildcard.contains('*') => json!([{"wildcard": wildcard}]),
                exact if has_version(exact) => json!([exact]),
                name => json!([{"prefix": format!("{name}.v")}]),
            };
        }
        if let Some(subject) = &self.subject {
            pattern["detail"] = json!({"subject": [subject]});
        }
        pattern
    }

    /// Why nothing can come of it: a type that nobody publishes.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let wanted = self.event_type.as_ref().filter(|wanted| !wanted.contains('*'))?;
        let is_known = EventType::ALL.iter().map(|one| one.as_str()).any(|known| {
            known == wanted || (!has_version(wanted) && known.starts_with(&format!("{wanted}.v")))
        });
        (!is_known).then(|| format!("{wanted} is not in the catalogue"))
    }
}

fn has_version(event_type: &str) -> bool {
    event_type.rsplit_once(".v").is_some_and(|(_, version)| version.parse::<u32>().is_ok())
}

/// How events are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Every event as one line of JSON.
    pub is_json: bool,
    /// Whom events name, and the tokens that answer a checkout.
    pub shows_personal_data: bool,
    /// For terminals.
    pub is_coloured: bool,
}

/// Shows events until there were enough of them, or until a signal comes. Removes what it created, and what others left
/// behind that did not come to it.
///
/// # Errors
/// When AWS refuses something.
pub async fn watch(
    stack: &Stack,
    filter: &Filter,
    limit: Option<usize>,
    now: impl Fn() -> Timestamp,
    started: impl FnOnce(),
    mut show: impl FnMut(&Value),
) -> Result<()> {
    let unfinished = Unfinished::begin();
    let bus_name = stack.output("BusName")?;
    remove_left_overs(stack, bus_name, now()).await?;
    let name = format!("{PREFIX}{}-{}", now().unix_ms(), std::process::id());
    let outcome = match create(stack, bus_name, &name, filter, now()).await {
        Ok(queue_url) => {
            started();
            let receiving = receive(stack, &queue_url, limit, &mut show);
            let living = keep_alive(stack, bus_name, &name, filter, &now);
            tokio::select! {
                received = receiving => received,
                lived = living => lived,
                () = interrupt::requested() => Ok(()),
            }
        }
        Err(error) => Err(error),
    };
    let removed = remove(stack, bus_name, &name).await;
    drop(unfinished);
    outcome.and(removed)
}

async fn create(
    stack: &Stack,
    bus_name: &str,
    name: &str,
    filter: &Filter,
    now: Timestamp,
) -> Result<String> {
    let (sqs, events) = (stack.sdk().sqs(), stack.sdk().eventbridge());
    let create = sqs.create_queue().queue_name(name).tags(TAG, bus_name);
    let create = create.attributes(QueueAttributeName::MessageRetentionPeriod, "300");
    let create = create.attributes(QueueAttributeName::SqsManagedSseEnabled, "true");
    let created = create.send().await.context("cannot create a queue")?;
    let queue_url = created.queue_url.context("a queue without an address")?;
    let asked =
        sqs.get_queue_attributes().queue_url(&queue_url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = asked.send().await.context("cannot look at the queue")?.attributes.unwrap_or_default();
    let queue_arn = attributes.get(&QueueAttributeName::QueueArn).context("a queue without a name")?;

    let rule_arn = sign_of_life(stack, bus_name, name, filter, now).await?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }]});
    let allow = sqs.set_queue_attributes().queue_url(&queue_url);
    let allow = allow.attributes(QueueAttributeName::Policy, policy.to_string());
    allow.send().await.context("cannot let the bus write to the queue")?;
    let target = Target::builder().id(TARGET).arn(queue_arn).build().context("unwritable target")?;
    let put = events.put_targets().event_bus_name(bus_name).rule(name).targets(target);
    put.send().await.context("cannot lead the rule to the queue")?;
    Ok(queue_url)
}

/// Writes the time into the rule, which begins with this. Returns the rule's full name.
async fn sign_of_life(
    stack: &Stack,
    bus_name: &str,
    name: &str,
    filter: &Filter,
    now: Timestamp,
) -> Result<String> {
    let description = format!("{DESCRIPTION}{}", now.unix_ms() / 1_000);
    let rule = stack.sdk().eventbridge().put_rule().name(name).event_bus_name(bus_name);
    let rule = rule.event_pattern(filter.pattern().to_string()).description(description);
    let answer = rule.send().await.context("cannot create a rule")?;
    answer.rule_arn.context("a rule without a name")
}

const DESCRIPTION: &str = "Somebody watches the bus; alive at ";

async fn keep_alive(
    stack: &Stack,
    bus_name: &str,
    name: &str,
    filter: &Filter,
    now: &impl Fn() -> Timestamp,
) -> Result<()> {
    let mut ticks = interval(SIGN_OF_LIFE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        sign_of_life(stack, bus_name, name, filter, now()).await?;
    }
}

async fn receive(
    stack: &Stack,
    queue_url: &str,
    limit: Option<usize>,
    show: &mut impl FnMut(&Value),
) -> Result<()> {
    let sqs = stack.sdk().sqs();
    let mut shown = 0;
    loop {
        // Less than the three seconds that the client waits for an answer.
        let request =
            sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).wait_time_seconds(2);
        let messages = request.send().await.context("cannot read the queue")?.messages.unwrap_or_default();
        let mut events: Vec<Value> =
            messages.iter().filter_map(|message| serde_json::from_str(message.body()?).ok()).collect();
        // A queue has no order; what comes together is shown in the order in which it happened.
        events.sort_by(|one, other| time_of(one).cmp(time_of(other)));
        for event in &events {
            show(event);
            shown += 1;
            if limit.is_some_and(|limit| shown >= limit) {
                return Ok(());
            }
        }
        for message in messages {
            let delete = sqs.delete_message().queue_url(queue_url).set_receipt_handle(message.receipt_handle);
            delete.send().await.context("cannot delete from the queue")?;
        }
    }
}

fn time_of(envelope: &Value) -> &str {
    envelope["detail"]["time"].as_str().unwrap_or_default()
}

/// Whatever of it there is.
async fn remove(stack: &Stack, bus_name: &str, name: &str) -> Result<()> {
    let (sqs, events) = (stack.sdk().sqs(), stack.sdk().eventbridge());
    let untie = events.remove_targets().event_bus_name(bus_name).rule(name).ids(TARGET).send().await;
    if let Err(error) = untie
        && !error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception())
    {
        return Err(error).with_context(|| format!("cannot remove the target of the rule {name}"));
    }
    // A rule that is not there is no error.
    let delete = events.delete_rule().event_bus_name(bus_name).name(name).send().await;
    delete.with_context(|| format!("cannot remove the rule {name}"))?;
    let found = sqs.list_queues().queue_name_prefix(name).send().await.context("cannot look for queues")?;
    for url in found.queue_urls() {
        let delete = sqs.delete_queue().queue_url(url).send().await;
        delete.with_context(|| format!("cannot remove the queue {name}"))?;
    }
    Ok(())
}

/// What a crash left behind: rules of this bus that have been silent for minutes, and their queues; and queues that never
/// came to a rule.
async fn remove_left_overs(stack: &Stack, bus_name: &str, now: Timestamp) -> Result<()> {
    let (sqs, events) = (stack.sdk().sqs(), stack.sdk().eventbridge());
    let listed = events.list_rules().event_bus_name(bus_name).name_prefix(PREFIX).send().await;
    let mut alive = Vec::new();
    for rule in listed.context("cannot list the rules")?.rules() {
        let name = rule.name().unwrap_or_default();
        if is_silent(rule.description().unwrap_or_default(), now) {
            remove(stack, bus_name, name).await?;
        } else {
            alive.push(name.to_owned());
        }
    }
    let queues =
        sqs.list_queues().queue_name_prefix(PREFIX).send().await.context("cannot look for queues")?;
    for url in queues.queue_urls() {
        let name = url.rsplit('/').next().unwrap_or_default();
        if alive.iter().any(|alive| alive == name) || !is_old(name, now) {
            continue;
        }
        // Queues belong to the account: another bus's are that bus's.
        let tags = sqs.list_queue_tags().queue_url(url).send().await;
        let tags = tags.with_context(|| format!("cannot look at the queue {name}"))?.tags.unwrap_or_default();
        if tags.get(TAG).is_some_and(|bus| bus == bus_name) {
            let delete = sqs.delete_queue().queue_url(url).send().await;
            delete.with_context(|| format!("cannot remove the queue {name}"))?;
        }
    }
    Ok(())
}

fn is_silent(description: &str, now: Timestamp) -> bool {
    let alive_at = description.strip_prefix(DESCRIPTION).and_then(|seconds| seconds.parse::<i64>().ok());
    alive_at.is_none_or(|alive_at| now.unix_ms() / 1_000 - alive_at > SILENT_S)
}

fn is_old(name: &str, now: Timestamp) -> bool {
    let created = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<i64>().ok());
    created.is_some_and(|created| (now.unix_ms() - created) / 1_000 > SILENT_S)
}

/// One event, for people or for programs.
#[must_use]
pub fn render(envelope: &Value, style: Style) -> String {
    let mut event = envelope["detail"].clone();
    if !style.shows_personal_data {
        hide(&mut event);
    }
    if style.is_json {
        return event.to_string();
    }
    let text = |name: &str| event[name].as_str().unwrap_or("?");
    let time = parse_timestamp(text("time")).map_or_else(|| text("time").to_owned(), local_time);
    let source = text("source");
    let paint = |colour: u8, text: &str| {
        if style.is_coloured { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let padded = format!("{:<36}", text("type"));
    let mut line = format!("{}  {}", paint(2, &time), paint(colour_of(source), &padded));
    // Writing to a String cannot fail.
    write!(line, " {}  {}", paint(1, text("subject")), account::details(&event["data"])).ok();
    if let Some(replay) = envelope["replay-name"].as_str() {
        write!(line, "  {}", paint(2, &format!("replayed by {replay}"))).ok();
    }
    let mut line = line.trim_end().to_owned();
    if style.shows_personal_data && !event["data"]["personal"].is_null() {
        write!(line, "\n    {}", event["data"]["personal"]).ok();
    }
    line
}

/// Whom an event names stands in its part `personal`; and whoever has a checkout's token can answer it.
fn hide(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == "personal" || name == "taskToken" {
                    *value = "hidden".into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(hide),
        _ => {}
    }
}

/// Hours to milliseconds, in UTC like every time of an event.
fn local_time(at: Timestamp) -> String {
    let ms = at.unix_ms().rem_euclid(86_400_000);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

fn colour_of(source: &str) -> u8 {
    match source {
        "orders" => 36,
        "inventory" => 33,
        "payments" => 32,
        "shipping" => 35,
        "ops" => 31,
        _ => 34,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Pattern;

    fn filter(event_type: Option<&str>, source: Option<&str>, subject: Option<&str>) -> Filter {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Filter { event_type: owned(event_type), source: owned(source), subject: owned(subject) }
    }

    fn envelope() -> Value {
        json!({"source": "orders", "detail-type": "orders.order-placed.v1", "detail": {
            "type": "orders.order-placed.v1", "source": "orders", "subject": "o-1", "id": "e-1",
            "time": "2026-01-31T12:00:00.010Z",
            "data": {"orderId": "o-1", "taskToken": "AQCtoken", "lines": [{"sku": "MUG"}],
                     "total": {"amountMinor": 1250, "currency": "EUR"}, "personal": {"name": "Ada Example"}},
        }})
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        for (filter, lets_through) in [
            (filter(None, None, None), true),
            (filter(Some("orders.order-placed.v1"), None, None), true),
            (filter(Some("orders.order-placed"), None, None), true),
            (filter(Some("orders.order"), None, None), false),
            (filter(Some("orders.*"), None, None), true),
            (filter(Some("*.order-cancelled.v1"), None, None), false),
            (filter(None, Some("payments"), None), false),
            (filter(None, Some("orders"), Some("o-1")), true),
            (filter(None, None, Some("o-2")), false),
        ] {
            let mismatches = Pattern::parse(&filter.pattern()).unwrap().mismatches(&envelope());
            assert_eq!(mismatches.is_empty(), lets_through, "{filter:?}");
        }
    }

    #[test]
    fn a_type_that_nobody_publishes_is_doubted() {
        assert_eq!(filter(Some("orders.order-placed"), None, None).doubt(), None);
        assert_eq!(filter(Some("orders.*"), None, None).doubt(), None);
        assert!(filter(Some("orders.order-lost"), None, None).doubt().is_some());
    }

    #[test]
    fn a_line_names_no_person_and_has_no_colour_unless_told_to() {
        let line = render(&envelope(), Style::default());
        assert_eq!(line, "12:00:00.010  orders.order-placed.v1               o-1  1 line, 12.50 EUR");
        let json = render(&envelope(), Style { is_json: true, ..Style::default() });
        for hidden in ["Ada Example", "AQCtoken"] {
            assert!(!json.contains(hidden), "{json}");
        }
        let style = Style { shows_personal_data: true, is_coloured: true, is_json: false };
        let line = render(&envelope(), style);
        assert!(line.contains("Ada Example") && line.contains("\u{1b}[36m"), "{line}");
    }

    #[test]
    fn what_has_been_silent_for_minutes_is_left_over() {
        let now = Timestamp::from_unix_ms(1_000_000_000);
        assert!(!is_silent(&format!("{DESCRIPTION}{}", 1_000_000 - SILENT_S), now));
        assert!(is_silent(&format!("{DESCRIPTION}{}", 1_000_000 - SILENT_S - 1), now));
        assert!(is_silent("", now));
        assert!(!is_old(&format!("{PREFIX}{}-17", 1_000_000_000 - 1_000), now));
        assert!(is_old(&format!("{PREFIX}{}-17", 1_000_000_000 - 1_000 * (SILENT_S + 1)), now));
        assert!(!is_old("orderbus-tail-of-somebody", now));
    }
}
