//! Types of the events for other languages, made of the committed schemas by the generators of those languages.
//!
//! TypeScript gets interfaces. Python gets models of pydantic 2, because an event that comes from a queue has to be checked
//! before it is worked on, and dataclasses check nothing.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use catalogue::{SCHEMAS, bundle, print, read_schemas};
use serde_json::{Value, json};

use crate::node::NodePackages;
use crate::tools::{Tools, install_once};
use crate::{Progress, repository};

/// What the generators are pinned in.
const PINNED: &str = "tools/orderbus/src/types";

const TYPESCRIPT_HEADER: &str = "\
/*
 * The events of Orderbus, made by `cargo orderbus contracts types --lang ts` of events/schemas. Not to be edited.
 *
 * `OrderbusEvent`, the `detail` of what EventBridge delivers, is any of them, and `switch (event.type)` tells which.
 * Fields that are not declared here may come at any time, and are to be ignored.
 */";

const PYTHON_HEADER: &str = r#""""The events of Orderbus, made by `cargo orderbus contracts types --lang python` of events/schemas. Not to be edited.

`read_event` checks the `detail` of what EventBridge delivers and makes one of these models of it; `match` tells which:

    match read_event(json.loads(record["body"])["detail"]):
        case OrderConfirmedEvent(id=id, data=data): ...

A time is the text of the event, checked: `datetime.fromisoformat` reads it. A whole number may be written 2 or 2.0, as in
JSON Schema, and is an `int`. Unknown fields are ignored: one may come at any time. Errors do not quote what they refuse, which may name a person.
Needs pydantic 2.11 or newer, which the parser of Powertools for AWS Lambda brings along.
""""#;

/// What pydantic's own strict `int` is not: JSON Schema's `integer`.
const PYTHON_INTEGER: &str = r#"

def _integer(value: object) -> object:
    """To JSON Schema, 2.0 is the integer 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Integer = Annotated[StrictInt, BeforeValidator(_integer)]
"#;

const PYTHON_READER: &str = r#"

_READER: TypeAdapter[OrderbusEvent] = TypeAdapter(
    OrderbusEvent, config=ConfigDict(hide_input_in_errors=True)
)


def read_event(detail: object) -> OrderbusEvent:
    """The event that a CloudEvent is. Raises `pydantic.ValidationError` when it breaks its contract."""
    return _READER.validate_python(detail)
"#;

/// A language that there is a generator for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TypesLanguage {
    /// Interfaces, by json-schema-to-typescript.
    #[value(name = "ts", alias = "typescript")]
    TypeScript,
    /// Models of pydantic 2, by datamodel-code-generator.
    Python,
}

impl TypesLanguage {
    /// The file that the types are written to.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::TypeScript => "orderbus-events.ts",
            Self::Python => "orderbus_events.py",
        }
    }
}

/// The types of every event. Installs the language's generator first, when that is missing.
///
/// # Errors
/// When the generator cannot be installed, or refuses the schemas.
pub fn generate(language: TypesLanguage, progress: &Progress) -> Result<String> {
    let schemas = bundle(&read_schemas(&repository::root().join(SCHEMAS))?)?;
    match language {
        TypesLanguage::TypeScript => typescript(schemas, &typescript_tools(progress)?),
        TypesLanguage::Python => python(schemas, progress),
    }
}

/// Node, the generator, and the compiler that the tests hold its work to. Installed when they are missing.
///
/// # Errors
/// When Node or a package cannot be installed.
pub fn typescript_tools(progress: &Progress) -> Result<NodePackages> {
    const WHAT: &str = "Node and json-schema-to-typescript (90 MB)";
    NodePackages::ready("types-typescript", PINNED, "requirements-typescript.txt", WHAT, progress)
}

/// Where the packages of the Python generator are, pydantic among them. Installed when they are missing.
///
/// # Errors
/// When a package cannot be installed.
pub fn python_packages(progress: &Progress) -> Result<PathBuf> {
    let folder = repository::tools().join("types-python");
    let packages = folder.join("packages");
    let requirements = repository::root().join(PINNED).join("requirements-python.txt");
    let wanted = fs::read_to_string(&requirements).context("cannot read requirements-python.txt")?;
    install_once(&folder.with_extension("lock"), &folder.join("installed"), &wanted, || {
        progress.say("types: installing datamodel-code-generator (20 MB) into .tools");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let log = folder.join("install.log");
        Tools::ready(progress)?.install_into(&packages, &requirements, &log, progress)
    })?;
    Ok(packages)
}

