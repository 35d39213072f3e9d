//! The states of the state machines, one at a time, as AWS's `TestState` would run them: the cases of
//! `tests/template/states/NAME.json`, in JSONata's reference implementation.
//!
//! A case is `given` at the head of the file, over it what is `given` for the state, over that what stands under the JSON pointers
//! of `with`, less what `without` names. Under the pointers of `then` stands what has to come of it; see
//! `tools/orderbus/src/state_machines/test_state.js`.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};

use catalogue::StateMachine;
use orderbus::{Progress, state_machines};
use serde_json::{Map, Value, json};
use template_tests::{read, root};

/// What one state is asked, and what has to come of it.
#[derive(Debug, Clone)]
struct Case {
    state: String,
    what: String,
    test: Value,
    then: Map<String, Value>,
}

impl Case {
    /// What came otherwise.
    fn differences(&self, outcome: &Value) -> Vec<String> {
        let differs = |(pointer, expected): (&String, &Value)| {
            let found = outcome.pointer(pointer);
            (found != Some(expected)).then(|| match found {
                Some(found) => format!("{pointer} is {found}, not {expected}"),
                None => format!("{pointer} is missing in {outcome}"),
            })
        };
        self.then.iter().filter_map(differs).collect()
    }
}

/// Every state machine with its cases.
fn machines() -> Vec<(StateMachine, Vec<Case>)> {
    let machines = catalogue::state_machines(&root()).unwrap();
    assert!(!machines.is_empty());
    let with_cases = |machine: StateMachine| {
        let cases = cases(&machine.file);
        (machine, cases)
    };
    machines.into_iter().map(with_cases).collect()
}

fn cases(file: &str) -> Vec<Case> {
    let name = file.rsplit('/').next().unwrap().trim_end_matches(".asl.json");
    let table: Value = serde_json::from_str(&read(&format!("tests/template/states/{name}.json"))).unwrap();
    let mut cases = Vec::new();
    for (state, group) in table["states"].as_object().unwrap() {
        for case in group["cases"].as_array().unwrap() {
            let what = case["what"].as_str().unwrap().to_owned();
            let mut test = json!({"state": state});
            lay_over(&mut test, &table["given"]);
            lay_over(&mut test, &group["given"]);
            for (pointer, value) in case["with"].as_object().into_iter().flatten() {
                put(&mut test, pointer, Some(value.clone()));
            }
            for pointer in case["without"].as_array().into_iter().flatten() {
                let before = put(&mut test, pointer.as_str().unwrap(), None);
                assert!(before.is_some(), "{state}: {what}: there is no {pointer}");
            }
            let then = case["then"].as_object().unwrap().clone();
            cases.push(Case { state: state.clone(), what, test, then });
        }
    }
    cases
}

/// Two objects of one name become one, in which the upper fields win.
fn lay_over(test: &mut Value, given: &Value) {
    for (name, value) in given.as_object().into_iter().flatten() {
        match (test[name].as_object_mut(), value.as_object()) {
            (Some(below), Some(above)) => below.extend(above.clone()),
            _ => test[name] = value.clone(),
        }
    }
}

/// Puts a value under a JSON pointer, or takes away what is there. Returns what was there.
fn put(document: &mut Value, pointer: &str, value: Option<Value>) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("nothing is at {parent}"));
    match (parent, value) {
        (Value::Object(fields), Some(value)) => fields.insert(name.to_owned(), value),
        (Value::Object(fields), None) => fields.remove(name),
        (Value::Array(items), Some(value)) => {
            Some(std::mem::replace(&mut items[name.parse::<usize>().unwrap()], value))
        }
        (other, _) => panic!("{pointer} is in {other}"),
    }
}

/// What comes of cases, each in the state machine of that place.
fn outcomes(definitions: &[Value], cases: &[(usize, &Case)]) -> Vec<Value> {
    let test = |(machine, case): &(usize, &Case)| {
        let mut test = case.test.clone();
        test["machine"] = json!(machine);
        test
    };
    let tests: Vec<Value> = cases.iter().map(test).collect();
    let outcomes = state_machines::test_states(definitions, &tests, &Progress::new(|_| ())).unwrap();
    assert_eq!(outcomes.len(), tests.len());
    outcomes
}

fn outcomes_of(definition: &Value, cases: &[Case]) -> Vec<Value> {
    let cases: Vec<(usize, &Case)> = cases.iter().map(|case| (0, case)).collect();
    outcomes(std::slice::from_ref(definition), &cases)
}

