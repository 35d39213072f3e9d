//! Writes subscribers: a function of this repository, or a stack of another team's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use contracts::EventType;
use serde_json::{Value, json};

use crate::ministack::MiniStack;
use crate::rules::Pattern;
use crate::sam::Application;
use crate::tools::Tools;
use crate::unsupported::FILE as EXEMPTIONS;
use crate::{Progress, publish, repository, sam};

const LOGS: &str = include_str!("subscriber/logs.py");
/// A consumer like any other: wherever template.yaml registers it, a new one is registered as well.
const MODEL: (&str, &str) = ("OrderTracker", "order-tracker");
/// The block before which a new one stands.
const NEXT_BLOCK: &str = "  # DLQ-REPROCESSOR\n";
const RULER: &str = "  # ==";
/// What Orderbus's own account deploys for a subscriber in another one, and the section of samconfig.toml that does it here.
const ORDERBUS_SIDE: &str = "orderbus.yaml";
const ORDERBUS_SIDE_HERE: &str = "local-orderbus";

/// What a subscriber is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Compiled by cargo-lambda.
    Rust,
    /// On the runtime of AWS, without packages of its own.
    Python,
    /// Bundled by esbuild, which `npm` installs.
    Typescript,
}

/// What a subscriber is to be.
#[derive(Debug, Clone)]
pub struct Wish {
    name: String,
    event_type: EventType,
    pattern: Value,
}

impl Wish {
    /// `condition` is what is wanted of the CloudEvent, as a rule says it: `{"data": {"customerId": ["c-1"]}}`.
    ///
    /// # Errors
    /// When the name is none for a function, the type is not in the catalogue, or the condition not a pattern.
    pub fn new(name: &str, event_type: &str, condition: Option<&str>) -> Result<Self> {
        check_name(name)?;
        let event_type = publish::known_type(event_type)?;
        let mut pattern = json!({"source": [event_type.source()], "detail-type": [event_type.as_str()]});
        if let Some(condition) = condition {
            pattern["detail"] = serde_json::from_str(condition)
                .context("--where must be JSON, such as {\"data\": {\"customerId\": [\"c-1\"]}}")?;
        }
        Pattern::parse(&pattern).context("--where is not a pattern")?;
        Ok(Self { name: name.to_owned(), event_type, pattern })
    }

    /// Why the sample of the type would not come: the subscriber is good all the same.
    ///
    /// # Errors
    /// When there is no sample.
    pub fn doubts(&self) -> Result<Vec<String>> {
        let sample = publish::golden(self.event_type)?;
        let mismatches = Pattern::parse(&self.pattern)?.mismatches(&sample);
        let doubt =
            |one: crate::rules::Mismatch| format!("{}: wanted {}, found {}", one.path, one.wanted, one.found);
        Ok(mismatches.into_iter().map(doubt).collect())
    }

    /// `orders.order-placed.v1` → `order-placed`.
    fn event_name(&self) -> &'static str {
        let name = self.event_type.as_str();
        let name = name.split_once('.').map_or(name, |(_, name)| name);
        name.rsplit_once(".v").map_or(name, |(name, _)| name)
    }

    fn pattern_yaml(&self) -> String {
        let entries = self.pattern.as_object().into_iter().flatten();
        let mut lines: Vec<String> =
            entries.map(|(name, value)| format!("        {name}: {value}")).collect();
        lines.sort_by_key(|line| !line.starts_with("        source:"));
        lines.join("\n")
    }

    fn fill(&self, text: &str) -> String {
        let handler = camel_case(&self.name);
        let use_case = format!("note_{}", snake_case(self.event_name()));
        let variant = format!("{:?}", self.event_type);
        let values = [
            ("@name@", self.name.as_str()),
            ("@NAME@", &self.name.to_uppercase()),
            ("@Id@", &handler),
            ("@Handler@", &handler),
            ("@crate@", &snake_case(&self.name)),
            ("@type@", self.event_type.as_str()),
            ("@Type@", &variant),
            ("@event@", self.event_name()),
            ("@use_case@", &use_case),
            ("@pattern@", &self.pattern_yaml()),
        ];
        values.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
    }
}

