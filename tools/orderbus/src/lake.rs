//! Reports on the lake, for people: the library of `lake-api`, asking in the workgroup for people.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::AthenaLakeQueries;
use domain::Currency;
use lake_api::{Answer, ColumnKind, Days, Lake, REPORTS, Report, report_rows};
use runtime::SystemClock;
use serde_json::{Value, json};

use crate::account::COLUMNS;
use crate::stack::Stack;

/// The name under which all reports are asked for together.
pub const ALL: &str = "all";
/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The narrowest that a column of text is made.
const TEXT_WIDTH_MIN: usize = 8;

/// The lake of a deployed stack.
pub type DeployedLake = Lake<AthenaLakeQueries, SystemClock>;

/// What a report found.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Which report.
    pub report: &'static Report,
    /// For which days.
    pub days: Days,
    /// Its rows, JSON objects with the report's columns.
    pub rows: Vec<Value>,
}

/// The lake of a stack.
///
/// # Errors
/// When the stack does not say where it is.
pub fn of(stack: &Stack) -> Result<DeployedLake> {
    let output = |name| stack.output(name).map(str::to_owned);
    let queries = AthenaLakeQueries::new(
        stack.sdk().athena(),
        output("LakeWorkgroupName")?,
        output("LakeDatabaseName")?,
    );
    Ok(Lake { queries, clock: SystemClock, patience: PATIENCE })
}

/// The reports of this name: one, or all.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<Vec<&'static Report>> {
    if name == ALL {
        return Ok(REPORTS.iter().collect());
    }
    match Report::named(name) {
        Some(report) => Ok(vec![report]),
        None => bail!("there is no report {name}; `cargo orderbus lake reports` lists them"),
    }
}

/// Asks for one report.
///
/// # Errors
/// When the lake cannot be asked, or the question is too large.
pub async fn report(lake: &DeployedLake, report: &'static Report, days: Days) -> Result<Reported> {
    let answer =
        lake.report(report, &days).await.with_context(|| format!("cannot ask for {}", report.name))?;
    match answer {
        Answer::Rows(rows) => {
            let rows = report_rows(report, &rows).with_context(|| format!("cannot read {}", report.name))?;
            Ok(Reported { report, days, rows })
        }
        Answer::TooLarge => bail!(
            "{} would read more of the lake than LakeScannedBytesMax allows: ask for a shorter period",
            report.name
        ),
        Answer::TooManyRows => bail!("{} has too many rows: ask for a shorter period", report.name),
        Answer::Running(id) => bail!("{} still runs after {PATIENCE:?}: query {id}", report.name),
        Answer::Failed => bail!("{} failed; the history of the Athena workgroup says why", report.name),
    }
}

/// The names of all reports and what they tell.
#[must_use]
pub fn list() -> String {
    let mut text = String::new();
    for report in REPORTS {
        writeln!(text, "{:<18} {}", report.name, report.title).ok();
    }
    text
}

