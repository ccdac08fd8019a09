//! RPC over HTTP (MS-RPCH 3.2.2) as far as it goes before anybody has to say who he is: both channels, and the bind of
//! the gateway's interface up to the challenge of NTLM.

use super::channel::{Came, Channel, Ear};
use super::lane::Lane;
use super::request::Request;
use super::tunnel::{Tunnel, open};
use crate::probe::credssp::NEGOTIATE;
use crate::probe::tls::random;
use crate::relay::connect::micros;
use crate::trace::{GatewayMessage, GatewayRequest, GatewayTunnelCheck, Side, Transport};
use crate::wire::rpch::rpc;
use crate::wire::rpch::rts::PDU_TYPE as RTS;
use std::time::Instant;

/// Content-Length of an IN channel, which is never filled.
const ENDLESS: u64 = 0x4000_0000;
/// ReceiveWindowSize: what the gateway may send before it hears that something arrived.
const RECEIVE_WINDOW: u32 = 64 * 1024;
/// ClientKeepalive, in milliseconds: longer than a probe takes.
const KEEPALIVE: u32 = 300_000;
/// Commands of RTS PDUs (MS-RPCH 2.2.3.5).
const RECEIVE_WINDOW_SIZE: u32 = 0;
const COOKIE: u32 = 3;
const CHANNEL_LIFETIME: u32 = 4;
const CLIENT_KEEPALIVE: u32 = 5;
const VERSION: u32 = 6;
const ASSOCIATION_GROUP_ID: u32 = 12;
/// The largest fragment of every client, in both directions.
const FRAGMENT: u16 = 4088;
/// TsProxyRpcInterface 1.3 (MS-TSGU 1.9) as bytes of a bind, and NDR 2.0 (C706 14).
const INTERFACE: [u8; 20] = [
    0xdd, 0x65, 0xe2, 0x44, 0xaf, 0x7d, 0xcd, 0x42, 0x85, 0x60, 0x3c, 0xdb, 0x6e, 0x7a, 0x27, 0x29, 1, 0, 3,
    0,
];
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0,
    0,
];
/// RPC_C_AUTHN_WINNT at RPC_C_AUTHN_LEVEL_PKT_INTEGRITY, without padding.
const TRAILER: [u8; 8] = [10, 5, 0, 0, 0, 0, 0, 0];

/// Begins one; nothing where RPC_OUT_DATA is not granted: that is told with the requests.
pub(super) async fn over_rpc(lane: &Lane) -> Option<GatewayTunnelCheck> {
    let limit = lane.way.answer_timeout;
    let mut ear = Ear::new(Instant::now(), None);
    let id = super::request::connection_id();
    let cookies = Cookies::new()?;
    let mut connection = lane.way.open().await.ok()?;
    let mut out = open(lane, &mut connection, 1).await?;
    let a1 = cookies.conn_a1();
    let request = Request {
        content: a1.len() as u64,
        body: a1,
        ..Request::new(GatewayRequest::RpcOut, &lane.host, &id)
    };
    let heard = ear.heard();
    let asked = out.ask(&mut ear, &request, limit).await;
    if asked.response().map(|response| response.status) != Some(200) {
        return None;
    }
    let mut tunnel = Tunnel::new(Transport::GatewayRpc, None, limit);
    if tunnel.answered_by(&mut ear, &mut out, heard, "CONN/A1", |name| name == "CONN/A3").await {
        let mut connection = lane.way.open().await.ok()?;
        let mut inward = open(lane, &mut connection, 2).await?;
        let request = Request {
            content: ENDLESS,
            body: cookies.conn_b1(),
            ..Request::new(GatewayRequest::RpcIn, &lane.host, &id)
        };
        let heard = ear.heard();
        inward.send(&mut ear, &request.bytes()).await;
        if tunnel.answered_by(&mut ear, &mut out, heard, "CONN/B1", |name| name == "CONN/C2").await {
            let heard = ear.heard();
            inward.send(&mut ear, &bind()).await;
            tunnel.answered_by(&mut ear, &mut out, heard, "bind", |name| name.starts_with("bind_")).await;
        } else {
            tunnel.refused_inward(&mut ear, Some(&mut inward), request.method).await;
        }
        inward.farewell().await;
    }
    out.farewell().await;
    Some(tunnel.check(&ear))
}

impl Tunnel<'_> {
    /// Whether a PDU that `is_answer` by its name comes on the OUT channel after so much.
    async fn answered_by(
        &mut self,
        ear: &mut Ear,
        out: &mut Channel<'_>,
        heard: usize,
        after: &str,
        is_answer: impl Fn(&str) -> bool,
    ) -> bool {
        let began = Instant::now();
        loop {
            if ear.since(heard).filter_map(pdu).any(&is_answer) {
                self.first_bytes_us.get_or_insert(micros(began.elapsed()));
                return true;
            }
            match out.listen(ear, self.limit.saturating_sub(began.elapsed())).await {
                Came::Bytes => {}
                Came::End(how) => self.closed(after, how),
                Came::Nothing => self.silent(after),
            }
            if self.failure.is_some() {
                return false;
            }
        }
    }
}

