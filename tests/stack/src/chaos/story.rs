//! One order, from its client's side: placed, followed, called off, until its end is heard.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use contracts::{CancellationRequested, Data, Event, EventType, ParcelPickedUp, PaymentCaptured, Reason};
use domain::{EventId, PaymentId, ShipmentId, StockDecision};
use orderbus::Api;
use orderbus::http::Answer;
use orderbus::stack::Stack;
use ports::{EventBus, StockStore};
use serde_json::Value;

use super::consumers::Consumer;
use super::plan::Planned;
use super::poison::Poison;
use super::witness::{Board, put_on_the_bus};
use crate::ways::Way;

const PAUSE: Duration = Duration::from_millis(100);

/// What every client needs.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) stack: Arc<Stack>,
    pub(crate) api: Api,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) board: Board,
}

/// What a client went through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// Requests that were not answered, or with an error of the server's own, and were sent again.
    pub(crate) repeated: usize,
}

impl Clients {
    /// Lives one order through.
    ///
    /// # Errors
    /// When a client is answered what it should never be.
    pub(crate) async fn live(&self, planned: &Planned) -> Result<Patience> {
        let living = self.live_through(planned).await;
        living.with_context(|| format!("order {} ({})", planned.order_id, planned.way.name()))
    }

    async fn live_through(&self, planned: &Planned) -> Result<Patience> {
        let mut patience = Patience::default();
        if let Some(poison) = &planned.poison {
            self.poison(poison).await?;
        }
        match planned.way {
            Way::BreaksRules => self.publish(planned, self.placed(planned)).await?,
            Way::CalledOffBefore => self.call_off_before(planned).await?,
            _ => {
                self.place(planned, &mut patience).await?;
                if planned.is_repeated {
                    self.place(planned, &mut patience).await?;
                }
            }
        }
        match planned.way {
            Way::CalledOff => self.call_off(planned, &mut patience).await?,
            Way::PaidLate => {
                self.call_off(planned, &mut patience).await?;
                self.pay_late(planned).await?;
            }
            Way::PickedUp => self.pick_up(planned).await?,
            _ => {}
        }
        let order_id = &planned.order_id;
        self.board.until(|board| planned.way.end_of(&board.types(order_id))).await;
        Ok(patience)
    }

    async fn poison(&self, poison: &Poison) -> Result<()> {
        match poison.consumer(&self.consumers) {
            Some(consumer) => {
                let request = self.stack.sdk().sqs().send_message().queue_url(&consumer.queue_url);
                request.message_body(poison.body()).send().await.context("cannot poison a queue")?;
                Ok(())
            }
            None => {
                put_on_the_bus(&self.stack, poison.source(), poison.detail_type(), &poison.detail()).await
            }
        }
    }

    async fn place(&self, planned: &Planned, patience: &mut Patience) -> Result<()> {
        let (key, order) = (planned.key.clone(), planned.request.clone());
        let answer = self.ask(patience, move |api| api.place(&key, &order)).await?;
        ensure!(answer.status == 202, "POST /orders answered {}: {}", answer.status, answer.body);
        let body: Value = serde_json::from_str(&answer.body).context("POST /orders answered no JSON")?;
        ensure!(body["orderId"] == planned.order_id.as_str(), "POST /orders answered {body}");
        Ok(())
    }

    async fn call_off(&self, planned: &Planned, patience: &mut Patience) -> Result<()> {
        self.board.until_heard(&planned.order_id, EventType::PaymentRequested).await;
        let order_id = planned.order_id.as_str().to_owned();
        let answer = self.ask(patience, move |api| api.cancel(&order_id)).await?;
        ensure!(answer.status == 202, "POST …/cancel answered {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// A request is sent until it is answered, as a client does that does not know whether it was carried out.
    async fn ask(
        &self,
        patience: &mut Patience,
        request: impl Fn(&Api) -> Result<Answer> + Send + Sync + 'static,
    ) -> Result<Answer> {
        let request = Arc::new(request);
        for _ in 0..600 {
            let (api, request) = (self.api.clone(), Arc::clone(&request));
            match tokio::task::spawn_blocking(move || request(&api)).await? {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
                Ok(_) | Err(_) => patience.repeated += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("a request was not answered in 600 attempts")
    }

    async fn call_off_before(&self, planned: &Planned) -> Result<()> {
        let request = CancellationRequested {
            order_id: planned.order_id.as_str().to_owned(),
            reason: Reason::new("customer_request", "the customer asked for it"),
        };
        self.publish(planned, request.into()).await?;
        // Only once inventory knows of it is the end the same in every run.
        let stock = self.stack.stock()?;
        loop {
            let reservation = stock.find(&planned.order_id).await?;
            if reservation.is_some_and(|reservation| reservation.decision == StockDecision::Barred) {
                break;
            }
            tokio::time::sleep(5 * PAUSE).await;
        }
        self.publish(planned, self.placed(planned)).await
    }

    /// Answers in the place of the provider, who is silent about this price.
    async fn pay_late(&self, planned: &Planned) -> Result<()> {
        let order_id = &planned.order_id;
        self.board.until_heard(order_id, EventType::OrderCancelled).await;
        let request = self.board.until(|board| board.payment_request(order_id)).await;
        let captured = PaymentCaptured {
            order_id: order_id.as_str().to_owned(),
            payment_id: PaymentId::of(order_id).as_str().to_owned(),
            amount: planned.request.total.clone(),
            task_token: request["taskToken"]
                .as_str()
                .context("a payment request without a token")?
                .to_owned(),
            provider_reference: "chaos".to_owned(),
        };
        self.publish(planned, captured.into()).await
    }

    async fn pick_up(&self, planned: &Planned) -> Result<()> {
        let order_id = &planned.order_id;
        self.board.until_heard(order_id, EventType::ShipmentScheduled).await;
        let parcel = ParcelPickedUp {
            order_id: order_id.as_str().to_owned(),
            shipment_id: ShipmentId::of(order_id).to_string(),
            parcel_id: format!("parcel-{order_id}"),
            carrier: "Example Parcels".to_owned(),
        };
        self.publish(planned, parcel.into()).await
    }

    fn placed(&self, planned: &Planned) -> Data {
        planned.request.clone().into_order_placed(&planned.order_id).into()
    }

    async fn publish(&self, planned: &Planned, data: Data) -> Result<()> {
        let event = Event {
            id: EventId::parse(&format!("{}:{}", planned.key, data.event_type().as_str()))?,
            subject: planned.order_id.clone().into(),
            time: orderbus::now(),
            correlation_id: planned.order_id.as_str().to_owned(),
            causation_id: None,
            traceparent: None,
            data,
        };
        let outbound = event.to_outbound().context("unwritable event")?;
        let mut results = self.stack.bus()?.publish(&[outbound]).await;
        results.pop().context("the bus did not answer")?.context("the bus did not take an event")
    }
}
