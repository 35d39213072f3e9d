use std::collections::{BTreeMap, BTreeSet};

use contracts::{EventType, Origin};
use runtime::Principal;
use sha2::{Digest, Sha256};

/// What only Orderbus itself publishes. These events follow from what its functions committed: a second voice would say
/// what stands in no record. Whoever wants an order placed or called off asks for it by its own route.
pub const OWN_SOURCES: [&str; 3] = ["inventory", "ops", "orders"];

/// Who publishes as what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers(BTreeMap<Principal, Producer>);

/// A principal that may publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    name: String,
    sources: BTreeSet<&'static str>,
}

impl Producer {
    /// Of the name, the digits that tell principals apart: 80 bits of a hash.
    const DIGITS: usize = 20;

    fn of(principal: &Principal) -> Self {
        let arn = principal.as_str();
        let mut name = String::with_capacity(Origin::PRODUCER_LENGTH_MAX);
        for byte in arn.rsplit(['/', ':']).next().unwrap_or(arn).bytes() {
            match byte.to_ascii_lowercase() {
                byte if byte.is_ascii_alphanumeric() => name.push(byte.into()),
                _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
                _ => {}
            }
        }
        name.truncate(Origin::PRODUCER_LENGTH_MAX - 1 - Self::DIGITS);
        if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        let hash = Sha256::digest(arn);
        name.extend(hash.iter().take(Self::DIGITS / 2).map(|byte| format!("{byte:02x}")));
        Self { name, sources: BTreeSet::new() }
    }

    /// What its events are marked with: the end of its ARN and a hash of all of it, in lower-case letters, digits and
    /// hyphens. The same for ever, and no other principal's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it publishes as.
    #[must_use]
    pub fn sources(&self) -> &BTreeSet<&'static str> {
        &self.sources
    }
}

/// What is wrong with the list of producers. `number` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProducers {
    /// It has no `=`.
    #[error("producer {number} is not written as source=arn")]
    NotAPair {
        /// Which.
        number: usize,
    },
    /// The catalogue has no such source.
    #[error("producer {number}: no event of the catalogue has this source")]
    UnknownSource {
        /// Which.
        number: usize,
    },
    /// The source is one of [`OWN_SOURCES`].
    #[error("producer {number}: only Orderbus itself publishes as {source_name}")]
    OwnSource {
        /// Which.
        number: usize,
        /// As whom.
        source_name: &'static str,
    },
    /// The ARN is not that of a user, of a role, or of a root user.
    #[error("producer {number}: the ARN must be that of an IAM user, of an IAM role, or of a root user")]
    NotAPrincipal {
        /// Which.
        number: usize,
    },
}

impl Producers {
    /// Reads `source=arn,source=arn`. Nothing at all is nobody. A principal may stand for several sources, and a source
    /// may have several principals.
    ///
    /// # Errors
    /// [`InvalidProducers`] for the first that is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidProducers> {
        let mut producers = Self::default();
        if text.is_empty() {
            return Ok(producers);
        }
        for (number, producer) in (1..).zip(text.split(',')) {
            let (source, arn) =
                producer.trim().split_once('=').ok_or(InvalidProducers::NotAPair { number })?;
            let mut known = EventType::ALL.iter().map(|event_type| event_type.source());
            let source =
                known.find(|known| *known == source).ok_or(InvalidProducers::UnknownSource { number })?;
            if OWN_SOURCES.contains(&source) {
                return Err(InvalidProducers::OwnSource { number, source_name: source });
            }
            let principal = Principal::parse(arn).ok_or(InvalidProducers::NotAPrincipal { number })?;
            let producer = Producer::of(&principal);
            producers.0.entry(principal).or_insert(producer).sources.insert(source);
        }
        Ok(producers)
    }

    /// The producer that a caller is; `None` for a stranger.
    #[must_use]
    pub fn find(&self, caller: &Principal) -> Option<&Producer> {
        self.0.get(caller)
    }
}
