//! Lines off a bounded queue into `trace.jsonl`, certificates into files beside it, and both to whoever watches; a thread of its own, so that a slow disk or
//! a stopped terminal never holds the relay up. What the queue cannot take is dropped and counted.

mod folder;
mod followed;
pub(crate) mod pcapng;
mod session_trace;
mod tap;

pub use folder::{FolderError, TraceFolder, write_private};
pub use pcapng::CaptureSettings;
pub use session_trace::{SessionTrace, TraceStart};
pub use tap::{Tap, Taps};

use crate::report::safe;
use crate::trace::{Detail, Line, Micros, Record, Side};
use followed::Followed;
use pcapng::{CaptureHandle, CaptureThread};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Batches of lines that may wait. A batch is what one read brought, a few lines; 2,000 sessions that open at once
/// fit, and a full queue holds some 16 MiB.
const QUEUE_LENGTH: usize = 16 * 1024;

/// So many batches within [`BUSY_WINDOW`] show that many sessions begin at once; one that begins alone brings some 15.
const BUSY_BATCHES: usize = 64;
/// The time in which batches are counted.
const BUSY_WINDOW: Duration = Duration::from_millis(20);
/// How often a busy recorder empties its queue.
const EMPTYING: Duration = Duration::from_millis(10);
/// How long a busy recorder gathers lines before it writes them, because a session that comes to its end meanwhile costs one
/// write for everything. A crash loses no more than this, and only where sessions begin by the hundred.
const GATHERING: Duration = Duration::from_millis(100);

/// How long the end of a session waits for room: a disk that takes nothing for so long is stuck, and who waits for it
/// only fills the memory.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// The session's id: the name of its folder.
pub type SessionId = Arc<str>;

/// Sees the lines that are recorded, in order.
pub trait Watcher: Send {
    /// So many sessions at once, and so many of those that begin within a second, are shown line by line; of the others only
    /// the end and the verdict's answer, because each line that is shown costs more than the one that is written.
    fn most_followed(&self) -> usize;
    /// One line of one session.
    fn line(&mut self, session: &SessionId, line: &Line);
    /// Something to say that belongs to no line.
    fn notice(&mut self, text: &str);
    /// For now there is nothing more: what was held back to be shown together is due.
    fn flush(&mut self) {}
}

/// Whole microseconds from `began` to `moment`.
fn micros_since(began: Instant, moment: Instant) -> Micros {
    crate::relay::connect::micros(moment.saturating_duration_since(began))
}

