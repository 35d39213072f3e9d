use std::collections::HashMap;

use contracts::{RecordedFact, format_timestamp};
use domain::{FactKind, OrderId, OrderView, Outcome};
use ports::{OrderViewStore, PortError};
use serde_json::{Map, Value, json};

/// Where an order stands, as JSON. `None` when nothing is known of it.
pub(crate) async fn show_order(
    views: &impl OrderViewStore,
    order_id: &OrderId,
) -> Result<Option<Value>, PortError> {
    let facts = views.facts(order_id).await?;
    Ok((!facts.is_empty()).then(|| render(order_id, &facts)))
}

fn render(order_id: &OrderId, facts: &[RecordedFact]) -> Value {
    let mut view = OrderView::default();
    facts.iter().for_each(|recorded| view.add(recorded.fact.clone()));
    let recorded: HashMap<_, _> = facts.iter().map(|fact| (&fact.fact.event_id, fact)).collect();
    let history: Vec<&RecordedFact> =
        view.history().iter().filter_map(|fact| recorded.get(&fact.event_id).copied()).collect();
    let mut body = json!({
        "orderId": order_id.as_str(),
        "status": view.status().as_str(),
        "outcome": view.outcome().map(Outcome::as_str),
        "reasons": reasons(view.outcome(), &history),
        "history": history.iter().map(|fact| entry(fact)).collect::<Vec<_>>(),
    });
    if let Some(placed) = history.iter().find(|fact| fact.fact.kind == FactKind::Placed) {
        for name in ["customerId", "lines", "total"] {
            body[name] = placed.details[name].clone();
        }
    }
    body
}

/// Why the order ended as it did, where it did not go ahead.
fn reasons(outcome: Option<Outcome>, history: &[&RecordedFact]) -> Value {
    let kind = match outcome {
        Some(Outcome::Cancelled) => FactKind::Cancelled,
        Some(Outcome::Rejected) => FactKind::Rejected,
        Some(Outcome::Confirmed) | None => return json!([]),
    };
    let ending = history.iter().find(|fact| fact.fact.kind == kind);
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
