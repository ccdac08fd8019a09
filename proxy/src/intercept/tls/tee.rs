//! The wire below TLS, shown to whoever watches.

use super::key_log::KeyLog;
use crate::wire::tls::Alert;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What we write in a handshake waits until the flight is whole, but not beyond this: no flight is longer, save with a
/// chain of hundreds of certificates.
const MAXIMUM_FLIGHT: usize = 256 * 1024;
/// An alert record in clear.
const ALERT_RECORD_LENGTH: usize = 7;
/// Read at once from a peer that sends faster than rustls reads, which takes a quarter of a record each time.
const READ_AHEAD: usize = 64 * 1024;
/// What rustls asks for at least. Whoever asks for less reads a header and no bulk data.
const SMALL_READ: usize = 4096;
/// Up to and with the legacy_version of a ServerHello: record header, handshake header, version.
const SERVER_HELLO_BEGINNING: usize = 11;

/// Sees the wire bytes of one TLS connection, in order.
pub trait WireTap: Send + Sync {
    /// `bytes` were sent by us, or received, at `at`.
    fn wire(&mut self, at: Instant, sent_by_us: bool, bytes: &[u8]);
    /// So many bytes were received after [`Tee::quiet`].
    fn count(&mut self, _received: usize) {}
    /// Who wants the secrets of the connection, if anybody does.
    fn key_log(&self) -> Option<KeyLog> {
        None
    }
}

impl<F: FnMut(Instant, bool, &[u8]) + Send + Sync> WireTap for F {
    fn wire(&mut self, at: Instant, sent_by_us: bool, bytes: &[u8]) {
        self(at, sent_by_us, bytes);
    }
}

/// A stream with a tap on it.
///
/// During a handshake everything written up to a flush goes out in one write: Windows expects each flight in one piece
///. Afterwards every write passes as it is.
pub struct Tee<S> {
    stream: S,
    tap: Box<dyn WireTap>,
    quiet: bool,
    /// Bytes that were read from the stream before it came here; those before `prefix_read` were given out.
    prefix: Vec<u8>,
    prefix_read: usize,
    ahead: Ahead,
    received: u64,
    sent: u64,
    handshaking: bool,
    /// Written and not yet sent.
    flight: Vec<u8>,
    first_received: Vec<u8>,
    last_sent: Vec<u8>,
    at_end: bool,
}

impl<S> Tee<S> {
    /// Begins with `prefix`, which was already read from `stream` and is not shown to `tap` again.
    pub fn new(stream: S, prefix: Vec<u8>, tap: impl WireTap + 'static) -> Tee<S> {
        Tee {
            stream,
            tap: Box::new(tap),
            quiet: false,
            received: prefix.len() as u64,
            prefix,
            prefix_read: 0,
            ahead: Ahead::default(),
            sent: 0,
            handshaking: true,
            flight: Vec::new(),
            first_received: Vec::new(),
            last_sent: Vec::new(),
            at_end: false,
        }
    }

    /// From here on bytes are only counted: the handshake is over and records are opaque.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Bytes received, those of the prefix among them.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream below, for good.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Who wants the secrets of the connection.
    pub(super) fn key_log(&self) -> Option<KeyLog> {
        self.tap.key_log()
    }

    /// From here on writes are not joined any more.
    pub(super) fn handshake_is_over(&mut self) {
        self.handshaking = false;
        self.flight.shrink_to_fit();
        (self.first_received, self.last_sent) = (Vec::new(), Vec::new());
    }

    /// The alert that we sent last in this handshake, where it went in clear.
    pub(super) fn alert_sent(&self) -> Option<Alert> {
        match self.last_sent[..] {
            [21, 3, _, 0, 2, level @ 1..=2, description] => Alert::decode(&[level, description]).ok(),
            _ => None,
        }
    }

    /// The legacy_version of the ServerHello that was received first.
    pub(super) fn server_hello_version(&self) -> Option<u16> {
        match self.first_received[..] {
            [22, 3, _, _, _, 2, _, _, _, major, minor] => Some(u16::from_be_bytes([major, minor])),
            _ => None,
        }
    }

    /// Whether the stream ended: what is read there is FIN.
    #[cfg(feature = "legacy-tls")]
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    fn note_received(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if self.handshaking {
            let missing = SERVER_HELLO_BEGINNING - self.first_received.len();
            self.first_received.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        }
        self.show(false, bytes);
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        if self.handshaking {
            self.last_sent.extend_from_slice(bytes);
            self.last_sent.drain(..self.last_sent.len().saturating_sub(ALERT_RECORD_LENGTH));
        }
        self.show(true, bytes);
    }

    fn show(&mut self, sent_by_us: bool, bytes: &[u8]) {
        match (self.quiet, sent_by_us) {
            _ if bytes.is_empty() => {}
            (false, _) => self.tap.wire(Instant::now(), sent_by_us, bytes),
            (true, false) => self.tap.count(bytes.len()),
            (true, true) => {}
        }
    }
}

