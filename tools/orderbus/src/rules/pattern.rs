//! Event patterns as EventBridge documents them, read so that a mismatch can be explained.
//!
//! EventBridge says whether an event matches and never why not, and so do the matchers that others maintain. Here every
//! condition that fails is told. `tests/stack/patterns.json` holds this reading to the one of a running bus.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What a rule lets through.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Node);

/// A condition that an event does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, such as `detail.data.total.currency`.
    pub path: String,
    /// What the pattern wants there.
    pub wanted: String,
    /// What the event has there.
    pub found: String,
    /// Of `$or`: what fails in each of the alternatives.
    pub alternatives: Vec<Vec<Mismatch>>,
}

/// Fields that must all match, and `$or`s of each of which one alternative must.
#[derive(Debug, Clone, PartialEq, Default)]
struct Node {
    fields: Vec<(String, Field)>,
    ors: Vec<Vec<Node>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    /// One of them must hold.
    Leaf(Vec<Test>),
    Object(Node),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Exists(bool),
    Value(ValueTest),
    AnythingBut(Vec<ValueTest>),
}

/// What is asked of one value.
#[derive(Debug, Clone, PartialEq)]
enum ValueTest {
    Equals(Value),
    EqualsIgnoreCase(String),
    Prefix { text: String, ignore_case: bool },
    Suffix { text: String, ignore_case: bool },
    Wildcard(String),
    Numeric(Vec<(String, f64)>),
    Cidr { text: String, address: IpAddr, bits: u32 },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When EventBridge would refuse it; or when one field is wanted both inside and outside of a `$or`, of which
    /// EventBridge only looks at what is written last.
    pub fn parse(pattern: &Value) -> Result<Self> {
        let node = Node::parse(pattern, "")?;
        node.claim("", &BTreeSet::new())?;
        Ok(Self(node))
    }

    /// What of an event, as the bus delivers it, does not match. Nothing when it matches.
    #[must_use]
    pub fn mismatches(&self, event: &Value) -> Vec<Mismatch> {
        self.0.mismatches(event.as_object(), "")
    }

    /// Why the bus may answer otherwise than [`Pattern::mismatches`]: the numbers under `numeric`, of the pattern and of the
    /// event, that are outside of what AWS documents.
    #[must_use]
    pub fn doubts(&self, event: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.0.doubts(event.as_object(), "", &mut found);
        found
    }
}

/// AWS documents `numeric` for -5.0e9 to 5.0e9 with six digits to the right of the decimal point.
const NUMERIC_MAX: f64 = 5.0e9;
const NUMERIC_DECIMALS_MAX: usize = 6;

fn is_documented(number: f64) -> bool {
    let text = number.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    number.abs() <= NUMERIC_MAX && decimals <= NUMERIC_DECIMALS_MAX
}

impl Node {
    fn parse(pattern: &Value, path: &str) -> Result<Self> {
        let object = pattern.as_object().with_context(|| format!("{}: must be an object", name(path)))?;
        ensure!(!object.is_empty(), "{}: must not be empty", name(path));
        let mut node = Self::default();
        for (key, wanted) in object {
            if key == "$or" {
                node.ors.push(alternatives(wanted, path)?);
                continue;
            }
            // EventBridge joins names by dots, so that `{"a.b": …}` is `{"a": {"b": …}}`.
            let mut keys = key.rsplit('.');
            let last = keys.next().unwrap_or_default().to_owned();
            let mut field = (last, Field::parse(wanted, &join(path, key))?);
            for key in keys {
                field = (key.to_owned(), Field::Object(Self { fields: vec![field], ors: vec![] }));
            }
            node.fields.push(field);
        }
        Ok(node)
    }

