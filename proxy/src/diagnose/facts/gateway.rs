//! What the connections to an RD Gateway show.

use super::{Facts, Seen, Tls, split};
use crate::trace::{
    Detail, Event, Framing, GatewayMessage, GatewayUdp, Header, How, HttpHeader, HttpRequest, HttpResponse,
    Micros, Phase, Reframing, Role, Side, Transport,
};
use crate::wire::named::Code;
use crate::wire::tsgu::Packet;
use std::collections::BTreeMap;

/// The port of a gateway that need not be named.
const GATEWAY_PORT: &str = "443";
/// Servers of HTTP that a gateway of Windows itself is: http.sys answers for it.
const WINDOWS_SERVERS: [&str; 2] = ["microsoft-httpapi", "microsoft-iis"];

/// SEC_I_CONTINUE_NEEDED: a logon inside the tunnel goes on.
const CONTINUE_NEEDED: u32 = 0x0009_0312;

/// What was seen of a gateway.
#[derive(Debug, Default)]
pub(in crate::diagnose) struct Gateway<'a> {
    /// As a command takes it: without the port where that is the usual one.
    pub(in crate::diagnose) name: String,
    pub(in crate::diagnose) host: String,
    pub(in crate::diagnose) port: String,
    /// TLS of each connection, by its number.
    pub(in crate::diagnose) tls: BTreeMap<u32, Tls<'a>>,
    /// The last message of either side in TLS or HTTP with the gateway, by [`Side::index`].
    pub(in crate::diagnose) last: [Option<Micros>; 2],
    /// The furthest phase with the gateway.
    pub(in crate::diagnose) furthest: Option<Phase>,
    /// Requests and, where they came, their responses, in the order of the requests.
    pub(in crate::diagnose) exchanges: Vec<Exchange<'a>>,
    /// When a tunnel began: what carries it, its connection, and how long after the head before it.
    pub(in crate::diagnose) tunnels: Vec<Seen<(Transport, u32, Micros)>>,
    pub(in crate::diagnose) packets: Vec<Seen<(Side, &'a Packet)>>,
    /// Return values of TsProxy calls and faults: the PDU or call, and the status.
    pub(in crate::diagnose) calls: Vec<Seen<(&'a str, &'a Code)>>,
    pub(in crate::diagnose) reframed: Vec<Seen<(Reframing, u64)>>,
    /// HTTP/2 was agreed on for something else than the KDC proxy.
    pub(in crate::diagnose) http2: Option<Micros>,
    /// Keepalives of both sides, and the longest time between two of them.
    pub(in crate::diagnose) keepalives: (u64, Option<Micros>),
    /// The last thing told of the side channel over UDP that is no first datagram, and after how long.
    pub(in crate::diagnose) udp: Option<Seen<(GatewayUdp, u64, Micros)>>,
    /// What rdpscope refused itself, so that the client falls back.
    pub(in crate::diagnose) refused: Vec<Seen<(Transport, u16)>>,
    /// Who first ended each connection, by its number.
    pub(in crate::diagnose) ends: BTreeMap<u32, Seen<(Side, How)>>,
    /// Before its side ended the first of its connections that it ended in silence: for how long nothing had moved there.
    pub(in crate::diagnose) quiet: Option<Seen<Micros>>,
    /// Earlier sessions that it cut after a silence as long.
    pub(in crate::diagnose) cut_again: Option<Seen<&'a [Micros]>>,
    /// The gateway has said that the WebSocket ends.
    pub(in crate::diagnose) closed_websocket: bool,
}

/// A request and its response.
#[derive(Debug, Clone, Copy)]
pub(in crate::diagnose) struct Exchange<'a> {
    pub(in crate::diagnose) connection: u32,
    pub(in crate::diagnose) request: Option<Seen<&'a HttpRequest>>,
    pub(in crate::diagnose) response: Option<Seen<&'a HttpResponse>>,
}

