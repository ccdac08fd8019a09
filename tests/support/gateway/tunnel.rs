//! The tunnel (MS-TSGU 3.3.1): handshake, tunnel, authorization, channel, and the bytes of a real RDP server.

use super::authentication::{Answer, Exchange};
use super::connection::Shared;
use super::log::{What, kept};
use super::packet::{self, Packet, Packets, counted, from_utf16, utf16};
use super::setup::Tunnel as Setup;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

/// Error codes (MS-TSGU 2.2.6).
pub(crate) const E_PROXY_TS_CONNECTFAILED: u32 = 0x0000_59DD;
pub(crate) const E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED: u32 = 0x8007_59F8;
const ERROR_BAD_ARGUMENTS: u32 = 0xA0;
const SEC_E_LOGON_DENIED: u32 = 0x8009_030C;

/// HTTP_CAPABILITY_UDP_TRANSPORT, which RPC does not have.
pub(super) const UDP_TRANSPORT: u32 = 0x20;
/// HTTP_EXTENDED_AUTH_SC.
const EXTENDED_AUTH_SC: u16 = 1;
/// HTTP_EXTENDED_AUTH_SSPI_NTLM.
const EXTENDED_AUTH_SSPI_NTLM: u16 = 4;
/// HTTP_TUNNEL_PACKET_FIELD_PAA_COOKIE.
const FIELD_PAA_COOKIE: u16 = 1;
/// HTTP_TUNNEL_PACKET_FIELD_REAUTH, which lies before the cookie.
const FIELD_REAUTH: u16 = 2;

/// How much of the server's bytes goes into one DATA packet at most.
const LARGEST_DATA: usize = 16 * 1024;
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The way to the client: each packet is framed for its transport.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    sender: Sender<Vec<u8>>,
    frame: fn(&[u8]) -> Vec<u8>,
}

impl Outbound {
    pub(super) fn new(sender: Sender<Vec<u8>>, frame: fn(&[u8]) -> Vec<u8>) -> Self {
        Outbound { sender, frame }
    }

    async fn send(&self, packet: &Packet) -> Ended {
        self.sender.send((self.frame)(&packet.bytes)).await.map_err(|_| "the client is gone".to_owned())
    }
}

/// `Err` says why a tunnel is over.
type Ended<T = ()> = Result<T, String>;

/// Serves one tunnel until one side ends it.
pub(super) async fn serve(
    shared: Rc<Shared>,
    connection: usize,
    inbound: Receiver<Vec<u8>>,
    outbound: Outbound,
) {
    let mut tunnel = Tunnel { shared, connection, inbound, outbound, packets: Packets::default() };
    let reason = tunnel.run().await.err().unwrap_or_else(|| "the channel is closed".to_owned());
    tunnel.shared.log.add(connection, What::Ended(reason));
}

struct Tunnel {
    shared: Rc<Shared>,
    connection: usize,
    inbound: Receiver<Vec<u8>>,
    outbound: Outbound,
    packets: Packets,
}

impl Tunnel {
    async fn run(&mut self) -> Ended {
        self.handshake().await?;
        let capabilities = self.create().await?;
        self.authorize().await?;
        let target = self.open_channel(capabilities).await?;
        if let Some(text) = &self.shared.tunnel.service_message.clone() {
            let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            self.send(packet::SERVICE_MESSAGE, &counted(&text)).await?;
        }
        self.relay(target).await
    }

    async fn handshake(&mut self) -> Ended {
        let request = self.expect(packet::HANDSHAKE_REQUEST).await?;
        let setup = &self.shared.tunnel;
        let error = setup.handshake_error;
        // Version 1.0 of the protocol, and 0 of the server.
        let body = [&error.to_le_bytes()[..], &[1, 0, 0, 0], &setup.extended_auth.to_le_bytes()].concat();
        self.answer(packet::HANDSHAKE_RESPONSE, &body, error).await?;
        if self.shared.logon.extended && request.u16_at(4) & EXTENDED_AUTH_SSPI_NTLM != 0 {
            self.extended_auth().await?;
        }
        if let Some(expected) = self.shared.logon.smart_card.clone() {
            let offers_card = request.u16_at(4) & EXTENDED_AUTH_SC != 0;
            let said = if offers_card { self.expect(packet::EXTENDED_AUTH).await? } else { request };
            let is_right = offers_card && said.counted_at(4) == expected;
            let error = if is_right { 0 } else { SEC_E_LOGON_DENIED };
            let body = [&error.to_le_bytes()[..], &[0; 2]].concat();
            self.answer(packet::EXTENDED_AUTH, &body, error).await?;
            let logged_on = What::LoggedOn { scheme: "SC", user: String::new() };
            self.shared.log.add(self.connection, logged_on);
        }
        Ok(())
    }

