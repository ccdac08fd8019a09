//! One connection to a gateway: TLS, and in it requests and what comes back, read by the observers of a relayed session.

use super::record::Recorded;
use super::request::Request;
use crate::intercept::tls::{self, HandshakeError, Offer, Stack, StreamEnd, Tee, TlsStream, WireTap};
use crate::observe::gateway::GatewayObserver;
use crate::probe::way::{Connection, Way};
use crate::relay::connect::micros;
use crate::relay::tcp_info::tcp_info;
use crate::trace::{
    Detail, Event, Framing, GatewayAnswer, GatewayMessage, GatewayRequestCheck, How, HttpResponse, Micros,
    Side,
};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A handshake waits for the gateway twice: for its hello and for its last word.
const HANDSHAKE_ANSWERS: u32 = 2;
/// How long the farewell may take of a gateway that does not read.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a body that are waited for; a page that is longer has an end somewhere.
const MOST_BODY: u64 = 64 * 1024;
/// What every response begins with.
const HTTP: &[u8] = b"HTTP/";
/// Bytes at the start of a strange answer that are kept.
const TELLING_BYTES: usize = 16;

/// Reads what is said on one or several connections.
pub(super) struct Ear {
    observer: GatewayObserver,
    events: Vec<Event>,
    began: Instant,
    record: Option<Recorded>,
}

impl Ear {
    /// One that keeps what it hears to itself, or tells it to `record`, whose time began at `began`.
    pub(super) fn new(began: Instant, record: Option<Recorded>) -> Ear {
        Ear { observer: GatewayObserver::default(), events: Vec::new(), began, record }
    }

    /// How much was heard so far.
    pub(super) fn heard(&self) -> usize {
        self.events.len()
    }

    /// Everything of the gateway's protocol that was heard after so much, and from whom.
    pub(super) fn since(&self, heard: usize) -> impl Iterator<Item = (Option<Side>, &GatewayMessage)> {
        self.events.iter().skip(heard).filter_map(|event| match &event.detail {
            Detail::Gateway(message) => Some((event.from, message)),
            _ => None,
        })
    }

    fn hear(&mut self, connection: u32, from: Side, bytes: &[u8]) {
        let (t_us, before) = (micros(self.began.elapsed()), self.events.len());
        self.observer.data(t_us, connection, from, bytes, &mut self.events);
        self.tell(before);
    }

    fn ended(&mut self, connection: u32, how: How) {
        let (t_us, before) = (micros(self.began.elapsed()), self.events.len());
        self.observer.ended(t_us, connection, Side::Server, how, &mut self.events);
        self.tell(before);
        if let Some(record) = &self.record {
            record.ended(how);
        }
    }

    fn tell(&self, before: usize) {
        if let Some(record) = &self.record {
            record.events(self.events[before..].to_vec());
        }
    }

    /// The final response that was heard after so much.
    fn response(&self, heard: usize) -> Option<HttpResponse> {
        self.since(heard).find_map(|(_, message)| match message {
            GatewayMessage::HttpResponse(response) if response.status == 101 || response.status >= 200 => {
                Some((**response).clone())
            }
            _ => None,
        })
    }
}

/// Why there is no TLS.
pub(super) enum NotSecured {
    /// It took too long.
    Late(String),
    /// It failed.
    Failed(Box<HandshakeError>),
}

impl NotSecured {
    pub(super) fn words(&self) -> String {
        match self {
            NotSecured::Late(reason) => reason.clone(),
            NotSecured::Failed(error) => error.to_string(),
        }
    }
}

/// A connection with TLS on it.
pub(super) struct Channel<'c> {
    stream: TlsStream<&'c mut TcpStream>,
    number: u32,
    /// What came since the last request was sent.
    received: Vec<u8>,
    /// The certificates that were shown (DER, the gateway's own first).
    pub(super) chain: Vec<Vec<u8>>,
    /// What was selected by ALPN.
    pub(super) protocol: Option<Vec<u8>>,
}

/// What a moment of listening brought.
pub(super) enum Came {
    Bytes,
    End(How),
    Nothing,
}

