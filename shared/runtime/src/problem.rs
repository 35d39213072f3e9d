use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::http::HeaderName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::Reason;
use serde_json::{Value, json};

/// A problem that a caller over HTTP is told of (RFC 9457).
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    /// The last part of the problem's `type`.
    name: &'static str,
    title: &'static str,
    /// What to do.
    detail: String,
    /// Each field that is wrong.
    errors: Vec<Reason>,
}

impl Problem {
    /// `name` is the last part of its type; `detail` says what to do.
    #[must_use]
    pub fn new(status: u16, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, title, detail: detail.into(), errors: vec![] }
    }

    /// With each field that is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Reason>) -> Self {
        self.errors = errors;
        self
    }

    /// What passes by itself.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(
            503,
            "unavailable",
            "The request could not be handled now",
            "Nothing is lost: repeat the same request, with the same Idempotency-Key if it had one.",
        )
    }

    /// No answer in time.
    #[must_use]
    pub fn out_of_time() -> Self {
        Self::new(
            503,
            "out-of-time",
            "The request took too long",
            "It may have taken effect. Repeat the same request, with the same Idempotency-Key if it had one.",
        )
    }

    /// Nobody signed a request that has to be signed.
    #[must_use]
    pub fn not_signed() -> Self {
        Self::new(
            403,
            "not-signed",
            "Nobody signed the request",
            "Sign it with AWS Signature Version 4, for the service execute-api.",
        )
    }

    /// The body is not JSON; `problem` says why.
    #[must_use]
    pub fn not_json(problem: &str) -> Self {
        Self::new(400, "not-json", "The body is not JSON", format!("Send the body as JSON: {problem}."))
    }

    /// The answer that tells of it.
    #[must_use]
    pub fn into_response(self) -> ApiGatewayV2httpResponse {
        let mut body = json!({
            "type": format!("urn:orderbus:problem:{}", self.name),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        let retry: &[(&str, &str)] = if self.status == 503 { &[("retry-after", "1")] } else { &[] };
        http_response(self.status, "application/problem+json", body.to_string(), retry)
    }
}

/// Takes the body out of a request. API Gateway encodes it when its media type is not one of a few texts.
///
/// # Errors
/// [`Problem`] when it is not what it is said to be, or larger than `bytes_max`.
pub fn http_body(request: &mut ApiGatewayV2httpRequest, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let body = request.body.take().unwrap_or_default();
    let body = if request.is_base64_encoded {
        STANDARD.decode(body).map_err(|_| Problem::not_json("the body is not valid base64"))?
    } else {
        body.into_bytes()
    };
    if body.len() > bytes_max {
        let detail = format!("A body may have up to {bytes_max} bytes.");
        return Err(Problem::new(413, "body-too-large", "The body is too large", detail));
    }
    Ok(body)
}

/// The most bytes of entries in one answer. Lambda takes an answer of up to 6 MB, in which the body is a JSON string
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); the rest is for what is around the entries.
pub const ANSWER_BYTES_MAX: usize = 5_500_000;

/// How many entries of a list one answer holds, each given as its text in the body: the first as a rule, and as many more as
/// take `bytes_max` together.
#[must_use]
pub fn how_many_fit(entries: impl IntoIterator<Item = String>, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |entry: &String| {
        bytes += bytes_in_answer(entry);
        bytes <= bytes_max
    };
    entries.into_iter().take_while(fits).count().max(1)
}

/// How many bytes a part of a body takes in an answer as Lambda is handed it: a JSON string, in which each quote takes a byte
/// more.
#[must_use]
pub fn bytes_in_answer(text: &str) -> usize {
    Value::from(text).to_string().len()
}

/// An answer over HTTP, which nobody keeps.
#[must_use]
pub fn http_response(
    status: u16,
    content_type: &str,
    body: String,
    headers: &[(&str, &str)],
) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = status.into();
    let all = [("content-type", content_type), ("cache-control", "no-store")];
    for (name, value) in all.iter().chain(headers) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            response.headers.insert(name, value);
        }
    }
    response.body = Some(body.into());
    response
}