impl<'a> Exchange<'a> {
    pub(in crate::diagnose) fn role(&self) -> Role {
        let of_request = self.request.map(|request| request.what.role);
        of_request.or(self.response.map(|response| response.what.role)).unwrap_or_default()
    }

    /// Whether it is for a tunnel, by whichever transport.
    pub(in crate::diagnose) fn is_for_a_tunnel(&self) -> bool {
        !matches!(self.role(), Role::KdcProxy | Role::Other)
    }

    pub(in crate::diagnose) fn status(&self) -> Option<u16> {
        self.response.map(|response| response.what.status)
    }

    /// `RDG_OUT_DATA (WebSocket) is answered 405`.
    pub(in crate::diagnose) fn asked_and_answered(&self) -> String {
        match self.status() {
            Some(status) => format!("{} is answered {status}", self.asked()),
            None => format!("{} gets no answer", self.asked()),
        }
    }

    /// The method and what it is for, as in `RDG_OUT_DATA (WebSocket)`.
    pub(in crate::diagnose) fn asked(&self) -> String {
        let method = match (self.request, self.response) {
            (Some(request), _) => request.what.method.as_str(),
            (None, Some(response)) => response.what.method.as_deref().unwrap_or("a request"),
            (None, None) => "a request",
        };
        if self.role() == Role::Websocket { format!("{method} (WebSocket)") } else { method.to_owned() }
    }
}

/// The value of a header, whatever its case.
pub(in crate::diagnose) fn header<'h>(headers: &'h [HttpHeader], name: &str) -> Option<&'h str> {
    let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    found.next()?.value.as_deref()
}

/// Whether a response is for people to read.
fn is_page(response: &HttpResponse) -> bool {
    header(&response.headers, "Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/"))
}

/// Who wrote a response, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::diagnose) enum Author {
    /// http.sys, as a gateway of Windows has it.
    Windows(String),
    /// A proxy that names itself in Via.
    Via(String),
    /// Some other server of HTTP.
    Other(String),
    /// It does not say.
    Unnamed,
}

impl Author {
    pub(in crate::diagnose) fn of(response: &HttpResponse) -> Author {
        let via = header(&response.headers, "Via").map(str::to_owned);
        let server = header(&response.headers, "Server").map(str::to_owned);
        match (via, server) {
            (Some(via), _) => Author::Via(via),
            (None, Some(server)) => {
                let lower = server.to_ascii_lowercase();
                let is_windows = WINDOWS_SERVERS.iter().any(|known| lower.starts_with(known));
                if is_windows { Author::Windows(server) } else { Author::Other(server) }
            }
            (None, None) => Author::Unnamed,
        }
    }

    /// Who it is, for a sentence.
    pub(in crate::diagnose) fn words(&self) -> String {
        match self {
            Author::Windows(server) => format!("{server}, which is Windows itself"),
            Author::Via(via) => format!("the proxy {via} (header Via)"),
            Author::Other(server) => format!("{server} (header Server)"),
            Author::Unnamed => "something that gives no name (haproxy is one that does not)".to_owned(),
        }
    }
}

