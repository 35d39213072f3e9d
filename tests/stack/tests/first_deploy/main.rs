//! `docs/first-deploy.md`, followed to the letter as far as no account is needed: its commands are typed in their order, `sam` asks what
//! the page says that it asks, and what it would deploy is the whole template with what was chosen.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod page;
mod recorder;

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::ARCH;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use catalogue::template;
use orderbus::Progress;
use orderbus::repository;
use orderbus::tools::Tools;
use serde_json::Value;
use stack_tests::Copy;

use page::Page;
use recorder::{ChangeSet, REGION, Recorder};

const ACCESS_KEY: &str = "AKIDOFTHEFIRSTDEPLOY";
const SECRET_KEY: &str = "the-secret-key-of-the-first-deployment";
const SESSION_TOKEN: &str = "the-session-token-of-the-first-deployment";

/// The answer to the page's choices: a trial, and programs for the processor that this machine builds for.
const CHOSEN: [(&str, &str); 3] =
    [("Environment", "default"), ("Architecture", "x86_64"), ("Protect", "false")];

#[test]
fn the_first_deployment_goes_as_its_page_says() {
    Tools::ready(&Progress::new(|line| eprintln!("{line}"))).unwrap();
    let copy = Copy::of_the_repository().unwrap();
    let page = Page::read(&copy.root().join("docs/first-deploy.md"));
    let mut session = Session::begin(copy.root(), &page);
    the_page_explains_the_lines_of_samconfig(&page, &copy.root());
    let mut typed = Vec::new();
    for command in &page.commands {
        match command.split([' ', '=']).next().unwrap() {
            "export" | "cd" => session.remember(command),
            "API" => {
                let address = session.output("ApiUrl");
                session.remember(&command.replace("<ApiUrl>", &format!("'{address}'")));
            }
            // The page says for whom this is.
            "sed" if command.contains("x86_64") && ARCH != "x86_64" => {}
            "sed" | "sam" | "curl" => {
                session.types(command);
                typed.push(command.as_str());
            }
            // What needs an account, or fetches compilers. `commands.rs` tries those of them that work on a local stack.
            "eval" | "pip" | "rustup" | "cargo" => println!("left out: {command}"),
            "python3" => session.aws.empty_buckets(),
            other => panic!("{other}: is {command} typed here, or left out?"),
        }
    }
    let counted = |program: &str| typed.iter().filter(|command| command.starts_with(program)).count();
    let counts = ["sam build", "sam deploy", "sam delete", "curl"].map(counted);
    assert_eq!(counts, [2, 2, 3, 1], "{typed:#?}");

    session.asked_for_nothing_else();
    let chosen = CHOSEN.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let chosen: BTreeMap<_, _> = chosen.into_iter().collect();
    let deployed = |stack: &str| {
        let change_sets = session.aws.change_sets_of(stack);
        assert_eq!(change_sets.len(), 1, "{stack} is deployed once");
        change_sets[0].clone()
    };
    let (orderbus, provider) = (deployed("orderbus"), deployed("payment-provider"));
    for (change_set, folder) in [(&orderbus, "."), (&provider, "examples/payment-provider")] {
        let folder = copy.root().join(folder);
        it_is_the_whole_template(change_set, &folder);
        every_parameter_has_a_value_that_it_takes(change_set);
        the_programs_are_for(&change_set.parameters["Architecture"], &folder);
    }
    assert_eq!(session.programs["orderbus"].len(), 11);
    assert_eq!(session.programs["payment-provider"].len(), 1);
    if ARCH == "x86_64" {
        assert_eq!(orderbus.parameters, chosen);
    }
    assert_eq!(provider.parameters["Architecture"], orderbus.parameters["Architecture"]);
    assert_eq!(provider.parameters["BusName"], "/orderbus/default/bus-name");

    no_secret_was_sent(&session.aws);
    the_order_was_signed(&session.aws);
    assert_eq!(session.aws.stacks(), Vec::<String>::new(), "all stacks are deleted");
    assert_eq!(session.aws.objects(), 0, "all artefacts are deleted");
}