fn typescript(mut schemas: Value, tools: &NodePackages) -> Result<String> {
    refer_by_all_of(&mut schemas);
    let mut generator = tools.command("json-schema-to-typescript/dist/src/cli.js");
    // What is declared is what a program may use; unknown fields are no part of it.
    generator.args(["--no-additionalProperties", "--unknownAny", "--bannerComment", TYPESCRIPT_HEADER]);
    run(&mut generator, &schemas)
}

/// A reference beside other keywords is, to the generator, another type than the one it refers to.
fn refer_by_all_of(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(refer_by_all_of),
        Value::Object(keywords) => {
            if keywords.len() > 1
                && let Some(reference @ Value::String(_)) = keywords.get("$ref").cloned()
            {
                keywords.remove("$ref");
                keywords.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            keywords.values_mut().for_each(refer_by_all_of);
        }
        _ => {}
    }
}

fn python(mut schemas: Value, progress: &Progress) -> Result<String> {
    const IGNORES: &str = "        extra=\"ignore\",\n";
    const LAST_IMPORT: &str = "from typing_extensions import TypeAliasType\n";
    const INTEGER: &str = "Annotated[StrictInt, ";
    schemas["discriminator"] = json!({"propertyName": "type"});
    let packages = python_packages(progress)?;
    leave_to_patterns(&mut schemas);
    let mut generator = Tools::ready(&Progress::new(|_| ()))?.command("python");
    generator.env("PYTHONPATH", packages).args(["-m", "datamodel_code_generator", "--ignore-pyproject"]);
    generator.args(["--input-file-type", "jsonschema", "--strict-refs", "--class-name", "OrderbusEvent"]);
    generator.args(["--output-model-type", "pydantic_v2.BaseModel", "--use-type-alias", "--use-annotated"]);
    generator.args(["--target-python-version", "3.11", "--target-pydantic-version", "2.11"]);
    generator.args([
        "--extra-fields",
        "ignore",
        "--strict-types",
        "int",
        "str",
        "--enum-field-as-literal",
        "all",
    ]);
    generator.args(["--use-schema-description", "--use-field-description", "--use-attribute-docstrings"]);
    generator.args(["--use-single-line-docstring", "--use-double-quotes", "--formatters", "builtin"]);
    generator.args(["--disable-timestamp", "--custom-file-header", PYTHON_HEADER]);
    generator.args(["--additional-imports", "pydantic.BeforeValidator,pydantic.TypeAdapter"]);
    let models = run(&mut generator, &schemas)?;
    ensure!(
        [IGNORES, LAST_IMPORT, INTEGER].iter().all(|text| models.contains(text)),
        "datamodel-code-generator writes models otherwise than it did"
    );
    let models = models
        .replace(IGNORES, &format!("{IGNORES}        hide_input_in_errors=True,\n"))
        .replace(INTEGER, "Annotated[_Integer, ")
        .replacen(LAST_IMPORT, &format!("{LAST_IMPORT}{PYTHON_INTEGER}"), 1);
    Ok(models + PYTHON_READER)
}

/// Patterns say what is a time and what is an e-mail address. By its format, a time would be a `datetime`, for which
/// pydantic takes numbers and blanks as well; an e-mail address would ask for one more package.
fn leave_to_patterns(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(leave_to_patterns),
        Value::Object(keywords) => {
            let format = keywords.get("format").and_then(Value::as_str);
            if matches!(format, Some("date-time" | "email")) {
                keywords.remove("format");
            }
            keywords.values_mut().for_each(leave_to_patterns);
        }
        _ => {}
    }
}

/// What a generator makes of the schemas.
fn run(generator: &mut Command, schemas: &Value) -> Result<String> {
    generator.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = generator.spawn().context("cannot start the generator")?;
    let mut input = child.stdin.take().context("the generator has no standard input")?;
    // Generators keep the order of fields, which is that of their weight here. One that ends early says why.
    let sent = input.write_all(print(schemas).as_bytes());
    drop(input);
    let output = child.wait_with_output().context("the generator did not end")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the generator ended with {}:\n{}", output.status, errors.trim());
    }
    sent.context("the generator did not read the schemas")?;
    ensure!(errors.trim().is_empty(), "the generator has doubts:\n{}", errors.trim());
    String::from_utf8(output.stdout).context("the generator wrote something that is no text")
}

#[cfg(test)]
mod tests;
