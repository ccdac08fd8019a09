//! TCP to each address, several times: whether it connects, how long it takes, what is lost.
//!
//! Every connection of the probe counts. One that is only opened and closed waits in the server's queue like any other,
//! so there are further ones only to addresses that nothing else goes to.

use super::way::Way;
use crate::relay::connect::{classify, plain_reason};
use crate::relay::tcp_info::tcp_info;
use crate::trace::{ConnectError, LeftOut, Micros, TcpCheck, TcpFailure, TcpInfo};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;

/// What came of all connections, by address.
#[derive(Debug, Default)]
pub(super) struct Connections {
    checks: Mutex<BTreeMap<SocketAddr, TcpCheck>>,
}

impl Connections {
    /// One more connection to `address`, and how long it took.
    pub(super) fn note(&self, address: SocketAddr, connected: &io::Result<TcpStream>, took_us: Micros) {
        let mut checks = self.lock();
        let check = checks.entry(address).or_insert_with(|| empty(address));
        match connected {
            Ok(stream) => succeeded(check, stream, took_us),
            Err(error) => failed(check, error),
        }
    }

    /// What is known of `address`.
    pub(super) fn to(&self, address: SocketAddr) -> TcpCheck {
        self.lock().get(&address).cloned().unwrap_or_else(|| empty(address))
    }

    /// A panic elsewhere leaves facts that are still worth having.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, TcpCheck>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to each address so many times, to all of them at once and to each one time after the other. Answers with
/// the rounds that were left out.
pub(super) async fn check(way: &Way, addresses: &[SocketAddr], rounds: u32) -> Vec<LeftOut> {
    let ways = addresses.iter().map(|address| Way { address: *address, ..way.clone() });
    let left_out = join_all(ways.map(|way| async move { one(&way, rounds).await })).await;
    left_out.into_iter().flatten().collect()
}

async fn one(way: &Way, rounds: u32) -> Option<LeftOut> {
    for round in 1..=rounds {
        // What came of it is noted on the way.
        let silent = way.open().await.is_err_and(|error| classify(&error) == ConnectError::TimedOut);
        if silent && round < rounds && way.connections.to(way.address).rounds.iter().all(Option::is_none) {
            return Some(LeftOut {
                check: format!("{} more connections to {}", rounds - round, way.address),
                reason: format!("the first was not answered within {} s", way.answer_timeout.as_secs()),
            });
        }
    }
    None
}

fn empty(address: SocketAddr) -> TcpCheck {
    TcpCheck { address: address.to_string(), ..TcpCheck::default() }
}

fn succeeded(check: &mut TcpCheck, stream: &TcpStream, took_us: Micros) {
    check.rounds.push(Some(took_us));
    let Some(TcpInfo { rtt_us, retransmitted_segments, .. }) = tcp_info(stream) else { return };
    // The shortest of them is the path itself, without what the machines at its ends were busy with.
    check.rtt_us = [check.rtt_us, rtt_us].into_iter().flatten().min();
    let before = if check.rounds.len() == 1 { Some(0) } else { check.retransmitted_segments };
    check.retransmitted_segments = before.zip(retransmitted_segments).map(|(before, more)| before + more);
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
