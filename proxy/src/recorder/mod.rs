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
use tokio::sync::mpsc;

/// Batches of lines that may wait. A batch is what one read brought, a few lines; 2,000 sessions that open at once
/// fit, and a full queue holds some 16 MiB.
const QUEUE_LENGTH: usize = 16 * 1024;

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
        let writer = Writer { folder, watcher, files: HashMap::new(), buffer: Vec::new(), complained: false };
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
    files: HashMap<SessionId, File>,
    buffer: Vec<u8>,
    complained: bool,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Batch>) {
        while let Some(batch) = receiver.blocking_recv() {
            self.write(&batch);
            for line in &batch.lines {
                self.watcher.line(&batch.session, line);
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        let Some(folder) = &self.folder else { return };
        if let Some(Line::Trace(_)) = batch.lines.first() {
            match folder.create_session(&batch.session) {
                Ok(file) => drop(self.files.insert(batch.session.clone(), file)),
                Err(error) => return self.complain(&error.to_string()),
            }
        }
        let Some(file) = self.files.get_mut(&batch.session) else { return };
        self.buffer.clear();
        for line in &batch.lines {
            // Serialising these types into memory cannot fail.
            if serde_json::to_writer(&mut self.buffer, line).is_ok() {
                self.buffer.push(b'\n');
            }
        }
        // One write a batch: what was seen is with the system at once, whatever happens to this process.
        let written = file.write_all(&self.buffer);
        if let Some(Line::End(_)) = batch.lines.last() {
            self.files.remove(&batch.session);
        }
        if let Err(error) = written {
            self.files.remove(&batch.session);
            let path = folder.trace_path(&batch.session);
            self.complain(&format!(
                "cannot write {}: {error}; the trace ends there, the relay goes on",
                path.display()
            ));
        }
    }

    /// Says it once: with a full disk every session would say the same.
    fn complain(&mut self, text: &str) {
        if !self.complained {
            self.watcher.notice(text);
        }
        self.complained = true;
    }
}
