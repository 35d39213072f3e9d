//! What hands events in at event-gateway, as the principals of IAM that MiniStack tells apart by their keys.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use orderbus::http;
use serde_json::Value;

use crate::TestStack;

/// MiniStack's account.
pub const ACCOUNT: &str = "000000000000";
/// The media type of a list of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// Whoever signs a request.
#[derive(Debug, Clone)]
pub struct Signer {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

impl Signer {
    /// Whoever has this key.
    #[must_use]
    pub fn of_key(access_key: &str, secret_key: &str) -> Self {
        Self { access_key: access_key.to_owned(), secret_key: secret_key.to_owned(), session_token: None }
    }

    /// The root user of the account on this machine: payment provider and carrier at once.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::of_key("test", "test")
    }

    /// A new IAM user of this name.
    ///
    /// # Errors
    /// When IAM refuses it.
    pub fn user(stack: &TestStack, name: &str) -> Result<Self> {
        ask(stack, "iam", &format!("Action=CreateUser&Version=2010-05-08&UserName={name}"))?;
        let key = format!("Action=CreateAccessKey&Version=2010-05-08&UserName={name}");
        Self::of_answer(&ask(stack, "iam", &key)?)
    }

    /// A session of a new IAM role of this path and name.
    ///
    /// # Errors
    /// When IAM or STS refuses it.
    pub fn role(stack: &TestStack, path: &str, name: &str) -> Result<Self> {
        let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        let escaped = path.replace('/', "%2F");
        let created = format!(
            "Action=CreateRole&Version=2010-05-08&Path={escaped}&RoleName={name}&AssumeRolePolicyDocument={trust}"
        );
        let arn = element(&ask(stack, "iam", &created)?, "Arn")?;
        ensure!(arn == format!("arn:aws:iam::{ACCOUNT}:role{path}{name}"), "another role: {arn}");
        let assumed = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={arn}&RoleSessionName=session-1");
        Self::of_answer(&ask(stack, "sts", &assumed)?)
    }

    fn of_answer(answer: &str) -> Result<Self> {
        Ok(Self {
            access_key: element(answer, "AccessKeyId")?,
            secret_key: element(answer, "SecretAccessKey")?,
            session_token: element(answer, "SessionToken").ok(),
        })
    }
}

/// What IAM or STS answers to a request in its query protocol.
fn ask(stack: &TestStack, service: &str, query: &str) -> Result<String> {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", scope.as_str())];
    let answer = http::post(&stack.local().ministack().endpoint(), &headers, query)?;
    ensure!(answer.status == 200, "{query}: {}", answer.body);
    Ok(answer.body)
}

fn element(answer: &str, name: &str) -> Result<String> {
    let rest = answer.split_once(&format!("<{name}>")).with_context(|| format!("no {name} in {answer}"))?.1;
    Ok(rest.split_once('<').map_or(rest, |(text, _)| text).to_owned())
}

/// `POST /events`: status and body.
///
/// # Errors
/// When nobody answers, or with no JSON.
pub fn hand_in(
    stack: &TestStack,
    signer: Option<&Signer>,
    content_type: &str,
    body: &Value,
) -> Result<(u16, Value)> {
    post(stack, signer, "/events", &[("content-type", content_type)], &body.to_string())
}

/// A `POST` with `curl`, as the README shows it: status and body.
///
/// # Errors
/// When nobody answers, or with no JSON.
pub fn post(
    stack: &TestStack,
    signer: Option<&Signer>,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, Value)> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"]);
    if let Some(Signer { access_key, secret_key, session_token }) = signer {
        curl.args(["--aws-sigv4", "aws:amz:us-east-1:execute-api"]);
        curl.args(["--user", &format!("{access_key}:{secret_key}")]);
        if let Some(token) = session_token {
            curl.args(["--header", &format!("x-amz-security-token: {token}")]);
        }
    }
    for (name, value) in headers {
        curl.args(["--header", &format!("{name}: {value}")]);
    }
    curl.args(["--data-binary", body]);
    let output = curl.arg(format!("{}{path}", stack.api().url())).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.rsplit_once('\n').context("curl wrote no status")?;
    Ok((status.parse()?, serde_json::from_str(body).with_context(|| format!("no JSON: {body}"))?))
}
