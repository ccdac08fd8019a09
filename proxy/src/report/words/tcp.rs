//! Resolving and connecting in words.

use crate::report::{safe, time};
use crate::trace::{ConnectError, Detail, Event, Leg};

/// Addresses of a name that are shown; the others are counted.
const ADDRESSES_SHOWN: usize = 3;

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    let connected = events.iter().any(|event| matches!(event.detail, Detail::Connected { .. }));
    events.iter().filter_map(|event| clause(event, connected)).collect()
}

fn clause(event: &Event, connected: bool) -> Option<String> {
    Some(match &event.detail {
        Detail::Resolved { name, addresses, .. } => format!("{} is {}", safe::name(name), shown(addresses)),
        Detail::ResolutionFailed { name, reason, .. } => {
            format!("{} does not resolve: {}", safe::name(name), safe::name(reason))
        }
        Detail::Connected { address, took_us, .. } => {
            format!("{} answered after {}", safe::name(address), time::short(*took_us))
        }
        Detail::ConnectFailed { address, error, reason, took_us } => {
            let address = safe::name(address);
            let after = time::short(*took_us);
            match error {
                ConnectError::Refused => format!("{address} refused the connection after {after}"),
                ConnectError::TimedOut => format!("{address} did not answer within {after}"),
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
        Detail::TcpInfo(info) if event.leg == Leg::Server => {
            let rtt = info.rtt_us.map(|us| format!("round trip to the server {}", time::short(us.into())));
            let resent = info.retransmitted_segments.filter(|count| *count > 0);
            let resent = resent.map(|count| format!("{count} segments sent to it again"));
            let parts: Vec<String> = rtt.into_iter().chain(resent).collect();
            if parts.is_empty() {
                return None;
            }
            parts.join(", ")
        }
        _ => return None,
    })
}

fn shown(addresses: &[String]) -> String {
    let mut shown: Vec<String> =
        addresses.iter().take(ADDRESSES_SHOWN).map(|address| safe::name(address)).collect();
    if addresses.len() > ADDRESSES_SHOWN {
        shown.push(format!("{} more", addresses.len() - ADDRESSES_SHOWN));
    }
    shown.join(", ")
}
