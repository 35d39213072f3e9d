use super::{assert_permanent, ok};
use crate::{PaymentTasks, TaskReply};

/// The suite of [`PaymentTasks`], with [`payment_tasks_that_never_were`]. `waiting` are the tokens of two checkouts that
/// wait, `timed_out` is that of one that waited and does no longer.
pub async fn payment_tasks<T: PaymentTasks>(tasks: &T, waiting: [&str; 2], timed_out: &str) {
    let [to_succeed, to_fail] = waiting;
    assert_eq!(ok(succeed(tasks, to_succeed).await), TaskReply::Taken);
    assert_eq!(ok(fail(tasks, to_fail).await), TaskReply::Taken);
    for gone in [to_succeed, to_fail, timed_out] {
        assert_eq!(ok(succeed(tasks, gone).await), TaskReply::Gone);
        assert_eq!(ok(fail(tasks, gone).await), TaskReply::Gone);
    }
}

/// The part of the suite of [`PaymentTasks`] about tokens that nobody gave out.
pub async fn payment_tasks_that_never_were<T: PaymentTasks>(tasks: &T) {
    assert_permanent(succeed(tasks, "never-a-token").await);
    assert_permanent(fail(tasks, "never-a-token").await);
}

async fn succeed<T: PaymentTasks>(tasks: &T, token: &str) -> Result<TaskReply, crate::PortError> {
    tasks.succeed(token, r#"{"eventId":"e-1","paymentId":"pay-1"}"#).await
}

async fn fail<T: PaymentTasks>(tasks: &T, token: &str) -> Result<TaskReply, crate::PortError> {
    tasks.fail(token, "PaymentFailed", r#"{"eventId":"e-1","reason":"card_declined"}"#).await
}
