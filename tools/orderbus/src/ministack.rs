//! One MiniStack: the AWS services on this machine, as a child process.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::processes::{self, ProcessGroup};
use crate::tools::Tools;
use crate::{Progress, http};

/// What AWS clients conventionally expect of a local emulator.
pub const PORT: u16 = 4566;
/// The only region of the local stack.
pub const REGION: &str = "us-east-1";

const READY_WITHIN: Duration = Duration::from_secs(60);

/// What its Athena needs to run Athena's own SQL; the file says what and why.
const ATHENA_HERE: &str = include_str!("athena_here.py");

/// Starts MiniStack with three changes more.
/// Without the first, each warm call of a function waits 40 ms for a delayed acknowledgement.
/// The second ends it, and its functions, when the one who started it is gone without a farewell.
/// The third clears its ended functions from the process table, which not every container does.
const START: &str = r#"
import os, signal, socketserver, sys, threading, time
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

def stay_until_the_starter_is_gone():
    if os.read(0, 1) != b"k":
        os.killpg(0, signal.SIGTERM)
        time.sleep(4)
        os.killpg(0, signal.SIGKILL)

def clear_ended_functions():
    last = time.monotonic() + 2
    while time.monotonic() < last:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return

threading.Thread(target=stay_until_the_starter_is_gone, daemon=True).start()
exec(sys.argv[1])
install()
from ministack.app import main
sys.argv = ["ministack"]
try:
    main()
finally:
    clear_ended_functions()
"#;

/// A running MiniStack.
#[derive(Debug)]
pub struct MiniStack {
    port: u16,
    state: PathBuf,
    /// Present when this program started it. It ends with this program unless told to [`stay`](Self::stay).
    started: Option<(ProcessGroup, ChildStdin)>,
}

/// What is written down for the next command.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    port: u16,
}

impl MiniStack {
    /// Finds the one that an earlier command left running with this state.
    #[must_use]
    pub fn find(state: &Path) -> Option<Self> {
        let record = read_record(state)?;
        let found = Self { port: record.port, state: state.to_path_buf(), started: None };
        (is_ours(record.pid, state) && found.is_ready()).then_some(found)
    }

    /// Starts one that keeps everything it writes in `state`.
    ///
    /// # Errors
    /// When the port is taken or when it does not become ready.
    pub fn start(tools: &Tools, state: &Path, port: Option<u16>, progress: &Progress) -> Result<Self> {
        Self::start_behind(None, tools, state, port, progress)
    }

    /// As [`start`](Self::start); its functions find AWS at `functions_endpoint`, when one is given, and nobody else does.
    ///
    /// # Errors
    /// When the port is taken or when it does not become ready.
    pub fn start_behind(
        functions_endpoint: Option<&str>,
        tools: &Tools,
        state: &Path,
        port: Option<u16>,
        progress: &Progress,
    ) -> Result<Self> {
        let port = choose_port(port)?;
        let own_endpoint = endpoint(port);
        let state = std::path::absolute(state).context("cannot resolve the state folder")?;
        // What an earlier one left behind is of no use to a new one, whose services start empty.
        stop(&state)?;
        for folder in ["tmp", "s3", "state"] {
            fs::create_dir_all(state.join(folder))
                .with_context(|| format!("cannot create {}", state.display()))?;
        }
        let log = state.join("ministack.log");
        let log_file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = log_file.try_clone().context("cannot share the log file")?;

        let python = tools.command("python");
        let mut command = Command::new(python.get_program());
        // The state folder as an argument marks the process as ours. Functions inherit this environment, so it
        // holds nothing of the caller's.
        command.args(["-c", START, ATHENA_HERE]).arg(&state).current_dir(&state).env_clear();
        command.envs([
            ("GATEWAY_PORT", port.to_string().as_str()),
            ("BIND_HOST", "127.0.0.1"),
            ("IOT_MTLS_ENABLED", "0"),
            // Handed on to the functions; MiniStack itself calls nobody.
            ("AWS_ENDPOINT_URL", functions_endpoint.unwrap_or(&own_endpoint)),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("PYTHONUNBUFFERED", "1"),
        ]);
        command.env("TMPDIR", state.join("tmp")).env("S3_DATA_DIR", state.join("s3"));
        command.env("STATE_DIR", state.join("state"));
        command.stdin(Stdio::piped()).stdout(log_file).stderr(errors);

        let mut group = ProcessGroup::spawn(&mut command)?;
        let Some(lifeline) = group.take_stdin() else { bail!("MiniStack has no standard input") };
        let record = serde_json::to_vec(&Record { pid: group.id(), port }).context("unwritable record")?;
        let mut starting = Self { port, state, started: Some((group, lifeline)) };
        fs::write(record_file(&starting.state), record).context("cannot write the process id")?;
        starting.await_readiness(&log)?;
        progress.say(format_args!("MiniStack: started on {}", starting.endpoint()));
        Ok(starting)
    }

