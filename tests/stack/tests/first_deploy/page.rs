//! What `docs/first-deploy.md` says.

use std::fs;
use std::path::Path;

use stack_tests::documented;

/// The page, read.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// In the order in which people type them.
    pub(crate) commands: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Page {
    pub(crate) fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let rows = text.lines().filter(|line| line.starts_with('|'));
        let cells = |row: &str| -> Vec<String> {
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        };
        Self { commands: documented::commands_of_page(file).unwrap(), rows: rows.map(cells).collect() }
    }

    /// The questions that a command asks and the answers to them. The page has those of `sam delete` for one stack.
    pub(crate) fn questions(&self, command: &str, stack: &str) -> Vec<(String, String)> {
        if !["sam deploy", "sam delete"].contains(&command) {
            return Vec::new();
        }
        let is_deletion = command == "sam delete";
        let rows = self.rows.iter().filter(|row| row.len() == 2 && row[0].ends_with("]:`"));
        let rows = rows.filter(|row| row[0].contains("delete") == is_deletion);
        let plain = |cell: &str| cell.trim_matches('`').replace("payment-provider", stack);
        rows.map(|row| (plain(&row[0]), plain(&row[1]))).collect()
    }

    /// The lines of `parameter_overrides` that it explains, each with what it is before anybody changes it.
    pub(crate) fn choices(&self) -> Vec<(String, String)> {
        let begin = self.rows.iter().position(|row| row[0] == "Line").unwrap();
        let rows = self.rows[begin + 2..].iter().take_while(|row| row.len() == 3 && row[0].starts_with('`'));
        let first = |cell: &str| cell.split('`').nth(1).unwrap_or_default().to_owned();
        rows.map(|row| (first(&row[0]), first(&row[1]))).collect()
    }

    /// The names in the table of what can be deleted when.
    pub(crate) fn kept(&self) -> Vec<String> {
        let begin = self.rows.iter().position(|row| row[0] == "What").unwrap();
        let cells = self.rows[begin + 2..].iter().map(|row| row[0].as_str());
        let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let mut names: Vec<String> = names.filter(|name| !name.contains('=')).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }
}
