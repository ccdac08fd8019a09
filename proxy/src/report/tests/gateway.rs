//! What is told of the way through a gateway.

use super::*;
use crate::wire::named::{Code, Flags};
use crate::wire::tsgu::Packet;

const TARGET: &str = "rdp.corp.example:3389";
const GATEWAY: &str = "192.0.2.7:443";

fn connected() -> Script {
    let connected =
        Detail::Connected { address: GATEWAY.to_owned(), local: "192.0.2.77:40112".to_owned(), took_us: 420 };
    Script::accepted("2026-11-21T02-10-00-1", TARGET).on(1, 2_370, None, Phase::GatewayTcp, connected)
}

fn request(role: Role, authorization: Option<Authentication>) -> Detail {
    let method = match role {
        Role::InChannel => "RDG_IN_DATA",
        Role::RpcOut => "RPC_OUT_DATA",
        _ => "RDG_OUT_DATA",
    };
    Detail::Gateway(GatewayMessage::HttpRequest(Box::new(HttpRequest {
        role,
        method: method.to_owned(),
        path: "/remoteDesktopGateway/".to_owned(),
        version: "HTTP/1.1".to_owned(),
        authorization,
        ..HttpRequest::default()
    })))
}

fn response(role: Role, status: u16, reason: &str, server: &str, challenges: &[&str]) -> Detail {
    let server =
        HttpHeader { name: "Server".to_owned(), value: Some(server.to_owned()), length: server.len() };
    Detail::Gateway(GatewayMessage::HttpResponse(Box::new(HttpResponse {
        role,
        status,
        reason: reason.to_owned(),
        version: "HTTP/1.1".to_owned(),
        headers: vec![server],
        challenges: challenges.iter().map(|scheme| authentication(scheme, None)).collect(),
        ..HttpResponse::default()
    })))
}

fn authentication(scheme: &str, token: Option<&str>) -> Authentication {
    let channel_bindings = token.filter(|token| *token == "NTLM authenticate").map(|_| true);
    Authentication {
        scheme: scheme.to_owned(),
        token: token.map(str::to_owned),
        channel_bindings,
        length: token.map_or(0, |_| 60),
    }
}

fn began(transport: Transport) -> Detail {
    Detail::Gateway(GatewayMessage::TunnelBegan { transport, preamble: 0, took_us: 400 })
}

fn packet(packet: Packet) -> Detail {
    Detail::Gateway(GatewayMessage::TunnelPacket(packet))
}

fn ok() -> Code {
    Code { value: 0, name: Some("ERROR_SUCCESS".to_owned()) }
}

