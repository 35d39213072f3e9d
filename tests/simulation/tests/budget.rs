//! What the continuous integration looks at: every crash, every moment of a cancellation, and a fixed number of seeds.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;

use simulation::{Budget, Failure, Plan, Topology, every_cancellation, every_crash, run, search};

const SEEDS: u64 = 4_000;

fn told(what: &str, failure: &Failure) -> String {
    format!("{}\n{what}\n{}", failure.trace.join("\n"), failure.what.join("\n"))
}

#[test]
fn every_call_of_every_function_may_go_wrong_in_every_way() {
    let topology = Arc::new(Topology::of_the_templates());
    let covered =
        every_crash(&topology, 1).unwrap_or_else(|(what, failure)| panic!("{}", told(&what, &failure)));
    let functions: Vec<&str> = covered.points.keys().copied().collect();
    assert_eq!(
        functions,
        [
            "dlq-reprocessor",
            "event-archiver",
            "inventory-updater",
            "order-api",
            "order-placed",
            "order-tracker",
            "payment-callback",
            "payment-provider",
            "shipping-notifier"
        ]
    );
}

#[test]
fn an_order_may_be_called_off_at_every_moment() {
    let topology = Arc::new(Topology::of_the_templates());
    let covered = every_cancellation(&topology, 1)
        .unwrap_or_else(|(what, failure)| panic!("{}", told(&what, &failure)));
    assert!(covered.moments > 500, "{}", covered.moments);
}

#[test]
fn every_seed_of_the_budget_keeps_every_invariant() {
    let topology = Arc::new(Topology::of_the_templates());
    match search(&topology, 0, Budget::Seeds(SEEDS), 2) {
        Ok(figures) => {
            assert!(figures.seeds == SEEDS && figures.faults > SEEDS && figures.redriven > 0, "{figures:?}")
        }
        Err(found) => {
            let (plan, failure, _) = *found;
            panic!("cargo orderbus sim --seed {}\n{}", plan.seed, failure.what.join("\n"))
        }
    }
}

#[test]
fn a_seed_leads_to_the_same_run_to_the_letter() {
    let topology = Arc::new(Topology::of_the_templates());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    for seed in 0..40 {
        let plan = Plan { seed, ..Plan::default() };
        let figures = || format!("{:?}", run(&topology, &plan, false).unwrap());
        assert_eq!(figures(), figures());
    }
}
