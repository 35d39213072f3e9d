//! Records the calls of the functions: each is started as Lambda starts it, with the variables that the template gives it,
//! between a Runtime API that hands it events and a little AWS that notes what it calls.
//!
//! A scenario can forget a call. So what was recorded is held against the program itself: an operation whose code is in it
//! and that no scenario called is an error.

mod expression;
pub mod http;
mod linked;
mod scenario;
mod wire;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use self::http::{Reply, Request, serve};
use self::scenario::Step;
use self::world::World;
use crate::calls::{Recorded, functions, name_of, waiting_state_machines};
use crate::exceptions::Exceptions;
use crate::template::{REGION, Template, scalar};

/// How long an invocation may take here. None waits for anything but this process.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records the calls of every function of a template. `programs` is the folder of the built functions; `now_ms` is the time
/// as they see it, in milliseconds since 1970.
///
/// # Errors
/// When a function does not start or does not answer, calls something that is not understood here, or can call something
/// that no scenario makes it call.
pub fn record(
    root: &Path,
    programs: &Path,
    exceptions: &Exceptions,
    now_ms: fn() -> u64,
    progress: impl Fn(&str),
) -> Result<Recorded> {
    let template = Template::read(&root.join("template.yaml"), &scenario::PARAMETERS)?;
    let world = Arc::new(Mutex::new(world_of(&template)?));
    let answering = Arc::clone(&world);
    let endpoint = serve(move |request| locked(&answering).answer(request)).context("no port for AWS")?;
    let names = linked::operations_of_adapters(root)?;
    let mut recorded = Recorded::default();
    let mut problems = Vec::new();
    for (id, properties) in in_order(root, &template)? {
        let name = name_of(properties).with_context(|| id.to_owned())?;
        let program = programs.join(name);
        ensure!(program.is_file(), "{name} is not built: there is no {}", program.display());
        let variables = variables_of(&template, properties);
        let variable = |name: &str| variables.get(name).cloned();
        let steps = scenario::steps(root, name, variable, now_ms())?;
        ensure!(
            !steps.is_empty(),
            "{name} has no sample in events/samples/{name}, so nothing makes it call anything"
        );
        scenario::prepare(root, name, variable, &mut locked(&world))?;
        let function = Function::start(&program, id, (endpoint, now_ms), &variables)?;
        play(&function, &steps, &world).with_context(|| name.to_owned())?;
        let mut world = locked(&world);
        problems.extend(world.problems.drain(..).map(|problem| format!("{name}: {problem}")));
        let operations = std::mem::take(&mut world.operations);
        problems.extend(compare(name, &linked::linked(&program, &names)?, &operations, exceptions));
        let calls = std::mem::take(&mut world.calls);
        progress(&format!("{name}: {} calls of {} operations", calls.len(), operations.len()));
        recorded.insert(name, calls);
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(recorded)
}

/// What is wrong about what a function called and what it could call.
fn compare(
    function: &str,
    linked: &BTreeSet<(String, String)>,
    called: &BTreeSet<(String, String)>,
    exceptions: &Exceptions,
) -> Vec<String> {
    let of_function = || exceptions.unreached.iter().filter(|one| one.function == function);
    let is_excused = |operation: &str| of_function().any(|one| one.operation == operation);
    let mut problems = Vec::new();
    for (service, name) in linked.difference(called) {
        let operation = format!("{service}:{name}");
        if !is_excused(&operation) {
            problems.push(format!(
                "{function} can call {operation} and no scenario makes it: add a sample or a step to \
                 tools/iam/src/record/scenario.rs, or a reason to tools/iam/exceptions.toml"
            ));
        }
    }
    // What is called has to be found in the program, or nothing could be said to be missing.
    for (service, name) in called.difference(linked) {
        problems.push(format!("{function} called {service}:{name}, which was not found in its program"));
    }
    for one in of_function() {
        let is_it = |(service, name): &&(String, String)| one.operation == format!("{service}:{name}");
        if called.iter().any(|operation| is_it(&operation))
            || !linked.iter().any(|operation| is_it(&operation))
        {
            problems.push(format!(
                "{function}: {} is no exception any more; take it out of tools/iam/exceptions.toml",
                one.operation
            ));
        }
    }
    problems
}

fn world_of(template: &Template) -> Result<World> {
    let mut world = World::default();
    world.waiting = waiting_state_machines(template)?;
    for (id, table) in template.of_type("AWS::DynamoDB::Table") {
        let keys = table["KeySchema"].as_array().into_iter().flatten();
        let names = keys.filter_map(|key| key["AttributeName"].as_str().map(str::to_owned)).collect();
        world.keys.insert(id.to_owned(), names);
    }
    Ok(world)
}

/// The functions in the order in which they stand in the template, in which an order goes through them.
fn in_order<'t>(root: &Path, template: &'t Template) -> Result<Vec<(&'t str, &'t Value)>> {
    let text = std::fs::read_to_string(root.join("template.yaml"))?;
    let mut all: Vec<(&str, &Value)> = functions(template).collect();
    all.sort_by_key(|(id, _)| text.find(&format!("\n  {id}:\n")));
    Ok(all)
}

