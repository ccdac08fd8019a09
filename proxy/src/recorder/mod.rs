//! Lines off a bounded queue into `trace.jsonl` and to whoever watches; a thread of its own, so that a slow disk or
//! a stopped terminal never holds the relay up. What the queue cannot take is dropped and counted.

mod folder;
mod session_trace;

pub use folder::{FolderError, TraceFolder};
pub use session_trace::{SessionTrace, TraceStart};

use crate::trace::Line;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches of lines that may wait. A batch is what one read brought, a few lines; 2,000 sessions that open at once
/// fit, and a full queue holds some 16 MiB.
const QUEUE_LENGTH: usize = 16 * 1024;

/// So many batches at once show that many sessions are busy.
const BUSY_BATCHES: usize = 32;
/// How long the recorder then lets more of them gather: one write serves them all. A crash loses no more than this.
const GATHERING: Duration = Duration::from_millis(2);

/// The session's id: the name of its folder.
pub type SessionId = Arc<str>;

/// Sees every line that is recorded, in order.
pub trait Watcher: Send {
    /// One line of one session.
    fn line(&mut self, session: &SessionId, line: &Line);
    /// Something to say that belongs to no line.
    fn notice(&mut self, text: &str);
}

/// Lines of one session that belong together.
struct Batch {
    session: SessionId,
    lines: Vec<Line>,
}

/// The way to the recorder; cheap to clone.
#[derive(Clone)]
pub struct RecorderHandle {
    sender: mpsc::Sender<Batch>,
}

impl RecorderHandle {
    /// Hands lines over without waiting; gives them back when the queue is full.
    fn offer(&self, session: &SessionId, lines: Vec<Line>) -> Result<(), Vec<Line>> {
        self.sender
            .try_send(Batch { session: session.clone(), lines })
            .map_err(|error| error.into_inner().lines)
    }

    /// Hands lines over and waits for room: for the end of a session, when there is nothing left to delay.
    async fn deliver(&self, session: &SessionId, lines: Vec<Line>) {
        // The recorder outlives the sessions; without it there is nobody to tell.
        let _ = self.sender.send(Batch { session: session.clone(), lines }).await;
    }
}

/// The recorder's thread.
pub struct Recorder {
    handle: Option<RecorderHandle>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts it. Without a `folder` nothing is written, but `watcher` still sees everything.
    pub fn start(folder: Option<TraceFolder>, watcher: Box<dyn Watcher>) -> std::io::Result<Recorder> {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let writer = Writer { folder, watcher, files: HashMap::new(), complained: false };
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || writer.run(receiver))?;
        Ok(Recorder { handle: Some(RecorderHandle { sender }), thread: Some(thread) })
    }

    /// The way to it.
    pub fn handle(&self) -> Option<RecorderHandle> {
        self.handle.clone()
    }

    /// Waits until everything that was handed over is written. Every other handle must be gone.
    pub fn finish(mut self) {
        self.handle = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the recorder was already reported by its thread.
            let _ = thread.join();
        }
    }
}

struct Writer {
    folder: Option<TraceFolder>,
    watcher: Box<dyn Watcher>,
    files: HashMap<SessionId, TraceFile>,
    complained: bool,
}

/// A session's open trace.
struct TraceFile {
    file: File,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    ended: bool,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Batch>) {
        let mut batches = Vec::new();
        while receiver.blocking_recv_many(&mut batches, QUEUE_LENGTH) > 0 {
            let is_busy = batches.len() >= BUSY_BATCHES;
            self.write(&batches);
            for batch in batches.drain(..) {
                for line in &batch.lines {
                    self.watcher.line(&batch.session, line);
                }
            }
            if is_busy {
                std::thread::sleep(GATHERING);
            }
        }
    }

    /// One write for each session that has something new: what was seen is with the system at once, whatever happens
    /// to this process.
    fn write(&mut self, batches: &[Batch]) {
        let mut changed = Vec::new();
        for batch in batches {
            if self.gather(batch) {
                changed.push(batch.session.clone());
            }
        }
        for session in changed {
            let Some(trace) = self.files.get_mut(&session) else { continue };
            let written = trace.file.write_all(&std::mem::take(&mut trace.pending));
            if trace.ended || written.is_err() {
                self.files.remove(&session);
            }
            if let Err(error) = written {
                self.complain(&session, &error);
            }
        }
    }

    /// Adds the batch to what its session's file is to get; true where that was nothing before.
    fn gather(&mut self, batch: &Batch) -> bool {
        let Some(folder) = &self.folder else { return false };
        if let Some(Line::Trace(_)) = batch.lines.first() {
            match folder.create_session(&batch.session) {
                Ok(file) => {
                    let trace = TraceFile { file, pending: Vec::new(), ended: false };
                    self.files.insert(batch.session.clone(), trace);
                }
                Err(error) => {
                    self.say_once(&error.to_string());
                    return false;
                }
            }
        }
        let Some(trace) = self.files.get_mut(&batch.session) else { return false };
        let is_first = trace.pending.is_empty();
        for line in &batch.lines {
            // Serialising these types into memory cannot fail.
            if serde_json::to_writer(&mut trace.pending, line).is_ok() {
                trace.pending.push(b'\n');
            }
            trace.ended |= matches!(line, Line::End(_));
        }
        is_first
    }

    fn complain(&mut self, session: &SessionId, error: &std::io::Error) {
        let Some(folder) = &self.folder else { return };
        let path = folder.trace_path(session);
        self.say_once(&format!(
            "cannot write {}: {error}; the trace ends there, the relay goes on",
            path.display()
        ));
    }

    /// With a full disk every session would say the same.
    fn say_once(&mut self, text: &str) {
        if !self.complained {
            self.watcher.notice(text);
        }
        self.complained = true;
    }
}
