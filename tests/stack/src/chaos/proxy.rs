//! A proxy between the functions and AWS that does to their calls what a bad day does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::faults::{Call, Dice, Fault, Shares};
use super::wire::{self, Message};

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All calls.
    pub seen: usize,
    /// Refused, not carried out.
    pub throttled: usize,
    /// Carried out, and the answer withheld.
    pub replies_lost: usize,
    /// Batch calls of which entries were refused.
    pub partial: usize,
    /// Those entries.
    pub entries_refused: usize,
    /// Carried out late.
    pub delayed: usize,
    /// Not carried out and not answered.
    pub hung: usize,
}

/// The proxy, on a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    shares: Shares,
    traffic: Traffic,
}

impl FaultProxy {
    /// Stands on a free port in front of what listens, or will listen, on `upstream_port`. It begins without faults.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start(upstream_port: u16, seed: u64) -> Result<Self> {
        let state = State { dice: Dice::new(seed), shares: Shares::NONE, traffic: Traffic::default() };
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port));
        let shared = Arc::new(Shared { upstream, state: Mutex::new(state) });
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        // Bound before there is anybody to serve: clients that come early wait.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        listener.set_nonblocking(true).context("cannot serve")?;
        let port = listener.local_addr().context("no free port")?.port();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("fault-proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        let thread = thread.context("cannot start a thread")?;
        Ok(Self { port, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// From now on this much goes wrong.
    pub fn set_shares(&self, shares: Shares) {
        self.shared.state().shares = shares;
    }

    /// What went through so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.state().traffic
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault_of(&self, request: &Message) -> Fault {
        let mut state = self.state();
        let State { dice, shares, traffic } = &mut *state;
        traffic.seen += 1;
        let Some(call) = Call::of(request) else { return Fault::None };
        let fault = dice.fault(*shares, &call, request, Instant::now());
        match &fault {
            Fault::None => {}
            Fault::Delayed(_) => traffic.delayed += 1,
            Fault::Hung => traffic.hung += 1,
            Fault::Refused(_) => traffic.throttled += 1,
            Fault::CutOff | Fault::AnsweredWrongly(_) => traffic.replies_lost += 1,
            Fault::Partial(partial) => {
                traffic.partial += 1;
                traffic.entries_refused += partial.refused();
            }
        }
        fault
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            terminal::complain(format_args!("the fault proxy cannot serve: {error}"));
            return;
        }
    };
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors, for instance: others may be given back.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A connection that breaks is a client that was killed, or an upstream that ends.
            serve(client, &shared).await.ok();
        });
    }
}

/// Serves one client until it goes, or is cut off.
async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut upstream = Upstream { address: shared.upstream, connection: None };
    while let Some(request) = wire::read_request(&mut client).await? {
        let answer = match shared.fault_of(&request) {
            Fault::None => upstream.ask(&request).await?,
            Fault::Delayed(delay) => {
                tokio::time::sleep(delay).await;
                upstream.ask(&request).await?
            }
            // The client ends the connection when it gives up; until then nothing comes.
            Fault::Hung => return wire::read_request(&mut client).await.map(drop),
            Fault::Refused(answer) => *answer,
            Fault::CutOff => {
                upstream.ask(&request).await?;
                return Ok(());
            }
            Fault::AnsweredWrongly(answer) => {
                upstream.ask(&request).await?;
                *answer
            }
            Fault::Partial(partial) => {
                let taken = match partial.forwarded(&request) {
                    Some(forwarded) => Some(upstream.ask(&forwarded).await?),
                    None => None,
                };
                partial.answer(taken)
            }
        };
        answer.write(&mut client).await?;
        if request.is_last() || answer.is_last() {
            break;
        }
    }
    Ok(())
}

/// The connection that belongs to one client's.
struct Upstream {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Upstream {
    async fn ask(&mut self, request: &Message) -> io::Result<Message> {
        let mut connection = match self.connection.take() {
            Some(connection) if is_open(connection.get_ref()) => connection,
            _ => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        request.write(&mut connection).await?;
        let answer = wire::read_response(&mut connection, request).await?;
        if !answer.is_last() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// An idle connection that can be read from has ended: nothing was asked, so nothing can have been answered.
fn is_open(stream: &TcpStream) -> bool {
    let mut nothing = [0; 1];
    matches!(stream.try_read(&mut nothing), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// An upstream that answers every request with its own body, and closes every second connection after the answer.
    async fn echo(listener: TcpListener, heard: Arc<Mutex<usize>>) {
        let mut connections = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections += 1;
            let (closes, heard) = (connections % 2 == 0, Arc::clone(&heard));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Ok(Some(request)) = wire::read_request(&mut stream).await {
                    *heard.lock().unwrap() += 1;
                    Message::response("200 OK", "text/plain", request.body())
                        .write(&mut stream)
                        .await
                        .unwrap();
                    if closes {
                        break;
                    }
                }
            });
        }
    }

    fn through_a_proxy(shares: Shares, requests: usize) -> (Vec<Option<u16>>, Traffic, usize) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let heard = Arc::new(Mutex::new(0));
            let proxy = FaultProxy::start(listener.local_addr().unwrap().port(), 11).unwrap();
            proxy.set_shares(shares);
            tokio::spawn(echo(listener, Arc::clone(&heard)));
            let mut answers = Vec::new();
            let mut client = None;
            for number in 0..requests {
                let mut stream = match client.take() {
                    Some(stream) => stream,
                    None => BufReader::new(TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap()),
                };
                let body = format!("body {number}");
                let head = format!(
                    "POST / HTTP/1.1\r\nAuthorization: Credential=a/b/c/dynamodb/d\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
                let request = Message::response("", "", "");
                match wire::read_response(&mut stream, &request).await {
                    Ok(answer) => {
                        assert!(answer.status() != 200 || answer.body() == body.as_bytes());
                        answers.push(Some(answer.status()));
                        client = Some(stream);
                    }
                    Err(_) => {
                        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0);
                        answers.push(None);
                    }
                }
            }
            let heard = *heard.lock().unwrap();
            (answers, proxy.traffic(), heard)
        })
    }

    #[test]
    fn without_faults_everything_is_answered_over_whatever_connections() {
        let (answers, traffic, heard) = through_a_proxy(Shares::NONE, 50);
        assert_eq!(answers, [Some(200); 50]);
        assert_eq!((traffic, heard), (Traffic { seen: 50, ..Traffic::default() }, 50));
    }

    #[test]
    fn what_is_throttled_is_not_carried_out_and_what_is_lost_is() {
        let shares = Shares { throttled: 30.0, reply_lost: 30.0, ..Shares::NONE };
        let (answers, traffic, heard) = through_a_proxy(shares, 200);
        let count = |wanted: Option<u16>| answers.iter().filter(|answer| **answer == wanted).count();
        assert_eq!(count(Some(400)), traffic.throttled);
        assert_eq!(count(None) + count(Some(500)), traffic.replies_lost);
        assert!(count(None) > 0 && count(Some(500)) > 0 && count(Some(200)) > 0);
        assert_eq!(heard, 200 - traffic.throttled);
    }
}
