use std::collections::BTreeMap;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use contracts::{Reason, RecordedFact};
use domain::OrderId;
use ports::{Clock, Execution, LakeQueries, OrderViewStore, Parameter, PortError, QueryId, QueryState, Rows};
use runtime::{ANSWER_BYTES_MAX, Problem, http_response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::days::Days;
use crate::events::{EVENT_PARAMETERS, EVENTS, EventFilter, ORDER};
use crate::render::{LakeEvent, csv, events, events_csv, history_of, report_rows};
use crate::reports::{REPORTS, Report};
use crate::run_query::{Answer, Lake, Question, REPORT_ROWS_MAX};

/// This function's name.
pub const NAME: &str = "lake-api";

/// The header that says of a history in CSV that there is more of it.
const CUT_OFF: &str = "orderbus-is-cut-off";
/// The most events that are told of one order.
const HISTORY_MAX: usize = 1_000;
/// An order's events are looked for from so many days before the first fact of our own that is known of it …
const DAYS_BEFORE: i64 = 1;
/// … to so many days behind the last.
const DAYS_BEHIND: i64 = 31;
const VALUE_LENGTH_MAX: usize = 4_096;

/// Turns HTTP requests into questions, and what was found into answers.
#[derive(Debug)]
pub struct LakeApi<Q, V, C> {
    /// Where questions are asked.
    pub lake: Lake<Q, C>,
    /// What is known of each order.
    pub views: V,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

type Parameters<'a> = BTreeMap<&'a str, &'a str>;

impl<Q: LakeQueries, V: OrderViewStore, C: Clock> LakeApi<Q, V, C> {
    /// Answers one request. Whatever is wrong with it is answered, never returned as an error.
    pub async fn respond(&self, request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let result = match request.route_key.as_deref() {
            Some("GET /lake/reports") => list_reports(request),
            Some("GET /lake/reports/{name}") => self.report(request).await,
            Some("GET /lake/events") => self.events(request).await,
            Some("GET /lake/orders/{id}") => self.order(request).await,
            Some("GET /lake/queries/{id}") => self.query(request).await,
            _ => Err(Problem::new(
                404,
                "no-such-route",
                "There is no such route",
                "See the README for the routes.",
            )),
        };
        result.unwrap_or_else(Problem::into_response)
    }

    async fn report(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let report = Report::named(path_parameter(request, "name")).ok_or_else(|| {
            Problem::new(404, "unknown-report", "There is no such report", "GET /lake/reports lists them.")
        })?;
        let parameters = parameters(request, &["from", "to", "format"])?;
        let format = format_of(request, &parameters)?;
        let days = Days::parse(
            parameters.get("from").copied(),
            parameters.get("to").copied(),
            self.lake.clock.now(),
        )
        .map_err(|error| invalid(vec![error.reason()]))?;
        match self.lake.report(report, &days).await.map_err(unavailable)? {
            Answer::Rows(rows) => report_response(report, &days, &rows, format),
            other => without_rows(other, format),
        }
    }

    async fn events(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let parameters = parameters(request, &EVENT_PARAMETERS)?;
        let format = format_of(request, &parameters)?;
        let filter = EventFilter::parse(&parameters, &self.lake.clock).map_err(invalid)?;
        let question = filter.question(&self.lake.clock);
        match self.lake.ask(&question).await.map_err(unavailable)? {
            Answer::Rows(rows) => events_response(&filter, rows, format),
            other => without_rows(other, format),
        }
    }

    async fn order(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let order_id = OrderId::parse(path_parameter(request, "id")).map_err(|_| unknown_order())?;
        let parameters = parameters(request, &["from", "to", "format"])?;
        let format = format_of(request, &parameters)?;
        let (from, to) = (parameters.get("from").copied(), parameters.get("to").copied());
        let days = if from.is_some() || to.is_some() {
            Days::parse(from, to, self.lake.clock.now()).map_err(|error| invalid(vec![error.reason()]))?
        } else {
            // When others say that something happened is their choice, and what a question scans is not to be.
            let facts = self.views.own_facts(&order_id).await.map_err(unavailable)?;
            days_of(&facts).ok_or_else(unknown_order)?
        };
        let text = |text: String| Parameter::Text(text);
        let id = || text(order_id.as_str().to_owned());
        let question = Question {
            statement: ORDER,
            parameters: vec![text(days.first().to_string()), text(days.last().to_string()), id(), id()],
            is_closed: false,
            rows_max: HISTORY_MAX + 1,
        };
        match self.lake.ask(&question).await.map_err(unavailable)? {
            Answer::Rows(rows) => order_response(order_id.as_str(), rows, format),
            other => without_rows(other, format),
        }
    }

    /// What became of a query that took longer. Only those that were asked here are known: in this function's workgroup,
    /// with one of its statements.
    async fn query(&self, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
        let id = QueryId::parse(path_parameter(request, "id")).ok_or_else(unknown_query)?;
        let parameters = parameters(request, &["format"])?;
        let format = format_of(request, &parameters)?;
        let found = self.lake.queries.look_up(&id).await.map_err(unavailable)?;
        let execution = found.ok_or_else(unknown_query)?;
        let asked = Asked::of(&execution, &self.lake.clock).ok_or_else(unknown_query)?;
        match execution.state {
            QueryState::Running => without_rows(Answer::Running(id), format),
            QueryState::TooLarge => without_rows(Answer::TooLarge, format),
            QueryState::Failed(code) => {
                tracing::warn!(consumer = NAME, query.id = %id, code, "a query failed");
                without_rows(Answer::Failed, format)
            }
            QueryState::Succeeded => {
                let rows = self.lake.queries.rows(&id, asked.rows_max()).await.map_err(unavailable)?;
                match asked {
                    Asked::Report(report, days) => match Answer::of_report(rows) {
                        Answer::Rows(rows) => report_response(report, &days, &rows, format),
                        other => without_rows(other, format),
                    },
                    Asked::Events(filter) => events_response(&filter, rows, format),
                    Asked::Order(order_id) => order_response(&order_id, rows, format),
                }
            }
        }
    }
}

/// What an execution was asked for.
enum Asked {
    Report(&'static Report, Days),
    Events(Box<EventFilter>),
    Order(String),
}

impl Asked {
    fn of(execution: &Execution, clock: &impl Clock) -> Option<Self> {
        let is = |statement: &str| execution.statement.trim() == statement.trim();
        let parameters = &execution.parameters;
        if let Some(report) = REPORTS.iter().find(|report| is(report.statement)) {
            return Some(Self::Report(report, report.days(parameters)?));
        }
        if is(EVENTS) {
            return EventFilter::of(parameters, clock).map(Box::new).map(Self::Events);
        }
        match parameters.get(2) {
            Some(Parameter::Text(order_id)) if is(ORDER) => Some(Self::Order(order_id.clone())),
            _ => None,
        }
    }

    fn rows_max(&self) -> usize {
        match self {
            Self::Report(..) => REPORT_ROWS_MAX + 1,
            Self::Events(filter) => filter.limit() + 1,
            Self::Order(_) => HISTORY_MAX + 1,
        }
    }
}

fn list_reports(request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    parameters(request, &[])?;
    let reports: Vec<Value> = REPORTS
        .iter()
        .map(|report| {
            let columns: Vec<&str> = report.columns.iter().map(|column| column.name).collect();
            json!({"name": report.name, "title": report.title, "columns": columns})
        })
        .collect();
    json_response(200, &json!({"reports": reports}), &[])
}

fn report_response(
    report: &Report,
    days: &Days,
    rows: &Rows,
    format: Format,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let rows = report_rows(report, rows).map_err(unavailable)?;
    Ok(match format {
        Format::Csv => {
            let columns: Vec<&str> = report.columns.iter().map(|column| column.name).collect();
            csv_response(csv(&columns, &rows), &[])
        }
        Format::Json => {
            let body = json!({
                "report": report.name,
                "title": report.title,
                "from": days.first().to_string(),
                "to": days.last().to_string(),
                "rows": rows,
            });
            json_response(200, &body, &[])?
        }
    })
}

fn events_response(
    filter: &EventFilter,
    rows: Rows,
    format: Format,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let mut found = events(rows).map_err(unavailable)?;
    let fitting = found.len().min(filter.limit()).min(how_many_fit(&found, format));
    let has_more = found.len() > fitting;
    found.truncate(fitting);
    let next = found.last().filter(|_| has_more).map(|last| filter.next(&last.place()));
    let link = next.as_ref().map(|next| {
        let pairs: Vec<String> =
            next.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("/lake/events?{}", pairs.join("&"))
    });
    Ok(match format {
        Format::Csv => {
            let link = link.map(|link| format!("<{link}&format=csv>; rel=\"next\""));
            let headers: Vec<(&str, &str)> = link.iter().map(|link| ("link", link.as_str())).collect();
            csv_response(events_csv(&found), &headers)
        }
        Format::Json => {
            let next_cursor = next.as_ref().and_then(|next| next.last()).map(|(_, cursor)| cursor.as_str());
            json_response(200, &Page { events: &found, next_cursor, next: link.as_deref() }, &[])?
        }
    })
}

/// A page of events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    events: &'a [LakeEvent],
    next_cursor: Option<&'a str>,
    next: Option<&'a str>,
}

/// The history of an order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History<'a> {
    order_id: &'a str,
    history: &'a [LakeEvent],
    is_cut_off: bool,
}

fn order_response(order_id: &str, rows: Rows, format: Format) -> Result<ApiGatewayV2httpResponse, Problem> {
    let mut found = events(rows).map_err(unavailable)?;
    let fitting = found.len().min(HISTORY_MAX).min(how_many_fit(&found, format));
    let is_cut_off = found.len() > fitting;
    found.truncate(fitting);
    let found = history_of(found);
    if found.is_empty() {
        return Err(unknown_order());
    }
    Ok(match format {
        // CSV has no place for it.
        Format::Csv if is_cut_off => csv_response(events_csv(&found), &[(CUT_OFF, "true")]),
        Format::Csv => csv_response(events_csv(&found), &[]),
        Format::Json => json_response(200, &History { order_id, history: &found, is_cut_off }, &[])?,
    })
}

fn without_rows(answer: Answer, format: Format) -> Result<ApiGatewayV2httpResponse, Problem> {
    match answer {
        Answer::Running(id) => {
            let suffix = if format == Format::Csv { "?format=csv" } else { "" };
            let location = format!("/lake/queries/{id}{suffix}");
            let body = json!({"status": "running", "queryId": id.as_str(), "location": location});
            json_response(202, &body, &[("location", &location), ("retry-after", "1")])
        }
        Answer::TooLarge => Err(Problem::new(
            422,
            "window-too-large",
            "The question would read too much of the lake",
            "Ask for a shorter period.",
        )),
        Answer::TooManyRows => Err(Problem::new(
            422,
            "too-many-rows",
            "The report has more rows than an answer has room for",
            "Ask for a shorter period.",
        )),
        Answer::Rows(_) | Answer::Failed => Err(Problem::unavailable()),
    }
}

/// How many of them one answer holds; at least one.
fn how_many_fit(events: &[LakeEvent], format: Format) -> usize {
    let text = |event: &LakeEvent| match format {
        Format::Json => serde_json::to_string(event).unwrap_or_default(),
        Format::Csv => events_csv(std::slice::from_ref(event)),
    };
    runtime::how_many_fit(events.iter().map(text), ANSWER_BYTES_MAX)
}

fn json_response(
    status: u16,
    body: &impl Serialize,
    headers: &[(&str, &str)],
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let body = serde_json::to_string(body)
        .map_err(|error| unavailable(PortError::permanent("write an answer", error)))?;
    Ok(http_response(status, "application/json", body, headers))
}

fn csv_response(body: String, headers: &[(&str, &str)]) -> ApiGatewayV2httpResponse {
    http_response(200, "text/csv; charset=utf-8", body, headers)
}

/// The days in which the events of an order are looked for.
fn days_of(own_facts: &[RecordedFact]) -> Option<Days> {
    let times = || own_facts.iter().map(|fact| fact.fact.at);
    Some(Days::around(times().min()?, times().max()?, DAYS_BEFORE, DAYS_BEHIND))
}

fn path_parameter<'a>(request: &'a ApiGatewayV2httpRequest, name: &str) -> &'a str {
    request.path_parameters.get(name).map(String::as_str).unwrap_or_default()
}

