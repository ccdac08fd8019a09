//! Bulk data through an RD Gateway's WebSocket, whose TLS ends in the relay.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow, ensure};

use crate::interception::{Bulk, Pair, Pdus, accept, reach};
use crate::relay::Running;
use crate::throughput::Direction;
use crate::tls::{ClientEnd, Ends, ServerEnd};
use crate::wire;

/// Types of packets (MS-TSGU 2.2.5.3.3).
const HANDSHAKE_REQUEST: u16 = 1;
const HANDSHAKE_RESPONSE: u16 = 2;
const TUNNEL_CREATE: u16 = 4;
const TUNNEL_RESPONSE: u16 = 5;
const TUNNEL_AUTH: u16 = 6;
const TUNNEL_AUTH_RESPONSE: u16 = 7;
const CHANNEL_CREATE: u16 = 8;
const CHANNEL_RESPONSE: u16 = 9;
pub const DATA: u16 = 10;
/// What opens a channel: the client's packet, what is in it, and the gateway's answer.
pub const OPENING: [(u16, &[u8], u16); 4] = [
    (HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0], HANDSHAKE_RESPONSE),
    (TUNNEL_CREATE, &[0x3f, 0, 0, 0, 0, 0, 0, 0], TUNNEL_RESPONSE),
    (TUNNEL_AUTH, &[0, 0, 2, 0, 0, 0], TUNNEL_AUTH_RESPONSE),
    (CHANNEL_CREATE, &[1, 0, 0x3d, 0x0d, 3, 0, 4, 0, b'a', 0, 0, 0], CHANNEL_RESPONSE),
];
/// Key of the frames of a client. It is not zero, so that a relay that looks inside has its full work.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The longest head of HTTP that is awaited.
const LONGEST_HEAD: usize = 4096;

const REQUEST: &str = "RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nCache-Control: no-cache\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nUpgrade: websocket\r\nAccept: */*\r\nUser-Agent: MS-RDGateway/1.0\r\n\
    RDG-Connection-Id: {9E107D9D-372B-4A5C-8E1F-000000000001}\r\nSec-WebSocket-Key: 1Wd+Kpxn4nwBo56zc1xdvA==\r\n\
    Sec-WebSocket-Version: 13\r\nHost: localhost\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nServer: Microsoft-HTTPAPI/2.0\r\n\
    Sec-WebSocket-Accept: 6WehmTwma1qpt5OOdh+KSmVd1Vc=\r\nConnection: Upgrade\r\n\r\n";

/// Sends data packets through a new tunnel, as the bulk data of an intercepted session is sent.
pub fn bulk(running: &Running, ends: &Ends, direction: Direction) -> Result<Bulk> {
    let record = wire::application_record(wire::RECORD_PAYLOAD, 31);
    let pdus = Pdus { up: from_client(DATA, &data(&record)), down: from_server(DATA, &data(&record)) };
    open(running, ends)?.bulk(running, &pdus, direction)
}

/// Goes through both handshakes of TLS, the upgrade, the tunnel and the channel, and through the start of a session
/// inside until its records are encrypted.
fn open(running: &Running, ends: &Ends) -> Result<Pair> {
    let mut pair = upgraded(running, ends)?;
    for (request, body, response) in OPENING {
        pair.up(&from_client(request, body))?;
        pair.down(&from_server(response, &answer(response)))?;
    }
    let protocol = Some(wire::PROTOCOL_SSL);
    pair.up(&from_client(DATA, &data(&wire::connection_request(protocol))))?;
    pair.down(&from_server(DATA, &data(&wire::connection_confirm(protocol))))?;
    pair.up(&from_client(DATA, &data(&wire::client_hello())))?;
    pair.down(&from_server(DATA, &data(&wire::server_flight())))?;
    pair.up(&from_client(DATA, &data(&wire::client_finish())))?;
    pair.down(&from_server(DATA, &data(&wire::server_finish())))?;
    Ok(pair)
}

/// What is in the gateway's answer of this type.
pub fn answer(response: u16) -> Vec<u8> {
    let none = [0; 4];
    let version = if response == TUNNEL_RESPONSE { &[7, 0][..] } else { &[] };
    let rest = if response == HANDSHAKE_RESPONSE { &[1, 0, 7, 0, 0, 0][..] } else { &none };
    [version, &none, rest].concat()
}

/// Both handshakes of TLS, and the upgrade to WebSocket.
pub fn upgraded(running: &Running, ends: &Ends) -> Result<Pair> {
    let (client, server) = std::thread::scope(|scope| {
        let server = scope.spawn(|| accept(running, ends, false));
        let client = ends.connect(reach(running.address)?, false);
        let server = server.join().map_err(|_| anyhow!("a thread of the generator failed"))?;
        anyhow::Ok((client?, server?))
    })?;
    let mut pair = Pair { client, server };
    upgrade(&mut pair.client, &mut pair.server)?;
    Ok(pair)
}

fn upgrade(client: &mut ClientEnd, server: &mut ServerEnd) -> Result<()> {
    client.write_all(REQUEST.as_bytes())?;
    head(server).context("the request")?;
    server.write_all(RESPONSE.as_bytes())?;
    head(client).context("the response")
}

/// Reads up to the empty line. What follows is not sent before this was read.
fn head(stream: &mut impl Read) -> Result<()> {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        ensure!(got.len() < LONGEST_HEAD, "the head does not end");
        let mut byte = [0];
        stream.read_exact(&mut byte).context("the head did not arrive")?;
        got.extend(byte);
    }
    Ok(())
}

/// The body of a data packet.
pub fn data(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// A packet in a frame of its own (RFC 6455 5.2), as a gateway sends it.
pub fn from_server(packet_type: u16, body: &[u8]) -> Vec<u8> {
    let packet = packet(packet_type, body);
    [&frame_header(packet.len(), 0)[..], &packet].concat()
}

/// The same masked, as a client sends it.
pub fn from_client(packet_type: u16, body: &[u8]) -> Vec<u8> {
    let packet = packet(packet_type, body);
    let mut frame = frame_header(packet.len(), 0x80);
    frame.extend(MASK);
    frame.extend(packet.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn frame_header(length: usize, masked: u8) -> Vec<u8> {
    const BINARY: u8 = 0x82;
    match length {
        0..=125 => vec![BINARY, masked | length as u8],
        126..=0xffff => [&[BINARY, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[BINARY, masked | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

fn packet(packet_type: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 8;
    [&packet_type.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_frames_have_the_documented_bytes() {
        let request = packet(HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]);
        assert_eq!(request, [1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(from_server(DATA, &data(b"ab")), [0x82, 12, 10, 0, 0, 0, 12, 0, 0, 0, 2, 0, b'a', b'b']);
        let masked = from_client(HANDSHAKE_REQUEST, &[]);
        assert_eq!(masked[..6], [0x82, 0x88, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(masked[6] ^ MASK[0], 1);
        assert_eq!(frame_header(16_384, 0)[..4], [0x82, 126, 0x40, 0]);
    }
}
