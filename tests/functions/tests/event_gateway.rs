//! `event-gateway`: only those who may publish, only what its contract allows, and each event on the bus, as itself and
//! as seldom as can be, however often it is handed in and whatever goes wrong in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of a test are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::{Event, EventType, Origin, Outbound};
use domain::EventId;
use event_gateway::{
    BODY_BYTES_MAX, DEPTH_MAX, EVENTS_MAX, EventGateway, InvalidProducers, OWN_SOURCES, Producers,
};
use function_tests::{
    PERSONAL_VALUES, SteppingClock, captured, detail_of, payment_failed, picked_up, placed,
};
use memory::{Fault, Faults, MemoryEventBus, MemoryEventLedger};
use proptest::prelude::*;
use runtime::Principal;
use serde_json::{Value, json};

const PROVIDER: &str = "arn:aws:iam::111122223333:user/provider";
const CARRIER: &str = "arn:aws:sts::444455556666:assumed-role/Carrier/session-1";
/// Publishes as both.
const BROKER: &str = "arn:aws:iam::111122223333:root";
const STRANGER: &str = "arn:aws:iam::111122223333:user/stranger";
const PRODUCERS: &str = "payments=arn:aws:iam::111122223333:user/provider, shipping=arn:aws:iam::444455556666:role/carriers/Carrier,\
     payments=arn:aws:iam::111122223333:root,shipping=arn:aws:iam::111122223333:root";

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const JSON: &str = "application/json";

type Gateway = EventGateway<MemoryEventLedger, MemoryEventBus, SteppingClock>;

fn gateway(faults: &Faults) -> Gateway {
    EventGateway {
        ledger: MemoryEventLedger::with_faults(faults.clone()),
        bus: MemoryEventBus::with_faults(faults.clone()),
        clock: SteppingClock::default(),
        producers: Producers::parse(PRODUCERS).unwrap(),
    }
}

fn sound() -> Gateway {
    gateway(&Faults::default())
}

/// A request as API Gateway hands it to Lambda.
fn request(user_arn: Option<&str>, content_type: &str, body: &str) -> ApiGatewayV2httpRequest {
    let mut payload = json!({
        "version": "2.0",
        "routeKey": "POST /events",
        "rawPath": "/events",
        "rawQueryString": "",
        "headers": {"content-type": content_type},
        "requestContext": {
            "http": {"method": "POST", "path": "/events", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "request-1",
            "routeKey": "POST /events",
            "stage": "$default",
            "timeEpoch": 1_769_860_800_000_i64,
        },
        "isBase64Encoded": false,
        "body": body,
    });
    if let Some(user_arn) = user_arn {
        payload["requestContext"]["authorizer"] =
            json!({"iam": {"userArn": user_arn, "accountId": "111122223333"}});
    }
    serde_json::from_value(payload).unwrap()
}

fn cloud_event(event: &Event) -> Value {
    detail_of(&event.to_outbound().unwrap())
}

fn payment(id: &str) -> Value {
    cloud_event(&captured(id, "o-1"))
}

fn pick_up(id: &str) -> Value {
    cloud_event(&picked_up(id, "o-1"))
}

fn with(mut event: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut event);
    event
}

/// What a payment provider's own system would say of the same payment afterwards.
fn another_under(id: &str) -> Value {
    with(payment(id), |event| event["data"]["providerReference"] = "another".into())
}

/// Status, body and headers of an answer, whose form is checked.
fn read(response: &ApiGatewayV2httpResponse) -> (i64, Value) {
    let body: Value = serde_json::from_slice(response.body.as_deref().expect("a body")).unwrap();
    let header = |name: &str| response.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("cache-control"), Some("no-store"));
    let status = response.status_code;
    let Some(events) = body["events"].as_array() else {
        assert_eq!(header("content-type"), Some("application/problem+json"));
        assert!(body["type"].as_str().unwrap().starts_with("urn:orderbus:problem:"), "{body}");
        assert_eq!(body["status"], status);
        return (status, body);
    };
    assert_eq!(header("content-type"), Some(JSON));
    let statuses: BTreeSet<i64> = events.iter().map(|event| event["status"].as_i64().unwrap()).collect();
    let common = if statuses.len() == 1 { *statuses.first().unwrap() } else { 207 };
    assert_eq!(status, common, "{body}");
    assert_eq!(header("retry-after").is_some(), statuses.contains(&503));
    for event in events {
        let errors = event["errors"].as_array().cloned().unwrap_or_default();
        assert_eq!(errors.is_empty(), event["status"] == 202, "{event}");
        for error in errors {
            assert!(["code", "message"].iter().all(|name| error[name].is_string()), "{error}");
        }
    }
    (status, body)
}

async fn respond(gateway: &Gateway, request: ApiGatewayV2httpRequest) -> (i64, Value) {
    read(&gateway.respond(request).await)
}

async fn hand_in(gateway: &Gateway, user_arn: &str, events: &[Value]) -> (i64, Value) {
    respond(gateway, request(Some(user_arn), BATCH, &json!(events).to_string())).await
}

/// `status outcome` of each event.
fn fates(body: &Value) -> Vec<String> {
    let events = body["events"].as_array().unwrap_or_else(|| panic!("{body}"));
    events.iter().map(|event| format!("{} {}", event["status"], event["outcome"].as_str().unwrap())).collect()
}

