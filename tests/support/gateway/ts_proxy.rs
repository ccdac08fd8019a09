//! The gateway's RPC interface, TsProxyRpcInterface (MS-TSGU 3.2): its calls, and the bytes of a real RDP server.

use super::authentication::{Answer, Exchange, SIGNATURE_LENGTH};
use super::connection::Shared;
use super::log::What;
use super::packet::from_utf16;
use super::rpc::{self, DESTINATION, Successor, TO_CLIENT, WINDOW};
use super::rpc_pdu::{
    self, AUTH_3, BIND, FIRST, LAST, OTHER_COMMAND, Pdu, REQUEST, RTS, TRAILER, command, rts,
};
use super::tunnel::{UDP_TRANSPORT, connect};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

/// Operations (MS-TSGU 3.2.6).
const OPERATIONS: [(u16, &str); 8] = [
    (CREATE_TUNNEL, "TsProxyCreateTunnel"),
    (AUTHORIZE_TUNNEL, "TsProxyAuthorizeTunnel"),
    (MAKE_TUNNEL_CALL, "TsProxyMakeTunnelCall"),
    (CREATE_CHANNEL, "TsProxyCreateChannel"),
    (CLOSE_CHANNEL, "TsProxyCloseChannel"),
    (CLOSE_TUNNEL, "TsProxyCloseTunnel"),
    (SETUP_RECEIVE_PIPE, "TsProxySetupReceivePipe"),
    (SEND_TO_SERVER, "TsProxySendToServer"),
];
const CREATE_TUNNEL: u16 = 1;
const AUTHORIZE_TUNNEL: u16 = 2;
const MAKE_TUNNEL_CALL: u16 = 3;
const CREATE_CHANNEL: u16 = 4;
const CLOSE_CHANNEL: u16 = 6;
const CLOSE_TUNNEL: u16 = 7;
const SETUP_RECEIVE_PIPE: u16 = 8;
const SEND_TO_SERVER: u16 = 9;

/// Packets of TsProxyCreateTunnel and TsProxyAuthorizeTunnel.
const QUARENC_RESPONSE: u32 = 0x4552;
const VERSION_CAPS: u16 = 0x5643;
const PACKET_RESPONSE: u32 = 0x5052;
const QUARREQUEST: u32 = 0x5152;
/// ComponentId of the transport, "TR".
const TRANSPORT: u16 = 0x5452;

/// Where the port and the name of a server stand in the arguments of TsProxyCreateChannel.
const PORT_AT: usize = 38;
const NAME_AT: usize = 60;
/// Where the counts stand in those of TsProxySendToServer, behind the channel's context.
const BUFFERS_AT: usize = 20;

/// Where procId stands in those of TsProxyMakeTunnelCall, and its value that ends a waiting call.
const PROCEDURE_AT: usize = 20;
const CANCEL_MESSAGE_REQUEST: u8 = 2;
const RPC_S_CALL_CANCELLED: u32 = 0x8007_071A;

/// Commands of flow control (MS-RPCH 2.2.3.5).
const FLOW_CONTROL_ACK: u32 = 1;
/// Where a client's acknowledgement says what it received, and what it can take beyond that.
const RECEIVED_AT: usize = 32;
const AVAILABLE_AT: usize = 36;

/// The largest stub that goes into a fragment of 4,088 bytes, which is all that FreeRDP takes.
const LARGEST_STUB: usize = 4_000;
/// Such a fragment with what is around it.
const LARGEST_FRAGMENT: u32 = 4_088;

/// A virtual connection.
pub(super) struct Wire {
    pub(super) inbound: Receiver<Vec<u8>>,
    pub(super) outbound: Sender<Vec<u8>>,
    /// How many bytes the client takes before it says that they arrived.
    pub(super) window: u32,
    /// Its cookie, in hex.
    pub(super) virtual_connection: String,
}

/// `Err` says why a virtual connection is over.
type Ended<T = ()> = Result<T, String>;

/// Serves one virtual connection until one side ends it.
pub(super) async fn serve(shared: Rc<Shared>, connection: usize, wire: Wire) {
    let mut server = Server {
        shared,
        connection,
        available: wire.window,
        wire,
        exchange: Exchange::new(),
        trailer: [0; TRAILER],
        requests: 0,
        responses: 0,
        sent: 0,
        received: 0,
        acknowledged: 0,
        channel_cookie: Vec::new(),
        pipe: None,
        message_call: None,
        to_target: None,
        from_target: None,
        recycling: Recycling::No,
    };
    let reason = server.run().await.err().unwrap_or_else(|| "the tunnel is closed".to_owned());
    server.shared.log.add(connection, What::Ended(reason));
}

