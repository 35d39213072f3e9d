use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use contracts::{OrderRequest, Reason, order_id_of_key};
use domain::OrderId;
use ports::{Clock, EventBus, OrderStore, OrderViewStore, PortError};
use runtime::{Principal, Problem, http_body, http_response, signer};
use serde_json::json;

use crate::cancel_order::{CancellationAsked, ask_for_cancellation};
use crate::cursor::Cursor;
use crate::place_order::{Placing, place_order};
use crate::show_order::{show_more, show_order};

/// This function's name.
pub const NAME: &str = "order-api";
/// The largest body that is read.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
const JSON: &str = "application/json";
/// The longest idempotency key.
const KEY_LENGTH_MAX: usize = 255;

/// Turns HTTP requests into orders, and orders into answers.
#[derive(Debug)]
pub struct OrderApi<S, V, B, C> {
    /// Where orders are kept.
    pub orders: S,
    /// Where their views are kept.
    pub views: V,
    /// Where events go.
    pub bus: B,
    /// What time it is.
    pub clock: C,
    /// Whose the idempotency keys of callers are who did not sign. `None` when everyone has to.
    pub open_scope: Option<String>,
}

impl<S: OrderStore, V: OrderViewStore, B: EventBus, C: Clock> OrderApi<S, V, B, C> {
    /// Answers one request. Whatever is wrong with it is answered, never returned as an error.
    pub async fn respond(&self, request: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let result = match request.route_key.as_deref() {
            Some("POST /orders") => self.place(request).await,
            Some("GET /orders/{id}") => self.show(&request).await,
            Some("POST /orders/{id}/cancel") => self.cancel(&request).await,
            _ => Err(Problem::new(
                404,
                "no-such-route",
                "There is no such route",
                "See the README for the routes.",
            )),
        };
        result.unwrap_or_else(Problem::into_response)
    }

    async fn place(&self, request: ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let order_id = order_id_of_key(&self.scope(&request)?, &idempotency_key(&request)?);
        let traceparent = traceparent(&request);
        let order_request = parse_body(request)?;
        let placing = place_order(&self.orders, &self.bus, &self.clock, order_id, traceparent, order_request);
        match placing.await.map_err(unavailable)? {
            Placing::Accepted(order_id) => {
                let body = json!({"orderId": order_id.as_str(), "status": "placed"});
                let location = format!("/orders/{order_id}");
                Ok(http_response(202, JSON, body.to_string(), &[("location", &location)]))
            }
            Placing::Invalid(reasons) => Err(Problem::new(
                422,
                "invalid-order",
                "The order breaks rules",
                "Mend each field named in errors and send the order again.",
            )
            .with_errors(reasons)),
            Placing::KeyReused => Err(Problem::new(
                422,
                "idempotency-key-reused",
                "The Idempotency-Key stands for another order",
                "A key stands for one order for ever. Send a new order with a new key, or repeat the first request unchanged.",
            )),
        }
    }

    /// Whose the idempotency key of a request is. A role is one caller, whatever its sessions are called.
    fn scope(&self, request: &ApiGatewayV2httpRequest) -> Result<String, Problem> {
        match signer(request) {
            Some(arn) => Ok(Principal::of_caller(arn)
                .map_or_else(|| arn.to_owned(), |principal| principal.as_str().to_owned())),
            None => self.open_scope.clone().ok_or_else(Problem::not_signed),
        }
    }

    async fn show(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let order_id = order_id(request)?;
        let body = match cursor(request, &order_id)? {
            Some(cursor) => show_more(&self.views, &order_id, &cursor).await.map(Some),
            None => show_order(&self.views, &order_id).await,
        };
        match body.map_err(unavailable)? {
            Some(body) => Ok(http_response(200, JSON, body.to_string(), &[])),
            None => Err(unknown_order()),
        }
    }

