//! Which call gets which fault, and how each service words a refusal.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::wire::Message;

/// How many calls of a hundred get which fault.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Refused in the service's own words, and not carried out.
    pub throttled: f64,
    /// Carried out, but the caller never hears of it.
    pub reply_lost: f64,
    /// Of the batch calls: some of the entries are refused, the others carried out.
    pub partial: f64,
    /// Carried out late.
    pub delayed: f64,
    /// Whether there are storms as well: now and then, a service refuses every call for longer than the SDK keeps trying.
    pub storms: bool,
    /// From the first call to Step Functions on, every call to it is refused for so long. Chosen longer than all deliveries
    /// of a message take, it makes dead letters for certain.
    pub outage: Duration,
    /// No call is carried out, and none is answered: callers wait until they give up.
    pub hung: bool,
}

impl Shares {
    /// None of any.
    pub const NONE: Self = Self {
        storms: false,
        throttled: 0.0,
        reply_lost: 0.0,
        partial: 0.0,
        delayed: 0.0,
        outage: Duration::ZERO,
        hung: false,
    };
    /// About every fifth call goes wrong, and every few seconds a service is gone for about one.
    pub const ROUGH: Self =
        Self { storms: true, throttled: 12.0, reply_lost: 3.0, partial: 12.0, delayed: 4.0, ..Self::NONE };
}

/// How long a storm lasts at least and at most. The SDK's three attempts are over in less than 200 ms.
const STORM_MS: std::ops::Range<u64> = 300..1_500;
/// How long a service is calm between two storms.
const CALM_MS: std::ops::Range<u64> = 2_000..8_000;
const DELAY_MS: std::ops::Range<u64> = 20..400;

/// The services that functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    DynamoDb,
    EventBridge,
    Sqs,
    StepFunctions,
    Sns,
    S3,
}

/// What a request asks of which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    service: Service,
    /// Empty where the protocol does not name it in a header.
    operation: String,
}

impl Call {
    /// By the scope of its signature; `None` for a service that is left alone.
    pub(crate) fn of(request: &Message) -> Option<Self> {
        let scope = request.header("authorization")?.split_once("Credential=")?.1;
        let service = match scope.split('/').nth(3)? {
            "dynamodb" => Service::DynamoDb,
            "events" => Service::EventBridge,
            "sqs" => Service::Sqs,
            "states" => Service::StepFunctions,
            "sns" => Service::Sns,
            "s3" => Service::S3,
            _ => return None,
        };
        let target = request.header("x-amz-target").and_then(|target| target.split_once('.'));
        Some(Self { service, operation: target.map_or("", |(_, operation)| operation).to_owned() })
    }

    fn takes_entries(&self) -> bool {
        match self.service {
            Service::EventBridge => self.operation == "PutEvents",
            Service::Sqs => self.operation.ends_with("Batch"),
            _ => false,
        }
    }
}

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is carried out after a while.
    Delayed(Duration),
    /// It is not carried out, and there is never an answer.
    Hung,
    /// It is not carried out; this is the answer.
    Refused(Box<Message>),
    /// It is carried out; the connection ends before the answer.
    CutOff,
    /// It is carried out; the answer is that something went wrong.
    AnsweredWrongly(Box<Message>),
    /// It is carried out without some of its entries.
    Partial(Partial),
}

