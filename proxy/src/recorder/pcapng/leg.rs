//! What one socket tells of its connection, as the segments that Wireshark would have seen.

use super::entry::{Batch, Ends, Flags, Transport};
use super::session::SessionCapture;
use super::{ENTRY_BYTES, MOST_UNPLACED};
use crate::redact::ClearText;
use crate::trace::Side;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The capture of one client's connection, with both its legs.
pub(crate) struct ConnectionCapture {
    place: Mutex<Place>,
}

enum Place {
    /// Which session it belongs to shows later.
    Open {
        batch: Batch,
        takes_secrets: bool,
    },
    Settled(Arc<SessionCapture>),
}

impl ConnectionCapture {
    /// Of a connection that is its session.
    pub(crate) fn of(session: Arc<SessionCapture>) -> Arc<ConnectionCapture> {
        Arc::new(ConnectionCapture { place: Mutex::new(Place::Settled(session)) })
    }

    /// Of a connection that may yet turn out to belong to another session than `session`.
    pub(crate) fn unsettled(session: &SessionCapture) -> Arc<ConnectionCapture> {
        let place = Place::Open { batch: Batch::default(), takes_secrets: session.takes_secrets() };
        Arc::new(ConnectionCapture { place: Mutex::new(place) })
    }

    /// It belongs to `session`; the first word counts.
    pub(crate) fn settle(&self, session: &Arc<SessionCapture>) {
        let mut place = self.lock();
        if let Place::Open { batch, .. } = &mut *place {
            session.append(std::mem::take(batch));
            *place = Place::Settled(session.clone());
        }
    }

    /// Whether secrets go into the file.
    pub(crate) fn takes_secrets(&self) -> bool {
        match &*self.lock() {
            Place::Open { takes_secrets, .. } => *takes_secrets,
            Place::Settled(session) => session.takes_secrets(),
        }
    }

    /// A line of a key log, where secrets are wanted.
    pub(crate) fn secret(&self, line: &str) {
        match &mut *self.lock() {
            Place::Open { batch, takes_secrets: true } => {
                batch.secrets.push_str(line);
                batch.secrets.push('\n');
            }
            Place::Open { .. } => {}
            Place::Settled(session) => session.secret(line),
        }
    }

    /// Whether it takes packets now.
    #[cfg(target_os = "linux")]
    fn has_room(&self) -> bool {
        match &*self.lock() {
            Place::Open { .. } => true,
            Place::Settled(session) => session.has_room(),
        }
    }

    #[cfg(target_os = "linux")]
    fn lose(&self, bytes: u64) {
        if let Place::Settled(session) = &*self.lock() {
            session.lose(bytes);
        }
    }

    fn packet(&self, at: Instant, ends: &Arc<Ends>, from_us: bool, transport: Transport, bytes: &[u8]) {
        match &mut *self.lock() {
            Place::Settled(session) => session.packet(at, ends, from_us, transport, bytes),
            Place::Open { batch, .. } if batch.weight() + bytes.len() + ENTRY_BYTES > MOST_UNPLACED => {}
            Place::Open { batch, .. } => {
                batch.packet(at, ends, from_us, transport, bytes);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The capture of one TCP connection. With the last of its owners the connection is closed.
pub(crate) struct LegCapture {
    connection: Arc<ConnectionCapture>,
    ends: Arc<Ends>,
    state: Mutex<State>,
}

/// How far the connection is.
#[derive(Default)]
struct State {
    /// Bytes from the peer, and whether it has ended its direction.
    received: u64,
    peer_finished: bool,
    /// Bytes to the peer, and whether we have ended ours.
    sent: u64,
    we_finished: bool,
    /// The next close is a reset.
    resets: bool,
    is_over: bool,
    /// What no TLS protects is blanked, where no secrets are wanted; absent where they are.
    clear_text: Option<ClearText>,
}

impl State {
    /// The sequence number of our next byte: ours begin at 0 with the SYN.
    fn next_of_us(&self) -> u32 {
        (self.sent as u32).wrapping_add(1 + u32::from(self.we_finished))
    }

    fn next_of_peer(&self) -> u32 {
        (self.received as u32).wrapping_add(1 + u32::from(self.peer_finished))
    }
}

const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };

impl LegCapture {
    /// A connection on the leg of `side` between `us` and `peer`, begun and established at these times. The client's
    /// leg was begun by the client, the other by us.
    pub(crate) fn established(
        connection: Arc<ConnectionCapture>,
        side: Side,
        (us, peer): (SocketAddr, SocketAddr),
        (began, established): (Instant, Instant),
    ) -> LegCapture {
        let clear_text = (!connection.takes_secrets()).then(ClearText::default);
        let leg = LegCapture {
            connection,
            ends: Arc::new(Ends { side, us, peer }),
            state: Mutex::new(State { clear_text, ..State::default() }),
        };
        let we_began = side == Side::Server;
        let syn = Flags { syn: true, ..Flags::default() };
        let segment = |sequence, acknowledgement, flags| Transport::Tcp { sequence, acknowledgement, flags };
        leg.packet(began, we_began, segment(0, 0, syn), &[]);
        leg.packet(established, !we_began, segment(0, 1, Flags { ack: true, ..syn }), &[]);
        leg.packet(established, we_began, segment(1, 1, ACK), &[]);
        leg
    }

    /// Whether it takes packets now; what passes meanwhile need not be seen.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_room(&self) -> bool {
        self.connection.has_room()
    }

    /// `bytes` came from the peer.
    pub(crate) fn received(&self, at: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut state = self.lock();
            self.shown(at, &mut state, false, bytes);
            state.received += bytes.len() as u64;
        }
    }

    /// `bytes` went to the peer.
    pub(crate) fn sent(&self, at: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut state = self.lock();
            self.shown(at, &mut state, true, bytes);
            state.sent += bytes.len() as u64;
        }
    }