/// The query string, which may have only these parameters, each once.
fn parameters<'a>(
    request: &'a ApiGatewayV2httpRequest,
    known: &[&'static str],
) -> Result<Parameters<'a>, Problem> {
    let mut parameters = Parameters::new();
    let mut wrong = Vec::new();
    let reason = |field: &str, message: &str| Reason {
        code: "invalid_parameter".to_owned(),
        field: Some(field.to_owned()),
        message: message.to_owned(),
    };
    for (name, value) in request.query_string_parameters.iter() {
        match known.iter().find(|known| **known == name) {
            None => wrong.push(reason("", "there is a parameter that this route does not have")),
            Some(known) if parameters.insert(known, value).is_some() => {
                wrong.push(reason(known, "must be given once"));
            }
            Some(known) if value.len() > VALUE_LENGTH_MAX => wrong.push(reason(known, "is too long")),
            Some(_) => {}
        }
    }
    if wrong.is_empty() { Ok(parameters) } else { Err(invalid(wrong)) }
}

/// What was asked for by name, or else by the first type of `Accept` that there is.
fn format_of(request: &ApiGatewayV2httpRequest, parameters: &Parameters<'_>) -> Result<Format, Problem> {
    if let Some(format) = parameters.get("format") {
        return match *format {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            _ => Err(invalid(vec![Reason {
                code: "invalid_parameter".to_owned(),
                field: Some("format".to_owned()),
                message: "must be json or csv".to_owned(),
            }])),
        };
    }
    let accept = request.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let format = |media_type: &str| match media_type.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Some(Format::Csv),
        "application/json" | "application/*" | "*/*" => Some(Format::Json),
        _ => None,
    };
    accept.split(',').find_map(format).ok_or_else(|| {
        Problem::new(
            406,
            "not-acceptable",
            "There is no such representation",
            "Accept application/json or text/csv.",
        )
    })
}

fn invalid(reasons: Vec<Reason>) -> Problem {
    Problem::new(
        400,
        "invalid-parameters",
        "The question cannot be asked",
        "Mend each parameter named in errors.",
    )
    .with_errors(reasons)
}

fn unknown_order() -> Problem {
    Problem::new(
        404,
        "unknown-order",
        "The lake knows nothing of this order",
        "There is no order of this id, or its events are not in the lake yet, which takes some minutes. Where to look can be said by from and to.",
    )
}

fn unknown_query() -> Problem {
    Problem::new(
        404,
        "unknown-query",
        "There is no such query",
        "Only what was answered with 202 is here, for some days.",
    )
}

fn unavailable(error: PortError) -> Problem {
    tracing::warn!(consumer = NAME, operation = error.operation, problem = %error.source, "a request could not be handled");
    Problem::unavailable()
}

/// Percent-encoded (RFC 3986). Everything that gets here is ASCII.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
