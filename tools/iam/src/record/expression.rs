//! As much of DynamoDB's expressions as the adapters write: conditions, and `SET` and `REMOVE` of updates
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>).

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// An item: attribute names and typed values.
pub(crate) type Item = Map<String, Value>;

/// The names and values that expressions of a request stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'r> {
    /// The request, or the part of a transaction.
    pub(crate) request: &'r Value,
}

impl Scope<'_> {
    fn name<'n>(&'n self, text: &'n str) -> &'n str {
        self.request["ExpressionAttributeNames"][text].as_str().unwrap_or(text)
    }

    /// What an operand is worth for an item: `:value`, `attribute`, a sum, `if_not_exists(attribute, :value)`.
    fn value(&self, item: &Item, operand: &str) -> Result<Option<Value>> {
        let operand = operand.trim();
        if let Some(arguments) =
            operand.strip_prefix("if_not_exists(").and_then(|rest| rest.strip_suffix(')'))
        {
            let (name, otherwise) = arguments.split_once(',').context("if_not_exists of one argument")?;
            return match item.get(self.name(name.trim())) {
                Some(value) => Ok(Some(value.clone())),
                None => self.value(item, otherwise),
            };
        }
        for (sign, factor) in [(" + ", 1), (" - ", -1)] {
            if let Some((left, right)) = operand.split_once(sign) {
                let number = |side| -> Result<i64> {
                    let value = self.value(item, side)?.context("a sum with what is not there")?;
                    value["N"].as_str().and_then(|digits| digits.parse().ok()).context("a sum with no number")
                };
                return Ok(Some(json!({"N": (number(left)? + factor * number(right)?).to_string()})));
            }
        }
        if operand.starts_with(':') {
            let value = self.request["ExpressionAttributeValues"].get(operand);
            return value.cloned().map(Some).with_context(|| format!("no value {operand}"));
        }
        Ok(item.get(self.name(operand)).cloned())
    }

    /// Carries out an update.
    pub(crate) fn update(&self, item: &mut Item, expression: &str) -> Result<()> {
        let (set, remove) = expression.split_once("REMOVE ").unwrap_or((expression, ""));
        let set = set.trim();
        let before = item.clone();
        for assignment in split(set.strip_prefix("SET ").unwrap_or(set)) {
            let (name, operand) =
                assignment.split_once('=').with_context(|| format!("{assignment:?} assigns nothing"))?;
            let value = self.value(&before, operand)?.with_context(|| format!("{operand} has no value"))?;
            item.insert(self.name(name.trim()).to_owned(), value);
        }
        for name in split(remove) {
            item.remove(self.name(name));
        }
        Ok(())
    }

    /// Whether a condition holds for an item.
    pub(crate) fn holds(&self, item: &Item, condition: &str) -> Result<bool> {
        let tokens = tokens(condition);
        let mut parser = Parser { scope: self, item, tokens: &tokens, at: 0 };
        let holds = parser.any()?;
        ensure!(parser.at == tokens.len(), "{condition:?} is not understood from {:?}", &tokens[parser.at..]);
        Ok(holds)
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        let is_operator = "()=<>,".contains(character);
        if (is_operator || character.is_whitespace()) && !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        match (tokens.last_mut(), character) {
            (Some(last), '=' | '>') if last == "<" || (last == ">" && character == '=') => {
                last.push(character)
            }
            _ if is_operator => tokens.push(character.to_string()),
            _ if character.is_whitespace() => {}
            _ => word.push(character),
        }
    }
    tokens
}

