//! Drives an RD Gateway itself, with no client and no credentials, and says what answers for it and how.
//!
//! One conversation goes as a client's would, up to the NTLM challenge, and is observed as a relayed one is. The other
//! checks fill a [`GatewayCheck`] beside it. Nothing is asked of the targets behind the gateway.

mod channel;
mod conversation;
mod lane;
mod record;
mod request;
mod rpc;
mod tunnel;
mod udp;

use super::budget::Budget;
use super::settings::Settings;
use super::tally::Tally;
use super::way::{Connection, Way};
use super::{
    MOST_ANSWERS_IN_A_ROW, Patience, certificate, conclude, dns, other_paths, path, resolved, tcp, tls,
};
use crate::recorder::{SessionId, TraceStart};
use crate::relay::target::Target;
use crate::trace::{
    AlpnCheck, GatewayAnswer, GatewayCheck, GatewayRequest, GatewayRequestCheck, GatewayTunnelCheck, LeftOut,
    Leg, Phase, Probe, Record,
};
use conversation::Conversed;
use lane::Lane;
use record::Recorded;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The connection of the conversation, in the record.
const CONVERSATION: u32 = 1;
/// The port that need not be named.
const HTTPS_PORT: u16 = 443;
/// Each on a connection of its own, in this order.
const REQUESTS: [GatewayRequest; 7] = [
    GatewayRequest::OutChannel,
    GatewayRequest::InChannel,
    GatewayRequest::RpcOut,
    GatewayRequest::RpcIn,
    GatewayRequest::KdcProxy,
    GatewayRequest::Page,
    GatewayRequest::Options,
];
/// A tunnel over WebSocket and one over two connections, without a scheme or with each of two; the channels of RPC.
const TUNNEL_CONNECTIONS: u32 = 8;
/// With each TLS stack.
const CONVERSATION_CONNECTIONS: u32 = 2;
/// ALPN, the request in HTTP/1.0, and the same in HTTP/2 and in HTTP/1.1 alone.
const FURTHER_CONNECTIONS: u32 = 4;
/// Names of targets that are told one by one where nothing was asked of them.
const MOST_NAMED: usize = 3;

impl Settings {
    /// The most TCP connections that a probe of a gateway with so many addresses opens.
    pub fn most_connections_to_gateway(&self, addresses: usize) -> u32 {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        let tls = if self.tls { tls::MOST_CONNECTIONS + path::CONNECTIONS } else { 0 };
        addresses
            .saturating_mul(self.rounds.saturating_add(1))
            .saturating_add(CONVERSATION_CONNECTIONS + FURTHER_CONNECTIONS + TUNNEL_CONNECTIONS)
            .saturating_add(REQUESTS.len() as u32)
            .saturating_add(tls)
            .saturating_add(other_paths::most_connections(self))
    }

    /// The most UDP conversations that a probe of a gateway begins.
    pub fn most_conversations_with_gateway(&self) -> u32 {
        if self.udp { udp::CONVERSATIONS } else { 0 }
    }
}

/// Probes `gateway`, behind which are the targets `behind`. The record ends with its verdict; it never fails, as a
/// gateway that cannot be reached is a finding.
pub async fn probe(gateway: &Target, behind: &[Target], settings: &Settings) -> Record {
    let began = Instant::now();
    let started = jiff::Timestamp::now();
    certificate::prepare();
    let record = Recorded::new(TraceStart {
        id: SessionId::from(""),
        target: behind.first().unwrap_or(gateway).to_string(),
        settings: [("gateway".to_owned(), json!(gateway.to_string()))].into_iter().collect(),
        started,
        began,
    });
    let dialled = settings.address.as_ref().unwrap_or(gateway);
    let (dns, addresses) = dns::check(dialled).await;
    if let Some(detail) = resolved(&dns) {
        record.say(Leg::Proxy, None, Phase::Dns, detail);
    }
    let mut found = Probe {
        target: gateway.to_string(),
        started: started.to_string(),
        dns: Some(dns),
        ..Probe::default()
    };
    let mut check =
        GatewayCheck { behind: behind.iter().map(ToString::to_string).collect(), ..GatewayCheck::default() };
    if let Some(first) = addresses.first() {
        let connections = settings.most_connections_to_gateway(addresses.len());
        let budget = Budget::of(connections, settings.most_conversations_with_gateway());
        let way = Way {
            address: *first,
            server_name: gateway.host.clone(),
            direct: true,
            largest_segment: None,
            budget: Arc::new(budget),
            connections: Arc::default(),
            tally: Arc::new(Tally::default()),
            answer_timeout: settings.answer_timeout,
            deadline: tokio::time::Instant::now() + settings.answer_timeout * MOST_ANSWERS_IN_A_ROW,
        };
        let asking = Asking { record: &record, gateway, settings, began };
        Box::pin(asking.ask(way, &addresses, &mut found, &mut check)).await;
    }
    found.left_out.extend(unknowable(&check));
    found.gateway = Some(Box::new(check));
    found.took_us = crate::relay::connect::micros(began.elapsed());
    conclude(record.finish(), found, settings)
}

