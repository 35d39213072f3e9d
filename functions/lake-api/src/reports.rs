use ports::Parameter;

use crate::days::Days;

/// What stands for a `?` of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportParameter {
    /// The first day.
    First,
    /// The last day.
    Last,
    /// The last day whose events count for the orders of the period: an order goes on after the day on which it was placed.
    Horizon,
}

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A day: `2026-01-31`.
    Day,
    /// Some text.
    Text,
    /// A whole number.
    Number,
    /// A time span in milliseconds.
    Milliseconds,
    /// An amount in the minor units of a currency.
    Minor,
}

impl ColumnKind {
    /// Whether its values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Milliseconds | Self::Minor)
    }
}

/// A column of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// As the query calls it.
    pub name: &'static str,
    /// What is in it.
    pub kind: ColumnKind,
}

/// A question that is asked again and again. The template has it as a named query, to the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// As people and programs call it.
    pub name: &'static str,
    /// What it tells.
    pub title: &'static str,
    /// Athena's SQL.
    pub statement: &'static str,
    /// What stands for each `?`.
    pub parameters: &'static [ReportParameter],
    /// What it finds.
    pub columns: &'static [Column],
}

const PERIOD: &[ReportParameter] = &[ReportParameter::First, ReportParameter::Last];
/// Of reports on the orders that were placed in a period.
const COHORT: &[ReportParameter] =
    &[ReportParameter::First, ReportParameter::Horizon, ReportParameter::First, ReportParameter::Last];

const DAY: Column = Column { name: "day", kind: ColumnKind::Day };

/// How much of what was found cannot be, and counts nowhere else.
const LEFT_OUT: Column = number("left_out");

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Text }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Number }
}

const fn milliseconds(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Milliseconds }
}

/// Every report there is.
pub const REPORTS: &[Report] = &[
    Report {
        name: "orders-by-status",
        title: "Orders by status and day",
        statement: include_str!("../queries/orders-by-status.sql"),
        parameters: COHORT,
        columns: &[DAY, text("status"), number("orders")],
    },
    Report {
        name: "funnel",
        title: "How far orders come",
        statement: include_str!("../queries/funnel.sql"),
        parameters: COHORT,
        columns: &[
            number("step"),
            text("stage"),
            number("orders"),
            number("dropped_out"),
            number("still_there"),
        ],
    },
    Report {
        name: "drop-outs",
        title: "Rejected and cancelled orders by reason",
        statement: include_str!("../queries/drop-outs.sql"),
        parameters: COHORT,
        columns: &[DAY, text("ending"), text("reason"), number("orders")],
    },
    Report {
        name: "time-to-ship",
        title: "Time from placed to shipped",
        statement: include_str!("../queries/time-to-ship.sql"),
        parameters: COHORT,
        columns: &[
            DAY,
            number("orders"),
            milliseconds("p50_ms"),
            milliseconds("p90_ms"),
            milliseconds("p99_ms"),
            LEFT_OUT,
        ],
    },
    Report {
        name: "revenue",
        title: "Revenue by day and SKU",
        statement: include_str!("../queries/revenue.sql"),
        parameters: PERIOD,
        columns: &[
            DAY,
            text("sku"),
            text("currency"),
            number("orders"),
            number("quantity"),
            Column { name: "revenue_minor", kind: ColumnKind::Minor },
            LEFT_OUT,
        ],
    },
    Report {
        name: "stock-outs",
        title: "Orders refused for lack of stock",
        statement: include_str!("../queries/stock-outs.sql"),
        parameters: PERIOD,
        columns: &[DAY, text("sku"), number("orders"), number("requested"), number("missing"), LEFT_OUT],
    },
    Report {
        name: "dead-letters",
        title: "Messages given up on, by reason",
        statement: include_str!("../queries/dead-letters.sql"),
        parameters: PERIOD,
        columns: &[DAY, text("consumer"), text("reason"), number("messages")],
    },
    Report {
        name: "events-by-type",
        title: "Events by type and source",
        statement: include_str!("../queries/events-by-type.sql"),
        parameters: PERIOD,
        columns: &[DAY, text("source"), text("type"), number("events")],
    },
];

impl Report {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        REPORTS.iter().find(|report| report.name == name)
    }

    /// The values for a period.
    #[must_use]
    pub fn values(&self, days: &Days) -> Vec<Parameter> {
        let value = |parameter: &ReportParameter| match parameter {
            ReportParameter::First => days.first(),
            ReportParameter::Last => days.last(),
            ReportParameter::Horizon => days.horizon(),
        };
        self.parameters.iter().map(value).map(|day| Parameter::Text(day.to_string())).collect()
    }

    /// The period of given values.
    pub(crate) fn days(&self, values: &[Parameter]) -> Option<Days> {
        let value = |wanted: ReportParameter| {
            let index = self.parameters.iter().position(|parameter| *parameter == wanted)?;
            match values.get(index)? {
                Parameter::Text(text) => Some(text.as_str()),
                Parameter::Instant(_) | Parameter::Number(_) => None,
            }
        };
        Days::of(value(ReportParameter::First)?, value(ReportParameter::Last)?)
    }
}
