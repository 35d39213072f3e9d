use std::cell::RefCell;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, QueueAttributeName};

/// How often a queue is asked for a message, each time with a wait of one second.
const ASKED_MAX: usize = 20;

/// A queue of a test's own, for what adapters send. Nothing that was received is lost, in whichever order it is asked for.
#[derive(Debug)]
pub struct Inbox {
    client: Client,
    url: String,
    arn: String,
    received: RefCell<Vec<Message>>,
}

impl Inbox {
    /// A new queue of this name, whose messages stay hidden for minutes once they are received.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn create(client: Client, name: &str) -> Result<Self> {
        let created = client.create_queue().queue_name(name);
        let created = created.attributes(QueueAttributeName::VisibilityTimeout, "600").send().await?;
        let url = created.queue_url.context("a queue without an address")?;
        let request =
            client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let mut attributes = request.send().await?.attributes.unwrap_or_default();
        let arn = attributes.remove(&QueueAttributeName::QueueArn).context("a queue without a name")?;
        Ok(Self { client, url, arn, received: RefCell::default() })
    }

    /// Its address, for those who send.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its full name, for rules and subscriptions.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What one call receives, after a second at most. It is not deleted.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn receive(&self) -> Result<Vec<Message>> {
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let request = request.wait_time_seconds(1).message_attribute_names("All");
        Ok(request.send().await?.messages.unwrap_or_default())
    }

    /// The first message that something can be made of; waits for it. `None` when it does not come.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn find<T>(&self, read: impl Fn(&Message) -> Option<T>) -> Result<Option<T>> {
        for _ in 0..ASKED_MAX {
            if let Some(found) = self.received.borrow().iter().find_map(&read) {
                return Ok(Some(found));
            }
            let new = self.receive().await?;
            self.received.borrow_mut().extend(new);
        }
        Ok(None)
    }
}
