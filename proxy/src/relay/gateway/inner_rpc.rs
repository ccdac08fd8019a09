//! TLS inside a tunnel over RPC: what the connections of one virtual connection have in common, and what one of them cuts
//! out of its channel.

use super::inner::Half;
use crate::alter::Note;
use crate::alter::gateway::rpc::{CallKeys, Cutter, Lane, RpcTunnel};
use crate::alter::gateway::{Split, TunnelSplitter};
use crate::relay::session::SharedSession;
use crate::trace::{Micros, Side};
use crate::wire::rpch::rpc::Header;
use crate::wire::rpch::rts::{self, Rts};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Virtual connections of one attempt. A client has one, and the runtime of Windows a few more for calls that wait.
const MOST_VIRTUAL_CONNECTIONS: usize = 32;

/// The virtual connections of an attempt by their cookies.
pub(in crate::relay) type VirtualConnections = BTreeMap<[u8; 16], Arc<SharedRpc>>;

/// One virtual connection. What comes on one of its connections may have to go on on the other, and from time to time
/// another connection takes the place of one.
#[derive(Default)]
pub(in crate::relay) struct SharedRpc {
    tunnel: Mutex<RpcTunnel>,
    /// What each direction has to do with the session inside, whichever connection carries it.
    halves: [Mutex<Option<Half>>; 2],
    /// Who waits for what is to go on in the direction of each side.
    wakers: Mutex<[BTreeMap<Lane, Waker>; 2]>,
    newest: AtomicU32,
}

impl SharedRpc {
    pub(super) fn lock(&self) -> MutexGuard<'_, RpcTunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn half(&self, from: Side) -> MutexGuard<'_, Option<Half>> {
        self.halves[from.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wakes(&self, from: Side, lane: Lane, waker: &Waker) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers[from.index()].insert(lane, waker.clone());
    }

    pub(super) fn wake(&self, from: Side) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut wakers[from.index()]);
        drop(wakers);
        waiting.into_values().for_each(Waker::wake);
    }
}

/// A connection's channel.
#[derive(Default)]
pub(super) struct RpcLane {
    cutters: [Cutter; 2],
    shared: Option<Arc<SharedRpc>>,
    number: Lane,
}

impl Drop for RpcLane {
    /// What the connection carries ends with it.
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        for side in [Side::Client, Side::Server] {
            if shared.lock().is_carried_by(side, self.number) {
                drop(shared.half(side).take());
            }
        }
    }
}

impl RpcLane {
    /// The virtual connection, once it has begun to end calls with RDP.
    pub(super) fn ending(&self) -> Option<&Arc<SharedRpc>> {
        self.shared.as_ref().filter(|shared| shared.lock().ends_calls())
    }

    /// Its number in the virtual connection.
    pub(super) fn number(&self) -> Lane {
        self.number
    }

    /// Whether what is written in the direction of `from` goes here.
    pub(super) fn carries(&self, from: Side) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.lock().is_carried_by(from, self.number))
    }

    /// Takes a piece of the channel that `from` sent. Where nothing can be rewritten, `splitter` is told to let all pass.
    pub(super) fn pass(
        &mut self,
        (t_us, from): (Micros, Side),
        bytes: &[u8],
        session: &SharedSession,
        keys: Option<&dyn CallKeys>,
        splitter: &mut TunnelSplitter,
        notes: &mut Vec<Note>,
    ) -> Vec<Split> {
        let mut out = Vec::new();
        let mut refused = None;
        let had_calls = self.ending().is_some();
        let (shared, number) = (&mut self.shared, &mut self.number);
        let cut = self.cutters[from.index()].cut(bytes, |header, pdu| {
            if shared.is_none() {
                *shared = join(session, header, pdu);
                *number = shared.as_ref().map_or(0, |it| it.newest.fetch_add(1, Ordering::Relaxed));
            }
            let Some(shared) = shared else { return out.push(Split::Other(pdu.to_vec())) };
            let taken = shared.lock().take((*number, from), (header, pdu), keys, &mut out);
            refused = taken.err().or(refused.take());
        });
        if let Err((rest, malformed)) = cut {
            out.push(Split::Other(rest));
            splitter.stop(t_us, from, format!("what the {from} sends is no RPC: {malformed}"), notes);
            self.shared.iter().for_each(|shared| shared.lock().give_up());
        } else if let Some(reason) = refused {
            splitter.stop(t_us, from, reason, notes);
        }
        if let Some(shared) = &self.shared {
            if !had_calls && shared.lock().ends_calls() {
                session.lock().gateway().into_iter().for_each(|gateway| gateway.observer.leave_rpc_apart());
            }
            if shared.lock().is_open() {
                splitter.stop_silently();
                out.extend(Some(Split::Other(self.cutters[from.index()].rest())));
            }
            [Side::Client, Side::Server].into_iter().for_each(|side| shared.wake(side));
        }
        out
    }

    /// The channel goes on as it comes on this connection: nothing in the virtual connection may be changed.
    pub(super) fn left_open(&self) {
        self.shared.iter().for_each(|shared| shared.lock().give_up());
    }

    /// What has not come whole of a side whose stream has ended.
    pub(super) fn rest(&mut self, from: Side) -> Vec<u8> {
        self.cutters[from.index()].rest()
    }

    /// PDUs with RDP that `from` sent here, and those that were written in their place; told once.
    pub(super) fn take_rewritten(&self, from: Side) -> [u64; 2] {
        self.shared.as_ref().map_or([0; 2], |shared| shared.lock().take_rewritten(from, self.number))
    }
}

/// The virtual connection that this PDU names.
fn join(session: &SharedSession, header: Header, pdu: &[u8]) -> Option<Arc<SharedRpc>> {
    let cookie = Rts::decode(pdu).ok().filter(|_| rts::is_rts(&header))?.virtual_connection()?;
    let mut observed = session.lock();
    let known = &mut observed.gateway()?.virtual_connections;
    if known.len() >= MOST_VIRTUAL_CONNECTIONS && !known.contains_key(&cookie) {
        return None;
    }
    Some(known.entry(cookie).or_default().clone())
}
