//! Places the twenty orders, waits for their ends, and compares.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use contracts::{Event, EventType, ParcelPickedUp};
use domain::{EventId, OrderId, ShipmentId, Sku, StockLevel};
use ports::{EventBus, StockCounts};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::account::Account;
use crate::http::Answer;
use crate::stack::Stack;
use crate::twenty_orders::{self, End, Scenario, Then};
use crate::{Api, Progress, clock};

/// The slowest order waits for its payment to time out (12 s), and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the twenty.
#[derive(Debug)]
pub struct Outcome {
    /// In the order in which they were placed.
    pub orders: Vec<Order>,
    /// The stock that they moved.
    pub stock: Stock,
}

/// One of the twenty.
#[derive(Debug)]
pub struct Order {
    /// What was to happen.
    pub scenario: Scenario,
    /// Its id, when it was taken.
    pub order_id: Option<String>,
    /// What happened, when it was taken.
    pub account: Option<Account>,
    /// What is not as declared. Empty is good.
    pub problems: Vec<String>,
}

/// Stock levels by SKU.
#[derive(Debug)]
pub struct Stock {
    /// Before the first order.
    pub before: BTreeMap<String, StockLevel>,
    /// After the last.
    pub after: BTreeMap<String, StockLevel>,
    /// As the declared ends demand.
    pub expected: BTreeMap<String, StockLevel>,
}

impl Outcome {
    /// Whether all is as declared, and no piece of stock was lost or made up.
    #[must_use]
    pub fn is_as_declared(&self) -> bool {
        self.orders.iter().all(|order| order.problems.is_empty()) && self.stock.is_as_declared()
    }
}

impl Order {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> &str {
        match &self.account {
            Some(account) => &account.status,
            None if self.order_id.is_none() => End::Refused.status(),
            None => "unknown",
        }
    }

    fn has_ended(&self) -> bool {
        self.missing().is_empty()
    }

    /// What must still happen.
    fn missing(&self) -> Vec<String> {
        let wanted = self.scenario.end.status();
        let mut missing = Vec::new();
        if self.status() != wanted {
            missing.push(format!("it must become {wanted}"));
        }
        let has =
            |event_type: &EventType| self.account.as_ref().is_some_and(|one| one.has(event_type.as_str()));
        let events = self.scenario.end.events().iter().filter(|event_type| !has(event_type));
        missing.extend(events.map(|event_type| format!("{} is missing", event_type.as_str())));
        missing
    }
}

impl Stock {
    /// Whether every level is the declared one, and adds up.
    #[must_use]
    pub fn is_as_declared(&self) -> bool {
        self.after == self.expected && self.after.values().all(StockLevel::is_conserved)
    }
}

/// Counts the stock, places the twenty orders at the API and follows them to their ends.
///
/// # Errors
/// When a service does not answer. An order that ends otherwise than declared is no error but an [`Order::problems`].
pub fn twenty_orders(stack: &Stack, api: &Api, progress: &Progress) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let before = runtime.block_on(count_stock(stack))?;
    progress.say(format_args!("stock: {} SKUs counted", before.len()));

    // A stack that is kept knows the keys of earlier runs.
    let run = clock::now().unix_ms();
    let mut orders = Vec::new();
    for (index, scenario) in twenty_orders::scenarios().into_iter().enumerate() {
        let key = format!("orderbus-local-{run}-{:02}", index + 1);
        orders.push(place(api, &key, scenario).with_context(|| format!("order {}", index + 1))?);
    }
    progress.say("orders: twenty placed");

    follow(&runtime, stack, api, &mut orders, progress)?;
    let expected = twenty_orders::levels_after(&before);
    let after = runtime.block_on(await_stock(stack, &expected))?;
    Ok(Outcome { orders, stock: Stock { before, after, expected } })
}

async fn count_stock(stack: &Stack) -> Result<BTreeMap<String, StockLevel>> {
    let stock = stack.stock()?;
    let current = levels(stack).await?;
    let mut counted = BTreeMap::new();
    for (sku, available) in twenty_orders::seed() {
        let level = match current.get(&sku) {
            Some(level) if level.available == available => *level,
            _ => {
                stock.set_available(&Sku::parse(&sku)?, available).await.context("cannot count the stock")?
            }
        };
        counted.insert(sku, level);
    }
    Ok(counted)
}

async fn levels(stack: &Stack) -> Result<BTreeMap<String, StockLevel>> {
    let levels = stack.stock()?.levels().await.context("cannot read the stock")?;
    Ok(levels.into_iter().map(|(sku, level)| (sku.to_string(), level)).collect())
}

