//! Two thousand requests that no honest caller sends, at every function behind HTTP, whose calls fail now and then: each is
//! answered, none with 5xx unless a call failed, none is the end of a function, none brings personal data into a log, and
//! what is accepted keeps its published schema.
//!
//! A seed decides about everything, so that whatever is found is found again.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the helpers of a test fail as a test does: by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use contracts::{Event, EventType, OPEN_SCOPE, Origin, Outbound, fact_of};
use event_gateway::{BODY_BYTES_MAX, EVENTS_MAX, EventGateway, Producers};
use fastrand::Rng;
use function_tests::{
    NOW, PERSONAL_VALUES, SteppingClock, captured, detail_of, moved, order_id, payment_failed, picked_up,
    placed,
};
use jsonschema::Validator;
use lake_api::{ColumnKind, EVENT_COLUMNS, Lake, LakeApi, REPORTS};
use memory::{
    Fault, Faults, MemoryEventBus, MemoryEventLedger, MemoryLakeQueries, MemoryOrderStore,
    MemoryOrderViewStore, Turn,
};
use order_api::OrderApi;
use ports::{LakeQuery, NewOrder, OrderStore, OrderViewStore, Rows};
use serde_json::{Map, Value, json};

const SEED: u64 = 10;
const REQUESTS: usize = 2_000;

const ORDER: &str = "5f0d6a3e-8f2b-5d0c-9f59-2f6b1d7c4a10";
/// Publishes as both sources. The name of its session is a person's.
const BROKER: &str = "arn:aws:sts::111122223333:assumed-role/Broker/ada@example.com";
const PRODUCERS: &str = "payments=arn:aws:iam::111122223333:role/Broker,shipping=arn:aws:iam::111122223333:role/Broker,\
     payments=arn:aws:iam::111122223333:user/provider";
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// What stands in a body where the text that it is replaced by is no JSON that a [`Value`] can hold.
const RAW: &str = "\u{1}raw\u{1}";

/// Everything that runs writes its logs here, as deployed functions write theirs, at the finest level.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a request is hostile by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    OrderBody,
    OrderHeaders,
    OrderPath,
    OrderCursor,
    Event,
    EventBatch,
    EventAttributes,
    EventHeaders,
    Body,
    LakeEvents,
    LakeReports,
    LakePaths,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::OrderBody,
        Self::OrderHeaders,
        Self::OrderPath,
        Self::OrderCursor,
        Self::Event,
        Self::EventBatch,
        Self::EventAttributes,
        Self::EventHeaders,
        Self::Body,
        Self::LakeEvents,
        Self::LakeReports,
        Self::LakePaths,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::OrderBody => "order bodies",
            Self::OrderHeaders => "order headers",
            Self::OrderPath => "order paths",
            Self::OrderCursor => "order cursors",
            Self::Event => "events",
            Self::EventBatch => "event batches",
            Self::EventAttributes => "event attributes",
            Self::EventHeaders => "event headers",
            Self::Body => "bodies",
            Self::LakeEvents => "lake events",
            Self::LakeReports => "lake reports",
            Self::LakePaths => "lake paths",
        }
    }
}

/// Every function behind HTTP, with everything around it in memory.
struct Functions {
    orders: OrderApi<MemoryOrderStore, MemoryOrderViewStore, MemoryEventBus, SteppingClock>,
    gateway: EventGateway<MemoryEventLedger, MemoryEventBus, SteppingClock>,
    lake: LakeApi<MemoryLakeQueries, MemoryOrderViewStore, SteppingClock>,
}

impl Functions {
    fn new(faults: &Faults) -> Self {
        let lake = Lake {
            queries: MemoryLakeQueries::new(|query| Ok(rows_of(query))).with_faults(faults.clone()),
            clock: SteppingClock::default(),
            patience: Duration::ZERO,
        };
        let views = MemoryOrderViewStore::with_faults(faults.clone());
        Self {
            orders: OrderApi {
                orders: MemoryOrderStore::with_faults(faults.clone()),
                views: views.clone(),
                bus: MemoryEventBus::with_faults(faults.clone()),
                clock: SteppingClock::default(),
                open_scope: Some(OPEN_SCOPE.to_owned()),
            },
            gateway: EventGateway {
                ledger: MemoryEventLedger::with_faults(faults.clone()),
                bus: MemoryEventBus::with_faults(faults.clone()),
                clock: SteppingClock::default(),
                producers: Producers::parse(PRODUCERS).unwrap(),
            },
            lake: LakeApi { lake, views },
        }
    }

