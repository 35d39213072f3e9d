//! `cargo orderbus bench`: measures and prints. It asserts nothing about time, which is the machine's.

mod lake_bench;
mod orders;
mod process;

use clap::Parser;

/// Measures parts of Orderbus on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus bench")]
enum Arguments {
    /// The archiver: from the messages of the queue to the object for S3, on one core.
    Lake(lake_bench::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Lake(arguments) => lake_bench::run(&arguments),
    }
}
