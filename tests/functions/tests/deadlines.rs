//! A function behind HTTP answers in time, whatever hangs behind it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests")]

use std::time::{Duration, Instant};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use event_gateway::{EventGateway, Producers};
use function_tests::{SteppingClock, detail_of, picked_up};
use lake_api::{Lake, LakeApi};
use memory::{
    Fault, Faults, MemoryEventBus, MemoryEventLedger, MemoryLakeQueries, MemoryOrderStore,
    MemoryOrderViewStore,
};
use order_api::OrderApi;
use ports::Rows;
use runtime::{Deadline, answer_in_time};
use serde_json::{Value, json};

/// What Lambda leaves a function in these tests.
const REMAINING: Duration = Duration::from_millis(50);
/// More calls than any request here makes.
const CALLS_MAX: u64 = 10;

fn request(payload: &Value) -> ApiGatewayV2httpRequest {
    let mut whole = json!({
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {},
        "isBase64Encoded": false,
        "requestContext": {
            "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "authorizer": {"iam": {"userArn": "arn:aws:iam::111122223333:root"}},
            "stage": "$default",
            "timeEpoch": 1_769_860_800_000_i64,
        },
    });
    for (name, value) in payload.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

async fn place(faults: Faults) -> ApiGatewayV2httpResponse {
    let api = OrderApi {
        orders: MemoryOrderStore::with_faults(faults.clone()),
        views: MemoryOrderViewStore::with_faults(faults.clone()),
        bus: MemoryEventBus::with_faults(faults),
        clock: SteppingClock::default(),
        open_scope: None,
    };
    let euro = json!({"amountMinor": 100, "currency": "EUR"});
    let order = json!({
        "customerId": "c-1",
        "lines": [{"sku": "MUG", "quantity": 1, "unitPrice": euro}],
        "total": euro,
        "personal": {
            "name": "n", "email": "e@h", "street": "s", "city": "c", "postalCode": "p", "country": "DE",
        },
    });
    let headers = json!({"idempotency-key": "k-1"});
    let payload = json!({"routeKey": "POST /orders", "headers": headers, "body": order.to_string()});
    api.respond(request(&payload)).await
}

async fn hand_in(faults: Faults) -> ApiGatewayV2httpResponse {
    let gateway = EventGateway {
        ledger: MemoryEventLedger::with_faults(faults.clone()),
        bus: MemoryEventBus::with_faults(faults),
        clock: SteppingClock::default(),
        producers: Producers::parse("shipping=arn:aws:iam::111122223333:root").unwrap(),
    };
    let event = detail_of(&picked_up("e-1", "o-1").to_outbound().unwrap());
    let headers = json!({"content-type": "application/cloudevents+json"});
    let payload = json!({"routeKey": "POST /events", "headers": headers, "body": event.to_string()});
    gateway.respond(request(&payload)).await
}

async fn ask(faults: Faults) -> ApiGatewayV2httpResponse {
    let columns = ["day", "source", "type", "events"].map(str::to_owned).to_vec();
    let queries = MemoryLakeQueries::new(move |_| Ok(Rows { columns: columns.clone(), rows: vec![] }));
    let lake = Lake {
        queries: queries.with_faults(faults.clone()),
        clock: SteppingClock::default(),
        patience: Duration::ZERO,
    };
    let api = LakeApi { lake, views: MemoryOrderViewStore::with_faults(faults) };
    let payload = json!({
        "routeKey": "GET /lake/reports/{name}",
        "pathParameters": {"name": "events-by-type"},
    });
    api.respond(&request(&payload)).await
}

/// Sends a request whose calls hang one after the other, and says how many it makes.
async fn each_call_hangs<R: Future<Output = ApiGatewayV2httpResponse>>(
    respond: impl Fn(Faults) -> R,
    status: i64,
) -> u64 {
    for call in 1..CALLS_MAX {
        for fault in [Fault::GoneBefore, Fault::GoneAfter] {
            let faults = Faults::default();
            faults.fail_call(call, fault);
            let begun = Instant::now();
            let response = answer_in_time(Deadline::after(REMAINING), respond(faults.clone())).await;
            if faults.unmet() > 0 {
                assert_eq!(response.status_code, status, "nothing hung");
                return call - 1;
            }
            assert_eq!(response.status_code, 503, "call {call}");
            assert!(response.headers.contains_key("retry-after"));
            // A busy machine may wake late; the request has not begun to wait for anything else.
            assert!(begun.elapsed() < REMAINING * 20, "{:?}", begun.elapsed());
            let body: Value = serde_json::from_slice(response.body.as_deref().unwrap()).unwrap();
            assert_eq!(body["type"], "urn:orderbus:problem:out-of-time");
        }
    }
    unreachable!("a request makes fewer calls")
}

#[tokio::test]
async fn whichever_call_hangs_the_caller_is_told_in_time_to_try_again() {
    assert_eq!(each_call_hangs(place, 202).await, 2);
    assert_eq!(each_call_hangs(hand_in, 202).await, 3);
    assert_eq!(each_call_hangs(ask, 200).await, 3);
}