#[test]
fn every_case_ends_as_it_says() {
    for (machine, cases) in machines() {
        let outcomes = outcomes_of(&machine.definition, &cases);
        let problems: Vec<String> = cases
            .iter()
            .zip(&outcomes)
            .flat_map(|(case, outcome)| {
                let said = move |difference| format!("{}: {}: {difference}", case.state, case.what);
                case.differences(outcome).into_iter().map(said)
            })
            .collect();
        assert!(problems.is_empty(), "{}:\n{}", machine.file, problems.join("\n"));
    }
}

/// Every way out of every state: its name, and what decides for it in the words of `test_state.js`.
fn ways(definition: &Value) -> BTreeSet<(String, String)> {
    let numbered = |state: &Value, field: &str| -> Vec<String> {
        list(state, field).enumerate().map(|(index, _)| format!("{field}/{index}")).collect()
    };
    let ways_out = |(name, state): (&String, &Value)| {
        let mut ways = match state["Type"].as_str().unwrap() {
            "Succeed" => vec!["End".to_owned()],
            "Choice" => numbered(state, "Choices"),
            _ => vec!["Next".to_owned()],
        };
        ways.extend(state.get("Default").map(|_| "Default".to_owned()));
        ways.extend(numbered(state, "Catch"));
        // A retrier without attempts is there to keep its errors from the next one.
        let retriers = list(state, "Retry").zip(numbered(state, "Retry"));
        ways.extend(retriers.filter(|(retrier, _)| retrier["MaxAttempts"] != 0).map(|(_, way)| way));
        ways.into_iter().map(|way| (name.clone(), way)).collect::<Vec<_>>()
    };
    definition["States"].as_object().unwrap().iter().flat_map(ways_out).collect()
}

fn list<'a>(state: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    state[field].as_array().into_iter().flatten()
}

/// The ways that no case goes.
fn without_a_case(definition: &Value, cases: &[Case]) -> Vec<(String, String)> {
    let outcomes = outcomes_of(definition, cases);
    let gone: BTreeSet<(String, String)> = cases
        .iter()
        .zip(&outcomes)
        .filter_map(|(case, outcome)| Some((case.state.clone(), outcome["by"].as_str()?.to_owned())))
        .collect();
    ways(definition).difference(&gone).cloned().collect()
}

#[test]
fn every_way_out_of_every_state_has_a_case() {
    for (machine, cases) in machines() {
        let missing = without_a_case(&machine.definition, &cases);
        assert!(missing.is_empty(), "{}: no case goes these ways: {missing:?}", machine.file);
    }
}

#[test]
fn a_state_without_a_case_is_named() {
    for (machine, cases) in machines() {
        let mut grown = machine.definition.clone();
        grown["States"]["Added"] = json!({"Type": "Choice", "Choices": [{}], "Default": "Added"});
        let added = ["Choices/0", "Default"].map(|by| ("Added".to_owned(), by.to_owned()));
        assert_eq!(without_a_case(&grown, &cases), added);

        let (first, _) = ways(&machine.definition).pop_first().unwrap();
        let others: Vec<Case> = cases.into_iter().filter(|case| case.state != first).collect();
        let missing = without_a_case(&machine.definition, &others);
        assert!(!missing.is_empty() && missing.iter().all(|(state, _)| *state == first), "{missing:?}");
    }
}

/// A state machine of which one value is another.
struct Mutant {
    state: String,
    place: String,
    value: Value,
    definition: Value,
}

/// Changes every value that a case can tell: in expressions, in texts and numbers beside them, in the ways out.
fn mutants(definition: &Value) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (name, state) in definition["States"].as_object().unwrap() {
        let mut places = Vec::new();
        walk(state, String::new(), &mut places);
        for (place, before) in places {
            for value in changes(before) {
                let mut changed = state.clone();
                *changed.pointer_mut(&place).unwrap() = value.clone();
                let definition = json!({"States": {name: changed}});
                mutants.push(Mutant { state: name.clone(), place: place.clone(), value, definition });
            }
        }
    }
    mutants
}

