//! What is told of replays, to people and to programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use aws::ViewsCounted;
use contracts::format_timestamp;
use domain::Timestamp;
use serde_json::{Value, json};

use super::consumers::Consumer;
use super::lake::{Counted, Step};
use super::pattern::Verdict;
use super::{Known, Origin, Preview, Rebuilt, State, Summary};

/// What would be done.
#[must_use]
pub fn plan_text(preview: &Preview) -> String {
    let plan = &preview.plan;
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let origin = match plan.origin {
        Origin::Archive(_) => "EventBridge's archive",
        Origin::Lake => "the lake",
    };
    line(format!("replay {} from {origin}", plan.name));
    line(format!("  from {} to {}", format_timestamp(plan.scope.from), format_timestamp(plan.scope.to)));
    for (what, values) in
        [("types", &plan.scope.types), ("sources", &plan.scope.sources), ("subjects", &plan.scope.subjects)]
    {
        if !values.is_empty() {
            line(format!("  {what} {}", values.join(", ")));
        }
    }
    match &preview.counted {
        Some(counted) => {
            line(String::new());
            line(format!("{:<60}{:>10}", "EVENT TYPE", "EVENTS"));
            for ((_, event_type), count) in &counted.sent {
                line(format!("{event_type:<60}{count:>10}"));
            }
            for ((_, event_type), count) in &counted.left_out {
                line(format!("{event_type:<60}{count:>10}  left out"));
            }
            if counted.of_others > 0 {
                line(format!(
                    "{:<60}{:>10}  left out",
                    "put on the bus by other accounts", counted.of_others
                ));
            }
            line(format!("{:<60}{:>10}", "in all", counted.sent.values().sum::<u64>()));
        }
        None => {
            line("  the lake cannot be read, and EventBridge does not say how many events that is".to_owned())
        }
    }
    line(String::new());
    line(format!("{:<60}{:>10}", "CONSUMER", "EVENTS"));
    for consumer in &plan.hearing {
        let heard = preview.counted.as_ref().map(|counted| heard(consumer, counted));
        let name = if consumer.is_ours {
            consumer.name.clone()
        } else {
            format!("{} (another stack's)", consumer.name)
        };
        line(format!("{name:<60}{:>10}", heard.map_or("?".to_owned(), Heard::text)));
    }
    for consumer in &plan.left_out {
        line(format!("{:<60}{:>10}  left out", consumer.name, 0));
    }
    if !plan.left_out.is_empty() || !plan.types_left_out.is_empty() {
        line(String::new());
        line(
            "Left out, so that nobody is asked again for money that is long paid. If you mean it:".to_owned(),
        );
        line(if plan.is_from_lake() {
            format!("  name the type, such as --type {}", plan.types_left_out.join(" --type "))
        } else {
            "  name the consumer with --rule".to_owned()
        });
    }
    for note in &plan.notes {
        line(format!("Note: {note}"));
    }
    text
}