fn flags(value: u32, names: &[&str]) -> Flags {
    Flags { value, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// Packets up to the channel, 2 ms apart.
fn tunnel(script: Script, from_us: Micros, channel: Code) -> Script {
    let capabilities = flags(
        0x2A,
        &[
            "HTTP_CAPABILITY_IDLE_TIMEOUT",
            "HTTP_CAPABILITY_MESSAGING_SERVICE_MSG",
            "HTTP_CAPABILITY_UDP_TRANSPORT",
        ],
    );
    let is_open = channel.value == 0;
    let packets = [
        (
            Side::Client,
            Phase::GatewayTunnel,
            Packet::HandshakeRequest {
                version: "1.0".to_owned(),
                client_version: 0,
                extended_auth: flags(0, &[]),
            },
        ),
        (
            Side::Server,
            Phase::GatewayTunnel,
            Packet::HandshakeResponse {
                status: ok(),
                version: "1.0".to_owned(),
                server_version: 0,
                extended_auth: flags(0, &[]),
            },
        ),
        (
            Side::Client,
            Phase::GatewayTunnel,
            Packet::TunnelCreate {
                capabilities: capabilities.clone(),
                paa_cookie_length: None,
                reauthentication: false,
            },
        ),
        (
            Side::Server,
            Phase::GatewayTunnel,
            Packet::TunnelResponse {
                server_version: 5,
                status: ok(),
                tunnel_id: Some(3),
                capabilities: Some(capabilities),
                consent_message: Some("Authorised users only".to_owned()),
            },
        ),
        (
            Side::Client,
            Phase::GatewayTunnel,
            Packet::TunnelAuth { client_name: "PC7".to_owned(), statement_of_health_length: None },
        ),
        (
            Side::Server,
            Phase::GatewayTunnel,
            Packet::TunnelAuthResponse {
                status: ok(),
                redirection: Some(flags(0x8, &["HTTP_TUNNEL_REDIR_DISABLE_CLIPBOARD"])),
                idle_timeout_minutes: Some(30),
            },
        ),
        (
            Side::Client,
            Phase::GatewayChannel,
            Packet::ChannelCreate {
                resources: vec!["rdp.corp.example".to_owned()],
                alternatives: vec![],
                port: 3389,
                protocol: 3,
            },
        ),
        (
            Side::Server,
            Phase::GatewayChannel,
            Packet::ChannelResponse {
                status: channel,
                channel_id: is_open.then_some(1),
                udp_port: is_open.then_some(3391),
                udp_cookie_length: is_open.then_some(1433),
            },
        ),
    ];
    packets.into_iter().zip(0..).fold(script, |script, ((from, phase, it), place)| {
        script.on(1, from_us + 2_000 * place, Some(from), phase, packet(it))
    })
}

#[test]
fn a_gateway_over_websocket() {
    let first = Some(authentication("Negotiate", Some("NTLM negotiate")));
    let last = Some(authentication("Negotiate", Some("NTLM authenticate")));
    let windows = "Microsoft-HTTPAPI/2.0";
    let script = connected()
        .on(1, 4_000, Some(Side::Client), Phase::GatewayHttp, request(Role::Websocket, None))
        .on(
            1,
            6_000,
            Some(Side::Server),
            Phase::GatewayHttp,
            response(Role::Websocket, 401, "Unauthorized", windows, &["Negotiate", "NTLM"]),
        )
        .on(1, 7_000, Some(Side::Client), Phase::GatewayAuth, request(Role::Websocket, first))
        .on(
            1,
            9_000,
            Some(Side::Server),
            Phase::GatewayAuth,
            response(Role::Websocket, 401, "Unauthorized", windows, &["Negotiate"]),
        )
        .on(1, 10_000, Some(Side::Client), Phase::GatewayAuth, request(Role::Websocket, last))
        .on(
            1,
            19_000,
            Some(Side::Server),
            Phase::GatewayAuth,
            response(Role::Websocket, 101, "Switching Protocols", windows, &[]),
        )
        .on(1, 19_400, Some(Side::Server), Phase::GatewayAuth, began(Transport::GatewayWebsocket));
    let script = tunnel(script, 20_000, ok());
    let lines = script
        .on(1, 40_000, Some(Side::Client), Phase::X224, asked(Some("anna"), &["SSL", "HYBRID"]))
        .on(1, 44_000, Some(Side::Server), Phase::X224, chose("HYBRID"))
        .on(1, 90_000, Some(Side::Client), Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .end(
            verdict(VerdictId::ClientClosed, Confidence::Possible, Phase::X224, "The client left."),
            end(90_000, ClosedBy::Client, How::Fin),
        );
    insta::assert_snapshot!(shown(lines, &STYLE));
}

#[test]
fn a_fallback_to_two_connections_and_a_policy_that_refuses() {
    let nginx = "nginx/1.22.1";
    let refused = Code { value: 0x8007_59DA, name: Some("E_PROXY_RAP_ACCESSDENIED".to_owned()) };
    let basic = || Some(authentication("Basic", None));
    let script = connected()
        .on(1, 4_000, Some(Side::Client), Phase::GatewayHttp, request(Role::Websocket, None))
        .on(
            1,
            6_000,
            Some(Side::Server),
            Phase::GatewayHttp,
            response(Role::Websocket, 403, "Forbidden", nginx, &[]),
        )
        .on(2, 3_006_000, Some(Side::Client), Phase::GatewayHttp, request(Role::OutChannel, basic()))
        .on(
            2,
            3_008_000,
            Some(Side::Server),
            Phase::GatewayHttp,
            response(Role::OutChannel, 200, "OK", nginx, &[]),
        )
        .on(3, 3_010_000, Some(Side::Client), Phase::GatewayHttp, request(Role::InChannel, basic()))
        .on(2, 3_011_000, Some(Side::Server), Phase::GatewayHttp, began(Transport::GatewayHttp));
    let script = tunnel(script, 3_012_000, refused);
    let lines = script
        .on(2, 3_100_000, Some(Side::Server), Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .end(
            verdict(
                VerdictId::GatewayPolicyDenied,
                Confidence::Confirmed,
                Phase::GatewayChannel,
                "No policy.",
            ),
            end(3_100_000, ClosedBy::Server, How::Fin),
        );
    insta::assert_snapshot!(shown(lines, &STYLE));
}

#[test]
fn every_message_of_a_gateway_is_told_harmlessly() {
    const EVIL: &str = "a\x1b[2J\u{202e}z";
    let evil = || EVIL.to_owned();
    let code = || Code { value: 0x59DA, name: Some(evil()) };
    let messages = [
        GatewayMessage::BodyReframed { how: Reframing::Chunked, offset: 0 },
        GatewayMessage::BodyReframed { how: Reframing::UnannouncedChunks, offset: 3 },
        GatewayMessage::BodyReframed { how: Reframing::Garbage, offset: 10 },
        GatewayMessage::BodyReframed { how: Reframing::Truncated, offset: 4_000 },
        GatewayMessage::TunnelTraffic {
            data_packets: 4,
            data_bytes: 9_000,
            keepalives: 2,
            longest_keepalive_gap_us: Some(60_000_000),
        },
        GatewayMessage::WebsocketControl { frame: "close".to_owned(), status: Some(1000), length: 2 },
        GatewayMessage::WebsocketControl { frame: evil(), status: None, length: 0 },
        GatewayMessage::Rts { name: Some("CONN/A1".to_owned()), commands: vec![evil()] },
        GatewayMessage::Rpc {
            pdu: "fault".to_owned(),
            call: Some(evil()),
            status: Some(code()),
            security: None,
            length: 40,
        },
        GatewayMessage::KdcProxy { realm: Some(evil()), length: 900 },
        GatewayMessage::Http2 { paths: vec![evil()] },
        GatewayMessage::ConnectionMoved { session: evil() },
        GatewayMessage::CutAgain { for_us: 2_000_000, earlier_us: vec![2_010_000] },
        GatewayMessage::TransportRefused { transport: Transport::GatewayWebsocket, status: 404 },
        GatewayMessage::TunnelPacket(Packet::ServiceMessage { text: evil() }),
        GatewayMessage::TunnelPacket(Packet::TunnelAuth {
            client_name: evil(),
            statement_of_health_length: None,
        }),
        GatewayMessage::TunnelPacket(Packet::CloseChannel { status: code() }),
        GatewayMessage::TunnelPacket(Packet::Unknown { packet_type: 0x44, length: 12 }),
    ];
    let mut told = Vec::new();
    for message in messages {
        let event = Event {
            t_us: 1,
            leg: Leg::Server,
            from: Some(Side::Server),
            connection: Some(1),
            phase: Phase::GatewayTunnel,
            inferred: false,
            detail: Detail::Gateway(message.clone()),
        };
        let clauses = words::describe(&[event], TARGET, None);
        assert!(!clauses.is_empty(), "{message:?}");
        assert!(!clauses.concat().contains(['\x1b', '\u{202e}']), "{clauses:?}");
        told.extend(clauses);
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_gateways_udp_is_told_at_once() {
    let udp = |what| Event {
        t_us: 9_000_000,
        leg: Leg::Proxy,
        from: None,
        connection: None,
        phase: Phase::Udp,
        inferred: false,
        detail: Detail::Gateway(GatewayMessage::GatewayUdp { what, datagrams: 5, since_first_us: 4_000_000 }),
    };
    let mut live = LiveText::new("1", Style { width: 120, ..STYLE });
    assert_eq!(live.line(&Line::Event(udp(GatewayUdp::FirstDatagram))), None);
    let told = live.line(&Line::Event(udp(GatewayUdp::Unanswered))).unwrap();
    assert!(told.contains(" udp          FAIL"), "{told}");
    assert!(
        told.ends_with("5 datagrams to the gateway in 4.0 s, no answer: UDP is blocked on the way"),
        "{told}"
    );
    let told = live.line(&Line::Event(udp(GatewayUdp::Established))).unwrap();
    assert!(told.contains("ok"), "{told}");
}