impl Reported {
    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "report": self.report.name,
            "title": self.report.title,
            "from": self.days.first().to_string(),
            "to": self.days.last().to_string(),
            "rows": self.rows,
        })
    }

    /// For spreadsheets.
    #[must_use]
    pub fn csv(&self) -> String {
        let columns: Vec<&str> = self.report.columns.iter().map(|column| column.name).collect();
        lake_api::csv(&columns, &self.rows)
    }

    /// For people: a table of at most [`COLUMNS`] characters a line.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{}, {} to {}\n", self.report.title, self.days.first(), self.days.last());
        if self.rows.is_empty() {
            text.push_str("\nnothing\n");
            return text;
        }
        text.push('\n');
        let cells: Vec<Vec<String>> =
            std::iter::once(self.headings()).chain((0..self.rows.len()).map(|row| self.cells(row))).collect();
        let widths = self.widths(&cells);
        for row in &cells {
            let aligned = row.iter().zip(&widths).zip(self.report.columns).map(|((cell, width), column)| {
                let cell = cut(cell, *width);
                if column.kind.is_number() { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(aligned.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The headings of the columns, for people.
    #[must_use]
    pub fn headings(&self) -> Vec<String> {
        let heading = |name: &str| name.trim_end_matches("_ms").trim_end_matches("_minor").replace('_', " ");
        self.report.columns.iter().map(|column| heading(column.name)).collect()
    }

    /// The cells of a row, for people.
    #[must_use]
    pub fn cells(&self, row: usize) -> Vec<String> {
        let Some(row) = self.rows.get(row) else { return Vec::new() };
        let cell = |name: &str, kind| match &row[name] {
            Value::Null => String::new(),
            Value::String(text) => terminal::in_line(text).into_owned(),
            number => match (kind, number.as_i64()) {
                (ColumnKind::Milliseconds, Some(ms)) => duration(ms),
                (ColumnKind::Minor, Some(minor)) => {
                    amount(minor, row["currency"].as_str().unwrap_or_default())
                }
                _ => number.to_string(),
            },
        };
        self.report.columns.iter().map(|column| cell(column.name, column.kind)).collect()
    }

    /// As wide as what is in them; where that is too much, the widest texts give way.
    fn widths(&self, cells: &[Vec<String>]) -> Vec<usize> {
        let widest = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..self.report.columns.len()).map(widest).collect();
        let room = COLUMNS.saturating_sub(2 * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let texts = self.report.columns.iter().zip(&mut widths);
            let widest = texts.filter(|(column, _)| !column.kind.is_number()).map(|(_, width)| width).max();
            match widest {
                Some(width) if *width > TEXT_WIDTH_MIN => *width -= 1,
                _ => break,
            }
        }
        widths
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A time span in two units at most.
#[must_use]
pub fn duration(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    if ms.abs() < 1_000 {
        return format!("{ms} ms");
    }
    if ms.abs() < 60_000 {
        return format!("{}.{} s", ms / 1_000, ms.abs() % 1_000 / 100);
    }
    for pair in UNITS.windows(2) {
        let [(unit, name), (smaller, smaller_name)] = [pair[0], pair[1]];
        if ms.abs() >= unit {
            return format!("{} {name} {} {smaller_name}", ms / unit, ms.abs() % unit / smaller);
        }
    }
    format!("{} s", ms / 1_000)
}

/// Minor units as people write them. A currency that is not one keeps them.
#[must_use]
pub fn amount(minor: i64, currency: &str) -> String {
    let digits = Currency::parse(currency).ok().and_then(Currency::minor_digits).unwrap_or(0);
    if digits == 0 {
        return minor.to_string();
    }
    let unit = 10_i64.pow(digits.into());
    let sign = if minor < 0 { "-" } else { "" };
    let (whole, rest) = ((minor / unit).abs(), (minor % unit).abs());
    format!("{sign}{whole}.{rest:0width$}", width = digits.into())
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    fn reported(name: &str, rows: Value) -> Reported {
        let report = Report::named(name).unwrap();
        let now = Timestamp::from_unix_ms(1_769_860_800_123);
        let days = Days::parse(Some("2026-01-30"), Some("2026-01-31"), now).unwrap();
        Reported { report, days, rows: rows.as_array().unwrap().clone() }
    }

    #[test]
    fn a_table_is_aligned_and_fits_a_terminal() {
        let long = "x".repeat(200);
        let rows = json!([
            {"day": "2026-01-30", "sku": "MUG-BLUE", "currency": "EUR", "orders": 3, "quantity": 12, "revenue_minor": 123_405, "left_out": 4},
            {"day": "2026-01-31", "sku": long, "currency": "JPY", "orders": 1, "quantity": 1, "revenue_minor": 7},
            {"day": "2026-01-31", "sku": "a\u{1b}[2J\nb", "currency": "???", "orders": null, "quantity": 1, "revenue_minor": -5},
        ]);
        let table = reported("revenue", rows).table();
        assert!(table.lines().all(|line| line.chars().count() <= COLUMNS), "{table}");
        assert!(table.chars().all(|one| one == '\n' || !one.is_control()), "{table}");
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "Revenue by day and SKU, 2026-01-30 to 2026-01-31");
        assert!(
            lines[2].starts_with("day         sku ") && lines[2].ends_with("revenue  left out"),
            "{table}"
        );
        let cells: Vec<&str> = lines[3].split_whitespace().rev().take(2).collect();
        assert_eq!((cells, lines[4].contains('…')), (vec!["4", "1234.05"], true), "{table}");
        assert_eq!(lines.len(), 6);
        assert!(reported("revenue", json!([])).table().ends_with("nothing\n"));
    }

    #[test]
    fn a_time_span_is_told_in_the_units_of_its_size() {
        for (ms, text) in [
            (7, "7 ms"),
            (1_234, "1.2 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
