//! HTTP/1.1 by hand: heads are kept as they came, and nothing waits for a body.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// More than the heads of any client, tickets and all.
const LONGEST_HEAD: usize = 64 * 1024;
/// Fields of a head.
const MOST_FIELDS: usize = 64;

pub(super) type Reader = BufReader<ReadHalf<TlsStream<TcpStream>>>;
pub(super) type Writer = WriteHalf<TlsStream<TcpStream>>;

/// The head of a request.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) raw: Vec<u8>,
    pub(super) method: String,
    pub(super) target: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads up to the empty line; `None` at the end of the stream.
    pub(super) async fn read(reader: &mut Reader) -> io::Result<Option<Head>> {
        let mut raw = Vec::new();
        while !raw.ends_with(b"\r\n\r\n") {
            let more = reader.read_until(b'\n', &mut raw).await?;
            if more == 0 && raw.is_empty() {
                return Ok(None);
            }
            if more == 0 || raw.len() > LONGEST_HEAD {
                return Err(broken("a head without an end"));
            }
        }
        Head::parse(raw).map(Some)
    }

    fn parse(raw: Vec<u8>) -> io::Result<Head> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(&raw).map_err(|error| broken(&error.to_string()))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (method, target) = (text(request.method), text(request.path));
        let field = |field: &httparse::Header<'_>| {
            (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned())
        };
        let fields = request.headers.iter().map(field).collect();
        Ok(Head { raw, method, target, fields })
    }

    /// The value of the first field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(its, _)| its.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    pub(super) fn wants_websocket(&self) -> bool {
        self.field("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.field("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.field("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    pub(super) fn content_length(&self) -> u64 {
        self.field("Content-Length").and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// The head of a response.
#[derive(Debug, Clone)]
pub(super) struct Response {
    status: u16,
    reason: String,
    fields: Vec<(String, String)>,
    content_length: bool,
}

impl Response {
    /// A response without a body, which says so.
    pub(super) fn new(status: u16, reason: &str) -> Response {
        Response { status, reason: reason.to_owned(), fields: Vec::new(), content_length: true }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Response {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A response whose body ends with the connection, or that has none by its status.
    pub(super) fn without_length(mut self) -> Response {
        self.content_length = false;
        self
    }

    /// The fields in the order of Windows' own.
    pub(super) fn text(&self, version: &str, more: &[(String, String)]) -> String {
        let mut text = format!("{version} {} {}\r\n", self.status, self.reason);
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let last = [("Date".to_owned(), date)];
        for (name, value) in self.fields.iter().chain(more).chain(&last) {
            write!(text, "{name}: {value}\r\n").expect("a string takes it");
        }
        text.push_str(if self.content_length { "Content-Length: 0\r\n\r\n" } else { "\r\n" });
        text
    }
}

/// Reads past a body of this length.
pub(super) async fn skip(reader: &mut Reader, length: u64) -> io::Result<()> {
    let mut sink = tokio::io::sink();
    tokio::io::copy(&mut reader.take(length), &mut sink).await.map(|_| ())
}

/// The next chunk of a chunked body; `None` at its end.
pub(super) async fn read_chunk(reader: &mut Reader) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).await?;
    chunk.truncate(size);
    Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
}

/// `bytes` as a chunk.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Writes all of it to the wire.
pub(super) async fn write(writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
