//! Twenty orders, each with the end that it must come to.
//!
//! The payment provider of `examples/` decides by the amount: one that ends in 13 is declined, one that ends in 17 is
//! never answered, everything else is paid.

use std::collections::BTreeMap;

use contracts::{EventType, Line, Money, OrderRequest, Personal};
use domain::StockLevel;

/// One order and what must become of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What is special about it.
    pub name: &'static str,
    /// What the storefront posts.
    pub order: OrderRequest,
    /// What happens after it was placed.
    pub then: Then,
    /// Where it must end.
    pub end: End,
}

/// What happens after an order was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Wait,
    /// The storefront sends it again, and something else under the same key.
    SendAgain,
    /// The customer calls it off.
    CallOff,
    /// A carrier fetches the parcel.
    PickUp,
}

/// Where an order must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Paid, and the fulfilment centre was told.
    Scheduled,
    /// With the carrier.
    Shipped,
    /// Rejected for want of stock.
    OutOfStock,
    /// Cancelled because the card was declined.
    Declined,
    /// Cancelled because nobody paid in time.
    Unpaid,
    /// Cancelled because the customer said so.
    CalledOff,
    /// Not even taken: 422.
    Refused,
}

impl End {
    /// What `GET /orders/{id}` must say in the end.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Scheduled => "shipment_scheduled",
            Self::Shipped => "shipped",
            Self::OutOfStock => "rejected",
            Self::Declined | Self::Unpaid | Self::CalledOff => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// What must have happened on the way, whatever else did.
    #[must_use]
    pub fn events(self) -> &'static [EventType] {
        use EventType as E;
        match self {
            Self::Scheduled => &[
                E::OrderPlaced,
                E::OrderAccepted,
                E::StockReserved,
                E::PaymentRequested,
                E::PaymentCaptured,
                E::OrderConfirmed,
                E::ShipmentScheduled,
            ],
            Self::Shipped => &[
                E::OrderPlaced,
                E::OrderConfirmed,
                E::ShipmentScheduled,
                E::ParcelPickedUp,
                E::ShipmentDeparted,
            ],
            Self::OutOfStock => &[E::OrderPlaced, E::StockRejected, E::OrderRejected],
            Self::Declined => {
                &[E::OrderPlaced, E::StockReserved, E::PaymentFailed, E::OrderCancelled, E::StockReleased]
            }
            Self::Unpaid => {
                &[E::OrderPlaced, E::StockReserved, E::PaymentRequested, E::OrderCancelled, E::StockReleased]
            }
            Self::CalledOff => &[E::OrderPlaced, E::CancellationRequested, E::OrderCancelled],
            Self::Refused => &[],
        }
    }

    /// Where its quantities must be in the end.
    fn apply(self, quantity: u64, level: &mut StockLevel) {
        match self {
            Self::Scheduled => {
                level.available = level.available.saturating_sub(quantity);
                level.reserved += quantity;
            }
            Self::Shipped => {
                level.available = level.available.saturating_sub(quantity);
                level.shipped += quantity;
            }
            _ => {}
        }
    }
}

/// How many of each SKU are available before the first order.
#[must_use]
pub fn seed() -> BTreeMap<String, u64> {
    let named = [
        ("HOT-TICKET", 1000),
        ("KETTLE", 100),
        ("LAST-PIECE", 2),
        ("MUG-BLUE", 500),
        ("MUG-RED", 500),
        ("TEA", 300),
    ];
    let named = named.map(|(sku, count)| (sku.to_owned(), count));
    named.into_iter().chain((1..=99).map(|number| (part(number), 200))).collect()
}

/// The levels that the twenty orders must lead to.
#[must_use]
pub fn levels_after(before: &BTreeMap<String, StockLevel>) -> BTreeMap<String, StockLevel> {
    let mut levels = before.clone();
    for scenario in scenarios() {
        for line in &scenario.order.lines {
            if let Some(level) = levels.get_mut(&line.sku) {
                scenario.end.apply(u64::try_from(line.quantity).unwrap_or(0), level);
            }
        }
    }
    levels
}

