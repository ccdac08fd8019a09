//! The capture's secrets for the observers.

use crate::capture::tls::{Decryption, Secrets, TlsItem, TlsStream};
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
    has_begun: bool,
    is_told: bool,
    items: Vec<TlsItem>,
}

impl Opener {
    pub(super) fn new(secrets: &Arc<Secrets>, counts: &Arc<TlsCounts>) -> Opener {
        Opener {
            stream: TlsStream::new(Arc::clone(secrets)),
            counts: Arc::clone(counts),
            has_begun: false,
            is_told: false,
            items: Vec::new(),
        }
    }

    /// Whether nothing more can come of what `from` sends.
    pub(super) fn is_opaque(&self, from: Side) -> bool {
        self.stream.is_opaque(from)
    }

    fn hand_on(&mut self, out: &mut Vec<Opened>) {
        if !self.has_begun {
            let sides = [Side::Client, Side::Server].map(|side| self.stream.status_of(side));
            let decrypting = sides.iter().find(|status| matches!(status, Decryption::Decrypting { .. }));
            if let Some(status) = decrypting {
                self.has_begun = true;
                self.count(true);
                out.push(Opened::Began { how: status.to_string() });
            }
        }
        for item in std::mem::take(&mut self.items) {
            out.push(match item {
                TlsItem::Plaintext { from, bytes } => Opened::Plaintext { from, bytes },
                TlsItem::Alert { from, alert } => Opened::Alert { from, alert },
                TlsItem::Certificate { from, chain } => Opened::Certificate { from, chain },
                TlsItem::Renegotiation => continue,
                TlsItem::Unreadable { from, why } => {
                    self.count(false);
                    Opened::Unreadable { from, reason: why.to_string() }
                }
            });
        }
    }

    /// Counts the connection once.
    fn count(&mut self, opened: bool) {
        if !std::mem::replace(&mut self.is_told, true) {
            let count = if opened { &self.counts.opened } else { &self.counts.sealed };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl OpensTls for Opener {
    fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<Opened>) {
        self.stream.data(from, bytes, &mut self.items);
        self.hand_on(out);
    }

    fn lost(&mut self, from: Side, out: &mut Vec<Opened>) {
        self.stream.lost(from, &mut self.items);
        self.hand_on(out);
    }
}