struct Asking<'a> {
    record: &'a Recorded,
    gateway: &'a Target,
    settings: &'a Settings,
    began: Instant,
}

impl Asking<'_> {
    /// Everything that needs an address: the conversation first, then the rest at the same time.
    async fn ask(&self, mut way: Way, addresses: &[SocketAddr], found: &mut Probe, check: &mut GatewayCheck) {
        let patience = Patience { deadline: way.deadline, left_out: Mutex::default() };
        let say = |detail| self.record.say(Leg::Server, None, Phase::GatewayTcp, detail);
        let reached = way.reach(addresses, say).await;
        let is_reached = reached.is_some();
        let conversed = match reached {
            Some(connection) => self.converse(&way, connection, &patience).await,
            None => Conversed::default(),
        };
        let lane = conversed.lane.as_ref();
        let websocket = conversed.websocket.clone();
        let others: Vec<SocketAddr> = match lane {
            Some(_) => addresses.iter().copied().filter(|address| *address != way.address).collect(),
            None => addresses.to_vec(),
        };
        let (rounds, reverse, udp, requests, alpn, tunnels, scanned) = tokio::join!(
            patience.until("TCP to each address", tcp::check(&way, &others, self.settings.rounds)),
            dns::reverse(addresses),
            self.udp(&way, is_reached),
            async {
                match lane {
                    Some(lane) => requests(lane, websocket, &patience).await,
                    None => Vec::new(),
                }
            },
            async {
                match lane {
                    Some(lane) => patience.until("ALPN", lane.alpn()).await.flatten(),
                    None => None,
                }
            },
            async {
                match lane {
                    Some(lane) => tunnels(lane, &conversed, &patience).await,
                    None => Vec::new(),
                }
            },
            self.scan(&way, is_reached),
        );
        let alpn = versions(lane, alpn, &requests, &patience).await;
        let dialled = self.settings.address.as_ref().unwrap_or(self.gateway);
        found.other_paths = other_paths::ask(&way, dialled, self.settings, &patience).await;
        if let Some(dns) = &mut found.dns {
            dns.reverse = reverse;
        }
        found.tcp = addresses.iter().map(|address| way.connections.to(*address)).collect();
        found.left_out.extend(rounds.unwrap_or_default());
        found.certificate = conversed.certificate;
        (found.tls, found.path) = (scanned.tls, scanned.path);
        found.left_out.extend(scanned.left_out);
        (check.requests, check.logon, check.tunnels) = (requests, conversed.logon, tunnels);
        (check.alpn, check.udp) = (alpn, udp);
        found.connections = way.budget.connections();
        found.conversations = way.budget.conversations();
        found.flaky = way.tally.flaky();
        found.left_out.extend(patience.left_out.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    async fn converse(&self, way: &Way, connection: Connection, patience: &Patience) -> Conversed {
        let host = host(self.gateway);
        let conversing = conversation::converse(self.record, way, &host, self.began, connection);
        let conversed = patience.until("TLS and HTTP", conversing).await;
        self.record.close("the probe took too long");
        conversed.unwrap_or_default()
    }

    async fn udp(&self, way: &Way, is_reached: bool) -> Option<crate::trace::GatewayUdpCheck> {
        if self.settings.udp && is_reached {
            udp::check(way, self.settings.side_channel_port).await
        } else {
            None
        }
    }

    /// Versions, suites and groups, and how large a hello may be.
    async fn scan(&self, way: &Way, is_reached: bool) -> super::Scanned {
        if !self.settings.tls || !is_reached {
            return super::Scanned::default();
        }
        let ((tls, left_out), path) = tokio::join!(tls::scan(way), path::check(way));
        super::Scanned { tls: Some(tls), path: Some(path), left_out }
    }
}

/// The gateway as a client writes it into Host.
fn host(gateway: &Target) -> String {
    let named = gateway.to_string();
    match named.strip_suffix(&format!(":{HTTPS_PORT}")) {
        Some(host) if gateway.port == HTTPS_PORT => host.to_owned(),
        _ => named,
    }
}

/// One request after the other, after the one of the conversation.
async fn requests(
    lane: &Lane,
    websocket: Option<GatewayRequestCheck>,
    patience: &Patience,
) -> Vec<GatewayRequestCheck> {
    let mut checks: Vec<GatewayRequestCheck> = websocket.into_iter().collect();
    for what in REQUESTS {
        checks.extend(patience.until(name(what), lane.ask(what)).await);
    }
    // Where a box refuses what is new, it may pass what is old.
    let is_served = |check: &GatewayRequestCheck| {
        check.response().is_some_and(|response| matches!(response.status, 200 | 401))
    };
    let out = checks.iter().find(|check| check.request == GatewayRequest::OutChannel);
    if out.is_some_and(|out| !is_served(out)) {
        let what = GatewayRequest::OldHttp;
        checks.extend(patience.until(name(what), lane.ask(what)).await);
    }
    checks
}

/// Where no request for a tunnel got an answer that can be read: whether the version of HTTP is why.
async fn versions(
    lane: Option<&Lane>,
    alpn: Option<AlpnCheck>,
    requests: &[GatewayRequestCheck],
    patience: &Patience,
) -> Option<AlpnCheck> {
    let (mut alpn, lane) = (alpn?, lane?);
    let is_deaf = requests.iter().all(|check| {
        matches!(check.answer, GatewayAnswer::Closed { .. } | GatewayAnswer::OtherProtocol { .. })
    });
    if is_deaf && !requests.is_empty() {
        alpn.alone = patience.until("HTTP/2 and HTTP/1.1 alone", lane.each_version()).await.flatten();
    }
    Some(alpn)
}

fn name(what: GatewayRequest) -> &'static str {
    match what {
        GatewayRequest::Websocket => "RDG_OUT_DATA with WebSocket",
        GatewayRequest::OutChannel => "RDG_OUT_DATA",
        GatewayRequest::InChannel => "RDG_IN_DATA",
        GatewayRequest::RpcOut => "RPC_OUT_DATA",
        GatewayRequest::RpcIn => "RPC_IN_DATA",
        GatewayRequest::KdcProxy => "the KDC proxy",
        GatewayRequest::Page => "GET",
        GatewayRequest::Options => "OPTIONS",
        GatewayRequest::OldHttp => "RDG_OUT_DATA in HTTP/1.0",
    }
}

