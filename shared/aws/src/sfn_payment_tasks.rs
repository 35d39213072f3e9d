use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::operation::send_task_failure::SendTaskFailureError;
use aws_sdk_sfn::operation::send_task_success::SendTaskSuccessError;
use ports::{PaymentTasks, PortError, TaskReply};

use crate::error::failed;

/// The checkouts of Step Functions that wait with a task token.
#[derive(Debug, Clone)]
pub struct SfnPaymentTasks {
    client: Client,
}

impl SfnPaymentTasks {
    /// Of every state machine that the function's role may answer.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl PaymentTasks for SfnPaymentTasks {
    async fn succeed(&self, task_token: &str, output: &str) -> Result<TaskReply, PortError> {
        let result = self.client.send_task_success().task_token(task_token).output(output).send().await;
        match result {
            Ok(_) => Ok(TaskReply::Taken),
            Err(SdkError::ServiceError(error)) if success_came_too_late(error.err()) => Ok(TaskReply::Gone),
            Err(error) => Err(failed("states:SendTaskSuccess", error)),
        }
    }

    async fn fail(&self, task_token: &str, error: &str, cause: &str) -> Result<TaskReply, PortError> {
        let call = self.client.send_task_failure().task_token(task_token).error(error).cause(cause);
        match call.send().await {
            Ok(_) => Ok(TaskReply::Taken),
            Err(SdkError::ServiceError(error)) if failure_came_too_late(error.err()) => Ok(TaskReply::Gone),
            Err(error) => Err(failed("states:SendTaskFailure", error)),
        }
    }
}

// Answered before, timed out, or its execution has ended
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html).
fn success_came_too_late(error: &SendTaskSuccessError) -> bool {
    error.is_task_timed_out() || error.is_task_does_not_exist()
}

fn failure_came_too_late(error: &SendTaskFailureError) -> bool {
    error.is_task_timed_out() || error.is_task_does_not_exist()
}