fn variables_of(template: &Template, properties: &Value) -> BTreeMap<String, String> {
    let of_all = &template.globals()["Function"]["Environment"]["Variables"];
    let own = &properties["Environment"]["Variables"];
    let both = [of_all, own].into_iter().filter_map(Value::as_object).flatten();
    both.map(|(name, value)| (name.clone(), scalar(value))).collect()
}

fn play(function: &Function, steps: &[Step], world: &Mutex<World>) -> Result<()> {
    let before = locked(world).tables.clone();
    for step in steps {
        match step {
            Step::Invoke(payload) => {
                function.invoke(payload)?;
                locked(world).expect(None);
            }
            Step::Let(mishap) => locked(world).expect(Some(*mishap)),
            Step::Reset => locked(world).tables.clone_from(&before),
            Step::LetTimePass => locked(world).let_time_pass(),
            Step::Send(queue, message) => {
                locked(world).queues.entry(queue.clone()).or_default().push_back(message.clone());
            }
        }
    }
    Ok(())
}

/// A running function. It ends with this.
struct Function {
    child: Child,
    events: Sender<String>,
    outcomes: Receiver<Outcome>,
}

/// What a function says of an invocation.
enum Outcome {
    /// It answered, with a result or an error.
    Answered,
    /// It could not start.
    NotStarted(String),
}

impl Function {
    fn start(
        program: &Path,
        id: &str,
        (endpoint, now_ms): (u16, fn() -> u64),
        variables: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let (events, waiting) = channel::<String>();
        let (said, outcomes) = channel();
        let waiting = Mutex::new(waiting);
        let runtime_api = serve(move |request| runtime_api(request, &waiting, &said, now_ms))
            .context("no port for the Runtime API")?;
        let mut command = Command::new(program);
        // Nothing of this process's own: a function has what Lambda gives it.
        command.env_clear().envs(variables);
        command.envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_SESSION_TOKEN", "test"),
            ("AWS_REGION", REGION),
            ("AWS_LAMBDA_FUNCTION_NAME", id),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "log-group"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "log-stream"),
        ]);
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{endpoint}"));
        command.env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{runtime_api}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, events, outcomes })
    }

    fn invoke(&self, payload: &Value) -> Result<()> {
        self.events.send(payload.to_string()).context("the Runtime API ended")?;
        match self.outcomes.recv_timeout(PATIENCE) {
            Ok(Outcome::Answered) => Ok(()),
            Ok(Outcome::NotStarted(problem)) => bail!("it does not start: {problem}"),
            Err(_) => bail!("it did not answer in {} s", PATIENCE.as_secs()),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Lambda's Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
fn runtime_api(
    request: &Request,
    waiting: &Mutex<Receiver<String>>,
    said: &Sender<Outcome>,
    now_ms: fn() -> u64,
) -> Reply {
    let end = request.path.rsplit('/').next().unwrap_or_default();
    let outcome = match end {
        "next" => {
            let event = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            // Nobody has events any more: this process is about to end the function.
            let Ok(event) = event else { return Reply::new(500, "") };
            let deadline_ms = now_ms() + PATIENCE.as_millis() as u64;
            return Reply::new(200, event)
                .with("content-type", "application/json")
                .with("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .with("lambda-runtime-deadline-ms", deadline_ms.to_string())
                .with(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:eu-central-1:111122223333:function:f",
                );
        }
        _ if request.path.ends_with("/init/error") => {
            Outcome::NotStarted(String::from_utf8_lossy(&request.body).into_owned())
        }
        _ => Outcome::Answered,
    };
    // Whoever asked may have lost patience.
    said.send(outcome).ok();
    Reply::new(202, json!({"status": "OK"}).to_string())
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(names: &[&str]) -> BTreeSet<(String, String)> {
        let pair =
            |name: &&str| name.split_once(':').map(|(service, name)| (service.to_owned(), name.to_owned()));
        names.iter().filter_map(pair).collect()
    }

    #[test]
    fn what_is_in_a_program_and_was_never_called_needs_a_reason() {
        let unreached = "[[unreached]]\nfunction = 'f'\noperation = 's3:CreateSession'\nreason = 'only for directory buckets'";
        let exceptions = Exceptions::parse(unreached).unwrap();
        let (linked, called) =
            (operations(&["s3:GetObject", "s3:CreateSession"]), operations(&["s3:GetObject"]));
        assert_eq!(compare("f", &linked, &called, &exceptions), [""; 0]);
        assert!(compare("g", &linked, &called, &exceptions)[0].contains("can call s3:CreateSession"));
        assert!(compare("f", &called, &called, &exceptions)[0].contains("no exception any more"));
        assert!(compare("f", &linked, &linked, &exceptions)[0].contains("no exception any more"));
        assert!(
            compare("g", &operations(&[]), &called, &exceptions)[0].contains("was not found in its program")
        );
    }
}
