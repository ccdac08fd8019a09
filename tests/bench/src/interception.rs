//! Sessions whose TLS ends in the relay: handshakes per second, bulk data and memory.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{RecvFlags, recv};

use crate::connections::Connections;
use crate::process::Memory;
use crate::relay::{Relay, Running};
use crate::scripted::{Side, rdp};
use crate::session::PATIENCE;
use crate::throughput::Direction;
use crate::tls::{ClientEnd, Ends, ServerEnd};

/// Clients at work at once.
const CLIENTS: usize = 8;
/// Threads that accept: more than clients, because a relay may close the server's side late.
const SERVERS: usize = 16;
/// Idle sessions held at once, before there are as many as [`crate::memory`] has.
pub const IDLE: usize = 500;
/// Header of a TPKT, of which all messages are one each: version, reserved, length with the header.
const TPKT_HEADER: usize = 4;
/// A fast-path PDU as long as the plaintext of a TLS record, which is how bulk data leaves a server.
const PDU: usize = 16 * 1024;
/// Plaintext of one run. Its records are made before the clock runs.
pub const BULK: usize = 192 << 20;
/// Bytes of one write: four records, about what a server's TLS library hands to the system at once.
const WRITE: usize = 64 * 1024;
/// Most that one receive call takes.
const RECEIVE: usize = 1 << 20;

/// Opens sessions from all clients for `duration`: both handshakes, then one message each way, so that both are known to
/// be done.
pub fn handshakes(running: &Running, ends: &Ends, duration: Duration) -> Result<Connections> {
    let stop = AtomicBool::new(false);
    let relay = &running.relay;
    std::thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    // A session that breaks off is the client's to report; an accept that fails is tried again.
                    if let Ok(stream) = running.backend.accept() {
                        let _ = serve(stream, ends, relay);
                    }
                }
            });
        }
        let found = clients(running.address, ends, relay, duration);
        stop.store(true, Ordering::Release);
        // Each waiting thread wakes with one connection and sees that it is over.
        for _ in 0..SERVERS {
            drop(TcpStream::connect(running.backend.address()));
        }
        found
    })
}

fn clients(address: SocketAddr, ends: &Ends, relay: &Relay, duration: Duration) -> Result<Connections> {
    let start = Instant::now();
    let count = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let mut count = 0;
                    while start.elapsed() < duration {
                        visit(address, ends, relay)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        workers.into_iter().try_fold(0, |sum, worker| -> Result<u64> {
            Ok(sum + worker.join().map_err(|_| anyhow!("a thread of the generator failed"))??)
        })
    })?;
    Ok(Connections { count, rate: count as f64 / start.elapsed().as_secs_f64() })
}

fn visit(address: SocketAddr, ends: &Ends, relay: &Relay) -> Result<()> {
    let mut client = ends.connect(reach(address)?, relay.negotiates)?;
    client.write_all(&request())?;
    message(&mut client, &response(), relay).context("no answer inside TLS")?;
    client.conn.send_close_notify();
    client.flush()?;
    Ok(client.sock.shutdown(Shutdown::Write)?)
}

fn serve(stream: TcpStream, ends: &Ends, relay: &Relay) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut server = ends.accept(stream, relay.negotiates)?;
    message(&mut server, &request(), relay)?;
    server.write_all(&response())?;
    // The client closes first.
    while server.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Takes what was sent as `sent`, or what a relay that rewrites made of it.
fn message(stream: &mut impl Read, sent: &[u8], relay: &Relay) -> Result<()> {
    if !relay.rewrites {
        return read(stream, sent);
    }
    let mut header = [0; TPKT_HEADER];
    stream.read_exact(&mut header).context("no message arrived")?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let mut rest = vec![0; length.saturating_sub(TPKT_HEADER)];
    stream.read_exact(&mut rest).context("the message broke off")
}

fn request() -> Vec<u8> {
    let network = [&[1, 0, 0, 0], &b"rdpdr\0\0\0"[..], &[0, 0, 0, 0xc0]].concat();
    let blocks = [
        rdp::block(0xc001, &client_core()),
        rdp::block(0xc002, &[0x1b, 0, 0, 0, 0, 0, 0, 0]),
        rdp::block(0xc003, &network),
        rdp::block(0xc004, &[0x0d, 0, 0, 0, 0, 0, 0, 0]),
    ];
    rdp::packet(&rdp::connect_initial_of(&blocks))
}

