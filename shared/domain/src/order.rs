use std::collections::HashSet;

use crate::violation::Findings;
use crate::{Currency, CustomerId, Money, MoneyError, OrderId, Sku, Violations};

/// How many of one SKU: 1 to 9,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u16);

impl Quantity {
    /// The most of one SKU that one order may ask for.
    pub const MAX: u16 = 9_999;

    /// `None` unless the count is from 1 to [`Quantity::MAX`].
    #[must_use]
    pub fn new(count: i64) -> Option<Self> {
        u16::try_from(count).ok().filter(|count| (1..=Self::MAX).contains(count)).map(Self)
    }

    /// The count.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// One line of an order: so many of a SKU at a price each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: Money,
}

/// What inventory needs of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// An order that keeps every rule: 1 to 99 lines, each SKU once, one currency, a total that adds up.
///
/// A SKU that stands on two lines is refused, not merged: two lines may carry two prices, and a customer who
/// sees one line where two were ordered is a support case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    order_id: OrderId,
    customer_id: CustomerId,
    lines: Vec<Line>,
    total: Money,
}

/// An amount as it came in.
#[derive(Debug, Clone, Copy)]
pub struct MoneyDraft<'a> {
    /// Minor units.
    pub amount_minor: i64,
    /// Supposed to be an ISO 4217 code.
    pub currency: &'a str,
}

/// A line as it came in.
#[derive(Debug, Clone, Copy)]
pub struct LineDraft<'a> {
    /// Supposed to be a SKU.
    pub sku: &'a str,
    /// Supposed to be a quantity.
    pub quantity: i64,
    /// Supposed to be money.
    pub unit_price: MoneyDraft<'a>,
}

/// An order as it came in: the right shape, nothing else checked.
#[derive(Debug, Clone)]
pub struct OrderDraft<'a> {
    /// Supposed to be a customer.
    pub customer_id: &'a str,
    /// Supposed to be 1 to [`Order::LINES_MAX`] lines.
    pub lines: Vec<LineDraft<'a>>,
    /// Supposed to be the sum of the lines.
    pub total: MoneyDraft<'a>,
}

impl Order {
    /// The most lines in one order. Every line and the reservation itself are one action each of a single
    /// all-or-nothing transaction, and DynamoDB takes 100 actions a transaction
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
    pub const LINES_MAX: usize = 99;

    /// Checks every rule and reports all that are broken, in the order of the fields.
    ///
    /// # Errors
    /// [`Violations`], one for each broken rule.
    pub fn parse(order_id: OrderId, draft: &OrderDraft<'_>) -> Result<Self, Violations> {
        let mut findings = Findings::default();
        let customer_id =
            findings.keep("customerId", "invalid_customer_id", CustomerId::parse(draft.customer_id));
        if draft.lines.is_empty() || draft.lines.len() > Self::LINES_MAX {
            findings.add(
                "lines",
                "line_count",
                format_args!("an order must have 1 to {} lines", Self::LINES_MAX),
            );
        }
        // Beyond the limit the count is the finding; the rest is not read.
        let lines = parse_lines(&draft.lines[..draft.lines.len().min(Self::LINES_MAX)], &mut findings);
        let total = parse_money("total", draft.total, &mut findings);
        if let (Some(total), Some(lines)) = (total, &lines) {
            check_total(lines, total, &mut findings);
        }
        match (customer_id, lines, total) {
            (Some(customer_id), Some(lines), Some(total)) if findings.is_empty() => {
                Ok(Self { order_id, customer_id, lines, total })
            }
            _ => Err(findings.into_violations()),
        }
    }

    /// Which order.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        &self.order_id
    }

    /// Whose order.
    #[must_use]
    pub fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    /// 1 to [`Order::LINES_MAX`] lines, each SKU once.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The sum of the lines.
    #[must_use]
    pub fn total(&self) -> Money {
        self.total
    }

    /// What inventory has to reserve.
    #[must_use]
    pub fn stock_lines(&self) -> Vec<StockLine> {
        self.lines.iter().map(|line| StockLine { sku: line.sku.clone(), quantity: line.quantity }).collect()
    }
}