/// The name of a PDU that the gateway sent.
pub(super) fn pdu((from, message): (Option<Side>, &GatewayMessage)) -> Option<&str> {
    match message {
        _ if from != Some(Side::Server) => None,
        GatewayMessage::Rts { name, .. } => name.as_deref(),
        GatewayMessage::Rpc { pdu, .. } => Some(pdu),
        _ => None,
    }
}

/// What the two channels are joined by. Nothing in them is of this machine.
struct Cookies {
    virtual_connection: [u8; 16],
    out: [u8; 16],
    inward: [u8; 16],
    group: [u8; 16],
}

impl Cookies {
    fn new() -> Option<Cookies> {
        let [one, other] = [random()?, random()?];
        let half = |bytes: &[u8; 32], at: usize| bytes.get(at..).and_then(|it| it.first_chunk().copied());
        Some(Cookies {
            virtual_connection: half(&one, 0)?,
            out: half(&one, 16)?,
            inward: half(&other, 0)?,
            group: half(&other, 16)?,
        })
    }

    /// CONN/A1 (MS-RPCH 2.2.4.2).
    fn conn_a1(&self) -> Vec<u8> {
        rts(&[
            number(VERSION, 1),
            named(COOKIE, self.virtual_connection),
            named(COOKIE, self.out),
            number(RECEIVE_WINDOW_SIZE, RECEIVE_WINDOW),
        ])
    }

    /// CONN/B1 (MS-RPCH 2.2.4.5).
    fn conn_b1(&self) -> Vec<u8> {
        rts(&[
            number(VERSION, 1),
            named(COOKIE, self.virtual_connection),
            named(COOKIE, self.inward),
            number(CHANNEL_LIFETIME, u32::try_from(ENDLESS).unwrap_or(u32::MAX)),
            number(CLIENT_KEEPALIVE, KEEPALIVE),
            named(ASSOCIATION_GROUP_ID, self.group),
        ])
    }
}

fn number(command: u32, value: u32) -> Vec<u8> {
    [command.to_le_bytes(), value.to_le_bytes()].concat()
}

fn named(command: u32, id: [u8; 16]) -> Vec<u8> {
    [&command.to_le_bytes()[..], &id].concat()
}

/// An RTS PDU without flags.
fn rts(commands: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(commands.len()).unwrap_or_default();
    let body = [&[0, 0][..], &count.to_le_bytes(), &commands.concat()].concat();
    whole(RTS, 0, &body, &[])
}

/// A bind of the gateway's interface, with NTLM's first message (MS-RPCE 2.2.2.3, C706 12.6.4.3).
fn bind() -> Vec<u8> {
    let fragment = FRAGMENT.to_le_bytes();
    // No association group, and one context with one transfer syntax.
    let body = [&fragment[..], &fragment, &[0; 4], &[1, 0, 0, 0], &[0, 0, 1, 0], &INTERFACE, &NDR, &TRAILER];
    whole(rpc::BIND, 1, &body.concat(), &NEGOTIATE)
}

fn whole(kind: u8, call: u32, body: &[u8], token: &[u8]) -> Vec<u8> {
    let flags = rpc::FIRST_FRAGMENT | rpc::LAST_FRAGMENT;
    let length = |length: usize| u16::try_from(length).unwrap_or_default().to_le_bytes();
    [
        &[5, 0, kind, flags, 0x10, 0, 0, 0][..],
        &length(rpc::HEADER_LENGTH + body.len() + token.len()),
        &length(token.len()),
        &call.to_le_bytes(),
        body,
        token,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rpch::rpc::{Header, Pdu};
    use crate::wire::rpch::rts::Rts;

    #[test]
    fn every_pdu_is_whole_and_what_it_is_called() {
        let cookies = Cookies::new().unwrap();
        for (bytes, name, length) in [(cookies.conn_a1(), "CONN/A1", 76), (cookies.conn_b1(), "CONN/B1", 104)]
        {
            assert_eq!(Header::decode(&bytes).unwrap().unwrap().0.length(), bytes.len());
            let rts = Rts::decode(&bytes).unwrap();
            assert_eq!((rts.name_from_client(), bytes.len()), (Some(name), length));
            assert_eq!(rts.virtual_connection(), Some(cookies.virtual_connection));
        }
        let bytes = bind();
        let header = Header::decode(&bytes).unwrap().unwrap().0;
        assert_eq!((header.name(), header.length()), (Some("bind"), bytes.len()));
        let security = Pdu::decode(header, &bytes).unwrap().security.unwrap();
        assert_eq!(security.level.name.as_deref(), Some("RPC_C_AUTHN_LEVEL_PKT_INTEGRITY"));
        assert_eq!(security.token_length, NEGOTIATE.len());
    }
}
