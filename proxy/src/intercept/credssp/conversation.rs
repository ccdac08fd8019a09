//! One TSRequest after another over a stream: each written at once, so that it is one TLS record.

use super::CredsspTap;
use super::der::{self, LONGEST_HEADER, SEQUENCE};
use super::error::{CredsspError, Step};
use super::ts_request::{Message, OWN_VERSION};
use crate::trace::Side;
use crate::wire::reader::Reader;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a TSRequest at most: Windows allows tokens of 65,535 bytes (MaxTokenSize), and two may come in one.
const LONGEST_MESSAGE: usize = 128 * 1024;

/// The first version there was.
const FIRST_VERSION: u32 = 2;

/// Our end of a CredSSP.
pub(super) struct Conversation<'a, S, T> {
    /// Who is at the other end.
    pub(super) side: Side,
    /// How far we are, for errors.
    pub(super) step: Step,
    stream: &'a mut S,
    tap: &'a mut T,
    version: Option<u32>,
}

impl<'a, S, T> Conversation<'a, S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    pub(super) fn new(side: Side, stream: &'a mut S, tap: &'a mut T) -> Self {
        Conversation { side, step: Step::Negotiation, stream, tap, version: None }
    }

    /// The version in use: the lower of both. Ours until the other end has spoken.
    pub(super) fn version(&self) -> u32 {
        self.version.unwrap_or(OWN_VERSION).min(OWN_VERSION)
    }

    /// The next message, which holds no errorCode and a version of use.
    pub(super) async fn receive(&mut self) -> Result<Message, CredsspError> {
        let bytes = self.read().await?;
        self.tap.message(false, &bytes);
        let (side, step) = (self.side, self.step);
        let message =
            Message::decode(&bytes).map_err(|source| CredsspError::Malformed { side, step, source })?;
        let version = *self.version.get_or_insert(message.version);
        if let Some(status) = message.error_code.filter(|&status| status != 0) {
            return Err(CredsspError::Status { side, step, status });
        }
        if version < FIRST_VERSION {
            return Err(CredsspError::Version { side, version });
        }
        Ok(message)
    }

    /// Sends a message as one write.
    pub(super) async fn send(&mut self, message: &Message) -> Result<(), CredsspError> {
        let bytes = message.encode();
        self.tap.message(true, &bytes);
        let written = write(self.stream, &bytes).await;
        written.map_err(|source| failed(self.side, self.step, source))
    }

    /// Tells the other end why it is refused, where its version knows errorCode; the refusal stands in any case.
    pub(super) async fn refuse(&mut self, error: &CredsspError) {
        let knows_error_codes = matches!(self.version, Some(3 | 4 | 6..));
        if let Some(status) = error.answer()
            && (knows_error_codes || matches!(error, CredsspError::Version { .. }))
        {
            let _ = self.send(&Message { error_code: Some(status), ..Message::new() }).await;
        }
    }

    /// An error about the present step.
    pub(super) fn unexpected(&self, what: &'static str) -> CredsspError {
        CredsspError::Unexpected { side: self.side, step: self.step, what }
    }

    async fn read(&mut self) -> Result<Vec<u8>, CredsspError> {
        let (side, step) = (self.side, self.step);
        let failed = |source| failed(side, step, source);
        let mut bytes = Vec::with_capacity(LONGEST_HEADER);
        bytes.extend([
            self.stream.read_u8().await.map_err(failed)?,
            self.stream.read_u8().await.map_err(failed)?,
        ]);
        let long_form = bytes[1] & 0x80 != 0;
        let extra = if long_form { usize::from(bytes[1] & 0x7F).min(LONGEST_HEADER) } else { 0 };
        for _ in 0..extra {
            bytes.push(self.stream.read_u8().await.map_err(failed)?);
        }
        let length =
            content_length(&bytes).map_err(|source| CredsspError::Malformed { side, step, source })?;
        if length > LONGEST_MESSAGE {
            return Err(CredsspError::TooLong { side, length: length as u64, limit: LONGEST_MESSAGE });
        }
        let header = bytes.len();
        bytes.resize(header + length, 0);
        self.stream.read_exact(&mut bytes[header..]).await.map_err(failed)?;
        Ok(bytes)
    }
}

/// Bytes that follow the header of a TSRequest.
fn content_length(header: &[u8]) -> Result<usize, crate::wire::Malformed> {
    let mut reader = Reader::new("TSRequest", header);
    if reader.u8()? != SEQUENCE {
        return Err(Reader::new("TSRequest", header).malformed("it does not begin as a SEQUENCE"));
    }
    der::length(&mut reader)
}

/// Writes all of it at once.
pub(super) async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The error for what reading or writing came to.
pub(super) fn failed(side: Side, step: Step, source: io::Error) -> CredsspError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            CredsspError::Closed { side, step }
        }
        _ => CredsspError::Transport { side, step, source },
    }
}
