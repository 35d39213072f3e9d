//! Ends processes of functions at random moments, whatever they are doing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use fastrand::Rng;

use crate::{FunctionProcess, function_processes};

/// At work on a thread of its own.
#[derive(Debug)]
pub(crate) struct Killer {
    stop: Sender<()>,
    thread: JoinHandle<Result<BTreeMap<String, usize>>>,
}

impl Killer {
    /// Kills processes of the stack that keeps its state there, with pauses of so many milliseconds.
    pub(crate) fn start(state: &Path, seed: u64, pause_ms: Range<u64>) -> Self {
        let (stop, stopped) = channel::<()>();
        let (state, mut rng): (PathBuf, Rng) = (state.to_path_buf(), Rng::with_seed(seed));
        let thread = std::thread::spawn(move || {
            let mut killed = BTreeMap::new();
            loop {
                let pause = Duration::from_millis(rng.u64(pause_ms.clone()));
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return Ok(killed);
                }
                if let Some(victim) = choose(function_processes(&state)?, &mut rng)
                    && victim.kill()
                {
                    *killed.entry(victim.function).or_default() += 1;
                }
            }
        });
        Self { stop, thread }
    }

    /// Says how many processes of each function were killed.
    pub(crate) fn stop(self) -> Result<BTreeMap<String, usize>> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the killer panicked"))?
    }
}

/// Any function, and of that one any process: a function with many processes is not killed more often.
fn choose(mut processes: Vec<FunctionProcess>, rng: &mut Rng) -> Option<FunctionProcess> {
    let mut functions: Vec<String> = processes.iter().map(|process| process.function.clone()).collect();
    functions.sort();
    functions.dedup();
    let function = functions.get(rng.usize(0..functions.len().max(1)))?.clone();
    processes.retain(|process| process.function == function);
    processes.get(rng.usize(0..processes.len().max(1))).cloned()
}
