//! TLS on both legs: the client's hello is awaited, the server's handshake comes first so that its certificate is known,
//! then the client is shown ours, and what is inside goes from one to the other.

use super::negotiation::{self, Negotiation};
use super::{InsideTap, Intercepted};
use crate::intercept::presenter::Presented;
use crate::intercept::settings::NlaMode;
use crate::intercept::tls::{
    self, HandshakeError, HandshakeFailure, Offer, PeekError, ServerLeg, Stack, StreamEnd, Tee, TlsStream,
    VersionRange, WireTap,
};
use crate::relay::exchange::{ExchangeEnd, exchange};
use crate::relay::pump::{Ending, Tap, reset};
use crate::relay::session::{SessionTap, SharedSession};
use crate::trace::{Detail, Leg, Phase, Side};
use crate::wire::tls::{Alert, ClientHello};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// RDP_NEG_RSP.selectedProtocol.
const SSL: u32 = 1;
const HYBRID: u32 = 2;
const HYBRID_EX: u32 = 8;
/// Type, version and length of an alert record, and the level of a fatal alert, before TLS has agreed on anything.
const FATAL_ALERT: [u8; 6] = [0x15, 3, 3, 0, 2, 2];

/// Why the legs did not come to an exchange; what happened is in the trace, and the connections are to be closed so.
pub(super) enum Stopped {
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

/// Runs TLS on both legs until the session is over.
pub(super) async fn terminate(
    client: &mut TcpStream,
    server: TcpStream,
    negotiation: Negotiation,
    tap: &mut SessionTap<'_>,
    context: Intercepted<'_>,
) -> ExchangeEnd {
    let mut legs = Legs { tap, context };
    match legs.run(client, server, negotiation).await {
        Ok(end) => end,
        Err(Stopped::Closed) => ExchangeEnd::Finished,
        Err(Stopped::Reset) => ExchangeEnd::Reset,
    }
}

/// The client's leg, on a connection that outlives it.
type LegStream<'s> = TlsStream<&'s mut TcpStream>;

struct Legs<'t, 'a, 'c> {
    tap: &'t mut SessionTap<'a>,
    context: Intercepted<'c>,
}

/// Shows the bytes of one leg's TLS to the session's observer.
struct LegTap {
    session: SharedSession,
    side: Side,
}

impl WireTap for LegTap {
    fn wire(&mut self, at: Instant, sent_by_us: bool, bytes: &[u8]) {
        self.session.lock().wire(at, self.side, sent_by_us, bytes);
    }

    fn count(&mut self, received: usize) {
        self.session.lock().count(self.side, received as u64);
    }
}