    /// NTLM in packets (MS-TSGU 3.3.5.3.2).
    async fn extended_auth(&mut self) -> Ended {
        let mut exchange = Exchange::new();
        loop {
            let message = self.expect(packet::EXTENDED_AUTH).await?;
            let step = exchange.step(message.counted_at(4), &self.shared.logon, None);
            let (error, token) = match step {
                Ok(Answer::Continue(token)) => (0, token),
                Ok(Answer::Done(user)) => {
                    let logged_on = What::LoggedOn { scheme: "SSPI_NTLM", user };
                    self.shared.log.add(self.connection, logged_on);
                    return self.send(packet::EXTENDED_AUTH, &[0; 6]).await;
                }
                Err(reason) => {
                    self.shared.log.add(self.connection, What::Refused { reason });
                    (SEC_E_LOGON_DENIED, Vec::new())
                }
            };
            let body = [&error.to_le_bytes()[..], &counted(&token)].concat();
            self.answer(packet::EXTENDED_AUTH, &body, error).await?;
        }
    }

    /// The answer is the client's capabilities.
    async fn create(&mut self) -> Ended<u32> {
        let request = self.expect(packet::TUNNEL_CREATE).await?;
        let setup = &self.shared.tunnel;
        let mut error = setup.tunnel_error;
        if let Some(token) = &self.shared.logon.token {
            let fields = request.u16_at(4);
            let at = if fields & FIELD_REAUTH == 0 { 8 } else { 16 };
            let cookie = if fields & FIELD_PAA_COOKIE == 0 { &[] } else { request.counted_at(at) };
            if from_utf16(cookie) != *token {
                error = E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED;
                self.shared.log.add(self.connection, What::Refused { reason: "another PAA cookie" });
            }
        }
        let tunnel_id = 4_u32;
        let (fields, consent) = match &setup.consent {
            Some(text) => (0x13_u16, counted(&utf16(text))),
            None => (0x03, Vec::new()),
        };
        let mut body = [&[0, 0][..], &error.to_le_bytes()].concat();
        if error == 0 {
            body.extend([fields.to_le_bytes(), [0, 0]].concat());
            body.extend([tunnel_id.to_le_bytes(), setup.capabilities.to_le_bytes()].concat());
            body.extend(consent);
        } else {
            body.extend([0; 4]);
        }
        self.answer(packet::TUNNEL_RESPONSE, &body, error).await?;
        Ok(request.u32_at(0))
    }

    async fn authorize(&mut self) -> Ended {
        self.expect(packet::TUNNEL_AUTH).await?;
        let setup = &self.shared.tunnel;
        let error = setup.authorization_error;
        let mut body = error.to_le_bytes().to_vec();
        body.extend([3, 0, 0, 0]);
        body.extend([setup.redirection.to_le_bytes(), setup.idle_timeout.to_le_bytes()].concat());
        self.answer(packet::TUNNEL_AUTH_RESPONSE, &body, error).await
    }

    async fn open_channel(&mut self, capabilities: u32) -> Ended<TcpStream> {
        let request = self.expect(packet::CHANNEL_CREATE).await?;
        let (name, port) = (from_utf16(request.counted_at(6)), request.u16_at(2));
        let setup = &self.shared.tunnel;
        let connected = connect(setup, &name, port).await;
        let target = match connected {
            Ok(target) => target,
            Err(error) => {
                let body = [&error.to_le_bytes()[..], &[0; 4]].concat();
                self.send(packet::CHANNEL_RESPONSE, &body).await?;
                return Err(format!("no channel to {name} port {port}: {error:#x}"));
            }
        };
        let udp = setup.udp.as_ref().filter(|_| capabilities & setup.capabilities & UDP_TRANSPORT != 0);
        let channel_id = 1_u32.to_le_bytes();
        let body = match udp {
            Some((port, cookie)) => {
                [&[0, 0, 0, 0, 7, 0, 0, 0][..], &channel_id, &port.to_le_bytes(), &counted(cookie)].concat()
            }
            None => [&[0, 0, 0, 0, 1, 0, 0, 0][..], &channel_id].concat(),
        };
        self.send(packet::CHANNEL_RESPONSE, &body).await?;
        Ok(target)
    }