    async fn cancel(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let order_id = order_id(request)?;
        let asking = ask_for_cancellation(&self.orders, &self.bus, &self.clock, &order_id);
        match asking.await.map_err(unavailable)? {
            CancellationAsked::Accepted => {
                let body = json!({"orderId": order_id.as_str(), "status": "cancellation_requested"});
                let location = format!("/orders/{order_id}");
                Ok(http_response(202, JSON, body.to_string(), &[("location", &location)]))
            }
            CancellationAsked::TooLate(outcome) => Err(Problem::new(
                409,
                "order-ended",
                "The order has ended",
                format!("The order is {} and can no longer be cancelled.", outcome.as_str()),
            )),
            CancellationAsked::Unknown => Err(unknown_order()),
        }
    }
}

fn header<'a>(request: &'a ApiGatewayV2httpRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

fn idempotency_key(request: &ApiGatewayV2httpRequest) -> Result<String, Problem> {
    let key = header(request, "idempotency-key").unwrap_or_default();
    if key.is_empty() || key.len() > KEY_LENGTH_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::new(
            400,
            "idempotency-key-required",
            "The request needs an Idempotency-Key",
            format!(
                "Send the header Idempotency-Key with 1 to {KEY_LENGTH_MAX} visible ASCII characters, a new one for each order."
            ),
        ));
    }
    // An HTTP API joins the values of a header that comes twice with a comma
    // (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
    if key.contains(',') {
        return Err(Problem::new(
            400,
            "idempotency-key-repeated",
            "The Idempotency-Key holds a comma",
            "Send the header Idempotency-Key once, with a key without commas.",
        ));
    }
    Ok(key.to_owned())
}

/// W3C trace context, passed on when it has the form of one.
fn traceparent(request: &ApiGatewayV2httpRequest) -> Option<String> {
    header(request, "traceparent").filter(|text| contracts::is_traceparent(text)).map(str::to_owned)
}

fn order_id(request: &ApiGatewayV2httpRequest) -> Result<OrderId, Problem> {
    let id = request.path_parameters.get("id").map(String::as_str).unwrap_or_default();
    OrderId::parse(id).map_err(|_| unknown_order())
}

/// The query parameter `cursor`. Given twice, it comes with a comma, which no cursor has.
fn cursor(request: &ApiGatewayV2httpRequest, order_id: &OrderId) -> Result<Option<Cursor>, Problem> {
    let Some(text) = request.query_string_parameters.first("cursor") else { return Ok(None) };
    Cursor::read(order_id, text).map(Some).ok_or_else(|| {
        let message = "must be the nextCursor of an answer about the same order".to_owned();
        let error =
            Reason { code: "invalid_parameter".to_owned(), field: Some("cursor".to_owned()), message };
        Problem::new(
            400,
            "invalid-cursor",
            "The cursor is none of this order's",
            "Follow next as it was answered, or begin anew without a cursor.",
        )
        .with_errors(vec![error])
    })
}

fn parse_body(mut request: ApiGatewayV2httpRequest) -> Result<OrderRequest, Problem> {
    let body = http_body(&mut request, BODY_BYTES_MAX)?;
    let reader = &mut serde_json::Deserializer::from_slice(&body);
    let parsed = serde_path_to_error::deserialize(&mut *reader).map_err(|error| {
        let (field, problem) = (error.path().to_string(), error.into_inner());
        if problem.is_data() {
            wrong_shape(field, &problem)
        } else {
            Problem::not_json(&contracts::describe(&problem))
        }
    })?;
    reader.end().map_err(|error| Problem::not_json(&contracts::describe(&error)))?;
    Ok(parsed)
}

fn wrong_shape(field: String, problem: &serde_json::Error) -> Problem {
    let error =
        Reason { code: "wrong_shape".to_owned(), field: Some(field), message: contracts::describe(problem) };
    Problem::new(
        422,
        "invalid-order",
        "The order does not have the shape of one",
        "Mend the field named in errors and send the order again.",
    )
    .with_errors(vec![error])
}

fn unknown_order() -> Problem {
    Problem::new(
        404,
        "unknown-order",
        "Nothing is known of this order",
        "There is no order of this id, or it was placed a moment ago and is not known here yet.",
    )
}

fn unavailable(error: PortError) -> Problem {
    tracing::warn!(consumer = NAME, operation = error.operation, problem = %error.source, "a request could not be handled");
    Problem::unavailable()
}
