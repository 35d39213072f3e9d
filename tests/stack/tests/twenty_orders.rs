//! What a newcomer sees first.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use orderbus::{Progress, play, report};
use stack_tests::TestStack;

#[test]
fn twenty_orders_end_as_declared() {
    let stack = TestStack::deploy(&[]).unwrap();
    let progress = Progress::new(|line| eprintln!("{line}"));
    let outcome = play::twenty_orders(stack.local().stack(), stack.api(), &progress).unwrap();
    assert_eq!(outcome.orders.len(), 20);
    assert!(outcome.is_as_declared(), "{}", report::render(&outcome));
}
