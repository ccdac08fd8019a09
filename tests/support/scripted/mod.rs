//! Conversations written as data and played by both ends over real loopback sockets, with the relay in between.

pub(crate) mod bytes;
pub(crate) mod credssp;
pub(crate) mod rdp;
pub(crate) mod terminated;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod udp;

use super::process::LOOK_AGAIN;
use super::rdpscope::{Finished, Rdpscope};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long a relay may take to pass anything on.
const PASS_ON_WITHIN: Duration = Duration::from_secs(20);

/// Which end of the conversation acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The RDP client.
    Client,
    /// The RDP server.
    Server,
}

#[derive(Debug, Clone)]
enum Step {
    /// Sends in pieces of at most so many bytes; the other end receives each piece before the next is sent.
    Send(Side, Vec<u8>, usize),
    /// Ends its direction with FIN, and goes on reading; the other end sees the end of the stream.
    Finish(Side),
    /// Cuts the connection with RST; the other end sees that it was reset.
    Reset(Side),
    /// Both say nothing for so long.
    Silence(Duration),
}

/// Steps in their order. Each is seen at the other end before the next is taken, so nothing depends on timing.
///
/// What was sent must arrive byte for byte, and each ending must arrive as what it was. A side that has not ended
/// by the last step is then closed, the client first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    steps: Vec<Step>,
}

impl Conversation {
    /// Nothing but two connections.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The client sends.
    pub(crate) fn client(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send(Side::Client, bytes)
    }

    /// The server sends.
    pub(crate) fn server(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send(Side::Server, bytes)
    }

    /// A side sends.
    pub(crate) fn send(self, side: Side, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(side, bytes.into(), usize::MAX))
    }

    /// All of `messages`, in their order.
    pub(crate) fn send_all(self, messages: impl IntoIterator<Item = (Side, Vec<u8>)>) -> Self {
        messages.into_iter().fold(self, |conversation, (side, bytes)| conversation.send(side, bytes))
    }

    /// A side ends its direction with FIN.
    pub(crate) fn finish(self, side: Side) -> Self {
        self.then(Step::Finish(side))
    }

    /// A side cuts the connection with RST.
    pub(crate) fn reset(self, side: Side) -> Self {
        self.then(Step::Reset(side))
    }

    /// Nobody says anything for so long.
    pub(crate) fn silence(self, duration: Duration) -> Self {
        self.then(Step::Silence(duration))
    }

    /// The same conversation, everything sent in pieces of at most `size` bytes.
    pub(crate) fn in_pieces_of(mut self, size: usize) -> Self {
        for step in &mut self.steps {
            if let Step::Send(_, _, piece) = step {
                *piece = size;
            }
        }
        self
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Plays it through `rdpscope proxy`.
    pub(crate) fn through_rdpscope(&self) -> Finished {
        self.through_rdpscope_with(&[])
    }

    /// Plays it through `rdpscope proxy` with more arguments.
    pub(crate) fn through_rdpscope_with(&self, arguments: &[&str]) -> Finished {
        let listener = listener();
        let target = listener.local_addr().expect("a listener has an address");
        let rdpscope = Rdpscope::start(target, 1, arguments);
        self.play(Ends::connect(rdpscope.address, &listener));
        rdpscope.finish()
    }

    /// Plays it over two ends that a relay joins.
    pub(crate) fn play(&self, ends: Ends) {
        drop(self.play_open(ends));
    }

    /// Plays it and leaves open what it has not ended.
    pub(crate) fn play_open(&self, mut ends: Ends) -> Ends {
        self.steps.iter().for_each(|step| ends.take(step));
        ends
    }
}

/// A listener for the part of the server.
pub(crate) fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free")
}

/// The two ends of a relayed connection; a side that was reset is gone.
#[derive(Debug)]
pub(crate) struct Ends {
    client: Option<TcpStream>,
    server: Option<TcpStream>,
}