/// What the names of a chain's files begin with, and the chain in DER.
type Chain = (&'static str, Vec<Arc<[u8]>>);

/// Lines of one session that belong together.
struct Batch {
    session: SessionId,
    /// As they stand in the file. Written out by the thread that saw them, so that what they are made of need not be
    /// copied, nor freed by another thread than the one that made it.
    text: Vec<u8>,
    /// For the watcher.
    lines: Vec<Line>,
    /// For files of their own.
    chains: Vec<Chain>,
    is_first: bool,
    is_last: bool,
}

/// What the recorder is handed.
enum Handed {
    Batch(Batch),
    /// Something to say that belongs to no session.
    Notice(String),
}

/// The way to the recorder; cheap to clone.
#[derive(Clone)]
pub struct RecorderHandle {
    sender: mpsc::Sender<Handed>,
    /// Sessions whose last lines found no room since the recorder last wrote something.
    lost_ends: Arc<AtomicUsize>,
    writes: bool,
    followed: Arc<Followed>,
    capture: Option<CaptureHandle>,
    taps: Taps,
}

/// A session's way to the recorder. Gone, it makes room for another that is followed.
struct SessionHandle {
    session: SessionId,
    recorder: RecorderHandle,
    is_followed: bool,
}

thread_local! {
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl RecorderHandle {
    /// The same, with `taps` that see what is handed over.
    pub fn with_taps(self, taps: Taps) -> RecorderHandle {
        RecorderHandle { taps, ..self }
    }

    /// Says something that belongs to no session; nothing where the recorder does not keep up.
    pub fn notice(&self, text: String) {
        // What it is about is told by other means, too.
        let _ = self.sender.try_send(Handed::Notice(text));
    }

    fn session(self, session: SessionId) -> SessionHandle {
        let is_followed = self.followed.begin(Instant::now());
        SessionHandle { session, recorder: self, is_followed }
    }
}

impl SessionHandle {
    /// Shows lines to the taps.
    fn show(&self, lines: &[Line]) {
        self.recorder.taps.iter().for_each(|tap| tap.lines(&self.session, lines));
    }

    /// Shows the whole record to the taps.
    fn show_whole(&self, record: &Record) {
        self.recorder.taps.iter().for_each(|tap| tap.concluded(&self.session, record));
    }

    /// Hands lines over without waiting; false when the queue is full.
    fn offer(&self, lines: &[Line]) -> bool {
        let batch = self.batch(lines);
        let is_empty = batch.text.is_empty() && batch.lines.is_empty();
        is_empty || self.recorder.sender.try_send(Handed::Batch(batch)).is_ok()
    }

    /// Hands lines over and waits for room, though not for a recorder that is stuck: for the end of a session, when there
    /// is nothing left to delay.
    async fn deliver(&self, lines: &[Line]) {
        let RecorderHandle { sender, lost_ends, .. } = &self.recorder;
        let batch = Handed::Batch(self.batch(lines));
        let is_taken = match lost_ends.load(Ordering::Relaxed) {
            0 => sender.send_timeout(batch, END_PATIENCE).await.is_ok(),
            _ => sender.try_send(batch).is_ok(),
        };
        if !is_taken {
            lost_ends.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn batch(&self, lines: &[Line]) -> Batch {
        let for_watcher = |line: &Line| match line {
            line if self.is_followed => Some(line.clone()),
            Line::Verdict(verdict) => Some(Line::Verdict(Box::new(verdict.answer()))),
            Line::End(end) => Some(Line::End(end.clone())),
            _ => None,
        };
        Batch {
            session: self.session.clone(),
            text: if self.recorder.writes { text(lines) } else { Vec::new() },
            lines: lines.iter().filter_map(for_watcher).collect(),
            chains: if self.recorder.writes { lines.iter().filter_map(chain).collect() } else { Vec::new() },
            is_first: matches!(lines.first(), Some(Line::Trace(_))),
            is_last: matches!(lines.last(), Some(Line::End(_))),
        }
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.recorder.followed.end();
    }
}

impl TraceFolder {
    /// Writes the folder of a session that is over: its trace and its certificates, laid out as by a recorder. Answers with
    /// the trace's path.
    pub fn write_session(&self, session: &SessionId, lines: &[Line]) -> Result<PathBuf, FolderError> {
        let mut file = self.create_session(session)?;
        let path = self.trace_path(session);
        let written = file.write_all(&text(lines)).and_then(|()| file.flush());
        written.map_err(|source| FolderError::Unwritable { path: path.clone(), source })?;
        for (prefix, chain) in lines.iter().filter_map(chain) {
            self.write_certificates(session, prefix, &chain)?;
        }
        Ok(path)
    }
}

/// The certificates in a line, and what the names of their files begin with.
fn chain(line: &Line) -> Option<Chain> {
    let Line::Event(event) = line else { return None };
    match (&event.detail, event.from) {
        (Detail::Certificate { der, .. }, Some(Side::Server)) => Some(("server", der.clone())),
        (Detail::Certificate { der, .. }, Some(Side::Client)) => Some(("client", der.clone())),
        (Detail::CertificatePresented { der, .. }, _) => Some(("presented", der.clone())),
        _ => None,
    }
}

/// `lines` as they stand in the file.
fn text(lines: &[Line]) -> Vec<u8> {
    TEXT.with_borrow_mut(|text| {
        text.clear();
        for line in lines {
            // Serialising these types into memory cannot fail.
            if serde_json::to_writer(&mut *text, line).is_ok() {
                text.push(b'\n');
            }
        }
        // JSON itself escapes what a terminal obeys in ASCII alone.
        match text.is_ascii() {
            true => text.clone(),
            false => safe::json(&String::from_utf8_lossy(text)).into_owned().into_bytes(),
        }
    })
}

/// The recorder's thread.
pub struct Recorder {
    handle: Option<RecorderHandle>,
    thread: Option<JoinHandle<()>>,
    capture: Option<CaptureThread>,
}

impl Recorder {
    /// Starts it. Without a `folder` nothing is written, but `watcher` still sees everything.
    pub fn start(folder: Option<TraceFolder>, watcher: Box<dyn Watcher>) -> std::io::Result<Recorder> {
        Recorder::start_with(folder, None, watcher)
    }

    /// The same with captures beside the traces, where `capture` asks for them and there is a `folder`.
    pub fn start_with(
        folder: Option<TraceFolder>,
        capture: Option<CaptureSettings>,
        watcher: Box<dyn Watcher>,
    ) -> std::io::Result<Recorder> {
        let capture = match (&folder, capture) {
            (Some(folder), Some(settings)) => Some(CaptureThread::start(folder.clone(), settings)?),
            _ => None,
        };
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let (writes, followed) = (folder.is_some(), Followed::new(watcher.most_followed()));
        let lost_ends = Arc::<AtomicUsize>::default();
        let writer = Writer {
            folder,
            watcher,
            traces: HashMap::new(),
            due: Vec::new(),
            unseen: Vec::new(),
            complained: false,
            lost_ends: lost_ends.clone(),
        };
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || writer.run(receiver))?;
        let handle = RecorderHandle {
            sender,
            lost_ends,
            writes,
            followed: Arc::new(followed),
            capture: capture.as_ref().map(CaptureThread::handle),
            taps: Taps::default(),
        };
        Ok(Recorder { handle: Some(handle), thread: Some(thread), capture })
    }

    /// The way to it.
    pub fn handle(&self) -> Option<RecorderHandle> {
        self.handle.clone()
    }

    /// Waits until everything that was handed over is written. Every other handle must be gone.
    pub fn finish(mut self) {
        self.handle = None;
        if let Some(capture) = self.capture.take() {
            capture.finish();
        }
        if let Some(thread) = self.thread.take() {
            // A panic in the recorder was already reported by its thread.
            let _ = thread.join();
        }
    }
}

/// How many batches came lately.
struct Pace {
    window_began: Instant,
    /// In the window before and in this one.
    counts: [usize; 2],
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace { window_began: now, counts: [0, 0] }
    }

    /// Counts `batches` and answers whether there are many.
    fn is_busy(&mut self, now: Instant, batches: usize) -> bool {
        let since = now.saturating_duration_since(self.window_began);
        if since >= BUSY_WINDOW {
            let before = if since < 2 * BUSY_WINDOW { self.counts[1] } else { 0 };
            *self = Pace { window_began: now, counts: [before, 0] };
        }
        self.counts[1] += batches;
        self.counts.iter().any(|count| *count >= BUSY_BATCHES)
    }
}

struct Writer {
    folder: Option<TraceFolder>,
    watcher: Box<dyn Watcher>,
    traces: HashMap<SessionId, Trace>,
    /// Sessions of which something is not written yet.
    due: Vec<SessionId>,
    /// What the watcher is to see once it is written.
    unseen: Vec<(SessionId, Vec<Line>)>,
    complained: bool,
    lost_ends: Arc<AtomicUsize>,
}

/// A session's trace.
#[derive(Default)]
struct Trace {
    /// Made with the first write.
    file: Option<File>,
    /// What is not written yet.
    text: Vec<u8>,
    /// Certificates that are not written yet.
    chains: Vec<Chain>,
    ended: bool,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Handed>) {
        let mut handed = Vec::new();
        let mut pace = Pace::new(Instant::now());
        let mut written = Instant::now();
        while receiver.blocking_recv_many(&mut handed, QUEUE_LENGTH) > 0 {
            let is_busy = pace.is_busy(Instant::now(), handed.len());
            for handed in handed.drain(..) {
                match handed {
                    Handed::Batch(batch) => self.gather(batch),
                    Handed::Notice(text) => self.watcher.notice(&text),
                }
            }
            if is_busy {
                std::thread::sleep(EMPTYING);
            }
            if !is_busy || receiver.is_empty() || written.elapsed() >= GATHERING {
                self.write();
                self.tell_lost_ends();
                self.show();
                written = Instant::now();
            }
        }
        self.write();
        self.show();
    }

    /// Adds the batch to what is to be written of its session, and then shown.
    fn gather(&mut self, batch: Batch) {
        if !batch.lines.is_empty() {
            self.unseen.push((batch.session.clone(), batch.lines));
        }
        if self.folder.is_none() {
            return;
        }
        if batch.is_first {
            self.traces.insert(batch.session.clone(), Trace::default());
        }
        let Some(trace) = self.traces.get_mut(&batch.session) else { return };
        if trace.text.is_empty() {
            self.due.push(batch.session);
        }
        trace.text.extend_from_slice(&batch.text);
        trace.chains.extend(batch.chains);
        trace.ended |= batch.is_last;
    }

    /// Of the sessions that could not wait any longer for this thread.
    fn tell_lost_ends(&mut self) {
        let sessions = self.lost_ends.swap(0, Ordering::Relaxed);
        if sessions > 0 {
            self.watcher.notice(&format!(
                "the disk took nothing for {} s: the traces of {sessions} sessions have no end; the relay went on",
                END_PATIENCE.as_secs()
            ));
        }
    }

    /// One write for each session that has something new: what was seen is with the system then, whatever happens to
    /// this process.
    fn write(&mut self) {
        let Some(folder) = self.folder.clone() else { return };
        for session in std::mem::take(&mut self.due) {
            let Some(trace) = self.traces.get_mut(&session) else { continue };
            let (ended, chains) = (trace.ended, std::mem::take(&mut trace.chains));
            let written = trace.write(&folder, &session);
            if ended || written.is_err() {
                self.traces.remove(&session);
            }
            if let Err(error) = written {
                self.complain(&error);
                continue;
            }
            for (prefix, chain) in chains {
                if let Err(error) = folder.write_certificates(&session, prefix, &chain) {
                    self.complain(&error.to_string());
                }
            }
        }
    }

    fn show(&mut self) {
        for (session, lines) in std::mem::take(&mut self.unseen) {
            lines.iter().for_each(|line| self.watcher.line(&session, line));
        }
        self.watcher.flush();
    }

    /// With a full disk every session would say the same.
    fn complain(&mut self, text: &str) {
        if !self.complained {
            self.watcher.notice(text);
        }
        self.complained = true;
    }
}

impl Trace {
    /// Writes the lines that are due. An error is what there is to say of it.
    fn write(&mut self, folder: &TraceFolder, session: &SessionId) -> Result<(), String> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(folder.create_session(session).map_err(|error| error.to_string())?),
        };
        // Given back rather than kept: this session may now be silent for hours.
        file.write_all(&std::mem::take(&mut self.text)).map_err(|error| {
            let path = folder.trace_path(session);
            format!("cannot write {}: {error}; the trace ends there, the relay goes on", path.display())
        })?;
        if self.ended && is_removed(file) {
            return Err(format!("the trace of session {session} was removed while it was written"));
        }
        Ok(())
    }
}

/// Whether no folder has the file any more.
fn is_removed(file: &File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }
    #[cfg(not(unix))]
    {
        // A file that is open cannot be removed there.
        let _ = file;
        false
    }
}

#[cfg(test)]
mod tests;
