//! Every command that the documentation tells people to type is typed here, to the letter and in their order, into a shell
//! in a copy of the repository, with one local stack that the first of them starts. Or it is said which test does the
//! same, or why none can.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use contracts::EventType;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use orderbus::{LocalStack, Options, Progress, ministack, processes, publish, repository};
use serde_json::Value;
use stack_tests::{Copy, documented, eventually};
use tokio::runtime::Builder;

const PATIENCE: Duration = Duration::from_secs(180);

/// What becomes of a documented command.
enum How {
    /// It is typed as it stands, with what is in angle brackets filled in. This is in what it prints.
    Typed(&'static str),
    /// These are typed in its place: its forms, where parts may be left out, or with a smaller figure.
    As(&'static [(&'static str, &'static str)]),
    /// It is typed while something else happens, which a function of this name sees to.
    By(fn(&World)),
    /// It speaks to AWS, and without an account says so.
    OnAws(&'static str),
    /// A test does the same: its file and its name. And why it is not typed here.
    In(&'static str, &'static str, &'static str),
    /// No test does it, and why.
    Never(&'static str),
}

const ANY_CREDENTIALS: &str = "export AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_SESSION_TOKEN=test";
const SET_API: &str = "API=http://<api id>.execute-api.localhost:4566; REGION=us-east-1";
const CURL_EVENTS: &str = "curl -i \"$API/events\" --aws-sigv4 \"aws:amz:$REGION:execute-api\" --user test:test \
    -H 'content-type: application/cloudevents+json' \
    --data-binary @events/samples/shipping.delivery-status-changed.v1/complete.json";

const CURL_ORDERS: &str = "curl -i \"$API/orders\" --aws-sigv4 \"aws:amz:$AWS_DEFAULT_REGION:execute-api\" \
    --user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" -H \"x-amz-security-token: $AWS_SESSION_TOKEN\" \
    -H 'content-type: application/json' -H 'idempotency-key: first-on-aws' --data-binary @docs/first-order.json";
const PUBLISH_PICK_UP: &str = "cargo orderbus --stack orderbus publish shipping.parcel-picked-up.v1 \
    --set data.orderId=<order id> --set data.shipmentId=ship-<order id>";
const FIRST_DEPLOY: How = In(
    "tests/stack/tests/first_deploy/main.rs",
    "the_first_deployment_goes_as_its_page_says",
    "it is typed there, in the order of its page, with a server in AWS's place",
);

use How::{As, By, In, Never, OnAws, Typed};

/// In the order in which they are typed.
const TABLE: &[(&str, How)] = &[
    ("cargo orderbus local", By(start)),
    ("cargo orderbus order <order id>", Typed("order-placed")),
    ("cargo orderbus stock list", Typed("MUG-BLUE")),
    ("cargo orderbus stock set MUG-BLUE 100", Typed("100")),
    // While nothing is there that happened before the archive began.
    (
        "cargo orderbus rebuild read-model [--from-lake] [--yes]",
        As(&[
            ("cargo orderbus rebuild read-model", ""),
            ("cargo orderbus rebuild read-model --from-lake --yes", ""),
        ]),
    ),
    (
        "cargo orderbus rebuild read-model --from-lake --yes",
        In(
            "tests/stack/tests/replay.rs",
            "what_happened_can_be_sent_again_and_happens_once",
            "it has just been typed",
        ),
    ),
    ("cargo orderbus rebuild read-model --yes", Typed("")),
    // What the bus does.
    (
        "cargo orderbus tail [--type 'orders.*'] [--source orders] [--subject <order id>] [--json]",
        By(watch_the_bus),
    ),
    ("cargo orderbus rules list", Typed("OrderTrackerRule")),
    ("cargo orderbus rules match --event orders.order-placed.v1", Typed("InventoryUpdaterRule")),
    (
        "cargo orderbus publish orders.order-placed.v1 --set data.orderId=o-1 --set data.customerId=c-2",
        Typed("published orders.order-placed.v1"),
    ),
    ("cargo orderbus publish event.json", Typed("published shipping.shipment-cancelled.v1 mine")),
    // Subscribers.
    (
        "cargo orderbus subscriber new gift-wrapper --on orders.order-confirmed.v1 --stack ../gift-wrapper --lang python",
        Typed("gift-wrapper is written"),
    ),
    ("cargo orderbus subscriber deploy ../gift-wrapper", Typed("deployed")),
    ("cargo orderbus publish orders.order-confirmed.v1", Typed("published orders.order-confirmed.v1")),
    ("cargo orderbus subscriber logs ../gift-wrapper", By(read_the_logs)),
    ("cargo orderbus subscriber deploy examples/loyalty-points", Typed("deployed")),
    (
        "cargo orderbus subscriber new parcel-watch --on shipping.shipment-scheduled.v1 --stack ../parcel-watch --lang python --account 111122223333",
        Typed("parcel-watch is written"),
    ),
    ("cargo orderbus subscriber deploy ../parcel-watch", By(hear_over_a_bus_of_ones_own)),
    ("sam deploy --config-env another-account", Never("it takes two accounts of AWS")),
    (
        "sam deploy --config-env orderbus --parameter-overrides SubscriberBusArn=<BusArn>",
        Never(
            "it takes two accounts of AWS; `cargo orderbus subscriber deploy ../parcel-watch` deploys that template here",
        ),
    ),
    ("sam deploy", FIRST_DEPLOY),
    // Over HTTP.
    (SET_API, By(|_| ())), // together with the next
    (CURL_EVENTS, By(publish_over_http)),
    // Functions by hand.
    ("export PATH=\"$PWD/.tools/python/bin:$PATH\"", Typed("")),
    ("cargo lambda watch --invoke-address 127.0.0.1", By(invoke_by_hand)),
    (
        "cargo lambda invoke inventory-updater --invoke-address 127.0.0.1 --data-file events/samples/inventory-updater/order-placed.json",
        By(|_| ()), // while the one before runs
    ),
    // Dead letters.
    ("cargo orderbus dlq list", Typed("inventory-updater")),
    ("cargo orderbus dlq show <id>", Typed("orders.order-placed.v1")),
    ("cargo orderbus dlq quarantine <id>", Typed("given up on")),
    ("cargo orderbus dlq redrive --queue inventory-updater", Typed("sent back")),
    ("cargo orderbus dlq release --queue inventory-updater", Typed("is on its way to")),
    (
        "aws-encryption-cli --decrypt --decode --input payload --output event.json --suppress-metadata --wrapping-keys key=$KEY --commitment-policy require-encrypt-require-decrypt",
        Never("it takes a key of AWS KMS"),
    ),
    // The lake.
    ("cargo orderbus lake reports", Typed("revenue")),
    (
        "cargo orderbus lake report revenue --from 2026-01-01 --to 2026-01-31",
        Typed("2026-01-01 to 2026-01-31"),
    ),
    ("cargo orderbus lake report all --html lake.html", Typed("written: lake.html")),
    ("cargo orderbus bench lake", As(&[("cargo orderbus bench lake --events 20000", "events")])),
    (
        "aws lambda invoke --function-name <LakeCompactorFunctionName> --payload '{\"from\":\"2026-01-31T00:00:00Z\",\"to\":\"2026-02-01T00:00:00Z\"}' out.json",
        In(
            "tests/stack/tests/lake.rs",
            "what_flows_through_the_system_is_kept_as_parquet_and_folded",
            "the AWS CLI is not among the tools",
        ),
    ),
    // Again.
    ("cargo orderbus replay --from 2h --rule order-tracker --dry-run", Typed("order-tracker")),
    ("cargo orderbus replay --from 2h --rule order-tracker", Typed("")),
    (
        "cargo orderbus replay --from 2026-01-31 --to 2026-02-01 --from-lake --type orders.order-placed --rate 50",
        Typed(""),
    ),
    ("cargo orderbus replay list | status NAME | cancel NAME", By(call_a_replay_off)),
    ("cargo orderbus replay --resume NAME", By(resume_what_was_killed)),
    // Contracts.
    ("cargo orderbus contracts write", Typed("0 files were out of date")),
    ("cargo orderbus contracts check", Typed("the contracts are those of events/schemas/baseline")),
    ("cargo orderbus contracts check --against HEAD", Typed("the contracts are those of HEAD")),
    ("cargo orderbus contracts release", Typed("types are published")),
    (
        "cargo orderbus contracts types --lang ts|python [--out FOLDER]",
        As(&[
            ("cargo orderbus contracts types --lang ts", "export type OrderbusEvent ="),
            ("cargo orderbus contracts types --lang python --out types", "orderbus_events.py"),
        ]),
    ),
    (
        "cargo orderbus check-templates --every-region",
        Never("it takes minutes; the test run checks the templates for four regions"),
    ),
    (
        "cargo orderbus check-upgrade --from deployed.yaml",
        As(&[
            ("cargo orderbus check-upgrade --from template.yaml", "no resource that holds data"),
            ("cargo orderbus check-upgrade", "no resource that holds data"),
        ]),
    ),
    // Permissions.
    ("cargo orderbus iam check", Typed("denied calls 0, unused rights 0")),
    ("cargo orderbus iam record", Typed("written: tools/iam/calls.json")),
    ("cargo orderbus iam record --verify", Typed("tools/iam/calls.json is up to date")),
    // Dependencies.
    ("cargo orderbus dependencies check", Typed("crates are as deny.toml says")),
    (
        "cargo orderbus dependencies renew-advisories",
        In(
            "tools/orderbus/src/dependencies/tests.rs",
            "what_is_renewed_is_the_newest_commit",
            "it fetches from the internet",
        ),
    ),
    // The simulation.
    (
        "cargo orderbus sim [--seeds N | --seed S | --minutes M]",
        As(&[("cargo orderbus sim --seeds 20 --only-seeds", "every invariant holds")]),
    ),
    (
        "cargo orderbus sim",
        In(
            "tests/simulation/tests/budget.rs",
            "every_call_of_every_function_may_go_wrong_in_every_way",
            "it takes minutes; the tests of that file make the same runs with fewer seeds",
        ),
    ),
    (
        "cargo orderbus sim --minutes 60",
        As(&[("cargo orderbus sim --minutes 0.02 --only-seeds", "every invariant holds")]),
    ),
    ("cargo orderbus sim --seed 42", Typed("every invariant holds")),
    ("cargo orderbus sim --seed 42 --only 0,3 --without poison,leaps", Typed("every invariant holds")),
    ("cargo orderbus sim --crash shipped:api:17:reply-lost", Typed("every invariant holds")),
    ("cargo orderbus sim --moment shipped:api:2:117", Typed("every invariant holds")),
    (
        "cargo orderbus sim --exhaustive",
        As(&[("cargo orderbus sim --exhaustive --world crash --states 500", "every invariant holds")]),
    ),
    ("cargo orderbus sim --schedule crash:1,0,1", Typed("every invariant holds")),
    (
        "cargo orderbus sim --only-seeds --threads 1",
        As(&[("cargo orderbus sim --only-seeds --threads 1 --seeds 20", "every invariant holds")]),
    ),
    (
        "cargo orderbus chaos [--orders 1000] [--in-flight 50] [--seed S]",
        In(
            "tests/stack/tests/chaos.rs",
            "eighty_mistreated_orders_take_effect_once_and_lose_nothing",
            "it deploys a stack of its own; the test makes the same run with fewer orders",
        ),
    ),
    (
        "cargo orderbus mutants",
        Never(
            "it compiles the simulation fifty times, and programs of tests, which takes more than ten minutes",
        ),
    ),
    (
        "cargo orderbus mutants --only-tests",
        Never("it compiles programs of tests again and again, for minutes"),
    ),
    (
        "cargo orderbus mutants --only reserve",
        Never("it compiles the simulation again and again, for minutes"),
    ),
    // AWS.
    ("export AWS_DEFAULT_REGION=eu-central-1", FIRST_DEPLOY),
    (
        "eval \"$(aws configure export-credentials --format env)\"",
        Never("the AWS CLI is not among the tools, and there are no credentials"),
    ),
    (
        "pip install --require-hashes -r tools/requirements-cross.txt",
        Never("it fetches a compiler of 400 MB; the tests link with this machine's own"),
    ),
    ("rustup target add aarch64-unknown-linux-gnu", Never("no test builds for another processor")),
    ("sed -i 's/Protect=true/Protect=false/' samconfig.toml", FIRST_DEPLOY),
    (
        "sed -i 's/Architecture=arm64/Architecture=x86_64/' samconfig.toml examples/payment-provider/samconfig.toml",
        FIRST_DEPLOY,
    ),
    ("sam build", FIRST_DEPLOY),
    ("cargo orderbus check-programs", By(check_programs)),
    ("cd examples/payment-provider", FIRST_DEPLOY),
    ("cd ../..", FIRST_DEPLOY),
    ("sam delete", FIRST_DEPLOY),
    ("cargo orderbus --stack orderbus stock set MUG-BLUE 100", OnAws("stack orderbus")),
    ("API=<ApiUrl>", By(|_| ())), // together with the next
    (CURL_ORDERS, By(place_an_order)),
    ("cargo orderbus --stack orderbus order <order id>", OnAws("stack orderbus")),
    (PUBLISH_PICK_UP, By(ship_the_order)),
    // In the end, since it changes the copy.
    (
        "cargo orderbus subscriber new gift-wrapper --on orders.order-confirmed.v1",
        Typed("functions/gift-wrapper/src/note_order_confirmed.rs"),
    ),
    ("cargo orderbus subscriber logs functions/gift-wrapper", By(hear_of_an_order_inside)),
    ("cargo orderbus test", Never("this is one of its tests")),
    ("python3 tools/empty_buckets.py orderbus", By(empty_the_buckets)),
    ("cargo orderbus local down", Typed("stopped")),
];

#[test]
fn every_documented_command_does_what_it_is_said_to_do() {
    let root = repository::root();
    what_is_documented_is_in_the_table(&root);
    let world = World::prepare();
    for (command, how) in TABLE {
        let begun = Instant::now();
        match how {
            Typed(says) => world.types(command, says),
            As(forms) => forms.iter().for_each(|(form, says)| world.types(form, says)),
            By(act) => act(&world),
            OnAws(says) => world.is_refused(command, says),
            In(file, test, why) => {
                println!("not here, but by {test} in {file}, since {why}: {command}");
                continue;
            }
            Never(why) => {
                println!("by no test, since {why}: {command}");
                continue;
            }
        }
        println!("{:>6.1} s  {command}", begun.elapsed().as_secs_f64());
    }
    assert!(
        world.root().join("lake.html").is_file() && world.root().join("types/orderbus_events.py").is_file()
    );
}

/// Everything that is documented is in the table, and nothing else.
fn what_is_documented_is_in_the_table(root: &Path) {
    let documented = documented::commands(root).unwrap();
    let known: BTreeSet<&str> = TABLE.iter().map(|(command, _)| *command).collect();
    assert_eq!(known.len(), TABLE.len(), "a command is in the table twice");
    let unknown: Vec<_> =
        documented.iter().filter(|(command, _)| !known.contains(command.as_str())).collect();
    assert!(unknown.is_empty(), "these are documented, and no test runs them: {unknown:#?}");
    let stale: Vec<_> = known.iter().filter(|command| !documented.contains_key(**command)).collect();
    assert!(stale.is_empty(), "these are documented no more: {stale:#?}");

    for (command, how) in TABLE {
        match how {
            In(file, test, _) => {
                let text =
                    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(
                    text.contains(&format!("#[test]\nfn {test}() {{")),
                    "{command}: no test {test} in {file}"
                );
            }
            As(forms) => {
                // Every option that is documented is in one of the forms, and each form begins as the command does.
                let options = command.split([' ', '[', ']', '|']).filter(|word| word.starts_with("--"));
                for option in options.filter(|option| !["--seed", "--out"].contains(option)) {
                    let is_there = forms.iter().any(|(form, _)| form.split(' ').any(|word| word == option));
                    assert!(is_there || command.contains('|'), "{command}: no form has {option}");
                }
                let begins = |form: &&str| form.split(' ').take(3).eq(command.split(' ').take(3));
                assert!(forms.iter().all(|(form, _)| begins(form)), "{command}");
            }
            _ => {}
        }
    }
    for (mention, places) in documented::mentions(root).unwrap() {
        let words = mention.split(' ').count();
        let is_known = |command: &&str| {
            let same = mention.split(' ').zip(command.split(' ')).filter(|(a, b)| a == b).count();
            // Names and folders may be other ones.
            same >= words.min(4)
        };
        assert!(known.iter().any(is_known), "{mention} at {places:?} is no documented command");
    }
}

/// A copy of the repository with everything compiled, and a shell in it.
struct World {
    copy: Copy,
    programs: PathBuf,
}

impl World {
    fn prepare() -> Self {
        let copy = Copy::of_the_repository().unwrap();
        let programs = copy.root().parent().unwrap().join("programs");
        let world = Self { copy, programs };
        world.copy_programs();
        world.patch_the_schedule();
        let git = "git init --quiet && git add --all && git -c user.name=test -c user.email= commit --quiet --message all";
        let made = world.shell(git).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let event = r#"{"type": "shipping.shipment-cancelled.v1", "id": "mine", "data": {"orderId": "o-1", "shipmentId": "ship-o-1"}}"#;
        fs::write(world.root().join("event.json"), event).unwrap();
        world
    }

    fn root(&self) -> PathBuf {
        self.copy.root()
    }

    /// `cargo orderbus` builds everything, and becomes the tool. Here it is built once; from then on the shell's `cargo`
    /// becomes the tool at once, and says as `cargo run` does where the repository is. Nobody else may be told so: some
    /// build scripts (that of ring) run again when the package in the environment changes. `sam build` moves programs of
    /// the workspace while it works, so they are copied.
    fn copy_programs(&self) {
        let lock = File::create(repository::tools().join("build-lock")).unwrap();
        lock.lock().unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["orderbus", "lake", "reports"]).current_dir(repository::root());
        forget_the_test(&mut cargo);
        let built = cargo.env("CARGO_TARGET_DIR", target_directory()).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        fs::create_dir_all(&self.programs).unwrap();
        let release =
            target_directory().join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH));
        let functions = fs::read_dir(self.root().join("functions")).unwrap();
        let functions = functions.map(|folder| folder.unwrap().file_name());
        for program in ["orderbus", "bench", "sim"].map(Into::into).into_iter().chain(functions) {
            fs::copy(release.join(&program), self.programs.join(program)).unwrap();
        }
        let cargo = self.programs.join("cargo");
        let text = "#!/bin/sh\n\
            if [ \"$1\" != orderbus ]; then exec \"$CARGO\" \"$@\"; fi\n\
            shift\n\
            case \"$1\" in bench | sim) program=\"$1\"; shift ;; *) program=orderbus ;; esac\n\
            CARGO_MANIFEST_DIR=\"$PWD/tools/launcher\" exec \"$PROGRAMS/$program\" \"$@\"\n";
        fs::write(&cargo, text).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Dead letters are to wait for the commands of this test, and not be sent back by the schedule in between.
    fn patch_the_schedule(&self) {
        let file = self.root().join("samconfig.toml");
        let text = fs::read_to_string(&file).unwrap();
        let section = text.find("[local.global.parameters]").unwrap();
        let (before, local) = text.split_at(section);
        let patched =
            local.replacen("\"Pace=quick\",", "\"Pace=quick\",\n  'ReprocessorSchedule=\"rate(1 day)\"',", 1);
        assert_ne!(patched, local);
        fs::write(file, format!("{before}{patched}")).unwrap();
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.root()).stdin(Stdio::null());
        forget_the_test(&mut shell);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // As after `export`, which is documented for those commands that need it; the shell's own `cargo` comes first.
        let path = format!(
            "{}:{}:{}",
            self.programs.display(),
            self.root().join(".tools/python/bin").display(),
            std::env::var_os("PATH").unwrap_or_default().display()
        );
        shell.env("PATH", path).env("CARGO", cargo).env("PROGRAMS", &self.programs);
        shell.env("CARGO_TARGET_DIR", target_directory());
        for variable in
            ["AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"]
        {
            shell.env_remove(variable);
        }
        shell.envs([
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        shell
    }

    /// Types a command, which has to succeed. Returns what it prints.
    fn output(&self, command: &str) -> String {
        let output = self.shell(command).output().unwrap();
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {}\n{text}\n{errors}", output.status);
        format!("{text}{errors}")
    }

    fn types(&self, command: &str, says: &str) {
        self.make_ready_for(command);
        let (command, says) = (self.filled_in(command), self.filled_in(says));
        let text = self.output(&command);
        assert!(text.contains(&says), "{command} does not say {says:?}:\n{text}");
    }

    fn is_refused(&self, command: &str, says: &str) {
        let output = self.shell(&self.filled_in(command)).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(says) && errors.contains("there are no AWS credentials"), "{errors}");
    }

    /// What only a running system can know.
    fn filled_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if text.contains("<order id>") {
            text =
                text.replace("<order id>", fs::read_to_string(self.root().join("order-id")).unwrap().trim());
        }
        if text.contains("<id>") {
            let listed: Value =
                serde_json::from_str(&self.printed("cargo orderbus dlq list --json")).unwrap();
            text = text.replace("<id>", listed[0]["id"].as_str().unwrap());
        }
        if text.contains("NAME") {
            let listed: Value =
                serde_json::from_str(&self.printed("cargo orderbus replay list --json")).unwrap();
            text = text.replace("NAME", listed[0]["name"].as_str().unwrap());
        }
        text
    }

    fn printed(&self, command: &str) -> String {
        let output = self.shell(command).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn make_ready_for(&self, command: &str) {
        match command {
            "cargo orderbus dlq list" => self.leave_dead_letter("dead-1"),
            "cargo orderbus dlq redrive --queue inventory-updater" => self.leave_dead_letter("dead-2"),
            _ if command.contains("--to 2026-02-01 --from-lake") => {
                let then =
                    "--set time=2026-01-31T12:00:00.000Z --set id=of-then --set data.orderId=o-of-then";
                self.output(&format!("cargo orderbus publish orders.order-placed.v1 {then}"));
                let counts = "cargo orderbus lake report events-by-type --from 2026-01-31 --to 2026-01-31";
                let is_archived = eventually(PATIENCE, || {
                    self.output(counts).contains("orders.order-placed").then_some(())
                });
                assert!(is_archived.is_some(), "the event of then is not in the lake");
            }
            _ => {}
        }
    }

    /// An order that the updater of the inventory failed on.
    fn leave_dead_letter(&self, id: &str) {
        let mut envelope = publish::golden(EventType::OrderPlaced).unwrap();
        // Of another account, it would not be sent back.
        envelope["account"] = "000000000000".into();
        envelope["detail"]["id"] = id.into();
        envelope["detail"]["subject"] = id.into();
        envelope["detail"]["data"]["orderId"] = id.into();
        let stack = self.stack();
        let sqs = stack.stack().sdk().sqs();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let prefix = "orderbus-local-InventoryUpdaterDeadLetterQueue";
            let queues = sqs.list_queues().queue_name_prefix(prefix).send().await.unwrap();
            let request =
                sqs.send_message().queue_url(&queues.queue_urls()[0]).message_body(envelope.to_string());
            request.send().await.unwrap();
        });
    }

    fn stack(&self) -> LocalStack {
        let options = Options { state: self.root().join(".local"), ..Options::default() };
        LocalStack::find(&options, &Progress::new(|_| ())).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What the last command stopped is no error to stop again.
        ministack::stop(&self.root().join(".local")).ok();
    }
}

/// This program is <target directory>/<target>/release/deps/<name>.
fn target_directory() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(4).unwrap().to_path_buf()
}

