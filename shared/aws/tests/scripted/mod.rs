//! A service of a test's own on the loopback interface: it says on the wire what AWS says, also what no emulator says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws::Sdk;
use aws_credential_types::Credentials;
use serde_json::{Value, json};

/// What a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The operation, for the services that name it in a header.
    pub(crate) fn operation(&self) -> &str {
        self.header("x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What it is told.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn json(body: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn xml(status: u16, body: &str) -> Self {
        Self { status, headers: vec![("content-type", "text/xml".to_owned())], body: body.to_owned() }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The error of a service that speaks JSON.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::error_with(status, code, json!({}))
    }

    /// The same, with more than a message.
    pub(crate) fn error_with(status: u16, code: &str, members: Value) -> Self {
        let mut body = members;
        body["__type"] = json!(format!("com.amazonaws.service#{code}"));
        body["message"] = json!("as recorded");
        Self { status, ..Self::json(&body) }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Answered(Answer),
    /// It is answered after a while.
    AnsweredLate(Duration, Answer),
    /// It arrives, and its answer is lost.
    ReplyLost,
}

/// The service, which follows a script. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct ScriptedAws {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ScriptedAws {
    /// Lets each request, in the order of arrival, have the next of these fates; the last one stays.
    pub(crate) fn that_answers(fates: Vec<Fate>) -> Self {
        Self::start(move |number, _| fates[number.min(fates.len() - 1)].clone())
    }

    /// Answers whatever comes in the same way.
    pub(crate) fn that_always_answers(answer: Answer) -> Self {
        Self::that_answers(vec![Fate::Answered(answer)])
    }

    /// Answers what `fate` says of the request and its number.
    pub(crate) fn start(fate: impl Fn(usize, &Request) -> Fate + Send + Sync + 'static) -> Self {
        Self::start_at_pace(None, fate)
    }

    /// Takes bodies at so many bytes a second, and then answers whatever comes in the same way.
    pub(crate) fn that_reads_slowly(bytes_per_second: usize, answer: Answer) -> Self {
        Self::start_at_pace(Some(bytes_per_second), move |_, _| Fate::Answered(answer.clone()))
    }

    fn start_at_pace(
        bytes_per_second: Option<usize>,
        fate: impl Fn(usize, &Request) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (arrived, fate) = (requests.clone(), Arc::new(fate));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (arrived, fate) = (arrived.clone(), fate.clone());
                // A client that goes away ends its thread.
                thread::spawn(move || serve(connection, bytes_per_second, &arrived, fate.as_ref()).ok());
            }
        });
        Self { address, requests }
    }

    pub(crate) fn sdk(&self) -> Sdk {
        let credentials = Credentials::new("test", "test", None, None, "test");
        Sdk::new(credentials, "us-east-1".to_owned(), Some(format!("http://{}", self.address)))
    }

    /// The same as functions have it: less patient.
    pub(crate) fn sdk_of_a_function(&self) -> Sdk {
        let credentials = Credentials::new("test", "test", None, None, "test");
        Sdk::of_a_function(credentials, "us-east-1".to_owned(), Some(format!("http://{}", self.address)))
    }

    /// Everything that arrived.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    connection: TcpStream,
    bytes_per_second: Option<usize>,
    arrived: &Mutex<Vec<Request>>,
    fate: &impl Fn(usize, &Request) -> Fate,
) -> Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    while let Some(request) = read(&mut reader, bytes_per_second)? {
        let number = {
            let mut arrived = arrived.lock().unwrap();
            arrived.push(request.clone());
            arrived.len() - 1
        };
        match fate(number, &request) {
            Fate::Answered(answer) => writer.write_all(&bytes_of(&answer))?,
            Fate::AnsweredLate(pause, answer) => {
                thread::sleep(pause);
                writer.write_all(&bytes_of(&answer))?;
            }
            Fate::ReplyLost => return Ok(()),
        }
    }
    Ok(())
}

/// The next request of a connection; `None` at its end.
fn read(reader: &mut BufReader<TcpStream>, bytes_per_second: Option<usize>) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    for part in body.chunks_mut(bytes_per_second.map_or(usize::MAX, |bytes| bytes / 20)) {
        reader.read_exact(part)?;
        if bytes_per_second.is_some() {
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(Some(Request { method, headers, body }))
}

fn bytes_of(answer: &Answer) -> Vec<u8> {
    let Answer { status, headers, body } = answer;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Recorded\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
        .into_bytes()
}