/// Every value that is no list and no object, with its JSON pointer.
fn walk<'a>(value: &'a Value, pointer: String, found: &mut Vec<(String, &'a Value)>) {
    /// What a state does over time, and what it calls, no case can tell.
    const UNTOLD: [&str; 8] = [
        "Comment",
        "Type",
        "Resource",
        "TimeoutSeconds",
        "IntervalSeconds",
        "MaxDelaySeconds",
        "BackoffRate",
        "JitterStrategy",
    ];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !UNTOLD.contains(&name.as_str())) {
                walk(value, format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| walk(item, format!("{pointer}/{index}"), found));
        }
        _ => found.push((pointer, value)),
    }
}

fn changes(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(value) => vec![json!(value.as_i64().unwrap() + 1)],
        Value::String(text) if text.starts_with("{%") => changed_expressions(text),
        Value::String(text) => vec![json!(format!("{text}~"))],
        _ => Vec::new(),
    }
}

fn changed_expressions(expression: &str) -> Vec<Value> {
    const OPERATORS: [(&str, &str); 12] = [
        (" and ", " or "),
        (" = ", " != "),
        (" >= ", " > "),
        (" > ", " >= "),
        (" - ", " + "),
        (" + ", " - "),
        (" * ", " + "),
        (" & ", " = "),
        (" ? ", " or true ? "),
        (" ? ", " and false ? "),
        ("$exists(", "$not($exists)("),
        ("$min(", "$max("),
    ];
    let mut changed: Vec<String> = ["{% 'changed' %}", "{% true %}", "{% false %}"].map(str::to_owned).into();
    for (operator, other) in OPERATORS {
        let with_other = |(at, _): (usize, &str)| {
            format!("{}{other}{}", &expression[..at], &expression[at + operator.len()..])
        };
        changed.extend(expression.match_indices(operator).map(with_other));
    }
    // A number one larger, a text, a field or a variable with another name.
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    for (at, letter) in expression.char_indices() {
        let rest = &expression[at..];
        let before = expression[..at].chars().next_back().unwrap_or_default();
        if letter.is_ascii_digit() && !before.is_ascii_digit() {
            let digits = &rest[..rest.find(|letter: char| !letter.is_ascii_digit()).unwrap()];
            let larger = digits.parse::<u64>().unwrap() + 1;
            changed.push(format!("{}{larger}{}", &expression[..at], &rest[digits.len()..]));
        }
        if letter == '.' || letter == '$' {
            let end = at + 1 + rest[1..].find(|letter: char| !is_word(letter)).unwrap();
            changed.push(format!("{}_{}", &expression[..end], &expression[end..]));
        }
        if letter == '\'' {
            changed.push(format!("{}~{}", &expression[..=at], &expression[at + 1..]));
        }
    }
    changed.into_iter().map(Value::String).collect()
}

/// The first case of a state tells most changes, so the others see only what is left.
#[test]
fn every_small_change_of_a_state_fails_one_of_its_cases() {
    for (machine, cases) in machines() {
        let mut left = mutants(&machine.definition);
        assert!(left.len() > 500, "{} changes alone", left.len());
        let is_first =
            |case: &Case| cases.iter().find(|other| other.state == case.state).unwrap().what == case.what;
        for first in [true, false] {
            let definitions: Vec<Value> = left.iter().map(|mutant| mutant.definition.clone()).collect();
            let tried: Vec<(usize, &Case)> = left
                .iter()
                .enumerate()
                .flat_map(|(index, mutant)| cases.iter().map(move |case| (index, mutant, case)))
                .filter(|(_, mutant, case)| mutant.state == case.state && is_first(case) == first)
                .map(|(index, _, case)| (index, case))
                .collect();
            let outcomes = outcomes(&definitions, &tried);
            let failed: BTreeSet<usize> = tried
                .iter()
                .zip(&outcomes)
                .filter(|((_, case), outcome)| !case.differences(outcome).is_empty())
                .map(|((index, _), _)| *index)
                .collect();
            let is_left = |(index, _): &(usize, Mutant)| !failed.contains(index);
            left = left.into_iter().enumerate().filter(is_left).map(|(_, mutant)| mutant).collect();
        }
        let told: Vec<String> = left
            .iter()
            .map(|mutant| format!("{}{} = {}", mutant.state, mutant.place, mutant.value))
            .collect();
        assert!(told.is_empty(), "no case of {} tells these:\n{}", machine.file, told.join("\n"));
    }
}

