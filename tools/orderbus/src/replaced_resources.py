"""Prints, as JSON, the resources that CloudFormation replaces or removes when the second template is deployed over the first.

A property in createOnlyProperties of a resource type's provider schema cannot be changed: CloudFormation creates another
resource and deletes the first. For conditionalCreateOnlyProperties, and where a condition has changed, it may; both count here.
Parameters that both templates have keep their value on a deployment, so they are compared by name; others have their default.
"""

import json
import sys

from cfnlint.decode.cfn_yaml import load
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from cfnlint.template.transforms._sam import Transform

REGION = "us-east-1"


def transformed(path):
    transform = Transform(path, load(path), REGION)
    if problems := transform.transform_template():
        sys.exit(f"{path}: {problems[0].message}")
    return json.loads(json.dumps(transform.template()))


def own_defaults(template, other):
    """The defaults of the parameters that the other template does not have."""
    others = other.get("Parameters", {})
    parameters = template.get("Parameters", {}).items()
    return {name: one["Default"] for name, one in parameters if name not in others and "Default" in one}


def resolved(value, defaults):
    if isinstance(value, list):
        return [resolved(one, defaults) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"} and value["Ref"] in defaults:
        return defaults[value["Ref"]]
    if value.keys() == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
        text = value["Fn::Sub"]
        for name, default in defaults.items():
            text = text.replace("${" + name + "}", str(default))
        return {"Fn::Sub": text} if "${" in text else text
    return {key: resolved(one, defaults) for key, one in value.items()}


def condition(name, template, defaults):
    """What a condition says, as far as it can be known: True, False or its expression."""

    def decided(expression):
        if not isinstance(expression, dict) or len(expression) != 1:
            return expression
        ((function, operands),) = expression.items()
        if function == "Condition":
            return condition(operands, template, defaults)
        if not isinstance(operands, list):
            return expression
        operands = [decided(operand) for operand in operands]
        if function == "Fn::Equals" and all(isinstance(one, str) for one in operands):
            return operands[0] == operands[1]
        if function == "Fn::Not" and isinstance(operands[0], bool):
            return not operands[0]
        if function in ("Fn::And", "Fn::Or"):
            idle = function == "Fn::And"
            operands = [one for one in operands if one is not idle]
            if not operands:
                return idle
            if (not idle) in operands:
                return not idle
            if len(operands) == 1:
                return operands[0]
        return {function: operands}

    return True if name is None else decided(resolved(template.get("Conditions", {}).get(name), defaults))


def at(properties, path):
    """The value at /properties/A/B. What an intrinsic function or a list has there is taken whole."""
    value = properties
    for step in path.split("/")[2:]:
        if step == "*" or not isinstance(value, dict) or any(key.startswith("Fn::") for key in value):
            return value
        value = value.get(step)
    return value


def named(value):
    """The logical ids that a value refers to."""
    if isinstance(value, list):
        return set().union(*map(named, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*(named(one) for one in value.values()))
    if isinstance(value.get("Ref"), str):
        found.add(value["Ref"])
    if attribute := value.get("Fn::GetAtt"):
        found.add(attribute[0] if isinstance(attribute, list) else attribute.split(".")[0])
    if text := value.get("Fn::Sub"):
        text = text if isinstance(text, str) else text[0]
        found.update(part.split("}")[0].split(".")[0] for part in text.split("${")[1:])
    return found


def fixed_properties(kind):
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    except Exception:
        sys.exit(f"no provider schema of {kind}: cannot tell whether it would be replaced")
    return sorted([*schema.get("createOnlyProperties", []), *schema.get("conditionalCreateOnlyProperties", [])])


def main(before_path, after_path):
    before, after = transformed(before_path), transformed(after_path)
    old_defaults, new_defaults = own_defaults(before, after), own_defaults(after, before)
    old_all, new_all = before["Resources"], after["Resources"]
    found = {}

    def note(name, change, path=None):
        text = path and path.removeprefix("/properties/").replace("/", ".")
        found[name] = {"resource": name, "type": old_all[name]["Type"], "change": change, "property": text}

    for name, old in old_all.items():
        new = new_all.get(name)
        if new is None:
            note(name, "removed")
            continue
        if new["Type"] != old["Type"]:
            note(name, "replaced", "Type")
            continue
        is_there = condition(new.get("Condition"), after, new_defaults)
        if is_there is not True and is_there != condition(old.get("Condition"), before, old_defaults):
            note(name, "removed", "Condition")
            continue
        for path in fixed_properties(old["Type"]):
            was = resolved(at(old.get("Properties", {}), path), old_defaults)
            if was != resolved(at(new.get("Properties", {}), path), new_defaults):
                note(name, "replaced", path)
                break

    # Another resource has another physical id, so whatever cannot change its reference to it is replaced as well.
    known = -1
    while known < len(found):
        known = len(found)
        for name in [name for name in new_all if name in old_all and name not in found]:
            properties = new_all[name].get("Properties", {})
            for path in fixed_properties(new_all[name]["Type"]):
                if named(at(properties, path)) & found.keys():
                    note(name, "replaced", path)
                    break
    json.dump([found[name] for name in sorted(found)], sys.stdout)


main(sys.argv[1], sys.argv[2])
