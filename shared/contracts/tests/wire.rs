//! The wire format, through the public interface: what is written is read back, and what is wrong is refused by name.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use contracts::{
    Data, DecodeError, Event, EventType, Line, Money, OrderPlaced, ParcelPickedUp, Personal, StockReserved,
    decode, fact_of, read_publishable,
};
use domain::{EventId, OrderId, Timestamp};
use serde_json::{Value, json};

fn personal() -> Personal {
    Personal {
        name: "Ada Example".into(),
        email: "ada@example.com".into(),
        phone: None,
        street: "1 Analytical Row".into(),
        city: "London".into(),
        postal_code: "N1 9GU".into(),
        country: "GB".into(),
    }
}

fn placed() -> Event {
    let price = Money { amount_minor: 1250, currency: "EUR".into() };
    Event {
        id: EventId::parse("e-1").unwrap(),
        subject: OrderId::parse("o-1").unwrap().into(),
        time: Timestamp::from_unix_ms(1_769_860_800_123),
        correlation_id: "o-1".into(),
        causation_id: None,
        traceparent: None,
        data: Data::OrderPlaced(OrderPlaced {
            order_id: "o-1".into(),
            customer_id: "c-1".into(),
            lines: vec![Line { sku: "MUG".into(), quantity: 1, unit_price: price.clone() }],
            total: price,
            personal: personal(),
        }),
    }
}

/// The event in the envelope that a rule delivers.
fn delivered(event: &Event) -> Value {
    let outbound = event.to_outbound().unwrap();
    json!({
        "version": "0",
        "id": "b-1",
        "detail-type": outbound.event_type.as_str(),
        "source": outbound.event_type.source(),
        "account": "000000000000",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": serde_json::from_str::<Value>(&outbound.detail).unwrap(),
    })
}

fn code_of(change: impl FnOnce(&mut Value)) -> &'static str {
    let mut message = delivered(&placed());
    change(&mut message);
    decode(&message.to_string(), None).unwrap_err().code()
}

#[test]
fn an_event_is_read_back_as_written() {
    let event = placed();
    let read = decode(&delivered(&event).to_string(), None).unwrap();
    assert_eq!(read.event, event);
    assert_eq!(read.replay_name, None);
}

#[test]
fn a_replayed_event_says_so() {
    let mut message = delivered(&placed());
    message["replay-name"] = "r-1".into();
    assert_eq!(decode(&message.to_string(), None).unwrap().replay_name.as_deref(), Some("r-1"));
}

#[test]
fn the_detail_is_a_cloud_event() {
    let detail = delivered(&placed())["detail"].take();
    assert_eq!(detail["specversion"], "1.0");
    assert_eq!(detail["type"], "orders.order-placed.v1");
    assert_eq!(detail["source"], "orders");
    assert_eq!(detail["subject"], "o-1");
    assert_eq!(detail["time"], "2026-01-31T12:00:00.123Z");
    assert_eq!(detail["dataschema"], "urn:orderbus:schema:orders.order-placed.v1");
    assert_eq!(detail.get("causationid"), None);
    assert_eq!(detail["data"]["lines"][0]["unitPrice"]["amountMinor"], 1250);
}

#[test]
fn an_added_optional_field_is_compatible() {
    let mut message = delivered(&placed());
    message["detail"]["data"]["giftWrap"] = true.into();
    assert!(decode(&message.to_string(), None).is_ok());
}

#[test]
fn every_kind_of_poison_is_told_apart() {
    assert_eq!(decode("{\"detail", None).unwrap_err().code(), "not_json");
    assert_eq!(decode("", None).unwrap_err().code(), "not_json");
    assert_eq!(decode("[]", None).unwrap_err().code(), "not_an_event");
    assert_eq!(decode("\"text\"", None).unwrap_err().code(), "not_an_event");
    assert_eq!(code_of(|message| message["detail"] = "text".into()), "not_an_event");
    assert_eq!(code_of(|message| message["detail"]["type"] = "orders.order-eaten.v1".into()), "unknown_type");
    assert_eq!(
        code_of(|message| message["detail"]["type"] = "orders.order-placed.v9".into()),
        "unknown_version"
    );
    assert_eq!(code_of(|message| message["detail"]["data"]["lines"] = 7.into()), "schema_mismatch");
    assert_eq!(
        code_of(|message| message["detail-type"] = "orders.order-accepted.v1".into()),
        "invalid_attribute"
    );
    assert_eq!(code_of(|message| message["source"] = "payments".into()), "invalid_attribute");
    assert_eq!(code_of(|message| message["detail"]["specversion"] = "0.3".into()), "invalid_attribute");
    assert_eq!(code_of(|message| message["detail"]["subject"] = "o-2".into()), "invalid_attribute");
    assert_eq!(code_of(|message| message["detail"]["time"] = "noon".into()), "invalid_attribute");
    assert_eq!(code_of(|message| message["detail"]["id"] = "".into()), "invalid_attribute");
    assert_eq!(
        code_of(|message| {
            message["detail"]["subject"] = "o 1".into();
            message["detail"]["data"]["orderId"] = "o 1".into();
        }),
        "invalid_attribute"
    );
}

