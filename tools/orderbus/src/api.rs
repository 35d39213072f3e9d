//! The HTTP API of a local stack.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use contracts::OrderRequest;
use serde_json::Value;

use crate::http::{self, Answer};

/// A client of the HTTP API. It addresses this machine by number and names the API in `Host`, so that nothing depends
/// on how the machine resolves names under `localhost`.
#[derive(Debug, Clone)]
pub struct Api {
    host: String,
    address: String,
}

impl Api {
    /// The API of this id on the MiniStack of this port.
    #[must_use]
    pub fn new(api_id: &str, port: u16) -> Self {
        let host = format!("{api_id}.execute-api.localhost:{port}");
        Self { host, address: format!("http://{}:{port}", Ipv4Addr::LOCALHOST) }
    }

    /// Its address for people and their programs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// `POST /orders`.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn place(&self, idempotency_key: &str, order: &OrderRequest) -> Result<Answer> {
        self.place_json(idempotency_key, &serde_json::to_string(order).context("unwritable order")?)
    }

    /// `POST /orders` with any body.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn place_json(&self, idempotency_key: &str, body: &str) -> Result<Answer> {
        let headers = [
            ("host", self.host.as_str()),
            ("idempotency-key", idempotency_key),
            ("content-type", "application/json"),
        ];
        http::post(&format!("{}/orders", self.address), &headers, body)
    }

    /// `GET /orders/{id}`: `None` while nothing is known of it.
    ///
    /// # Errors
    /// When nobody answers, or with anything else than an order.
    pub fn order(&self, order_id: &str) -> Result<Option<Value>> {
        let answer = http::get(&format!("{}/orders/{order_id}", self.address), &[("host", &self.host)])?;
        match answer.status {
            200 => serde_json::from_str(&answer.body).map(Some).context("GET /orders/{id} answered no JSON"),
            404 => Ok(None),
            status => bail!("GET /orders/{order_id} answered {status}: {}", answer.body),
        }
    }

    /// Any `GET`: the path with its query string.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::get(&format!("{}{path}", self.address), &[("host", &self.host)])
    }

    /// A `GET` of a route that takes signed requests alone. MiniStack reads who signs and checks no signature.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get_signed(&self, path: &str) -> Result<Answer> {
        let signature = "AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/execute-api/aws4_request, \
            SignedHeaders=host, Signature=0";
        let headers = [("host", self.host.as_str()), ("authorization", signature)];
        http::get(&format!("{}{path}", self.address), &headers)
    }

    /// `POST /orders/{id}/cancel`.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn cancel(&self, order_id: &str) -> Result<Answer> {
        let headers = [("host", self.host.as_str()), ("content-type", "application/json")];
        http::post(&format!("{}/orders/{order_id}/cancel", self.address), &headers, "{}")
    }
}
