//! One TLS connection of a capture.

use super::item::{Decryption, TlsItem};
use super::secrets::Secrets;
use crate::trace::Side;
use std::sync::Arc;

/// One TLS connection, fed with what each side sent from its first byte of TLS on.
#[derive(Debug)]
pub struct TlsStream {
    secrets: Arc<Secrets>,
    ended: [Option<Decryption>; 2],
}

impl TlsStream {
    /// A connection at its first byte.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        TlsStream { secrets, ended: [None, None] }
    }

    /// The next bytes that `from` sent, in pieces of any size; what they end is pushed to `out`. After a side's
    /// [`TlsItem::Unreadable`] its bytes are passed over.
    pub fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<TlsItem>) {
        if self.secrets.is_empty() && !bytes.is_empty() {
            self.end(from, Decryption::NoSecrets, out);
        }
    }

    /// The next bytes of `from` are not in the capture: nothing more of this side can be read.
    pub fn lost(&mut self, from: Side, out: &mut Vec<TlsItem>) {
        self.end(from, Decryption::Incomplete { hole: super::item::Hole::Bytes }, out);
    }

    /// No more of what `from` sends is wanted: its bytes are passed over from here on, at no cost.
    pub fn stop(&mut self, from: Side) {
        self.ended[from.index()].get_or_insert(Decryption::Stopped);
    }

    /// Whether nothing more can come of what `from` sends, so that its bytes need not be given.
    pub fn is_opaque(&self, from: Side) -> bool {
        self.ended[from.index()].is_some()
    }

    /// How the reading of one side stands.
    pub fn status_of(&self, from: Side) -> Decryption {
        self.ended[from.index()].clone().unwrap_or(Decryption::NotYet)
    }

    /// How the reading of the connection stands: what ended a side (the client's first), else how the open ones stand.
    pub fn status(&self) -> Decryption {
        self.status_of(Side::Client)
    }

    fn end(&mut self, from: Side, why: Decryption, out: &mut Vec<TlsItem>) {
        let ended = &mut self.ended[from.index()];
        if ended.is_none() {
            *ended = Some(why.clone());
            out.push(TlsItem::Unreadable { from, why });
        }
    }
}