impl Ends {
    /// Connects to `relay` and accepts what it connects to `listener`.
    pub(crate) fn connect(relay: SocketAddr, listener: &TcpListener) -> Self {
        let client = TcpStream::connect_timeout(&relay, PASS_ON_WITHIN).expect("the relay accepts");
        Self::joined(client, listener)
    }

    /// `client`, which is connected, and what is connected to `listener` for it.
    pub(crate) fn joined(client: TcpStream, listener: &TcpListener) -> Self {
        let ends = Ends { client: Some(client), server: Some(accept(listener)) };
        for stream in [&ends.client, &ends.server].into_iter().flatten() {
            stream.set_nodelay(true).expect("a socket takes its options");
            stream.set_read_timeout(Some(PASS_ON_WITHIN)).expect("a socket takes its options");
            stream.set_write_timeout(Some(PASS_ON_WITHIN)).expect("a socket takes its options");
        }
        ends
    }

    /// Both streams, for a test that uses them at the same time.
    pub(crate) fn into_streams(self) -> (TcpStream, TcpStream) {
        (self.client.expect("the client is connected"), self.server.expect("the server is connected"))
    }

    /// The end that acts, and the one that sees it.
    fn both(&mut self, acting: Side) -> (&mut Option<TcpStream>, &mut Option<TcpStream>) {
        match acting {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send(side, bytes, piece) => {
                bytes.chunks(*piece).for_each(|bytes| self.send(*side, bytes));
            }
            Step::Finish(side) => {
                let (acting, seeing) = self.both(*side);
                shut_down(open(acting, *side));
                if let Some(seeing) = seeing {
                    assert_eq!(
                        next(seeing),
                        Next::End,
                        "the other side of {side:?} sees the end of the stream"
                    );
                }
            }
            Step::Reset(side) => {
                let (acting, seeing) = self.both(*side);
                let stream = acting.take().unwrap_or_else(|| panic!("{side:?} is already gone"));
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
                drop(stream);
                if let Some(seeing) = seeing {
                    assert_eq!(next(seeing), Next::Reset, "the other side of {side:?} sees the reset");
                }
            }
            // The silence is the thing under test here, not a wait for something.
            Step::Silence(duration) => std::thread::sleep(*duration),
        }
    }

    fn send(&mut self, side: Side, bytes: &[u8]) {
        let (acting, seeing) = self.both(side);
        open(acting, side).write_all(bytes).unwrap_or_else(|error| panic!("{side:?} cannot send: {error}"));
        let mut arrived = vec![0; bytes.len()];
        let seeing = seeing.as_mut().unwrap_or_else(|| panic!("nobody is there to receive from {side:?}"));
        seeing
            .read_exact(&mut arrived)
            .unwrap_or_else(|error| panic!("bytes of {side:?} do not arrive: {error}"));
        assert_eq!(hex::encode(&arrived), hex::encode(bytes), "bytes of {side:?} arrive as they were sent");
    }
}

/// What a stream gives next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A byte.
    Byte(u8),
    /// FIN.
    End,
    /// RST.
    Reset,
    /// Nothing for as long as a relay may take.
    Nothing,
}

/// Waits for what a stream gives next.
pub(crate) fn next(stream: &mut TcpStream) -> Next {
    let mut byte = [0];
    match read_once(stream, &mut byte) {
        Ok(0) => Next::End,
        Ok(_) => Next::Byte(byte[0]),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Next::Reset,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Next::Nothing,
            _ => panic!("reading failed: {error}"),
        },
    }
}

fn open(stream: &mut Option<TcpStream>, side: Side) -> &mut TcpStream {
    stream.as_mut().unwrap_or_else(|| panic!("{side:?} has cut its connection"))
}

fn shut_down(stream: &TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).expect("a direction is ended");
}

/// Accepts one connection, and gives up when none comes.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a socket takes its options");
    let deadline = Instant::now() + PASS_ON_WITHIN;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a socket takes its options");
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(error) => panic!("the relay does not connect to the server: {error}"),
        }
    }
}

/// Reads once. A signal that some other test's child sends this process, by ending, interrupts no test.
pub(crate) fn read_once(stream: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
