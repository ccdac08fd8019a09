//! The capture's secrets for the observers.

use crate::capture::tls::{Secrets, TlsStream};
use crate::observe::{Opened, OpensTls};
use crate::trace::Side;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of the TLS that needed secrets.
#[derive(Debug, Default)]
pub(super) struct TlsCounts {
    /// Connections that were decrypted.
    pub(super) opened: AtomicU64,
    /// Connections that were not.
    pub(super) sealed: AtomicU64,
}

/// Opens one connection.
#[derive(Debug)]
pub(super) struct Opener {
    stream: TlsStream,
    counts: Arc<TlsCounts>,
    is_counted: bool,
}

impl Opener {
    pub(super) fn new(secrets: &Arc<Secrets>, counts: &Arc<TlsCounts>) -> Opener {
        let stream = TlsStream::new(Arc::clone(secrets));
        Opener { stream, counts: Arc::clone(counts), is_counted: false }
    }

    /// Whether nothing more can come of what `from` sends.
    pub(super) fn is_opaque(&self, from: Side) -> bool {
        self.stream.is_opaque(from)
    }

    /// Counts the connection once, by the first of `items` that says what becomes of it.
    fn count(&mut self, items: &[Opened]) {
        if self.is_counted {
            return;
        }
        let count = items.iter().find_map(|item| match item {
            Opened::Began { .. } => Some(&self.counts.opened),
            Opened::Unreadable { .. } => Some(&self.counts.sealed),
            _ => None,
        });
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
            self.is_counted = true;
        }
    }
}

impl OpensTls for Opener {
    fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<Opened>) {
        let before = out.len();
        self.stream.data(from, bytes, out);
        self.count(&out[before..]);
    }

    fn lost(&mut self, from: Side, out: &mut Vec<Opened>) {
        let before = out.len();
        self.stream.lost(from, out);
        self.count(&out[before..]);
    }
}