fn check_name(name: &str) -> Result<()> {
    // Names that mean something else as a crate, a module or a type.
    const TAKEN: [&str; 8] = ["alloc", "config", "core", "handler", "proc-macro", "std", "test", "use-case"];
    let word = |word: &str| {
        word.starts_with(|letter: char| letter.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    ensure!(
        name.split('-').all(word) && name.len() <= 40,
        "{name:?} is no name for a function: lower-case words with hyphens between them, such as loyalty-points, at most 40 characters"
    );
    ensure!(!TAKEN.contains(&name) && !is_keyword(name), "{name} means something else in Rust: add a word");
    Ok(())
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false final \
        fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait \
        true try type typeof unsafe unsized use virtual where while yield ";
    KEYWORDS.contains(&format!(" {name} "))
}

fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    name.split('-').map(word).collect()
}

fn snake_case(name: &str) -> String {
    name.replace('-', "_")
}

/// Files to write, by their place below some folder.
type Files = Vec<(PathBuf, String)>;

/// Writes a function into the repository at `root`, and its block into template.yaml. Returns what to look at next.
///
/// # Errors
/// When something of this name is there; nothing is written then.
pub fn inside(root: &Path, wish: &Wish) -> Result<Vec<String>> {
    ensure_new_package(root, &wish.name)?;
    let file = root.join("template.yaml");
    let template = fs::read_to_string(&file).context("cannot read template.yaml")?;
    let extended = with_block(&template, wish)?;
    let exemptions = root.join(EXEMPTIONS);
    let exempted = fs::read_to_string(&exemptions).with_context(|| format!("cannot read {EXEMPTIONS}"))?;
    let exempted = with_exemptions(&exempted, &camel_case(&wish.name));
    write_all(root, inside_files(wish)?)?;
    fs::write(&file, extended).context("cannot write template.yaml")?;
    fs::write(&exemptions, exempted).with_context(|| format!("cannot write {EXEMPTIONS}"))?;
    lock_and_format(root, &wish.name)?;
    // The catalogue says who listens.
    catalogue::write(root)?;
    let Wish { name, .. } = wish;
    Ok(vec![
        format!("functions/{name}/src/{}.rs: what it does about the event", wish.fill("@use_case@")),
        format!(
            "functions/{name}/src/lib.rs: the data sheet, and functions/{name}/tests: what must stay true"
        ),
        format!("template.yaml, block {}: stores and rights that it needs", name.to_uppercase()),
        "cargo orderbus iam record, then cargo orderbus test and cargo orderbus local".to_owned(),
        format!(
            "cargo orderbus publish {}, then cargo orderbus subscriber logs functions/{name}",
            wish.event_type.as_str()
        ),
    ])
}

fn inside_files(wish: &Wish) -> Result<Files> {
    let package = Path::new("functions").join(&wish.name);
    let sources = [
        ("Cargo.toml".to_owned(), include_str!("subscriber/inside/Cargo.toml")),
        ("src/main.rs".to_owned(), include_str!("subscriber/inside/main.rs")),
        ("src/lib.rs".to_owned(), include_str!("subscriber/inside/lib.rs")),
        ("src/handler.rs".to_owned(), include_str!("subscriber/inside/handler.rs")),
        ("src/config.rs".to_owned(), include_str!("subscriber/inside/config.rs")),
        ("src/@use_case@.rs".to_owned(), include_str!("subscriber/inside/use_case.rs")),
        ("tests/@crate@.rs".to_owned(), include_str!("subscriber/inside/test.rs")),
    ];
    let mut files: Files =
        sources.iter().map(|(path, text)| (package.join(wish.fill(path)), wish.fill(text))).collect();
    let record = json!({
        "messageId": "059f36b4-87a3-44ab-83d2-661975900001",
        "receiptHandle": "AQEBsample1",
        "body": publish::golden(wish.event_type)?.to_string(),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1769860800500"},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:eu-central-1:111122223333:{}", wish.name),
        "awsRegion": "eu-central-1",
    });
    let sample = format!("{:#}\n", json!({"Records": [record]}));
    files.push((wish.fill("events/samples/@name@/@event@.json").into(), sample));
    Ok(files)
}

