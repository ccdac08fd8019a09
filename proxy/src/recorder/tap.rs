//! Sessions seen as they happen, past the recorder's queue.

use super::SessionId;
use crate::trace::{Line, Record};
use std::sync::Arc;

/// Sees every session, on the thread that serves it: it must answer at once, never wait, and copy little.
pub trait Tap: Send + Sync {
    /// Lines of a session that is under way, in order; the first is its header.
    fn lines(&self, session: &SessionId, lines: &[Line]);
    /// The whole record of a session that is over.
    fn concluded(&self, session: &SessionId, record: &Record);
}

/// Several, each of which sees everything.
pub type Taps = Arc<[Arc<dyn Tap>]>;
