use contracts::{Money, PaymentCaptured, PaymentFailed, Refusal};
use domain::{OrderId, PaymentId};
use ports::{OrderStore, PortError};

/// What an answer says of a payment.
pub(crate) struct Claim<'a> {
    payment_id: &'a str,
    /// What was collected, if anything was.
    amount: Option<&'a Money>,
}

impl<'a> From<&'a PaymentCaptured> for Claim<'a> {
    fn from(captured: &'a PaymentCaptured) -> Self {
        Self { payment_id: &captured.payment_id, amount: Some(&captured.amount) }
    }
}

impl<'a> From<&'a PaymentFailed> for Claim<'a> {
    fn from(failed: &'a PaymentFailed) -> Self {
        Self { payment_id: &failed.payment_id, amount: None }
    }
}

/// Compares an answer with what was asked for.
///
/// Checkout writes that it will ask for the payment, in the write that reads the order as accepted, before it asks; and
/// this read is consistent. So an honest answer is never ahead of its order, and nothing has to wait for the order.
pub(crate) async fn check_claim(
    orders: &impl OrderStore,
    order_id: &OrderId,
    claim: &Claim<'_>,
) -> Result<Result<(), Refusal>, PortError> {
    let Some(record) = orders.find(order_id).await? else { return Ok(Err(Refusal::UnknownOrder)) };
    let Some(total) = record.registered.and_then(|registered| registered.total) else {
        return Ok(Err(Refusal::PaymentMismatch));
    };
    let is_it = record.payment_asked
        && claim.payment_id == PaymentId::of(order_id).as_str()
        && claim.amount.is_none_or(|amount| *amount == total);
    Ok(if is_it { Ok(()) } else { Err(Refusal::PaymentMismatch) })
}