    /// So many bytes passed that nobody saw: the file has a gap there.
    #[cfg(target_os = "linux")]
    pub(crate) fn unseen(&self, from_us: bool, count: u64) {
        let mut state = self.lock();
        let from = self.side(from_us);
        if let Some(clear_text) = &mut state.clear_text {
            clear_text.lost(from);
        }
        if from_us {
            state.sent += count;
        } else {
            state.received += count;
        }
        self.connection.lose(count);
    }

    /// The peer sent FIN.
    pub(crate) fn peer_finished(&self, at: Instant) {
        let mut state = self.lock();
        if !state.peer_finished && !state.is_over {
            self.segment(at, &state, false, Flags { fin: true, ..ACK }, &[]);
            state.peer_finished = true;
        }
    }

    /// The peer sent RST.
    pub(crate) fn peer_reset(&self, at: Instant) {
        let mut state = self.lock();
        if !state.is_over {
            self.segment(at, &state, false, Flags { rst: true, ..ACK }, &[]);
            state.is_over = true;
        }
    }

    /// We sent FIN.
    pub(crate) fn finished(&self, at: Instant) {
        let mut state = self.lock();
        if !state.we_finished && !state.is_over {
            self.segment(at, &state, true, Flags { fin: true, ..ACK }, &[]);
            state.we_finished = true;
        }
    }

    /// The next close sends RST.
    pub(crate) fn resets(&self) {
        self.lock().resets = true;
    }

    /// Bytes as they may be shown: a connection without TLS has the logon, what is typed and the screen in clear.
    fn shown(&self, at: Instant, state: &mut State, from_us: bool, bytes: &[u8]) {
        match state.clear_text.take() {
            Some(mut clear_text) => {
                let mut bytes = bytes.to_vec();
                clear_text.blank(self.side(from_us), &mut bytes);
                self.segment(at, state, from_us, ACK, &bytes);
                state.clear_text = Some(clear_text).filter(|clear_text| !clear_text.is_encrypted());
            }
            None => self.segment(at, state, from_us, ACK, bytes),
        }
    }

    /// Who sent what we sent, or received, on this leg.
    fn side(&self, from_us: bool) -> Side {
        if from_us { self.ends.side.opposite() } else { self.ends.side }
    }

    fn segment(&self, at: Instant, state: &State, from_us: bool, flags: Flags, bytes: &[u8]) {
        let (us, peer) = (state.next_of_us(), state.next_of_peer());
        let (sequence, acknowledgement) = if from_us { (us, peer) } else { (peer, us) };
        self.packet(at, from_us, Transport::Tcp { sequence, acknowledgement, flags }, bytes);
    }

    fn packet(&self, at: Instant, from_us: bool, transport: Transport, bytes: &[u8]) {
        self.connection.packet(at, &self.ends, from_us, transport, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LegCapture {
    fn drop(&mut self) {
        let state = self.lock();
        let now = Instant::now();
        if state.is_over {
            return;
        }
        if state.resets {
            self.segment(now, &state, true, Flags { rst: true, ..ACK }, &[]);
        } else if !state.we_finished {
            self.segment(now, &state, true, Flags { fin: true, ..ACK }, &[]);
        }
    }
}