#[test]
fn the_page_names_everything_that_outlives_its_stack() {
    let root = repository::root();
    let page = Page::read(&root.join("docs/first-deploy.md"));
    let template = read_template(&root.join("template.yaml"));
    let resources = template["Resources"].as_object().unwrap();
    let kept = resources.iter().filter(|(_, resource)| resource.get("DeletionPolicy").is_some());
    let kept: BTreeSet<&str> = kept.map(|(id, _)| id.as_str()).collect();
    let named = page.kept();
    assert_eq!(named.iter().map(String::as_str).collect::<BTreeSet<_>>(), kept);
    let ends = |kind: &str| resources.values().filter(|resource| resource["Type"] == kind).count();
    // No bucket is left out that would make a deletion fail.
    assert_eq!(
        kept.iter().filter(|id| id.ends_with("Bucket")).count(),
        ends("AWS::S3::Bucket"),
        "every bucket is one of them"
    );
}

/// One shell, as far as its commands are concerned.
struct Session {
    root: PathBuf,
    aws: Recorder,
    page: Page,
    /// What a shell keeps from one command to the next.
    kept: Vec<String>,
    /// What `sam deploy` printed last for the stack `orderbus`.
    deployed: String,
    /// The names of the functions whose programs were uploaded, by stack: deleting a stack deletes them.
    programs: BTreeMap<String, Vec<String>>,
}

impl Session {
    fn begin(root: PathBuf, page: &Page) -> Self {
        let page = page.clone();
        Self {
            root,
            aws: Recorder::start(),
            page,
            kept: Vec::new(),
            deployed: String::new(),
            programs: BTreeMap::new(),
        }
    }

    fn remember(&mut self, command: &str) {
        self.kept.push(command.to_owned());
    }

