//! More clients than there is room for: they are refused, and who was there first notices nothing.

use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::{Conversation, Ends, Next, listener, next};
use rustix::process::Signal;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// Open files that the program may have, and how many sessions that makes.
const OPEN_FILES: &str = "100";
const ROOM: usize = 16;
/// Connections that come beside them.
const FLOOD: usize = 300;
/// How long bytes of a session may take while others are refused, on a machine whose processors others take for seconds.
const PASSES_WITHIN: Duration = Duration::from_secs(20);

/// The program with few open files, however many the system allows.
fn with_few_files() -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {OPEN_FILES}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program().get_program());
    command
}

/// A connection that finds no room. Where this thread is not let run for a moment, the system tells of the reset before it
/// has told of the connection.
fn beside(address: SocketAddr) -> Option<TcpStream> {
    match TcpStream::connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        connected => Some(connected.expect("the system still takes connections")),
    }
}

/// What comes next.
fn heard(stream: &mut TcpStream) -> Next {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
    next(stream)
}

/// Both ends of a connection for which there is room as soon as a session's last socket is gone, and how many were refused
/// before.
fn let_in(address: SocketAddr, server: &TcpListener) -> ((TcpStream, TcpStream), usize) {
    server.set_nonblocking(false).expect("a socket takes its options");
    std::thread::scope(|scope| {
        let greeting = scope.spawn(|| {
            let (mut accepted, _) = server.accept().expect("rdpscope connects");
            accepted.write_all(b"!").expect("it takes a byte");
            accepted
        });
        let mut refused = 0;
        loop {
            match beside(address).map(|mut client| (heard(&mut client), client)) {
                None | Some((Next::Reset, _)) => refused += 1,
                Some((Next::Byte(b'!'), client)) => {
                    break ((client, greeting.join().expect("it has accepted")), refused);
                }
                Some((other, _)) => panic!("neither refused nor let in: {other:?}"),
            }
        }
    })
}

#[test]
fn a_flood_is_refused_and_counted_and_who_was_there_first_notices_nothing() {
    let server = listener();
    let target = server.local_addr().expect("it listens").to_string();
    let rdpscope = Rdpscope::start_as(with_few_files(), &target, &["--listen", "127.0.0.1:0"]);
    let begun = Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    let connect = || begun.play_open(Ends::connect(rdpscope.address, &server));
    let mut first: Vec<Ends> = (0..ROOM).map(|_| connect()).collect();

    let talk = Conversation::new().client(&b"up"[..]).server(&b"down"[..]);
    let mut slowest = Duration::ZERO;
    for round in 0..FLOOD / ROOM {
        let mut flood: Vec<Option<TcpStream>> = (0..ROOM).map(|_| beside(rdpscope.address)).collect();
        let began = Instant::now();
        let ends = first.remove(round % ROOM);
        first.push(talk.play_open(ends));
        slowest = slowest.max(began.elapsed());
        assert!(
            flood.iter_mut().flatten().all(|stream| heard(stream) == Next::Reset),
            "none of them finds room"
        );
    }
    assert!(slowest < PASSES_WITHIN, "a session's bytes took {slowest:?}");

    Conversation::new().finish(Client).finish(Server).play(first.remove(0));
    let (again, tried) = let_in(rdpscope.address, &server);
    rdpscope.signal(Signal::INT);
    let finished = rdpscope.finish();
    drop((first, again));
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    assert_eq!(finished.sessions.len(), ROOM + 1, "who was refused has no session");
    let told: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("are the most with")).collect();
    let [first, .., last] = &told[..] else {
        panic!("a line when it begins and one that counts: {}", finished.stderr)
    };
    assert!(first.contains("there is no room for another session: 16 at once are the most"), "{told:?}");
    let refused = FLOOD / ROOM * ROOM + tried;
    assert!(last.contains(&format!(" {refused} connections were refused")), "{told:?}");
    assert!(told.len() <= FLOOD / ROOM, "a line for each would bury the rest: {told:?}");
}