    async fn respond(&self, request: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let route = request.route_key.clone().unwrap_or_default();
        match route.split_once(" /").map(|(_, path)| path) {
            Some(path) if path.starts_with("lake") => self.lake.respond(&request).await,
            Some("events") => self.gateway.respond(request).await,
            _ => self.orders.respond(request).await,
        }
    }

    fn published(&self) -> Vec<Outbound> {
        let mut published = self.orders.bus.published();
        published.extend(self.gateway.bus.published());
        published
    }
}

/// Some events, or one row of a report.
fn rows_of(query: &LakeQuery) -> Rows {
    let Some(report) = REPORTS.iter().find(|report| report.statement == query.statement) else {
        let rows = lake_rows().into_iter().map(|row| row.map(Some).to_vec()).collect();
        return Rows { columns: EVENT_COLUMNS.map(str::to_owned).to_vec(), rows };
    };
    let cell = |kind| match kind {
        ColumnKind::Day => "2026-01-30",
        ColumnKind::Text => "MUG",
        ColumnKind::Number | ColumnKind::Milliseconds | ColumnKind::Minor => "7",
    };
    let row = report.columns.iter().map(|column| Some(cell(column.kind).to_owned())).collect();
    Rows { columns: report.columns.iter().map(|column| column.name.to_owned()).collect(), rows: vec![row] }
}

