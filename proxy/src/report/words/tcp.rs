//! Resolving and connecting in words.

use crate::report::{safe, time};
use crate::trace::{ConnectError, Detail, Event, Leg, TcpInfo};
use std::net::SocketAddr;

/// Addresses of a name that are shown; the others are counted.
const ADDRESSES_SHOWN: usize = 3;
/// A round trip that is worth a word at the end, µs: from here on people feel it in every click.
const SLOW_RTT_US: u32 = 100_000;

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    let seen = |wanted: fn(&Detail) -> bool| events.iter().any(|event| wanted(&event.detail));
    let connected = seen(|detail| matches!(detail, Detail::Connected { .. }));
    let through_proxy = seen(|detail| matches!(detail, Detail::UpstreamProxyOpened { .. }));
    events.iter().filter_map(|event| clause(event, connected, through_proxy)).collect()
}

fn clause(event: &Event, connected: bool, through_proxy: bool) -> Option<String> {
    Some(match &event.detail {
        Detail::Resolved { name, addresses, .. } => format!("{} is {}", safe::name(name), shown(addresses)),
        Detail::ResolutionFailed { name, reason, .. } => {
            format!("{} does not resolve: {}", safe::name(name), safe::name(reason))
        }
        // What was reached without that anybody saw how long it took.
        Detail::Connected { address, took_us: 0, .. } => safe::name(address),
        Detail::Connected { address, .. } if through_proxy => safe::name(address),
        Detail::Connected { address, took_us, .. } => {
            // A SYN and its answer are one round trip.
            format!("{}, round trip {}", safe::name(address), time::short(*took_us))
        }
        Detail::ConnectFailed { address, error, reason, took_us } => {
            let address = safe::name(address);
            match error {
                ConnectError::Refused => format!("{address} refused the connection"),
                ConnectError::TimedOut => {
                    format!("{address} did not answer within {}", time::short(*took_us))
                }
                ConnectError::Unreachable => format!("{address} cannot be reached: {}", safe::name(reason)),
                ConnectError::Reset => format!("{address} connected and cut at once"),
                ConnectError::Other => format!("{address}: {}", safe::name(reason)),
            }
        }
        Detail::ConnectAbandoned { address, took_us } if !connected => {
            format!("{} had not answered after {}", safe::name(address), time::short(*took_us))
        }
        Detail::UpstreamProxyOpened { proxy, .. } => format!("through the proxy {}", safe::name(proxy)),
        Detail::UpstreamProxyRefused { proxy, reason, .. } => {
            format!("the proxy {} refused: {}", safe::name(proxy), safe::name(reason))
        }
        Detail::TcpInfo(info) => slow_or_lossy(event.leg, info)?,
        _ => return None,
    })
}

/// A leg whose round trip or losses are worth a word.
fn slow_or_lossy(leg: Leg, info: &TcpInfo) -> Option<String> {
    let peer = if leg == Leg::Client { "client" } else { "server" };
    let rtt = info.rtt_us.filter(|us| *us >= SLOW_RTT_US);
    let rtt = rtt.map(|us| format!("round trip {}", time::short(us.into())));
    let resent = info.retransmitted_segments.filter(|count| *count > 0);
    let resent = resent.map(|count| match count {
        1 => "1 segment sent again".to_owned(),
        count => format!("{count} segments sent again"),
    });
    let bytes = info.retransmitted_bytes.filter(|count| *count > 0 && resent.is_none());
    let bytes = bytes.map(|count| format!("{count} bytes sent again"));
    let parts: Vec<String> = rtt.into_iter().chain(resent).chain(bytes).collect();
    if parts.is_empty() { None } else { Some(format!("to the {peer}: {}", parts.join(", "))) }
}

fn shown(addresses: &[String]) -> String {
    let without_port = |address: &String| match address.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_string(),
        Err(_) => safe::name(address),
    };
    let mut shown: Vec<String> = addresses.iter().take(ADDRESSES_SHOWN).map(without_port).collect();
    if addresses.len() > ADDRESSES_SHOWN {
        shown.push(format!("{} more", addresses.len() - ADDRESSES_SHOWN));
    }
    shown.join(", ")
}
