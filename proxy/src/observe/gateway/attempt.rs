//! What the connections of an attempt share: its tunnels, and the session of RDP in one of them.

use super::At;
use super::rpc::RpcObserver;
use super::tunnel::Tunnel;
use crate::observe::SessionObserver;
use crate::observe::tls::malformed_detail;
use crate::trace::{Detail, Event, GatewayMessage, How, Micros, Phase, Reframing, Role, Side, Transport};
use crate::wire::Malformed;
use crate::wire::tsgu::{DATA_HEAD, Found, Packet, Packets};
use crate::wire::websocket::unmask;
use std::collections::BTreeSet;

/// Tunnels of one attempt that are followed. A client begins a few: one for each transport that it tries, and one each
/// time it authenticates again.
const MOST_TUNNELS: usize = 64;

/// Bytes unmasked at a time.
const UNMASKED: usize = 4096;

/// What carries the session of RDP that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InnerOf {
    /// The tunnel with this index.
    Tunnel(usize),
    /// A tunnel over RPC.
    Rpc,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    inner: SessionObserver,
    /// Somebody else tells what is in the data of a tunnel.
    inner_is_apart: bool,
    /// The tunnel that carries it: the first that carried data.
    inner_of: Option<InnerOf>,
    tunnels: Vec<Tunnel>,
    rpc: RpcObserver,
    /// The sides that send into channels of RPC, and on which connections.
    rpc_channels: BTreeSet<(Side, u32)>,
    transport: Option<Transport>,
    /// Room for bytes without their mask.
    unmasked: Vec<u8>,
}

impl Attempt {
    pub(super) fn new(inner: SessionObserver) -> Attempt {
        Attempt { inner, ..Attempt::default() }
    }

    pub(super) fn with_inner_apart() -> Attempt {
        Attempt { inner_is_apart: true, ..Attempt::default() }
    }

    /// Whether tunnel `index` carries the session of RDP that is read here.
    fn reads(&self, index: usize) -> bool {
        self.inner_of == Some(InnerOf::Tunnel(index)) && !self.inner_is_apart
    }

    pub(super) fn inner_read(&self) -> &SessionObserver {
        &self.inner
    }

    pub(super) fn inner(&mut self) -> &mut SessionObserver {
        &mut self.inner
    }

    pub(super) fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// A client asks for a transport.
    pub(super) fn asked_for(&mut self, role: Role) {
        self.transport = match role {
            Role::Websocket => Some(Transport::GatewayWebsocket),
            Role::OutChannel => Some(Transport::GatewayHttp),
            Role::RpcIn | Role::RpcOut => Some(Transport::GatewayRpc),
            Role::InChannel | Role::KdcProxy | Role::Other => self.transport,
        };
    }

    /// A connection was upgraded to WebSocket.
    pub(super) fn websocket(&mut self, at: At, id: Option<&str>) -> Option<usize> {
        self.transport = Some(Transport::GatewayWebsocket);
        let index = self.begin(id, Transport::GatewayWebsocket)?;
        for side in [Side::Client, Side::Server] {
            self.join(index, side, at.t_us);
        }
        Some(index)
    }

    /// A gateway granted an OUT channel.
    pub(super) fn out_channel(&mut self, at: At, id: Option<&str>, out: &mut Vec<Event>) -> Option<usize> {
        self.transport = Some(Transport::GatewayHttp);
        let index = match self.channel_of(id, Side::Server) {
            Some(index) if self.tunnels[index].directions[Side::Server.index()].is_joined => {
                self.wrong(
                    at,
                    index,
                    "RDG_OUT_DATA",
                    "a second OUT channel with this RDG-Connection-Id",
                    out,
                );
                return None;
            }
            Some(index) => index,
            None => self.begin(id, Transport::GatewayHttp)?,
        };
        self.join(index, Side::Server, at.t_us);
        self.tunnels[index].direction(Side::Server).packets = Packets::with_preamble();
        Some(index)
    }

    /// A client sends its first bytes into an IN channel whose head ended at `head_us`.
    pub(super) fn in_channel(
        &mut self,
        at: At,
        head_us: Micros,
        id: Option<&str>,
        out: &mut Vec<Event>,
    ) -> Option<usize> {
        let index = match self.channel_of(id, Side::Client) {
            Some(index) if self.tunnels[index].directions[Side::Client.index()].is_joined => {
                self.wrong(at, index, "RDG_IN_DATA", "a second IN channel with this RDG-Connection-Id", out);
                return None;
            }
            Some(index) => index,
            None => {
                let index = self.begin(id, Transport::GatewayHttp)?;
                self.wrong(at, index, "RDG_IN_DATA", "no OUT channel with this RDG-Connection-Id", out);
                index
            }
        };
        self.join(index, Side::Client, head_us);
        Some(index)
    }

