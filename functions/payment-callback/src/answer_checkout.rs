use contracts::{Event, PaymentCaptured, PaymentFailed};
use domain::{Outcome, PaymentId};
use ports::{OrderStore, PaymentTasks, PortError, TaskReply};
use serde_json::json;

/// What bringing an answer came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The checkout goes on with it.
    Taken,
    /// The checkout had taken this answer, or one to the same effect, before.
    TakenBefore,
    /// The order had ended without this money: it goes back.
    TooLate(Outcome),
    /// The checkout no longer waits, but has not written how the order ended.
    Undecided,
}

/// Tells the checkout that its payment was captured.
pub(crate) async fn report_capture(
    tasks: &impl PaymentTasks,
    orders: &impl OrderStore,
    event: &Event,
    captured: &PaymentCaptured,
) -> Result<Answered, PortError> {
    let output = json!({
        "eventId": event.id.as_str(),
        "orderId": captured.order_id,
        "paymentId": captured.payment_id,
        "amountMinor": captured.amount.amount_minor,
        "currency": captured.amount.currency,
        "providerReference": captured.provider_reference,
    });
    if tasks.succeed(&captured.task_token, &output.to_string()).await? == TaskReply::Taken {
        return Ok(Answered::Taken);
    }
    let settlement = orders.find(event.order_id()?).await?.and_then(|record| record.settlement);
    Ok(match settlement {
        None => Answered::Undecided,
        Some(settlement) if settlement.decided_by == event.id => Answered::TakenBefore,
        // The order's own payment, told again. Money for any other payment bought nothing.
        Some(settlement)
            if settlement.outcome == Outcome::Confirmed
                && captured.payment_id == PaymentId::of(event.order_id()?).as_str() =>
        {
            Answered::TakenBefore
        }
        Some(settlement) => Answered::TooLate(settlement.outcome),
    })
}

/// Tells the checkout that its payment failed. An answer that comes too late changes nothing.
pub(crate) async fn report_failure(
    tasks: &impl PaymentTasks,
    event: &Event,
    failed: &PaymentFailed,
) -> Result<Answered, PortError> {
    let cause = json!({"eventId": event.id.as_str(), "reason": failed.reason}).to_string();
    Ok(match tasks.fail(&failed.task_token, "PaymentFailed", &cause).await? {
        TaskReply::Taken => Answered::Taken,
        TaskReply::Gone => Answered::TakenBefore,
    })
}
