//! What is said to a proxy on the way before a connection through it begins: CONNECT of HTTP (RFC 9110 9.3.6), SOCKS5
//! (RFC 1928) and its logon (RFC 1929). One proxy may lead to the next.

use std::mem;

/// Bytes of a head that are followed; a ticket of Negotiate may be among them.
const LONGEST_HEAD: usize = 64 * 1024;
/// Bytes of a first line: a name of DNS has at most 255, and a reason is a few words.
const LONGEST_FIRST_LINE: usize = 2048;
/// Bytes of a header's name.
const LONGEST_NAME: usize = 128;
/// Headers whose values tell nothing that could be used; those of all others are secret.
const PLAIN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "host",
    "proxy-agent",
    "proxy-connection",
    "server",
    "transfer-encoding",
];
/// Headers that begin with the name of a scheme, which is no secret.
const SCHEME_HEADERS: [&str; 2] = ["proxy-authorization", "proxy-authenticate"];
/// Schemes in lower case with the space behind them.
const SCHEMES: [&str; 6] = ["basic ", "bearer ", "digest ", "kerberos ", "negotiate ", "ntlm "];

const CONNECT: &[u8] = b"CONNECT ";
const HTTP_ANSWER: &[u8] = b"HTTP/1.";
/// Version of SOCKS, and of its logon by name and password.
const SOCKS: u8 = 5;
const SOCKS_LOGON: u8 = 1;
/// The command that opens a connection.
const SOCKS_CONNECT: u8 = 1;
/// Kinds of addresses (RFC 1928 section 4).
const ADDRESS_IPV4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_IPV6: u8 = 4;

/// What one byte of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of the talk with the proxy, and anybody may see it.
    Said,
    /// Of the talk with the proxy, and of a logon, or nobody knows of what.
    Secret,
    /// The first byte of what goes through the proxy: the talk is over.
    Through,
    /// Neither: what follows cannot be told apart.
    Unknown,
}

/// Follows what one side says, byte by byte, until the connection through the proxy begins.
#[derive(Debug)]
pub struct ProxyTalk {
    is_client: bool,
    state: State,
    /// The scheme of a URL of the proxy, and where the client wants to go.
    destination: Option<(&'static str, String)>,
    /// Bytes of the talk so far.
    length: usize,
}

#[derive(Debug)]
enum State {
    /// A proxy is spoken to, or what goes through it begins.
    Start,
    /// As many bytes of this beginning were seen.
    Beginning(&'static [u8], usize),
    Head(Head),
    /// So many bytes of the body of a refusal are to come.
    Body(u64),
    Socks(Vec<u8>),
    /// What comes next was agreed on in the first message of SOCKS.
    SocksAgreed,
    Through,
    Lost,
}

/// The head of a request or an answer.
#[derive(Debug, Default)]
struct Head {
    line: Line,
    first_line: Vec<u8>,
    seen: usize,
    body: Option<u64>,
}

#[derive(Debug, Default)]
enum Line {
    #[default]
    First,
    /// The name of a header so far.
    Name(Vec<u8>),
    Plain,
    Length(u64),
    /// The name of a scheme so far, in lower case.
    Scheme(String),
    Secret,
}

impl ProxyTalk {
    /// Of the side that wants to go through the proxy.
    pub fn of_client() -> ProxyTalk {
        ProxyTalk { is_client: true, state: State::Start, destination: None, length: 0 }
    }

    /// Of the other side.
    pub fn of_server() -> ProxyTalk {
        ProxyTalk { is_client: false, ..ProxyTalk::of_client() }
    }

    /// Whether a proxy was spoken to at all.
    pub fn has_spoken(&self) -> bool {
        self.length > 0
    }

    /// Bytes of the talk so far; those behind it go through the proxy.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where the client wants to go, `host:port`; of several proxies the last is asked for it.
    pub fn destination(&self) -> Option<&str> {
        self.destination.as_ref().map(|(_, destination)| destination.as_str())
    }

    /// What that proxy speaks, `http` or `socks5`.
    pub fn scheme(&self) -> Option<&'static str> {
        self.destination.as_ref().map(|(scheme, _)| *scheme)
    }

    /// How many bytes at the front of `bytes`, which come next, are of the talk; `None` where it cannot be followed.
    pub fn past(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, byte) in bytes.iter().enumerate() {
            match self.byte(*byte) {
                Part::Said | Part::Secret => {}
                Part::Through => return Some(place),
                Part::Unknown => return None,
            }
        }
        Some(bytes.len())
    }