    /// The stack whose folder the shell is in.
    fn stack(&self) -> &'static str {
        let last = self.kept.iter().rfind(|command| command.starts_with("cd "));
        if last.is_some_and(|command| command.contains("payment-provider")) {
            "payment-provider"
        } else {
            "orderbus"
        }
    }

    /// Types a command, with the page's answers to what it asks. It has to succeed and to ask nothing else.
    fn types(&mut self, command: &str) {
        let stack = self.stack();
        let questions = self.page.questions(command, stack);
        // `sam build` moves programs of the workspace while it works.
        let lock = File::create(repository::tools().join("build-lock")).unwrap();
        lock.lock().unwrap();
        let answers: String = questions.iter().map(|(_, answer)| format!("{answer}\n")).collect();
        let (succeeded, text, errors) = self.run(command, &answers);
        drop(lock);
        let expected: Vec<&str> = questions.iter().map(|(question, _)| question.as_str()).collect();
        assert_eq!(questions_in(&text), expected, "{command} asks:\n{text}\n{errors}");
        // A stack whose buckets are not empty stays; the page says so.
        let must_fail = command == "sam delete" && stack == "orderbus" && !self.aws.stacks().is_empty();
        assert_eq!(succeeded, !must_fail, "{command}:\n{text}\n{errors}");
        if command == "sam deploy" {
            self.programs.insert(stack.to_owned(), programs_of(&self.aws, stack));
            if stack == "orderbus" {
                self.deployed = text;
            }
        } else if command.starts_with("curl") {
            assert!(text.contains(" 202 ") && text.contains("/orders/o-1"), "{text}");
        }
    }

    /// Whether it succeeded, what it printed, and what it complained of.
    fn run(&self, command: &str, answers: &str) -> (bool, String, String) {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{}\n{command}", self.kept.join("\n"))).current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            let prefixes =
                ["AWS_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BUILD_RUSTFLAGS", "CARGO_BIN_", "NEXTEST"];
            if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
                shell.env_remove(name);
            }
        }
        shell.envs([
            ("AWS_ENDPOINT_URL", self.aws.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("SAM_CLI_TELEMETRY", "0"),
            ("SAM_CLI_POLL_DELAY", "0.1"),
            // This machine's own linker in place of zig, which is large and not among the tools; and what is compiled already.
            ("CARGO_LAMBDA_COMPILER", "cargo"),
            ("CARGO_LAMBDA_COMPILER_EXTRA_ARGS", "--workspace --bins --locked"),
        ]);
        shell.env("CARGO_TARGET_DIR", target_directory());
        let mut child =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that asks nothing may end without reading.
        child.stdin.take().unwrap().write_all(answers.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    /// An output of the stack, as `sam deploy` printed it.
    fn output(&self, name: &str) -> String {
        let mut words = self.deployed.split_whitespace().skip_while(|word| *word != name);
        words.find(|word| *word == "Value").unwrap();
        words.next().unwrap().to_owned()
    }

    fn asked_for_nothing_else(&self) {
        assert_eq!(self.aws.refused(), Vec::<String>::new());
    }
}

/// The lines, and the commented ones that one may uncomment, with the values that the page gives for them.
fn the_page_explains_the_lines_of_samconfig(page: &Page, root: &Path) {
    let text = fs::read_to_string(root.join("samconfig.toml")).unwrap();
    let begin = text.find("parameter_overrides = [").unwrap();
    let lines = text[begin..].lines().skip(1).take_while(|line| *line != "]");
    let line = |line: &str| {
        let is_comment = line.trim().starts_with('#');
        let (name, value) = line.split('"').nth(1).unwrap().split_once('=').unwrap();
        (name.to_owned(), if is_comment { String::new() } else { value.to_owned() })
    };
    let lines: Vec<(String, String)> = lines.map(line).collect();
    assert_eq!(page.choices(), lines);
}

/// The questions among what a command printed: each is a line's end, or follows another question whose answer is not echoed.
fn questions_in(text: &str) -> Vec<String> {
    let pieces: Vec<&str> = text.split("]: ").collect();
    let questions = pieces[..pieces.len() - 1].iter();
    questions.map(|piece| format!("{}]:", piece.lines().last().unwrap_or_default().trim())).collect()
}

/// The functions of a stack whose programs were uploaded.
fn programs_of(aws: &Recorder, stack: &str) -> Vec<String> {
    let change_set = aws.change_sets_of(stack).pop().unwrap();
    let mut found = Vec::new();
    for (id, resource) in change_set.template["Resources"].as_object().unwrap() {
        if resource["Type"] == "AWS::Serverless::Function" {
            let address = resource["Properties"]["CodeUri"].as_str().unwrap();
            let zip = aws.object(address).unwrap_or_else(|| panic!("{id}: {address} was not uploaded"));
            let entries = entries_of(&zip).unwrap_or_else(|| panic!("{id}: {address} is no archive"));
            assert_eq!(entries, [("bootstrap".to_owned(), true)], "{id}");
            found.push(id.clone());
        }
    }
    found
}

/// The names in a ZIP archive, and whether each may be executed.
fn entries_of(zip: &[u8]) -> Option<Vec<(String, bool)>> {
    let number = |at: usize, bytes: usize| {
        let little = zip.get(at..at + bytes)?;
        Some(little.iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let end = zip.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let (count, mut at) = (number(end + 10, 2)?, number(end + 16, 4)?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (name, extra, comment) = (number(at + 28, 2)?, number(at + 30, 2)?, number(at + 32, 2)?);
        let text = String::from_utf8(zip.get(at + 46..at + 46 + name)?.to_vec()).ok()?;
        let mode = number(at + 38, 4)? >> 16;
        entries.push((text, mode & 0o111 != 0));
        at += 46 + name + extra + comment;
    }
    Some(entries)
}

/// Nothing is missing and nothing is new, except where the programs are.
fn it_is_the_whole_template(change_set: &ChangeSet, folder: &Path) {
    let source = read_template(&folder.join("template.yaml"));
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    for section in ["Parameters", "Mappings", "Rules", "Conditions", "Outputs"] {
        assert_eq!(names(&change_set.template[section]), names(&source[section]), "{section}");
    }
    let summary = |template: &Value| -> BTreeMap<String, (Value, BTreeSet<String>)> {
        let resources = template["Resources"].as_object().unwrap().iter();
        let of = |resource: &Value| (resource["Type"].clone(), names(&resource["Properties"]));
        resources.map(|(id, resource)| (id.clone(), of(resource))).collect()
    };
    assert_eq!(summary(&change_set.template), summary(&source));
}

fn every_parameter_has_a_value_that_it_takes(change_set: &ChangeSet) {
    let parameters = change_set.template["Parameters"].as_object().unwrap();
    for name in change_set.parameters.keys() {
        assert!(parameters.contains_key(name), "{} has no parameter {name}", change_set.stack);
    }
    for (name, parameter) in parameters {
        let Some(given) = change_set.parameters.get(name) else {
            assert!(parameter.get("Default").is_some(), "{name} is neither given nor has it a default");
            continue;
        };
        let allowed = parameter.get("AllowedValues").and_then(Value::as_array);
        let is_allowed =
            |allowed: &Vec<Value>| allowed.iter().any(|value| value.as_str() == Some(given.as_str()));
        assert!(allowed.is_none_or(is_allowed), "{name} does not take {given}");
    }
}

/// The built programs run on the processor that the parameter says.
fn the_programs_are_for(architecture: &str, folder: &Path) {
    // The machine in the header of an ELF file.
    let machine: [u8; 2] = if architecture == "arm64" { [183, 0] } else { [62, 0] };
    let mut count = 0;
    for entry in fs::read_dir(folder.join(".aws-sam/build")).unwrap() {
        let program = entry.unwrap().path().join("bootstrap");
        if program.is_file() {
            let bytes = fs::read(&program).unwrap();
            assert_eq!(
                (&bytes[..4], &bytes[18..20]),
                (&b"\x7fELF"[..], &machine[..]),
                "{}",
                program.display()
            );
            count += 1;
        }
    }
    assert!(count > 0, "nothing is built in {}", folder.display());
}

/// Secrets sign requests and are in none of them. The token of temporary credentials is a header.
fn no_secret_was_sent(aws: &Recorder) {
    for request in aws.requests() {
        let body = String::from_utf8_lossy(&request.body);
        for secret in [SECRET_KEY, SESSION_TOKEN] {
            let is_there =
                body.contains(secret) || format!("{} {:?}", request.path, request.query).contains(secret);
            assert!(!is_there, "{} {} holds a secret", request.method, request.path);
        }
    }
}

fn the_order_was_signed(aws: &Recorder) {
    let orders: Vec<_> = aws.requests().into_iter().filter(|request| request.path == "/orders").collect();
    assert_eq!(orders.len(), 1);
    let order = &orders[0];
    let authorization = order.header("authorization").unwrap();
    assert!(
        authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")),
        "{authorization}"
    );
    assert!(authorization.contains(&format!("/{REGION}/execute-api/aws4_request")), "{authorization}");
    assert!(authorization.contains("x-amz-security-token"), "{authorization}");
    assert_eq!(order.header("x-amz-security-token"), Some(SESSION_TOKEN));
    assert_eq!(order.header("idempotency-key"), Some("first-on-aws"));
    let body: Value = serde_json::from_slice(&order.body).unwrap();
    assert_eq!(body["lines"][0]["sku"], "MUG-BLUE");
}

fn read_template(file: &Path) -> Value {
    template::parse(&fs::read_to_string(file).unwrap()).unwrap()
}

/// This program is <target directory>/<target>/release/deps/<name>.
fn target_directory() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(4).unwrap().to_path_buf()
}
