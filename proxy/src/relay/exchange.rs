//! Copies what is inside two TLS connections from one to the other, both ways in one task, and passes their endings on
//! as they came. What the gate gives out as one message leaves in one write, and so in one record.

use super::pump::{Ending, SILENCE_AFTER_CLIENT};
use super::socket::Socket;
use crate::alter::{Gate, Note};
use crate::intercept::tls::{StreamEnd, TlsStream, read_ending};
use crate::trace::{Micros, Side};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once: four TLS records.
const READ_SIZE: usize = 64 * 1024;
/// How often one direction may read before the other has its turn and other sessions have theirs.
const READS_PER_TURN: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// A connection whose ending can be told and passed on.
pub(super) trait Channel: AsyncRead + AsyncWrite + Unpin {
    /// What reading nothing says about the peer.
    const END_OF_FILE: StreamEnd;
    /// What an error of reading says about the peer.
    fn ending(error: &io::Error) -> StreamEnd;
    /// Sends what the protocol itself answers to what was read, as far as it goes: nobody else may write for hours.
    fn answer(&mut self, _cx: &mut Context<'_>) {}
    /// Ends our direction of TCP without the farewell of TLS.
    fn poll_fin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel for TlsStream<S> {
    const END_OF_FILE: StreamEnd = StreamEnd::CloseNotify;

    fn ending(error: &io::Error) -> StreamEnd {
        read_ending(error)
    }

    fn answer(&mut self, cx: &mut Context<'_>) {
        if self.has_unsent() {
            // What goes wrong here stays with the connection, and the next read or write meets it.
            let _ = Pin::new(self).poll_flush(cx);
        }
    }

    fn poll_fin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut *self).poll_flush(cx))?;
        Pin::new(self.tee_mut()).poll_shutdown(cx)
    }
}

impl Channel for Socket {
    const END_OF_FILE: StreamEnd = StreamEnd::Fin;

    fn ending(_error: &io::Error) -> StreamEnd {
        StreamEnd::Reset
    }

    fn poll_fin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}

/// Sees what passes.
pub(super) trait ExchangeTap {
    /// `bytes` came from `from` at `at`.
    fn plaintext(&mut self, at: Instant, from: Side, bytes: &[u8]);
    /// Whether it has to see bytes before they go on, because their answer comes on another connection, whose task would
    /// otherwise be able to tell of it first.
    fn sees_first(&self) -> bool {
        false
    }
    /// A moment in the session's own time.
    fn micros(&self, at: Instant) -> Micros;
    /// The gate changed something, or could not.
    fn noted(&mut self, notes: Vec<Note>);
    /// `from` ended its direction.
    fn ended(&mut self, at: Instant, from: Side, end: &StreamEnd);
}

/// Stands in both directions of an exchange, and may hold back and change what passes.
pub(super) trait Gatekeeper {
    /// Of `from` nothing is held and nothing more will be held or changed: its bytes pass as they come.
    fn is_open(&self, from: Side) -> bool;
    /// Takes what `from` sent at `t_us`. What may go on is appended to `out`, to be written one entry with one write; what
    /// was changed, or could not be, to `notes`.
    fn pass(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Vec<u8>>, notes: &mut Vec<Note>);
    /// What is still held of `from`, whose stream has ended, goes on as it is.
    fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>);
    /// Before more of `from` is read, or before the `ending` of its stream goes on: what comes from elsewhere in its
    /// direction is appended to `out` and goes on first. Not ready while there is something to wait for.
    fn poll_turn(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Side,
        _ending: Option<Ending>,
        _out: &mut VecDeque<Vec<u8>>,
    ) -> Poll<()> {
        Poll::Ready(())
    }
    /// The answer to a client that is refused what it asks for, once; with it both connections end in good order.
    fn take_refusal(&mut self) -> Option<Vec<u8>> {
        None
    }
}

impl Gatekeeper for Gate {
    fn is_open(&self, from: Side) -> bool {
        Gate::is_open(self, from)
    }

    fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        Gate::pass(self, t_us, from, bytes, out, notes);
    }

    fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>) {
        Gate::flush(self, from, out);
    }
}

/// What an exchange came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeEnd {
    /// Both directions ended, or the client has left a silent server.
    Finished,
    /// A side was reset: the caller resets both sockets.
    Reset,
}

/// Copies until both directions have ended, one side resets, or the client has left a silent server. `first` was read of
/// the server before.
pub(super) async fn exchange<C: Channel, S: Channel>(
    client: &mut C,
    server: &mut S,
    first: Vec<u8>,
    gate: &mut impl Gatekeeper,
    tap: &mut impl ExchangeTap,
) -> ExchangeEnd {
    let mut up = Flow::new(Side::Client);
    let mut down = Flow::new(Side::Server);
    if !first.is_empty() {
        down.pass(Instant::now(), &first, gate, tap);
    }
    let silence = tokio::time::sleep(SILENCE_AFTER_CLIENT);
    tokio::pin!(silence);
    let mut reads = None;
    poll_fn(|cx| {
        let up_end = up.poll(cx, client, server, gate, tap);
        let up_end = match gate.take_refusal() {
            Some(answer) => {
                down.waiting.push_back(answer);
                down.ending = Some(StreamEnd::CloseNotify);
                up.ending = Some(StreamEnd::CloseNotify);
                up.poll(cx, client, server, gate, tap)
            }
            None => up_end,
        };
        match (up_end, down.poll(cx, server, client, gate, tap)) {
            (Poll::Ready(FlowEnd::Reset), _) | (_, Poll::Ready(FlowEnd::Reset)) => {
                Poll::Ready(ExchangeEnd::Reset)
            }
            (Poll::Ready(one), Poll::Ready(other)) => Poll::Ready(match (one, other) {
                (FlowEnd::Finished, FlowEnd::Finished) => ExchangeEnd::Finished,
                _ => ExchangeEnd::Reset,
            }),
            (Poll::Ready(_), Poll::Pending) => {
                if reads != Some(down.reads) || !down.waiting.is_empty() {
                    reads = Some(down.reads);
                    silence.as_mut().reset(tokio::time::Instant::now() + SILENCE_AFTER_CLIENT);
                }
                silence.as_mut().poll(cx).map(|()| ExchangeEnd::Finished)
            }
            _ => Poll::Pending,
        }
    })
    .await
}

/// What ended a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowEnd {
    /// The source ended in an orderly way, and that was passed on.
    Finished,
    /// The source was reset.
    Reset,
    /// The sink takes nothing any more. What it sent before is still to be read by the other flow.
    SinkGone,
}

/// One direction.
struct Flow {
    from: Side,
    /// Messages that the sink has not taken, and how much of the first it has.
    waiting: VecDeque<Vec<u8>>,
    taken: usize,
    /// The sink holds bytes that may not be on the wire yet.
    unflushed: bool,
    /// How often something was read.
    reads: u64,
    ending: Option<StreamEnd>,
    end: Option<FlowEnd>,
}

