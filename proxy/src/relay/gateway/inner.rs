//! TLS inside the tunnel, terminated: the RDP that the tunnel carries goes through a session as of a direct connection,
//! between two connections within this machine, and back into the tunnel.
//!
//! A tunnel has one such session, whether both its directions are on one connection to the gateway or each on its own.
//! The system's buffers of the two connections bound what is under way; a gate takes nothing more of a side while what
//! it took is still to be written to them, and nothing more of the session while the other side takes nothing.

use super::inner_rpc::{RpcLane, SharedRpc};
use crate::alter::gateway::rpc::CallKeys;
use crate::alter::gateway::{Split, TunnelSplitter};
use crate::alter::{NotAltered, Note};
use crate::intercept::settings::Interception;
use crate::relay::intercepted::{self, Intercepted};
use crate::relay::pump::Ending;
use crate::relay::session::{SessionTap, SharedSession};
use crate::trace::{Altered, INNER_CERT, Micros, Phase, Side};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes of RDP in one packet at most: those of a TLS record, which is what clients and gateways put into one. Some
/// have no room for the 65535 that the format allows.
const MOST_IN_PACKET: usize = 16 * 1024;
/// Bytes of RDP over RPC that wait for the session inside: a sender that keeps to its window has fewer on the way.
const MOST_UNSENT: usize = 1024 * 1024;

/// The session inside a tunnel, as the connections to the gateway know it.
pub(in crate::relay) struct Inner {
    /// What stands in the place of each side.
    sides: [TcpStream; 2],
    /// The session has ended.
    over: watch::Receiver<bool>,
}

/// The session inside the tunnel of one attempt.
#[derive(Default)]
pub(in crate::relay) enum InnerPlace {
    /// It is yet to begin.
    #[default]
    Free,
    /// Of the tunnel whose connections have this RDG-Connection-Id.
    Taken(Option<String>, Weak<Inner>),
}

impl Inner {
    /// The session in the tunnel of connection `number`: the one that has begun there, or a new one. The error is a
    /// sentence.
    fn of_tunnel(
        session: &SharedSession,
        number: u32,
        interception: &Arc<Interception>,
    ) -> Result<Arc<Inner>, String> {
        let mut observed = session.lock();
        let Some(gateway) = observed.gateway() else { return Err("there is no gateway".to_owned()) };
        let id = gateway.observer.connection_id(number).map(str::to_owned);
        match &gateway.inner {
            InnerPlace::Taken(known, inner) if *known == id => {
                return inner.upgrade().ok_or_else(|| "the session inside the tunnel is over".to_owned());
            }
            InnerPlace::Taken(..) => {
                return Err("it is terminated in the first tunnel of the attempt".to_owned());
            }
            InnerPlace::Free => {}
        }
        let begun = Inner::begin(session, interception)
            .map_err(|error| format!("the system gives no connection within this machine: {error}"))?;
        gateway.inner = InnerPlace::Taken(id, Arc::downgrade(&begun));
        Ok(begun)
    }

    /// The same where it has begun.
    fn begun(session: &SharedSession, number: u32) -> Option<Arc<Inner>> {
        let mut observed = session.lock();
        let gateway = observed.gateway()?;
        match &gateway.inner {
            InnerPlace::Taken(known, inner) if known.as_deref() == gateway.observer.connection_id(number) => {
                inner.upgrade()
            }
            _ => None,
        }
    }

    fn begin(session: &SharedSession, interception: &Arc<Interception>) -> io::Result<Arc<Inner>> {
        let (client, client_end) = pair()?;
        let (server, server_end) = pair()?;
        let peer = client_end.peer_addr()?;
        let (tell, over) = watch::channel(false);
        tokio::spawn(run(client_end, server_end, peer, session.clone(), interception.clone(), tell));
        Ok(Arc::new(Inner { sides: [client, server], over }))
    }
}

/// Runs the session inside the tunnel to its end.
async fn run(
    client: TcpStream,
    server: TcpStream,
    peer: SocketAddr,
    session: SharedSession,
    interception: Arc<Interception>,
    over: watch::Sender<bool>,
) {
    let mut tap = SessionTap::inside_tunnel(&session, peer);
    let context = Intercepted { interception: &interception, route: None, impaired: None };
    let (mut client, server) = (client.into(), server.into());
    let server = Box::pin(intercepted::serve(&mut client, server, Vec::new(), &mut tap, context)).await;
    drop(server);
    over.send_replace(true);
}

