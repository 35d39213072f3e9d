use serde_json::{Map, Value};

/// Lines end here where they can.
const WIDTH: usize = 110;

/// How people read a schema. What is not listed comes after, by the alphabet.
const ORDER: [&str; 36] = [
    "asyncapi",
    "AWSTemplateFormatVersion",
    "$schema",
    "$id",
    "id",
    "$ref",
    "name",
    "title",
    "version",
    "description",
    "summary",
    "address",
    "x-pii",
    "type",
    "const",
    "enum",
    "format",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
    "anyOf",
    "examples",
    "required",
    "properties",
    "definitions",
    "$defs",
    "info",
    "channels",
    "operations",
    "components",
    "Resources",
];

/// JSON as people read it: a schema's keywords in the order of their weight, a property that must be there before one
/// that may, short lists on one line.
#[must_use]
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let members = in_order(members);
            braces(['{', '}'], indent, text, members.len(), |index, text| {
                let (name, member, required) = members[index];
                text.push_str(&Value::from(name).to_string());
                text.push_str(": ");
                match (name, member) {
                    ("properties", Value::Object(properties)) => {
                        write_properties(properties, required, indent + 1, text);
                    }
                    _ => write(member, indent + 1, text),
                }
            });
        }
        Value::Array(items)
            if items.iter().any(|item| item.is_object() || item.is_array()) || is_long(value, indent) =>
        {
            braces(['[', ']'], indent, text, items.len(), |index, text| {
                write(&items[index], indent + 1, text)
            });
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            text.push_str(&format!("[{}]", items.join(", ")));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_properties(
    properties: &Map<String, Value>,
    required: Option<&Value>,
    indent: usize,
    text: &mut String,
) {
    let members = property_order(properties, required);
    if members.is_empty() {
        text.push_str("{}");
        return;
    }
    braces(['{', '}'], indent, text, members.len(), |index, text| {
        text.push_str(&Value::from(members[index]).to_string());
        text.push_str(": ");
        write(&properties[members[index]], indent + 1, text);
    });
}

/// The names of the properties, those that must be there first, and in the order in which they are listed.
pub(crate) fn property_order<'a>(
    properties: &'a Map<String, Value>,
    required: Option<&'a Value>,
) -> Vec<&'a str> {
    let required = required.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut names: Vec<&str> = required.filter(|name| properties.contains_key(*name)).collect();
    let optional: Vec<&str> =
        properties.keys().map(String::as_str).filter(|name| !names.contains(name)).collect();
    names.extend(optional);
    names
}

fn in_order(members: &Map<String, Value>) -> Vec<(&str, &Value, Option<&Value>)> {
    let rank = |name: &str| ORDER.iter().position(|one| *one == name).unwrap_or(ORDER.len());
    let required = members.get("required");
    let mut members: Vec<_> =
        members.iter().map(|(name, member)| (name.as_str(), member, required)).collect();
    members.sort_by_key(|(name, ..)| rank(name));
    members
}

fn braces(
    [open, close]: [char; 2],
    indent: usize,
    text: &mut String,
    count: usize,
    mut member: impl FnMut(usize, &mut String),
) {
    text.push(open);
    for index in 0..count {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(indent + 1));
        member(index, text);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(indent));
    text.push(close);
}

fn is_long(value: &Value, indent: usize) -> bool {
    value.to_string().len() + 2 * indent + 20 > WIDTH
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_printed_is_the_same_value_with_what_matters_first() {
        let value = json!({
            "properties": {"a": {"type": "string"}, "type": {"minimum": 1, "type": "integer"}},
            "required": ["type"],
            "type": "object",
            "empty": {}, "none": [], "list": [1, "two", null], "nested": [{"a": []}],
        });
        let text = print(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        let places: Vec<_> = ["\"type\": \"object\"", "\"required\": [\"type\"]", "\"type\": {", "\"a\": {"]
            .map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}")))
            .to_vec();
        assert!(places.is_sorted(), "{text}");
    }
}