    /// Every leaf below, unless one is wanted twice.
    fn claim(&self, path: &str, taken: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let mut own = BTreeSet::new();
        let with = |own: &BTreeSet<String>| taken.union(own).cloned().collect::<BTreeSet<_>>();
        for (key, field) in &self.fields {
            let path = join(path, key);
            match field {
                Field::Leaf(_) => {
                    let is_new = !taken.contains(&path) && own.insert(path.clone());
                    ensure!(is_new, "{path}: is wanted twice, of which EventBridge looks at one only");
                }
                Field::Object(node) => own.extend(node.claim(&path, &with(&own))?),
            }
        }
        for or in &self.ors {
            let before = with(&own);
            for alternative in or {
                own.extend(alternative.claim(path, &before)?);
            }
        }
        Ok(own)
    }

    fn doubts(&self, event: Option<&Map<String, Value>>, path: &str, found: &mut Vec<String>) {
        for (key, field) in &self.fields {
            let (value, path) = (event.and_then(|event| event.get(key)), join(path, key));
            match field {
                Field::Leaf(tests) => found.extend(leaf_doubts(tests, value, &path)),
                Field::Object(node) => {
                    for (object, path) in objects(value, path) {
                        node.doubts(object, &path, found);
                    }
                }
            }
        }
        self.ors.iter().flatten().for_each(|node| node.doubts(event, path, found));
    }

    fn mismatches(&self, event: Option<&Map<String, Value>>, path: &str) -> Vec<Mismatch> {
        let mut all = Vec::new();
        for (key, field) in &self.fields {
            let (value, path) = (event.and_then(|event| event.get(key)), join(path, key));
            match field {
                Field::Leaf(tests) => all.extend(leaf_mismatch(tests, value, path)),
                // Several fields must match in one and the same element of an array.
                Field::Object(node) => all.extend(closest(objects(value, path.clone()), |(object, path)| {
                    node.mismatches(object, &path)
                })),
            }
        }
        for or in &self.ors {
            let alternatives: Vec<_> = or.iter().map(|node| node.mismatches(event, path)).collect();
            if alternatives.iter().all(|mismatches| !mismatches.is_empty()) {
                all.push(Mismatch {
                    path: join(path, "$or"),
                    wanted: format!("one of {} alternatives", alternatives.len()),
                    found: "none".to_owned(),
                    alternatives,
                });
            }
        }
        all
    }
}

fn alternatives(wanted: &Value, path: &str) -> Result<Vec<Node>> {
    let path = join(path, "$or");
    let list = wanted.as_array().filter(|list| !list.is_empty());
    let list = list.with_context(|| format!("{path}: must be a list of patterns"))?;
    list.iter().map(|alternative| Node::parse(alternative, &path)).collect()
}

impl Field {
    fn parse(wanted: &Value, path: &str) -> Result<Self> {
        match wanted {
            Value::Object(_) => Ok(Self::Object(Node::parse(wanted, path)?)),
            Value::Array(tests) => {
                ensure!(!tests.is_empty(), "{path}: the list must not be empty");
                let tests = tests.iter().map(Test::parse).collect::<Result<_>>();
                Ok(Self::Leaf(tests.with_context(|| path.to_owned())?))
            }
            _ => bail!("{path}: must be a list of what may stand there, or an object"),
        }
    }
}

impl Test {
    fn parse(test: &Value) -> Result<Self> {
        if test.is_array() {
            bail!("a list in a list");
        }
        let Some((operator, operand)) = only_entry(test)? else {
            return Ok(Self::Value(ValueTest::Equals(test.clone())));
        };
        match operator {
            "exists" => Ok(Self::Exists(operand.as_bool().context("exists: must be true or false")?)),
            "anything-but" => Ok(Self::AnythingBut(anything_but(operand)?)),
            _ => Ok(Self::Value(ValueTest::parse(operator, operand)?)),
        }
    }

    /// `scalars` is every value that the field offers: several of an array, none of an object.
    fn holds(&self, scalars: &[&Value]) -> bool {
        match self {
            Self::Exists(wanted) => *wanted != scalars.is_empty(),
            Self::Value(test) => scalars.iter().any(|scalar| test.holds(scalar)),
            Self::AnythingBut(tests) => {
                scalars.iter().any(|scalar| !tests.iter().any(|test| test.holds(scalar)))
            }
        }
    }
}