struct Server {
    shared: Rc<Shared>,
    connection: usize,
    wire: Wire,
    exchange: Exchange,
    /// sec_trailer of the bind, which all PDUs repeat.
    trailer: [u8; TRAILER],
    /// How many signed PDUs came, and went.
    requests: u32,
    responses: u32,
    /// Bytes of RPC PDUs, which flow control counts.
    sent: u32,
    received: u32,
    acknowledged: u32,
    /// What may be sent at all, counted from the start.
    available: u32,
    channel_cookie: Vec<u8>,
    /// The call whose response is what the target sends, and whether its first fragment is still to come.
    pipe: Option<(u32, bool)>,
    /// The TsProxyMakeTunnelCall that waits for a message.
    message_call: Option<u32>,
    to_target: Option<OwnedWriteHalf>,
    from_target: Option<OwnedReadHalf>,
    recycling: Recycling,
}

/// How far another OUT channel is in taking the place of the present one.
enum Recycling {
    No,
    /// The client was asked for one.
    Asked(oneshot::Receiver<Successor>),
    /// It is there, and the client is to agree.
    Found(Successor),
}

impl Server {
    async fn run(&mut self) -> Ended {
        self.send(rpc::conn_a3()).await?;
        let mut received = Vec::new();
        let mut data = vec![0; LARGEST_STUB];
        loop {
            while let Some(pdu) = Pdu::cut(&mut received)? {
                if self.take(&pdu).await? {
                    return Ok(());
                }
            }
            self.ask_for_another_channel().await?;
            let may_send = self.pipe.is_some() && self.available.wrapping_sub(self.sent) >= LARGEST_FRAGMENT;
            let from_target = self.from_target.as_mut().filter(|_| may_send);
            tokio::select! {
                piece = self.wire.inbound.recv() => {
                    received.extend(piece.ok_or("the client has closed its IN channel")?);
                }
                count = read(from_target, &mut data) => self.pass_on(&data[..count]).await?,
                successor = found(&mut self.recycling) => {
                    self.recycling = Recycling::Found(successor.map_err(|_| "no other OUT channel came")?);
                    self.send(rpc::out_r2_a6()).await?;
                }
            }
        }
    }

    /// Once the OUT channel has carried its share. FreeRDP takes another only when all calls but the pipe are answered.
    async fn ask_for_another_channel(&mut self) -> Ended {
        let is_used_up = self.shared.tunnel.channel_lifetime.is_some_and(|most| self.sent >= most);
        if is_used_up && self.pipe.is_some() && matches!(self.recycling, Recycling::No) {
            let (tell, told) = oneshot::channel();
            self.shared.successors.borrow_mut().insert(self.wire.virtual_connection.clone(), tell);
            self.recycling = Recycling::Asked(told);
            self.send(rpc::out_r2_a2()).await?;
        }
        Ok(())
    }

    /// The client has agreed to go on with another OUT channel.
    async fn change_channels(&mut self) -> Ended {
        let Recycling::Found(successor) = std::mem::replace(&mut self.recycling, Recycling::No) else {
            return Err("OUT_R2/A7 without an OUT channel that is new".to_owned());
        };
        self.send(rpc::out_r2_b3()).await?;
        self.wire.outbound = successor.outbound;
        (self.sent, self.available) = (0, successor.window);
        self.log(What::Call("OUT_R2/B3"));
        successor.opens.send(()).map_err(|()| "the new OUT channel is gone".to_owned())
    }

    /// Sends what came from the server behind the gateway; nothing is its end.
    async fn pass_on(&mut self, data: &[u8]) -> Ended {
        let Some((call, is_first)) = self.pipe else { return Ok(()) };
        if data.is_empty() {
            self.respond(call, LAST, &[0; 4]).await?;
            return Err("the server has closed its connection".to_owned());
        }
        self.pipe = Some((call, false));
        self.respond(call, if is_first { FIRST } else { 0 }, data).await
    }

    /// Takes one PDU; true when it was the last.
    async fn take(&mut self, pdu: &Pdu) -> Ended<bool> {
        match pdu.kind() {
            RTS if self.channel_cookie.is_empty() => {
                self.channel_cookie = rpc::channel_cookie(pdu);
                self.send(rpc::conn_c2()).await?;
            }
            RTS if rpc::is_out_r2_a7(pdu) => self.change_channels().await?,
            RTS => self.take_flow_control(pdu),
            BIND => {
                self.log(What::Call("bind"));
                self.trailer = pdu.trailer();
                match self.exchange.step(pdu.signed().1, &self.shared.logon, None) {
                    Ok(Answer::Continue(token)) => self.send(rpc_pdu::bind_ack(pdu, &token)).await?,
                    other => return Err(format!("no NTLM in a bind: {other:?}")),
                }
            }
            AUTH_3 => match self.exchange.step(pdu.signed().1, &self.shared.logon, None) {
                Ok(Answer::Done(user)) => self.log(What::LoggedOn { scheme: "RPC", user }),
                other => return Err(format!("nobody logs on: {other:?}")),
            },
            REQUEST => return self.take_request(pdu).await,
            other => return Err(format!("a PDU of type {other}")),
        }
        Ok(false)
    }

