//! Each format on the wire, from a byte slice.
//!
//! A decoder is given a slice that starts at the structure and answers with [`Decoded`]: more bytes are needed,
//! a value and how many bytes it took, or where and why the bytes break the format. Decoders are tolerant: what
//! they do not know they keep as a number, because a peer that is wrong is what this program is for.

pub mod credssp;
pub mod early_user_authorization;
pub mod gcc;
pub mod greeting;
pub mod http;
pub mod mcs;
pub mod named;
pub mod preconnection;
pub mod proxy_talk;
pub mod rdp;
pub mod rdpeudp;
pub mod rdpeudp2;
pub mod rdsaad;
pub mod rdstls;
pub mod reader;
pub mod rpch;
pub mod tls;
pub mod tpkt;
pub mod tsgu;
pub mod websocket;
pub mod x224;

pub use reader::Reader;

/// `Ok(None)`: the slice ends before the structure does. `Ok(Some((value, consumed)))`: `consumed` bytes were read.
pub type Decoded<T> = Result<Option<(T, usize)>, Malformed>;

/// Where and why bytes break a format; data about the peer, not a fault of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: {reason} at byte {offset}")]
pub struct Malformed {
    /// The structure that was being read, in the specification's own word.
    pub structure: &'static str,
    /// Bytes from the start of that structure.
    pub offset: usize,
    /// What is wrong, in a few words.
    pub reason: &'static str,
}

impl Malformed {
    /// A fault in `structure`, `offset` bytes after its start.
    pub fn new(structure: &'static str, offset: usize, reason: &'static str) -> Self {
        Malformed { structure, offset, reason }
    }
}
