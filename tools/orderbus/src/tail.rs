//! Live events of a bus, through a queue and a rule that exist for as long as somebody watches.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use contracts::{EventType, parse_timestamp};
use domain::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use terminal::Text;
use tokio::time::{MissedTickBehavior, interval};

use crate::account;
use crate::interrupt::{self, Unfinished};
use crate::raw::Members;
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

/// What came from the bus.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// An event in EventBridge's envelope, and the text of the whole as it came.
    Event(Value, String),
    /// The text of one that no reader can hold: with half a character in it, nested too deep, or with a number too large.
    Unreadable(String),
}

impl Delivered {
    fn read(body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(envelope) => Self::Event(envelope, body.to_owned()),
            Err(_) => Self::Unreadable(body.to_owned()),
        }
    }
}

/// Shows events until there were enough of them, `show` breaks off, or a signal comes. Removes what it created, and what others left
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
    mut show: impl FnMut(&Delivered) -> ControlFlow<()>,
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
    // As all of the stack's queues: what is on the bus may name people.
    let create = create.attributes(QueueAttributeName::KmsMasterKeyId, stack.output("KeyArn")?);
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
    show: &mut impl FnMut(&Delivered) -> ControlFlow<()>,
) -> Result<()> {
    let sqs = stack.sdk().sqs();
    let mut shown = 0;
    loop {
        // Less than the three seconds that the client waits for an answer.
        let request =
            sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).wait_time_seconds(2);
        let messages = request.send().await.context("cannot read the queue")?.messages.unwrap_or_default();
        let bodies = messages.iter().map(|message| message.body().unwrap_or_default());
        let mut events: Vec<Delivered> = bodies.map(Delivered::read).collect();
        // A queue has no order; what comes together is shown in the order in which it happened.
        events.sort_by(|one, other| time_of(one).cmp(&time_of(other)));
        for event in &events {
            shown += 1;
            if show(event).is_break() || limit.is_some_and(|limit| shown >= limit) {
                return Ok(());
            }
        }
        for message in messages {
            let delete = sqs.delete_message().queue_url(queue_url).set_receipt_handle(message.receipt_handle);
            delete.send().await.context("cannot delete from the queue")?;
        }
    }
}

fn time_of(delivered: &Delivered) -> Cow<'_, str> {
    match delivered {
        Delivered::Event(envelope, _) => attribute(envelope, "time").unwrap_or_default().into(),
        Delivered::Unreadable(body) => {
            serde_json::from_str(body).map_or_else(|_| "".into(), |outside: Outside| outside.time.into())
        }
    }
}

/// An attribute of an event; EventBridge's own of what is no CloudEvent.
fn attribute<'a>(envelope: &'a Value, name: &str) -> Option<&'a str> {
    let own = envelope["detail"][name].as_str();
    own.or_else(|| envelope[if name == "type" { "detail-type" } else { name }].as_str())
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
pub fn render(delivered: &Delivered, style: Style) -> Text {
    match delivered {
        Delivered::Event(envelope, body) => render_event(envelope, body, style),
        Delivered::Unreadable(body) => render_unreadable(body, style),
    }
}

fn render_event(envelope: &Value, body: &str, style: Style) -> Text {
    // Printed from the text: a `Value` rounds large numbers.
    let came = serde_json::from_str::<&RawValue>(body).map(Members::of).unwrap_or(Members(vec![]));
    let detail = came.get("detail");
    if style.is_json {
        let shown = |detail: &RawValue| match style.shows_personal_data {
            true => contracts::without_members(detail.get(), &[]).map_or_else(String::new, |all| all.text),
            false => without_hidden(detail, READABLE_DEPTH_MAX),
        };
        return Text::new(false).plain(&detail.map_or_else(|| "null".to_owned(), shown));
    }
    let event = &envelope["detail"];
    let text = |name: &str| attribute(envelope, name).unwrap_or("?");
    let mut line = begin(text("time"), text("source"), text("type"), style);
    line = line.plain(" ").painted(1, event["subject"].as_str().unwrap_or("?"));
    let details = account::details(&event["data"]);
    if !details.is_empty() {
        line = line.plain("  ").plain(&details);
    }
    if let Some(replay) = envelope["replay-name"].as_str() {
        line = line.plain("  ").painted(2, &format!("replayed by {replay}"));
    }
    if style.shows_personal_data && !event["data"]["personal"].is_null() {
        let data = detail.map(Members::of).and_then(|detail| Some(Members::of(detail.get("data")?)));
        let personal = data.as_ref().and_then(|data| data.get("personal")).map_or("", RawValue::get);
        let personal = contracts::without_members(personal, &[]).map_or_else(String::new, |all| all.text);
        line = line.next_line().plain(&format!("    {personal}"));
    }
    line
}

