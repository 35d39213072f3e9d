//! The readable account of the twenty orders and of the stock.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::StockLevel;

use crate::play::{Order, Outcome, Stock};

/// Everything, at most [`COLUMNS`](crate::account::COLUMNS) wide.
#[must_use]
pub fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (index, order) in outcome.orders.iter().enumerate() {
        text.push_str(&order_text(index + 1, order));
    }
    text.push_str(&stock_text(&outcome.stock));
    text
}

fn order_text(number: usize, order: &Order) -> String {
    let mark = if order.problems.is_empty() { '✓' } else { '✗' };
    let (name, status) = (order.scenario.name, order.status());
    let order_id = order.order_id.as_deref().unwrap_or_default();
    let header = format!("{mark} {number:>2}  {name:<35} {status:<18} {order_id}");
    let mut text = format!("{}\n", header.trim_end());
    if let Some(account) = &order.account {
        text.push_str(&account.lines());
    }
    for problem in &order.problems {
        text.push_str(&format!("      ✗ {problem}\n"));
    }
    text.push('\n');
    text
}

fn stock_text(stock: &Stock) -> String {
    let mut text =
        format!("{:<12}{:>18}{:>18}{:>18}{:>18}\n", "stock", "available", "reserved", "shipped", "received");
    let mut parts = (StockLevel::default(), StockLevel::default(), 0);
    let mut all = (StockLevel::default(), StockLevel::default());
    let none = StockLevel::default();
    for (sku, before) in &stock.before {
        let after = stock.after.get(sku).unwrap_or(&none);
        all = (sum(&all.0, before), sum(&all.1, after));
        if sku.starts_with("PART-") {
            parts = (sum(&parts.0, before), sum(&parts.1, after), parts.2 + 1);
        } else {
            row(&mut text, sku, before, after);
        }
    }
    row(&mut text, &format!("PART-* ({})", parts.2), &parts.0, &parts.1);
    row(&mut text, "all", &all.0, &all.1);
    let kept = if stock.after.values().all(StockLevel::is_conserved) { '✓' } else { '✗' };
    text.push_str(&format!("{kept} available + reserved + shipped = received, for every SKU\n"));
    let wrong = wrong_levels(stock);
    let mark = if wrong.is_empty() { '✓' } else { '✗' };
    text.push_str(&format!("{mark} every level is what the orders' ends demand\n{wrong}"));
    text
}

fn wrong_levels(stock: &Stock) -> String {
    let unknown = StockLevel::default();
    let wrong = |(sku, expected): (&String, &StockLevel)| {
        let after = stock.after.get(sku).unwrap_or(&unknown);
        (after != expected).then(|| format!("  ✗ {sku}: {after:?}, expected {expected:?}\n"))
    };
    stock.expected.iter().filter_map(wrong).collect()
}

/// The levels of every SKU, as `stock list` shows them.
#[must_use]
pub fn levels(levels: &BTreeMap<String, StockLevel>) -> String {
    let width = levels.keys().map(|sku| sku.chars().count()).max().unwrap_or(0).max(3);
    let mut text = format!(
        "{:<width$}{:>11}{:>11}{:>11}{:>11}\n",
        "SKU", "available", "reserved", "shipped", "received"
    );
    for (sku, level) in levels {
        let StockLevel { available, reserved, shipped, received } = level;
        let note = if level.is_conserved() { "" } else { "  does not add up" };
        // Writing to a String cannot fail.
        writeln!(text, "{sku:<width$}{available:>11}{reserved:>11}{shipped:>11}{received:>11}{note}").ok();
    }
    text
}

fn row(text: &mut String, name: &str, before: &StockLevel, after: &StockLevel) {
    let moved = |from: u64, to: u64| if from == to { to.to_string() } else { format!("{from} → {to}") };
    text.push_str(&format!(
        "{name:<12}{:>18}{:>18}{:>18}{:>18}\n",
        moved(before.available, after.available),
        moved(before.reserved, after.reserved),
        moved(before.shipped, after.shipped),
        moved(before.received, after.received),
    ));
}

fn sum(left: &StockLevel, right: &StockLevel) -> StockLevel {
    StockLevel {
        available: left.available + right.available,
        reserved: left.reserved + right.reserved,
        shipped: left.shipped + right.shipped,
        received: left.received + right.received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, COLUMNS};
    use crate::twenty_orders::{levels_after, scenarios, seed};

    fn outcome() -> Outcome {
        let level = |count| StockLevel { available: count, received: count, ..StockLevel::default() };
        let before: BTreeMap<String, StockLevel> =
            seed().into_iter().map(|(sku, count)| (sku, level(count))).collect();
        let expected = levels_after(&before);
        let order = |scenario: crate::twenty_orders::Scenario| {
            let order_id = "00000000-0000-5000-8000-000000000000".to_owned();
            let status = scenario.end.status().to_owned();
            let account = Account { order_id: order_id.clone(), status, events: Vec::new() };
            Order { scenario, order_id: Some(order_id), account: Some(account), problems: Vec::new() }
        };
        let orders = scenarios().into_iter().map(order).collect();
        Outcome { orders, stock: Stock { after: expected.clone(), before, expected } }
    }

    #[test]
    fn a_good_run_fits_a_terminal_and_shows_no_cross() {
        let outcome = outcome();
        assert!(outcome.is_as_declared());
        let text = render(&outcome);
        assert!(!text.contains('✗'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn lost_stock_is_shown_and_is_no_success() {
        let mut outcome = outcome();
        let kettles = outcome.stock.after.get_mut("KETTLE").unwrap();
        kettles.reserved -= 1;
        assert!(!outcome.is_as_declared());
        let text = render(&outcome);
        assert!(
            text.contains("✗ available + reserved + shipped = received") && text.contains("✗ KETTLE"),
            "{text}"
        );
    }

    #[test]
    fn an_order_with_another_end_is_no_success() {
        let mut outcome = outcome();
        outcome.orders[3].problems.push("it must become shipped".to_owned());
        assert!(!outcome.is_as_declared());
        assert!(render(&outcome).contains("✗  4  one mug"));
    }
}
