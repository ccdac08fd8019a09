//! The client's ClientHello before anything is decided.

use super::ending::is_reset;
use super::tee::WireTap;
use crate::wire::Malformed;
use crate::wire::tls::handshake::message_type;
use crate::wire::tls::{ClientHello, ContentType, HandshakeReader, Record, RecordReader};
use std::io;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A ClientHello takes one kilobyte, two with post-quantum key shares; a client that sends this much without ending it
/// never will.
pub const MAXIMUM_CLIENT_HELLO: usize = 64 * 1024;
/// What is asked of the stream at once.
const READ_LENGTH: u64 = 4096;

/// Why there is no ClientHello. What was read until then is with the caller.
#[derive(Debug, thiserror::Error)]
pub enum PeekError {
    /// FIN.
    #[error("the client closed the connection {}", before_hello(*received))]
    Fin {
        /// Bytes that came before it.
        received: usize,
    },
    /// RST.
    #[error("the client reset the connection {}", before_hello(*received))]
    Reset {
        /// Bytes that came before it.
        received: usize,
    },
    /// The system could not read.
    #[error("cannot read the client's ClientHello: {0}")]
    Io(io::Error),
    /// Bytes that are not TLS.
    #[error("the client sent something that is not TLS where a ClientHello is due ({0})")]
    NotTls(Malformed),
    /// TLS, and another message, or an alert.
    #[error("the client began TLS with something else than a ClientHello")]
    OtherMessage,
    /// A ClientHello that breaks the format.
    #[error("the client's ClientHello cannot be read ({0})")]
    Malformed(Malformed),
    /// No end.
    #[error("the client's ClientHello has no end within {MAXIMUM_CLIENT_HELLO} bytes")]
    TooLong,
}

fn before_hello(received: usize) -> &'static str {
    if received == 0 { "before its ClientHello" } else { "in the middle of its ClientHello" }
}

/// Reads from `stream` until the client's ClientHello is whole.
///
/// `read` holds what was read before, which `tap` is not shown again, and takes all that is read here, also where it
/// ends in an error or is dropped: it is the prefix of a [`super::Tee`]. There is no limit on time.
pub async fn peek_client_hello<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut Vec<u8>,
    tap: &mut (dyn WireTap + '_),
) -> Result<Box<ClientHello>, PeekError> {
    let mut finder = Finder::default();
    let mut looked_at = 0;
    loop {
        if let Some(hello) = finder.look(&read[looked_at..])? {
            return Ok(hello);
        }
        looked_at = read.len();
        if looked_at > MAXIMUM_CLIENT_HELLO {
            return Err(PeekError::TooLong);
        }
        match (&mut *stream).take(READ_LENGTH).read_buf(read).await {
            Ok(0) => return Err(PeekError::Fin { received: looked_at }),
            Ok(_) => tap.wire(Instant::now(), false, &read[looked_at..]),
            Err(error) if is_reset(&error) => return Err(PeekError::Reset { received: looked_at }),
            Err(error) => return Err(PeekError::Io(error)),
        }
    }
}

#[derive(Default)]
struct Finder {
    records: RecordReader,
    messages: HandshakeReader,
}

impl Finder {
    fn look(&mut self, mut bytes: &[u8]) -> Result<Option<Box<ClientHello>>, PeekError> {
        while let Some(record) = self.records.next(&mut bytes) {
            if let Some(hello) = self.join(record.map_err(PeekError::NotTls)?)? {
                return Ok(Some(hello));
            }
        }
        Ok(None)
    }

    fn join(&mut self, record: Record) -> Result<Option<Box<ClientHello>>, PeekError> {
        let (ContentType::Handshake, Some(fragment)) = (record.header.content_type, record.fragment) else {
            return Err(PeekError::OtherMessage);
        };
        let Some(message) = self.messages.next(&mut &fragment[..]) else { return Ok(None) };
        let message = message.map_err(PeekError::Malformed)?;
        if message.message_type != message_type::CLIENT_HELLO {
            return Err(PeekError::OtherMessage);
        }
        let hello = ClientHello::decode(&message.body, record.header.version);
        hello.map(|hello| Some(Box::new(hello))).map_err(PeekError::Malformed)
    }
}
