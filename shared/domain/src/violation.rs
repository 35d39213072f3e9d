use std::fmt;

/// One rule that one field of an order breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: a path such as `lines[2].quantity`.
    pub field: String,
    /// Which rule, for programs: `out_of_range`, `duplicate_sku`, …
    pub code: &'static str,
    /// What to do, for people. Never repeats the value, which may be personal.
    pub message: String,
}

/// Every rule that an input breaks: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// All of them, in the order of the fields.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// Gives the list away.
    #[must_use]
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", violation.field, violation.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Collects violations while a draft is read, so that a caller learns of all of them at once.
#[derive(Default)]
pub(crate) struct Findings(Vec<Violation>);

impl Findings {
    pub(crate) fn add(&mut self, field: impl Into<String>, code: &'static str, message: impl fmt::Display) {
        self.0.push(Violation { field: field.into(), code, message: message.to_string() });
    }

    /// The value, or a note of why there is none.
    pub(crate) fn keep<T, E: fmt::Display>(
        &mut self,
        field: impl Into<String>,
        code: &'static str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, code, error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_violations(self) -> Violations {
        Violations(self.0)
    }
}
