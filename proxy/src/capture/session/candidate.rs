//! A connection of which nobody knows yet what it is.

use super::opener::{Opener, TlsCounts};
use super::recognise::{self, Beginning, MOST_LOOKED_AT};
use crate::capture::tls::Secrets;
use crate::capture::{FlowOpened, Nanoseconds};
use crate::observe::{Opened, OpensTls};
use crate::trace::{How, Side};
use crate::wire::http;
use crate::wire::proxy_talk::ProxyTalk;
use std::sync::Arc;

/// Bytes of a connection that are kept until it is known what it is: a handshake with its certificates, and the head of a
/// request with a ticket in it.
const MOST_HELD: usize = 256 * 1024;

/// Bytes, what TLS hid in them, or the end of a side.
#[derive(Debug)]
pub(super) enum Held {
    Bytes { at: Nanoseconds, from: Side, bytes: Vec<u8>, opened: Vec<Opened> },
    End { at: Nanoseconds, from: Side, how: How },
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Undecided,
    /// RDP without a gateway.
    Direct,
    /// A connection to a gateway.
    Gateway,
    /// None of this program's business.
    Other,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) at: Nanoseconds,
    pub(super) opened: FlowOpened,
    /// It is TLS, and this may have its secrets.
    pub(super) opener: Option<Opener>,
    pub(super) held: Vec<Held>,
    length: usize,
    /// The first bytes of the client on the wire.
    on_the_wire: Vec<u8>,
    /// The first bytes of the client inside TLS, or without it.
    said: Vec<u8>,
    is_past_the_wire: bool,
    is_sealed: bool,
    /// What each side says to, or as, a proxy before the rest.
    proxy_talk: [ProxyTalk; 2],
    /// When the proxy was asked first, and when it answered last.
    proxy_asked: Option<Nanoseconds>,
    proxy_answered: Option<Nanoseconds>,
}

/// A connection through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThroughProxy {
    /// `http` or `socks5`.
    pub(super) scheme: &'static str,
    /// Where the proxy was asked to take it, `host:port`.
    pub(super) destination: String,
    /// When it was asked, and when it had answered; absent where nobody saw that.
    pub(super) times: Option<(Nanoseconds, Nanoseconds)>,
}

impl Candidate {
    pub(super) fn new(at: Nanoseconds, opened: FlowOpened) -> Candidate {
        Candidate {
            at,
            opened,
            opener: None,
            held: Vec::new(),
            length: 0,
            on_the_wire: Vec::new(),
            said: Vec::new(),
            is_past_the_wire: false,
            is_sealed: false,
            proxy_talk: [ProxyTalk::of_client(), ProxyTalk::of_server()],
            proxy_asked: None,
            proxy_answered: None,
        }
    }

    pub(super) fn has_data(&self) -> bool {
        self.length > 0
    }

    /// The proxy on the way, where there is one.
    pub(super) fn through_proxy(&self) -> Option<ThroughProxy> {
        let talk = &self.proxy_talk[Side::Client.index()];
        let (scheme, destination) = talk.scheme().zip(talk.destination())?;
        let times = self.proxy_asked.zip(self.proxy_answered);
        Some(ThroughProxy { scheme, destination: destination.to_owned(), times })
    }