/// Events as any sender can put them into the lake.
fn lake_rows() -> Vec<[String; EVENT_COLUMNS.len()]> {
    let [name, email, ..] = PERSONAL_VALUES;
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let data = [
        format!(r#"{{"orderId":"{ORDER}","personal":{{"name":"{name}"}},"taskToken":"AQCtoken"}}"#),
        format!(r#"{{"note":"{name} \ud83d"}}"#),
        deep,
        "123456789012345678901234567890".to_owned(),
        format!("{name}, which is no JSON"),
        format!(r#"{{"note":"{}"}}"#, "\\\"".repeat(20_000)),
    ];
    let row = |(number, data): (usize, String)| {
        let origin = ["account:444455556666", "producer:carrier", "", email][number % 4];
        [
            &*format!("{email}-{number}"),
            "shipping",
            "shipping.delivery-status-changed.v1",
            ORDER,
            "2026-01-31 12:00:00.000",
            ORDER,
            email,
            name,
            &data,
            origin,
            &format!("bus-{number}"),
        ]
        .map(str::to_owned)
    };
    data.iter().cycle().take(60).cloned().enumerate().map(row).collect()
}

/// A request as API Gateway hands it to Lambda, before it is JSON.
struct Request {
    route: &'static str,
    headers: Map<String, Value>,
    path: Map<String, Value>,
    query: Map<String, Value>,
    body: Option<String>,
    is_base64: bool,
    caller: Option<String>,
}

impl Request {
    fn to(route: &'static str) -> Self {
        Self {
            route,
            headers: Map::new(),
            path: Map::new(),
            query: Map::new(),
            body: None,
            is_base64: false,
            caller: Some(BROKER.to_owned()),
        }
    }

    fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn payload(self) -> String {
        let mut payload = json!({
            "version": "2.0",
            "routeKey": self.route,
            "rawPath": "/",
            "rawQueryString": "",
            "headers": self.headers,
            "requestContext": {
                "http": {
                    "method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t",
                },
                "requestId": "request-1",
                "routeKey": self.route,
                "stage": "$default",
                "timeEpoch": 1_769_860_800_000_i64,
            },
            "isBase64Encoded": self.is_base64,
        });
        // Left out where there is none, as API Gateway leaves it out.
        if !self.query.is_empty() {
            payload["queryStringParameters"] = self.query.into();
        }
        if !self.path.is_empty() {
            payload["pathParameters"] = self.path.into();
        }
        if let Some(body) = self.body {
            payload["body"] = body.into();
        }
        if let Some(caller) = self.caller {
            payload["requestContext"]["authorizer"] =
                json!({"iam": {"userArn": caller, "accountId": "111122223333"}});
        }
        payload.to_string()
    }
}

/// Makes requests, all from one seed.
struct Generator {
    rng: Rng,
    count: usize,
    /// Where the facts of [`ORDER`] go on.
    order_cursor: String,
}

impl Generator {
    fn request(&mut self, kind: Kind) -> Request {
        self.count += 1;
        match kind {
            Kind::OrderBody => self.place(self.count).body(self.mutated(good_order())),
            Kind::OrderHeaders => self.order_headers(),
            Kind::OrderPath => self.order_path(),
            Kind::OrderCursor => self.order_cursor(),
            Kind::Event => {
                let event = self.good_event();
                Request::to("POST /events").header("content-type", ONE).body(self.mutated(event))
            }
            Kind::EventBatch => self.event_batch(),
            Kind::EventAttributes => self.event_attributes(),
            Kind::EventHeaders => self.event_headers(),
            Kind::Body => self.raw_body(),
            Kind::LakeEvents => self.lake_events(),
            Kind::LakeReports => self.lake_reports(),
            Kind::LakePaths => self.lake_paths(),
        }
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.usize(..all.len())]
    }

    fn place(&self, number: usize) -> Request {
        Request::to("POST /orders").header("idempotency-key", format!("key-{number}"))
    }

    fn good_event(&mut self) -> Value {
        // An id is any visible ASCII, a person's address among it.
        let id = format!("{}-{}", self.one(&["e", "e", PERSONAL_VALUES[1]]), self.rng.u8(..));
        let event: Event = match self.rng.u8(..3) {
            0 => captured(&id, ORDER),
            1 => payment_failed(&id, ORDER),
            _ => picked_up(&id, ORDER),
        };
        match self.rng.u8(..4) {
            0 => self.signature(&id),
            _ => detail_of(&event.to_outbound().unwrap()),
        }
    }

    /// It names a person.
    fn signature(&self, id: &str) -> Value {
        let file = "events/samples/shipping.signature-collected.v1/complete.json";
        let mut event: Value = serde_json::from_str(&fs::read_to_string(root().join(file)).unwrap()).unwrap();
        event["id"] = id.into();
        event["data"]["personal"]["signedBy"] = PERSONAL_VALUES[0].into();
        event
    }

    /// A value where none like it belongs. A text is a person's, an instruction to some reader, or of a length, a script
    /// or a form that a parser may trip over.
    fn value(&mut self) -> Value {
        match self.rng.u8(..12) {
            0 => Value::Null,
            1 => self.rng.bool().into(),
            2 => self.one(&[0, -1, 1, 2_147_483_648, 9_007_199_254_740_993, i64::MAX, i64::MIN]).into(),
            3 => self.one(&[0.5, -0.0, 1217.0, 1e-7, 1e300, 9.007_199_254_740_993e15]).into(),
            4 => json!([]),
            5 => json!({}),
            6 => json!([self.text(), {"a": self.text()}]),
            7 => RAW.into(),
            _ => self.text().into(),
        }
    }

    fn text(&mut self) -> String {
        let length = self.one(&[1, 2, 63, 64, 65, 255, 256, 257, 1_000, 5_000, 70_000]);
        let texts = [
            "",
            " ",
            "\t\r\n",
            "\u{0}",
            "a\u{7}b",
            "\u{1b}[31mred\u{1b}[0m",
            "\u{feff}a",
            "\u{202e}txt.exe",
            "e\u{301}\u{301}\u{301}",
            "\u{200b}",
            "\u{2028}",
            "漢字\u{1F4E6}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
            "\u{10FFFF}",
            "' OR 1=1 --",
            "=cmd|' /C calc'!A0",
            "${jndi:ldap://x}",
            "{{7*7}}",
            "<script>alert(1)</script>",
            "../../etc/passwd",
            "%00%2e%2e",
            "null",
            "0",
            "-1",
            "1e999",
            "true",
            "2026-01-31T12:00:00Z",
            "2026-02-30T12:00:00Z",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-01-31T12:00:60Z",
            "orders.order-placed.v1",
            "payments.payment-captured.v2",
            "payments.payment-captured.v1",
            "orders",
            "00-00000000000000000000000000000000-0000000000000000-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "arn:aws:iam::111122223333:root",
            ORDER,
        ];
        match self.rng.u8(..10) {
            0..5 => self.one(&texts).to_owned(),
            5 => self.one(&PERSONAL_VALUES).to_owned(),
            6 => format!("{} {}", self.one(&PERSONAL_VALUES), self.one(&texts)),
            7 => "x".repeat(length),
            8 => self.one(&["\u{e9}", "漢", "\u{1F4E6}", "\"", "\\", "/"]).repeat(length.min(5_000)),
            _ => (0..self.rng.usize(..40)).map(|_| self.rng.char(..)).collect(),
        }
    }

    /// JSON text that is no [`Value`], or that readers understand differently.
    fn raw(&mut self) -> String {
        let raw = [
            "1e400",
            "-1e400",
            "1e-400",
            "123456789012345678901234567890",
            "0.1234567890123456789",
            "1.0e0",
            "01",
            "+1",
            ".5",
            "NaN",
            "Infinity",
            "'a'",
            "undefined",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\\u0000\"",
            "\"\\x41\"",
            "\"\u{1}\"",
            "\"a",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "/**/1",
            "tru",
            "",
        ];
        match self.rng.u8(..8) {
            0 => "[".repeat(self.one(&[20, 31, 40, 127, 128, 129, 1_000, 100_000])),
            1 => {
                let depth = self.one(&[20, 28, 31, 127, 1_000]);
                format!("{}{}", "[".repeat(depth), "]".repeat(depth))
            }
            2 => {
                let depth = self.one(&[10, 28, 127]);
                format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
            }
            _ => self.one(&raw).to_owned(),
        }
    }

    /// A good document with up to three things done to it, as text.
    fn mutated(&mut self, mut document: Value) -> String {
        for _ in 0..self.rng.usize(..4) {
            let mut places = Vec::new();
            places_of(&document, "", &mut places);
            let place = places[self.rng.usize(..places.len())].clone();
            self.change(&mut document, &place);
        }
        let mut text = document.to_string();
        let raw = Value::from(RAW).to_string();
        while text.contains(&raw) {
            text = text.replacen(&raw, &self.raw(), 1);
        }
        match self.rng.u8(..20) {
            // A field twice.
            0 if text.starts_with('{') => {
                let name = self.one(&["id", "source", "type", "data", "customerId", "total", "producer"]);
                format!("{{{}:{},{}", Value::from(name), self.value_text(), &text[1..])
            }
            1 => text.chars().take(self.rng.usize(..=text.len())).collect(),
            2 => format!("{}{text}", self.one(&["\u{feff}", " \n", "[", "{", "\u{0}"])),
            3 => format!("{text}{}", self.one(&["{}", "]", " \n", "\u{0}", ","])),
            _ => text,
        }
    }

    fn value_text(&mut self) -> String {
        match self.value() {
            Value::String(text) if text == RAW => self.raw(),
            value => value.to_string(),
        }
    }

    fn change(&mut self, document: &mut Value, place: &str) {
        let parent = place.rsplit_once('/').map(|(parent, name)| (parent.to_owned(), name.to_owned()));
        match self.rng.u8(..6) {
            0 => {
                if let Some((parent, name)) = parent
                    && let Some(Value::Object(members)) = document.pointer_mut(&parent)
                {
                    members.remove(&name);
                }
            }
            1 => {
                let (name, value) = (self.text(), self.value());
                if let Some(Value::Object(members)) = document.pointer_mut(place) {
                    members.insert(name, value);
                } else if let Some(Value::Array(items)) = document.pointer_mut(place) {
                    items.push(value);
                }
            }
            2 => {
                if let Some((parent, _)) = parent
                    && let Some(Value::Array(items)) = document.pointer_mut(&parent)
                    && let Some(first) = items.first().cloned()
                {
                    items.resize(self.rng.usize(..120), first);
                }
            }
            _ => {
                let value = self.value();
                if let Some(found) = document.pointer_mut(place) {
                    *found = value;
                }
            }
        }
    }

    /// A value of a header: what a client can send and API Gateway lets through. Where it came twice, it is joined.
    fn header_value(&mut self, good: &str) -> String {
        match self.rng.u8(..9) {
            0 => format!("{good},{good}"),
            1 => format!("{good}, {}", self.one(&["x", "", "*/*", "k-2"])),
            2 => format!("\"{good}\""),
            3 => good.to_uppercase(),
            4 => format!(" {good}\t"),
            5 => good.repeat(self.one(&[2, 10, 100])),
            6 => self.one(&PERSONAL_VALUES).to_owned(),
            7 => good.to_owned(),
            _ => self.text().chars().filter(|letter| !letter.is_control() || *letter == '\t').collect(),
        }
    }

    fn other_headers(&mut self, mut request: Request) -> Request {
        for _ in 0..self.rng.usize(..5) {
            let name = self.one(&[
                "traceparent",
                "accept",
                "x-forwarded-for",
                "cookie",
                "host",
                "content-length",
                "transfer-encoding",
                "x-http-method-override",
                "authorization",
                "x-amz-security-token",
                "if-none-match",
                "accept-encoding",
                "content-encoding",
                "expect",
                "x-ada-example",
            ]);
            let value = self.header_value("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            request = request.header(name, value);
        }
        for number in 0..self.one(&[0, 0, 0, 1, 100]) {
            request = request.header(&format!("x-many-{number}"), "v".repeat(50));
        }
        request
    }

    fn order_headers(&mut self) -> Request {
        let key = self.header_value(&format!("key-{}", self.count));
        let mut request = Request::to("POST /orders").body(good_order().to_string());
        if self.rng.u8(..10) > 0 {
            request = request.header("idempotency-key", key);
        }
        if self.rng.bool() {
            let content_type = self.header_value("application/json");
            request = request.header("content-type", content_type);
        }
        request.caller = self.caller();
        self.other_headers(request)
    }

    /// What API Gateway may say of who signed.
    fn caller(&mut self) -> Option<String> {
        let callers = [
            BROKER,
            "arn:aws:iam::111122223333:user/provider",
            "arn:aws:iam::111122223333:user/stranger",
            "arn:aws:iam::111122223333:root",
            "arn:aws:sts::111122223333:federated-user/ada",
            "arn:aws:sts::111122223333:assumed-role/Broker",
            "arn:aws:sts::111122223333:assumed-role//",
            "arn:aws-cn:sts::111122223333:assumed-role/Broker/s",
            "",
            ":::::",
            "arn",
        ];
        match self.rng.u8(..12) {
            0 => None,
            1 => Some(self.text()),
            _ => Some(self.one(&callers).to_owned()),
        }
    }

    fn order_path(&mut self) -> Request {
        let route =
            self.one(&["GET /orders/{id}", "POST /orders/{id}/cancel", "DELETE /orders/{id}", "GET /orders"]);
        let mut request = Request::to(route);
        let id = if self.rng.u8(..5) == 0 { ORDER.to_owned() } else { self.text() };
        if self.rng.u8(..10) > 0 {
            request.path.insert("id".to_owned(), id.into());
        }
        if self.rng.bool() {
            request.query.insert(self.text(), self.text().into());
        }
        request = self.other_headers(request);
        request
    }

    fn order_cursor(&mut self) -> Request {
        let mut request = Request::to("GET /orders/{id}");
        let id = if self.rng.u8(..5) > 0 { ORDER } else { "o-2" };
        request.path.insert("id".to_owned(), id.into());
        let good = self.order_cursor.clone();
        let place = self.rng.usize(..good.len());
        let cursor = match self.rng.u8(..10) {
            0..3 => good,
            3 => good[place..].to_owned(),
            4 => format!("{}{}{}", &good[..place], self.one(&["A", "_", "=", "+", "%", ","]), &good[place..]),
            5 => format!("{good},{good}"),
            6 => good.to_lowercase(),
            7 => self.text(),
            _ => self.cursor(),
        };
        request.query.insert("cursor".to_owned(), cursor.into());
        self.other_headers(request)
    }

    fn event_batch(&mut self) -> Request {
        let count = self.one(&[0, 1, 2, 3, EVENTS_MAX - 1, EVENTS_MAX, EVENTS_MAX + 1, 50]);
        let events: Vec<String> = (0..count)
            .map(|_| {
                let event = self.good_event();
                if self.rng.bool() { event.to_string() } else { self.mutated(event) }
            })
            .collect();
        let content_type = self.one(&[BATCH, BATCH, BATCH, ONE, "application/json"]);
        let separator = self.one(&[",", ",", ",", ",", " ", ",,"]);
        Request::to("POST /events")
            .header("content-type", content_type)
            .body(format!("[{}]", events.join(separator)))
    }

    /// Each attribute of CloudEvents against its rules, and those that Orderbus adds.
    fn event_attributes(&mut self) -> Request {
        let mut event = self.good_event();
        for _ in 0..self.rng.usize(1..3) {
            let name = self.one(&[
                "specversion",
                "id",
                "source",
                "type",
                "subject",
                "time",
                "datacontenttype",
                "dataschema",
                "correlationid",
                "causationid",
                "traceparent",
                "producer",
                "data_base64",
                "data",
                "UPPER",
                "with-hyphen",
                "",
                "averyveryverylongattributename",
                "sequence",
                "partitionkey",
                "personal",
            ]);
            event[name] = match self.rng.u8(..4) {
                0 => self
                    .one(&["1.0", "0.3", "1.1", "orders", "shipping", "payments", "application/xml", "e30="])
                    .into(),
                1 => Value::Null,
                _ => self.value(),
            };
        }
        let text = event.to_string().replace(&Value::from(RAW).to_string(), &self.raw());
        Request::to("POST /events").header("content-type", ONE).body(text)
    }

    fn event_headers(&mut self) -> Request {
        let content_type = match self.rng.u8(..4) {
            0 => ONE.to_owned(),
            1 => format!(
                "{ONE}; charset={}",
                self.one(&["utf-8", "UTF-8", "latin1", "\"utf-8\"", "", "utf-8; x=y", ";;"])
            ),
            _ => self.header_value(ONE),
        };
        let mut request =
            Request::to(self.one(&["POST /events", "POST /events", "POST /events", "GET /events"]))
                .header("content-type", content_type)
                .body(self.good_event().to_string());
        request.caller = self.caller();
        self.other_headers(request)
    }

    /// Bytes of any kind, also in base64, also such as is none.
    fn raw_body(&mut self) -> Request {
        let (route, good, name, value) = match self.rng.bool() {
            true => {
                ("POST /orders", good_order().to_string(), "idempotency-key", format!("key-{}", self.count))
            }
            false => ("POST /events", self.good_event().to_string(), "content-type", ONE.to_owned()),
        };
        let mut bytes = good.into_bytes();
        match self.rng.u8(..7) {
            0 => bytes = (0..self.rng.usize(..300)).map(|_| self.rng.u8(..)).collect(),
            1 => {
                let place = self.rng.usize(..bytes.len());
                bytes[place] = self.rng.u8(..);
            }
            2 => bytes.truncate(self.rng.usize(..bytes.len())),
            3 => bytes = self.raw().into_bytes(),
            4 => bytes.resize(self.one(&[BODY_BYTES_MAX - 1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1]), b' '),
            5 => bytes = vec![0xef, 0xbb, 0xbf].into_iter().chain(bytes).collect(),
            _ => {}
        }
        let mut request = Request::to(route).header(name, value);
        request.is_base64 = self.rng.bool();
        let text = match (request.is_base64, self.rng.u8(..6)) {
            (true, 0) => URL_SAFE_NO_PAD.encode(&bytes),
            (true, 1) => format!("{}=", STANDARD.encode(&bytes)),
            (true, 2) => self.text(),
            (true, _) => STANDARD.encode(&bytes),
            (false, _) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        if self.rng.u8(..20) > 0 { request.body(text) } else { request }
    }

    fn parameter(&mut self, good: &[&str]) -> String {
        match self.rng.u8(..5) {
            0 | 1 => self.one(good).to_owned(),
            2 => format!("{},{}", self.one(good), self.one(good)),
            _ => self.text(),
        }
    }

    fn query(&mut self, request: &mut Request, known: &[(&str, &[&str])]) {
        for (name, good) in known {
            if self.rng.u8(..4) == 0 {
                let value = self.parameter(good);
                request.query.insert((*name).to_owned(), value.into());
            }
        }
        if self.rng.u8(..8) == 0 {
            let (name, value) = (self.text(), self.text());
            request.query.insert(name, value.into());
        }
        if self.rng.u8(..4) == 0 {
            let accept = self.header_value("text/csv");
            request.headers.insert("accept".to_owned(), accept.into());
        }
    }

    fn cursor(&mut self) -> String {
        let at = self.one(&["1769860800000", "-1", "99999999999999999999", "", "1e3"]);
        let text = format!("{}{at}.{}", "0".repeat(self.one(&[0, 8, 16, 32])), self.text());
        match self.rng.u8(..3) {
            0 => URL_SAFE_NO_PAD.encode(text),
            1 => STANDARD.encode(text),
            _ => text,
        }
    }

    fn lake_events(&mut self) -> Request {
        let mut request = Request::to("GET /lake/events");
        self.query(
            &mut request,
            &[
                ("type", &["orders.order-placed.v1", "*", "orders.order-placed.v1' --"]),
                ("source", &["orders", "ORDERS", "orders "]),
                ("subject", &[ORDER, "o-1"]),
                ("from", &INSTANTS),
                ("to", &INSTANTS),
                ("limit", &["1", "100", "0", "-1", "1001", "00010", "9999", "10000", "1e2", "\u{661}"]),
                ("format", &["json", "csv", "xml", "CSV"]),
            ],
        );
        if self.rng.u8(..3) == 0 {
            let cursor = self.cursor();
            request.query.insert("cursor".to_owned(), cursor.into());
        }
        request
    }

    fn lake_reports(&mut self) -> Request {
        let mut request = Request::to(self.one(&[
            "GET /lake/reports/{name}",
            "GET /lake/reports/{name}",
            "GET /lake/reports/{name}",
            "GET /lake/reports",
        ]));
        let name = match self.rng.u8(..6) {
            0 => self.text(),
            _ => REPORTS[self.rng.usize(..REPORTS.len())].name.to_owned(),
        };
        request.path.insert("name".to_owned(), name.into());
        self.query(
            &mut request,
            &[("from", &INSTANTS), ("to", &INSTANTS), ("format", &["json", "csv", "html", ""])],
        );
        request
    }

    fn lake_paths(&mut self) -> Request {
        let mut request = Request::to(self.one(&[
            "GET /lake/orders/{id}",
            "GET /lake/queries/{id}",
            "GET /lake/orders/{id}",
            "POST /lake/events",
            "GET /lake",
        ]));
        let id = match self.rng.u8(..4) {
            0 => ORDER.to_owned(),
            1 => "00000000-0000-4000-8000-00000000ffff".to_owned(),
            _ => self.text(),
        };
        request.path.insert("id".to_owned(), id.into());
        self.query(&mut request, &[("from", &INSTANTS), ("to", &INSTANTS), ("format", &["json", "csv"])]);
        request
    }
}

/// Ends of a window, and what looks like one.
const INSTANTS: [&str; 22] = [
    "2026-01-30",
    "2026-01-31",
    "2026-01-30T00:00:00Z",
    "2026-01-31T12:00:00.123456789Z",
    "2026-01-31T12:00:00+23:59",
    "2026-01-31T12:00:00-00:00",
    "2019-12-31",
    "2020-01-01",
    "2026-02-01",
    "2026-02-02",
    "2026-02-30",
    "2026-13-01",
    "0000-01-01",
    "9999-12-31",
    "-009999-01-01T00:00:00Z",
    "+012026-01-01T00:00:00Z",
    "20260131",
    "2026-W05-6",
    "1769860800",
    "now",
    "2026-01-31T24:00:00Z",
    "2026-01-31T12:00:00Z[Europe/Berlin]",
];

fn good_order() -> Value {
    let [name, email, phone, street, postal_code] = PERSONAL_VALUES;
    json!({
        "customerId": "c-1",
        "lines": [
            {"sku": "MUG", "quantity": 2, "unitPrice": {"amountMinor": 1250, "currency": "EUR"}},
            {"sku": "TEA", "quantity": 1, "unitPrice": {"amountMinor": 799, "currency": "EUR"}},
        ],
        "total": {"amountMinor": 3299, "currency": "EUR"},
        "personal": {
            "name": name, "email": email, "phone": phone, "street": street, "city": "London",
            "postalCode": postal_code, "country": "GB",
        },
    })
}

/// The JSON pointers of everything in a document, the whole of it included.
fn places_of(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                places_of(member, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places_of(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The published schema of each type, formats included.
fn schemas() -> BTreeMap<&'static str, Validator> {
    let schema = |event_type: &EventType| {
        let path = root().join(format!("events/schemas/{}.json", event_type.as_str()));
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        // An e-mail address is what its pattern says.
        let options =
            jsonschema::options().should_validate_formats(true).with_format("email", |_: &str| true);
        (event_type.as_str(), options.build(&schema).unwrap())
    };
    EventType::ALL.iter().map(schema).collect()
}

/// What is wrong with an answer, if anything. Where a call failed, it may be that the function is not available.
fn complaint(response: &ApiGatewayV2httpResponse, has_failed: bool) -> Option<String> {
    let status = response.status_code;
    let is_excused = has_failed && status == 503 && response.headers.contains_key("retry-after");
    if !(200..300).contains(&status) && !(400..500).contains(&status) && !is_excused {
        return Some(format!("it is answered with {status}"));
    }
    let text = response.body.as_deref().map(|body| String::from_utf8_lossy(body).into_owned());
    let text = text.unwrap_or_default();
    let content_type = response.headers.get("content-type").and_then(|value| value.to_str().ok());
    if status >= 400 && content_type != Some("application/problem+json") {
        let is_of_events = serde_json::from_str::<Value>(&text).is_ok_and(|body| body["events"].is_array());
        if !is_of_events {
            return Some("a refusal is no problem".to_owned());
        }
    }
    let is_json = content_type.is_some_and(|content_type| content_type.contains("json"));
    if is_json && serde_json::from_str::<Value>(&text).is_err() {
        return Some("the answer is not JSON".to_owned());
    }
    // Lambda takes so much of an answer.
    serde_json::to_string(response)
        .map_or(true, |text| text.len() > 6_000_000)
        .then(|| "it is too large".to_owned())
}

#[test]
fn two_thousand_hostile_requests_are_all_answered_and_do_no_harm() {
    let logs = Logs::default();
    let writer = logs.clone();
    let _logging = tracing::subscriber::set_default(runtime::log_lines("debug", move || writer.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let faults = Faults::default();
    let functions = Functions::new(&faults);
    let order = NewOrder {
        order_id: order_id(ORDER),
        request_hash: String::new(),
        placed_at: NOW,
        traceparent: None,
    };
    runtime.block_on(functions.orders.orders.open(&order)).unwrap();
    let scans = (0..150).map(|number| moved(&format!("scan-{number}"), ORDER, "in_transit"));
    for event in [picked_up("e-1", ORDER), placed("placed-1", ORDER, &[("MUG", 2)])].into_iter().chain(scans)
    {
        let fact = fact_of(&event, &Origin::Own).unwrap();
        runtime.block_on(functions.orders.views.add(&order_id(ORDER), &fact)).unwrap();
    }
    let mut generator = Generator { rng: Rng::with_seed(SEED), count: 0, order_cursor: String::new() };
    let mut first_page = Request::to("GET /orders/{id}");
    first_page.path.insert("id".to_owned(), ORDER.into());
    let first_page = serde_json::from_str(&first_page.payload()).unwrap();
    let first_page = runtime.block_on(functions.respond(first_page)).body.unwrap();
    let first_page: Value = serde_json::from_slice(&first_page).unwrap();
    first_page["nextCursor"].as_str().unwrap().clone_into(&mut generator.order_cursor);

    // From here on, one call in twelve goes wrong.
    let failed = Arc::new(AtomicUsize::new(0));
    let (noted, mut chance) = (Arc::clone(&failed), Rng::with_seed(SEED));
    faults.judged_by(move |_| {
        let fault = [Fault::NotApplied, Fault::ReplyLost, Fault::Repeated][chance.usize(..3)];
        let fault = (chance.u8(..12) == 0).then_some(fault);
        noted.fetch_add(fault.iter().len(), Ordering::Relaxed);
        Turn { fault, ..Turn::default() }
    });

    let mut counts: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    let mut complaints = Vec::new();
    for number in 0..REQUESTS {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let payload = generator.request(kind).payload();
        let failed_before = failed.load(Ordering::Relaxed);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let request =
                serde_json::from_str(&payload).map_err(|error| format!("it is not read: {error}"))?;
            Ok(runtime.block_on(functions.respond(request)))
        }));
        let complaint = match answer {
            Ok(Ok(response)) => {
                let (accepted, refused) = counts.entry(kind).or_default();
                *(if response.status_code < 400 { accepted } else { refused }) += 1;
                complaint(&response, failed.load(Ordering::Relaxed) > failed_before)
            }
            Ok(Err(problem)) => Some(problem),
            Err(_panic) => Some("the function panicked".to_owned()),
        };
        complaints.extend(complaint.map(|complaint| {
            let start: String = payload.chars().take(1_500).collect();
            format!("{number}, of {}: {complaint}: {start}", kind.name())
        }));
    }
    assert!(complaints.is_empty(), "{} requests:\n{}", complaints.len(), complaints.join("\n"));

    let schemas = schemas();
    let published = functions.published();
    for event in &published {
        let validator = &schemas[event.event_type.as_str()];
        let errors: Vec<String> =
            validator.iter_errors(&detail_of(event)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "on the bus, and against its schema: {}\n{errors:#?}", event.detail);
    }

    let logs = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    assert!(logs.lines().count() > 100, "the logs are heard");
    for line in logs.lines() {
        let told: Vec<&str> = PERSONAL_VALUES.into_iter().filter(|value| line.contains(value)).collect();
        assert!(told.is_empty(), "{told:?} in a log: {line:.500}");
    }

    let all: Vec<String> = counts
        .iter()
        .map(|(kind, (accepted, refused))| format!("{} {accepted}+{refused}", kind.name()))
        .collect();
    println!(
        "hostile requests (accepted+refused), seed {SEED}: {}; {} events on the bus, {} lines of logs",
        all.join(", "),
        published.len(),
        logs.lines().count()
    );
    for (kind, (accepted, refused)) in counts {
        let is_mixed = refused >= 10 && accepted >= 1;
        assert!(is_mixed, "{} are of one kind: {accepted}+{refused}", kind.name());
    }
    assert!(published.len() > 100);
    assert!(failed.load(Ordering::Relaxed) > 100, "calls fail");
}