/// The twenty, in the order in which they are placed: first those that take longest.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let wait = |name, order, end| Scenario { name, order, then: Then::Wait, end };
    let parts = |count| (1..=count).map(|number| (part(number), 1, 100 + number)).collect::<Vec<_>>();
    let one = |sku: &str, quantity, price| vec![(sku.to_owned(), quantity, price)];
    let two = |first: (&str, i64, i64), second: (&str, i64, i64)| {
        vec![(first.0.to_owned(), first.1, first.2), (second.0.to_owned(), second.1, second.2)]
    };
    vec![
        wait("never paid", order("EUR", one("MUG-BLUE", 1, 2017)), End::Unpaid),
        Scenario {
            name: "called off by the customer",
            order: order("EUR", one("TEA", 1, 4017)),
            then: Then::CallOff,
            end: End::CalledOff,
        },
        Scenario {
            name: "picked up by a carrier",
            order: order("EUR", one("KETTLE", 2, 4400)),
            then: Then::PickUp,
            end: End::Shipped,
        },
        wait("one mug", order("EUR", one("MUG-BLUE", 1, 1250)), End::Scheduled),
        wait("two lines", order("EUR", two(("MUG-RED", 2, 1250), ("TEA", 3, 690))), End::Scheduled),
        wait("forty of one kind", order("EUR", one("MUG-BLUE", 40, 1199)), End::Scheduled),
        wait("twelve lines in US dollars", order("USD", parts(12)), End::Scheduled),
        wait("99 lines, the most there may be", order("EUR", parts(99)), End::Scheduled),
        wait("Japanese yen, which have no cents", order("JPY", one("KETTLE", 1, 8800)), End::Scheduled),
        wait("Kuwaiti dinars, with three decimals", order("KWD", one("TEA", 2, 12_500)), End::Scheduled),
        wait("three at once want one SKU (1)", order("EUR", one("HOT-TICKET", 3, 9900)), End::Scheduled),
        wait("three at once want one SKU (2)", order("EUR", one("HOT-TICKET", 5, 9900)), End::Scheduled),
        wait("three at once want one SKU (3)", order("EUR", one("HOT-TICKET", 7, 9900)), End::Scheduled),
        wait("an address in its own script", tokyo(order("EUR", one("TEA", 1, 690))), End::Scheduled),
        Scenario {
            name: "sent twice, then something else",
            order: order("EUR", one("MUG-RED", 1, 1250)),
            then: Then::SendAgain,
            end: End::Scheduled,
        },
        wait("three of the last two", order("EUR", one("LAST-PIECE", 3, 50_000)), End::OutOfStock),
        wait(
            "one short line holds up the other",
            order("EUR", two(("MUG-RED", 1, 1250), ("LAST-PIECE", 9, 50_000))),
            End::OutOfStock,
        ),
        wait("a SKU that nobody stocks", order("EUR", one("UNHEARD-OF", 1, 100)), End::OutOfStock),
        wait("the card is declined", order("EUR", one("KETTLE", 1, 3313)), End::Declined),
        wait("the total does not add up", wrong_total(order("EUR", one("MUG-BLUE", 2, 1250))), End::Refused),
    ]
}

/// Another order than any of the twenty, for a key that is already taken.
#[must_use]
pub fn something_else() -> OrderRequest {
    order("EUR", vec![("TEA".to_owned(), 1, 690)])
}

fn part(number: i64) -> String {
    format!("PART-{number:02}")
}

fn order(currency: &str, lines: Vec<(String, i64, i64)>) -> OrderRequest {
    let money = |amount_minor| Money { amount_minor, currency: currency.to_owned() };
    let total = lines.iter().map(|(_, quantity, price)| quantity * price).sum();
    let line = |(sku, quantity, price)| Line { sku, quantity, unit_price: money(price) };
    OrderRequest {
        customer_id: "customer-7".to_owned(),
        total: money(total),
        lines: lines.into_iter().map(line).collect(),
        personal: Personal {
            name: "Ada Example".to_owned(),
            email: "ada@example.com".to_owned(),
            phone: None,
            street: "Musterstraße 1".to_owned(),
            city: "Berlin".to_owned(),
            postal_code: "10115".to_owned(),
            country: "DE".to_owned(),
        },
    }
}

fn tokyo(mut order: OrderRequest) -> OrderRequest {
    order.personal = Personal {
        name: "見本 花子".to_owned(),
        email: "hanako@example.jp".to_owned(),
        phone: Some("+81 3 0000 0000".to_owned()),
        street: "千代田1-1".to_owned(),
        city: "東京都".to_owned(),
        postal_code: "100-0001".to_owned(),
        country: "JP".to_owned(),
    };
    order
}

fn wrong_total(mut order: OrderRequest) -> OrderRequest {
    order.total.amount_minor += 1;
    order
}

#[cfg(test)]
mod tests {
    use contracts::{OPEN_SCOPE, order_id_of_key};

    use super::*;

    #[test]
    fn there_are_twenty_and_each_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            scenarios().into_iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), 20);
    }

    #[test]
    fn exactly_the_refused_order_breaks_a_rule() {
        for scenario in scenarios() {
            let placed = scenario.order.into_order_placed(&order_id_of_key(OPEN_SCOPE, "k"));
            let is_valid = placed.parse(order_id_of_key(OPEN_SCOPE, "k")).is_ok();
            assert_eq!(is_valid, scenario.end != End::Refused, "{}", scenario.name);
        }
    }

    #[test]
    fn the_amounts_lead_the_payment_provider_to_the_declared_end() {
        for scenario in scenarios() {
            let cents = scenario.order.total.amount_minor % 100;
            assert_eq!(cents == 13, scenario.end == End::Declined, "{}", scenario.name);
            assert_eq!(
                cents == 17,
                matches!(scenario.end, End::Unpaid | End::CalledOff),
                "{}",
                scenario.name
            );
        }
    }

    #[test]
    fn the_stock_suffices_for_all_but_the_orders_that_run_short() {
        let (seed, mut wanted) = (seed(), BTreeMap::<String, u64>::new());
        let all = scenarios();
        for line in all.iter().filter(|one| one.end != End::OutOfStock).flat_map(|one| &one.order.lines) {
            *wanted.entry(line.sku.clone()).or_default() += line.quantity.cast_unsigned();
        }
        assert!(wanted.iter().all(|(sku, quantity)| seed.get(sku).is_some_and(|count| count >= quantity)));
        for scenario in all.iter().filter(|one| one.end == End::OutOfStock) {
            let lines = &scenario.order.lines;
            let short =
                |line: &Line| seed.get(&line.sku).is_none_or(|count| *count < line.quantity.cast_unsigned());
            assert!(lines.iter().any(short), "{}", scenario.name);
        }
    }

    #[test]
    fn the_declared_ends_conserve_the_stock() {
        let level = |count| StockLevel { available: count, received: count, ..StockLevel::default() };
        let before = seed().into_iter().map(|(sku, count)| (sku, level(count))).collect();
        assert!(levels_after(&before).values().all(StockLevel::is_conserved));
    }
}
