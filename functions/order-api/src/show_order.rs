use std::collections::HashMap;

use contracts::{RecordedFact, format_timestamp};
use domain::{FactKind, OrderId, OrderView, Outcome};
use futures_util::future::try_join3;
use ports::{FactPage, OrderViewStore, PortError};
use runtime::{ANSWER_BYTES_MAX, bytes_in_answer, how_many_fit};
use serde_json::{Map, Value, json};

use crate::cursor::{self, Cursor};

/// How many facts from outside are on a page. At the lengths that the schemas allow, and that [`contracts::decode`] holds
/// every sender to, they take less than half a megabyte. Facts that were kept before it did may be longer, so that a page
/// also ends where Lambda's answer is full.
const OUTSIDE_MAX: usize = 100;

/// Where an order stands, as JSON, with its own history and the newest facts from outside. `None` when nothing of our own is
/// known of it: what is said from outside alone makes no order.
pub(crate) async fn show_order(
    views: &impl OrderViewStore,
    order_id: &OrderId,
) -> Result<Option<Value>, PortError> {
    let (own, has_signature, outside) = try_join3(
        views.own_facts(order_id),
        views.has_signature(order_id),
        views.outside_facts(order_id, None, OUTSIDE_MAX),
    )
    .await?;
    if own.is_empty() {
        return Ok(None);
    }
    let around = render(order_id, &own, has_signature, &FactPage::default());
    let bytes_max = ANSWER_BYTES_MAX.saturating_sub(bytes_in_answer(&around.to_string()));
    Ok(Some(render(order_id, &own, has_signature, &fitting(outside, bytes_max))))
}

/// The further facts from outside, as JSON, the newest first.
pub(crate) async fn show_more(
    views: &impl OrderViewStore,
    order_id: &OrderId,
    Cursor(after): &Cursor,
) -> Result<Value, PortError> {
    let page = views.outside_facts(order_id, Some(after), OUTSIDE_MAX).await?;
    let page = fitting(page, ANSWER_BYTES_MAX);
    let mut body = json!({
        "orderId": order_id.as_str(),
        "history": page.facts.iter().map(entry).collect::<Vec<_>>(),
    });
    add_next(&mut body, order_id, &page);
    Ok(body)
}

/// As much of a page as an answer has room for.
fn fitting(page: FactPage, bytes_max: usize) -> FactPage {
    let entries = page.facts.iter().map(|fact| entry(fact).to_string());
    let count = how_many_fit(entries, bytes_max);
    page.shortened_to(count)
}

fn render(order_id: &OrderId, own: &[RecordedFact], has_signature: bool, outside: &FactPage) -> Value {
    let mut view = OrderView::default();
    own.iter().chain(&outside.facts).for_each(|recorded| view.add(recorded.fact.clone()));
    if has_signature {
        view.note_signature();
    }
    let recorded: HashMap<_, _> =
        own.iter().chain(&outside.facts).map(|fact| (&fact.fact.identity, fact)).collect();
    let history: Vec<&RecordedFact> =
        view.history().iter().filter_map(|fact| recorded.get(&fact.identity).copied()).collect();
    let mut body = json!({
        "orderId": order_id.as_str(),
        "status": view.status().as_str(),
        "outcome": view.outcome().map(Outcome::as_str),
        "reasons": reasons(view.outcome(), own),
        "history": history.iter().map(|fact| entry(fact)).collect::<Vec<_>>(),
    });
    if let Some(placed) = own.iter().find(|fact| fact.fact.kind == FactKind::Placed) {
        for name in ["customerId", "lines", "total"] {
            body[name] = placed.details[name].clone();
        }
    }
    add_next(&mut body, order_id, outside);
    body
}

/// Where the facts from outside go on, as `GET /lake/events` says it.
fn add_next(body: &mut Value, order_id: &OrderId, page: &FactPage) {
    let cursor = page.next.as_ref().map(|place| cursor::write(order_id, place));
    let link = cursor.as_ref().map(|cursor| format!("/orders/{order_id}?cursor={cursor}"));
    body["nextCursor"] = cursor.into();
    body["next"] = link.into();
}

/// Why the order ended as it did, where it did not go ahead.
fn reasons(outcome: Option<Outcome>, own: &[RecordedFact]) -> Value {
    let kind = match outcome {
        Some(Outcome::Cancelled) => FactKind::Cancelled,
        Some(Outcome::Rejected) => FactKind::Rejected,
        Some(Outcome::Confirmed) | None => return json!([]),
    };
    let endings = own.iter().filter(|fact| fact.fact.kind == kind);
    let ending = endings.min_by_key(|fact| (fact.fact.at, &fact.fact.identity));
    ending.map_or_else(|| json!([]), |fact| fact.details["reasons"].clone())
}

fn entry(recorded: &RecordedFact) -> Value {
    let mut entry = Map::new();
    entry.insert("type".to_owned(), recorded.event_type.as_str().into());
    entry.insert("eventId".to_owned(), recorded.fact.event_id.as_str().into());
    entry.insert("time".to_owned(), format_timestamp(recorded.fact.at).into());
    if let Some(cause) = &recorded.fact.caused_by {
        entry.insert("causationId".to_owned(), cause.as_str().into());
    }
    entry.insert("data".to_owned(), recorded.details.clone());
    entry.into()
}
