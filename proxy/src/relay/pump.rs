//! Copies bytes between two sockets, both ways in one task, and passes their endings on as they came.
//!
//! A turn reads once, writes at once and only then shows the bytes to the [`Tap`], so that observation never delays
//! a byte. Memory is held only for what the other side does not take yet: an idle session holds no buffer.

use super::busy_poll::BusyPoll;
use super::socket::{Sink, Socket, Source};
use super::splice::Pipe;
use crate::trace::Side;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once. Larger than a socket usually holds, so that one read empties it.
const READ_SIZE: usize = 256 * 1024;
/// How often one direction may read before the other has its turn and other sessions have theirs.
const READS_PER_TURN: usize = 16;
/// A read of this many bytes shows a busy stream, for which a pipe pays.
const BUSY_READ: usize = 16 * 1024;
/// So many small reads in a row show that the stream is no longer busy and the pipe can go.
#[cfg(target_os = "linux")]
const CALM_READS: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// After so long a silence of the server behind the client's FIN the session is over as far as it can be told: clients
/// of RDP do not close one direction to go on reading, so the client has left. The connection is left as it is.
pub(super) const SILENCE_AFTER_CLIENT: Duration = Duration::from_secs(10);

/// Sees what passes, after it has passed.
pub trait Tap {
    /// `bytes` came from `from` at `at` and went on.
    fn data(&mut self, at: Instant, from: Side, bytes: &[u8]);
    /// `count` bytes came from `from` and went on unseen; only when [`Tap::is_opaque`] said so.
    fn unseen(&mut self, at: Instant, from: Side, count: u64);
    /// Whether the bytes of `from` no longer need to be seen.
    fn is_opaque(&self, from: Side) -> bool;
    /// `from` ended its direction.
    fn ended(&mut self, at: Instant, from: Side, ending: Ending);
}

/// How one direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// FIN.
    Fin,
    /// RST, or the system's word that the connection is gone.
    Reset,
}

/// What a session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpEnd {
    /// Both directions ended: the caller closes both sockets, which passes the last FIN on.
    Finished,
    /// A side was reset: the caller resets both sockets.
    Reset,
    /// The client has left and the server says nothing: there is nothing more to observe, but the caller keeps the
    /// connection with [`linger`], because what the client left may still end it.
    LeftOpen,
}

