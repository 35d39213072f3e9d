use contracts::{BusEvent, MESSAGE_LENGTH_MAX, PaymentCaptured, PaymentFailed, Refusal, to_line};
use domain::{OrderId, Outcome, Settlement};
use ports::{OrderStore, PaymentTasks, PortError, TaskReply};
use serde_json::json;

use crate::check_claim::check_claim;

/// What bringing an answer came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The checkout goes on with it.
    Taken,
    /// The checkout had taken this answer, or one to the same effect, before.
    TakenBefore,
    /// The order had ended without this money: it goes back.
    TooLate(Settlement),
    /// The checkout no longer waits, but has not written how the order ended.
    Undecided,
    /// Our own record does not agree. Nothing was changed.
    Refused(Refusal),
}

/// Tells the checkout that its payment was captured.
pub(crate) async fn report_capture(
    tasks: &impl PaymentTasks,
    orders: &impl OrderStore,
    bus_event: &BusEvent,
    captured: &PaymentCaptured,
) -> Result<Answered, PortError> {
    let event = &bus_event.event;
    let order_id = event.order_id()?;
    let Some(task_token) = task_token(order_id, &captured.task_token) else {
        return Ok(Answered::Refused(Refusal::PaymentMismatch));
    };
    if let Err(refusal) = check_claim(orders, order_id, &captured.into()).await? {
        return Ok(Answered::Refused(refusal));
    }
    let output = json!({
        "eventId": event.id.as_str(),
        "decidedBy": bus_event.identity().as_str(),
        "orderId": captured.order_id,
        "paymentId": captured.payment_id,
        "amountMinor": captured.amount.amount_minor,
        "currency": captured.amount.currency,
        "providerReference": captured.provider_reference,
    });
    if tasks.succeed(task_token, &output.to_string()).await? == TaskReply::Taken {
        return Ok(Answered::Taken);
    }
    // The order may have ended since its payment was checked.
    let settlement = orders.find(order_id).await?.and_then(|record| record.settlement);
    Ok(match settlement {
        None => Answered::Undecided,
        // By this payment, and an order has one.
        Some(settlement) if settlement.outcome == Outcome::Confirmed => Answered::TakenBefore,
        Some(settlement) => Answered::TooLate(settlement),
    })
}

/// The token of Step Functions in what the provider was given, which is `<order id>.<token>`. `None` when that is the token of
/// another order: its checkout must not take this answer, or the money of both would be lost.
///
/// A checkout that asked before the order id stood there gave the token alone. Step Functions uses no dot in it.
fn task_token<'a>(order_id: &OrderId, given: &'a str) -> Option<&'a str> {
    match given.rsplit_once('.') {
        Some((order, token)) => (order == order_id.as_str()).then_some(token),
        None => Some(given),
    }
}

/// Tells the checkout that its payment failed. An answer that comes too late changes nothing.
pub(crate) async fn report_failure(
    tasks: &impl PaymentTasks,
    orders: &impl OrderStore,
    bus_event: &BusEvent,
    failed: &PaymentFailed,
) -> Result<Answered, PortError> {
    let event = &bus_event.event;
    let order_id = event.order_id()?;
    let Some(task_token) = task_token(order_id, &failed.task_token) else {
        return Ok(Answered::Refused(Refusal::PaymentMismatch));
    };
    if let Err(refusal) = check_claim(orders, order_id, &failed.into()).await? {
        return Ok(Answered::Refused(refusal));
    }
    // The checkout makes it the message of the order's cancellation.
    let reason = to_line(&failed.reason, MESSAGE_LENGTH_MAX);
    let cause = json!({
        "eventId": event.id.as_str(),
        "decidedBy": bus_event.identity().as_str(),
        "reason": reason,
    });
    Ok(match tasks.fail(task_token, "PaymentFailed", &cause.to_string()).await? {
        TaskReply::Taken => Answered::Taken,
        TaskReply::Gone => Answered::TakenBefore,
    })
}
