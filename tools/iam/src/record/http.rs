//! As much of an HTTP/1.1 server on the loopback interface as the functions' clients need.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// More than any body that a function sends here.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What a client asks.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Decoded, without the query.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    /// Whole, out of its chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// A header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What it is told.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// All but the length of the body.
    pub headers: Vec<(&'static str, String)>,
    /// Left out in the answer to HEAD.
    pub body: Vec<u8>,
}

impl Reply {
    /// Without headers of its own.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Serves on a free port, on threads that end with the process. Returns the port.
///
/// # Errors
/// When there is no port.
pub fn serve(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(io::Result::ok) {
            let answer = Arc::clone(&answer);
            // A client that goes away ends its thread.
            thread::spawn(move || converse(connection, answer.as_ref()).ok());
        }
    });
    Ok(port)
}

fn converse(connection: TcpStream, answer: &impl Fn(&Request) -> Reply) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    while let Some(request) = read(&mut reader, &mut writer)? {
        let reply = answer(&request);
        let headers: String =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {} Recorded\r\ncontent-length: {}\r\n{headers}\r\n",
            reply.status,
            reply.body.len()
        );
        let mut bytes = head.into_bytes();
        if request.method != "HEAD" {
            bytes.extend(reply.body);
        }
        writer.write_all(&bytes)?;
    }
    Ok(())
}

/// The next request of a connection; `None` at its end.
fn read(reader: &mut impl BufRead, writer: &mut impl Write) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    let query = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    let path = decoded(path);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.contains_key("expect") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut request = Request { method, path, query, headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some() {
        request.body = chunks(reader)?;
    } else if let Some(length) = request.header("content-length") {
        let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        if length > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16);
        let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            // Up to the empty line, as good as without trailers.
            while reader.read_line(&mut line)? > 2 {}
            return Ok(body);
        }
        if body.len() + size > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let begin = body.len();
        body.resize(begin + size, 0);
        reader.read_exact(&mut body[begin..])?;
        reader.read_line(&mut line)?;
    }
}

/// Percent-encoding undone; a plus stands for a space in forms and queries.
#[must_use]
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(text: &str) -> Request {
        read(&mut text.as_bytes(), &mut Vec::new()).unwrap().unwrap()
    }

    #[test]
    fn a_request_is_read_whole_in_either_form() {
        let request =
            read_of("PUT /a%20b/c?list-type=2&prefix=x%2Fy HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(
            (request.path.as_str(), request.query["prefix"].as_str(), request.body.as_slice()),
            ("/a b/c", "x/y", &b"hi"[..])
        );
        let request =
            read_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
        assert_eq!(request.body, b"abcd");
        assert!(read(&mut &b""[..], &mut Vec::new()).unwrap().is_none());
    }
}