    /// Carries the session.
    async fn relay(&mut self, mut target: TcpStream) -> Ended {
        let opened = Instant::now();
        let (close_at, close_code) = match self.shared.tunnel.close {
            Some((after, code)) => (opened + after, code),
            None => (opened + NEVER, 0),
        };
        let period = self.shared.tunnel.keepalive.unwrap_or(NEVER);
        let mut keepalive_at = opened + period;
        let (mut from_target, mut to_target) = target.split();
        let mut data = vec![0; LARGEST_DATA];
        loop {
            while let Some(packet) = self.packets.next()? {
                self.log(What::FromClient(kept(&packet)));
                match packet.kind() {
                    packet::DATA => to_target
                        .write_all(packet.counted_at(0))
                        .await
                        .map_err(|error| format!("the server takes nothing more: {error}"))?,
                    packet::CLOSE_CHANNEL => {
                        return self.send(packet::CLOSE_CHANNEL_RESPONSE, &[0; 4]).await;
                    }
                    packet::KEEPALIVE => {}
                    other => return Err(format!("a packet of type {other:#x} in a channel")),
                }
            }
            tokio::select! {
                piece = self.inbound.recv() => match piece {
                    Some(piece) => self.packets.push(&piece),
                    None => return Err("the client has closed its connection".to_owned()),
                },
                count = from_target.read(&mut data) => match count {
                    Ok(count) if count > 0 => {
                        let body = counted(&data[..count]);
                        let packet = Packet::new(packet::DATA, &body);
                        self.log(What::ToClient(kept(&packet)));
                        self.outbound.send(&packet).await?;
                    }
                    _ => {
                        self.send(packet::CLOSE_CHANNEL, &ERROR_BAD_ARGUMENTS.to_le_bytes()).await?;
                        return Err("the server has closed its connection".to_owned());
                    }
                },
                () = sleep_until(close_at) => {
                    self.send(packet::CLOSE_CHANNEL, &close_code.to_le_bytes()).await?;
                    return Err(format!("closed with {close_code:#x}"));
                }
                () = sleep_until(keepalive_at) => {
                    keepalive_at += period;
                    self.send(packet::KEEPALIVE, &[]).await?;
                }
            }
        }
    }

    /// The next packet, which must be of this type.
    async fn expect(&mut self, kind: u16) -> Ended<Packet> {
        loop {
            if let Some(packet) = self.packets.next()? {
                self.log(What::FromClient(kept(&packet)));
                return match packet.kind() {
                    its if its == kind => Ok(packet),
                    other => Err(format!("a packet of type {other:#x} instead of {kind:#x}")),
                };
            }
            let piece = self.inbound.recv().await;
            self.packets.push(&piece.ok_or_else(|| format!("the client leaves before packet {kind:#x}"))?);
        }
    }

    async fn send(&self, kind: u16, body: &[u8]) -> Ended {
        let packet = Packet::new(kind, body);
        self.log(What::ToClient(packet.clone()));
        self.outbound.send(&packet).await
    }

    /// Sends; a response with an error is the last.
    async fn answer(&self, kind: u16, body: &[u8], error: u32) -> Ended {
        self.send(kind, body).await?;
        if error == 0 { Ok(()) } else { Err(format!("packet {kind:#x} says {error:#x}")) }
    }

    fn log(&self, what: What) {
        self.shared.log.add(self.connection, what);
    }
}

/// Connects to what a client asks for, or to what the gateway is set up for; `Err` is the code that the client is told.
pub(super) async fn connect(setup: &Setup, name: &str, port: u16) -> Result<TcpStream, u32> {
    if setup.channel_error != 0 {
        return Err(setup.channel_error);
    }
    let connecting = match setup.target {
        Some(target) => TcpStream::connect((target.ip().to_string(), target.port())).await,
        None => TcpStream::connect((name, port)).await,
    };
    let stream = connecting.map_err(|_| E_PROXY_TS_CONNECTFAILED)?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
