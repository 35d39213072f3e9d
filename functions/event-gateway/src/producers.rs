use std::collections::{BTreeMap, BTreeSet};

use contracts::EventType;

use crate::principal::Principal;

/// What only Orderbus itself publishes. These events follow from what its functions committed: a second voice would say
/// what stands in no record. Whoever wants an order placed or called off asks for it by its own route.
pub const OWN_SOURCES: [&str; 3] = ["inventory", "ops", "orders"];

/// Who publishes as what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers(BTreeMap<Principal, BTreeSet<&'static str>>);

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
            producers.0.entry(principal).or_default().insert(source);
        }
        Ok(producers)
    }

    /// What a caller publishes as; `None` for a stranger.
    #[must_use]
    pub fn sources_of(&self, caller: &Principal) -> Option<&BTreeSet<&'static str>> {
        self.0.get(caller)
    }
}
