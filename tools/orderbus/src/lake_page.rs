//! Reports as one page of HTML with charts, for whoever opens it in a browser: it loads nothing, and runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use lake_api::ColumnKind;
use plotters::prelude::*;
use serde_json::Value;

use crate::lake::{Reported, amount, duration};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 340;
/// More series than this are told as one.
const SERIES_MAX: usize = 8;
/// The most bars of a chart whose bars have names.
const BARS_MAX: usize = 16;
const OTHERS: &str = "others";
/// The longest table that is shown before somebody asks for it.
const ROWS_OPEN_MAX: usize = 12;
/// Okabe and Ito's colours, which can be told apart with any eyesight.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(120, 120, 120),
    RGBColor(190, 190, 190),
];
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1a1a1a}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}figure{margin:0}svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-size:.9rem;margin-top:.5rem}th,td{padding:.2rem .8rem .2rem 0;text-align:left}
th{border-bottom:1px solid #999}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
ul.legend{list-style:none;padding:0 0 0 80px;margin:0}ul.legend li{display:inline-block;margin-right:1.2rem;font-size:.9rem}
ul.legend span{display:inline-block;width:.8rem;height:.8rem;margin-right:.4rem}
summary{cursor:pointer;color:#444}p.nothing{color:#666}";

/// How a report is drawn.
enum Chart {
    /// By day, one series on the other.
    Stacked { series: &'static str, value: &'static str },
    /// By day, a line for each value.
    Lines { values: &'static [&'static str] },
    /// A bar for each label, in the order of the rows, or the largest first.
    Bars { labels: &'static [&'static str], value: &'static str, is_sorted: bool },
}

fn chart_of(report: &str) -> Option<Chart> {
    Some(match report {
        "orders-by-status" => Chart::Stacked { series: "status", value: "orders" },
        "funnel" => Chart::Bars { labels: &["stage"], value: "orders", is_sorted: false },
        "drop-outs" => Chart::Bars { labels: &["ending", "reason"], value: "orders", is_sorted: true },
        "time-to-ship" => Chart::Lines { values: &["p50_ms", "p90_ms", "p99_ms"] },
        "revenue" => Chart::Stacked { series: "sku", value: "revenue_minor" },
        "stock-outs" => Chart::Bars { labels: &["sku"], value: "missing", is_sorted: true },
        "dead-letters" => Chart::Bars { labels: &["consumer", "reason"], value: "messages", is_sorted: true },
        "events-by-type" => Chart::Stacked { series: "source", value: "events" },
        _ => return None,
    })
}

/// The page.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(reports: &[Reported]) -> Result<String> {
    let mut body = String::new();
    for reported in reports {
        section(&mut body, reported).with_context(|| format!("cannot draw {}", reported.report.name))?;
    }
    let title = match reports {
        [one] => one.report.title,
        _ => "Orders, from the data lake",
    };
    let period = reports
        .first()
        .map_or_else(String::new, |one| format!("{} to {} (UTC)", one.days.first(), one.days.last()));
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n<p>{period}</p>\n{body}</body>\n</html>\n",
        title = escaped(title),
    ))
}

fn section(body: &mut String, reported: &Reported) -> Result<()> {
    writeln!(body, "<section>\n<h2>{}</h2>", escaped(reported.report.title))?;
    if reported.rows.is_empty() {
        writeln!(body, "<p class=\"nothing\">Nothing in this period.</p>\n</section>")?;
        return Ok(());
    }
    let has_currencies = reported.report.columns.iter().any(|column| column.name == "currency");
    for (name, rows) in by_currency(&reported.rows) {
        // What was left out has no currency, and no amount to draw. The table has it.
        if has_currencies && name.is_empty() {
            continue;
        }
        if let Some(chart) = chart_of(reported.report.name) {
            let caption = if name.is_empty() { String::new() } else { format!("in {name}") };
            let svg = draw(&chart, &rows, &name)?;
            writeln!(body, "<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>", escaped(&caption))?;
        }
    }
    table(body, reported)?;
    writeln!(body, "</section>")?;
    Ok(())
}

/// Amounts of two currencies cannot be added, so each has a chart of its own.
fn by_currency(rows: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        groups.entry(text(row, "currency")).or_default().push(row);
    }
    groups
}

