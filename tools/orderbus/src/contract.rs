//! `orderbus contracts`: what is made of the contracts, and what may change in them.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::{Progress, repository};

/// What to do with the contracts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write all that is made of the contracts: schemas, registry, AsyncAPI, the catalogue of events
    Write,
}

/// Does it.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(command: Command, progress: &Progress) -> Result<ExitCode> {
    let root = repository::root();
    match command {
        Command::Write => {
            let written = catalogue::write(&root)?;
            written.iter().for_each(|name| progress.say(name));
            progress.say(format_args!("{} files were out of date", written.len()));
            Ok(ExitCode::SUCCESS)
        }
    }
}