/// A tunnel over each transport, with the first scheme by which one is granted before a logon.
async fn tunnels(lane: &Lane, conversed: &Conversed, patience: &Patience) -> Vec<GatewayTunnelCheck> {
    let schemes: Vec<Option<&str>> = match &conversed.logon {
        None => vec![None],
        Some(logon) => {
            let is_offered = logon.schemes.iter().any(|it| it.eq_ignore_ascii_case(request::SSPI_NTLM));
            is_offered.then_some(Some(request::SSPI_NTLM)).into_iter().chain([Some(request::PAA)]).collect()
        }
    };
    let mut checks = Vec::new();
    for scheme in schemes {
        let websocket = patience.until("a tunnel over WebSocket", tunnel::over_websocket(lane, scheme)).await;
        checks.extend(websocket.flatten());
        let http =
            patience.until("a tunnel over two connections", tunnel::over_two_connections(lane, scheme)).await;
        checks.extend(http.flatten());
        if !checks.is_empty() {
            break;
        }
    }
    if conversed.logon.is_none() {
        checks.extend(patience.until("a tunnel over RPC", rpc::over_rpc(lane)).await.flatten());
    }
    checks
}

/// What nobody can know without credentials.
fn unknowable(check: &GatewayCheck) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    if !check.behind.is_empty() {
        let named = check.behind.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = check.behind.len().saturating_sub(MOST_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        left_out.push(LeftOut {
            check: format!("{named}{more} behind the gateway"),
            reason: "a gateway leads nowhere without credentials, and a probe has none".to_owned(),
        });
    }
    if check.logon.is_some() {
        left_out.push(LeftOut {
            check: "whether a logon by NTLM reaches the gateway on one connection to its end".to_owned(),
            reason: "only the answer to a response of NTLM would tell, and that needs credentials".to_owned(),
        });
        if check.tunnels.is_empty() {
            left_out.push(LeftOut {
                check: "whether WebSocket and the channels pass behind the logon".to_owned(),
                reason: "the gateway opens no tunnel before a logon".to_owned(),
            });
        }
    }
    left_out
}
