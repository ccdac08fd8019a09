//! More clients than there is room for: they are refused, and who was there first notices nothing.

use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::{Conversation, Ends, Next, listener, next};
use rustix::process::Signal;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Open files that the program may have, and how many sessions that makes.
const OPEN_FILES: &str = "100";
const ROOM: usize = 16;
/// Connections that come beside them.
const FLOOD: usize = 300;
/// How long bytes of a session may take while others are refused, on a loaded machine.
const PASSES_WITHIN: Duration = Duration::from_secs(5);

/// The program with few open files, however many the system allows.
fn with_few_files() -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {OPEN_FILES}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program().get_program());
    command
}

fn is_refused(stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
    next(&mut { stream }) == Next::Reset
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
        let flood: Vec<TcpStream> = (0..ROOM)
            .map(|_| TcpStream::connect(rdpscope.address).expect("the system still takes connections"))
            .collect();
        let began = Instant::now();
        let ends = first.remove(round % ROOM);
        first.push(talk.play_open(ends));
        slowest = slowest.max(began.elapsed());
        assert!(flood.into_iter().all(is_refused), "none of them finds room");
    }
    assert!(slowest < PASSES_WITHIN, "a session's bytes took {slowest:?}");

    Conversation::new().finish(Client).finish(Server).play(first.remove(0));
    // The last of its sockets may be gone a little later than its ends.
    let again = loop {
        let client = TcpStream::connect(rdpscope.address).expect("it listens");
        server.set_nonblocking(true).expect("a socket takes its options");
        match server.accept() {
            Ok((accepted, _)) => break (client, accepted),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    rdpscope.signal(Signal::INT);
    let finished = rdpscope.finish();
    drop((first, again));
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    assert_eq!(finished.sessions.len(), ROOM + 1, "who was refused has no session");
    let told: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("are the most with")).collect();
    assert_eq!(told.len(), 2, "one line when it begins and one that counts: {}", finished.stderr);
    assert!(told[0].contains("there is no room for another session: 16 at once are the most"), "{told:?}");
    let counted: usize =
        told[1].split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a count");
    assert!((FLOOD / ROOM * ROOM..FLOOD + 100).contains(&counted), "{told:?}");
}
