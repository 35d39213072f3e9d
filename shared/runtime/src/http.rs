use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use tokio::time::{Instant, timeout_at};

use crate::start::{Error, serve};
use crate::{Deadline, Problem};

/// The longest that a request is worked on. An HTTP API ends a request after 30 seconds, the function's start included
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);

/// Serves the requests of an HTTP API, each within a time of its own.
///
/// # Errors
/// When the Lambda Runtime API fails.
pub async fn serve_http<F>(respond: F) -> Result<(), Error>
where
    F: AsyncFn(ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse,
{
    serve(async |request, deadline| Ok(answer_in_time(deadline, respond(request)).await)).await
}

/// The answer to a request, or 503 when there is none in time: before the function's own time is over, and after
/// [`REQUEST_TIME_MAX`] at the latest. Calls that are under way are given up; each may have been carried out.
pub async fn answer_in_time(
    deadline: Deadline,
    response: impl Future<Output = ApiGatewayV2httpResponse>,
) -> ApiGatewayV2httpResponse {
    let until = deadline.work_until().min(Instant::now() + REQUEST_TIME_MAX);
    timeout_at(until, response).await.unwrap_or_else(|_elapsed| {
        tracing::warn!("a request was not answered in time");
        Problem::out_of_time().into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_request_that_hangs_is_answered_before_the_functions_time_is_over() {
        let remaining = Duration::from_millis(200);
        let begun = Instant::now();
        let response = wait(answer_in_time(Deadline::after(remaining), pending()));
        assert!(begun.elapsed() < remaining, "{:?}", begun.elapsed());
        assert_eq!((response.status_code, &response.headers["retry-after"]), (503, &"1".parse().unwrap()));
        let body: serde_json::Value = serde_json::from_slice(response.body.as_deref().unwrap()).unwrap();
        assert_eq!(body["type"], "urn:orderbus:problem:out-of-time");
    }

    #[test]
    fn an_answer_in_time_is_the_answer() {
        let answer = || Problem::not_signed().into_response();
        let response = wait(answer_in_time(Deadline::after(Duration::from_secs(60)), async { answer() }));
        assert_eq!(response, answer());
    }

    /// However much time a function has, API Gateway has less.
    #[test]
    fn a_request_has_less_time_than_api_gateway_gives_it() {
        assert!(REQUEST_TIME_MAX < Duration::from_secs(29));
        let waiting = wait(async {
            let deadline = Deadline::after(Duration::from_secs(900));
            let mut answering = pin!(answer_in_time(deadline, pending()));
            let first = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context).is_pending())).await;
            first && deadline.work_until() > Instant::now() + REQUEST_TIME_MAX
        });
        assert!(waiting);
    }
}