/// Every package of the workspace is a folder of one of these.
fn ensure_new_package(root: &Path, name: &str) -> Result<()> {
    for parent in ["functions", "shared", "tools", "tests", "examples", "events/samples"] {
        let place = root.join(parent).join(name);
        ensure!(!place.exists(), "{parent}/{name} is there already");
    }
    // A dependency of this name would be another crate of the same name wherever both are known.
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let crate_name = snake_case(name);
    let packages = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let is_taken = packages.map(snake_case).any(|taken| taken == crate_name);
    ensure!(!is_taken, "{name} is the name of a package that is used here: add a word");
    Ok(())
}

/// The template with the block of a new consumer, which is registered wherever its model is.
fn with_block(template: &str, wish: &Wish) -> Result<String> {
    let id = camel_case(&wish.name);
    let (model_id, model_name) = MODEL;
    let block = wish.fill(include_str!("subscriber/inside/block.yaml"));
    for line in block.lines().filter(|line| line.starts_with(&format!("  {id}"))) {
        ensure!(!template.lines().any(|known| known == line), "template.yaml has {} already", line.trim());
    }
    let own_block = block_of(template, model_name)?;
    let next = template.find(NEXT_BLOCK).context("template.yaml has no block of dlq-reprocessor")?;
    let next = template[..next].rfind(RULER).context("a block without a ruler above it")?;
    let mut text = String::with_capacity(template.len() + block.len() + 1_000);
    let mut at = 0;
    let mut registrations = 0;
    for line in template.split_inclusive('\n') {
        if at == next {
            text.push_str(&block);
        }
        text.push_str(line);
        if !own_block.contains(&at) && names(line, model_id, model_name) {
            text.push_str(&line.replace(model_id, &id).replace(model_name, &wish.name));
            registrations += 1;
        }
        at += line.len();
    }
    ensure!(registrations > 0, "template.yaml registers no {model_name} anywhere");
    Ok(text)
}

/// What this machine leaves out of the model's block, it leaves out of the new one.
fn with_exemptions(exemptions: &str, id: &str) -> String {
    let sections = exemptions.split("\n\n").filter(|section| section.starts_with(&format!("[{}", MODEL.0)));
    let new: String =
        sections.map(|section| format!("\n{}\n", section.trim_end().replace(MODEL.0, id))).collect();
    format!("{}\n{new}", exemptions.trim_end())
}

/// Registrations are entries of lists: not comments, nor texts for people.
fn names(line: &str, model_id: &str, model_name: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(&format!("- !GetAtt {model_id}")) || line.starts_with(&format!("{model_name} $"))
}

/// Where the block of a function stands, from its name to the next ruler.
fn block_of(template: &str, name: &str) -> Result<std::ops::Range<usize>> {
    let heading = format!("  # {}\n", name.to_uppercase());
    let start = template.find(&heading).with_context(|| format!("template.yaml has no block of {name}"))?;
    let rulers = template[start..].match_indices(RULER).map(|(place, _)| start + place);
    // The first ruler ends the heading, the second begins the next block.
    let end = rulers.into_iter().nth(1).unwrap_or(template.len());
    Ok(start..end)
}

/// Cargo.lock names the packages of the workspace, too; and the order of imports depends on the names.
fn lock_and_format(root: &Path, name: &str) -> Result<()> {
    for arguments in [&["update", "--workspace", "--offline", "--quiet"][..], &["fmt", "--package", name]] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo).args(arguments).current_dir(root).stdin(Stdio::null()).status();
        let status = status.context("cannot start cargo")?;
        ensure!(
            status.success(),
            "everything is written, but cargo {} ended with {status}",
            arguments.join(" ")
        );
    }
    Ok(())
}

/// The account that a stack of its own is to run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// In that of Orderbus.
    OfOrderbus,
    /// In another than that of Orderbus, which is this one.
    OtherThan(&'a str),
}