impl<'a> Gateway<'a> {
    /// The gateway that the session's settings name.
    pub(super) fn named(header: Option<&Header>) -> Option<Gateway<'a>> {
        let name = header?.settings.get("gateway")?.as_str()?;
        let mut gateway = Gateway::default();
        gateway.call(name);
        Some(gateway)
    }

    fn call(&mut self, name: &str) {
        let (host, port) = split(name, GATEWAY_PORT);
        self.name = if port == GATEWAY_PORT { host.to_owned() } else { name.to_owned() };
        self.host = host.trim_matches(['[', ']']).to_owned();
        self.port = port.to_owned();
    }

    fn note(&mut self, event: &'a Event, message: &'a GatewayMessage) {
        let (t_us, connection) = (event.t_us, event.connection.unwrap_or_default());
        match message {
            GatewayMessage::HttpRequest(request) => {
                let request = Some(Seen { t_us, what: &**request });
                self.exchanges.push(Exchange { connection, request, response: None });
            }
            GatewayMessage::HttpResponse(response) => {
                self.answer(connection, Seen { t_us, what: &**response });
            }
            GatewayMessage::TunnelBegan { transport, took_us, .. } => {
                // How long the client takes to begin is its own affair.
                let took_us = if event.from == Some(Side::Client) { 0 } else { *took_us };
                self.tunnels.push(Seen { t_us, what: (*transport, connection, took_us) });
            }
            GatewayMessage::BodyReframed { how, offset } => {
                self.reframed.push(Seen { t_us, what: (*how, *offset) });
            }
            GatewayMessage::TunnelPacket(packet) => {
                self.packets.extend(event.from.map(|from| Seen { t_us, what: (from, packet) }));
            }
            GatewayMessage::TunnelTraffic { keepalives, longest_keepalive_gap_us, .. } => {
                self.keepalives.0 += keepalives;
                self.keepalives.1 = self.keepalives.1.max(*longest_keepalive_gap_us);
            }
            GatewayMessage::Rpc { pdu, call, status: Some(status), .. } => {
                let name = call.as_deref().unwrap_or(pdu);
                self.calls.push(Seen { t_us, what: (name, status) });
            }
            GatewayMessage::Http2 { paths } => {
                let is_kdc = |path: &String| path.to_ascii_lowercase().contains("kdcproxy");
                if paths.is_empty() || !paths.iter().any(is_kdc) {
                    self.http2.get_or_insert(t_us);
                }
            }
            GatewayMessage::GatewayUdp { what, datagrams, since_first_us }
                if *what != GatewayUdp::FirstDatagram =>
            {
                self.udp = Some(Seen { t_us, what: (*what, *datagrams, *since_first_us) });
            }
            GatewayMessage::ConnectionMoved { .. } => self.forget(connection),
            GatewayMessage::CutAgain { earlier_us, .. } => {
                self.cut_again = Some(Seen { t_us, what: earlier_us.as_slice() });
            }
            GatewayMessage::WebsocketControl { frame, .. } => {
                self.closed_websocket |= frame == "close" && event.from == Some(Side::Server);
            }
            GatewayMessage::TransportRefused { transport, status } => {
                self.refused.push(Seen { t_us, what: (*transport, *status) });
            }
            _ => {}
        }
    }

    /// What was told of a connection that belongs to another attempt says nothing of this one.
    fn forget(&mut self, connection: u32) {
        self.exchanges.retain(|exchange| exchange.connection != connection);
        self.tunnels.retain(|tunnel| tunnel.what.1 != connection);
        self.tls.remove(&connection);
        self.ends.remove(&connection);
    }

    /// Joins a response to the oldest request of its connection that has none.
    fn answer(&mut self, connection: u32, response: Seen<&'a HttpResponse>) {
        let open =
            |exchange: &&mut Exchange<'a>| exchange.connection == connection && exchange.response.is_none();
        match self.exchanges.iter_mut().find(open) {
            Some(exchange) => exchange.response = Some(response),
            None => self.exchanges.push(Exchange { connection, request: None, response: Some(response) }),
        }
    }

    /// Requests for a tunnel, with their responses.
    pub(in crate::diagnose) fn tunnel_exchanges(&self) -> impl DoubleEndedIterator<Item = &Exchange<'a>> {
        self.exchanges.iter().filter(|exchange| exchange.is_for_a_tunnel())
    }

    /// The last request for a tunnel that was answered.
    pub(in crate::diagnose) fn last_answered(&self) -> Option<(&Exchange<'a>, Seen<&'a HttpResponse>)> {
        self.tunnel_exchanges().rev().find_map(|exchange| Some((exchange, exchange.response?)))
    }

    /// A packet of this side for which `pick` has an answer, the last one.
    pub(in crate::diagnose) fn packet<T>(
        &self,
        from: Side,
        pick: impl Fn(&'a Packet) -> Option<T>,
    ) -> Option<Seen<T>> {
        let mut found = self.packets.iter().rev().filter(|packet| packet.what.0 == from);
        found.find_map(|packet| Some(Seen { t_us: packet.t_us, what: pick(packet.what.1)? }))
    }

    /// The gateway's statuses that are no success, with what carried them, in their order.
    pub(in crate::diagnose) fn failures(&self) -> Vec<Seen<(&'a str, &'a Code)>> {
        let in_packets = self.packets.iter().filter(|packet| packet.what.0 == Side::Server);
        let in_packets = in_packets.filter_map(|packet| {
            let status = packet.what.1.status()?;
            Some(Seen { t_us: packet.t_us, what: (packet.what.1.name(), status) })
        });
        let all = in_packets.chain(self.calls.iter().copied());
        let is_failure =
            |failure: &Seen<(&str, &Code)>| ![0, CONTINUE_NEEDED].contains(&failure.what.1.value);
        let mut failures: Vec<_> = all.filter(is_failure).collect();
        failures.sort_by_key(|failure| failure.t_us);
        failures
    }

    /// Whether a tunnel was made and the target connected.
    pub(in crate::diagnose) fn has_channel(&self) -> bool {
        let opened = |packet: &Packet| match packet {
            Packet::ChannelResponse { status, .. } => (status.value == 0).then_some(()),
            Packet::Data { .. } => Some(()),
            _ => None,
        };
        let by_call =
            |call: &Seen<(&str, &Code)>| call.what.0 == "TsProxyCreateChannel" && call.what.1.value == 0;
        self.packet(Side::Server, opened).is_some() || self.calls.iter().any(by_call)
    }

    /// Whether the gateway has said anything inside a tunnel.
    pub(in crate::diagnose) fn speaks(&self) -> bool {
        self.packets.iter().any(|packet| packet.what.0 == Side::Server) || !self.calls.is_empty()
    }

    /// Whether anything that came back could only come from a gateway.
    pub(in crate::diagnose) fn shows_itself(&self) -> bool {
        let asks_for_logon = |exchange: &&Exchange<'_>| {
            exchange.response.is_some_and(|response| {
                let schemes = &response.what.challenges;
                let is_of_gateway = |scheme: &str| {
                    ["NTLM", "Negotiate", "PAA", "SSPI_NTLM"]
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(scheme))
                };
                response.what.status == 401 && schemes.iter().any(|it| is_of_gateway(&it.scheme))
            })
        };
        let granted = |exchange: &&Exchange<'_>| {
            let has_body =
                |response: &HttpResponse| !matches!(response.framing, Framing::Length(_) | Framing::None);
            let granted =
                |response: &HttpResponse| response.status == 200 && has_body(response) && !is_page(response);
            exchange.role() == Role::OutChannel && exchange.response.is_some_and(|it| granted(it.what))
        };
        self.speaks()
            || !self.tunnels.is_empty()
            || self.tunnel_exchanges().any(|it| asks_for_logon(&it) || granted(&it))
    }

    /// TLS of the last connection.
    pub(in crate::diagnose) fn last_tls(&self) -> Option<&Tls<'a>> {
        self.tls.values().next_back()
    }

    /// The names and the port that the client asked for, as it asked.
    pub(in crate::diagnose) fn asked_for(&self) -> Option<Seen<(&'a [String], u16)>> {
        self.packet(Side::Client, |packet| match packet {
            Packet::ChannelCreate { resources, port, .. } => Some((resources.as_slice(), *port)),
            _ => None,
        })
    }
}

