//! What the continuous integration looks at: every crash, every moment of a cancellation, and a fixed number of seeds.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use memory::Fault;
use simulation::{
    Budget, Case, Fallen, Lie, OUTAGES, Plan, Schedule, SmallWorld, Topology, Wrong, every_cancellation,
    every_crash, interleavings, run, search,
};

const SEEDS: u64 = 2_000;
/// Of each small world.
const STATES: usize = 1_500;

/// Every port operation of every function. Before each of them and after each of them the function is gone once in the history
/// of an order of every way that makes it; a call that is new in a function belongs here, and in one of those histories.
const CRASHED: [(&str, &[&str]); 9] = [
    (
        "dlq-reprocessor",
        &[
            "memory:Alert",
            "memory:Backlog",
            "memory:Count",
            "memory:Delete",
            "memory:KeepQuarantined",
            "memory:NoteAnnounced",
            "memory:NoteHidden",
            "memory:Postpone",
            "memory:Publish",
            "memory:QuarantineRecord",
            "memory:Receive",
            "memory:Redrive",
        ],
    ),
    ("event-archiver", &["memory:WriteOnce"]),
    (
        "inventory-updater",
        &[
            "memory:BarStock",
            "memory:CloseStock",
            "memory:FindReservation",
            "memory:Postpone",
            "memory:Publish",
            "memory:Quarantine",
            "memory:RejectStock",
            "memory:ReserveStock",
        ],
    ),
    ("order-api", &["memory:CallOrderOff", "memory:OpenOrder", "memory:Publish"]),
    (
        "order-placed",
        &[
            "memory:Postpone",
            "memory:Publish",
            "memory:Quarantine",
            "memory:RegisterOrder",
            "memory:SettleOrder",
        ],
    ),
    ("order-tracker", &["memory:AddFact", "memory:Postpone", "memory:Quarantine"]),
    (
        "payment-callback",
        &[
            "memory:FindOrder",
            "memory:Postpone",
            "memory:Publish",
            "memory:Quarantine",
            "memory:TaskFailure",
            "memory:TaskSuccess",
        ],
    ),
    ("payment-provider", &["memory:Postpone", "memory:Publish"]),
    (
        "shipping-notifier",
        &[
            "memory:BarShipment",
            "memory:CloseShipment",
            "memory:FindShipment",
            "memory:Postpone",
            "memory:Publish",
            "memory:Quarantine",
            "memory:ScheduleShipment",
            "memory:Tell",
        ],
    ),
];

/// The operations that no simulated function makes: a request that changes nothing, people who count stock before the first
/// order, and people who look into the queues and into quarantine, and release, who try again when they get no answer. And
/// those of event-gateway, lake-api and lake-compactor, which have no part in the order process; their own tests let each of
/// them go wrong.
const MADE_BY_OTHERS: [&str; 19] = [
    "memory:AdmitEvent",
    "memory:NotePublished",
    "memory:Depth",
    "memory:ReadOwnFacts",
    "memory:FindSignature",
    "memory:ReadOutsideFacts",
    "memory:CountStock",
    "memory:ReadStock",
    "memory:AllRecords",
    "memory:FindQuarantined",
    "memory:FindRecord",
    "memory:NoteReleased",
    "memory:QuarantinedIds",
    "memory:StartQuery",
    "memory:LookUpQuery",
    "memory:ReadRows",
    "memory:ListObjects",
    "memory:ReadObject",
    "memory:RemoveObjects",
];

fn told(Fallen { case, failure }: &Fallen) -> String {
    let again = format!("cargo orderbus sim {case}");
    format!("{}\n{}\n{again}", failure.trace.join("\n"), failure.what.join("\n"))
}

#[test]
fn every_call_of_every_function_may_go_wrong_in_every_way() {
    let topology = Arc::new(Topology::of_the_templates());
    let (covered, fallen) = every_crash(&topology, 2);
    if let Some(fallen) = fallen {
        panic!("{}", told(&fallen));
    }
    let crashed: BTreeMap<&str, Vec<&str>> = covered
        .points
        .iter()
        .map(|(function, operations)| (*function, operations.keys().copied().collect()))
        .collect();
    let expected: BTreeMap<&str, Vec<&str>> =
        CRASHED.iter().map(|(function, operations)| (*function, operations.to_vec())).collect();
    assert_eq!(crashed, expected);
    for (operation, faults) in covered.points.values().flatten() {
        assert_eq!(*faults, BTreeSet::from(Fault::ALL), "{operation}");
    }
}