fn table(body: &mut String, reported: &Reported) -> Result<()> {
    let kind = |index: usize| {
        let is_number = reported.report.columns.get(index).is_some_and(|column| column.kind.is_number());
        if is_number { " class=\"number\"" } else { "" }
    };
    // A long one would push the next chart off the screen.
    let open = if reported.rows.len() <= ROWS_OPEN_MAX { " open" } else { "" };
    writeln!(body, "<details{open}>\n<summary>{} rows</summary>\n<table>", reported.rows.len())?;
    let headings = reported.headings().into_iter().enumerate();
    let headings: String =
        headings.map(|(index, text)| format!("<th{}>{}</th>", kind(index), escaped(&text))).collect();
    writeln!(body, "<tr>{headings}</tr>")?;
    for row in 0..reported.rows.len() {
        let cells = reported.cells(row).into_iter().enumerate();
        let cells: String =
            cells.map(|(index, text)| format!("<td{}>{}</td>", kind(index), escaped(&text))).collect();
        writeln!(body, "<tr>{cells}</tr>")?;
    }
    writeln!(body, "</table>\n</details>")?;
    Ok(())
}

/// What is drawn: names along one axis, and for each series a value a name.
struct Drawing {
    names: Vec<String>,
    series: Vec<(String, Vec<f64>)>,
    kind: ColumnKind,
    currency: String,
}

impl Drawing {
    fn label(&self, value: f64) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "a label of an axis")]
        let whole = value.round() as i64;
        match self.kind {
            ColumnKind::Milliseconds => duration(whole),
            ColumnKind::Minor => amount(whole, &self.currency),
            _ => whole.to_string(),
        }
    }

    /// The name at a place of the axis, where there is one.
    fn name_at(&self, place: f64) -> String {
        let nearest = place.round();
        let name = (0_u32..).zip(&self.names).find(|(index, _)| f64::from(*index) == nearest);
        let is_there = (place - nearest).abs() < 0.01;
        name.filter(|_| is_there).map_or_else(String::new, |(_, name)| name.clone())
    }

    fn end(&self) -> f64 {
        f64::from(u32::try_from(self.names.len()).unwrap_or(u32::MAX)) - 0.5
    }
}

fn draw(chart: &Chart, rows: &[&Value], currency: &str) -> Result<String> {
    let currency = currency.to_owned();
    match chart {
        Chart::Stacked { series, value } => {
            let kind = if value.ends_with("_minor") { ColumnKind::Minor } else { ColumnKind::Number };
            let names = days(rows);
            let series = series_of(rows, series, value, &names);
            columns(&Drawing { names, series, kind, currency })
        }
        Chart::Lines { values } => {
            let names = days(rows);
            let of = |value: &&'static str| {
                let by_day = |day: &String| {
                    rows.iter().filter(|row| text(row, "day") == *day).map(|row| number(row, value)).sum()
                };
                (value.trim_end_matches("_ms").to_owned(), names.iter().map(by_day).collect())
            };
            let series = values.iter().map(of).collect();
            lines(&Drawing { names, series, kind: ColumnKind::Milliseconds, currency })
        }
        Chart::Bars { labels, value, is_sorted } => {
            let mut bars: Vec<(String, f64)> = Vec::new();
            for row in rows {
                let label = labels.iter().map(|label| text(row, label)).collect::<Vec<_>>().join(": ");
                match bars.iter_mut().find(|(name, _)| *name == label) {
                    Some((_, sum)) => *sum += number(row, value),
                    None => bars.push((label, number(row, value))),
                }
            }
            if *is_sorted {
                bars.sort_by(|(_, one), (_, other)| other.total_cmp(one));
            }
            bars.truncate(BARS_MAX);
            let (names, values) = bars.into_iter().unzip();
            let series = vec![((*value).to_owned(), values)];
            named_bars(&Drawing { names, series, kind: ColumnKind::Number, currency })
        }
    }
}

fn days(rows: &[&Value]) -> Vec<String> {
    let days: BTreeSet<String> = rows.iter().map(|row| text(row, "day")).collect();
    days.into_iter().collect()
}