/// The core data of a client, in which PyRDP takes no field but with a value that it knows (MS-RDPBCGR 2.2.1.3.2).
fn client_core() -> Vec<u8> {
    /// RDP 10.11, the newest that PyRDP 2.1 knows.
    const VERSION: [u8; 4] = [0x10, 0, 8, 0];
    const DESKTOP_1280_BY_800: [u8; 4] = [0, 5, 0x20, 3];
    /// RNS_UD_COLOR_8BPP.
    const COLOUR_DEPTH: [u8; 2] = [1, 0xca];
    const SAS_SEQUENCE: [u8; 2] = [3, 0xaa];
    const US_ENGLISH: [u8; 4] = [9, 4, 0, 0];
    const BUILD_19041: [u8; 4] = [0x61, 0x4a, 0, 0];
    /// Type 4, no subtype, twelve function keys.
    const KEYBOARD: [u8; 12] = [4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0];
    /// clientProductId 1, no serial number, 24 bits of colour and support for 24, 16 and 15; error info understood.
    const PRODUCT_AND_COLOURS: [u8; 12] = [1, 0, 0, 0, 0, 0, 24, 0, 7, 0, 1, 0];
    /// A local network, and TLS as it was selected.
    const CONNECTION_AND_PROTOCOL: [u8; 6] = [6, 0, 1, 0, 0, 0];
    let mut name = rdp::utf16("bench");
    name.resize(32, 0);
    [
        &VERSION[..],
        &DESKTOP_1280_BY_800,
        &COLOUR_DEPTH,
        &SAS_SEQUENCE,
        &US_ENGLISH,
        &BUILD_19041,
        &name,
        &KEYBOARD,
        &[0; 64],
        &COLOUR_DEPTH,
        &PRODUCT_AND_COLOURS,
        &[0; 64],
        &CONNECTION_AND_PROTOCOL,
    ]
    .concat()
}

fn response() -> Vec<u8> {
    rdp::packet(&rdp::connect_response(0, 0))
}

/// A connection to the relay.
pub fn reach(relay: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(relay).context("cannot connect to the relay")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read(stream: &mut impl Read, expected: &[u8]) -> Result<()> {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).context("the bytes sent did not arrive")?;
    ensure!(got == expected, "the bytes that arrived are not the ones sent");
    Ok(())
}

/// Both ends of one intercepted session.
pub struct Pair {
    /// The client's.
    pub client: ClientEnd,
    /// The server's.
    pub server: ServerEnd,
}

impl Pair {
    /// Goes through both handshakes and the start of RDP until both sides have sent fast-path PDUs.
    pub fn open(running: &Running, ends: &Ends) -> Result<Self> {
        let negotiates = running.relay.negotiates;
        let (client, server) = std::thread::scope(|scope| {
            let server = scope.spawn(|| accept(running, ends, negotiates));
            let client = ends.connect(reach(running.address)?, negotiates);
            let server = server.join().map_err(|_| anyhow!("a thread of the generator failed"))?;
            anyhow::Ok((client?, server?))
        })?;
        let mut session = Self { client, server };
        for (side, message) in beginning() {
            session.pass(side, &message)?;
        }
        Ok(session)
    }

    fn pass(&mut self, from: Side, message: &[u8]) -> Result<()> {
        match from {
            Side::Client => self.up(message),
            Side::Server => self.down(message),
        }
    }

    /// Sends `message` from client to server and waits until it is there, unchanged.
    pub fn up(&mut self, message: &[u8]) -> Result<()> {
        self.client.write_all(message)?;
        read(&mut self.server, message).context("client to server")
    }

    /// Sends `message` from server to client and waits until it is there, unchanged.
    pub fn down(&mut self, message: &[u8]) -> Result<()> {
        self.server.write_all(message)?;
        read(&mut self.client, message).context("server to client")
    }

    /// Sends `pdus` over and over. They are encrypted before the clock runs, and what arrives is discarded by the
    /// kernel, so that the relay is what is measured.
    pub fn bulk(self, running: &Running, pdus: &Pdus, direction: Direction) -> Result<Bulk> {
        let Pair { mut client, mut server } = self;
        let up = if direction == Direction::Down { Vec::new() } else { records(&mut client, &pdus.up)? };
        let down = if direction == Direction::Up { Vec::new() } else { records(&mut server, &pdus.down)? };
        flow(running, (&client.sock, &server.sock), (&up, &down))
    }
}

