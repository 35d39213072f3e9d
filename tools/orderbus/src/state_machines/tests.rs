use super::*;

/// Changes of the checkout: what each is, its place as a JSON pointer, the JSON that is put there (nothing: what is there is
/// taken away), and words of a finding.
const MISTAKES: [(&str, &str, &str, &str); 27] = [
    ("a misspelt field of the machine", "/TimeoutSecond", "1", "not supported. At \"TimeoutSecond\""),
    ("a misspelt field of a state", "/States/ClaimOrder/Argument", "{}", "not supported. At \"Argument\""),
    ("a misspelt field of a retrier", "/States/ClaimOrder/Retry/1/MaxAttemps", "8", "At \"MaxAttemps\""),
    ("a misspelt field of a catcher", "/States/ClaimOrder/Catch/0/Outputs", "{}", "At \"Outputs\""),
    ("a misspelt field of a rule", "/States/IsRegistered/Choices/0/Asign", "{}", "At \"Asign\""),
    ("a start at no state", "/StartAt", "\"Nowhere\"", "name of an existing state. At \"StartAt\""),
    ("a way to no state", "/States/ClaimOrder/Next", "\"Nowhere\"", NO_STATE),
    ("a rule's way to no state", "/States/IsRegistered/Choices/1/Next", "\"Nowhere\"", NO_STATE),
    ("a default that is no state", "/States/IsRegistered/Default", "\"Nowhere\"", NO_STATE),
    ("a catcher's way to no state", "/States/ClaimOrder/Catch/0/Next", "\"Nowhere\"", NO_STATE),
    (
        "a state that nothing leads to",
        "/States/Lost",
        r#"{"Type": "Succeed"}"#,
        "State Lost is not reachable",
    ),
    ("no way on", "/States/ClaimOrder/Next", "", "MUST contain exactly one of \"End\", \"Next\""),
    (
        "an end that goes on",
        "/States/ClaimOrder/End",
        "true",
        "MUST contain exactly one of \"End\", \"Next\"",
    ),
    ("an unknown type", "/States/ClaimOrder/Type", "\"Tusk\"", "Value is not accepted"),
    ("an unknown query language", "/QueryLanguage", "\"JSONat\"", "Value is not accepted"),
    ("an unknown jitter", "/States/ClaimOrder/Retry/1/JitterStrategy", "\"SOME\"", "Value is not accepted"),
    ("a text for a number", "/States/ClaimOrder/Retry/1/BackoffRate", "\"2\"", "must be number"),
    ("a task that calls nothing", "/States/ClaimOrder/Resource", "", "Missing property \"Resource\""),
    ("no condition", "/States/IsMoneyToReturn/Choices/0/Condition", "", "Missing property \"Condition\""),
    ("a mere text", "/States/IsMoneyToReturn/Choices/0/Condition", "\"$captured\"", "Condition is invalid"),
    // What JSONPath alone has.
    ("parameters", "/States/ClaimOrder/Parameters", "{}", "/States/ClaimOrder is invalid"),
    ("a path for the result", "/States/ClaimOrder/ResultPath", "\"$.x\"", "/States/ClaimOrder is invalid"),
    (
        "a path for the seconds",
        "/States/WaitForRegistration/SecondsPath",
        "\"$.x\"",
        "/States/WaitForRegistration",
    ),
    (
        "a rule on a variable",
        "/States/IsMoneyToReturn/Choices/0",
        r#"{"Variable": "$.captured", "BooleanEquals": true, "Next": "RequestRefund"}"#,
        "/States/IsMoneyToReturn/Choices/0 is invalid",
    ),
    // What is no JSONata.
    (
        "half an expression",
        "/States/IsMoneyToReturn/Choices/0/Condition",
        "\"{% $captured and %}\"",
        "Condition is invalid. must match format \"jsonata_string\"",
    ),
    (
        "half an expression deep in the arguments",
        "/States/RequestRefund/Arguments/Entries/0/Detail/id",
        "\"{% 'refund:' & %}\"",
        "Detail/id is invalid",
    ),
    (
        "an operator that is newer than AWS's JSONata",
        "/States/RequestRefund/Arguments/Entries/0/Detail/id",
        "\"{% $capture.paymentId ?? 'none' %}\"",
        "Detail/id is invalid",
    ),
];
const NO_STATE: &str = "must be the name of an existing state";

fn quiet() -> Progress {
    Progress::new(|_| ())
}

fn changed(definition: &Value, place: &str, value: &str) -> Value {
    let mut definition = definition.clone();
    let (parent, name) = place.rsplit_once('/').unwrap();
    let value = (!value.is_empty()).then(|| serde_json::from_str::<Value>(value).unwrap());
    match (definition.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(name.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(name).unwrap()),
        (parent, value) => parent[name.parse::<usize>().unwrap()] = value.unwrap(),
    }
    definition
}

#[test]
fn both_validators_find_nothing_in_the_state_machines() {
    judge(&quiet()).unwrap();
}

#[test]
fn a_mistake_in_a_copy_of_the_checkout_is_found() {
    let machines = catalogue::state_machines(&repository::root()).unwrap();
    let checkout = machines.iter().find(|machine| machine.file.ends_with("checkout.asl.json")).unwrap();
    let copies = MISTAKES.map(|(_, place, value, _)| changed(&checkout.definition, place, value));
    let findings = findings(&copies, &quiet()).unwrap();
    for ((what, _, _, words), findings) in MISTAKES.iter().zip(&findings) {
        assert!(findings.iter().any(|finding| finding.contains(words)), "{what}: {findings:#?}");
    }
}
