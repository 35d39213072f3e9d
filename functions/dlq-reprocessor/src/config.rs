use std::collections::HashMap;
use std::num::ParseIntError;

use runtime::{ConfigError, variable};

use crate::decide_redrive::Policy;
use crate::letter::{Consumer, Queues, Takes};

/// The most redrives that may be asked for. Lambda stops a message that goes round between a queue and its function after
/// about 16 hops (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>); a chain ends before.
const REDRIVES_MAX: u32 = 12;
/// The longest wait that may be asked for: 12 hours, so that nothing is forgotten while it waits.
const BACKOFF_S_MAX: u32 = 43_200;

/// How dead letters are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where they lie.
    pub queues: Queues,
    /// How patiently.
    pub policy: Policy,
    /// At most so many in one run.
    pub messages_per_run_max: usize,
    /// At most so many a second.
    pub messages_per_second_max: u32,
    /// How much of what a target works on at once may wait in front of it because of a run, what waits there already
    /// included.
    pub capacity_share_percent: u32,
    /// What a person types before `dlq …`.
    pub operator_command: String,
}

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `BUS_NAME`.
    pub bus_name: String,
    /// `LEDGER_TABLE`.
    pub ledger_table: String,
    /// `QUARANTINE_BUCKET`.
    pub quarantine_bucket: String,
    /// `ALERT_TOPIC_ARN`.
    pub alert_topic_arn: String,
    /// The address of every queue, less its name: that of `UNDELIVERED_QUEUE_URL`.
    pub queue_url_base: String,
    /// Everything that is not an address.
    pub settings: Settings,
}

/// What is wrong with the environment. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum ReprocessorConfigError {
    /// Something is missing.
    #[error(transparent)]
    Variable(#[from] ConfigError),
    /// Something is no number.
    #[error("{0} is not a number")]
    NotANumber(&'static str, #[source] ParseIntError),
    /// A number is out of its range.
    #[error("{name} must be {min} to {max}")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A part of `CONSUMERS` is not `name queue dead-letter-queue concurrency batch-size catalogue|anything`.
    #[error(
        "CONSUMERS: {0:?} is not `name queue dead-letter-queue concurrency batch-size catalogue|anything`"
    )]
    NotAConsumer(String),
    /// `BUS_DEAD_LETTER_QUEUE_URL`, `UNDELIVERED_QUEUE_URL` or `QUARANTINE_QUEUE_URL` is not an address.
    #[error("{0} is not the address of a queue")]
    NotAQueue(&'static str),
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`ReprocessorConfigError`] for the first that is missing or wrong.
    pub fn from_environment() -> Result<Self, ReprocessorConfigError> {
        Self::from_variables(|name| Ok(variable(name)?))
    }

    /// Reads every variable from wherever it stands: `orderbus dlq` reads those of the deployed function.
    ///
    /// # Errors
    /// [`ReprocessorConfigError`] for the first that is missing or wrong.
    pub fn from_variables(
        read: impl Fn(&'static str) -> Result<String, ReprocessorConfigError>,
    ) -> Result<Self, ReprocessorConfigError> {
        let number = |name: &'static str, min: u32, max: u32| {
            let number =
                read(name)?.parse().map_err(|error| ReprocessorConfigError::NotANumber(name, error))?;
            if (min..=max).contains(&number) {
                Ok(number)
            } else {
                Err(ReprocessorConfigError::OutOfRange { name, min, max })
            }
        };
        let queue = |name: &'static str| {
            let url = read(name)?;
            let (base, queue) = url.rsplit_once('/').ok_or(ReprocessorConfigError::NotAQueue(name))?;
            Ok::<_, ReprocessorConfigError>((base.to_owned(), queue.to_owned()))
        };
        let (queue_url_base, undelivered) = queue("UNDELIVERED_QUEUE_URL")?;
        let (_, bus) = queue("BUS_DEAD_LETTER_QUEUE_URL")?;
        let (_, quarantine) = queue("QUARANTINE_QUEUE_URL")?;
        let queues = Queues {
            consumers: consumers(&read("CONSUMERS")?)?,
            bus,
            undelivered,
            quarantine,
            checkout_arn: read("CHECKOUT_ARN")?,
        };
        let policy = Policy {
            redrives_max: number("REDRIVES_MAX", 1, REDRIVES_MAX)?,
            backoff_base_s: number("BACKOFF_BASE_SECONDS", 1, BACKOFF_S_MAX)?,
            backoff_max_s: number("BACKOFF_MAX_SECONDS", 1, BACKOFF_S_MAX)?,
        };
        Ok(Self {
            bus_name: read("BUS_NAME")?,
            ledger_table: read("LEDGER_TABLE")?,
            quarantine_bucket: read("QUARANTINE_BUCKET")?,
            alert_topic_arn: read("ALERT_TOPIC_ARN")?,
            queue_url_base,
            settings: Settings {
                queues,
                policy,
                messages_per_run_max: number("MESSAGES_PER_RUN_MAX", 1, 100_000)? as usize,
                messages_per_second_max: number("MESSAGES_PER_SECOND_MAX", 1, 1_000)?,
                capacity_share_percent: number("CAPACITY_SHARE_PERCENT", 1, 100)?,
                operator_command: read("OPERATOR_COMMAND")?,
            },
        })
    }

    /// The address of every queue that dead letters lie in, by its name.
    #[must_use]
    pub fn dead_letter_queue_urls(&self) -> HashMap<String, String> {
        self.settings.queues.names().map(|name| (name.to_owned(), self.queue_url(name))).collect()
    }

    /// The address of every consumer's queue, by the consumer's name.
    #[must_use]
    pub fn consumer_queue_urls(&self) -> HashMap<String, String> {
        let consumers = self.settings.queues.consumers.iter();
        consumers.map(|consumer| (consumer.name.clone(), self.queue_url(&consumer.queue))).collect()
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{name}", self.queue_url_base)
    }
}