    /// What the next byte is.
    pub fn byte(&mut self, byte: u8) -> Part {
        let (part, next) = match mem::replace(&mut self.state, State::Lost) {
            State::Start => self.begin(byte),
            State::Beginning(whole, seen) => beginning(whole, seen, byte),
            State::Head(head) => self.head(head, byte),
            State::Body(0..=1) => (Part::Secret, State::Start),
            State::Body(left) => (Part::Secret, State::Body(left - 1)),
            State::Socks(message) => self.socks(message, byte),
            State::SocksAgreed => match byte {
                SOCKS | SOCKS_LOGON => (Part::Said, State::Socks(vec![SOCKS_AGREED, byte])),
                _ => (Part::Unknown, State::Lost),
            },
            State::Through => (Part::Through, State::Through),
            State::Lost => (Part::Unknown, State::Lost),
        };
        self.state = next;
        self.length += usize::from(matches!(part, Part::Said | Part::Secret));
        part
    }

    fn begin(&self, byte: u8) -> (Part, State) {
        let word = if self.is_client { CONNECT } else { HTTP_ANSWER };
        match byte {
            _ if byte == word[0] => (Part::Said, State::Beginning(word, 1)),
            SOCKS => (Part::Said, State::Socks(vec![SOCKS_GREETING, byte])),
            _ => (Part::Through, State::Through),
        }
    }

    fn head(&mut self, mut head: Head, byte: u8) -> (Part, State) {
        head.seen += 1;
        if head.seen > LONGEST_HEAD {
            return (Part::Unknown, State::Lost);
        }
        match head.byte(byte) {
            None => (Part::Unknown, State::Lost),
            Some((part, false)) => (part, State::Head(head)),
            Some((part, true)) => (part, self.head_ended(&head)),
        }
    }

    fn head_ended(&mut self, head: &Head) -> State {
        let line = String::from_utf8_lossy(&head.first_line);
        let word = line.split_ascii_whitespace().nth(usize::from(!self.is_client)).unwrap_or_default();
        if self.is_client {
            self.destination = Some(("http", word.to_owned()));
            return State::Start;
        }
        match (word.bytes().next(), head.body) {
            // Of what was agreed to there is no body (RFC 9110 9.3.6).
            (Some(b'1' | b'2'), _) | (_, Some(0)) => State::Start,
            (_, Some(length)) => State::Body(length),
            (_, None) => State::Lost,
        }
    }

    fn socks(&mut self, mut message: Vec<u8>, byte: u8) -> (Part, State) {
        message.push(byte);
        let (kind, said) = (message[0], &message[1..]);
        let is_logon = kind == SOCKS_AGREED && said[0] == SOCKS_LOGON;
        // The user's name, too: it is a logon's, and of no use to whoever looks at the connection.
        let part = match is_logon && self.is_client && said.len() > 2 {
            true => Part::Secret,
            false => Part::Said,
        };
        let Some(length) = socks_length(kind, self.is_client, said) else {
            return (Part::Unknown, State::Lost);
        };
        if said.len() < length {
            return (part, State::Socks(message));
        }
        let is_request = kind == SOCKS_AGREED && !is_logon;
        if is_request && self.is_client {
            self.destination = socks_destination(said).map(|destination| ("socks5", destination));
        }
        (part, if is_request { State::Start } else { State::SocksAgreed })
    }
}

/// Where a client that says `bytes` at once, a segment for instance, wants a proxy to take it.
pub fn destination_in(bytes: &[u8]) -> Option<String> {
    let first = match bytes {
        [SOCKS, SOCKS_CONNECT, 0, ..] => State::SocksAgreed,
        [b'C', ..] => State::Start,
        _ => return None,
    };
    let mut talk = ProxyTalk { state: first, ..ProxyTalk::of_client() };
    talk.past(bytes)?;
    talk.destination.map(|(_, destination)| destination)
}

/// What stands before the bytes of a message of SOCKS while they are gathered: which message it is.
const SOCKS_GREETING: u8 = 0;
const SOCKS_AGREED: u8 = 1;

fn beginning(whole: &'static [u8], seen: usize, byte: u8) -> (Part, State) {
    match whole.get(seen) {
        Some(expected) if *expected != byte => (Part::Unknown, State::Lost),
        _ if seen + 1 < whole.len() => (Part::Said, State::Beginning(whole, seen + 1)),
        _ => (Part::Said, State::Head(Head { seen: whole.len(), ..Head::default() })),
    }
}

