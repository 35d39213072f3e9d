//! What is to be done about an hour: a pure function of what is there.
//!
//! The one rule: **an object may go when every output of a manifest that names it as input is held by what stays**. An
//! object holds itself; one that is gone is held when the outputs of a manifest that replaced it are. So each event
//! is held by what stays, through however many foldings, and however many of them were repeated or ran at once.

use std::collections::{BTreeMap, BTreeSet};

use ports::StoredObject;

use crate::manifest::Manifest;

/// Objects that are read one after the other: what one folding wrote, or one object by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// In the order of their rows.
    pub(crate) objects: Vec<StoredObject>,
    /// True when no event is in it twice.
    is_folded: bool,
}

impl Run {
    /// How much memory it takes to read it, about: a row group at a time, packed and unpacked.
    fn memory_bytes(&self) -> u64 {
        /// Of rows that were packed: what they were before, twice, and what they are now.
        const UNPACKED: u64 = 12;
        const MEMORY_BYTES_MAX: u64 = 32 << 20;
        let largest = self.objects.iter().map(|object| object.bytes).max().unwrap_or_default();
        largest.saturating_mul(UNPACKED).min(MEMORY_BYTES_MAX)
    }
}

/// What is to be done about an hour.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What nobody needs any more.
    pub(crate) remove: Vec<String>,
    /// What is to be folded next; nothing when the hour is folded.
    pub(crate) fold: Vec<Run>,
}

/// Plans an hour. `aged` are the manifests older than the grace period, among all `manifests`.
pub(crate) fn plan(
    objects: &[StoredObject],
    manifests: &BTreeMap<String, Manifest>,
    aged: &BTreeSet<&str>,
    merge_bytes_max: u64,
) -> Plan {
    let of_age =
        manifests.iter().filter(|(key, _)| aged.contains(key.as_str())).map(|(_, manifest)| manifest);
    let staying = stay(objects, &of_age.collect::<Vec<_>>());
    let is_gone = |object: &&StoredObject| !staying.contains(object.key.as_str());
    let remove = objects.iter().filter(is_gone).map(|object| object.key.clone()).collect();

    let all: Vec<&Manifest> = manifests.values().collect();
    let live = stay(objects, &all);
    let live: Vec<&StoredObject> =
        objects.iter().filter(|object| live.contains(object.key.as_str())).collect();
    let fold = match runs(&live, &all) {
        runs if runs.iter().all(|run| run.is_folded) && runs.len() <= 1 => vec![],
        runs => affordable(runs, merge_bytes_max),
    };
    Plan { remove, fold }
}

/// The objects that have to stay, when these manifests count. One after the other is tried, in the order of their keys, so
/// that everyone who sees the same comes to the same answer.
fn stay<'a>(objects: &'a [StoredObject], manifests: &[&'a Manifest]) -> BTreeSet<&'a str> {
    let mut replaced_by: BTreeMap<&str, Vec<&Manifest>> = BTreeMap::new();
    for &manifest in manifests {
        for input in manifest.inputs.iter().filter(|input| manifest.replaces(input)) {
            replaced_by.entry(input).or_default().push(manifest);
        }
    }
    let mut staying: BTreeSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    for object in objects {
        let key = object.key.as_str();
        staying.remove(key);
        if !is_held(key, &staying, &replaced_by, &mut vec![]) {
            staying.insert(key);
        }
    }
    staying
}

fn is_held<'a>(
    key: &'a str,
    staying: &BTreeSet<&str>,
    replaced_by: &BTreeMap<&str, Vec<&'a Manifest>>,
    asked: &mut Vec<&'a str>,
) -> bool {
    if staying.contains(key) {
        return true;
    }
    // Whoever is being asked about holds nothing: two objects do not hold one another.
    if asked.contains(&key) {
        return false;
    }
    asked.push(key);
    let manifests = replaced_by.get(key).map(Vec::as_slice).unwrap_or_default();
    let mut held_by = |manifest: &&'a Manifest| {
        manifest.outputs.iter().all(|output| is_held(output, staying, replaced_by, asked))
    };
    let is_held = manifests.iter().any(&mut held_by);
    asked.pop();
    is_held
}

/// What one folding wrote is one run; all else is a run by itself.
fn runs(live: &[&StoredObject], manifests: &[&Manifest]) -> Vec<Run> {
    let mut left: BTreeMap<&str, &StoredObject> =
        live.iter().map(|object| (object.key.as_str(), *object)).collect();
    let mut runs = Vec::new();
    for manifest in manifests {
        if !manifest.outputs.is_empty()
            && manifest.outputs.iter().all(|output| left.contains_key(output.as_str()))
        {
            let objects =
                manifest.outputs.iter().filter_map(|output| left.remove(output.as_str())).cloned().collect();
            runs.push(Run { objects, is_folded: true });
        }
    }
    runs.extend(left.into_values().map(|object| Run { objects: vec![object.clone()], is_folded: false }));
    runs
}

