//! Child processes that never outlive their purpose.
//!
//! Every child leads a process group of its own, so that its children (MiniStack's functions, the compilers of
//! `sam build`) end with it. All groups are known in one place, for the signal handler.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Progress;

/// How long a group has to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(4);
/// A command that says nothing for so long gets a line saying that it is still at work.
const SILENCE: Duration = Duration::from_secs(5);

static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child and all its descendants. Dropping it ends them.
#[derive(Debug)]
pub struct ProcessGroup {
    child: Child,
}

impl ProcessGroup {
    /// Starts the command as the leader of a new group.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        running().push(child.id());
        Ok(Self { child })
    }

    /// The process id of the leader, which is also the id of the group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipe to the leader's standard input, when it was asked for.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// How the leader ended, when it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Lets the group live on after this program.
    pub fn leave(self) {
        forget(self.id());
        std::mem::forget(self);
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        stop(self.child.id());
        // The leader has ended; this only clears it from the process table.
        drop(self.child.wait());
        forget(self.child.id());
    }
}

/// Ends every group that this program started and has not left alone: what Ctrl-C does.
pub fn stop_all() {
    let ids = running().clone();
    ids.into_iter().for_each(stop);
}

/// Asks a group to end, waits for it, and kills what is left.
pub fn stop(group: u32) {
    stop_within(group, GRACE);
}

fn stop_within(group: u32, patience: Duration) {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if !is_alive(group) {
            return;
        }
        // It may have ended in between, and then there is nobody to signal.
        killpg(Pid::from_raw(group.cast_signed()), signal).ok();
        let started = Instant::now();
        while started.elapsed() < patience && is_alive(group) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether any process of the group still runs. A dead one whose parent has not looked yet does not count.
#[must_use]
pub fn is_alive(group: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { return false };
        // "pid (name) state parent group …": the name may hold anything, so read behind its last bracket.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = fields.next();
        let in_group = fields.nth(1).and_then(|field| field.parse().ok()) == Some(group);
        in_group && !matches!(state, Some("Z" | "X"))
    })
}

/// Runs a long command: all its output goes to `log`, what `condense` makes of a line is shown.
///
/// # Errors
/// With the end of the log, when the command fails.
pub fn run(
    command: &mut Command,
    log: &Path,
    progress: &Progress,
    mut condense: impl FnMut(&str) -> Option<String>,
) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut log_file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = ProcessGroup::spawn(command)?;
    let (sender, lines) = channel();
    if let Some(output) = group.child.stdout.take() {
        forward(output, sender.clone());
    }
    if let Some(output) = group.child.stderr.take() {
        forward(output, sender);
    }

    let started = Instant::now();
    let mut last_line = String::new();
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                writeln!(log_file, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
                if let Some(short) = condense(&line) {
                    progress.say(format_args!("  {short}"));
                }
                if !line.trim().is_empty() {
                    last_line = line;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let last: String = last_line.trim().chars().take(60).collect();
                progress.say(format_args!("  … for {} s: {last}", started.elapsed().as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = group.child.wait().context("cannot wait for a command")?;
    if status.success() {
        return Ok(());
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let name = name.rsplit('/').next().unwrap_or_default();
    bail!("{name} ended with {status}. The end of {}:\n{}", log.display(), tail(log, 25))
}

/// The last lines of a file.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let kept = &all[all.len().saturating_sub(lines)..];
    kept.iter().map(|line| format!("    {line}\n")).collect()
}

fn forward(output: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // A progress bar rewrites its line; only the final text counts.
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
            if lines.send(text.to_owned()).is_err() {
                return;
            }
        }
    });
}

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(group: u32) {
    running().retain(|id| *id != group);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    #[test]
    fn a_dropped_group_takes_its_grandchildren_along() {
        let group = ProcessGroup::spawn(&mut shell("sleep 60 & sleep 60")).unwrap();
        let id = group.id();
        assert!(is_alive(id));
        drop(group);
        assert!(!is_alive(id));
    }

    #[test]
    fn a_group_that_ignores_the_request_to_end_is_killed() {
        let mut script = shell("trap '' TERM; echo ready; sleep 60");
        let mut group = ProcessGroup::spawn(script.stdout(Stdio::piped())).unwrap();
        let mut ready = [0; 5];
        group.child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        stop_within(group.id(), Duration::from_millis(200));
        assert!(!is_alive(group.id()));
    }

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let folder = std::env::temp_dir().join(format!("orderbus-processes-{}", std::process::id()));
        let progress = Progress::new(|_| ());
        let failed = run(
            &mut shell("echo first; echo it broke >&2; exit 3"),
            &folder.join("x.log"),
            &progress,
            |_| None,
        );
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("exit status: 3") && message.contains("it broke"), "{message}");
        fs::remove_dir_all(folder).unwrap();
    }
}