/// Draws faults. All randomness is one generator's: the same calls in the same order get the same faults.
#[derive(Debug)]
pub(crate) struct Dice {
    rng: Rng,
    /// The next storm of each service: when it begins and when it is over.
    storms: HashMap<Service, (Instant, Instant)>,
    /// When the outage began, once it has.
    outage_began: Option<Instant>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), storms: HashMap::new(), outage_began: None }
    }

    /// The fault of a call that comes `now`.
    pub(crate) fn fault(&mut self, shares: Shares, call: &Call, request: &Message, now: Instant) -> Fault {
        if shares.hung {
            return Fault::Hung;
        }
        let is_gone = self.is_out(shares.outage, call.service, now)
            || (shares.storms && self.is_stormy(call.service, now));
        if is_gone || self.happens(shares.throttled) {
            return Fault::Refused(Box::new(self.refusal(call, request)));
        }
        if self.happens(shares.reply_lost) {
            return if self.rng.bool() {
                Fault::CutOff
            } else {
                Fault::AnsweredWrongly(Box::new(internal_error(call.service)))
            };
        }
        if call.takes_entries()
            && self.happens(shares.partial)
            && let Some(partial) = self.partial(call, request)
        {
            return Fault::Partial(partial);
        }
        if self.happens(shares.delayed) {
            return Fault::Delayed(Duration::from_millis(self.rng.u64(DELAY_MS)));
        }
        Fault::None
    }

    fn is_out(&mut self, outage: Duration, service: Service, now: Instant) -> bool {
        service == Service::StepFunctions
            && !outage.is_zero()
            && now < *self.outage_began.get_or_insert(now) + outage
    }

    fn is_stormy(&mut self, service: Service, now: Instant) -> bool {
        let rng = &mut self.rng;
        let mut next_after = |then: Instant| {
            let begins = then + Duration::from_millis(rng.u64(CALM_MS));
            (begins, begins + Duration::from_millis(rng.u64(STORM_MS)))
        };
        let (mut begins, mut ends) = *self.storms.entry(service).or_insert_with(|| next_after(now));
        while ends <= now {
            (begins, ends) = next_after(ends);
        }
        self.storms.insert(service, (begins, ends));
        begins <= now
    }

    fn happens(&mut self, percent: f64) -> bool {
        self.rng.f64() * 100.0 < percent
    }

    fn refusal(&mut self, call: &Call, request: &Message) -> Message {
        match call.service {
            Service::DynamoDb => self.dynamodb_refusal(call, request),
            Service::EventBridge | Service::StepFunctions => {
                json_error(call.service, "400 Bad Request", "ThrottlingException", "Rate exceeded")
            }
            Service::Sqs => {
                json_error(call.service, "403 Forbidden", "RequestThrottled", "Request is throttled")
                    .with_header("x-amzn-query-error", "RequestThrottled;Sender")
            }
            Service::Sns => query_error("400 Bad Request", "Throttling", "Rate exceeded"),
            Service::S3 => s3_error("503 Slow Down", "SlowDown", "Please reduce your request rate."),
        }
    }

    fn dynamodb_refusal(&mut self, call: &Call, request: &Message) -> Message {
        let choice = self.rng.u8(0..4);
        let is_transaction = call.operation == "TransactWriteItems";
        if is_transaction && choice < 2 {
            return conflict(request, &mut self.rng);
        }
        let (code, message) = match choice {
            0 if call.operation.ends_with("Item") && call.operation != "GetItem" => {
                ("TransactionConflictException", "Transaction is ongoing for the item")
            }
            1 => ("ThrottlingException", "Throughput exceeds the current capacity of your table or index."),
            2 => {
                ("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account.")
            }
            _ => (
                "ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded.",
            ),
        };
        json_error(call.service, "400 Bad Request", code, message)
    }

    fn partial(&mut self, call: &Call, request: &Message) -> Option<Partial> {
        let mut body: Value = serde_json::from_slice(request.body()).ok()?;
        let Some(Value::Array(entries)) = body.get_mut("Entries").map(Value::take) else { return None };
        if entries.is_empty() {
            return None;
        }
        let certain = self.rng.usize(0..entries.len());
        let is_refused: Vec<bool> =
            (0..entries.len()).map(|index| index == certain || self.rng.u8(0..3) == 0).collect();
        let ids = entries.iter().map(|entry| entry["Id"].as_str().map(str::to_owned)).collect();
        let taken = entries.into_iter().zip(&is_refused).filter(|(_, refused)| !**refused);
        body["Entries"] = taken.map(|(entry, _)| entry).collect();
        let code = if self.rng.bool() { "ThrottlingException" } else { "InternalFailure" };
        Some(Partial { service: call.service, is_refused, ids, body, code })
    }
}