impl Head {
    /// What the next byte is, and whether the head ends with it; `None` where it is no head.
    fn byte(&mut self, byte: u8) -> Option<(Part, bool)> {
        if byte == b'\n' {
            return self.line_ended().map(|is_over| (Part::Said, is_over));
        }
        let part = match &mut self.line {
            Line::First if self.first_line.len() == LONGEST_FIRST_LINE => return None,
            Line::First => {
                self.first_line.push(byte);
                Part::Said
            }
            // A line that goes on is of the header before (RFC 9112 5.2).
            Line::Name(name) if name.is_empty() && matches!(byte, b' ' | b'\t') => {
                self.line = Line::Secret;
                Part::Said
            }
            Line::Name(name) if byte == b':' => {
                self.line = of_header(&String::from_utf8_lossy(name).to_ascii_lowercase());
                Part::Said
            }
            Line::Name(name) => {
                let is_of_a_name = byte.is_ascii_graphic() || byte == b'\r' && name.is_empty();
                if !is_of_a_name || name.len() == LONGEST_NAME {
                    return None;
                }
                name.push(byte);
                Part::Said
            }
            Line::Length(length) => {
                if byte.is_ascii_digit() {
                    *length = length.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                }
                Part::Said
            }
            Line::Plain => Part::Said,
            Line::Secret | Line::Scheme(_) if byte == b'\r' => Part::Said,
            Line::Secret => Part::Secret,
            Line::Scheme(so_far) if so_far.is_empty() && byte == b' ' => Part::Said,
            Line::Scheme(so_far) => {
                so_far.push(char::from(byte.to_ascii_lowercase()));
                let is_known = SCHEMES.iter().any(|scheme| scheme.starts_with(so_far.as_str()));
                if !is_known || so_far.ends_with(' ') {
                    self.line = Line::Secret;
                }
                if is_known { Part::Said } else { Part::Secret }
            }
        };
        Some((part, false))
    }

    /// Whether the head is over; `None` where the line was none of a head.
    fn line_ended(&mut self) -> Option<bool> {
        let is_over = match &self.line {
            Line::Name(name) if name.is_empty() || name == b"\r" => true,
            Line::Name(_) => return None,
            Line::Length(length) => {
                self.body = Some(*length);
                false
            }
            Line::First | Line::Plain | Line::Scheme(_) | Line::Secret => false,
        };
        self.line = Line::Name(Vec::new());
        Some(is_over)
    }
}

fn of_header(name: &str) -> Line {
    match name {
        "content-length" => Line::Length(0),
        _ if SCHEME_HEADERS.contains(&name) => Line::Scheme(String::new()),
        _ if PLAIN_HEADERS.contains(&name) => Line::Plain,
        _ => Line::Secret,
    }
}

/// How long a message is, or at least is; `None` where it is none.
fn socks_length(kind: u8, is_client: bool, said: &[u8]) -> Option<usize> {
    let counted = |at: usize| said.get(at).map_or(0, |count| usize::from(*count));
    match (kind, said[0], is_client) {
        // The methods that the client knows, and the one that the server chose.
        (SOCKS_GREETING, _, true) => Some(2 + counted(1)),
        (SOCKS_GREETING, _, false) => Some(2),
        (_, SOCKS_LOGON, true) => {
            let user = 2 + counted(1);
            Some(user + 1 + counted(user))
        }
        (_, SOCKS_LOGON, false) => Some(2),
        _ => match said.get(3) {
            None => Some(4),
            Some(&ADDRESS_IPV4) => Some(4 + 4 + 2),
            Some(&ADDRESS_IPV6) => Some(4 + 16 + 2),
            Some(&ADDRESS_NAME) => Some(5 + counted(4) + 2),
            Some(_) => None,
        },
    }
}