/// Two ends of a connection within this machine. Nothing here waits: the system connects to its own backlog at once.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
    let own_address = ours.local_addr()?;
    let theirs = loop {
        let (theirs, from) = listener.accept()?;
        // Any other program of this machine may have been faster.
        if from == own_address {
            break theirs;
        }
    };
    let ready = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        TcpStream::from_std(stream)
    };
    Ok((ready(ours)?, ready(theirs)?))
}

/// What one side's direction of a tunnel has to do with the session inside.
pub(super) struct Half {
    inner: Arc<Inner>,
    from: Side,
    /// RDP of this side that the session has not taken.
    unsent: Vec<u8>,
    sent: usize,
    /// This side sends no more RDP.
    is_last: bool,
    /// The session was told so.
    is_finished: bool,
    /// The session says nothing more in this direction.
    is_silent: bool,
    /// What goes on behind all that.
    behind: Vec<u8>,
    /// That the channel is closed, as nobody in the tunnel has said it.
    has_closed: bool,
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Half {
    fn new(inner: Arc<Inner>, from: Side) -> Half {
        let mut over = inner.over.clone();
        let over = async move {
            // A session whose task is gone is over, too.
            let _ = over.wait_for(|over| *over).await;
        };
        Half {
            inner,
            from,
            unsent: Vec::new(),
            sent: 0,
            is_last: false,
            is_finished: false,
            is_silent: false,
            behind: Vec::new(),
            has_closed: false,
            over: Some(Box::pin(over)),
        }
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_finished, true) {
            // A session that is over needs no end.
            let _ = socket2::SockRef::from(&self.inner.sides[self.from.index()])
                .shutdown(std::net::Shutdown::Write);
        }
    }

    /// Gives the session what this side sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sink = &self.inner.sides[self.from.index()];
        while self.sent < self.unsent.len() {
            let ready = ready!(sink.poll_write_ready(cx));
            let written = ready.and_then(|()| sink.try_write(&self.unsent[self.sent..]));
            match written {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What a session that is over does not hear is taken all the same.
                Err(_) => self.sent = self.unsent.len(),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        if self.is_last {
            self.finish();
        }
        Poll::Ready(())
    }

    /// What the session says in this direction, at most so many bytes; nothing where it says no more.
    fn poll_hear(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Vec<u8>> {
        let source = &self.inner.sides[self.from.opposite().index()];
        while !self.is_silent {
            let ready = ready!(source.poll_read_ready(cx));
            let mut heard = vec![0; most.min(MOST_IN_PACKET)];
            let read = ready.and_then(|()| source.try_read(&mut heard));
            match read {
                Ok(count) if count > 0 => {
                    heard.truncate(count);
                    return Poll::Ready(heard);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => self.is_silent = true,
            }
        }
        Poll::Ready(Vec::new())
    }

    /// Waits until the session is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(over) = &mut self.over {
            ready!(over.as_mut().poll(cx));
            self.over = None;
        }
        Poll::Ready(())
    }
}

/// Leads what is RDP on one connection to a gateway through the session inside the tunnel.
pub(super) struct InnerGate {
    interception: Arc<Interception>,
    call_keys: Option<Arc<dyn CallKeys>>,
    splitter: TunnelSplitter,
    rpc: RpcLane,
    halves: [Option<Half>; 2],
    /// RDP of this side goes on as it is.
    is_left: [bool; 2],
}

impl InnerGate {
    pub(super) fn new(
        interception: Arc<Interception>,
        call_keys: Option<Arc<dyn CallKeys>>,
        number: u32,
    ) -> InnerGate {
        InnerGate {
            interception,
            call_keys,
            splitter: TunnelSplitter::new(number),
            rpc: RpcLane::default(),
            halves: [None, None],
            is_left: [false; 2],
        }
    }

    pub(super) fn is_open(&self, from: Side) -> bool {
        self.splitter.is_open(from)
    }

    /// What was written anew in either direction, for the trace.
    pub(super) fn rewritten(&self, t_us: Micros) -> Vec<Altered> {
        let over_rpc =
            self.splitter.rpc().and_then(|from| calls_rewritten(t_us, from, self.rpc.take_rewritten(from)));
        [Side::Client, Side::Server]
            .into_iter()
            .flat_map(|from| self.splitter.rewritten(t_us, from))
            .chain(over_rpc)
            .collect()
    }

