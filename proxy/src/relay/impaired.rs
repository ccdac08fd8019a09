//! Impairs a connection on its way out: what the session sends to a side goes through a line that is slow, late, cut in
//! pieces or cut off, and what the side answers comes in as it comes.
//!
//! The session does not know of it: in the place of the socket to the side it is given one end of a connection within
//! this machine, and a [`Link`] stands between the other end and the side. So both kinds of sessions are impaired alike,
//! those whose TLS passes through and those whose TLS ends here, and a session without impairments has nothing of it.

use super::pump::{Ending, reset};
use super::session::{SharedSession, WeakSession};
use super::socket::Socket;
use super::tcp_info::tcp_info;
use crate::alter::impair::{After, Impairment, Impairments, Shape, Shaper};
use crate::observe::Progress;
use crate::trace::{Detail, Direction, Effect, Leg, Micros, Phase, Side, TcpInfo};
use socket2::SockRef;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;
/// How long a side may refuse the last bytes of a session that is over.
const LAST_BYTES_WITHIN: Duration = Duration::from_secs(10);

/// The impairments of one session.
pub(super) struct Impaired {
    impairments: Impairments,
    session: WeakSession,
    progress: watch::Receiver<Progress>,
    began: Instant,
    seed: u64,
    /// Turns true when the session is over, so that nothing more will come of it.
    over: watch::Sender<bool>,
    peers: [Arc<Mutex<Peer>>; 2],
    links: Mutex<Vec<JoinHandle<()>>>,
    cuts: Arc<Cuts>,
}

/// The socket to a side.
#[derive(Default)]
enum Peer {
    /// The session has it itself.
    #[default]
    Direct,
    /// A link has it.
    Open(Weak<Socket>),
    /// It is closed; what the system knew of it last.
    Closed(Option<TcpInfo>),
}

/// Directions that are to be reset or closed; with the last of them the session is over.
struct Cuts {
    left: AtomicUsize,
    /// Whether what leads to a side was cut, by [`Side::index`].
    done: [AtomicBool; 2],
    all: Notify,
}

impl Impaired {
    /// What is asked for, said in the trace by the first connection of a session; `None` where it is nothing.
    pub(super) fn begin(
        impairments: &Impairments,
        session: &SharedSession,
        is_first: bool,
    ) -> Option<Impaired> {
        if impairments.is_empty() {
            return None;
        }
        let mut observed = session.lock();
        for impairment in impairments.asked().iter().filter(|_| is_first) {
            if let Some(detail) = shaped(impairment) {
                observed.trace.say(Leg::Proxy, None, Phase::Tcp, detail);
            }
        }
        let ends = |shape: Shape| shape.cut.is_some_and(|cut| cut.effect != Effect::Stalled);
        let cuts = Direction::ALL.iter().filter(|direction| ends(impairments.shape(**direction))).count();
        // One direction that is cut leaves the session to whom it reaches.
        let left = if cuts == Direction::ALL.len() { cuts } else { usize::MAX };
        Some(Impaired {
            impairments: impairments.clone(),
            session: session.downgrade(),
            progress: observed.trace.watch_progress(),
            began: Instant::now(),
            seed: seed(observed.trace.id().as_ref()),
            over: watch::Sender::new(false),
            peers: Default::default(),
            links: Mutex::default(),
            cuts: Arc::new(Cuts {
                left: AtomicUsize::new(left),
                done: Default::default(),
                all: Notify::new(),
            }),
        })
    }

    /// The largest segment on the connection to the server.
    pub(super) fn server_mss(&self) -> Option<u32> {
        self.impairments.mss(Direction::Up)
    }

    async fn join(&self, side: Side, stream: Socket) -> io::Result<Socket> {
        let shape = self.impairments.shape(Direction::to(side));
        if shape == Shape::default() {
            return Ok(stream);
        }
        // Pieces leave as they are cut.
        let _ = stream.set_nodelay(true);
        let (inner, of_session) = pair().await?;
        let peer = Arc::new(stream);
        let known = self.peers[side.index()].clone();
        *lock(&known) = Peer::Open(Arc::downgrade(&peer));
        let link = Link {
            direction: Direction::to(side),
            peer,
            known,
            inner: inner.into(),
            shape,
            shaper: Shaper::new(shape, self.seed ^ side.index() as u64),
            began: self.began,
            session: self.session.clone(),
            progress: shape
                .cut
                .is_some_and(|cut| matches!(cut.after, After::Phase(_)))
                .then(|| self.progress.clone()),
            over: Some(self.over.subscribe()),
            is_over: false,
            cuts: self.cuts.clone(),
            taken: 0,
            discards: false,
            is_cut: false,
            session_ending: None,
            end_passed: false,
            answer: Vec::new(),
            answer_start: 0,
            answer_ended: false,
            peer_is_gone: false,
            session_is_deaf: false,
            scratch: vec![0; READ_SIZE],
        };
        let running = tokio::spawn(link.run());
        lock(&self.links).push(running);
        Ok(of_session.into())
    }

