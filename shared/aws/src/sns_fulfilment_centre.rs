use aws_sdk_sns::Client;
use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use ports::{FulfilmentCentre, Notice, PortError};

use crate::error::failed;

const PUBLISH: &str = "sns:Publish";

/// The fulfilment centre behind an SNS topic. `kind`, `noticeId` and `orderId` are message attributes, for filters.
#[derive(Debug, Clone)]
pub struct SnsFulfilmentCentre {
    client: Client,
    topic_arn: String,
}

impl SnsFulfilmentCentre {
    /// Behind this topic.
    #[must_use]
    pub fn new(client: Client, topic_arn: String) -> Self {
        Self { client, topic_arn }
    }
}

impl FulfilmentCentre for SnsFulfilmentCentre {
    async fn tell(&self, notice: &Notice) -> Result<(), PortError> {
        let attribute = |value: &str| attribute(value).map_err(|error| PortError::permanent(PUBLISH, error));
        self.client
            .publish()
            .topic_arn(&self.topic_arn)
            .message(&notice.body)
            .message_attributes("kind", attribute(notice.kind)?)
            .message_attributes("noticeId", attribute(&notice.notice_id)?)
            .message_attributes("orderId", attribute(notice.order_id.as_str())?)
            .send()
            .await
            .map_err(|error| failed(PUBLISH, error))?;
        Ok(())
    }
}

fn attribute(value: &str) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build()
}
