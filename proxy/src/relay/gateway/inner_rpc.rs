//! TLS inside a tunnel over RPC: what the connections of one virtual connection have in common, and what one of them cuts
//! out of its channel.

use crate::alter::Note;
use crate::alter::gateway::rpc::{CallKeys, Cutter, RpcTunnel};
use crate::alter::gateway::{Split, TunnelSplitter};
use crate::relay::session::SharedSession;
use crate::trace::{Micros, Side};
use crate::wire::rpch::rpc::Header;
use crate::wire::rpch::rts::{self, Rts};
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Virtual connections of one attempt. A client has one, and the runtime of Windows a few more for calls that wait.
const MOST_VIRTUAL_CONNECTIONS: usize = 32;

/// The virtual connections of an attempt by their cookies.
pub(in crate::relay) type VirtualConnections = BTreeMap<[u8; 16], Arc<SharedRpc>>;

/// One virtual connection. What comes on one of its connections may have to go on on the other.
#[derive(Default)]
pub(in crate::relay) struct SharedRpc {
    tunnel: Mutex<RpcTunnel>,
    /// Who waits for what is to go on in the direction of each side.
    wakers: [AtomicWaker; 2],
}

impl SharedRpc {
    pub(super) fn lock(&self) -> MutexGuard<'_, RpcTunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wakes(&self, from: Side, waker: &Waker) {
        self.wakers[from.index()].register(waker);
    }

    pub(super) fn wake(&self, from: Side) {
        self.wakers[from.index()].wake();
    }
}

/// A connection's channel.
#[derive(Default)]
pub(super) struct RpcLane {
    cutters: [Cutter; 2],
    shared: Option<Arc<SharedRpc>>,
}

impl RpcLane {
    /// The virtual connection, once it has begun to end calls with RDP.
    pub(super) fn ending(&self) -> Option<&Arc<SharedRpc>> {
        self.shared.as_ref().filter(|shared| shared.lock().ends_calls())
    }

    /// Takes a piece of the channel that `from` sent. Where nothing can be rewritten, `splitter` is told to let all pass.
    pub(super) fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        session: &SharedSession,
        keys: Option<&dyn CallKeys>,
        splitter: &mut TunnelSplitter,
        notes: &mut Vec<Note>,
    ) -> Vec<Split> {
        let mut out = Vec::new();
        let mut refused = None;
        let had_calls = self.ending().is_some();
        let shared = &mut self.shared;
        let cut = self.cutters[from.index()].cut(bytes, |header, pdu| {
            if shared.is_none() {
                *shared = join(session, header, pdu);
            }
            let Some(shared) = shared else { return out.push(Split::Other(pdu.to_vec())) };
            let taken = shared.lock().take(from, (header, pdu), keys, &mut out);
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

    /// PDUs with RDP that `from` sent, and those that were written in their place.
    pub(super) fn rewritten(&self, from: Side) -> [u64; 2] {
        self.shared.as_ref().map_or([0; 2], |shared| shared.lock().rewritten(from))
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