/// The same, for programs.
#[must_use]
pub fn plan_json(preview: &Preview) -> Value {
    let plan = &preview.plan;
    let types = |counts: &BTreeMap<(String, String), u64>| -> Value {
        let one = |((source, event_type), count): (&(String, String), &u64)| json!({"source": source, "type": event_type, "events": count});
        counts.iter().map(one).collect()
    };
    let consumer = |consumer: &Consumer| {
        let heard = preview.counted.as_ref().map(|counted| heard(consumer, counted));
        json!({
            "name": consumer.name,
            "rule": consumer.rule.name,
            "ruleArn": consumer.rule.arn,
            "isOurs": consumer.is_ours,
            "targets": consumer.rule.targets.iter().map(|target| target.arn.as_str()).collect::<Vec<_>>(),
            "eventsAtLeast": heard.map(|heard| heard.surely),
            "eventsAtMost": heard.map(|heard| heard.surely + heard.perhaps),
        })
    };
    json!({
        "name": plan.name,
        "origin": if plan.is_from_lake() { "lake" } else { "archive" },
        "scope": plan.scope,
        "types": preview.counted.as_ref().map(|counted| types(&counted.sent)),
        "typesLeftOut": preview.counted.as_ref().map(|counted| types(&counted.left_out)),
        "eventsOfOtherAccountsLeftOut": preview.counted.as_ref().map(|counted| counted.of_others),
        "events": preview.counted.as_ref().map(|counted| counted.sent.values().sum::<u64>()),
        "consumers": plan.hearing.iter().map(consumer).collect::<Vec<_>>(),
        "consumersLeftOut": plan.left_out.iter().map(consumer).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

/// How many events a consumer hears.
#[derive(Clone, Copy)]
struct Heard {
    surely: u64,
    perhaps: u64,
}

impl Heard {
    fn text(self) -> String {
        if self.perhaps == 0 {
            self.surely.to_string()
        } else {
            format!("≤ {}", self.surely + self.perhaps)
        }
    }
}

fn heard(consumer: &Consumer, counted: &Counted) -> Heard {
    let mut heard = Heard { surely: 0, perhaps: 0 };
    for ((source, event_type), count) in &counted.sent {
        match consumer.verdict(source, event_type, None) {
            Verdict::Yes => heard.surely += count,
            Verdict::Perhaps => heard.perhaps += count,
            Verdict::No => {}
        }
    }
    heard
}

/// A line on how far it is.
pub(crate) fn step(step: &Step, sent_before: u64, rate: NonZeroU32) -> String {
    let (rows, rows_total) = step.rows;
    let percent = (rows * 100).checked_div(rows_total).unwrap_or(100);
    let sent = step.sent.saturating_sub(sent_before);
    let seconds = step.elapsed.as_secs_f64().max(0.001);
    // How fast it goes through the lake; copies and what is filtered out cost less than what is sent.
    let left = if rows == 0 {
        String::new()
    } else {
        let at_this_pace = seconds * (rows_total - rows.min(rows_total)) as f64 / rows as f64;
        let at_the_rate = (rows_total - rows.min(rows_total)) as f64 / f64::from(rate.get());
        format!(", about {} left", span(Duration::from_secs_f64(at_this_pace.min(at_the_rate).max(0.0))))
    };
    format!("{percent:>3} %  {} sent, {:.0} a second{left}", step.sent, sent as f64 / seconds)
}

/// How long the rest of a span of time takes, when so much of it took so long.
pub(crate) fn estimate(from: Timestamp, to: Timestamp, at: Timestamp, elapsed: Duration) -> String {
    let (done, all) = (at.unix_ms() - from.unix_ms(), to.unix_ms() - from.unix_ms());
    if done <= 0 || all < done {
        return String::new();
    }
    let left = elapsed.as_secs_f64() * (all - done) as f64 / done as f64;
    format!(", {} %, about {} left", done * 100 / all, span(Duration::from_secs_f64(left)))
}

fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=99 => format!("{seconds} s"),
        seconds @ 100..=5_999 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// What was done, on the last line.
#[must_use]
pub fn summary_text(summary: &Summary) -> String {
    let Summary { name, state, .. } = summary;
    let mut text = String::new();
    if let Some(reason) = &summary.reason {
        text.push_str(&format!("EventBridge says: {reason}\n"));
    }
    if summary.refused > 0 {
        text.push_str(&format!(
            "✗ {} events were refused for good: {}\n",
            summary.refused,
            summary.refused_ids.join(", ")
        ));
    }
    let seconds = summary.elapsed.as_secs_f64();
    match (summary.sent, summary.sent_in_this_run) {
        (Some(sent), Some(now)) => {
            let rate = now as f64 / seconds.max(0.001);
            text.push_str(&format!(
                "replay {name} {state}: {sent} events sent, {now} of them in {seconds:.1} s ({rate:.0} a second)\n"
            ));
        }
        _ => text.push_str(&format!("replay {name} {state} in {seconds:.1} s\n")),
    }
    text
}

/// The same, for programs.
#[must_use]
pub fn summary_json(summary: &Summary) -> Value {
    json!({
        "name": summary.name,
        "origin": if summary.is_from_lake { "lake" } else { "archive" },
        "state": summary.state,
        "reason": summary.reason,
        "sent": summary.sent,
        "sentInThisRun": summary.sent_in_this_run,
        "refused": summary.refused,
        "refusedIds": summary.refused_ids,
        "elapsedMs": u64::try_from(summary.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Replays, one a line.
#[must_use]
pub fn listed(known: &[Known]) -> String {
    if known.is_empty() {
        return "no replays\n".to_owned();
    }
    let mut text =
        format!("{:<45}  {:<7}  {:<10}  {:<20}  {:>8}\n", "NAME", "FROM", "STATE", "UP TO", "SENT");
    for one in known {
        let value = known_json(one);
        let cell = |name: &str| value[name].as_str().unwrap_or("-").to_owned();
        let up_to = cell("upTo");
        let name = cell("name");
        // A name that does not fit is of use as a whole alone.
        let line = format!(
            "{name:<45}  {:<7}  {:<10}  {:<20}  {:>8}",
            cell("origin"),
            cell("state"),
            up_to.split('.').next().unwrap_or_default(),
            value["sent"].as_u64().map_or("-".to_owned(), |sent| sent.to_string()),
        );
        writeln!(text, "{}", line.trim_end()).ok();
    }
    text
}

/// The same, for programs.
#[must_use]
pub fn listed_json(known: &[Known]) -> Value {
    known.iter().map(known_json).collect()
}

fn known_json(known: &Known) -> Value {
    let time = |at: Option<Timestamp>| at.map(format_timestamp);
    match known {
        Known::OfArchive(replay) => json!({
            "name": replay.name,
            "origin": "archive",
            "state": replay.state.to_lowercase(),
            "reason": replay.reason,
            "from": time(replay.from),
            "to": time(replay.to),
            "upTo": time(replay.last_replayed),
            "begunAt": time(replay.started_at),
            "endedAt": time(replay.ended_at),
        }),
        Known::OfLake(checkpoint) => json!({
            "name": checkpoint.name,
            "origin": "lake",
            "state": checkpoint.state,
            "from": format_timestamp(checkpoint.scope.from),
            "to": format_timestamp(checkpoint.scope.to),
            "upTo": time(checkpoint.position.as_ref().map(|position| position.time)),
            "begunAt": format_timestamp(checkpoint.begun_at),
            "endedAt": (checkpoint.state != State::Begun).then(|| format_timestamp(checkpoint.written_at)),
            "sent": checkpoint.sent,
            "refused": checkpoint.refused,
            "refusedIds": checkpoint.refused_ids,
        }),
    }
}

/// What became of the read model.
#[must_use]
pub fn rebuilt_text(rebuilt: &Rebuilt) -> String {
    let Rebuilt { before, after, replay } = rebuilt;
    let mut text = summary_text(replay);
    if !rebuilt.is_good() && replay.is_good() {
        text.push_str(
            "✗ there is less than before: look at the logs and the dead letters of order-tracker\n",
        );
    }
    writeln!(
        text,
        "the read model: {} orders and {} facts; before {} and {}",
        after.orders, after.facts, before.orders, before.facts
    )
    .ok();
    text
}

/// The same, for programs.
#[must_use]
pub fn rebuilt_json(rebuilt: &Rebuilt) -> Value {
    let counted = |counted: &ViewsCounted| {
        json!({
            "orders": counted.orders,
            "facts": counted.facts,
            "firstAt": counted.first_at.map(format_timestamp),
        })
    };
    json!({
        "before": counted(&rebuilt.before),
        "after": counted(&rebuilt.after),
        "replay": summary_json(&rebuilt.replay),
        "good": rebuilt.is_good(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::tests::scope;
    use super::super::consumers::tests::all;
    use super::super::{Checkpoint, Plan, Position, RATE};
    use super::*;
    use crate::account::COLUMNS;

    fn preview() -> Preview {
        let count = |event_type: &str, count| {
            ((event_type.split('.').next().unwrap().to_owned(), event_type.to_owned()), count)
        };
        Preview {
            plan: Plan {
                name: "lake-20260131T120000-20260131T130000-0a1b2c3d".to_owned(),
                scope: scope(),
                origin: Origin::Lake,
                hearing: all(),
                left_out: Vec::new(),
                types_left_out: vec!["payments.payment-requested", "payments.refund-requested"],
                notes: vec!["something to know".to_owned()],
                rate: RATE,
            },
            counted: Some(Counted {
                sent: BTreeMap::from([
                    count("orders.order-confirmed.v1", 7),
                    count("orders.cancellation-requested.v1", 1_000_000),
                ]),
                left_out: BTreeMap::from([count("payments.payment-requested.v1", 9)]),
                of_others: 4,
            }),
        }
    }

    #[test]
    fn a_preview_says_what_goes_to_whom_and_what_does_not() {
        let text = plan_text(&preview());
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        let line = |begin: &str| {
            let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("orders.order-confirmed.v1"), "7");
        assert_eq!(line("payments.payment-requested.v1"), "9 left out");
        assert!(
            text.contains("put on the bus by other accounts                                     4  left out")
        );
        assert_eq!(line("order-tracker"), "1000007");
        assert_eq!(line("fraud"), "(another stack's) ≤ 1000007");
        assert_eq!(line("loyalty-Rule-2"), "(another stack's) 7");
        assert_eq!(line("provider-Rule-1"), "(another stack's) 0");
        assert!(text.contains("--type payments.payment-requested --type payments.refund-requested"));
        assert!(text.contains("Note: something to know"));
        let value = plan_json(&preview());
        assert_eq!(value["events"], 1_000_007);
        assert_eq!(value["eventsOfOtherAccountsLeftOut"], 4);
        assert_eq!(value["consumers"][1]["eventsAtLeast"], 0);
        assert_eq!(value["consumers"][1]["eventsAtMost"], 1_000_007);
    }

    #[test]
    fn an_estimate_follows_from_how_far_it_is() {
        let at = |second: i64| Timestamp::from_unix_ms(second * 1_000);
        assert_eq!(estimate(at(0), at(100), at(25), Duration::from_secs(10)), ", 25 %, about 30 s left");
        assert_eq!(estimate(at(0), at(100), at(0), Duration::from_secs(10)), "");
        let line = step(&Step { rows: (500, 1_000), sent: 400, elapsed: Duration::from_secs(10) }, 300, RATE);
        assert_eq!(line, " 50 %  400 sent, 10 a second, about 5 s left");
    }

    #[test]
    fn replays_are_listed_with_how_far_they_are() {
        let mut checkpoint = Checkpoint::begin("lake-1", scope(), Timestamp::from_unix_ms(0));
        checkpoint.sent = 12;
        checkpoint.position = Some(Position {
            time: Timestamp::from_unix_ms(5_000),
            id: "e".to_owned(),
            source: "s".to_owned(),
            event_type: "t".to_owned(),
            origin: None,
        });
        let text = listed(&[Known::OfLake(checkpoint.clone())]);
        let line = text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "lake-1 lake begun 1970-01-01T00:00:05 12");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        checkpoint.state = State::Completed;
        assert_eq!(listed_json(&[Known::OfLake(checkpoint)])[0]["endedAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(listed(&[]), "no replays\n");
    }

    #[test]
    fn a_summary_ends_with_the_figures() {
        let summary = Summary {
            name: "r".to_owned(),
            is_from_lake: true,
            state: "completed".to_owned(),
            reason: None,
            sent: Some(300),
            refused: 1,
            refused_ids: vec!["e-7".to_owned()],
            elapsed: Duration::from_secs(2),
            sent_in_this_run: Some(100),
        };
        assert!(!summary.is_good());
        let text = summary_text(&summary);
        assert!(text.starts_with("✗ 1 events were refused for good: e-7\n"), "{text}");
        assert!(text.ends_with("replay r completed: 300 events sent, 100 of them in 2.0 s (50 a second)\n"));
        let counted = |facts| ViewsCounted { orders: 1, facts, first_at: None };
        let replay = Summary { refused: 0, ..summary };
        let rebuilt = |after| Rebuilt { before: counted(5), after: counted(after), replay: replay.clone() };
        assert!(rebuilt(5).is_good() && rebuilt(6).is_good() && !rebuilt(4).is_good());
        assert!(rebuilt_text(&rebuilt(4)).contains('✗'));
    }
}