/// A batch call that loses some of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partial {
    service: Service,
    is_refused: Vec<bool>,
    ids: Vec<Option<String>>,
    body: Value,
    code: &'static str,
}

impl Partial {
    /// The call with the entries that are carried out; `None` when there are none.
    pub(crate) fn forwarded(&self, request: &Message) -> Option<Message> {
        if self.is_refused.iter().all(|refused| *refused) {
            return None;
        }
        let mut forwarded = request.clone();
        forwarded.set_body(self.body.to_string().into_bytes());
        Some(forwarded)
    }

    /// How many entries are not carried out.
    pub(crate) fn refused(&self) -> usize {
        self.is_refused.iter().filter(|refused| **refused).count()
    }

    /// The answer for all entries, from the answer to those that were carried out.
    pub(crate) fn answer(&self, response: Option<Message>) -> Message {
        let mut response =
            response.unwrap_or_else(|| Message::response("200 OK", content_type(self.service), "{}"));
        // What failed as a whole says so itself.
        if response.status() != 200 {
            return response;
        }
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        let body = match self.service {
            Service::Sqs => self.sqs_answer(body),
            _ => self.events_answer(&body),
        };
        response.set_body(Value::from(body).to_string().into_bytes());
        response
    }

    fn events_answer(&self, taken: &Map<String, Value>) -> Map<String, Value> {
        let mut answers = taken.get("Entries").and_then(Value::as_array).into_iter().flatten();
        let failed = taken.get("FailedEntryCount").and_then(Value::as_u64).unwrap_or_default();
        let entries: Vec<Value> = self
            .is_refused
            .iter()
            .map(|refused| {
                if *refused {
                    json!({"ErrorCode": self.code, "ErrorMessage": "the entry was not taken"})
                } else {
                    answers.next().cloned().unwrap_or_default()
                }
            })
            .collect();
        let answer = json!({"FailedEntryCount": failed + self.refused() as u64, "Entries": entries});
        answer.as_object().cloned().unwrap_or_default()
    }

    fn sqs_answer(&self, mut taken: Map<String, Value>) -> Map<String, Value> {
        let refused = self.ids.iter().zip(&self.is_refused).filter(|(_, refused)| **refused);
        let refused = refused.map(|(id, _)| {
            json!({"Id": id, "SenderFault": false, "Code": self.code, "Message": "the entry was not taken"})
        });
        taken.entry("Successful").or_insert_with(|| json!([]));
        match taken.entry("Failed").or_insert_with(|| json!([])) {
            Value::Array(failed) => failed.extend(refused),
            other => *other = refused.collect(),
        }
        taken
    }
}

fn conflict(request: &Message, rng: &mut Rng) -> Message {
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let actions = body["TransactItems"].as_array().map_or(1, Vec::len).max(1);
    let in_the_way = rng.usize(0..actions);
    let (code, text) = if rng.bool() {
        ("TransactionConflict", "Transaction is ongoing for the item")
    } else {
        (
            "ThrottlingError",
            "Throughput exceeds the current capacity for one or more global secondary indexes.",
        )
    };
    let reason = |index| {
        if index == in_the_way { json!({"Code": code, "Message": text}) } else { json!({"Code": "None"}) }
    };
    let reasons: Vec<Value> = (0..actions).map(reason).collect();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let error = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons,
    });
    Message::response("400 Bad Request", content_type(Service::DynamoDb), error.to_string())
}

fn internal_error(service: Service) -> Message {
    let (status, text) = ("500 Internal Server Error", "An internal error occurred");
    match service {
        Service::Sns => query_error(status, "InternalFailure", text),
        Service::S3 => s3_error(status, "InternalError", text),
        Service::DynamoDb => json_error(service, status, "InternalServerError", text),
        Service::EventBridge | Service::Sqs | Service::StepFunctions => {
            json_error(service, status, "InternalFailure", text)
        }
    }
}

