//! Plain HTTP to this machine. Nothing here speaks TLS: what runs on AWS is reached through its SDK.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result};
use ureq::Agent;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The `content-type` header.
    pub content_type: Option<String>,
    /// The `location` header.
    pub location: Option<String>,
    /// The body as text.
    pub body: String,
}

static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    config.into()
});

/// GET with headers.
///
/// # Errors
/// When nobody answers.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let request = headers.iter().fold(AGENT.get(url), |request, (name, value)| request.header(*name, *value));
    answer(url, request.call())
}

/// POST with headers.
///
/// # Errors
/// When nobody answers.
pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    let request =
        headers.iter().fold(AGENT.post(url), |request, (name, value)| request.header(*name, *value));
    answer(url, request.send(body))
}

/// PUT of JSON.
///
/// # Errors
/// When nobody answers.
pub fn put(url: &str, body: &str) -> Result<Answer> {
    answer(url, AGENT.put(url).header("content-type", "application/json").send(body))
}

fn answer(url: &str, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = response.with_context(|| format!("no answer from {url}"))?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (content_type, location) = (header("content-type"), header("location"));
    let status = response.status().as_u16();
    let body =
        response.body_mut().read_to_string().with_context(|| format!("unreadable answer from {url}"))?;
    Ok(Answer { status, content_type, location, body })
}