impl Flow {
    fn new(from: Side) -> Flow {
        Flow { from, waiting: VecDeque::new(), taken: 0, unflushed: false, reads: 0, ending: None, end: None }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Channel,
        sink: &mut impl Channel,
        gate: &mut impl Gatekeeper,
        tap: &mut impl ExchangeTap,
    ) -> Poll<FlowEnd> {
        if let Some(end) = self.end {
            return Poll::Ready(end);
        }
        for _ in 0..READS_PER_TURN {
            if ready!(self.poll_deliver(cx, sink)).is_err() {
                return self.over(FlowEnd::SinkGone);
            }
            let turn = gate.poll_turn(cx, self.from, self.ending.as_ref().map(ending), &mut self.waiting);
            if !self.waiting.is_empty() {
                continue;
            }
            ready!(turn);
            if let Some(ending) = &self.ending {
                let end = ready!(poll_pass_on(cx, sink, ending));
                return self.over(end);
            }
            ready!(self.poll_read(cx, source, sink, gate, tap));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn over(&mut self, end: FlowEnd) -> Poll<FlowEnd> {
        self.end = Some(end);
        self.waiting = VecDeque::new();
        Poll::Ready(end)
    }

    /// Gives the sink what it has not taken yet, message by message.
    fn poll_deliver(&mut self, cx: &mut Context<'_>, sink: &mut impl Channel) -> Poll<io::Result<()>> {
        while let Some(message) = self.waiting.front() {
            let rest = message.get(self.taken..).unwrap_or_default();
            if rest.is_empty() {
                self.waiting.pop_front();
                self.taken = 0;
                continue;
            }
            self.taken += ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(sink).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; what may go on goes on at once as far as the sink takes it.
    fn poll_read<C: Channel>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut C,
        sink: &mut impl Channel,
        gate: &mut impl Gatekeeper,
        tap: &mut impl ExchangeTap,
    ) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = Pin::new(&mut *source).poll_read(cx, &mut buffer);
            source.answer(cx);
            let read = ready!(read);
            self.reads += 1;
            let at = Instant::now();
            let bytes = buffer.filled();
            let count = bytes.len();
            match read {
                Ok(()) if bytes.is_empty() => self.source_ended(at, C::END_OF_FILE, gate, tap),
                Ok(()) if gate.is_open(self.from) && tap.sees_first() => {
                    tap.plaintext(at, self.from, bytes);
                    self.send(cx, sink, bytes);
                }
                Ok(()) if gate.is_open(self.from) => {
                    self.send(cx, sink, bytes);
                    tap.plaintext(at, self.from, bytes);
                }
                Ok(()) => self.pass(at, bytes, gate, tap),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.source_ended(at, C::ending(&error), gate, tap),
            }
            if self.from == Side::Client {
                // Passwords and what is typed: this memory stays with the thread.
                scratch[..count].fill(0);
            }
            Poll::Ready(())
        })
    }

    /// What the gate lets through waits for the sink.
    fn pass(&mut self, at: Instant, bytes: &[u8], gate: &mut impl Gatekeeper, tap: &mut impl ExchangeTap) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        gate.pass(tap.micros(at), self.from, bytes, &mut out, &mut notes);
        self.waiting.extend(out);
        tap.plaintext(at, self.from, bytes);
        tap.noted(notes);
    }

    /// Writes at once what the sink takes and keeps the rest.
    fn send(&mut self, cx: &mut Context<'_>, sink: &mut impl Channel, bytes: &[u8]) {
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *sink).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(count)) => written += count,
                // An error stays with the connection: the next delivery meets it and ends the flow.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.unflushed = true;
        if written < bytes.len() {
            self.waiting.push_back(bytes[written..].to_vec());
        }
    }

    fn source_ended(
        &mut self,
        at: Instant,
        end: StreamEnd,
        gate: &mut impl Gatekeeper,
        tap: &mut impl ExchangeTap,
    ) {
        let mut held = Vec::new();
        gate.flush(self.from, &mut held);
        self.waiting.extend(held);
        tap.ended(at, self.from, &end);
        self.ending = Some(end);
    }
}

/// The end of TLS as the end of TCP that comes with it.
pub(super) fn ending(end: &StreamEnd) -> Ending {
    if *end == StreamEnd::Reset { Ending::Reset } else { Ending::Fin }
}

/// Ends the sink's connection as the source's was ended.
fn poll_pass_on(cx: &mut Context<'_>, sink: &mut impl Channel, ending: &StreamEnd) -> Poll<FlowEnd> {
    let passed = match ending {
        StreamEnd::Reset => return Poll::Ready(FlowEnd::Reset),
        StreamEnd::Fin => ready!(sink.poll_fin(cx)),
        StreamEnd::CloseNotify | StreamEnd::Alert(_) | StreamEnd::Broken(_) => {
            ready!(Pin::new(sink).poll_shutdown(cx))
        }
    };
    Poll::Ready(if passed.is_ok() { FlowEnd::Finished } else { FlowEnd::SinkGone })
}