/// A shell knows nothing of the test that it is started by.
fn forget_the_test(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        let prefixes = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BUILD_RUSTFLAGS", "CARGO_BIN_", "NEXTEST"];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

/// A command that runs until it is ended, with everything that it starts.
struct Running {
    child: Child,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        Self { child: command.process_group(0).spawn().unwrap() }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        processes::stop(self.child.id());
        self.child.wait().unwrap();
    }
}

/// The first command, and the `curl` command that it ends with.
fn start(world: &World) {
    let text = world.output("cargo orderbus local");
    assert!(text.contains("all twenty orders ended as declared"), "{text}");
    let curl = text.split("\n  curl ").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let answer = world.output(&format!("curl --silent {curl}"));
    assert!(answer.contains(" 202 "), "{answer}");
    let order_id = answer.split("\"orderId\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    fs::write(world.root().join("order-id"), order_id).unwrap();
    let look = format!("cargo orderbus order {order_id}");
    // The next command shows its first event. Another may be known before it.
    let is_known = eventually(PATIENCE, || {
        let output = world.shell(&look).output().unwrap();
        let has_begun = String::from_utf8_lossy(&output.stdout).contains("order-placed");
        (output.status.success() && has_begun).then_some(())
    });
    assert!(is_known.is_some(), "{order_id}");
}

/// Every option at once, and none; Ctrl-C ends it.
fn watch_the_bus(world: &World) {
    let confirmed = "cargo orderbus publish orders.order-confirmed.v1 --set data.orderId=watched";
    for options in ["", "--type 'orders.*' --source orders --subject watched --json"] {
        let mut shell = world.shell(&format!("exec cargo orderbus tail {options}"));
        let mut tail = Running::start(shell.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut said = BufReader::new(tail.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watching") {
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
        }
        world.output(confirmed);
        let mut shown = BufReader::new(tail.child.stdout.take().unwrap());
        line.clear();
        while !line.contains("watched") {
            assert_ne!(shown.read_line(&mut line).unwrap(), 0, "{line}");
        }
        assert!(line.contains("orders.order-confirmed.v1"), "{line}");
        assert!(!line.contains("Ada Example"), "{line}");
        killpg(tail.group(), Signal::SIGINT).unwrap();
        assert_eq!(tail.child.wait().unwrap().code(), Some(130));
        let mut rest = String::new();
        shown.read_to_string(&mut rest).unwrap();
    }
    let rules = world.output("cargo orderbus rules list");
    assert!(!rules.contains("orderbus-tail"), "{rules}");
}

fn publish_over_http(world: &World) {
    let stack = world.stack();
    let api = stack.stack().output("ApiId").unwrap();
    let set = SET_API.replace("<api id>", api).replace("4566", &stack.ministack().port().to_string());
    let answer = world.output(&format!("{set}\n{CURL_EVENTS}"));
    assert!(answer.contains(" 202 ") && answer.contains("accepted"), "{answer}");
}

/// As on AWS; here nothing looks at the signature.
fn place_an_order(world: &World) {
    let stack = world.stack();
    let api = stack.stack().output("ApiId").unwrap();
    let address = format!("http://{api}.execute-api.localhost:{}", stack.ministack().port());
    let set = format!("{ANY_CREDENTIALS}\nAPI={address}");
    let answer = world.output(&format!("{set}\n{CURL_ORDERS}"));
    assert!(answer.contains(" 202 "), "{answer}");
    let order_id = answer.split("/orders/").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    fs::write(world.root().join("order-id"), order_id).unwrap();
}

/// On AWS it needs an account. On this stack the same leads to a shipped order.
fn ship_the_order(world: &World) {
    world.is_refused(PUBLISH_PICK_UP, "stack orderbus");
    let shows = |wanted: &str| {
        let command = world.filled_in("cargo orderbus order <order id>");
        let is_shown = eventually(PATIENCE, || {
            let output = world.shell(&command).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains(wanted).then_some(())
        });
        assert!(is_shown.is_some(), "{wanted} is not in:\n{}", world.output(&command));
    };
    shows("shipment-scheduled");
    let here = PUBLISH_PICK_UP.replace("--stack orderbus ", "");
    world.types(&here, "published shipping.parcel-picked-up.v1");
    shows("  shipped");
}

/// Those of the stack that runs here, the locked lake among them.
fn empty_the_buckets(world: &World) {
    let endpoint = world.stack().ministack().endpoint();
    let empty = "python3 tools/empty_buckets.py orderbus-local";
    let text = world.output(&format!("{ANY_CREDENTIALS}\nexport AWS_ENDPOINT_URL={endpoint}\n{empty}"));
    let lake = text.lines().find(|line| line.contains("lakebucket")).unwrap();
    assert!(lake.ends_with(" versions deleted") && !lake.contains(": 0 "), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
}

/// Those of the stack that runs here. This machine's linker may ask for a newer glibc than Lambda has; zig, with which people
/// build for AWS, does not.
fn check_programs(world: &World) {
    let output = world.shell("cargo orderbus check-programs --config-env local").output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let is_refused = text.contains("needs glibc") && output.status.code() == Some(1);
    assert!(is_refused || (output.status.success() && text.contains("starts on")), "{text}");
    assert!(
        text.contains("orderbus/OrderApiFunction") && text.contains("payment-provider/Function"),
        "{text}"
    );
    let other = world.shell("cargo orderbus check-programs").output().unwrap();
    let errors = String::from_utf8(other.stderr).unwrap();
    let is_other = std::env::consts::ARCH == "x86_64";
    assert!(!is_other || errors.contains("samconfig.toml says Architecture=arm64"), "{errors}");
}

fn call_a_replay_off(world: &World) {
    begin_a_replay(world, "called-off");
    world.types("cargo orderbus replay list", "called-off");
    world.types("cargo orderbus replay status called-off", "called-off");
    world.types("cargo orderbus replay cancel called-off", "called-off");
}

fn resume_what_was_killed(world: &World) {
    begin_a_replay(world, "broken-off");
    world.types("cargo orderbus replay --resume broken-off", "broken-off");
}

/// Begins one that takes a while, and kills the command.
fn begin_a_replay(world: &World, name: &str) {
    let begin = format!(
        "exec cargo orderbus replay --from 2h --from-lake --rule order-tracker --rate 20 --name {name}"
    );
    let begun = Running::start(world.shell(&begin).stdout(Stdio::null()).stderr(Stdio::null()));
    let checkpoint = world.root().join(format!(".local/replays/{name}.json"));
    assert!(eventually(PATIENCE, || checkpoint.exists().then_some(())).is_some());
    killpg(begun.group(), Signal::SIGKILL).unwrap();
}

fn read_the_logs(world: &World) {
    let command = "cargo orderbus subscriber logs ../gift-wrapper";
    let wanted = "orders.order-confirmed.v1";
    let is_logged = eventually(PATIENCE, || world.output(command).contains(wanted).then_some(()));
    assert!(is_logged.is_some(), "{}", world.output(command));
}

/// Both halves of a subscription from another account, in one: rule, bus, rule, queue, function.
fn hear_over_a_bus_of_ones_own(world: &World) {
    world.types("cargo orderbus subscriber deploy ../parcel-watch", "deployed");
    let wanted = "shipping.shipment-scheduled.v1";
    world.output(&format!("cargo orderbus publish {wanted}"));
    let command = "cargo orderbus subscriber logs ../parcel-watch";
    let is_logged = eventually(PATIENCE, || world.output(command).contains(wanted).then_some(()));
    assert!(is_logged.is_some(), "{}", world.output(command));
}

/// The stack that runs gets the new function, which is compiled for it, and hears of twenty orders.
fn hear_of_an_order_inside(world: &World) {
    world.output("cargo orderbus local");
    let command = "cargo orderbus subscriber logs functions/gift-wrapper";
    let is_logged = eventually(PATIENCE, || world.output(command).contains("heard of it").then_some(()));
    assert!(is_logged.is_some(), "{}", world.output(command));
}

/// One function, started by cargo-lambda, and a sample that is sent to it.
fn invoke_by_hand(world: &World) {
    // Beside the copy: what changes in it starts the function anew.
    let log = world.programs.join("watch.log");
    let mut shell = world.shell("exec cargo lambda watch --invoke-address 127.0.0.1");
    let output = File::create(&log).unwrap();
    let mut watch = Running::start(shell.stdout(output.try_clone().unwrap()).stderr(output));
    let invoke = "cargo lambda invoke inventory-updater --invoke-address 127.0.0.1 --data-file events/samples/inventory-updater/order-placed.json";
    let answer = eventually(PATIENCE, || {
        assert!(watch.child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
        let output = world.shell(invoke).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    let answer = answer.unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
    assert!(answer.contains("\"batchItemFailures\":[]"), "{answer}");
}