/// Whether an event tells of a connection to a gateway, and not of what is inside its tunnel.
fn is_of_gateway(event: &Event) -> bool {
    (Phase::GatewayTcp..=Phase::GatewayChannel).contains(&event.phase)
        || matches!(event.detail, Detail::Gateway(_))
}

impl<'a> Facts<'a> {
    /// Takes an event of a connection to a gateway; false where it is none.
    pub(super) fn note_gateway(&mut self, event: &'a Event) -> bool {
        if let (Detail::StreamEnded { how }, Some(number)) = (&event.detail, event.connection) {
            let gateway = self.gateway.get_or_insert_default();
            if let Some(side) = event.from {
                gateway.ends.entry(number).or_insert(Seen { t_us: event.t_us, what: (side, *how) });
            }
            return true;
        }
        if let (Detail::Quiet { for_us }, Some(_)) = (&event.detail, event.connection) {
            let gateway = self.gateway.get_or_insert_default();
            gateway.quiet.get_or_insert(Seen { t_us: event.t_us, what: *for_us });
            return true;
        }
        if !is_of_gateway(event) {
            return false;
        }
        let gateway = self.gateway.get_or_insert_default();
        if event.phase != Phase::Udp {
            gateway.furthest =
                gateway.furthest.max(Some(event.phase).filter(|it| *it <= Phase::GatewayChannel));
            if let Some(side) = event.from {
                gateway.last[side.index()] = Some(event.t_us);
                self.turns += u32::from(self.speaker != Some(side));
                self.speaker = Some(side);
            }
        }
        if let Detail::Gateway(message) = &event.detail {
            gateway.note(event, message);
        } else if let Detail::OtherProtocol { .. } = event.detail {
            self.note_negotiation(event);
        } else if event.phase == Phase::GatewayTls {
            self.note_outer_tls(event);
        } else {
            self.note_network(event);
        }
        true
    }