#[test]
fn no_operation_of_a_port_is_left_out() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/memory/src");
    let mut operations = BTreeSet::new();
    for file in fs::read_dir(sources).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let named = text.split("\"memory:").skip(1).filter_map(|rest| rest.split('"').next());
        operations.extend(named.map(|name| format!("memory:{name}")));
    }
    let crashed = CRASHED.iter().flat_map(|(_, operations)| operations.iter().copied());
    let known: BTreeSet<String> = crashed.chain(MADE_BY_OTHERS).map(str::to_owned).collect();
    assert_eq!(operations, known);
    assert!(OUTAGES.iter().all(|operation| known.contains(*operation)), "what is down is called by nobody");
}

#[test]
fn an_order_may_be_called_off_at_every_moment() {
    let topology = Arc::new(Topology::of_the_templates());
    let (covered, fallen) = every_cancellation(&topology, 2);
    if let Some(fallen) = fallen {
        panic!("{}", told(&fallen));
    }
    assert!(covered.moments > 500, "{}", covered.moments);
}

#[test]
fn a_single_case_runs_alone() {
    let topology = Arc::new(Topology::of_the_templates());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    let crash = Case::Crash("shipped:api:17:reply-lost".parse().unwrap()).run(&topology, true).unwrap();
    assert_eq!(crash.faults, 1);
    assert!(!crash.trace.is_empty());
    Case::Moment("shipped:event:2:117".parse().unwrap()).run(&topology, false).unwrap();
}

#[test]
fn every_schedule_of_a_small_world_keeps_every_invariant() {
    let topology = Arc::new(Topology::of_the_templates());
    for world in SmallWorld::ALL {
        // The whole takes minutes; this is every schedule of the first choices.
        match interleavings(&topology, world, STATES, 2) {
            Ok(explored) => {
                assert!(explored.states > STATES as u64 && explored.bound.is_some(), "{explored:?}");
                assert!(explored.schedules > 1_000.0, "{explored:?}");
            }
            Err(fallen) => {
                let (schedule, failure, _) = *fallen;
                let (trace, what) = (failure.trace.join("\n"), failure.what.join("\n"));
                panic!("{trace}\n{what}\ncargo orderbus sim --schedule {schedule}")
            }
        }
    }
}

#[test]
fn a_schedule_runs_alone_and_tells_every_call() {
    let topology = Arc::new(Topology::of_the_templates());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    for world in SmallWorld::ALL {
        let trace = Schedule { world, choices: vec![1, 0, 1] }.replay(&topology).unwrap();
        let has = |text: &str| trace.iter().any(|line| line.contains(text));
        assert!(has("choice 1 of") && has("memory:RegisterOrder is answered"), "{trace:?}");
        assert_eq!(trace, Schedule { world, choices: vec![1, 0, 1] }.replay(&topology).unwrap());
    }
}

#[test]
fn every_seed_of_the_budget_keeps_every_invariant() {
    let topology = Arc::new(Topology::of_the_templates());
    match search(&topology, 0, Budget::Seeds(SEEDS), 2) {
        Ok(figures) => {
            // No function makes a call that was not made to go wrong one by one.
            for call in &figures.kinds {
                let known = CRASHED.iter().find(|(function, _)| *function == call.function);
                let is_known = known.is_some_and(|(_, operations)| operations.contains(&call.operation));
                assert!(is_known, "{call:?}");
            }
            assert!(figures.seeds == SEEDS && figures.faults > SEEDS, "{figures:?}");
            assert!(figures.redriven > 0 && figures.released > 0, "{figures:?}");
            // What never went wrong would prove nothing.
            for wrong in Wrong::ALL {
                assert!(figures.wrong.get(&wrong).is_some_and(|count| *count > SEEDS / 100), "{wrong:?}");
            }
            for lie in Lie::ALL {
                assert!(figures.lies.get(&lie).is_some_and(|count| *count > SEEDS / 100), "{lie:?}");
            }
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
        // With all that happened: where calls are only counted, two that changed places would count the same.
        let figures = || format!("{:?}", run(&topology, &plan, true).unwrap());
        assert_eq!(figures(), figures());
    }
}
