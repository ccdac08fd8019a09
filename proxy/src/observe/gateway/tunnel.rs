//! One tunnel: its two directions, wherever they run, and what is only counted of them.

use super::At;
use crate::observe::tls::malformed_detail;
use crate::trace::{Detail, Event, GatewayMessage, Micros, Phase, Reframing, Side, Transport};
use crate::wire::tsgu::{Packet, Packets};

/// A tunnel of MS-TSGU.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// RDG-Connection-Id.
    pub(super) id: Option<String>,
    pub(super) transport: Transport,
    pub(super) directions: [Direction; 2],
    /// The channel was asked for.
    has_channel: bool,
    /// A side closed the channel.
    is_closed: bool,
    /// The client has left a connection that carries it.
    pub(super) client_left: bool,
}

/// What one side sends into the tunnel.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) packets: Packets,
    /// It has found the connection that carries it.
    pub(super) is_joined: bool,
    pub(super) is_over: bool,
    /// When the head before it ended.
    pub(super) head_us: Micros,
    /// Its first packet was told.
    has_begun: bool,
    traffic: Traffic,
}

/// What is counted of one side.
#[derive(Debug, Default)]
struct Traffic {
    data_packets: u64,
    data_bytes: u64,
    keepalives: u64,
    last_keepalive_us: Option<Micros>,
    longest_gap_us: Option<Micros>,
}

impl Tunnel {
    pub(super) fn new(id: Option<String>, transport: Transport) -> Tunnel {
        Tunnel {
            id,
            transport,
            directions: Default::default(),
            has_channel: false,
            is_closed: false,
            client_left: false,
        }
    }

    pub(super) fn direction(&mut self, from: Side) -> &mut Direction {
        &mut self.directions[from.index()]
    }

    /// How far the tunnel is.
    pub(super) fn phase(&self) -> Phase {
        if self.has_channel { Phase::GatewayChannel } else { Phase::GatewayTunnel }
    }

    /// A packet has come.
    pub(super) fn packet(&mut self, at: At, packet: Packet, out: &mut Vec<Event>) {
        self.begin(at, out);
        self.has_channel |= matches!(packet, Packet::ChannelCreate { .. } | Packet::ChannelResponse { .. });
        self.is_closed |= matches!(packet, Packet::CloseChannel { .. } | Packet::CloseChannelResponse { .. });
        let phase = self.phase();
        if self.direction(at.from).traffic.is_news(at.t_us, &packet) {
            at.tell(phase, GatewayMessage::TunnelPacket(packet), out);
        }
    }

    /// Tells, before the first packet, that there is a tunnel. WebSocket has one beginning, the channels one each.
    fn begin(&mut self, at: At, out: &mut Vec<Event>) {
        let is_first = !self.directions.iter().any(|direction| direction.has_begun);
        let transport = self.transport;
        let direction = self.direction(at.from);
        if std::mem::replace(&mut direction.has_begun, true) {
            return;
        }
        let preamble = direction.packets.preamble().unwrap_or_default();
        let took_us = at.t_us.saturating_sub(direction.head_us);
        if is_first || transport != Transport::GatewayWebsocket {
            let preamble = usize::try_from(preamble).unwrap_or(usize::MAX);
            let began = GatewayMessage::TunnelBegan { transport, preamble, took_us };
            at.tell(Phase::GatewayTunnel, began, out);
        }
    }

    /// Whether the first packet with data of this side has just come.
    pub(super) fn has_first_data(&mut self, from: Side) -> bool {
        self.direction(from).traffic.data_packets == 1
    }

    pub(super) fn reframed(&self, at: At, how: Reframing, offset: u64, out: &mut Vec<Event>) {
        at.tell(self.phase(), GatewayMessage::BodyReframed { how, offset }, out);
    }

    /// `at.from` sends nothing more into the tunnel; what was only counted is told.
    pub(super) fn direction_over(&mut self, at: At, out: &mut Vec<Event>) {
        let (phase, is_closed) = (self.phase(), self.is_closed);
        let client_is_over = self.client_left || self.directions[Side::Client.index()].is_over;
        let direction = self.direction(at.from);
        if std::mem::replace(&mut direction.is_over, true) {
            return;
        }
        let come = direction.packets.come();
        let is_cut = come > 0 && !direction.packets.is_at_boundary();
        let has_begun = direction.has_begun;
        // A client that is gone has no use for the rest.
        let is_wanted = at.from == Side::Client || !client_is_over;
        if at.from == Side::Server && !is_closed && is_wanted && has_begun {
            let how = Reframing::Truncated;
            at.tell(phase, GatewayMessage::BodyReframed { how, offset: come }, out);
        } else if is_cut && is_wanted {
            let malformed = crate::wire::Malformed::new("HTTP_PACKET", 0, "ends too early");
            at.tell(phase, malformed_detail(&malformed, &[]), out);
        }
        if has_begun {
            let traffic = self.direction(at.from).traffic.told();
            at.tell(phase, traffic, out);
        }
    }
}

impl Traffic {
    /// Counts the packet; whether it is told by itself.
    fn is_news(&mut self, t_us: Micros, packet: &Packet) -> bool {
        match packet {
            Packet::Data { length } => {
                self.data_packets += 1;
                self.data_bytes += *length as u64;
                self.data_packets == 1
            }
            Packet::Keepalive => {
                self.keepalives += 1;
                let gap = self.last_keepalive_us.replace(t_us).map(|last| t_us.saturating_sub(last));
                self.longest_gap_us = self.longest_gap_us.max(gap);
                self.keepalives == 1
            }
            _ => true,
        }
    }

    fn told(&self) -> GatewayMessage {
        GatewayMessage::TunnelTraffic {
            data_packets: self.data_packets,
            data_bytes: self.data_bytes,
            keepalives: self.keepalives,
            longest_keepalive_gap_us: self.longest_gap_us,
        }
    }
}

impl From<GatewayMessage> for Detail {
    fn from(message: GatewayMessage) -> Detail {
        Detail::Gateway(message)
    }
}
