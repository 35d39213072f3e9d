//! `lake-api`: what is wrong with a question is the caller's to mend and is never asked; what is asked is asked once,
//! however many ask it; and nobody's data is in an answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of a test are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::{Event, Origin, fact_of, format_timestamp};
use domain::Timestamp;
use function_tests::{
    NOW, PERSONAL_VALUES, SteppingClock, confirmed, data_of, moved, order_id, picked_up, placed,
};
use lake_api::{EVENT_COLUMNS, Lake, LakeApi, REPORTS};
use memory::{Fault, Faults, MemoryLakeQueries, MemoryOrderViewStore};
use ports::{LakeQuery, OrderViewStore, Parameter, QueryState, Rows};
use proptest::prelude::*;
use serde_json::{Value, json};

type Api = LakeApi<MemoryLakeQueries, MemoryOrderViewStore, SteppingClock>;

/// An event of the lake, by columns.
type Row = [String; EVENT_COLUMNS.len()];

const UNKNOWN_QUERY: &str = "00000000-0000-4000-8000-00000000ffff";

fn api_with(queries: MemoryLakeQueries, step_ms: i64) -> Api {
    let lake = Lake { queries, clock: SteppingClock::new(step_ms), patience: Duration::ZERO };
    LakeApi { lake, views: MemoryOrderViewStore::default() }
}

/// One that finds nothing.
fn empty() -> Api {
    api_with(MemoryLakeQueries::new(|query| Ok(rows_of(query, vec![]))), 0)
}

/// With the columns that the statement has.
fn rows_of(query: &LakeQuery, rows: Vec<Vec<Option<String>>>) -> Rows {
    let report = REPORTS.iter().find(|report| report.statement == query.statement);
    let columns = match report {
        Some(report) => report.columns.iter().map(|column| column.name.to_owned()).collect(),
        None => EVENT_COLUMNS.map(str::to_owned).to_vec(),
    };
    Rows { columns, rows }
}

/// A request as API Gateway hands it to Lambda.
fn request(route: &str, path: &[(&str, &str)], query: &[(&str, &str)]) -> ApiGatewayV2httpRequest {
    let (path, query): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (path.iter().copied().collect(), query.iter().copied().collect());
    let payload = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": "/lake",
        "rawQueryString": "",
        "headers": {},
        "queryStringParameters": query,
        "pathParameters": path,
        "requestContext": {
            "http": {"method": "GET", "path": "/lake", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "request-1",
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": 1_769_860_800_000_i64,
        },
        "isBase64Encoded": false,
    });
    serde_json::from_value(payload).unwrap()
}

fn report(name: &str, query: &[(&str, &str)]) -> ApiGatewayV2httpRequest {
    request("GET /lake/reports/{name}", &[("name", name)], query)
}

fn events(query: &[(&str, &str)]) -> ApiGatewayV2httpRequest {
    request("GET /lake/events", &[], query)
}

fn order(id: &str, query: &[(&str, &str)]) -> ApiGatewayV2httpRequest {
    request("GET /lake/orders/{id}", &[("id", id)], query)
}

fn query(id: &str, query: &[(&str, &str)]) -> ApiGatewayV2httpRequest {
    request("GET /lake/queries/{id}", &[("id", id)], query)
}

fn header<'a>(response: &'a ApiGatewayV2httpResponse, name: &str) -> Option<&'a str> {
    response.headers.get(name).map(|value| value.to_str().unwrap())
}

fn text(response: &ApiGatewayV2httpResponse) -> String {
    String::from_utf8(response.body.as_deref().expect("a body").to_vec()).unwrap()
}

