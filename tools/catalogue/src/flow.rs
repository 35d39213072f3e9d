//! Who sends each event, and who listens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use contracts::EventType;

use crate::template::{Listener, listeners};

/// Who sends and who listens, by type.
#[derive(Debug, Default)]
pub struct Flow {
    /// The names of the senders.
    pub senders: BTreeMap<EventType, BTreeSet<String>>,
    /// The rules of the listeners.
    pub listeners: BTreeMap<EventType, Vec<Listener>>,
}

impl Flow {
    /// Senders from the data sheet at the head of each function, and from the state machine; listeners from the templates.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut flow = Self::default();
        for folder in ["functions", "examples"] {
            for entry in fs::read_dir(root.join(folder)).with_context(|| format!("cannot read {folder}"))? {
                let entry = entry?;
                let Ok(text) = fs::read_to_string(entry.path().join("src/lib.rs")) else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                let rows = text.lines().filter(|line| line.starts_with("//! | Emits |"));
                rows.for_each(|row| flow.add_senders(&name, row.split('`')));
            }
        }
        let checkout = fs::read_to_string(root.join("statemachines/checkout.asl.json"))
            .context("cannot read the state machine")?;
        let published = checkout.lines().filter(|line| line.contains("\"DetailType\""));
        published.for_each(|line| flow.add_senders("checkout", line.split('"')));

        let all = listeners(root)?;
        for event_type in EventType::ALL {
            for listener in &all {
                if listener.hears(event_type.source(), event_type.as_str())? {
                    flow.listeners.entry(*event_type).or_default().push(listener.clone());
                }
            }
        }
        Ok(flow)
    }

    fn add_senders<'a>(&mut self, name: &str, words: impl Iterator<Item = &'a str>) {
        for event_type in words.filter_map(EventType::parse) {
            self.senders.entry(event_type).or_default().insert(name.to_owned());
        }
    }

    /// The names of those who send it; empty when only the outside does.
    #[must_use]
    pub fn senders_of(&self, event_type: EventType) -> Vec<&str> {
        self.senders.get(&event_type).into_iter().flatten().map(String::as_str).collect()
    }

    /// Those who listen to it.
    #[must_use]
    pub fn listeners_of(&self, event_type: EventType) -> &[Listener] {
        self.listeners.get(&event_type).map(Vec::as_slice).unwrap_or_default()
    }
}
