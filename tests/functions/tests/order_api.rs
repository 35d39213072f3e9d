//! `order-api`: whatever is wrong with a request is the caller's to mend, and an order is placed once however often it
//! is asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test are tests")]

use std::collections::{BTreeMap, HashMap};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::{Data, Event, OPEN_SCOPE, Origin, fact_of, order_id_of_key};
use domain::{EventId, OrderId, Outcome, Settlement, Timestamp};
use function_tests::{
    NOW, PERSONAL_VALUES, SteppingClock, cancellation_requested, cancelled, confirmed, departed, detail_of,
    moved, order_id, placed, rejected, signed, types_of,
};
use memory::{Fault, Faults, MemoryEventBus, MemoryOrderStore, MemoryOrderViewStore};
use order_api::{BODY_BYTES_MAX, OrderApi};
use ports::{OrderStore, OrderViewStore};
use proptest::prelude::*;
use serde_json::{Value, json};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What is done to a good order to make it a bad one.
type Change = fn(&mut Value);

type Api = OrderApi<MemoryOrderStore, MemoryOrderViewStore, MemoryEventBus, SteppingClock>;

fn api(faults: &Faults) -> Api {
    OrderApi {
        orders: MemoryOrderStore::with_faults(faults.clone()),
        views: MemoryOrderViewStore::with_faults(faults.clone()),
        bus: MemoryEventBus::with_faults(faults.clone()),
        clock: SteppingClock::default(),
        open_scope: Some(OPEN_SCOPE.to_owned()),
    }
}

fn sound() -> Api {
    api(&Faults::default())
}

/// A request as API Gateway hands it to Lambda.
fn request(route: &str, headers: &[(&str, &str)], body: Option<&str>) -> ApiGatewayV2httpRequest {
    let headers: BTreeMap<_, _> = headers.iter().copied().collect();
    let payload = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "http": {"method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "request-1",
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": 1_769_860_800_000_i64,
        },
        "isBase64Encoded": false,
        "body": body,
    });
    serde_json::from_value(payload).unwrap()
}

fn posted(key: &str, body: &Value) -> ApiGatewayV2httpRequest {
    request("POST /orders", &[("idempotency-key", key)], Some(&body.to_string()))
}

/// As API Gateway tells who signed.
fn sent_by(user_arn: &str, mut request: ApiGatewayV2httpRequest) -> ApiGatewayV2httpRequest {
    let authorizer = json!({"iam": {"userArn": user_arn, "accountId": "111122223333"}});
    request.request_context.authorizer = serde_json::from_value(authorizer).unwrap();
    request
}

fn about(route: &str, id: &str) -> ApiGatewayV2httpRequest {
    let mut request = request(route, &[], None);
    request.path_parameters.insert("id".into(), id.into());
    request
}