    /// The tunnel over two connections with this id in which `side` still sends or has not begun to.
    fn channel_of(&self, id: Option<&str>, side: Side) -> Option<usize> {
        self.tunnels.iter().rposition(|tunnel| {
            let is_over = tunnel.directions[side.index()].is_over;
            tunnel.transport == Transport::GatewayHttp && tunnel.id.as_deref() == id && !is_over
        })
    }

    fn begin(&mut self, id: Option<&str>, transport: Transport) -> Option<usize> {
        if self.tunnels.len() >= MOST_TUNNELS {
            return None;
        }
        self.tunnels.push(Tunnel::new(id.map(str::to_owned), transport));
        Some(self.tunnels.len() - 1)
    }

    fn join(&mut self, index: usize, side: Side, head_us: Micros) {
        let direction = self.tunnels[index].direction(side);
        (direction.is_joined, direction.head_us) = (true, head_us);
    }

    fn wrong(
        &self,
        at: At,
        index: usize,
        structure: &'static str,
        reason: &'static str,
        out: &mut Vec<Event>,
    ) {
        let malformed = Malformed::new(structure, 0, reason);
        at.tell(self.tunnels[index].phase(), malformed_detail(&malformed, &[]), out);
    }

    /// How the body of tunnel `index` is framed though it should not be.
    pub(super) fn reframed(&self, at: At, index: usize, how: Reframing, out: &mut Vec<Event>) {
        self.tunnels[index].reframed(at, how, 0, out);
    }

    /// How far tunnel `index` is.
    pub(super) fn phase(&self, index: usize) -> Phase {
        self.tunnels[index].phase()
    }

    /// Bytes of tunnel `index`, masked as WebSocket does it where `mask` says so. Of data that nobody can read neither
    /// is a byte copied nor unmasked.
    pub(super) fn data(
        &mut self,
        at: At,
        index: usize,
        mut bytes: &[u8],
        mut mask: Option<[u8; 4]>,
        out: &mut Vec<Event>,
    ) {
        let mut has_skipped = false;
        while !bytes.is_empty() {
            let ahead = self.tunnels[index].direction(at.from).packets.payload_ahead();
            let is_unread = !self.reads(index) || self.inner.is_opaque(at.from);
            let count = match mask {
                _ if ahead > 0 && is_unread => ahead.min(bytes.len()),
                None => bytes.len(),
                // The head of a packet by itself, so that its data need not be unmasked.
                Some(_) => if ahead == 0 { DATA_HEAD } else { UNMASKED.min(ahead) }.min(bytes.len()),
            };
            let (piece, rest) = bytes.split_at(count);
            if ahead > 0 && is_unread {
                self.tunnels[index].direction(at.from).packets.skip(count);
                has_skipped = true;
            } else if mask.is_some() {
                let mut plain = std::mem::take(&mut self.unmasked);
                plain.resize(count, 0);
                unmask(piece, mask, &mut plain);
                self.plain(at, index, &plain, out);
                self.unmasked = plain;
            } else {
                bytes = self.plain_until_unread(at, index, piece, out);
                continue;
            }
            bytes = rest;
            if let Some(mask) = &mut mask {
                mask.rotate_left(count % 4);
            }
        }
        if has_skipped && self.reads(index) {
            // It does not read them and knows all the same that this side is not silent.
            self.inner.data(at.t_us, at.from, &[], out);
        }
    }

