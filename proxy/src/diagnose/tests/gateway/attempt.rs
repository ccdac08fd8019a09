//! An attempt to reach the target through a gateway, step by step.

use super::super::script::{self, HYBRID, Script};
use crate::trace::{
    Authentication, Detail, Framing, GatewayMessage, How, HttpHeader, HttpRequest, HttpResponse, Leg, Phase,
    Role, Side, Transport,
};
use crate::wire::named::{Code, Flags};
use crate::wire::tsgu::Packet;

pub(super) const GATEWAY: &str = "gw.corp.example";
pub(super) const WINDOWS: &str = "Microsoft-HTTPAPI/2.0";
pub(super) const NGINX: &str = "nginx/1.22.1";
pub(super) const RAP_DENIED: Code = Code { value: 0x8007_59DA, name: None };

/// TCP with the gateway is connected.
pub(super) fn connected() -> Script {
    let (address, local) = ("192.0.2.7:443".to_owned(), "10.0.0.1:40000".to_owned());
    let connected = Detail::Connected { address, local, took_us: 800 };
    Script::towards_gateway(GATEWAY).on(1).says(Leg::Server, None, Phase::GatewayTcp, connected)
}

pub(super) fn gateway_says(script: Script, from: Side, phase: Phase, message: GatewayMessage) -> Script {
    script.says(from.into(), Some(from), phase, Detail::Gateway(message))
}

pub(super) fn header(name: &str, value: &str) -> HttpHeader {
    HttpHeader { name: name.to_owned(), value: Some(value.to_owned()), length: value.len() }
}

pub(super) fn scheme(scheme: &str, token: Option<&str>, channel_bindings: Option<bool>) -> Authentication {
    let length = if token.is_some() { 100 } else { 0 };
    Authentication { scheme: scheme.to_owned(), token: token.map(str::to_owned), channel_bindings, length }
}

pub(super) fn ask(script: Script, role: Role, authorization: Option<Authentication>) -> Script {
    let method = match role {
        Role::InChannel => "RDG_IN_DATA",
        Role::RpcIn => "RPC_IN_DATA",
        Role::RpcOut => "RPC_OUT_DATA",
        _ => "RDG_OUT_DATA",
    };
    let request = HttpRequest {
        role,
        method: method.to_owned(),
        path: "/remoteDesktopGateway/".to_owned(),
        version: "HTTP/1.1".to_owned(),
        headers: vec![header("Host", GATEWAY)],
        upgrade: role == Role::Websocket,
        authorization,
        ..HttpRequest::default()
    };
    let phase = Phase::GatewayHttp;
    gateway_says(script, Side::Client, phase, GatewayMessage::HttpRequest(Box::new(request)))
}

/// A response of `server`, with a body of a known length.
pub(super) fn response(role: Role, status: u16, reason: &str, server: &str) -> HttpResponse {
    HttpResponse {
        role,
        method: Some("RDG_OUT_DATA".to_owned()),
        status,
        reason: reason.to_owned(),
        version: "HTTP/1.1".to_owned(),
        headers: vec![header("Server", server), header("Content-Length", "0")],
        framing: Framing::Length(0),
        length: 120,
        took_us: 900,
        ..HttpResponse::default()
    }
}

pub(super) fn answer(script: Script, response: HttpResponse) -> Script {
    let phase = Phase::GatewayHttp;
    gateway_says(script, Side::Server, phase, GatewayMessage::HttpResponse(Box::new(response)))
}

/// 101 with everything that belongs to it.
pub(super) fn switching() -> HttpResponse {
    let headers = vec![
        header("Server", WINDOWS),
        header("Upgrade", "websocket"),
        header("Connection", "Upgrade"),
        header("Sec-WebSocket-Accept", "x"),
    ];
    let response = response(Role::Websocket, 101, "Switching Protocols", WINDOWS);
    HttpResponse { headers, framing: Framing::Upgraded, ..response }
}

/// 401 with what it asks for.
pub(super) fn unauthorized(role: Role, challenges: Vec<Authentication>, server: &str) -> HttpResponse {
    HttpResponse { challenges, ..response(role, 401, "Unauthorized", server) }
}

/// The round in which NTLM is begun.
pub(super) fn negotiated(script: Script, role: Role) -> Script {
    let script = ask(script, role, Some(scheme("Negotiate", Some("NTLM negotiate"), None)));
    let challenge = vec![scheme("Negotiate", Some("NTLM challenge"), None)];
    answer(script, unauthorized(role, challenge, WINDOWS))
}

/// NTLM's last message, bound to TLS or not.
pub(super) fn authenticate(script: Script, role: Role, bound: bool) -> Script {
    ask(script, role, Some(scheme("Negotiate", Some("NTLM authenticate"), Some(bound))))
}