/// Bytes that were read before they were asked for. There is room for them only while the peer sends without a pause.
#[derive(Default)]
struct Ahead {
    buffer: Vec<u8>,
    /// Those in between were read and not given out.
    start: usize,
    end: usize,
    /// The last read took all there was room for, so that there may be more.
    expected: bool,
}

impl Ahead {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.rest().len().min(buffer.remaining());
        buffer.put_slice(&self.rest()[..count]);
        self.start += count;
    }
}

impl<S: AsyncRead + Unpin> Tee<S> {
    /// Reads from the stream itself.
    fn poll_fetch(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let received = &buffer.filled()[before..];
        self.at_end |= room > 0 && received.is_empty();
        self.ahead.expected = !self.handshaking && room >= SMALL_READ && received.len() == room;
        self.note_received(received);
        Poll::Ready(Ok(()))
    }

    /// Reads from the stream as much as there is, into the buffer that is given back when there is nothing.
    fn poll_fetch_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = std::mem::take(&mut self.ahead.buffer);
        room.resize(READ_AHEAD, 0);
        let mut buffer = ReadBuf::new(&mut room);
        let fetched = self.poll_fetch(context, &mut buffer);
        let count = buffer.filled().len();
        if count == 0 {
            self.ahead = Ahead::default();
            return fetched;
        }
        // As long as more comes than fits into a small read, the next is a large one, too.
        let expected = count > SMALL_READ;
        self.ahead = Ahead { buffer: room, start: 0, end: count, expected };
        fetched
    }
}

impl<S: AsyncWrite + Unpin> Tee<S> {
    /// Sends what waits for its flight to be whole.
    fn poll_send_flight(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.flight.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.flight))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let rest = self.flight.split_off(written);
            let sent = std::mem::replace(&mut self.flight, rest);
            self.note_sent(&sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tee<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let prefix = &this.prefix[this.prefix_read..];
        if !prefix.is_empty() {
            let count = prefix.len().min(buffer.remaining());
            buffer.put_slice(&prefix[..count]);
            this.prefix_read += count;
            if this.prefix_read == this.prefix.len() {
                (this.prefix, this.prefix_read) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        if this.ahead.rest().is_empty() {
            if !this.ahead.expected {
                this.ahead = Ahead::default();
                return this.poll_fetch(context, buffer);
            }
            ready!(this.poll_fetch_ahead(context))?;
        }
        this.ahead.give(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tee<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.handshaking || this.flight.len() > MAXIMUM_FLIGHT {
            ready!(this.poll_send_flight(context))?;
        }
        if this.handshaking {
            slices.iter().for_each(|slice| this.flight.extend_from_slice(slice));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        let mut rest = written;
        for slice in slices {
            let part = &slice[..rest.min(slice.len())];
            this.note_sent(part);
            rest -= part.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.handshaking || self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_flight(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_flight(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const SENT: usize = 300_000;

    fn established(stream: DuplexStream) -> Tee<DuplexStream> {
        let mut tee = Tee::new(stream, b"prefix".to_vec(), |_: Instant, _: bool, _: &[u8]| {});
        tee.handshake_is_over();
        tee
    }

    #[tokio::test]
    async fn what_is_read_ahead_comes_in_order_and_is_counted_once() {
        let sent: Vec<u8> = (0..SENT).map(|place| (place % 251) as u8).collect();
        for size in [1, 5, SMALL_READ - 1, SMALL_READ, 5000, READ_AHEAD + 1] {
            let (mut far, near) = tokio::io::duplex(2 * SENT);
            far.write_all(&sent).await.unwrap();
            drop(far);
            let mut tee = established(near);
            let (mut got, mut piece) = (Vec::new(), vec![0; size]);
            loop {
                match tee.read(&mut piece).await.unwrap() {
                    0 => break,
                    count => got.extend_from_slice(&piece[..count]),
                }
            }
            assert!(got == [b"prefix", &sent[..]].concat(), "read {size} at once");
            assert_eq!(tee.received(), (6 + SENT) as u64);
        }
    }

    #[tokio::test]
    async fn the_room_is_given_back_when_the_peer_pauses() {
        let (mut far, near) = tokio::io::duplex(2 * SENT);
        let mut tee = established(near);
        far.write_all(&vec![7; SENT]).await.unwrap();
        let (mut piece, mut got, mut most) = (vec![0; SMALL_READ], 0, 0);
        while let Some(count) = tee.read(&mut piece).now_or_never() {
            got += count.unwrap();
            most = most.max(tee.ahead.buffer.capacity());
        }
        assert_eq!((got, most, tee.ahead.buffer.capacity()), (6 + SENT, READ_AHEAD, 0));
        far.write_all(b"more").await.unwrap();
        assert_eq!(tee.read(&mut piece).await.unwrap(), 4);
        assert_eq!(tee.ahead.buffer.capacity(), 0);
    }
}
