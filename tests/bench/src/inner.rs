//! Bulk data through an RD Gateway's WebSocket, with TLS inside the tunnel that ends in the relay like the TLS around it.

use std::io::{self, Read, Write};
use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result, anyhow, ensure};
use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SideData, Stream};

use crate::gateway::{DATA, OPENING, answer, data, from_client, from_server, upgraded};
use crate::interception::{BULK, Bulk, beginning, fast_path, flow};
use crate::relay::Running;
use crate::scripted::Side;
use crate::throughput::Direction;
use crate::tls::{ClientEnd, Ends, ServerEnd};
use crate::wire;

/// Bytes before the body of a packet, and before the data in one that carries some.
const PACKET_HEADER: usize = 8;
const DATA_HEADER: usize = 2;

/// Sends fast-path PDUs through a new session inside a new tunnel.
pub fn bulk(running: &Running, ends: &Ends, direction: Direction) -> Result<Bulk> {
    let mut inside = open(running, ends)?;
    let pdu = fast_path();
    let up = match direction {
        Direction::Down => Vec::new(),
        _ => records(&mut inside.client, &mut inside.client_tunnel, &pdu)?,
    };
    let down = match direction {
        Direction::Up => Vec::new(),
        _ => records(&mut inside.server, &mut inside.server_tunnel, &pdu)?,
    };
    let ends = (&inside.client_tunnel.outer.sock, &inside.server_tunnel.outer.sock);
    flow(running, ends, (&up, &down))
}

/// Both ends of a session inside a tunnel.
struct Inside {
    client: ClientConnection,
    client_tunnel: Tunnel<ClientEnd>,
    server: ServerConnection,
    server_tunnel: Tunnel<ServerEnd>,
}

/// Opens the channel, negotiates TLS in it, goes through both handshakes there and through the start of RDP.
fn open(running: &Running, ends: &Ends) -> Result<Inside> {
    let pair = upgraded(running, ends)?;
    let mut client = Tunnel::new(pair.client, from_client);
    let mut server = Tunnel::new(pair.server, from_server);
    for (request, body, response) in OPENING {
        client.put(request, body)?;
        server.packet(request)?;
        server.put(response, &answer(response))?;
        client.packet(response)?;
    }
    let protocol = Some(wire::PROTOCOL_SSL);
    client.put(DATA, &data(&wire::connection_request(protocol)))?;
    server.packet(DATA)?;
    server.put(DATA, &data(&wire::connection_confirm(protocol)))?;
    client.packet(DATA)?;
    let (mut inner_client, mut inner_server) = (ends.client()?, ends.server()?);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| handshake(&mut inner_server, &mut server));
        let connected = handshake(&mut inner_client, &mut client).context("the client's, inside");
        let served = serving.join().map_err(|_| anyhow!("a thread of the generator failed"))?;
        connected.and(served.context("the server's, inside"))
    })?;
    let mut inside =
        Inside { client: inner_client, client_tunnel: client, server: inner_server, server_tunnel: server };
    for (side, message) in beginning() {
        let mut client = Stream::new(&mut inside.client, &mut inside.client_tunnel);
        let mut server = Stream::new(&mut inside.server, &mut inside.server_tunnel);
        match side {
            Side::Client => pass(&mut client, &mut server, &message)?,
            Side::Server => pass(&mut server, &mut client, &message)?,
        }
    }
    Ok(inside)
}

fn handshake<C, D>(connection: &mut C, tunnel: &mut (impl Read + Write)) -> Result<()>
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
    D: SideData,
{
    while connection.is_handshaking() {
        connection.complete_io(tunnel)?;
    }
    Ok(())
}

fn pass(from: &mut impl Write, to: &mut impl Read, message: &[u8]) -> Result<()> {
    from.write_all(message)?;
    let mut got = vec![0; message.len()];
    to.read_exact(&mut got).context("the bytes sent did not arrive inside")?;
    ensure!(got == message, "the bytes that arrived inside are not the ones sent");
    Ok(())
}

/// The bulk data as TLS records of the tunnel, with records of the session in its packets.
fn records<C, D, O, E>(
    inner: &mut C,
    tunnel: &mut Tunnel<rustls::StreamOwned<O, std::net::TcpStream>>,
    pdu: &[u8],
) -> Result<Vec<u8>>
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
    D: SideData,
    O: DerefMut + Deref<Target = ConnectionCommon<E>>,
    E: SideData,
{
    let mut records = Vec::with_capacity(BULK + BULK / 128);
    for _ in 0..BULK.div_ceil(pdu.len()) {
        inner.writer().write_all(pdu)?;
        let mut sealed = Vec::new();
        while inner.wants_write() {
            inner.write_tls(&mut sealed)?;
        }
        let outer = &mut tunnel.outer.conn;
        outer.writer().write_all(&(tunnel.framed)(DATA, &data(&sealed)))?;
        while outer.wants_write() {
            outer.write_tls(&mut records)?;
        }
    }
    Ok(records)
}

/// One end of a tunnel. What is written goes into data packets; who sends puts each packet into a frame of its own, and so
/// does the relay.
struct Tunnel<S> {
    outer: S,
    /// A packet of this type in a frame, as this end sends it.
    framed: fn(u16, &[u8]) -> Vec<u8>,
    /// Data that came and was not read.
    came: Vec<u8>,
}

impl<S: Read + Write> Tunnel<S> {
    fn new(outer: S, framed: fn(u16, &[u8]) -> Vec<u8>) -> Self {
        Self { outer, framed, came: Vec::new() }
    }

    fn put(&mut self, packet_type: u16, body: &[u8]) -> io::Result<()> {
        self.outer.write_all(&(self.framed)(packet_type, body))?;
        self.outer.flush()
    }

    /// The next packet's body; it has to be of this type.
    fn packet(&mut self, packet_type: u16) -> io::Result<Vec<u8>> {
        let mut packet = frame(&mut self.outer)?;
        if packet.len() < PACKET_HEADER || packet[..2] != packet_type.to_le_bytes() {
            return Err(io::Error::other(format!("no packet of type {packet_type} came")));
        }
        Ok(packet.split_off(PACKET_HEADER))
    }
}

impl<S: Read + Write> Read for Tunnel<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.came.is_empty() {
            let mut body = self.packet(DATA)?;
            self.came = body.split_off(DATA_HEADER.min(body.len()));
        }
        let count = self.came.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.came[..count]);
        self.came.drain(..count);
        Ok(count)
    }
}

impl<S: Read + Write> Write for Tunnel<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(wire::RECORD_PAYLOAD);
        self.put(DATA, &data(&bytes[..count]))?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outer.flush()
    }
}

/// What is in the next frame (RFC 6455 5.2).
fn frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let [_, second] = exactly(stream)?;
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(exactly(stream)?)),
        127 => u64::from_be_bytes(exactly(stream)?),
        short => u64::from(short),
    };
    let mask: [u8; 4] = if second & 0x80 == 0 { [0; 4] } else { exactly(stream)? };
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(payload)
}

fn exactly<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