fn anything_but(operand: &Value) -> Result<Vec<ValueTest>> {
    if let Some((operator, operand)) = only_entry(operand)? {
        let known = ["prefix", "suffix", "equals-ignore-case", "wildcard"];
        ensure!(known.contains(&operator), "anything-but: {operator} cannot stand in it");
        let texts = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
        ensure!(!texts.is_empty(), "anything-but: the list must not be empty");
        ensure!(
            texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty())),
            "anything-but: {operator} must be a text or a list of texts"
        );
        return texts.iter().map(|text| ValueTest::parse(operator, text)).collect();
    }
    let values = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
    let is_of_one_kind = values.iter().all(Value::is_string) || values.iter().all(Value::is_number);
    ensure!(!values.is_empty() && is_of_one_kind, "anything-but: must be texts only or numbers only");
    Ok(values.iter().cloned().map(ValueTest::Equals).collect())
}

impl ValueTest {
    fn parse(operator: &str, operand: &Value) -> Result<Self> {
        let text =
            || operand.as_str().map(str::to_owned).with_context(|| format!("{operator}: must be a text"));
        Ok(match operator {
            "prefix" | "suffix" => {
                let (text, ignore_case) = match only_entry(operand)? {
                    Some(("equals-ignore-case", Value::String(text))) => (text.clone(), true),
                    Some(_) => bail!("{operator}: must be a text, or a text under equals-ignore-case"),
                    None => (text()?, false),
                };
                if operator == "prefix" {
                    Self::Prefix { text, ignore_case }
                } else {
                    Self::Suffix { text, ignore_case }
                }
            }
            "equals-ignore-case" => Self::EqualsIgnoreCase(text()?),
            "wildcard" => {
                let text = text()?;
                wildcard(&text)?;
                Self::Wildcard(text)
            }
            "numeric" => Self::Numeric(numeric(operand)?),
            "cidr" => {
                let text = text()?;
                let (address, bits) = cidr(&text).with_context(|| format!("cidr: {text} is not a block"))?;
                Self::Cidr { text, address, bits }
            }
            _ => bail!("{operator}: EventBridge knows no such comparison"),
        })
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            // The numbers 300 and 300.0 differ, as they do in EventBridge, which compares what is written.
            (Self::Equals(wanted), _) => wanted == value,
            (Self::EqualsIgnoreCase(wanted), Value::String(text)) => {
                reached(&letters(text), &letters(wanted)).contains(&letters(text).len())
            }
            (Self::Prefix { text: wanted, ignore_case: false }, Value::String(text)) => {
                text.starts_with(wanted)
            }
            (Self::Suffix { text: wanted, ignore_case: false }, Value::String(text)) => {
                text.ends_with(wanted)
            }
            (Self::Prefix { text: wanted, .. }, Value::String(text)) => {
                !reached(&letters(text), &letters(wanted)).is_empty()
            }
            (Self::Suffix { text: wanted, .. }, Value::String(text)) => {
                let backwards = |text: &str| letters(text).into_iter().rev().collect::<Vec<_>>();
                !reached(&backwards(text), &backwards(wanted)).is_empty()
            }
            (Self::Wildcard(wanted), Value::String(text)) => {
                wildcard(wanted).is_ok_and(|wanted| is_like(&letters(text), &wanted))
            }
            (Self::Numeric(comparisons), Value::Number(number)) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                comparisons.iter().all(|(operator, bound)| compare(number, operator, *bound))
            }
            (Self::Cidr { address, bits, .. }, Value::String(text)) => {
                text.parse().is_ok_and(|found| network(found, *bits) == network(*address, *bits))
            }
            _ => false,
        }
    }
}

/// The operator and its operand; `None` for what is no object.
fn only_entry(value: &Value) -> Result<Option<(&str, &Value)>> {
    let Some(object) = value.as_object() else { return Ok(None) };
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((operator, operand)), None) => Ok(Some((operator, operand))),
        _ => bail!("a comparison has exactly one operator"),
    }
}