fn good_order() -> Value {
    json!({
        "customerId": "c-1",
        "lines": [
            {"sku": "MUG", "quantity": 2, "unitPrice": {"amountMinor": 1250, "currency": "EUR"}},
            {"sku": "TEA", "quantity": 1, "unitPrice": {"amountMinor": 799, "currency": "EUR"}},
        ],
        "total": {"amountMinor": 3299, "currency": "EUR"},
        "personal": {
            "name": PERSONAL_VALUES[0],
            "email": PERSONAL_VALUES[1],
            "phone": PERSONAL_VALUES[2],
            "street": PERSONAL_VALUES[3],
            "city": "London",
            "postalCode": PERSONAL_VALUES[4],
            "country": "GB",
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut order = good_order();
    change(&mut order);
    order
}

/// Status, body and headers of an answer, whose form is checked.
fn read(response: &ApiGatewayV2httpResponse) -> (i64, Value) {
    let body: Value = serde_json::from_slice(response.body.as_deref().expect("a body")).unwrap();
    let header = |name: &str| response.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("cache-control"), Some("no-store"));
    let status = response.status_code;
    if status < 400 {
        assert_eq!(header("content-type"), Some("application/json"));
    } else {
        assert_problem(status, header("content-type"), &body);
        assert_eq!(header("retry-after").is_some(), status == 503);
    }
    (status, body)
}

/// RFC 9457, with each wrong field in `errors`, and nobody's data in it.
fn assert_problem(status: i64, content_type: Option<&str>, body: &Value) {
    assert_eq!(content_type, Some("application/problem+json"));
    assert!(body["type"].as_str().unwrap().starts_with("urn:orderbus:problem:"), "{body}");
    assert_eq!(body["status"], status);
    assert!(["title", "detail"].iter().all(|name| !body[name].as_str().unwrap().is_empty()), "{body}");
    for error in body["errors"].as_array().into_iter().flatten() {
        assert!(["code", "field", "message"].iter().all(|name| error[name].is_string()), "{error}");
    }
    let text = body.to_string();
    assert!(PERSONAL_VALUES.iter().all(|value| !text.contains(value)), "{text}");
}

/// The last part of a problem's type.
fn problem(body: &Value) -> &str {
    body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

fn fields(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn respond(api: &Api, request: ApiGatewayV2httpRequest) -> (i64, Value) {
    read(&api.respond(request).await)
}

/// An API that was asked this, and was not moved by it.
async fn refused(request: ApiGatewayV2httpRequest) -> (i64, Value) {
    let api = sound();
    let answer = respond(&api, request).await;
    assert_eq!((api.bus.published(), api.orders.orders().len()), (vec![], 0));
    answer
}

fn placed_order_id(body: &Value) -> OrderId {
    order_id(body["orderId"].as_str().unwrap())
}

#[tokio::test]
async fn an_order_is_accepted_once_its_event_is_on_the_bus() {
    let api = sound();
    let mut request = posted("key-1", &good_order());
    request.headers.insert("traceparent", TRACEPARENT.parse().unwrap());
    let response = api.respond(request).await;
    let (status, body) = read(&response);
    assert_eq!(status, 202);
    let order_id = order_id_of_key(OPEN_SCOPE, "key-1");
    assert_eq!(body, json!({"orderId": order_id.as_str(), "status": "placed"}));
    assert_eq!(response.headers["location"], format!("/orders/{order_id}"));
    let published = api.bus.published();
    assert_eq!(types_of(&published), ["orders.order-placed.v1"]);
    let detail = detail_of(&published[0]);
    assert_eq!((&detail["subject"], &detail["correlationid"]), (&body["orderId"], &body["orderId"]));
    assert_eq!(detail["traceparent"], TRACEPARENT);
    let mut expected = good_order();
    expected["orderId"] = body["orderId"].clone();
    assert_eq!(detail["data"], expected);
}

#[tokio::test]
async fn the_same_request_again_is_the_same_answer_and_the_same_event_to_the_letter() {
    let api = sound();
    let first = respond(&api, posted("key-1", &good_order())).await;
    // White space and the order of fields are not the order; nor is the trace of the second attempt.
    let spaced = serde_json::to_string_pretty(&good_order()).unwrap();
    let headers = [("idempotency-key", "key-1"), ("traceparent", TRACEPARENT)];
    let second = respond(&api, request("POST /orders", &headers, Some(&spaced))).await;
    assert_eq!(first, second);
    let published = api.bus.published();
    assert_eq!(published.len(), 2);
    assert_eq!(published[0], published[1]);
    assert_eq!(api.orders.orders().len(), 1);
}

#[tokio::test]
async fn the_same_body_under_another_key_is_another_order() {
    let api = sound();
    let (_, first) = respond(&api, posted("key-1", &good_order())).await;
    let (_, second) = respond(&api, posted("key-2", &good_order())).await;
    assert_ne!(first["orderId"], second["orderId"]);
    assert_eq!(api.orders.orders().len(), 2);
}

#[tokio::test]
async fn another_body_under_a_key_that_is_taken_is_refused() {
    let api = sound();
    respond(&api, posted("key-1", &good_order())).await;
    let other = with(|order| order["customerId"] = "c-2".into());
    let (status, body) = respond(&api, posted("key-1", &other)).await;
    assert_eq!((status, problem(&body)), (422, "idempotency-key-reused"));
    assert_eq!(api.bus.published().len(), 1);
    assert_eq!(respond(&api, posted("key-1", &good_order())).await.0, 202);
}

#[tokio::test]
async fn a_key_belongs_to_the_caller_who_sent_it() {
    const SHOP: &str = "arn:aws:sts::111122223333:assumed-role/Shop/session-1";
    let api = sound();
    let mut orders = BTreeMap::new();
    for caller in [
        None,
        Some(SHOP),
        Some("arn:aws:sts::444455556666:assumed-role/Shop/session-1"),
        Some("arn:aws:iam::111122223333:user/Shop"),
        Some("arn:aws:sts::111122223333:federated-user/Shop"),
    ] {
        let request = |body: &Value| match caller {
            Some(user_arn) => sent_by(user_arn, posted("key-1", body)),
            None => posted("key-1", body),
        };
        let mine = with(|order| order["customerId"] = format!("mine-{}", orders.len()).into());
        let (status, body) = respond(&api, request(&mine)).await;
        assert_eq!(status, 202, "whatever others sent under the key: {body}");
        assert!(
            orders.insert(placed_order_id(&body), caller).is_none(),
            "{caller:?} got the order of another"
        );
        assert_eq!(respond(&api, request(&mine)).await.1, body, "repeated");
        let (_, body) = respond(&api, request(&good_order())).await;
        assert_eq!(problem(&body), "idempotency-key-reused", "{caller:?}");
    }
    assert_eq!(api.orders.orders().len(), orders.len());
    // Another session is the same caller.
    let later = sent_by(&SHOP.replace("session-1", "session-2"), posted("key-1", &good_order()));
    assert_eq!(problem(&respond(&api, later).await.1), "idempotency-key-reused");
}

#[tokio::test]
async fn where_everyone_signs_nobody_places_an_order_unsigned() {
    let api = Api { open_scope: None, ..sound() };
    let (status, body) = respond(&api, posted("key-1", &good_order())).await;
    assert_eq!((status, problem(&body)), (403, "not-signed"));
    assert_eq!((api.bus.published(), api.orders.orders().len()), (vec![], 0));
    let signed = sent_by("arn:aws:iam::111122223333:user/shop", posted("key-1", &good_order()));
    assert_eq!(respond(&api, signed).await.0, 202);
    let other = Api { open_scope: Some("other".to_owned()), ..sound() };
    let (_, body) = respond(&other, posted("key-1", &good_order())).await;
    assert_eq!(placed_order_id(&body), order_id_of_key("other", "key-1"));
}

#[tokio::test]
async fn a_refused_order_does_not_use_its_key_up() {
    let api = sound();
    let wrong = with(|order| order["total"]["amountMinor"] = 1.into());
    assert_eq!(respond(&api, posted("key-1", &wrong)).await.0, 422);
    assert_eq!(respond(&api, posted("key-1", &good_order())).await.0, 202);
}

#[tokio::test]
async fn a_key_is_required_and_must_be_visible_ascii() {
    let long = "k".repeat(256);
    let without = request("POST /orders", &[], Some(&good_order().to_string()));
    let keys = ["", "two words", "tab\tbed", "schlüssel", long.as_str()];
    let mut requests: Vec<_> = keys.iter().map(|key| posted(key, &good_order())).collect();
    requests.push(without);
    for request in requests {
        let (status, body) = refused(request).await;
        assert_eq!((status, problem(&body)), (400, "idempotency-key-required"));
    }
    assert_eq!(respond(&sound(), posted(&long[1..], &good_order())).await.0, 202);
}

#[tokio::test]
async fn a_header_that_came_twice_is_no_key_of_another_order() {
    for key in ["k-1,k-1", "k-1,k-2", ",k-1", "k-1,"] {
        let (status, body) = refused(posted(key, &good_order())).await;
        assert_eq!((status, problem(&body)), (400, "idempotency-key-repeated"), "{key}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_as_such() {
    let whole = good_order().to_string();
    let (cut, twice) = (&whole[..whole.len() - 1], format!("{whole}{{}}"));
    for body in
        ["", " ", "{", "order", "\u{feff}{}", "{\"customerId\":}", "{\"customerId\": nul", cut, &twice]
    {
        let (status, answer) =
            refused(request("POST /orders", &[("idempotency-key", "k")], Some(body))).await;
        assert_eq!((status, problem(&answer)), (400, "not-json"), "{body:?}: {answer}");
    }
    let (status, answer) = refused(request("POST /orders", &[("idempotency-key", "k")], None)).await;
    assert_eq!((status, problem(&answer)), (400, "not-json"));
}

#[tokio::test]
async fn json_that_nests_too_deep_is_refused_not_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(30_000), "}".repeat(30_000));
    for deep in [&deep, &objects] {
        let inside = |place: &str| good_order().to_string().replacen(place, deep, 1);
        for body in [deep.clone(), inside("\"c-1\""), inside("\"MUG\""), inside("\"London\"")] {
            let (status, _) =
                refused(request("POST /orders", &[("idempotency-key", "k")], Some(&body))).await;
            assert!([400, 422].contains(&status), "{status}");
        }
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_by_its_field() {
    let cases: [(&str, Change); 9] = [
        ("customerId", |order| order["customerId"] = 7.into()),
        ("lines", |order| order["lines"] = "none".into()),
        ("lines[1]", |order| order["lines"][1] = Value::Null),
        ("lines[1].quantity", |order| order["lines"][1]["quantity"] = "1".into()),
        ("lines[0].quantity", |order| order["lines"][0]["quantity"] = json!(1.5)),
        ("lines[0].unitPrice.amountMinor", |order| {
            order["lines"][0]["unitPrice"]["amountMinor"] = json!(12.5)
        }),
        ("total.currency", |order| order["total"]["currency"] = json!(["EUR"])),
        ("personal.email", |order| order["personal"]["email"] = json!({"Ada Example": 1})),
        ("personal", |order| order["personal"] = PERSONAL_VALUES[0].into()),
    ];
    for (field, change) in cases {
        let (status, body) = refused(posted("k", &with(change))).await;
        assert_eq!((status, problem(&body), fields(&body)), (422, "invalid-order", vec![field]), "{body}");
    }
}

#[tokio::test]
async fn a_missing_field_is_named() {
    for field in ["customerId", "lines", "total", "personal"] {
        let order = with(|order| drop(order.as_object_mut().unwrap().remove(field)));
        let (status, body) = refused(posted("k", &order)).await;
        assert_eq!((status, problem(&body)), (422, "invalid-order"));
        assert!(body["errors"][0]["message"].as_str().unwrap().contains(field), "{body}");
    }
}

#[tokio::test]
async fn an_unknown_field_is_refused_and_named() {
    let order = with(|order| order["giftWrap"] = true.into());
    let (status, body) = refused(posted("k", &order)).await;
    assert_eq!((status, problem(&body), fields(&body)), (422, "invalid-order", vec!["giftWrap"]));
}

#[tokio::test]
async fn an_order_in_a_currency_that_is_not_in_use_is_refused_with_what_to_send() {
    for code in ["HRK", "BGN", "DEM", "XXX", "XAU"] {
        let order = with(|order| {
            order["total"]["currency"] = code.into();
            for line in order["lines"].as_array_mut().unwrap() {
                line["unitPrice"]["currency"] = code.into();
            }
        });
        let (status, body) = refused(posted("k", &order)).await;
        assert_eq!((status, problem(&body)), (422, "invalid-order"), "{code}");
        assert!(fields(&body).contains(&"total.currency"), "{body}");
        let message = "currency must be the ISO 4217 code of a currency in use, such as EUR";
        assert_eq!(body["errors"][0]["message"], message, "{code}");
    }
}

#[tokio::test]
async fn every_broken_rule_is_named_at_once() {
    let order = with(|order| {
        order["customerId"] = "".into();
        order["lines"][0]["quantity"] = 0.into();
        order["lines"][1]["sku"] = "not a sku".into();
        order["total"]["currency"] = "XXY".into();
        order["personal"]["country"] = "Britain".into();
    });
    let (status, body) = refused(posted("k", &order)).await;
    assert_eq!((status, problem(&body)), (422, "invalid-order"));
    let expected = ["customerId", "lines[0].quantity", "lines[1].sku", "total.currency", "personal.country"];
    assert_eq!(fields(&body), expected);
    assert!(!body.to_string().contains("Britain"));
}

#[tokio::test]
async fn personal_data_is_in_no_refusal() {
    // `assert_problem` looks for the values; here they stand where each kind of refusal would repeat them.
    let [name, email, phone, street, postal_code] = PERSONAL_VALUES;
    let cases: [&dyn Fn(&mut Value); 7] = [
        &|order| order["personal"]["email"] = name.into(),
        &|order| order["personal"]["country"] = street.into(),
        &|order| order["customerId"] = email.into(),
        &|order| order["lines"][0]["sku"] = street.into(),
        &|order| order["total"]["currency"] = postal_code.into(),
        &|order| order["lines"] = phone.into(),
        &|order| order["lines"][0]["quantity"] = format!("{name}, expected {email}").into(),
    ];
    for change in cases {
        assert_eq!(refused(posted("k", &with(change))).await.0, 422);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_too_large() {
    let body = good_order().to_string();
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    let headers = [("idempotency-key", "k")];
    let (status, answer) =
        refused(request("POST /orders", &headers, Some(&padded(BODY_BYTES_MAX + 1)))).await;
    assert_eq!((status, problem(&answer)), (413, "body-too-large"));
    let at_limit = request("POST /orders", &headers, Some(&padded(BODY_BYTES_MAX)));
    assert_eq!(respond(&sound(), at_limit).await.0, 202);
    let mut encoded = request("POST /orders", &headers, Some(&STANDARD.encode(padded(BODY_BYTES_MAX + 1))));
    encoded.is_base64_encoded = true;
    assert_eq!(refused(encoded).await.0, 413);
}

#[tokio::test]
async fn a_base64_body_is_the_same_order() {
    let api = sound();
    let plain = respond(&api, posted("k", &good_order())).await;
    let encode = |body: &[u8]| {
        let mut request = request("POST /orders", &[("idempotency-key", "k")], Some(&STANDARD.encode(body)));
        request.is_base64_encoded = true;
        request
    };
    assert_eq!(respond(&api, encode(good_order().to_string().as_bytes())).await, plain);
    let (status, body) = refused(encode(b"{\"customerId\": \"\xff\xfe\"}")).await;
    assert_eq!((status, problem(&body)), (400, "not-json"));
    let mut not_base64 = posted("k", &good_order());
    not_base64.is_base64_encoded = true;
    let (status, body) = refused(not_base64).await;
    assert_eq!((status, problem(&body)), (400, "not-json"));
}

#[tokio::test]
async fn a_traceparent_that_is_none_is_not_passed_on() {
    let api = sound();
    let headers = [("idempotency-key", "k"), ("traceparent", "ada@example.com")];
    respond(&api, request("POST /orders", &headers, Some(&good_order().to_string()))).await;
    assert_eq!(detail_of(&api.bus.published()[0]).get("traceparent"), None);
}

#[tokio::test]
async fn an_order_nothing_is_known_of_is_not_found() {
    for route in ["GET /orders/{id}", "POST /orders/{id}/cancel"] {
        for id in ["o-1", "", "no such id", "ünknown", &"x".repeat(65)] {
            let (status, body) = refused(about(route, id)).await;
            assert_eq!((status, problem(&body)), (404, "unknown-order"), "{route} {id:?}");
        }
        let (status, _) = refused(request(route, &[], None)).await;
        assert_eq!(status, 404);
    }
}

#[tokio::test]
async fn a_route_there_is_none_of_is_not_found() {
    for route in ["DELETE /orders/{id}", "$default", ""] {
        let (status, body) = refused(request(route, &[], None)).await;
        assert_eq!((status, problem(&body)), (404, "no-such-route"));
    }
}

#[tokio::test]
async fn a_bus_or_store_that_fails_is_unavailable_and_the_repeated_request_places_the_same_order() {
    // The first call takes the order in, the second publishes it.
    for call in [1, 2] {
        for fault in [Fault::NotApplied, Fault::ReplyLost] {
            let faults = Faults::default();
            faults.fail_call(call, fault);
            let api = api(&faults);
            let response = api.respond(posted("key-1", &good_order())).await;
            let (status, body) = read(&response);
            assert_eq!((status, problem(&body)), (503, "unavailable"));
            assert_eq!(response.headers["retry-after"], "1");
            let (status, body) = respond(&api, posted("key-1", &good_order())).await;
            assert_eq!((status, placed_order_id(&body)), (202, order_id_of_key(OPEN_SCOPE, "key-1")));
            let published = api.bus.published();
            assert!(published.iter().all(|event| *event == published[0]));
            let placed_at =
                api.orders.order(&order_id_of_key(OPEN_SCOPE, "key-1")).unwrap().opened.unwrap().placed_at;
            assert_eq!(detail_of(&published[0])["time"], contracts::format_timestamp(placed_at));
        }
    }
}

#[tokio::test]
async fn an_order_is_never_answered_as_placed_before_it_is_on_the_bus() {
    let api = sound();
    api.bus.fail_entries(|_| Some(Fault::NotApplied));
    assert_eq!(respond(&api, posted("key-1", &good_order())).await.0, 503);
    assert_eq!(api.bus.published(), []);
}

async fn settle(api: &Api, id: &str, outcome: Outcome) {
    let decided_by = EventId::parse("e-1").unwrap();
    let settlement = Settlement { outcome, decided_by, decided_at: NOW };
    api.orders.settle(&order_id(id), &settlement, &[]).await.unwrap();
}

async fn place(api: &Api) -> String {
    let (_, body) = respond(api, posted("key-1", &good_order())).await;
    drop(api.bus.take_published());
    body["orderId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cancellation_is_asked_for_on_the_bus() {
    let api = sound();
    let id = place(&api).await;
    let (status, body) = respond(&api, about("POST /orders/{id}/cancel", &id)).await;
    assert_eq!((status, &body), (202, &json!({"orderId": id, "status": "cancellation_requested"})));
    let published = api.bus.published();
    assert_eq!(types_of(&published), ["orders.cancellation-requested.v1"]);
    assert_eq!(detail_of(&published[0])["subject"], id.as_str());
}

#[tokio::test]
async fn a_cancellation_that_is_asked_for_again_is_the_same_event_to_the_letter() {
    // Without a fault, and with each of its two calls carried out while the answer is lost.
    for lost in [None, Some(1), Some(2)] {
        let faults = Faults::default();
        let api = api(&faults);
        let id = place(&api).await;
        if let Some(call) = lost {
            faults.fail_call(faults.calls() + call, Fault::ReplyLost);
        }
        let first = respond(&api, about("POST /orders/{id}/cancel", &id)).await;
        assert_eq!(first.0, if lost.is_some() { 503 } else { 202 });
        assert_eq!(respond(&api, about("POST /orders/{id}/cancel", &id)).await.0, 202);
        let published = api.bus.published();
        assert!(published.iter().all(|event| detail_of(event) == detail_of(&published[0])), "{published:?}");
    }
}

#[tokio::test]
async fn a_cancelled_order_is_cancelled_again_without_a_word() {
    let api = sound();
    let id = place(&api).await;
    settle(&api, &id, Outcome::Cancelled).await;
    assert_eq!(respond(&api, about("POST /orders/{id}/cancel", &id)).await.0, 202);
    assert_eq!(api.bus.published(), []);
}

#[tokio::test]
async fn an_order_that_ended_otherwise_can_no_longer_be_cancelled() {
    for outcome in [Outcome::Confirmed, Outcome::Rejected] {
        let api = sound();
        let id = place(&api).await;
        settle(&api, &id, outcome).await;
        let (status, body) = respond(&api, about("POST /orders/{id}/cancel", &id)).await;
        assert_eq!((status, problem(&body)), (409, "order-ended"));
        assert!(body["detail"].as_str().unwrap().contains(outcome.as_str()));
        assert_eq!(api.bus.published(), []);
    }
}

#[tokio::test]
async fn a_cancellation_that_could_not_be_published_is_unavailable_and_can_be_asked_for_again() {
    for call in [1, 2] {
        let faults = Faults::default();
        let api = api(&faults);
        let id = place(&api).await;
        faults.fail_call(faults.calls() + call, Fault::NotApplied);
        assert_eq!(respond(&api, about("POST /orders/{id}/cancel", &id)).await.0, 503);
        assert_eq!(respond(&api, about("POST /orders/{id}/cancel", &id)).await.0, 202);
        assert_eq!(api.bus.published().len(), 1);
    }
}

/// Adds these to the read model as what a carrier says, or as our own where no carrier may say it.
async fn track(api: &Api, events: &[Event]) {
    for event in events {
        let is_ours = !event.data.event_type().may_come_from_outside();
        let origin = if is_ours { Origin::Own } else { Origin::Producer("carrier".to_owned()) };
        api.views.add(event.order_id().unwrap(), &fact_of(event, &origin).unwrap()).await.unwrap();
    }
}

async fn show(events: &[Event]) -> Value {
    let api = sound();
    track(&api, events).await;
    let (status, body) = respond(&api, about("GET /orders/{id}", "o-1")).await;
    assert_eq!(status, 200);
    body
}

#[tokio::test]
async fn an_order_is_shown_with_its_status_its_lines_and_its_history_and_no_person() {
    let lines = [("MUG", 2)];
    let body =
        show(&[departed("e-3", "o-1"), confirmed("e-2", "o-1", &lines), placed("e-1", "o-1", &lines)]).await;
    assert_eq!((&body["orderId"], &body["status"]), (&json!("o-1"), &json!("shipped")));
    assert_eq!((&body["outcome"], &body["customerId"]), (&json!("confirmed"), &json!("c-1")));
    assert_eq!(body["total"], json!({"amountMinor": 200, "currency": "EUR"}));
    assert_eq!(body["lines"][0]["sku"], "MUG");
    assert_eq!(body["reasons"], json!([]));
    let history: Vec<&str> =
        body["history"].as_array().unwrap().iter().map(|fact| fact["type"].as_str().unwrap()).collect();
    assert_eq!(history.len(), 3);
    assert_eq!(body["history"][0]["type"], "orders.order-placed.v1");
    assert!(PERSONAL_VALUES.iter().all(|value| !body.to_string().contains(value)));
    assert_eq!((&body["nextCursor"], &body["next"]), (&Value::Null, &Value::Null));
}

/// A carrier's scans, a minute apart and all before the order was placed, from the newest on.
fn scans(count: usize) -> Vec<Event> {
    let scan = |number: usize| {
        let mut scan = moved(&format!("scan-{number}"), "o-1", "in_transit");
        scan.time = Timestamp::from_unix_ms(NOW.unix_ms() - 60_000 * (1 + i64::try_from(number).unwrap()));
        scan
    };
    (0..count).map(scan).collect()
}

fn event_ids(body: &Value) -> Vec<&str> {
    body["history"].as_array().unwrap().iter().map(|fact| fact["eventId"].as_str().unwrap()).collect()
}

fn page(order: &str, cursor: &str) -> ApiGatewayV2httpRequest {
    let mut request = about("GET /orders/{id}", order);
    request.query_string_parameters = HashMap::from([("cursor".to_owned(), cursor.to_owned())]).into();
    request
}

#[tokio::test]
async fn what_carriers_say_is_part_of_the_history_every_cause_before_its_effects() {
    let mut arrived = moved("e-3", "o-1", "arrived");
    arrived.causation_id = Some(EventId::parse("e-2").unwrap());
    // Clocks differ.
    arrived.time = Timestamp::from_unix_ms(NOW.unix_ms() - 1);
    let events =
        [arrived, moved("e-4", "o-1", "left"), departed("e-2", "o-1"), placed("e-1", "o-1", &[("MUG", 1)])];
    assert_eq!(event_ids(&show(&events).await), ["e-1", "e-2", "e-3", "e-4"]);
}

#[tokio::test]
async fn an_order_with_more_scans_than_a_page_holds_is_shown_whole_and_the_rest_page_after_page() {
    let api = sound();
    let own =
        [placed("e-1", "o-1", &[("MUG", 2)]), confirmed("e-2", "o-1", &[("MUG", 2)]), departed("e-3", "o-1")];
    // The signature is the oldest of all, and on the last page.
    let mut signature = signed("signature", "o-1");
    signature.time = Timestamp::from_unix_ms(0);
    track(&api, &scans(250)).await;
    track(&api, &own).await;
    track(&api, &[signature]).await;
    let (status, first) = respond(&api, about("GET /orders/{id}", "o-1")).await;
    assert_eq!(
        (status, &first["status"], &first["outcome"]),
        (200, &json!("delivered"), &json!("confirmed"))
    );
    assert_eq!(first["lines"][0]["sku"], "MUG");
    let mut ids: Vec<String> = event_ids(&first).into_iter().map(str::to_owned).collect();
    assert_eq!(ids.len(), 103);
    assert!(["e-1", "e-2", "e-3", "scan-0", "scan-99"].iter().all(|id| ids.iter().any(|known| known == id)));
    let (mut next, mut pages) = (first["nextCursor"].clone(), 1);
    assert_eq!(first["next"], format!("/orders/o-1?cursor={}", next.as_str().unwrap()));
    while let Some(cursor) = next.as_str() {
        let (status, body) = respond(&api, page("o-1", cursor)).await;
        assert_eq!((status, &body["orderId"]), (200, &json!("o-1")));
        assert_eq!(body.get("status"), None, "the first page has it");
        let from = (pages * 100).min(250);
        let expected = (from..(from + 100).min(250)).map(|number| format!("scan-{number}"));
        let expected: Vec<String> = expected.chain((pages == 2).then(|| "signature".to_owned())).collect();
        assert_eq!(event_ids(&body), expected);
        ids.extend(expected);
        (next, pages) = (body["nextCursor"].clone(), pages + 1);
    }
    assert_eq!(pages, 3);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 254, "every fact, once");
}

/// Facts that were kept before what carriers say had a longest length.
#[tokio::test]
async fn a_page_ends_where_lambdas_answer_is_full_and_the_next_one_goes_on_there() {
    let api = sound();
    track(&api, &[placed("e-1", "o-1", &[("MUG", 1)])]).await;
    // A quote takes four bytes of the answer: it is escaped in the body, and again in the JSON that Lambda is handed.
    for (index, mut scan) in scans(100).into_iter().enumerate() {
        let Data::DeliveryStatusChanged(moved) = &mut scan.data else { unreachable!("a scan") };
        moved.location = Some(if index % 2 == 0 { "\"".repeat(60_000) } else { "x".repeat(60_000) });
        let fact = fact_of(&scan, &Origin::Account("444455556666".to_owned())).unwrap();
        api.views.add(&order_id("o-1"), &fact).await.unwrap();
    }
    let (mut shown, mut pages, mut cursor) = (Vec::new(), 0, None::<String>);
    loop {
        let request = cursor.as_ref().map_or_else(|| about("GET /orders/{id}", "o-1"), |it| page("o-1", it));
        let response = api.respond(request).await;
        let bytes = serde_json::to_string(&response).unwrap().len();
        assert!(bytes < 6_000_000, "page {pages} has {bytes} bytes");
        let (status, body) = read(&response);
        assert_eq!(status, 200);
        shown.extend(event_ids(&body).into_iter().map(str::to_owned));
        pages += 1;
        match body["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert!((2..=10).contains(&pages), "{pages}");
    // The first page has the oldest first; the order's own fact is the latest.
    let first = shown.iter().position(|id| id == "e-1").unwrap();
    shown[..first].reverse();
    shown.remove(first);
    let expected: Vec<String> = (0..100).map(|number| format!("scan-{number}")).collect();
    assert_eq!(shown, expected, "every fact, once, the newest first");
}

#[tokio::test]
async fn a_cursor_of_another_order_or_of_nobodys_is_the_callers_to_mend() {
    let api = sound();
    track(&api, &scans(101)).await;
    track(&api, &[placed("e-1", "o-1", &[("MUG", 1)])]).await;
    let (_, body) = respond(&api, about("GET /orders/{id}", "o-1")).await;
    let good = body["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(respond(&api, page("o-1", &good)).await.0, 200);
    let long = "A".repeat(10_000);
    let twice = format!("{good},{good}");
    let wrong = [
        ("o-2", &*good),
        ("o-1", ""),
        ("o-1", &long),
        ("o-1", &twice),
        ("o-1", &good[1..]),
        ("o-1", "\u{1F4E6}"),
    ];
    for (order, cursor) in wrong {
        let (status, body) = respond(&api, page(order, cursor)).await;
        assert_eq!(
            (status, problem(&body), fields(&body)),
            (400, "invalid-cursor", vec!["cursor"]),
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn nothing_from_outside_makes_an_order_or_ends_it() {
    let api = sound();
    // Forged to the letter, but for what nobody can forge.
    let claims = [confirmed("e-2", "o-1", &[("MUG", 1)]), departed("e-3", "o-1"), cancelled("e-4", "o-1")];
    let claim = async |event: &Event| {
        let fact = fact_of(event, &Origin::Producer("carrier".to_owned())).unwrap();
        api.views.add(&order_id("o-1"), &fact).await.unwrap();
    };
    for event in &claims {
        claim(event).await;
    }
    claim(&signed("e-5", "o-1")).await;
    assert_eq!(respond(&api, about("GET /orders/{id}", "o-1")).await.0, 404);
    track(&api, &[placed("e-1", "o-1", &[("MUG", 1)])]).await;
    let (_, body) = respond(&api, about("GET /orders/{id}", "o-1")).await;
    assert_eq!((&body["status"], &body["outcome"]), (&json!("placed"), &Value::Null));
    track(&api, &claims[..2]).await;
    let (_, body) = respond(&api, about("GET /orders/{id}", "o-1")).await;
    assert_eq!((&body["status"], &body["outcome"]), (&json!("delivered"), &json!("confirmed")));
}

#[tokio::test]
async fn an_order_that_did_not_go_ahead_is_shown_with_the_reasons() {
    let body = show(&[placed("e-1", "o-1", &[("MUG", 2)]), rejected("e-2", "o-1")]).await;
    assert_eq!((&body["status"], &body["reasons"][0]["code"]), (&json!("rejected"), &json!("out_of_stock")));
    let body = show(&[cancellation_requested("e-2", "o-1"), cancelled("e-3", "o-1")]).await;
    assert_eq!(
        (&body["status"], &body["reasons"][0]["code"]),
        (&json!("cancelled"), &json!("customer_request"))
    );
}

#[tokio::test]
async fn a_view_that_cannot_be_read_is_unavailable() {
    for call in 1..=3 {
        let faults = Faults::default();
        faults.fail_call(call, Fault::NotApplied);
        assert_eq!(respond(&api(&faults), about("GET /orders/{id}", "o-1")).await.0, 503, "{call}");
    }
}

/// Any JSON, shallow.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// A good order with one value somewhere in it replaced, removed or added.
fn almost_an_order() -> impl Strategy<Value = Value> {
    let places = [
        "",
        "/customerId",
        "/lines",
        "/lines/0",
        "/lines/0/sku",
        "/lines/0/quantity",
        "/lines/0/unitPrice",
        "/lines/1/unitPrice/amountMinor",
        "/lines/1/unitPrice/currency",
        "/total",
        "/total/amountMinor",
        "/total/currency",
        "/personal",
        "/personal/name",
        "/personal/email",
        "/personal/phone",
        "/personal/country",
    ];
    (prop::sample::select(places.to_vec()), any_json()).prop_map(|(place, value)| {
        with(|order| {
            if let Some(found) = order.pointer_mut(place) {
                *found = value;
            }
        })
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        ".{0,200}".prop_map(String::into_bytes),
        any_json().prop_map(|value| value.to_string().into_bytes()),
        almost_an_order().prop_map(|value| value.to_string().into_bytes()),
        // A good order with one byte of it changed.
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| {
            let mut body = good_order().to_string().into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            body
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn whatever_is_posted_is_accepted_or_the_callers_to_mend(
        body in any_body(),
        is_base64_encoded in any::<bool>(),
        names in prop::collection::vec(
            prop::sample::select(vec!["idempotency-key", "traceparent", "content-type", "x-other"]), 0..4),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 4),
        has_good_key in prop::bool::weighted(0.7),
    ) {
        let text = if is_base64_encoded { STANDARD.encode(&body) } else { String::from_utf8_lossy(&body).into_owned() };
        let mut request = request("POST /orders", &[], Some(&text));
        request.is_base64_encoded = is_base64_encoded;
        for (name, value) in names.iter().zip(&values) {
            if let Ok(value) = aws_lambda_events::http::HeaderValue::from_bytes(value) {
                request.headers.insert(*name, value);
            }
        }
        if has_good_key {
            request.headers.insert("idempotency-key", "key-1".parse().unwrap());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let api = sound();
        let response = runtime.block_on(api.respond(request));
        let status = response.status_code;
        prop_assert!(status == 202 || (400..500).contains(&status), "{status}");
        prop_assert_eq!(status == 202, api.bus.published().len() == 1);
        let answer: Value = serde_json::from_slice(response.body.as_deref().unwrap()).unwrap();
        prop_assert!(status == 202 || answer["status"] == status);
    }

    #[test]
    fn whatever_order_is_asked_for_is_answered(id in ".{0,80}", route in 0_usize..2) {
        let route = ["GET /orders/{id}", "POST /orders/{id}/cancel"][route];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(sound().respond(about(route, &id)));
        prop_assert_eq!(response.status_code, 404);
    }
}