    /// Reads a handshake with the gateway as one with a server is read.
    fn note_outer_tls(&mut self, event: &'a Event) {
        let number = event.connection.unwrap_or_default();
        let outer = self.gateway.as_mut().and_then(|gateway| gateway.tls.remove(&number));
        let inner = std::mem::replace(&mut self.tls, outer.unwrap_or_default());
        let at = std::mem::replace(&mut self.at_gateway, true);
        self.note_tls(event);
        self.at_gateway = at;
        let outer = std::mem::replace(&mut self.tls, inner);
        if let Some(gateway) = &mut self.gateway {
            gateway.tls.insert(number, outer);
        }
    }

    /// Once everything is known: what the gateway is called, who ended the attempt, and whether it came past TLS.
    pub(super) fn conclude_gateway(&mut self) {
        let Some(mut gateway) = self.gateway.take() else { return };
        if gateway.name.is_empty() {
            let host = gateway.exchanges.iter().find_map(|it| header(&it.request?.what.headers, "Host"));
            let sni = gateway.last_tls().and_then(|tls| tls.client_hello?.what.server_name.as_deref());
            let name = host.or(sni).or(self.network.connected.map(|connected| connected.what));
            gateway.call(name.unwrap_or("GATEWAY"));
        }
        let main =
            gateway.tunnels.last().map(|tunnel| tunnel.what.1).filter(|it| gateway.ends.contains_key(it));
        let ended = main.or(gateway.ends.keys().next_back().copied()).and_then(|it| gateway.ends.get(&it));
        self.ending.first = ended.map(|end| (end.what.0, end.what.1, end.t_us)).or(self.ending.first);
        let spoke_http =
            !gateway.exchanges.is_empty() || !gateway.tunnels.is_empty() || gateway.http2.is_some();
        // A probe of a gateway asks nothing of what is behind it.
        let is_probed = self.probe.is_some_and(|probe| probe.gateway.is_some());
        self.at_gateway = is_probed || !spoke_http && !self.is_inside();
        if self.at_gateway {
            self.last = gateway.last;
            if let Some((_, tls)) = gateway.tls.pop_last() {
                self.tls = tls;
            }
        }
        self.gateway = Some(gateway);
    }