#[test]
fn json_that_nests_too_deep_is_refused_not_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode(&deep, None).is_err());
    let inside = delivered(&placed()).to_string().replace("\"c-1\"", &deep);
    assert_eq!(decode(&inside, None).unwrap_err().code(), "schema_mismatch");
}

#[test]
fn no_error_repeats_a_value_of_the_message() {
    let mut message = delivered(&placed());
    message["detail"]["data"]["total"] = "Ada Example".into();
    let error = decode(&message.to_string(), None).unwrap_err();
    assert!(matches!(error, DecodeError::SchemaMismatch { event_type: EventType::OrderPlaced, .. }));
    assert!(!error.to_string().contains("Ada"), "{error}");
    assert!(error.to_string().contains("expected struct Money"), "{error}");
}

#[test]
fn debug_and_the_read_model_show_nothing_personal() {
    let event = placed();
    assert!(!format!("{event:?}").contains("Ada"));
    assert!(!fact_of(&event, &contracts::Origin::Own).unwrap().details.to_string().contains("Ada"));
}

#[test]
fn an_effect_carries_its_cause() {
    let cause = placed();
    let effect = Event::caused_by(
        &cause.cause(),
        "inventory-updater",
        0,
        &cause.subject,
        cause.time,
        StockReserved { order_id: "o-1".into(), lines: vec![] },
    );
    assert_eq!(effect.causation_id, Some(cause.id));
    assert_eq!(effect.correlation_id, cause.correlation_id);
}

#[test]
fn every_type_is_read_back_and_begins_with_its_source() {
    for event_type in EventType::ALL {
        assert_eq!(EventType::parse(event_type.as_str()), Some(*event_type));
        assert!(event_type.as_str().starts_with(&format!("{}.", event_type.source())));
        assert!(event_type.as_str().ends_with(".v1"));
    }
}

/// The fields that are wrong, as a publisher is told.
fn refused(change: impl FnOnce(&mut Value)) -> Vec<Option<String>> {
    let mut event = delivered(&placed())["detail"].take();
    change(&mut event);
    fields(&event.to_string())
}

fn fields(event: &str) -> Vec<Option<String>> {
    let reasons = read_publishable(event).unwrap_err().into_reasons();
    assert!(reasons.iter().all(|reason| !reason.message.contains("Ada")), "{reasons:?}");
    reasons.into_iter().map(|reason| reason.field).collect()
}

#[test]
fn a_publisher_is_told_every_field_that_is_wrong() {
    type Change = fn(&mut Value);
    let cases: [(&[&str], Change); 17] = [
        (&["id", "subject", "data"], |event| {
            for name in ["id", "subject", "data", "correlationid"] {
                event.as_object_mut().unwrap().remove(name);
            }
        }),
        (&["id", "traceparent"], |event| {
            event["id"] = 7.into();
            event["traceparent"] = Value::Bool(true);
        }),
        (&["time"], |event| event["time"] = Value::Null),
        (&["specversion"], |event| event["specversion"] = "0.3".into()),
        (&["type"], |event| event["type"] = "orders.order-eaten.v1".into()),
        (&["type"], |event| event["type"] = "orders.order-placed.v9".into()),
        (&["source"], |event| event["source"] = "payments".into()),
        (&["subject"], |event| event["subject"] = "o-2".into()),
        (&["id"], |event| event["id"] = "".into()),
        (&["time"], |event| event["time"] = "noon".into()),
        (&["causationid"], |event| event["causationid"] = "two words".into()),
        (&["datacontenttype"], |event| event["datacontenttype"] = "text/plain".into()),
        (&["data"], |event| event["data"] = "Ada Example".into()),
        (&["data.lines[0].quantity"], |event| event["data"]["lines"][0]["quantity"] = "Ada Example".into()),
        (&["data.lines[0].sku"], |event| {
            event["data"]["lines"][0].as_object_mut().unwrap().remove("sku");
        }),
        (&["data.customerId", "data.total.currency"], |event| {
            event["data"]["customerId"] = "".into();
            event["data"]["total"]["currency"] = "XXY".into();
        }),
        (&["data.orderId"], |event| {
            event["data"].as_object_mut().unwrap().remove("orderId");
        }),
    ];
    for (expected, change) in cases {
        let expected: Vec<Option<String>> = expected.iter().map(|field| Some((*field).to_owned())).collect();
        assert_eq!(refused(change), expected);
    }
}