/// The largest series, and the rest as one.
fn series_of(rows: &[&Value], series: &str, value: &str, names: &[String]) -> Vec<(String, Vec<f64>)> {
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    rows.iter().for_each(|row| *totals.entry(text(row, series)).or_default() += number(row, value));
    let mut largest: Vec<(String, f64)> = totals.into_iter().collect();
    largest.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let has_others = largest.len() > SERIES_MAX;
    largest.truncate(SERIES_MAX);
    let mut kept: Vec<String> = largest.into_iter().map(|(name, _)| name).collect();
    let is_of = |row: &Value, name: &str, kept: &[String]| {
        let own = text(row, series);
        own == name || (name == OTHERS && !kept.contains(&own))
    };
    if has_others {
        kept.push(OTHERS.to_owned());
    }
    let values = |name: &String| {
        let on = |day: &String| {
            let of_day = rows.iter().filter(|row| text(row, "day") == *day && is_of(row, name, &kept));
            of_day.map(|row| number(row, value)).sum()
        };
        names.iter().map(on).collect()
    };
    kept.iter().map(|name| (name.clone(), values(name))).collect()
}

fn columns(drawing: &Drawing) -> Result<String> {
    let top = (0..drawing.names.len())
        .map(|index| drawing.series.iter().map(|(_, values)| values[index]).sum::<f64>())
        .fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut builder = ChartBuilder::on(&root);
        builder.margin(8).x_label_area_size(32).y_label_area_size(80);
        let mut chart = builder.build_cartesian_2d(-0.5..drawing.end(), 0.0..top * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(drawing.names.len().min(10))
            .x_label_formatter(&|place| drawing.name_at(*place))
            .y_label_formatter(&|value| drawing.label(*value))
            .draw()?;
        let mut floor = vec![0.0; drawing.names.len()];
        for ((_, values), colour) in drawing.series.iter().zip(COLOURS) {
            let mut bars = Vec::new();
            for ((place, value), below) in (0_u32..).map(f64::from).zip(values).zip(&mut floor) {
                bars.push(Rectangle::new(
                    [(place - 0.4, *below), (place + 0.4, *below + value)],
                    colour.filled(),
                ));
                *below += value;
            }
            chart.draw_series(bars)?;
        }
        root.present()?;
    }
    svg.push_str(&legend(drawing));
    Ok(svg)
}

fn lines(drawing: &Drawing) -> Result<String> {
    let top = drawing.series.iter().flat_map(|(_, values)| values.iter().copied()).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut builder = ChartBuilder::on(&root);
        builder.margin(8).x_label_area_size(32).y_label_area_size(80);
        let mut chart = builder.build_cartesian_2d(-0.5..drawing.end(), 0.0..top * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(drawing.names.len().min(10))
            .x_label_formatter(&|place| drawing.name_at(*place))
            .y_label_formatter(&|value| drawing.label(*value))
            .draw()?;
        for ((_, values), colour) in drawing.series.iter().zip(COLOURS) {
            let points: Vec<(f64, f64)> = (0_u32..).map(f64::from).zip(values.iter().copied()).collect();
            let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            chart.draw_series(dots)?;
            chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2))])?;
        }
        root.present()?;
    }
    svg.push_str(&legend(drawing));
    Ok(svg)
}

fn named_bars(drawing: &Drawing) -> Result<String> {
    let values: &[f64] = drawing.series.first().map(|(_, values)| values.as_slice()).unwrap_or_default();
    let top = values.iter().copied().fold(1.0, f64::max);
    let height = 60 + 26 * u32::try_from(values.len()).unwrap_or(u32::MAX).min(64);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut builder = ChartBuilder::on(&root);
        builder.margin(8).margin_right(80).x_label_area_size(28).y_label_area_size(260);
        let mut chart = builder.build_cartesian_2d(0.0..top * 1.05, -0.5..drawing.end())?;
        // From top to bottom.
        let last = drawing.end() - 0.5;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .y_labels(2 * values.len() + 1)
            .y_label_formatter(&|place| drawing.name_at(last - place))
            .x_label_formatter(&|value| drawing.label(*value))
            .draw()?;
        let bars = (0_u32..).map(f64::from).zip(values).map(|(place, value)| {
            Rectangle::new([(0.0, last - place - 0.35), (*value, last - place + 0.35)], COLOURS[0].filled())
        });
        chart.draw_series(bars)?;
        root.present()?;
    }
    Ok(svg)
}