    /// Where every AWS service answers.
    #[must_use]
    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// The port of [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds everything it writes.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Whether it ran before this program came.
    #[must_use]
    pub fn was_there_before(&self) -> bool {
        self.started.is_none()
    }

    /// Lets it run on when this program ends.
    ///
    /// # Errors
    /// When it cannot be told, because it is gone.
    pub fn stay(&mut self) -> Result<()> {
        if let Some((group, mut lifeline)) = self.started.take() {
            lifeline.write_all(b"k").context("MiniStack has ended unexpectedly")?;
            group.leave();
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        http::get(&format!("{}/_ministack/health", self.endpoint()), &[])
            .is_ok_and(|answer| answer.status == 200)
    }

    fn await_readiness(&mut self, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while !self.is_ready() {
            let ended = match &mut self.started {
                Some((group, _)) => group.ended().context("cannot look at MiniStack")?,
                None => None,
            };
            if let Some(status) = ended {
                bail!(
                    "MiniStack ended with {status}. The end of {}:\n{}",
                    log.display(),
                    processes::tail(log, 25)
                );
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("MiniStack is not ready after {READY_WITHIN:?}. See {}", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        if let Some((group, _)) = self.started.take() {
            drop(group);
            // What cannot be removed is removed by the next start.
            clean(&self.state).ok();
        }
    }
}

/// Ends the MiniStack of this state, and its functions. Says whether one ran.
///
/// # Errors
/// When its files cannot be removed.
pub fn stop(state: &Path) -> Result<bool> {
    let state = std::path::absolute(state).context("cannot resolve the state folder")?;
    let running = read_record(&state).map(|record| record.pid).filter(|pid| is_ours(*pid, &state));
    if let Some(pid) = running {
        processes::stop(pid);
    }
    clean(&state)?;
    Ok(running.is_some())
}

/// Removes all but the logs.
fn clean(state: &Path) -> Result<()> {
    for leftover in ["tmp", "s3", "state"] {
        let folder = state.join(leftover);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    let record = record_file(state);
    if record.exists() {
        fs::remove_file(&record).with_context(|| format!("cannot remove {}", record.display()))?;
    }
    Ok(())
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn record_file(state: &Path) -> PathBuf {
    state.join("ministack.json")
}

fn read_record(state: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(record_file(state)).ok()?).ok()
}

/// A process id may long belong to somebody else: only a process that carries our state folder is ours.
fn is_ours(pid: u32, state: &Path) -> bool {
    let Ok(command_line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = command_line.split(|byte| *byte == 0);
    words.any(|word| word == state.as_os_str().as_encoded_bytes())
}

fn choose_port(wanted: Option<u16>) -> Result<u16> {
    if let Some(port) = wanted {
        if !is_free(port) {
            bail!("port {port} is taken by another program. Choose another with --port, or none");
        }
        return Ok(port);
    }
    if is_free(PORT) {
        return Ok(PORT);
    }
    free_port()
}

/// A port that nobody listens on just now.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