/// `[">", 0]` or `[">", 0, "<=", 5]`: one comparison, or a lower bound and then an upper one.
fn numeric(operand: &Value) -> Result<Vec<(String, f64)>> {
    let parts = operand.as_array().context("numeric: must be a list")?;
    let comparisons: Vec<(String, f64)> = parts
        .chunks(2)
        .map(|pair| match pair {
            [Value::String(operator), Value::Number(bound)] => {
                Ok((operator.clone(), bound.as_f64().context("numeric: the number is too large")?))
            }
            _ => bail!("numeric: must be operators, each followed by a number"),
        })
        .collect::<Result<_>>()?;
    let operators: Vec<&str> = comparisons.iter().map(|(operator, _)| operator.as_str()).collect();
    match operators[..] {
        ["=" | "<" | "<=" | ">" | ">="] => {}
        [">" | ">=", "<" | "<="] => {
            ensure!(comparisons[0].1 < comparisons[1].1, "numeric: the lower bound must be the lower one");
        }
        _ => bail!("numeric: must be one of = < <= > >=, or a lower bound followed by an upper one"),
    }
    Ok(comparisons)
}

#[expect(clippy::float_cmp, reason = "EventBridge compares exactly, too")]
fn compare(number: f64, operator: &str, bound: f64) -> bool {
    match operator {
        "=" => number == bound,
        "<" => number < bound,
        "<=" => number <= bound,
        ">" => number > bound,
        _ => number >= bound,
    }
}

fn cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    (bits < if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

/// The first bits of an address, left-aligned, and of which family it is.
fn network(address: IpAddr, bits: u32) -> (bool, u128) {
    let (is_v4, aligned) = match address {
        IpAddr::V4(address) => (true, u128::from(u32::from(address)) << 96),
        IpAddr::V6(address) => (false, u128::from(address)),
    };
    (is_v4, if bits == 0 { 0 } else { aligned >> (128 - bits) })
}

/// The characters of a wildcard; `None` stands for any number of any.
fn wildcard(text: &str) -> Result<Vec<Option<char>>> {
    let mut tokens = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => {
                ensure!(tokens.last() != Some(&None), "wildcard: two asterisks in a row");
                tokens.push(None);
            }
            '\\' => match letters.next() {
                Some(escaped @ ('*' | '\\')) => tokens.push(Some(escaped)),
                _ => bail!("wildcard: a backslash stands before an asterisk or a backslash only"),
            },
            other => tokens.push(Some(other)),
        }
    }
    Ok(tokens)
}

/// Goes back to the last asterisk, which takes one character more, wherever the rest does not fit.
fn is_like(text: &[char], wanted: &[Option<char>]) -> bool {
    let (mut at, mut token) = (0, 0);
    let mut asterisk = None;
    while at < text.len() {
        match wanted.get(token) {
            Some(None) => {
                asterisk = Some((at, token));
                token += 1;
            }
            Some(Some(letter)) if *letter == text[at] => (at, token) = (at + 1, token + 1),
            _ => match &mut asterisk {
                Some((from, asterisk)) => {
                    *from += 1;
                    (at, token) = (*from, *asterisk + 1);
                }
                None => return false,
            },
        }
    }
    wanted[token..].iter().all(Option::is_none)
}

