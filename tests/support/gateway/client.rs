//! A gateway's client, led step by step: what no real client does, or not without hanging.

use super::packet::{self, Packet, Packets, counted, utf16};
use super::{http, websocket};
use crate::support::certificates::Certificate;
use crate::support::scripted::read_once;
use crate::support::scripted::tls::{Trust, client_config, client_config_with};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// How long a gateway may take to answer, where a test does not say otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Any mask will do.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x11, 0x7E];
/// HTTP_CAPABILITY_*, all of them.
const CAPABILITIES: u32 = 0x3F;

const CONNECTION_ID: &str = "{EBB921D3-86CD-401F-8154-47360E45BF2F}";
/// Bytes before the first packet of an OUT channel, as the usual set-up has them.
const PREAMBLE: usize = 10;

/// A connection to a gateway, or the two of one tunnel.
#[derive(Debug)]
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
    packets: Packets,
    /// What it sends goes there, where it has no WebSocket.
    in_channel: Option<Box<Client>>,
}

/// What CHANNEL_RESPONSE said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) error: u32,
    /// The UDP port and the cookie.
    pub(crate) udp: Option<(u16, Vec<u8>)>,
}

impl Client {
    /// Connects to a gateway at `address`, under TLS 1.2, whatever certificate it shows.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::with(address, client_config(&rustls::version::TLS12, Trust::Anything))
    }

    /// The same with a certificate of its own, where it is asked for one, under this version of TLS.
    pub(crate) fn with_certificate(
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
        certificate: &Certificate,
    ) -> Client {
        Client::with(address, client_config_with(version, Trust::Anything, certificate))
    }

    fn with(address: SocketAddr, config: Arc<ClientConfig>) -> Client {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a socket takes its options");
        let name = ServerName::try_from("localhost").expect("a valid name");
        let connection = ClientConnection::new(config, name).expect("a client is made");
        let stream = StreamOwned::new(connection, stream);
        Client { stream, received: Vec::new(), packets: Packets::default(), in_channel: None }
    }

    /// How long it waits for an answer from now on.
    pub(crate) fn patient_for(self, patience: Duration) -> Client {
        self.stream.sock.set_read_timeout(Some(patience)).expect("a socket takes its options");
        self
    }

    /// Sends a request as an RD client words it, with more `fields`; the answer is the response's head.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> io::Result<String> {
        self.ask(method, target, fields)?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nAccept: */*\r\n\
             User-Agent: MS-RDGateway/1.0\r\nHost: localhost\r\n"
        );
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes())
    }

    /// Makes this an OUT channel and another connection its IN channel.
    pub(crate) fn two_connections(&mut self, another: impl FnOnce() -> Client) -> io::Result<()> {
        let id = ("RDG-Connection-Id", CONNECTION_ID);
        self.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &[id])?;
        self.bytes(PREAMBLE)?;
        let mut in_channel = another();
        in_channel.ask("RDG_IN_DATA", "/remoteDesktopGateway/", &[id, ("Transfer-Encoding", "chunked")])?;
        self.in_channel = Some(Box::new(in_channel));
        Ok(())
    }

    /// So many bytes behind a head.
    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Asks for a WebSocket; the answer is the response's head.
    pub(crate) fn upgrade(&mut self, authorization: Option<&str>) -> io::Result<String> {
        let mut fields = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "Bo/pJSYjHyDxu69C1p98dw=="),
            ("RDG-Connection-Id", CONNECTION_ID),
            ("RDG-Client-Generation", "Win32#10.0=7"),
        ];
        fields.extend(authorization.map(|value| ("Authorization", value)));
        self.request("RDG_OUT_DATA", "/remoteDesktopGateway/", &fields)
    }

    /// Opens a tunnel and a channel to `name` inside a WebSocket; `Err` where the gateway refuses one before the channel,
    /// with its error code.
    pub(crate) fn open(&mut self, name: &str, port: u16) -> Result<Channel, u32> {
        self.send(&Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 0, 0]));
        self.expect(packet::HANDSHAKE_RESPONSE, 0)?;
        self.open_behind_handshake(name, port)
    }

    /// The same with a logon by smart card, which says `blob`.
    pub(crate) fn open_with_card(&mut self, blob: &[u8], name: &str, port: u16) -> Result<Channel, u32> {
        self.send(&Packet::new(packet::HANDSHAKE_REQUEST, &[1, 0, 0, 0, 1, 0]));
        self.expect(packet::HANDSHAKE_RESPONSE, 0)?;
        self.send(&Packet::new(packet::EXTENDED_AUTH, &[&[0; 4][..], &counted(blob)].concat()));
        self.expect(packet::EXTENDED_AUTH, 0)?;
        self.open_behind_handshake(name, port)
    }

    fn open_behind_handshake(&mut self, name: &str, port: u16) -> Result<Channel, u32> {
        self.send(&Packet::new(packet::TUNNEL_CREATE, &[&CAPABILITIES.to_le_bytes()[..], &[0; 4]].concat()));
        self.expect(packet::TUNNEL_RESPONSE, 2)?;
        self.send(&Packet::new(packet::TUNNEL_AUTH, &[&[0, 0][..], &counted(&utf16("CLIENT"))].concat()));
        self.expect(packet::TUNNEL_AUTH_RESPONSE, 0)?;
        let resource = counted(&utf16(name));
        let body = [&[1, 0][..], &port.to_le_bytes(), &[3, 0], &resource].concat();
        self.send(&Packet::new(packet::CHANNEL_CREATE, &body));
        let response = self.next_packet().expect("the gateway answers");
        assert_eq!(response.kind(), packet::CHANNEL_RESPONSE);
        let has_udp = response.u16_at(4) == 7;
        let udp = has_udp.then(|| (response.u16_at(12), response.counted_at(14).to_vec()));
        Ok(Channel { error: response.u32_at(0), udp })
    }

    fn expect(&mut self, kind: u16, error_at: usize) -> Result<Packet, u32> {
        let packet = self.next_packet().expect("the gateway answers");
        assert_eq!(packet.kind(), kind);
        match packet.u32_at(error_at) {
            0 => Ok(packet),
            error => Err(error),
        }
    }

    /// Sends a packet in a frame, or in a chunk.
    pub(crate) fn send(&mut self, packet: &Packet) {
        if let Some(in_channel) = &mut self.in_channel {
            let chunk = http::chunk(&packet.bytes);
            return in_channel.stream.write_all(&chunk).expect("the gateway takes a packet");
        }
        let frame = websocket::masked(websocket::BINARY, &packet.bytes, MASK);
        self.stream.write_all(&frame).expect("the gateway takes a packet");
    }

    /// The next packet; `Err` where the gateway says nothing for so long as the client waits, or is gone.
    pub(crate) fn next_packet(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.waiting_packet()? {
                return Ok(packet);
            }
            self.fill()?;
        }
    }

    /// A packet that is here already.
    fn waiting_packet(&mut self) -> io::Result<Option<Packet>> {
        if self.in_channel.is_some() {
            self.packets.push(&std::mem::take(&mut self.received));
        }
        while let Some(payload) = websocket::cut_frame(&mut self.received) {
            self.packets.push(&payload);
        }
        self.packets.next().map_err(io::Error::other)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match read_once(&mut self.stream, &mut piece)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend(&piece[..count]);
                Ok(())
            }
        }
    }

    /// Carries a session between `local` and the channel until one side ends it.
    pub(crate) fn carry(&mut self, mut local: TcpStream) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        loop {
            let [from_local, from_gateway] = readable([local.as_fd(), self.stream.sock.as_fd()])?;
            if from_local {
                match read_once(&mut local, &mut piece)? {
                    0 => return Ok(()),
                    count => self.send(&Packet::new(packet::DATA, &counted(&piece[..count]))),
                }
            }
            if from_gateway && !self.pass_on(&mut local)? {
                return Ok(());
            }
        }
    }

    /// Gives `local` what has come; false when the gateway has closed the channel.
    fn pass_on(&mut self, local: &mut TcpStream) -> io::Result<bool> {
        self.stream.sock.set_nonblocking(true)?;
        let end = loop {
            if let Err(end) = self.fill() {
                break end;
            }
        };
        self.stream.sock.set_nonblocking(false)?;
        while let Some(packet) = self.waiting_packet()? {
            match packet.kind() {
                packet::DATA => local.write_all(packet.counted_at(0))?,
                packet::CLOSE_CHANNEL => return Ok(false),
                _ => {}
            }
        }
        Ok(end.kind() == ErrorKind::WouldBlock)
    }
}

/// Waits until one of the two has something to read, and tells which.
fn readable(ends: [BorrowedFd<'_>; 2]) -> io::Result<[bool; 2]> {
    let mut ends = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
    match poll(&mut ends, None) {
        Err(rustix::io::Errno::INTR) => {}
        polled => {
            polled?;
        }
    }
    Ok(ends.map(|end| !end.revents().is_empty()))
}