/// In HTML, where a browser makes room for it.
fn legend(drawing: &Drawing) -> String {
    let entry = |((name, _), RGBColor(red, green, blue)): (&(String, Vec<f64>), RGBColor)| {
        format!("<li><span style=\"background:rgb({red},{green},{blue})\"></span>{}</li>", escaped(name))
    };
    let entries: String = drawing.series.iter().zip(COLOURS).map(entry).collect();
    format!("\n<ul class=\"legend\">{entries}</ul>")
}

fn text(row: &Value, name: &str) -> String {
    let text = row[name].as_str().unwrap_or_default();
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_default()
}

/// Text as HTML shows it. What is in the lake was sent by others.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            one if one.is_control() => escaped.push(' '),
            one => escaped.push(one),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use lake_api::{Days, REPORTS};
    use serde_json::json;

    use super::*;

    const HOSTILE: &str = "</svg><script>alert('x')</script>\u{1b}&\"";

    /// A report of two days, with hostile text in each column of text.
    fn reported(index: usize) -> Reported {
        let report = &REPORTS[index];
        let now = Timestamp::from_unix_ms(1_769_860_800_123);
        let row = |number: i64| {
            let mut row = json!({});
            for column in report.columns {
                row[column.name] = match column.kind {
                    ColumnKind::Day => json!(format!("2026-01-{:02}", 29 + number % 2)),
                    ColumnKind::Text if column.name == "currency" => {
                        json!(["EUR", "JPY"][number as usize % 2])
                    }
                    ColumnKind::Text => json!(format!("{HOSTILE}{number}")),
                    _ => json!(number * 1_234),
                };
            }
            row
        };
        Reported { report, days: Days::parse(None, None, now).unwrap(), rows: (0..24).map(row).collect() }
    }

    #[test]
    fn every_report_has_a_chart_and_a_table_and_runs_nothing_of_what_is_in_it() {
        for (index, report) in REPORTS.iter().enumerate() {
            let page = page(&[reported(index)]).unwrap();
            let name = report.name;
            assert!(page.contains("<svg ") && page.contains("</table>"), "{name}");
            assert!(!page.contains("<script"), "{name}");
            assert!(
                !page.contains("http://")
                    || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count(),
                "{name}"
            );
            assert_eq!(page.matches("</svg>").count(), page.matches("<svg ").count(), "{name}");
            assert!(!page.contains("NaN") && !page.contains("inf\""), "{name}");
        }
    }

    #[test]
    fn a_long_table_is_closed_and_a_short_one_open() {
        let mut long = reported(0);
        assert!(page(&[long.clone()]).unwrap().contains("<details>\n<summary>24 rows"));
        long.rows.truncate(ROWS_OPEN_MAX);
        assert!(page(&[long]).unwrap().contains("<details open>\n<summary>12 rows"));
    }

    #[test]
    fn amounts_of_two_currencies_are_drawn_apart() {
        let revenue = REPORTS.iter().position(|report| report.name == "revenue").unwrap();
        let mut reported = reported(revenue);
        let mut left_out = reported.rows[0].clone();
        left_out["currency"] = Value::Null;
        reported.rows.push(left_out);
        let page = page(&[reported]).unwrap();
        assert_eq!(page.matches("<svg ").count(), 2, "what was left out is in no chart");
        assert!(page.contains("in EUR") && page.contains("in JPY"));
    }

    #[test]
    fn a_stack_is_as_high_as_what_is_in_it() {
        let rows: Vec<Value> = (0..12)
            .map(|number| json!({"day": "2026-01-30", "sku": format!("SKU-{number}"), "n": 1 + number}))
            .collect();
        let rows: Vec<&Value> = rows.iter().collect();
        let series = series_of(&rows, "sku", "n", &days(&rows));
        assert_eq!(series.len(), SERIES_MAX + 1);
        assert_eq!(series.iter().map(|(_, values)| values[0]).sum::<f64>(), 78.0);
        assert_eq!(series[0], ("SKU-11".to_owned(), vec![12.0]));
        assert_eq!(series[SERIES_MAX], (OTHERS.to_owned(), vec![10.0]));
    }
}