    /// Whether it is TLS to one of these `host[:port]`, by its address or by the name in its ClientHello.
    pub(super) fn is_to(&self, gateways: &[String]) -> bool {
        let server = self.opened.key.server;
        self.opener.is_some()
            && gateways.iter().any(|gateway| {
                let (host, port) = match gateway.rsplit_once(':') {
                    Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                        (host, port.parse().ok())
                    }
                    _ => (gateway.as_str(), None),
                };
                let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
                let is_named = || self.on_the_wire.windows(host.len().max(1)).any(|it| it == host.as_bytes());
                let is_it = host == server.ip().to_string() || is_named();
                is_it && port.is_none_or(|port: u16| port == server.port())
            })
    }

    /// Whether something was decrypted, or needed not to be.
    pub(super) fn is_read(&self) -> bool {
        !self.said.is_empty()
    }

    /// RDG-Connection-Id of its first request.
    pub(super) fn connection_id(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.said);
        let header = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("RDG-Connection-Id").then(|| value.trim().to_owned())
        });
        header.filter(|id| !id.is_empty())
    }

    pub(super) fn data(
        &mut self,
        at: Nanoseconds,
        from: Side,
        bytes: &[u8],
        secrets: &Arc<Secrets>,
        counts: &Arc<TlsCounts>,
    ) -> Decision {
        self.length += bytes.len();
        let Some(bytes) = self.past_proxy_talk(at, from, bytes) else { return Decision::Other };
        if bytes.is_empty() {
            return Decision::Undecided;
        }
        self.held.push(Held::Bytes { at, from, bytes: bytes.to_vec(), opened: Vec::new() });
        let mut first = self.held.len() - 1;
        if !self.is_past_the_wire {
            match self.begin(from, bytes) {
                Beginning::NeedMore => return Decision::Undecided,
                Beginning::Rdp => return Decision::Direct,
                Beginning::Other => return Decision::Other,
                Beginning::Tls => self.opener = Some(Opener::new(secrets, counts)),
                Beginning::Gateway => {}
            }
            self.is_past_the_wire = true;
            first = 0;
        }
        self.open_from(first);
        match self.look() {
            Decision::Undecided if self.length > MOST_HELD => Decision::Other,
            decision => decision,
        }
    }

    /// What of `bytes` goes through a proxy, or all of them where nobody spoke to one; `None` where that cannot be told.
    fn past_proxy_talk<'a>(&mut self, at: Nanoseconds, from: Side, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if from == Side::Server && self.proxy_asked.is_none() {
            return Some(bytes);
        }
        let past = self.proxy_talk[from.index()].past(bytes)?;
        match from {
            _ if past == 0 => {}
            Side::Client => self.proxy_asked = self.proxy_asked.or(Some(at)),
            Side::Server => self.proxy_answered = Some(at),
        }
        bytes.get(past..)
    }

    pub(super) fn ended(&mut self, at: Nanoseconds, from: Side, how: How) {
        self.held.push(Held::End { at, from, how });
    }

    /// What is inside of the pieces from `first` on.
    fn open_from(&mut self, first: usize) {
        for held in &mut self.held[first..] {
            let Held::Bytes { from, bytes, opened, .. } = held else { continue };
            match &mut self.opener {
                Some(opener) => opener.data(*from, bytes, opened),
                None => opened.push(Opened::Plaintext { from: *from, bytes: bytes.clone() }),
            }
            for item in opened {
                match item {
                    Opened::Plaintext { from: Side::Client, bytes } => self.said.extend_from_slice(bytes),
                    Opened::Unreadable { .. } => self.is_sealed = true,
                    _ => {}
                }
            }
        }
    }

    /// What the first bytes on the wire are. A server that speaks first speaks something else.
    fn begin(&mut self, from: Side, bytes: &[u8]) -> Beginning {
        match from {
            Side::Server if self.on_the_wire.is_empty() => Beginning::Other,
            Side::Server => Beginning::NeedMore,
            Side::Client => {
                self.on_the_wire.extend_from_slice(bytes);
                match recognise::on_the_wire(&self.on_the_wire) {
                    Beginning::NeedMore if self.on_the_wire.len() > MOST_LOOKED_AT => Beginning::Other,
                    told => told,
                }
            }
        }
    }

    /// What was said inside TLS, or without it.
    fn look(&self) -> Decision {
        let told = match self.said.is_empty() {
            true if self.is_sealed => return Decision::Other,
            true => return Decision::Undecided,
            false => recognise::inside(&self.said),
        };
        match told {
            Beginning::Rdp => Decision::Direct,
            Beginning::Gateway if self.has_whole_head() => Decision::Gateway,
            Beginning::Other | Beginning::Tls => Decision::Other,
            Beginning::NeedMore if self.said.len() > MOST_LOOKED_AT => Decision::Other,
            Beginning::NeedMore | Beginning::Gateway => Decision::Undecided,
        }
    }

    /// Which attempt the connection belongs to stands somewhere in the head.
    fn has_whole_head(&self) -> bool {
        self.said.starts_with(http::HTTP2_PREFACE)
            || http::head_length(&self.said, 0).is_some()
            || self.said.len() > http::LONGEST_HEAD
    }
}
