//! One session's capture as those know it who have something to tell.

use super::entry::{Batch, Ends, Entry, Kind, Lost, Spares, Transport};
use super::{CaptureSettings, ENTRY_BYTES, MOST_A_SECOND, MOST_AT_ONCE, QUEUE_BYTES, comment};
use crate::recorder::SessionId;
use crate::trace::{Line, Micros, Side};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What the first block of a file says.
#[derive(Debug, Clone)]
pub(crate) struct CaptureStart {
    /// The session's id.
    pub(crate) id: SessionId,
    /// What the user named.
    pub(crate) target: String,
    /// The settings that shape the session, as JSON.
    pub(crate) settings: String,
    /// The wall clock at `began`.
    pub(crate) started: jiff::Timestamp,
    /// The session's time 0.
    pub(crate) began: Instant,
}

/// What became of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// Packets in the file.
    pub(crate) packets: u64,
    /// What there was no room for.
    pub(crate) lost: Lost,
    /// Why it ends before the session does.
    pub(crate) stopped: Option<String>,
}

/// Tells the thread what there is to do.
pub(super) enum Due {
    /// The session has something new.
    Session(Arc<SessionCapture>),
    /// There will be no more.
    Stop,
}

/// How much waits for the disk, and how much came lately.
#[derive(Default)]
pub(super) struct Queue {
    bytes: AtomicUsize,
    is_full: AtomicBool,
    lately: Mutex<Lately>,
}

/// What was received, less what [`MOST_A_SECOND`] takes away.
#[derive(Debug, Clone, Copy, Default)]
struct Lately {
    bytes: usize,
    at: Option<Instant>,
}

impl Lately {
    fn pass(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.bytes = self.bytes.saturating_sub((passed.as_secs_f64() * MOST_A_SECOND as f64) as usize);
        self.at = self.at.max(Some(now));
    }
}