fn parse_lines(drafts: &[LineDraft<'_>], findings: &mut Findings) -> Option<Vec<Line>> {
    let mut skus = HashSet::with_capacity(drafts.len());
    let mut lines = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let sku = findings.keep(format!("lines[{index}].sku"), "invalid_sku", Sku::parse(draft.sku));
        if sku.is_some() && !skus.insert(draft.sku) {
            findings.add(
                format!("lines[{index}].sku"),
                "duplicate_sku",
                "a SKU may stand on one line only; add the quantities up",
            );
        }
        let quantity = Quantity::new(draft.quantity);
        if quantity.is_none() {
            findings.add(
                format!("lines[{index}].quantity"),
                "out_of_range",
                format_args!("quantity must be a whole number from 1 to {}", Quantity::MAX),
            );
        }
        let unit_price = parse_money(&format!("lines[{index}].unitPrice"), draft.unit_price, findings);
        if let (Some(sku), Some(quantity), Some(unit_price)) = (sku, quantity, unit_price) {
            lines.push(Line { sku, quantity, unit_price });
        }
    }
    (lines.len() == drafts.len()).then_some(lines)
}

fn parse_money(field: &str, draft: MoneyDraft<'_>, findings: &mut Findings) -> Option<Money> {
    let currency =
        findings.keep(format!("{field}.currency"), "unknown_currency", Currency::parse(draft.currency))?;
    findings.keep(format!("{field}.amountMinor"), "out_of_range", Money::new(draft.amount_minor, currency))
}