impl Legs<'_, '_, '_> {
    async fn run(
        &mut self,
        client: &mut TcpStream,
        server: TcpStream,
        negotiation: Negotiation,
    ) -> Result<ExchangeEnd, Stopped> {
        let protocol = self.tap.session().lock().selected_protocol();
        let mut hello_bytes = self.tap.session().lock().take_held(Side::Client);
        // Each on the heap, so that the session does not keep its memory.
        let hello = Box::pin(self.client_hello(client, &server, &mut hello_bytes)).await?;
        let server_leg = self.server_leg(client, server, &hello, negotiation.sent_to_server());
        let mut server_leg = Box::pin(server_leg).await?;
        let presented = Box::pin(self.present(&server_leg, protocol)).await?;
        let client_leg = self.client_leg(client, hello_bytes, &hello, &presented, &mut server_leg);
        let client_leg = Box::pin(client_leg).await;
        let mut client_leg = match client_leg {
            Ok(leg) => leg,
            Err(stopped) => return Err(close_server(server_leg.stream, stopped).await),
        };
        let is_nla = matches!(protocol, Some(HYBRID | HYBRID_EX));
        let inside = if is_nla && self.context.interception.nla == NlaMode::Terminate {
            self.authenticate(&mut client_leg, &mut server_leg, &presented, protocol == Some(HYBRID_EX))
                .await?;
            Some(SSL)
        } else {
            protocol
        };
        client_leg.tee_mut().quiet();
        server_leg.stream.tee_mut().quiet();
        let mut gate = negotiation.gate().inside_tls(inside);
        let end =
            exchange(&mut client_leg, &mut server_leg.stream, &mut gate, &mut InsideTap { tap: self.tap })
                .await;
        if end == ExchangeEnd::Reset {
            reset(server_leg.stream.tee().get_ref());
        }
        Ok(end)
    }

    /// Waits for what the client asks for in TLS; `bytes` holds what it sent early, and then all of its hello.
    async fn client_hello(
        &mut self,
        client: &mut TcpStream,
        server: &TcpStream,
        bytes: &mut Vec<u8>,
    ) -> Result<Box<ClientHello>, Stopped> {
        let mut wire = self.wire(Side::Client);
        if !bytes.is_empty() {
            self.tap.session().lock().show_wire(Instant::now(), Side::Client, false, bytes);
        }
        let peeked = tokio::select! {
            peeked = tls::peek_client_hello(client, bytes, &mut wire) => peeked,
            ending = gone(server) => return Err(self.left(Side::Server, ending)),
        };
        peeked.map_err(|error| match error {
            PeekError::Fin { .. } => self.left(Side::Client, Ending::Fin),
            PeekError::Reset { .. } | PeekError::Io(_) => self.left(Side::Client, Ending::Reset),
            error => self.failed(Leg::Client, error.to_string()),
        })
    }

    /// TLS with the server, by the second stack on a further connection where the first finds nothing in common.
    async fn server_leg(
        &mut self,
        client: &mut TcpStream,
        server: TcpStream,
        hello: &ClientHello,
        sent_to_server: &[u8],
    ) -> Result<ServerLeg<TcpStream>, Stopped> {
        let interception = self.context.interception;
        let offer = Offer {
            server_name: Some(interception.server_name.clone()),
            versions: interception.versions.unwrap_or_else(|| VersionRange::offered_by(hello)),
        };
        if let Some(need) = interception.legacy_need() {
            let legacy = Stack::Legacy { need };
            return self.handshake(client, server, &offer, &legacy).await;
        }
        let error = match self.try_handshake(client, server, &offer, &Stack::Usual).await? {
            Ok(leg) => return Ok(leg),
            Err(error) => error,
        };
        let need = match error.needs_legacy.clone() {
            Some(need) if Stack::LEGACY_IS_BUILT_IN => need,
            _ => return Err(self.server_refused(client, &error).await),
        };
        self.say(Leg::Server, None, Detail::LegacyTls { reason: need.clone() });
        let server = self.negotiate_again(client, sent_to_server).await?;
        let leg = self.handshake(client, server, &offer, &Stack::Legacy { need: need.clone() }).await?;
        interception.remember_legacy(need);
        Ok(leg)
    }

    /// The handshake with the server; a failure is passed on to the client.
    async fn handshake(
        &mut self,
        client: &mut TcpStream,
        server: TcpStream,
        offer: &Offer,
        stack: &Stack,
    ) -> Result<ServerLeg<TcpStream>, Stopped> {
        match self.try_handshake(client, server, offer, stack).await? {
            Ok(leg) => Ok(leg),
            Err(error) => Err(self.server_refused(client, &error).await),
        }
    }

    /// The handshake with the server, unless the client leaves before it is done.
    async fn try_handshake(
        &mut self,
        client: &TcpStream,
        server: TcpStream,
        offer: &Offer,
        stack: &Stack,
    ) -> Result<Result<ServerLeg<TcpStream>, HandshakeError>, Stopped> {
        let tee = Tee::new(server, Vec::new(), self.wire(Side::Server));
        tokio::select! {
            leg = tls::connect(tee, offer, stack) => Ok(leg),
            ending = gone(client) => Err(self.left(Side::Client, ending)),
        }
    }

    /// A further connection on which the server is told what it was told on the first.
    async fn negotiate_again(
        &mut self,
        client: &TcpStream,
        sent_to_server: &[u8],
    ) -> Result<TcpStream, Stopped> {
        let again = negotiation::again(self.context.route, self.tap.session(), sent_to_server);
        let again = tokio::select! {
            again = again => again,
            ending = gone(client) => return Err(self.left(Side::Client, ending)),
        };
        again.map_err(|reason| self.failed(Leg::Server, reason))
    }

    /// The server has not come to TLS: the client learns it as it would from the server itself.
    async fn server_refused(&mut self, client: &mut TcpStream, error: &HandshakeError) -> Stopped {
        match &error.failure {
            HandshakeFailure::Ended(StreamEnd::Alert(alert)) => {
                self.alerted(Side::Server, alert);
                let record = [&FATAL_ALERT[..], &[alert.description]].concat();
                // A client that has left needs no alert.
                let _ = client.write_all(&record).await;
                self.left(Side::Server, Ending::Fin)
            }
            HandshakeFailure::Ended(StreamEnd::Reset) => self.left(Side::Server, Ending::Reset),
            HandshakeFailure::Ended(StreamEnd::Fin | StreamEnd::CloseNotify) => {
                self.left(Side::Server, Ending::Fin)
            }
            _ => self.failed(Leg::Server, error.to_string()),
        }
    }

    /// What the client will be shown, with what is to be said of the server's certificate.
    async fn present(
        &mut self,
        server_leg: &ServerLeg<TcpStream>,
        protocol: Option<u32>,
    ) -> Result<Arc<Presented>, Stopped> {
        let interception = self.context.interception;
        self.tap.session().lock().server_certificate(Instant::now(), &server_leg.chain);
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
        };
        self.say(Leg::Proxy, None, judged);
        let shown = Detail::CertificatePresented {
            mode: interception.presenter.mode().to_string(),
            chain: presented.chain.clone(),
            same_key: presented.same_key,
            differences: presented.differences.clone(),
        };
        self.say(Leg::Client, None, shown);
        let binds_key = matches!(protocol, Some(HYBRID | HYBRID_EX)) && interception.nla == NlaMode::Relay;
        if binds_key && !presented.same_key {
            let advice = interception.ways_round_key_binding();
            self.say(Leg::Client, None, Detail::KeyBindingForeseen { advice });
        }
        Ok(presented)
    }

    /// TLS with the client.
    async fn client_leg<'s>(
        &mut self,
        client: &'s mut TcpStream,
        hello_bytes: Vec<u8>,
        hello: &ClientHello,
        presented: &Presented,
        server_leg: &mut ServerLeg<TcpStream>,
    ) -> Result<TlsStream<&'s mut TcpStream>, Stopped> {
        let tee = Tee::new(client, hello_bytes, self.wire(Side::Client));
        let stack = match tls::client_needs_legacy(hello) {
            Some(need) => Stack::Legacy { need },
            None => Stack::Usual,
        };
        let accepted = tokio::select! {
            accepted = tls::accept(tee, &presented.identity, &stack) => accepted,
            ending = gone(server_leg.stream.tee().get_ref()) => return Err(self.left(Side::Server, ending)),
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
            _ => self.failed(Leg::Client, error.to_string()),
        })
    }

    /// rdpscope logs on by itself on both legs.
    async fn authenticate(
        &mut self,
        _client: &mut LegStream<'_>,
        _server: &mut ServerLeg<TcpStream>,
        _presented: &Presented,
        _with_authorization: bool,
    ) -> Result<(), Stopped> {
        Err(self.failed(Leg::Client, String::new()))
    }

    fn wire(&self, side: Side) -> LegTap {
        LegTap { session: self.tap.session().clone(), side }
    }

    fn say(&self, leg: Leg, from: Option<Side>, detail: Detail) {
        self.tap.session().lock().trace.say(leg, from, Phase::Tls, detail);
    }

    fn alerted(&self, side: Side, alert: &Alert) {
        self.tap.session().lock().alert(Instant::now(), side, alert);
    }

    /// A side's farewell inside TLS.
    fn farewell(&self, side: Side, end: &StreamEnd) {
        super::note_farewell(self.tap, Instant::now(), side, end);
    }

    /// A side has left.
    fn left(&mut self, side: Side, ending: Ending) -> Stopped {
        self.tap.ended(Instant::now(), side, ending);
        ending.into()
    }

    /// rdpscope itself cannot go on.
    fn failed(&mut self, leg: Leg, reason: String) -> Stopped {
        let advice =
            "TLS that passes through is not touched: leave --cert out, or say --cert passthrough".to_owned();
        self.say(leg, None, Detail::TerminationFailed { reason, advice });
        self.tap.session().lock().close_by_proxy("TLS could not be terminated");
        Stopped::Closed
    }
}

/// Tells the server in TLS that its client has left, or by a reset that it was reset.
async fn close_server(mut server: TlsStream<TcpStream>, stopped: Stopped) -> Stopped {
    match stopped {
        // A server that has left needs no farewell.
        Stopped::Closed => drop(server.shutdown().await),
        Stopped::Reset => reset(server.tee().get_ref()),
    }
    stopped
}

/// Waits until the peer has left while nothing is read from it. One that speaks out of turn has not.
async fn gone(stream: &TcpStream) -> Ending {
    let mut byte = [0];
    match stream.peek(&mut byte).await {
        Ok(0) => Ending::Fin,
        Ok(_) => std::future::pending().await,
        Err(_) => Ending::Reset,
    }
}