pub(super) fn began(script: Script, transport: Transport) -> Script {
    let began = GatewayMessage::TunnelBegan { transport, preamble: 10, took_us: 1_000 };
    gateway_says(script, Side::Server, Phase::GatewayHttp, began)
}

pub(super) fn packet(script: Script, from: Side, phase: Phase, packet: Packet) -> Script {
    gateway_says(script, from, phase, GatewayMessage::TunnelPacket(packet))
}

pub(super) fn success() -> Code {
    Code { value: 0, name: Some("ERROR_SUCCESS".to_owned()) }
}

pub(super) fn handshake(script: Script) -> Script {
    let version = || "1.0".to_owned();
    let extended_auth = Flags::default;
    let request =
        Packet::HandshakeRequest { version: version(), client_version: 0, extended_auth: extended_auth() };
    let response = Packet::HandshakeResponse {
        status: success(),
        version: version(),
        server_version: 0,
        extended_auth: extended_auth(),
    };
    let script = packet(script, Side::Client, Phase::GatewayTunnel, request);
    packet(script, Side::Server, Phase::GatewayTunnel, response)
}

/// WebSocket, NTLM in two rounds, and the packets up to the gateway's consent to the tunnel.
pub(super) fn tunnel() -> Script {
    let script = negotiated(connected(), Role::Websocket);
    let script = answer(authenticate(script, Role::Websocket, true), switching());
    create(handshake(began(script, Transport::GatewayWebsocket)), success(), None)
}

/// Tunnel create, and its answer.
pub(super) fn create(script: Script, status: Code, paa_cookie_length: Option<usize>) -> Script {
    let capabilities = Flags { value: 0x3F, names: Vec::new() };
    let create = Packet::TunnelCreate {
        capabilities: capabilities.clone(),
        paa_cookie_length,
        reauthentication: false,
    };
    let response = Packet::TunnelResponse {
        server_version: 5,
        status,
        tunnel_id: Some(3),
        capabilities: Some(capabilities),
        consent_message: None,
    };
    let script = packet(script, Side::Client, Phase::GatewayTunnel, create);
    packet(script, Side::Server, Phase::GatewayTunnel, response)
}

/// Tunnel authorization, and its answer.
pub(super) fn authorize(script: Script, status: Code, redirection: u32, idle: u32) -> Script {
    let auth = Packet::TunnelAuth { client_name: "PC7".to_owned(), statement_of_health_length: None };
    let response = Packet::TunnelAuthResponse {
        status,
        redirection: Some(Flags { value: redirection, names: Vec::new() }),
        idle_timeout_minutes: Some(idle),
    };
    let script = packet(script, Side::Client, Phase::GatewayTunnel, auth);
    packet(script, Side::Server, Phase::GatewayTunnel, response)
}

/// The channel to a target, and the gateway's answer.
pub(super) fn channel(script: Script, resource: &str, status: Code, udp_port: Option<u16>) -> Script {
    let create = Packet::ChannelCreate {
        resources: vec![resource.to_owned()],
        alternatives: Vec::new(),
        port: 3389,
        protocol: 3,
    };
    let response = Packet::ChannelResponse { status, channel_id: Some(1), udp_port, udp_cookie_length: None };
    let script = packet(script, Side::Client, Phase::GatewayChannel, create);
    packet(script, Side::Server, Phase::GatewayChannel, response)
}

/// Everything up to an open channel.
pub(super) fn open() -> Script {
    channel(authorize(tunnel(), success(), 0x8000_0000, 0), "srv10", success(), Some(3391))
}

/// The session of RDP in an open channel, up to the desktop.
pub(super) fn desktop(script: Script) -> Script {
    let script = script.client(&script::request(HYBRID)).server(&script::confirm(HYBRID));
    script::session_traffic(script::handshake_13(script))
}

/// A side ends the connection.
pub(super) fn ends(script: Script, from: Side, how: How) -> Script {
    script.says(from.into(), Some(from), Phase::Closed, Detail::StreamEnded { how })
}

/// A handshake of TLS 1.2 with the gateway, as far as a client goes that looks at the certificate.
pub(super) fn tls_with_gateway(script: Script, server_name: &str, der: &[u8]) -> Script {
    let mut observer = crate::observe::SessionObserver::default();
    let mut events = Vec::new();
    let hello = script::client_hello(server_name);
    let flight = [script::server_hello_12(), script::certificate(der)].concat();
    observer.data(0, Side::Client, &hello, &mut events);
    observer.data(0, Side::Server, &flight, &mut events);
    events
        .into_iter()
        .filter(|event| event.phase == Phase::Tls)
        .fold(script, |script, event| script.says(event.leg, event.from, Phase::GatewayTls, event.detail))
}

/// The address that rdpscope connects for it.
pub(super) fn of_gateway(detail: Detail) -> Script {
    Script::towards_gateway(GATEWAY).on(1).says(Leg::Server, None, Phase::GatewayTcp, detail)
}