/// Keeps a connection that the client has left until the server ends it, and its `_place` among all sessions with it; what
/// still comes goes to the client.
pub async fn linger<P>(mut client: Socket, mut server: Socket, _place: P) {
    let copied = tokio::io::copy(&mut server, &mut client).await;
    if copied.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// The next close of `stream` sends RST instead of FIN.
pub fn reset(stream: &Socket) {
    stream.reset();
}

/// Copies until both directions have ended, one side resets, or the client has left a silent server.
///
/// A reset is passed on after the bytes that came before it. It is seen when these have been taken, so a reset by one
/// side waits for the other to read.
pub async fn pump(client: &mut Socket, server: &mut Socket, tap: &mut impl Tap) -> PumpEnd {
    let (client_reader, client_writer) = client.split();
    let (server_reader, server_writer) = server.split();
    let mut up = Flow::new(Side::Client, client_reader, server_writer);
    let mut down = Flow::new(Side::Server, server_reader, client_writer);
    let mut busy_poll = BusyPoll::default();
    poll_fn(|cx| {
        let ends = (up.poll(cx, tap), down.poll(cx, tap));
        if ends != (Poll::Pending, Poll::Pending) {
            return Poll::Ready(());
        }
        busy_poll.wait(cx, up.reads + down.reads, up.is_calm() && down.is_calm());
        Poll::Pending
    })
    .await;
    let (ended, open) = if up.end.is_some() { (up, &mut down) } else { (down, &mut up) };
    if ended.end == Some(FlowEnd::Reset) {
        return PumpEnd::Reset;
    }
    open.is_last = ended.end == Some(FlowEnd::Finished);
    open.source_is_gone = ended.end == Some(FlowEnd::SinkGone);
    let end = tokio::select! {
        end = rest_of(open, tap) => end,
        () = reset_of(&ended.source) => Some(FlowEnd::Reset),
    };
    match (end, ended.end) {
        (None, Some(FlowEnd::Finished)) => PumpEnd::LeftOpen,
        (Some(FlowEnd::Finished), Some(FlowEnd::Finished)) => PumpEnd::Finished,
        _ => PumpEnd::Reset,
    }
}

/// Copies the direction that is still open to its end; `None` where a server was silent for too long before it.
async fn rest_of(open: &mut Flow<'_>, tap: &mut impl Tap) -> Option<FlowEnd> {
    let silence = tokio::time::sleep(SILENCE_AFTER_CLIENT);
    tokio::pin!(silence);
    let mut reads = open.reads;
    poll_fn(|cx| {
        if let Poll::Ready(end) = open.poll(cx, tap) {
            return Poll::Ready(Some(end));
        }
        // A client that takes its time to read has not left.
        if open.reads != reads || !open.holds_nothing() || open.from == Side::Client {
            reads = open.reads;
            silence.as_mut().reset(tokio::time::Instant::now() + SILENCE_AFTER_CLIENT);
        }
        silence.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Waits for the reset of a side that nobody reads from any more.
#[cfg(target_os = "linux")]
async fn reset_of(source: &Source<'_>) {
    match source.stream().ready(tokio::io::Interest::ERROR).await {
        Ok(_) => {}
        Err(_) => std::future::pending().await,
    }
}

/// Other systems tell of a reset only to those who read or write.
#[cfg(not(target_os = "linux"))]
async fn reset_of(_source: &Source<'_>) {
    std::future::pending().await
}

/// What ended a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowEnd {
    /// The source sent FIN and it was passed on, or will be when the sockets are closed.
    Finished,
    /// The source was reset.
    Reset,
    /// The sink takes nothing any more. What it sent before is still to be read by the other flow.
    SinkGone,
}

/// One direction.
struct Flow<'a> {
    from: Side,
    source: Source<'a>,
    sink: Sink<'a>,
    /// Read and not yet taken by the sink.
    pending: Vec<u8>,
    pending_start: usize,
    pipe: Option<Pipe>,
    /// Small reads in a row.
    calm_reads: usize,
    /// How often something was read.
    reads: u64,
    /// The source sent FIN; it is still to be passed on.
    finishing: bool,
    /// The other direction has ended with FIN: closing the sink's socket is all that is left to do.
    is_last: bool,
    /// Writing to our source failed: its end is a reset, even where the system reports a plain end of file.
    source_is_gone: bool,
    end: Option<FlowEnd>,
}

impl<'a> Flow<'a> {
    fn new(from: Side, source: Source<'a>, sink: Sink<'a>) -> Self {
        Flow {
            from,
            source,
            sink,
            pending: Vec::new(),
            pending_start: 0,
            pipe: None,
            calm_reads: 0,
            reads: 0,
            finishing: false,
            is_last: false,
            source_is_gone: false,
            end: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, tap: &mut impl Tap) -> Poll<FlowEnd> {
        if let Some(end) = self.end {
            return Poll::Ready(end);
        }
        let end = ready!(self.poll_copy(cx, tap));
        self.end = Some(end);
        self.pipe = None;
        self.pending = Vec::new();
        Poll::Ready(end)
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>, tap: &mut impl Tap) -> Poll<FlowEnd> {
        for _ in 0..READS_PER_TURN {
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(FlowEnd::SinkGone);
            }
            if self.finishing && self.is_last {
                return Poll::Ready(FlowEnd::Finished);
            }
            if self.finishing {
                return match ready!(Pin::new(&mut self.sink).poll_shutdown(cx)) {
                    Ok(()) => Poll::Ready(FlowEnd::Finished),
                    Err(_) => Poll::Ready(FlowEnd::SinkGone),
                };
            }
            let read = match &self.pipe {
                Some(_) => ready!(self.poll_move(cx, tap)),
                None => ready!(self.poll_once(cx, tap)),
            };
            self.reads += 1;
            match read {
                Ok(0) if self.source_is_gone => return Poll::Ready(self.reset(tap)),
                Ok(0) => {
                    tap.ended(Instant::now(), self.from, Ending::Fin);
                    self.finishing = true;
                }
                Ok(count) => {
                    self.calm_reads = if count >= BUSY_READ { 0 } else { self.calm_reads + 1 };
                    self.choose_way(count, tap);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(self.reset(tap)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether messages are small.
    fn is_calm(&self) -> bool {
        self.calm_reads > 0
    }

    /// Whether the sink has taken everything that was read.
    fn holds_nothing(&self) -> bool {
        self.pending.is_empty() && self.pipe.as_ref().is_none_or(Pipe::is_empty)
    }

    fn reset(&self, tap: &mut impl Tap) -> FlowEnd {
        tap.ended(Instant::now(), self.from, Ending::Reset);
        FlowEnd::Reset
    }

    /// Gives the sink what it has not taken yet.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(target_os = "linux")]
        if let Some(pipe) = &mut self.pipe {
            ready!(pipe.poll_drain(cx, self.sink.stream()))?;
            if self.calm_reads > CALM_READS || self.source.is_captured() {
                self.pipe = None;
            }
        }
        while self.pending_start < self.pending.len() {
            let rest = &self.pending[self.pending_start..];
            let count = ready!(Pin::new(&mut self.sink).poll_write(cx, rest))?;
            self.pending_start += count;
        }
        if self.pending_start > 0 {
            // Given back rather than kept: this stream may now be silent for hours.
            self.pending = Vec::new();
            self.pending_start = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once into the thread's buffer, writes at once what the sink takes and keeps the rest.
    fn poll_once(&mut self, cx: &mut Context<'_>, tap: &mut impl Tap) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.source).poll_read(cx, &mut buffer))?;
            let at = Instant::now();
            let bytes = buffer.filled();
            let mut written = 0;
            while written < bytes.len() {
                match Pin::new(&mut self.sink).poll_write(cx, &bytes[written..]) {
                    Poll::Ready(Ok(count)) => written += count,
                    // An error stays with the socket: the next flush meets it and ends the flow.
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
            self.pending.extend_from_slice(&bytes[written..]);
            if !bytes.is_empty() {
                tap.data(at, self.from, bytes);
            }
            let count = bytes.len();
            if self.from == Side::Client && !tap.is_opaque(self.from) {
                // Without TLS a password may be among it: this memory stays with the thread.
                scratch[..count].fill(0);
            }
            Poll::Ready(Ok(count))
        })
    }

    #[cfg(target_os = "linux")]
    fn poll_move(&mut self, cx: &mut Context<'_>, tap: &mut impl Tap) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        let count = ready!(pipe.poll_fill(cx, self.source.stream()))?;
        if count > 0 {
            self.source.unseen(count);
            self.sink.unseen(count);
            tap.unseen(Instant::now(), self.from, count as u64);
        }
        Poll::Ready(Ok(count))
    }

    #[cfg(not(target_os = "linux"))]
    fn poll_move(&mut self, cx: &mut Context<'_>, tap: &mut impl Tap) -> Poll<io::Result<usize>> {
        self.poll_once(cx, tap)
    }

    /// Through a pipe once nobody looks and the stream is busy; an empty pipe goes when the stream has calmed down.
    #[cfg(target_os = "linux")]
    fn choose_way(&mut self, count: usize, tap: &impl Tap) {
        let is_seen = self.source.is_captured();
        if self.pipe.is_none() && count >= BUSY_READ && !is_seen && tap.is_opaque(self.from) {
            self.pipe = Pipe::new().ok();
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn choose_way(&mut self, _count: usize, _tap: &impl Tap) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Nobody looks at anything.
    struct Blind;

    impl Tap for Blind {
        fn data(&mut self, _at: Instant, _from: Side, _bytes: &[u8]) {}
        fn unseen(&mut self, _at: Instant, _from: Side, _count: u64) {}
        fn is_opaque(&self, _from: Side) -> bool {
            true
        }
        fn ended(&mut self, _at: Instant, _from: Side, _ending: Ending) {}
    }

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let ours = TcpStream::connect(address).await.expect("loopback connects");
        (ours.into(), listener.accept().await.expect("the connection is accepted").0)
    }

    #[tokio::test]
    async fn a_busy_stream_has_a_pipe_and_gives_it_back_when_it_is_calm() {
        let (mut source, mut sender) = pair().await;
        let (mut sink, mut receiver) = pair().await;
        let mut flow = Flow::new(Side::Client, source.split().0, sink.split().1);
        let mut pass = async |bytes: &[u8]| {
            let mut arrived = vec![0; bytes.len()];
            tokio::select! {
                _ = poll_fn(|cx| flow.poll(cx, &mut Blind)) => panic!("nothing ends"),
                _ = async {
                    tokio::try_join!(sender.write_all(bytes), receiver.read_exact(&mut arrived))
                        .expect("the bytes pass");
                } => {}
            }
            assert!(arrived == bytes);
            flow.pipe.is_some()
        };
        assert!(pass(&vec![7; 4 << 20]).await, "a busy stream has a pipe");
        let mut kept = 0;
        while pass(b"calm").await {
            kept += 1;
            assert!(kept < 100, "the pipe is kept for ever");
        }
        assert!(pass(&vec![8; 4 << 20]).await, "it is busy again");
    }

    #[tokio::test]
    async fn what_a_server_says_late_still_reaches_a_client_that_has_left_one_direction() {
        let (client_at_relay, mut client) = pair().await;
        let (server_at_relay, mut server) = pair().await;
        let lingering = tokio::spawn(linger(client_at_relay, server_at_relay, ()));
        let mut arrived = Vec::new();
        server.write_all(b"late").await.expect("the server writes");
        drop(server);
        client.read_to_end(&mut arrived).await.expect("the end is a plain one");
        assert_eq!(arrived, b"late");
        lingering.await.expect("it ends with the server");
    }
}