    /// Takes what `from` sent; what is not RDP goes to `out`.
    pub(super) fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        (session, number): (&SharedSession, u32),
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        let mut splits = Vec::new();
        self.splitter.pass(t_us, from, bytes, &mut splits, notes);
        for split in splits {
            let Split::Rpc(piece) = split else {
                self.take(t_us, from, split, (session, number), out, notes);
                continue;
            };
            let keys = self.call_keys.as_deref();
            let cut = self.rpc.pass((t_us, from), &piece, session, keys, &mut self.splitter, notes);
            for split in cut {
                self.take(t_us, from, split, (session, number), out, notes);
            }
        }
        if self.splitter.rpc().is_some() && self.splitter.is_open(from) {
            self.rpc.left_open();
        }
    }

    fn take(
        &mut self,
        t_us: Micros,
        from: Side,
        split: Split,
        (session, number): (&SharedSession, u32),
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        match &split {
            Split::Data(_) => self.join(t_us, from, (session, number), notes),
            Split::End(_) => self.end(from, (session, number)),
            Split::Other(_) | Split::Rpc(_) => {}
        }
        if let (Some(shared), Some(side)) = (self.rpc.ending(), self.splitter.rpc())
            && side == from
        {
            match (split, shared.half(from).as_mut()) {
                (Split::Data(data), Some(half)) => half.unsent.extend_from_slice(&data),
                (Split::Data(data), None) => out.push(shared.lock().wrap(from, &data)),
                (Split::End(_), None) => out.push(shared.lock().take_behind(from)),
                (Split::End(_), Some(_)) => {}
                (Split::Other(bytes) | Split::Rpc(bytes), _) => out.push(bytes),
            }
            return;
        }
        match (split, self.halves[from.index()].as_mut()) {
            (Split::Data(data), Some(half)) => half.unsent.extend_from_slice(&data),
            (Split::Data(data), None) => out.push(self.splitter.wrap(from, &data, key())),
            (Split::Other(bytes) | Split::End(bytes) | Split::Rpc(bytes), Some(half)) if half.is_last => {
                half.behind.extend_from_slice(&bytes);
            }
            (Split::Other(bytes) | Split::End(bytes) | Split::Rpc(bytes), _) => out.push(bytes),
        }
    }

    /// The stream of `from` has ended.
    pub(super) fn flush(
        &mut self,
        from: Side,
        (session, number): (&SharedSession, u32),
        out: &mut Vec<Vec<u8>>,
    ) {
        out.extend(Some(self.rpc.rest(from)).filter(|rest| !rest.is_empty()));
        self.end(from, (session, number));
    }

    /// The first RDP of `from` finds the session, or begins it.
    fn join(
        &mut self,
        t_us: Micros,
        from: Side,
        (session, number): (&SharedSession, u32),
        notes: &mut Vec<Note>,
    ) {
        if self.with_half(from, |half| half.is_some()) || self.is_left[from.index()] {
            return;
        }
        match Inner::of_tunnel(session, number, &self.interception) {
            Ok(inner) => self.with_half(from, |half| *half = Some(Half::new(inner, from))),
            Err(reason) => {
                self.is_left[from.index()] = true;
                notes.push(not_altered(t_us, from, number, reason));
            }
        }
    }

    /// `from` sends no more RDP, and perhaps never has.
    fn end(&mut self, from: Side, (session, number): (&SharedSession, u32)) {
        let takes_calls = self.splitter.rpc() == Some(from) && self.rpc.ending().is_some();
        if takes_calls && !self.rpc.carries(from) {
            // Another connection has taken its place, or is yet to do so.
            return;
        }
        let may_begin = (takes_calls || self.splitter.takes_data(from)) && !self.is_left[from.index()];
        self.with_half(from, |half| {
            if half.is_none() && may_begin {
                *half = Inner::begun(session, number).map(|inner| Half::new(inner, from));
            }
            half.iter_mut().for_each(|half| half.is_last = true);
        });
    }

    /// What the direction of `from` has to do with the session inside. Over RPC it stays with the virtual connection.
    fn with_half<T>(&mut self, from: Side, act: impl FnOnce(&mut Option<Half>) -> T) -> T {
        match self.rpc.ending().filter(|_| self.splitter.rpc() == Some(from)) {
            Some(shared) => act(&mut shared.half(from)),
            None => act(&mut self.halves[from.index()]),
        }
    }

