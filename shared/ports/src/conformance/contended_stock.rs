use std::cell::Cell;

use domain::{OrderId, Sku, StockDecision, StockLevel, StockLine};
use futures_util::future::join_all;

use super::{Racer, event_id, line, ok, order_id, persist, sku};
use crate::{Reserve, StockCounts, StockStore};

/// How many callers reserve at the same time, each of them one order after the other.
const WRITERS: usize = 50;

/// The part of the suite of [`StockStore`] that takes many callers: everybody wants the same. What is there is promised
/// to the last piece, and not one piece more, however the writers get in one another's way.
pub async fn contended_stock<S: StockStore + StockCounts>(store: &S, unique: &str) {
    one_sku_is_promised_to_the_last_piece(store, unique).await;
    orders_that_share_skus_by_twos_are_promised_what_there_is(store, unique).await;
}

async fn one_sku_is_promised_to_the_last_piece<S: StockStore + StockCounts>(store: &S, unique: &str) {
    const PIECES: u64 = 100;
    const ORDERS: usize = 400;
    let wanted = sku(unique, "contended");
    ok(store.set_available(&wanted, PIECES).await);
    let orders: Vec<Order> =
        (0..ORDERS).map(|number| Order::new(unique, number, vec![line(&wanted, 1)])).collect();

    let answers = reserve_all(store, &orders).await;
    let reserved = answers.iter().filter(|answer| is_promised(answer)).count();
    let short = answers.iter().filter(|answer| matches!(answer, Reserve::Short(_))).count();
    assert_eq!((reserved, short), (100, 300), "all there is, and no more");
    let expected = StockLevel { available: 0, reserved: PIECES, shipped: 0, received: PIECES };
    assert_eq!(level(store, &wanted).await, expected);
    assert_answers_are_what_is_written(store, &orders, &answers).await;
}

async fn orders_that_share_skus_by_twos_are_promised_what_there_is<S: StockStore + StockCounts>(
    store: &S,
    unique: &str,
) {
    const PIECES: u64 = 10;
    const ORDERS: usize = 60;
    let skus = ["contended-a", "contended-b", "contended-c"].map(|name| sku(unique, name));
    for sku in &skus {
        ok(store.set_available(sku, PIECES).await);
    }
    // Every pair, each of them in both directions.
    let pairs = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)];
    let order = |(number, (one, other)): (usize, &(usize, usize))| {
        Order::new(unique, 1_000 + number, vec![line(&skus[*one], 1), line(&skus[*other], 1)])
    };
    let orders: Vec<Order> = (0..ORDERS).zip(pairs.iter().cycle()).map(order).collect();

    let answers = reserve_all(store, &orders).await;
    assert_answers_are_what_is_written(store, &orders, &answers).await;
    let promised = |sku: &Sku| {
        let orders = orders.iter().zip(&answers).filter(|(_, answer)| is_promised(answer));
        orders.filter(|(order, _)| order.lines.iter().any(|line| line.sku == *sku)).count()
    };
    for sku in &skus {
        let level = level(store, sku).await;
        assert_eq!(u64::try_from(promised(sku)), Ok(level.reserved), "{sku}");
        assert_eq!(level.available + level.reserved, PIECES, "{sku}");
    }
    for (order, answer) in orders.iter().zip(&answers) {
        let Reserve::Short(shortages) = answer else { continue };
        // What was short stays short, because nothing comes back here.
        assert!(!shortages.is_empty(), "{}", order.id);
        for shortage in shortages {
            assert_eq!(level(store, &shortage.sku).await.available, 0, "{}: {}", order.id, shortage.sku);
        }
    }
}

struct Order {
    id: OrderId,
    lines: Vec<StockLine>,
    by: Racer,
}

impl Order {
    fn new(unique: &str, number: usize, lines: Vec<StockLine>) -> Self {
        let name = format!("contended-{number}");
        let by = Racer { number: i64::try_from(number).unwrap_or(0), event_id: event_id(unique, &name) };
        Self { id: order_id(unique, &name), lines, by }
    }
}

/// Every order's answer, in their order. Each writer takes the next order that nobody has taken.
async fn reserve_all<S: StockStore>(store: &S, orders: &[Order]) -> Vec<Reserve> {
    let next = Cell::new(0);
    let write = async || {
        let mut answers = Vec::new();
        while let Some(order) = orders.get(next.get()) {
            let number = next.replace(next.get() + 1);
            let reserve = async || store.reserve(&order.id, &order.lines, &order.by.decided()).await;
            answers.push((number, persist(reserve).await));
        }
        answers
    };
    let mut answers: Vec<_> = join_all((0..WRITERS).map(|_| write())).await.into_iter().flatten().collect();
    answers.sort_by_key(|(number, _)| *number);
    assert_eq!(answers.len(), orders.len(), "every order is answered");
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn assert_answers_are_what_is_written<S: StockStore>(store: &S, orders: &[Order], answers: &[Reserve]) {
    let found = join_all(orders.iter().map(|order| async { ok(store.find(&order.id).await) })).await;
    for ((order, answer), found) in orders.iter().zip(answers).zip(found) {
        assert_eq!(found.is_some(), is_promised(answer), "{}", order.id);
        if let Some(found) = found {
            assert_eq!(found.decision, StockDecision::Reserved(order.lines.clone()), "{}", order.id);
            assert_eq!(found.decided_by, order.by.event_id, "{}", order.id);
        }
    }
}

/// Reserved, or found its own reservation, whose answer was lost.
fn is_promised(answer: &Reserve) -> bool {
    !matches!(answer, Reserve::Short(_))
}

async fn level<S: StockCounts>(store: &S, wanted: &Sku) -> StockLevel {
    let levels = ok(store.levels().await);
    let level = levels.into_iter().find(|(sku, _)| sku == wanted).expect("the SKU was counted").1;
    assert!(level.is_conserved(), "{wanted}: {level:?}");
    level
}
