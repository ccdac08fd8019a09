//! The thread that writes captures.

use super::entry::{Batch, Kind, Packet, Spares};
use super::file::Blocks;
use super::session::{CaptureHandle, Due, Outcome, Queue, SessionCapture, Taken};
use super::{CaptureSettings, FOLDER_PATIENCE, HOLD, MOST_IN_FILE, QUEUE_BYTES, ROUND, comment};
use crate::recorder::TraceFolder;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

/// Room for blocks that a session's capture keeps from one round to the next.
const MOST_KEPT: usize = 64 * 1024;
/// So many bytes of blocks are one write: they are still in the processor's cache.
const WRITE_SIZE: usize = 1 << 20;
/// So much in the queue is written without waiting for more.
const URGENT: usize = QUEUE_BYTES / 4;
/// How nice the thread is to those that relay.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The thread that writes captures.
pub(crate) struct CaptureThread {
    handle: CaptureHandle,
    thread: JoinHandle<()>,
}

impl CaptureThread {
    /// Starts it.
    pub(crate) fn start(folder: TraceFolder, settings: CaptureSettings) -> io::Result<CaptureThread> {
        let (due, receiver) = mpsc::channel();
        let queue = Arc::new(Queue::default());
        let writer = Writer { folder, open: HashMap::new(), queue: queue.clone(), spares: Spares::default() };
        let thread = std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
            be_nice();
            writer.run(&receiver);
        })?;
        Ok(CaptureThread { handle: CaptureHandle { due, queue, settings }, thread })
    }

    /// The way to it.
    pub(crate) fn handle(&self) -> CaptureHandle {
        self.handle.clone()
    }

    /// Waits until everything that was handed over is written.
    pub(crate) fn finish(self) {
        // A thread that has ended needs no word.
        let _ = self.handle.due.send(Due::Stop);
        let _ = self.thread.join();
    }
}

/// Where processors are few, the relay comes first.
#[cfg(target_os = "linux")]
fn be_nice() {
    // On Linux this is the calling thread alone. Where it is not allowed, it is as it was.
    let _ = rustix::process::setpriority_process(None, NICE);
}

#[cfg(not(target_os = "linux"))]
fn be_nice() {}

struct Writer {
    folder: TraceFolder,
    /// By the place of the session's capture in memory, which is its own as long as it is here.
    open: HashMap<usize, Open>,
    queue: Arc<Queue>,
    spares: Spares,
}

/// A session's open capture.
struct Open {
    session: Arc<SessionCapture>,
    began: Instant,
    file: Option<(File, Blocks)>,
    length: u64,
    /// What waits for its time, oldest first.
    held: Vec<(Instant, Batch)>,
    /// For the next packet.
    comments: Vec<String>,
    outcome: Outcome,
    end: Option<oneshot::Sender<Outcome>>,
    is_over: bool,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Due>) {
        loop {
            let first = if self.open.values().any(Open::has_something) {
                receiver.recv_timeout(ROUND)
            } else {
                self.spares.clear();
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            if self.queue.bytes() < URGENT {
                std::thread::sleep(ROUND);
            }
            let mut is_last = matches!(first, Err(RecvTimeoutError::Disconnected));
            for due in first.into_iter().chain(receiver.try_iter()) {
                match due {
                    Due::Session(session) => self.take(&session),
                    Due::Stop => is_last = true,
                }
            }
            let is_full = self.queue.bytes() > URGENT;
            let (folder, queue, spares) = (&self.folder, &self.queue, &mut self.spares);
            self.open.retain(|_, open| {
                let freed = open.write(folder, spares, is_full || is_last);
                queue.free(freed);
                !open.is_over
            });
            if is_last {
                return;
            }
        }
    }

    fn take(&mut self, session: &Arc<SessionCapture>) {
        let open =
            self.open.entry(Arc::as_ptr(session) as usize).or_insert_with(|| Open::new(session.clone()));
        open.take(&mut self.spares);
    }
}

impl Open {
    fn new(session: Arc<SessionCapture>) -> Open {
        Open {
            session,
            began: Instant::now(),
            file: None,
            length: 0,
            held: Vec::new(),
            comments: Vec::new(),
            outcome: Outcome::default(),
            end: None,
            is_over: false,
        }
    }

    fn has_something(&self) -> bool {
        !self.held.is_empty() || self.end.is_some()
    }

    /// Takes what is new. Comments find the packet that they belong to, here or in what is held.
    fn take(&mut self, spares: &mut Spares) {
        let Taken { mut batch, lost, end } = self.session.take(spares);
        self.outcome.lost = lost;
        self.end = self.end.take().or(end);
        let mut comments = Vec::new();
        for entry in &mut batch.entries {
            if let Kind::Comment(text) = &mut entry.kind {
                comments.push((entry.at, std::mem::take(text)));
            }
        }
        for (at, text) in comments {
            let mut newest_first =
                std::iter::once(&mut batch).chain(self.held.iter_mut().rev().map(|(_, held)| held));
            if !newest_first.any(|batch| batch.comment(at, &text)) {
                self.comments.push(text);
            }
        }
        // What one task tells late, as when a connection was begun, still stands at its time.
        batch.entries.sort_by_key(|entry| entry.at);
        self.held.push((Instant::now(), batch));
    }