/// As many runs as memory is for, the small ones first, but never fewer than two: each folding makes one run of several.
fn affordable(mut runs: Vec<Run>, merge_bytes_max: u64) -> Vec<Run> {
    let bytes = |run: &Run| run.objects.iter().map(|object| object.bytes).sum::<u64>();
    runs.sort_by(|one, other| (bytes(one), &one.objects[0].key).cmp(&(bytes(other), &other.objects[0].key)));
    let mut memory_bytes = 0_u64;
    let affordable = runs.iter().take_while(|run| {
        memory_bytes = memory_bytes.saturating_add(run.memory_bytes());
        memory_bytes <= merge_bytes_max
    });
    let count = affordable.count().max(2);
    runs.truncate(count);
    runs
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    const MEMORY: u64 = 1 << 30;

    fn object(key: &str) -> StoredObject {
        StoredObject { key: key.to_owned(), bytes: 100, modified_at: Timestamp::from_unix_ms(0) }
    }

    fn objects(keys: &str) -> Vec<StoredObject> {
        keys.split_whitespace().map(object).collect()
    }

    /// Manifests from lines such as `1: a b > c`.
    fn manifests(lines: &[&str]) -> BTreeMap<String, Manifest> {
        let keys = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let manifest = |line: &&str| {
            let (name, folding) = line.split_once(": ").unwrap();
            let (inputs, outputs) = folding.split_once(" > ").unwrap();
            let manifest =
                Manifest { version: 1, inputs: keys(inputs), outputs: keys(outputs), rows: 0, copies: 0 };
            (name.to_owned(), manifest)
        };
        lines.iter().map(manifest).collect()
    }

    /// What is removed and what is folded, as text.
    fn planned(keys: &str, lines: &[&str], aged: &[&str]) -> (String, String) {
        let (objects, manifests) = (objects(keys), manifests(lines));
        let Plan { remove, fold } = plan(&objects, &manifests, &aged.iter().copied().collect(), MEMORY);
        let run =
            |run: &Run| run.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>().join("+");
        (remove.join(" "), fold.iter().map(run).collect::<Vec<_>>().join(" "))
    }

    fn expect(keys: &str, lines: &[&str], aged: &[&str], remove: &str, fold: &str) {
        assert_eq!(
            planned(keys, lines, aged),
            (remove.to_owned(), fold.to_owned()),
            "{keys} {lines:?} {aged:?}"
        );
    }

    #[test]
    fn an_hour_without_objects_needs_nothing() {
        expect("", &[], &[], "", "");
        expect("", &["1: a > b"], &["1"], "", "");
    }

    #[test]
    fn what_was_never_folded_is_folded_a_single_object_too() {
        expect("a b", &[], &[], "", "a b");
        expect("a", &[], &[], "", "a");
    }

    #[test]
    fn what_was_folded_goes_only_when_its_manifest_is_of_age() {
        expect("a b c", &["1: a b > c"], &[], "", "");
        expect("a b c", &["1: a b > c"], &["1"], "a b", "");
        expect("c", &["1: a b > c"], &["1"], "", "");
    }

    #[test]
    fn nothing_goes_for_an_output_that_is_not_there() {
        expect("a b", &["1: a b > c"], &["1"], "", "a b");
        expect("a b c", &["1: a b > c d"], &["1"], "", "a b c");
    }

    #[test]
    fn an_object_that_folds_into_itself_stays() {
        expect("a", &["1: a > a"], &["1"], "", "");
        expect("a b", &["1: a b > a"], &["1"], "b", "");
    }

    #[test]
    fn what_comes_late_is_folded_with_what_is_there() {
        expect("c z", &["1: a b > c"], &["1"], "", "c z");
        expect("c d z", &["1: a b > c d"], &["1"], "", "z c+d");
    }

    #[test]
    fn a_folded_object_that_is_delivered_again_goes_again() {
        expect("a c", &["1: a b > c"], &["1"], "a", "");
        expect("a e", &["1: a b > c", "2: c d > e"], &["1", "2"], "a", "");
    }

    #[test]
    fn what_replaced_an_object_may_have_been_replaced_itself() {
        expect("a b c d e", &["1: a b > c", "2: c d > e"], &["1", "2"], "a b c d", "");
        expect("a b c d e", &["1: a b > c", "2: c d > e"], &["1"], "a b", "");
        expect("a b e", &["1: a b > c", "2: c d > e"], &["1"], "", "");
    }

    #[test]
    fn two_who_folded_different_objects_at_once_lose_nothing() {
        let manifests = ["1: a b > p", "2: b c > q"];
        expect("a b c p q", &manifests, &["1", "2"], "a b c", "p q");
        expect("a b c p q", &manifests, &["1"], "a b", "p q");
        expect("p q r", &[manifests[0], manifests[1], "3: p q > r"], &["1", "2", "3"], "p q", "");
    }

    #[test]
    fn two_objects_do_not_hold_one_another() {
        expect("x y", &["1: x > y", "2: y > x"], &["1", "2"], "x", "");
        expect("x y z", &["1: x > y", "2: y > z", "3: z > x"], &["1", "2", "3"], "x y", "");
    }

    #[test]
    fn what_is_too_much_for_memory_is_folded_in_steps_that_come_to_an_end() {
        let mut present: Vec<StoredObject> = (0..100)
            .map(|number| StoredObject { bytes: 1 << 20, ..object(&format!("{number:03}")) })
            .collect();
        let mut written = BTreeMap::new();
        let mut steps = 0;
        loop {
            let plan = plan(&present, &written, &BTreeSet::new(), 64 << 20);
            if plan.fold.is_empty() {
                break;
            }
            assert!(plan.fold.len() >= 2);
            steps += 1;
            let mut inputs: Vec<String> =
                plan.fold.iter().flat_map(|run| &run.objects).map(|object| object.key.clone()).collect();
            inputs.sort();
            // As large as what it came of, in objects of four megabytes.
            let outputs: Vec<String> =
                (0..inputs.len().div_ceil(4)).map(|part| format!("step {steps:03} part {part:03}")).collect();
            present.extend(outputs.iter().map(|key| StoredObject { bytes: 4 << 20, ..object(key) }));
            present.sort_by(|one, other| one.key.cmp(&other.key));
            written
                .insert(format!("{steps:03}"), Manifest { version: 1, inputs, outputs, rows: 0, copies: 0 });
            assert!(steps < 100, "it does not end");
        }
        assert!(steps > 1);
    }
}
