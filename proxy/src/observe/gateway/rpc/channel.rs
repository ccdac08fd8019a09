//! One direction of a connection: a body cut into PDUs.

use crate::wire::Malformed;
use crate::wire::rpch::rpc::Header;
use std::borrow::Cow;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// The start of a PDU that has not come whole yet: at most 65535 bytes, as its length is a number of 16 bits.
    pending: Vec<u8>,
    /// Bytes of the body before `pending`.
    offset: u64,
    is_stopped: bool,
}

/// What stands next in the body.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// A whole PDU.
    Pdu(Header, Cow<'a, [u8]>),
    /// Something else; the body is read no further.
    Garbage {
        /// Bytes from the body's start.
        offset: u64,
        /// What is wrong there.
        malformed: Malformed,
    },
}

impl Channel {
    /// The next in what came before and in `bytes`, which it advances; `None` once all of them are taken.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Read<'a>> {
        if self.is_stopped {
            *bytes = &[];
            return None;
        }
        if self.pending.is_empty() {
            return self.next_in(bytes);
        }
        loop {
            let wanted = match Header::decode(&self.pending) {
                Err(malformed) => return Some(self.garbage(malformed)),
                // One at a time, so that what follows the first wrong byte is never taken for a header's.
                Ok(None) => self.pending.len() + 1,
                Ok(Some((header, _))) if self.pending.len() == header.length() => {
                    self.offset += self.pending.len() as u64;
                    return Some(Read::Pdu(header, Cow::Owned(std::mem::take(&mut self.pending))));
                }
                Ok(Some((header, _))) => header.length(),
            };
            let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.pending.len()));
            if taken.is_empty() {
                return None;
            }
            self.pending.extend_from_slice(taken);
            *bytes = rest;
        }
    }

    fn next_in<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Read<'a>> {
        match Header::decode(bytes) {
            Err(malformed) => Some(self.garbage(malformed)),
            Ok(Some((header, _))) if bytes.len() >= header.length() => {
                let (pdu, rest) = bytes.split_at(header.length());
                self.offset += pdu.len() as u64;
                *bytes = rest;
                Some(Read::Pdu(header, Cow::Borrowed(pdu)))
            }
            Ok(_) => {
                self.pending.extend_from_slice(bytes);
                *bytes = &[];
                None
            }
        }
    }

    fn garbage<'a>(&mut self, malformed: Malformed) -> Read<'a> {
        let offset = self.offset;
        self.stop();
        Read::Garbage { offset, malformed }
    }

    /// The body is over: the bytes of a PDU that has not come whole.
    pub(super) fn end(&mut self) -> Option<usize> {
        let length = self.pending.len();
        self.stop();
        (length > 0).then_some(length)
    }

    /// Reads the body no further.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.pending = Vec::new();
    }

    /// Whether the body is read no further.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}