fn content_type(service: Service) -> &'static str {
    match service {
        Service::EventBridge => "application/x-amz-json-1.1",
        Service::Sns => "text/xml",
        Service::S3 => "application/xml",
        Service::DynamoDb | Service::Sqs | Service::StepFunctions => "application/x-amz-json-1.0",
    }
}

fn json_error(service: Service, status: &str, code: &str, message: &str) -> Message {
    let prefix = match service {
        Service::DynamoDb => "com.amazonaws.dynamodb.v20120810#",
        Service::Sqs => "com.amazonaws.sqs#",
        _ => "",
    };
    let error = json!({"__type": format!("{prefix}{code}"), "message": message});
    Message::response(status, content_type(service), error.to_string())
}

fn query_error(status: &str, code: &str, message: &str) -> Message {
    let error = format!(
        r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>fault-proxy</RequestId></ErrorResponse>"#
    );
    Message::response(status, content_type(Service::Sns), error)
}

fn s3_error(status: &str, code: &str, message: &str) -> Message {
    let error = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>fault-proxy</RequestId></Error>"#
    );
    Message::response(status, content_type(Service::S3), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS_PARTIAL: Shares = Shares { partial: 100.0, ..Shares::NONE };

    fn request(service: &str, target: &str, body: &Value) -> Message {
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/{service}/aws4_request");
        let mut request = Message::response("", "", "")
            .with_header("Authorization", &scope)
            .with_header("X-Amz-Target", target);
        request.set_body(body.to_string().into_bytes());
        request
    }

    fn body_of(message: &Message) -> Value {
        serde_json::from_slice(message.body()).unwrap()
    }

    fn faults(seed: u64, shares: Shares, request: &Message, count: usize) -> Vec<Fault> {
        let (call, now) = (Call::of(request).unwrap(), Instant::now());
        let mut dice = Dice::new(seed);
        (0..count).map(|_| dice.fault(shares, &call, request, now)).collect()
    }

    #[test]
    fn an_outage_begins_with_the_first_call_refuses_all_and_ends() {
        let outage = Duration::from_secs(25);
        let shares = Shares { outage, ..Shares::NONE };
        let of = |service, target| request(service, target, &json!({}));
        let (tasks, table) =
            (of("states", "AWSStepFunctions.SendTaskSuccess"), of("dynamodb", "DynamoDB_20120810.GetItem"));
        let (mut dice, begun) = (Dice::new(1), Instant::now());
        let mut is_refused = |shares, request: &Message, after_s| {
            let now = begun + Duration::from_secs(after_s);
            matches!(dice.fault(shares, &Call::of(request).unwrap(), request, now), Fault::Refused(_))
        };
        assert!(!is_refused(Shares::NONE, &tasks, 0), "not while there are no faults");
        assert!(is_refused(shares, &tasks, 100) && is_refused(shares, &tasks, 124));
        assert!(!is_refused(shares, &table, 110), "other services are there");
        assert!(!is_refused(shares, &tasks, 125), "it is over");
    }

    #[test]
    fn a_seed_draws_the_same_faults_again() {
        let request = request("dynamodb", "DynamoDB_20120810.UpdateItem", &json!({}));
        let drawn = faults(7, Shares::ROUGH, &request, 500);
        assert_eq!(drawn, faults(7, Shares::ROUGH, &request, 500));
        assert_ne!(drawn, faults(8, Shares::ROUGH, &request, 500));
        assert!(faults(7, Shares::NONE, &request, 500).iter().all(|fault| *fault == Fault::None));
    }

    #[test]
    fn the_shares_are_kept() {
        let request = request("sqs", "AmazonSQS.ReceiveMessage", &json!({}));
        let shares = Shares { storms: false, ..Shares::ROUGH };
        let drawn = faults(1, shares, &request, 10_000);
        let refused = drawn.iter().filter(|fault| matches!(fault, Fault::Refused(_))).count();
        let lost =
            drawn.iter().filter(|fault| matches!(fault, Fault::CutOff | Fault::AnsweredWrongly(_))).count();
        assert!((1_000..1_400).contains(&refused), "{refused}");
        assert!((200..340).contains(&lost), "{lost}");
    }

    #[test]
    fn a_storm_refuses_every_call_of_one_service_for_a_while() {
        let request = request("dynamodb", "DynamoDB_20120810.GetItem", &json!({}));
        let (call, start) = (Call::of(&request).unwrap(), Instant::now());
        let shares = Shares { storms: true, ..Shares::NONE };
        let mut dice = Dice::new(3);
        let refused: Vec<bool> = (0..600)
            .map(|tenths| start + Duration::from_millis(100 * tenths))
            .map(|now| matches!(dice.fault(shares, &call, &request, now), Fault::Refused(_)))
            .collect();
        // A minute has about ten storms of nearly a second each.
        let storms = refused.chunk_by(|one, next| one == next).filter(|chunk| chunk[0]);
        let lengths: Vec<usize> = storms.map(<[bool]>::len).collect();
        assert!((5..=20).contains(&lengths.len()), "{lengths:?}");
        assert!(lengths.iter().all(|length| (2..=15).contains(length)), "{lengths:?}");
        assert!(!refused[0], "it begins in calm weather");
    }

    #[test]
    fn entries_that_are_taken_out_are_answered_in_their_places() {
        let entries: Vec<Value> = (0..5).map(|number| json!({"Detail": number.to_string()})).collect();
        let request = request("events", "AWSEvents.PutEvents", &json!({"Entries": entries}));
        let Fault::Partial(partial) = faults(5, ALWAYS_PARTIAL, &request, 1).remove(0) else {
            panic!("no partial")
        };
        let forwarded = body_of(&partial.forwarded(&request).unwrap());
        let forwarded = forwarded["Entries"].as_array().unwrap();
        assert_eq!(forwarded.len() + partial.refused(), 5);
        // An upstream that answers each entry with its own detail as the id.
        let taken: Vec<Value> = forwarded.iter().map(|entry| json!({"EventId": entry["Detail"]})).collect();
        let upstream = json!({"FailedEntryCount": 0, "Entries": taken}).to_string();
        let answer = body_of(&partial.answer(Some(Message::response("200 OK", "", upstream))));
        assert_eq!(answer["FailedEntryCount"], partial.refused());
        for (index, entry) in answer["Entries"].as_array().unwrap().iter().enumerate() {
            assert_eq!(entry["ErrorCode"].is_string(), partial.is_refused[index]);
            let is_its_own = entry["EventId"].as_str() == Some(index.to_string().as_str());
            assert!(partial.is_refused[index] || is_its_own);
        }
    }

    #[test]
    fn a_call_that_loses_its_only_entry_is_not_made_at_all() {
        let request = request("sqs", "AmazonSQS.SendMessageBatch", &json!({"Entries": [{"Id": "0"}]}));
        let Fault::Partial(partial) = faults(5, ALWAYS_PARTIAL, &request, 1).remove(0) else {
            panic!("no partial")
        };
        assert_eq!(partial.forwarded(&request), None);
        let answer = body_of(&partial.answer(None));
        assert_eq!((&answer["Failed"][0]["Id"], &answer["Successful"]), (&json!("0"), &json!([])));
    }

    #[test]
    fn a_cancelled_transaction_has_a_reason_for_each_action() {
        let actions = json!({"TransactItems": [{}, {}, {}]});
        let message = request("dynamodb", "DynamoDB_20120810.TransactWriteItems", &actions);
        let refusal = body_of(&conflict(&message, &mut Rng::with_seed(1)));
        let reasons = refusal["CancellationReasons"].as_array().unwrap();
        assert_eq!(reasons.len(), 3);
        assert_eq!(reasons.iter().filter(|reason| reason["Code"] != "None").count(), 1);
    }
}