/// Writes a stack of its own into a folder that is not there yet, or empty. Returns what to look at next.
///
/// # Errors
/// When something is in the folder, or the event may not leave the account of Orderbus.
pub fn alone(folder: &Path, wish: &Wish, language: Language, account: Home<'_>) -> Result<Vec<String>> {
    if let Home::OtherThan(id) = account {
        let is_account = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
        ensure!(
            is_account,
            "{id:?} is no account: give the twelve digits of the account that Orderbus runs in"
        );
        // Its events carry the tokens that answer a checkout.
        ensure!(
            wish.event_type.source() != "payments",
            "{} may not leave the account of Orderbus: events of payments carry the tokens with which a checkout is answered",
            wish.event_type.as_str()
        );
    }
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(is_empty, "{} is not empty", folder.display());
    let (edit, files) = alone_files(wish, language, account)?;
    write_all(folder, files)?;
    let place = folder.display();
    let patterns = match account {
        Home::OfOrderbus => format!("{place}/template.yaml: which events come, and what the function may do"),
        Home::OtherThan(_) => format!(
            "{place}/template.yaml: what the function may do; and with {place}/orderbus.yaml, for Orderbus's account, which events come"
        ),
    };
    Ok(vec![
        format!("{place}/{edit}: what it does about the event"),
        patterns,
        format!("cargo orderbus subscriber deploy {place}, beside cargo orderbus local"),
        format!(
            "cargo orderbus publish {}, then cargo orderbus subscriber logs {place}",
            wish.event_type.as_str()
        ),
    ])
}

/// How a language is built and run.
struct Kit {
    runtime: &'static str,
    handler: &'static str,
    code: &'static str,
    build: &'static str,
    edit: &'static str,
    files: &'static [(&'static str, &'static str)],
}

impl Language {
    fn kit(self) -> Kit {
        match self {
            Self::Python => Kit {
                runtime: "python3.13",
                handler: "app.handler",
                code: "src/",
                build: "",
                edit: "src/app.py",
                files: &[
                    ("src/app.py", include_str!("subscriber/alone/python/app.py")),
                    ("tests/test_app.py", include_str!("subscriber/alone/python/test_app.py")),
                ],
            },
            Self::Typescript => Kit {
                runtime: "nodejs22.x",
                handler: "app.handler",
                code: "src/",
                build: "    Metadata:\n      BuildMethod: esbuild\n      BuildProperties:\n        EntryPoints: [app.ts]\n        Format: esm\n        OutExtension: ['.js=.mjs']\n        Target: node22\n        Minify: false\n",
                edit: "src/app.ts",
                files: &[
                    ("src/app.ts", include_str!("subscriber/alone/typescript/app.ts")),
                    ("src/package.json", include_str!("subscriber/alone/typescript/package.json")),
                    ("src/tsconfig.json", include_str!("subscriber/alone/typescript/tsconfig.json")),
                    ("tests/app.test.mjs", include_str!("subscriber/alone/typescript/app.test.mjs")),
                    (".gitignore", "node_modules/\ndist/\n.aws-sam/\n"),
                ],
            },
            Self::Rust => Kit {
                runtime: "provided.al2023",
                handler: "bootstrap",
                code: ".",
                build: "    Metadata:\n      BuildMethod: rust-cargolambda\n",
                edit: "src/main.rs",
                files: &[
                    ("src/main.rs", include_str!("subscriber/alone/rust/main.rs")),
                    ("Cargo.toml", include_str!("subscriber/alone/rust/Cargo.toml")),
                    (".gitignore", "target/\n.aws-sam/\n"),
                ],
            },
        }
    }
}

/// What is said of the bus where it is in the same account.
const SAME_ACCOUNT: [(&str, &str); 12] = [
    ("@relation@", include_str!("subscriber/alone/relation.txt")),
    ("@parameter@", include_str!("subscriber/alone/parameter.yaml")),
    ("@condition@", ""),
    ("@bus@", ""),
    ("@bus_id@", "BusName"),
    ("@output@", ""),
    (
        "@deploy@",
        "    @build_command@sam deploy                                # on AWS, beside the stack `orderbus`\n",
    ),
    ("@elsewhere@", ""),
    ("@patterns@", "`template.yaml`"),
    ("@where@", "beside the stack `orderbus` in the same account and region"),
    ("@parameter_of_aws@", "BusName=/orderbus/default/bus-name"),
    ("@parameter_of_local@", "BusName=/orderbus/local/bus-name"),
];

