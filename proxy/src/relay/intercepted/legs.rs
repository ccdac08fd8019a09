//! TLS on both legs: the client's hello is awaited, the server's handshake comes first so that its certificate is known,
//! then the client is shown ours, and what is inside goes from one to the other.

use super::negotiation;
use super::{Intercepted, note_farewell};
use crate::intercept::presenter::Presented;
use crate::intercept::settings::Nla;
use crate::intercept::tls::{
    self, HandshakeError, HandshakeFailure, KeyLog, Offer, PeekError, ServerLeg, Stack, StreamEnd, Tee,
    TlsStream, VersionRange, WireTap,
};
use crate::relay::pump::{Ending, reset};
use crate::relay::socket::Socket;
use crate::relay::teller::Teller;
use crate::trace::{Detail, Leg, Phase, Side};
use crate::wire::tls::ClientHello;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// RDP_NEG_RSP.selectedProtocol of those that authenticate with CredSSP.
const HYBRID: u32 = 2;
const HYBRID_EX: u32 = 8;
/// Type, version and length of an alert record, and the level of a fatal alert, before TLS has agreed on anything.
const FATAL_ALERT: [u8; 6] = [0x15, 3, 3, 0, 2, 2];

/// Versions that the usual TLS stack does not have.
const OLD_VERSIONS: [&str; 2] = ["TLS1.0", "TLS1.1"];

/// How long a client has for its last flight once the server has left: a person who is asked about the certificate has
/// answered by then, and for the others a round trip is enough.
const LAST_FLIGHT_WITHIN: Duration = Duration::from_secs(120);

/// What a side may say out of turn while the other is waited for; TLS has no more to say before it is answered.
const MOST_EARLY: usize = 64 * 1024;

/// Why the legs did not come to an exchange; what happened is in the trace, and the connections are to be closed so.
pub(in crate::relay) enum Stopped {
    /// In an orderly way.
    Closed,
    /// By a reset.
    Reset,
}

impl From<Ending> for Stopped {
    fn from(ending: Ending) -> Stopped {
        if ending == Ending::Reset { Stopped::Reset } else { Stopped::Closed }
    }
}

/// The client before its handshake.
pub(in crate::relay) struct Caller<'s> {
    pub(in crate::relay) stream: &'s mut Socket,
    /// What it has sent: its ClientHello, and whatever it did not wait to say.
    pub(in crate::relay) early: Vec<u8>,
}

/// Both legs with their handshakes behind them.
pub(in crate::relay) struct Terminated<'s> {
    pub(in crate::relay) client: TlsStream<&'s mut Socket>,
    pub(in crate::relay) server: ServerLeg<Socket>,
    /// What the server has said meanwhile in TLS.
    pub(in crate::relay) server_words: Vec<u8>,
    /// What the client was shown.
    #[cfg_attr(not(feature = "nla"), expect(dead_code, reason = "who logs on by itself binds its key"))]
    pub(in crate::relay) presented: Arc<Presented>,
}

/// What stands before TLS.
#[derive(Clone, Copy, Default)]
pub(in crate::relay) struct Beginning<'a> {
    /// RDP_NEG_RSP.selectedProtocol; `None` where TLS begins without an X.224 negotiation.
    pub(in crate::relay) selected_protocol: Option<u32>,
    /// What the server was sent in clear, to be said again on a further connection.
    pub(in crate::relay) sent_to_server: &'a [u8],
}

/// The handshakes of one connection.
pub(in crate::relay) struct Legs<'c, T> {
    pub(in crate::relay) teller: T,
    pub(in crate::relay) context: Intercepted<'c>,
    pub(in crate::relay) beginning: Beginning<'c>,
}

/// Shows the bytes of one leg's TLS to the session's observer.
struct LegTap<T> {
    teller: T,
    side: Side,
}

impl<T: Teller> WireTap for LegTap<T> {
    fn wire(&mut self, at: Instant, sent_by_us: bool, bytes: &[u8]) {
        self.teller.wire(at, self.side, sent_by_us, bytes);
    }

    fn count(&mut self, received: usize) {
        self.teller.count(self.side, received as u64);
    }

