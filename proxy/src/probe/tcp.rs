//! TCP to each address, several times: whether it connects, how long it takes, what is lost.

use super::way::{Connection, Way};
use crate::relay::connect::{classify, plain_reason};
use crate::relay::tcp_info::tcp_info;
use crate::trace::{ConnectError, LeftOut, TcpCheck, TcpFailure, TcpInfo};
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;

/// What came of it, and of which rounds nothing was expected any more.
pub(super) type Checked = (TcpCheck, Option<LeftOut>);

/// Connects to each address so many times, to all of them at once and to each one time after the other.
pub(super) async fn check(way: &Way, addresses: &[SocketAddr], rounds: u32) -> Vec<Checked> {
    let ways = addresses.iter().map(|address| Way { address: *address, ..way.clone() });
    join_all(ways.map(|way| async move { one(&way, rounds).await })).await
}

async fn one(way: &Way, rounds: u32) -> Checked {
    let mut check = TcpCheck { address: way.address.to_string(), ..TcpCheck::default() };
    for round in 0..rounds {
        match way.open().await {
            Ok(connection) => succeeded(&mut check, &connection),
            Err(error) => failed(&mut check, &error),
        }
        let unanswered = check.failures.iter().any(|failure| failure.error == ConnectError::TimedOut);
        let is_silent = unanswered && check.rounds.iter().all(Option::is_none);
        if is_silent && round + 1 < rounds {
            let left_out = LeftOut {
                check: format!("{} more connections to {}", rounds - round - 1, way.address),
                reason: format!("the first was not answered within {} s", way.answer_timeout.as_secs()),
            };
            return (check, Some(left_out));
        }
    }
    (check, None)
}

fn succeeded(check: &mut TcpCheck, connection: &Connection) {
    check.rounds.push(Some(connection.took_us()));
    let Some(TcpInfo { rtt_us, retransmitted_segments, .. }) = tcp_info(connection) else { return };
    // The shortest of them is the path itself, without what the machines at its ends were busy with.
    check.rtt_us = [check.rtt_us, rtt_us].into_iter().flatten().min();
    let more = retransmitted_segments.unwrap_or_default();
    check.retransmitted_segments = Some(check.retransmitted_segments.unwrap_or_default() + more);
}

fn failed(check: &mut TcpCheck, error: &io::Error) {
    check.rounds.push(None);
    let (kind, reason) = (classify(error), plain_reason(error));
    let known = check.failures.iter_mut().find(|known| known.error == kind && known.reason == reason);
    match known {
        Some(known) => known.count += 1,
        None => check.failures.push(TcpFailure { error: kind, reason, count: 1 }),
    }
}