    /// Writes what has waited long enough, or all of it. Answers with what there is room for again in the queue.
    fn write(&mut self, folder: &TraceFolder, spares: &mut Spares, at_once: bool) -> usize {
        let at_once = at_once || self.end.is_some();
        let now = Instant::now();
        let due = match at_once {
            true => self.held.len(),
            false => self.held.iter().take_while(|(since, _)| now.duration_since(*since) >= HOLD).count(),
        };
        let secrets: String =
            self.held.iter_mut().map(|(_, held)| std::mem::take(&mut held.secrets)).collect();
        if due == 0 && secrets.is_empty() && self.end.is_none() {
            return 0;
        }
        match self.ready(folder) {
            Ok(true) => {}
            Ok(false) => {
                // The folder is not there yet.
                if let Some((_, held)) = self.held.first_mut() {
                    held.secrets.insert_str(0, &secrets);
                }
                return 0;
            }
            Err(reason) => self.stop(reason),
        }
        let batches: Vec<Batch> = self.held.drain(..due).map(|(_, batch)| batch).collect();
        let freed = batches.iter().map(Batch::weight).sum();
        if let Err(reason) = self.encode(&secrets, &batches) {
            self.stop(reason);
        }
        batches.into_iter().for_each(|batch| spares.give(batch));
        if self.end.is_some() {
            self.close();
        }
        freed
    }

    /// Whether there is a file to write to.
    fn ready(&mut self, folder: &TraceFolder) -> Result<bool, String> {
        if self.file.is_some() || self.outcome.stopped.is_some() {
            return Ok(true);
        }
        match folder.create_capture(&self.session.start.id) {
            Ok(file) => {
                let blocks = Blocks::begin(&self.session.start, self.session.takes_secrets())?;
                self.file = Some((file, blocks));
                Ok(true)
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && self.began.elapsed() < FOLDER_PATIENCE =>
            {
                Ok(false)
            }
            Err(error) => Err(format!("the file cannot be made: {error}")),
        }
    }

    fn encode(&mut self, secrets: &str, batches: &[Batch]) -> Result<(), String> {
        if let Some((_, blocks)) = &mut self.file
            && !secrets.is_empty()
        {
            blocks.secrets(secrets)?;
        }
        for batch in batches {
            for entry in &batch.entries {
                let Some((_, blocks)) = &mut self.file else { return Ok(()) };
                match &entry.kind {
                    Kind::Packet(packet) => match std::mem::take(&mut self.comments) {
                        comments if comments.is_empty() => blocks.packet(entry.at, packet, &batch.bytes)?,
                        mut comments => {
                            comments.extend(packet.comments.iter().cloned());
                            let packet = Packet {
                                ends: packet.ends.clone(),
                                payload: packet.payload.clone(),
                                comments,
                                ..*packet
                            };
                            blocks.packet(entry.at, &packet, &batch.bytes)?;
                        }
                    },
                    Kind::Lost(lost) => self.comments.push(comment::of_loss(*lost)),
                    Kind::Comment(_) => {}
                }
                if blocks.length() >= WRITE_SIZE {
                    self.flush(&batch.bytes, 2 * WRITE_SIZE)?;
                }
            }
            self.flush(&batch.bytes, MOST_KEPT)?;
        }
        self.flush(&[], MOST_KEPT)
    }

    /// Writes whole blocks, or none: what a full disk takes of them is taken back. The payloads lie in `bytes`.
    fn flush(&mut self, bytes: &[u8], most_kept: usize) -> Result<(), String> {
        let Some((file, blocks)) = &mut self.file else { return Ok(()) };
        let length = blocks.length() as u64;
        if length == 0 {
            return Ok(());
        }
        if self.length + length > MOST_IN_FILE {
            return Err(format!("it has {} GiB", MOST_IN_FILE >> 30));
        }
        if let Err(error) = blocks.write(file, bytes) {
            // Where even that fails the last block is cut, which readers say.
            let _ = file.set_len(self.length);
            return Err(format!("it cannot be written: {error}"));
        }
        self.length += length;
        self.outcome.packets = blocks.packets();
        blocks.clear(most_kept);
        Ok(())
    }

    fn stop(&mut self, reason: String) {
        self.outcome.stopped.get_or_insert(reason);
        self.session.stop();
        self.file = None;
    }

    fn close(&mut self) {
        self.file = None;
        self.is_over = true;
        if let Some(end) = self.end.take() {
            // Whoever waited may have been cut short.
            let _ = end.send(self.outcome.clone());
        }
    }
}