#[test]
fn a_field_that_comes_twice_is_named_and_what_has_no_fields_is_refused_as_a_whole() {
    let event = delivered(&placed())["detail"].to_string();
    let twice = |once: &str, second: &str| event.replacen(once, &format!("{second}{once}"), 1);
    assert_eq!(fields(&twice("\"source\":", "\"source\":\"payments\",")), [Some("source".to_owned())]);
    assert_eq!(
        fields(&twice("\"customerId\":", "\"customerId\":\"c\",")),
        [Some("data.customerId".to_owned())]
    );
    let deep = format!("\"deep\":{}{},", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(fields(&twice("\"source\":", &deep)), [None]);
    assert_eq!(fields(&twice("\"source\":", "\"endless\":1e999,")), [None]);
    for whole in ["", "{", "[]", "7", "null", "\"Ada Example\""] {
        assert_eq!(fields(whole), [None], "{whole}");
    }
}

#[test]
fn captured_money_counts_however_its_amount_is_written() {
    let event = r#"{"specversion":"1.0","id":"case-int","source":"payments","type":"payments.payment-captured.v1","subject":"o-1",
        "time":"2026-11-28T12:00:00Z","data":{"orderId":"o-1","paymentId":"pay-o-1","amount":{"amountMinor":1217.0,
        "currency":"EUR"},"taskToken":"AQCtoken","providerReference":"p"}}"#;
    let amount = |event: Event| match event.data {
        Data::PaymentCaptured(captured) => captured.amount.amount_minor,
        other => panic!("{other:?}"),
    };
    assert_eq!(amount(read_publishable(event).unwrap()), 1217);
    let body =
        format!(r#"{{"detail-type":"payments.payment-captured.v1","source":"payments","detail":{event}}}"#);
    assert_eq!(amount(decode(&body, None).unwrap().event), 1217);
    let fraction = body.replace("1217.0", "1217.0000000000000001");
    assert_eq!(decode(&fraction, None).unwrap_err().code(), "schema_mismatch");
}

#[test]
fn what_would_travel_on_into_our_own_events_is_refused_when_it_is_heard() {
    for (attribute, value) in [
        ("correlationid", String::new()),
        ("correlationid", "x".repeat(257)),
        ("correlationid", "x".repeat(500_000)),
        ("correlationid", "a\0b".to_owned()),
        ("correlationid", "two words".to_owned()),
        ("correlationid", "\u{202e}a".to_owned()),
        ("causationid", "x".repeat(257)),
        ("causationid", "a\0b".to_owned()),
        ("data_base64", "e30=".to_owned()),
    ] {
        let code = code_of(|message| message["detail"][attribute] = value.clone().into());
        assert_eq!(code, "invalid_attribute", "{attribute} {value:.20?}");
        let fields = refused(|event| event[attribute] = value.clone().into());
        assert_eq!(fields, [Some(attribute.to_owned())], "{value:.20?}");
    }
    // No sender outside puts what follows from its event into the flow of another order.
    for (account, flow) in [("111122223333", "o-2"), ("444455556666", "o-1")] {
        let mut message = delivered(&Event {
            data: Data::ParcelPickedUp(ParcelPickedUp {
                order_id: "o-1".into(),
                shipment_id: "ship-o-1".into(),
                parcel_id: "P1".into(),
                carrier: "carrier".into(),
            }),
            ..placed()
        });
        message["account"] = account.into();
        message["detail"]["correlationid"] = "o-2".into();
        let read = decode(&message.to_string(), Some("111122223333")).unwrap();
        assert_eq!(read.event.cause().correlation_id, flow);
    }
    let mut message = delivered(&placed());
    message["detail"]["correlationid"] = "x".repeat(256).into();
    message["detail"]["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into();
    let read = decode(&message.to_string(), None).unwrap();
    assert_eq!(message["detail"]["traceparent"], read.event.traceparent.unwrap());
}

/// An event from outside, as another account put it on the bus, and as it is read.
fn from_partner(change: impl FnOnce(&mut Value)) -> Result<contracts::BusEvent, DecodeError> {
    let mut message = json!({
        "detail-type": "payments.payment-captured.v1",
        "source": "payments",
        "account": "444455556666",
        "detail": {
            "specversion": "1.0", "id": "e-1", "source": "payments", "type": "payments.payment-captured.v1",
            "subject": "o-1", "time": "2026-01-31T12:00:00Z",
            "data": {
                "orderId": "o-1", "paymentId": "pay-o-1", "taskToken": "AQCtoken", "providerReference": "p-1",
                "amount": {"amountMinor": 1250, "currency": "EUR"},
            },
        },
    });
    change(&mut message["detail"]);
    decode(&message.to_string(), Some("111122223333"))
}

#[test]
fn an_invalid_traceparent_costs_no_event_and_travels_no_further() {
    for traceparent in [
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
        "ada@example.com".to_owned(),
        String::new(),
        "-".repeat(55),
        "x".repeat(200_000),
    ] {
        let captured = from_partner(|event| event["traceparent"] = traceparent.clone().into()).unwrap();
        assert_eq!(captured.event.traceparent, None, "{traceparent:.80}");
        assert!(!captured.event.to_outbound().unwrap().detail.contains("traceparent"));
        let detail = delivered(&captured.event)["detail"].take();
        let handed_in = json!({"traceparent": traceparent}).as_object().cloned().into_iter().flatten();
        let detail: Value = detail.as_object().cloned().into_iter().flatten().chain(handed_in).collect();
        assert_eq!(read_publishable(&detail.to_string()).unwrap(), captured.event);
    }
}

#[test]
fn what_others_say_is_held_to_the_schema_and_what_we_say_is_not() {
    assert!(from_partner(|_| ()).is_ok());
    // Valid by the schema, whatever a reader's own limits are.
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert!(from_partner(|event| event["data"]["more"] = 7.into()).is_ok());
    let text = json!({
        "detail-type": "shipping.delivery-status-changed.v1", "source": "shipping", "account": "444455556666",
        "detail": {
            "specversion": "1.0", "id": "e-1", "source": "shipping", "type": "shipping.delivery-status-changed.v1",
            "subject": "o-1", "time": "2026-01-31T12:00:00Z",
            "data": {"orderId": "o-1", "parcelId": "p-1", "status": "arrived", "more": "deep"},
        },
    })
    .to_string();
    let with_more = decode(&text.replace("\"deep\"", &deep), Some("111122223333"));
    assert!(with_more.is_ok(), "{with_more:?}");

    let long = "x".repeat(300_000);
    for (place, value, code) in [
        ("/data/providerReference", json!(long), "schema_mismatch"),
        ("/data/providerReference", json!("a\u{7}b"), "schema_mismatch"),
        ("/data/taskToken", json!(long), "schema_mismatch"),
        ("/data/paymentId", json!(long), "schema_mismatch"),
        ("/data/amount/amountMinor", json!(-1), "schema_mismatch"),
        ("/data/amount/currency", json!("Ada Example"), "schema_mismatch"),
        ("/data/amount", json!([1250, "EUR"]), "schema_mismatch"),
        ("/dataschema", json!("urn:ada"), "invalid_attribute"),
        ("/datacontenttype", json!("text/plain"), "invalid_attribute"),
        ("/datacontenttype", json!(7), "invalid_attribute"),
        ("/data_base64", json!("e30="), "invalid_attribute"),
    ] {
        let change = |event: &mut Value| {
            let (parent, name) = place.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[name] = value.clone();
        };
        let error = from_partner(change).unwrap_err();
        assert_eq!(error.code(), code, "{place}: {error}");
        let text = error.to_string();
        assert!(text.len() < 300 && !text.contains("Ada") && !text.contains("urn:ada"), "{text}");
    }

    let mut ours = delivered(&placed());
    ours["detail"]["data"]["customerId"] = long.into();
    assert!(
        decode(&ours.to_string(), Some("000000000000")).is_ok(),
        "an order that breaks rules is an event"
    );
}