/// Where a whole request wants to go.
fn socks_destination(said: &[u8]) -> Option<String> {
    let (address, port) = said.get(3..)?.split_last_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match address {
        [ADDRESS_IPV4, ip @ ..] => {
            let ip = <[u8; 4]>::try_from(ip).ok()?;
            Some(format!("{}:{port}", std::net::Ipv4Addr::from(ip)))
        }
        [ADDRESS_IPV6, ip @ ..] => {
            let ip = <[u8; 16]>::try_from(ip).ok()?;
            Some(format!("[{}]:{port}", std::net::Ipv6Addr::from(ip)))
        }
        [ADDRESS_NAME, _, name @ ..] => Some(format!("{}:{port}", String::from_utf8_lossy(name))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What may be seen of the talk, and what comes behind it.
    fn followed(mut talk: ProxyTalk, bytes: &[u8]) -> (String, Vec<u8>, ProxyTalk) {
        let (mut said, mut through) = (String::new(), Vec::new());
        for byte in bytes {
            match talk.byte(*byte) {
                Part::Said => said.push(char::from(*byte)),
                Part::Secret => said.push('.'),
                Part::Through => through.push(*byte),
                Part::Unknown => said.push('?'),
            }
        }
        (said, through, talk)
    }

    #[test]
    fn connect_is_followed_and_its_logon_is_secret() {
        let head = "CONNECT srv10.corp.example:3389 HTTP/1.1\r\nHost: srv10.corp.example:3389\r\n\
                    Proxy-Authorization: Basic Y2FuYXJ5\r\nX-Token: canary\r\n\r\n";
        let (said, through, talk) =
            followed(ProxyTalk::of_client(), &[head.as_bytes(), &[3, 0, 0, 19]].concat());
        assert_eq!(
            said,
            "CONNECT srv10.corp.example:3389 HTTP/1.1\r\nHost: srv10.corp.example:3389\r\n\
             Proxy-Authorization: Basic ........\r\nX-Token:.......\r\n\r\n"
        );
        assert_eq!(through, [3, 0, 0, 19]);
        assert_eq!((talk.destination(), talk.length()), (Some("srv10.corp.example:3389"), head.len()));
        assert_eq!(destination_in(head.as_bytes()).as_deref(), Some("srv10.corp.example:3389"));
    }

    #[test]
    fn a_scheme_that_nobody_knows_may_be_the_secret_itself() {
        let head = b"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: canary\r\n\r\n";
        assert!(followed(ProxyTalk::of_client(), head).0.contains("Proxy-Authorization: ......\r\n"));
    }

    #[test]
    fn a_proxy_that_asks_who_is_there_is_answered_on_the_same_connection() {
        let asks =
            "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: NTLM TlRMTVNT\r\nContent-Length: 4\r\n\r\npage";
        let agrees = "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy\r\n\r\n";
        let bytes = [asks.as_bytes(), agrees.as_bytes(), &[0x16, 3]].concat();
        let (said, through, talk) = followed(ProxyTalk::of_server(), &bytes);
        assert_eq!(said, format!("{}{agrees}", asks.replace("TlRMTVNT", "........").replace("page", "....")));
        assert_eq!((through.as_slice(), talk.length()), (&[0x16, 3][..], bytes.len() - 2));
    }

    #[test]
    fn socks_is_followed_and_its_logon_is_secret() {
        let talk = b"\x05\x02\x00\x02\x01\x03bob\x06canary\x05\x01\x00\x03\x05srv10\x0d\x3d\x03\x00";
        let (said, through, talk) = followed(ProxyTalk::of_client(), talk);
        assert!(said.contains("srv10") && !said.contains("canary") && !said.contains("bob"), "{said:?}");
        assert_eq!((through.as_slice(), talk.destination()), (&[3, 0][..], Some("srv10:3389")));
        assert_eq!(talk.scheme(), Some("socks5"));
        assert_eq!(destination_in(b"\x05\x01\x00\x03\x05srv10\x0d\x3d").as_deref(), Some("srv10:3389"));
        let answers = b"\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03\x00";
        assert_eq!(followed(ProxyTalk::of_server(), answers).1, [3, 0]);
    }

    #[test]
    fn what_is_no_talk_with_a_proxy_is_through_at_once_or_unknown() {
        for bytes in [&b"\x03\x00\x00\x13"[..], b"\x16\x03\x01", b"GET / HTTP/1.1"] {
            let (said, through, talk) = followed(ProxyTalk::of_client(), bytes);
            assert_eq!((said.as_str(), through.as_slice(), talk.has_spoken()), ("", bytes, false));
        }
        assert_eq!(followed(ProxyTalk::of_client(), b"COPY").0, "CO??");
        assert!(ProxyTalk::of_server().past(b"HTTP/1.1 200 OK\r\nno header\r\n").is_none());
        let endless = [&b"CONNECT a:1 HTTP/1.1\r\nX:"[..], &[b'a'; LONGEST_HEAD]].concat();
        assert!(ProxyTalk::of_client().past(&endless).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_followed(bytes: Vec<u8>, is_client: bool) {
            let talk = if is_client { ProxyTalk::of_client() } else { ProxyTalk::of_server() };
            let (_, through, talk) = followed(talk, &bytes);
            prop_assert!(through.len() + talk.length() <= bytes.len());
        }
    }
}