fn fields(event: &Value) -> Vec<&str> {
    event["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

fn problem(body: &Value) -> &str {
    body["type"].as_str().unwrap_or_else(|| panic!("{body}")).rsplit(':').next().unwrap()
}

/// What the gateway calls a caller.
fn name_of(user_arn: &str) -> String {
    let caller = Principal::of_caller(user_arn).unwrap();
    Producers::parse(PRODUCERS).unwrap().find(&caller).unwrap().name().to_owned()
}

/// An event as it is on the bus, when this caller handed it in.
fn handed_in_by(user_arn: &str, event: Value) -> Value {
    with(event, |event| event["producer"] = name_of(user_arn).into())
}

/// The place of an event in the ledger.
fn place(user_arn: &str, id: &str) -> (String, EventId) {
    (name_of(user_arn), EventId::parse(id).unwrap())
}

fn ids(published: &[Outbound]) -> Vec<&str> {
    published.iter().map(|event| event.event_id.as_str()).collect()
}

/// A gateway that was asked this, and was not moved by it.
async fn refused(request: ApiGatewayV2httpRequest) -> (i64, Value) {
    let faults = Faults::default();
    let gateway = gateway(&faults);
    let answer = respond(&gateway, request).await;
    assert_eq!((faults.calls(), gateway.ledger.events().len()), (0, 0), "{answer:?}");
    answer
}

#[tokio::test]
async fn an_event_is_accepted_once_it_is_on_the_bus() {
    let gateway = sound();
    for (content_type, body) in [
        (ONE, payment("e-1").to_string()),
        ("Application/CloudEvents+JSON; charset=\"UTF-8\"", json!([payment("e-2")]).to_string()),
        (BATCH, format!(" \n{}", json!([payment("e-3")]))),
        ("application/cloudevents-batch+json;charset=utf-8", json!([payment("e-4")]).to_string()),
        (JSON, json!([payment("e-5")]).to_string()),
        (JSON, payment("e-6").to_string()),
    ] {
        let (status, body) = respond(&gateway, request(Some(PROVIDER), content_type, &body)).await;
        assert_eq!((status, fates(&body)), (202, vec!["202 accepted".to_owned()]), "{content_type}: {body}");
        assert_eq!(body["events"][0]["id"], gateway.bus.published().last().unwrap().event_id.as_str());
    }
    assert_eq!(ids(&gateway.bus.published()), ["e-1", "e-2", "e-3", "e-4", "e-5", "e-6"]);
    assert_eq!(detail_of(&gateway.bus.published()[0]), handed_in_by(PROVIDER, payment("e-1")));
    let mut encoded = request(Some(PROVIDER), ONE, &STANDARD.encode(payment("e-7").to_string()));
    encoded.is_base64_encoded = true;
    assert_eq!(respond(&gateway, encoded).await.0, 202);
    assert!(gateway.ledger.events().values().all(|event| event.published_at.is_some()));
}

#[tokio::test]
async fn what_was_handed_in_again_is_a_duplicate_and_not_published_again() {
    let gateway = sound();
    assert_eq!(hand_in(&gateway, PROVIDER, &[payment("e-1")]).await.0, 202);
    // White space, the order of fields, another way to write the instant, and fields that nobody reads are not the event.
    let mut rewritten = payment("e-1");
    rewritten["time"] = "2026-01-31T13:00:00+01:00".into();
    rewritten["data"]["unknown"] = true.into();
    let spaced = serde_json::to_string_pretty(&rewritten).unwrap();
    for body in [payment("e-1").to_string(), spaced] {
        let (status, body) = respond(&gateway, request(Some(PROVIDER), ONE, &body)).await;
        assert_eq!((status, fates(&body)), (202, vec!["202 duplicate".to_owned()]));
    }
    let (_, body) = hand_in(&gateway, PROVIDER, &[payment("e-2"), payment("e-1")]).await;
    assert_eq!(fates(&body), ["202 accepted", "202 duplicate"]);
    assert_eq!(ids(&gateway.bus.published()), ["e-1", "e-2"]);
}

#[tokio::test]
async fn an_id_of_a_producer_stands_for_one_event() {
    let gateway = sound();
    assert_eq!(hand_in(&gateway, PROVIDER, &[payment("e-1")]).await.0, 202);
    let (status, body) = hand_in(&gateway, PROVIDER, &[another_under("e-1")]).await;
    assert_eq!((status, fields(&body["events"][0])), (409, vec!["id"]));
    assert_eq!(gateway.bus.published().len(), 1);
    let (_, body) = hand_in(&gateway, PROVIDER, &[payment("e-1")]).await;
    assert_eq!(fates(&body), ["202 duplicate"], "it still stands for the first");
}

#[tokio::test]
async fn no_producer_uses_up_the_ids_of_another_or_of_orderbus() {
    let gateway = sound();
    // Ids that anyone can compute: one of Orderbus's own, and one that the provider is going to use.
    for id in ["checkout:o-1:order-confirmed", "e-1"] {
        let pick_up = with(pick_up("e-1"), |event| event["id"] = id.into());
        let claimed = hand_in(&gateway, BROKER, &[pick_up.clone(), payment(id)]).await;
        assert_eq!(fates(&claimed.1), ["202 accepted", "409 refused"]);
        let (_, body) = hand_in(&gateway, CARRIER, &[pick_up]).await;
        assert_eq!(fates(&body), ["202 accepted"], "the same event, of another producer");
        let (_, body) = hand_in(&gateway, PROVIDER, &[payment(id)]).await;
        assert_eq!(fates(&body), ["202 accepted"]);
    }
    let published = gateway.bus.published();
    let envelope = |outbound: &Outbound| {
        let (name, source) = (outbound.event_type.as_str(), outbound.event_type.source());
        json!({"detail-type": name, "source": source, "account": "1", "detail": detail_of(outbound)})
    };
    let identity =
        |outbound| contracts::decode(&envelope(outbound).to_string(), Some("1")).unwrap().identity();
    let identities: BTreeSet<EventId> = published.iter().map(identity).collect();
    assert_eq!((published.len(), identities.len()), (6, 6), "six events, and every reader tells them apart");
    assert!(ids(&published).into_iter().all(|id| !identities.contains(&EventId::parse(id).unwrap())));
}

#[tokio::test]
async fn the_gateway_names_the_producer_and_the_producer_does_not() {
    let gateway = sound();
    for (caller, event) in [(PROVIDER, payment("e-1")), (CARRIER, pick_up("e-1")), (BROKER, pick_up("e-1"))] {
        for name in [json!("carrier"), json!(name_of(caller)), json!(""), json!(7), json!({})] {
            let named = with(event.clone(), |event| event["producer"] = name);
            let (status, body) = hand_in(&gateway, caller, &[named]).await;
            assert_eq!((status, fields(&body["events"][0])), (422, vec!["producer"]), "{body}");
        }
        let named_null = with(event.clone(), |event| event["producer"] = Value::Null);
        let (_, body) = hand_in(&gateway, caller, &[named_null, event.clone()]).await;
        assert_eq!(fates(&body), ["202 accepted", "202 duplicate"]);
        let published = gateway.bus.published().pop().unwrap();
        assert_eq!(detail_of(&published), handed_in_by(caller, event));
        let origin = Origin::of(Some("1"), Some("1"), detail_of(&published)["producer"].as_str());
        assert_eq!(origin, Origin::Producer(name_of(caller)));
    }
}

#[tokio::test]
async fn of_two_in_one_request_the_same_is_one_and_another_is_refused() {
    let gateway = sound();
    let batch = [payment("e-1"), payment("e-1"), another_under("e-1"), payment("e-2")];
    let (status, body) = hand_in(&gateway, PROVIDER, &batch).await;
    assert_eq!(status, 207);
    assert_eq!(fates(&body), ["202 accepted", "202 duplicate", "409 refused", "202 accepted"]);
    assert_eq!(ids(&gateway.bus.published()), ["e-1", "e-2"]);
    assert_eq!(detail_of(&gateway.bus.published()[0]), handed_in_by(PROVIDER, payment("e-1")));
    // What the id stands for is recognised wherever in a request it comes.
    let (_, body) = hand_in(&gateway, PROVIDER, &[another_under("e-1"), payment("e-1")]).await;
    assert_eq!(fates(&body), ["409 refused", "202 duplicate"]);
    // An event that is refused by itself does not use its id up.
    let broken = with(payment("e-3"), |event| event["data"]["amount"]["currency"] = "XXY".into());
    let (_, body) = hand_in(&gateway, PROVIDER, &[broken, payment("e-3")]).await;
    assert_eq!(fates(&body), ["422 refused", "202 accepted"]);
}

#[tokio::test]
async fn each_event_has_its_own_fate_in_the_order_of_the_request() {
    let gateway = sound();
    hand_in(&gateway, PROVIDER, &[payment("e-0")]).await;
    let batch = [
        pick_up("e-1"),
        payment("e-2"),
        with(payment("e-3"), |event| drop(event["data"].as_object_mut().unwrap().remove("orderId"))),
        payment("e-0"),
        Value::Null,
        another_under("e-0"),
        cloud_event(&payment_failed("e-4", "o-1")),
    ];
    let (status, body) = hand_in(&gateway, PROVIDER, &batch).await;
    assert_eq!(status, 207);
    let expected = [
        "403 refused",
        "202 accepted",
        "422 refused",
        "202 duplicate",
        "422 refused",
        "409 refused",
        "202 accepted",
    ];
    assert_eq!(fates(&body), expected);
    assert_eq!(fields(&body["events"][2]), ["data.orderId"]);
    let told: Vec<&Value> = body["events"].as_array().unwrap().iter().map(|event| &event["id"]).collect();
    assert_eq!(json!(told), json!(["e-1", "e-2", "e-3", "e-0", null, "e-0", "e-4"]));
    assert_eq!(ids(&gateway.bus.published()), ["e-0", "e-2", "e-4"]);
    assert_eq!(gateway.ledger.events().len(), 3, "nothing else left a trace");
}

#[tokio::test]
async fn a_caller_publishes_as_its_own_sources_and_as_nobody_else() {
    for (caller, may_pay, may_ship) in [(PROVIDER, 202, 403), (CARRIER, 403, 202), (BROKER, 202, 202)] {
        let gateway = sound();
        let (_, body) = hand_in(&gateway, caller, &[payment("e-1"), pick_up("e-2")]).await;
        let statuses: Vec<&Value> =
            body["events"].as_array().unwrap().iter().map(|event| &event["status"]).collect();
        assert_eq!(statuses, [&json!(may_pay), &json!(may_ship)], "{caller}");
        let taken = statuses.iter().filter(|status| ***status == 202).count();
        assert_eq!(gateway.bus.published().len(), taken);
    }
    // As Orderbus itself, nobody. What else is wrong with somebody else's event is nobody's business.
    let order = cloud_event(&placed("e-1", "o-1", &[("MUG", 1)]));
    for source in OWN_SOURCES.into_iter().chain(["warehouse", "", "Payments", "payments "]) {
        let event = with(order.clone(), |event| event["source"] = source.into());
        let (status, body) = hand_in(&sound(), BROKER, &[event]).await;
        assert_eq!((status, fields(&body["events"][0])), (403, vec!["source"]), "{source}");
    }
    // A type that is not the source's is no event of the catalogue.
    let smuggled = format!("{{\"source\":\"orders\",{}", &payment("e-1").to_string()[1..]);
    let (status, body) = refused(request(Some(PROVIDER), ONE, &smuggled)).await;
    assert_eq!((status, fields(&body["events"][0])), (422, vec!["source"]), "{body}");
}

#[tokio::test]
async fn what_only_orderbus_says_no_caller_says() {
    for event_type in EventType::ALL.iter().filter(|event_type| !event_type.may_come_from_outside()) {
        for source in ["payments", "shipping"] {
            let event = with(payment("e-1"), |event| {
                event["source"] = source.into();
                event["type"] = event_type.as_str().into();
            });
            let gateway = sound();
            let (status, body) = hand_in(&gateway, BROKER, &[event]).await;
            assert_eq!((status, fields(&body["events"][0])), (403, vec!["type"]), "{}", event_type.as_str());
            assert!(gateway.bus.published().is_empty());
        }
    }
}

#[tokio::test]
async fn nobody_is_let_in_who_is_not_known() {
    let body = payment("e-1").to_string();
    let (status, answer) = refused(request(None, ONE, &body)).await;
    assert_eq!((status, problem(&answer)), (403, "not-signed"));
    let mut unsigned = request(Some(PROVIDER), ONE, &body);
    unsigned.request_context.authorizer.as_mut().unwrap().iam.as_mut().unwrap().user_arn = None;
    assert_eq!(problem(&refused(unsigned).await.1), "not-signed");
    assert_eq!(problem(&refused(request(Some(""), ONE, &body)).await.1), "not-signed");
    for user_arn in [
        STRANGER,
        "arn:aws:iam::111122223333:user/PROVIDER",
        "arn:aws:iam::111122223333:user/x/provider",
        "arn:aws:iam::999999999999:user/provider",
        "arn:aws-cn:iam::111122223333:user/provider",
        "arn:aws:iam::111122223333:user/provider,arn:aws:iam::111122223333:root",
        "arn:aws:sts::111122223333:assumed-role/Carrier/session-1",
        "arn:aws:sts::444455556666:assumed-role/Carrier",
        "arn:aws:sts::444455556666:assumed-role/Carrier/",
        "arn:aws:sts::444455556666:assumed-role/carriers/Carrier",
        "arn:aws:sts::444455556666:federated-user/Carrier",
        "arn:aws:iam::444455556666:role/Carrier",
        "arn:aws:iam::444455556666:role/carriers/Carrier",
        "arn:aws:iam::444455556666:root",
    ] {
        let (status, answer) = refused(request(Some(user_arn), ONE, &body)).await;
        assert_eq!((status, problem(&answer)), (403, "not-a-producer"), "{user_arn}");
    }
    let nobody = EventGateway { producers: Producers::parse("").unwrap(), ..sound() };
    for user_arn in [PROVIDER, CARRIER, BROKER] {
        assert_eq!(problem(&hand_in(&nobody, user_arn, &[payment("e-1")]).await.1), "not-a-producer");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_as_a_whole_is_a_problem() {
    let one = payment("e-1").to_string();
    let eleven = json!((0..=EVENTS_MAX).map(|number| payment(&format!("e-{number}"))).collect::<Vec<_>>());
    let large = with(payment("e-1"), |event| event["x"] = "x".repeat(BODY_BYTES_MAX).into()).to_string();
    let deep = |depth: usize| {
        with(payment("e-1"), |event| event["x"] = "DEEP".into())
            .to_string()
            .replace("\"DEEP\"", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
    };
    let twice = format!("{one}{one}");
    for (content_type, body, expected, name) in [
        ("", one.as_str(), 415, "unsupported-media-type"),
        ("text/plain", &one, 415, "unsupported-media-type"),
        ("application/cloudevents+xml", &one, 415, "unsupported-media-type"),
        ("application/json; charset=latin1", &one, 415, "unsupported-media-type"),
        (ONE, "", 400, "not-json"),
        (ONE, "{", 400, "not-json"),
        (ONE, &one[1..], 400, "not-json"),
        (ONE, &twice, 400, "not-json"),
        (BATCH, "[1 2]", 400, "not-json"),
        (BATCH, &one, 400, "not-events"),
        (ONE, "7", 400, "not-events"),
        (JSON, "null", 400, "not-events"),
        (JSON, "\"Ada Example\"", 400, "not-events"),
        (BATCH, "[]", 400, "wrong-count"),
        (ONE, &eleven.to_string(), 400, "wrong-count"),
        (ONE, &large, 413, "body-too-large"),
        (ONE, &deep(DEPTH_MAX), 400, "too-deep"),
        (ONE, &deep(200_000), 400, "too-deep"),
    ] {
        let (status, answer) = refused(request(Some(PROVIDER), content_type, body)).await;
        assert_eq!((status, problem(&answer)), (expected, name), "{content_type} {:.40}: {answer}", body);
        assert!(PERSONAL_VALUES.iter().all(|value| !answer.to_string().contains(value)));
    }
    assert_eq!(respond(&sound(), request(Some(PROVIDER), ONE, &deep(DEPTH_MAX - 1))).await.0, 202);
    // Brackets in a text are none.
    let text = with(payment("e-1"), |event| event["x"] = "\\\"[[{".repeat(100).into()).to_string();
    assert_eq!(respond(&sound(), request(Some(PROVIDER), ONE, &text)).await.0, 202);
    let ten: Vec<Value> = (0..EVENTS_MAX).map(|number| payment(&format!("e-{number}"))).collect();
    assert_eq!(hand_in(&sound(), PROVIDER, &ten).await.0, 202);

    let mut encoded = request(Some(PROVIDER), ONE, "not base64!");
    encoded.is_base64_encoded = true;
    assert_eq!(problem(&refused(encoded).await.1), "not-json");
    let mut not_text = request(Some(PROVIDER), ONE, &STANDARD.encode([b'"', 0xff, b'"']));
    not_text.is_base64_encoded = true;
    assert_eq!(problem(&refused(not_text).await.1), "not-json");
    let mut elsewhere = request(Some(PROVIDER), ONE, &one);
    elsewhere.route_key = Some("GET /events".to_owned());
    assert_eq!(problem(&refused(elsewhere).await.1), "no-such-route");
}

/// What API Gateway lets through, the bus takes in one call, with all that the gateway adds to it.
#[tokio::test]
async fn the_largest_request_fits_into_one_put() {
    let gateway = sound();
    let bare = |number: usize, filler: usize| {
        with(payment(&format!("e-{number}")), |event| {
            for optional in ["datacontenttype", "dataschema", "correlationid", "traceparent"] {
                event.as_object_mut().unwrap().remove(optional);
            }
            event["x"] = "x".repeat(filler).into();
        })
    };
    let events = |filler| json!((0..EVENTS_MAX).map(|number| bare(number, filler)).collect::<Vec<_>>());
    let room = BODY_BYTES_MAX - events(0).to_string().len();
    let body = events(room / EVENTS_MAX).to_string();
    assert!((BODY_BYTES_MAX - EVENTS_MAX..=BODY_BYTES_MAX).contains(&body.len()));
    assert_eq!(respond(&gateway, request(Some(PROVIDER), BATCH, &body)).await.0, 202);
    // What is unknown is left out, so what is known is as large as its limits let it be.
    let token = "t".repeat(2_048);
    let large = |number| {
        with(payment(&format!("l-{number}")), |event| event["data"]["taskToken"] = token.as_str().into())
    };
    let ten: Vec<Value> = (0..EVENTS_MAX).map(large).collect();
    assert_eq!(hand_in(&gateway, PROVIDER, &ten).await.0, 202);
    let bytes = |event: &Outbound| event.detail.len() + 2 * event.event_type.as_str().len();
    let published = gateway.bus.published();
    let added: usize = published[..EVENTS_MAX].iter().map(bytes).sum();
    let all: usize = published[EVENTS_MAX..].iter().map(bytes).sum();
    assert!(BODY_BYTES_MAX + added <= 1_000_000 && all <= 1_000_000, "{added} {all}");
}

#[tokio::test]
async fn ten_new_events_cost_three_rounds_and_one_put() {
    let faults = Faults::default();
    let gateway = gateway(&faults);
    let ten: Vec<Value> = (0..EVENTS_MAX).map(|number| payment(&format!("e-{number}"))).collect();
    let request = request(Some(PROVIDER), BATCH, &json!(ten).to_string());
    let polls = poll(gateway.respond(request), None).unwrap().1;
    assert_eq!(faults.calls(), 10 + 1 + 10);
    assert_eq!(polls, 4, "each round of calls waits once");
}

#[tokio::test]
async fn an_event_that_the_bus_does_not_take_fails_alone_and_is_published_when_it_comes_again() {
    let gateway = sound();
    let fails = |event: &Outbound| (event.event_id.as_str() == "e-2").then_some(Fault::NotApplied);
    gateway.bus.fail_entries(fails);
    let batch = [payment("e-1"), payment("e-2"), payment("e-2"), pick_up("e-3")];
    let (_, body) = hand_in(&gateway, BROKER, &batch).await;
    assert_eq!(fates(&body), ["202 accepted", "503 failed", "503 failed", "202 accepted"]);
    assert_eq!(gateway.ledger.events()[&place(BROKER, "e-2")].published_at, None);
    let (_, body) = hand_in(&gateway, BROKER, &[another_under("e-2")]).await;
    assert_eq!(fates(&body), ["409 refused"], "an event that is not out yet has its id all the same");
    gateway.bus.fail_entries(|_| None);
    let (status, body) = hand_in(&gateway, BROKER, &batch).await;
    assert_eq!(status, 202);
    assert_eq!(fates(&body), ["202 duplicate", "202 accepted", "202 duplicate", "202 duplicate"]);
    assert_eq!(ids(&gateway.bus.published()), ["e-1", "e-3", "e-2"]);
}

#[tokio::test]
async fn an_event_whose_publication_nobody_noted_is_published_again_to_the_letter() {
    let faults = Faults::default();
    let gateway = gateway(&faults);
    faults.fail_call(3, Fault::NotApplied);
    assert_eq!(
        fates(&hand_in(&gateway, PROVIDER, &[payment("e-1")]).await.1),
        ["202 accepted"],
        "it is on the bus"
    );
    assert_eq!(fates(&hand_in(&gateway, PROVIDER, &[payment("e-1")]).await.1), ["202 accepted"]);
    assert_eq!(fates(&hand_in(&gateway, PROVIDER, &[payment("e-1")]).await.1), ["202 duplicate"]);
    let published = gateway.bus.published();
    assert_eq!((published.len(), &published[0]), (2, &published[1]));
}

/// Polls a future to its end, or drops it when it was polled so often. Says how often it was.
fn poll<T>(future: impl Future<Output = T>, polls_max: Option<usize>) -> Option<(T, usize)> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 0.. {
        if polls_max == Some(polls) {
            return None;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some((output, polls + 1));
        }
    }
    None
}

#[tokio::test]
async fn an_event_may_be_dated_a_day_ahead_and_no_more() {
    let gateway = gateway_at_now();
    let dated = |id: &str, time: &str| with(payment(id), |event| event["time"] = time.into());
    let events = [
        dated("e-1", "2026-02-01T12:00:00Z"),
        dated("e-2", "2026-02-01T12:00:00.001Z"),
        dated("e-3", "2099-12-31T00:00:00Z"),
        dated("e-4", "2020-01-01T00:00:00Z"),
    ];
    let (status, body) = hand_in(&gateway, PROVIDER, &events).await;
    assert_eq!(
        (status, fates(&body)),
        (207, ["202 accepted", "422 refused", "422 refused", "202 accepted"].map(str::to_owned).into())
    );
    let error = &body["events"][2]["errors"][0];
    assert_eq!((&error["code"], &error["field"]), (&json!("invalid_attribute"), &json!("time")));
}

/// With a clock that stands still.
fn gateway_at_now() -> Gateway {
    EventGateway { clock: SteppingClock::new(0), ..sound() }
}

/// A history, each request handed in until all of it is answered for good. Says what is on the bus and how often calls were
/// made and waited for.
struct Run {
    published: BTreeMap<String, String>,
    copies: usize,
    calls: u64,
    polls: usize,
}

fn history() -> Vec<Vec<Value>> {
    let broken = with(payment("e-9"), |event| event["time"] = "noon".into());
    vec![
        vec![payment("e-1"), pick_up("e-2"), payment("e-1"), broken],
        vec![pick_up("e-2"), payment("e-3"), another_under("e-1")],
    ]
}

fn run(lost: &[(u64, Fault)], mut gone_after: Option<usize>) -> Run {
    let faults = Faults::default();
    let gateway = gateway(&faults);
    lost.iter().for_each(|(call, fault)| faults.fail_call(*call, *fault));
    let mut polls = 0;
    for events in history() {
        for attempt in 0.. {
            assert!(attempt < 10, "never answered: {lost:?}");
            let request = request(Some(BROKER), BATCH, &json!(events).to_string());
            let left = gone_after.map(|gone_after| gone_after.saturating_sub(polls));
            // A call that never comes back is a process that is gone.
            let answered = {
                let mut future = pin!(gateway.respond(request));
                let mut context = Context::from_waker(Waker::noop());
                let mut answer = None;
                for number in 0.. {
                    if left == Some(number) || faults.take_gone() {
                        gone_after = None;
                        break;
                    }
                    polls += 1;
                    if let Poll::Ready(response) = future.as_mut().poll(&mut context) {
                        answer = Some(response);
                        break;
                    }
                }
                answer
            };
            let Some(response) = answered else { continue };
            let (_, body) = read(&response);
            let on_the_bus = gateway.bus.published();
            for (event, told) in events.iter().zip(body["events"].as_array().unwrap()) {
                // Whatever went wrong: what is answered is true, and what is on the bus is what was handed in.
                if told["status"] == 202 {
                    let event = handed_in_by(BROKER, event.clone());
                    assert!(on_the_bus.iter().any(|one| detail_of(one) == event), "{told}: {lost:?}");
                }
            }
            if body["events"].as_array().unwrap().iter().all(|event| event["status"] != 503) {
                break;
            }
        }
    }
    let published = gateway.bus.published();
    let copies = published.len();
    let mut by_id = BTreeMap::new();
    for Outbound { event_id, detail, .. } in published {
        let first = by_id.entry(event_id.to_string()).or_insert_with(|| detail.clone());
        assert_eq!(*first, detail, "an event in two versions");
    }
    Run { published: by_id, copies, calls: faults.calls(), polls }
}

#[test]
fn whatever_call_goes_wrong_the_same_events_are_on_the_bus() {
    let undisturbed = run(&[], None);
    assert_eq!(undisturbed.published.keys().collect::<Vec<_>>(), ["e-1", "e-2", "e-3"]);
    assert_eq!((undisturbed.copies, undisturbed.calls), (3, 2 + 1 + 2 + 3 + 1 + 1));
    for first in 1..=undisturbed.calls {
        for fault in Fault::ALL {
            assert_eq!(run(&[(first, fault)], None).published, undisturbed.published, "{first} {fault:?}");
            // What a fault makes necessary is called after it, so the second may come later than the last call was.
            for second in first + 1..=undisturbed.calls + 3 {
                for other in Fault::ALL {
                    let lost = [(first, fault), (second, other)];
                    assert_eq!(run(&lost, None).published, undisturbed.published, "{lost:?}");
                }
            }
        }
    }
    for polls in 0..=undisturbed.polls {
        assert_eq!(run(&[], Some(polls)).published, undisturbed.published, "gone after {polls}");
    }
}

/// An id that was used under one release is recognised by the next: this hash is for ever.
#[tokio::test]
async fn the_hash_of_an_event_stays_what_it_is() {
    let gateway = sound();
    let mut payment = payment("e-1");
    payment["data"]["taskToken"] = "token-o-1".into();
    hand_in(&gateway, PROVIDER, &[payment]).await;
    let events = gateway.ledger.events();
    let event = &events[&place(PROVIDER, "e-1")];
    assert_eq!(event.source, "payments");
    assert_eq!(event.fingerprint, "5b4fbbb428d486bb51fc8beae04c303600efb33bc106baf98bc2ce520c4be05c");
}

#[test]
fn producers_are_read_strictly() {
    let user = "arn:aws:iam::111122223333:user/a";
    let producers = Producers::parse(PRODUCERS).unwrap();
    let sources = |user_arn: &str| {
        let caller = Principal::of_caller(user_arn)?;
        producers.find(&caller).map(|producer| producer.sources().iter().copied().collect::<Vec<_>>())
    };
    assert_eq!(sources(PROVIDER), Some(vec!["payments"]));
    assert_eq!(sources(CARRIER), Some(vec!["shipping"]));
    assert_eq!(sources(BROKER), Some(vec!["payments", "shipping"]));
    assert_eq!(sources(STRANGER), None);
    // A role goes by its name alone, with a path or without.
    let role = |arn: &str| Principal::parse(arn).unwrap();
    assert!(role("arn:aws:iam::111122223333:role/a/b/R") == role("arn:aws:iam::111122223333:role/R"));

    let again = Producers::parse(&format!("{PRODUCERS},payments={user}")).unwrap();
    let name = |producers: &Producers| {
        producers.find(&Principal::of_caller(PROVIDER).unwrap()).unwrap().name().to_owned()
    };
    assert_eq!(name(&producers), name(&again), "whoever else is named");

    for (text, expected) in [
        ("payments", InvalidProducers::NotAPair { number: 1 }),
        (",", InvalidProducers::NotAPair { number: 1 }),
        (" ", InvalidProducers::NotAPair { number: 1 }),
        (&format!("payments={user},"), InvalidProducers::NotAPair { number: 2 }),
        (&format!("warehouse={user}"), InvalidProducers::UnknownSource { number: 1 }),
        (&format!("={user}"), InvalidProducers::UnknownSource { number: 1 }),
        (&format!("payments={user},*={user}"), InvalidProducers::UnknownSource { number: 2 }),
        ("payments=", InvalidProducers::NotAPrincipal { number: 1 }),
        ("payments=*", InvalidProducers::NotAPrincipal { number: 1 }),
    ] {
        assert_eq!(Producers::parse(text).unwrap_err(), expected, "{text}");
    }
    for source in OWN_SOURCES {
        let error = Producers::parse(&format!("{source}={user}")).unwrap_err();
        assert!(matches!(error, InvalidProducers::OwnSource { number: 1, .. }), "{source}");
    }
}

/// A name under which events were published is in the lake for ever.
#[test]
fn the_name_of_a_producer_stays_what_it_is() {
    assert_eq!(name_of(PROVIDER), "provider-7a93f3c4b384cdede550");
    assert_eq!(name_of(CARRIER), "carrier-5fb1782594ec44a10ea5");
    assert_eq!(name_of(BROKER), "root-3d077c1298bc1ec6192d");
}

#[test]
fn no_two_principals_have_one_name() {
    let (mut names, mut arns) = (BTreeSet::new(), Vec::new());
    let longest = "n".repeat(64);
    for account in ["111122223333", "444455556666"] {
        arns.push(format!("arn:aws:iam::{account}:root"));
        for kind in ["user", "role"] {
            for name in
                ["a", "A", "a-b", "a_b", "a.b", "a--b", "-a", "a-", "+=.@-_", "root", &longest, &longest[1..]]
            {
                arns.push(format!("arn:aws:iam::{account}:{kind}/{name}"));
            }
        }
        arns.push(format!("arn:aws:iam::{account}:user/path/a"));
        arns.push(format!("arn:aws-cn:iam::{account}:user/a"));
    }
    for arn in &arns {
        let producers = Producers::parse(&format!("shipping={arn}")).unwrap();
        let name = producers.find(&Principal::parse(arn).unwrap()).unwrap().name().to_owned();
        assert_eq!(Origin::parse(&format!("producer:{name}")), Some(Origin::Producer(name.clone())), "{arn}");
        names.insert(name);
    }
    assert_eq!(names.len(), arns.len());
}

/// What the template lets through and what the function reads are the same, so that a deployment fails at once and not
/// at the first request.
#[test]
fn the_template_takes_exactly_what_the_function_reads() {
    let root = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let template = catalogue::template::read(&root, "template.yaml").unwrap();
    let parameter = &template["Parameters"]["GatewayProducers"];
    assert_eq!((&parameter["Type"], &parameter["Default"]), (&json!("CommaDelimitedList"), &json!("")));
    // CloudFormation looks at the whole of each element.
    let pattern = format!("^(?:{})$", parameter["AllowedPattern"].as_str().unwrap());
    let pattern = jsonschema::validator_for(&json!({"pattern": pattern})).unwrap();
    let sources: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.source()).collect();
    let givable = sources
        .iter()
        .filter(|source| !OWN_SOURCES.contains(source))
        .map(|source| format!("{source}={PROVIDER}"));
    let good = givable.chain(
        [
            "payments=arn:aws:iam::111122223333:root",
            "payments=arn:aws-us-gov:iam::111122223333:user/path/to/User_+=.@-1",
            "shipping=arn:aws:iam::111122223333:role/R",
            "shipping=arn:aws:iam::111122223333:role/a/b/R",
            "",
        ]
        .map(str::to_owned),
    );
    for text in good {
        assert!(pattern.is_valid(&json!(text)) && Producers::parse(&text).is_ok(), "{text}");
    }
    for resource in [
        "*",
        "user/",
        "user",
        "user//a",
        "user/a/",
        "user/a b",
        "user/*",
        "group/g",
        "assumed-role/R/s",
        "root/x",
        "role/",
        "roots",
        "",
    ] {
        let text = format!("payments=arn:aws:iam::111122223333:{resource}");
        assert!(!pattern.is_valid(&json!(text)) && Producers::parse(&text).is_err(), "{text}");
    }
    for text in [
        "payments=arn:aws:sts::111122223333:user/a",
        "payments=arn:aws:iam:eu-central-1:111122223333:user/a",
        "payments=arn:aws:iam::11112222333:user/a",
        "payments=arn:evil:iam::111122223333:user/a",
        "payments = arn:aws:iam::111122223333:user/a",
        "arn:aws:iam::111122223333:user/a",
        "payments:arn:aws:iam::111122223333:user/a",
        "Payments=arn:aws:iam::111122223333:user/a",
        "orders=arn:aws:iam::111122223333:user/a",
        "ops=arn:aws:iam::111122223333:user/a",
        "inventory=arn:aws:iam::111122223333:user/a",
    ] {
        assert!(!pattern.is_valid(&json!(text)) && Producers::parse(text).is_err(), "{text}");
    }
}

/// Neither the gateway nor whoever gets hold of its role can publish as Orderbus does.
#[test]
fn the_gateway_s_role_publishes_as_whom_a_producer_may_and_as_nobody_else() {
    let root = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let template = catalogue::template::read(&root, "template.yaml").unwrap();
    let policy = &template["Resources"]["EventGatewayRole"]["Properties"]["Policies"][0]["PolicyDocument"];
    let statements = policy["Statement"].as_array().unwrap().iter();
    let on_events: Vec<&Value> =
        statements.filter(|statement| statement["Action"].to_string().contains("events:")).collect();
    let [put] = on_events[..] else { panic!("one right: {on_events:?}") };
    assert_eq!(
        (&put["Action"], &put["Resource"]),
        (&json!("events:PutEvents"), &json!({"GetAtt": "Bus.Arn"}))
    );
    let sources: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.source()).collect();
    let givable: Vec<&str> = sources.into_iter().filter(|source| !OWN_SOURCES.contains(source)).collect();
    let outside = EventType::ALL.iter().filter(|event_type| event_type.may_come_from_outside());
    let mut types: Vec<&str> = outside.map(|event_type| event_type.as_str()).collect();
    let condition = &put["Condition"]["ForAllValues:StringEquals"];
    assert_eq!(condition["events:source"], json!(givable));
    let mut allowed: Vec<&str> =
        condition["events:detail-type"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    types.sort_unstable();
    allowed.sort_unstable();
    assert_eq!(allowed, types);
}

/// What the outside alone can tell, it can tell here.
#[test]
fn every_event_that_nobody_inside_sends_may_come_through_the_gateway() {
    let root = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let flow = catalogue::Flow::read(&root).unwrap();
    for event_type in EventType::ALL {
        let senders = flow.senders_of(*event_type);
        let is_sent_inside = senders.iter().any(|name| !["event-gateway", "payment-provider"].contains(name));
        assert_eq!(senders.contains(&"event-gateway"), !is_sent_inside, "{event_type:?}: {senders:?}");
        assert!(is_sent_inside || !OWN_SOURCES.contains(&event_type.source()), "{event_type:?}");
    }
}

/// Any JSON, shallow.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn almost_an_event() -> impl Strategy<Value = Value> {
    let places = [
        "",
        "/id",
        "/source",
        "/type",
        "/time",
        "/subject",
        "/specversion",
        "/data",
        "/data/orderId",
        "/data/amount",
        "/data/amount/amountMinor",
        "/correlationid",
        "/data/carrier",
    ];
    let events = prop::sample::select(vec![payment("e-1"), payment("e-2"), pick_up("e-1"), pick_up("e-3")]);
    (events, prop::sample::select(places.to_vec()), any_json(), any::<bool>()).prop_map(
        |(mut event, place, value, is_changed)| {
            if let Some(found) = event.pointer_mut(place).filter(|_| is_changed) {
                *found = value;
            }
            event
        },
    )
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        4 => prop::collection::vec(almost_an_event(), 0..12).prop_map(|events| json!(events).to_string().into_bytes()),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| {
            let mut body = payment("e-1").to_string().into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            body
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn whatever_is_handed_in_only_whole_events_of_the_callers_own_reach_the_bus_and_each_once(
        body in any_body(),
        caller in prop::sample::select(vec![PROVIDER, CARRIER, BROKER, STRANGER]),
        content_type in prop::sample::select(vec![ONE, BATCH, JSON, "text/html"]),
    ) {
        let mut request = request(Some(caller), content_type, &STANDARD.encode(&body));
        request.is_base64_encoded = true;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let gateway = sound();
        let (status, answer) = read(&runtime.block_on(gateway.respond(request)));
        prop_assert!((200..500).contains(&status), "{status}");
        let published = gateway.bus.published();
        let accepted = answer["events"].as_array().into_iter().flatten().filter(|event| event["outcome"] == "accepted");
        let accepted: Vec<&str> = accepted.map(|event| event["id"].as_str().unwrap()).collect();
        let unique: BTreeSet<&str> = ids(&published).into_iter().collect();
        prop_assert_eq!(unique.len(), published.len());
        prop_assert_eq!(unique, accepted.into_iter().collect());
        for event in &published {
            prop_assert!(contracts::read_publishable(&event.detail).is_ok());
            let sources: &[&str] = match caller {
                PROVIDER => &["payments"],
                CARRIER => &["shipping"],
                BROKER => &["payments", "shipping"],
                _ => &[],
            };
            prop_assert!(sources.contains(&event.event_type.source()));
        }
    }
}
