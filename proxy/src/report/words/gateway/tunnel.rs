//! What is said inside the tunnel.

use super::{counted, status, transport_name};
use crate::report::{safe, time};
use crate::trace::{Event, GatewayMessage, Side};
use crate::wire::named::{Code, Flags};
use crate::wire::tsgu::Packet;

/// HTTP_TUNNEL_REDIR_ENABLE_ALL (MS-TSGU 2.2.5.3.7).
const ENABLE_ALL: u32 = 0x8000_0000;

pub(super) fn describe(messages: &[(&Event, &GatewayMessage)]) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut calls = Vec::new();
    for (event, message) in messages {
        match message {
            GatewayMessage::TunnelBegan { transport, .. } => {
                let begins = format!("the tunnel begins over {}", transport_name(*transport));
                if !clauses.contains(&begins) {
                    clauses.push(begins);
                }
            }
            GatewayMessage::TunnelPacket(packet) => clauses.extend(packet_clause(event.from, packet)),
            GatewayMessage::TunnelTraffic { data_packets: 0, keepalives: 0, .. } => {}
            GatewayMessage::TunnelTraffic { data_packets, data_bytes, keepalives, .. } => {
                let who = side(event.from);
                let alive = match keepalives {
                    0 => String::new(),
                    1 => ", one keepalive".to_owned(),
                    count => format!(", {count} keepalives"),
                };
                let packets = match data_packets {
                    1 => "one data packet".to_owned(),
                    count => format!("{count} data packets"),
                };
                clauses.push(format!("{who}: {packets}, {data_bytes} bytes{alive}"));
            }
            GatewayMessage::Rpc { status: Some(code), call, pdu, .. } if code.value != 0 => {
                let call = safe::name(call.as_deref().unwrap_or(pdu));
                clauses.push(format!("{call} failed: {}", status(code)));
            }
            GatewayMessage::Rpc { call: Some(call), .. } if event.from == Some(Side::Client) => {
                calls.push(safe::name(call));
            }
            GatewayMessage::Rts { name: Some(name), .. } => calls.push(safe::name(name)),
            _ => {}
        }
    }
    if !calls.is_empty() {
        clauses.push(counted(calls.into_iter()).join(", "));
    }
    clauses
}

fn side(from: Option<Side>) -> &'static str {
    match from {
        Some(Side::Client) => "client",
        Some(Side::Server) => "gateway",
        None => "both sides",
    }
}

fn packet_clause(from: Option<Side>, packet: &Packet) -> Option<String> {
    if let Some(failed) = packet.status().filter(|_| from == Some(Side::Server)).filter(|it| is_failure(it)) {
        let what = match packet {
            Packet::CloseChannel { .. } | Packet::CloseChannelResponse { .. } => {
                "the gateway closed the channel"
            }
            _ => "the gateway refused",
        };
        return Some(format!("{what} with {}", status(failed)));
    }
    Some(match packet {
        Packet::HandshakeRequest { extended_auth, .. } if extended_auth.value != 0 => {
            format!("the client offers to log on inside the tunnel by {}", names(extended_auth))
        }
        Packet::HandshakeResponse { version, .. } => {
            format!("gateway version {}", safe::name(version))
        }
        Packet::ExtendedAuthMsg { token_length, .. } => {
            format!("{} sends {token_length} bytes of a logon inside the tunnel", side(from))
        }
        Packet::TunnelCreate { paa_cookie_length: Some(length), reauthentication, .. } => {
            let again = if *reauthentication { ", to be authenticated again" } else { "" };
            format!("the client brings a cookie (PAA) of {length} bytes{again}")
        }
        Packet::TunnelCreate { reauthentication: true, .. } => "the user is authenticated again".to_owned(),
        Packet::TunnelResponse { tunnel_id, capabilities, consent_message, .. } => {
            let id = tunnel_id.map(|id| format!(" {id}")).unwrap_or_default();
            let can = match capabilities.as_ref().map(names) {
                Some(names) if !names.is_empty() => format!(", capabilities {names}"),
                _ => String::new(),
            };
            let consent =
                if consent_message.is_some() { "; the user has to consent to a message" } else { "" };
            format!("tunnel{id}{can}{consent}")
        }
        Packet::TunnelAuth { client_name, .. } => format!("client {}", safe::name(client_name)),
        Packet::TunnelAuthResponse { redirection, idle_timeout_minutes, .. } => {
            return policy(redirection.as_ref(), *idle_timeout_minutes);
        }
        Packet::ChannelCreate { resources, alternatives, port, .. } => {
            let all = resources.iter().chain(alternatives);
            let targets: Vec<String> = all.map(|name| format!("{}:{port}", safe::name(name))).collect();
            format!("channel to {}", targets.join(" or "))
        }
        Packet::ChannelResponse { udp_port: Some(port), .. } => format!("UDP {port} offered"),
        Packet::ChannelResponse { .. } => "no UDP offered".to_owned(),
        Packet::ServiceMessage { text } => format!("the gateway shows a message: {}", safe::name(text)),
        Packet::ReauthMessage => "the gateway wants the user authenticated again".to_owned(),
        Packet::CloseChannel { .. } => format!("{} closed the channel", side(from)),
        Packet::Unknown { packet_type, length } => {
            format!("{} sent a packet of the unknown type {packet_type:#x}, {length} bytes", side(from))
        }
        _ => return None,
    })
}

/// Whether a status ends something: with SEC_I_CONTINUE_NEEDED a logon only goes on.
fn is_failure(status: &Code) -> bool {
    const CONTINUE_NEEDED: u32 = 0x0009_0312;
    status.value != 0 && status.value != CONTINUE_NEEDED
}

/// `HTTP_CAPABILITY_IDLE_TIMEOUT` in the words that are left without what all have in common.
fn names(flags: &Flags) -> String {
    let short = |name: &String| {
        let name = name.trim_start_matches("HTTP_").trim_start_matches("CAPABILITY_TYPE_");
        safe::name(name.trim_start_matches("CAPABILITY_").trim_start_matches("EXTENDED_AUTH_"))
    };
    if flags.names.is_empty() && flags.value != 0 {
        return format!("{:#x}", flags.value);
    }
    flags.names.iter().map(short).collect::<Vec<_>>().join(", ")
}

/// What the gateway allows in the session.
fn policy(redirection: Option<&Flags>, idle_minutes: Option<u32>) -> Option<String> {
    let forbidden = redirection.filter(|flags| flags.value != 0 && flags.value & ENABLE_ALL == 0);
    let forbidden = forbidden.map(|flags| {
        let short = |name: &String| safe::name(name.trim_start_matches("HTTP_TUNNEL_REDIR_"));
        let names: Vec<String> = flags.names.iter().map(short).collect();
        let names = if names.is_empty() { format!("{:#x}", flags.value) } else { names.join(", ") };
        format!("redirection restricted ({names})")
    });
    let idle = idle_minutes.filter(|minutes| *minutes > 0);
    let idle = idle.map(|minutes| format!("idle timeout {}", time::short(u64::from(minutes) * 60_000_000)));
    let parts: Vec<String> = forbidden.into_iter().chain(idle).collect();
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}
