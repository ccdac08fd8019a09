//! The socket of one leg, which tells a capture what is on its wire, where there is one.

use crate::recorder::pcapng::LegCapture;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// A TCP connection of one leg.
pub struct Socket {
    stream: TcpStream,
    // Behind the stream: closing comes before it is told.
    capture: Option<Arc<LegCapture>>,
}

impl From<TcpStream> for Socket {
    /// A connection that nobody captures.
    fn from(stream: TcpStream) -> Socket {
        Socket { stream, capture: None }
    }
}

/// Reads from a [`Socket`].
pub(super) struct Source<'a> {
    half: ReadHalf<'a>,
    capture: Option<&'a LegCapture>,
}

/// Writes to a [`Socket`].
pub(super) struct Sink<'a> {
    half: WriteHalf<'a>,
    capture: Option<&'a LegCapture>,
}

/// Ends a connection by RST even where somebody else owns its socket, once that has gone.
pub(super) struct Resetter {
    socket: socket2::Socket,
    capture: Option<Arc<LegCapture>>,
}

impl Resetter {
    /// Now.
    pub(super) fn reset(self) {
        if let Some(capture) = &self.capture {
            capture.resets();
        }
        // A socket that is gone already cannot be told.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

impl Socket {
    /// The same, captured.
    pub(super) fn captured(self, capture: Option<LegCapture>) -> Socket {
        Socket { capture: capture.map(Arc::new), ..self }
    }

    /// The socket itself, for its settings.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// See [`TcpStream::set_nodelay`].
    pub(super) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.stream.set_nodelay(nodelay)
    }

    /// The next close sends RST instead of FIN.
    pub(super) fn reset(&self) {
        if let Some(capture) = &self.capture {
            capture.resets();
        }
        // A socket that is gone already needs no reset.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// For whoever has to reset it when it has been given away.
    pub(super) fn resetter(&self) -> io::Result<Resetter> {
        let socket = socket2::SockRef::from(&self.stream).try_clone()?;
        Ok(Resetter { socket, capture: self.capture.clone() })
    }

    /// Sends FIN; a peer that has gone needs none.
    pub(super) fn finish(&self) {
        if let Some(capture) = &self.capture {
            capture.finished(Instant::now());
        }
        let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Both directions, apart.
    pub(super) fn split(&mut self) -> (Source<'_>, Sink<'_>) {
        let capture = self.capture.as_deref();
        let (reader, writer) = self.stream.split();
        (Source { half: reader, capture }, Sink { half: writer, capture })
    }

    /// See [`TcpStream::readable`].
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// See [`TcpStream::writable`].
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// See [`TcpStream::try_read`].
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.try_read(buffer);
        if let Some(capture) = &self.capture {
            let received = read.as_ref().ok().and_then(|count| buffer.get(..*count));
            note_read(capture, &read, received.unwrap_or_default(), buffer.is_empty());
        }
        read
    }

    /// See [`TcpStream::try_read_buf`].
    pub(super) fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        let read = self.stream.try_read_buf(buffer);
        if let Some(capture) = &self.capture {
            note_read(capture, &read, &buffer[before..], false);
        }
        read
    }

    /// See [`TcpStream::try_write`].
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.try_write(bytes);
        note_written(self.capture.as_deref(), &written, bytes);
        written
    }
}

fn note_read(capture: &LegCapture, read: &io::Result<usize>, received: &[u8], no_room: bool) {
    let now = Instant::now();
    match read {
        Ok(0) if no_room => {}
        Ok(0) => capture.peer_finished(now),
        Ok(_) => capture.received(now, received),
        Err(error) => note_error(capture, error),
    }
}

/// What the system reports of a connection that is gone came as a reset.
fn note_error(capture: &LegCapture, error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) {
        capture.peer_reset(Instant::now());
    }
}

fn note_written(capture: Option<&LegCapture>, written: &io::Result<usize>, bytes: &[u8]) {
    let Some(capture) = capture else { return };
    match written {
        Ok(count) => capture.sent(Instant::now(), &bytes[..*count]),
        Err(error) => note_error(capture, error),
    }
}

fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    capture: Option<&LegCapture>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let (before, no_room) = (buffer.filled().len(), buffer.remaining() == 0);
    let read = ready!(Pin::new(stream).poll_read(cx, buffer));
    if let Some(capture) = capture {
        let received = &buffer.filled()[before..];
        note_read(capture, &read.as_ref().map(|()| received.len()).map_err(clone), received, no_room);
    }
    Poll::Ready(read)
}

fn clone(error: &io::Error) -> io::Error {
    error.kind().into()
}

fn poll_shutdown<S: AsyncWrite + Unpin>(
    stream: &mut S,
    capture: Option<&LegCapture>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let shut = ready!(Pin::new(stream).poll_shutdown(cx));
    if let (Some(capture), Ok(())) = (capture, &shut) {
        capture.finished(Instant::now());
    }
    Poll::Ready(shut)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_read(&mut this.stream, this.capture.as_deref(), cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        note_written(this.capture.as_deref(), &written, bytes);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices));
        if let Some(capture) = this.capture.as_deref() {
            match &written {
                Ok(count) => note_vectored(capture, *count, slices),
                Err(error) => note_error(capture, error),
            }
        }
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_shutdown(&mut this.stream, this.capture.as_deref(), cx)
    }
}

/// What went out with one write was one segment, or looked like it.
fn note_vectored(capture: &LegCapture, count: usize, slices: &[io::IoSlice<'_>]) {
    let now = Instant::now();
    let mut rest = count;
    if let [only] = slices {
        return capture.sent(now, &only[..rest.min(only.len())]);
    }
    let mut written = Vec::with_capacity(count);
    for slice in slices {
        let part = &slice[..rest.min(slice.len())];
        written.extend_from_slice(part);
        rest -= part.len();
    }
    capture.sent(now, &written);
}

impl Source<'_> {
    /// The socket itself.
    #[cfg(target_os = "linux")]
    pub(super) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Whether somebody has to see what passes.
    #[cfg(target_os = "linux")]
    pub(super) fn is_captured(&self) -> bool {
        self.capture.is_some_and(LegCapture::has_room)
    }

    /// So many bytes came that nobody saw.
    #[cfg(target_os = "linux")]
    pub(super) fn unseen(&self, count: usize) {
        if let Some(capture) = self.capture {
            capture.unseen(false, count as u64);
        }
    }
}

impl Sink<'_> {
    /// So many bytes go that nobody saw.
    #[cfg(target_os = "linux")]
    pub(super) fn unseen(&self, count: usize) {
        if let Some(capture) = self.capture {
            capture.unseen(true, count as u64);
        }
    }

    /// The socket itself.
    #[cfg(target_os = "linux")]
    pub(super) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }
}

impl AsyncRead for Source<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_read(&mut this.half, this.capture, cx, buffer)
    }
}

impl AsyncWrite for Sink<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.half).poll_write(cx, bytes));
        note_written(this.capture, &written, bytes);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().half).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_shutdown(&mut this.half, this.capture, cx)
    }
}
