//! Both ends of one session through a relay: the client's socket and the server's, held by one process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::wire;

/// How long a read, write or accept may wait before the relay counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How many dead connections may precede the wanted one: a relay's readiness check leaves one or two behind.
const STALE_CONNECTIONS: usize = 8;

/// Where the relay's sessions arrive. Each relay has one of its own, so that the ports that its closed
/// connections still hold do not slow down the others.
#[derive(Debug)]
pub struct Backend {
    listener: TcpListener,
    address: SocketAddr,
}

impl Backend {
    /// Listens on a free loopback port.
    pub fn bind() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        // Accepted sockets inherit both limits on Linux.
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&listener, Timeout::Send, Some(PATIENCE))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// What the relay is to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, from whomever.
    pub fn accept(&self) -> std::io::Result<TcpStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }
}

/// What follows the X.224 negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// SSL selected, a TLS 1.2 handshake, then application records.
    Tls,
    /// No negotiation block, then bytes without any framing.
    Opaque,
}

impl Shape {
    fn protocol(self) -> Option<u32> {
        match self {
            Self::Tls => Some(wire::PROTOCOL_SSL),
            Self::Opaque => None,
        }
    }
}

/// An established session.
#[derive(Debug)]
pub struct Session {
    /// The socket towards the relay.
    pub client: TcpStream,
    /// The socket that the relay opened.
    pub server: TcpStream,
}

impl Session {
    /// Connects through `relay` to `backend` and goes through the negotiation and, for TLS, the handshake and
    /// the first small application records.
    pub fn open(relay: SocketAddr, backend: &Backend, shape: Shape) -> Result<Self> {
        let mut client = TcpStream::connect(relay).context("cannot connect to the relay")?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        let request = wire::connection_request(shape.protocol());
        client.write_all(&request)?;
        let server = accept_session(backend, &request)?;
        server.set_nodelay(true)?;
        let mut session = Self { client, server };
        session.down(&wire::connection_confirm(shape.protocol()))?;
        if shape == Shape::Tls {
            session.tls()?;
        }
        Ok(session)
    }

    fn tls(&mut self) -> Result<()> {
        self.up(&wire::client_hello())?;
        self.down(&wire::server_flight())?;
        self.up(&wire::client_finish())?;
        self.down(&wire::server_finish())?;
        for (index, length) in [520, 130, 420, 90, 300].into_iter().enumerate() {
            let seed = 20 + index as u64;
            self.up(&wire::application_record(length, seed))?;
            self.down(&wire::application_record(length / 2, seed))?;
        }
        Ok(())
    }

    /// Sends `bytes` from client to server and waits until they are there, unchanged.
    pub fn up(&mut self, bytes: &[u8]) -> Result<()> {
        self.client.write_all(bytes).context("the relay takes nothing from the client")?;
        expect(&mut self.server, bytes).context("client to server")
    }

    /// Sends `bytes` from server to client and waits until they are there, unchanged.
    pub fn down(&mut self, bytes: &[u8]) -> Result<()> {
        self.server.write_all(bytes).context("the relay takes nothing from the server")?;
        expect(&mut self.client, bytes).context("server to client")
    }
}

/// The first connection that carries the request; those that close before a byte are left over.
fn accept_session(backend: &Backend, request: &[u8]) -> Result<TcpStream> {
    for _ in 0..STALE_CONNECTIONS {
        let mut server = backend.accept().context("the relay did not connect to the server")?;
        if server.peek(&mut [0])? > 0 {
            expect(&mut server, request).context("connection request")?;
            return Ok(server);
        }
    }
    anyhow::bail!("the relay opens connections and sends nothing on them")
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).context("the bytes sent did not arrive")?;
    ensure!(got == bytes, "the bytes that arrived are not the ones sent");
    Ok(())
}