    /// Waits until rdpscope has cut the session on both sides, as it was asked to.
    pub(super) async fn all_cut(&self) {
        self.cuts.all.notified().await;
    }

    /// The session is over and has closed its sockets: what was on its way still arrives.
    pub(super) async fn finish(self) {
        let _ = self.over.send(true);
        let links = std::mem::take(&mut *lock(&self.links));
        for link in links {
            // A link that has come to harm has nothing more to deliver.
            let _ = link.await;
        }
        Direction::ALL.into_iter().for_each(|direction| self.say_uncut(direction));
    }

    /// Says in the trace that a cut that was asked for has not come about.
    fn say_uncut(&self, direction: Direction) {
        let is_done = self.cuts.done[direction.leads_to().index()].load(Ordering::Relaxed);
        let Some(cut) = self.impairments.shape(direction).cut.filter(|_| !is_done) else { return };
        let Some(session) = self.session.upgrade() else { return };
        let mut observed = session.lock();
        let phase = observed.trace.timeline().current().unwrap_or(Phase::Tcp);
        let setting = format!("--impair {direction}:{cut}");
        let reason = "the session did not come so far".to_owned();
        let detail = Detail::NotAltered { setting, reason };
        // Another connection of the session may have said so.
        if observed.trace.record().find_last(|known| (*known == detail).then_some(())).is_some() {
            return;
        }
        observed.trace.say(Leg::from(direction.leads_to()), None, phase, detail);
    }
}

/// What the session shall use in the place of `stream`, which is connected to `side`.
///
/// # Errors
/// Where the system gives no connection within the machine.
pub(super) async fn join(impaired: Option<&Impaired>, side: Side, stream: Socket) -> io::Result<Socket> {
    match impaired {
        Some(impaired) => impaired.join(side, stream).await,
        None => Ok(stream),
    }
}

/// A phase has just ended: what the session does next comes behind the point at which a direction may be cut.
pub(super) async fn mark(impaired: Option<&Impaired>) {
    if impaired.is_some() {
        tokio::task::yield_now().await;
    }
}

/// What the system knows of the connection to `side`, for which the session uses `stream`.
pub(super) fn info(impaired: Option<&Impaired>, side: Side, stream: &Socket) -> Option<TcpInfo> {
    match impaired.map(|impaired| lock(&impaired.peers[side.index()])).as_deref() {
        None | Some(Peer::Direct) => tcp_info(stream.stream()),
        Some(Peer::Open(peer)) => tcp_info(peer.upgrade()?.stream()),
        Some(Peer::Closed(info)) => *info,
    }
}

/// Waits until rdpscope has cut the session as it was asked to; for ever where it was not.
pub(super) async fn all_cut(impaired: Option<&Impaired>) {
    match impaired {
        Some(impaired) => impaired.all_cut().await,
        None => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shaped(impairment: &Impairment) -> Option<Detail> {
    let delay_us = Some(impairment.delay_us()?);
    let (setting, direction) = (impairment.to_string(), impairment.direction);
    Some(Detail::Impaired { setting, effect: Effect::Shaped, direction, delay_us })
}

/// FNV-1a of a session's id.
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Two ends of a connection within this machine.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let own_address = ours.local_addr()?;
    loop {
        let (theirs, from) = listener.accept().await?;
        // Any other program of this machine may have been faster.
        if from == own_address {
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            return Ok((ours, theirs));
        }
    }
}

/// Stands between the session and one side.
struct Link {
    /// The one that leads to the side.
    direction: Direction,
    /// The socket to the side.
    peer: Arc<Socket>,
    known: Arc<Mutex<Peer>>,
    /// The other end of what the session has in its place.
    inner: Socket,
    shape: Shape,
    shaper: Shaper,
    began: Instant,
    session: WeakSession,
    /// Absent once nobody tells any more.
    progress: Option<watch::Receiver<Progress>>,
    over: Option<watch::Receiver<bool>>,
    is_over: bool,
    cuts: Arc<Cuts>,
    /// Bytes that the line has taken.
    taken: u64,
    /// What the session sends is no longer taken: the direction is cut once what was taken has passed.
    discards: bool,
    is_cut: bool,
    session_ending: Option<Ending>,
    end_passed: bool,
    /// What the side sent and the session has not taken yet.
    answer: Vec<u8>,
    answer_start: usize,
    answer_ended: bool,
    /// Writing to the side failed: its end is a reset, even where the system reports a plain one.
    peer_is_gone: bool,
    session_is_deaf: bool,
    scratch: Vec<u8>,
}

/// Whether the link goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    /// It is over; both sockets are closed.
    Over,
    /// The side was reset as it was asked for; the session keeps its end.
    PeerCut,
}

