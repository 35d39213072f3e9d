//! The commands that the documentation tells people to type.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Programs whose commands people type. A block of code that begins with one of them is a block of commands.
const PROGRAMS: [&str; 18] = [
    "aws",
    "aws-encryption-cli",
    "cargo",
    "cd",
    "curl",
    "export",
    "git",
    "mypy",
    "node",
    "npm",
    "npx",
    "pip",
    "python3",
    "rustup",
    "sam",
    "sed",
    "sh",
    "sudo",
];

/// Every command of every page that people read, without its comment, and the places where it stands.
///
/// # Errors
/// When a page cannot be read.
pub fn commands(root: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for page in pages(root)? {
        let text = fs::read_to_string(root.join(&page)).with_context(|| format!("cannot read {page}"))?;
        for (line, command) in commands_of(&text) {
            found.entry(command).or_default().push(format!("{page}:{line}"));
        }
    }
    Ok(found)
}

/// Every command of one page, in the order in which people type them.
///
/// # Errors
/// When the page cannot be read.
pub fn commands_of_page(page: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    Ok(commands_of(&text).into_iter().map(|(_, command)| command).collect())
}

/// What pages say of our own commands in passing: `cargo orderbus …` within a sentence.
///
/// # Errors
/// When a page cannot be read.
pub fn mentions(root: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for page in pages(root)? {
        let text = fs::read_to_string(root.join(&page)).with_context(|| format!("cannot read {page}"))?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !is_code(line)) {
            let spans = line.split('`').skip(1).step_by(2);
            for span in spans.filter(|span| span.starts_with("cargo orderbus ")) {
                found.entry(span.to_owned()).or_default().push(format!("{page}:{}", index + 1));
            }
        }
    }
    Ok(found)
}

/// The pages for people, by their path in the repository.
fn pages(root: &Path) -> Result<Vec<String>> {
    let mut pages = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    let mut folders: Vec<PathBuf> = vec!["docs".into(), "docs/events".into()];
    for example in fs::read_dir(root.join("examples")).context("cannot read examples")? {
        folders.push(Path::new("examples").join(example?.file_name()));
    }
    for folder in folders {
        for entry in
            fs::read_dir(root.join(&folder)).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let name = folder.join(entry?.file_name());
            if name.extension().is_some_and(|extension| extension == "md") {
                pages.push(name.to_string_lossy().into_owned());
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The commands of a page in Markdown, with the numbers of their lines: blocks that are indented by four, or between fences.
fn commands_of(page: &str) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut is_fenced = false;
    // Of the block that the line is in: whether it holds commands.
    let mut block = None;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
            block = None;
            continue;
        }
        if !is_fenced && !is_code(line) {
            block = None;
            continue;
        }
        let line = without_comment(line.trim());
        if !*block.get_or_insert_with(|| is_command(line)) || line.is_empty() {
            continue;
        }
        match commands
            .last_mut()
            .and_then(|(_, last)| last.strip_suffix(" \\").map(str::to_owned).zip(Some(last)))
        {
            Some((begun, last)) => *last = format!("{begun} {line}"),
            None => commands.push((index + 1, line.to_owned())),
        }
    }
    commands
}

/// A program with its arguments, or variables that are set for the next one.
fn is_command(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    PROGRAMS.contains(&word)
        || word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && is_name(name))
}

fn is_code(line: &str) -> bool {
    line.starts_with("    ") && !line.trim_start().starts_with("- ")
}

fn without_comment(line: &str) -> &str {
    line.split(" #").next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_commands_are_told_from_pictures_and_samples() {
        let page = "\
Text with `cargo orderbus local`.

    cargo orderbus local     # all of it
    unknown --flag '{\"a\": 1}'

    storefront ── POST /orders ─▶ order-api
    cargo is no command here

- a list
    - of lists

```sh
npm ci
```

```json
{\"a\": 1}
```

    A=b; C=d
    curl \"$A\" \\
      --silent     # on two lines
";
        let commands = commands_of(page);
        let expected = [
            (3, "cargo orderbus local"),
            (4, "unknown --flag '{\"a\": 1}'"),
            (13, "npm ci"),
            (20, "A=b; C=d"),
            (21, "curl \"$A\" --silent"),
        ];
        let commands: Vec<(usize, &str)> =
            commands.iter().map(|(line, command)| (*line, command.as_str())).collect();
        assert_eq!(commands, expected);
    }
}