    fn take_flow_control(&mut self, pdu: &Pdu) {
        if pdu.u16_at(16) == OTHER_COMMAND && pdu.u32_at(28) == FLOW_CONTROL_ACK {
            self.available = pdu.u32_at(RECEIVED_AT).wrapping_add(pdu.u32_at(AVAILABLE_AT));
        }
    }

    async fn take_request(&mut self, pdu: &Pdu) -> Ended<bool> {
        let name = OPERATIONS.iter().find(|(operation, _)| *operation == pdu.operation());
        let &(operation, name) = name.ok_or_else(|| format!("operation {}", pdu.operation()))?;
        let (signed, signature) = pdu.signed();
        if !self.exchange.is_signed(signed, signature, self.requests) {
            return Err(format!("{name} has another signature"));
        }
        self.requests += 1;
        self.acknowledge(pdu).await?;
        if operation != SEND_TO_SERVER {
            self.log(What::Call(name));
        }
        match operation {
            CREATE_TUNNEL => {
                let error = self.shared.tunnel.tunnel_error;
                let stub = if error == 0 { self.tunnel() } else { [0; 28].to_vec() };
                self.answer(pdu, stub, error).await?;
            }
            AUTHORIZE_TUNNEL => {
                let error = self.shared.tunnel.authorization_error;
                let stub = if error == 0 { self.authorization() } else { [0; 4].to_vec() };
                self.answer(pdu, stub, error).await?;
            }
            CREATE_CHANNEL => self.create_channel(pdu).await?,
            SETUP_RECEIVE_PIPE => self.pipe = Some((pdu.call(), true)),
            SEND_TO_SERVER => {
                self.send_to_target(pdu.stub()).await?;
                self.answer(pdu, Vec::new(), 0).await?;
            }
            CLOSE_CHANNEL => {
                self.answer(pdu, [0; 20].to_vec(), 0).await?;
                if let Some((call, _)) = self.pipe.take() {
                    self.respond(call, LAST, &[0; 4]).await?;
                }
            }
            CLOSE_TUNNEL => {
                self.answer(pdu, [0; 20].to_vec(), 0).await?;
                return Ok(true);
            }
            _ => self.take_tunnel_call(pdu).await?,
        }
        Ok(false)
    }

    /// TsProxyMakeTunnelCall waits until there is something to say, which here is that the client has cancelled it.
    async fn take_tunnel_call(&mut self, pdu: &Pdu) -> Ended {
        if pdu.stub().get(PROCEDURE_AT) != Some(&CANCEL_MESSAGE_REQUEST) {
            self.message_call = Some(pdu.call());
            return Ok(());
        }
        if let Some(call) = self.message_call.take() {
            let stub = [[0; 4], RPC_S_CALL_CANCELLED.to_le_bytes()].concat();
            self.respond(call, FIRST | LAST, &stub).await?;
        }
        self.answer(pdu, [0; 4].to_vec(), 0).await
    }

    /// Tells the client what arrived, once that is half of what it may send.
    async fn acknowledge(&mut self, pdu: &Pdu) -> Ended {
        self.received += u32::try_from(pdu.bytes.len()).expect("a PDU is short");
        if self.received - self.acknowledged < WINDOW / 2 {
            return Ok(());
        }
        self.acknowledged = self.received;
        let ack = [
            &FLOW_CONTROL_ACK.to_le_bytes()[..],
            &self.received.to_le_bytes(),
            &WINDOW.to_le_bytes(),
            &self.channel_cookie,
        ];
        self.send(rts(OTHER_COMMAND, &[command(DESTINATION, TO_CLIENT), ack.concat()])).await
    }