struct Parser<'p> {
    scope: &'p Scope<'p>,
    item: &'p Item,
    tokens: &'p [String],
    at: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<bool> {
        let mut holds = self.all()?;
        while self.take("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    fn all(&mut self) -> Result<bool> {
        let mut holds = self.one()?;
        while self.take("AND") {
            holds &= self.one()?;
        }
        Ok(holds)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("NOT") {
            return Ok(!self.one()?);
        }
        if self.take("(") {
            let holds = self.any()?;
            self.expect(")")?;
            return Ok(holds);
        }
        let word = self.next()?;
        match word.as_str() {
            "attribute_exists" | "attribute_not_exists" => {
                self.expect("(")?;
                let name = self.next()?;
                self.expect(")")?;
                Ok(self.item.contains_key(self.scope.name(&name)) == (word == "attribute_exists"))
            }
            "begins_with" => {
                self.expect("(")?;
                let text = self.operand()?;
                self.expect(",")?;
                let prefix = self.operand()?;
                self.expect(")")?;
                Ok(text.zip(prefix).is_some_and(|(text, prefix)| {
                    let (text, prefix) = (text["S"].as_str(), prefix["S"].as_str());
                    text.zip(prefix).is_some_and(|(text, prefix)| text.starts_with(prefix))
                }))
            }
            _ => {
                let left = self.scope.value(self.item, &word)?;
                self.compare(left.as_ref())
            }
        }
    }

    fn compare(&mut self, left: Option<&Value>) -> Result<bool> {
        let operator = self.next()?;
        if operator == "IN" {
            self.expect("(")?;
            let mut is_in = false;
            loop {
                is_in |= self.operand()?.as_ref() == left;
                if !self.take(",") {
                    self.expect(")")?;
                    return Ok(is_in);
                }
            }
        }
        let right = self.operand()?;
        // What is not there is neither less nor more than anything.
        let (Some(left), Some(right)) = (left, right.as_ref()) else { return Ok(false) };
        let order = order_of(left, right);
        Ok(match operator.as_str() {
            "=" => left == right,
            "<>" => left != right,
            "<" => order.is_some_and(|order| order.is_lt()),
            "<=" => order.is_some_and(|order| order.is_le()),
            ">" => order.is_some_and(|order| order.is_gt()),
            ">=" => order.is_some_and(|order| order.is_ge()),
            _ => bail!("{operator:?} compares nothing that is understood here"),
        })
    }

    fn operand(&mut self) -> Result<Option<Value>> {
        let word = self.next()?;
        self.scope.value(self.item, &word)
    }

    fn next(&mut self) -> Result<String> {
        let token = self.tokens.get(self.at).context("a condition ends too early")?;
        self.at += 1;
        Ok(token.clone())
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|token| token == wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        ensure!(self.take(wanted), "expected {wanted:?} in {:?}", self.tokens);
        Ok(())
    }
}

fn order_of(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    let number = |value: &Value| value["N"].as_str().and_then(|digits| digits.parse::<f64>().ok());
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => Some(left["S"].as_str()?.cmp(right["S"].as_str()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        json!({
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":ten": {"N": "10"}, ":a": {"S": "a"}, ":b": {"S": "b"}},
        })
    }

    fn item() -> Item {
        let item = json!({"state": {"S": "a"}, "count": {"N": "9"}, "text": {"S": "a#1"}});
        item.as_object().unwrap().clone()
    }

    #[test]
    fn conditions_are_those_of_dynamodb() {
        let request = request();
        let holds = |condition: &str| Scope { request: &request }.holds(&item(), condition).unwrap();
        for condition in [
            "attribute_exists(count) AND attribute_not_exists(other)",
            "#state = :a",
            "count < :ten AND count >= :one",
            "other = :a OR (#state IN (:b, :a) AND NOT attribute_exists(other))",
            "begins_with(text, :a)",
            "#state <> :b",
        ] {
            assert!(holds(condition), "{condition}");
        }
        for condition in [
            "other < :ten",
            "count <= :one",
            "#state IN (:b)",
            "begins_with(count, :a)",
            "#state = :b OR count > :ten",
        ] {
            assert!(!holds(condition), "{condition}");
        }
        assert!(Scope { request: &request }.holds(&item(), "count BETWEEN :one AND :ten").is_err());
    }

    #[test]
    fn updates_are_those_of_dynamodb() {
        let (request, mut item) = (request(), item());
        let update = "SET count = count - :one, other = if_not_exists(other, :b), #state = if_not_exists(#state, :b) REMOVE text, nothing";
        Scope { request: &request }.update(&mut item, update).unwrap();
        assert_eq!(
            Value::Object(item),
            json!({"state": {"S": "a"}, "count": {"N": "8"}, "other": {"S": "b"}})
        );
    }
}