    /// What is to be done before more of `from` is read, or before the end of its stream goes on.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        ending: Option<Ending>,
        out: &mut impl Extend<Vec<u8>>,
    ) -> Poll<()> {
        if self.splitter.rpc() == Some(from)
            && let Some(shared) = self.rpc.ending().cloned()
        {
            return self.poll_calls(cx, from, ending, &shared, out);
        }
        let Some(half) = &mut self.halves[from.index()] else { return Poll::Ready(()) };
        if ending == Some(Ending::Reset) {
            return Poll::Ready(());
        }
        let sent = half.poll_send(cx);
        if !self.splitter.takes_data(from) {
            let behind = std::mem::take(&mut half.behind);
            out.extend(Some(behind).filter(|behind| !behind.is_empty()));
            return sent;
        }
        match half.poll_hear(cx, MOST_IN_PACKET) {
            Poll::Ready(heard) if !heard.is_empty() => {
                out.extend([self.splitter.wrap(from, &heard, key())]);
                return Poll::Pending;
            }
            Poll::Ready(_) if !half.behind.is_empty() => {
                out.extend([std::mem::take(&mut half.behind)]);
                return Poll::Pending;
            }
            Poll::Ready(_) if half.is_last => return Poll::Ready(()),
            Poll::Pending if half.is_last => return Poll::Pending,
            Poll::Ready(_) | Poll::Pending => {}
        }
        if half.is_silent && !half.has_closed && half.poll_over(cx).is_ready() {
            half.has_closed = true;
            out.extend([self.splitter.wrap_close(from, key())]);
            return Poll::Pending;
        }
        sent
    }

    /// The same for the direction of `from` over RPC, in which calls and results end here. What its other side says of its
    /// window comes on the same connection, so that that is read even while the session takes nothing.
    fn poll_calls(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        ending: Option<Ending>,
        shared: &SharedRpc,
        out: &mut impl Extend<Vec<u8>>,
    ) -> Poll<()> {
        if ending == Some(Ending::Reset) {
            return Poll::Ready(());
        }
        shared.wakes(from, self.rpc.number(), cx.waker());
        if !self.rpc.carries(from) || !self.splitter.is_in_rpc(from) {
            return Poll::Ready(());
        }
        let mut half = shared.half(from);
        let taken = half.as_mut().map_or(Poll::Ready(()), |half| half.poll_send(cx));
        if taken.is_ready() {
            shared.lock().taken(from);
            shared.wake(from.opposite());
        }
        let drafts = shared.lock().take_drafts(from);
        if !drafts.is_empty() {
            out.extend([drafts]);
            return Poll::Pending;
        }
        let Some(half) = half.as_mut() else { return Poll::Ready(()) };
        let room = shared.lock().room(from);
        let heard = if room == 0 { Poll::Pending } else { half.poll_hear(cx, room) };
        match heard {
            Poll::Ready(heard) if !heard.is_empty() => {
                out.extend([shared.lock().wrap(from, &heard)]);
                return Poll::Pending;
            }
            Poll::Ready(_) => {
                let behind = shared.lock().take_behind(from);
                if !behind.is_empty() {
                    out.extend([behind]);
                    return Poll::Pending;
                }
                if half.is_last {
                    return Poll::Ready(());
                }
            }
            Poll::Pending if half.is_last => return Poll::Pending,
            Poll::Pending => {}
        }
        if half.is_silent && !half.has_closed && half.poll_over(cx).is_ready() {
            half.has_closed = true;
            out.extend([shared.lock().wrap_close(from)]);
            return Poll::Pending;
        }
        if half.unsent.len() < MOST_UNSENT { Poll::Ready(()) } else { taken }
    }
}

/// PDUs of RPC that were written in the place of others.
fn calls_rewritten(t_us: Micros, from: Side, [came, written]: [u64; 2]) -> Option<Altered> {
    (came + written > 0).then(|| Altered {
        t_us,
        leg: from.opposite().into(),
        connection: None,
        phase: Phase::GatewayChannel,
        message: "tunnel".to_owned(),
        structure: "RPC PDU".to_owned(),
        field: format!("all PDUs with RDP: {came} came, {written} were written in their place"),
        offset: 0,
        before: String::new(),
        after: String::new(),
        why: INNER_CERT.to_owned(),
    })
}

fn not_altered(t_us: Micros, from: Side, number: u32, reason: String) -> Note {
    let connection = Some(number);
    let phase = Phase::GatewayChannel;
    Note::NotAltered(NotAltered { t_us, from, connection, phase, setting: INNER_CERT, reason })
}

/// A fresh key for a frame of WebSocket. Inside TLS nobody can foresee what a frame looks like on the wire: without a
/// random key the frame is as good.
fn key() -> [u8; 4] {
    let mut key = [0; 4];
    let _ = rustls::crypto::ring::default_provider().secure_random.fill(&mut key);
    key
}