    fn key_log(&self) -> Option<KeyLog> {
        let capture = self.teller.capture().filter(|capture| capture.takes_secrets())?;
        Some(KeyLog::new(move |line| capture.secret(line)))
    }
}

impl<T: Teller> Legs<'_, T> {
    /// Both handshakes, the server's first.
    pub(in crate::relay) async fn handshakes<'s>(
        &self,
        mut caller: Caller<'s>,
        server: Socket,
        mut server_early: Vec<u8>,
    ) -> Result<Terminated<'s>, Stopped> {
        // Each step on the heap, so that the session does not keep its memory.
        let hello = match Box::pin(self.client_hello(&mut caller, &server, &mut server_early)).await {
            Ok(hello) => hello,
            Err(stopped) => {
                if matches!(stopped, Stopped::Reset) {
                    reset(&server);
                }
                return Err(stopped);
            }
        };
        let server = Tee::new(server, server_early, self.wire(Side::Server));
        let mut server_leg = Box::pin(self.server_leg(&mut caller, server, &hello)).await?;
        let presented = Box::pin(self.present(&server_leg)).await?;
        let mut server_words = Vec::new();
        let client_leg = self.client_leg(caller, &hello, &presented, &mut server_leg, &mut server_words);
        match Box::pin(client_leg).await {
            Ok(client) => Ok(Terminated { client, server: server_leg, server_words, presented }),
            Err(stopped) => Err(close_server(server_leg.stream, stopped).await),
        }
    }

    /// Waits for what the client asks for in TLS. What the server says meanwhile is added to `server_early`.
    async fn client_hello(
        &self,
        caller: &mut Caller<'_>,
        server: &Socket,
        server_early: &mut Vec<u8>,
    ) -> Result<Box<ClientHello>, Stopped> {
        let (mut wire, mut server_wire) = (self.wire(Side::Client), self.wire(Side::Server));
        let peeked = tokio::select! {
            peeked = tls::peek_client_hello(caller.stream, &mut caller.early, &mut wire) => peeked,
            ending = gone(server, server_early, &mut server_wire) => {
                // TLS has not begun: the client is told what the server says, and a client that has left needs nothing.
                let _ = caller.stream.write_all(server_early).await;
                return Err(self.left(Side::Server, ending));
            }
        };
        peeked.map_err(|error| match error {
            PeekError::Fin { .. } => self.left(Side::Client, Ending::Fin),
            PeekError::Reset { .. } | PeekError::Io(_) => self.left(Side::Client, Ending::Reset),
            PeekError::OtherMessage if self.teller.alerted(Side::Client) => {
                self.left(Side::Client, Ending::Fin)
            }
            error => self.broken(Side::Client, &error.to_string()),
        })
    }

    /// TLS with the server, by the second stack on a further connection where the first finds nothing in common. In a
    /// tunnel there is none, and a ClientHello cannot be taken back: the second stack, which has everything that the first
    /// has, begins.
    async fn server_leg(
        &self,
        caller: &mut Caller<'_>,
        server: Tee<Socket>,
        hello: &ClientHello,
    ) -> Result<ServerLeg<Socket>, Stopped> {
        let interception = self.context.interception;
        let offer = Offer {
            server_name: Some(interception.server_name.clone()),
            versions: interception.versions.unwrap_or_else(|| VersionRange::offered_by(hello)),
            protocols: protocols(hello),
        };
        if let Some(need) = interception.legacy_need() {
            let legacy = Stack::Legacy { need };
            return self.handshake(caller, server, &offer, &legacy).await;
        }
        if self.context.route.is_none() && Stack::LEGACY_IS_BUILT_IN {
            let need = "a tunnel has one connection to the server".to_owned();
            let leg = self.handshake(caller, server, &offer, &Stack::Legacy { need }).await?;
            self.tell_old_version(&leg);
            return Ok(leg);
        }
        let error = match self.try_handshake(caller, server, &offer, &Stack::Usual).await? {
            Ok(leg) => return Ok(leg),
            Err(error) => error,
        };
        let need = match error.needs_legacy.clone() {
            Some(need) if Stack::LEGACY_IS_BUILT_IN => need,
            _ => return Err(self.server_refused(caller, &error).await),
        };
        self.say(Leg::Server, None, Detail::LegacyTls { reason: need.clone() });
        let server = self.negotiate_again(caller).await?;
        self.teller.server_again();
        let server = Tee::new(server, Vec::new(), self.wire(Side::Server));
        let leg = self.handshake(caller, server, &offer, &Stack::Legacy { need: need.clone() }).await?;
        interception.remember_legacy(need);
        Ok(leg)
    }

    /// Says it where the server chose a version that the usual stack does not have.
    fn tell_old_version(&self, leg: &ServerLeg<Socket>) {
        let version = leg.stream.version();
        if let Some(version) = version.filter(|version| OLD_VERSIONS.contains(&version.as_ref())) {
            let number = version.trim_start_matches("TLS");
            let reason = format!("the server speaks nothing newer than TLS {number}");
            self.say(Leg::Server, None, Detail::LegacyTls { reason });
        }
    }

    /// The handshake with the server; a failure is passed on to the client.
    async fn handshake(
        &self,
        caller: &mut Caller<'_>,
        server: Tee<Socket>,
        offer: &Offer,
        stack: &Stack,
    ) -> Result<ServerLeg<Socket>, Stopped> {
        match self.try_handshake(caller, server, offer, stack).await? {
            Ok(leg) => Ok(leg),
            Err(error) => Err(self.server_refused(caller, &error).await),
        }
    }

    /// The handshake with the server, unless the client leaves before it is done.
    async fn try_handshake(
        &self,
        caller: &mut Caller<'_>,
        server: Tee<Socket>,
        offer: &Offer,
        stack: &Stack,
    ) -> Result<Result<ServerLeg<Socket>, HandshakeError>, Stopped> {
        let mut wire = self.wire(Side::Client);
        // The handshake takes the socket with it when it is dropped, and a reset is to be passed on.
        let resetter = server.get_ref().resetter();
        tokio::select! {
            leg = tls::connect(server, offer, stack) => Ok(leg),
            ending = gone(caller.stream, &mut caller.early, &mut wire) => {
                if let (Ending::Reset, Ok(resetter)) = (ending, resetter) {
                    resetter.reset();
                }
                Err(self.left(Side::Client, ending))
            }
        }
    }

    /// A further connection on which the server is told what it was told on the first.
    async fn negotiate_again(&self, caller: &mut Caller<'_>) -> Result<Socket, Stopped> {
        let mut wire = self.wire(Side::Client);
        let again = negotiation::again(self.context, &self.teller, self.beginning.sent_to_server);
        let again = tokio::select! {
            again = again => again,
            ending = gone(caller.stream, &mut caller.early, &mut wire) => return Err(self.left(Side::Client, ending)),
        };
        again.map_err(|reason| self.failed(Leg::Server, reason))
    }

    /// The server has not come to TLS: the client learns it as it would from the server itself.
    async fn server_refused(&self, caller: &mut Caller<'_>, error: &HandshakeError) -> Stopped {
        if let HandshakeFailure::Ended(StreamEnd::Alert(alert)) = &error.failure {
            self.teller.alert(Instant::now(), Side::Server, alert);
            let record = [&FATAL_ALERT[..], &[alert.description]].concat();
            // A client that has left needs no alert.
            let _ = caller.stream.write_all(&record).await;
        }
        match (&error.failure, &error.needs_legacy) {
            (HandshakeFailure::Ended(StreamEnd::Reset), _) => self.left(Side::Server, Ending::Reset),
            (HandshakeFailure::Ended(StreamEnd::Fin | StreamEnd::CloseNotify), _) => {
                self.left(Side::Server, Ending::Fin)
            }
            (_, Some(need)) if !Stack::LEGACY_IS_BUILT_IN => {
                let missing = HandshakeFailure::NoLegacyStack { need: need.clone() };
                self.failed(Leg::Server, HandshakeError { failure: missing, ..error.clone() }.to_string())
            }
            (HandshakeFailure::Ended(StreamEnd::Alert(_)), _) => self.left(Side::Server, Ending::Fin),
            (HandshakeFailure::Ended(StreamEnd::Broken(reason)), _) => self.broken(Side::Server, reason),
            _ => self.failed(Leg::Server, error.to_string()),
        }
    }

    /// What the client will be shown, with what is to be said of the server's certificate.
    async fn present(&self, server_leg: &ServerLeg<Socket>) -> Result<Arc<Presented>, Stopped> {
        let interception = self.context.interception;
        self.teller.server_certificate(Instant::now(), &server_leg.chain);
        if server_leg.asked_for_certificate {
            self.say(Leg::Server, Some(Side::Server), Detail::ClientCertificateRequested);
        }
        self.say(Leg::Server, Some(Side::Server), Detail::HandshakeComplete);
        let presented = match interception.presenter.present(&server_leg.chain).await {
            Ok(presented) => presented,
            Err(error) => return Err(self.failed(Leg::Client, error.to_string())),
        };
        let judgement = &presented.judgement;
        let judged = Detail::CertificateJudged {
            trusted: judgement.trusted,
            reason: judgement.reason.clone(),
            name: interception.server_name.clone(),
            name_matches: judgement.name_matches,
            verifier: Some(judgement.verifier.clone()),
            by_rules: presented.by_rules.clone(),
        };
        self.say(Leg::Proxy, None, judged);
        let shown = Detail::CertificatePresented {
            mode: interception.presenter.mode().to_string(),
            chain: presented.chain.clone(),
            same_key: presented.same_key,
            differences: presented.differences.clone(),
            der: presented.der.clone(),
        };
        self.say(Leg::Client, None, shown);
        let binds_key = matches!(self.beginning.selected_protocol, Some(HYBRID | HYBRID_EX))
            && matches!(interception.nla, Nla::Relay);
        if binds_key && !presented.same_key {
            let advice = interception.ways_round_key_binding(self.context.route.is_none());
            self.say(Leg::Client, None, Detail::KeyBindingForeseen { advice });
        }
        Ok(presented)
    }

    /// TLS with the client. What the server says in its own meanwhile is added to `server_words`.
    async fn client_leg<'s>(
        &self,
        caller: Caller<'s>,
        hello: &ClientHello,
        presented: &Presented,
        server_leg: &mut ServerLeg<Socket>,
        server_words: &mut Vec<u8>,
    ) -> Result<TlsStream<&'s mut Socket>, Stopped> {
        let tee = Tee::new(caller.stream, caller.early, self.wire(Side::Client));
        let stack = match tls::client_needs_legacy(hello) {
            Some(need) => Stack::Legacy { need },
            None => Stack::Usual,
        };
        let identity = match &server_leg.protocol {
            Some(protocol) => presented.identity.selecting(protocol),
            None => presented.identity.clone(),
        };
        let mut accept = std::pin::pin!(tls::accept(tee, &identity, &stack));
        let accepted = tokio::select! {
            accepted = &mut accept => accepted,
            end = end_of(&mut server_leg.stream, server_words) => match end {
                // To the server the handshake is over: its client would see the end of it first, and then this.
                StreamEnd::CloseNotify | StreamEnd::Fin => {
                    match last_flight(accept).await {
                        Some(accepted) => accepted,
                        None => return Err(self.left(Side::Server, super::ending(&end))),
                    }
                }
                end => {
                    self.farewell(Side::Server, &end);
                    return Err(self.left(Side::Server, super::ending(&end)));
                }
            }
        };
        let error = match accepted {
            Ok(leg) => {
                self.say(Leg::Client, Some(Side::Client), Detail::HandshakeComplete);
                return Ok(leg);
            }
            Err(error) => error,
        };
        Err(match &error.failure {
            HandshakeFailure::Ended(end @ (StreamEnd::Alert(_) | StreamEnd::CloseNotify)) => {
                self.farewell(Side::Client, end);
                self.left(Side::Client, Ending::Fin)
            }
            HandshakeFailure::Ended(StreamEnd::Fin) => self.left(Side::Client, Ending::Fin),
            HandshakeFailure::Ended(StreamEnd::Reset) => self.left(Side::Client, Ending::Reset),
            HandshakeFailure::Ended(StreamEnd::Broken(reason)) => self.broken(Side::Client, reason),
            _ => self.failed(Leg::Client, error.to_string()),
        })
    }

    fn wire(&self, side: Side) -> LegTap<T> {
        LegTap { teller: self.teller.clone(), side }
    }

    fn say(&self, leg: Leg, from: Option<Side>, detail: Detail) {
        self.teller.say(leg, from, Phase::Tls, detail);
    }

    /// A side's farewell inside TLS.
    fn farewell(&self, side: Side, end: &StreamEnd) {
        note_farewell(&self.teller, Instant::now(), side, end);
    }

    /// A side has left.
    fn left(&self, side: Side, ending: Ending) -> Stopped {
        self.teller.ended(Instant::now(), side, ending);
        ending.into()
    }

    /// What a side sent is not TLS that can be read, so that rdpscope cannot go on.
    fn broken(&self, side: Side, reason: &str) -> Stopped {
        self.teller.broken_tls(Instant::now(), side, reason);
        self.teller.close_by_proxy(&format!("what the {side} sent is not TLS that can be read"));
        Stopped::Closed
    }

    /// rdpscope itself cannot go on.
    fn failed(&self, leg: Leg, reason: String) -> Stopped {
        let advice =
            "TLS that passes through is not touched: leave --cert out, or say --cert passthrough".to_owned();
        self.say(leg, None, Detail::TerminationFailed { reason, advice });
        self.teller.close_by_proxy("TLS could not be terminated");
        Stopped::Closed
    }
}