/// Sends records of [`BULK`] bytes of plaintext from client to server and from server to client; none where there are none.
pub fn flow(
    running: &Running,
    (client, server): (&TcpStream, &TcpStream),
    (up, down): (&[u8], &[u8]),
) -> Result<Bulk> {
    let cpu = || running.process.as_ref().map_or(Duration::ZERO, |process| process.cpu());
    let (before, start) = (cpu(), Instant::now());
    std::thread::scope(|scope| {
        let flows = [(client, server, up), (server, client, down)].map(|(from, to, records)| {
            [scope.spawn(move || send(from, records)), scope.spawn(move || discard(to, records.is_empty()))]
        });
        flows
            .into_iter()
            .flatten()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread of the generator failed"))?)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = [up, down].into_iter().filter(|records| !records.is_empty()).count() * BULK;
    Ok(Bulk { rate: bytes as f64 / seconds, bytes: bytes as u64, spent: cpu() - before })
}

/// What bulk data is made of, in each direction.
pub struct Pdus {
    /// From the client.
    pub up: Vec<u8>,
    /// From the server.
    pub down: Vec<u8>,
}

/// The first connection that does not close before a byte: a relay's readiness check may have left some behind.
pub fn accept(running: &Running, ends: &Ends, negotiates: bool) -> Result<ServerEnd> {
    loop {
        let stream = running.backend.accept().context("the relay did not connect to the server")?;
        if stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
            stream.set_nodelay(true)?;
            return ends.accept(stream, negotiates);
        }
    }
}

/// RDP from its first PDU until both sides have sent a fast-path PDU.
pub fn beginning() -> Vec<(Side, Vec<u8>)> {
    let mut messages = rdp::session(0, 0);
    let is_fast_path = |(side, bytes): &(Side, Vec<u8>)| *side == Side::Client && bytes.first() == Some(&4);
    if let Some(last) = messages.iter().position(is_fast_path) {
        messages.truncate(last + 1);
    }
    messages
}

/// What one run of bulk data found.
#[derive(Debug, Clone, Copy)]
pub struct Bulk {
    /// Bytes of plaintext per second, both directions together.
    pub rate: f64,
    /// Bytes of plaintext, both directions together.
    pub bytes: u64,
    /// The relay's processor time.
    pub spent: Duration,
}

/// Sends fast-path PDUs through a new session.
pub fn bulk(running: &Running, ends: &Ends, direction: Direction) -> Result<Bulk> {
    let pdu = fast_path();
    Pair::open(running, ends)?.bulk(running, &Pdus { up: pdu.clone(), down: pdu }, direction)
}

/// A fast-path PDU of bulk data.
pub fn fast_path() -> Vec<u8> {
    let length = (PDU as u16 | 0x8000).to_be_bytes();
    [&[0], &length[..], &vec![0x5a; PDU - 3]].concat()
}

/// The bulk data as TLS records of one side: at least [`BULK`] bytes of plaintext.
fn records<C, D>(end: &mut rustls::StreamOwned<C, TcpStream>, pdu: &[u8]) -> Result<Vec<u8>>
where
    C: std::ops::DerefMut + std::ops::Deref<Target = rustls::ConnectionCommon<D>>,
    D: rustls::SideData,
{
    let mut records = Vec::with_capacity(BULK + BULK / 256);
    for _ in 0..BULK.div_ceil(pdu.len()) {
        end.conn.writer().write_all(pdu)?;
        while end.conn.wants_write() {
            end.conn.write_tls(&mut records)?;
        }
    }
    Ok(records)
}

fn send(mut to: &TcpStream, records: &[u8]) -> Result<()> {
    for piece in records.chunks(WRITE) {
        to.write_all(piece).context("the relay stopped taking data")?;
    }
    Ok(())
}

/// Takes as many bytes as the plaintext has; records have more, so that the last few are not waited for.
fn discard(from: &TcpStream, nothing: bool) -> Result<()> {
    let mut buffer = vec![0; RECEIVE];
    let mut received = if nothing { BULK } else { 0 };
    while received < BULK {
        let (_, count) =
            recv(from, &mut buffer[..], RecvFlags::TRUNC).context("the bulk data stopped arriving")?;
        ensure!(count > 0, "the relay closed the session");
        received += count;
    }
    Ok(())
}

/// Opens sessions up to each of `counts` and leaves them idle; memory for each in KiB.
pub fn memory(running: &Running, ends: &Ends, counts: &[usize]) -> Result<Vec<Memory>> {
    let process = running.process.as_ref().context("there is no process to measure")?;
    // One session first: what a relay sets up once is not a session's share.
    drop(Pair::open(running, ends)?);
    process.settle();
    let empty = process.memory()?;
    let mut sessions = Vec::new();
    let mut found = Vec::new();
    for count in counts {
        for number in sessions.len()..*count {
            sessions.push(Pair::open(running, ends).with_context(|| format!("session {number}"))?);
        }
        process.settle();
        found.push(process.memory()?.above(empty, *count));
    }
    Ok(found)
}