impl Link {
    async fn run(mut self) {
        let course = loop {
            match self.turn() {
                Course::On => self.wait().await,
                course => break course,
            }
        };
        *lock(&self.known) = Peer::Closed(tcp_info(self.peer.stream()));
        if course == Course::Over {
            return;
        }
        let Link { peer, inner, over, .. } = self;
        drop(peer);
        outlive(inner, over).await;
    }

    /// Does whatever can be done at once.
    fn turn(&mut self) -> Course {
        self.look_for_phase();
        let now = self.now();
        self.deliver(now);
        if self.discards && self.shaper.is_empty() && !self.is_cut && self.session_ending.is_none() {
            self.is_cut = true;
            match self.shape.cut.map(|cut| cut.effect) {
                Some(Effect::Reset) => {
                    self.say_cut();
                    reset(&self.peer);
                    return Course::PeerCut;
                }
                Some(Effect::Closed) => {
                    self.say_cut();
                    self.peer.finish();
                }
                Some(Effect::Stalled) => self.say_cut(),
                Some(Effect::Shaped) | None => {}
            }
        }
        if self.shaper.has_ended(now) && !self.end_passed {
            self.end_passed = true;
            if self.session_ending == Some(Ending::Reset) {
                reset(&self.peer);
                return Course::Over;
            }
            self.peer.finish();
        }
        let peer_is_done = self.answer_ended && self.answer.is_empty();
        if !self.end_passed || !(peer_is_done || self.is_over) {
            return Course::On;
        }
        // A session that had sent FIN may have ended by a reset since.
        if let Ok(Some(_)) = self.inner.stream().take_error() {
            reset(&self.peer);
        }
        Course::Over
    }

    /// Waits until there is something to do, and does it.
    async fn wait(&mut self) {
        let now = self.now();
        let is_due = self.shaper.next(now).is_some();
        // Even where it has come due since the turn: the end of the stream wakes nobody by itself.
        let due = self.shaper.due().filter(|_| !is_due && !self.end_passed);
        let due = due.map(|due| self.began + Duration::from_micros(due));
        let takes = self.session_ending.is_none() && (self.discards || self.shaper.room() > 0);
        let hears = !self.answer_ended && self.answer.is_empty();
        let tells = !self.answer.is_empty();
        tokio::select! {
            () = changed(&mut self.progress), if self.progress.is_some() => {}
            () = changed(&mut self.over), if self.over.is_some() => {
                self.is_over |= self.over.as_ref().is_some_and(|over| *over.borrow());
            }
            _ = self.inner.readable(), if takes => self.take(),
            _ = self.peer.readable(), if hears => self.hear(),
            _ = self.inner.writable(), if tells => self.tell(),
            _ = self.peer.writable(), if is_due => {}
            () = sleep_until(due), if due.is_some() => {}
            () = tokio::time::sleep(LAST_BYTES_WITHIN), if is_due && self.is_over => self.give_up(),
        }
    }

    fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When the phase is over behind which the direction is cut, what the session has sent until then still passes.
    fn look_for_phase(&mut self) {
        let Some(After::Phase(phase)) = self.shape.cut.map(|cut| cut.after) else { return };
        let is_past = self.progress.as_mut().is_some_and(|it| it.borrow_and_update().is_past(phase));
        if self.discards || !is_past {
            return;
        }
        while self.session_ending.is_none() && self.shaper.room() > 0 {
            let most = self.shaper.room().min(READ_SIZE);
            // From the system itself: the runtime may not have heard yet of what the session has just sent.
            let read = (&*SockRef::from(self.inner.stream())).read(&mut self.scratch[..most]);
            if !self.took(read) {
                break;
            }
        }
        self.discards = true;
    }

    /// Reads once from the session.
    fn take(&mut self) {
        let most = if self.discards { READ_SIZE } else { self.shaper.room().min(READ_SIZE) };
        let read = self.inner.try_read(&mut self.scratch[..most]);
        self.took(read);
    }

    /// What was read of the session; false where there was nothing to read.
    fn took(&mut self, read: io::Result<usize>) -> bool {
        let now = self.now();
        match read {
            Ok(0) => self.end(now, Ending::Fin),
            Ok(count) if !self.discards => self.push(now, count),
            Ok(_) => {}
            Err(error) if is_passing(&error) => return false,
            Err(_) => self.end(now, Ending::Reset),
        }
        true
    }

