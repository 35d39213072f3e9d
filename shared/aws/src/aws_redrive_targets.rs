use std::collections::HashMap;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sfn::error::SdkError;
use aws_sdk_sqs::types::QueueAttributeName;
use contracts::quarantine_id;
use ports::{PortError, Redrive, RedriveTargets, Target, attempt_attributes, attempt_resources};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::failed;
use crate::eventbridge_event_bus::taken;
use crate::sqs::{UnknownQueue, attribute, count};

const SEND: &str = "sqs:SendMessage";
const GET_ATTRIBUTES: &str = "sqs:GetQueueAttributes";
const START: &str = "states:StartExecution";
const PUT_EVENTS: &str = "events:PutEvents";

/// Consumers' queues in SQS, the checkout in Step Functions, the bus in EventBridge.
#[derive(Debug, Clone)]
pub struct AwsRedriveTargets {
    /// For the queues.
    pub sqs: aws_sdk_sqs::Client,
    /// For the checkout.
    pub sfn: aws_sdk_sfn::Client,
    /// For the bus.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// The address of each consumer's queue, by the consumer's name.
    pub queue_urls: HashMap<String, String>,
    /// The checkout's state machine.
    pub checkout_arn: String,
    /// The bus.
    pub bus_name: String,
}

impl AwsRedriveTargets {
    fn queue_url(&self, operation: &'static str, consumer: &str) -> Result<&str, PortError> {
        self.queue_urls
            .get(consumer)
            .map(String::as_str)
            .ok_or_else(|| UnknownQueue::error(operation, consumer))
    }

    async fn send_message(&self, consumer: &str, redrive: &Redrive<'_>) -> Result<(), PortError> {
        let mut request =
            self.sqs.send_message().queue_url(self.queue_url(SEND, consumer)?).message_body(redrive.body);
        for (name, value) in attempt_attributes(redrive.attempt) {
            let value = attribute(&value).map_err(|error| PortError::permanent(SEND, error))?;
            request = request.message_attributes(name, value);
        }
        request.send().await.map_err(|error| failed(SEND, error))?;
        Ok(())
    }

    /// An execution's name is taken for 90 days: a second start under it is either the first, found running, or refused
    /// because the first has ended or began with another copy.
    async fn start_checkout(&self, redrive: &Redrive<'_>) -> Result<(), PortError> {
        let id = quarantine_id(redrive.key, redrive.attempt.generation);
        let request = self
            .sfn
            .start_execution()
            .state_machine_arn(&self.checkout_arn)
            .name(format!("redrive-{id}"))
            .input(redrive.body);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.err().is_execution_already_exists() => Ok(()),
            Err(error) => Err(failed(START, error)),
        }
    }

    async fn put_event(&self, redrive: &Redrive<'_>) -> Result<(), PortError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Envelope<'a> {
            source: String,
            detail_type: String,
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(redrive.body).map_err(|error| PortError::permanent(PUT_EVENTS, error))?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus_name)
            .source(envelope.source)
            .detail_type(envelope.detail_type)
            .detail(envelope.detail.get())
            .set_resources(Some(attempt_resources(redrive.attempt)))
            .build();
        let output = self.eventbridge.put_events().entries(entry).send().await;
        let output = output.map_err(|error| failed(PUT_EVENTS, error))?;
        taken(output.entries.unwrap_or_default().into_iter().next())
    }
}

impl RedriveTargets for AwsRedriveTargets {
    async fn send(&self, target: &Target, redrive: &Redrive<'_>) -> Result<(), PortError> {
        match target {
            Target::Consumer(name) => self.send_message(name, redrive).await,
            Target::Checkout => self.start_checkout(redrive).await,
            Target::Bus => self.put_event(redrive).await,
        }
    }

    async fn backlog(&self, target: &Target) -> Result<u64, PortError> {
        let Target::Consumer(name) = target else { return Ok(0) };
        let output = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.queue_url(GET_ATTRIBUTES, name)?)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .send()
            .await
            .map_err(|error| failed(GET_ATTRIBUTES, error))?;
        Ok(count(&output.attributes.unwrap_or_default(), &QueueAttributeName::ApproximateNumberOfMessages))
    }
}
