//! `cargo orderbus chaos`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use orderbus::Progress;
use stack_tests::chaos::{self, Options};

/// Sends orders through a stack of its own while functions are killed, their calls to AWS go wrong, events come twice
/// and some messages are poison; then checks that every order took effect exactly once and nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "cargo orderbus chaos", bin_name = "cargo orderbus chaos")]
struct Arguments {
    /// How many orders
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    orders: u32,
    /// How many of them are under way at once
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    in_flight: u32,
    /// Where everything random comes from; any by default. It repeats what is done, not the machine's timing
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let progress = Arc::new(Progress::new(|line| terminal::say(line)));
    let options = Options {
        orders: arguments.orders as usize,
        in_flight: arguments.in_flight as usize,
        seed: arguments.seed.unwrap_or_else(|| orderbus::now().unix_ms().unsigned_abs() % 1_000_000),
    };
    match chaos::run(options, &progress) {
        Ok(report) => {
            terminal::say(format_args!("\n{report}"));
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            terminal::complain_of(error.as_ref());
            terminal::complain(format_args!("orderbus: the run was given up (seed {})", options.seed));
            ExitCode::FAILURE
        }
    }
}