/// One consumer after the other, with semicolons in between.
fn consumers(text: &str) -> Result<Vec<Consumer>, ReprocessorConfigError> {
    let lines = text.split(';').map(str::trim);
    lines
        .map(|line| consumer(line).ok_or_else(|| ReprocessorConfigError::NotAConsumer(line.to_owned())))
        .collect()
}

fn consumer(line: &str) -> Option<Consumer> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [name, queue, dead_letter_queue, concurrency, batch_size, takes] = parts[..] else { return None };
    Some(Consumer {
        name: name.to_owned(),
        queue: queue.to_owned(),
        dead_letter_queue: dead_letter_queue.to_owned(),
        capacity: concurrency.parse::<u64>().ok()?.checked_mul(batch_size.parse().ok()?)?,
        takes: match takes {
            "catalogue" => Takes::Catalogue,
            "anything" => Takes::Anything,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> HashMap<&'static str, String> {
        let text = "order-placed s-OrderPlacedQueue-1 s-OrderPlacedDeadLetterQueue-2 20 10 catalogue; \
                    event-archiver s-EventArchiverQueue-3 s-EventArchiverDeadLetterQueue-4 20 1000 anything";
        let queue = |name: &str| format!("https://sqs.eu-central-1.amazonaws.com/111122223333/{name}");
        [
            ("BUS_NAME", "bus".to_owned()),
            ("LEDGER_TABLE", "ledger".to_owned()),
            ("QUARANTINE_BUCKET", "bucket".to_owned()),
            ("ALERT_TOPIC_ARN", "arn:topic".to_owned()),
            ("BUS_DEAD_LETTER_QUEUE_URL", queue("bus-dead")),
            ("UNDELIVERED_QUEUE_URL", queue("undelivered")),
            ("QUARANTINE_QUEUE_URL", queue("quarantine")),
            ("CHECKOUT_ARN", "arn:checkout".to_owned()),
            ("CONSUMERS", text.to_owned()),
            ("REDRIVES_MAX", "5".to_owned()),
            ("BACKOFF_BASE_SECONDS", "300".to_owned()),
            ("BACKOFF_MAX_SECONDS", "21600".to_owned()),
            ("MESSAGES_PER_RUN_MAX", "1000".to_owned()),
            ("MESSAGES_PER_SECOND_MAX", "50".to_owned()),
            ("CAPACITY_SHARE_PERCENT", "50".to_owned()),
            ("OPERATOR_COMMAND", "cargo orderbus".to_owned()),
        ]
        .into()
    }

    fn config(changes: &[(&'static str, &str)]) -> Result<Config, String> {
        let mut variables = variables();
        variables.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let read = |name: &'static str| variables.get(name).cloned().ok_or(ConfigError::Missing(name).into());
        Config::from_variables(read).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_is_read() {
        let config = config(&[]).unwrap();
        let [placed, archiver] = &config.settings.queues.consumers[..] else { panic!("two consumers") };
        assert_eq!(
            (placed.name.as_str(), placed.capacity, placed.takes),
            ("order-placed", 200, Takes::Catalogue)
        );
        assert_eq!((archiver.capacity, archiver.takes), (20_000, Takes::Anything));
        let base = "https://sqs.eu-central-1.amazonaws.com/111122223333";
        let urls = config.dead_letter_queue_urls();
        assert_eq!(urls[&placed.dead_letter_queue], format!("{base}/s-OrderPlacedDeadLetterQueue-2"));
        assert_eq!(urls.len(), 5);
        assert_eq!(config.consumer_queue_urls()["order-placed"], format!("{base}/s-OrderPlacedQueue-1"));
        assert_eq!(config.settings.queues.bus, "bus-dead");
        assert_eq!(config.settings.queues.undelivered, "undelivered");
    }

    #[test]
    fn a_chain_of_redrives_ends_before_lambda_ends_it() {
        assert!(config(&[("REDRIVES_MAX", "12")]).is_ok());
        assert_eq!(config(&[("REDRIVES_MAX", "13")]).unwrap_err(), "REDRIVES_MAX must be 1 to 12");
        assert!(config(&[("REDRIVES_MAX", "0")]).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, problem) in [
            ("REDRIVES_MAX", "many", "REDRIVES_MAX is not a number"),
            ("UNDELIVERED_QUEUE_URL", "queue", "UNDELIVERED_QUEUE_URL is not the address of a queue"),
            ("CAPACITY_SHARE_PERCENT", "101", "CAPACITY_SHARE_PERCENT must be 1 to 100"),
        ] {
            assert_eq!(config(&[(name, value)]).unwrap_err(), problem);
        }
        for line in ["a b c 1 1", "a b c x 1 catalogue", "a b c 1 1 nothing", "a b c 1 1 catalogue more"] {
            assert!(config(&[("CONSUMERS", line)]).unwrap_err().contains(line), "{line}");
        }
    }
}
