//! Senders who lie, on the deployed stack: what they say changes nothing, hides nothing and breaks no reader.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use contracts::{EventType, derived_event_id, format_timestamp, order_id_of_key};
use domain::EventId;
use serde_json::{Value, json};
use stack_tests::chaos::{FaultProxy, Shares};
use stack_tests::gateway::{ACCOUNT, BATCH, Signer, hand_in};
use stack_tests::{TestStack, event_types, eventually, order_of};

const PATIENCE: Duration = Duration::from_secs(90);
/// What is about a number that is out of every range.
const BEYOND: &str = "beyond";

#[test]
fn what_liars_say_changes_hides_and_breaks_nothing() {
    let overrides = [("PaymentTimeoutSeconds", "280"), ("ReprocessorSchedule", "rate(1 day)")];
    let (stack, proxy) = TestStack::deploy_behind_faults(&overrides, 1).unwrap();
    let liars = Liars { stack: &stack, signer: Signer::of_this_machine(), refused: RefCell::default() };
    stack.count_stock("MUG", 10).unwrap();

    liars.say_what_only_orderbus_says();
    let open = liars.await_open_order();
    liars.pick_up_what_is_not_theirs(&open);
    liars.capture_what_nobody_asked_for(&open);
    liars.start_a_checkout();
    liars.claim_the_ids_of_an_order();
    liars.leave_the_bounds();
    liars.break_the_readers(&open);
    liars.repeat_the_key();
    liars.leave_no_message_behind();

    // Nothing that was said moved stock or money: one order shipped, one is still open.
    let level = stack.levels().unwrap()["MUG"];
    assert_eq!((level.available, level.reserved, level.shipped), (8, 2, 0));
    let still_open = stack.order(&open).unwrap();
    assert_eq!((&still_open["status"], &still_open["outcome"]), (&json!("awaiting_payment"), &Value::Null));
    println!("set aside: {:?}", liars.refused());
    liars.make_aws_hang(&proxy);
}

struct Liars<'a> {
    stack: &'a TestStack,
    signer: Signer,
    /// How often each message that was set aside had been delivered by then, for each reason, as far as they were received.
    refused: RefCell<BTreeMap<String, Vec<u32>>>,
}