fn letters(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// How far into the text the wanted letters get, each of them in either case. There can be several answers, because the
/// upper case of one letter may be two (ß, SS).
fn reached(text: &[char], wanted: &[char]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([0]);
    for letter in wanted {
        let cases: [Vec<char>; 2] = [letter.to_lowercase().collect(), letter.to_uppercase().collect()];
        let next = |from: &usize| {
            let rest = text.get(*from..).unwrap_or_default();
            let cases = cases.iter().filter(|case| rest.starts_with(case));
            cases.map(|case| from + case.len()).collect::<Vec<_>>()
        };
        reached = reached.iter().flat_map(next).collect();
    }
    reached
}

fn leaf_mismatch(tests: &[Test], value: Option<&Value>, path: String) -> Option<Mismatch> {
    let mut scalars = Vec::new();
    flatten(value, &mut scalars);
    if tests.iter().any(|test| test.holds(&scalars)) {
        return None;
    }
    let wanted = tests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let found = match (value, &scalars[..]) {
        (None, _) => "nothing".to_owned(),
        (Some(Value::Object(_)), _) => "an object".to_owned(),
        (Some(_), []) => "an empty list".to_owned(),
        (Some(_), scalars) => scalars.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    Some(Mismatch { path, wanted, found, alternatives: vec![] })
}

fn leaf_doubts(tests: &[Test], value: Option<&Value>, path: &str) -> Vec<String> {
    let bounds = tests.iter().filter_map(|test| match test {
        Test::Value(ValueTest::Numeric(comparisons)) => Some(comparisons.iter().map(|(_, bound)| *bound)),
        _ => None,
    });
    let mut numbers: Vec<f64> = bounds.flatten().collect();
    if !numbers.is_empty() {
        let mut scalars = Vec::new();
        flatten(value, &mut scalars);
        numbers.extend(scalars.into_iter().filter_map(Value::as_f64));
    }
    let is_doubtful = |number: &f64| !is_documented(*number);
    let doubt = |number: f64| {
        format!(
            "{path}: {number} is outside of what AWS documents for numeric, -5.0e9 to 5.0e9 with at most \
             {NUMERIC_DECIMALS_MAX} decimals: the bus may answer otherwise"
        )
    };
    numbers.into_iter().filter(is_doubtful).map(doubt).collect()
}

/// The values of a field: of an array each of its elements.
fn flatten<'a>(value: Option<&'a Value>, scalars: &mut Vec<&'a Value>) {
    match value {
        Some(Value::Array(elements)) => elements.iter().for_each(|element| flatten(Some(element), scalars)),
        None | Some(Value::Object(_)) => {}
        Some(scalar) => scalars.push(scalar),
    }
}

/// The objects of a field with their paths: of an array each of its elements, and nothing where there is none.
fn objects(value: Option<&Value>, path: String) -> Vec<(Option<&Map<String, Value>>, String)> {
    fn collect<'a>(
        value: &'a Value,
        path: String,
        objects: &mut Vec<(Option<&'a Map<String, Value>>, String)>,
    ) {
        match value {
            Value::Object(object) => objects.push((Some(object), path)),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    collect(element, format!("{path}[{index}]"), objects);
                }
            }
            _ => {}
        }
    }
    let mut objects = Vec::new();
    if let Some(value) = value {
        collect(value, path.clone(), &mut objects);
    }
    if objects.is_empty() {
        objects.push((None, path));
    }
    objects
}

/// Of several candidates the one that fails least.
fn closest<T>(candidates: Vec<T>, mismatches: impl Fn(T) -> Vec<Mismatch>) -> Vec<Mismatch> {
    candidates.into_iter().map(mismatches).min_by_key(Vec::len).unwrap_or_default()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn name(path: &str) -> &str {
    if path.is_empty() { "the pattern" } else { path }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(true) => f.write_str("anything"),
            Self::Exists(false) => f.write_str("nothing"),
            Self::Value(test) => test.fmt(f),
            Self::AnythingBut(tests) => {
                let tests: Vec<String> = tests.iter().map(ToString::to_string).collect();
                write!(f, "anything but {}", tests.join(", "))
            }
        }
    }
}

