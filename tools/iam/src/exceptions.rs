//! What is found and is right, each with its reason.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::check::Right;

/// The exceptions of the check and of the record, in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    /// Rights that stay although no call needs them.
    #[serde(default, rename = "right")]
    pub(crate) rights: Vec<UnusedRight>,
    /// Operations that are in a program and that it never calls.
    #[serde(default)]
    pub(crate) unreached: Vec<UnreachedOperation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnusedRight {
    pub(crate) holder: String,
    pub(crate) statement: String,
    pub(crate) part: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnreachedOperation {
    pub(crate) function: String,
    pub(crate) operation: String,
    reason: String,
}

impl Exceptions {
    /// Reads them.
    ///
    /// # Errors
    /// When the file is not as it has to be, or an exception has no reason.
    pub fn parse(text: &str) -> Result<Self> {
        let exceptions: Self = toml::from_str(text).context("the exceptions cannot be read")?;
        let rights = exceptions.rights.iter().map(|one| (one.to_string(), &one.reason));
        let unreached = exceptions.unreached.iter();
        let unreached = unreached.map(|one| (format!("{}: {}", one.function, one.operation), &one.reason));
        for (what, reason) in rights.chain(unreached) {
            ensure!(reason.split_whitespace().count() >= 3, "the exception {what} has no reason");
        }
        Ok(exceptions)
    }
}

impl UnusedRight {
    pub(crate) fn is(&self, right: &Right) -> bool {
        (&self.holder, &self.statement, &self.part) == (&right.holder, &right.statement, &right.part)
    }
}

impl std::fmt::Display for UnusedRight {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}, {}: {}", self.holder, self.statement, self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_needs_a_reason() {
        let with = |reason: &str| {
            Exceptions::parse(&format!(
                "[[unreached]]\nfunction = 'f'\noperation = 's3:A'\nreason = '{reason}'"
            ))
        };
        assert!(with("it is only for people").is_ok());
        assert!(with("").unwrap_err().to_string().contains("f: s3:A has no reason"));
        assert!(Exceptions::parse("[[rights]]\n").is_err());
        let right = "[[right]]\nholder = 'R'\nstatement = 'S'\npart = 'action a:b'\nreason = 'why not'";
        assert!(Exceptions::parse(right).unwrap_err().to_string().contains("R, S: action a:b"));
    }
}