/// Status and body of an answer in JSON, whose form is checked.
fn read(response: &ApiGatewayV2httpResponse) -> (i64, Value) {
    let body: Value = serde_json::from_str(&text(response)).unwrap();
    let status = response.status_code;
    assert_eq!(header(response, "cache-control"), Some("no-store"));
    if status >= 400 {
        assert_eq!(header(response, "content-type"), Some("application/problem+json"));
        assert!(body["type"].as_str().unwrap().starts_with("urn:orderbus:problem:"), "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(header(response, "retry-after").is_some(), status == 503);
    } else {
        assert_eq!(header(response, "content-type"), Some("application/json"));
    }
    (status, body)
}

async fn ask(api: &Api, request: ApiGatewayV2httpRequest) -> (i64, Value) {
    read(&api.respond(&request).await)
}

// Hostile questions

/// What is no name, no instant, no number and no id, in every place where a caller can write.
const HOSTILE: [&str; 38] = [
    "'",
    "''",
    "\"",
    "`",
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    "a'; SELECT * FROM stored_events; --",
    "a' UNION SELECT data FROM stored_events --",
    "orders.order-placed.v1'--",
    "orders.order-placed.v1;",
    "/* */",
    "--",
    "# comment",
    "a b",
    "a\tb",
    "a\nb",
    "\0",
    "orders\0",
    "\u{2019}",
    "\u{ff07} OR \u{ff11}=\u{ff11}",
    "ö",
    "\u{202e}txet",
    "🦀",
    "%27",
    "%00",
    "\\'",
    "$(id)",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>",
    "../../etc/passwd\\",
    "a?b",
    "(SELECT 1)",
    "CAST(1 AS varchar)",
    "=HYPERLINK(1)",
    "a,b",
    "*",
];

/// Questions that are wrong for a reason of their own.
fn wrong_questions() -> Vec<(&'static str, ApiGatewayV2httpRequest)> {
    let long = "a".repeat(5_000);
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let long = leak(long);
    vec![
        ("a reversed period", report("revenue", &[("from", "2026-01-31"), ("to", "2026-01-30")])),
        ("a huge period", report("revenue", &[("from", "2020-01-01"), ("to", "2026-01-31")])),
        ("a period before the lake", report("revenue", &[("from", "0001-01-01"), ("to", "0001-01-02")])),
        ("a period in the future", report("revenue", &[("from", "2026-01-31"), ("to", "9999-12-31")])),
        ("a year of five digits", report("revenue", &[("from", "12026-01-31")])),
        ("a negative year", report("revenue", &[("from", "-2026-01-31")])),
        ("a day that is none", report("revenue", &[("from", "2026-02-30")])),
        ("an instant for a day", report("revenue", &[("from", "2026-01-30T00:00:00Z")])),
        ("an empty day", report("revenue", &[("from", "")])),
        ("Arabic digits", report("revenue", &[("from", "٢٠٢٦-٠١-٠١")])),
        ("an unknown parameter", report("revenue", &[("where", "1=1")])),
        ("a parameter of another route", report("revenue", &[("limit", "1")])),
        ("an unknown format", report("revenue", &[("format", "xml")])),
        ("a format in capitals", report("revenue", &[("format", "CSV")])),
        ("an unknown report", report("customers", &[])),
        ("a report by its path", report("../reports/revenue", &[])),
        ("a report by its file", report("revenue.sql", &[])),
        ("a report in capitals", report("REVENUE", &[])),
        ("no report", report("", &[])),
        ("a reversed window", events(&[("from", "2026-01-31T12:00:00Z"), ("to", "2026-01-31T11:00:00Z")])),
        ("an empty window", events(&[("from", "2026-01-31T12:00:00Z"), ("to", "2026-01-31T12:00:00Z")])),
        ("a huge window", events(&[("from", "2025-12-01T00:00:00Z"), ("to", "2026-01-31T12:00:00Z")])),
        ("the widest window", events(&[("from", "-009999-01-02T01:59:59Z"), ("to", "9999-12-30T22:00:00Z")])),
        ("a window before the lake", events(&[("from", "1970-01-01"), ("to", "1970-01-02")])),
        ("a window in the future", events(&[("from", "2026-02-10"), ("to", "2026-02-11")])),
        ("an instant with a zone's name", events(&[("from", "2026-01-31T12:00:00+01:00[Europe/Berlin]")])),
        ("seconds since 1970", events(&[("from", "1769860800")])),
        ("no limit at all", events(&[("limit", "0")])),
        ("a negative limit", events(&[("limit", "-1")])),
        ("a limit with a sign", events(&[("limit", "+5")])),
        ("a huge limit", events(&[("limit", "1001")])),
        ("a limit beyond 64 bits", events(&[("limit", "99999999999999999999999")])),
        ("a limit in hexadecimal", events(&[("limit", "0x10")])),
        ("a limit with an exponent", events(&[("limit", "1e3")])),
        ("a fraction for a limit", events(&[("limit", "1.5")])),
        ("an empty limit", events(&[("limit", "")])),
        ("SQL behind a limit", events(&[("limit", "1; DROP TABLE events")])),
        ("an empty type", events(&[("type", "")])),
        ("a long type", events(&[("type", long)])),
        ("a long source", events(&[("source", long)])),
        ("a long subject", events(&[("subject", long)])),
        ("a long cursor", events(&[("cursor", long)])),
        ("an empty cursor", events(&[("cursor", "")])),
        ("a cursor that is no base64", events(&[("cursor", "!!!!")])),
        ("a cursor of nothing", events(&[("cursor", leak(URL_SAFE_NO_PAD.encode("")))])),
        ("a cursor of no text", events(&[("cursor", leak(URL_SAFE_NO_PAD.encode([0xff; 40])))])),
        (
            "a cursor made up",
            events(&[("cursor", leak(URL_SAFE_NO_PAD.encode("00000000000000001769860700000.e-1")))]),
        ),
        (
            "a cursor with SQL in it",
            events(&[("cursor", leak(URL_SAFE_NO_PAD.encode("00000000000000001769860700000.' OR 1=1 --")))]),
        ),
        (
            "a cursor with a huge time",
            events(&[("cursor", leak(URL_SAFE_NO_PAD.encode("000000000000000099999999999999999999.e-1")))]),
        ),
        ("a long order id", order(long, &[])),
        ("an order nobody knows", order("nobody-knows-it", &[])),
        ("a reversed period of an order", order("o-1", &[("from", "2026-01-31"), ("to", "2026-01-30")])),
        ("a huge period of an order", order("o-1", &[("from", "2020-01-01"), ("to", "2026-01-31")])),
        ("a query that was never asked", query(UNKNOWN_QUERY, &[])),
        ("a query in capitals", query("00000000-0000-4000-8000-00000000FFFF", &[])),
        ("a query's path", query("../queries/00000000-0000-4000-8000-0000", &[])),
        ("a route that is none", request("POST /lake/events", &[], &[])),
        ("parameters of the list", request("GET /lake/reports", &[], &[("name", "x")])),
    ]
}

/// Every hostile text in every place.
fn hostile_questions() -> Vec<(String, ApiGatewayV2httpRequest)> {
    let mut questions = Vec::new();
    for text in HOSTILE {
        for name in ["type", "source", "subject", "from", "to", "limit", "cursor", "format"] {
            questions.push((format!("{name} {text:?}"), events(&[(name, text)])));
        }
        for name in ["from", "to", "format"] {
            questions.push((format!("report {name} {text:?}"), report("revenue", &[(name, text)])));
            questions.push((format!("order {name} {text:?}"), order("o-1", &[(name, text)])));
        }
        questions.push((format!("parameter {text:?}"), events(&[(text, "1")])));
        questions.push((format!("report {text:?}"), report(text, &[])));
        questions.push((format!("order {text:?}"), order(text, &[])));
        questions.push((format!("query {text:?}"), query(text, &[])));
    }
    questions
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_told_and_nothing_is_asked() {
    let wrong = wrong_questions().into_iter().map(|(name, request)| (name.to_owned(), request));
    let all: Vec<_> = wrong.chain(hostile_questions()).collect();
    assert!(all.len() > 600, "{}", all.len());
    println!("{} questions", all.len());
    for (name, request) in all {
        let api = empty();
        let (status, body) = ask(&api, request).await;
        assert!((400..500).contains(&status), "{name}: {status} {body}");
        assert_eq!(api.lake.queries.started(), [], "{name}");
        for error in body["errors"].as_array().into_iter().flatten() {
            assert!(
                ["code", "field", "message"].iter().all(|part| error[part].is_string()),
                "{name}: {error}"
            );
        }
        // Nothing of the question is in the answer.
        let answer = body.to_string();
        let is_in_it =
            |text: &&str| text.len() > 3 && name.contains(&format!("{text:?}")) && answer.contains(*text);
        assert_eq!(HOSTILE.iter().find(|text| is_in_it(text)), None, "{name}: {answer}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        "[a-z0-9.:/_-]{0,20}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z)?",
        "[0-9]{0,5}",
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        (any::<String>(), any::<i64>())
            .prop_map(|(id, at)| URL_SAFE_NO_PAD.encode(format!("{at:016x}{at}.{id}"))),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_is_refused_or_asked_with_plain_values(
        values in prop::collection::btree_map(
            prop::sample::select(vec!["type", "source", "subject", "from", "to", "limit", "cursor", "format"]),
            any_text(),
            0..4,
        ),
        name in any_text(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pairs: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let days: Vec<(&str, &str)> =
            pairs.iter().copied().filter(|(name, _)| ["from", "to", "format"].contains(name)).collect();
        for request in [events(&pairs), report("revenue", &days), report(&name, &days), order(&name, &days), query(&name, &[])] {
            let api = empty();
            let status = runtime.block_on(api.respond(&request)).status_code;
            let started = api.lake.queries.started();
            // An order of which the lake has nothing was asked for, and is not found.
            prop_assert!(started.len() == usize::from(status == 200) || (status == 404 && started.len() == 1), "{status}");
            for parameter in started.iter().flat_map(|query| &query.parameters) {
                match parameter {
                    Parameter::Text(text) => prop_assert!(
                        text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte)),
                        "{text:?}"
                    ),
                    Parameter::Number(number) => prop_assert!((2..=1_001).contains(number)),
                    Parameter::Instant(at) => prop_assert!(at.unix_ms() >= 1_577_836_800_000 && at.unix_ms() <= NOW.unix_ms() + 86_400_000),
                }
            }
        }
    }
}

// Reports

#[tokio::test]
async fn a_report_is_told_as_json_and_as_csv() {
    let rows = |query: &LakeQuery| {
        let value = |text: &str| Some(text.to_owned());
        rows_of(
            query,
            vec![
                vec![value("2026-01-30"), value("shipped"), value("3")],
                vec![None, value("=a,b"), value("1")],
                vec![None, value("\n=1+1"), value("1")],
            ],
        )
    };
    let api = api_with(MemoryLakeQueries::new(move |query| Ok(rows(query))), 0);
    let days = [("from", "2026-01-30"), ("to", "2026-01-31")];
    let (status, body) = ask(&api, report("orders-by-status", &days)).await;
    let expected = json!({
        "report": "orders-by-status",
        "title": "Orders by status and day",
        "from": "2026-01-30",
        "to": "2026-01-31",
        "rows": [
            {"day": "2026-01-30", "status": "shipped", "orders": 3},
            {"day": null, "status": "=a,b", "orders": 1},
            {"day": null, "status": "\n=1+1", "orders": 1},
        ],
    });
    assert_eq!((status, body), (200, expected));
    let asked = &api.lake.queries.started()[0];
    let days_sent = ["2026-01-30", "2026-03-03", "2026-01-30", "2026-01-31"];
    assert_eq!(asked.parameters, days_sent.map(|day| Parameter::Text(day.to_owned())));

    let mut request = report("orders-by-status", &days);
    request.headers.insert("accept", "text/csv, application/json;q=0.5".parse().unwrap());
    let response = api.respond(&request).await;
    assert_eq!(header(&response, "content-type"), Some("text/csv; charset=utf-8"));
    let csv = "day,status,orders\r\n2026-01-30,shipped,3\r\n,\"'=a,b\",1\r\n,\"'\n=1+1\",1\r\n";
    assert_eq!(text(&response), csv);
    request.headers.insert("accept", "image/png".parse().unwrap());
    assert_eq!(api.respond(&request).await.status_code, 406);

    let (_, list) = ask(&api, request_for_list()).await;
    assert_eq!(list["reports"].as_array().unwrap().len(), REPORTS.len());
}

fn request_for_list() -> ApiGatewayV2httpRequest {
    request("GET /lake/reports", &[], &[])
}

#[tokio::test]
async fn every_report_has_as_many_values_as_its_statement_asks_for() {
    for one in REPORTS {
        let api = empty();
        let (status, _) = ask(&api, report(one.name, &[])).await;
        assert_eq!(status, 200, "{}", one.name);
        let asked = &api.lake.queries.started()[0];
        let code = asked.statement.lines().filter(|line| !line.starts_with("--"));
        assert_eq!(
            code.flat_map(str::chars).filter(|one| *one == '?').count(),
            asked.parameters.len(),
            "{}",
            one.name
        );
    }
}

/// Any whole number may be in an event, and Athena fails a query whose sum leaves its type, for everyone who asks. What
/// comes out of the sums themselves is tested where a query engine runs, in `tests/stack/tests/lake_queries.rs`.
#[test]
fn no_report_adds_up_or_multiplies_what_can_overflow() {
    for report in REPORTS {
        let code = |line: &&str| !line.trim_start().starts_with("--");
        let lines: Vec<&str> = report.statement.lines().filter(code).collect();
        for line in &lines {
            if let Some((one, other)) = line.split_once(" * ") {
                assert!(
                    one.contains("AS decimal(") && other.contains("AS decimal("),
                    "{}: {line}",
                    report.name
                );
            }
        }
        let amounts = ["revenue_minor", "requested", "missing"];
        for column in report.columns.iter().filter(|column| amounts.contains(&column.name)) {
            let end = format!(" AS bigint) AS {},", column.name);
            let sum = lines.iter().find(|line| line.contains("sum(") && line.trim_end().ends_with(&end));
            let sum = sum.unwrap_or_else(|| panic!("{}: {} is not tried", report.name, column.name));
            assert!(sum.trim_start().starts_with("TRY_CAST("), "{}: {sum}", report.name);
        }
    }
}

#[tokio::test]
async fn columns_that_are_not_the_report_s_are_no_answer() {
    let rows = Rows { columns: vec!["other".to_owned()], rows: vec![] };
    let api = api_with(MemoryLakeQueries::new(move |_| Ok(rows.clone())), 0);
    assert_eq!(ask(&api, report("revenue", &[])).await.0, 503);
}

// One execution for equal questions

#[tokio::test]
async fn equal_questions_share_an_execution_for_a_minute() {
    let api = api_with(MemoryLakeQueries::new(|query| Ok(rows_of(query, vec![]))), 5_000);
    // Each request reads the clock more than once, so a minute is over after a few of them.
    for _ in 0..8 {
        assert_eq!(
            ask(&api, report("revenue", &[("from", "2026-01-01"), ("to", "2026-01-31")])).await.0,
            200
        );
    }
    let started = api.lake.queries.started();
    assert!((2..8).contains(&started.len()), "{}", started.len());
    assert!(started.windows(2).all(|pair| pair[0].token != pair[1].token));

    let still = empty();
    for days in ["2026-01-30", "2026-01-31", "2026-01-30"] {
        assert_eq!(ask(&still, report("revenue", &[("from", days), ("to", "2026-01-31")])).await.0, 200);
    }
    assert_eq!(still.lake.queries.started().len(), 2, "another period is another question");
    // The answer for a period that is long over may be an hour old.
    assert_eq!(ask(&still, report("revenue", &[("from", "2025-06-01"), ("to", "2025-06-30")])).await.0, 200);
    let reuse: Vec<u16> = still.lake.queries.started().iter().map(|query| query.reuse_minutes_max).collect();
    assert_eq!(reuse, [0, 0, 60]);
}

#[tokio::test]
async fn a_question_that_failed_is_asked_once_more_and_what_is_too_large_is_told() {
    let failing = |state: QueryState| api_with(MemoryLakeQueries::new(move |_| Err(state.clone())), 0);
    let api = failing(QueryState::Failed("HIVE_BAD_DATA".to_owned()));
    for _ in 0..3 {
        let (status, body) = ask(&api, report("revenue", &[])).await;
        assert_eq!(status, 503);
        assert!(!body.to_string().contains("HIVE_BAD_DATA"));
    }
    assert_eq!(api.lake.queries.started().len(), 2);
    let api = failing(QueryState::TooLarge);
    assert_eq!(ask(&api, report("revenue", &[])).await.0, 422);
    assert_eq!(api.lake.queries.started().len(), 1);
}

#[tokio::test]
async fn a_lost_call_is_told_as_passing_and_asking_again_asks_nothing_new() {
    for number in 1..=3 {
        for fault in [Fault::NotApplied, Fault::ReplyLost] {
            let faults = Faults::default();
            faults.fail_call(number, fault);
            let queries = MemoryLakeQueries::new(|query| Ok(rows_of(query, vec![]))).with_faults(faults);
            let api = api_with(queries, 0);
            assert_eq!(ask(&api, report("revenue", &[])).await.0, 503);
            assert_eq!(ask(&api, report("revenue", &[])).await.0, 200);
            assert_eq!(api.lake.queries.started().len(), 1);
        }
    }
}

// Slow queries

#[tokio::test]
async fn what_takes_long_is_found_where_its_answer_says() {
    let api = lake_of(events_by_second(5));
    let window = [("from", "2026-01-31T11:00:00Z"), ("to", "2026-01-31T12:00:00Z"), ("limit", "2")];
    let questions = [report("revenue", &[]), events(&window), order("o-1", &[("from", "2026-01-31")])];
    for question in questions {
        let api = lake_of(events_by_second(5));
        let (_, prompt) = ask(&api, question.clone()).await;
        let slow = lake_of(events_by_second(5));
        slow.lake.queries.run_for(2);
        let response = slow.respond(&question).await;
        let (status, body) = read(&response);
        assert_eq!((status, &body["status"]), (202, &json!("running")));
        assert_eq!(header(&response, "retry-after"), Some("1"));
        let location = header(&response, "location").unwrap();
        let id = location.strip_prefix("/lake/queries/").unwrap();
        assert_eq!(ask(&slow, query(id, &[])).await.0, 202, "it still runs");
        let (status, mut found) = ask(&slow, query(id, &[])).await;
        assert_eq!(status, 200);
        // How the next page is named depends on what is known of the first.
        let next = |body: &mut Value| {
            body.as_object_mut().map(|body| (body.remove("next"), body.remove("nextCursor")))
        };
        let (mut prompt, had_next) = (prompt.clone(), prompt["next"].is_string());
        assert_eq!(found["next"].is_string(), had_next);
        next(&mut found);
        next(&mut prompt);
        assert_eq!(found, prompt);
        assert_eq!(slow.lake.queries.started().len(), 1, "looking asks nothing");
        let csv = text(&slow.respond(&query(id, &[("format", "csv")])).await);
        assert!(csv.lines().next().unwrap().split(',').count() > 3, "{csv}");
    }
    assert_eq!(ask(&api, query(UNKNOWN_QUERY, &[])).await.0, 404);
}

#[tokio::test]
async fn what_others_asked_in_the_same_workgroup_is_not_told() {
    use ports::LakeQueries;
    let api = empty();
    for statement in ["SELECT data FROM events", "SELECT 1 WHERE ? = ?"] {
        let foreign = LakeQuery {
            statement,
            parameters: vec![Parameter::Text("x".to_owned())],
            token: format!("{statement:-<40}"),
            reuse_minutes_max: 0,
        };
        let id = api.lake.queries.start(&foreign).await.unwrap();
        assert_eq!(ask(&api, query(id.as_str(), &[])).await.0, 404, "{statement}");
    }
    // Our own statement with values that we never send.
    let statement = {
        ask(&api, events(&[])).await;
        api.lake.queries.started().pop().unwrap()
    };
    let tampered = |change: fn(&mut Vec<Parameter>)| {
        let mut query = LakeQuery { token: "t".repeat(40), ..statement.clone() };
        change(&mut query.parameters);
        query
    };
    for change in [
        (|values| values[9] = Parameter::Number(1_000_000)) as fn(&mut Vec<Parameter>),
        |values| values[9] = Parameter::Number(i64::MIN),
        |values| values[0] = Parameter::Text("2020-01-01".to_owned()),
        |values| values.truncate(3),
    ] {
        let api = empty();
        let id = api.lake.queries.start(&tampered(change)).await.unwrap();
        assert_eq!(ask(&api, query(id.as_str(), &[])).await.0, 404);
    }
}

// Events, page by page

/// One a second, up to NOW; every third in the same millisecond as the one before.
fn events_by_second(count: i64) -> Vec<Row> {
    let event = |number: i64| {
        let at =
            Timestamp::from_unix_ms(NOW.unix_ms() - 1_000 * (count - number - i64::from(number % 3 == 1)));
        let time = format_timestamp(at).replace('T', " ").trim_end_matches('Z').to_owned();
        [
            format!("e-{number:03}"),
            "orders".to_owned(),
            "orders.order-placed.v1".to_owned(),
            format!("o-{}", number % 4),
            time,
            "flow".to_owned(),
            String::new(),
            String::new(),
            json!({"n": number, "personal": {"name": PERSONAL_VALUES[0]}}).to_string(),
            String::new(),
            format!("bus-{number:04}"),
        ]
    };
    (0..count).map(event).collect()
}

/// A lake that answers what is asked for events, as the statement would.
fn lake_of(lake: Vec<Row>) -> Api {
    let engine = move |query: &LakeQuery| {
        use Parameter::{Instant, Number, Text};
        if REPORTS.iter().any(|report| report.statement == query.statement) {
            return Ok(rows_of(query, vec![]));
        }
        let row = |event: &Row| event.iter().map(|text| (!text.is_empty()).then(|| text.clone())).collect();
        let instant =
            |event: &Row| contracts::parse_timestamp(&format!("{}Z", event[4].replace(' ', "T"))).unwrap();
        let found: Vec<&Row> = match query.parameters.as_slice() {
            [
                Text(first),
                Text(last),
                Instant(to),
                Instant(after),
                Instant(_),
                Text(id),
                Text(event_type),
                Text(source),
                Text(subject),
                Number(rows),
            ] => {
                let is_wanted = |event: &&Row| {
                    let (at, day) = (instant(event), &event[4][..10]);
                    first.as_str() <= day
                        && day <= last.as_str()
                        && at < *to
                        && (at, event[10].as_str()) > (*after, id.as_str())
                        && [(event_type, 2), (source, 1), (subject, 3)]
                            .iter()
                            .all(|(wanted, index)| wanted.is_empty() || **wanted == event[*index])
                };
                let mut found: Vec<_> = lake.iter().filter(is_wanted).collect();
                found.sort_by_key(|event| (instant(event), event[10].clone()));
                found.truncate(usize::try_from(*rows).unwrap());
                found
            }
            [Text(first), Text(last), Text(id), Text(_)] => {
                let is_wanted = |event: &&Row| {
                    event[3] == *id && first.as_str() <= &event[4][..10] && &event[4][..10] <= last.as_str()
                };
                let mut found: Vec<_> = lake.iter().filter(is_wanted).collect();
                let rank = |event: &Row| match (event[9].is_empty(), event[1].as_str()) {
                    (true, "ops") => 1,
                    (true, _) => 0,
                    (false, _) => 2,
                };
                found.sort_by_key(|event| (rank(event), instant(event), event[0].clone()));
                found.truncate(1_001);
                found
            }
            other => panic!("{other:?}"),
        };
        Ok(rows_of(query, found.into_iter().map(row).collect()))
    };
    api_with(MemoryLakeQueries::new(engine), 0)
}

/// The pairs of a link's query string.
fn pairs(link: &str) -> Vec<(String, String)> {
    let query = link.split_once('?').unwrap().1;
    let decoded = |text: &str| {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                decoded.push(byte);
            }
        }
        String::from_utf8(decoded).unwrap()
    };
    query
        .split('&')
        .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), decoded(value))).unwrap())
        .collect()
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn following_the_pages_shows_every_event_once_and_in_order() {
    for limit in ["1", "2", "7", "100"] {
        for filter in
            [vec![], vec![("subject", "o-1")], vec![("type", "orders.order-placed.v1"), ("source", "orders")]]
        {
            let api = lake_of(events_by_second(40));
            let mut question = vec![("limit".to_owned(), limit.to_owned())];
            question.extend(filter.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let mut seen = Vec::new();
            loop {
                let (status, body) = ask(&api, events(&borrowed(&question))).await;
                assert_eq!(status, 200, "{body}");
                assert!(!body.to_string().contains(PERSONAL_VALUES[0]));
                let page = body["events"].as_array().unwrap();
                seen.extend(page.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
                match body["next"].as_str() {
                    Some(link) => question = pairs(link),
                    None => break,
                }
                assert_eq!(question.last().unwrap().1, body["nextCursor"].as_str().unwrap());
            }
            let wanted = events_by_second(40);
            let wanted: Vec<_> = wanted
                .iter()
                .filter(|event| !filter.contains(&("subject", "o-1")) || event[3] == "o-1")
                .map(|event| event[0].clone())
                .collect();
            assert_eq!(seen, wanted, "{limit} {filter:?}");
        }
    }
}

#[tokio::test]
async fn a_cursor_leads_nowhere_but_on_from_its_own_page() {
    let api = lake_of(events_by_second(40));
    let (_, body) = ask(&api, events(&[("limit", "3"), ("subject", "o-1")])).await;
    let next = pairs(body["next"].as_str().unwrap());
    assert_eq!(ask(&api, events(&borrowed(&next))).await.0, 200);
    let cursor = next.last().unwrap().1.clone();
    let asked = api.lake.queries.started().len();
    let with = |name: &str, value: &str| -> Vec<(String, String)> {
        let mut pairs: Vec<_> = next.iter().filter(|(one, _)| one != name).cloned().collect();
        pairs.push((name.to_owned(), value.to_owned()));
        pairs
    };
    let mut refused = vec![
        with("subject", "o-2"),
        with("type", "orders.order-placed.v1"),
        with("source", "orders"),
        with("from", "2026-01-30T00:00:00Z"),
        with("to", "2026-01-31T11:59:59.999Z"),
        with("cursor", &format!("{cursor}=")),
        with("cursor", &cursor[1..]),
    ];
    // Each character replaced by another one.
    for index in 0..cursor.len() {
        for replacement in ["A", "z", "-", "0"] {
            let mut tampered = cursor.clone();
            tampered.replace_range(index..=index, replacement);
            if tampered != cursor {
                refused.push(with("cursor", &tampered));
            }
        }
    }
    for question in refused {
        let (status, body) = ask(&api, events(&borrowed(&question))).await;
        assert_eq!(status, 400, "{question:?}");
        assert!(body["errors"].to_string().contains("cursor"), "{body}");
    }
    assert_eq!(api.lake.queries.started().len(), asked);
}

#[tokio::test]
async fn a_page_is_as_long_as_an_answer_can_be() {
    let mut lake = events_by_second(10);
    for event in &mut lake {
        event[8] = json!({"text": "\"".repeat(400_000)}).to_string();
    }
    let api = lake_of(lake);
    let (_, body) = ask(&api, events(&[])).await;
    assert_eq!(body["events"].as_array().unwrap().len(), 3);
    assert!(body["next"].is_string());
    // A quote takes three more bytes in the JSON in which Lambda hands an answer over, and five in that of CSV.
    assert!(json!(body.to_string()).to_string().len() < 6_000_000);
    let response = api.respond(&events(&[("format", "csv")])).await;
    let csv = text(&response);
    assert_eq!(csv.lines().count(), 1 + 2);
    assert!(json!(csv).to_string().len() < 6_000_000);
    assert!(header(&response, "link").is_some());
}

#[tokio::test]
async fn a_history_that_is_cut_off_says_so() {
    for (count, is_cut_off) in [(1_000, false), (1_001, true)] {
        let mut lake = events_by_second(count);
        lake.iter_mut().for_each(|event| event[3] = "o-1".to_owned());
        let api = lake_of(lake);
        let (status, body) = ask(&api, order("o-1", &[("from", "2026-01-31")])).await;
        assert_eq!((status, &body["isCutOff"]), (200, &json!(is_cut_off)));
        assert_eq!(body["history"].as_array().unwrap().len(), 1_000);
        let response = api.respond(&order("o-1", &[("from", "2026-01-31"), ("format", "csv")])).await;
        assert_eq!(header(&response, "orderbus-is-cut-off"), is_cut_off.then_some("true"));
    }
}

#[tokio::test]
async fn a_report_that_has_no_room_is_refused_and_never_cut_off() {
    let of = |rows: usize| {
        let value = |text: &str| Some(text.to_owned());
        let row = vec![value("2026-01-30"), value("shipped"), value("3")];
        api_with(MemoryLakeQueries::new(move |query| Ok(rows_of(query, vec![row.clone(); rows]))), 0)
    };
    let (status, body) = ask(&of(20_000), report("orders-by-status", &[])).await;
    assert_eq!((status, body["rows"].as_array().unwrap().len()), (200, 20_000));
    let api = of(20_001);
    let (status, body) = ask(&api, report("orders-by-status", &[])).await;
    assert_eq!((status, &body["type"]), (422, &json!("urn:orderbus:problem:too-many-rows")));
    // What took longer, too.
    let api = of(20_001);
    api.lake.queries.run_for(1);
    let response = api.respond(&report("orders-by-status", &[])).await;
    let id = header(&response, "location").unwrap().strip_prefix("/lake/queries/").unwrap();
    assert_eq!(ask(&api, query(id, &[])).await.0, 422);
}

#[tokio::test]
async fn pages_go_on_behind_whatever_id_somebody_sent() {
    let mut lake = events_by_second(8);
    let odd = ["an id", "it's; --", "ö🦀", "\"\\", "a.b?c%00&d=#", &"x".repeat(500), &"y'".repeat(300), "z"];
    for (event, id) in lake.iter_mut().zip(odd) {
        event[0] = id.to_owned();
        event[10] = id.to_owned();
    }
    for limit in ["1", "3"] {
        let api = lake_of(lake.clone());
        let mut question = vec![("limit".to_owned(), limit.to_owned())];
        let mut seen = BTreeSet::new();
        for _ in 0..=odd.len() {
            let (status, body) = ask(&api, events(&borrowed(&question))).await;
            assert_eq!(status, 200, "{body}");
            for event in body["events"].as_array().unwrap() {
                assert!(seen.insert(event["id"].as_str().unwrap().to_owned()), "{event}");
            }
            match body["next"].as_str() {
                Some(link) => question = pairs(link),
                None => break,
            }
        }
        assert_eq!(seen, odd.iter().map(|id| (*id).to_owned()).collect(), "{limit}");
        // Athena takes a literal of 1,024 characters.
        let literals = api.lake.queries.started().into_iter().flat_map(|query| query.parameters);
        for parameter in literals {
            if let Parameter::Text(text) = parameter {
                assert!(text.chars().count() + text.matches('\'').count() + 2 <= 1_024);
            }
        }
    }
}

#[tokio::test]
async fn one_id_of_several_senders_hides_nothing_wherever_a_page_ends() {
    let mut lake = events_by_second(9);
    let senders = ["", "account:444455556666", "producer:carrier"];
    for (number, event) in lake.iter_mut().enumerate() {
        event[0] = "claimed".to_owned();
        event[4] = "2026-01-31 11:59:00".to_owned();
        event[9] = senders[number % 3].to_owned();
    }
    for limit in ["1", "2", "4", "100"] {
        let api = lake_of(lake.clone());
        let mut question = vec![("limit".to_owned(), limit.to_owned())];
        let mut seen = Vec::new();
        for _ in 0..=lake.len() {
            let (status, body) = ask(&api, events(&borrowed(&question))).await;
            assert_eq!(status, 200, "{body}");
            seen.extend(body["events"].as_array().unwrap().clone());
            match body["next"].as_str() {
                Some(link) => question = pairs(link),
                None => break,
            }
        }
        assert_eq!(seen.len(), 9, "{limit}");
        let origins: Vec<_> = seen.iter().map(|event| event["origin"].as_str().unwrap_or_default()).collect();
        assert_eq!(origins, [senders, senders, senders].concat(), "null is our own");
        assert!(seen.iter().all(|event| event.get("origin").is_some() && event.get("unreadable").is_none()));
    }
}

/// What the bus takes, and whether common readers hold it.
fn odd_data() -> Vec<(String, bool)> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let numbers =
        r#"{"i":123456789012345678901234567890,"f":0.1000000000000000055511151231257827,"m":1217.0}"#;
    vec![
        (r#"{"note":"cut emoji \ud83d"}"#.to_owned(), false),
        (r#"{"\udd80":1}"#.to_owned(), false),
        (r#"{"n":1e400}"#.to_owned(), false),
        (deep(1_000), false),
        (deep(129), false),
        (numbers.to_owned(), true),
        (deep(100), true),
        (r#"{"a":1,"a":2,"b":"\u0000\u001b[2J"}"#.to_owned(), true),
        ("-1".to_owned(), true),
        (r#""=1+1""#.to_owned(), true),
    ]
}

#[tokio::test]
async fn whatever_the_bus_took_is_a_row_of_its_page_and_harms_no_neighbour() {
    let odd = odd_data();
    let mut lake = events_by_second(i64::try_from(odd.len()).unwrap() + 2);
    lake.iter_mut().for_each(|event| event[3] = "o-1".to_owned());
    for (event, (data, _)) in lake[1..].iter_mut().zip(&odd) {
        event[8] = data.clone();
    }
    let api = lake_of(lake.clone());
    for (question, rows) in [(events(&[]), "events"), (order("o-1", &[("from", "2026-01-31")]), "history")] {
        let response = api.respond(&question).await;
        assert_eq!(response.status_code, 200);
        let text = text(&response);
        let body: Value = serde_json::from_str(&text).unwrap();
        let found = body[rows].as_array().unwrap();
        assert_eq!(found.len(), lake.len());
        assert_eq!((&found[0]["data"]["n"], &found[found.len() - 1]["data"]["n"]), (&json!(0), &json!(11)));
        for (event, (data, is_readable)) in found[1..].iter().zip(&odd) {
            if *is_readable {
                assert_eq!(event.get("unreadable"), None, "{event}");
                assert!(text.contains(&format!("\"data\":{data},")), "to the letter: {data:.90}");
            } else {
                assert_eq!((&event["unreadable"], &event["data"]), (&json!(true), &json!(data)));
            }
        }
    }
    let csv = text(&api.respond(&events(&[("format", "csv")])).await);
    let header = csv.lines().next().unwrap();
    assert_eq!(header, "id,source,type,subject,time,correlationId,causationId,schema,data,origin,unreadable");
    assert_eq!(csv.lines().count(), lake.len() + 1);
    assert!(csv.contains(r#","{""note"":""cut emoji \ud83d""}",,true"#), "{csv}");
    assert!(csv.contains(",-1,,\r\n") && csv.contains(r#","'""=1+1""",,"#), "{csv}");
    // Page by page as well.
    let mut question = vec![("limit".to_owned(), "1".to_owned())];
    for number in 0..lake.len() {
        let (status, body) = ask(&api, events(&borrowed(&question))).await;
        assert_eq!((status, &body["events"][0]["id"]), (200, &json!(format!("e-{number:03}"))));
        question = body["next"].as_str().map(pairs).unwrap_or_default();
    }
    assert!(question.is_empty());
}

#[tokio::test]
async fn what_is_personal_is_left_out_of_what_nobody_can_read_as_well() {
    let mut lake = events_by_second(3);
    let name = PERSONAL_VALUES[0];
    let deep = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
    lake[0][8] = format!(r#"{{"note":"\ud83d","p\u0065rsonal":{{"name":"{name}"}},"taskToken":"{name}"}}"#);
    lake[1][8] = format!(r#"{{"tree":{deep},"x":[{{"personal":["{name}"]}}]}}"#);
    lake[2][8] = format!(r#"{{"personal":{{"name":"{name}""#);
    let api = lake_of(lake);
    let (status, body) = ask(&api, events(&[])).await;
    let found = body["events"].as_array().unwrap();
    assert_eq!((status, found.len()), (200, 3));
    assert!(!body.to_string().contains(name), "{body}");
    assert!(found.iter().all(|event| event["unreadable"] == true));
    assert_eq!(found[2]["data"], json!(null), "what is not JSON is not told");
}

// Orders

#[tokio::test]
async fn a_history_has_nothing_that_only_claims_to_be_ours_and_says_who_said_the_rest() {
    let event = |id: &str, source: &str, event_type: &str, time: &str, cause: &str, origin: &str| {
        let mut row = events_by_second(1).remove(0);
        let values = [id, source, event_type, "o-1", time, "o-1", cause, "", "{}", origin];
        row.iter_mut().zip(values).for_each(|(column, value)| *column = value.to_owned());
        row[10] = format!("bus-{id}-{origin}-{source}");
        row
    };
    let (placed, confirmed, scan) =
        ("orders.order-placed.v1", "orders.order-confirmed.v1", "shipping.delivery-status-changed.v1");
    let lake = vec![
        event("e-1", "orders", placed, "2026-01-31 12:00:00", "", ""),
        event("e-2", "orders", confirmed, "2026-01-31 12:00:01", "e-1", ""),
        // Of another account, of a producer, and of one of ours that publishes another's type.
        event("e-2", "orders", confirmed, "2026-01-31 11:00:00", "", "account:444455556666"),
        event("e-3", "orders", "orders.order-cancelled.v1", "2026-01-31 11:00:00", "", "producer:carrier"),
        event("e-2", "shipping", confirmed, "2026-01-31 11:00:00", "", ""),
        // A carrier may speak of a parcel, under any id.
        event("e-1", "shipping", scan, "2026-01-31 12:00:05", "", "producer:carrier"),
        event("e-1", "shipping", scan, "2026-01-31 12:00:05", "", "producer:other"),
        event("n-1", "case.note", "case.note", "2026-01-31 12:00:06", "", "account:444455556666"),
    ];
    let api = lake_of(lake);
    let (status, body) = ask(&api, order("o-1", &[("from", "2026-01-31")])).await;
    assert_eq!(status, 200);
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or("own").to_owned();
    let history = body["history"].as_array().unwrap();
    let mut told: Vec<_> =
        history.iter().map(|event| ["id", "type", "origin"].map(|name| text(event, name))).collect();
    told[2..4].sort_unstable();
    let expected = [
        ["e-1", placed, "own"],
        ["e-2", confirmed, "own"],
        ["e-1", scan, "producer:carrier"],
        ["e-1", scan, "producer:other"],
        ["n-1", "case.note", "account:444455556666"],
    ];
    assert_eq!(told, expected);
    // The page of events has all of them.
    let (_, body) = ask(&api, events(&[("subject", "o-1"), ("to", "2026-01-31T12:30:00Z")])).await;
    assert_eq!(body["events"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn others_crowd_nothing_of_ours_out_of_a_history() {
    let mut lake = events_by_second(1_500);
    lake.iter_mut().for_each(|event| event[3] = "o-1".to_owned());
    for event in &mut lake[..1_400] {
        event[1] = "case".to_owned();
        event[2] = "case.note".to_owned();
        event[9] = "producer:carrier".to_owned();
    }
    // What others send can be set aside, and each time we say so.
    for event in &mut lake[..1_100] {
        event[1] = "ops".to_owned();
        event[2] = "ops.event-quarantined.v1".to_owned();
        event[9] = String::new();
    }
    let api = lake_of(lake);
    let (status, body) = ask(&api, order("o-1", &[("from", "2026-01-31")])).await;
    assert_eq!((status, &body["isCutOff"]), (200, &json!(true)));
    let history = body["history"].as_array().unwrap();
    let is_of_ours = |event: &&Value| event["origin"].is_null() && event["source"] != "ops";
    assert_eq!(history.iter().filter(is_of_ours).count(), 100);
    assert_eq!(history.len(), 1_000);
}

#[tokio::test]
async fn when_others_say_that_something_happened_does_not_widen_what_a_history_scans() {
    let carrier = Origin::Producer("carrier".into());
    let days = async |times: &[(&str, bool)]| {
        let api = lake_of(events_by_second(1));
        for (number, (time, is_own)) in times.iter().enumerate() {
            let id = format!("e-{number}");
            let event = if *is_own { placed(&id, "o-1", &[("MUG", 1)]) } else { picked_up(&id, "o-1") };
            let event = Event { time: contracts::parse_timestamp(time).unwrap(), ..event };
            let origin = if *is_own { &Origin::Own } else { &carrier };
            api.views.add(&order_id("o-1"), &fact_of(&event, origin).unwrap()).await.unwrap();
        }
        ask(&api, order("o-1", &[])).await;
        let asked = api.lake.queries.started();
        asked.first().map(|query| query.parameters[..2].to_vec())
    };
    let text = |day: &str| Parameter::Text(day.to_owned());
    let own = ("2026-01-10T00:00:00Z", true);
    let expected = Some(vec![text("2026-01-09"), text("2026-02-10")]);
    assert_eq!(days(&[own]).await, expected);
    for claimed in ["2020-01-01T00:00:00Z", "2026-01-20T00:00:00Z", "2099-12-31T00:00:00Z"] {
        assert_eq!(days(&[own, (claimed, false)]).await, expected, "{claimed}");
    }
    assert_eq!(days(&[("2026-01-20T00:00:00Z", false)]).await, None, "an order of which we know nothing");
}

#[tokio::test]
async fn the_history_of_an_order_is_in_causal_order_and_names_nobody() {
    let first = placed("e-1", "o-1", &[("MUG", 1)]);
    let second = confirmed("e-0", "o-1", &[("MUG", 1)]);
    let row = |event: &contracts::Event, time: &str, cause: &str| {
        let outbound = event.to_outbound().unwrap();
        [
            event.id.as_str().to_owned(),
            outbound.event_type.source().to_owned(),
            outbound.event_type.as_str().to_owned(),
            "o-1".to_owned(),
            time.to_owned(),
            "o-1".to_owned(),
            cause.to_owned(),
            String::new(),
            data_of(&outbound).to_string(),
            String::new(),
            format!("bus-{}", event.id.as_str()),
        ]
    };
    // The effect has the earlier time: clocks differ.
    let lake = vec![row(&first, "2026-01-31 12:00:00.500", ""), row(&second, "2026-01-31 12:00:00", "e-1")];
    let api = lake_of(lake);
    let id = order_id("o-1");
    api.views.add(&id, &fact_of(&first, &contracts::Origin::Own).unwrap()).await.unwrap();
    let (status, body) = ask(&api, order("o-1", &[])).await;
    assert_eq!((status, &body["orderId"], &body["isCutOff"]), (200, &json!("o-1"), &json!(false)));
    let history = body["history"].as_array().unwrap();
    let ids: Vec<&str> = history.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["e-1", "e-0"]);
    assert_eq!(history[1]["causationId"], "e-1");
    assert_eq!(history[1]["time"], "2026-01-31T12:00:00.000Z");
    assert_eq!(history[0]["data"]["lines"][0]["sku"], "MUG");
    assert!(history.iter().all(|event| event["data"].get("personal").is_none()));
    let csv = text(&api.respond(&order("o-1", &[("format", "csv")])).await);
    for value in PERSONAL_VALUES {
        assert!(!body.to_string().contains(value) && !csv.contains(value), "{value}");
    }
    // The view knows when the order was placed, so the lake is asked about those days only.
    let asked = &api.lake.queries.started()[0];
    assert_eq!(
        asked.parameters[..2],
        ["2026-01-30", "2026-03-03"].map(|day| Parameter::Text(day.to_owned()))
    );
    // What a carrier says of an order, and of which time, moves the days of none and makes none.
    let mut claim = moved("e-2", "o-1", "in_transit");
    claim.time = Timestamp::from_unix_ms(NOW.unix_ms() + 1_000 * 86_400_000);
    let claim = fact_of(&claim, &contracts::Origin::Producer("carrier".to_owned())).unwrap();
    for id in [&id, &order_id("o-2")] {
        api.views.add(id, &claim).await.unwrap();
    }
    assert_eq!(ask(&api, order("o-1", &[])).await.0, 200);
    assert_eq!(api.lake.queries.started().len(), 1, "the same question");
    assert_eq!(ask(&api, order("o-2", &[])).await.0, 404);
    assert_eq!(ask(&api, order("o-2", &[("from", "2026-01-31")])).await.0, 404, "asked, and not there");
}