impl fmt::Display for ValueTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = |ignore_case: &bool| if *ignore_case { ", in any case" } else { "" };
        match self {
            Self::Equals(value) => value.fmt(f),
            Self::EqualsIgnoreCase(text) => write!(f, "{text:?}, in any case"),
            Self::Prefix { text, ignore_case } => write!(f, "{text:?} in front{}", case(ignore_case)),
            Self::Suffix { text, ignore_case } => write!(f, "{text:?} at the end{}", case(ignore_case)),
            Self::Wildcard(text) => write!(f, "like {text:?}"),
            Self::Numeric(comparisons) => {
                let comparisons: Vec<String> =
                    comparisons.iter().map(|(operator, bound)| format!("{operator} {bound}")).collect();
                f.write_str(&comparisons.join(" and "))
            }
            Self::Cidr { text, .. } => write!(f, "an address of {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use quamina::Quamina;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    /// A line of `tests/stack/patterns.json`, which a test there puts to a running bus.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        what: String,
        pattern: Value,
        event: Value,
        matches: bool,
        /// What the bus says where it differs.
        #[serde(default, rename = "bus")]
        _bus: Option<bool>,
        /// Why the matcher of another maker is not asked or not heard.
        quamina: Option<String>,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("../../../../tests/stack/patterns.json")).unwrap()
    }

    #[test]
    fn every_case_comes_out_as_documented() {
        for case in cases() {
            let mismatches = Pattern::parse(&case.pattern).unwrap().mismatches(&case.event);
            assert_eq!(mismatches.is_empty(), case.matches, "{}: {mismatches:?}", case.what);
        }
    }

    #[test]
    fn another_matcher_agrees_or_it_is_written_down_why_not() {
        let mut wrong = Vec::new();
        for case in cases() {
            let mut quamina = Quamina::new();
            let added = quamina.add_pattern("p", &case.pattern.to_string());
            let answer = added.and_then(|()| quamina.matches_for_event(case.event.to_string().as_bytes()));
            let agrees = answer.as_ref().is_ok_and(|found| found.is_empty() != case.matches);
            if agrees == case.quamina.is_some() {
                wrong.push(format!("{}: {answer:?}", case.what));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn mismatches(pattern: &Value, event: &Value) -> Vec<(String, String, String)> {
        let all = Pattern::parse(pattern).unwrap().mismatches(event);
        all.into_iter().map(|one| (one.path, one.wanted, one.found)).collect()
    }

    fn triple(path: &str, wanted: &str, found: &str) -> (String, String, String) {
        (path.to_owned(), wanted.to_owned(), found.to_owned())
    }

    #[test]
    fn every_condition_that_fails_is_told() {
        let pattern = json!({
            "source": ["orders"],
            "detail-type": [{"prefix": "orders."}, "payments.payment-captured.v1"],
            "detail": {"data": {"total": {"amountMinor": [{"numeric": [">", 10, "<=", 20]}], "currency": [{"anything-but": ["EUR", "CHF"]}]}, "note": [{"exists": true}]}},
        });
        let event = json!({
            "source": "orders", "detail-type": "inventory.stock-low.v1",
            "detail": {"data": {"total": {"amountMinor": 25, "currency": "EUR"}}},
        });
        assert_eq!(
            mismatches(&pattern, &event),
            [
                triple("detail.data.note", "anything", "nothing"),
                triple("detail.data.total.amountMinor", "> 10 and <= 20", "25"),
                triple("detail.data.total.currency", "anything but \"EUR\", \"CHF\"", "\"EUR\""),
                triple(
                    "detail-type",
                    "\"orders.\" in front or \"payments.payment-captured.v1\"",
                    "\"inventory.stock-low.v1\""
                ),
            ]
        );
    }

    #[test]
    fn of_an_array_the_element_that_comes_closest_is_told_of() {
        let pattern = json!({"lines": {"sku": ["TEA"], "quantity": [2]}});
        let event = json!({"lines": [{"sku": "MUG", "quantity": 1}, {"sku": "TEA", "quantity": 1}]});
        assert_eq!(mismatches(&pattern, &event), [triple("lines[1].quantity", "2", "1")]);
    }

    #[test]
    fn of_alternatives_each_is_told_of() {
        let pattern = Pattern::parse(&json!({"$or": [{"a": [1]}, {"b": [2], "c": [3]}]})).unwrap();
        let told = pattern.mismatches(&json!({"a": 2, "b": 2}));
        assert_eq!(told.len(), 1);
        let paths: Vec<Vec<&str>> = told[0]
            .alternatives
            .iter()
            .map(|alternative| alternative.iter().map(|one| one.path.as_str()).collect())
            .collect();
        assert_eq!(paths, [["a"], ["c"]]);
    }

    #[test]
    fn every_number_beyond_what_is_documented_is_doubted() {
        let doubts = |pattern: Value, event: Value| Pattern::parse(&pattern).unwrap().doubts(&event).len();
        let above = |bound: Value| json!({"a": [{"numeric": [">", bound]}]});
        assert_eq!(doubts(above(json!(1)), json!({"a": [5.0e9, -5.0e9, 0.123_456]})), 0);
        assert_eq!(
            doubts(above(json!(1)), json!({"a": [5_000_000_001_i64, -5.1e9, 0.123_456_7, 1e-7, 2]})),
            4
        );
        assert_eq!(doubts(above(json!(6.0e9)), json!({})), 1);
        assert_eq!(
            doubts(json!({"a": [7_500_000_000_i64]}), json!({"a": 7_500_000_000_i64})),
            0,
            "no numeric"
        );
        let nested = json!({"$or": [{"b": {"c": [{"numeric": ["=", 1]}]}}, {"d": [1]}]});
        assert_eq!(doubts(nested, json!({"b": [{"c": 1e10}, {"c": 1}, {"c": -1e10}]})), 2);
    }

    #[test]
    fn what_eventbridge_refuses_is_refused_with_its_place() {
        for (pattern, said) in [
            (json!({}), "the pattern: must not be empty"),
            (json!([]), "the pattern: must be an object"),
            (json!({"a": {}}), "a: must not be empty"),
            (json!({"a": []}), "a: the list must not be empty"),
            (json!({"a": {"b": "text"}}), "a.b: must be a list of what may stand there, or an object"),
            (json!({"a": [["b"]]}), "a: a list in a list"),
            (json!({"a": [{"starts-with": "b"}]}), "a: starts-with: EventBridge knows no such comparison"),
            (json!({"a": [{"prefix": "b", "suffix": "c"}]}), "a: a comparison has exactly one operator"),
            (json!({"a": [{"prefix": 1}]}), "a: prefix: must be a text"),
            (json!({"a": [{"exists": "yes"}]}), "a: exists: must be true or false"),
            (
                json!({"a": [{"anything-but": ["b", 1]}]}),
                "a: anything-but: must be texts only or numbers only",
            ),
            (json!({"a": [{"anything-but": []}]}), "a: anything-but: must be texts only or numbers only"),
            (
                json!({"a": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}),
                "a: anything-but: cidr cannot stand in it",
            ),
            (
                json!({"a": [{"numeric": []}]}),
                "a: numeric: must be one of = < <= > >=, or a lower bound followed by an upper one",
            ),
            (
                json!({"a": [{"numeric": ["<", 5, ">", 1]}]}),
                "a: numeric: must be one of = < <= > >=, or a lower bound followed by an upper one",
            ),
            (
                json!({"a": [{"numeric": [">", 5, "<", 5]}]}),
                "a: numeric: the lower bound must be the lower one",
            ),
            (
                json!({"a": [{"numeric": [">", "5"]}]}),
                "a: numeric: must be operators, each followed by a number",
            ),
            (json!({"a": [{"wildcard": "b**"}]}), "a: wildcard: two asterisks in a row"),
            (json!({"a": [{"cidr": "10.0.0.1"}]}), "a: cidr: 10.0.0.1 is not a block"),
            (json!({"a": [{"cidr": "10.0.0.0/32"}]}), "a: cidr: 10.0.0.0/32 is not a block"),
            (
                json!({"$or": [{"a": [1]}, {"b": [2]}], "a": [3]}),
                "a: is wanted twice, of which EventBridge looks at one only",
            ),
        ] {
            let error = Pattern::parse(&pattern).unwrap_err();
            let told: Vec<String> = error.chain().map(ToString::to_string).collect();
            assert_eq!(told.join(": "), said, "{pattern}");
        }
    }
}
