//! Requests as they stand on the wire, so that a test can send what no browser would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A dashboard as its address says.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Site {
    /// Of `http://ADDRESS/?token=TOKEN`.
    pub(super) fn of(url: &str) -> Site {
        let rest = url.strip_prefix("http://").expect("it is served in clear");
        let (address, token) = rest.split_once("/?token=").expect("the token is in it");
        Site { address: address.parse().expect("an address"), token: token.to_owned() }
    }

    /// Sends `method` and `path` with these headers and no others, and a body.
    pub(super) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.begin(method, path, headers, body);
        let mut reader = BufReader::new(&mut stream);
        let mut answer = head(&mut reader);
        reader.read_to_string(&mut answer.body).expect("a body of text");
        answer
    }

    fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect_timeout(&self.address, WITHIN).expect("it listens");
        stream.set_read_timeout(Some(WITHIN)).expect("a socket takes its options");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\n{headers}{length}connection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("it listens");
        stream
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The cookie that a visit with the token is given.
    pub(super) fn cookie(&self) -> String {
        let path = format!("/?token={}", self.token);
        let answer = self.send("GET", &path, &[("host", &self.host())], "");
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{answer:?}");
        let cookie = answer.header("set-cookie");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(&self.token), "what a browser keeps is not the token: {cookie}");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    /// What whoever knows the token sees at `path`.
    pub(super) fn get(&self, path: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        self.send("GET", path, &[("host", &self.host()), ("authorization", &bearer)], "")
    }

    /// Follows the stream of changes.
    pub(super) fn follow(&self) -> Changes {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("host", &*self.host()), ("authorization", &bearer)];
        let mut reader = BufReader::new(self.begin("GET", "/events", &headers, ""));
        let answer = head(&mut reader);
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        Changes { reader }
    }
}

fn head(reader: &mut impl BufRead) -> Answer {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.unwrap_or_else(|| panic!("no status in {line:?}")),
        headers: Vec::new(),
        body: String::new(),
    };
    loop {
        line.clear();
        reader.read_line(&mut line).expect("headers");
        match line.trim_end().split_once(": ") {
            Some((name, value)) => answer.headers.push((name.to_owned(), value.to_owned())),
            None => return answer,
        }
    }
}

/// A stream of changes, as a browser reads it.
pub(super) struct Changes {
    reader: BufReader<TcpStream>,
}

impl Changes {
    /// The next event: its name and its data.
    pub(super) fn next(&mut self) -> (String, serde_json::Value) {
        let mut name = String::new();
        let mut line = String::new();
        // A stream that has nothing to tell still has lines, so that no read runs out of time.
        let began = Instant::now();
        loop {
            line.clear();
            assert!(began.elapsed() < WITHIN, "no event came");
            assert!(self.reader.read_line(&mut line).expect("the stream goes on") > 0, "the stream ended");
            // Sizes of chunks stand between the lines.
            if let Some(found) = line.strip_prefix("event: ") {
                name = found.trim_end().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    /// Every session as it was last told, until `wanted` is true of one.
    pub(super) fn wait_for(&mut self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        loop {
            let (_, told) = self.next();
            let sessions = told["sessions"].as_array().cloned().unwrap_or_default();
            if let Some(session) = sessions.into_iter().find(|session| wanted(session)) {
                return session;
            }
        }
    }
}
