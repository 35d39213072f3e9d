use contracts::{Event, OrderAccepted, OrderPlaced, Reason};
use domain::{OrderId, Timestamp};
use ports::{Clock, OrderDecision, OrderStore, PortError, Registration};

/// What registering an order came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// It keeps every rule.
    Accepted { data: OrderAccepted, at: Timestamp },
    /// It breaks these, and that is how it ended.
    Rejected { reasons: Vec<Reason>, at: Timestamp },
    /// It breaks rules, but had ended before; its end was published by whoever brought it about.
    SettledBefore,
    /// It was registered before, because of another event.
    ByAnotherEvent,
}

/// Decides about an order by its rules alone, and writes the decision once.
pub(crate) async fn register_order(
    orders: &impl OrderStore,
    clock: &impl Clock,
    event: &Event,
    placed: &OrderPlaced,
) -> Result<Registered, PortError> {
    let order_id = event.order_id()?.clone();
    let registration = Registration {
        decision: decide(order_id.clone(), placed),
        order_id,
        decided_by: event.id.clone(),
        decided_at: clock.now(),
    };
    let record = orders.register(&registration).await?;
    // The stored decision speaks, not the one just made: rules may have changed between two deliveries.
    let Some(registered) = record.registered.filter(|registered| registered.decided_by == event.id) else {
        return Ok(Registered::ByAnotherEvent);
    };
    let at = registered.decided_at;
    match registered.rejection {
        None => Ok(Registered::Accepted { data: accepted(placed), at }),
        Some(reasons) => {
            let is_ours = record.settlement.is_some_and(|settlement| settlement.decided_by == event.id);
            Ok(if is_ours { Registered::Rejected { reasons, at } } else { Registered::SettledBefore })
        }
    }
}

fn decide(order_id: OrderId, placed: &OrderPlaced) -> OrderDecision {
    match placed.parse(order_id) {
        Ok(_) => OrderDecision::Accepted {
            order: Box::new(accepted(placed)),
            personal: Box::new(placed.personal.clone()),
        },
        Err(reasons) => OrderDecision::Rejected(reasons),
    }
}

fn accepted(placed: &OrderPlaced) -> OrderAccepted {
    OrderAccepted {
        order_id: placed.order_id.clone(),
        customer_id: placed.customer_id.clone(),
        lines: placed.lines.clone(),
        total: placed.total.clone(),
    }
}