/// And where it is in another.
const OTHER_ACCOUNT: [(&str, &str); 12] = [
    ("@relation@", include_str!("subscriber/elsewhere/relation.txt")),
    ("@parameter@", include_str!("subscriber/elsewhere/parameter.yaml")),
    ("@condition@", include_str!("subscriber/elsewhere/condition.yaml")),
    ("@bus@", include_str!("subscriber/elsewhere/bus.yaml")),
    ("@bus_id@", "Bus"),
    ("@output@", include_str!("subscriber/elsewhere/output.yaml")),
    ("@deploy@", ""),
    ("@elsewhere@", include_str!("subscriber/elsewhere/README.md")),
    ("@patterns@", "`template.yaml` and `orderbus.yaml`"),
    ("@where@", "in the team's own account, in the region of Orderbus or another"),
    ("@parameter_of_aws@", "OrderbusAccount=@account@"),
    ("@parameter_of_local@", "OrderbusAccount=same"),
];

fn alone_files(wish: &Wish, language: Language, account: Home<'_>) -> Result<(&'static str, Files)> {
    let kit = language.kit();
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x86_64" };
    let build_command = if kit.build.is_empty() { "" } else { "sam build && " };
    let (of_the_bus, sections, id) = match account {
        Home::OfOrderbus => (SAME_ACCOUNT, "", ""),
        Home::OtherThan(id) => (OTHER_ACCOUNT, include_str!("subscriber/elsewhere/samconfig.toml"), id),
    };
    let values = [
        ("@sections@", sections),
        ("@account@", id),
        ("@runtime@", kit.runtime),
        ("@handler@", kit.handler),
        ("@code@", kit.code),
        ("@build@", kit.build),
        ("@build_command@", build_command),
        ("@local_architecture@", architecture),
        ("@edit@", kit.edit),
    ];
    let fill = |text: &str| {
        let values = of_the_bus.iter().chain(&values);
        wish.fill(&values.fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value)))
    };
    let common = [
        ("template.yaml", include_str!("subscriber/alone/template.yaml")),
        ("samconfig.toml", include_str!("subscriber/alone/samconfig.toml")),
        ("README.md", include_str!("subscriber/alone/README.md")),
    ];
    let mut files: Files =
        common.iter().chain(kit.files).map(|(path, text)| (PathBuf::from(path), fill(text))).collect();
    if account != Home::OfOrderbus {
        files.push((ORDERBUS_SIDE.into(), fill(include_str!("subscriber/elsewhere/orderbus.yaml"))));
    }
    files.push(("tests/event.json".into(), format!("{:#}\n", publish::golden(wish.event_type)?)));
    Ok((kit.edit, files))
}

