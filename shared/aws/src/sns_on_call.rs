use aws_sdk_sns::Client;
use ports::{Alert, OnCall, PortError};

use crate::error::failed;

const PUBLISH: &str = "sns:Publish";
/// The longest subject, and what it may be made of
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const SUBJECT_LENGTH_MAX: usize = 100;

/// Whoever subscribes to an SNS topic.
#[derive(Debug, Clone)]
pub struct SnsOnCall {
    client: Client,
    topic_arn: String,
}

impl SnsOnCall {
    /// Behind this topic.
    #[must_use]
    pub fn new(client: Client, topic_arn: String) -> Self {
        Self { client, topic_arn }
    }
}

impl OnCall for SnsOnCall {
    async fn alert(&self, alert: &Alert) -> Result<(), PortError> {
        self.client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&alert.subject))
            .message(&alert.line)
            .send()
            .await
            .map_err(|error| failed(PUBLISH, error))?;
        Ok(())
    }
}

/// Printable ASCII, less than 100 characters, beginning with a letter.
fn subject(text: &str) -> String {
    let printable = text.chars().filter(|character| character.is_ascii_graphic() || *character == ' ');
    let text: String = printable.take(SUBJECT_LENGTH_MAX - 1).collect();
    let begins_well = text.starts_with(|character: char| character.is_ascii_alphanumeric());
    if begins_well { text } else { "Orderbus".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_sns_takes() {
        assert_eq!(subject("Orderbus: ü gave\nup"), "Orderbus:  gaveup");
        assert_eq!(subject(&"x".repeat(300)).len(), 99);
        assert_eq!(subject("ü"), "Orderbus");
    }
}