/// The protocols that the client names, to be offered to the server (RFC 7301). Where the second TLS stack speaks with
/// the client, which selects none, the server is offered none either.
fn protocols(hello: &ClientHello) -> Vec<String> {
    // Names with other characters are made up to be refused (RFC 8701).
    let is_plain = |name: &&String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match tls::client_needs_legacy(hello) {
        Some(_) => Vec::new(),
        None => hello.alpn.iter().filter(is_plain).cloned().collect(),
    }
}

/// What the handshake of a client comes to whose server has left; nothing where it does not come in time.
async fn last_flight<T>(handshake: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LAST_FLIGHT_WITHIN, handshake).await.ok()
}

/// Tells the server in TLS that its client has left, or by a reset that it was reset.
async fn close_server(mut server: TlsStream<Socket>, stopped: Stopped) -> Stopped {
    match stopped {
        // A server that has left needs no farewell.
        Stopped::Closed => drop(server.shutdown().await),
        Stopped::Reset => reset(server.tee().get_ref()),
    }
    stopped
}

/// Waits until the peer has left. What it says out of turn is shown to `wire` and kept in `early` for whoever reads from
/// it next, since an end cannot be seen behind bytes that nobody takes.
async fn gone(stream: &Socket, early: &mut Vec<u8>, wire: &mut impl WireTap) -> Ending {
    loop {
        if early.len() >= MOST_EARLY {
            std::future::pending::<()>().await;
        }
        if stream.readable().await.is_err() {
            return Ending::Reset;
        }
        let before = early.len();
        match stream.try_read_buf(early) {
            Ok(0) => return Ending::Fin,
            Ok(_) => wire.wire(Instant::now(), false, &early[before..]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Ending::Reset,
        }
    }
}

/// Waits for the end of what the server says in TLS, which is kept in `words`.
async fn end_of(server: &mut TlsStream<Socket>, words: &mut Vec<u8>) -> StreamEnd {
    loop {
        if words.len() >= MOST_EARLY {
            std::future::pending::<()>().await;
        }
        match server.read_buf(words).await {
            Ok(0) => return StreamEnd::CloseNotify,
            Ok(_) => {}
            Err(error) => return tls::read_ending(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_server_has_left_is_not_waited_for_without_end() {
        let began = tokio::time::Instant::now();
        assert_eq!(last_flight(std::future::pending::<()>()).await, None);
        assert_eq!(began.elapsed(), LAST_FLIGHT_WITHIN);
        let slow = async { tokio::time::sleep(LAST_FLIGHT_WITHIN / 2).await };
        assert_eq!(last_flight(slow).await, Some(()));
    }
}
