use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use contracts::{Reason, Refusal};
use ports::{Clock, EventBus, EventLedger};
use runtime::{Principal, Problem, http_body, http_response, signer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::producers::Producers;
use crate::publish_events::{Answer, Fate, publish_events};

/// This function's name.
pub const NAME: &str = "event-gateway";
/// The most events of one request: as many as one PutEvents takes.
pub const EVENTS_MAX: usize = 10;
/// The largest body that is read. Whatever is in it fits into one PutEvents.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// How deep a body may nest. No event of the catalogue comes near.
pub const DEPTH_MAX: usize = 32;

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const JSON: &str = "application/json";

/// Takes events in over HTTP.
#[derive(Debug)]
pub struct EventGateway<L, B, C> {
    /// Which ids were used, for what.
    pub ledger: L,
    /// Where events go.
    pub bus: B,
    /// What time it is.
    pub clock: C,
    /// Who publishes as what.
    pub producers: Producers,
}

impl<L: EventLedger, B: EventBus, C: Clock> EventGateway<L, B, C> {
    /// Answers one request. Whatever is wrong with it is answered, never returned as an error.
    pub async fn respond(&self, request: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let result = match request.route_key.as_deref() {
            Some("POST /events") => self.take_in(request).await,
            _ => Err(Problem::new(
                404,
                "no-such-route",
                "There is no such route",
                "See the README for the routes.",
            )),
        };
        result.unwrap_or_else(Problem::into_response)
    }

    async fn take_in(
        &self,
        mut request: ApiGatewayV2httpRequest,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let caller = caller(&request)?;
        let producer = self.producers.find(&caller).ok_or_else(not_a_producer)?;
        let media_type = media_type(&request)?;
        let body = http_body(&mut request, BODY_BYTES_MAX)?;
        let entries = entries(&body, media_type)?;
        let answers = publish_events(&self.ledger, &self.bus, &self.clock, producer, &entries).await;
        let count = |status: u16| answers.iter().filter(|answer| status_of(&answer.fate) == status).count();
        let (taken, failed) = (count(202), count(503));
        let refused = answers.len() - taken - failed;
        tracing::info!(consumer = NAME, taken, refused, failed, "events were handed in");
        Ok(response(answers))
    }
}

/// Whoever signed the request, which API Gateway has checked. Never anyone without a signature, whatever the route says.
fn caller(request: &ApiGatewayV2httpRequest) -> Result<Principal, Problem> {
    let user_arn = signer(request).ok_or_else(Problem::not_signed)?;
    Principal::of_caller(user_arn).ok_or_else(not_a_producer)
}

fn not_a_producer() -> Problem {
    Problem::new(
        403,
        "not-a-producer",
        "This principal publishes nothing here",
        "Ask the platform team to name its user or role in GatewayProducers.",
    )
}

/// One of the three that are read.
fn media_type(request: &ApiGatewayV2httpRequest) -> Result<&'static str, Problem> {
    let header =
        request.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = header.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    let known = [ONE, BATCH, JSON].into_iter().find(|known| known.eq_ignore_ascii_case(name));
    known.filter(|_| parts.all(is_utf8)).ok_or_else(|| {
        Problem::new(
            415,
            "unsupported-media-type",
            "This media type is not read",
            format!("Send {ONE}, {BATCH} or {JSON}, in UTF-8."),
        )
    })
}

/// The events of a body, each as it was written: one, or those of a list.
fn entries(body: &[u8], media_type: &str) -> Result<Vec<Box<RawValue>>, Problem> {
    if is_deeper_than(DEPTH_MAX, body) {
        let detail = format!("A body may nest up to {DEPTH_MAX} levels.");
        return Err(Problem::new(400, "too-deep", "The body nests too deep", detail));
    }
    let not_json = |error: serde_json::Error| Problem::not_json(&contracts::describe(&error));
    let whole: Box<RawValue> = serde_json::from_slice(body).map_err(not_json)?;
    let entries: Vec<Box<RawValue>> = match whole.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(whole.get()).map_err(not_json)?,
        Some(b'{') if media_type != BATCH => vec![whole],
        _ => {
            let detail = format!("Send one CloudEvent or a list of them, and as {BATCH} a list.");
            return Err(Problem::new(400, "not-events", "The body holds no events", detail));
        }
    };
    if entries.is_empty() || entries.len() > EVENTS_MAX {
        let detail = format!("Send 1 to {EVENTS_MAX} events; these are {}.", entries.len());
        return Err(Problem::new(400, "wrong-count", "This is not a number of events that is taken", detail));
    }
    Ok(entries)
}

/// Looks at brackets alone, outside of texts; whether all of it is JSON shows later.
fn is_deeper_than(depth_max: usize, body: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

/// An answer to each event: its own status, which is the whole answer's when all have the same.
fn response(answers: Vec<Answer>) -> ApiGatewayV2httpResponse {
    let statuses: Vec<u16> = answers.iter().map(|answer| status_of(&answer.fate)).collect();
    let first = statuses.first().copied().unwrap_or(207);
    let status = if statuses.iter().all(|status| *status == first) { first } else { 207 };
    let retry: &[(&str, &str)] = if statuses.contains(&503) { &[("retry-after", "1")] } else { &[] };
    let events: Vec<Value> = answers.into_iter().map(told).collect();
    http_response(status, JSON, json!({"events": events}).to_string(), retry)
}

fn status_of(fate: &Fate) -> u16 {
    match fate {
        Fate::Accepted | Fate::Duplicate => 202,
        Fate::Forbidden | Fate::ForeignType => 403,
        Fate::Conflict => 409,
        Fate::Invalid(_) => 422,
        Fate::Unavailable => 503,
    }
}

fn told(Answer { id, fate }: Answer) -> Value {
    let about = |refusal: Refusal, field: &str, message: &str| {
        vec![Reason { field: Some(field.to_owned()), ..Reason::new(refusal.code(), message) }]
    };
    let status = status_of(&fate);
    let (outcome, errors) = match fate {
        Fate::Accepted => ("accepted", vec![]),
        Fate::Duplicate => ("duplicate", vec![]),
        Fate::Forbidden => (
            "refused",
            about(Refusal::ForeignSource, "source", "must be a source that the caller publishes as"),
        ),
        Fate::ForeignType => (
            "refused",
            about(Refusal::ForeignType, "type", "must be a type that others than Orderbus publish"),
        ),
        Fate::Conflict => (
            "refused",
            about(Refusal::IdTaken, "id", "must be new: it stands for another event of the caller"),
        ),
        Fate::Invalid(reasons) => ("refused", reasons),
        Fate::Unavailable => {
            ("failed", vec![Reason::new("unavailable", "hand the same event in again, unchanged")])
        }
    };
    let mut told = json!({"id": id.as_ref().map(|id| id.as_str()), "status": status, "outcome": outcome});
    if !errors.is_empty() {
        told["errors"] = json!(errors);
    }
    told
}