fn write_all(folder: &Path, files: Files) -> Result<()> {
    let mut written = BTreeSet::new();
    for (path, text) in files {
        let file = folder.join(&path);
        ensure!(written.insert(path) && !file.exists(), "{} is there already", file.display());
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Deploys a stack of its own beside the backbone on this machine.
///
/// # Errors
/// When it cannot be built or deployed.
pub fn deploy(tools: &Tools, folder: &Path, ministack: &MiniStack, progress: &Progress) -> Result<()> {
    let template = folder.join("template.yaml");
    ensure!(template.is_file(), "{} has no template.yaml", folder.display());
    let text =
        fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let needs_build = text.contains("BuildMethod:");
    if needs_build {
        if text.contains("BuildMethod: esbuild") && !has_program("npm") {
            bail!("TypeScript is built by esbuild, which npm installs, and there is no npm: install Node.js");
        }
        sam::build_folder(tools, folder, ministack.state(), progress)?;
    }
    sam::deploy_folder(tools, folder, sam::CONFIGURATION, ministack, progress)?;
    if sam::has_section(folder, ORDERBUS_SIDE_HERE)? {
        sam::deploy_folder(tools, folder, ORDERBUS_SIDE_HERE, ministack, progress)?;
    }
    Ok(())
}

fn has_program(name: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a function has logged on this machine: of a stack of its own, or of this repository, by its folder.
///
/// # Errors
/// When it is not deployed there.
pub fn logs(tools: &Tools, folder: &Path, ministack: &MiniStack) -> Result<String> {
    let inside = function_of_this_repository(folder);
    let stack_name = match inside {
        Some(_) => Application::Orderbus.local_stack_name()?,
        None => sam::stack_name_of(folder)?,
    };
    let mut command = tools.command("python");
    sam::address_to(&mut command, &ministack.endpoint());
    command.args(["-c", LOGS, &stack_name]).args(inside.map(|name| format!("{}Logs", camel_case(&name))));
    command.stdin(Stdio::null());
    let output = command.output().context("cannot start Python")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{stack_name}: {}", errors.lines().last().unwrap_or("cannot be read"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `functions/order-placed` → `order-placed`.
fn function_of_this_repository(folder: &Path) -> Option<String> {
    let (place, functions) =
        (folder.canonicalize().ok()?, repository::root().join("functions").canonicalize().ok()?);
    (place.parent() == Some(&functions)).then(|| place.file_name()?.to_str().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(condition: Option<&str>) -> Wish {
        Wish::new("gift-wrapper", "orders.order-confirmed.v1", condition).unwrap()
    }

    #[test]
    fn bad_names_are_refused_with_an_example() {
        for name in
            ["", "Gift", "gift_wrapper", "-gift", "gift-", "gift--wrapper", "1gift", "gift wrapper", "ä"]
        {
            let error = Wish::new(name, "orders.order-confirmed.v1", None).unwrap_err().to_string();
            assert!(error.contains("such as loyalty-points"), "{name}: {error}");
        }
        for name in ["handler", "match", "test"] {
            assert!(Wish::new(name, "orders.order-confirmed.v1", None).is_err(), "{name}");
        }
    }

    #[test]
    fn a_function_of_this_repository_is_known_by_its_folder() {
        let functions = repository::root().join("functions");
        assert_eq!(function_of_this_repository(&functions.join("order-api/")).as_deref(), Some("order-api"));
        for other in [functions.join("order-api/src"), functions.join("none"), functions] {
            assert_eq!(function_of_this_repository(&other), None, "{}", other.display());
        }
    }

    #[test]
    fn unknown_types_and_patterns_are_refused() {
        let error = Wish::new("gift", "orders.order-lost.v1", None).unwrap_err().to_string();
        assert!(error.contains("orders.order-confirmed.v1"), "{error}");
        for condition in ["no JSON", "{}", r#"{"data": "x"}"#, r#"{"data": {"a": [{"like": "x"}]}}"#] {
            assert!(Wish::new("gift", "orders.order-confirmed.v1", Some(condition)).is_err(), "{condition}");
        }
    }

    #[test]
    fn a_condition_that_the_sample_does_not_meet_is_told_of() {
        assert_eq!(wish(None).doubts().unwrap(), [""; 0]);
        let doubts = wish(Some(r#"{"data": {"customerId": ["nobody"]}}"#)).doubts().unwrap();
        assert_eq!(doubts, [r#"detail.data.customerId: wanted "nobody", found "c-1001""#]);
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let root = repository::root();
        let existing = Wish::new("order-placed", "orders.order-placed.v1", None).unwrap();
        assert!(
            inside(&root, &existing)
                .unwrap_err()
                .to_string()
                .contains("functions/order-placed is there already")
        );
        for name in ["serde", "lambda-runtime"] {
            let wish = Wish::new(name, "orders.order-placed.v1", None).unwrap();
            let error = inside(&root, &wish).unwrap_err().to_string();
            assert!(error.contains("is the name of a package"), "{error}");
        }
        let template = fs::read_to_string(root.join("template.yaml")).unwrap();
        let twice = with_block(&with_block(&template, &wish(None)).unwrap(), &wish(None));
        assert!(twice.unwrap_err().to_string().contains("template.yaml has GiftWrapperRule: already"));
        let folder = tempfile::tempdir().unwrap();
        alone(folder.path(), &wish(None), Language::Python, Home::OfOrderbus).unwrap();
        assert!(alone(folder.path(), &wish(None), Language::Python, Home::OfOrderbus).is_err());
    }

    /// A file of a stack in another account, read.
    fn elsewhere(path: &str) -> Value {
        let (_, files) = alone_files(&wish(None), Language::Python, Home::OtherThan("111122223333")).unwrap();
        let (_, text) = files.into_iter().find(|(name, _)| name == Path::new(path)).unwrap();
        catalogue::template::parse(&text).unwrap()
    }

    /// What a resource is, without its texts for people.
    fn resource<'a>(template: &'a Value, id: &str, kind: &str) -> &'a Value {
        let resource = &template["Resources"][id];
        assert_eq!(resource["Type"], kind, "{id}");
        &resource["Properties"]
    }

    /// AWS takes a target in another account from a rule's own account alone, unless that target is a bus
    /// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-cross-account.html>).
    #[test]
    fn in_another_account_the_events_come_from_a_bus_of_ones_own_to_a_queue_of_ones_own() {
        let template = elsewhere("template.yaml");
        let bus = resource(&template, "Bus", "AWS::Events::EventBus");
        assert!(bus["KmsKeyIdentifier"].is_null(), "no account needs a key of the other: {bus}");
        let policy = resource(&template, "BusPolicy", "AWS::Events::EventBusPolicy");
        let statement = &policy["Statement"];
        assert_eq!(policy["EventBusName"], json!({"Ref": "Bus"}));
        assert_eq!(statement["Principal"], json!({"AWS": {"Ref": "OrderbusAccount"}}));
        assert_eq!(statement["Action"], "events:PutEvents");
        assert_eq!(statement["Resource"], json!({"GetAtt": "Bus.Arn"}));
        assert_eq!(template["Parameters"]["OrderbusAccount"]["Default"], "111122223333");
        assert!(template["Parameters"]["BusName"].is_null(), "the bus of Orderbus is not named here");
        let rule = resource(&template, "Rule", "AWS::Events::Rule");
        assert_eq!(rule["EventBusName"], json!({"Ref": "Bus"}));
        assert_eq!(rule["Targets"][0]["Arn"], json!({"GetAtt": "Queue.Arn"}));
        assert_eq!(template["Outputs"]["BusArn"]["Value"], json!({"GetAtt": "Bus.Arn"}));
    }

    #[test]
    fn orderbus_sends_to_that_bus_what_the_subscriber_wants_and_nothing_else() {
        let (orderbus, subscriber) = (elsewhere("orderbus.yaml"), elsewhere("template.yaml"));
        let bus_arn = json!({"Ref": "SubscriberBusArn"});
        let rule = resource(&orderbus, "Rule", "AWS::Events::Rule");
        let pattern = json!({"source": ["orders"], "detail-type": ["orders.order-confirmed.v1"]});
        assert_eq!(rule["EventBusName"], json!({"Ref": "BusName"}));
        assert_eq!(rule["EventPattern"], pattern);
        assert_eq!(resource(&subscriber, "Rule", "AWS::Events::Rule")["EventPattern"], pattern);
        let [target] = &rule["Targets"].as_array().unwrap()[..] else { panic!("one target") };
        assert_eq!((&target["Arn"], &target["RoleArn"]), (&bus_arn, &json!({"GetAtt": "Role.Arn"})));
        assert_eq!(target["DeadLetterConfig"]["Arn"], json!({"GetAtt": "DeadLetterQueue.Arn"}));
        let policies = &resource(&orderbus, "Role", "AWS::IAM::Role")["Policies"];
        let statements = policies[0]["PolicyDocument"]["Statement"].as_array().unwrap();
        let [statement] = &statements[..] else { panic!("one statement") };
        assert_eq!((&statement["Action"], &statement["Resource"]), (&json!("events:PutEvents"), &bus_arn));
        // A key that is lost must not take the dead letters with it.
        let queue = resource(&orderbus, "DeadLetterQueue", "AWS::SQS::Queue");
        assert_eq!((&queue["SqsManagedSseEnabled"], &queue["KmsMasterKeyId"]), (&json!(true), &Value::Null));
        let alarm = resource(&orderbus, "UndeliveredAlarm", "AWS::CloudWatch::Alarm");
        assert_eq!(alarm["Dimensions"][0]["Value"], json!({"GetAtt": "DeadLetterQueue.QueueName"}));
        let arn = orderbus["Parameters"]["SubscriberBusArn"]["AllowedPattern"].as_str().unwrap();
        assert!(arn.contains(":events:") && arn.contains(":event-bus/"), "no target but a bus: {arn}");
    }

    #[test]
    fn what_may_not_leave_the_account_and_what_is_no_account_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |event_type: &str, account: &str| {
            let wish = Wish::new("gift-wrapper", event_type, None).unwrap();
            alone(folder.path(), &wish, Language::Python, Home::OtherThan(account))
        };
        for event_type in ["payments.payment-requested.v1", "payments.payment-captured.v1"] {
            let error = write(event_type, "111122223333").unwrap_err().to_string();
            assert!(error.contains("may not leave the account of Orderbus"), "{error}");
        }
        for account in ["", "11112222333", "1111222233334", "1111-2222-3333", "my-account"] {
            assert!(write("orders.order-confirmed.v1", account).is_err(), "{account}");
        }
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is written");
        let next = write("orders.order-confirmed.v1", "111122223333").unwrap();
        assert!(next.iter().any(|line| line.contains("orderbus.yaml")), "{next:?}");
        assert_eq!(sam::stack_name_of(folder.path()).unwrap(), "gift-wrapper-local");
        assert!(folder.path().join("orderbus.yaml").is_file());
    }

    #[test]
    fn the_template_gets_one_block_and_a_line_where_consumers_are_registered() {
        let template = fs::read_to_string(repository::root().join("template.yaml")).unwrap();
        let extended = with_block(&template, &wish(None)).unwrap();
        let block = wish(None).fill(include_str!("subscriber/inside/block.yaml"));
        let without = extended.replacen(&block, "", 1);
        let known: BTreeSet<&str> = template.lines().collect();
        let new: Vec<&str> = without.lines().filter(|line| !known.contains(line)).map(str::trim).collect();
        assert_eq!(
            new,
            [
                "- !GetAtt GiftWrapperRule.Arn",
                "- !GetAtt GiftWrapperDeadLetterQueue.Arn",
                "- !GetAtt GiftWrapperQueue.Arn",
                "gift-wrapper ${GiftWrapperQueue.QueueName} ${GiftWrapperDeadLetterQueue.QueueName} ${Each} 10 catalogue;",
            ]
        );
        let removed: Vec<&str> = template.lines().filter(|line| !extended.contains(line)).collect();
        assert_eq!(removed, [""; 0]);
    }

    /// `sam build` installs a function's dependencies without those of its development.
    #[test]
    fn what_bundles_typescript_is_installed_by_the_build() {
        let manifest: Value =
            serde_json::from_str(include_str!("subscriber/alone/typescript/package.json")).unwrap();
        assert!(manifest["dependencies"]["esbuild"].is_string(), "{manifest}");
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let accounts = [Home::OfOrderbus, Home::OtherThan("111122223333")];
        let languages = [Language::Python, Language::Typescript, Language::Rust];
        for (language, account) in
            languages.into_iter().flat_map(|one| accounts.map(|account| (one, account)))
        {
            let wanted = wish(Some(r#"{"data": {"customerId": ["c-1"]}}"#));
            let (_, files) = alone_files(&wanted, language, account).unwrap();
            for (path, text) in files.into_iter().chain(inside_files(&wish(None)).unwrap()) {
                let marks = text.split('@').skip(1).step_by(2);
                let left: Vec<&str> =
                    marks.filter(|mark| !mark.contains([' ', '/', '.', '\n', '"'])).collect();
                assert_eq!(left, [""; 0], "{}", path.display());
            }
        }
    }
}
