//! `session.pcapng`: what was on the wire of both legs, for Wireshark.
//!
//! The sockets of a session tell its capture what they read and wrote; a thread of its own makes segments of it and
//! writes them. What passes waits in memory for a moment, so that secrets and comments stand before and beside the
//! packets that they belong to. What the memory cannot take is dropped and counted: the relay never waits.

pub(crate) mod comment;
mod entry;
mod file;
mod head;
mod inside;
mod leg;
mod session;
mod writer;

pub(crate) use inside::InsideCapture;
pub(crate) use leg::{ConnectionCapture, LegCapture};
pub(crate) use session::CaptureStart;
#[cfg(test)]
use session::Outcome;
pub(crate) use session::{CaptureHandle, SessionCapture};
pub(crate) use writer::CaptureThread;

use std::time::Duration;

/// The name of the file in its session's folder.
pub(crate) const FILE_NAME: &str = "session.pcapng";

/// Bytes of all sessions that may wait for the disk: a bound for the memory of the program.
const QUEUE_BYTES: usize = 64 << 20;
/// What is recorded of all sessions together in a second: 500 Mbit/s, several times what a session of Remote Desktop takes. A
/// byte that is recorded, on both legs, costs the processor several times what relaying it costs; so much costs two processors
/// less than a tenth of what they relay.
const MOST_A_SECOND: usize = 64 << 20;
/// What may come at once before that counts: a quarter of a second of it, or a screen in full.
const MOST_AT_ONCE: usize = 16 << 20;
/// A batch of so many bytes has memory that is worth keeping, and so many batches wait at once in a busy session.
const MUCH: usize = 256 << 10;
const MOST_SPARES: usize = 6;
/// What an entry without bytes counts for in the queue.
const ENTRY_BYTES: usize = 128;
/// Bytes of a connection to a gateway kept until it is clear which attempt it belongs to: its TLS handshake and the
/// head of a request. What comes beyond is lost.
const MOST_UNPLACED: usize = 1 << 20;
/// Bytes of one session's file. Wireshark wants several times as much memory to open it.
const MOST_IN_FILE: u64 = 2 << 30;
/// How long packets wait for the secrets and comments that belong to them, which are told in the same turn of the same
/// task. A crash loses no more than this.
const HOLD: Duration = Duration::from_millis(20);
/// Bytes that follow one another within this time are shown as one segment: whoever reads a header by itself and then
/// the rest has received both at once.
const SAME_SEGMENT: Duration = Duration::from_micros(200);
/// How often the thread writes while there is something to write.
const ROUND: Duration = Duration::from_millis(10);
/// How long the thread waits for a session's folder, which the recorder of traces makes.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);

/// What is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureSettings {
    /// The secrets of every TLS connection that rdpscope terminates go into the file.
    pub secrets: bool,
}

#[cfg(test)]
mod tests;