    fn push(&mut self, now: Micros, count: usize) {
        let left = match self.shape.cut.map(|cut| cut.after) {
            Some(After::Bytes(most)) => most - self.taken,
            Some(After::Phase(_)) | None => u64::MAX,
        };
        let passing = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        self.shaper.push(now, &self.scratch[..passing]);
        self.taken += passing as u64;
        self.discards |= passing as u64 == left;
    }

    fn end(&mut self, now: Micros, ending: Ending) {
        self.session_ending = Some(ending);
        self.shaper.finish(now);
    }

    /// Gives the side what is due.
    fn deliver(&mut self, mut now: Micros) {
        while let Some(bytes) = self.shaper.next(now) {
            match self.peer.try_write(bytes) {
                Ok(count) => self.shaper.took(now, count),
                Err(error) if is_passing(&error) => return,
                Err(_) => {
                    self.peer_is_gone = true;
                    return self.give_up();
                }
            }
            now = now.max(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(now));
        }
    }

    /// The side takes nothing any more; by which end, it says itself.
    fn give_up(&mut self) {
        self.shaper.clear();
        self.discards = true;
        self.is_cut = true;
    }

    /// Reads once from the side; what it says passes at once.
    fn hear(&mut self) {
        match self.peer.try_read(&mut self.scratch) {
            Ok(0) if !self.peer_is_gone => {
                self.answer_ended = true;
                self.inner.finish();
            }
            Ok(0) => self.peer_was_reset(),
            Ok(count) if !self.session_is_deaf => {
                self.answer.extend_from_slice(&self.scratch[..count]);
                self.tell();
            }
            Ok(_) => {}
            Err(error) if is_passing(&error) => {}
            Err(_) => self.peer_was_reset(),
        }
    }

    /// The session meets the reset at its own end, and there is nobody left to deliver to.
    fn peer_was_reset(&mut self) {
        reset(&self.inner);
        self.shaper.clear();
        self.answer_ended = true;
        self.end_passed = true;
    }

    fn tell(&mut self) {
        match self.inner.try_write(&self.answer[self.answer_start..]) {
            Ok(count) => self.answer_start += count,
            Err(error) if is_passing(&error) => return,
            // What a session that has gone does not hear is read all the same, so that the side is not held up.
            Err(_) => {
                self.session_is_deaf = true;
                self.answer_start = self.answer.len();
            }
        }
        if self.answer_start == self.answer.len() {
            self.answer.clear();
            self.answer_start = 0;
        }
    }

    /// Says in the trace that the direction is cut; with the last that is reset or closed the session is over.
    fn say_cut(&self) {
        let Some(cut) = self.shape.cut else { return };
        self.cuts.done[self.direction.leads_to().index()].store(true, Ordering::Relaxed);
        if let Some(session) = self.session.upgrade() {
            let mut observed = session.lock();
            let phase = match cut.after {
                After::Phase(phase) => phase,
                After::Bytes(_) => observed.trace.timeline().current().unwrap_or(Phase::Tcp),
            };
            let setting = format!("{}:{cut}", self.direction);
            let direction = Some(self.direction);
            let detail = Detail::Impaired { setting, effect: cut.effect, direction, delay_us: None };
            observed.trace.say(Leg::from(self.direction.leads_to()), None, phase, detail);
            if cut.effect != Effect::Stalled {
                observed.cut_by_proxy(&format!("--impair {cut}"), cut.effect == Effect::Reset);
            }
        }
        if cut.effect != Effect::Stalled && self.cuts.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cuts.all.notify_one();
        }
    }
}

/// What the session still says to a side whose connection was cut goes nowhere, until it ends.
async fn outlive(inner: Socket, mut over: Option<watch::Receiver<bool>>) {
    let mut scratch = vec![0; READ_SIZE];
    loop {
        tokio::select! {
            _ = inner.readable() => match inner.try_read(&mut scratch) {
                Ok(0) => return,
                Err(error) if !is_passing(&error) => return,
                Ok(_) | Err(_) => {}
            },
            () = changed(&mut over), if over.is_some() => {
                if over.as_ref().is_some_and(|over| *over.borrow()) {
                    return;
                }
            }
        }
    }
}

/// Waits for news; forgets `receiver` where there will be none.
async fn changed<T>(receiver: &mut Option<watch::Receiver<T>>) {
    let goes_on = match receiver {
        Some(told) => told.changed().await.is_ok(),
        None => false,
    };
    if !goes_on {
        *receiver = None;
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