#[test]
fn what_a_state_publishes_can_be_read() {
    let mut published = 0;
    for (machine, cases) in machines() {
        for (case, outcome) in cases.iter().zip(outcomes_of(&machine.definition, &cases)) {
            for entry in outcome["arguments"]["Entries"].as_array().into_iter().flatten() {
                let event = json!({
                    "source": entry["Source"],
                    "detail-type": entry["DetailType"],
                    "account": "111122223333",
                    "detail": entry["Detail"],
                });
                let read = contracts::decode(&event.to_string(), Some("111122223333"));
                read.unwrap_or_else(|error| panic!("{}: {}: {error}: {event}", case.state, case.what));
                published += 1;
            }
        }
    }
    assert!(published > 10, "{published} events alone");
}

/// What is known on the way to a state: which variables are assigned, and which of them are true or false for certain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Known {
    assigned: BTreeSet<String>,
    truths: BTreeMap<String, bool>,
}

impl Known {
    /// After what an object with `Assign` assigns.
    fn after(&self, assigning: &Value) -> Self {
        let mut known = self.clone();
        for (name, value) in assigning["Assign"].as_object().into_iter().flatten() {
            known.assigned.insert(name.clone());
            match value.as_bool() {
                Some(truth) => known.truths.insert(name.clone(), truth),
                None => known.truths.remove(name),
            };
        }
        known
    }

    /// Whether a condition that is nothing but a variable can be this.
    fn allows(&self, condition: &Value, truth: bool) -> bool {
        let text = condition.as_str().unwrap().trim_matches(['{', '%', '}', ' ']);
        let known = text.strip_prefix('$').and_then(|name| self.truths.get(name));
        known.is_none_or(|known| *known == truth)
    }
}

/// The variables that a value reads.
fn variables(value: &Value) -> BTreeSet<String> {
    let text = value.to_string();
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = |(at, _): (usize, &str)| {
        let rest = &text[at + 1..];
        let (name, after) = rest.split_at(rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len()));
        // What is called is a function.
        (name != "states" && !after.starts_with('(')).then(|| name.to_owned())
    };
    text.match_indices('$').filter_map(name).collect()
}

/// Which state reads which variable that one way to it has not assigned.
fn read_too_early(definition: &Value) -> BTreeSet<(String, String)> {
    let mut early = BTreeSet::new();
    let start = definition["StartAt"].as_str().unwrap().to_owned();
    let mut open = vec![(start, Known::default())];
    let mut seen = BTreeSet::new();
    while let Some((name, known)) = open.pop() {
        if !seen.insert((name.clone(), known.clone())) {
            continue;
        }
        let state = &definition["States"][&name];
        let mut reads = |value: &Value| {
            let unknown = variables(value).into_iter().filter(|variable| !known.assigned.contains(variable));
            early.extend(unknown.map(|variable| (name.clone(), variable)));
        };
        let mut to = |assigning: &Value, next: &Value| {
            open.extend(next.as_str().map(|next| (next.to_owned(), known.after(assigning))));
        };
        ["Arguments", "Seconds"].iter().for_each(|field| reads(&state[field]));
        let mut may_go_on = true;
        for rule in list(state, "Choices") {
            reads(&rule["Condition"]);
            if may_go_on && known.allows(&rule["Condition"], true) {
                reads(&rule["Assign"]);
                to(rule, &rule["Next"]);
            }
            may_go_on &= known.allows(&rule["Condition"], false);
        }
        if may_go_on {
            ["Assign", "Output"].iter().for_each(|field| reads(&state[field]));
            to(state, &state["Next"]);
            to(state, &state["Default"]);
        }
        for catcher in list(state, "Catch") {
            reads(catcher);
            to(catcher, &catcher["Next"]);
        }
    }
    early
}

#[test]
fn no_state_reads_a_variable_that_a_way_to_it_has_not_assigned() {
    for (machine, _) in machines() {
        assert_eq!(read_too_early(&machine.definition), BTreeSet::new(), "{}", machine.file);
    }
    let mut checkout = machines().swap_remove(0).0.definition;
    let timed_out = checkout.pointer_mut("/States/RequestPayment/Catch/1/Assign").unwrap();
    assert_eq!(timed_out.as_object_mut().unwrap().remove("captured"), Some(json!(false)));
    let early = [("IsMoneyToReturn", "captured"), ("RequestRefund", "capture")];
    let early = early.map(|(state, variable)| (state.to_owned(), variable.to_owned()));
    assert_eq!(read_too_early(&checkout), BTreeSet::from(early));
}