fn check_total(lines: &[Line], total: Money, findings: &mut Findings) {
    let sum = lines.iter().try_fold(Money::zero(total.currency()), |sum, line| {
        sum.checked_add(line.unit_price.checked_mul(line.quantity)?)
    });
    match sum {
        Ok(sum) if sum == total => {}
        Ok(_) => findings.add("total", "total_mismatch", "total must equal the sum of quantity x unitPrice"),
        Err(MoneyError::CurrencyMismatch) => {
            findings.add("lines", "mixed_currencies", "every unitPrice must be in the currency of the total");
        }
        Err(_) => findings.add(
            "total",
            "out_of_range",
            format_args!("the sum of the lines must not exceed {}", Money::AMOUNT_MINOR_MAX),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EUR_ONE: MoneyDraft<'static> = MoneyDraft { amount_minor: 100, currency: "EUR" };

    fn order_id() -> OrderId {
        OrderId::parse("o-1").unwrap()
    }

    fn line(sku: &str, quantity: i64) -> LineDraft<'_> {
        LineDraft { sku, quantity, unit_price: EUR_ONE }
    }

    fn draft<'a>(lines: Vec<LineDraft<'a>>, total: i64) -> OrderDraft<'a> {
        OrderDraft { customer_id: "c-1", lines, total: MoneyDraft { amount_minor: total, currency: "EUR" } }
    }

    fn codes(draft: &OrderDraft<'_>) -> Vec<(String, &'static str)> {
        let violations = Order::parse(order_id(), draft).unwrap_err();
        violations.into_vec().into_iter().map(|violation| (violation.field, violation.code)).collect()
    }

    #[test]
    fn an_order_that_adds_up_is_accepted() {
        let order = Order::parse(order_id(), &draft(vec![line("A", 2), line("B", 3)], 500)).unwrap();
        assert_eq!(order.total().to_string(), "5.00 EUR");
        assert_eq!(order.stock_lines().len(), 2);
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let mut bad = draft(vec![line("a b", 0), line("A", 10_000), line("A", 1)], -1);
        bad.customer_id = "";
        bad.lines[2].unit_price.currency = "XXY";
        let expected = [
            ("customerId", "invalid_customer_id"),
            ("lines[0].sku", "invalid_sku"),
            ("lines[0].quantity", "out_of_range"),
            ("lines[1].quantity", "out_of_range"),
            ("lines[2].sku", "duplicate_sku"),
            ("lines[2].unitPrice.currency", "unknown_currency"),
            ("total.amountMinor", "out_of_range"),
        ];
        assert_eq!(codes(&bad), expected.map(|(field, code)| (field.to_owned(), code)));
    }

    #[test]
    fn a_total_that_does_not_add_up_is_refused() {
        assert_eq!(codes(&draft(vec![line("A", 2)], 199)), [("total".to_owned(), "total_mismatch")]);
    }

    #[test]
    fn a_sku_on_two_lines_is_refused() {
        assert_eq!(
            codes(&draft(vec![line("A", 1), line("A", 1)], 200)),
            [("lines[1].sku".to_owned(), "duplicate_sku")]
        );
    }

    #[test]
    fn two_currencies_in_one_order_are_refused() {
        let mut mixed = draft(vec![line("A", 1), line("B", 1)], 200);
        mixed.lines[1].unit_price.currency = "USD";
        assert_eq!(codes(&mixed), [("lines".to_owned(), "mixed_currencies")]);
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let skus: Vec<String> = (0..=Order::LINES_MAX).map(|index| format!("S{index}")).collect();
        let lines: Vec<_> = skus.iter().map(|sku| line(sku, 1)).collect();
        assert_eq!(codes(&draft(vec![], 0)), [("lines".to_owned(), "line_count")]);
        assert!(Order::parse(order_id(), &draft(lines[..Order::LINES_MAX].to_vec(), 9_900)).is_ok());
        let too_many = codes(&draft(lines, 9_900));
        assert_eq!(too_many, [("lines".to_owned(), "line_count")]);
    }

    #[test]
    fn a_sum_beyond_the_bound_is_refused_not_wrapped() {
        let price = MoneyDraft { amount_minor: (1 << 53) - 1, currency: "EUR" };
        let lines = vec![LineDraft { sku: "A", quantity: 9_999, unit_price: price }];
        let huge = OrderDraft { customer_id: "c", lines, total: price };
        assert_eq!(codes(&huge), [("total".to_owned(), "out_of_range")]);
    }

    proptest! {
        #[test]
        fn an_order_is_accepted_exactly_when_its_total_adds_up(
            quantities in prop::collection::vec(1_i64..=9_999, 1..=99),
            prices in prop::collection::vec(0_i64..1_000_000, 99),
            error in prop_oneof![Just(0_i64), -3_i64..=3],
        ) {
            let skus: Vec<String> = (0..quantities.len()).map(|index| format!("S{index}")).collect();
            let lines: Vec<_> = skus.iter().zip(&quantities).zip(&prices).map(|((sku, quantity), price)| LineDraft {
                sku, quantity: *quantity, unit_price: MoneyDraft { amount_minor: *price, currency: "EUR" },
            }).collect();
            let sum: i64 = lines.iter().map(|line| line.quantity * line.unit_price.amount_minor).sum();
            let parsed = Order::parse(order_id(), &draft(lines, sum + error));
            prop_assert_eq!(parsed.is_ok(), error == 0);
        }

        #[test]
        fn parsing_is_deterministic_and_never_panics(
            lines in prop::collection::vec((".{0,70}", any::<i64>(), any::<i64>(), "[A-Z]{0,4}"), 0..120),
            total in any::<i64>(),
        ) {
            let lines: Vec<_> = lines.iter().map(|(sku, quantity, amount_minor, currency)| LineDraft {
                sku, quantity: *quantity, unit_price: MoneyDraft { amount_minor: *amount_minor, currency },
            }).collect();
            let draft = draft(lines, total);
            prop_assert_eq!(Order::parse(order_id(), &draft), Order::parse(order_id(), &draft));
        }
    }
}
