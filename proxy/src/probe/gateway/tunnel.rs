//! A tunnel (MS-TSGU 3.3.5) as far as it goes before anybody has to say who he is.

use super::channel::{Came, Channel, Ear, unseen};
use super::lane::Lane;
use super::request::{PAA, Request, SSPI_NTLM};
use super::rpc;
use crate::probe::credssp::NEGOTIATE;
use crate::probe::tls::random;
use crate::probe::way::Connection;
use crate::relay::connect::micros;
use crate::trace::{
    GatewayAnswer, GatewayMessage, GatewayRequest, GatewayTunnelCheck, GatewayTunnelFailure, Side, Transport,
};
use crate::wire::tsgu::{Packet, header};
use crate::wire::websocket::{opcode, unmask};
use std::time::{Duration, Instant};

/// All that there are: what is answered is what the gateway has (MS-TSGU 2.2.5.3.9).
const ALL_CAPABILITIES: u32 = 0x3F;
/// FIN, and a mask.
const WHOLE: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Payloads that are longer have more bytes of length.
const LONGEST_SHORT: usize = 125;
/// How long an IN channel is heard that seems to have been refused.
const AFTERWORD: Duration = Duration::from_millis(200);

/// How the tunnel's packets are sent.
enum Framing {
    Websocket,
    Chunks,
}

/// Begins one over WebSocket; nothing where that is not granted with this `scheme`.
pub(super) async fn over_websocket(lane: &Lane, scheme: Option<&str>) -> Option<GatewayTunnelCheck> {
    let mut ear = Ear::new(Instant::now(), None);
    let mut connection = lane.way.open().await.ok()?;
    let mut channel = open(lane, &mut connection, 1).await?;
    let id = super::request::connection_id();
    let request = Request { scheme, ..Request::new(GatewayRequest::Websocket, &lane.host, &id) };
    let asked = channel.ask(&mut ear, &request, lane.way.answer_timeout).await;
    let mut tunnel = Tunnel::new(Transport::GatewayWebsocket, scheme, lane.way.answer_timeout);
    match (&asked.answer, asked.response().map(|response| response.status)) {
        (_, Some(101)) => {
            tunnel.talk(&mut ear, &mut channel, None, &Framing::Websocket).await;
            channel.farewell().await;
        }
        // Asked for a logon, or refused like the request without a scheme: there is no tunnel to tell of.
        (_, Some(401)) => return None,
        (_, Some(status)) => tunnel.not_granted(request.method, status),
        (GatewayAnswer::Closed { how }, _) => tunnel.closed(request.method, *how),
        _ => tunnel.silent(request.method),
    }
    Some(tunnel.check(&ear))
}

/// Begins one over two connections; nothing where that is not granted with this `scheme`.
pub(super) async fn over_two_connections(lane: &Lane, scheme: Option<&str>) -> Option<GatewayTunnelCheck> {
    let limit = lane.way.answer_timeout;
    let mut ear = Ear::new(Instant::now(), None);
    let id = super::request::connection_id();
    let mut connection = lane.way.open().await.ok()?;
    let mut out = open(lane, &mut connection, 1).await?;
    let request = Request { scheme, ..Request::new(GatewayRequest::OutChannel, &lane.host, &id) };
    let asked = out.ask(&mut ear, &request, limit).await;
    let mut tunnel = Tunnel::new(Transport::GatewayHttp, scheme, limit);
    match (&asked.answer, asked.response().map(|response| response.status)) {
        (_, Some(200)) => {}
        (_, Some(401)) => return None,
        (_, Some(status)) => tunnel.not_granted(request.method, status),
        (GatewayAnswer::Closed { how }, _) => tunnel.closed(request.method, *how),
        _ => tunnel.silent(request.method),
    }
    if tunnel.failure.is_none() {
        let head = asked.response().map(|response| response.length).unwrap_or_default();
        tunnel.wait_for_body(&mut ear, &mut out, head).await;
        let mut connection = lane.way.open().await.ok()?;
        let mut inward = open(lane, &mut connection, 2).await?;
        let request = Request { scheme, ..Request::new(GatewayRequest::InChannel, &lane.host, &id) };
        inward.send(&mut ear, &request.bytes()).await;
        tunnel.talk(&mut ear, &mut out, Some(&mut inward), &Framing::Chunks).await;
        inward.farewell().await;
    }
    out.farewell().await;
    Some(tunnel.check(&ear))
}