impl Queue {
    /// Whether there is room for `bytes` more, of which `received` are new to this program. Once there was not, there is none
    /// until most of the room is free: whoever is faster than the recorder for long goes on unseen at full speed, and is not
    /// slowed down by what is dropped in the end.
    pub(super) fn has_room(&self, now: Instant, bytes: usize, received: usize) -> bool {
        let is_too_much = {
            let mut lately = self.lately();
            lately.pass(now);
            lately.bytes += received;
            lately.bytes > MOST_AT_ONCE
        };
        if is_too_much || self.bytes() + bytes > QUEUE_BYTES {
            self.is_full.store(true, Ordering::Relaxed);
        }
        !self.is_full(now)
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        if !self.is_full.load(Ordering::Relaxed) {
            return false;
        }
        let mut lately = self.lately();
        lately.pass(now);
        let is_full = lately.bytes > MOST_AT_ONCE / 8 || self.bytes() > QUEUE_BYTES / 8;
        self.is_full.store(is_full, Ordering::Relaxed);
        is_full
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn free(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The way to the captures; cheap to clone.
#[derive(Clone)]
pub(crate) struct CaptureHandle {
    pub(super) due: Sender<Due>,
    pub(super) queue: Arc<Queue>,
    pub(super) settings: CaptureSettings,
}

impl CaptureHandle {
    /// The capture of a session that begins.
    pub(crate) fn begin(&self, start: CaptureStart) -> Arc<SessionCapture> {
        Arc::new(SessionCapture {
            start,
            handle: self.clone(),
            pending: Mutex::default(),
            has_stopped: AtomicBool::new(false),
        })
    }
}

/// One session's capture.
pub(crate) struct SessionCapture {
    pub(super) start: CaptureStart,
    pub(super) handle: CaptureHandle,
    pending: Mutex<Pending>,
    has_stopped: AtomicBool,
}

/// What the thread has not taken yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) batch: Batch,
    /// The thread knows of it.
    is_announced: bool,
    /// Since the last packet that there was room for.
    lost: Lost,
    /// Since the beginning.
    pub(super) all_lost: Lost,
    /// The session is over, and somebody waits for the file.
    pub(super) end: Option<oneshot::Sender<Outcome>>,
    is_over: bool,
}

impl SessionCapture {
    /// Whether secrets go into the file.
    pub(crate) fn takes_secrets(&self) -> bool {
        self.handle.settings.secrets
    }

    /// Whether it still takes packets.
    pub(crate) fn goes_on(&self) -> bool {
        !self.has_stopped.load(Ordering::Relaxed)
    }

    /// Whether it takes packets now.
    #[cfg(target_os = "linux")]
    pub(super) fn has_room(&self) -> bool {
        self.goes_on() && !self.handle.queue.is_full(Instant::now())
    }

    /// So many bytes passed that nobody saw.
    #[cfg(target_os = "linux")]
    pub(super) fn lose(&self, bytes: u64) {
        if self.goes_on() {
            self.lock().lose(bytes);
        }
    }

    /// Nothing more is taken.
    pub(super) fn stop(&self) {
        self.has_stopped.store(true, Ordering::Relaxed);
    }

    /// A datagram on the leg of `side` between `us` and `peer`.
    pub(crate) fn datagram(
        self: &Arc<Self>,
        at: Instant,
        (side, from_us): (Side, bool),
        (us, peer): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        let ends = Arc::new(Ends { side, us, peer });
        self.packet(at, &ends, from_us, Transport::Udp, bytes);
    }

    /// What `from` said inside TLS, with the tags that Wireshark wants, from `source` to `destination`.
    pub(super) fn inside(
        self: &Arc<Self>,
        at: Instant,
        from: Side,
        (source, destination): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        let ends = Arc::new(Ends { side: from, us: destination, peer: source });
        self.packet(at, &ends, false, Transport::Inside, bytes);
    }

    /// A line of a key log, where secrets are wanted.
    pub(crate) fn secret(self: &Arc<Self>, line: &str) {
        if self.takes_secrets() && self.goes_on() {
            let mut pending = self.lock();
            pending.batch.secrets.push_str(line);
            pending.batch.secrets.push('\n');
            self.announce(&mut pending);
        }
    }

    /// Says in the file what these lines of the trace say.
    pub(crate) fn note(self: &Arc<Self>, lines: &[Line]) {
        for line in lines {
            let Some(text) = comment::of_line(line) else { continue };
            let t_us = match line {
                Line::Phase(phase) => phase.end_us,
                Line::Altered(altered) => altered.t_us,
                _ => super::super::micros_since(self.start.began, Instant::now()),
            };
            self.comment(t_us, &text);
        }
    }

    fn comment(self: &Arc<Self>, t_us: Micros, text: &str) {
        // A moment in whole microseconds is up to one before what happened then.
        let at = self.start.began + Duration::from_micros(t_us + 1);
        if self.goes_on() {
            let mut pending = self.lock();
            pending.batch.entries.push(Entry { at, kind: Kind::Comment(text.to_owned()) });
            self.handle.queue.add(ENTRY_BYTES);
            self.announce(&mut pending);
        }
    }

    pub(super) fn packet(
        self: &Arc<Self>,
        at: Instant,
        ends: &Arc<Ends>,
        from_us: bool,
        transport: Transport,
        bytes: &[u8],
    ) {
        if !self.goes_on() {
            return;
        }
        let mut pending = self.lock();
        if pending.is_over {
            return;
        }
        // How a connection begins and ends is always told: it takes no room to speak of.
        let received = if from_us { 0 } else { bytes.len() };
        if !bytes.is_empty() && !self.handle.queue.has_room(at, bytes.len() + ENTRY_BYTES, received) {
            pending.lose(bytes.len() as u64);
            return;
        }
        let lost = std::mem::take(&mut pending.lost);
        let before = pending.batch.weight();
        if lost != Lost::default() {
            pending.batch.entries.push(Entry { at, kind: Kind::Lost(lost) });
        }
        pending.batch.packet(at, ends, from_us, transport, bytes);
        self.handle.queue.add(pending.batch.weight() - before);
        self.announce(&mut pending);
    }

    /// What was kept elsewhere until it was clear that it belongs here.
    pub(super) fn append(self: &Arc<Self>, batch: Batch) {
        if batch.is_empty() || !self.goes_on() {
            return;
        }
        let mut pending = self.lock();
        self.handle.queue.add(batch.weight());
        pending.batch.append(batch);
        self.announce(&mut pending);
    }

    /// The session is over; answers when all of it is in the file. Nothing where the thread has ended.
    pub(crate) async fn end(self: &Arc<Self>) -> Option<Outcome> {
        let (sender, ended) = oneshot::channel();
        {
            let mut pending = self.lock();
            pending.is_over = true;
            pending.end = Some(sender);
            self.announce(&mut pending);
        }
        ended.await.ok()
    }

    /// What there is to write; the thread has it from here on. A session with much to tell has a spare in its place.
    pub(super) fn take(&self, spares: &mut Spares) -> Taken {
        let mut pending = self.lock();
        pending.is_announced = false;
        let room = spares.room_for(pending.batch.bytes.len());
        Taken {
            batch: std::mem::replace(&mut pending.batch, room),
            lost: pending.all_lost,
            end: pending.end.take(),
        }
    }

    fn announce(self: &Arc<Self>, pending: &mut Pending) {
        if !std::mem::replace(&mut pending.is_announced, true) {
            // Without the thread there is nobody to tell.
            let _ = self.handle.due.send(Due::Session(self.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread takes at once.
pub(super) struct Taken {
    pub(super) batch: Batch,
    pub(super) lost: Lost,
    pub(super) end: Option<oneshot::Sender<Outcome>>,
}

impl Pending {
    fn lose(&mut self, bytes: u64) {
        for lost in [&mut self.lost, &mut self.all_lost] {
            lost.packets += 1;
            lost.bytes += bytes;
        }
    }
}