/// The columns that every row begins with.
fn begin(time: &str, source: &str, event_type: &str, style: Style) -> Text {
    let time = parse_timestamp(time).map_or_else(|| time.to_owned(), local_time);
    let line = Text::new(style.is_coloured).painted(2, &time).plain("  ");
    line.painted(colour_of(source), &format!("{event_type:<36}"))
}

/// The most of an unreadable event that is shown, in characters.
const UNREADABLE_LENGTH_MAX: usize = 300;
/// How deep it is looked into for what must be hidden. What lies deeper is not shown.
const UNREADABLE_DEPTH_MAX: usize = 16;
/// The same of what can be read, which is never deeper: readers stop at 128.
const READABLE_DEPTH_MAX: usize = 128;

/// What can be read of an envelope whose event cannot be.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Outside {
    #[serde(default)]
    time: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    detail_type: String,
    detail: Box<RawValue>,
}

fn render_unreadable(body: &str, style: Style) -> Text {
    let outside = serde_json::from_str::<Outside>(body).ok();
    let text = match &outside {
        Some(Outside { detail, .. }) if style.shows_personal_data => detail.get().to_owned(),
        Some(Outside { detail, .. }) => without_hidden(detail, UNREADABLE_DEPTH_MAX),
        None if style.shows_personal_data => body.to_owned(),
        None => format!("{} bytes; --personal shows them", body.len()),
    };
    let text = cut(&text);
    let (time, source, event_type) = match &outside {
        Some(Outside { time, source, detail_type, .. }) => {
            (time.as_str(), source.as_str(), detail_type.as_str())
        }
        None => ("?", "?", "?"),
    };
    if style.is_json {
        let row = json!({"time": time, "source": source, "type": event_type, "unreadable": text});
        return Text::new(false).plain(&row.to_string());
    }
    begin(time, source, event_type, style).plain(" ").painted(31, "unreadable").plain("  ").plain(&text)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(UNREADABLE_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// JSON to the letter, with `"hidden"` in the place of what [`is_hidden`] names. `…` stands for what cannot be looked into, such
/// as what lies more than `levels` deep.
fn without_hidden(value: &RawValue, levels: usize) -> String {
    let text = value.get();
    let unseen = || "…".to_owned();
    let Some(levels_below) = levels.checked_sub(1) else {
        return if text.starts_with(['{', '[']) { unseen() } else { text.to_owned() };
    };
    match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).map_or_else(
            |_| unseen(),
            |Members(members)| {
                let member = |(name, value): &(String, Box<RawValue>)| {
                    let value = if is_hidden(name) {
                        "\"hidden\"".to_owned()
                    } else {
                        without_hidden(value, levels_below)
                    };
                    format!("{}:{value}", Value::from(name.as_str()))
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            },
        ),
        Some(b'[') => serde_json::from_str::<Vec<Box<RawValue>>>(text).map_or_else(
            |_| unseen(),
            |items| {
                let items: Vec<String> =
                    items.iter().map(|item| without_hidden(item, levels_below)).collect();
                format!("[{}]", items.join(","))
            },
        ),
        _ => text.to_owned(),
    }
}

/// Whom an event names stands in its part `personal`; and whoever has a checkout's token can answer it.
fn is_hidden(name: &str) -> bool {
    name == "personal" || name == "taskToken"
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
        let render = |style| super::render(&Delivered::read(&envelope().to_string()), style).to_string();
        let line = render(Style::default());
        assert_eq!(line, "12:00:00.010  orders.order-placed.v1               o-1  1 line, 12.50 EUR");
        let json = render(Style { is_json: true, ..Style::default() });
        for hidden in ["Ada Example", "AQCtoken"] {
            assert!(!json.contains(hidden), "{json}");
        }
        let style = Style { shows_personal_data: true, is_coloured: true, is_json: false };
        let line = render(style);
        assert!(line.contains("Ada Example") && line.contains("\u{1b}[36m"), "{line}");
    }

    #[test]
    fn a_program_gets_every_number_as_it_came_on_one_line() {
        let body = r#"{"source":"case","detail-type":"case.noted","time":"2026-01-31T12:00:00Z","detail": {
            "data": {"n": 123456789012345678901234567890, "m": 1.50, "taskToken": "AQCtoken",
                "personal": {"phone": 12345678901234567890123}}}}"#;
        let delivered = Delivered::read(body);
        let row = |shows_personal_data| {
            render(&delivered, Style { is_json: true, shows_personal_data, is_coloured: false }).to_string()
        };
        assert_eq!(
            row(false),
            r#"{"data":{"n":123456789012345678901234567890,"m":1.50,"taskToken":"hidden","personal":"hidden"}}"#
        );
        let all = r#"{"data":{"n":123456789012345678901234567890,"m":1.50,"taskToken":"AQCtoken","personal":{"phone":12345678901234567890123}}}"#;
        assert_eq!(row(true), all);
        let line = render(&delivered, Style { shows_personal_data: true, ..Style::default() }).to_string();
        assert!(line.ends_with(r#"{"phone":12345678901234567890123}"#), "{line}");
    }

    #[test]
    fn what_no_reader_can_hold_has_a_row() {
        let deep = format!("{{\"tree\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        for (detail, shown) in [
            (
                r#"{"note":"cut emoji \ud83d","personal":{"name":"Ada"}}"#,
                r#"unreadable  {"note":"cut emoji \ud83d","personal":"hidden"}"#,
            ),
            (
                r#"{"amount":1e400,"a":{"taskToken":"AQCtoken"}}"#,
                r#"unreadable  {"amount":1e400,"a":{"taskToken":"hidden"}}"#,
            ),
            (r#"{"\ud83d":1,"personal":"Ada"}"#, "unreadable  …"),
            (deep.as_str(), r#"unreadable  {"tree":[[[[["#),
        ] {
            let body = format!(
                r#"{{"source":"case.note","detail-type":"case.note","time":"2026-01-31T12:00:00Z","detail":{detail}}}"#
            );
            let delivered = Delivered::read(&body);
            assert!(matches!(delivered, Delivered::Unreadable(_)), "{detail}");
            let row = render(&delivered, Style::default()).to_string();
            assert!(row.starts_with("12:00:00.000  case.note ") && row.contains(shown), "{row}");
            assert!(!row.contains("Ada") && !row.contains("AQCtoken"), "{row}");
            assert!(row.chars().count() < UNREADABLE_LENGTH_MAX + 80, "{row}");
            let json = render(&delivered, Style { is_json: true, ..Style::default() }).to_string();
            let json: Value = serde_json::from_str(&json).unwrap();
            assert!(json["type"] == "case.note" && json["unreadable"].is_string(), "{json}");
            let all = render(&delivered, Style { shows_personal_data: true, ..Style::default() }).to_string();
            assert_eq!(all.contains("Ada"), detail.contains("Ada"), "{all}");
        }
        let long = Delivered::read(&format!("{{\"name\": \"Ada{}", "\u{1b}".repeat(10_000)));
        assert!(!render(&long, Style::default()).to_string().contains("Ada"));
        let shown = render(&long, Style { shows_personal_data: true, ..Style::default() }).to_string();
        assert!(shown.contains("Ada\\u001b") && shown.len() < 10 * UNREADABLE_LENGTH_MAX, "{shown}");
    }

    #[test]
    fn what_is_no_cloud_event_is_shown_by_the_bus_s_own_attributes() {
        let body = r#"{"source":"case.note","detail-type":"case.noted","time":"2026-01-31T12:00:00Z","detail":{"note":"x"}}"#;
        let line = render(&Delivered::read(body), Style::default()).to_string();
        assert_eq!(line, "12:00:00.000  case.noted                           ?");
    }

    proptest::proptest! {
        #[test]
        fn a_row_is_one_line_and_moves_no_cursor(text: String, number in 0_u32..0xa0, is_json: bool) {
            let hostile = format!("{text}{}\n", char::from_u32(number).unwrap());
            let event = json!({"source": hostile, "detail-type": hostile, "detail": {
                "type": hostile, "subject": hostile, "time": hostile,
                "data": {"status": hostile, "location": hostile, "reasons": [{"message": hostile}]},
            }, "replay-name": hostile});
            for delivered in [Delivered::read(&event.to_string()), Delivered::Unreadable(event.to_string())] {
                let row = render(&delivered, Style { is_json, ..Style::default() }).to_string();
                proptest::prop_assert!(!row.chars().any(char::is_control), "{row:?}");
            }
        }
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