impl Liars<'_> {
    /// Statuses of events handed in, in the order given.
    fn hand_in(&self, events: &[Value]) -> Vec<u64> {
        let (_, body) = hand_in(self.stack, Some(&self.signer), BATCH, &json!(events)).unwrap();
        let events = body["events"].as_array().unwrap_or_else(|| panic!("{body}"));
        events.iter().map(|event| event["status"].as_u64().unwrap()).collect()
    }

    fn put(&self, source: &str, detail_type: &str, detail: &str, resources: &[&str]) {
        let deployed = self.stack.local().stack();
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(deployed.output("BusName").unwrap())
            .source(source)
            .detail_type(detail_type)
            .detail(detail)
            .set_resources(Some(resources.iter().map(|resource| (*resource).to_owned()).collect()))
            .build();
        let put = deployed.sdk().eventbridge().put_events().entries(entry).send();
        assert_eq!(self.stack.wait(put).unwrap().failed_entry_count(), 0);
    }

    fn await_open_order(&self) -> String {
        // The provider is silent about an amount that ends in 17.
        let order_id = self.stack.place("liars-open", &order_of("MUG", 1, 1_017)).unwrap();
        let open = eventually(PATIENCE, || {
            self.stack.order(&order_id).filter(|order| order["status"] == "awaiting_payment")
        });
        assert!(open.is_some(), "{:?}", self.stack.order(&order_id));
        order_id
    }

    fn say_what_only_orderbus_says(&self) {
        let types = [
            EventType::PaymentRequested,
            EventType::RefundRequested,
            EventType::ShipmentScheduled,
            EventType::ShipmentCancelled,
            EventType::ShipmentDeparted,
        ];
        let own: Vec<Value> = types.iter().map(|one| golden(*one)).collect();
        assert_eq!(self.hand_in(&own), [403; 5]);
        let mut named = golden(EventType::DeliveryStatusChanged);
        named["producer"] = "somebody-else".into();
        assert_eq!(self.hand_in(&[named]), [422], "who hands it in is not the sender's to say");
    }

    fn pick_up_what_is_not_theirs(&self, order_id: &str) {
        let pick_up = |id: &str, order_id: &str, shipment_id: &str| {
            let data = json!({
                "orderId": order_id, "shipmentId": shipment_id, "parcelId": "P1", "carrier": "liar",
            });
            claim(EventType::ParcelPickedUp, id, order_id, &data)
        };
        let own_shipment = format!("ship-{order_id}");
        let picked_up = [
            pick_up("liar-pick-up-1", order_id, "ship-someone-elses"),
            pick_up("liar-pick-up-2", order_id, &own_shipment),
            pick_up("liar-pick-up-3", "nobody-placed-this", "ship-nobody-placed-this"),
        ];
        assert_eq!(self.hand_in(&picked_up), [202; 3]);
        self.await_refused(&[("foreign_shipment", 1), ("unknown_shipment", 2)]);
        let level = self.stack.levels().unwrap()["MUG"];
        assert_eq!((level.available, level.reserved, level.shipped), (9, 1, 0), "nothing left");
    }

    fn capture_what_nobody_asked_for(&self, open: &str) {
        let capture = |id: &str, order_id: &str, payment_id: &str, amount_minor: i64| {
            let data = json!({
                "orderId": order_id, "paymentId": payment_id, "taskToken": "AQCliar", "providerReference": "liar",
                "amount": {"amountMinor": amount_minor, "currency": "EUR"},
            });
            claim(EventType::PaymentCaptured, id, order_id, &data)
        };
        let captures = [
            capture("liar-capture-1", "nobody-placed-this", "pay-nobody-placed-this", 999_999),
            capture("liar-capture-2", open, &format!("pay-{open}"), 999_999),
        ];
        assert_eq!(self.hand_in(&captures), [202; 2]);
        let data = json!({
            "orderId": "nobody-placed-this", "paymentId": "pay-nobody-placed-this", "taskToken": "AQCliar",
            "reason": "card_declined",
        });
        let failure = claim(EventType::PaymentFailed, "liar-failure-1", "nobody-placed-this", &data);
        assert_eq!(self.hand_in(&[failure]), [202]);
        self.await_refused(&[("unknown_order", 2), ("payment_mismatch", 1)]);
        let order = self.stack.order(open).unwrap();
        assert!(!event_types(&order).contains(&EventType::RefundRequested.as_str().to_owned()), "{order}");
    }

    /// As an account of carriers could before its policy named types: the source is theirs, the type is not.
    fn start_a_checkout(&self) {
        let event_type = EventType::StockReserved.as_str();
        let detail = json!({
            "specversion": "1.0", "id": "liar-reserved", "source": "shipping", "type": event_type,
            "subject": "liars-checkout", "time": format_timestamp(orderbus::now()),
            "correlationid": "liars-checkout", "data": {"orderId": "liars-checkout", "lines": []},
        });
        self.put("shipping", event_type, &detail.to_string(), &[]);
        let before = self.executions();
        // Events keep no order, so the next order's checkout shows that this one would have begun by now.
        let next = self.stack.place("liars-next", &order_of("MUG", 11, 1_000)).unwrap();
        let ended = eventually(PATIENCE, || {
            self.stack
                .order(&next)
                .filter(|order| order["status"] == "cancelled" || order["status"] == "rejected")
        });
        assert!(ended.is_some(), "{:?}", self.stack.order(&next));
        assert_eq!(self.executions(), before, "nobody but inventory starts a checkout");
    }

    fn executions(&self) -> usize {
        let sfn = self.stack.local().stack().sdk().sfn();
        self.stack.wait(async {
            let machines = sfn.list_state_machines().send().await.unwrap();
            let [checkout] = machines.state_machines() else { panic!("{machines:?}") };
            let listed = sfn.list_executions().state_machine_arn(checkout.state_machine_arn());
            listed.send().await.unwrap().executions().len()
        })
    }

    /// Under the ids that Orderbus's own events will have, before there is an order.
    fn claim_the_ids_of_an_order(&self) {
        let key = "liars-claimed";
        let order_id = order_id_of_key("open", key);
        let cause = EventId::parse(order_id.as_str()).unwrap();
        let placed = derived_event_id(&cause, "order-api", 0);
        let claimed = [
            placed.as_str().to_owned(),
            derived_event_id(&placed, "order-placed", 0).as_str().to_owned(),
            derived_event_id(&placed, "inventory-updater", 0).as_str().to_owned(),
            format!("checkout:{order_id}:order-confirmed"),
        ];
        let claims: Vec<Value> = claimed
            .iter()
            .map(|id| {
                let data = json!({"orderId": order_id.as_str(), "parcelId": "P", "status": "label_created"});
                claim(EventType::DeliveryStatusChanged, id, order_id.as_str(), &data)
            })
            .collect();
        assert_eq!(self.hand_in(&claims), [202; 4]);
        // They are there first, and make no order.
        let path = format!("/lake/events?source=shipping&subject={order_id}");
        let are_there = eventually(PATIENCE, || {
            answered(self.stack, &path).filter(|answer| answer["events"].as_array().unwrap().len() == 4)
        });
        assert!(are_there.is_some(), "{:?}", answered(self.stack, &path));
        assert_eq!(self.stack.order(order_id.as_str()), None);

        let placed = self.stack.place(key, &order_of("MUG", 1, 1_000)).unwrap();
        assert_eq!(placed, order_id.as_str());
        let own = [
            EventType::OrderPlaced,
            EventType::OrderAccepted,
            EventType::StockReserved,
            EventType::PaymentRequested,
            EventType::OrderConfirmed,
            EventType::ShipmentScheduled,
        ];
        let is_complete = |order: &Value| {
            let types = event_types(order);
            let claims =
                types.iter().filter(|name| **name == EventType::DeliveryStatusChanged.as_str()).count();
            claims == 4 && own.iter().all(|one| types.iter().any(|name| name == one.as_str()))
        };
        let order = eventually(PATIENCE, || self.stack.order(&placed).filter(is_complete));
        let order = order.unwrap_or_else(|| panic!("{:?}", self.stack.order(&placed)));
        assert_eq!(
            (&order["status"], &order["outcome"]),
            (&json!("shipment_scheduled"), &json!("confirmed"))
        );

        let path = format!("/lake/orders/{placed}");
        let in_lake = eventually(PATIENCE, || {
            Some(answered(self.stack, &path))
                .filter(|answer| answer.as_ref().is_some_and(is_complete))
                .flatten()
        });
        assert!(in_lake.is_some(), "{:?}", answered(self.stack, &path));
        self.flood(&placed);
    }

    /// More scans than a page holds, and a signature after them.
    fn flood(&self, order_id: &str) {
        let (scan, signed) = (EventType::DeliveryStatusChanged, EventType::SignatureCollected);
        let data = json!({"orderId": order_id, "parcelId": "P", "status": "in_transit"});
        let scans: Vec<Value> =
            (0..150).map(|number| claim(scan, &format!("liar-scan-{number}"), order_id, &data)).collect();
        for batch in scans.chunks(10) {
            assert_eq!(self.hand_in(batch), [202; 10]);
        }
        let mut signature = golden(signed);
        signature["subject"] = order_id.into();
        signature["data"]["orderId"] = order_id.into();
        signature["time"] = format_timestamp(orderbus::now()).into();
        assert_eq!(self.hand_in(&[signature]), [202]);
        let has_all = |order: &Value| {
            let types = event_types(order);
            types.iter().any(|name| name == signed.as_str())
                && types.iter().any(|name| name == EventType::OrderConfirmed.as_str())
                && order["outcome"] == "confirmed"
        };
        let order = eventually(PATIENCE, || self.stack.order(order_id).filter(has_all));
        assert!(order.is_some(), "{:?}", self.stack.order(order_id));
    }

    fn leave_the_bounds(&self) {
        type Change = fn(&mut Value);
        let beyond: [(&str, Change); 7] = [
            ("a time before all orders", |event| event["time"] = "0001-01-01T00:00:00Z".into()),
            ("a time after all tables", |event| event["time"] = "9999-12-31T23:59:59Z".into()),
            ("a long flow", |event| event["correlationid"] = "x".repeat(500).into()),
            ("a flow that ends a text", |event| event["correlationid"] = "a\0b".into()),
            ("data twice", |event| event["data_base64"] = "e30=".into()),
            ("part of a cent", |event| event["data"]["amount"]["amountMinor"] = json!(1217.5)),
            ("no currency", |event| event["data"]["amount"]["currency"] = "XXX".into()),
        ];
        for (what, change) in beyond {
            let mut event = golden(EventType::PaymentCaptured);
            change(&mut event);
            assert_eq!(self.hand_in(&[event]), [422], "{what}");
        }
    }

    /// Each alone as a detail, and as the data of an event about an order.
    fn break_the_readers(&self, order_id: &str) {
        let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
        let details = [
            ("cut", r#"{"note":"cut emoji \ud83d"}"#.to_owned()),
            ("deep", format!("{{\"tree\":{deep}}}")),
            (BEYOND, r#"{"n":1e400}"#.to_owned()),
            ("exact", r#"{"large":123456789012345678901234567890,"long":0.1234567890123456789}"#.to_owned()),
        ];
        let time = format_timestamp(orderbus::now());
        for (name, data) in &details {
            let event_type = format!("liar.{name}");
            let event = format!(
                r#"{{"specversion":"1.0","id":"{event_type}","source":"liar.note","type":"{event_type}","subject":"{order_id}","time":"{time}","data":{data}}}"#
            );
            for (number, detail) in [data, &event].into_iter().enumerate() {
                if *name == BEYOND {
                    self.put("liar.lost", &event_type, detail, &[]);
                    self.deliver_to_archiver(&format!("liar-bus-{number}"), &event_type, detail);
                } else {
                    self.put("liar.note", &event_type, detail, &[]);
                }
            }
        }
        let marked = claim(
            EventType::DeliveryStatusChanged,
            "liar-marked",
            "liars-marked",
            &json!({"orderId": "liars-marked", "parcelId": "P", "status": "in_transit"}),
        );
        let event_type = EventType::DeliveryStatusChanged.as_str();
        self.put("shipping", event_type, &marked.to_string(), &["orderbus:replay/x"]);

        let found = eventually(PATIENCE, || {
            let answer = answered(self.stack, "/lake/events?source=liar.note")?;
            (answer["events"].as_array()?.len() == 2 * details.len()).then_some(answer)
        });
        let found =
            found.unwrap_or_else(|| panic!("{:?}", answered(self.stack, "/lake/events?source=liar.note")));
        let is_marked_where_it_must_be = |event: &Value| {
            let is_exact = event["type"] == "liar.exact";
            assert_eq!(event["unreadable"].as_bool().unwrap_or_default(), !is_exact, "{event}");
            assert_eq!(event["data"].is_string(), !is_exact, "{event}");
            if event["type"] == format!("liar.{BEYOND}") {
                assert_eq!(event["data"], r#"{"n":1e400}"#, "to the letter");
            }
        };
        found["events"].as_array().unwrap().iter().for_each(is_marked_where_it_must_be);
        self.find_in_history(order_id, details.len(), is_marked_where_it_must_be);
        // Neither is hidden by its mark.
        let path = format!("/lake/events?source=shipping&subject=liars-marked&type={event_type}");
        let marked = eventually(PATIENCE, || {
            answered(self.stack, &path).filter(|answer| answer["events"][0]["id"] == "liar-marked")
        });
        assert!(marked.is_some(), "{:?}", answered(self.stack, &path));
    }

    /// As EventBridge delivers an event. MiniStack reads every detail and writes it anew, and writes a number that no `f64`
    /// holds as `Infinity`, which is no JSON; EventBridge hands the text on.
    fn deliver_to_archiver(&self, bus_id: &str, event_type: &str, detail: &str) {
        let time = format_timestamp(orderbus::now());
        let body = format!(
            r#"{{"version":"0","id":"{bus_id}","detail-type":"{event_type}","source":"liar.note","account":"{ACCOUNT}","time":"{time}","region":"us-east-1","resources":[],"detail":{detail}}}"#
        );
        let queue = self.stack.queue_url("orderbus-local-EventArchiverQueue").unwrap();
        let sqs = self.stack.local().stack().sdk().sqs();
        self.stack.wait(sqs.send_message().queue_url(queue).message_body(body).send()).unwrap();
    }

    /// The lake's history of an order holds as many of the liars' notes, and the order's own events as before.
    fn find_in_history(&self, order_id: &str, notes: usize, check: impl Fn(&Value)) {
        let path = format!("/lake/orders/{order_id}");
        let history = eventually(PATIENCE, || {
            let history = answered(self.stack, &path)?["history"].as_array()?.clone();
            let (liars, others): (Vec<_>, Vec<_>) =
                history.into_iter().partition(|event| event["source"] == "liar.note");
            (liars.len() == notes).then_some((liars, others))
        });
        let (liars, others) = history.unwrap_or_else(|| panic!("{:?}", answered(self.stack, &path)));
        liars.iter().for_each(check);
        for own in [EventType::OrderPlaced, EventType::StockReserved, EventType::PaymentRequested] {
            let found = others.iter().find(|event| event["type"] == own.as_str());
            assert!(
                found.is_some_and(|event| event["data"].is_object() && event.get("unreadable").is_none()),
                "{own:?}: {found:?}"
            );
        }
    }

    fn repeat_the_key(&self) {
        let body = serde_json::to_string(&order_of("MUG", 1, 1_000)).unwrap();
        assert_eq!(self.stack.api().place_json("k,k", &body).unwrap().status, 400);
    }

    /// What was set aside was set aside at its first delivery: it is neither delivered until its queue gives up on it nor sent
    /// back from a dead-letter queue, which would be 12 deliveries and then up to 5 times 12 more. And nothing is left to be
    /// delivered.
    fn leave_no_message_behind(&self) {
        let refused = self.refused();
        for code in ["unknown_order", "unknown_shipment", "payment_mismatch", "foreign_shipment"] {
            let deliveries = refused.get(code).map(Vec::as_slice).unwrap_or_default();
            assert!(
                !deliveries.is_empty() && deliveries.iter().all(|count| *count == 1),
                "{code}: {refused:?}"
            );
        }
        for consumer in ["PaymentCallback", "ShippingNotifier"] {
            for queue in ["Queue", "DeadLetterQueue"] {
                let name = format!("orderbus-local-{consumer}{queue}");
                let is_empty = eventually(PATIENCE, || (self.stack.depth(&name).unwrap() == 0).then_some(()));
                assert!(is_empty.is_some(), "{name} holds {}", self.stack.depth(&name).unwrap());
            }
        }
    }

    /// Whatever hangs behind a function, its caller is told in time to try again, and the same request succeeds later.
    /// Which calls can hang, and that the answer comes early enough, is shown by `deadlines` of the function tests.
    fn make_aws_hang(&self, proxy: &FaultProxy) {
        let body = serde_json::to_string(&order_of("MUG", 1, 1_000)).unwrap();
        let place = || self.stack.api().place_json("liars-hung", &body).ok();
        proxy.set_shares(Shares { hung: true, ..Shares::NONE });
        let answer = eventually(PATIENCE, || {
            // A function that runs out of its own time is ended, and MiniStack answers for it with another problem.
            place().filter(|answer| {
                answer.status == 503 && answer.body.contains("urn:orderbus:problem:out-of-time")
            })
        });
        assert!(answer.is_some(), "{:?}", place());
        assert!(proxy.traffic().hung > 0);
        proxy.set_shares(Shares::NONE);
        let answer = eventually(PATIENCE, || place().filter(|answer| answer.status == 202));
        assert!(answer.is_some(), "{:?}", place());
    }

    fn refused(&self) -> BTreeMap<String, Vec<u32>> {
        let mut refused = self.refused.borrow_mut();
        for one in self.stack.take_set_aside().unwrap() {
            refused.entry(one.reason).or_default().push(one.deliveries);
        }
        refused.clone()
    }

    fn await_refused(&self, expected: &[(&str, usize)]) {
        let complete = eventually(PATIENCE, || {
            let refused = self.refused();
            let is_complete =
                |(code, count): &(&str, usize)| refused.get(*code).is_some_and(|all| all.len() == *count);
            expected.iter().all(is_complete).then_some(())
        });
        assert!(complete.is_some(), "{expected:?}: {:?}", self.refused());
    }
}

/// The golden sample of a type, as its sender would hand it in.
fn golden(event_type: EventType) -> Value {
    let mut event = orderbus::publish::golden(event_type).unwrap()["detail"].take();
    event["id"] = format!("liar-{}", event_type.as_str()).into();
    event
}

fn claim(event_type: EventType, id: &str, order_id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": event_type.source(), "type": event_type.as_str(),
        "subject": order_id, "time": format_timestamp(orderbus::now()), "data": data,
    })
}

/// The answer of a `GET` on the lake, once it is there. It is never a failure.
fn answered(stack: &TestStack, path: &str) -> Option<Value> {
    let answer = stack.api().get_signed(path).unwrap();
    match answer.status {
        200 => serde_json::from_str(&answer.body).ok(),
        202 => eventually(PATIENCE, || {
            let answer = stack.api().get_signed(answer.location.as_deref()?).unwrap();
            (answer.status != 202).then(|| {
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                serde_json::from_str(&answer.body).unwrap()
            })
        }),
        404 => None,
        status => panic!("{path}: {status} {}", answer.body),
    }
}