impl<'c> Channel<'c> {
    /// TLS on `connection`, which the ears know by `number`. `protocols` are offered by ALPN.
    pub(super) async fn open(
        way: &Way,
        connection: &'c mut Connection,
        number: u32,
        stack: &Stack,
        protocols: &[&str],
        tap: impl WireTap + 'static,
    ) -> Result<Channel<'c>, NotSecured> {
        let offer = Offer {
            server_name: Some(way.server_name.clone()),
            protocols: protocols.iter().map(|name| (*name).to_owned()).collect(),
            ..Offer::default()
        };
        let stream: &mut TcpStream = connection;
        let limit = way.answer_timeout * HANDSHAKE_ANSWERS;
        let connecting = tls::connect(Tee::new(stream, Vec::new(), tap), &offer, stack);
        match timeout(limit, connecting).await {
            Ok(Ok(leg)) => Ok(Channel {
                stream: leg.stream,
                number,
                received: Vec::new(),
                chain: leg.chain,
                protocol: leg.protocol,
            }),
            Ok(Err(error)) => Err(NotSecured::Failed(Box::new(error))),
            Err(_) => Err(NotSecured::Late(format!(
                "the gateway did not answer the TLS handshake within {} s",
                limit.as_secs()
            ))),
        }
    }

    /// Sends `bytes`.
    pub(super) async fn send(&mut self, ear: &mut Ear, bytes: &[u8]) {
        ear.hear(self.number, Side::Client, bytes);
        self.received.clear();
        // What a gateway says that takes no more is in what it sent, and is read all the same.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Listens for at most `limit`.
    pub(super) async fn listen(&mut self, ear: &mut Ear, limit: Duration) -> Came {
        let before = self.received.len();
        match timeout(limit, self.stream.read_buf(&mut self.received)).await {
            Err(_) => Came::Nothing,
            Ok(Ok(count)) if count > 0 => {
                ear.hear(self.number, Side::Server, &self.received[before..]);
                Came::Bytes
            }
            Ok(ended) => {
                let is_reset = ended.is_err_and(|error| matches!(tls::read_ending(&error), StreamEnd::Reset));
                let how = if is_reset { How::Reset } else { How::Fin };
                ear.ended(self.number, how);
                Came::End(how)
            }
        }
    }

    /// Asks, and reads the answer to where its end should be. A response that carries a tunnel is read to its head only.
    pub(super) async fn ask(
        &mut self,
        ear: &mut Ear,
        request: &Request<'_>,
        limit: Duration,
    ) -> GatewayRequestCheck {
        let heard = ear.heard();
        let asked = Instant::now();
        self.send(ear, &request.bytes()).await;
        let (answer, took_us) = self.answer(ear, heard, asked, limit).await;
        let mut check = GatewayRequestCheck {
            request: request.what,
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            answer,
            is_complete: None,
            took_us,
        };
        if let Some(response) = check.response().filter(|response| !response.opens_tunnel()) {
            let is_complete = self.body_ends(ear, response, limit).await;
            check.is_complete = Some(is_complete);
        }
        check
    }

    async fn answer(
        &mut self,
        ear: &mut Ear,
        heard: usize,
        asked: Instant,
        limit: Duration,
    ) -> (GatewayAnswer, Micros) {
        let mut first = None;
        loop {
            let came = self.listen(ear, limit.saturating_sub(asked.elapsed())).await;
            let took_us = *first.get_or_insert(micros(asked.elapsed()));
            if let Some(response) = ear.response(heard) {
                return (GatewayAnswer::Response(Box::new(response)), took_us);
            }
            let is_http = self.received.iter().zip(HTTP).all(|(received, expected)| received == expected);
            if !is_http {
                let telling = &self.received[..self.received.len().min(TELLING_BYTES)];
                return (GatewayAnswer::OtherProtocol { first_bytes: hex::encode(telling) }, took_us);
            }
            match came {
                Came::Bytes => {}
                Came::End(how) => return (GatewayAnswer::Closed { how }, took_us),
                Came::Nothing => return (GatewayAnswer::Silent, took_us),
            }
        }
    }

    /// Whether the response's end can be known, which is waited for.
    async fn body_ends(&mut self, ear: &mut Ear, response: &HttpResponse, limit: Duration) -> bool {
        let asked = Instant::now();
        loop {
            let body = self.received.get(response.length..).unwrap_or_default();
            let come = body.len() as u64;
            let is_whole = match response.framing {
                Framing::None | Framing::Upgraded => true,
                Framing::Length(length) => come >= length.min(MOST_BODY),
                Framing::Chunked => body.ends_with(b"0\r\n\r\n") || come >= MOST_BODY,
                Framing::UntilClose => come >= MOST_BODY,
            };
            if is_whole {
                return true;
            }
            match self.listen(ear, limit.saturating_sub(asked.elapsed())).await {
                Came::Bytes => {}
                Came::End(_) => return response.framing == Framing::UntilClose,
                Came::Nothing => return false,
            }
        }
    }

    /// What came since the last request was sent.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Round trip time by the system's own count, µs.
    pub(super) fn round_trip_us(&self) -> u64 {
        let info = tcp_info(self.stream.tee().get_ref());
        info.and_then(|info| info.rtt_us).unwrap_or_default().into()
    }

    /// Leaves in good order.
    pub(super) async fn farewell(mut self) {
        // A gateway that has left needs none.
        let _ = timeout(FAREWELL_TIMEOUT, self.stream.shutdown()).await;
    }
}

/// Nobody looks at the bytes of TLS.
pub(super) fn unseen() -> impl WireTap + 'static {
    |_: Instant, _: bool, _: &[u8]| ()
}