    /// TSG_PACKET_QUARENC_RESPONSE, a context and an identifier (MS-TSGU 3.2.6.1.1).
    fn tunnel(&self) -> Vec<u8> {
        let numbers = [0x0002_0000, QUARENC_RESPONSE, QUARENC_RESPONSE, 0x0002_0004, 0, 0, 0];
        let mut stub = numbers.map(u32::to_le_bytes).concat();
        // The nonce.
        stub.extend([0x4E; 16]);
        stub.extend(0x0002_0008_u32.to_le_bytes());
        stub.extend([TRANSPORT.to_le_bytes(), VERSION_CAPS.to_le_bytes()].concat());
        stub.extend([0x0002_000C_u32, 1].map(u32::to_le_bytes).concat());
        // Version 1.1, no quarantine, padding.
        stub.extend([1_u16, 1, 0, 0].map(u16::to_le_bytes).concat());
        let capabilities = self.shared.tunnel.capabilities & !UDP_TRANSPORT;
        stub.extend([1, 1, 1, capabilities].map(u32::to_le_bytes).concat());
        stub.extend([&context(0x7E)[..], &4_u32.to_le_bytes()].concat());
        stub
    }

    /// TSG_PACKET_RESPONSE (MS-TSGU 3.2.6.1.2).
    fn authorization(&self) -> Vec<u8> {
        let setup = &self.shared.tunnel;
        let start = [0x0002_0000, PACKET_RESPONSE, PACKET_RESPONSE, 0x0002_0004, QUARREQUEST, 0];
        let enabled = u32::from(setup.redirection & 0x8000_0000 != 0);
        let disabled = u32::from(setup.redirection & 0x4000_0000 != 0);
        // A pointer to the idle time and its length; the flags; the idle time behind its length.
        let rest = [0x0002_0008, 4, enabled, disabled, 0, 0, 0, 0, 0, 0, 4, setup.idle_timeout];
        [start.map(u32::to_le_bytes).concat(), rest.map(u32::to_le_bytes).concat()].concat()
    }

    async fn create_channel(&mut self, pdu: &Pdu) -> Ended {
        let stub = pdu.stub();
        let port = stub.get(PORT_AT..PORT_AT + 2).map_or(0, |port| u16::from_le_bytes([port[0], port[1]]));
        let name = from_utf16(stub.get(NAME_AT..).unwrap_or_default());
        match connect(&self.shared.tunnel, &name, port).await {
            Ok(target) => {
                let (from_target, to_target) = TcpStream::into_split(target);
                (self.from_target, self.to_target) = (Some(from_target), Some(to_target));
                self.answer(pdu, [&context(0xC4)[..], &1_u32.to_le_bytes()].concat(), 0).await
            }
            Err(error) => self.answer(pdu, [0; 24].to_vec(), error).await,
        }
    }

    /// The arguments of TsProxySendToServer: how many bytes, how many buffers, the length of each, and they.
    async fn send_to_target(&mut self, stub: &[u8]) -> Ended {
        let number = |at: usize| {
            let bytes = stub.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes) as usize
        };
        let start = BUFFERS_AT + 8 + 4 * number(BUFFERS_AT + 4);
        let data = stub.get(start..).ok_or("TsProxySendToServer is cut short")?;
        let to_target = self.to_target.as_mut().ok_or("TsProxySendToServer without a channel")?;
        to_target.write_all(data).await.map_err(|error| format!("the server takes nothing more: {error}"))
    }

    /// Responds with `stub` and a return value.
    async fn answer(&mut self, request: &Pdu, stub: Vec<u8>, value: u32) -> Ended {
        let stub = [&stub[..], &value.to_le_bytes()].concat();
        self.respond(request.call(), FIRST | LAST, &stub).await
    }

    async fn respond(&mut self, call: u32, flags: u8, stub: &[u8]) -> Ended {
        let mut pdu = rpc_pdu::response(call, flags, stub, self.trailer, SIGNATURE_LENGTH);
        let signature = self.exchange.sign(&pdu, self.responses);
        self.responses += 1;
        pdu.extend(signature);
        self.sent = self.sent.wrapping_add(u32::try_from(pdu.len()).expect("a PDU is short"));
        self.send(pdu).await
    }

    async fn send(&self, bytes: Vec<u8>) -> Ended {
        self.wire.outbound.send(bytes).await.map_err(|_| "the client is gone".to_owned())
    }

    fn log(&self, what: What) {
        self.shared.log.add(self.connection, what);
    }
}

/// Reads what there is; never ends where nothing may be read. 0 is the end.
async fn read(stream: Option<&mut OwnedReadHalf>, data: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(data).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// The channel that was asked for; never ends where none was.
async fn found(recycling: &mut Recycling) -> Result<Successor, oneshot::error::RecvError> {
    match recycling {
        Recycling::Asked(told) => told.await,
        Recycling::No | Recycling::Found(_) => std::future::pending().await,
    }
}

/// A context handle: its type and an identifier.
fn context(id: u8) -> [u8; 20] {
    let mut context = [id; 20];
    context[..4].fill(0);
    context
}
