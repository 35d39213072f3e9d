//! The figures of a run and its verdict, for people.

use std::fmt::{self, Write};

use super::invariants::Invariant;

/// The most that is told of one invariant that fell.
const EXAMPLES_MAX: usize = 20;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Where everything random came from.
    pub seed: u64,
    /// What was done and what was found: a name and a number, in groups.
    pub figures: Vec<Vec<(String, String)>>,
    /// What must be so.
    pub invariants: Vec<Invariant>,
}

impl Report {
    /// Whether everything is so.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.invariants.iter().all(Invariant::holds)
    }

    /// A figure by its name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&str> {
        let mut all = self.figures.iter().flatten();
        all.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A figure that is a count; 0 where there is none.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.figure(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariants = self.invariants.iter().map(|invariant| {
            let held = invariant.asked.saturating_sub(invariant.fallen.len());
            (invariant.name.to_owned(), format!("{held} of {}", invariant.asked))
        });
        let mut groups = self.figures.clone();
        groups.push(invariants.collect());
        let names = groups.iter().flatten().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let values =
            groups.iter().flatten().map(|(_, value)| value.chars().count()).max().unwrap_or_default();
        for invariant in self.invariants.iter().filter(|invariant| !invariant.holds()) {
            writeln!(f, "FALLEN: {}", invariant.name)?;
            for problem in invariant.fallen.iter().take(EXAMPLES_MAX) {
                writeln!(f, "  {problem}")?;
            }
            if invariant.fallen.len() > EXAMPLES_MAX {
                writeln!(f, "  and {} more", invariant.fallen.len() - EXAMPLES_MAX)?;
            }
            f.write_char('\n')?;
        }
        for group in groups {
            for (name, value) in group {
                writeln!(f, "{name:<names$}  {value:>values$}")?;
            }
            f.write_char('\n')?;
        }
        let fallen = self.invariants.iter().filter(|invariant| !invariant.holds()).count();
        if fallen == 0 {
            write!(f, "every invariant holds (seed {})", self.seed)
        } else {
            write!(f, "{fallen} of {} invariants fell (seed {})", self.invariants.len(), self.seed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fallen: &[&str]) -> Report {
        let fallen = fallen.iter().map(|text| (*text).to_owned()).collect();
        Report {
            seed: 7,
            figures: vec![vec![("orders".to_owned(), "10".to_owned())]],
            invariants: vec![Invariant { name: "stock is conserved", asked: 3, fallen }],
        }
    }

    #[test]
    fn the_last_lines_are_the_figures_and_the_verdict() {
        let text = report(&[]).to_string();
        assert!(text.ends_with("every invariant holds (seed 7)"), "{text}");
        assert!(text.contains("orders                  10\n"), "{text}");
        assert!(text.contains("stock is conserved  3 of 3\n"), "{text}");
    }

    #[test]
    fn what_fell_is_told() {
        let fallen = report(&["MUG: 3 are missing"]);
        let text = fallen.to_string();
        assert!(!fallen.holds());
        assert!(text.starts_with("FALLEN: stock is conserved\n  MUG: 3 are missing\n"), "{text}");
        assert!(text.ends_with("1 of 1 invariants fell (seed 7)"), "{text}");
    }
}
