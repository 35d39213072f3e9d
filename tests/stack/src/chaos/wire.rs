//! HTTP/1.1 messages, each read whole: as much of RFC 9112 as the SDK's clients and MiniStack speak.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// More than any head that the SDK sends.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// More than any body that a function sends or gets.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    start_line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// A response with a body.
    pub(crate) fn response(status: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let mut response = Self { start_line: format!("HTTP/1.1 {status}"), headers, body: Vec::new() };
        response.set_body(body.into());
        response
    }

    /// With one more header.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body, out of its chunks.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Replaces the body and says its length.
    pub(crate) fn set_body(&mut self, body: Vec<u8>) {
        // A checksum of the former body would not be the new one's.
        self.remove(&["content-length", "transfer-encoding", "x-amz-crc32"]);
        self.headers.push(("content-length".to_owned(), body.len().to_string()));
        self.body = body;
    }

    /// The status code of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start_line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    /// Whether the connection ends with this message.
    pub(crate) fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Sends it.
    pub(crate) async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let mut bytes = Vec::with_capacity(512 + self.body.len());
        bytes.extend_from_slice(self.start_line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        writer.write_all(&bytes).await?;
        writer.flush().await
    }

    fn is_head_request(&self) -> bool {
        self.start_line.starts_with("HEAD ")
    }

    fn remove(&mut self, names: &[&str]) {
        self.headers.retain(|(own, _)| !names.iter().any(|name| own.eq_ignore_ascii_case(name)));
    }
}

/// Reads a request; `None` when the client has no more.
pub(crate) async fn read_request<S>(stream: &mut S) -> Result<Option<Message>>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let Some(mut request) = read_head(stream).await? else { return Ok(None) };
    if request.header("expect").is_some() {
        request.remove(&["expect"]);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    if is_chunked(&request) {
        let body = read_chunks(stream).await?;
        request.set_body(body);
    } else if let Some(length) = content_length(&request)? {
        request.body = read_exactly(stream, length).await?;
    }
    Ok(Some(request))
}

/// Reads the response to a request.
pub(crate) async fn read_response<S>(stream: &mut S, request: &Message) -> Result<Message>
where
    S: AsyncBufRead + Unpin,
{
    let mut response = loop {
        let response = read_head(stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
        // What is not final only asks for patience.
        if response.status() >= 200 {
            break response;
        }
    };
    if request.is_head_request() || matches!(response.status(), 204 | 304) {
        return Ok(response);
    }
    if is_chunked(&response) {
        let body = read_chunks(stream).await?;
        response.set_body(body);
    } else if let Some(length) = content_length(&response)? {
        response.body = read_exactly(stream, length).await?;
    } else {
        let mut body = Vec::new();
        stream.take(BODY_BYTES_MAX as u64).read_to_end(&mut body).await?;
        response.set_body(body);
        response = response.with_header("connection", "close");
    }
    Ok(response)
}

async fn read_head<S: AsyncBufRead + Unpin>(stream: &mut S) -> Result<Option<Message>> {
    let Some(start_line) = read_line(stream).await? else { return Ok(None) };
    let mut message = Message { start_line, headers: Vec::new(), body: Vec::new() };
    let mut bytes = message.start_line.len();
    loop {
        let line = read_line(stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some(message));
        }
        bytes += line.len();
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header without a colon"))?;
        message.headers.push((name.to_owned(), value.trim().to_owned()));
        if bytes > HEAD_BYTES_MAX {
            return Err(malformed("the head is too long"));
        }
    }
}

/// A line without its end; `None` at the end of the stream.
async fn read_line<S: AsyncBufRead + Unpin>(stream: &mut S) -> Result<Option<String>> {
    let mut line = Vec::new();
    stream.take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| malformed("a head that is not UTF-8"))
}

async fn read_chunks<S: AsyncBufRead + Unpin>(stream: &mut S) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk without a size"))?;
        if size == 0 {
            break;
        }
        if body.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(malformed("the body is too long"));
        }
        body.extend(read_exactly(stream, size).await?);
        read_line(stream).await?;
    }
    // Trailers, up to the empty line.
    while read_line(stream).await?.is_some_and(|line| !line.is_empty()) {}
    Ok(body)
}

async fn read_exactly<S: AsyncBufRead + Unpin>(stream: &mut S, length: usize) -> Result<Vec<u8>> {
    if length > BODY_BYTES_MAX {
        return Err(malformed("the body is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn is_chunked(message: &Message) -> bool {
    message.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
}

fn content_length(message: &Message) -> Result<Option<usize>> {
    let length = message.header("content-length").map(str::parse);
    length.transpose().map_err(|_| malformed("a content-length that is no number"))
}

fn malformed(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    async fn requests_in(text: &str) -> Vec<Message> {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(text.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let mut near = BufReader::new(near);
        let mut requests = Vec::new();
        while let Some(request) = read_request(&mut near).await.unwrap() {
            requests.push(request);
        }
        requests
    }

    #[test]
    fn requests_follow_one_another_on_one_connection() {
        let text = "POST / HTTP/1.1\r\nContent-Length: 2\r\nX-A: b c\r\n\r\nhiGET /x HTTP/1.1\r\n\r\n";
        let requests = wait(requests_in(text));
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[0].body(), requests[0].header("x-a")), (&b"hi"[..], Some("b c")));
        assert_eq!(requests[1].body(), b"");
    }

    #[test]
    fn a_chunked_body_is_put_together_and_gets_a_length() {
        let text = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n";
        let request = wait(requests_in(text)).remove(0);
        assert_eq!(request.body(), b"abcde");
        assert_eq!(
            (request.header("content-length"), request.header("transfer-encoding")),
            (Some("5"), None)
        );
    }

    #[test]
    fn the_response_to_head_has_a_length_and_no_body() {
        let head = wait(requests_in("HEAD / HTTP/1.1\r\n\r\n")).remove(0);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        let response = wait(read_response(&mut &text[..], &head)).unwrap();
        assert_eq!(
            (response.status(), response.body(), response.header("content-length")),
            (200, &b""[..], Some("7"))
        );
    }

    #[test]
    fn a_response_without_a_length_lasts_until_the_connection_ends() {
        let get = wait(requests_in("GET / HTTP/1.1\r\n\r\n")).remove(0);
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it";
        let response = wait(read_response(&mut &text[..], &get)).unwrap();
        assert_eq!((response.body(), response.is_last()), (&b"all of it"[..], true));
    }

    #[test]
    fn what_ends_in_the_middle_is_an_error() {
        let get = wait(requests_in("GET / HTTP/1.1\r\n\r\n")).remove(0);
        for text in ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 20", ""] {
            assert!(wait(read_response(&mut text.as_bytes(), &get)).is_err(), "{text}");
        }
    }
}