    /// The silence after which the gateway's side ended a session that worked, where nobody had said a word: a gateway closes
    /// its channel before it ends one, and a server says something before it leaves.
    pub(in crate::diagnose) fn cut_in_silence(&self) -> Option<Seen<Micros>> {
        let gateway = self.gateway.as_ref()?;
        let closes = |packet: &Packet| matches!(packet, Packet::CloseChannel { .. }).then_some(());
        let was_announced = gateway.packet(Side::Server, closes).is_some()
            || gateway.closed_websocket
            || self.inside.ultimatum.is_some()
            || self.tls.encrypted_alert[Side::Server.index()].is_some();
        self.inside.active?;
        gateway.quiet.filter(|_| self.ended_by(Side::Server) && !was_announced)
    }

    /// Whether anything of RDP was seen, in a tunnel or without one.
    pub(in crate::diagnose) fn is_inside(&self) -> bool {
        self.negotiation.request.is_some()
            || self.negotiation.confirm.is_some()
            || self.inside.furthest.is_some()
            || self.inside.active.is_some()
    }

    /// TLS with the gateway is complete and passes through: what follows in it is unseen.
    pub(in crate::diagnose) fn gateway_is_opaque(&self) -> bool {
        self.at_gateway && self.tls.complete.is_some() && !self.tls.terminated
    }

    /// The phase of the gateway that was under way at the end, where RDP had not begun.
    pub(super) fn stopped_at_gateway(&self) -> Option<Phase> {
        let gateway = self.gateway.as_ref().filter(|_| !self.is_inside())?;
        if self.network.resolution_failed.is_some() {
            return Some(Phase::Dns);
        }
        Some(gateway.furthest.unwrap_or(Phase::GatewayTcp))
    }

    /// The gateway, where no channel to the target came about: what the rules about the gateway look at.
    pub(in crate::diagnose) fn gateway_without_channel(&self) -> Option<&Gateway<'a>> {
        self.gateway.as_ref().filter(|gateway| !self.is_inside() && !gateway.has_channel())
    }

    /// Host and port of the far side that is looked at: the gateway where that is what failed.
    pub(in crate::diagnose) fn far_end(&self) -> (&str, &str) {
        match self.gateway.as_ref().filter(|_| self.at_gateway) {
            Some(gateway) => (&gateway.host, &gateway.port),
            None => (&self.host, &self.port),
        }
    }

    /// The commands of rdpscope in `text` as they have to be where there is a gateway in between.
    pub(super) fn through_gateway(&self, text: &str) -> String {
        if self.gateway.is_none() || text.contains("--gateway") {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        for command in ["proxy", "ab", "probe"] {
            let direct = format!("rdpscope {command} {{target}}");
            text = text.replace(&direct, &format!("{direct} --gateway {{gateway}}"));
        }
        if self.at_gateway {
            return text.replace("cert show {target}", "cert show {gateway}");
        }
        // What is asked of a direct connection is asked of the one in the tunnel.
        text.replace(" --renew-with SERVER.pfx", " --inner-cert file:SERVER.pfx")
            .replace("own key with --renew-with", "own certificate and key with --inner-cert file:SERVER.pfx")
            .replace(
                "--renew-with the server's own key",
                "--inner-cert file: and the server's own certificate",
            )
            .replace(" --cert ", " --inner-cert ")
            .replace(" --nla ", " --inner-nla ")
    }

    /// Whether the client left after the gateway had asked it to log on and before it had done so.
    pub(in crate::diagnose) fn left_for_gateway_logon(&self) -> bool {
        let last = self.gateway_without_channel().and_then(Gateway::last_answered);
        last.is_some_and(|(exchange, response)| {
            let has_logged_on = exchange.request.is_some_and(|request| request.what.authorization.is_some());
            response.what.status == 401 && !has_logged_on
        })
    }
}