    /// Bytes in clear, up to the end or to data that nobody can read; what is left is given back.
    fn plain_until_unread<'a>(
        &mut self,
        at: At,
        index: usize,
        mut bytes: &'a [u8],
        out: &mut Vec<Event>,
    ) -> &'a [u8] {
        while let Some(found) = self.tunnels[index].direction(at.from).packets.next(&mut bytes) {
            self.found(at, index, found, out);
            let ahead = self.tunnels[index].direction(at.from).packets.payload_ahead();
            if ahead > 0 && (!self.reads(index) || self.inner.is_opaque(at.from)) {
                return bytes;
            }
        }
        bytes
    }

    fn plain(&mut self, at: At, index: usize, mut bytes: &[u8], out: &mut Vec<Event>) {
        while let Some(found) = self.tunnels[index].direction(at.from).packets.next(&mut bytes) {
            self.found(at, index, found, out);
        }
    }

    fn found(&mut self, at: At, index: usize, found: Found<'_>, out: &mut Vec<Event>) {
        let is_read = self.reads(index);
        let tunnel = &mut self.tunnels[index];
        match found {
            Found::Packet(packet) => {
                let is_data = matches!(packet, Packet::Data { .. });
                tunnel.packet(at, packet, out);
                let own = InnerOf::Tunnel(index);
                if is_data && *self.inner_of.get_or_insert(own) != own && tunnel.has_first_data(at.from) {
                    let reason = "the session in the first tunnel of the attempt is followed".to_owned();
                    at.tell(tunnel.phase(), Detail::ObservationStopped { reason }, out);
                }
            }
            Found::Data(bytes) if is_read => {
                self.inner.data(at.t_us, at.from, bytes, out);
            }
            Found::Data(_) => {}
            Found::Malformed(malformed) => at.tell(tunnel.phase(), malformed_detail(&malformed, &[]), out),
            Found::Garbage { offset } => tunnel.reframed(at, Reframing::Garbage, offset, out),
            Found::Lost => {
                let reason = "no packet of the tunnel is found where one is due".to_owned();
                at.tell(tunnel.phase(), Detail::ObservationStopped { reason }, out);
                self.lose(index, at.from);
            }
        }
    }

    /// Bytes of tunnel `index` went by unseen.
    pub(super) fn lose(&mut self, index: usize, from: Side) {
        self.tunnels[index].direction(from).packets.lose();
        if self.reads(index) {
            self.inner.lost(from);
        }
    }

    /// The client has left a connection that carries tunnel `index`: that it ends there is no box's doing.
    pub(super) fn client_left(&mut self, index: usize) {
        self.tunnels[index].client_left = true;
    }

    /// `at.from` sends nothing more into tunnel `index`.
    pub(super) fn direction_over(&mut self, at: At, index: usize, how: How, out: &mut Vec<Event>) {
        let was_over = self.tunnels[index].direction(at.from).is_over;
        self.tunnels[index].direction_over(at, out);
        if self.reads(index) && !was_over {
            self.inner.ended(at.t_us, at.from, how, out);
        }
    }

    /// `at.from` begins to send into a channel of RPC whose head ended at `head_us`.
    pub(super) fn rpc_began(&mut self, at: At, head_us: Micros, out: &mut Vec<Event>) {
        self.rpc_channels.insert((at.from, at.connection));
        let took_us = at.t_us.saturating_sub(head_us);
        let transport = Transport::GatewayRpc;
        let began = GatewayMessage::TunnelBegan { transport, preamble: 0, took_us };
        at.tell(Phase::GatewayTunnel, began, out);
    }

    /// Bytes in a body of RPC over HTTP.
    pub(super) fn rpc(&mut self, at: At, bytes: &[u8], out: &mut Vec<Event>) {
        if matches!(self.inner_of, Some(InnerOf::Tunnel(_))) {
            self.rpc.follow_none();
        }
        let before = out.len();
        self.rpc.data(at.t_us, at.connection, at.from, bytes, out, &mut self.inner);
        // The gateway may say nothing in a new OUT channel for long, while the old one ends.
        let opens = |event: &Event| {
            matches!(
                event.detail,
                Detail::Gateway(GatewayMessage::ChannelReplaced { role: Role::RpcOut, .. })
            )
        };
        if out[before..].iter().any(opens) {
            self.rpc_channels.insert((Side::Server, at.connection));
        }
        if self.rpc.traffic(at.from).0 > 0 {
            self.inner_of.get_or_insert(InnerOf::Rpc);
        }
    }

    /// The cookie of the virtual connection over RPC that a connection is a channel of.
    pub(super) fn virtual_connection(&self, connection: u32) -> Option<[u8; 16]> {
        self.rpc.virtual_connection(connection)
    }

    /// Somebody else tells what RDP is in channels of RPC.
    pub(super) fn leave_rpc_apart(&mut self) {
        self.rpc.leave_rdp_apart();
    }

    /// Bytes of RPC over HTTP went by unseen.
    pub(super) fn rpc_lost(&mut self, connection: u32, from: Side) {
        self.rpc.lost(connection, from);
        if self.rpc.traffic(from).0 > 0 && !self.rpc.is_rdp_apart() {
            self.inner.lost(from);
        }
    }

    /// A body of RPC over HTTP is over. Channels are replaced now and then: the session ends with the last.
    pub(super) fn rpc_over(&mut self, at: At, how: How, out: &mut Vec<Event>) {
        self.rpc.ended(at.t_us, at.connection, at.from, out);
        let was_open = self.rpc_channels.remove(&(at.from, at.connection));
        let is_last = !self.rpc_channels.iter().any(|(side, _)| *side == at.from);
        let (data_packets, data_bytes) = self.rpc.traffic(at.from);
        if was_open && is_last && data_packets > 0 {
            let traffic = GatewayMessage::TunnelTraffic {
                data_packets,
                data_bytes,
                keepalives: 0,
                longest_keepalive_gap_us: None,
            };
            at.tell(Phase::GatewayChannel, traffic, out);
            if !self.rpc.is_rdp_apart() {
                self.inner.ended(at.t_us, at.from, how, out);
            }
        }
    }
}