pub(super) async fn open<'c>(
    lane: &Lane,
    connection: &'c mut Connection,
    number: u32,
) -> Option<Channel<'c>> {
    Channel::open(&lane.way, connection, number, &lane.stack, &[], unseen()).await.ok()
}

pub(super) struct Tunnel<'a> {
    transport: Transport,
    scheme: Option<&'a str>,
    pub(super) limit: Duration,
    pub(super) first_bytes_us: Option<u64>,
    pub(super) failure: Option<GatewayTunnelFailure>,
}

impl<'a> Tunnel<'a> {
    pub(super) fn new(transport: Transport, scheme: Option<&'a str>, limit: Duration) -> Tunnel<'a> {
        Tunnel { transport, scheme, limit, first_bytes_us: None, failure: None }
    }

    fn not_granted(&mut self, method: &str, status: u16) {
        self.failure = Some(GatewayTunnelFailure::NotGranted { method: method.to_owned(), status });
    }

    pub(super) fn silent(&mut self, after: &str) {
        self.failure = Some(GatewayTunnelFailure::Silent { after: after.to_owned() });
    }

    pub(super) fn closed(&mut self, after: &str, how: crate::trace::How) {
        self.failure = Some(GatewayTunnelFailure::Closed { after: after.to_owned(), how });
    }

    /// The bytes before the first packet, which are sent so that boxes on the way begin to pass data on.
    async fn wait_for_body(&mut self, ear: &mut Ear, out: &mut Channel<'_>, head: usize) {
        let began = Instant::now();
        while out.received().len() <= head {
            match out.listen(ear, self.limit.saturating_sub(began.elapsed())).await {
                Came::Bytes => {}
                Came::End(_) | Came::Nothing => return,
            }
        }
        self.first_bytes_us = Some(micros(began.elapsed()));
    }

    /// Sends each packet that needs no credentials, and waits for its answer.
    async fn talk(
        &mut self,
        ear: &mut Ear,
        hears: &mut Channel<'_>,
        mut speaks: Option<&mut Channel<'_>>,
        framing: &Framing,
    ) {
        for (name, packet) in packets(self.scheme) {
            let heard = ear.heard();
            let began = Instant::now();
            let bytes = framed(&packet, framing);
            match &mut speaks {
                Some(speaks) => speaks.send(ear, &bytes).await,
                None => hears.send(ear, &bytes).await,
            }
            loop {
                if let Some(is_refusal) = answered(ear, heard) {
                    self.first_bytes_us.get_or_insert(micros(began.elapsed()));
                    if is_refusal {
                        return;
                    }
                    break;
                }
                match hears.listen(ear, self.limit.saturating_sub(began.elapsed())).await {
                    Came::Bytes => {}
                    Came::End(how) => return self.closed(name, how),
                    Came::Nothing => {
                        self.silent(name);
                        return self.refused_inward(ear, speaks, "RDG_IN_DATA").await;
                    }
                }
            }
        }
    }

    /// Nothing came on the OUT channel: the IN channel may say why.
    pub(super) async fn refused_inward(
        &mut self,
        ear: &mut Ear,
        inward: Option<&mut Channel<'_>>,
        method: &str,
    ) {
        let Some(inward) = inward else { return };
        let heard = ear.heard();
        while let Came::Bytes = inward.listen(ear, AFTERWORD).await {}
        let refused = ear.since(heard).find_map(|(_, message)| match message {
            GatewayMessage::HttpResponse(response) if response.status >= 400 => Some(response.status),
            _ => None,
        });
        if let Some(status) = refused {
            self.not_granted(method, status);
        }
    }

    pub(super) fn check(self, ear: &Ear) -> GatewayTunnelCheck {
        let mut check = GatewayTunnelCheck {
            transport: self.transport,
            scheme: self.scheme.map(str::to_owned),
            packets: Vec::new(),
            pdus: ear.since(0).filter_map(rpc::pdu).map(str::to_owned).collect(),
            reframed: Vec::new(),
            first_bytes_us: self.first_bytes_us,
            failure: self.failure,
        };
        for (from, message) in ear.since(0) {
            match message {
                GatewayMessage::TunnelPacket(packet) if from == Some(Side::Server) => {
                    check.packets.push(packet.clone());
                }
                GatewayMessage::BodyReframed { how, .. } if !check.reframed.contains(how) => {
                    check.reframed.push(*how);
                }
                _ => {}
            }
        }
        check
    }
}

/// Whether a packet of the gateway came after so much, and whether it is a refusal.
fn answered(ear: &Ear, heard: usize) -> Option<bool> {
    ear.since(heard).find_map(|(from, message)| match message {
        GatewayMessage::TunnelPacket(Packet::Keepalive | Packet::ServiceMessage { .. }) => None,
        GatewayMessage::TunnelPacket(_) if from == Some(Side::Server) => Some(message.is_failure()),
        _ => None,
    })
}

/// The packets up to where credentials would be due, with their names.
fn packets(scheme: Option<&str>) -> Vec<(&'static str, Vec<u8>)> {
    // HTTP_EXTENDED_AUTH (MS-TSGU 2.2.5.3.2).
    let extended: u16 = match scheme {
        Some(SSPI_NTLM) => 4,
        Some(PAA) => 2,
        _ => 0,
    };
    let [low, high] = extended.to_le_bytes();
    let handshake = packet(header::HANDSHAKE_REQUEST, &[1, 0, 0, 0, low, high]);
    let next = if scheme == Some(SSPI_NTLM) {
        let length = u16::try_from(NEGOTIATE.len()).unwrap_or_default().to_le_bytes();
        let body = [&[0; 4][..], &length, &NEGOTIATE].concat();
        ("extended_auth_msg", packet(header::EXTENDED_AUTH_MSG, &body))
    } else {
        let body = [&ALL_CAPABILITIES.to_le_bytes()[..], &[0; 4]].concat();
        ("tunnel_create", packet(header::TUNNEL_CREATE, &body))
    };
    vec![("handshake_request", handshake), next]
}

fn packet(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header::LENGTH + body.len()).unwrap_or_default();
    [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

fn framed(packet: &[u8], framing: &Framing) -> Vec<u8> {
    match framing {
        Framing::Chunks => [format!("{:x}\r\n", packet.len()).as_bytes(), packet, b"\r\n"].concat(),
        Framing::Websocket => {
            debug_assert!(packet.len() <= LONGEST_SHORT, "the packets here are short");
            let mask: [u8; 4] = random().and_then(|it| it.first_chunk().copied()).unwrap_or_default();
            let mut masked = vec![0; packet.len()];
            unmask(packet, Some(mask), &mut masked);
            let length = u8::try_from(packet.len()).unwrap_or_default();
            [&[WHOLE | opcode::BINARY, MASKED | length][..], &mask, &masked].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_whole_and_fits_a_short_frame() {
        for scheme in [None, Some(SSPI_NTLM), Some(PAA)] {
            for (name, bytes) in packets(scheme) {
                assert_eq!(Packet::decode(&bytes).unwrap().name(), name);
                assert!(bytes.len() <= LONGEST_SHORT);
                assert_eq!(bytes[4..8], u32::try_from(bytes.len()).unwrap().to_le_bytes());
            }
        }
    }
}
