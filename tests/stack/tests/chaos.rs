//! The reduced form of `cargo orderbus chaos`.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;

use orderbus::Progress;
use stack_tests::chaos::{self, Options};

#[test]
fn eighty_mistreated_orders_take_effect_once_and_lose_nothing() {
    let progress = Arc::new(Progress::new(|line| eprintln!("{line}")));
    let report = chaos::run(Options { orders: 80, in_flight: 20, seed: 4711 }, &progress).unwrap();
    println!("{report}");
    assert!(report.holds());
    // A run in which nothing went wrong would prove nothing.
    for name in [
        "duplicates put on the bus",
        "duplicates put in a queue",
        "orders posted twice",
        "objects in quarantine",
        "ops.event-quarantined.v1, distinct",
        "messages told in alerts",
        "redrives by the ledger",
        "calls throttled",
        "calls carried out, reply lost",
        "calls carried out in part",
        "processes killed",
        "requests sent again",
    ] {
        assert!(report.count(name) > 0, "{name}");
    }
    assert!(report.count("functions killed") > 3);
    assert_eq!(report.count("poison sent"), 3, "three orders of a hundred, rounded up");
    let told_again = report.count("duplicates put on the bus") + report.count("duplicates put in a queue");
    let percent = 100 * told_again / report.count("events published, distinct");
    assert!((5..=15).contains(&percent), "a tenth of the events comes twice, not {percent} of a hundred");
    // Every queue was looked at, of the backbone and of the payment provider: also those that are for what went wrong.
    assert!(report.count("  dead-letter queues") > 6 && report.count("  quarantine queues") == 2);
}