/// What an order ends with may be told before its stock has moved.
async fn await_stock(
    stack: &Stack,
    expected: &BTreeMap<String, StockLevel>,
) -> Result<BTreeMap<String, StockLevel>> {
    let begun = Instant::now();
    loop {
        let mut current = levels(stack).await?;
        current.retain(|sku, _| expected.contains_key(sku));
        if current == *expected || begun.elapsed() > PATIENCE / 3 {
            return Ok(current);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn place(api: &Api, key: &str, scenario: Scenario) -> Result<Order> {
    let answer = api.place(key, &scenario.order)?;
    let mut order = Order { scenario, order_id: None, account: None, problems: Vec::new() };
    if order.scenario.end == End::Refused {
        let is_problem =
            answer.content_type.as_deref().is_some_and(|kind| kind.starts_with("application/problem+json"));
        if answer.status != 422 || !is_problem {
            order
                .problems
                .push(format!("it must be refused with 422 and a problem, and got {}", words(&answer)));
        }
        return Ok(order);
    }
    ensure!(answer.status == 202, "POST /orders answered {}", words(&answer));
    let order_id =
        order_id_of(&answer).with_context(|| format!("POST /orders answered {}", words(&answer)))?;
    if answer.location.as_deref() != Some(&format!("/orders/{order_id}")) {
        order.problems.push(format!("Location must be /orders/{order_id}, and is {:?}", answer.location));
    }
    match order.scenario.then {
        Then::SendAgain => {
            let again = api.place(key, &order.scenario.order)?;
            if (again.status, &again.body) != (answer.status, &answer.body) {
                order
                    .problems
                    .push(format!("the same again must get the same answer, and got {}", words(&again)));
            }
            let other = api.place(key, &twenty_orders::something_else())?;
            if other.status != 422 {
                order
                    .problems
                    .push(format!("another order under its key must get 422, and got {}", words(&other)));
            }
        }
        Then::CallOff => {
            let answer = api.cancel(&order_id)?;
            if !(200..300).contains(&answer.status) {
                order.problems.push(format!("calling it off got {}", words(&answer)));
            }
        }
        Then::Wait | Then::PickUp => {}
    }
    order.order_id = Some(order_id);
    Ok(order)
}

fn order_id_of(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    body.get("orderId")?.as_str().map(str::to_owned)
}

fn words(answer: &Answer) -> String {
    let body: String = answer.body.chars().take(300).collect();
    format!("{} {body}", answer.status)
}

fn follow(
    runtime: &Runtime,
    stack: &Stack,
    api: &Api,
    orders: &mut [Order],
    progress: &Progress,
) -> Result<()> {
    let taken = orders.iter().filter(|order| order.order_id.is_some()).count();
    let (begun, mut told) = (Instant::now(), 0);
    let mut picked_up = Vec::new();
    loop {
        let mut ended = 0;
        for order in orders.iter_mut() {
            let Some(order_id) = order.order_id.clone() else { continue };
            if !order.has_ended() {
                order.account = api.order(&order_id)?.as_ref().map(Account::from_answer).transpose()?;
            }
            ended += usize::from(order.has_ended());
            let waits_for_carrier = order.scenario.then == Then::PickUp && !picked_up.contains(&order_id);
            if let Some(account) = order.account.as_ref().filter(|_| waits_for_carrier)
                && pick_up(runtime, stack, account)?
            {
                picked_up.push(order_id);
            }
        }
        if ended > told {
            told = ended;
            progress.say(format_args!("orders: {ended} of {taken} have come to their end"));
        }
        if ended == taken || begun.elapsed() > PATIENCE {
            break;
        }
        thread::sleep(PAUSE);
    }
    for order in orders.iter_mut().filter(|order| order.order_id.is_some()) {
        let missing = order.missing();
        order.problems.extend(missing);
    }
    Ok(())
}

/// What a carrier publishes when it fetches a parcel. Says whether there was a shipment to fetch.
fn pick_up(runtime: &Runtime, stack: &Stack, account: &Account) -> Result<bool> {
    let scheduled = EventType::ShipmentScheduled.as_str();
    let Some(cause) = account.events.iter().find(|event| event.event_type == scheduled) else {
        return Ok(false);
    };
    let order_id = OrderId::parse(&account.order_id)?;
    let parcel = ParcelPickedUp {
        order_id: account.order_id.clone(),
        shipment_id: ShipmentId::of(&order_id).to_string(),
        parcel_id: format!("parcel-{order_id}"),
        carrier: "Example Parcels".to_owned(),
    };
    let event = Event {
        id: EventId::parse(&format!("carrier:{order_id}:picked-up"))?,
        correlation_id: account.order_id.clone(),
        causation_id: Some(EventId::parse(&cause.event_id)?),
        subject: order_id.into(),
        time: clock::now(),
        traceparent: None,
        data: parcel.into(),
    };
    runtime.block_on(publish(stack, &event))?;
    Ok(true)
}

/// Puts one event on the bus.
///
/// # Errors
/// When the bus does not take it.
pub async fn publish(stack: &Stack, event: &Event) -> Result<()> {
    let outbound = event.to_outbound().context("unwritable event")?;
    let mut results = stack.bus()?.publish(&[outbound]).await;
    match results.pop() {
        Some(result) => result.context("the bus did not take the event"),
        None => bail!("the bus did not answer for the event"),
    }
}
